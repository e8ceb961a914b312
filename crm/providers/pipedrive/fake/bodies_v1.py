"""What v1 accepts in a body: loose types, names of its own, custom fields flat, unknown keys ignored.

It becomes a v2 body, which then meets v2's rules on values; refusals are worded as v1's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from crm.providers.pipedrive.fake import custom_values
from crm.providers.pipedrive.fake.answers import AnswerError, Json, bad_request
from crm.providers.pipedrive.fake.bodies import BodyRules, Prepared, prepare
from crm.providers.pipedrive.fake.entities import ACTIVITY, DEAL, ORGANIZATION, PERSON, Entity
from crm.providers.pipedrive.fake.fields import ADDRESS_PARTS
from crm.providers.pipedrive.fake.stamps import parse_v1, v2_stamp
from crm.providers.pipedrive.fake.state import Record, State

_NAMES: Final[dict[str, dict[str, str]]] = {
    PERSON.key: {"email": "emails", "phone": "phones"},
    ORGANIZATION.key: {},
    DEAL.key: {"user_id": "owner_id"},
    ACTIVITY.key: {"user_id": "owner_id", "busy_flag": "busy"},
}
_TEXTS: Final = ("text", "text?", "name_part", "date?", "time?", "activity_type", "text10000?")


def prepare_v1(state: State, rules: BodyRules, entity: Entity, body: Json, record: Record | None) -> Prepared:
    """Raises 400 in v1's words."""
    try:
        return prepare(state, rules, entity, as_v2(state, rules, entity, body, record), record)
    except AnswerError as error:
        if error.status != 400:
            raise
        raise bad_request(error.message.removeprefix("Validation failed: ")) from error


def as_v2(state: State, rules: BodyRules, entity: Entity, body: Json, record: Record | None) -> Json:
    names = _NAMES[entity.key]
    writable = {**entity.writable, **((entity.contact_sync or {}) if rules.contact_sync else {})}
    known = state.fields.of(entity).custom() if entity.has_custom_fields else {}
    found: Json = {}
    custom: Json = {}
    for given, value in body.items():
        name = names.get(given, given)
        if given in known:
            custom[given] = custom_values.from_v1(known[given], given, body)
        elif name == "label":
            found["label_ids"] = _numbers(value)
        elif name == "add_time":
            if record is None and value:
                found["add_time"] = v2_stamp(parse_v1(value)) or value
        elif name in writable and given not in names.values():
            found[name] = _value(writable[name], value, name, body)
    if entity is PERSON:
        _complete_name(found, record)
    if entity is ACTIVITY and "person_id" in body and "participants" not in body:
        person_id = _number(body["person_id"])
        found["participants"] = [] if person_id is None else [{"person_id": person_id, "primary": True}]
    if custom:
        found["custom_fields"] = custom
    return found


def _complete_name(found: Json, record: Record | None) -> None:
    """v1 takes one part alone; a whole name sent along wins over the parts."""
    if found.get("name"):
        found.pop("first_name", None)
        found.pop("last_name", None)
        return
    if "first_name" in found or "last_name" in found:
        found.pop("name", None)
        for part in ("first_name", "last_name"):
            found.setdefault(part, record.values[part] if record else "")


def _value(kind: str, value: Any, name: str, body: Json) -> Any:
    if kind == "address?":
        parts = {part: body[f"{name}_{part}"] for part in ADDRESS_PARTS if f"{name}_{part}" in body}
        return {"value": value, **parts} if value else None
    if kind.removesuffix("?") in _LOOSE:
        return _LOOSE[kind.removesuffix("?")](value)
    if kind in _TEXTS and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return None if value == "" and kind.endswith("?") else value


def _participants(value: Any) -> list[Json]:
    people = value if isinstance(value, list) else []
    return [{"person_id": each.get("person_id"), "primary": bool(each.get("primary_flag"))} for each in people]


def _boolean(value: Any) -> bool:
    return value in (True, 1, "1", "true")


def _entries(value: Any) -> list[Json]:
    """A text, a list of texts or a list of objects; empty ones do not count."""
    items = value if isinstance(value, list) else [] if value is None else [value]
    found: list[Json] = []
    for item in items:
        entry = dict(item) if isinstance(item, dict) else {"value": item}
        entry = {name: part for name, part in entry.items() if name in ("value", "label", "primary")}
        if entry.get("value") in (None, ""):
            continue
        entry["value"] = str(entry["value"])
        entry["primary"] = entry.get("primary") in (True, 1, "1", "true")
        if not entry.get("label"):
            entry["label"] = "work"
        found.append(entry)
    for entry in found[1:]:
        if found[0]["primary"] or sum(each["primary"] for each in found) > 1:
            entry["primary"] = False
    return found


def _numbers(value: Any) -> list[Any]:
    if value in (None, ""):
        return []
    items = value if isinstance(value, list) else str(value).split(",")
    return [_number(item) for item in items]


def _number(value: Any) -> Any:
    """v1 takes numbers as text, and objects with ``value``."""
    if isinstance(value, dict):
        value = value.get("value", value.get("id"))
    if value in (None, ""):
        return None
    return int(value) if isinstance(value, str) and value.strip().isdigit() else value


def _decimal(value: Any) -> Any:
    try:
        return None if value in (None, "") else float(value)
    except (TypeError, ValueError):
        return value


_LOOSE: Final[dict[str, Callable[[Any], Any]]] = {
    "contacts": _entries,
    "labels": _numbers,
    "participants": _participants,
    "bool": _boolean,
    "number": _decimal,
    **dict.fromkeys(("visibility", "user", "person", "organization", "deal", "int"), _number),
}
