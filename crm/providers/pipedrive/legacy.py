"""Version 1 of the record endpoints, answering in v2's shapes: notes, and everything where a setting asks for it.

Shapes: https://pipedrive.readme.io/docs/pipedrive-api-v2-migration-guide, pages:
https://pipedrive.readme.io/docs/core-api-concepts-pagination, the feed of changes:
https://developers.pipedrive.com/docs/api/v1/Recents (checked 2026-09). Out of support for all but notes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

from crm.errors import CursorExpiredError, RecordGoneError, UnexpectedAnswerError
from crm.http.client import Answer, HttpClient
from crm.http.paging import Page, read_all
from crm.http.redact import shape_of
from crm.providers.pipedrive import endpoints
from crm.providers.pipedrive.client import RecordPage, data, mapping_of, record, record_id, rows, server_time, written
from crm.providers.pipedrive.endpoints import V1
from crm.providers.pipedrive.objects import NOTES, RecordType
from crm.providers.pipedrive.wire import WireField, WireRecord

_HASH: Final = re.compile(r"([0-9a-f]{40})(?:_(\w+))?")
_STAMP: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_LISTS: Final = {"email": "emails", "phone": "phones"}
_SENT: Final = {"emails": "email", "phones": "phone", "busy": "busy_flag"}
_ADDRESSES: Final = ("postal_address", "address")
_CODES: Final = {"label": "label_ids", "user_id": "owner_id", "busy_flag": "busy"}


class RecordsV1:
    """``crm.providers.pipedrive.client.Records`` over version 1."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self._costs = endpoints.COSTS[V1]

    def list_page(self, kind: RecordType, cursor: str, limit: int, include: Sequence[str] = ()) -> RecordPage:
        """By offset, which loses a row for each one deleted before it: so every page begins at the last row of the
        one before, and steps back until it meets a row that was seen.
        """
        del include  # v1 always gives everything
        start, last_id = _position(cursor)
        limit = max(2, limit)
        while True:
            answer = self._list(kind, "list", {"start": start, "limit": limit, "sort": "id ASC"})
            found = [modern(kind, entry) for entry in rows(answer)]
            if start == 0 or (found and int(found[0]["id"]) <= last_id):
                break
            start = max(0, start - limit)
        fresh = [entry for entry in found if int(entry["id"]) > last_id]
        following = _next_start(answer)
        if following is None:
            return RecordPage(tuple(fresh), "", server_time(answer))
        greatest = max([last_id, *(int(entry["id"]) for entry in found)])
        return RecordPage(tuple(fresh), f"{following - 1}.{greatest}", server_time(answer))

    def changed_page(
        self, kind: RecordType, since: datetime, cursor: str, limit: int, include: Sequence[str] = ()
    ) -> RecordPage:
        del include
        start, _ = _position(cursor)
        stamp = f"{since.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        if kind.key == NOTES:
            params = {"updated_since": f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", "sort": "update_time ASC"}
            answer = self._list(kind, "changes", {"start": start, "limit": limit, **params})
            found = [modern(kind, entry) for entry in rows(answer)]
        else:
            answer = self._http.request(
                "GET",
                endpoints.path(V1, "recents"),
                operation="changes",
                params={"since_timestamp": stamp, "items": kind.singular, "start": start, "limit": limit},
                cost=endpoints.RECENTS_COST,
            )
            _check_reach(since, server_time(answer))
            entries = [mapping_of(entry).get("data") for entry in rows(answer)]
            found = [modern(kind, entry) for entry in entries if isinstance(entry, dict)]
        following = _next_start(answer)
        live = tuple(entry for entry in found if entry.get("is_deleted") is not True)
        return RecordPage(live, "" if following is None else f"{following}.0", server_time(answer))

    def newest_page(self, kind: RecordType, cursor: str, limit: int, include: Sequence[str] = ()) -> RecordPage:
        """Offsets lose nothing here: what is created meanwhile comes at the front and pushes rows back."""
        del include
        start, _ = _position(cursor)
        answer = self._list(kind, "newest", {"start": start, "limit": limit, "sort": "add_time DESC"})
        following = _next_start(answer)
        found = tuple(modern(kind, entry) for entry in rows(answer))
        return RecordPage(found, "" if following is None else f"{following}.0", server_time(answer))

    def read_ids(self, kind: RecordType, ids: Sequence[str], include: Sequence[str] = ()) -> list[WireRecord]:
        """v1 has no such list: one request each."""
        del include
        found = [self.read_one(kind, each) for each in ids]
        return [each for each in found if each is not None and each.get("is_deleted") is not True]

    def read_one(self, kind: RecordType, remote_id: str) -> WireRecord | None:
        try:
            answer = self._http.request(
                "GET",
                endpoints.path(V1, f"{kind.key}/{{id}}"),
                operation="read_one",
                path_params={"id": remote_id},
                cost=self._costs.one,
            )
        except RecordGoneError:
            return None
        return modern(kind, data(answer))

    def create(self, kind: RecordType, body: Mapping[str, Any]) -> WireRecord:
        answer = self._http.request(
            "POST", endpoints.path(V1, kind.key), operation="create", json=sent(kind, body), cost=self._costs.write
        )
        return modern(kind, written(answer))

    def update(self, kind: RecordType, remote_id: str, body: Mapping[str, Any]) -> WireRecord:
        answer = self._http.request(
            "PUT",
            endpoints.path(V1, f"{kind.key}/{{id}}"),
            operation="update",
            path_params={"id": remote_id},
            json=sent(kind, body),
            cost=self._costs.write,
        )
        found = modern(kind, written(answer))
        if found.get("is_deleted") is True:
            # v1 changes a deleted record and leaves it deleted.
            raise RecordGoneError(operation="update")
        return found

    def delete(self, kind: RecordType, remote_id: str) -> None:
        self._http.request(
            "DELETE",
            endpoints.path(V1, f"{kind.key}/{{id}}"),
            operation="delete",
            path_params={"id": remote_id},
            cost=self._costs.delete,
        )

    def fields(self, kind: RecordType) -> list[WireField]:
        def page(start: str) -> Page[WireField]:
            answer = self._http.request(
                "GET",
                endpoints.path(V1, kind.fields),
                operation="fields",
                params={"start": int(start or 0), "limit": endpoints.PAGE},
                cost=self._costs.page,
            )
            following = _next_start(answer)
            return Page([_field(entry) for entry in rows(answer)], "" if following is None else str(following))

        return list(read_all(page))

    def create_field(self, kind: RecordType, name: str, field_type: str) -> WireField:
        answer = self._http.request(
            "POST",
            endpoints.path(V1, kind.fields),
            operation="create_field",
            json={"name": name, "field_type": field_type, "add_visible_flag": False},
            cost=self._costs.write,
        )
        return _field(data(answer))

    def _list(self, kind: RecordType, operation: str, params: Mapping[str, str | int]) -> Answer:
        return self._http.request(
            "GET", endpoints.path(V1, kind.key), operation=operation, params=params, cost=self._costs.page
        )


# shapes


def modern(kind: RecordType, entry: Any) -> WireRecord:
    """A v1 object in v2's shape."""
    given = record(entry)
    found: WireRecord = {}
    custom: dict[str, Any] = {}
    for name, value in given.items():
        by_hash = _HASH.fullmatch(name)
        if by_hash:
            _put_part(custom, by_hash[1], by_hash[2], value)
        elif name in _LISTS and isinstance(value, list):
            found[_LISTS[name]] = [each for each in value if isinstance(each, dict) and each.get("value")]
        elif isinstance(value, dict) and "value" in value:
            found[name] = value["value"]
        else:
            found[name] = _modern_stamp(value)
    found["id"] = int(record_id(given))
    if "active_flag" in given:
        found["is_deleted"] = given["active_flag"] is False
    if kind.key != NOTES and "owner_id" not in found and "user_id" in found:
        found["owner_id"] = found["user_id"]
    if "busy_flag" in found:
        found["busy"] = found["busy_flag"]
    if "label_ids" not in found and "label" in found:
        found["label_ids"] = _numbers(found["label"])
    for name in _ADDRESSES:
        parts = {key.removeprefix(f"{name}_"): value for key, value in given.items() if key.startswith(f"{name}_")}
        if parts:
            found[name] = None if given.get(name) is None else {"value": given[name], **parts}
    if kind.has_custom_fields:
        found["custom_fields"] = custom
    return found


def _put_part(custom: dict[str, Any], code: str, part: str | None, value: Any) -> None:
    """``<hash>`` and ``<hash>_<part>`` become one object; a part alone says nothing."""
    if part is None:
        held = custom.get(code)
        custom[code] = {**held, "value": value} if isinstance(held, dict) and value is not None else value
    elif value is not None:
        held = custom.get(code)
        custom[code] = {**(held if isinstance(held, dict) else {"value": held}), part: value}


def _modern_stamp(value: Any) -> Any:
    if isinstance(value, str) and _STAMP.fullmatch(value):
        return value.replace(" ", "T") + "Z"
    return value


def sent(kind: RecordType, body: Mapping[str, Any]) -> dict[str, Any]:
    """A v2 body in v1's shape."""
    found: dict[str, Any] = {}
    for name, value in body.items():
        if name == "custom_fields":
            for code, held in value.items():
                found |= _flat(code, held)
        elif name in _ADDRESSES:
            found |= _flat(name, value)
        elif name == "participants":
            found[name] = [
                {"person_id": each["person_id"], "primary_flag": each.get("primary", False)} for each in value
            ]
        elif name == "owner_id" and kind.key in {"deals", "activities"}:
            found["user_id"] = value
        else:
            found[_SENT.get(name, name)] = value
    return found


def _flat(code: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {code: value.get("value"), **{f"{code}_{part}": held for part, held in value.items() if part != "value"}}
    if isinstance(value, list):
        return {code: ",".join(str(item) for item in value)}
    return {code: value}


def _numbers(value: Any) -> list[int]:
    parts = str(value).split(",") if isinstance(value, str | int) and not isinstance(value, bool) else []
    return [int(part) for part in parts if part.strip().isdigit()]


def _field(entry: Any) -> WireField:
    found = mapping_of(entry)
    code, kind = found.get("key"), found.get("field_type")
    if not isinstance(code, str) or not code or not isinstance(kind, str):
        raise UnexpectedAnswerError("Pipedrive gave a field without a key or a type", payload=shape_of(entry))
    renamed = {
        "field_code": _CODES.get(code, code),
        "field_name": str(found.get("name") or ""),
        "field_type": kind,
        "options": found.get("options"),
        "is_custom_field": _HASH.fullmatch(code) is not None,
    }
    return cast("WireField", renamed)


# pages


def _position(cursor: str) -> tuple[int, int]:
    """``<start>.<greatest id seen>``."""
    start, _, last_id = (cursor or "0.0").partition(".")
    if not (start.isdecimal() and last_id.isdecimal()):
        raise CursorExpiredError("The position belongs to another kind of walk", provider="pipedrive")
    return int(start), int(last_id)


def _next_start(answer: Answer) -> int | None:
    """``None`` on the last page; the keys stand under ``pagination`` or, for some lists, directly."""
    more = mapping_of(answer.body).get("additional_data")
    for place in _places(more):
        following = place.get("next_start")
        if place.get("more_items_in_collection") is True and isinstance(following, int):
            return following
    return None


def _places(more: Any) -> Iterable[Mapping[str, Any]]:
    if isinstance(more, dict):
        yield more
        if isinstance(more.get("pagination"), dict):
            yield more["pagination"]


def _check_reach(since: datetime, server_time: datetime | None) -> None:
    if server_time is not None and (server_time - since).days >= endpoints.RECENTS_DAYS:
        raise CursorExpiredError("Pipedrive's feed of changes reaches back one month only", provider="pipedrive")
