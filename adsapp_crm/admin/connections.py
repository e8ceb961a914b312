"""Connections, their mappings and webhooks."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from adsapp_crm.admin.base import OrganizationAdmin, actor_of, explained, shown_json
from adsapp_crm.catalogue import explain
from adsapp_crm.models import CrmConnection, CrmFieldMapping, CrmWebhook, CrmWebhookRefusal
from adsapp_crm.models.choices import ConnectionStatus, Role
from adsapp_crm.services.connections import pause_connection, resume_connection

_RULES = (
    *("mode", "strategy", "tie_rule", "clock_skew_seconds", "on_app_deleted", "on_crm_deleted", "drift"),
    *("create_in_crm", "create_in_app", "fight_limit", "max_attempts", "sync_interval_seconds"),
    *("max_share_deleted", "max_count_deleted", "max_share_created", "max_count_created"),
)
_STANDING = (
    *("crm_type", "status", "health", "last_sync_at", "last_success_at", "why", "parked_until", "next_sync_at"),
    *("test", "debug_until"),
    *("remote_account_name", "remote_account_id", "remote_account_url", "environment", "granted_scopes"),
    *("connected_at", "connected_by", "first_sync_approved_at", "first_sync_approved_by", "mapping_version"),
)


@admin.register(CrmConnection)
class ConnectionAdmin(OrganizationAdmin):
    joined = ()
    changed_by = Role.ADMIN
    list_display = ("crm_type", "remote_account_name", "status", "health", "last_sync_at", "last_error_code")
    list_filter = ("status", "health", "mode")
    ordering = ("crm_type", "-id")
    fieldsets = (
        (None, {"fields": _STANDING}),
        (_("Rules"), {"fields": _RULES}),
    )
    readonly_fields = _STANDING
    actions: ClassVar[list[str]] = ["pause", "resume"]

    @admin.display(description=_("last error"))
    def why(self, connection: CrmConnection) -> str:
        return explained(connection.last_error_code)

    @admin.display(description=_("test"))
    def test(self, connection: CrmConnection) -> SafeString:
        """A page of the dashboard: it waits for the CRM, and no transaction may be open meanwhile."""
        if connection.status == ConnectionStatus.DISCONNECTED:
            return SafeString("")
        address = reverse("dashboard:examination", args=[connection.crm_type])
        return format_html('<a class="text-primary-600 underline" href="{}">{}</a>', address, _("Test the connection"))

    @admin.action(description=_("Pause"), permissions=["administer"])
    def pause(self, request: HttpRequest, queryset: QuerySet[CrmConnection]) -> HttpResponse | None:
        return self.confirmed(
            request,
            queryset,
            question=str(
                _("Nothing is synced while a connection is paused; changes on both sides are kept for later.")
            ),
            act=lambda row: pause_connection(row.pk, actor=actor_of(request)),
            done=str(_("Paused %d connections.")),
        )

    @admin.action(description=_("Resume"), permissions=["administer"])
    def resume(self, request: HttpRequest, queryset: QuerySet[CrmConnection]) -> HttpResponse | None:
        return self.confirmed(
            request,
            queryset,
            question=str(_("The next run brings both sides into step again.")),
            act=lambda row: resume_connection(row.pk, actor=actor_of(request)),
            done=str(_("Resumed %d connections.")),
        )


@admin.register(CrmFieldMapping)
class FieldMappingAdmin(OrganizationAdmin):
    """Shown only: mappings are replaced as a whole through the API, which tries them first."""

    list_display = ("__str__", "connection", "direction", "blank_rule", "strategy", "is_custom", "broken_code")
    list_filter = ("direction", "is_custom")
    ordering = ("connection", "record_type", "position")
    fields = (
        *("connection", "record_type", "adsapp_field", "crm_field", "direction", "transform", "blank_rule"),
        *("strategy", "drift", "is_custom", "why", "broken_since", "version", "updated_at", "deleted_at"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[CrmFieldMapping]:
        return super().get_queryset(request).filter(deleted_at__isnull=True)

    @admin.display(description=_("transform"))
    def transform(self, row: CrmFieldMapping) -> SafeString:
        return shown_json(row.transform_rule)

    @admin.display(description=_("broken"))
    def why(self, row: CrmFieldMapping) -> str:
        return explained(row.broken_code)


@admin.register(CrmWebhook)
class WebhookAdmin(OrganizationAdmin):
    list_display = ("connection", "remote_subscription_id", "status", "last_event_at", "last_error_code")
    list_filter = ("status",)
    ordering = ("-id",)
    fields = ("connection", "remote_subscription_id", "event_types", "status", "last_event_at", "last_error_code")


@admin.register(CrmWebhookRefusal)
class RefusedDeliveriesAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """Counts of the whole installation, for staff: they name nobody."""

    list_display = ("day", "crm_type", "code", "why", "deliveries", "last_at")
    list_filter = ("crm_type", "code")
    date_hierarchy = "day"
    ordering = ("-day", "-deliveries", "id")
    list_display_links = None
    show_full_result_count = False

    @admin.display(description=_("why"))
    def why(self, row: CrmWebhookRefusal) -> str:
        return str(explain(row.code).title)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        return bool(request.user.is_active and request.user.is_staff)

    has_module_permission = has_view_permission

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        return False

    has_delete_permission = has_change_permission
