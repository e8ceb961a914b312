"""Dates and times as Salesforce writes them: UTC, whole seconds, an offset without a colon."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DATE_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?", re.IGNORECASE
)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")


def whole_second(stamp_ms: int) -> int:
    return stamp_ms // 1000 * 1000


def moment(stamp_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=stamp_ms)


def date_time(stamp_ms: int) -> str:
    """``2026-05-01T07:25:37.000+0000``."""
    return f"{moment(stamp_ms):%Y-%m-%dT%H:%M:%S}.000+0000"


def http_date(stamp_ms: int) -> str:
    return format_datetime(moment(whole_second(stamp_ms)), usegmt=True)


def parse_http_date(text: str) -> int | None:
    """Milliseconds of an RFC 1123 date; None when it is none."""
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return (found - _EPOCH) // timedelta(milliseconds=1)


def parse_date_time(text: str) -> int | None:
    """Milliseconds, to the whole second; no zone means UTC. A date alone is midnight UTC. None when it is neither."""
    if _DATE.fullmatch(text):
        text = f"{text}T00:00:00Z"
    matched = _DATE_TIME.fullmatch(text)
    if matched is None:
        return None
    day, clock, _, zone = matched.groups()
    try:
        found = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in (None, 'Z', 'z') else zone}")
    except ValueError:
        return None
    return whole_second((found - _EPOCH) // timedelta(milliseconds=1))


def parse_date(text: str) -> str | None:
    """A calendar date, the day of a date and time too; None when it is neither."""
    day = text[:10]
    if not _DATE.fullmatch(day) or (len(text) > 10 and not _DATE_TIME.fullmatch(text)):
        return None
    try:
        return date.fromisoformat(day).isoformat()
    except ValueError:
        return None
