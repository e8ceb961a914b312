"""Conditions of a query as functions over a record's values.

Text compares without regard to case; ``!= 'x'`` finds empty fields too; an empty field is neither less nor greater.
Pages: SOQL and SOSL Reference, "Comparison Operators", "Date Formats and Date Literals"
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, Final

from crm.providers.salesforce.fake import ids
from crm.providers.salesforce.fake.answers import AnswerError, plain
from crm.providers.salesforce.fake.fields import NUMBER_TYPES, TEXT_TYPES, Field
from crm.providers.salesforce.fake.soql_parser import Literal, Query
from crm.providers.salesforce.fake.soql_words import pointed
from crm.providers.salesforce.fake.stamps import moment, parse_date_time
from crm.providers.salesforce.fake.state import Values

MAX_STRING: Final = 4_000
DAY_MS: Final = 86_400_000
Test = Callable[[Values], bool]
Reader = Callable[[Values], Any]
_ORDERED: Final = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_ACCEPTED: Final = {
    "datetime": ("datetime", "date", "dateliteral"),
    "date": ("date", "dateliteral"),
    "boolean": ("boolean",),
    **dict.fromkeys(NUMBER_TYPES, ("number",)),
}


def folded(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def operand(query: Query, field: Field, literal: Literal, now_ms: int) -> Any:
    """The value to compare with, in the form that is stored. Raises 400 for one of another type."""
    if literal.kind == "null":
        return None
    if literal.kind not in _ACCEPTED.get(field.type, ("string",)):
        raise _wrong_operand(query, field, literal)
    match literal.kind:
        case "boolean":
            found: Any = literal.text == "TRUE"
        case "number":
            found = float(literal.text)
        case "string":
            found = _text(query, field, literal)
        case _:
            found = _time(field, literal, now_ms)
    return found


def compare(sign: str, read: Reader, operands: list[Any]) -> Test:
    """The test for one operator of the grammar."""
    wanted, first = frozenset(operands), operands[0]
    tests: dict[str, Test] = {
        "=": lambda seen: bool(read(seen) == first),
        "!=": lambda seen: bool(read(seen) != first),
        "IN": lambda seen: read(seen) in wanted,
        "NOT IN": lambda seen: read(seen) not in wanted,
    }
    if sign in tests:
        return tests[sign]
    if sign in _ORDERED:
        return _ordered(_ORDERED[sign], read, first)
    if sign == "LIKE":
        pattern = re.compile(_like(str(first or "")), re.IGNORECASE | re.DOTALL)
        return lambda seen: isinstance(value := read(seen), str) and pattern.fullmatch(value) is not None
    return _includes(read, operands, excludes=sign == "EXCLUDES")


def _ordered(holds: Callable[[Any, Any], bool], read: Reader, wanted: Any) -> Test:
    if wanted is None:
        return lambda _seen: False
    return lambda seen: (value := read(seen)) is not None and holds(value, wanted)


def _includes(read: Reader, operands: list[Any], *, excludes: bool) -> Test:
    """Each operand is a group of options that must all be chosen."""
    groups = [frozenset(str(each).split(";")) for each in operands]

    def test(seen: Values) -> bool:
        held = frozenset(str(read(seen) or "").split(";"))
        return any(group <= held for group in groups) != excludes

    return test


def _like(text: str) -> str:
    parts = re.split(r"(\\%|\\_|%|_)", text)
    wild = {"%": ".*", "_": ".", "\\%": "%", "\\_": "_"}
    return "".join(wild.get(part, re.escape(part)) for part in parts)


def _text(query: Query, field: Field, literal: Literal) -> str | None:
    if len(literal.text) > MAX_STRING:
        raise plain(400, "MALFORMED_QUERY", "a string in a filter has at most 4,000 characters")
    if field.type not in ("id", "reference") or not literal.text:
        return literal.text or None
    found = ids.canonical(literal.text)
    if found is None:
        message = f"invalid ID field: {literal.text}"
        raise plain(400, "INVALID_QUERY_FILTER_OPERATOR", pointed(query.text, literal.at, message))
    return found


def _time(field: Field, literal: Literal, now_ms: int) -> int | str | None:
    if literal.kind == "dateliteral":
        day_ms = _day_ms(literal.text, now_ms)
        return day_ms if field.type == "datetime" else f"{moment(day_ms):%Y-%m-%d}"
    return parse_date_time(literal.text) if field.type == "datetime" else literal.text


def _day_ms(text: str, now_ms: int) -> int:
    """Midnight UTC of the day that a date literal names (its first, for a range)."""
    word, _, number = text.partition(":")
    days = {"TODAY": 0, "YESTERDAY": -1, "TOMORROW": 1}.get(word)
    if days is None:
        days = int(number) if word == "NEXT_N_DAYS" else -int(number)
    return (now_ms // DAY_MS + days) * DAY_MS


def _wrong_operand(query: Query, field: Field, literal: Literal) -> AnswerError:
    quoted = field.type in TEXT_TYPES or field.type in ("id", "reference")
    kind = {"datetime": "dateTime", "reference": "string", "id": "string"}.get(field.type, field.type)
    kind = "string" if field.type in TEXT_TYPES else kind
    end = "should be enclosed in quotes" if quoted else "should not be enclosed in quotes"
    message = f"value of filter criterion for field '{field.name}' must be of type {kind} and {end}"
    return plain(400, "INVALID_FIELD", pointed(query.text, literal.at, message))
