"""The questions that wait for a person: both sides and what was agreed, picked field by field or many at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from django.utils.translation import ngettext

from adsapp_crm.admin.acts import Act
from adsapp_crm.admin.base import OrganizationAdmin, actor_of, may, note_staff
from adsapp_crm.admin.wording import connection_label, crm_label, shown_value
from adsapp_crm.models import CrmConflict
from adsapp_crm.models.choices import QuestionKind, QuestionStatus, Role
from adsapp_crm.services.actor_names import names_of
from adsapp_crm.services.conflict_review import Question, alike, answer, question_of, together_with, who_could_be_whom
from adsapp_crm.services.conflicts import answer_conflict, create_anyway, ignore_match, link_pair, merge_named
from adsapp_crm.services.contact_names import name_of
from adsapp_crm.services.refusals import RefusedError, refuse
from adsapp_crm.storage import codec
from adsapp_crm.tasks import drain, send_after_commit
from crm.model import Side


@dataclass(frozen=True, slots=True)
class Picked:
    """What somebody chose for one question of the page."""

    conflict: CrmConflict
    side: Side | None
    text: str
    all_alike: bool
    remember: bool


_OF_PEOPLE: Final = (QuestionKind.MATCH, QuestionKind.MERGE)
"""Kinds that ask who is whom, not what a field holds."""


def _keep(side: Side) -> Callable[[HttpRequest, CrmConflict], object]:
    return lambda request, row: answer_conflict(row.pk, side=side, actor=actor_of(request))


def _has_sides(row: CrmConflict) -> bool:
    return row.kind not in _OF_PEOPLE and row.status != QuestionStatus.CLOSED


def _drain(rows: Sequence[CrmConflict]) -> None:
    for connection_id in {str(row.connection_id) for row in rows}:
        send_after_commit(drain, connection_id)


@admin.register(CrmConflict)
class ConflictAdmin(OrganizationAdmin):
    joined = ("connection", "contact")
    list_display = ("opened_at", "crm", "kind", "who", "app_field", "app_value", "crm_value", "state_word")
    list_filter = ("connection", "status", "kind", "opened_at")
    searched_ids = ("pk", "contact_id", "link_id")
    searched_texts = ("remote_id", "app_field")
    searched_contact = "contact_id"
    search_help_text = lazy("A contact's e-mail address or id, the id of a CRM record, or the name of a field")
    acts: ClassVar[Sequence[Act]] = (
        Act(
            "keep_adsapp",
            lazy("Keep ADSapp's value"),
            lazy("The values of ADSapp stay and go to the CRM, where both sides still hold what was shown."),
            lazy("Answered %d conflicts; the next run applies it."),
            _keep(Side.APP),
            applies=_has_sides,
            after=_drain,
        ),
        Act(
            "keep_crm",
            lazy("Keep the CRM's value"),
            lazy("The values of the CRM stay and come to ADSapp, where both sides still hold what was shown."),
            lazy("Answered %d conflicts; the next run applies it."),
            _keep(Side.CRM),
            applies=_has_sides,
            after=_drain,
        ),
        Act(
            "ignore",
            lazy("Leave out of the sync"),
            lazy("The contacts and records are not synced until somebody takes them in again."),
            lazy("Left %d contacts or records out of the sync."),
            lambda request, row: ignore_match(row.pk, actor=actor_of(request)),
            applies=lambda row: row.kind in _OF_PEOPLE and row.status != QuestionStatus.CLOSED,
            harmful=True,
        ),
    )

    @admin.display(description=lazy("ADSapp"))
    def app_value(self, conflict: CrmConflict) -> SafeString | str:
        return _told(conflict, "app")

    @admin.display(description=lazy("in the CRM"))
    def crm_value(self, conflict: CrmConflict) -> SafeString | str:
        return _told(conflict, "crm")

    def parts_of(self, rows: Sequence[CrmConflict]) -> Sequence[tuple[str, int]]:
        counted = Counter((row.get_kind_display(), row.app_field) for row in rows)
        return [(f"{kind} {field}".strip(), number) for (kind, field), number in counted.most_common()]

    # The page of one question ----------------------------------------------------------------------------------

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The question with all others about the same pair; a POST answers what was picked."""
        del form_url, extra_context
        note_staff(request)
        row: CrmConflict = self.row_of(request, object_id or "")
        if request.method == "POST":
            return self._answer(request, row)
        return self._show(request, row)

    def _show(self, request: HttpRequest, row: CrmConflict, **more: Any) -> HttpResponse:
        questions = [question_of(each) for each in together_with(row)] if _has_sides(row) else [question_of(row)]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Conflict"),
            "subtitle": None,
            "opts": self.model._meta,
            "row": row,
            "who": name_of(row.contact) if row.contact else "",
            "account": connection_label(row.connection),
            "crm": crm_label(row.connection.crm_type),
            "questions": questions,
            "people": _people(questions),
            "may_operate": may(request, Role.OPERATOR),
            "may_administer": may(request, Role.ADMIN),
            "settled": row.status == QuestionStatus.CLOSED,
            **more,
        }
        if row.kind in _OF_PEOPLE:
            contacts, records = who_could_be_whom(row)
            context |= {"contacts": [(each, name_of(each)) for each in contacts], "records": records}
        return TemplateResponse(request, "adsapp_crm/admin/conflict.html", context)

    def _answer(self, request: HttpRequest, row: CrmConflict) -> HttpResponse:
        here = reverse("admin:adsapp_crm_crmconflict_change", args=[row.pk])
        if not may(request, Role.OPERATOR):
            self.message_user(request, _("Your role does not allow answering."), messages.ERROR)
            return HttpResponseRedirect(here)
        try:
            with transaction.atomic():
                if row.kind in _OF_PEOPLE:
                    number = self._match(request, row)
                else:
                    picked = _picked(request, row)
                    wide = [each for each in picked if each.all_alike or each.remember]
                    if wide and "confirmed" not in request.POST:
                        return self._ask(request, row, picked)
                    number = sum(self._one(request, each) for each in picked)
                _drain([row])
        except RefusedError as error:
            for each in error.refusals:
                self.message_user(request, f"{each.message} {each.fix}", messages.ERROR)
            return HttpResponseRedirect(here)
        text = ngettext(
            "%(n)d conflict is answered; the next run applies it.",
            "%(n)d conflicts are answered; the next run applies them.",
            number,
        )
        self.message_user(request, text % {"n": number}, messages.SUCCESS)
        following = CrmConflict.objects.filter(status=QuestionStatus.OPEN).order_by("-id").first()
        name = "change" if following else "changelist"
        args = [following.pk] if following else []
        return HttpResponseRedirect(reverse(f"admin:adsapp_crm_crmconflict_{name}", args=args))

    def _one(self, request: HttpRequest, picked: Picked) -> int:
        if picked.remember and not may(request, Role.ADMIN):
            raise refuse("request.forbidden", _("Remembering changes the mapping, and that needs an administrator."))
        return answer(
            picked.conflict,
            actor=actor_of(request),
            side=picked.side,
            text=picked.text,
            all_alike=picked.all_alike,
            remember=picked.remember,
        )

    def _match(self, request: HttpRequest, row: CrmConflict) -> int:
        if request.POST.get("act") == "ignore":
            ignore_match(row.pk, actor=actor_of(request))
        elif request.POST.get("act") == "merge":
            merge_named(row.pk, into=request.POST.get("contact", ""), actor=actor_of(request))
        elif request.POST.get("act") == "create":
            create_anyway(row.pk, actor=actor_of(request))
        else:
            said = request.POST
            link_pair(
                row.pk, contact_id=said.get("contact", ""), remote_id=said.get("record", ""), actor=actor_of(request)
            )
        return 1

    def _ask(self, request: HttpRequest, row: CrmConflict, picked: Sequence[Picked]) -> HttpResponse:
        """What the ticked boxes will do, in numbers; the same form comes back with a yes."""
        lines = [(each, alike(each.conflict).count() if each.all_alike else 0) for each in picked]
        hidden = [
            (name, value) for name, values in request.POST.lists() if name != "csrfmiddlewaretoken" for value in values
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Answer many at once"),
            "opts": self.model._meta,
            "lines": lines,
            "total": sum(1 + number for _each, number in lines),
            "hidden": hidden,
            "crm": crm_label(row.connection.crm_type),
            "back": reverse("admin:adsapp_crm_crmconflict_change", args=[row.pk]),
        }
        return TemplateResponse(request, "adsapp_crm/admin/confirm_answers.html", context)


def _picked(request: HttpRequest, row: CrmConflict) -> list[Picked]:
    """``pick-<id>``: app, crm or value (with ``value-<id>``); what is left open is not touched."""
    found = []
    for each in together_with(row) if row.kind == QuestionKind.FIELD else [row]:
        word = request.POST.get(f"pick-{each.pk}", "")
        if word not in (*Side, "value"):
            continue
        found.append(
            Picked(
                each,
                Side(word) if word != "value" else None,
                request.POST.get(f"value-{each.pk}", ""),
                f"alike-{each.pk}" in request.POST,
                f"remember-{each.pk}" in request.POST,
            )
        )
    if not found:
        raise refuse("conflict.answer", _("Nothing was picked."), fix=_("Pick a side or type a value for a field."))
    return found


def _told(conflict: CrmConflict, side: str) -> SafeString | str:
    if conflict.kind == QuestionKind.DELETE_EDIT:
        return _("edited") if conflict.values.get(side) else _("deleted")
    return shown_value(codec.decode_value(conflict.values.get(side))) if conflict.kind == QuestionKind.FIELD else "–"


def _people(questions: Sequence[Question]) -> dict[str, str]:
    """Actor -> what to call them."""
    actors = {each.change.who for each in questions if each.change} | {each.conflict.answered_by for each in questions}
    return names_of(actors)
