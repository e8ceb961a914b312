"""What v2 accepts in a body: strict types, known fields, references that exist. Every refusal is a 400 with the field.

Pages: the API reference (persons, organizations, deals, activities) and the migration guide ("Data types").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from crm.providers.pipedrive.fake import answers, custom_values, values
from crm.providers.pipedrive.fake.answers import Json, validation
from crm.providers.pipedrive.fake.entities import ACTIVITY, ACTIVITY_TYPES, ENTITIES, PERSON, Entity
from crm.providers.pipedrive.fake.state import Record, State
from crm.providers.pipedrive.fake.values import Refused, integer


@dataclass(slots=True)
class Prepared:
    """A body that was accepted: standard values and custom values (None clears), and a given ``add_time``."""

    entity: Entity
    values: Json = field(default_factory=dict)
    custom: Json = field(default_factory=dict)
    added_s: int | None = None


@dataclass(slots=True)
class BodyRules:
    """Switches of what is not confirmed or depends on the account."""

    unknown_keys: str = "refuse"
    contact_sync: bool = False


def prepare(state: State, rules: BodyRules, entity: Entity, body: Json, record: Record | None) -> Prepared:
    """Check a v2 body for a new record or (``record``) a change. Raises 400, 403; changes nothing."""
    prepared = Prepared(entity)
    writable = _writable(rules, entity, body)
    for name, value in body.items():
        if name == "custom_fields" and entity.has_custom_fields:
            prepared.custom = _custom(state, entity, value)
        elif name in writable:
            prepared.values[name] = _checked(state, entity, name, writable[name], value)
        elif entity is ACTIVITY and name == "person_id":
            raise validation(name, "is read-only, use participants")
        elif rules.unknown_keys == "refuse":
            raise validation(name, "is not allowed")
    if "add_time" in prepared.values:
        prepared.added_s = prepared.values.pop("add_time")
        if record is not None:
            raise validation("add_time", "is not allowed")
    if entity is PERSON:
        _person_name(prepared, body, record)
    else:
        _needed_name(prepared, record)
    if "participants" in prepared.values:
        people = prepared.values["participants"]
        prepared.values["person_id"] = next((each["person_id"] for each in people if each["primary"]), None)
    return prepared


def _writable(rules: BodyRules, entity: Entity, body: Json) -> dict[str, str]:
    if not entity.contact_sync:
        return dict(entity.writable)
    locked = sorted(set(body) & set(entity.contact_sync))
    if locked and not rules.contact_sync:
        raise answers.forbidden(f"Field {locked[0]} is not available: Contact Sync is not set up")
    return {**entity.writable, **entity.contact_sync}


def _needed_name(prepared: Prepared, record: Record | None) -> None:
    name = prepared.entity.name
    if record is None and prepared.entity is not ACTIVITY and not prepared.values.get(name):
        raise validation(name, "is required")
    if name in prepared.values and not prepared.values[name]:
        raise validation(name, "must not be empty")


def _person_name(prepared: Prepared, body: Json, record: Record | None) -> None:
    """Either ``name``, split at the first space, or both parts, of which one may be empty (migration guide)."""
    held = prepared.values
    parts = [part for part in ("first_name", "last_name") if part in held]
    if len(parts) == 1:
        raise validation(parts[0], "first_name and last_name must be given together")
    if parts:
        first, last = (held["first_name"] or "").strip(), (held["last_name"] or "").strip()
        if not first and not last:
            raise validation("first_name", "first_name and last_name must not both be empty")
        held["first_name"], held["last_name"] = first or None, last or None
        held["name"] = f"{first} {last}".strip()
        return
    if "name" not in body:
        if record is None:
            raise validation("name", "is required")
        return
    name = held["name"].strip()
    if not name:
        raise validation("name", "must not be empty")
    put_name(held, name)


def put_name(held: Json, name: str) -> None:
    """A whole name and the parts that follow from it."""
    first, _, last = name.partition(" ")
    held |= {"name": name, "first_name": first, "last_name": last.strip() or None}


def _custom(state: State, entity: Entity, given: Any) -> Json:
    if not isinstance(given, dict):
        raise validation("custom_fields", "must be an object")
    known = state.fields.of(entity).custom()
    found = {}
    for code, value in given.items():
        definition = known.get(code)
        if definition is None:
            raise validation(f"custom_fields.{code}", "is not allowed")
        try:
            found[code] = custom_values.check(state, definition, value)
        except Refused as refused:
            raise validation(f"custom_fields.{code}", str(refused)) from refused
    return found


# One value ------------------------------------------------------------------------------------------------


def _checked(state: State, entity: Entity, name: str, kind: str, value: Any) -> Any:
    """Raises 400 with the field's name."""
    if value is None and kind.endswith("?"):
        return None
    try:
        return _check(state, entity, kind.removesuffix("?"), value)
    except Refused as refused:
        raise validation(name, str(refused)) from refused


def _check(state: State, entity: Entity, kind: str, value: Any) -> Any:
    if kind in _PLAIN:
        return _PLAIN[kind](value)
    if kind == "labels":
        return _labels(state, entity, value)
    if kind == "participants":
        return _participants(state, value)
    if kind.startswith("one:"):
        return _one_of(kind.removeprefix("one:").split(","), value)
    return _reference(state, kind, value)


def _one_of(choices: list[str], value: Any) -> Any:
    if value not in choices:
        raise Refused(f"must be one of [{', '.join(choices)}]")
    return value


def _reference(state: State, kind: str, value: Any) -> int:
    """The id of a user or of a record that exists."""
    number = integer(value)
    if kind == "user":
        user = state.users.get(number)
        if user is None or not user["active"]:
            raise Refused("User not found or not accessible.")
    elif state.live(ENTITIES[kind], number) is None:
        raise Refused(f"{ENTITIES[kind].label} not found or not accessible.")
    return number


def _labels(state: State, entity: Entity, value: Any) -> list[int]:
    if not isinstance(value, list):
        raise Refused("must be an array")
    known = state.fields.of(entity).definitions["label_ids"].option_ids()
    for item in value:
        if integer(item) not in known:
            raise Refused(f"label {item} does not exist")
    return list(dict.fromkeys(value))


def _participants(state: State, value: Any) -> list[Json]:
    if not isinstance(value, list):
        raise Refused("must be an array")
    found: list[Json] = []
    for item in value:
        if not isinstance(item, dict) or state.live(PERSON, integer(item.get("person_id"))) is None:
            raise Refused("Person not found or not accessible.")
        found.append({"person_id": item["person_id"], "primary": item.get("primary") is True})
    if found and not any(each["primary"] for each in found):
        found[0]["primary"] = True
    return found


def _activity_type(value: Any) -> str:
    if value not in ACTIVITY_TYPES:
        raise Refused("Activity type not found or not active.")
    return str(value)


_PLAIN: Final[dict[str, Callable[[Any], Any]]] = {
    "text": values.text255,
    "text10000": values.text10000,
    "name_part": values.name_part,
    "int": integer,
    "number": values.number,
    "bool": values.boolean,
    "stamp": values.stamp,
    "date": values.day,
    "time": values.clock_time,
    "visibility": values.visibility,
    "contacts": values.contacts,
    "address": values.address,
    "activity_type": _activity_type,
}
