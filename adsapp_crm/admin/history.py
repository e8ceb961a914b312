"""Links and the ledger: where each pair stands, and what was done to whom and why. Shown only."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from adsapp_crm.admin.base import OrganizationAdmin, explained, shown_json
from adsapp_crm.models import CrmLedgerEntry, CrmSyncState


@admin.register(CrmSyncState)
class LinkAdmin(OrganizationAdmin):
    list_display = ("contact_id", "connection", "crm_record_type", "crm_record_id", "state", "error_code", "due")
    list_filter = ("state", "conflict_detected", "due")
    search_fields = ("crm_record_id",)
    ordering = ("-id",)
    fields = (
        *("connection", "contact_id", "crm_record_type", "crm_record_id", "state", "why", "attempts"),
        *("next_attempt_at", "last_synced_at", "adsapp_updated_at", "crm_updated_at", "conflict_detected"),
        *("synced_version", "due", "excluded_at", "excluded_by", "agreed", "seen", "refused"),
    )

    @admin.display(description=_("why"))
    def why(self, link: CrmSyncState) -> str:
        return explained(link.error_code)

    @admin.display(description=_("agreed values"))
    def agreed(self, link: CrmSyncState) -> SafeString:
        return shown_json(link.base)

    @admin.display(description=_("seen in the CRM since"))
    def seen(self, link: CrmSyncState) -> SafeString:
        return shown_json(link.observed)

    @admin.display(description=_("refused fields"))
    def refused(self, link: CrmSyncState) -> SafeString:
        return shown_json(link.troubles)


@admin.register(CrmLedgerEntry)
class LedgerAdmin(OrganizationAdmin):
    list_display = ("at", "connection", "kind", "rule", "contact_id", "record_type", "remote_id", "actor")
    list_filter = ("kind",)
    search_fields = ("remote_id",)
    ordering = ("-at", "-id")
    fields = (
        *("at", "connection", "kind", "rule", "contact_id", "record_type", "remote_id", "run_id", "actor"),
        *("contact_version", "what"),
    )

    @admin.display(description=_("what"))
    def what(self, entry: CrmLedgerEntry) -> SafeString:
        return shown_json(entry.effects or entry.action)
