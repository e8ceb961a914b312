"""The five jobs of the schedule. Each does its work once per slot of time, whoever fires it.

Beat, the cron address and a second beat may all fire the same job: the first one claims the slot's row, by
the database's clock, and the others find it taken. A claim whose worker died is given away after a while.
What a job finds to do it leaves as rows and returns as ids; the caller hands those to tasks.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.sessions.models import Session
from django.db import connection as database
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from adsapp_crm import conf
from adsapp_crm.models import (
    ContactChange,
    CrmAudit,
    CrmConflict,
    CrmConnectionEvent,
    CrmIntent,
    CrmJobSlot,
    CrmLease,
    CrmLedgerEntry,
    CrmMessage,
    CrmNotice,
    CrmOAuthState,
    CrmPlan,
    CrmPlanLine,
    CrmSyncLog,
    CrmSyncState,
    CrmWebhookEvent,
    CrmWebhookRefusal,
    IdempotencyKey,
    OrganizationModel,
)
from adsapp_crm.models.choices import (
    ConnectionStatus,
    DeliveryStatus,
    PlanStatus,
    QuestionStatus,
    RunState,
    RunTrigger,
    WriteStatus,
)
from adsapp_crm.selectors import (
    OpenConnection,
    database_now,
    open_connections,
    organization_ids,
    unfinished_runs,
)
from adsapp_crm.services import syncing
from adsapp_crm.services.audits import start_audits
from adsapp_crm.services.left_grants import end_left_grants
from adsapp_crm.services.record_actions import end_creates
from adsapp_crm.services.refusals import RefusedError, refuse
from adsapp_crm.services.schedules import put_back, take_due
from adsapp_crm.services.stepping import stream_of
from adsapp_crm.services.telling import watch_late
from adsapp_crm.services.tokens import renew_idle_grants, revoke_left_behind
from adsapp_crm.tenancy import organization_context
from crm.model import RunKind

ABANDONED_AFTER: Final = timedelta(minutes=10)
"""A job that was claimed and not finished by then is done by the next one that fires."""
BATCH_ROWS: Final = 1000
MOST_BATCHES: Final = 50
"""Of one table and organization in one cleanup; the next day takes the rest."""
QUIET_FOR: Final = timedelta(seconds=45)
"""A run that stored nothing for so long waits for a message that was lost: a page takes half a minute at most."""
OFFERED_FOR: Final = timedelta(seconds=2)
"""A run is offered to the workers once, should two sweeps come at the same time."""
DUE_CONTACTS: Final = 200
"""A run over chosen contacts takes them at once, so each takes a page."""
MOST_DUE_PAGES: Final = 50
"""Of one connection at a time; the next hour takes the rest, once they are through."""


class Job(enum.StrEnum):
    DELTA_SYNC = "delta-sync"
    HEALTH_CHECK = "health-check"
    DETECT_CONFLICTS = "detect-conflicts"
    RETRY_FAILED = "retry-failed"
    CLEANUP = "cleanup"


SLOT_SECONDS: Final[Mapping[Job, int]] = {
    Job.DELTA_SYNC: 900,
    Job.HEALTH_CHECK: 300,
    Job.DETECT_CONFLICTS: 3600,
    Job.RETRY_FAILED: 3600,
    Job.CLEANUP: 86_400,
}


@dataclass(slots=True)
class Outcome:
    """What a job did, and what is left for tasks: runs to step, connections to check, audits to work on."""

    counts: dict[str, int] = field(default_factory=dict)
    run_ids: list[str] = field(default_factory=list)
    connection_ids: list[str] = field(default_factory=list)
    audit_ids: list[str] = field(default_factory=list)


def job_named(name: str) -> Job:
    try:
        return Job(name)
    except ValueError:
        raise refuse(
            "job.unknown", "There is no job of this name.", field="job", fix=f"Use one of {', '.join(Job)}."
        ) from None


def claim_slot(job: Job) -> uuid.UUID | None:
    """The current slot's row for whoever is first, None for everybody else. Commits."""
    seconds = SLOT_SECONDS[job]
    with database.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO crm_job_slots AS taken (id, kind, slot, claimed_at, result)
            SELECT gen_random_uuid(), %(kind)s,
                   to_char(to_timestamp(floor(extract(epoch FROM clock_timestamp()) / %(seconds)s) * %(seconds)s)
                           AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                   clock_timestamp(), '{}'::jsonb
            ON CONFLICT (kind, connection_id, slot) DO UPDATE SET claimed_at = clock_timestamp()
            WHERE taken.finished_at IS NULL
              AND taken.claimed_at < clock_timestamp() - make_interval(secs => %(abandoned)s)
            RETURNING id
            """,
            {"kind": job.value, "seconds": seconds, "abandoned": ABANDONED_AFTER.total_seconds()},
        )
        row = cursor.fetchone()
    return row[0] if row else None


def give_slot_back(slot_id: uuid.UUID) -> None:
    """For a claim whose work could not be handed on: the next one that fires does it."""
    CrmJobSlot.objects.filter(pk=slot_id, finished_at__isnull=True).delete()


def do_job(slot_id: uuid.UUID) -> Outcome | None:
    """Do the work of a claimed slot; None when it was done already."""
    slot = CrmJobSlot.objects.filter(pk=slot_id, finished_at__isnull=True).first()
    if slot is None:
        return None
    outcome = _WORK[Job(slot.kind)]()
    CrmJobSlot.objects.filter(pk=slot_id).update(finished_at=Now(), result=outcome.counts)
    return outcome


def delta_sync() -> Outcome:
    """The scan that each connection's schedule has due: a delta mostly, once a week a full sync in its place.

    For every active connection whose first sync was approved and that is not parked.
    """
    outcome = Outcome({"started": 0, "busy": 0})
    now = database_now()
    for each in _working_connections(now):
        with organization_context(each.organization_id, actor="beat"):
            kind = take_due(each.connection_id, now)
        if kind is not None and not _start(outcome, each, kind, RunTrigger.BEAT):
            with organization_context(each.organization_id, actor="beat"):
                put_back(each.connection_id, kind, now)
    return outcome


def health_check() -> Outcome:
    """Every connection that should work is asked; each by a task of its own, since a CRM may be slow to answer.

    Those that have become late are told of.
    """
    ids = [
        str(each.connection_id)
        for each in open_connections()
        if each.status in (ConnectionStatus.ACTIVE, ConnectionStatus.ERROR)
    ]
    late = watch_late(database_now())
    return Outcome({"connections": len(ids), "late": late}, connection_ids=ids)


def detect_conflicts() -> Outcome:
    """Bring the links' conflict flags in line with the questions that are open, and begin each connection's audit."""
    outcome = Outcome({"open": 0, "flagged": 0, "cleared": 0, "audits": 0})
    for organization_id in organization_ids():
        with organization_context(organization_id, actor="beat"):
            asked = CrmConflict.objects.filter(status__in=[QuestionStatus.OPEN, QuestionStatus.ANSWERED])
            outcome.counts["open"] += asked.count()
            linked = asked.filter(link__isnull=False).values("link_id")
            outcome.counts["flagged"] += CrmSyncState.objects.filter(pk__in=linked, conflict_detected=False).update(
                conflict_detected=True
            )
            stale = CrmSyncState.objects.filter(conflict_detected=True).exclude(pk__in=linked)
            outcome.counts["cleared"] += stale.update(conflict_detected=False, conflict_details=None)
    now = database_now()
    for each in _working_connections(now):
        with organization_context(each.organization_id, actor="beat"):
            begun = start_audits(each.connection_id, now)
        outcome.audit_ids += map(str, begun)
    outcome.counts["audits"] = len(outcome.audit_ids)
    return outcome


def retry_failed() -> Outcome:
    """Runs over the records whose next attempt has come, at every connection that has such, a page each.

    In turns: one connection's second page comes after everybody's first. Where the runs of the hour before are not
    through yet, none is added to them.
    """
    outcome = Outcome({"started": 0, "busy": 0})
    now = database_now()
    turns: list[tuple[OpenConnection, tuple[datetime, uuid.UUID] | None]] = []
    for each in _working_connections(now):
        with organization_context(each.organization_id, actor="beat"):
            end_creates(each.connection_id)
            retrying = CrmSyncLog.objects.filter(
                connection=each.connection_id, trigger=RunTrigger.RETRY, actor="beat", completed_at__isnull=True
            )
            if retrying.exists():
                outcome.counts["busy"] += 1
            else:
                turns.append((each, None))
    for _ in range(MOST_DUE_PAGES):
        pages = [(each, _retry_page(outcome, each, now, after)) for each, after in turns]
        turns = [(each, after) for each, after in pages if after is not None]
    return outcome


def _retry_page(
    outcome: Outcome, place: OpenConnection, now: datetime, after: tuple[datetime, uuid.UUID] | None
) -> tuple[datetime, uuid.UUID] | None:
    """A run over the next page of what was due at ``now``; where it ends, None when nothing comes after it."""
    with organization_context(place.organization_id, actor="beat"):
        due = CrmSyncState.objects.filter(
            connection=place.connection_id, next_attempt_at__lte=now, excluded_at__isnull=True
        )
        if after is not None:
            due = due.filter(
                Q(next_attempt_at__gt=after[0]) | Q(next_attempt_at=after[0], pk__gt=after[1]),
                next_attempt_at__gte=after[0],
            )
        page = list(
            due.order_by("next_attempt_at", "id").values_list("next_attempt_at", "id", "contact_id")[:DUE_CONTACTS]
        )
    contacts = tuple(dict.fromkeys(str(contact_id) for _at, _id, contact_id in page))
    if contacts and not _start(outcome, place, RunKind.MANUAL, RunTrigger.RETRY, contact_ids=contacts):
        return None
    at, link_id, _contact = page[-1] if len(page) == DUE_CONTACTS else (None, None, None)
    return (at, link_id) if at is not None and link_id is not None else None


def runs_to_resume() -> list[uuid.UUID]:
    """Runs that nobody works on and whose time has come, by the database's clock; each is offered once a while."""
    now = database_now()
    found = []
    for each in unfinished_runs():
        if each.resume_at is not None and each.resume_at > now:
            continue
        with organization_context(each.organization_id):
            run = CrmSyncLog.objects.filter(pk=each.run_id, updated_at__lt=now - OFFERED_FOR).first()
            if run is not None and (run.updated_at < now - QUIET_FOR or _has_lost_its_worker(run)):
                CrmSyncLog.objects.filter(pk=run.pk).update(updated_at=Now())
                found.append(run.pk)
    return found


def _has_lost_its_worker(run: CrmSyncLog) -> bool:
    """A worker that leaves gives its lease back; one that died is still named in a lease that has run out."""
    lapsed = CrmLease.objects.filter(connection=run.connection_id, stream=stream_of(run), expires_at__lte=Now())
    return lapsed.exclude(owner="").exists()


def _working_connections(now: datetime) -> Iterator[OpenConnection]:
    for each in open_connections():
        parked = each.parked_until is not None and each.parked_until > now
        if each.status == ConnectionStatus.ACTIVE and each.first_sync_approved_at and not parked:
            yield each


def _start(
    outcome: Outcome, place: OpenConnection, kind: RunKind, trigger: RunTrigger, *, contact_ids: tuple[str, ...] = ()
) -> bool:
    try:
        run = syncing.start_run(
            place.organization_id, place.connection_id, kind, trigger=trigger, actor="beat", contact_ids=contact_ids
        )
    except RefusedError:
        outcome.counts["busy"] += 1
        return False
    outcome.counts["started"] += 1
    outcome.run_ids.append(str(run))
    return True


def cleanup() -> Outcome:
    """Remove what is older than its retention, by batches: no statement holds many rows for long.

    Grants are seen to on the way: those that idleness would end are renewed, those left behind are revoked.
    """
    outcome = Outcome()
    outcome.counts["grants_renewed"] = renew_idle_grants().renewed
    outcome.counts["grants_revoked"] = revoke_left_behind().revoked + end_left_grants().revoked
    for organization_id in organization_ids():
        for name, (model, condition) in _expired().items():
            removed = _delete(organization_id, model, condition)
            outcome.counts[name] = outcome.counts.get(name, 0) + removed
    old = Now() - timedelta(days=conf.log_retention_days())
    old_slots = CrmJobSlot.objects.filter(claimed_at__lt=old, finished_at__isnull=False)
    outcome.counts["job_slots"] = _delete_rows(old_slots)
    outcome.counts["webhook_refusals"] = _delete_rows(CrmWebhookRefusal.objects.filter(last_at__lt=old))
    outcome.counts["sessions"] = _delete_rows(Session.objects.filter(expire_date__lt=Now()))
    outcome.counts["log_in_attempts"] = sum(
        _delete_rows(model.objects.filter(attempt_time__lt=old))
        for model in (AccessAttempt, AccessFailureLog, AccessLog)
    )
    return outcome


def _expired() -> dict[str, tuple[type[OrganizationModel], Q]]:
    """What goes, in an order in which nothing is left pointing to what is gone."""
    logs = Now() - timedelta(days=conf.log_retention_days())
    ledger = Now() - timedelta(days=conf.ledger_retention_days())
    ended = [RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED, RunState.HELD]
    closed = [PlanStatus.APPLIED, PlanStatus.DROPPED]
    settled = [WriteStatus.CONFIRMED, WriteStatus.REJECTED, WriteStatus.RESOLVED]
    handled = ~Q(status=DeliveryStatus.RECEIVED)
    return {
        "plan_lines": (CrmPlanLine, Q(plan__status__in=closed, plan__closed_at__lt=logs)),
        "plans": (CrmPlan, Q(status__in=closed, closed_at__lt=logs)),
        "runs": (CrmSyncLog, Q(status__in=ended, completed_at__lt=logs)),
        "intents": (CrmIntent, Q(status__in=settled, settled_at__lt=logs)),
        "webhook_events": (CrmWebhookEvent, handled & Q(received_at__lt=logs)),
        "conflicts": (CrmConflict, Q(status=QuestionStatus.CLOSED, closed_at__lt=ledger)),
        "ledger": (CrmLedgerEntry, Q(at__lt=ledger)),
        "connection_events": (CrmConnectionEvent, Q(at__lt=ledger)),
        "contact_changes": (ContactChange, Q(at__lt=ledger)),
        "idempotency_keys": (IdempotencyKey, Q(expires_at__lt=Now())),
        "log_ins_begun": (
            CrmOAuthState,
            Q(expires_at__lt=Now() - timedelta(days=1)) & (Q(used_at__isnull=True) | Q(verifier__isnull=True)),
        ),
        "audits": (CrmAudit, Q(completed_at__lt=logs)),
        "messages": (CrmMessage, Q(settled_at__lt=logs)),
        "notices": (CrmNotice, Q(resolved_at__lt=logs, sent_at__isnull=False)),
    }


def _delete(organization_id: uuid.UUID, model: type[OrganizationModel], condition: Q) -> int:
    """Each batch is one statement in a transaction of its own; the database's references decide, not Django's."""
    removed = 0
    for _ in range(MOST_BATCHES):
        with organization_context(organization_id, actor="beat"), database.cursor() as cursor:
            found = model.objects.filter(condition).order_by("pk").values_list("pk", flat=True)
            ids = list(found[:BATCH_ROWS])
            cursor.execute(
                f'DELETE FROM "{model._meta.db_table}" WHERE organization_id = %s AND id = ANY(%s)',  # noqa: S608
                [organization_id, ids],
            )
        removed += len(ids)
        if len(ids) < BATCH_ROWS:
            break
    return removed


def _delete_rows(old: QuerySet[Any]) -> int:
    """The same for a table of no organization."""
    removed = 0
    for _ in range(MOST_BATCHES):
        ids = list(old.order_by("pk").values_list("pk", flat=True)[:BATCH_ROWS])
        removed += old.model._default_manager.filter(pk__in=ids).delete()[0] if ids else 0
        if len(ids) < BATCH_ROWS:
            break
    return removed


_WORK: Final = {
    Job.DELTA_SYNC: delta_sync,
    Job.HEALTH_CHECK: health_check,
    Job.DETECT_CONFLICTS: detect_conflicts,
    Job.RETRY_FAILED: retry_failed,
    Job.CLEANUP: cleanup,
}
