"""Which of our fields is which of theirs: the rows a connection starts with, and replacing them by a person's.

A set of rows is taken whole or not at all. It is judged against the CRM's own description of its fields and
against values that both sides really hold, before anything is stored.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Final

from django.db.models import F
from django.db.models.functions import Now

from adsapp_crm.models import (
    Contact,
    CrmConnection,
    CrmFieldMapping,
    CrmMappingVersion,
    CrmObservation,
    CrmSyncState,
    Organization,
)
from adsapp_crm.services.mapping_changes import linked_types, note_change, rules_of
from adsapp_crm.services.record_actions import retry_refused
from adsapp_crm.services.refusals import Refusal, RefusedError
from adsapp_crm.storage import codec
from adsapp_crm.wiring import definitions_of, record_types_of
from crm.mapping.app_fields import APP_FIELDS, CUSTOM_PREFIX, app_field
from crm.mapping.build import BrokenMapping, MappingRow, build_field_map
from crm.mapping.lint import Finding, Samples, Severity, lint
from crm.model import AppliesTo, BasePair, Direction, DriftRule, FieldDefinition, Value

SAMPLE_ROWS: Final = 50
"""Contacts, records and links whose values a mapping is tried on."""


class MappingsRefusedError(RefusedError):
    """``examples``: pointer of a refusal -> the value that breaks the mapping. For people who may see contacts."""

    def __init__(self, refusals: Iterable[Refusal], examples: Mapping[str, str]) -> None:
        super().__init__(refusals)
        self.examples = dict(examples)


@dataclass(frozen=True, slots=True)
class WantedMapping:
    """A row as somebody asks for it, not yet believed."""

    record_type: str
    app_field: str
    remote_field: str
    direction: str = Direction.BIDIRECTIONAL
    transform_rule: Any = None
    blank_rule: str = "propagate"
    strategy: str | None = None
    drift: str | None = None


def described(definitions: Mapping[str, Sequence[FieldDefinition]]) -> dict[str, Any]:
    """The CRM's description of its fields, by record type, as ``CrmConnection.schema`` keeps it."""
    result: dict[str, Any] = {}
    for record_type, fields in definitions.items():
        encoded = [codec.encode(each) for each in sorted(fields, key=lambda each: each.name)]
        digest = hashlib.sha256(json.dumps(encoded, sort_keys=True).encode()).hexdigest()
        result[record_type] = {"hash": digest, "fetchedAt": datetime.now(UTC).isoformat(), "fields": encoded}
    return result


def described_types(connection: CrmConnection) -> list[str]:
    """Record types whose fields the CRM has described; the first is meant where none is named."""
    return [kind for kind in record_types_of(connection) if kind in connection.schema]


def current_mappings(connection: CrmConnection) -> list[CrmFieldMapping]:
    """In the current organization's context, in their order."""
    return list(connection.mappings.filter(deleted_at__isnull=True).order_by("record_type", "position", "id"))


def mappings_of(connections: Iterable[CrmConnection]) -> dict[uuid.UUID, list[CrmFieldMapping]]:
    """``current_mappings`` of several connections, by connection id, in one query."""
    found: dict[uuid.UUID, list[CrmFieldMapping]] = {each.pk: [] for each in connections}
    rows = CrmFieldMapping.objects.filter(connection__in=list(found), deleted_at__isnull=True)
    for row in rows.order_by("record_type", "position", "id"):
        found[row.connection_id].append(row)
    return found


def seed_default_mappings(
    connection: CrmConnection, defaults: Sequence[Any], definitions: Mapping[str, Mapping[str, FieldDefinition]]
) -> int:
    """Store the provider's default rows that this account can hold; returns how many.

    ``defaults`` are the provider's ``DefaultMapping``. A field that the account lacks falls back to the next
    one named, a read-only one is only pulled, and what does not fit is left out. Does nothing when the
    connection has mappings already.
    """
    if connection.mappings.filter(deleted_at__isnull=True).exists():
        return 0
    region = _region()
    rows: list[CrmFieldMapping] = []
    for default in defaults:
        fields = definitions.get(default.record_type, {})
        row = _fitting_default(default, fields, region)
        if row is not None:
            rows.append(
                CrmFieldMapping(
                    connection=connection,
                    record_type=row.record_type,
                    adsapp_field=row.app_field,
                    crm_field=row.remote_field,
                    direction=row.direction,
                    transform_rule=row.transform_rule or None,
                    position=len(rows),
                    definition=fields[row.remote_field].fingerprint,
                )
            )
    CrmFieldMapping.objects.bulk_create(rows)
    _store_version(connection, "service:connect", "Default mappings")
    return len(rows)


def _fitting_default(default: Any, fields: Mapping[str, FieldDefinition], region: str) -> WantedMapping | None:
    names = [name for name in (default.remote_field, *default.fallback_fields) if name in fields]
    wanted = [
        WantedMapping(
            default.record_type, default.app_field, name, default.direction, dict(default.transform_rule) or None
        )
        for name in names
    ]
    pulled = [
        replace(each, direction=Direction.FROM_CRM)
        for each in wanted
        if each.direction == Direction.BIDIRECTIONAL and not fields[each.remote_field].writable
    ]
    for each in (*wanted, *pulled):
        built = build_field_map(_row(each, ""), fields[each.remote_field], region)
        if not isinstance(built, BrokenMapping):
            return each
    return None


def replace_mappings(
    connection: CrmConnection, wanted: Sequence[WantedMapping], *, actor: str, applies_to: AppliesTo | None = None
) -> int:
    """Make these the connection's mappings, in the current organization's context; returns the new version.

    A row whose pair of fields stays keeps its id, and so the agreed values of every link. ``applies_to`` says for
    which records the change is; None: existing ones for rows that are added, and only from now on for rows that are
    changed. Raises MappingsRefusedError with a pointer per field, and then nothing was changed.
    """
    locked = CrmConnection.objects.select_for_update().get(pk=connection.pk)
    judge_mappings(locked, wanted)
    stored = {(row.record_type, row.adsapp_field, row.crm_field): row for row in current_mappings(locked)}
    kept: list[CrmFieldMapping] = []
    fresh: list[CrmFieldMapping] = []
    linked = linked_types(locked)
    touched: set[str] = set()
    for position, each in enumerate(wanted):
        row = stored.pop((each.record_type, each.app_field, each.remote_field), None)
        before = None if row is None else rules_of(row)
        filled = _filled(row, locked, each, position)
        if each.record_type in linked:
            note_change(filled, before, applies_to)
        if before != rules_of(filled):
            touched.add(each.record_type)
        (fresh if row is None else kept).append(filled)
    removed = [row.pk for row in stored.values()]
    touched.update(row.record_type for row in stored.values())
    CrmFieldMapping.objects.filter(pk__in=removed).update(deleted_at=Now())
    CrmFieldMapping.objects.bulk_update(
        kept,
        [
            *("direction", "transform_rule", "blank_rule", "strategy", "drift"),
            *("position", "definition", "broken_code", "broken_since", "version", "is_custom"),
            *("applies_to", "revisits_before", "former", "keeps_questions", "changed_at"),
        ],
    )
    CrmFieldMapping.objects.bulk_create(fresh)
    retry_refused(locked.pk, touched)
    return _store_version(locked, actor, "")


def _filled(
    row: CrmFieldMapping | None, connection: CrmConnection, wanted: WantedMapping, position: int
) -> CrmFieldMapping:
    rules = rules_of(wanted)
    if row is None:
        row = CrmFieldMapping(
            connection=connection,
            record_type=wanted.record_type,
            adsapp_field=wanted.app_field,
            crm_field=wanted.remote_field,
            is_custom=True,
        )
    elif rules_of(row) != rules:
        row.version += 1
        row.is_custom = True
    for name, value in rules.items():
        setattr(row, name, value)
    row.position = position
    row.definition = definitions_of(connection, wanted.record_type)[wanted.remote_field].fingerprint
    row.broken_code, row.broken_since = "", None
    return row


def _store_version(connection: CrmConnection, actor: str, comment: str) -> int:
    CrmConnection.objects.filter(pk=connection.pk).update(mapping_version=F("mapping_version") + 1)
    version = CrmConnection.objects.values_list("mapping_version", flat=True).get(pk=connection.pk)
    mappings = [shape_mapping(row) for row in current_mappings(connection)]
    CrmMappingVersion.objects.create(
        connection=connection, version=version, mappings=mappings, actor=actor, comment=comment
    )
    return version


def shape_mapping(row: CrmFieldMapping) -> dict[str, Any]:
    """A row in the API's words."""
    return {
        "id": str(row.pk),
        "recordType": row.record_type,
        "adsappField": row.adsapp_field,
        "crmField": row.crm_field,
        "direction": row.direction,
        "transformRule": row.transform_rule,
        "isCustom": row.is_custom,
        "blankRule": row.blank_rule,
        "strategy": row.strategy,
        "drift": row.drift,
        "brokenCode": row.broken_code or None,
        "pending": row.applies_to if row.changed_at is not None else None,
    }


def findings_of(connection: CrmConnection, wanted: Sequence[WantedMapping], *, blind: bool = False) -> list[Finding]:
    """Everything the linter says of rows of known record types; ``mapping_id`` is the row's number in ``wanted``.

    ``blind`` tries nobody's values.
    """
    by_type: defaultdict[str, list[int]] = defaultdict(list)
    for index, each in enumerate(wanted):
        if each.record_type in connection.schema:
            by_type[each.record_type].append(index)
    region = _region()
    findings: list[Finding] = []
    for record_type, indices in by_type.items():
        rows = [_row(wanted[index], str(index)) for index in indices]
        samples = Samples({}, {}) if blind else _samples(connection, record_type, rows)
        findings += lint(rows, definitions_of(connection, record_type), samples, region)
    return findings


def judge_mappings(connection: CrmConnection, wanted: Sequence[WantedMapping]) -> None:
    """Raises MappingsRefusedError for what ``replace_mappings`` would not store; stores nothing."""
    refusals: list[Refusal] = []
    for index, each in enumerate(wanted):
        if each.record_type not in connection.schema:
            known = ", ".join(sorted(connection.schema)) or "none yet"
            refusals.append(
                Refusal(
                    "config.unsupported",
                    "The connection does not sync this record type.",
                    f"/mappings/{index}/recordType",
                    f"Use one of: {known}.",
                )
            )
        if each.drift is not None and each.drift not in set(DriftRule):
            refusals.append(_bad_word(index, "drift", DriftRule))
    refusals += _repeated(wanted)
    examples: dict[str, str] = {}
    for finding in findings_of(connection, wanted):
        if finding.severity is Severity.ERROR:
            refusal = _refusal(finding, wanted)
            refusals.append(refusal)
            if finding.example:
                examples[refusal.field] = finding.example
    if refusals:
        raise MappingsRefusedError(refusals, examples)


def _repeated(wanted: Sequence[WantedMapping]) -> list[Refusal]:
    seen: set[tuple[str, str, str]] = set()
    refusals = []
    for index, each in enumerate(wanted):
        pair = (each.record_type, each.app_field, each.remote_field)
        if pair in seen:
            refusals.append(
                Refusal(
                    "mapping.two_writers",
                    "The same two fields are mapped twice.",
                    f"/mappings/{index}/crmField",
                    "Remove one of the two rows.",
                )
            )
        seen.add(pair)
    return refusals


def _bad_word(index: int, name: str, words: type[DriftRule]) -> Refusal:
    return Refusal(
        "mapping.bad_parameter",
        f"{name} has no such value.",
        f"/mappings/{index}/{name}",
        f"Choose one of {', '.join(words)}, or null for the connection's.",
    )


def _row(wanted: WantedMapping, mapping_id: str) -> MappingRow:
    return MappingRow(
        mapping_id=mapping_id,
        app_field=wanted.app_field,
        remote_field=wanted.remote_field,
        direction=wanted.direction,
        transform_rule=wanted.transform_rule,
        blank_rule=wanted.blank_rule,
        strategy=wanted.strategy,
        drift=wanted.drift,
    )


def _refusal(finding: Finding, wanted: Sequence[WantedMapping]) -> Refusal:
    place = pointer_of(finding, wanted[int(finding.mapping_id)])
    return Refusal(finding.code, f"{finding.message}.", f"/mappings/{finding.mapping_id}{place}", finding.fix)


def pointer_of(finding: Finding, wanted: WantedMapping) -> str:
    """JSON pointer, inside the row, to what a finding is about."""
    if finding.pointer:
        return finding.pointer if finding.pointer.startswith(_OUR_POINTERS) else f"/transformRule{finding.pointer}"
    if finding.field == wanted.remote_field:
        return "/crmField"
    return "/adsappField" if finding.field == wanted.app_field else "/transformRule"


_OUR_POINTERS: Final = ("/transformRule", "/direction", "/blankRule", "/strategy", "/appKind")


def _samples(connection: CrmConnection, record_type: str, rows: Sequence[MappingRow]) -> Samples:
    """Values that both sides hold now: three queries, whatever the number of rows."""
    ours: defaultdict[str, list[Value]] = defaultdict(list)
    theirs: defaultdict[str, list[Value]] = defaultdict(list)
    names = {row.app_field for row in rows if app_field(row.app_field) is not None}
    for contact in Contact.objects.live().order_by("-id")[:SAMPLE_ROWS]:
        for name in names:
            ours[name].append(app_value(contact, name))
    observed = CrmObservation.objects.filter(connection=connection, record_type=record_type)
    for values in observed.order_by("-id").values_list("values", flat=True)[:SAMPLE_ROWS]:
        for name, value in codec.decode_values(values).items():
            theirs[name].append(value)
    remote_fields = {str(row.pk): row.crm_field for row in connection.mappings.filter(record_type=record_type)}
    links = CrmSyncState.objects.filter(connection=connection, crm_record_type=record_type, state="live")
    for base in links.order_by("-id").values_list("base", flat=True)[:SAMPLE_ROWS]:
        for mapping_id, pair in codec.decode_map(BasePair, base).items():
            if mapping_id in remote_fields:
                theirs[remote_fields[mapping_id]].append(pair.crm)
    return Samples(ours, theirs)


def app_value(contact: Contact, name: str) -> Value:
    """What the contact holds under one of ADSapp's field names."""
    if name.startswith(CUSTOM_PREFIX):
        found = contact.custom_fields.get(name.removeprefix(CUSTOM_PREFIX))
        return tuple(found) if isinstance(found, list) else found
    value = getattr(contact, APP_FIELDS[name].attribute)
    if isinstance(value, date):
        return value.isoformat()
    held: Value = tuple(value) if isinstance(value, list) else value
    return held


def _region() -> str:
    return str(Organization.objects.values_list("region", flat=True).get())
