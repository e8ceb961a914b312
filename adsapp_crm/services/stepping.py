"""Carrying out a run: a step works until its time is used up and leaves the run where the next one goes on.

Nothing here decides what is synced; that is ``crm.engine``.
"""

from __future__ import annotations

import enum
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import requests
from django.db import Error as DatabaseError
from django.db.models import Count, F
from django.db.models.functions import Now
from structlog.contextvars import bound_contextvars

from adsapp_crm import wiring
from adsapp_crm.catalogue import explain
from adsapp_crm.fields import UnreadableError
from adsapp_crm.models import (
    Contact,
    CrmConnection,
    CrmFieldMapping,
    CrmPlan,
    CrmPlanLine,
    CrmSyncLog,
)
from adsapp_crm.models.choices import ConnectionStatus, Health, PlanLineStatus, PlanStatus, RunPurpose
from adsapp_crm.models.choices import RunState as RunWord
from adsapp_crm.selectors import database_now
from adsapp_crm.services.connections import block_connection
from adsapp_crm.services.describing import store_fields
from adsapp_crm.services.health import working_health
from adsapp_crm.services.mapping_changes import note_scanned
from adsapp_crm.services.refusals import refuse
from adsapp_crm.services.schedules import late_after
from adsapp_crm.services.sealed import as_trouble
from adsapp_crm.storage import Lease, acquire_lease, kept_alive, let_lapse, release_lease
from adsapp_crm.storage.statistics import Analyst
from adsapp_crm.tenancy import in_organization, organization_context
from crm.engine.context import Ports
from crm.engine.quarantine import begin
from crm.engine.run import advance, take_over
from crm.engine.undo import read_undo, store_undo
from crm.errors import (
    ConfigurationError,
    ConnectionBlockedError,
    CrmError,
    LeaseLostError,
    RateLimitedError,
    TransientError,
    UnexpectedAnswerError,
)
from crm.http.limits import Priority
from crm.mapping.build import BrokenMapping
from crm.model import FieldDefinition, Mode, Phase, RunKind, RunState, RunStatus

log = logging.getLogger(__name__)

STEP_SECONDS: Final = 20.0
"""How long a step goes on by default: far below the broker's visibility timeout."""
MORE_PAGES: Final = 3
"""Statistics are looked at again after the first page of a phase; then after so many times as many, and so on."""
FILLED_AT_ONCE: Final = 1_000
"""Contacts of one transaction that get their match keys."""
RETRY_SECONDS: Final = 60.0
"""How long a run waits after a passing trouble that named no time of its own."""
SCAN: Final = "scan"
"""The stream whose lease owns the cursors. Chosen records are worked on beside it, under claims of their own."""
SCANS: Final = (RunKind.FULL, RunKind.DELTA)
UNASKING: Final = (Phase.GUARD, Phase.FINISH)
"""Phases before which no statistics are refreshed: they ask for no rows by what these hold. Settling fills none."""

_PRIORITIES: Final = {
    RunKind.FULL: Priority.FULL,
    RunKind.DELTA: Priority.DELTA,
    RunKind.MANUAL: Priority.INTERACTIVE,
    RunKind.WEBHOOK: Priority.REALTIME,
}


class Left(enum.StrEnum):
    """How a step left its run."""

    ENDED = "ended"
    MORE = "more"
    """Time was up: step again."""
    PARKED = "parked"
    """It waits for ``CrmSyncLog.resume_at``."""
    BUSY = "busy"
    """Another worker has it."""


class StepFailedError(Exception):
    """What the log shows in place of an unexpected error, whose own words may hold a contact's values."""


@dataclass(frozen=True, slots=True)
class Step:
    left: Left
    status: str
    """The run's status now."""
    has_released: bool = False
    """The lease was given back in the step's last transaction."""


def find_run(run_id: uuid.UUID | str) -> CrmSyncLog:
    """The run in the current organization's context; raises RefusedError (``run.unknown``)."""
    run = CrmSyncLog.objects.filter(pk=run_id).first()
    if run is None:
        raise refuse("run.unknown", "There is no such run.", field="runId", fix="Use the id of a run there is.")
    return run


def stream_of(run: CrmSyncLog) -> str:
    """The stream whose lease a worker of this run holds."""
    return SCAN if run.approved or run.sync_type in SCANS else f"run:{run.pk}"


def step_run(
    organization_id: uuid.UUID | str,
    run_id: uuid.UUID | str,
    *,
    seconds: float = STEP_SECONDS,
    session: requests.Session | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Step:
    """Work on the run until it ends, waits, or ``seconds`` are over or ``stop`` says so (a begun page is finished).

    Must be called outside ``organization_context``. Errors of the CRM end in the run's row: a passing one
    parks it, one that its owner has to act on stops the connection, and so do credentials that no key opens.
    Raises RefusedError (``run.unknown``) and what is a fault of ours; the run stays resumable after a fault of the
    database.
    """
    with bound_contextvars(run_id=str(run_id)):
        end = time.monotonic() + seconds
        try:
            return _step(organization_id, run_id, lambda: time.monotonic() >= end or stop(), session)
        except UnreadableError as error:
            with organization_context(organization_id):
                run = find_run(run_id)
                connection = CrmConnection.objects.get(pk=run.connection_id)
            return Step(Left.ENDED, run.status) if run.completed_at else _fail(connection, run, as_trouble(error))


def _step(
    organization_id: uuid.UUID | str,
    run_id: uuid.UUID | str,
    is_over: Callable[[], bool],
    session: requests.Session | None,
) -> Step:
    with organization_context(organization_id):
        run = find_run(run_id)
        connection = CrmConnection.objects.defer(None).get(pk=run.connection_id)
        if run.completed_at is not None:
            return Step(Left.ENDED, run.status)
        if connection.status == ConnectionStatus.ERROR:
            # Stopped meanwhile: by a token that opens another account, say, which would take every write.
            _end_failed(connection, run, connection.last_error_code or "internal.error")
            return Step(Left.ENDED, RunWord.FAILED)
        lease = acquire_lease(connection, stream_of(run))
        if lease is None:
            return Step(Left.BUSY, run.status)
        begun = _begin(run)
    try:
        with kept_alive(connection, lease) as check_lease:
            if begun is not None:
                step = _work(connection, begun, lease, check_lease, is_over, session)
            else:
                _end_failed(connection, run, "internal.error")
                step = Step(Left.ENDED, RunWord.FAILED)
    except DatabaseError:
        let_lapse(connection, lease)  # not given back: that is how the sweep learns that nobody goes on with the run
        raise
    except BaseException:
        release_lease(connection, lease)
        raise
    if not step.has_released:
        release_lease(connection, lease)
    return step


def _work(
    connection: CrmConnection,
    run: CrmSyncLog,
    lease: Lease,
    check_lease: Callable[[], None],
    is_over: Callable[[], bool],
    session: requests.Session | None,
) -> Step:
    ports: Ports | None = None
    state: RunState | None = None
    calls = 0
    try:
        priority = _PRIORITIES[RunKind(run.sync_type)]
        connector = wiring.connector_of(connection, priority=priority, session=session)
        if run.sync_type == RunKind.FULL and run.phase == Phase.SETTLE and not run.approved:
            _describe(connection, {kind: connector.describe(kind) for kind in run.record_types})
            calls = connector.calls
        with organization_context(str(connection.organization_id)):
            filled = Contact.objects.fill_match_keys(limit=FILLED_AT_ONCE)
            assembled = wiring.assemble(
                connection, lease=lease, worker=lease.owner, priority=priority, session=session, before_call=check_lease
            )
            note_broken(connection, assembled.broken)
        ports = assembled.ports
        if filled == FILLED_AT_ONCE:
            _fill_match_keys(connection)
        if run.purpose == RunPurpose.UNDO and not run.approved and run.plan_id is not None:
            _plan_undo(run, run.plan_id, ports)
        with Analyst() as analyst:
            state = _advance(run, ports, is_over, analyst)
    except LeaseLostError:
        return Step(Left.BUSY, run.status)
    except TransientError as error:
        return _park(connection, run, error)
    except CrmError as error:
        return _fail(connection, run, error)
    except (DatabaseError, UnreadableError):
        raise  # nothing of the page was stored: the next step goes on there, or ``step_run`` ends it
    except Exception as error:
        # Its start stays counted: the next steps find the record that it is about (crm.engine.quarantine).
        # What it says may quote that record: the log gets its kind and its place.
        told = StepFailedError(type(error).__name__).with_traceback(error.__traceback__)
        log.exception("a step of a run failed", exc_info=told, extra={"run_id": str(run.pk)})
        return Step(Left.MORE, RunWord.RUNNING)
    finally:
        calls += ports.connector.calls if ports is not None else 0
        if state is None or state.phase is not Phase.DONE:
            _count_calls(connection, run, calls)
    if state.phase is not Phase.DONE:
        return Step(Left.MORE, state.status)
    _finish(connection, run, state, calls, lease)
    return Step(Left.ENDED, state.status, has_released=True)


def _advance(run: CrmSyncLog, ports: Ports, is_over: Callable[[], bool], analyst: Analyst) -> RunState:
    """Page by page until the run ends or time is up; a new phase asks new questions of tables that have grown.

    So does one that goes on. For rows that statistics know nothing of all indexes are alike to the planner, and it
    takes one by which a page reads everything that the pages before it wrote. Chosen records are too few for that.
    """
    if run.sync_type == RunKind.FULL:  # a delta looks when it comes to a phase that has work
        analyst.refresh()
    if run.phase == Phase.APPLY:
        take_over(str(run.pk), ports)
    phase, stage, pages, refreshed = Phase(run.phase), None, 0, 0
    while True:
        state = advance(str(run.pk), ports)
        if state.phase is Phase.DONE or is_over():
            return state
        pages += 1
        if state.phase is not phase:
            if phase is not Phase.SETTLE and state.phase not in UNASKING and run.sync_type in SCANS:
                analyst.refresh(filling=_is_filling(state))
        elif pages == max(1, MORE_PAGES * refreshed):
            refreshed = pages
            if _is_filling(state) and run.sync_type in SCANS:
                analyst.refresh(filling=True, pages=pages)
        if (state.phase, state.position.get("stage")) != (phase, stage):
            phase, stage, pages, refreshed = state.phase, state.position.get("stage"), 0, 0


def _is_filling(state: RunState) -> bool:
    """It has met what it had not known, and adds rows; what a quiet run does to its rows changes no statistics."""
    counts = state.counts
    return counts.observed > counts.unchanged or counts.planned > 0 or counts.applied > 0


def _fill_match_keys(connection: CrmConnection) -> None:
    """Contacts written past our services get their match keys."""
    filled = FILLED_AT_ONCE
    while filled == FILLED_AT_ONCE:
        with organization_context(str(connection.organization_id)):
            filled = Contact.objects.fill_match_keys(limit=FILLED_AT_ONCE)


def _begin(run: CrmSyncLog) -> CrmSyncLog | None:
    """The run with this start counted, before anything is done, and no longer parked; None when it has failed too often
    to be begun again. In the context in which its lease was taken.
    """
    found = CrmSyncLog.objects.select_for_update().get(pk=run.pk)
    position = begin(Phase(found.phase), RunKind(found.sync_type), found.position)
    if position is None:
        return None
    changes: dict[str, object] = {"position": position}
    if found.status == RunWord.PARKED:
        changes |= {"status": RunWord.RUNNING, "resume_at": None}
    CrmSyncLog.objects.filter(pk=run.pk).update(**changes)
    return found


def _plan_undo(run: CrmSyncLog, plan_id: uuid.UUID, ports: Ports) -> None:
    """The whole plan of an undo is made at once; what cannot be taken back is listed on it."""
    with ports.store.unit() as unit:
        state = unit.load_run(str(run.pk))
    if state.phase is not Phase.SETTLE:
        return
    plan = read_undo(str(run.undoes_id), ports)
    with organization_context(ports.organization_id):
        listed = [
            {"contactId": each.contact_id, "remoteId": each.remote_id, "field": each.app_field, "code": each.code}
            for each in plan.not_undoable
        ]
        CrmPlan.objects.filter(pk=plan_id).update(totals={"notUndoable": listed})
    state.phase, state.position = Phase.GUARD, {"type": 0}
    store_undo(plan, state, ports)


def _describe(connection: CrmConnection, definitions: Mapping[str, Sequence[FieldDefinition]]) -> None:
    """Keep the CRM's own description of its fields as of this full run."""
    with organization_context(str(connection.organization_id)):
        connection.schema = store_fields(connection, definitions)


def note_broken(connection: CrmConnection, broken: Sequence[BrokenMapping]) -> None:
    """Flag the mappings that cannot be used with their code, and take the flag from the others."""
    codes = {each.mapping_id: each.code for each in broken}
    with in_organization(str(connection.organization_id)):
        rows = CrmFieldMapping.objects.filter(connection=connection, deleted_at__isnull=True)
        rows.exclude(pk__in=list(codes)).exclude(broken_code="").update(broken_code="", broken_since=None)
        for mapping_id, code in codes.items():
            rows.filter(pk=mapping_id).exclude(broken_code=code).update(broken_code=code, broken_since=Now())


def _park(connection: CrmConnection, run: CrmSyncLog, error: TransientError) -> Step:
    wait_seconds = error.retry_after_seconds if isinstance(error, RateLimitedError) else RETRY_SECONDS
    resume_at = Now() + timedelta(seconds=max(1.0, wait_seconds))
    with organization_context(str(connection.organization_id)):
        kept = CrmSyncLog.objects.values_list("position", flat=True).get(pk=run.pk)
        kept.pop("starts", None)  # the CRM's trouble, not the page's
        CrmSyncLog.objects.filter(pk=run.pk).update(
            status=RunWord.PARKED, resume_at=resume_at, error_code=error.code, position=kept, updated_at=Now()
        )
        if isinstance(error, RateLimitedError) and error.daily:
            CrmConnection.objects.filter(pk=connection.pk).update(
                parked_until=resume_at, health=Health.WAITING_FOR_QUOTA
            )
    return Step(Left.PARKED, RunWord.PARKED)


def _fail(connection: CrmConnection, run: CrmSyncLog, error: CrmError) -> Step:
    payload = error.payload if isinstance(error, UnexpectedAnswerError) else ""
    _end_failed(connection, run, error.code, answer=payload)
    if isinstance(error, ConnectionBlockedError | ConfigurationError):
        block_connection(
            uuid.UUID(str(connection.organization_id)), connection.pk, error, token_version=connection.token_version
        )
    return Step(Left.ENDED, RunWord.FAILED)


def _end_failed(connection: CrmConnection, run: CrmSyncLog, code: str, *, answer: str = "") -> None:
    """``answer``: the shape of what the CRM answered, where nobody understood it."""
    kept = {"errors": [{"code": code, "answer": answer}]} if answer else {}
    with organization_context(str(connection.organization_id)):
        CrmSyncLog.objects.filter(pk=run.pk).update(
            status=RunWord.FAILED, phase=Phase.DONE, error_code=code, completed_at=Now(), updated_at=Now(), **kept
        )
        _drop_rest(run)
        CrmConnection.objects.filter(pk=connection.pk).update(last_sync_at=Now(), last_error_code=code)


def _drop_rest(run: CrmSyncLog) -> None:
    """Lines of a run that failed are planned anew by the next one; held ones still wait for a person."""
    if run.plan_id is None:
        return
    plan = CrmPlan.objects.filter(pk=run.plan_id).exclude(status=PlanStatus.HELD)
    if plan.update(status=PlanStatus.DROPPED, closed_at=Now()):
        CrmPlanLine.objects.filter(plan=run.plan_id, status=PlanLineStatus.PLANNED).update(
            status=PlanLineStatus.DROPPED, settled_at=Now()
        )


def _count_calls(connection: CrmConnection, run: CrmSyncLog, calls: int) -> None:
    if calls:
        with organization_context(str(connection.organization_id)):
            CrmSyncLog.objects.filter(pk=run.pk).update(api_calls=F("api_calls") + calls)


def _finish(connection: CrmConnection, run: CrmSyncLog, state: RunState, calls: int, lease: Lease) -> None:
    """What the connection's page says after a run has ended; with it the lease is given back."""
    with organization_context(str(connection.organization_id)):
        told: dict[str, object] = {"api_calls": F("api_calls") + calls}
        if run.plan_id and (state.counts.planned or state.approved):
            told["errors"] = _noted(run.plan_id)
        CrmSyncLog.objects.filter(pk=run.pk).update(**told)
        changes: dict[str, object] = {"last_sync_at": Now()}
        if state.status is RunStatus.COMPLETED and not state.dry_run:
            changes |= {"last_success_at": Now(), "last_error": "", "last_error_code": "", "parked_until": None}
            changes |= {"late_at": late_after(connection, database_now()) if connection.schedule else None}
            waiting = CrmPlan.objects.filter(connection=connection, status=PlanStatus.HELD)
            whole_first = state.first_sync and state.limit is None and not waiting.exists()
            if whole_first:  # nothing had to be held: there was nothing to approve
                changes |= {"first_sync_approved_at": Now(), "first_sync_approved_by": run.actor}
            if whole_first or connection.first_sync_approved_at is not None:
                changes["health"] = Health.HEALTHY if whole_first else working_health()
        elif state.status is RunStatus.HELD:
            changes["health"] = Health.HELD
        CrmConnection.objects.filter(pk=connection.pk, status=ConnectionStatus.ACTIVE).update(**changes)
        whole = state.kind is RunKind.FULL and state.limit is None and not (state.dry_run or state.approved)
        if whole and state.status is RunStatus.COMPLETED and connection.mode == Mode.SYNC:
            note_scanned(connection, state.record_types, run.started_at)
        release_lease(connection, lease)


def _noted(plan_id: uuid.UUID) -> list[dict[str, object]]:
    """The codes of the plan's lines that did not work, each once with its number of records."""
    failed = CrmPlanLine.objects.filter(
        plan=plan_id, status__in=[PlanLineStatus.FAILED, PlanLineStatus.UNKNOWN]
    ).exclude(code="")
    found = failed.values_list("code").annotate(records=Count("id")).order_by("-records", "code")[:100]
    noted: list[dict[str, object]] = []
    for code, records in found:
        entry = explain(code)
        texts = {"title": str(entry.title), "detail": str(entry.cause), "fix": str(entry.fix)}
        noted.append({"code": code, "records": records, **texts})
    return noted
