"""Taking a run back: first the counts and what cannot be taken back, then, on a yes, the plan itself."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count

from adsapp_crm.catalogue import explain
from adsapp_crm.models import CrmPlan, CrmPlanLine, CrmSyncLog
from adsapp_crm.models.choices import RunState
from adsapp_crm.services.refusals import refuse
from adsapp_crm.services.stepping import Left, step_run
from adsapp_crm.services.syncing import approve_plan, drop_plan, request_undo
from adsapp_crm.tenancy import organization_context

MOST_TRIES: Final = 30
"""Steps that another worker may keep us from, a second apart."""


@dataclass(frozen=True, slots=True)
class UndoPreview:
    run_id: uuid.UUID
    """The run that made the plan."""
    plan_id: uuid.UUID
    counts: Mapping[str, int]
    """Kind of action -> records."""
    not_undoable: Sequence[Mapping[str, Any]]
    """contactId, remoteId, field and code of what stays as it is."""

    @property
    def records(self) -> int:
        return sum(self.counts.values())


def preview_undo(organization_id: uuid.UUID, run_id: uuid.UUID, *, actor: str) -> UndoPreview:
    """Plan the undo of a run; reads the records in the CRM and writes nothing to either side.

    Must be called outside ``organization_context``. Raises RefusedError: ``run.unknown``, ``run.unfinished``,
    ``run.busy``, or the code with which the planning failed.
    """
    with organization_context(organization_id, actor=actor):
        undo_id = request_undo(run_id, actor=actor)
    finish_run(organization_id, undo_id)
    with organization_context(organization_id):
        run = CrmSyncLog.objects.get(pk=undo_id)
        if run.status != RunState.COMPLETED or run.plan_id is None:
            code = run.error_code or "internal.error"
            raise refuse(code, str(explain(code).cause), field="RUN")
        lines = CrmPlanLine.objects.filter(plan_id=run.plan_id).exclude(status="dropped")
        counts = dict(lines.values_list("kind").annotate(records=Count("pk")).order_by("kind"))
        kept = CrmPlan.objects.values_list("totals", flat=True).get(pk=run.plan_id).get("notUndoable", [])
        return UndoPreview(undo_id, run.plan_id, counts, kept)


def apply_undo(organization_id: uuid.UUID, preview: UndoPreview, *, actor: str) -> uuid.UUID:
    """Say yes to what was shown and carry it out; returns the run that did it."""
    with organization_context(organization_id, actor=actor):
        run = approve_plan(preview.plan_id, actor=actor)
    finish_run(organization_id, run.pk)
    return run.pk


def drop_undo(organization_id: uuid.UUID, preview: UndoPreview, *, actor: str) -> None:
    with organization_context(organization_id, actor=actor):
        drop_plan(preview.plan_id, actor=actor)


def finish_run(organization_id: uuid.UUID, run_id: uuid.UUID) -> None:
    """Step a run in this process until it has ended. Raises RefusedError (``run.busy``) when it cannot go on now."""
    tries = 0
    while True:
        step = step_run(organization_id, run_id)
        if step.left is Left.ENDED:
            return
        if step.left is Left.MORE:
            tries = 0
            continue
        tries += 1
        if step.left is Left.PARKED or tries > MOST_TRIES:
            raise refuse(
                "run.busy",
                "The run waits for the CRM or for another worker.",
                fix="It goes on by itself; look at it with crm_status.",
            )
        time.sleep(1)
