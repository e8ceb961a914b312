"""Does a line still hold? Asked directly before it is applied.

An approved line applies only on the very ground that was shown: contact version, record, base,
mapping and policy. Any other line may take a fresh plan's place, as long as that does no greater
harm than the one that passed the brakes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from crm.engine.confirm import Outcome
from crm.engine.context import Ports, gather_evidence
from crm.engine.digest import digest_base, digest_record
from crm.engine.observe import gone_by_merges, plan_again
from crm.engine.plan import Planned, plan_pairing
from crm.engine.rulebook import Rulebook
from crm.model import (
    Action,
    ActionKind,
    AppContact,
    ContactState,
    Effect,
    Evidence,
    LineStatus,
    Link,
    LinkState,
    RemoteRecord,
    RemoteState,
    Side,
)

MOVED = "state.changed"


class Checker:
    """Marks as STALE what no longer holds, and gives the others the action to carry out."""

    def __init__(
        self, ports: Ports, book: Rulebook, crowded: set[str], fresh_since: datetime, *, by_index: bool
    ) -> None:
        """``crowded``: ids of lines whose contact or record is no longer alone. Records observed
        before ``fresh_since`` (database time) are read again before they are written; with
        ``by_index`` they were seen through an index that may lag, and new ones are read again too.
        """
        self.ports = ports
        self.book = book
        self.crowded = crowded
        self.fresh_since = fresh_since
        self.by_index = by_index

    def check(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if not self._ground_holds(outcome):
                _mark_stale(outcome)
        reading = [outcome for outcome in outcomes if outcome.status is LineStatus.APPLIED and self._must_read(outcome)]
        if not reading:
            return
        ids = list(dict.fromkeys(_remote_id(outcome) for outcome in reading))
        records = dict(self.ports.connector.fetch(self.book.record_type, ids, self.book.remote_fields))
        self._check_against(reading, records)

    def _ground_holds(self, outcome: Outcome) -> bool:
        """What can be seen without asking the CRM."""
        action, view, contact = outcome.action, outcome.view, outcome.contact
        if outcome.line.line_id in self.crowded:
            return False
        if action.kind is ActionKind.CREATE_IN_APP:
            return contact is None and view is None
        if action.explicit:
            deletes = action.kind in (ActionKind.DELETE_IN_CRM, ActionKind.DELETE_IN_APP)
            if contact is None or (deletes and contact.version != action.before.app_version):
                return False
            return _still_before(action, contact.values)
        if not action.contact_id:
            return True
        if contact is None or contact.version != action.before.app_version:
            return False
        if outcome.line.approved and action.before.rules_digest not in ("", self.book.digest):
            return False
        if action.kind in (ActionKind.CREATE_IN_CRM, ActionKind.LINK):
            return (view is None or view.link.state is LinkState.PENDING) and contact.state is ContactState.LIVE
        if view is None:
            return action.kind is ActionKind.REVIEW
        return digest_base(view.link.base) == action.before.base_digest

    def _must_read(self, outcome: Outcome) -> bool:
        action, view = outcome.action, outcome.view
        if action.kind in (ActionKind.CREATE_IN_CRM, ActionKind.REVIEW) or not _remote_id(outcome):
            return False
        if outcome.line.approved or action.kind in (ActionKind.DELETE_IN_CRM, ActionKind.DELETE_IN_APP):
            return True
        if action.explicit:
            return bool(action.pushes)
        if self.by_index and (action.pushes or action.kind in (ActionKind.CREATE_IN_APP, ActionKind.LINK)):
            return True
        if not action.pushes:
            return False
        if view is not None and _known_otherwise(action, view.link):
            return True
        observed_at = view.link.observed_at if view is not None else None
        return view is None or observed_at is None or observed_at < self.fresh_since

    def _check_against(self, outcomes: Sequence[Outcome], records: dict[str, RemoteRecord]) -> None:
        linked_views = [outcome.view for outcome in outcomes if outcome.view is not None]
        records.update(gone_by_merges(linked_views, records, self.book, self.ports))
        exact = [outcome for outcome in outcomes if outcome.line.approved]
        exact += [
            outcome for outcome in outcomes if outcome.action.kind in (ActionKind.RELINK, ActionKind.CREATE_IN_APP)
        ]
        for outcome in exact:
            record = records[_remote_id(outcome)]
            if outcome.action.explicit:
                continue
            if digest_record(record, self.book.remote_fields) != outcome.action.before.remote_digest:
                _mark_stale(outcome)
        for outcome in outcomes:
            if outcome.action.explicit:
                self._check_explicit(outcome, records[_remote_id(outcome)])
        pairing = [
            outcome for outcome in outcomes if outcome.action.kind is ActionKind.LINK and not outcome.line.approved
        ]
        self._plan_pairs_again(pairing, records)
        linked = [
            outcome
            for outcome in outcomes
            if outcome.view is not None
            and not outcome.line.approved
            and not outcome.action.explicit
            and outcome.action.kind not in (ActionKind.LINK, ActionKind.RELINK)
        ]
        self._plan_links_again(linked, records)

    def _check_explicit(self, outcome: Outcome, record: RemoteRecord) -> None:
        """Undo: each effect only while the value it takes back is still there."""
        if record.state is not RemoteState.LIVE:
            _mark_stale(outcome)
            return
        if outcome.action.kind in (ActionKind.DELETE_IN_CRM, ActionKind.DELETE_IN_APP):
            if digest_record(record, self.book.remote_fields) != outcome.action.before.remote_digest:
                _mark_stale(outcome)  # somebody has touched it since: it is no longer ours to take away
            return
        maps = self.book.by_id
        kept: list[Effect] = []
        for effect in outcome.action.effects:
            field_map = maps.get(effect.mapping_id)
            if effect.side is Side.CRM and field_map is not None:
                now = record.values.get(effect.remote_field)
                if field_map.canonical_crm(now) != field_map.canonical_crm(effect.before):
                    continue
            kept.append(effect)
        outcome.action = replace(outcome.action, effects=tuple(kept))
        if not kept and outcome.action.kind is ActionKind.SYNC:
            _mark_stale(outcome)

    def _plan_pairs_again(self, outcomes: Sequence[Outcome], records: dict[str, RemoteRecord]) -> None:
        there: list[tuple[Outcome, AppContact, RemoteRecord]] = []
        for outcome in outcomes:
            record, contact = records[outcome.action.remote_id], outcome.contact
            if record.state is RemoteState.LIVE and contact is not None:
                there.append((outcome, contact, record))
            else:
                _mark_stale(outcome)
        plans = [self._plan_pair(*each) for each in there]
        contested = [
            (contact.contact_id, record, None, plan.contested)
            for (_, contact, record), plan in zip(there, plans, strict=True)
            if plan.contested
        ]
        evidence = gather_evidence(self.ports, self.book, contested)
        for each, plan in zip(there, plans, strict=True):
            outcome, _, record = each
            final = self._plan_pair(*each, evidence[record.remote_id]) if plan.contested else plan
            fresh = final.action
            self._replace(outcome, replace(fresh, closes=outcome.action.closes) if fresh is not None else None)

    def _plan_pair(
        self, outcome: Outcome, contact: AppContact, record: RemoteRecord, evidence: Evidence | None = None
    ) -> Planned:
        action = outcome.action
        return plan_pairing(contact, record, action.rule, self.book, action.link_id, evidence)

    def _plan_links_again(self, outcomes: Sequence[Outcome], records: dict[str, RemoteRecord]) -> None:
        views = [outcome.view for outcome in outcomes if outcome.view is not None]
        if not views:
            return
        by_old_id = {view.link.remote_id: records.get(view.link.remote_id) for view in views}
        known = {remote_id: record for remote_id, record in by_old_id.items() if record is not None}
        readable = [outcome for outcome in outcomes if outcome.view and outcome.view.link.remote_id in known]
        fresh = plan_again([outcome.view for outcome in readable if outcome.view], known, self.book, self.ports)
        for outcome, action in zip(readable, fresh, strict=True):
            self._replace(outcome, action)

    def _replace(self, outcome: Outcome, fresh: Action | None) -> None:
        """Take the fresh plan unless it would do a harm that the brakes have not seen."""
        planned = outcome.action
        if (
            fresh is None
            or fresh.kind is not planned.kind
            or (fresh.blanks and not planned.blanks)
            or (fresh.deletes and not planned.deletes)
        ):
            _mark_stale(outcome)
        else:
            outcome.action = fresh


def _remote_id(outcome: Outcome) -> str:
    """The id to read: the link's own where there is one, since a RELINK names the survivor."""
    action, view = outcome.action, outcome.view
    if action.kind in (ActionKind.RELINK, ActionKind.LINK) or view is None:
        return action.remote_id
    return view.link.remote_id


def _known_otherwise(action: Action, link: Link) -> bool:
    """The record has been seen since the line was planned, and holds something else where it writes."""
    seen = link.observed or {}
    return any(effect.remote_field in seen and seen[effect.remote_field] != effect.before for effect in action.pushes)


def _still_before(action: Action, values: object) -> bool:
    """Undo on our side: every pulled effect's value is still the one to take back."""
    held = dict(values)  # type: ignore[call-overload]
    pulls = [effect for effect in action.effects if effect.side is Side.APP]
    return all(held.get(effect.app_field) == effect.before for effect in pulls)


def _mark_stale(outcome: Outcome) -> None:
    outcome.status, outcome.code = LineStatus.STALE, MOVED
