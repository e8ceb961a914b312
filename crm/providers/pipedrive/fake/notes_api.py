"""Notes, version 1 only.

Page: https://developers.pipedrive.com/docs/api/v1/Notes
"""

from __future__ import annotations

import re
from typing import Any, Final

from crm.providers.pipedrive.fake import answers, writes
from crm.providers.pipedrive.fake.answers import Json, bad_request, ok
from crm.providers.pipedrive.fake.bodies import Prepared
from crm.providers.pipedrive.fake.caller import actor_of, grant_of, require
from crm.providers.pipedrive.fake.entities import DEAL, NOTE, ORGANIZATION, PERSON
from crm.providers.pipedrive.fake.paging import v1_page
from crm.providers.pipedrive.fake.records_v1 import V1_PREFIXES, loose_body
from crm.providers.pipedrive.fake.shapes_v1 import v1_record
from crm.providers.pipedrive.fake.stamps import parse_v1, parse_v2
from crm.providers.pipedrive.fake.state import Record, State
from crm.testing.wsgi import Request, Response, Router

PARENTS: Final = {"person_id": PERSON, "org_id": ORGANIZATION, "deal_id": DEAL}
_PINS: Final = ("pinned_to_person_flag", "pinned_to_organization_flag", "pinned_to_deal_flag")
_UNSAFE: Final = re.compile(
    r"<(script|style|iframe)\b.*?(</\1\s*>|$)|\son\w+\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s>]+)", re.IGNORECASE | re.DOTALL
)
_ALONE: Final = "Note must be associated with at least one organization, person, deal, lead or project."


class NotesApi:
    def __init__(self, state: State) -> None:
        self._state = state

    def mount(self, router: Router) -> None:
        for prefix in V1_PREFIXES:
            router.add("GET", f"{prefix}/notes", self.list_notes)
            router.add("POST", f"{prefix}/notes", self.create)
            router.add("GET", f"{prefix}/notes/{{id}}", self.read)
            router.add("PUT", f"{prefix}/notes/{{id}}", self.change)
            router.add("DELETE", f"{prefix}/notes/{{id}}", self.delete)

    def list_notes(self, request: Request) -> Response:
        require(request, "deals:read", "deals:full", "contacts:read", "contacts:full")
        rows = list(self._state.all_live(NOTE))
        for name in ("user_id", "lead_id", *PARENTS):
            if wanted := request.first(name):
                rows = [record for record in rows if str(record.values[name]) == wanted]
        if text := request.first("updated_since"):
            since = parse_v2(text)
            if since is None:
                raise bad_request("updated_since must be a date-time in RFC 3339 format")
            rows = [record for record in rows if (record.updated_s or 0) >= since]
        name, _, direction = request.first("sort").partition(" ")
        if name in ("update_time", "add_time", "id"):
            rows.sort(key=lambda record: _moment(record, name), reverse=direction.upper() == "DESC")
        page, pagination = v1_page(rows, request)
        user_id = grant_of(request).user_id
        shown = [v1_record(self._state, record, user_id) for record in page] or None
        return ok(shown, additional_data={"pagination": pagination})

    def read(self, request: Request) -> Response:
        require(request, "deals:read", "deals:full", "contacts:read", "contacts:full")
        return self._one(self._found(request), request)

    def create(self, request: Request) -> Response:
        """201, as recorded; the document says 200."""
        require(request, "deals:full", "contacts:full")
        body = loose_body(request)
        values = self.checked(body, is_new=True)
        if body.get("user_id") is not None:
            values["user_id"] = self._user(body["user_id"])
        added_s = None
        if body.get("add_time"):
            added_s = parse_v1(body["add_time"])
            if added_s is None:
                raise bad_request("add_time must be in the format YYYY-MM-DD HH:MM:SS")
        record = writes.create(self._state, Prepared(NOTE, values, added_s=added_s), actor_of(request))
        return self._one(record, request, 201)

    def change(self, request: Request) -> Response:
        """A deleted note takes changes too and stays deleted, as recorded."""
        require(request, "deals:full", "contacts:full")
        record, actor = self._found(request), actor_of(request)
        values = self.checked(loose_body(request), is_new=False)
        values["last_update_user_id"] = actor.user_id
        writes.update(self._state, record, Prepared(NOTE, values), actor)
        return self._one(record, request)

    def delete(self, request: Request) -> Response:
        require(request, "deals:full", "contacts:full")
        record = self._found(request)
        if not record.is_deleted:
            self._state.delete(record, actor_of(request))
        return ok(True)

    def checked(self, body: Json, *, is_new: bool) -> Json:
        """The values of a note. Raises 400 without content or, for a new one, without anything it belongs to."""
        values = self._values(body)
        if not values.get("content", "" if is_new else "kept"):
            raise bad_request("Note content must be given.")
        if is_new and not any(values.get(name) for name in ("lead_id", *PARENTS)):
            raise bad_request(_ALONE)
        if is_new:
            self._complete(values)
        return values

    def _values(self, body: Json) -> Json:
        values: Json = {}
        if "content" in body:
            values["content"] = _UNSAFE.sub("", str(body["content"] or ""))
        if body.get("lead_id"):
            values["lead_id"] = str(body["lead_id"])
        for name, entity in PARENTS.items():
            if body.get(name) in (None, ""):
                continue
            number = _number(body[name])
            if number is None or self._state.live(entity, number) is None:
                raise bad_request(f"{entity.label} not found")
            values[name] = number
        values |= {name: body[name] in (True, 1, "1", "true") for name in _PINS if name in body}
        return values

    def _complete(self, values: Json) -> None:
        """A note on a deal shows the deal's person and organization, as recorded."""
        deal = self._state.live(DEAL, values["deal_id"]) if values.get("deal_id") else None
        for name in ("person_id", "org_id"):
            if deal is not None and values.get(name) is None:
                values[name] = deal.values[name]

    def _user(self, raw: Any) -> int:
        number = _number(raw)
        if number is None or number not in self._state.users:
            raise bad_request("User not found")
        return number

    def _found(self, request: Request) -> Record:
        number = _number(request.params["id"])
        record = self._state.find(NOTE, number) if number is not None else None
        if record is None:
            raise answers.not_found_v1("Note")
        return record

    def _one(self, record: Record, request: Request, status: int = 200) -> Response:
        return ok(v1_record(self._state, record, grant_of(request).user_id), status)


def _moment(record: Record, name: str) -> int:
    return {"id": record.record_id, "add_time": record.added_s}.get(name, record.updated_s or 0)


def _number(raw: Any) -> int | None:
    text = str(raw)
    return int(text) if text.isascii() and text.isdigit() else None
