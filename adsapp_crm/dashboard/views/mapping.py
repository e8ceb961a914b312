"""Which field is which: the rows, one row with its transform and preview, the versions and going back to one."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from adsapp_crm.dashboard.access import actor_of, attempt, page, show
from adsapp_crm.models import CrmConnection, CrmFieldMapping, CrmMappingVersion
from adsapp_crm.models.choices import BlankHandling, ConflictStrategy, Role, SyncDirection
from adsapp_crm.services.actor_names import names_of
from adsapp_crm.services.conflict_rules import wanted_of
from adsapp_crm.services.connections import find_connection
from adsapp_crm.services.mapping_changes import MappingQuestion, question_of, reach_said
from adsapp_crm.services.mapping_preview import examples_of, preview_of, samples_of_row
from adsapp_crm.services.mappings import (
    MappingsRefusedError,
    WantedMapping,
    current_mappings,
    described_types,
    judge_mappings,
    replace_mappings,
)
from adsapp_crm.services.refusals import RefusedError, refuse
from adsapp_crm.transform_forms import EDITS, context_of, posted_rule
from adsapp_crm.wiring import definitions_of, record_types_of
from crm.mapping.app_fields import APP_FIELDS
from crm.registry import PROVIDERS

VERSIONS: Final = 20


@page()
def mapping(request: HttpRequest, crm: str) -> HttpResponse:
    connection = find_connection(crm)
    rows = current_mappings(connection)
    context = {
        "row": connection,
        "provider": PROVIDERS[crm],
        "groups": [
            _group(connection, kind, [row for row in rows if row.record_type == kind]) for kind in kinds_of(connection)
        ],
        "versions": _versions(connection),
        "broken": sum(1 for row in rows if row.broken_code),
    }
    return show(request, "mapping.html", context)


def kinds_of(connection: CrmConnection) -> Sequence[str]:
    return described_types(connection) or record_types_of(connection)


def _group(connection: CrmConnection, kind: str, rows: Sequence[CrmFieldMapping]) -> dict[str, Any]:
    definitions = definitions_of(connection, kind)
    examples = examples_of(connection, kind, limit=20) if rows else []
    shown = []
    for row in rows:
        ours, theirs = samples_of_row(row, examples)
        shown.append(
            {
                "mapping": row,
                "definition": definitions.get(row.crm_field),
                "steps": (row.transform_rule or {}).get("steps", []),
                "ours": ours,
                "theirs": theirs,
            }
        )
    taken = {row.crm_field for row in rows}
    free = [each for name, each in definitions.items() if name not in taken]
    return {"kind": kind, "rows": shown, "free": len(free), "fields": len(definitions)}


def _versions(connection: CrmConnection) -> list[CrmMappingVersion]:
    versions = list(CrmMappingVersion.objects.filter(connection=connection).order_by("-version")[:VERSIONS])
    names = names_of(version.actor for version in versions)
    for each in versions:
        each.by = names.get(each.actor, "")  # type: ignore[attr-defined]  # for the template
    return versions


@page(role=Role.VIEWER, writes=Role.ADMIN)
def row(request: HttpRequest, crm: str, mapping_id: uuid.UUID | None = None) -> HttpResponse:
    """One pair of fields. Every button but Save only changes the form, or shows what it would do."""
    connection = find_connection(crm)
    rows = current_mappings(connection)
    stored = next((each for each in rows if each.pk == mapping_id), None)
    if mapping_id is not None and stored is None:
        raise refuse(
            "connection.unknown", _("There is no such mapping."), fix=_("It was removed: go back to the list.")
        )
    others = [wanted_of(each) for each in rows if each is not stored]
    problems: list[str] = []
    if request.method == "POST":
        wanted = _posted(request, problems)
    elif stored is not None:
        wanted = wanted_of(stored)
    else:
        wanted = _proposed(request, connection)
    asks: MappingQuestion | None = None
    if (
        request.method == "POST"
        and not problems
        and not any(each in request.POST for each in (*EDITS, "check", "preview"))
    ):
        place = rows.index(stored) if stored is not None else len(others)
        everything = [*others[:place], wanted, *others[place:]]
        if reach_said(request.POST.get("applies_to", "")) is None:
            asks = question_of(connection, rows, everything)
        problems = _saved(request, connection, everything, place, only_judge=asks is not None)
        if not problems and asks is None:
            return attempt(
                request,
                lambda: None,
                back=reverse("dashboard:mapping", args=[crm]),
                done=_("Saved as a new version. The next run goes by it."),
            )
    context = {**_row_context(connection, wanted, stored, others, problems), "asks": None if problems else asks}
    if "preview" in request.POST:
        return show(request, "_preview.html", context)
    return show(request, "mapping_row.html", context, status=422 if problems else 200)


def _proposed(request: HttpRequest, connection: CrmConnection) -> WantedMapping:
    """A new row as the address fills it in: from a suggestion, or empty. Nothing of it is believed."""
    asked = request.GET
    direction = asked.get("direction", "")
    return WantedMapping(
        record_type=asked.get("type") or next(iter(kinds_of(connection)), ""),
        app_field=asked.get("ours", "").strip(),
        remote_field=asked.get("theirs", "").strip(),
        direction=direction if direction in SyncDirection.values else SyncDirection.BIDIRECTIONAL,
    )


def _row_context(
    connection: CrmConnection,
    wanted: WantedMapping,
    stored: CrmFieldMapping | None,
    others: Sequence[WantedMapping],
    problems: list[str],
) -> dict[str, Any]:
    definitions = definitions_of(connection, wanted.record_type)
    complete = bool(wanted.app_field and wanted.remote_field)
    return {
        "row": connection,
        "provider": PROVIDERS[connection.crm_type],
        "wanted": wanted,
        "stored": stored,
        "problems": problems,
        "kinds": kinds_of(connection),
        "app_fields": list(APP_FIELDS),
        "definitions": sorted(definitions.values(), key=lambda each: each.label.casefold()),
        "definition": definitions.get(wanted.remote_field),
        **context_of(wanted.transform_rule),
        "directions": SyncDirection.choices,
        "blank_rules": BlankHandling.choices,
        "strategies": ConflictStrategy.choices,
        "preview": preview_of(connection, wanted, others) if complete else None,
    }


def _posted(request: HttpRequest, problems: list[str]) -> WantedMapping:
    said = request.POST
    rule, unreadable = posted_rule(said)
    if unreadable:
        problems.append(unreadable)
    return WantedMapping(
        record_type=said.get("record_type", ""),
        app_field=said.get("app_field", "").strip(),
        remote_field=said.get("remote_field", "").strip(),
        direction=said.get("direction", SyncDirection.BIDIRECTIONAL),
        transform_rule=rule,
        blank_rule=said.get("blank_rule", BlankHandling.PROPAGATE),
        strategy=said.get("strategy") or None,
        drift=said.get("drift") or None,
    )


def _saved(
    request: HttpRequest,
    connection: CrmConnection,
    everything: Sequence[WantedMapping],
    place: int,
    *,
    only_judge: bool,
) -> list[str]:
    """Problems in words, those of the edited row first; none when it is saved, or could be."""
    try:
        if only_judge:
            judge_mappings(connection, everything)
        else:
            replace_mappings(
                connection,
                everything,
                actor=actor_of(request),
                applies_to=reach_said(request.POST.get("applies_to", "")),
            )
    except MappingsRefusedError as error:
        told = []
        for each in error.refusals:
            number = each.field.removeprefix("/mappings/").partition("/")[0]
            own = number == str(place)
            example = error.examples.get(each.field, "")
            prefix = "" if own else f"{everything[int(number)].app_field}: " if number.isdecimal() else ""
            shown = _(" Example: %s") % example if example and own else ""
            told.append((not own, f"{prefix}{each.message} {each.fix}{shown}"))
        return [text for _other, text in sorted(told)]
    except RefusedError as error:
        return [f"{each.message} {each.fix}" for each in error.refusals]
    return []


@require_POST
@page(role=Role.ADMIN)
def remove(request: HttpRequest, crm: str, mapping_id: uuid.UUID) -> HttpResponse:
    def act() -> None:
        connection = find_connection(crm)
        kept = [wanted_of(each) for each in current_mappings(connection) if each.pk != mapping_id]
        replace_mappings(connection, kept, actor=actor_of(request))

    return attempt(
        request,
        act,
        back=reverse("dashboard:mapping", args=[crm]),
        done=_("Removed. Both sides keep the values they have; the earlier version can be brought back."),
    )
