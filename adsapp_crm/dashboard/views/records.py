"""Records that fail or are left out, by reason; what to do about one is done to all of them."""

from __future__ import annotations

import csv
import io
import uuid
from typing import Any, Final

from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from adsapp_crm.catalogue import explain
from adsapp_crm.dashboard.access import actor_of, attempt, page, show
from adsapp_crm.dashboard.pages import slice_of
from adsapp_crm.models import CrmConnection, CrmSyncState
from adsapp_crm.models.choices import ConnectionStatus, Role
from adsapp_crm.services.actor_names import names_of
from adsapp_crm.services.formulas import guarded
from adsapp_crm.services.record_actions import (
    contact_ids_of,
    exclude_links,
    excluded_links,
    failing_links,
    include_links,
    retry_links,
    troubled_links,
)
from adsapp_crm.services.retrying import AT_ONCE, start_retry
from adsapp_crm.tasks import send_after_commit, sync_now
from crm.registry import PROVIDERS

PAGE_SIZE: Final = 50
MOST_EXPORTED: Final = 50_000
FIELDS: Final = "fields"
"""Stands for the links of which only single fields fail."""


@page(writes=Role.OPERATOR)
def listing(request: HttpRequest) -> HttpResponse:
    row = _connection(request)
    if row is None:
        return show(request, "records.html", {"row": None, "rows": []})
    if request.method == "POST":
        return _act(request, row)
    state, code = _asked(request)
    links = slice_of(request, _links(row, state, code).select_related("contact"), order="id", size=PAGE_SIZE)
    names = names_of(link.excluded_by for link in links.rows)
    for link in links.rows:
        link.trouble = next(iter(link.troubles.values()), {}) if link.troubles else {}
        link.by = names.get(link.excluded_by, "")
    context = {
        "row": row,
        "provider": PROVIDERS[row.crm_type],
        "connections": _connections(),
        "providers": PROVIDERS,
        "state": state,
        "code": code,
        "reasons": _reasons(row) if state == "failing" else [],
        "links": links,
        "fields_key": FIELDS,
    }
    return show(request, "records.html", context)


@page(role=Role.OPERATOR)
def export(request: HttpRequest) -> HttpResponse:
    """The list as a file: who, which reason, what to do."""
    row = _connection(request)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["contact id", "e-mail", "record type", "CRM record id", "state", "code", "reason", "fix", "since"])
    if row is not None:
        state, code = _asked(request)
        for link in _links(row, state, code).select_related("contact").order_by("id")[:MOST_EXPORTED]:
            why = _code_of(link) or "state.excluded"
            entry = explain(why)
            values = [link.contact_id, link.contact.email, link.crm_record_type, link.crm_record_id, state, why]
            writer.writerow(
                [guarded(str(each or "")) for each in [*values, entry.title, entry.fix, link.updated_at.isoformat()]]
            )
    answer = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="records.csv"'
    return answer


def _asked(request: HttpRequest) -> tuple[str, str]:
    asked = request.POST if request.method == "POST" else request.GET
    state = "excluded" if asked.get("state") == "excluded" else "failing"
    return state, asked.get("code", "")


def _links(row: CrmConnection, state: str, code: str) -> QuerySet[CrmSyncState]:
    if state == "excluded":
        return excluded_links(row.pk)
    return troubled_links(row.pk) if code == FIELDS else failing_links(row.pk, code)


def _code_of(link: CrmSyncState) -> str:
    trouble: dict[str, Any] = next(iter(link.troubles.values()), {}) if link.troubles else {}
    return link.error_code or str(trouble.get("code", ""))


def _reasons(row: CrmConnection) -> list[dict[str, Any]]:
    counted = failing_links(row.pk).values_list("error_code").annotate(number=Count("pk")).order_by("-number")
    reasons = [{"code": code, "entry": explain(code), "number": number} for code, number in counted]
    fields = troubled_links(row.pk).count()
    if fields:
        reasons.append({"code": FIELDS, "entry": None, "number": fields})
    return reasons


def _connections() -> list[CrmConnection]:
    return list(CrmConnection.objects.exclude(status=ConnectionStatus.DISCONNECTED).order_by("crm_type"))


def _connection(request: HttpRequest) -> CrmConnection | None:
    wanted = request.POST.get("crm") or request.GET.get("crm", "")
    rows = _connections()
    return next((row for row in rows if row.crm_type == wanted), rows[0] if rows else None)


def _act(request: HttpRequest, row: CrmConnection) -> HttpResponse:
    """``act`` on the ticked ones, or on all of the list that is shown."""
    state, code = _asked(request)
    links = _links(row, state, code)
    back = f"{reverse('dashboard:records')}?crm={row.crm_type}&state={state}&code={code}"
    if request.POST.get("which") != "all":
        ids = [each for each in map(_uuid, request.POST.getlist("link")) if each is not None]
        links = links.filter(pk__in=ids)
        if not ids:
            return attempt(request, lambda: None, back=back, done=_("Nothing was chosen, so nothing was changed."))
    what = request.POST.get("act", "")

    def act() -> str:
        if what == "exclude":
            number = exclude_links(links, actor=actor_of(request))
            return ngettext("%(n)d record is left out.", "%(n)d records are left out.", number) % {"n": number}
        contacts = contact_ids_of(links, AT_ONCE)
        number = include_links(links) if what == "include" else retry_links(links)
        run_id = start_retry(row.pk, contacts, actor=actor_of(request))
        if run_id is not None:
            send_after_commit(sync_now, str(run_id))
        return ngettext("%(n)d record is tried again.", "%(n)d records are tried again.", number) % {"n": number}

    return attempt(request, act, back=back, done=str)


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
