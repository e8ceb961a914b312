"""The back door of the fake under ``/_fake/``: what people do in Pipedrive's own pages, and the looking glass.

JSON in and out. A record's fields are those of v2 (notes: of v1), under ``properties``. Writes here act as a person
(``change_source`` ``app``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from crm.providers.pipedrive.fake import answers, bodies, writes
from crm.providers.pipedrive.fake.answers import AnswerError, Json, bad_request, body_object
from crm.providers.pipedrive.fake.bodies import Prepared
from crm.providers.pipedrive.fake.entities import NOTE, PERSON, Entity, by_plural
from crm.providers.pipedrive.fake.shapes import v2_record
from crm.providers.pipedrive.fake.stamps import parse_v2, v2_stamp
from crm.providers.pipedrive.fake.state import FIRST_USER_ID, Actor, Record
from crm.testing.wsgi import Request, Response, Router, json_response, no_content

if TYPE_CHECKING:
    from crm.providers.pipedrive.fake.app import PipedriveFake

PERSON_AT_DESK = FIRST_USER_ID + 7
"""Grace, who works in the web application."""


class AdminApi:
    def __init__(self, fake: PipedriveFake) -> None:
        self._fake = fake
        self._state = fake.state

    def mount(self, router: Router) -> None:
        routes: list[tuple[str, str, Callable[[Request], Response]]] = [
            ("GET", "records", self.list_records),
            ("POST", "records", self.create_record),
            ("GET", "records/{id}", self.read_record),
            ("PATCH", "records/{id}", self.update_record),
            ("DELETE", "records/{id}", self.delete_record),
            ("POST", "bulk", self.create_many),
            ("POST", "merge", self.merge),
            ("POST", "restore", self.restore),
            ("POST", "fields", self.add_field),
            ("DELETE", "fields/{code}", self.remove_field),
            ("POST", "users", self.add_user),
        ]
        for method, path, act in routes:
            router.add(method, f"/_fake/{path}", act)

    # Records ------------------------------------------------------------------------------------------

    def list_records(self, request: Request) -> Response:
        """``objectType`` (persons), ``deleted=true``, ``q`` (part of any value), ``after`` (id), ``limit``."""
        entity = kind_of(request.first("objectType"))
        after, limit = int(request.first("after") or 0), int(request.first("limit") or 100_000)
        rows = self.records(entity, deleted=request.first("deleted") == "true", query=request.first("q"), after=after)
        return json_response({"results": [self.shown(record) for record in rows[:limit]]})

    def records(self, entity: Entity, *, deleted: bool, query: str, after: int) -> list[Record]:
        table, needle = self._state.table(entity), query.lower()
        rows = (table.records[record_id] for record_id in table.ids if record_id > after)
        return [
            record
            for record in rows
            if record.is_deleted == deleted
            and (not needle or needle in f"{[*record.values.values(), *record.custom.values()]}".lower())
        ]

    def read_record(self, request: Request) -> Response:
        record = self.record(request)
        edits = [
            {
                "name": edit.name,
                "before": edit.before,
                "after": edit.after,
                "at": v2_stamp(edit.at_s),
                "source": edit.actor.source,
                "userId": edit.actor.user_id,
            }
            for edit in record.edits
        ]
        return json_response({**self.shown(record), "edits": edits})

    def create_record(self, request: Request) -> Response:
        """``objectType``, ``properties``, ``userId``?, ``at``?."""
        body = body_object(request)
        entity = kind_of(body.get("objectType"))
        prepared = self.prepare(entity, body, None)
        return json_response(self.shown(writes.create(self._state, prepared, self.actor(body))), 201)

    def update_record(self, request: Request) -> Response:
        record, body = self.record(request), body_object(request)
        self.change(record, body.get("properties") or {}, self.actor(body))
        return json_response(self.shown(record))

    def change(self, record: Record, properties: Json, actor: Actor) -> None:
        """Raises 400."""
        writes.update(self._state, record, self.prepare(record.entity, {"properties": properties}, record), actor)

    def delete_record(self, request: Request) -> Response:
        record = self.record(request)
        if not record.is_deleted:
            self._state.delete(record, self.actor({}))
        return no_content()

    def create_many(self, request: Request) -> Response:
        """Thousands at once, all or none: ``records`` are properties or bodies of ``POST records``."""
        body = body_object(request)
        entity = kind_of(body.get("objectType"))
        actor = Actor(str(body.get("changeSource") or "app"), self.actor(body).user_id, "Import", is_bulk=True)
        items = [item if "properties" in item else {"properties": item} for item in body.get("records") or []]
        checked = []
        for number, item in enumerate(items):
            try:
                checked.append(self.prepare(entity, item, None))
            except AnswerError as error:
                raise bad_request(f"records[{number}]: {error.message}") from error
        made = [writes.create(self._state, prepared, actor).record_id for prepared in checked]
        return json_response({"ids": made}, 201)

    def merge(self, request: Request) -> Response:
        """``keptId`` survives, ``goneId`` disappears into it."""
        body = body_object(request)
        entity = kind_of(body.get("objectType"))
        kept = self._fake.merging.merge(entity, body.get("goneId"), body.get("keptId"), self.actor(body))
        return json_response(self.shown(kept))

    def restore(self, request: Request) -> Response:
        body = body_object(request)
        record = self.found(kind_of(body.get("objectType")), str(body.get("id")))
        if not record.is_deleted:
            raise bad_request(f"Record {record.record_id} is not deleted")
        self._state.restore(record, self.actor(body))
        return json_response(self.shown(record))

    def record(self, request: Request) -> Record:
        return self.found(kind_of(request.first("objectType")), request.params["id"])

    def shown(self, record: Record) -> Json:
        return {**v2_record(self._state, record), "merged_into": record.merged_into}

    def actor(self, body: Json) -> Actor:
        user_id = int(body.get("userId") or PERSON_AT_DESK)
        if user_id not in self._state.users:
            raise bad_request(f"there is no user {user_id}")
        return Actor("app", user_id, "Mozilla/5.0")

    def found(self, entity: Entity, text: str) -> Record:
        record = self._state.find(entity, int(text)) if text.isascii() and text.isdigit() else None
        if record is None:
            raise answers.not_found_v1(entity.label)
        return record

    def prepare(self, entity: Entity, body: Json, record: Record | None) -> Prepared:
        properties: Any = body.get("properties")
        if not isinstance(properties, dict):
            raise bad_request("properties must be an object")
        if entity is NOTE:
            return Prepared(NOTE, self._fake.notes.checked(properties, is_new=record is None), added_s=_at(body))
        prepared = bodies.prepare(self._state, self._fake.rules, entity, properties, record)
        if record is None and body.get("at"):
            prepared.added_s = _at(body)
        return prepared

    # Fields, users, looking -----------------------------------------------------------------------------

    def add_field(self, request: Request) -> Response:
        """``objectType``, ``name``, ``type``, ``options`` (labels)."""
        body = body_object(request)
        options = [{"label": label} for label in body["options"]] if body.get("options") else None
        entity = kind_of(body.get("objectType"))
        found = self._fake.fields.add(entity, body.get("name"), body.get("type", "varchar"), options)
        return json_response({"code": found.code, "options": found.options}, 201)

    def remove_field(self, request: Request) -> Response:
        entity = kind_of(request.first("objectType"))
        found = self._state.fields.of(entity).custom().get(request.params["code"])
        if found is None:
            raise answers.not_found_v1("Field")
        self._fake.fields.remove(entity, found)
        return no_content()

    def add_user(self, request: Request) -> Response:
        body = body_object(request)
        if "@" not in str(body.get("email", "")):
            raise bad_request("a user needs an email")
        user = self._state.add_user(
            name=str(body.get("name") or body["email"]), email=str(body["email"]), is_admin=bool(body.get("isAdmin"))
        )
        return json_response(user, 201)


def kind_of(raw: object) -> Entity:
    """By plural; persons when nothing is said. Raises 400."""
    entity = by_plural(str(raw or PERSON.plural))
    if entity is None:
        raise bad_request(f"objectType: {raw!r} is none of persons, organizations, deals, activities, notes")
    return entity


def _at(body: Json) -> int | None:
    if not body.get("at"):
        return None
    seconds = parse_v2(body["at"])
    if seconds is None:
        raise bad_request("at: give a time such as 2026-01-01T10:00:00Z")
    return seconds
