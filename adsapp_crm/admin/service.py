"""What keeps the service running and who was let in: jobs, schedule, notices, keys, staff access. Shown only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django_celery_beat import models as beat
from unfold.admin import ModelAdmin

from adsapp_crm.admin.base import OrganizationAdmin
from adsapp_crm.admin.wording import crm_label, explained, linked, shown_json
from adsapp_crm.models import (
    ApiKey,
    CrmAppRegistration,
    CrmHeartbeat,
    CrmJobSlot,
    CrmLease,
    CrmMappingVersion,
    CrmMessage,
    CrmNotice,
    CrmOAuthState,
    CrmOutgoingWebhook,
    CrmWebhookRefusal,
    IdempotencyKey,
    Membership,
    StaffAccess,
    StaffAccessEvent,
)


class ShownAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """Rows of no organization, shown to all staff and changed by nobody here."""

    show_full_result_count = False
    list_max_show_all = 0

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_staff)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:  # noqa: ARG002
        return {}


@admin.register(CrmJobSlot)
class JobSlotAdmin(ShownAdmin):
    list_display = ("kind", "slot", "connection_id", "claimed_at", "finished_at")
    list_filter = ("claimed_at", ("finished_at", admin.EmptyFieldListFilter))
    search_fields = ("kind__exact",)
    search_help_text = _("The name of a job")
    ordering = ("-id",)
    fields = ("kind", "slot", "connection_id", "claimed_at", "finished_at", "what")

    @admin.display(description=_("result"))
    def what(self, row: CrmJobSlot) -> SafeString:
        return shown_json(row.result)


@admin.register(CrmWebhookRefusal)
class RefusalAdmin(ShownAdmin):
    """Counts of no organization: deliveries that proved nothing, by reason and day."""

    list_display = ("day", "crm", "code", "deliveries", "last_at")
    list_filter = ("crm_type", "day")
    ordering = ("-day", "crm_type", "code")

    @admin.display(description=_("CRM"))
    def crm(self, row: CrmWebhookRefusal) -> str:
        return crm_label(row.crm_type)


@admin.register(CrmHeartbeat)
class HeartbeatAdmin(ShownAdmin):
    list_display = ("name", "at")


for _model in (
    beat.PeriodicTask,
    beat.IntervalSchedule,
    beat.CrontabSchedule,
    beat.SolarSchedule,
    beat.ClockedSchedule,
):
    admin.site.unregister(_model)


@admin.register(beat.PeriodicTask)
class PeriodicTaskAdmin(ShownAdmin):
    """What beat sends and when; the schedule is set in code, so that every installation has the same."""

    list_display = ("name", "task", "every", "enabled", "last_run_at", "total_run_count")
    list_filter = ("enabled",)
    search_fields = ("name", "task")
    ordering = ("name",)
    fields = ("name", "task", "every", "args", "queue", "enabled", "last_run_at", "total_run_count", "description")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset(request).select_related("interval", "crontab", "solar", "clocked")
        return found

    @admin.display(description=_("every"))
    def every(self, row: Any) -> str:
        return str(row.schedule or "")


@admin.register(CrmNotice)
class NoticeAdmin(OrganizationAdmin):
    list_display = ("created_at", "crm", "kind", "code", "tell_at", "sent_at", "resolved_at")
    list_filter = ("connection", ("resolved_at", admin.EmptyFieldListFilter), "created_at")
    searched_texts = ("kind", "code")
    search_help_text = _("A kind of notice or a code")
    fields = ("created_at", "crm", "kind", "why", "what", "tell_at", "sent_at", "read_at", "resolved_at")

    @admin.display(description=_("CRM"))
    def crm(self, row: CrmNotice) -> str:
        return super().crm(row) if row.connection_id else "–"

    @admin.display(description=_("why"))
    def why(self, row: CrmNotice) -> str:
        return explained(row.code) or "–"

    @admin.display(description=_("details"))
    def what(self, row: CrmNotice) -> SafeString:
        return shown_json(row.details)


@admin.register(CrmOutgoingWebhook)
class OutgoingWebhookAdmin(OrganizationAdmin):
    joined = ()
    list_display = ("created_at", "url", "active", "off_code", "last_success_at")
    list_filter = ("active",)
    searched_texts = ("url",)
    search_help_text = _("An address")
    fields = ("created_at", "created_by", "url", "told", "active", "why", "last_success_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset(request).defer("secret")
        return found

    @admin.display(description=_("what is told"))
    def told(self, row: CrmOutgoingWebhook) -> str:
        return ", ".join(row.kinds)

    @admin.display(description=_("why it is off"))
    def why(self, row: CrmOutgoingWebhook) -> str:
        return explained(row.off_code) or "–"


@admin.register(CrmMessage)
class MessageAdmin(OrganizationAdmin):
    joined = ()
    list_display = ("created_at", "kind", "to", "state_word", "attempts", "code", "next_attempt_at")
    list_filter = ("status", "kind", "created_at")
    searched_ids = ("pk", "connection_id")
    search_help_text = _("The id of a message or of a connection")
    fields = (
        *("created_at", "kind", "to", "status", "attempts", "next_attempt_at", "http_status", "why", "settled_at"),
        "what",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset(request).select_related("user", "webhook").defer("webhook__secret")
        return found

    @admin.display(description=_("to"))
    def to(self, row: CrmMessage) -> str:
        if row.webhook is not None:
            return row.webhook.url
        return row.user.email if row.user is not None else "–"

    @admin.display(description=_("why"))
    def why(self, row: CrmMessage) -> str:
        return explained(row.code) or "–"

    @admin.display(description=_("payload"))
    def what(self, row: CrmMessage) -> SafeString:
        return shown_json(row.payload)


@admin.register(CrmMappingVersion)
class MappingVersionAdmin(OrganizationAdmin):
    list_display = ("created_at", "crm", "version", "number", "actor", "comment")
    list_filter = ("connection", "created_at")
    fields = ("created_at", "crm", "version", "actor", "comment", "what")
    search_help_text = _("The id of a version")

    @admin.display(description=_("pairs"))
    def number(self, row: CrmMappingVersion) -> int:
        return len(row.mappings)

    @admin.display(description=_("mappings"))
    def what(self, row: CrmMappingVersion) -> SafeString:
        return shown_json(row.mappings)


@admin.register(CrmLease)
class LeaseAdmin(OrganizationAdmin):
    list_display = ("crm", "stream", "owner", "fence", "expires_at")
    fields = ("crm", "stream", "owner", "fence", "expires_at")
    searched_texts = ("owner",)
    search_help_text = _("The name of a worker")


@admin.register(CrmOAuthState)
class BegunLogInAdmin(OrganizationAdmin):
    """Log-ins at a CRM that were begun. What they prove themselves by is not read."""

    joined = ("user",)
    list_display = ("created_at", "crm_type", "environment", "user", "expires_at", "used_at")
    list_filter = ("crm_type", ("used_at", admin.EmptyFieldListFilter))
    fields = ("created_at", "crm_type", "environment", "user", "expires_at", "used_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("state_hash", "session_hash", "verifier")


@admin.register(CrmAppRegistration)
class AppRegistrationAdmin(OrganizationAdmin):
    joined = ()
    list_display = ("crm_type", "client_id", "created_at", "updated_at")
    fields = ("crm_type", "client_id", "created_at", "updated_at")
    searched_texts = ("client_id",)
    search_help_text = _("A client id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("secrets")


@admin.register(ApiKey)
class ApiKeyAdmin(OrganizationAdmin):
    joined = ()
    list_display = ("name", "prefix", "scope_words", "created_at", "last_used_at", "expires_at", "revoked_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    searched_texts = ("prefix", "name")
    search_help_text = _("The name of a key, or what it begins with")
    fields = (
        *("name", "prefix", "scope_words", "created_by", "created_at", "last_used_at", "expires_at", "revoked_at"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("secret_hash")

    @admin.display(description=_("scopes"))
    def scope_words(self, row: ApiKey) -> str:
        return ", ".join(row.scopes)


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(OrganizationAdmin):
    """Requests that named themselves; their stored answers hold contact data and are not read."""

    joined = ()
    list_display = ("created_at", "method", "path", "actor", "status_code", "expires_at")
    list_filter = ("method", "status_code")
    searched_texts = ("key", "actor")
    search_help_text = _("A key or an actor")
    fields = ("created_at", "method", "path", "actor", "key", "status_code", "expires_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("response", "body_digest")


@admin.register(Membership)
class MembershipAdmin(OrganizationAdmin):
    joined = ("user",)
    list_display = ("user", "role", "created_at")
    list_filter = ("role",)
    searched_texts = ("user__email",)
    search_help_text = _("A member's e-mail address")
    fields = ("user", "role", "created_at")


@admin.register(StaffAccess)
class StaffAccessAdmin(OrganizationAdmin):
    """Which of our own staff were let in, by whom and why."""

    joined = ("user",)
    list_display = ("user", "role", "reason", "granted_by", "granted_at", "expires_at", "ended_at", "last_used_at")
    list_filter = ("role", ("ended_at", admin.EmptyFieldListFilter))
    searched_texts = ("user__email",)
    search_help_text = _("The e-mail address of a member of staff")
    fields = ("user", "role", "reason", "granted_by", "granted_at", "expires_at", "ended_at", "last_used_at", "looks")

    @admin.display(description=_("what was looked at"))
    def looks(self, row: StaffAccess) -> SafeString:
        events = StaffAccessEvent.objects.filter(access=row).order_by("-at")[:50]
        return shown_json([f"{event.at:%Y-%m-%d %H:%M:%S} {event.method} {event.path}" for event in events])


@admin.register(StaffAccessEvent)
class StaffAccessEventAdmin(OrganizationAdmin):
    """Every page that staff opened and every act under a grant, the choice of the organization included."""

    joined = ("access__user",)
    list_display = ("at", "person", "method", "path", "grant")
    list_filter = ("method", "at")
    searched_ids = ("pk", "access_id")
    searched_texts = ("access__user__email",)
    search_help_text = _("The e-mail address of a member of staff, or the id of a grant")
    fields = ("at", "person", "method", "path", "grant")

    @admin.display(description=_("staff"))
    def person(self, row: StaffAccessEvent) -> str:
        return str(row.access.user)

    @admin.display(description=_("by the grant"))
    def grant(self, row: StaffAccessEvent) -> str:
        return linked("staffaccess", row.access_id, row.access.reason)
