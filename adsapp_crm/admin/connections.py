"""Connections: where each stands and its rules. What they log in with is on no page."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import DateTimeField, Func, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from adsapp_crm.admin.acts import Act
from adsapp_crm.admin.base import OrganizationAdmin, actor_of, named, told_once
from adsapp_crm.admin.wording import TONES, connection_label, explained, shown_counts, shown_json
from adsapp_crm.models import CrmConnection
from adsapp_crm.models.choices import ConnectionStatus, Health, Role
from adsapp_crm.services.connections import pause_connection, resume_connection
from adsapp_crm.services.standing import Trouble, code_of, count_links, health_of
from adsapp_crm.services.syncing import start_run
from adsapp_crm.tasks import send_after_commit, sync_page
from adsapp_crm.tenancy import current_organization
from crm.model import RunKind

_RULES = (
    *("mode", "strategy", "tie_rule", "clock_skew_seconds", "on_app_deleted", "on_crm_deleted", "drift"),
    *("create_in_crm", "create_in_app", "fight_limit", "max_attempts", "sync_interval_seconds"),
    *("max_share_deleted", "max_count_deleted", "max_share_created", "max_count_created"),
)
_STANDING = (
    *("crm", "status", "health_now", "why", "records", "last_sync_at", "last_success_at", "next_sync_at"),
    *("parked_until", "paused_at", "pauser", "test", "debug_until"),
)
_ACCOUNT = (
    *("remote_account_name", "remote_account_id", "remote_account_url", "environment", "scopes"),
    *("connected_at", "connector", "token_expires_at"),
    *("first_sync_approved_at", "approver", "mapping_version"),
)


def _resync(request: HttpRequest, row: CrmConnection) -> uuid.UUID:
    run_id = start_run(current_organization(), row.pk, RunKind.FULL, actor=actor_of(request))
    send_after_commit(sync_page, str(run_id))
    return run_id


def _active(row: CrmConnection) -> bool:
    return row.status == ConnectionStatus.ACTIVE


@admin.register(CrmConnection)
class ConnectionAdmin(OrganizationAdmin):
    joined = ()
    changed_by = Role.ADMIN
    list_display = ("crm", "state_word", "health_word", "mode", "last_sync_at", "last_success_at", "last_error_code")
    list_filter = ("status", "mode")
    ordering = ("crm_type", "-id")
    searched_texts = ("crm_type", "remote_account_id")
    search_help_text = _("The id of a connection or of its CRM account")
    fieldsets = (
        (_("Where it stands"), {"fields": _STANDING}),
        (_("Rules"), {"fields": _RULES}),
        (_("Account"), {"fields": _ACCOUNT}),
    )
    readonly_fields = (*_STANDING, *_ACCOUNT)
    acts: ClassVar[Sequence[Act]] = (
        Act(
            "resync",
            _("Sync everything now"),
            _("A full run reads every record of the CRM and every contact, and brings into step what differs."),
            _("Started %d full runs."),
            _resync,
            applies=_active,
            follows=lambda run_id: reverse("admin:adsapp_crm_crmsynclog_change", args=[run_id]),
        ),
        Act(
            "pause",
            _("Pause"),
            _("Nothing is synced while a connection is paused; changes on both sides are kept for later."),
            _("Paused %d connections."),
            lambda request, row: pause_connection(row.pk, actor=actor_of(request)),
            role=Role.ADMIN,
            applies=_active,
        ),
        Act(
            "resume",
            _("Resume"),
            _("The next run brings both sides into step again."),
            _("Resumed %d connections."),
            lambda request, row: resume_connection(row.pk, actor=actor_of(request)),
            role=Role.ADMIN,
            applies=lambda row: row.status == ConnectionStatus.PAUSED,
        ),
    )

    pauser = named("paused_by", _("paused by"))
    connector = named("connected_by", _("connected by"))
    approver = named("first_sync_approved_by", _("first sync approved by"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[CrmConnection]:
        asked_at = Func(function="clock_timestamp", output_field=DateTimeField())
        rows: QuerySet[CrmConnection] = super().get_queryset(request)
        return rows.annotate(trouble=Trouble(), asked_at=asked_at)

    @display(description=_("CRM"), ordering="crm_type")  # type: ignore[untyped-decorator]
    def crm(self, row: CrmConnection) -> str:
        return connection_label(row)

    @display(description=_("health"), label=dict(TONES))  # type: ignore[untyped-decorator]
    def health_word(self, row: CrmConnection) -> tuple[str, Any]:
        word = Health(health_of(row, row.asked_at))  # type: ignore[attr-defined]  # annotated
        return word, word.label

    @admin.display(description=_("health"))
    @told_once
    def health_now(self, row: CrmConnection) -> Any:
        return self.health_word(row)[1]

    @admin.display(description=_("records"))
    @told_once
    def records(self, row: CrmConnection) -> SafeString:
        failing = f"{reverse('admin:adsapp_crm_crmsyncstate_changelist')}?connection__id__exact={row.pk}&trouble=any"
        counts = count_links(row)
        if not counts["failing"]:
            return shown_counts(counts)
        link = format_html(' <a class="crm-link" href="{}">{}</a>', failing, _("See which fail, and why"))
        return shown_counts(counts) + link

    @admin.display(description=_("last error"))
    def why(self, row: CrmConnection) -> str:
        return explained(code_of(row, self.health_word(row)[0])) or "–"

    @admin.display(description=_("test"))
    def test(self, row: CrmConnection) -> SafeString | str:
        """A page of the dashboard: it waits for the CRM, and no transaction may be open meanwhile."""
        if row.status == ConnectionStatus.DISCONNECTED:
            return "–"
        address = reverse("dashboard:examination", args=[row.crm_type])
        return format_html('<a class="crm-link" href="{}">{}</a>', address, _("Test the connection"))

    @admin.display(description=_("granted scopes"))
    def scopes(self, row: CrmConnection) -> SafeString:
        return shown_json(row.granted_scopes)
