"""The questions that wait for a person, and their answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from adsapp_crm.admin.base import OrganizationAdmin, actor_of, explained, shown_json
from adsapp_crm.models import CrmConflict
from adsapp_crm.services.conflicts import answer_conflict, candidates_of, create_anyway, ignore_match, link_pair
from adsapp_crm.tasks import drain, send_after_commit
from crm.model import Side


@admin.register(CrmConflict)
class ConflictAdmin(OrganizationAdmin):
    list_display = ("opened_at", "connection", "kind", "status", "app_field", "adsapp_value", "crm_value", "contact_id")
    list_filter = ("status", "kind")
    ordering = ("-opened_at", "-id")
    fields = (
        *("connection", "kind", "status", "why", "contact_id", "record_type", "remote_id", "app_field"),
        *("what", "when", "candidates", "answer", "opened_at", "refreshed_at", "answered_at", "answered_by"),
        *("closed_at", "closed_reason"),
    )
    actions: ClassVar[list[str]] = ["keep_adsapp", "keep_crm", "link_the_pair", "create", "ignore"]

    @admin.display(description=_("ADSapp"))
    def adsapp_value(self, conflict: CrmConflict) -> str:
        return str(conflict.values.get("app", ""))

    @admin.display(description=_("CRM"))
    def crm_value(self, conflict: CrmConflict) -> str:
        return str(conflict.values.get("crm", ""))

    @admin.display(description=_("why"))
    def why(self, conflict: CrmConflict) -> str:
        return explained(conflict.code or f"conflict.{conflict.kind}")

    @admin.display(description=_("values"))
    def what(self, conflict: CrmConflict) -> SafeString:
        return shown_json(conflict.values)

    @admin.display(description=_("changed"))
    def when(self, conflict: CrmConflict) -> SafeString:
        return shown_json(conflict.intervals)

    @admin.display(description=_("answer"))
    def answer(self, conflict: CrmConflict) -> SafeString:
        return shown_json(conflict.resolution)

    @admin.action(description=_("Keep ADSapp's value"), permissions=["operate"])
    def keep_adsapp(self, request: HttpRequest, queryset: QuerySet[CrmConflict]) -> HttpResponse | None:
        question = str(_("The values of ADSapp stay and go to the CRM, if both sides still hold what is shown."))
        return self._answer(request, queryset, question, _keep(Side.APP, request))

    @admin.action(description=_("Keep the CRM's value"), permissions=["operate"])
    def keep_crm(self, request: HttpRequest, queryset: QuerySet[CrmConflict]) -> HttpResponse | None:
        question = str(_("The values of the CRM stay and come to ADSapp, if both sides still hold what is shown."))
        return self._answer(request, queryset, question, _keep(Side.CRM, request))

    @admin.action(description=_("Leave out of the sync"), permissions=["operate"])
    def ignore(self, request: HttpRequest, queryset: QuerySet[CrmConflict]) -> HttpResponse | None:
        question = str(_("The contact or record is not synced until somebody takes it in again."))
        return self._answer(request, queryset, question, lambda row: ignore_match(row.pk, actor=actor_of(request)))

    @admin.action(description=_("None of these: make a new one"), permissions=["operate"])
    def create(self, request: HttpRequest, queryset: QuerySet[CrmConflict]) -> HttpResponse | None:
        question = str(_("The next run makes a new record for the contact, or a new contact for the record."))
        return self._answer(request, queryset, question, lambda row: create_anyway(row.pk, actor=actor_of(request)))

    @admin.action(description=_("Link a contact and a record"), permissions=["operate"])
    def link_the_pair(self, request: HttpRequest, queryset: QuerySet[CrmConflict]) -> HttpResponse | None:
        conflict = queryset.first()
        if conflict is None or queryset.count() != 1:
            self.message_user(request, str(_("Choose exactly one conflict.")), messages.ERROR)
            return None
        known = candidates_of(conflict)
        pairs = [(contact, record) for contact in known.contacts for record in known.records]
        if not pairs:
            self.message_user(request, str(_("This conflict offers no pair.")), messages.ERROR)
            return None

        def act(row: CrmConflict) -> None:
            contact, _colon, record = request.POST.get("choice", "").partition(":")
            link_pair(row.pk, contact_id=contact, remote_id=record, actor=actor_of(request))

        choices = [(f"{contact}:{record}", f"{contact} - {record}") for contact, record in pairs]
        question = str(_("The two become a pair; the next run compares their fields."))
        return self._answer(request, queryset, question, act, choices)

    def _answer(
        self,
        request: HttpRequest,
        queryset: QuerySet[CrmConflict],
        question: str,
        act: Callable[[CrmConflict], object],
        choices: list[tuple[str, str]] | None = None,
    ) -> HttpResponse | None:
        connections = {str(row.connection_id) for row in queryset}

        def act_and_drain(row: CrmConflict) -> None:
            with transaction.atomic():
                act(row)

        answered = self.confirmed(
            request,
            queryset,
            question=question,
            act=act_and_drain,
            done=str(_("Answered %d conflicts; the next run applies it.")),
            choices=choices or (),
        )
        if answered is None:
            for connection_id in connections:
                send_after_commit(drain, connection_id)
        return answered


def _keep(side: Side, request: HttpRequest) -> Callable[[CrmConflict], None]:
    def act(row: CrmConflict) -> None:
        answer_conflict(row.pk, side=side, actor=actor_of(request))

    return act
