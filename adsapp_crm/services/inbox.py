"""The inbox of webhook events: stored once, taken together, turned into a run that reads the records again.

An event says which record to look at, never what is in it. A connection's events are read again by one run at a
time: the first event of an idle connection starts it at once, what arrives meanwhile waits for its end and is then
taken together, each record once. So there is at most one pending refetch of a record, however many events name it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import requests
from django.db import connection as database
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from adsapp_crm import wiring
from adsapp_crm.models import CrmConnection, CrmPlanLine, CrmSyncLog, CrmSyncState, CrmWebhookEvent, uuid7
from adsapp_crm.models.choices import (
    ConnectionStatus,
    DeliveryStatus,
    LinkStatus,
    PlanLineStatus,
    RunState,
    RunTrigger,
)
from adsapp_crm.selectors import database_now
from adsapp_crm.services import syncing
from adsapp_crm.services.erasure import erase_contact
from adsapp_crm.services.refusals import refuse
from adsapp_crm.services.sealed import readable
from adsapp_crm.tenancy import organization_context
from crm.errors import CrmError
from crm.http.limits import Priority
from crm.model import RemoteState, RunKind
from crm.registry import ChangeHint, HintKind

MOST_RECORDS: Final = 200
"""One run takes at most a page."""
MOST_EVENTS: Final = 2_000
MOST_ATTEMPTS: Final = 3
REPLAYED: Final = (DeliveryStatus.FAILED, DeliveryStatus.DONE, DeliveryStatus.COALESCED, DeliveryStatus.IGNORED)
"""What has been settled and can be read again."""
ACTOR: Final = "webhook"
SEEN_SECONDS: Final = 60
"""How exact ``CrmWebhook.last_event_at`` is."""
ERASE_AGAIN_SECONDS: Final = 60.0
ERASE_AGAIN_LATEST_SECONDS: Final = 3600.0
"""An erasure whose record the CRM did not tell of is asked for again after so long, each time after twice as long."""
BURST_SECONDS: Final = 0.5
"""Between the end of a refetch and the next one while events keep coming: a burst is read in few runs, an event of an
idle connection waits for nothing."""

# One message to the server, so one round trip, and where no transaction is open one of its own: the organization first,
# then what is done in it.
_STORE: Final = """
SELECT set_config('app.org', %(organization)s::text, true);
WITH place AS (
  SELECT c.id, c.organization_id, c.first_sync_approved_at FROM crm_connections c
  WHERE c.organization_id = %(organization)s AND c.id = %(connection)s AND c.status <> 'disconnected'
    AND (%(account)s::text IS NULL OR c.remote_account_id = %(account)s)
    AND (NOT %(of_app)s OR c.app_registration_id IS NOT DISTINCT FROM %(registration)s::uuid)
    AND (%(webhook)s::uuid IS NULL OR EXISTS (SELECT FROM crm_webhooks w
      WHERE w.organization_id = %(organization)s AND w.id = %(webhook)s AND w.connection_id = c.id
        AND w.status <> 'removed'))
),
seen AS (
  UPDATE crm_webhooks w SET last_event_at = clock_timestamp() FROM place
  WHERE w.organization_id = place.organization_id AND w.id = %(webhook)s::uuid
    AND (w.last_event_at IS NULL OR w.last_event_at < clock_timestamp() - make_interval(secs => %(seen_seconds)s))
),
stored AS (
  INSERT INTO crm_webhook_events (id, organization_id, connection_id, webhook_id, event_key, event_type, record_type,
    remote_id, details, status, code, attempts, occurred_at, received_at)
  SELECT d.id, place.organization_id, place.id, %(webhook)s::uuid, d.event_key, d.event_type, d.record_type,
    d.remote_id, d.details,
    CASE WHEN place.first_sync_approved_at IS NULL AND d.event_type <> 'erased' THEN 'ignored' ELSE 'received' END,
    '', 0, d.occurred_at, clock_timestamp()
  FROM place, jsonb_to_recordset(%(events)s::jsonb) AS d (id uuid, event_key text, event_type text,
    record_type text, remote_id text, details jsonb, occurred_at timestamptz)
  ON CONFLICT (organization_id, connection_id, event_key) DO NOTHING
  RETURNING status
)
SELECT EXISTS (SELECT FROM place), count(*), count(*) FILTER (WHERE status = 'received'),
  EXISTS (SELECT FROM crm_webhook_events e WHERE e.organization_id = %(organization)s
    AND e.connection_id = %(connection)s AND e.status = 'received' AND e.run_id IS NULL)
FROM stored
"""


@dataclass(frozen=True, slots=True)
class Stored:
    new: int
    """Events that were not there before."""
    wakes: bool
    """Nobody knows yet that there is something to read: send ``tasks.refetch``."""


@dataclass(frozen=True, slots=True)
class App:
    """The app that a delivery came by; ``registration_id`` None is this installation's."""

    registration_id: uuid.UUID | None


def store(
    organization_id: uuid.UUID,
    connection_id: uuid.UUID,
    remote_account_id: str | None,
    hints: Sequence[ChangeHint],
    *,
    webhook_id: uuid.UUID | None = None,
    app: App | None = None,
) -> Stored | None:
    """Keep events of one account, each once; where there are none (no account) only that the address was used.

    None, and nothing kept, when the connection is disconnected, is not pinned to that account, or belongs to another
    app than ``app``, or the subscription was removed. Before the connection's first sync was approved events are kept
    as ignored: that sync reads everything. An erasure always waits. A burst of deliveries comes by here, so it costs
    one round trip, in a transaction of its own where none is open.
    """
    events = [
        {
            "id": str(uuid7()),
            "event_key": hint.event_key,
            "event_type": hint.kind.value,
            "record_type": hint.record_type,
            "remote_id": hint.remote_id,
            "details": {"formerIds": list(hint.former_ids), "maybeOurs": hint.maybe_ours},
            "occurred_at": hint.at.isoformat() if hint.at else None,
        }
        for hint in hints
    ]
    with database.cursor() as cursor:
        cursor.execute(
            _STORE,
            {
                "organization": organization_id,
                "connection": connection_id,
                "account": remote_account_id,
                "of_app": app is not None,
                "registration": app.registration_id if app is not None else None,
                "webhook": webhook_id,
                "events": json.dumps(events),
                "seen_seconds": SEEN_SECONDS,
            },
        )
        cursor.nextset()
        found, new, received, waited = cursor.fetchone()
    return Stored(new, bool(received) and not waited) if found else None


def start_refetch(organization_id: uuid.UUID, connection_id: uuid.UUID) -> uuid.UUID | None:
    """A run over the records that waiting events name, or None: nothing waits, one is under way, or none may start."""
    with organization_context(organization_id, actor=ACTOR):
        # No key: what is delivered meanwhile refers to this row, and must not wait.
        row = CrmConnection.objects.select_for_update(no_key=True).filter(pk=connection_id).first()
        if row is None or row.status != ConnectionStatus.ACTIVE or row.first_sync_approved_at is None:
            return None
        if CrmSyncLog.objects.filter(connection=row, trigger=RunTrigger.WEBHOOK, completed_at__isnull=True).exists():
            return None
        chosen = _choose(connection_id)
        if not chosen:
            return None
        first = next(iter(chosen.values()))[0]
        remote_ids = [
            remote_id
            for events in chosen.values()
            for event in events
            for remote_id in (event.remote_id, *event.details.get("formerIds", []))
        ]
        if not row.mappings.filter(record_type=first.record_type, deleted_at__isnull=True).exists():
            _close(CrmWebhookEvent.objects.filter(pk__in=_ids(chosen)), DeliveryStatus.IGNORED)
            return None
        run_id = syncing.start_run(
            organization_id,
            connection_id,
            RunKind.WEBHOOK,
            trigger=RunTrigger.WEBHOOK,
            actor=ACTOR,
            remote_ids=remote_ids,
        )
        CrmSyncLog.objects.filter(pk=run_id).update(record_types=[first.record_type])
        kept = [_keeper(events).pk for events in chosen.values()]
        taken = CrmWebhookEvent.objects.filter(pk__in=_ids(chosen))
        taken.update(run_id=run_id)
        _close(taken.exclude(pk__in=kept), DeliveryStatus.COALESCED)
        return run_id


def settle(organization_id: uuid.UUID, connection_id: uuid.UUID, *, session: requests.Session | None = None) -> bool:
    """Close the events whose run has ended; True when others wait to be taken.

    An event goes back to the inbox when its run failed, or when its record could not be written because somebody else
    was at work on it; three times at most. What the CRM says was erased is erased here too; where the CRM does not
    tell, the event stays with its run and is asked about again later, however often. Must be called outside
    ``organization_context``.
    """
    with organization_context(organization_id, actor=ACTOR):
        held = _open(connection_id).filter(run_id__isnull=False)
        runs = CrmSyncLog.objects.filter(pk__in=held.values("run_id"), completed_at__isnull=False)
        ended = list(runs.select_related("plan"))
        for run in ended:
            _settle_run(held.filter(run_id=run.pk), run)
        gone = held.exclude(run_id__in=CrmSyncLog.objects.filter(connection=connection_id).values("pk"))
        gone.update(run_id=None)
    if ended:
        _erase(organization_id, connection_id, ended, session)
    with organization_context(organization_id):
        return _open(connection_id).filter(run_id__isnull=True).exists()


def replay(
    connection_id: uuid.UUID, since: datetime, *, only_failed: bool = False, dry_run: bool = False
) -> dict[str, int]:
    """Put settled events back into the inbox; how many by what had become of them.

    In the current organization's context. Reading a record again changes nothing when nothing has changed.
    """
    statuses = (DeliveryStatus.FAILED,) if only_failed else REPLAYED
    rows = CrmWebhookEvent.objects.filter(
        connection=connection_id, status__in=statuses, received_at__gte=since
    ).exclude(remote_id="")
    counts: dict[str, int] = {}
    for status in rows.values_list("status", flat=True).iterator():
        counts[status] = counts.get(status, 0) + 1
    if not dry_run:
        _put_back(rows)
    return counts


def replay_event(event_id: uuid.UUID) -> None:
    """Put one settled event back into the inbox, in the current organization's context.

    Raises RefusedError (``webhook.event_unknown``) for one that is waiting already, or that names no record.
    """
    rows = CrmWebhookEvent.objects.filter(pk=event_id, status__in=REPLAYED).exclude(remote_id="")
    if not _put_back(rows):
        raise refuse("webhook.event_unknown", "There is no settled event with this id.", fix="Reload the page.")


def _put_back(rows: QuerySet[CrmWebhookEvent]) -> int:
    return rows.update(status=DeliveryStatus.RECEIVED, run_id=None, attempts=0, code="", processed_at=None)


# Taking ----------------------------------------------------------------------------------------------------


def _open(connection_id: uuid.UUID) -> QuerySet[CrmWebhookEvent]:
    return CrmWebhookEvent.objects.filter(connection=connection_id, status=DeliveryStatus.RECEIVED)


def _choose(connection_id: uuid.UUID) -> dict[str, list[CrmWebhookEvent]]:
    """Waiting events by record, all of one record type. One that failed before is tried alone."""
    waiting = list(
        _open(connection_id)
        .filter(run_id__isnull=True)
        .only("record_type", "remote_id", "event_type", "details", "attempts")
        .order_by("attempts", "received_at", "id")[:MOST_EVENTS]
    )
    chosen: dict[str, list[CrmWebhookEvent]] = {}
    for event in waiting:
        alone = waiting[0].attempts > 0
        if event.record_type != waiting[0].record_type or (alone and event.remote_id != waiting[0].remote_id):
            continue
        if event.attempts and not alone:
            break
        if event.remote_id in chosen or len(chosen) < MOST_RECORDS:
            chosen.setdefault(event.remote_id, []).append(event)
    return chosen


def _ids(chosen: dict[str, list[CrmWebhookEvent]]) -> list[uuid.UUID]:
    return [event.pk for events in chosen.values() for event in events]


def _keeper(events: Sequence[CrmWebhookEvent]) -> CrmWebhookEvent:
    """The event that stands for all of its record: an erasure if there is one, else the newest."""
    return next((event for event in events if event.event_type == HintKind.ERASED), events[-1])


# Settling --------------------------------------------------------------------------------------------------


def _settle_run(events: QuerySet[CrmWebhookEvent], run: CrmSyncLog) -> None:
    """Erasures stay open: they are carried out whatever became of the run."""
    events = events.exclude(event_type=HintKind.ERASED)
    again = events.filter(attempts__lt=MOST_ATTEMPTS - 1)
    if run.status == RunState.CANCELLED:
        _close(events, DeliveryStatus.FAILED, "run.unfinished")
    elif run.status == RunState.FAILED:
        again.update(run_id=None, attempts=F("attempts") + 1)
        _close(events, DeliveryStatus.FAILED, run.error_code)
    else:
        dropped = CrmPlanLine.objects.filter(plan=run.plan_id, status=PlanLineStatus.DROPPED).exclude(remote_id="")
        again.filter(remote_id__in=dropped.values("remote_id")).update(run_id=None, attempts=F("attempts") + 1)
        _close(events, DeliveryStatus.DONE)


def _close(events: QuerySet[CrmWebhookEvent], status: DeliveryStatus, code: str = "") -> None:
    events.update(status=status, code=code, processed_at=Now())


def _erase(organization_id: uuid.UUID, connection_id: uuid.UUID, runs: Sequence[CrmSyncLog], session: Any) -> None:
    """Forget the people whose records were erased in the CRM, once the CRM itself no longer shows them.

    The run has ended their links already, so that nobody is asked to delete what is gone.
    """
    with organization_context(organization_id):
        held = _open(connection_id).filter(run_id__in=[run.pk for run in runs], event_type=HintKind.ERASED)
        now, ended_at = database_now(), {run.pk: run.completed_at for run in runs}
        events = [event for event in held if event.run_id and _may_ask(event, ended_at[event.run_id], now)]
    if not events:
        return
    try:
        with organization_context(organization_id), readable():
            connection = CrmConnection.objects.defer(None).get(pk=connection_id)
            connection.open_credentials()
        connector = wiring.connector_of(connection, priority=Priority.REALTIME, session=session)
        records = {
            event.remote_id: connector.fetch(event.record_type, [event.remote_id], ())[event.remote_id]
            for event in events
        }
    except CrmError:
        with organization_context(organization_id):
            ids = [event.pk for event in events]
            CrmWebhookEvent.objects.filter(pk__in=ids).update(attempts=F("attempts") + 1)
        return
    with organization_context(organization_id, actor=ACTOR):
        for event in events:
            row = CrmWebhookEvent.objects.filter(pk=event.pk)
            if records[event.remote_id].state is RemoteState.LIVE:
                _close(row, DeliveryStatus.DONE)
                continue
            named = Q(connection=connection_id, crm_record_type=event.record_type, crm_record_id=event.remote_id)
            ended = Q(state=LinkStatus.UNLINKED, contact__deleted_at__isnull=True)  # a person said: not this contact's
            for link in CrmSyncState.objects.filter(named).exclude(ended):
                erase_contact(link.contact_id)
            connection.observations.filter(record_type=event.record_type, remote_id=event.remote_id).delete()
            _close(row, DeliveryStatus.DONE)


def _may_ask(event: CrmWebhookEvent, ended_at: datetime | None, now: datetime) -> bool:
    """Of an event of a run that has ended; the more often the CRM did not tell, the later."""
    if ended_at is None or event.attempts == 0:
        return True
    doubled = ERASE_AGAIN_SECONDS * 2 ** min(event.attempts - 1, 16)
    latest = ERASE_AGAIN_LATEST_SECONDS * event.attempts  # since the run's end, not since the last time
    return now >= ended_at + timedelta(seconds=min(doubled, latest))
