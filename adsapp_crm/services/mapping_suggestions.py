"""Pairs of unmapped fields that a person may want to map, with what both sides hold; nothing is applied or stored."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from adsapp_crm import wiring
from adsapp_crm.models import CrmConnection, Organization
from adsapp_crm.services.connections import find_connection
from adsapp_crm.services.mapping_preview import Example, examples_of
from adsapp_crm.services.mappings import app_value, current_mappings
from adsapp_crm.tenancy import organization_context
from crm.mapping.app_fields import APP_FIELDS, CUSTOM_PREFIX, AppField, app_field
from crm.mapping.kinds import is_blank
from crm.mapping.suggest import Suggestion, suggest
from crm.model import UNKNOWN, FieldDefinition, Seen, Value

COMPARED: Final = 20
"""Linked contacts whose values are compared."""
MOST_FIELDS: Final = 200
"""Fields that one comparison asks the CRM for."""

Held = Mapping[str, Mapping[str, Seen]]
"""CRM record id -> field -> value."""


@dataclass(frozen=True, slots=True)
class Suggested:
    suggestion: Suggestion
    definition: FieldDefinition
    ours: Value
    """What a linked contact holds, where one holds anything."""
    theirs: Value
    """What the same person's record holds; None also where it was not read."""


def suggestions_of(connection: CrmConnection, record_type: str, held: Held | None = None) -> list[Suggested]:
    """Best first, in the current organization's context; five queries at most.

    ``held`` (``read_held``) brings the CRM's values of fields that no sync reads; without it names and kinds decide.
    """
    mapped = [row for row in current_mappings(connection) if row.record_type == record_type]
    definitions = wiring.definitions_of(connection, record_type)
    free = _free_fields(definitions, {row.crm_field for row in mapped})
    examples = examples_of(connection, record_type, limit=COMPARED)
    ours = _our_fields(examples, {row.adsapp_field for row in mapped})
    pairs = [_pair(each, ours, held or {}) for each in examples]
    region = Organization.objects.values_list("region", flat=True).get()
    found = suggest(ours, free, pairs, region)
    return [Suggested(each, definitions[each.remote_field], *_telling(each, pairs)) for each in found]


def read_held(organization_id: uuid.UUID, crm_type: str, record_type: str) -> Held:
    """What the CRM's records of a few linked contacts hold now in unmapped fields: as good as one call.

    Must be called outside ``organization_context``. Any CrmError may come.
    """
    with organization_context(organization_id):
        connection = find_connection(crm_type)
        connection = CrmConnection.objects.defer(None).get(pk=connection.pk)
        mapped = {row.crm_field for row in current_mappings(connection) if row.record_type == record_type}
        fields = _free_fields(wiring.definitions_of(connection, record_type), mapped)
        ids = [each.remote_id for each in examples_of(connection, record_type, limit=COMPARED) if each.remote_id]
    if not ids or not fields:
        return {}
    names = [each.name for each in fields][:MOST_FIELDS]
    records = wiring.connector_of(connection).fetch(record_type, ids, names)
    return {key: dict(record.values) for key, record in records.items()}


def _free_fields(definitions: Mapping[str, FieldDefinition], mapped: set[str]) -> list[FieldDefinition]:
    return [each for name, each in definitions.items() if name not in mapped]


def _our_fields(examples: Sequence[Example], mapped: set[str]) -> list[AppField]:
    """ADSapp's own fields, and the custom ones that these contacts have."""
    custom = sorted({f"{CUSTOM_PREFIX}{key}" for each in examples for key in each.contact.custom_fields})
    found = [*APP_FIELDS.values(), *(field for name in custom if (field := app_field(name)) is not None)]
    return [field for field in found if field.name not in mapped]


def _pair(example: Example, ours: Sequence[AppField], held: Held) -> tuple[Mapping[str, Value], Mapping[str, Value]]:
    read: dict[str, Seen] = {**example.crm, **held.get(example.remote_id, {})}
    theirs = {name: value for name, value in read.items() if value is not UNKNOWN}
    return {field.name: app_value(example.contact, field.name) for field in ours}, theirs


def _telling(
    found: Suggestion, pairs: Sequence[tuple[Mapping[str, Value], Mapping[str, Value]]]
) -> tuple[Value, Value]:
    """Both values of the first contact that has both, else of the first that has one."""
    told = [(ours.get(found.app_field), theirs.get(found.remote_field)) for ours, theirs in pairs]
    ranked = sorted(told, key=lambda pair: sum(map(is_blank, pair)))
    return ranked[0] if ranked else (None, None)
