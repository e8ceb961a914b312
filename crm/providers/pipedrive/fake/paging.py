"""Pages: v2's cursor, v1's start and limit.

Page: https://pipedrive.readme.io/docs/core-api-concepts-pagination
"""

from __future__ import annotations

import base64
import binascii
import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from crm.providers.pipedrive.fake.answers import Json, bad_request, validation
from crm.providers.pipedrive.fake.state import Record, Row, key_of, sort_value
from crm.testing.wsgi import Request

MAX_LIMIT: Final = 500
DEFAULT_LIMIT: Final = 100


def limit_of(request: Request, *, most: int = MAX_LIMIT, clamp: bool = False) -> int:
    """``limit``, 100 if not given. Raises 400 outside 1 to ``most``, unless told to clamp."""
    given = request.first("limit")
    if not given:
        return min(DEFAULT_LIMIT, most)
    if not given.isascii() or not given.isdigit() or int(given) < 1:
        raise validation("limit", "must be a positive integer")
    if int(given) > most and not clamp:
        raise validation("limit", f"must be less than or equal to {most}")
    return min(int(given), most)


def encode_cursor(value: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(text: str) -> Json:
    """Raises 400 for what this server did not give out."""
    try:
        value = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError) as error:
        raise validation("cursor", "is invalid") from error
    if not isinstance(value, dict):
        raise validation("cursor", "is invalid")
    return value


def sort_of(request: Request, sorts: Sequence[str]) -> tuple[str, str]:
    """``sort_by`` and ``sort_direction``. Raises 400."""
    name = request.first("sort_by") or "id"
    direction = request.first("sort_direction") or "asc"
    if name not in sorts:
        raise validation("sort_by", f"must be one of [{', '.join(sorts)}]")
    if direction not in ("asc", "desc"):
        raise validation("sort_direction", "must be one of [asc, desc]")
    return name, direction


def record_page(
    rows: Sequence[Row], request: Request, sort: tuple[str, str], *, limit: int, matches: Callable[[Record], bool]
) -> tuple[list[Record], str | None]:
    """The records of one page and the cursor of the next. The cursor is the place of the last record given.

    ``rows`` are in ascending order of the field that ``sort`` names.
    """
    name, direction = sort
    after = _place(request.first("cursor"), name, direction)
    if direction == "asc":
        ordered = (
            rows[at][1] for at in range(0 if after is None else bisect_right(rows, after, key=key_of), len(rows))
        )
    else:
        last = len(rows) if after is None else bisect_left(rows, after, key=key_of)
        ordered = (rows[at][1] for at in range(last - 1, -1, -1))
    page, more = _first(ordered, matches, limit)
    if not more:
        return page, None
    value = sort_value(page[-1], name)
    place = {"field": name, "fieldValue": value, "sortDirection": direction, "id": page[-1].record_id}
    return page, encode_cursor(place)


def _place(text: str, name: str, direction: str) -> tuple[Any, ...] | None:
    if not text:
        return None
    cursor = decode_cursor(text)
    if cursor.get("field") != name or cursor.get("sortDirection") != direction or not isinstance(cursor.get("id"), int):
        raise validation("cursor", "is invalid")
    value = cursor.get("fieldValue")
    if value is not None and not isinstance(value, str if name == "due_date" else int):
        raise validation("cursor", "is invalid")
    return (value is not None, value if value is not None else 0, cursor["id"])


def _first(records: Iterator[Record], matches: Callable[[Record], bool], limit: int) -> tuple[list[Record], bool]:
    page: list[Record] = []
    for record in records:
        if matches(record):
            if len(page) == limit:
                return page, True
            page.append(record)
    return page, False


def offset_page(rows: Sequence[Any], start: int, limit: int) -> tuple[list[Any], str | None]:
    """A page of rows that have no id to go by (fields, search hits): the cursor holds the position."""
    page = list(rows[start : start + limit])
    more = start + limit < len(rows)
    return page, encode_cursor({"offset": start + limit}) if more else None


def offset_of(request: Request) -> int:
    text = request.first("cursor")
    if not text:
        return 0
    offset = decode_cursor(text).get("offset")
    if not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
        raise validation("cursor", "is invalid")
    return offset


def v1_page(rows: Sequence[Any], request: Request) -> tuple[list[Any], Json]:
    """v1's page and its ``pagination``; ``next_start`` only when there is more."""
    start, limit = v1_number(request, "start", 0), v1_number(request, "limit", DEFAULT_LIMIT)
    limit = max(1, min(limit, MAX_LIMIT))
    more = start + limit < len(rows)
    pagination: Json = {"start": start, "limit": limit, "more_items_in_collection": more}
    if more:
        pagination["next_start"] = start + limit
    return list(rows[start : start + limit]), pagination


def v1_number(request: Request, name: str, default: int) -> int:
    text = request.first(name)
    if not text:
        return default
    if not text.isascii() or not text.isdigit():
        raise bad_request(f"Bad request: {name} must be a number")
    return int(text)
