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
    writable = dict(entity.writable)
    if entity.contact_sync:
        locked = sorted(set(body) & set(entity.contact_sync))
        if locked and not rules.contact_sync:
            raise answers.forbidden(f"Field {locked[0]} is not available: Contact Sync is not set up")
        writable |= entity.contact_sync
    for name, value in body.items():
        if name == "custom_fields" and entity.has_custom_fields:
            prepared.custom = _custom(state, entity, value)
            continue
        kind = writable.get(name)
        if kind is None:
            if entity is ACTIVITY and name == "person_id":
                raise validation(name, "is read-only, use participants")
            if rules.unknown_keys == "refuse":
                raise validation(name, "is not allowed")
            continue
        try:
            checked = _check(state, entity, kind, value)
        except Refused as refused:
            raise validation(name, str(refused)) from refused
        if name == "add_time":
            if record is not None:
                raise validation(name, "is not allowed")
            prepared.added_s = checked
        else:
            prepared.values[name] = checked
    if entity is PERSON:
        _person_name(prepared, body, record)
    elif record is None and entity is not ACTIVITY and not prepared.values.get(entity.name):
        raise validation(entity.name, "is required")
    elif entity.name in prepared.values and not prepared.values[entity.name]:
        raise validation(entity.name, "must not be empty")
    if "participants" in prepared.values:
        people = prepared.values["participants"]
        prepared.values["person_id"] = next((each["person_id"] for each in people if each["primary"]), None)
    return prepared


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


def _check(state: State, entity: Entity, kind: str, value: Any) -> Any:
    if kind.endswith("?"):
        if value is None:
            return None
        kind = kind[:-1]
    kind, _, rest = kind.partition(":")
    if kind == "labels":
        return _labels(state, entity, value)
    if kind in ENTITIES:
        if state.live(ENTITIES[kind], integer(value)) is None:
            raise Refused(f"{ENTITIES[kind].label} not found or not accessible.")
        return value
    if kind == "user":
        user = state.users.get(integer(value))
        if user is None or not user["active"]:
            raise Refused("User not found or not accessible.")
        return value
    if kind == "participants":
        return _participants(state, value)
    if kind == "one":
        if value not in rest.split(","):
            raise Refused(f"must be one of [{', '.join(rest.split(','))}]")
        return value
    return _PLAIN[kind](value)


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
