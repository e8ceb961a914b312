"""The brakes: plans that would do great harm quickly wait for a person. Pure."""

from __future__ import annotations

from crm.model import PlanTotals, Policy

DELETIONS = "brake.deletions"
CREATIONS = "brake.creations"
EMPTY_SOURCE = "brake.empty_source"
FIRST_SYNC = "brake.first_sync"


def find_brakes(totals: PlanTotals, policy: Policy, *, complete_scan: bool, first_sync: bool) -> tuple[str, ...]:
    """Codes of the brakes that this plan pulls, the widest first; empty when it may go.

    ``brake.deletions``: more than a tenth of the links and more than five records would be
    deleted, unlinked by a deletion or blanked. ``brake.creations``: more than
    max(500, 20 %) records would be made on one side. ``brake.empty_source``: a complete scan found
    nothing although there are links. ``brake.first_sync``: nobody has approved a plan of this
    connection yet.
    """
    if first_sync:
        return (FIRST_SYNC,)
    codes: list[str] = []
    if complete_scan and totals.live_links and not totals.records_seen:
        codes.append(EMPTY_SOURCE)
    harmed = totals.deletes + totals.blanks
    if harmed > policy.max_count_deleted and harmed > policy.max_share_deleted * totals.live_links:
        codes.append(DELETIONS)
    allowed = max(policy.max_count_created, policy.max_share_created * max(totals.live_links, totals.contacts))
    if max(totals.creates_in_app, totals.creates_in_crm) > allowed:
        codes.append(CREATIONS)
    return tuple(codes)
