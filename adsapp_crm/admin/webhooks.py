"""Subscriptions, what the CRMs sent by them and what became of it; and reading it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from adsapp_crm.admin.acts import Act
from adsapp_crm.admin.base import OrganizationAdmin
from adsapp_crm.admin.wording import explained, linked, shown_json
from adsapp_crm.models import CrmWebhook, CrmWebhookEvent
from adsapp_crm.services.inbox import REPLAYED, replay_event
from adsapp_crm.tasks import refetch, send_after_commit


def _refetch(rows: Sequence[CrmWebhookEvent]) -> None:
    for connection_id in {str(row.connection_id) for row in rows}:
        send_after_commit(refetch, connection_id)


@admin.register(CrmWebhook)
class WebhookAdmin(OrganizationAdmin):
    list_display = ("crm", "remote_subscription_id", "state_word", "checked_at", "last_event_at", "last_error_code")
    list_filter = ("connection", "status")
    searched_texts = ("remote_subscription_id",)
    search_help_text = _("The id of a subscription")
    fields = (
        *("crm", "remote_subscription_id", "types", "status", "checked_at", "last_event_at", "why", "created_at"),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("secret", "path_token", "connection__credentials")

    @admin.display(description=_("event types"))
    def types(self, row: CrmWebhook) -> SafeString:
        return shown_json(row.event_types)

    @admin.display(description=_("why"))
    def why(self, row: CrmWebhook) -> str:
        return explained(row.last_error_code) or "–"


@admin.register(CrmWebhookEvent)
class WebhookEventAdmin(OrganizationAdmin):
    list_display = ("received_at", "crm", "event_type", "record_type", "remote_id", "state_word", "code", "attempts")
    list_filter = ("connection", "status", "received_at")
    searched_ids = ("pk", "run_id")
    searched_texts = ("remote_id", "event_key")
    search_help_text = _("The id of a CRM record or run, or the CRM's own key of an event")
    fields = (
        *("received_at", "occurred_at", "crm", "event_type", "event_key", "record_type", "remote_id", "status", "why"),
        *("attempts", "run_link", "processed_at", "what"),
    )
    acts: ClassVar[Sequence[Act]] = (
        Act(
            "replay",
            _("Replay"),
            _(
                "The records that they name are read again from the CRM. Where nothing has changed since, nothing is"
                " written."
            ),
            _("%d events are read again."),
            lambda _request, row: replay_event(row.pk),
            applies=lambda row: row.status in REPLAYED and bool(row.remote_id),
            after=_refetch,
        ),
    )

    @admin.display(description=_("why"))
    def why(self, row: CrmWebhookEvent) -> str:
        return explained(row.code) or "–"

    @admin.display(description=_("run"))
    def run_link(self, row: CrmWebhookEvent) -> str:
        return linked("crmsynclog", row.run_id, row.run_id) or "–"

    @admin.display(description=_("details"))
    def what(self, row: CrmWebhookEvent) -> SafeString:
        return shown_json(row.details)
