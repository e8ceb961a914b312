"""A contact that was changed here reaches the CRMs within seconds.

The outbox is the history that a trigger writes with every change, in the change's own transaction. Who changes
contacts announces it, and after the commit each connection is asked what it has to do (``push_wanted``). Writes that
nobody announces (bulk updates, SQL), and messages that were lost, are found by the sweep. Many due contacts at once
are the bulk stream's: a delta begins at once and sends them in batches, behind the delta's brakes and with its share of
the budget; the next one only when as many have been changed since it began.
"""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from django.db import connection as database
from django.db import transaction
from django.db.models import Q
from django.dispatch import Signal

from adsapp_crm.models import CrmConnection, CrmSyncLog
from adsapp_crm.models.choices import ConnectionStatus, RunTrigger
from adsapp_crm.selectors import database_now
from adsapp_crm.services import syncing
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.services.schedules import schedule_of
from adsapp_crm.services.stepping import SCANS
from adsapp_crm.tenancy import current_organization, organization_context
from crm.model import RunKind

REALTIME_SETTING: Final = "realtime"
"""Key of ``CrmConnection.settings``: false leaves the connection's changes to the schedule's deltas."""
MOST_CONTACTS: Final = 200
"""More due contacts of one connection are the bulk stream's."""
RECENT_SECONDS: Final = 120
"""How far back is looked at an announcement: behind a bulk load there may be many contacts to look through."""
WINDOW_SECONDS: Final = 1800
"""How far back the sweep looks: two deltas. After that the delta has seen it."""
MOST_TRIES: Final = 3
"""A contact that is still due after so many runs is left to the delta."""

push_wanted: Final = Signal()
"""Sent after the commit with ``connection_id``: contacts of its organization may be due."""


@dataclass(frozen=True, slots=True)
class Push:
    """A run that was stored."""

    run_id: uuid.UUID
    in_bulk: bool
    """A delta, to be worked on behind other loads."""


_CHANGED: Final = """
SELECT k.id::text, k.updated_at FROM contacts k
JOIN crm_connections c ON c.organization_id = k.organization_id AND c.id = %(connection)s
WHERE k.organization_id = %(organization)s
  AND k.updated_at > clock_timestamp() - make_interval(secs => %(window)s)
  AND (
    EXISTS (SELECT FROM crm_sync_state l
      WHERE l.organization_id = %(organization)s AND l.contact_id = k.id AND l.connection_id = %(connection)s
        AND l.state IN ('live', 'pending') AND l.excluded_at IS NULL AND k.version > l.synced_version)
    OR (k.deleted_at IS NULL AND k.merged_into_id IS NULL AND k.erased_at IS NULL AND c.create_in_crm
      AND NOT EXISTS (SELECT FROM crm_sync_state l
        WHERE l.organization_id = %(organization)s AND l.contact_id = k.id AND l.connection_id = %(connection)s)))
ORDER BY k.updated_at, k.id LIMIT %(limit)s
"""

_ANSWERED: Final = """
SELECT l.contact_id::text, max(q.answered_at) FROM crm_conflicts q
JOIN crm_sync_state l ON l.organization_id = q.organization_id AND l.id = q.link_id
WHERE q.organization_id = %(organization)s AND q.connection_id = %(connection)s
  AND q.answered_at > clock_timestamp() - make_interval(secs => %(window)s)
  AND l.due AND l.state IN ('live', 'pending') AND l.excluded_at IS NULL
GROUP BY l.contact_id ORDER BY 1 LIMIT %(limit)s
"""


def announce_changes() -> None:
    """Have the CRMs told after the commit; called in the transaction that changed contacts. Repeats cost nothing."""
    asked = {getattr(entry[1], "args", (None,))[0] for entry in database.run_on_commit}
    for connection_id in _syncing_connections():
        if connection_id not in asked:
            transaction.on_commit(partial(_want_push, connection_id), robust=True)


def connections_to_ask() -> list[uuid.UUID]:
    """Connections of the current organization for which contacts may be due."""
    return [uuid.UUID(each) for each in _syncing_connections()]


def has_due(connection_id: uuid.UUID) -> bool:
    """Whether a push would start, in the current organization's context."""
    return 0 < len(_due_contacts(connection_id, RECENT_SECONDS)) <= MOST_CONTACTS


def start_push(organization_id: uuid.UUID, connection_id: uuid.UUID, *, seconds: int = RECENT_SECONDS) -> Push | None:
    """A run over the contacts that changed here within ``seconds``; a delta where they are more than a page.

    None when nothing is due, before the first sync was approved, and while an earlier push is on its way: its end asks
    again. More than a page also waits for the CRM's quota, for quiet hours to pass and for a scan under way to end.
    """
    with organization_context(organization_id, actor="service:realtime"):
        row = CrmConnection.objects.select_for_update(no_key=True).filter(pk=connection_id).first()
        if row is None or row.status != ConnectionStatus.ACTIVE or row.first_sync_approved_at is None:
            return None
        if row.settings.get(REALTIME_SETTING) is False:
            return None
        pushes = CrmSyncLog.objects.filter(
            connection=row, trigger=RunTrigger.APP_CHANGE, sync_type=RunKind.MANUAL, completed_at__isnull=True
        )
        if pushes.exists():
            return None
        due = _due_contacts(connection_id, seconds)
        in_bulk = len(due) > MOST_CONTACTS
        if not due or (in_bulk and not _takes_bulk(row, seconds)):
            return None
        try:
            run_id = syncing.start_run(
                organization_id,
                connection_id,
                RunKind.DELTA if in_bulk else RunKind.MANUAL,
                trigger=RunTrigger.APP_CHANGE,
                actor="service:realtime",
                contact_ids=() if in_bulk else due,
            )
        except RefusedError:
            return None  # nothing is mapped, or a scan is under way
        return Push(run_id, in_bulk)


def _takes_bulk(row: CrmConnection, seconds: int) -> bool:
    """Whether a delta may begin now for more than a page that no scan has seen: what one has left due waits."""
    now = database_now()
    if (row.parked_until is not None and row.parked_until > now) or schedule_of(row).is_quiet(now):
        return False
    scans = CrmSyncLog.objects.filter(connection=row, sync_type__in=SCANS, dry_run=False).order_by("-started_at")
    last = scans.values_list("started_at", flat=True).first()
    since_last = seconds if last is None else min(seconds, (now - last).total_seconds())
    return len(_changed(uuid.UUID(str(row.pk)), since_last)) > MOST_CONTACTS


def _want_push(connection_id: str) -> None:
    push_wanted.send(sender=None, connection_id=connection_id)


def _syncing_connections() -> list[str]:
    rows = CrmConnection.objects.filter(status=ConnectionStatus.ACTIVE, first_sync_approved_at__isnull=False)
    said = f"settings__{REALTIME_SETTING}"
    rows = rows.filter(Q(**{f"{said}__isnull": True}) | Q(**{said: True}))  # a key that is missing says nothing: on
    return [str(each) for each in rows.values_list("pk", flat=True)]


def _due_contacts(connection_id: uuid.UUID, seconds: float) -> list[str]:
    """Oldest change first; one more than a page when there are more."""
    changed = _changed(connection_id, seconds)
    tries = _tries(connection_id, changed)
    return [contact_id for contact_id in changed if tries[contact_id] < MOST_TRIES]


def _changed(connection_id: uuid.UUID, seconds: float) -> dict[str, datetime]:
    asked: dict[str, Any] = {
        "organization": current_organization(),
        "connection": connection_id,
        "window": seconds,
        "limit": MOST_CONTACTS + 1,
    }
    changed: dict[str, datetime] = {}
    with database.cursor() as cursor:
        for question in (_ANSWERED, _CHANGED):
            cursor.execute(question, asked)
            changed |= dict(cursor.fetchall())
    return changed


def _tries(connection_id: uuid.UUID, changed: dict[str, datetime]) -> Counter[str]:
    """How many of the last pushes took a contact as it is now."""
    pushes = CrmSyncLog.objects.filter(connection=connection_id, trigger=RunTrigger.APP_CHANGE)
    tries: Counter[str] = Counter()
    for contact_ids, started_at in pushes.order_by("-started_at").values_list("contact_ids", "started_at")[:10]:
        tries.update(each for each in contact_ids if each in changed and changed[each] < started_at)
    return tries
