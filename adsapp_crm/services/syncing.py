"""Runs: start one, approve or drop its plan, cancel it, take it back. ``stepping`` carries them out."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

from django.db.models import Q
from django.db.models.functions import Now

from adsapp_crm import wiring
from adsapp_crm.models import Contact, CrmConnection, CrmFieldMapping, CrmPlan, CrmSyncLog, uuid7
from adsapp_crm.models.choices import (
    ConnectionStatus,
    Health,
    PlanLineStatus,
    PlanStatus,
    RunPurpose,
    RunState,
    RunTrigger,
)
from adsapp_crm.services.health import working_health
from adsapp_crm.services.refusals import Refusal, RefusedError, refuse
from adsapp_crm.services.stepping import SCANS, Left, Step, find_run, step_run
from adsapp_crm.tenancy import organization_context
from crm.model import RunKind

__all__ = [
    "Left",
    "RunBusyError",
    "Step",
    "approve_plan",
    "cancel_run",
    "drop_plan",
    "request_undo",
    "start_run",
    "step_run",
]

UNFINISHED: Final = (RunState.RUNNING, RunState.PARKED)


class RunBusyError(RefusedError):
    """A run of this kind is under way; ``run_id`` is its id."""

    def __init__(self, run_id: uuid.UUID) -> None:
        super().__init__(
            [Refusal("run.busy", "A sync of this connection is running.", fix="Wait for it to end, or cancel it.")]
        )
        self.run_id = run_id


def start_run(
    organization_id: uuid.UUID | str,
    connection_id: uuid.UUID | str,
    kind: RunKind,
    *,
    trigger: str = RunTrigger.USER,
    actor: str,
    contact_ids: Sequence[str] = (),
    remote_ids: Sequence[str] = (),
    limit: int | None = None,
    dry_run: bool = False,
) -> uuid.UUID:
    """Store a run to be stepped; returns its id.

    ``limit`` cuts what is applied, never what is read. Raises RunBusyError while another scan runs
    (chosen contacts and records are synced beside one), and RefusedError: ``connection.unknown``,
    ``connection.paused``, ``contact.unknown``, ``contact.empty``, ``config.invalid``.
    """
    with organization_context(organization_id, actor=actor):
        connection = _usable(connection_id)
        if kind in SCANS:
            _refuse_second_scan(connection)
        elif kind is RunKind.MANUAL:
            _check_contacts(contact_ids)
        if limit is not None and limit < 1:
            raise refuse("config.invalid", "The limit is at least 1.", field="limit", fix="Leave it out for no limit.")
        run = _new_run(
            connection,
            kind,
            trigger=trigger,
            actor=actor,
            dry_run=dry_run,
            contact_limit=limit,
            contact_ids=[str(each) for each in dict.fromkeys(contact_ids)],
            remote_ids=list(dict.fromkeys(remote_ids)),
            first_sync=kind in SCANS and connection.first_sync_approved_at is None,
        )
        if run.first_sync:
            _drop_older_plans(connection, run, actor=actor)
            CrmConnection.objects.filter(pk=connection.pk, health=Health.SETTING_UP).update(health=Health.FIRST_SYNC)
        return run.pk


def request_undo(run_id: uuid.UUID | str, *, actor: str) -> uuid.UUID:
    """Store a run whose plan takes another run back; returns its id. Approving that plan does it.

    In the current organization's context. Raises RefusedError: ``run.unknown``, ``run.unfinished``.
    """
    undone = find_run(run_id)
    if undone.completed_at is None:
        raise refuse("run.unfinished", "The run has not ended yet.", fix="Wait for it to end, or cancel it.")
    connection = _usable(undone.connection_id)
    run = _new_run(
        connection,
        RunKind.MANUAL,
        trigger=RunTrigger.UNDO,
        actor=actor,
        purpose=RunPurpose.UNDO,
        undoes=undone,
        dry_run=True,
        record_types=undone.record_types,
    )
    return run.pk


def approve_plan(plan_id: uuid.UUID | str, *, actor: str) -> CrmSyncLog:
    """Approve the lines a person was shown and store the run that applies them, in the current context.

    Raises RunBusyError and RefusedError: ``plan.unknown``, ``plan.closed``, ``connection.paused``.
    """
    # First the connection, as everybody who starts, disconnects or drops: two who lock in another order wait forever.
    named = CrmPlan.objects.filter(pk=plan_id).first()
    if named is None:
        raise _unknown_plan()
    connection = _usable(named.connection_id)
    plan = _waiting_plan(plan_id)
    if plan.remote_account_id != connection.remote_account_id:
        raise refuse("plan.closed", "The plan was made for another CRM account.", fix="Make a new plan.")
    _refuse_second_scan(connection)
    shown = plan.lines.filter(status__in=[PlanLineStatus.PLANNED, PlanLineStatus.HELD])
    shown.update(status=PlanLineStatus.PLANNED, approved=True)
    CrmPlan.objects.filter(pk=plan.pk).update(status=PlanStatus.APPROVED, approved_at=Now(), approved_by=actor)
    made_by = plan.run
    is_undo = plan.kind == RunPurpose.UNDO
    if not is_undo:
        CrmConnection.objects.filter(pk=connection.pk, first_sync_approved_at__isnull=True).update(
            first_sync_approved_at=Now(), first_sync_approved_by=actor
        )
    return _new_run(
        connection,
        RunKind(made_by.sync_type) if made_by else RunKind.FULL,
        trigger=RunTrigger.UNDO if is_undo else RunTrigger.PLAN,
        actor=actor,
        purpose=RunPurpose.UNDO if is_undo else RunPurpose.APPLY_PLAN,
        undoes=made_by.undoes if made_by and is_undo else None,
        approved=True,
        plan=plan,
        record_types=made_by.record_types if made_by else None,
    )


def drop_plan(plan_id: uuid.UUID | str, *, actor: str) -> None:
    """Carry out nothing of the plan; the next run plans anew. In the current organization's context.

    A connection that was held for it is no longer. Raises RefusedError: ``plan.unknown``, ``plan.closed``.
    """
    named = CrmPlan.objects.filter(pk=plan_id).first()
    if named is None:
        raise _unknown_plan()
    connection = CrmConnection.objects.select_for_update(no_key=True).get(pk=named.connection_id)  # first, as ever
    plan = _waiting_plan(plan_id)
    shown = plan.lines.filter(status__in=[PlanLineStatus.PLANNED, PlanLineStatus.HELD])
    shown.update(status=PlanLineStatus.DROPPED, settled_at=Now())
    CrmPlan.objects.filter(pk=plan.pk).update(status=PlanStatus.DROPPED, closed_at=Now(), approved_by=actor)
    CrmConnection.objects.filter(pk=connection.pk, health=Health.HELD).update(health=working_health())


def cancel_run(run_id: uuid.UUID | str, *, actor: str) -> None:
    """Ask the run to stop at its next page; what it did stays. Cancelling what has ended does nothing."""
    del actor  # the ledger of what it did names who started it
    run = find_run(run_id)
    CrmSyncLog.objects.filter(pk=run.pk, status__in=UNFINISHED).update(cancel_requested=True, resume_at=None)


def _drop_older_plans(connection: CrmConnection, run: CrmSyncLog, *, actor: str) -> None:
    """Before the first approval a new scan plans everything anew: what was shown before covers nothing any more."""
    older = CrmPlan.objects.filter(connection=connection, status__in=[PlanStatus.PLANNED, PlanStatus.HELD])
    for plan in older.exclude(run=run).exclude(run__completed_at__isnull=True):
        drop_plan(plan.pk, actor=actor)


def _usable(connection_id: uuid.UUID | str) -> CrmConnection:
    """The connection's row, locked, when it may be worked on. What only refers to the row is not held up."""
    row = CrmConnection.objects.select_for_update(no_key=True).filter(pk=connection_id).first()
    if row is None or row.status == ConnectionStatus.DISCONNECTED:
        raise refuse("connection.unknown", "There is no such connection.", fix="Connect the CRM first.")
    if row.status != ConnectionStatus.ACTIVE:
        raise refuse(
            "connection.paused",
            "The connection is paused or needs its owner.",
            fix="Resume it, or reconnect it with a new token.",
        )
    return row


def _refuse_second_scan(connection: CrmConnection) -> None:
    busy = (
        CrmSyncLog.objects.filter(connection=connection, status__in=UNFINISHED, completed_at__isnull=True)
        .filter(Q(sync_type__in=SCANS) | Q(approved=True))
        .order_by("started_at")
        .first()
    )
    if busy is not None:
        raise RunBusyError(busy.pk)


def _check_contacts(contact_ids: Sequence[str]) -> None:
    wanted = set()
    for each in contact_ids:
        try:
            wanted.add(uuid.UUID(str(each)))
        except ValueError:
            raise _unknown_contact() from None
    if not wanted:
        raise refuse("contact.empty", "No contact was named.", field="contactIds", fix="Name at least one contact.")
    if Contact.objects.filter(pk__in=wanted).count() != len(wanted):
        raise _unknown_contact()


def _unknown_contact() -> RefusedError:
    return refuse(
        "contact.unknown", "There is no such contact.", field="contactIds", fix="Use the id of a contact there is."
    )


def _waiting_plan(plan_id: uuid.UUID | str) -> CrmPlan:
    plan = CrmPlan.objects.select_for_update().filter(pk=plan_id).first()
    if plan is None:
        raise _unknown_plan()
    made_by = plan.run
    making = made_by is not None and made_by.completed_at is None
    if making or plan.status not in (PlanStatus.PLANNED, PlanStatus.HELD):
        raise refuse("plan.closed", "The plan waits for nobody.", field="planId", fix="Make a new plan by a dry run.")
    return plan


def _unknown_plan() -> RefusedError:
    return refuse("plan.unknown", "There is no such plan.", field="planId", fix="Use the id of a plan there is.")


def _new_run(
    connection: CrmConnection,
    kind: RunKind,
    *,
    trigger: str,
    actor: str,
    purpose: str = RunPurpose.SYNC,
    plan: CrmPlan | None = None,
    record_types: Sequence[str] | None = None,
    **columns: object,
) -> CrmSyncLog:
    """A run and, unless it applies one, its plan."""
    if record_types is None:
        mapped = set(
            CrmFieldMapping.objects.filter(connection=connection, deleted_at__isnull=True).values_list(
                "record_type", flat=True
            )
        )
        record_types = [each for each in wiring.record_types_of(connection) if each in mapped]
    if not record_types:
        raise refuse("config.invalid", "No field is mapped.", field="mappings", fix="Map at least one field first.")
    run = CrmSyncLog(
        id=uuid7(),
        connection=connection,
        sync_type=kind,
        trigger=trigger,
        actor=actor,
        purpose=purpose,
        record_types=list(record_types),
        **columns,
    )
    run.save()
    if plan is None:
        plan = CrmPlan.objects.create(
            connection=connection,
            run=run,
            kind=purpose,
            remote_account_id=connection.remote_account_id,
            created_by=actor,
        )
    run.plan = plan
    run.save(update_fields=["plan"])
    return run
