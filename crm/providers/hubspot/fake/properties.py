"""Property definitions and the check of every value written.

Page: https://developers.hubspot.com/docs/api-reference/crm-properties-v3/guide
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from crm.providers.hubspot.fake.answers import Json, Problem
from crm.providers.hubspot.fake.object_types import OBJECT_TYPES, ObjectType
from crm.providers.hubspot.fake.standard_properties import GROUPS, OPTIONS, ROWS, Row
from crm.testing.clock import iso_ms, parse_iso_ms

MAX_TEXT_CHARACTERS: Final = 65_536
DAY_MS: Final = 86_400_000
_ATOM: Final = r"[^\s@.<>,;\"()\[\]\\]"
_EMAIL: Final = re.compile(rf"{_ATOM}+(?:\.{_ATOM}+)*@(?:{_ATOM}+\.)+(?!\d){_ATOM}{{2,}}")


@dataclass(slots=True)
class Definition:
    name: str
    label: str
    type: str
    field_type: str
    group_name: str
    description: str = ""
    options: list[Json] = field(default_factory=list)
    has_unique_value: bool = False
    calculated: bool = False
    external_options: bool = False
    read_only: bool = False
    is_hubspot_defined: bool = False
    hidden: bool = False
    form_field: bool = False
    display_order: int = -1
    archived: bool = False
    created_ms: int = 0
    updated_ms: int = 0

    @property
    def is_read_only(self) -> bool:
        return self.read_only or self.calculated

    def to_json(self) -> Json:
        own = not self.is_hubspot_defined
        shown: Json = {
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "fieldType": self.field_type,
            "description": self.description,
            "groupName": self.group_name,
            "options": self.options,
            "displayOrder": self.display_order,
            "calculated": self.calculated,
            "externalOptions": self.external_options,
            "archived": self.archived,
            "hasUniqueValue": self.has_unique_value,
            "hidden": self.hidden,
            "modificationMetadata": {
                "archivable": own,
                "readOnlyDefinition": not own,
                "readOnlyValue": self.read_only,
            },
            "formField": self.form_field,
            "dataSensitivity": "non_sensitive",
            "createdAt": iso_ms(self.created_ms),
            "updatedAt": iso_ms(self.updated_ms),
        }
        if self.is_hubspot_defined:
            shown["hubspotDefined"] = True
        return shown

    def saved(self) -> Json:
        return asdict(self)


def option(value: str, order: int) -> Json:
    label = value.replace("_", " ").capitalize()
    return {"label": label, "value": value, "description": "", "displayOrder": order, "hidden": False}


class Registry:
    """The definitions and groups of every object type, as one account has them."""

    def __init__(self, now_ms: int) -> None:
        self.definitions: dict[str, dict[str, Definition]] = {}
        self.groups: dict[str, dict[str, Json]] = {}
        for kind in OBJECT_TYPES:
            group = GROUPS[kind.plural][0][0]
            self.groups[kind.plural] = {
                name: {"name": name, "label": label, "displayOrder": order, "archived": False}
                for order, (name, label) in enumerate(GROUPS[kind.plural])
            }
            self.definitions[kind.plural] = {row[0]: _standard(row, group, now_ms) for row in ROWS[kind.plural]}

    def of(self, kind: ObjectType) -> dict[str, Definition]:
        return self.definitions[kind.plural]

    def get(self, kind: ObjectType, name: str) -> Definition | None:
        """A definition in use, or None when it is unknown or archived."""
        found = self.definitions[kind.plural].get(name)
        return None if found is None or found.archived else found

    def unique_names(self, kind: ObjectType) -> list[str]:
        return [item.name for item in self.of(kind).values() if item.has_unique_value and not item.archived]


def _standard(row: Row, group: str, now_ms: int) -> Definition:
    name, label, type_, field_type, flags = row
    values = OPTIONS.get(name, ()) or (("true", "false") if type_ == "bool" else ())
    return Definition(
        name=name,
        label=label,
        type=type_,
        field_type=field_type,
        group_name=group,
        options=[option(value, order) for order, value in enumerate(values)],
        calculated="calc" in flags.split(),
        external_options="ext" in flags.split(),
        read_only="ro" in flags.split(),
        is_hubspot_defined=True,
        form_field="ro" not in flags.split(),
        created_ms=now_ms,
        updated_ms=now_ms,
    )


OwnerExists = Callable[[str], bool]


def check_values(
    registry: Registry,
    kind: ObjectType,
    raw: Mapping[str, Any],
    *,
    present: Mapping[str, str],
    owner_exists: OwnerExists,
    refuse_epoch_seconds: bool = False,
) -> tuple[dict[str, str], list[Problem]]:
    """Normalised values to store (``""`` clears) and every problem found. Stores nothing.

    Activities drop names they do not know and read-only ones (HubSpot docs: notes); all others refuse them.
    """
    values: dict[str, str] = {}
    problems: list[Problem] = []
    for given_name, given in raw.items():
        name = given_name.lower()
        definition = registry.get(kind, name)
        if definition is None or definition.is_read_only:
            if kind.is_activity:
                continue
            problems.append(_unwritable(given_name, definition))
            continue
        text = _wire_text(given)
        outcome = (
            ""
            if text.strip() == ""
            else _checked(kind, definition, text, present.get(name, ""), owner_exists, refuse_epoch_seconds)
        )
        if isinstance(outcome, Problem):
            problems.append(outcome)
        else:
            values[name] = outcome
    return values, problems


def _unwritable(name: str, definition: Definition | None) -> Problem:
    if definition is None:
        return Problem(name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist')
    return Problem(name, "READ_ONLY_VALUE", f'"{name}" is a calculated property; its value cannot be set.')


def _wire_text(given: Any) -> str:
    """Values travel as strings; JSON numbers and booleans are taken too, null as empty.

    Half a surrogate pair is no character and becomes ``?``, as when Java writes UTF-8.
    """
    if given is None:
        return ""
    if isinstance(given, bool):
        return "true" if given else "false"
    return str(given).encode("utf-8", "replace").decode("utf-8")


def _checked(
    kind: ObjectType,
    definition: Definition,
    text: str,
    present: str,
    owner_exists: OwnerExists,
    refuse_epoch_seconds: bool,
) -> str | Problem:
    name = definition.name
    text = text.strip()
    outcome: str | Problem = text
    if len(text) > MAX_TEXT_CHARACTERS:
        # The code of this refusal is not documented; the limit is.
        told = f"{name} is too long: {len(text)} characters, at most {MAX_TEXT_CHARACTERS} are allowed."
        outcome = Problem(name, "VALUE_TOO_LONG", told)
    elif name == "email" and kind.type_id == "0-1":
        outcome = _email(name, text)
    elif definition.type == "number":
        outcome = _number(name, text)
    elif definition.type == "bool":
        outcome = text.lower()
        if outcome not in ("true", "false"):
            outcome = _no_option(name, text, ["true", "false"])
    elif definition.type == "date":
        outcome = _date(name, text)
    elif definition.type == "datetime":
        outcome = _datetime(name, text, refuse_epoch_seconds)
    elif definition.type == "enumeration":
        outcome = _enumeration(definition, text, present, owner_exists)
    return outcome


def _email(name: str, text: str) -> str | Problem:
    """Addresses are kept in lower case."""
    address = text.lower()
    return address if _EMAIL.fullmatch(address) else Problem(name, "INVALID_EMAIL", f"Email address {text} is invalid")


def _number(name: str, text: str) -> str | Problem:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        return Problem(name, "INVALID_INTEGER", f"{text} was not a valid number.")
    return text


def _date(name: str, text: str) -> str | Problem:
    if re.fullmatch(r"-?\d{1,14}", text):
        stamp_ms = int(text)
        if stamp_ms % DAY_MS:
            return Problem(name, "INVALID_DATE", f"{text} is at {iso_ms(stamp_ms)[11:-1]} UTC, not midnight!")
        return iso_ms(stamp_ms)[:10]
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) and parse_iso_ms(text) is not None:
        return text
    return Problem(name, "INVALID_DATE", f"{text} was not a valid date.")


def _datetime(name: str, text: str, refuse_epoch_seconds: bool) -> str | Problem:
    if re.fullmatch(r"-?\d{1,14}", text):
        # Dated paths may refuse epoch seconds (changelog: CRM API write validation enforcement).
        if refuse_epoch_seconds and len(text.lstrip("-")) <= 10:
            return Problem(name, "INVALID_DATE", f"{text} is not in milliseconds.")
        return iso_ms(int(text))
    stamp_ms = parse_iso_ms(text)
    return Problem(name, "INVALID_LONG", f"{text} was not a valid long.") if stamp_ms is None else iso_ms(stamp_ms)


def _enumeration(definition: Definition, text: str, present: str, owner_exists: OwnerExists) -> str | Problem:
    if definition.name == "hubspot_owner_id":
        return (
            text if owner_exists(text) else Problem(definition.name, "INVALID_OPTION", f"Owner {text} does not exist")
        )
    allowed = [str(item["value"]) for item in definition.options]
    if definition.external_options and not allowed:
        return text
    if definition.field_type != "checkbox":
        return text if text in allowed else _no_option(definition.name, text, allowed)
    # A leading ";" adds to what is there (HubSpot docs: properties, checkbox values).
    appending = text.startswith(";")
    parts = [part.strip() for part in text.split(";") if part.strip()]
    for part in parts:
        if part not in allowed:
            return _no_option(definition.name, part, allowed)
    before = present.split(";") if appending and present else []
    return ";".join(dict.fromkeys([*before, *parts]))


def _no_option(name: str, text: str, allowed: list[str]) -> Problem:
    return Problem(name, "INVALID_OPTION", f"{text} was not one of the allowed options: [{', '.join(allowed)}]")
