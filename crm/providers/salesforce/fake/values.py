"""Values on their way in and out: from JSON or CSV to what is stored, and back.

Text is trimmed and an empty one is null; date-times keep whole seconds; a checkbox is never null.
Page: SOAP API Developer Guide, "Primitive Data Types" and "Field Types"
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from crm.providers.salesforce.fake import ids
from crm.providers.salesforce.fake.answers import RowError
from crm.providers.salesforce.fake.fields import NUMBER_TYPES, Field
from crm.providers.salesforce.fake.stamps import date_time, parse_date, parse_date_time

_EMAIL: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}"
)
_JSON_NAMES: Final = {bool: "VALUE_TRUE", int: "VALUE_NUMBER_INT", float: "VALUE_NUMBER_FLOAT", str: "VALUE_STRING"}
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def parse(field: Field, raw: object) -> Any:
    """The value as it is stored, None for empty. Raises RowError JSON_PARSER_ERROR for what is not of the type."""
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        return False if field.type == "boolean" else None
    if field.type in NUMBER_TYPES:
        return _number(field, raw)
    reader = _READERS.get(field.type, _text)
    return reader(field, raw)


def check(field: Field, value: Any) -> RowError | None:
    """What is wrong with a stored value: its length, its e-mail syntax, its option."""
    if not isinstance(value, str):
        return None
    if field.length and field.type not in ("reference", "id") and len(value) > field.length:
        shown = value if len(value) <= 255 else value[:255]
        message = f"{field.shown_label()}: data value too large: {shown} (max length={field.length})"
        return RowError("STRING_TOO_LONG", message, [field.name])
    if field.type == "email" and not _EMAIL.fullmatch(value):
        message = f"{field.shown_label()}: invalid email address: {value}"
        return RowError("INVALID_EMAIL_ADDRESS", message, [field.name])
    if field.restricted and field.type in ("picklist", "multipicklist"):
        for part in value.split(";") if field.type == "multipicklist" else [value]:
            if part not in field.options:
                message = f"{field.shown_label()}: bad value for restricted picklist field: {part}"
                return RowError("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, [field.name])
    return None


def rendered(field: Field, values: Mapping[str, Any]) -> Any:
    """The field's value as JSON shows it."""
    if field.type == "address":
        return _address(field.name.removesuffix("Address"), values)
    value = values.get(field.name)
    if field.type == "datetime":
        return None if value is None else date_time(value)
    if field.type == "boolean":
        return bool(value)
    if field.type == "base64":
        return None
    return value


def csv_text(field: Field, values: Mapping[str, Any]) -> str:
    """As Bulk API 2.0 writes it: an empty field is nothing, stamps end in ``Z``."""
    value = rendered(field, values)
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if field.type == "datetime":
        return str(value).replace("+0000", "Z")
    return str(value)


def _boolean(_field: Field, raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.strip().lower() in ("true", "false"):
        return raw.strip().lower() == "true"
    raise _wrong("boolean", raw)


def _time(field: Field, raw: object) -> int | str:
    found = None
    if isinstance(raw, str):
        found = parse_date(raw.strip()) if field.type == "date" else parse_date_time(raw.strip())
    if found is None:
        raise _wrong(field.type, raw)
    return found


def _number(field: Field, raw: object) -> int | float:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise _wrong("double", raw)
    try:
        number = float(raw)
    except ValueError as error:
        raise _wrong("double", raw) from error
    if number != number or number in (float("inf"), float("-inf")):  # noqa: PLR0124 - a NaN is unlike itself
        raise _wrong("double", raw)
    if field.type == "int":
        return int(number)
    return round(number, field.scale)


def _bytes(field: Field, raw: object) -> str:
    try:
        base64.b64decode(str(raw), validate=True)
    except (ValueError, binascii.Error) as error:
        message = f"{field.shown_label()}: value not of required type: base64"
        raise RowError("JSON_PARSER_ERROR", message, [field.name]) from error
    return str(raw)


def _reference(field: Field, raw: object) -> str:
    found = ids.canonical(raw.strip()) if isinstance(raw, str) else None
    if found is None:
        message = f"{field.shown_label()}: id value of incorrect type: {raw}"
        raise RowError("MALFORMED_ID", message, [field.name])
    return found


def _text(_field: Field, raw: object) -> str | None:
    if not isinstance(raw, str):
        raise _wrong("string", raw)
    return _CONTROL.sub("", raw).strip() or None


def _options(field: Field, raw: object) -> str | None:
    parts = dict.fromkeys(part.strip() for part in (_text(field, raw) or "").split(";"))
    return ";".join(part for part in parts if part) or None


_READERS: Final[dict[str, Callable[[Field, object], Any]]] = {
    "boolean": _boolean,
    "date": _time,
    "datetime": _time,
    "base64": _bytes,
    "id": _reference,
    "reference": _reference,
    "multipicklist": _options,
}


def _wrong(wanted: str, raw: object) -> RowError:
    name = _JSON_NAMES.get(type(raw), "START_OBJECT" if isinstance(raw, dict) else "START_ARRAY")
    shown = "" if isinstance(raw, dict | list) else f" value {raw}"
    message = (
        f"Cannot deserialize instance of {wanted} from {name}{shown} or request may be missing a required field "
        "at [line:1, column:1]"
    )
    return RowError("JSON_PARSER_ERROR", message, None)


def _address(prefix: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
    parts = {
        "city": "City",
        "country": "Country",
        "countryCode": "CountryCode",
        "latitude": "Latitude",
        "longitude": "Longitude",
        "postalCode": "PostalCode",
        "state": "State",
        "stateCode": "StateCode",
        "street": "Street",
    }
    found = {name: values.get(f"{prefix}{part}") for name, part in parts.items()}
    if all(value is None for value in found.values()):
        return None
    return {**found, "geocodeAccuracy": None}
