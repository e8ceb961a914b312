"""Questions only a person can answer: one by one, or many alike with a confirmation that counts."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from adsapp_crm.dashboard.access import actor_of, attempt, may, page, show
from adsapp_crm.dashboard.pages import slice_of
from adsapp_crm.dashboard.views.contacts import record_address
from adsapp_crm.dashboard.views.runs import contact_names
from adsapp_crm.models import CrmConflict, CrmConnection
from adsapp_crm.models.choices import QuestionKind, QuestionStatus, Role
from adsapp_crm.services.actor_names import names_of
from adsapp_crm.services.conflict_review import MOST_AT_ONCE, alike, question_of, typed_value, who_could_be_whom
from adsapp_crm.services.conflict_rules import remember_side
from adsapp_crm.services.conflicts import answer_conflict, create_anyway, ignore_match, link_pair, merge_named
from adsapp_crm.services.contact_names import name_of
from adsapp_crm.services.refusals import refuse
from adsapp_crm.storage import codec
from adsapp_crm.tasks import drain, send_after_commit
from crm.model import Interval, Side
from crm.registry import PROVIDERS

PAGE_SIZE: Final = 25
_SIDES: Final = tuple(Side)
_OF_PEOPLE: Final = (QuestionKind.MATCH, QuestionKind.MERGE)
"""Kinds that ask who is whom, not what a field holds."""


@page(writes=Role.OPERATOR)
def inbox(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return _bulk(request)
    asked = _asked(request.GET)
    found = slice_of(request, asked, size=PAGE_SIZE)
    rows = _prepared(found.rows)
    groups = (
        CrmConflict.objects.filter(status=QuestionStatus.OPEN)
        .values("kind", "app_field", "connection__crm_type")
        .annotate(number=Count("pk"))
        .order_by("-number", "kind", "app_field")
    )
    context = {
        "slice": found,
        "rows": rows,
        "groups": [
            {**group, "label": QuestionKind(group["kind"]).label, "crm": PROVIDERS[group["connection__crm_type"]].label}
            for group in groups
        ],
        "kind": request.GET.get("kind", ""),
        "field": request.GET.get("field", ""),
        "crm": request.GET.get("crm", ""),
        "answered": CrmConflict.objects.filter(status=QuestionStatus.ANSWERED).count(),
    }
    return show(request, "conflicts.html", context)


def _asked(said: Any) -> QuerySet[CrmConflict]:
    """Open questions, narrowed by what the page was narrowed by."""
    found = CrmConflict.objects.filter(status=QuestionStatus.OPEN)
    if said.get("kind") in QuestionKind.values:
        found = found.filter(kind=said["kind"])
    if said.get("field"):
        found = found.filter(app_field=said["field"])
    if said.get("crm") in PROVIDERS:
        found = found.filter(connection__crm_type=said["crm"])
    return found


def _prepared(rows: Sequence[CrmConflict]) -> list[dict[str, Any]]:
    connections = {row.pk: row for row in CrmConnection.objects.filter(pk__in={each.connection_id for each in rows})}
    names = contact_names([each.contact_id for each in rows])
    return [
        {
            "conflict": each,
            "crm": PROVIDERS[connections[each.connection_id].crm_type].label,
            "who": names.get(each.contact_id, "") if each.contact_id else "",
            "values": codec.decode_values(each.values),
            "when": _intervals(each),
        }
        for each in rows
    ]


def _intervals(conflict: CrmConflict) -> dict[str, Interval]:
    return codec.decode_map(Interval, {key: value for key, value in conflict.intervals.items() if value})


def _bulk(request: HttpRequest) -> HttpResponse:
    """First the question with its number, then the act."""
    here = f"{reverse('dashboard:conflicts')}?{request.GET.urlencode()}"
    everything = request.POST.get("which") == "all"
    ids = [each for each in map(_uuid, request.POST.getlist("conflict")) if each is not None]
    chosen = _asked(request.GET) if everything else CrmConflict.objects.filter(pk__in=ids, status=QuestionStatus.OPEN)
    what = request.POST.get("act", "")
    chosen = chosen.filter(kind__in=_OF_PEOPLE) if what == "ignore" else chosen.exclude(kind__in=_OF_PEOPLE)
    number = chosen.count()
    if number == 0 or what not in ("app", "crm", "ignore"):
        return attempt(request, lambda: None, back=here, done=_("Nothing was chosen that can be answered this way."))
    if "confirmed" not in request.POST:
        fields = list(
            chosen.order_by().values_list("kind", "app_field").annotate(number=Count("pk")).order_by("-number")
        )
        context = {
            "number": number,
            "most": MOST_AT_ONCE,
            "what": what,
            "ids": [] if everything else ids,
            "everything": everything,
            "fields": [(QuestionKind(kind).label, name, count) for kind, name, count in fields],
            "query": request.GET.urlencode(),
        }
        return show(request, "conflicts_confirm.html", context)

    def act() -> int:
        return _answer(request, list(chosen.order_by("id")[:MOST_AT_ONCE]), what)

    return attempt(request, act, back=here, done=_told)


def _answer(request: HttpRequest, rows: Sequence[CrmConflict], what: str) -> int:
    for row in rows:
        if what == "ignore":
            ignore_match(row.pk, actor=actor_of(request))
        else:
            answer_conflict(row.pk, actor=actor_of(request), side=Side(what))
    for connection_id in {str(row.connection_id) for row in rows}:
        send_after_commit(drain, connection_id)
    return len(rows)


def _told(number: int) -> str:
    return ngettext(
        "%(n)d conflict is answered; the next run applies it.",
        "%(n)d conflicts are answered; the next run applies them.",
        number,
    ) % {"n": number}


@page(writes=Role.OPERATOR)
def conflict(request: HttpRequest, conflict_id: uuid.UUID) -> HttpResponse:
    found = CrmConflict.objects.filter(pk=conflict_id).first()
    if found is None:
        raise refuse("conflict.unknown", _("There is no such conflict."), fix=_("Go back to the inbox."))
    if request.method == "POST":
        return _settle(request, found)
    row = CrmConnection.objects.get(pk=found.connection_id)
    (prepared,) = _prepared([found])
    asked = question_of(found)
    context = {
        **prepared,
        "row": row,
        "provider": PROVIDERS[row.crm_type],
        "mapping": asked.mapping,
        "alike": asked.alike,
        "address": record_address(row, found.record_type, found.remote_id),
        "change": asked.change,
        "answered_by": names_of([found.answered_by]).get(found.answered_by, ""),
        **(_candidates(found) if found.kind in _OF_PEOPLE else {}),
    }
    context["changed_by"] = names_of([asked.change.who]).get(asked.change.who, "") if asked.change else ""
    return show(request, "conflict.html", context)


def _candidates(found: CrmConflict) -> dict[str, Any]:
    contacts, records = who_could_be_whom(found)
    return {"contacts": [{"contact": each, "name": name_of(each)} for each in contacts], "records": records}


def _settle(request: HttpRequest, found: CrmConflict) -> HttpResponse:
    """``act``: app, crm, value (``value``), pair (``contact``, ``record``), merge (``contact``), create, ignore."""
    what, said = request.POST.get("act", ""), request.POST
    here = reverse("dashboard:conflict", args=[found.pk])
    acts: dict[str, Callable[[], Any]] = {
        "app": lambda: answer_conflict(found.pk, actor=actor_of(request), side=Side.APP),
        "crm": lambda: answer_conflict(found.pk, actor=actor_of(request), side=Side.CRM),
        "value": lambda: answer_conflict(
            found.pk, actor=actor_of(request), value=typed_value(found, said.get("value", "")), typed=True
        ),
        "pair": lambda: link_pair(
            found.pk, contact_id=said.get("contact", ""), remote_id=said.get("record", ""), actor=actor_of(request)
        ),
        "merge": lambda: merge_named(found.pk, into=said.get("contact", ""), actor=actor_of(request)),
        "create": lambda: create_anyway(found.pk, actor=actor_of(request)),
        "ignore": lambda: ignore_match(found.pk, actor=actor_of(request)),
    }

    def act() -> int:
        if what not in acts:
            raise refuse("conflict.answer", _("Choose one of the answers."))
        acts[what]()
        number = 1
        if what in _SIDES and "alike" in said:
            number += _answer(request, list(alike(found).order_by("id")[:MOST_AT_ONCE]), what)
        if what in _SIDES and "remember" in said:
            _remember(request, found, Side(what))
        send_after_commit(drain, str(found.connection_id))
        return number

    following = _asked({}).exclude(pk=found.pk).order_by("-id").values_list("pk", flat=True).first()
    onward = reverse("dashboard:conflict", args=[following]) if following else reverse("dashboard:conflicts")
    return attempt(request, act, back=here, done=_told, goes_to=lambda _number: onward)


def _remember(request: HttpRequest, found: CrmConflict, side: Side) -> None:
    """Make the answer the mapping's rule from now on; kept as a version like any change of the mapping."""
    if not may(request, Role.ADMIN):
        raise refuse("request.forbidden", _("Remembering a rule changes the mapping, and that needs an administrator."))
    remember_side(found, side, actor=actor_of(request))


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
