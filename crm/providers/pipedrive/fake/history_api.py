"""What happened: the mixed feed of recent changes, and who changed which field of a record.

Pages: https://developers.pipedrive.com/docs/api/v1/Recents, /Persons#getPersonUpdates
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Final

from crm.providers.pipedrive.fake import answers
from crm.providers.pipedrive.fake.answers import Json, bad_request, ok
from crm.providers.pipedrive.fake.caller import grant_of, require
from crm.providers.pipedrive.fake.entities import ENTITIES, ORGANIZATION, PERSON, Entity
from crm.providers.pipedrive.fake.paging import limit_of, offset_of, offset_page, v1_page
from crm.providers.pipedrive.fake.records_v1 import V1_PREFIXES
from crm.providers.pipedrive.fake.shapes_v1 import v1_record
from crm.providers.pipedrive.fake.stamps import parse_v1, v1_stamp
from crm.providers.pipedrive.fake.state import Edit, Record, State
from crm.testing.wsgi import Request, Response, Router

MONTH_SECONDS: Final = 31 * 86_400


class HistoryApi:
    def __init__(self, state: State) -> None:
        self._state = state

    def mount(self, router: Router) -> None:
        for prefix in V1_PREFIXES:
            router.add("GET", f"{prefix}/recents", self.recents)
            for entity in (PERSON, ORGANIZATION):
                router.add("GET", f"{prefix}/{entity.plural}/{{id}}/changelog", partial(self.changelog, entity))

    def recents(self, request: Request) -> Response:
        """Deleted records are in it, with ``active_flag`` false; a month back at most."""
        require(request, "recents:read", "search:read")
        since = parse_v1(request.first("since_timestamp"))
        if since is None:
            raise bad_request("since_timestamp must be in the format YYYY-MM-DD HH:MM:SS")
        since = max(since, self._state.now_s() - MONTH_SECONDS)
        wanted = request.listed("items") or list(ENTITIES)
        rows = [
            record
            for key in ENTITIES
            if key in wanted
            for record in self._state.tables[key].records.values()
            if _changed_s(record) >= since and not self._state.is_purged(record)
        ]
        rows.sort(key=lambda record: (_changed_s(record), record.entity.key, record.record_id))
        page, pagination = v1_page(rows, request)
        more = {
            "since_timestamp": v1_stamp(since),
            "last_timestamp_on_page": v1_stamp(_changed_s(page[-1])) if page else None,
            "pagination": pagination,
        }
        return ok([self._item(record, request) for record in page] or None, additional_data=more)

    def changelog(self, entity: Entity, request: Request) -> Response:
        """Newest first."""
        require(request, "recents:read")
        text = request.params["id"]
        record = self._state.find(entity, int(text)) if text.isascii() and text.isdigit() else None
        if record is None:
            raise answers.not_found_v1(entity.label)
        rows = [self._line(edit) for edit in reversed(record.edits)]
        page, cursor = offset_page(rows, offset_of(request), limit_of(request))
        return ok(page, additional_data={"next_cursor": cursor})

    def _item(self, record: Record, request: Request) -> Json:
        shown = v1_record(self._state, record, grant_of(request).user_id)
        return {"item": record.entity.key, "id": record.record_id, "data": shown}

    def _line(self, edit: Edit) -> Json:
        return {
            "field_key": edit.name,
            "old_value": _text(edit.before),
            "new_value": _text(edit.after),
            "actor_user_id": edit.actor.user_id,
            "time": v1_stamp(edit.at_s),
            "change_source": "api" if edit.actor.source == "api" else "app",
            "change_source_user_agent": edit.actor.agent or None,
            "is_bulk_update_flag": edit.actor.is_bulk,
        }


def _changed_s(record: Record) -> int:
    return record.added_s if record.updated_s is None else record.updated_s


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
