"""An answer of a CRM, read whole and within bounds; knows nothing of sockets or of any provider."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from crm.normalize import sanitize_text

MAX_JSON_DEPTH: Final = 64
"""No documented answer of a CRM is nested deeper than ten levels; recursive readers stay safe below this."""
_MAX_INTEGER_DIGITS: Final = 400
"""Python refuses more than 4,300 digits with an error that would cost the whole page."""
_NESTED: Final[frozenset[type]] = frozenset({dict, list})
_UNSTORABLE: Final = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
"""How JSON writes a NUL or a surrogate; bytes that are no UTF-8 have been replaced by then."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One complete answer. ``repr`` shows neither headers nor content."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    body: Any = field(repr=False)
    """The parsed JSON, or ``None`` when there is none (no content, or another content type)."""
    text: str = field(repr=False)
    """The content as text (UTF-8, bad bytes replaced); may hold contact data."""
    is_json: bool = True

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status < 300

    def header(self, name: str) -> str:
        """The header's value, ``""`` when absent."""
        return self.headers.get(name.lower(), "")

    def retry_after_seconds(self, now: datetime | None = None) -> float | None:
        """``Retry-After`` as seconds from now (RFC 9110, 10.2.3: a number or a date); ``None`` when absent or odd.

        A date is measured against the answer's own ``Date`` where it has one, so that our clock does not matter.
        """
        value = self.header("retry-after").strip()
        if not value:
            return None
        try:
            seconds = float(value)
        except ValueError:
            return self._seconds_until(value, now)
        return seconds if math.isfinite(seconds) and seconds >= 0 else None

    def _seconds_until(self, date: str, now: datetime | None) -> float | None:
        due = _http_date(date)
        if due is None:
            return None
        start = _http_date(self.header("date")) or now or datetime.now(UTC)
        return max(0.0, (due - start).total_seconds())


def _http_date(text: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(text)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def parse_json(content: bytes) -> Any:
    """The JSON value in ``content``; raises ValueError when it is none or nested deeper than MAX_JSON_DEPTH.

    A number that no float or sensible integer can hold (``1e400``, ``NaN``, thousands of digits) is given back
    as its text: the mapping refuses that one field, and the other records of the page go on. What no database
    holds (NUL, half a surrogate pair) is U+FFFD from here on, so that a value compares equal to what was kept of it.
    """
    text = content.decode("utf-8-sig", "replace")
    try:
        value = json.loads(text, parse_float=_number, parse_int=_integer, parse_constant=str)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level: list[Any] = [value] if type(value) in _NESTED else []
    for _ in range(MAX_JSON_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) in _NESTED
        ]
        if not level:
            return _storable(value) if _UNSTORABLE.search(text) else value
    raise ValueError("nested too deeply")


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return sanitize_text(value)[0]
    if isinstance(value, list):
        return [_storable(each) for each in value]
    if isinstance(value, dict):
        return {sanitize_text(name)[0]: _storable(each) for name, each in value.items()}
    return value


def _number(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= _MAX_INTEGER_DIGITS else text
