"""Values of custom fields: what v2 accepts, and the two other shapes they are shown in (v1 flat, webhooks typed).

Pages: migration guide ("Custom fields") and webhooks v2 migration guide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from crm.providers.pipedrive.fake import values
from crm.providers.pipedrive.fake.answers import Json
from crm.providers.pipedrive.fake.entities import ORGANIZATION, PERSON
from crm.providers.pipedrive.fake.fields import ADDRESS_PARTS, FieldDefinition
from crm.providers.pipedrive.fake.state import State
from crm.providers.pipedrive.fake.values import Refused

SEARCHABLE: Final = ("address", "varchar", "text", "varchar_auto", "double", "monetary", "phone")


def check(state: State, definition: FieldDefinition, value: Any) -> Any:
    """The value as it is stored; None clears. Raises Refused."""
    if value is None:
        return None
    match definition.kind:
        case "enum":
            if values.integer(value) not in definition.option_ids():
                raise Refused(f"option {value} does not exist")
            return value
        case "set":
            return _set(definition, value)
        case "user" | "org" | "people":
            return _reference(state, definition.kind, value)
        case "address":
            return values.address(value)
        case kind:
            return _PLAIN[kind](value)


def _set(definition: FieldDefinition, value: Any) -> list[int]:
    if not isinstance(value, list):
        raise Refused("must be an array")
    if not value:
        raise Refused("must contain at least 1 items")
    for item in value:
        if values.integer(item) not in definition.option_ids():
            raise Refused(f"option {item} does not exist")
    return list(dict.fromkeys(value))


def _reference(state: State, kind: str, value: Any) -> int:
    found = values.integer(value)
    known = {
        "user": lambda: found in state.users,
        "org": lambda: state.live(ORGANIZATION, found) is not None,
        "people": lambda: state.live(PERSON, found) is not None,
    }
    if not known[kind]():
        raise Refused("not found or not accessible.")
    return found


def _limited(most: int) -> Callable[[Any], str | None]:
    """A text of at most so many characters; an empty one clears."""

    def checked(value: Any) -> str | None:
        if len(values.text(value)) > most:
            raise Refused(f"length must be less than or equal to {most} characters long")
        return str(value) or None

    return checked


def _parts(names: tuple[str, ...], rest: dict[str, Callable[[Any], Any]]) -> Callable[[Any], Json]:
    def checked(value: Any) -> Json:
        if not isinstance(value, dict) or any(value.get(name) is None for name in names):
            raise Refused(f"must be an object with {' and '.join(names)}")
        if unknown := sorted(set(value) - set(rest)):
            raise Refused(f".{unknown[0]} is not allowed")
        return {name: rest[name](value[name]) if value.get(name) is not None else None for name in rest}

    return checked


_clock = values.clock_time
_PLAIN: Final[dict[str, Callable[[Any], Any]]] = {
    "varchar": _limited(255),
    "varchar_auto": _limited(255),
    "text": _limited(65_000),
    "phone": _limited(255),
    "double": values.number,
    "date": values.day,
    "monetary": _parts(("value", "currency"), {"value": values.number, "currency": values.text}),
    "daterange": _parts(("value", "until"), {"value": values.day, "until": values.day}),
    "time": _parts(("value",), {"value": _clock, "timezone_id": values.integer, "timezone_name": values.text}),
    "timerange": _parts(
        ("value", "until"),
        {"value": _clock, "until": _clock, "timezone_id": values.integer, "timezone_name": values.text},
    ),
}


def v1_flat(definition: FieldDefinition, value: Any) -> Json:
    """``{hash: value}`` and, for kinds with parts, ``{hash_part: value}``; ids of options are text."""
    code = definition.code
    if definition.kind == "enum":
        return {code: None if value is None else str(value)}
    if definition.kind == "set":
        return {code: None if value is None else ",".join(str(item) for item in value)}
    parts = _FLAT_PARTS.get(definition.kind)
    if parts is None:
        return {code: value}
    held = value or {}
    return {code: held.get("value"), **{f"{code}_{part}": held.get(part) for part in parts}}


_FLAT_PARTS: Final[dict[str, tuple[str, ...]]] = {
    "monetary": ("currency",),
    "daterange": ("until",),
    "time": ("timezone_id",),
    "timerange": ("until", "timezone_id"),
    "address": (*ADDRESS_PARTS, "formatted_address"),
}


def from_v1(definition: FieldDefinition, code: str, body: Json) -> Any:
    """A v1 flat value in v2's shape, not yet checked; v1 takes numbers as text."""
    value = body[code]
    if value in (None, ""):
        return None
    kind = definition.kind
    if kind == "set":
        items = value if isinstance(value, list) else str(value).split(",")
        return [_whole(item) for item in items if str(item).strip()]
    if kind == "monetary":
        return {"value": _decimal(value), "currency": body.get(f"{code}_currency") or "EUR"}
    if kind in _FLAT_PARTS:
        parts = [part for part in _FLAT_PARTS[kind] if part != "formatted_address"]
        return {"value": value, **{part: body[f"{code}_{part}"] for part in parts if f"{code}_{part}" in body}}
    if kind in ("enum", "user", "org", "people"):
        return _whole(value)
    return _decimal(value) if kind == "double" else value


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.strip().isdigit() else value


def _decimal(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def typed(definition: FieldDefinition, value: Any) -> Json | None:
    """The shape of webhooks v2: an object with its type."""
    if value is None:
        return None
    shown: Json = {"value": value}
    match definition.kind:
        case "enum" | "user" | "org" | "people":
            shown = {"id": value}
        case "set":
            shown = {"values": [{"id": item} for item in value]}
        case "daterange" | "timerange":
            shown = {"from": value["value"], "until": value["until"]}
        case "time" | "monetary" | "address":
            shown = value
    return {"type": definition.kind, **shown}
