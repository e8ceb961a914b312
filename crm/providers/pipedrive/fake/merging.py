"""Merging two records of a kind into one: the survivor's values win, blanks are filled from the other.

Page: https://developers.pipedrive.com/docs/api/v1/Persons#mergePersons
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from crm.providers.pipedrive.fake import answers
from crm.providers.pipedrive.fake.answers import Json, bad_request, ok
from crm.providers.pipedrive.fake.caller import actor_of, grant_of, require
from crm.providers.pipedrive.fake.entities import ACTIVITY, DEAL, NOTE, ORGANIZATION, PERSON, Entity
from crm.providers.pipedrive.fake.records_v1 import V1_PREFIXES, loose_body
from crm.providers.pipedrive.fake.shapes_v1 import v1_record
from crm.providers.pipedrive.fake.state import Actor, Record, State
from crm.testing.wsgi import Request, Response, Router

_LISTS: Final = ("emails", "phones", "im")
_KEPT: Final = ("name", "first_name", "last_name", "title", "owner_id", "visible_to", "picture_id")
_POINTERS: Final = {PERSON.key: "person_id", ORGANIZATION.key: "org_id", DEAL.key: "deal_id"}


class MergeApi:
    def __init__(self, state: State) -> None:
        self._state = state

    def mount(self, router: Router) -> None:
        for prefix in V1_PREFIXES:
            for entity in (PERSON, ORGANIZATION, DEAL):
                router.add("PUT", f"{prefix}/{entity.plural}/{{id}}/merge", partial(self.merge_call, entity))

    def merge_call(self, entity: Entity, request: Request) -> Response:
        """``{id}`` disappears into ``merge_with_id``; the answer is the survivor."""
        require(request, f"{entity.scope}:full")
        gone_id, kept_id = request.params["id"], loose_body(request).get("merge_with_id")
        survivor = self.merge(entity, gone_id, kept_id, actor_of(request))
        shown = v1_record(self._state, survivor, grant_of(request).user_id)
        for name in ("owner_id", "org_id"):
            # Merging answers with plain ids (its own schema in the document).
            if isinstance(shown.get(name), dict):
                shown[name] = shown[name]["value"]
        return ok({**shown, "merge_what_id": int(gone_id)})

    def merge(self, entity: Entity, gone_id: Any, kept_id: Any, actor: Actor) -> Record:
        """Raises 400, 404."""
        gone, kept = self._record(entity, gone_id), self._record(entity, kept_id)
        if gone is kept:
            raise bad_request(f"Cannot merge a {entity.key} with itself")
        values: Json = {}
        for name, value in gone.values.items():
            if name in _LISTS:
                values[name] = _united(kept.values.get(name) or [], value or [])
            elif name not in _KEPT and value not in (None, [], "") and kept.values.get(name) in (None, [], ""):
                values[name] = value
        custom = {code: value for code, value in gone.custom.items() if code not in kept.custom}
        self._repoint(entity, gone.record_id, kept.record_id)
        gone.merged_into = kept.record_id
        self._state.delete(gone, actor, op="merge_away", merged_to_id=str(kept.record_id))
        changed = self._state.put(kept, values, custom, actor, op="merge", merged_from_id=str(gone.record_id))
        if not changed:
            self._state.touch(kept, actor, merged_from_id=str(gone.record_id))
        return kept

    def _record(self, entity: Entity, raw: Any) -> Record:
        text = str(raw)
        if not text.isascii() or not text.isdigit():
            raise bad_request("merge_with_id must be a number")
        record = self._state.live(entity, int(text))
        if record is None:
            raise answers.not_found_v1(entity.label)
        return record

    def _repoint(self, entity: Entity, gone_id: int, kept_id: int) -> None:
        name = _POINTERS[entity.key]
        for other in (PERSON, DEAL, ACTIVITY, NOTE):
            for record in self._state.table(other).records.values():
                if record.values.get(name) != gone_id:
                    continue
                record.values[name] = kept_id
                if other is ACTIVITY and entity is PERSON:
                    record.values["participants"] = [
                        {**each, "person_id": kept_id if each["person_id"] == gone_id else each["person_id"]}
                        for each in record.values["participants"]
                    ]
                self._state.dirty_records[other.key, record.record_id] = None


def _united(kept: list[Json], gone: list[Json]) -> list[Json]:
    known = {each["value"].lower() for each in kept}
    more = [{**each, "primary": False} for each in gone if each["value"].lower() not in known]
    united = [*kept, *more]
    if united and not any(each["primary"] for each in united):
        united[0] = {**united[0], "primary": True}
    return united
