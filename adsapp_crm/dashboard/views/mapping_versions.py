"""Mappings as they were, and as a file has them: what would change is shown first, and then saved as a new version."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from adsapp_crm.dashboard.access import actor_of, attempt, page, show, tell_refusal
from adsapp_crm.models import CrmConnection, CrmMappingVersion
from adsapp_crm.models.choices import Role
from adsapp_crm.services.actor_names import names_of
from adsapp_crm.services.conflict_rules import wanted_of
from adsapp_crm.services.connections import find_connection
from adsapp_crm.services.field_labels import labels_in
from adsapp_crm.services.mapping_changes import question_of, reach_said
from adsapp_crm.services.mapping_files import (
    apply_import,
    compare_mappings,
    export_csv,
    export_json,
    preview_import,
    version_rows,
)
from adsapp_crm.services.mappings import current_mappings, replace_mappings
from adsapp_crm.services.refusals import RefusedError, refuse
from crm.registry import PROVIDERS

TYPES: Final = {"json": "application/json", "csv": "text/csv; charset=utf-8"}


@page(role=Role.VIEWER, writes=Role.ADMIN)
def version(request: HttpRequest, crm: str, version: int) -> HttpResponse:
    """An earlier version beside today's; a POST saves it again, as a new one."""
    connection = find_connection(crm)
    found = CrmMappingVersion.objects.filter(connection=connection, version=version).first()
    if found is None:
        raise refuse("connection.unknown", _("There is no such version."), fix=_("Choose one of the list."))
    then = version_rows(found.mappings)
    if request.method == "POST":
        return attempt(
            request,
            lambda: replace_mappings(
                connection, then, actor=actor_of(request), applies_to=reach_said(request.POST.get("applies_to", ""))
            ),
            back=reverse("dashboard:mapping", args=[crm]),
            done=_("Version %(number)d is in use again, saved as a new version.") % {"number": version},
        )
    rows = current_mappings(connection)
    now = [wanted_of(each) for each in rows]
    context = {
        "row": connection,
        "provider": PROVIDERS[crm],
        "version": found,
        "by": names_of([found.actor]).get(found.actor, ""),
        "difference": compare_mappings(now, then),
        "labels": _labels(connection),
        "asks": question_of(connection, rows, then),
    }
    return show(request, "mapping_version.html", context)


def _labels(connection: CrmConnection) -> dict[str, dict[str, str]]:
    return {kind: labels_in(described) for kind, described in connection.schema.items()}


@page(role=Role.OPERATOR)
def export(request: HttpRequest, crm: str, form: str) -> HttpResponse:
    """``form``: json, as the API takes it, or csv for a spreadsheet, in which no cell is a formula."""
    del request
    connection = find_connection(crm)
    text = export_csv(connection) if form == "csv" else export_json(connection)
    answer = HttpResponse(text, content_type=TYPES[form])
    name = f"{crm}-mappings-version-{connection.mapping_version}.{form}"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


@page(writes=Role.ADMIN)
def import_file(request: HttpRequest, crm: str) -> HttpResponse:
    """A file is first shown as what it changes; the page that shows it carries the file to the button that saves it."""
    connection = find_connection(crm)
    context: dict[str, Any] = {
        "row": connection,
        "provider": PROVIDERS[crm],
        "labels": _labels(connection),
        "keep_others": True,
    }
    if request.method != "POST":
        return show(request, "mapping_import.html", context)
    here = reverse("dashboard:mapping-import", args=[crm])
    uploaded = request.FILES.get("file")
    content = uploaded.read() if uploaded is not None else request.POST.get("content", "").encode()
    try:
        if not content.strip():
            raise refuse("import.mapping_file", _("The file is empty."), fix=_("Choose a JSON or CSV file."))
        found = preview_import(connection, content, keep_others="keep_others" in request.POST)
    except RefusedError as error:
        tell_refusal(request, error)
        return HttpResponseRedirect(here)
    if "save" in request.POST and not found.refusals:
        if request.POST.get("version") != str(found.version):
            stale = refuse(
                "request.precondition",
                _("The mapping was changed since the file was shown."),
                fix=_("Choose the file again and look at what it changes now."),
            )
            tell_refusal(request, stale)
            return HttpResponseRedirect(here)
        return attempt(
            request,
            lambda: apply_import(
                connection, found, actor=actor_of(request), applies_to=reach_said(request.POST.get("applies_to", ""))
            ),
            back=here,
            done=lambda number: _("Saved as version %(number)d. The next run goes by it.") % {"number": number},
            goes_to=lambda _number: reverse("dashboard:mapping", args=[crm]),
        )
    context |= {
        "found": found,
        "difference": found.difference,
        "asks": found.question,
        "content": content.decode("utf-8-sig"),
        "keep_others": "keep_others" in request.POST,
    }
    return show(request, "mapping_import.html", context, status=422 if found.refusals else 200)
