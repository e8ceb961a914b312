"""Single values as v2 takes them: strict types, no numbers as text, no fractions of a second."""

from __future__ import annotations

import re
from datetime import date
from typing import Any, Final

from crm.providers.pipedrive.fake.answers import Json
from crm.providers.pipedrive.fake.fields import ADDRESS_PARTS
from crm.providers.pipedrive.fake.stamps import parse_v2

_TIME: Final = re.compile(r"\d{1,2}:\d\d(:\d\d)?")
_VISIBILITIES: Final = (1, 3, 5, 7)


class Refused(Exception):  # noqa: N818 - the reason of a 400, never shown as an error of its own
    """A value that Pipedrive does not take; the text is the reason."""


def integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused("must be an integer")
    return value


def number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refused("must be a number")
    return value


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise Refused("must be a string")
    return value


def text255(value: Any) -> str:
    if len(text(value)) > 255:
        raise Refused("length must be less than or equal to 255 characters long")
    return str(value)


def text10000(value: Any) -> str:
    if len(text(value)) > 10_000:
        raise Refused("length must be less than or equal to 10000 characters long")
    return str(value)


def name_part(value: Any) -> str:
    return text255("" if value is None else value)


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Refused("must be a boolean")
    return value


def stamp(value: Any) -> int:
    seconds = parse_v2(value)
    if seconds is None:
        raise Refused("must be a date-time in RFC 3339 format without fractional seconds")
    return seconds


def day(value: Any) -> str:
    try:
        date.fromisoformat(text(value))
    except ValueError as error:
        raise Refused("must be a date in YYYY-MM-DD format") from error
    if len(value) != 10:
        raise Refused("must be a date in YYYY-MM-DD format")
    return str(value)


def clock_time(value: Any) -> str:
    if not _TIME.fullmatch(text(value)):
        raise Refused("must be a time in HH:MM or HH:MM:SS format")
    return str(value) if str(value).count(":") == 2 else f"{value}:00"


def visibility(value: Any) -> int:
    if integer(value) not in _VISIBILITIES:
        raise Refused("must be one of [1, 3, 5, 7]")
    return int(value)


def contacts(value: Any) -> list[Json]:
    """E-mails or phones: the list replaces the stored one; at most one is primary, else the first."""
    if not isinstance(value, list):
        raise Refused("must be an array")
    found: list[Json] = []
    for position, item in enumerate(value):
        if not isinstance(item, dict):
            raise Refused(f"[{position}] must be an object")
        if unknown := sorted(set(item) - {"value", "label", "primary"}):
            raise Refused(f"[{position}].{unknown[0]} is not allowed")
        if not isinstance(item.get("value"), str):
            raise Refused(f"[{position}].value must be a string")
        if not isinstance(item.get("label", ""), str):
            raise Refused(f"[{position}].label must be a string")
        if not isinstance(item.get("primary", False), bool):
            raise Refused(f"[{position}].primary must be a boolean")
        if item["value"].strip():
            primary = bool(item.get("primary", False))
            found.append({"value": item["value"].strip(), "primary": primary, "label": item.get("label", "work")})
    if sum(each["primary"] for each in found) > 1:
        raise Refused("only one item can be primary")
    if found and not any(each["primary"] for each in found):
        found[0]["primary"] = True
    return found


def address(value: Any) -> Json:
    """``value`` is required; a part left out becomes null (migration guide)."""
    if not isinstance(value, dict):
        raise Refused("must be an object")
    if unknown := sorted(set(value) - {"value", *ADDRESS_PARTS}):
        raise Refused(f".{unknown[0]} is not allowed")
    for name, part in value.items():
        if not (isinstance(part, str) or (part is None and name != "value")):
            raise Refused(f".{name} must be a string")
    if not value.get("value"):
        raise Refused(".value is required")
    return {"value": value["value"], **{part: value.get(part) for part in ADDRESS_PARTS}}
