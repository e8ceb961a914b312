"""SOQL text from checked parts. Pure: a value never leaves its literal and a name is never anything but a name.

https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select_quotedstringescapes.htm
(checked 2026-11). There is no way here to put ready text into a query.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from crm.errors import MappingError
from crm.providers.salesforce import endpoints

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}(?:\.[A-Za-z][A-Za-z0-9_]{0,79})?")
_ESCAPES: Final = str.maketrans({
    "\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Condition:
    """A whole condition; made by the functions below only."""

    text: str


def is_name(text: str) -> bool:
    """A field or object name, at most one relationship deep."""
    return _NAME.fullmatch(text) is not None


def name(text: str) -> str:
    """Raises MappingError (``field.missing``) for what can be no field or object name."""
    if not is_name(text):
        raise MappingError(
            "A field has a name that Salesforce cannot have", field=text[:100], fix="Choose a field from the list."
        )
    return text


def literal(value: str) -> str:
    """The value between quotes; raises MappingError when no literal can hold it."""
    if len(value) > endpoints.MAX_LITERAL_CHARACTERS:
        raise MappingError(
            f"A value to look up is longer than {endpoints.MAX_LITERAL_CHARACTERS} characters",
            code="field.too_long",
            fix="Shorten the value.",
        )
    escaped = value.translate(_ESCAPES)
    if any(character < " " or "\x7f" <= character <= "\x9f" or _is_odd(character) for character in escaped):
        raise MappingError(
            "A value to look up holds control characters", code="field.encoding", fix="Remove them from the value."
        )
    return f"'{escaped}'"


def _is_odd(character: str) -> bool:
    """Half of a surrogate pair, or one of the separators that some readers take for a line end."""
    return "\ud800" <= character <= "\udfff" or character in "\u2028\u2029"


def moment(at: datetime) -> str:
    """Unquoted, in UTC and whole seconds rounded down: Salesforce's stamps have no fractions."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def equals(field: str, value: str) -> Condition:
    return Condition(f"{name(field)} = {literal(value)}")


def is_flag(field: str, *, value: bool) -> Condition:
    return Condition(f"{name(field)} = {'true' if value else 'false'}")


def above(field: str, value: str) -> Condition:
    return Condition(f"{name(field)} > {literal(value)}")


def is_in(field: str, values: Iterable[str]) -> Condition:
    """Raises ValueError without a value: SOQL has no empty list."""
    listed = ",".join(literal(value) for value in values)
    if not listed:
        raise ValueError("is_in needs a value")
    return Condition(f"{name(field)} IN ({listed})")


def since(field: str, at: datetime) -> Condition:
    return Condition(f"{name(field)} >= {moment(at)}")


def after(field: str, at: datetime) -> Condition:
    return Condition(f"{name(field)} > {moment(at)}")


def at(field: str, when: datetime) -> Condition:
    return Condition(f"{name(field)} = {moment(when)}")


def any_of(*conditions: Condition) -> Condition:
    return Condition(f"({' OR '.join(each.text for each in conditions)})")


def all_of(*conditions: Condition) -> Condition:
    return Condition(f"({' AND '.join(each.text for each in conditions)})")


def count(record_type: str) -> str:
    return f"SELECT COUNT() FROM {name(record_type)}"  # noqa: S608 - the name is checked


def select(
    fields: Sequence[str],
    record_type: str,
    where: Condition | None = None,
    *,
    order: Sequence[str] = (),
    limit: int | None = None,
) -> str:
    """The whole query; raises MappingError when it is longer than Salesforce reads."""
    listed = ",".join(name(field) for field in fields)
    text = f"SELECT {listed} FROM {name(record_type)}"  # noqa: S608 - every part is checked: that is this module
    if where is not None:
        text += f" WHERE {where.text}"
    if order:
        text += f" ORDER BY {','.join(f'{name(field)} ASC' for field in order)}"
    if limit is not None:
        text += f" LIMIT {limit:d}"
    if len(text) > endpoints.MAX_SOQL_CHARACTERS:
        raise MappingError(
            "The query is longer than Salesforce reads", code="mapping.too_large", fix="Map fewer fields."
        )
    return text
