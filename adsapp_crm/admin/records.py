"""Links, unlinked records and their journals: where each pair stands, what was done to whom and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from adsapp_crm.admin.acts import Act
from adsapp_crm.admin.base import OrganizationAdmin, actor_of
from adsapp_crm.admin.wording import explained, linked, shown_effects, shown_json, shown_value
from adsapp_crm.models import (
    ContactChange,
    ContactTombstone,
    CrmFieldMapping,
    CrmIntent,
    CrmLedgerEntry,
    CrmObservation,
    CrmSyncState,
)
from adsapp_crm.models.choices import LinkStatus
from adsapp_crm.services.record_actions import FAILING, exclude_links, include_links, retry_links
from adsapp_crm.services.refusals import refuse
from adsapp_crm.storage import codec
from adsapp_crm.tasks import drain, send_after_commit
from crm.mapping.app_fields import name_of_attribute
from crm.model import BasePair

_CURRENT = (LinkStatus.LIVE, LinkStatus.PENDING)


class TroubleFilter(admin.SimpleListFilter):
    """Links that need somebody, by columns that have an index."""

    title = _("trouble")
    parameter_name = "trouble"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("any", _("failing")),
            ("failing", _("failing as a whole")),
            ("fields", _("refused fields")),
            ("excluded", _("left out of the sync")),
            ("conflict", _("in conflict")),
        ]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[CrmSyncState]) -> QuerySet[CrmSyncState]:
        word = self.value()
        if word == "any":
            return queryset.filter(FAILING, excluded_at__isnull=True)
        if word == "failing":
            return queryset.exclude(error_code="")
        if word == "fields":
            return queryset.exclude(troubles={})
        if word == "excluded":
            return queryset.filter(excluded_at__isnull=False)
        return queryset.filter(conflict_detected=True) if word == "conflict" else queryset


def _one(request: HttpRequest, row: CrmSyncState, change: Any) -> None:
    """Refused where the row moved on since the question was asked."""
    del request
    if not change(CrmSyncState.objects.filter(pk=row.pk)):
        raise refuse("record.unknown", "The link has changed meanwhile.", fix="Reload the page.")


def _drain(rows: Sequence[CrmSyncState]) -> None:
    for connection_id in {str(row.connection_id) for row in rows}:
        send_after_commit(drain, connection_id)


@admin.register(CrmSyncState)
class LinkAdmin(OrganizationAdmin):
    joined = ("connection", "contact")
    list_display_links = ("crm_record_id",)
    list_display = ("who", "crm", "crm_record_type", "crm_record_id", "state", "error_code", "last_synced_at", "waits")
    list_filter = ("connection", "state", TroubleFilter, "due")
    searched_ids = ("pk", "contact_id")
    searched_texts = ("crm_record_id", "error_code")
    searched_contact = "contact_id"
    search_help_text = _("A contact's e-mail address or id, the id of a CRM record, or an error code")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("who", "crm", "crm_record_type", "crm_record_id", "state", "why", "attempts"),
                    *("next_attempt_at", "last_synced_at", "adsapp_updated_at", "crm_updated_at"),
                    *("conflict_detected", "synced_version", "due", "excluded_at", "excluded_by"),
                )
            },
        ),
        (_("Values"), {"fields": ("agreed", "seen", "refused")}),
    )
    acts: ClassVar[Sequence[Act]] = (
        Act(
            "retry",
            _("Try again"),
            _("What was refused is forgotten, and the next run tries each record and field again at once."),
            _("%d links are tried again."),
            lambda request, row: _one(request, row, retry_links),
            applies=lambda row: bool(row.error_code or row.troubles) and row.excluded_at is None,
            after=_drain,
        ),
        Act(
            "resync",
            _("Compare again"),
            _("The next run reads both sides and brings into step what differs."),
            _("%d links are compared again."),
            lambda request, row: _one(request, row, lambda links: links.update(due=True)),
            applies=lambda row: row.state == LinkStatus.LIVE and row.excluded_at is None,
            after=_drain,
        ),
        Act(
            "exclude",
            _("Leave out of the sync"),
            _("Both sides keep what they have, and neither follows the other, until somebody takes them in again."),
            _("%d links are left out."),
            lambda request, row: _one(request, row, lambda links: exclude_links(links, actor=actor_of(request))),
            applies=lambda row: row.state in _CURRENT and row.excluded_at is None,
            harmful=True,
        ),
        Act(
            "include",
            _("Take in again"),
            _("The next run looks at them as at any other."),
            _("%d links are taken in again."),
            lambda request, row: _one(request, row, include_links),
            applies=lambda row: row.state in _CURRENT and row.excluded_at is not None,
            after=_drain,
        ),
    )

    @admin.display(description=_("why"))
    def why(self, link: CrmSyncState) -> str:
        return explained(link.error_code) or "–"

    @admin.display(description=_("next run"), ordering="due")
    def waits(self, link: CrmSyncState) -> str:
        return str(_("looks again")) if link.due else "–"

    @admin.display(description=_("agreed values"))
    def agreed(self, link: CrmSyncState) -> SafeString:
        names = dict(CrmFieldMapping.objects.filter(connection=link.connection_id).values_list("pk", "adsapp_field"))
        known = {str(key): name for key, name in names.items()}
        base = codec.decode_map(BasePair, link.base)
        return shown_json({known.get(key, key): {"adsapp": pair.app, "crm": pair.crm} for key, pair in base.items()})

    @admin.display(description=_("seen in the CRM since"))
    def seen(self, link: CrmSyncState) -> SafeString:
        return shown_json(link.observed)

    @admin.display(description=_("refused fields"))
    def refused(self, link: CrmSyncState) -> SafeString:
        return shown_json(link.troubles)


@admin.register(CrmObservation)
class ObservationAdmin(OrganizationAdmin):
    list_display = ("record_type", "remote_id", "crm", "state", "reason_code", "excluded_at", "modified_at")
    list_filter = ("connection", "state", ("excluded_at", admin.EmptyFieldListFilter))
    searched_texts = ("remote_id", "reason_code")
    search_help_text = _("The id of a CRM record, or a reason code")
    fields = (
        *("crm", "record_type", "remote_id", "state", "why", "what", "modified_at", "created_at", "merged_into"),
        *("excluded_at", "excluded_by", "observed_at"),
    )

    @admin.display(description=_("why it has no partner"))
    def why(self, row: CrmObservation) -> str:
        return explained(row.reason_code) or "–"

    @admin.display(description=_("values"))
    def what(self, row: CrmObservation) -> SafeString:
        return shown_json(row.values)


@admin.register(CrmLedgerEntry)
class LedgerAdmin(OrganizationAdmin):
    joined = ("connection", "contact")
    list_display = ("at", "crm", "kind", "who", "effects", "rule", "actor")
    list_filter = ("connection", "kind", "at")
    linked_by = ("run_id",)
    searched_ids = ("pk", "run_id", "contact_id", "link_id")
    searched_texts = ("remote_id",)
    searched_contact = "contact_id"
    search_help_text = _("A contact's e-mail address, or the id of a contact, CRM record, link or run")
    fields = (
        *("at", "crm", "kind", "rule", "who", "record_type", "remote_id", "run_link", "actor"),
        *("contact_version", "effects"),
    )

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup == "run_id" or super().lookup_allowed(lookup, value, request)

    @admin.display(description=_("what"))
    def effects(self, entry: CrmLedgerEntry) -> SafeString:
        return shown_effects(entry)

    @admin.display(description=_("run"))
    def run_link(self, entry: CrmLedgerEntry) -> str:
        return linked("crmsynclog", entry.run_id, entry.run_id) or "–"


@admin.register(CrmIntent)
class IntentAdmin(OrganizationAdmin):
    joined = ("connection", "contact")
    list_display = ("sent_at", "crm", "kind", "who", "remote_id", "status", "error_code", "settled_at")
    list_filter = ("connection", "status", "kind")
    searched_ids = ("pk", "run_id", "contact_id")
    searched_texts = ("remote_id", "request_id")
    searched_contact = "contact_id"
    search_help_text = _("A contact's e-mail address, or the id of a contact, CRM record, run or CRM request")
    fields = (
        *("sent_at", "crm", "kind", "status", "who", "record_type", "remote_id", "why", "request_id", "attempts"),
        *("what", "settled_at"),
    )

    @admin.display(description=_("why"))
    def why(self, row: CrmIntent) -> str:
        return explained(row.error_code) or "–"

    @admin.display(description=_("values sent"))
    def what(self, row: CrmIntent) -> SafeString:
        return shown_json(row.values)


@admin.register(ContactChange)
class ContactChangeAdmin(OrganizationAdmin):
    joined = ("contact",)
    list_display = ("at", "who", "version", "what", "by", "origin")
    list_filter = ("at",)
    searched_ids = ("pk", "contact_id")
    searched_contact = "contact_id"
    search_help_text = _("A contact's e-mail address or id")
    fields = ("at", "who", "version", "what", "by", "origin")

    @display(description=_("by"))  # type: ignore[untyped-decorator]
    def by(self, row: ContactChange) -> str:
        return row.who

    @admin.display(description=_("changes"))
    def what(self, row: ContactChange) -> SafeString:
        return shown_value(
            [
                f"{name_of_attribute(name)}: {_said(before)} → {_said(after)}"
                for name, (before, after) in row.changes.items()
            ]
        )


@admin.register(ContactTombstone)
class TombstoneAdmin(OrganizationAdmin):
    joined = ()
    list_display = ("contact_id", "created_at")
    searched_ids = ("pk", "contact_id")
    search_help_text = _("The id of an erased contact")
    fields = ("contact_id", "created_at")


def _said(value: Any) -> str:
    return "–" if value in (None, "", []) else str(value)
