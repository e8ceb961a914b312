"""One run: how far it is, what it did line by line, and taking it back."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from adsapp_crm.dashboard.access import actor_of, attempt, page, show
from adsapp_crm.dashboard.pages import slice_of
from adsapp_crm.dashboard.wording import COUNTS, PHASES
from adsapp_crm.models import Contact, CrmConnection, CrmLedgerEntry, CrmPlanLine, CrmSyncLog, CrmSyncState
from adsapp_crm.models.choices import LinkStatus, PlanStatus, Role, RunPurpose, RunState
from adsapp_crm.selectors import database_now
from adsapp_crm.services.actor_names import names_of
from adsapp_crm.services.contact_names import name_of
from adsapp_crm.services.run_shapes import has_ended, shape_errors
from adsapp_crm.services.stepping import find_run
from adsapp_crm.services.syncing import cancel_run, request_undo
from adsapp_crm.tasks import send_after_commit, sync_page
from crm.registry import PROVIDERS

LINES: Final = 50
SHORTEST_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, from its row alone: every page of the run's work moves it."""

    phase: str
    done: int
    total: int | None
    rate: float | None
    """Records a second since the run began."""
    left_seconds: float | None


@page()
def run(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    found = find_run(run_id)
    lines = slice_of(request, CrmLedgerEntry.objects.filter(run_id=found.pk), order="id", size=LINES)
    failed = CrmPlanLine.objects.filter(plan_id=found.plan_id, status__in=["failed", "unknown", "stale"])
    failed_rows = list(failed.order_by("id")[:LINES]) if found.plan_id and found.completed_at else []
    context = {
        **_context(found),
        "lines": lines,
        "failed_lines": failed_rows,
        "contacts": contact_names([*(each.contact_id for each in [*lines.rows, *failed_rows])]),
        "undone_by": CrmSyncLog.objects.filter(undoes=found, approved=True).first(),
    }
    return show(request, "run.html", context)


@page()
def progress(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """The part that moves, asked for again every second and a half; a run that has ended reloads its page."""
    found = find_run(run_id)
    answer = show(request, "_progress.html", _context(found))
    if has_ended(found):
        answer["HX-Refresh"] = "true"
    return answer


@require_POST
@page(role=Role.OPERATOR)
def cancel(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    def act() -> None:
        cancel_run(run_id, actor=actor_of(request))
        send_after_commit(sync_page, str(run_id))

    return attempt(
        request,
        act,
        back=reverse("dashboard:run", args=[run_id]),
        done=_("It stops after the page it is at. What it did stays; undo takes it back."),
    )


@require_POST
@page(role=Role.ADMIN)
def undo(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """Plan the undo; the plan's page then shows counts and asks. Nothing is written by planning."""

    def act() -> uuid.UUID:
        undo_id = request_undo(run_id, actor=actor_of(request))
        send_after_commit(sync_page, str(undo_id))
        return undo_id

    return attempt(
        request,
        act,
        back=reverse("dashboard:run", args=[run_id]),
        goes_to=lambda undo_id: reverse("dashboard:run", args=[undo_id]),
    )


def _context(found: CrmSyncLog) -> dict[str, Any]:
    row = CrmConnection.objects.get(pk=found.connection_id)
    names = names_of([found.actor])
    plan = found.plan
    waits = plan is not None and has_ended(found) and plan.status in (PlanStatus.PLANNED, PlanStatus.HELD)
    shown = waits and (found.dry_run or found.status == RunState.HELD or (plan and plan.status == PlanStatus.HELD))
    seconds = ((found.completed_at or database_now()) - found.started_at).total_seconds()
    return {
        "run": found,
        "row": row,
        "provider": PROVIDERS[row.crm_type],
        "by": names.get(found.actor, ""),
        "progress": _progress(found, row, seconds),
        "seconds": seconds,
        "counts": [(text, found.counts.get(key, 0)) for key, text in COUNTS if found.counts.get(key)],
        "errors": shape_errors(found),
        "ended": has_ended(found),
        "plan": plan if shown else None,
        "can_undo": has_ended(found) and not found.dry_run and found.purpose != RunPurpose.UNDO and _wrote(found),
    }


def _wrote(found: CrmSyncLog) -> bool:
    quiet = {"observed", "unchanged", "planned", "held", "stale", "conflicts", "failed", "unknown"}
    return any(number for key, number in found.counts.items() if key not in quiet)


def _progress(found: CrmSyncLog, row: CrmConnection, seconds: float) -> Progress | None:
    if has_ended(found):
        return None
    phase = str(found.progress.get("phase", found.phase))
    total: int | None = None
    if phase == "apply":
        done = int(found.progress.get("done", 0))
        planned = int(found.progress.get("planned", 0))
        if found.approved and found.plan_id:
            planned = CrmPlanLine.objects.filter(plan_id=found.plan_id, approved=True).count()
        total = planned or None
    elif phase == "observe":
        done = int(found.progress.get("observed", 0))
        links = CrmSyncState.objects.filter(connection=row, state=LinkStatus.LIVE).count()
        total = links if found.sync_type == "full" and links > done else None
    else:
        done = max(int(found.progress.get("planned", 0)), found.records_processed)
    rate = done / seconds if seconds >= SHORTEST_SECONDS and done else None
    left = (total - done) / rate if total and rate and total > done else None
    return Progress(str(PHASES.get(phase, phase)), done, total, rate, left)


def contact_names(contact_ids: list[uuid.UUID | None]) -> dict[uuid.UUID, str]:
    """What to call contacts: name, else address, else nothing."""
    wanted = [each for each in contact_ids if each]
    if not wanted:
        return {}
    found = Contact.objects.filter(pk__in=wanted).only("first_name", "last_name", "email", "phone", "company")
    return {each.pk: name_of(each) for each in found}
