"""Version 2 of persons, organizations, deals and activities: list, read, create, change, delete.

Page: https://developers.pipedrive.com/docs/api/v1 (version 2 of each)
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import partial
from typing import Final

from crm.providers.pipedrive.fake import answers, bodies, writes
from crm.providers.pipedrive.fake.answers import Json, body_object, ok, validation
from crm.providers.pipedrive.fake.bodies import BodyRules
from crm.providers.pipedrive.fake.caller import actor_of, grant_of, require
from crm.providers.pipedrive.fake.entities import ACTIVITY, DEAL, ON_V2, PERSON, Entity
from crm.providers.pipedrive.fake.paging import limit_of, record_page, sort_of
from crm.providers.pipedrive.fake.shapes import v2_record
from crm.providers.pipedrive.fake.stamps import parse_v2
from crm.providers.pipedrive.fake.state import Record, Row, State, in_order, key_of
from crm.testing.wsgi import Request, Response, Router

MAX_IDS: Final = 100
MAX_CUSTOM_KEYS: Final = 15
_ADD_ON: Final = ("marketing_status", "doi_status")
Matches = Callable[[Record], bool]


class RecordsV2:
    """``is_limit_clamped``: a limit above 500 is 500 instead of 400. ``delta_shows_new``: ``updated_since`` also
    finds what was never changed, by ``add_time`` (both unconfirmed). ``list_lag_seconds``: how late lists show a write;
    what comes late carries its own, older stamp.
    """

    def __init__(self, state: State, rules: BodyRules) -> None:
        self._state = state
        self.rules = rules
        self.is_limit_clamped = False
        self.delta_shows_new = False
        self.list_lag_seconds = 0.0

    def mount(self, router: Router) -> None:
        for entity in ON_V2:
            root = f"/api/v2/{entity.plural}"
            router.add("GET", root, partial(self.list_records, entity))
            router.add("POST", root, partial(self.create, entity))
            router.add("GET", f"{root}/{{id}}", partial(self.read, entity))
            router.add("PATCH", f"{root}/{{id}}", partial(self.change, entity))
            router.add("DELETE", f"{root}/{{id}}", partial(self.delete, entity))

    def list_records(self, entity: Entity, request: Request) -> Response:
        require(request, f"{entity.scope}:read", f"{entity.scope}:full")
        limit = limit_of(request, clamp=self.is_limit_clamped)
        sort = sort_of(request, entity.sorts)
        matches = self._filter(entity, request)
        page, cursor = record_page(self._rows(entity, request, sort[0]), request, sort, limit=limit, matches=matches)
        show = self._view(entity, request)
        return ok([show(record) for record in page], additional_data={"next_cursor": cursor})

    def read(self, entity: Entity, request: Request) -> Response:
        require(request, f"{entity.scope}:read", f"{entity.scope}:full")
        return ok(self._view(entity, request)(self._found(entity, request)))

    def create(self, entity: Entity, request: Request) -> Response:
        require(request, f"{entity.scope}:full")
        prepared = bodies.prepare(self._state, self.rules, entity, body_object(request), None)
        record = writes.create(self._state, prepared, actor_of(request))
        return ok(v2_record(self._state, record))

    def change(self, entity: Entity, request: Request) -> Response:
        require(request, f"{entity.scope}:full")
        record = self._found(entity, request)
        if record.is_deleted:
            raise answers.not_found(entity.label)
        prepared = bodies.prepare(self._state, self.rules, entity, body_object(request), record)
        writes.update(self._state, record, prepared, actor_of(request))
        return ok(v2_record(self._state, record))

    def delete(self, entity: Entity, request: Request) -> Response:
        require(request, f"{entity.scope}:full")
        record = self._found(entity, request)
        if record.is_deleted:
            raise answers.not_found(entity.label)
        self._state.delete(record, actor_of(request))
        return ok({"id": record.record_id})

    # Reading the request ------------------------------------------------------------------------------

    def _found(self, entity: Entity, request: Request) -> Record:
        number = path_id(request)
        record = self._state.find(entity, number)
        if record is None or not self._state.is_visible(record, grant_of(request).user_id):
            raise answers.not_found(entity.label)
        return record

    def _view(self, entity: Entity, request: Request) -> Callable[[Record], Json]:
        include = request.listed("include_fields")
        for name in include:
            if name in _ADD_ON:
                raise answers.forbidden("Campaigns is not enabled for this company", "feature_not_enabled")
            if name not in entity.include:
                raise validation("include_fields", f"must be one of [{', '.join(entity.include)}]")
        custom = request.listed("custom_fields")
        if len(custom) > MAX_CUSTOM_KEYS:
            raise validation("custom_fields", f"must contain at most {MAX_CUSTOM_KEYS} keys")
        return partial(
            v2_record,
            self._state,
            include=include,
            custom=custom,
            option_labels=_flag(request, "include_option_labels"),
            labels=_flag(request, "include_labels"),
        )

    def _rows(self, entity: Entity, request: Request, name: str) -> list[Row]:
        """The rows that can match, in order: those of ``ids``, those changed since, or all."""
        table, ids = self._state.table(entity), request.listed("ids")
        if len(ids) > MAX_IDS:
            raise validation("ids", f"must contain at most {MAX_IDS} ids")
        if ids:
            wanted = {_integer("ids", item) for item in ids}
            return in_order([table.records[number] for number in wanted if number in table.records], name)
        rows = table.sorted_by(name)
        since = parse_v2(request.first("updated_since"))
        if name == "update_time" and since is not None and not self.delta_shows_new:
            return rows[bisect_left(rows, (True, since, 0), key=key_of) :]
        return rows

    def _filter(self, entity: Entity, request: Request) -> Matches:
        """All conditions of the list at once; parameters that do not exist are ignored silently."""
        user_id = grant_of(request).user_id
        tests: list[Matches] = [self._bin(entity, request)]
        tests.append(lambda record: self._state.is_visible(record, user_id))
        for name in entity.filters:
            if text := request.first(name):
                value = text if name == "lead_id" else _integer(name, text)
                tests.append(partial(_equals, name, value))
        if entity is PERSON and (text := request.first("deal_id")):
            deal = self._state.live(DEAL, _integer("deal_id", text))
            person_id = deal.values["person_id"] if deal else None
            tests.append(lambda record: record.record_id == person_id)
        if entity is ACTIVITY and request.first("done"):
            done = _flag(request, "done")
            tests.append(lambda record: record.values["done"] == done)
        if self.list_lag_seconds:
            seen_ms = self._state.clock.now_ms() - round(self.list_lag_seconds * 1000)
            tests.append(lambda record: record.touched_ms <= seen_ms)
        tests += self._times(request)
        return lambda record: all(test(record) for test in tests)

    def _bin(self, entity: Entity, request: Request) -> Matches:
        """Deleted records are left out; only deals can be asked for them, by status."""
        if entity is not DEAL:
            return lambda record: not record.is_deleted
        statuses = request.listed("status")
        for status in statuses:
            if status not in ("open", "won", "lost", "deleted"):
                raise validation("status", "must be one of [open, won, lost, deleted]")
        return lambda record: self._deal_matches(record, statuses)

    def _deal_matches(self, record: Record, statuses: list[str]) -> bool:
        if record.is_deleted:
            return "deleted" in statuses and not self._state.is_purged(record)
        return not record.values["is_archived"] and (not statuses or record.values["status"] in statuses)

    def _times(self, request: Request) -> list[Matches]:
        tests: list[Matches] = []
        if text := request.first("updated_since"):
            since = _instant("updated_since", text)
            tests.append(lambda record: self._changed_s(record) >= since)
        if text := request.first("updated_until"):
            until = _instant("updated_until", text)
            tests.append(lambda record: 0 <= self._changed_s(record) < until)
        return tests

    def _changed_s(self, record: Record) -> int:
        if record.updated_s is not None:
            return record.updated_s
        return record.added_s if self.delta_shows_new else -1


def path_id(request: Request) -> int:
    text = request.params["id"]
    if not text.isascii() or not text.isdigit():
        raise validation("id", "must be an integer")
    return int(text)


def _equals(name: str, value: object, record: Record) -> bool:
    return bool(record.values.get(name) == value)


def _integer(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise validation(name, "must be an integer")
    return int(text)


def _flag(request: Request, name: str) -> bool:
    text = request.first(name)
    if text not in ("", "true", "false"):
        raise validation(name, "must be a boolean")
    return text == "true"


def _instant(name: str, text: str) -> int:
    seconds = parse_v2(text)
    if seconds is None:
        raise validation(name, "must be a date-time in RFC 3339 format without fractional seconds")
    return seconds
