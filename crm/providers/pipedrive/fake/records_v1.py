"""Version 1 of persons, organizations, deals and activities: out of support since August 2026, still answering.

Page: https://developers.pipedrive.com/changelog (deprecation of selected API v1 endpoints)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from crm.providers.pipedrive.fake import answers, writes
from crm.providers.pipedrive.fake.answers import Json, bad_request, ok
from crm.providers.pipedrive.fake.bodies import BodyRules
from crm.providers.pipedrive.fake.bodies_v1 import prepare_v1
from crm.providers.pipedrive.fake.caller import actor_of, grant_of, require
from crm.providers.pipedrive.fake.entities import ON_V2, PERSON, Entity
from crm.providers.pipedrive.fake.paging import v1_page
from crm.providers.pipedrive.fake.shapes_v1 import related_objects, v1_record
from crm.providers.pipedrive.fake.state import Record, State, sort_value
from crm.testing.wsgi import Request, Response, Router

V1_PREFIXES = ("/v1", "/api/v1")


class RecordsV1:
    """``is_on=False`` answers 410 on every path here, as if it were switched off."""

    def __init__(self, state: State, rules: BodyRules) -> None:
        self._state = state
        self._rules = rules
        self.is_on = True

    def mount(self, router: Router) -> None:
        for prefix in V1_PREFIXES:
            for entity in ON_V2:
                root = f"{prefix}/{entity.plural}"
                router.add("GET", root, self._guarded(self.list_records, entity))
                router.add("POST", root, self._guarded(self.create, entity))
                router.add("GET", f"{root}/{{id}}", self._guarded(self.read, entity))
                router.add("PUT", f"{root}/{{id}}", self._guarded(self.change, entity))
                router.add("DELETE", f"{root}/{{id}}", self._guarded(self.delete, entity))
            router.add("GET", f"{prefix}/organizations/{{id}}/persons", self._guarded(self.persons_of, PERSON))

    def _guarded(self, handler: Callable[[Entity, Request], Response], entity: Entity) -> Callable[[Request], Response]:
        def guarded(request: Request) -> Response:
            if not self.is_on:
                raise answers.withdrawn()
            return handler(entity, request)

        return guarded

    def list_records(self, entity: Entity, request: Request) -> Response:
        """``start``, ``limit``, ``sort``, ``user_id``, ``first_char``; ``updated_since`` and others are ignored."""
        require(request, f"{entity.scope}:read", f"{entity.scope}:full")
        rows = self._visible(entity, request)
        if user := request.first("user_id"):
            rows = [record for record in rows if str(record.values["owner_id"]) == user]
        if letter := request.first("first_char"):
            rows = [record for record in rows if record.values[entity.name][:1].lower() == letter.lower()]
        return self._page(request, self._sorted(rows, request.first("sort")))

    def persons_of(self, _entity: Entity, request: Request) -> Response:
        require(request, "contacts:read", "contacts:full")
        rows = self._visible(PERSON, request)
        return self._page(request, [record for record in rows if str(record.values["org_id"]) == request.params["id"]])

    def read(self, entity: Entity, request: Request) -> Response:
        """Deleted ones too, with ``active_flag`` false."""
        require(request, f"{entity.scope}:read", f"{entity.scope}:full")
        return self._one(self._found(entity, request), request)

    def create(self, entity: Entity, request: Request) -> Response:
        require(request, f"{entity.scope}:full")
        prepared = prepare_v1(self._state, self._rules, entity, loose_body(request), None)
        record = writes.create(self._state, prepared, actor_of(request))
        return self._one(record, request, 201)

    def change(self, entity: Entity, request: Request) -> Response:
        """A deleted record is changed too; ``active_flag`` brings it back, which v2 cannot."""
        require(request, f"{entity.scope}:full")
        record, body = self._found(entity, request), loose_body(request)
        prepared = prepare_v1(self._state, self._rules, entity, body, record)
        writes.update(self._state, record, prepared, actor_of(request))
        if record.is_deleted and body.get("active_flag") in (True, 1, "1", "true"):
            self._state.restore(record, actor_of(request))
        return self._one(record, request)

    def delete(self, entity: Entity, request: Request) -> Response:
        require(request, f"{entity.scope}:full")
        record = self._found(entity, request)
        if record.is_deleted:
            return answers.gone(record.record_id)
        self._state.delete(record, actor_of(request))
        return ok({"id": record.record_id})

    def _visible(self, entity: Entity, request: Request) -> list[Record]:
        user_id = grant_of(request).user_id
        return [record for record in self._state.all_live(entity) if self._state.is_visible(record, user_id)]

    def _found(self, entity: Entity, request: Request) -> Record:
        text = request.params["id"]
        record = self._state.find(entity, int(text)) if text.isascii() and text.isdigit() else None
        if record is None or not self._state.is_visible(record, grant_of(request).user_id):
            raise answers.not_found_v1(entity.label)
        return record

    def _one(self, record: Record, request: Request, status: int = 200) -> Response:
        shown = v1_record(self._state, record, grant_of(request).user_id)
        return ok(shown, status, related_objects=related_objects(self._state, [record]))

    def _page(self, request: Request, rows: list[Record]) -> Response:
        page, pagination = v1_page(rows, request)
        user_id = grant_of(request).user_id
        # v1 says null where a list is empty.
        shown: list[Json] | None = [v1_record(self._state, record, user_id) for record in page] or None
        more = {"pagination": pagination}
        return ok(shown, additional_data=more, related_objects=related_objects(self._state, page))

    def _sorted(self, rows: list[Record], sort: str) -> list[Record]:
        """``update_time DESC, id``: several fields, the first one most."""
        for part in reversed([part.strip() for part in sort.split(",") if part.strip()]):
            name, _, direction = part.partition(" ")
            if direction.strip().upper() not in ("", "ASC", "DESC"):
                raise bad_request("Bad request: sort direction must be ASC or DESC")
            rows = sorted(rows, key=partial(_order, name), reverse=direction.strip().upper() == "DESC")
        return rows


def _order(name: str, record: Record) -> tuple[bool, str, float]:
    value = sort_value(record, name)
    if name == "update_time" and value is None:
        value = record.added_s
    if isinstance(value, (int, float)):
        return (True, "", value)
    return (value is not None, "" if value is None else str(value), 0)


def loose_body(request: Request) -> Json:
    """JSON, or a form, which is where v1's numbers as text come from."""
    if "form" in request.headers.get("content-type", ""):
        return dict(request.form())
    return answers.body_object(request)
