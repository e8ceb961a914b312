"""Times on the wire: whole seconds, in v2 as ``2026-01-01T10:00:00Z``, in v1 as ``2026-01-01 10:00:00`` (UTC)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_V2: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)")
_V1: Final = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?")


def v2_stamp(seconds: int | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def v1_stamp(seconds: int | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def parse_v2(text: object) -> int | None:
    """Seconds since 1970; None for anything else than RFC 3339 without fractions."""
    if not isinstance(text, str) or not _V2.fullmatch(text):
        return None
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        return None


def parse_v1(text: object) -> int | None:
    """Seconds since 1970 of ``YYYY-MM-DD[ HH:MM:SS]`` in UTC, else None."""
    if not isinstance(text, str) or not _V1.fullmatch(text):
        return None
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None
