"""What a mapping makes of values that both sides really hold, and what is wrong with it, before it is saved."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from adsapp_crm.models import Contact, CrmConnection, CrmFieldMapping, CrmSyncState, Organization
from adsapp_crm.models.choices import LinkStatus
from adsapp_crm.services.contact_names import name_of
from adsapp_crm.services.mappings import WantedMapping, app_value
from adsapp_crm.services.sensitive import is_sensitive
from adsapp_crm.storage import codec
from adsapp_crm.wiring import definitions_of
from crm.mapping.app_fields import app_field
from crm.mapping.build import BrokenMapping, MappingRow, build_field_map
from crm.mapping.field_map import FieldMap, TransformError
from crm.mapping.lint import Finding, Samples, Severity, lint
from crm.model import UNKNOWN, BasePair, Direction, Seen, Value

TRIED: Final = 3
LOOKED_AT: Final = 60
"""Newest links that examples are taken from."""


@dataclass(frozen=True, slots=True)
class Made:
    """What the mapping makes of a value, or why it cannot."""

    value: Value = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Tried:
    """One contact's values through the mapping."""

    contact_id: uuid.UUID
    name: str
    app: Value
    crm: Seen
    sent: Made
    taken: Made


@dataclass(frozen=True, slots=True)
class Preview:
    findings: Sequence[Finding]
    tried: Sequence[Tried]
    pushes: bool
    pulls: bool

    @property
    def refused(self) -> bool:
        return any(finding.severity is Severity.ERROR for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Example:
    """A linked contact and what its record held when last seen."""

    contact: Contact
    crm: dict[str, Seen]
    remote_id: str = ""


def examples_of(
    connection: CrmConnection, record_type: str, limit: int = LOOKED_AT, contact_ids: Sequence[uuid.UUID] = ()
) -> list[Example]:
    """The newest links, or those of the contacts named, with the values of both sides: two queries."""
    fields = dict(CrmFieldMapping.objects.filter(connection=connection).values_list("pk", "crm_field"))
    names = {str(key): name for key, name in fields.items()}
    links = CrmSyncState.objects.filter(
        connection=connection, crm_record_type=record_type, state=LinkStatus.LIVE
    ).select_related("contact")
    links = links.filter(contact_id__in=contact_ids) if contact_ids else links
    found = links.order_by("-id")[:limit]
    return [Example(link.contact, _held(link, names), link.crm_record_id or "") for link in found]


def _held(link: CrmSyncState, names: dict[str, str]) -> dict[str, Seen]:
    base = codec.decode_map(BasePair, link.base)
    agreed: dict[str, Seen] = {names[key]: pair.crm for key, pair in base.items() if key in names}
    return {**agreed, **codec.decode_values(link.observed)}


def samples_of_row(row: CrmFieldMapping, examples: Sequence[Example]) -> tuple[Value, Seen]:
    """A pair of values that says something: of the first contact that has one."""
    for example in examples:
        ours, theirs = app_value(example.contact, row.adsapp_field), example.crm.get(row.crm_field)
        if ours or theirs:
            return ours, theirs
    return None, None


def is_for_readers(connection: CrmConnection, wanted: WantedMapping) -> bool:
    """Whether the values that this row would show are no sensitive ones, by the names of both its sides.

    What the CRM's field holds is known only where it is mapped, or was: the field of a sensitive one is sensitive too,
    whatever it is tried with.
    """
    held = CrmFieldMapping.objects.filter(
        connection=connection, record_type=wanted.record_type, crm_field=wanted.remote_field
    ).values_list("adsapp_field", flat=True)
    names = list(held)
    return bool(names) and not any(map(is_sensitive, [wanted.app_field, *names]))


def preview_of(
    connection: CrmConnection,
    wanted: WantedMapping,
    others: Sequence[WantedMapping],
    contact_ids: Sequence[uuid.UUID] = (),
    *,
    blind: bool = False,
) -> Preview:
    """The linter's findings about this row among the others, and three real contacts through it.

    ``blind`` looks at nobody's values: whoever may not see them learns nothing of them by a rule that fails or not.
    ``contact_ids`` chooses among those that are linked; otherwise contacts are taken whose values tell something.
    """
    region = Organization.objects.values_list("region", flat=True).get()
    definitions = definitions_of(connection, wanted.record_type)
    rows = [_row(wanted, "this"), *(_row(each, f"other-{place}") for place, each in enumerate(others))]
    examples = [] if blind else examples_of(connection, wanted.record_type)
    known = app_field(wanted.app_field) is not None
    samples = Samples(
        {wanted.app_field: [app_value(each.contact, wanted.app_field) for each in examples] if known else []},
        {
            wanted.remote_field: [
                value for each in examples if (value := each.crm.get(wanted.remote_field, UNKNOWN)) is not UNKNOWN
            ]
        },
    )
    findings = [each for each in lint(rows, definitions, samples, region) if each.mapping_id == "this"]
    built = build_field_map(rows[0], definitions.get(wanted.remote_field), region)
    if isinstance(built, BrokenMapping):
        return Preview(findings, (), pushes=False, pulls=False)
    pushes, pulls = built.direction is not Direction.FROM_CRM, built.direction is not Direction.TO_CRM
    if contact_ids and not blind:
        examples = examples_of(connection, wanted.record_type, contact_ids=contact_ids)
    telling = sorted(examples, key=lambda each: not _tells(each, wanted))[:TRIED]
    return Preview(findings, [_tried(each, built, pushes, pulls) for each in telling], pushes, pulls)


def _tells(example: Example, wanted: WantedMapping) -> bool:
    return bool(app_value(example.contact, wanted.app_field) or example.crm.get(wanted.remote_field))


def _tried(example: Example, built: FieldMap, pushes: bool, pulls: bool) -> Tried:
    ours: Value = app_value(example.contact, built.app_field)
    theirs = example.crm.get(built.remote_field)
    sent, taken = Made(), Made()
    if pushes:
        sent = _made(built.to_crm, ours)
    if pulls and theirs is not UNKNOWN:
        taken = _made(built.from_crm, theirs)
    return Tried(example.contact.pk, name_of(example.contact), ours, theirs, sent, taken)


def _made(convert: Callable[[Value], Value], value: Value) -> Made:
    try:
        return Made(convert(value))
    except TransformError as error:
        return Made(trouble=str(error))


def _row(wanted: WantedMapping, mapping_id: str) -> MappingRow:
    return MappingRow(
        mapping_id=mapping_id,
        app_field=wanted.app_field,
        remote_field=wanted.remote_field,
        direction=wanted.direction,
        transform_rule=wanted.transform_rule,
        blank_rule=wanted.blank_rule,
        strategy=wanted.strategy,
    )
