"""Runs and plans with their lines: what was done, what would be, saying yes or no to it, and taking it back."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Count
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from adsapp_crm.admin.acts import Act
from adsapp_crm.admin.base import OrganizationAdmin, actor_of, named, told_once
from adsapp_crm.admin.wording import TONES, connection_label, explained, linked, shown_counts, shown_effects
from adsapp_crm.models import Contact, CrmLedgerEntry, CrmPlan, CrmPlanLine, CrmSyncLog
from adsapp_crm.models.choices import PlanLineKind, PlanStatus, Role, RunPurpose
from adsapp_crm.services.contact_names import name_of
from adsapp_crm.services.syncing import approve_plan, cancel_run, drop_plan, request_undo
from adsapp_crm.tasks import send_after_commit, sync_page

MOST_LINES = 25
"""Lines on the page of a run or plan; the rest is in the list that it links to."""


def _run_page(run_id: Any) -> str:
    return reverse("admin:adsapp_crm_crmsynclog_change", args=[run_id])


def _undo(request: HttpRequest, run: CrmSyncLog) -> uuid.UUID:
    undo_id = request_undo(run.pk, actor=actor_of(request))
    send_after_commit(sync_page, str(undo_id))
    return undo_id


def _approve(request: HttpRequest, plan: CrmPlan) -> uuid.UUID:
    run = approve_plan(plan.pk, actor=actor_of(request))
    send_after_commit(sync_page, str(run.pk))
    return run.pk


def _undoable(run: CrmSyncLog) -> bool:
    return run.completed_at is not None and not run.dry_run


def _waits(plan: CrmPlan) -> bool:
    return plan.status in (PlanStatus.PLANNED, PlanStatus.HELD)


@admin.register(CrmSyncLog)
class RunAdmin(OrganizationAdmin):
    joined = ("connection", "plan")
    list_display = (
        *("started_at", "crm", "kind", "state_word", "trigger", "records_processed", "records_success"),
        *("records_failed", "error_code"),
    )
    list_filter = ("connection", "status", "purpose", "sync_type", "trigger", "dry_run", "started_at")
    searched_ids = ("pk", "plan_id")
    searched_texts = ("error_code",)
    search_help_text = _("The id of a run or plan, or an error code")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("crm", "kind", "status", "why", "started_at", "completed_at", "resume_at", "trigger", "by"),
                    *("undone", "plan_link", "dry_run", "contact_limit", "cancel_requested"),
                )
            },
        ),
        (
            _("What it did"),
            {
                "fields": (
                    *("records_processed", "records_success", "records_failed", "api_calls", "phase", "what"),
                    *("lines", "all_lines"),
                )
            },
        ),
    )
    acts: ClassVar[Sequence[Act]] = (
        Act(
            "undo",
            _("Undo: show what it would take back"),
            _(
                "A plan is made of every value that the run wrote and that nobody has changed since, and of what cannot"
                " be taken back. Nothing is written before that plan is approved."
            ),
            _("Plan the undo of %d runs: each plan opens when it is ready."),
            _undo,
            role=Role.ADMIN,
            applies=_undoable,
            follows=_run_page,
        ),
        Act(
            "cancel",
            _("Cancel"),
            _("It stops at its next page; what it did stays."),
            _("Asked %d runs to stop."),
            lambda request, run: cancel_run(run.pk, actor=actor_of(request)),
            applies=lambda run: run.completed_at is None and not run.cancel_requested,
            harmful=True,
        ),
    )

    by = named("actor", _("started by"))

    @display(description=_("kind"))  # type: ignore[untyped-decorator]
    def kind(self, run: CrmSyncLog) -> str:
        word = run.get_sync_type_display() if run.purpose == RunPurpose.SYNC else RunPurpose(run.purpose).label
        return f"{word} ({_('dry run')})" if run.dry_run else str(word)

    @admin.display(description=_("why"))
    def why(self, run: CrmSyncLog) -> str:
        return explained(run.error_code) or "–"

    @admin.display(description=_("counts"))
    def what(self, run: CrmSyncLog) -> SafeString:
        return shown_counts(run.counts)

    @admin.display(description=_("takes back"))
    def undone(self, run: CrmSyncLog) -> str:
        return linked("crmsynclog", run.undoes_id, run.undoes_id) or "–"

    @admin.display(description=_("plan"))
    def plan_link(self, run: CrmSyncLog) -> str:
        return linked("crmplan", run.plan_id, run.plan or "") or "–"

    @admin.display(description=_("lines"))
    @told_once
    def lines(self, run: CrmSyncLog) -> SafeString | str:
        return _table(CrmLedgerEntry.objects.filter(run_id=run.pk).order_by("id")[:MOST_LINES])

    @admin.display(description=_("all lines"))
    def all_lines(self, run: CrmSyncLog) -> SafeString:
        ledger = f"{reverse('admin:adsapp_crm_crmledgerentry_changelist')}?run_id={run.pk}"
        lines = f"{reverse('admin:adsapp_crm_crmplanline_changelist')}?plan__id__exact={run.plan_id}"
        return format_html(
            '<a class="crm-link" href="{}">{}</a> · <a class="crm-link" href="{}">{}</a>',
            *(ledger, _("everything it did"), lines, _("everything it planned")),
        )


@admin.register(CrmPlan)
class PlanAdmin(OrganizationAdmin):
    joined = ("connection", "run")
    list_display = ("created_at", "crm", "kind", "state_word", "held", "approved_at")
    list_filter = ("connection", "status", "kind", "created_at")
    searched_ids = ("pk", "run_id")
    search_help_text = _("The id of a plan or run")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("crm", "kind", "status", "why", "run_link", "created_at", "made_for", "approved_at"),
                    *("approver", "closed_at"),
                )
            },
        ),
        (_("What it would do"), {"fields": ("numbers", "sums", "lines", "lines_link")}),
    )
    acts: ClassVar[Sequence[Act]] = (
        Act(
            "approve",
            _("Approve: carry out the lines shown"),
            _("Each line is carried out if what it was computed from still holds, and looked at again if not."),
            _("Approved %d plans."),
            _approve,
            role=Role.ADMIN,
            applies=_waits,
            follows=_run_page,
        ),
        Act(
            "drop",
            _("Drop: carry out nothing of it"),
            _("Nothing of the plans is carried out; the next run plans anew."),
            _("Dropped %d plans."),
            lambda request, plan: drop_plan(plan.pk, actor=actor_of(request)),
            role=Role.ADMIN,
            applies=_waits,
            harmful=True,
        ),
    )

    made_for = named("created_by", _("created by"))
    approver = named("approved_by", _("approved by"))

    def parts_of(self, rows: Sequence[Any]) -> Sequence[tuple[str, int]]:
        """What the plans' lines are, so that a yes is a yes to numbers."""
        return _numbers(rows)

    @admin.display(description=_("held by"))
    def held(self, plan: CrmPlan) -> str:
        return ", ".join(plan.held_codes) or "–"

    @admin.display(description=_("held by"))
    def why(self, plan: CrmPlan) -> str:
        return " ".join(explained(code) for code in plan.held_codes) or "–"

    @admin.display(description=_("made by"))
    def run_link(self, plan: CrmPlan) -> str:
        return linked("crmsynclog", plan.run_id, plan.run or "")

    @admin.display(description=_("totals"))
    def sums(self, plan: CrmPlan) -> SafeString:
        return shown_counts({key: value for key, value in plan.totals.items() if not isinstance(value, list)})

    @admin.display(description=_("lines by kind"))
    @told_once
    def numbers(self, plan: CrmPlan) -> SafeString | str:
        return shown_counts(dict(_numbers([plan])))

    @admin.display(description=_("lines"))
    @told_once
    def lines(self, plan: CrmPlan) -> SafeString | str:
        return _table(CrmPlanLine.objects.filter(plan=plan).order_by("plan_id", "stage", "status", "seq")[:MOST_LINES])

    @admin.display(description=_("all lines"))
    def lines_link(self, plan: CrmPlan) -> SafeString:
        address = reverse("admin:adsapp_crm_crmplanline_changelist")
        return format_html(
            '<a class="crm-link" href="{}?plan__id__exact={}">{}</a>', address, plan.pk, _("Show and filter them")
        )


@admin.register(CrmPlanLine)
class PlanLineAdmin(OrganizationAdmin):
    joined = ("plan__connection",)
    list_display = ("seq", "crm", "kind", "contact_id", "remote_id", "effects", "state_word", "code")
    list_filter = ("status", "kind", "deletes", "blanks", "overrules")
    linked_by = ("plan",)
    searched_ids = ("pk", "plan_id", "contact_id")
    searched_texts = ("remote_id",)
    search_help_text = _("The id of a plan, a contact or a CRM record")
    fields = (
        *("plan_link", "seq", "stage", "kind", "contact_id", "record_type", "remote_id", "status", "why", "effects"),
        *("deletes", "blanks", "creates", "overrules", "approved", "settled_at"),
    )

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup == "plan__id__exact" or super().lookup_allowed(lookup, value, request)

    @display(description=_("CRM"))  # type: ignore[untyped-decorator]
    def crm(self, line: CrmPlanLine) -> str:
        return connection_label(line.plan.connection)

    @admin.display(description=_("plan"))
    def plan_link(self, line: CrmPlanLine) -> str:
        return linked("crmplan", line.plan_id, line.plan)

    @display(description=_("status"), label=dict(TONES))  # type: ignore[untyped-decorator]
    def state_word(self, line: CrmPlanLine) -> tuple[str, str]:
        return line.status, line.get_status_display()

    @admin.display(description=_("why"))
    def why(self, line: CrmPlanLine) -> str:
        return explained(line.code) or "–"

    @admin.display(description=_("what"))
    def effects(self, line: CrmPlanLine) -> SafeString:
        return shown_effects(line)


def _numbers(plans: Sequence[CrmPlan]) -> list[tuple[str, int]]:
    shown = CrmPlanLine.objects.filter(plan__in=[plan.pk for plan in plans]).exclude(status="dropped")
    counted = shown.order_by().values_list("kind").annotate(number=Count("pk")).order_by("kind")
    return [(str(PlanLineKind(kind).label), number) for kind, number in counted]


def _table(rows: Any) -> SafeString | str:
    """Lines of a run or plan: who, what, with which effect."""
    found = list(rows)
    ids = {row.contact_id for row in found if row.contact_id}
    names = {contact.pk: name_of(contact) for contact in Contact.objects.filter(pk__in=ids)}
    body = format_html_join(
        "",
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        (
            (
                row.get_kind_display(),
                linked("contact", row.contact_id, names.get(row.contact_id) or row.contact_id) or row.remote_id,
                shown_effects(row),
                getattr(row, "rule", "") or getattr(row, "code", ""),
            )
            for row in found
        ),
    )
    heads = format_html_join("", "<th>{}</th>", ((word,) for word in (_("What"), _("Who"), _("Values"), _("Why"))))
    return (
        format_html(
            '<div class="crm-scroll" tabindex="0" role="region" aria-label="{}">'
            '<table class="crm-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>',
            *(_("lines"), heads, body),
        )
        if found
        else "–"
    )
