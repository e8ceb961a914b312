"""What a field holds, and the form in which two values of it are compared.

``canonical`` never raises: a value that does not fit its kind is compared as text. ``express``
raises, since it makes the value that is written.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from datetime import UTC
from decimal import Decimal, InvalidOperation
from typing import Final

from crm.errors import MappingError
from crm.model import Value
from crm.normalize import (
    normalize_country,
    normalize_email,
    normalize_name,
    normalize_phone,
    normalize_text,
    parse_date,
    parse_timestamp,
    sanitize_text,
)


class Kind(enum.StrEnum):
    """The kinds of fields, ours and theirs."""

    TEXT = "text"
    NAME = "name"
    EMAIL = "email"
    PHONE = "phone"
    URL = "url"
    COUNTRY = "country"
    CHOICE = "choice"
    """One of the CRM's options; the option's internal value, not its label."""
    REFERENCE = "reference"
    """An id of another record, such as an owner."""
    DATE = "date"
    DATETIME = "datetime"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TAGS = "tags"
    """A set of words: order and repetition do not count."""

    @classmethod
    def of(cls, word: str) -> Kind:
        """The kind of this name; text for a name that is not known, since everything can be shown as text."""
        try:
            return cls(word)
        except ValueError:
            return cls.TEXT


class TransformError(MappingError):
    """A value of one record cannot be expressed on the other side; only that field is left out."""

    default_code = "mapping.value_refused"


MAX_VALUE_CHARACTERS: Final = 65_536
"""Longest text that enters or leaves a transform (threats-and-faults.md, T22)."""

_TRUE: Final = frozenset({"true", "yes", "1"})
_FALSE: Final = frozenset({"false", "no", "0"})


def is_blank(value: Value) -> bool:
    """None, blank text and an empty list (or one of blank words) are blank. False and 0 are not."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value or value.isspace()
    if isinstance(value, tuple | list):
        return all(is_blank(item) for item in value)
    return False


def canonical(kind: Kind, value: Value, region: str = "") -> Value:
    """The comparable form of a value; None when it is blank. Idempotent, never raises."""
    if isinstance(value, str):
        if not value or value.isspace():
            return None
        return normalize_phone(value, region) if kind is Kind.PHONE else _OF_TEXT[kind](value)
    if value is None:
        return None
    return _canonical_typed(kind, value, region)


def _canonical_typed(kind: Kind, value: bool | float | tuple[str, ...], region: str) -> Value:
    if isinstance(value, bool):
        return _canonical_bool(kind, value)
    if isinstance(value, int | float):
        return _canonical_number(kind, value, region)
    words = _words(value)
    return (words or None) if kind is Kind.TAGS else canonical(kind, ";".join(words), region)


def _words(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(sorted({word for item in values if (word := normalize_text(str(item)))}))


def _canonical_bool(kind: Kind, value: bool) -> Value:
    if kind is Kind.BOOLEAN:
        return value
    if kind is Kind.NUMBER:
        return int(value)
    word = "true" if value else "false"
    return (word,) if kind is Kind.TAGS else word


def _canonical_number(kind: Kind, value: float, region: str) -> Value:
    if kind is Kind.NUMBER:
        return _number(str(value))
    if kind is Kind.BOOLEAN and value in (0, 1):
        return bool(value)
    number = _number(str(value))
    return canonical(kind, str(number), region)


def _number(text: str) -> Value:
    """Integers exactly, others as a float; text that is no finite number in a float's range stays text."""
    stripped = text.strip()
    if len(stripped) > 400 or not stripped.isascii() or "_" in stripped:
        return normalize_text(text)
    try:
        number = Decimal(stripped)
    except InvalidOperation:
        return normalize_text(text)
    if not number.is_finite() or abs(number.adjusted()) > 300:
        return 0 if number == 0 else normalize_text(text)
    whole = int(number)
    if whole == number:
        return whole
    near = float(number)
    return int(near) if near.is_integer() else near


def _boolean(text: str) -> Value:
    word = normalize_text(text)
    lowered = word.lower()
    if lowered in _TRUE:
        return True
    return False if lowered in _FALSE else word


def _date(text: str) -> Value:
    day = parse_date(text)
    return day.isoformat() if day is not None else normalize_text(text)


def _datetime(text: str) -> Value:
    moment = parse_timestamp(text)
    if moment is None:
        return normalize_text(text)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _tags(text: str) -> Value:
    return _words(text.split(";")) or None


_OF_TEXT: Final[dict[Kind, Callable[[str], Value]]] = {
    Kind.TEXT: normalize_text,
    Kind.NAME: normalize_name,
    Kind.EMAIL: normalize_email,
    Kind.URL: normalize_text,
    Kind.COUNTRY: normalize_country,
    Kind.CHOICE: normalize_text,
    Kind.REFERENCE: normalize_text,
    Kind.DATE: _date,
    Kind.DATETIME: _datetime,
    Kind.NUMBER: _number,
    Kind.BOOLEAN: _boolean,
    Kind.TAGS: _tags,
}


def express(kind: Kind, value: Value, field: str) -> Value:
    """The value as a field of this kind takes it: typed, otherwise as the person wrote it.

    Blank of every sort becomes None. Raises ``TransformError`` when the value has no form of this kind.
    """
    if is_blank(value):
        return None
    if isinstance(value, str):
        value = sanitize_text(value)[0]
        if len(value) > MAX_VALUE_CHARACTERS:
            raise TransformError(
                f"The value of {field} is longer than {MAX_VALUE_CHARACTERS} characters",
                code="field.too_long",
                field=field,
                fix="Shorten the value, or unmap the field.",
            )
    if kind in _TYPED:
        plain = canonical(kind, value)
        if not isinstance(plain, _TYPED[kind]) or (kind in _DATED and not _is_dated(kind, str(plain))):
            raise _bad_type(kind, field)
        if kind is Kind.NUMBER and isinstance(plain, bool):
            raise _bad_type(kind, field)
        return plain
    if kind is Kind.TAGS:
        return _tag_words(value)
    if isinstance(value, tuple | list):
        if len(value) == 1:
            return express(kind, value[0], field)
        raise TransformError(
            f"{field} takes one text and the value is a list",
            code="field.bad_type",
            field=field,
            fix="Add a join step to the mapping.",
        )
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(_number(str(value)))


_TYPED: Final[dict[Kind, type | tuple[type, ...]]] = {
    Kind.NUMBER: (int, float),
    Kind.BOOLEAN: bool,
    Kind.DATE: str,
    Kind.DATETIME: str,
}
_DATED: Final = frozenset({Kind.DATE, Kind.DATETIME})


def _is_dated(kind: Kind, text: str) -> bool:
    return (parse_date(text) if kind is Kind.DATE else parse_timestamp(text)) is not None


def _bad_type(kind: Kind, field: str) -> TransformError:
    return TransformError(
        f"The value of {field} is no {kind.value}",
        code="field.bad_type",
        field=field,
        fix="Correct the value, map another field, or add a step that converts it.",
    )


def _tag_words(value: Value) -> Value:
    plain = value if isinstance(value, str | tuple | list) else canonical(Kind.TEXT, value)
    items = plain if isinstance(plain, tuple | list) else str(plain).split(";")
    words: dict[str, None] = {}
    for item in items:
        word = sanitize_text(str(item))[0].strip()
        if word:
            words.setdefault(word)
    return tuple(words) or None
