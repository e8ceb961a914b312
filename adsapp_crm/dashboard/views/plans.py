"""What will happen to my data: a plan before its first write, and a file of the contacts to keep before it."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from adsapp_crm.dashboard.access import actor_of, attempt, organization_of, page, show
from adsapp_crm.dashboard.samples import samples_of
from adsapp_crm.dashboard.views.connections import TRIAL_CONTACTS
from adsapp_crm.dashboard.views.runs import contact_names
from adsapp_crm.models import CrmConnection, CrmPlan
from adsapp_crm.models.choices import PlanStatus, Role, RunPurpose
from adsapp_crm.services.actor_names import names_of
from adsapp_crm.services.exports import export_contacts
from adsapp_crm.services.forecasts import forecast_of
from adsapp_crm.services.refusals import refuse
from adsapp_crm.services.syncing import approve_plan, drop_plan
from adsapp_crm.tasks import send_after_commit, sync_page
from crm.registry import PROVIDERS

NOT_UNDOABLE_SHOWN: Final = 50


@page(writes=Role.ADMIN)
def plan(request: HttpRequest, plan_id: uuid.UUID) -> HttpResponse:
    found = CrmPlan.objects.select_related("run").filter(pk=plan_id).first()
    if found is None:
        raise refuse("plan.unknown", _("There is no such plan."), fix=_("Make a new one by a dry run."))
    row = CrmConnection.objects.get(pk=found.connection_id)
    if request.method == "POST":
        return _decide(request, found, row)
    samples = samples_of(found)
    forecast = forecast_of(found, row)
    names = names_of([found.created_by, found.approved_by])
    made_by = found.run
    context: dict[str, Any] = {
        "plan": found,
        "row": row,
        "provider": PROVIDERS[row.crm_type],
        "forecast": forecast,
        "share": _share_said(forecast.spend.day_share),
        "samples": samples,
        "contacts": contact_names([each.line.contact_id for each in samples]),
        "waits": found.status in (PlanStatus.PLANNED, PlanStatus.HELD) and made_by is not None and made_by.completed_at,
        "is_undo": found.kind == RunPurpose.UNDO,
        "kept": found.totals.get("notUndoable", [])[:NOT_UNDOABLE_SHOWN],
        "kept_number": len(found.totals.get("notUndoable", [])),
        "by": names.get(found.created_by, ""),
        "decided_by": names.get(found.approved_by, ""),
        "trial": TRIAL_CONTACTS,
    }
    return show(request, "plan.html", context)


def _share_said(share: float | None) -> str:
    if share is None:
        return _("no daily limit is known")
    return _("less than 1 %") if share < 0.01 else _("%(n)d %%") % {"n": round(share * 100)}


def _decide(request: HttpRequest, found: CrmPlan, row: CrmConnection) -> HttpResponse:
    here = reverse("dashboard:plan", args=[found.pk])
    if "drop" in request.POST:
        return attempt(
            request,
            lambda: drop_plan(found.pk, actor=actor_of(request)),
            back=reverse("dashboard:connection", args=[row.crm_type]),
            done=_("The plan was dropped. Nothing of it was written; the next run plans anew."),
        )

    def approve() -> uuid.UUID:
        run_id = approve_plan(found.pk, actor=actor_of(request)).pk
        send_after_commit(sync_page, str(run_id))
        return run_id

    return attempt(request, approve, back=here, goes_to=lambda run_id: reverse("dashboard:run", args=[run_id]))


@page(role=Role.OPERATOR, calls_crm=True)
def snapshot(request: HttpRequest) -> StreamingHttpResponse:
    """Every live contact with every field, as CSV: what there was before the sync. Read page by page as it is sent."""
    lines = export_contacts(organization_of(request), {})
    answer = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    stamp = timezone.localtime().strftime("%Y-%m-%d-%H%M")
    answer["Content-Disposition"] = f'attachment; filename="contacts-{stamp}.csv"'
    return answer
