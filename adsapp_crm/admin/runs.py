"""Runs and plans: what was done, what would be, and saying yes or no to it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from adsapp_crm.admin.base import OrganizationAdmin, actor_of, explained, shown_json
from adsapp_crm.models import CrmPlan, CrmPlanLine, CrmSyncLog
from adsapp_crm.services.syncing import approve_plan, cancel_run, drop_plan
from adsapp_crm.tasks import send_after_commit, sync_page


@admin.register(CrmSyncLog)
class RunAdmin(OrganizationAdmin):
    list_display = (
        *("started_at", "connection", "sync_type", "status", "trigger"),
        *("records_processed", "records_success", "records_failed", "error_code"),
    )
    list_filter = ("status", "sync_type", "trigger", "dry_run")
    ordering = ("-started_at", "-id")
    fields = (
        *("id", "connection", "sync_type", "direction", "status", "why", "purpose", "trigger", "actor", "started_at"),
        *("completed_at", "resume_at", "records_processed", "records_success", "records_failed", "api_calls"),
        *("phase", "what", "plan_link", "dry_run", "contact_limit", "cancel_requested"),
    )
    actions: ClassVar[list[str]] = ["cancel"]

    @admin.display(description=_("why"))
    def why(self, run: CrmSyncLog) -> str:
        return explained(run.error_code)

    @admin.display(description=_("counts"))
    def what(self, run: CrmSyncLog) -> SafeString:
        return shown_json(run.counts)

    @admin.display(description=_("plan"))
    def plan_link(self, run: CrmSyncLog) -> str:
        if run.plan_id is None:
            return ""
        return format_html(
            '<a href="{}">{}</a>', reverse("admin:adsapp_crm_crmplan_change", args=[run.plan_id]), run.plan_id
        )

    @admin.action(description=_("Cancel"), permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[CrmSyncLog]) -> HttpResponse | None:
        return self.confirmed(
            request,
            queryset,
            question=str(_("The runs stop at their next page; what they did stays.")),
            act=lambda run: cancel_run(run.pk, actor=actor_of(request)),
            done=str(_("Asked %d runs to stop.")),
        )


@admin.register(CrmPlan)
class PlanAdmin(OrganizationAdmin):
    list_display = ("created_at", "connection", "kind", "status", "held_codes", "approved_at")
    list_filter = ("status", "kind")
    ordering = ("-created_at", "-id")
    fields = (
        *("id", "connection", "kind", "status", "why", "sums", "lines_link", "created_at", "created_by"),
        *("approved_at", "approved_by", "closed_at"),
    )
    actions: ClassVar[list[str]] = ["approve", "drop"]

    @admin.display(description=_("held by"))
    def why(self, plan: CrmPlan) -> str:
        return " ".join(explained(code) for code in plan.held_codes)

    @admin.display(description=_("totals"))
    def sums(self, plan: CrmPlan) -> SafeString:
        return shown_json(plan.totals)

    @admin.display(description=_("lines"))
    def lines_link(self, plan: CrmPlan) -> str:
        address = reverse("admin:adsapp_crm_crmplanline_changelist")
        return format_html('<a href="{}?plan__id__exact={}">{}</a>', address, plan.pk, _("Show"))

    @admin.action(description=_("Approve: carry out the lines shown"), permissions=["administer"])
    def approve(self, request: HttpRequest, queryset: QuerySet[CrmPlan]) -> HttpResponse | None:
        def act(plan: CrmPlan) -> None:
            run = approve_plan(plan.pk, actor=actor_of(request))
            send_after_commit(sync_page, str(run.pk))

        return self.confirmed(
            request,
            queryset,
            question=str(
                _("Each line is carried out if what it was computed from still holds, and looked at again if not.")
            ),
            act=act,
            done=str(_("Approved %d plans.")),
        )

    @admin.action(description=_("Drop"), permissions=["administer"])
    def drop(self, request: HttpRequest, queryset: QuerySet[CrmPlan]) -> HttpResponse | None:
        return self.confirmed(
            request,
            queryset,
            question=str(_("Nothing of the plans is carried out; the next run plans anew.")),
            act=lambda plan: drop_plan(plan.pk, actor=actor_of(request)),
            done=str(_("Dropped %d plans.")),
        )


@admin.register(CrmPlanLine)
class PlanLineAdmin(OrganizationAdmin):
    joined = ()
    list_display = ("seq", "kind", "contact_id", "record_type", "remote_id", "status", "code", "deletes", "blanks")
    list_filter = ("status", "kind", "deletes", "blanks", "creates")
    ordering = ("plan_id", "seq")
    fields = (
        *("plan_id", "seq", "stage", "kind", "contact_id", "record_type", "remote_id", "status", "why", "what"),
        *("deletes", "blanks", "creates", "overrules", "approved", "settled_at"),
    )

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup == "plan__id__exact" or super().lookup_allowed(lookup, value, request)

    @admin.display(description=_("why"))
    def why(self, line: CrmPlanLine) -> str:
        return explained(line.code)

    @admin.display(description=_("what"))
    def what(self, line: CrmPlanLine) -> Any:
        return shown_json(line.action)
