"""Search: a late index, contained or exact text without case, hits of a shape of their own.

Page: https://developers.pipedrive.com/docs/api/v1/Persons#searchPersons, ItemSearch
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from crm.providers.pipedrive.fake.answers import AnswerError, Json, ok, validation
from crm.providers.pipedrive.fake.caller import grant_of, require
from crm.providers.pipedrive.fake.custom_values import SEARCHABLE
from crm.providers.pipedrive.fake.entities import DEAL, NOTE, ORGANIZATION, PERSON, Entity
from crm.providers.pipedrive.fake.paging import limit_of, offset_of, offset_page
from crm.providers.pipedrive.fake.state import Record, State
from crm.testing.wsgi import Request, Response, Router

_FIELDS: Final = {
    PERSON.key: ("custom_fields", "email", "notes", "phone", "name"),
    ORGANIZATION.key: ("address", "custom_fields", "notes", "name"),
    DEAL.key: ("custom_fields", "notes", "title"),
}
_SCORES: Final = {"name": 0.6, "title": 0.6, "email": 0.51, "phone": 0.46, "custom_fields": 0.29, "notes": 0.29}
_ITEM_TYPES: Final = ("deal", "person", "organization", "product", "lead", "file", "mail_attachment", "project")
_SEARCHED: Final = (PERSON, ORGANIZATION, DEAL)


class SearchApi:
    def __init__(self, state: State) -> None:
        self._state = state

    def mount(self, router: Router) -> None:
        for entity in _SEARCHED:
            router.add("GET", f"/api/v2/{entity.plural}/search", partial(self.search, entity))
        router.add("GET", "/api/v2/itemSearch", self.item_search)
        router.add("GET", "/api/v2/itemSearch/field", self.field_search)

    def search(self, entity: Entity, request: Request) -> Response:
        require(request, f"{entity.scope}:read", f"{entity.scope}:full", "search:read")
        fields = self._fields(request, _FIELDS[entity.key])
        hits = self._hits(entity, request, fields)
        if entity is PERSON and (text := request.first("organization_id")):
            hits = [hit for hit in hits if str((hit["item"]["organization"] or {}).get("id")) == text]
        page, cursor = offset_page(hits, offset_of(request), limit_of(request))
        return ok({"items": page}, additional_data={"next_cursor": cursor})

    def item_search(self, request: Request) -> Response:
        require(request, "search:read")
        types = request.listed("item_types") or list(_ITEM_TYPES)
        if unknown := sorted(set(types) - set(_ITEM_TYPES)):
            raise validation("item_types", f"{unknown[0]} is not allowed")
        everything = ("address", "code", "custom_fields", "email", "name", "notes", "phone", "title", "description")
        fields = self._fields(request, everything)
        hits: list[Json] = []
        for entity in _SEARCHED:
            if entity.key in types:
                searched = [name for name in _FIELDS[entity.key] if name in fields]
                hits += self._hits(entity, request, searched)
        hits.sort(key=lambda hit: -hit["result_score"])
        page, cursor = offset_page(hits, offset_of(request), limit_of(request, most=100))
        return ok({"items": page, "related_items": []}, additional_data={"next_cursor": cursor})

    def field_search(self, request: Request) -> Response:
        """One field; here case counts."""
        require(request, "search:read")
        entity = next((found for found in _SEARCHED if found.key == request.first("entity_type")), None)
        if entity is None:
            raise validation("entity_type", "must be one of [deal, person, organization]")
        match = request.first("match") or "exact"
        if match not in ("exact", "beginning", "middle"):
            raise validation("match", "must be one of [exact, beginning, middle]")
        term = self._term(request, is_short_fine=match == "exact")
        code = request.first("field")
        definition = self._state.fields.of(entity).definitions.get(code)
        if definition is None or (definition.is_custom and definition.kind not in SEARCHABLE):
            raise validation("field", "is not searchable")
        tests: dict[str, Callable[[str], bool]] = {
            "exact": lambda value: value == term,
            "beginning": lambda value: value.startswith(term),
            "middle": lambda value: term in value,
        }
        found = []
        for record, values, custom in self._indexed(entity, request):
            texts = _texts(values, custom, code, is_custom=definition.is_custom)
            if any(tests[match](text) for text in texts):
                found.append({"id": record.record_id, "name": values[entity.name]})
        page, cursor = offset_page(found, offset_of(request), limit_of(request))
        return ok(page, additional_data={"next_cursor": cursor})

    # Finding --------------------------------------------------------------------------------------------

    def _hits(self, entity: Entity, request: Request, fields: list[str]) -> list[Json]:
        exact = _flag(request, "exact_match")
        term = self._term(request, is_short_fine=exact).strip().lower()
        notes = self._notes(entity) if "notes" in fields else {}
        hits: list[Json] = []
        for record, values, custom in self._indexed(entity, request):
            score = 0.0
            for name in fields:
                texts = (
                    notes.get(record.record_id, []) if name == "notes" else self._named(entity, name, values, custom)
                )
                if any(text.lower() == term if exact else term in text.lower() for text in texts):
                    score = max(score, _SCORES.get(name, 0.3))
            if score:
                hits.append({"result_score": score, "item": self._item(entity, record, values, custom, notes)})
        hits.sort(key=lambda hit: -hit["result_score"])
        return hits

    def _indexed(self, entity: Entity, request: Request) -> Iterator[tuple[Record, Json, Json]]:
        """Records as the index has them; deleted and invisible ones are absent."""
        self._state.refresh_index()
        user_id = grant_of(request).user_id
        for record in self._state.all_live(entity):
            found = self._state.index_of(record)
            if found is not None and self._state.is_visible(record, user_id):
                yield (record, *found)

    def _named(self, entity: Entity, name: str, values: Json, custom: Json) -> list[str]:
        if name == "custom_fields":
            return [text for text, _ in self._custom_texts(entity, custom)]
        return _texts(values, custom, name, is_custom=False)

    def _custom_texts(self, entity: Entity, custom: Json) -> Iterator[tuple[str, Any]]:
        for code, definition in self._state.fields.of(entity).custom().items():
            if code in custom and definition.kind in SEARCHABLE:
                value = custom[code]
                value = value["value"] if isinstance(value, dict) else value
                yield str(value), value

    def _notes(self, entity: Entity) -> dict[int, list[str]]:
        name = {PERSON.key: "person_id", ORGANIZATION.key: "org_id", DEAL.key: "deal_id"}[entity.key]
        found: dict[int, list[str]] = {}
        for note in self._state.all_live(NOTE):
            if note.values[name] is not None:
                found.setdefault(note.values[name], []).append(note.values["content"])
        return found

    def _item(self, entity: Entity, record: Record, values: Json, custom: Json, notes: dict[int, list[str]]) -> Json:
        bare = [text for text, _ in self._custom_texts(entity, custom)]
        item: Json = {"id": record.record_id, "type": entity.key}
        owner = {"id": values["owner_id"]}
        if entity is PERSON:
            return {
                **item,
                "name": values["name"],
                "phones": [each["value"] for each in values["phones"]],
                "emails": [each["value"] for each in values["emails"]],
                "visible_to": values["visible_to"],
                "owner": owner,
                "organization": self._organization(values["org_id"]),
                "custom_fields": bare,
                "notes": notes.get(record.record_id, []),
            }
        if entity is ORGANIZATION:
            address = (values["address"] or {}).get("value")
            item |= {"name": values["name"], "address": address, "visible_to": values["visible_to"], "owner": owner}
        else:
            names = ("title", "value", "currency", "status", "visible_to")
            item |= {**{name: values[name] for name in names}, "owner": owner, "stage": {"id": values["stage_id"]}}
        return {**item, "custom_fields": bare, "notes": notes.get(record.record_id, [])}

    def _organization(self, org_id: int | None) -> Json | None:
        record = None if org_id is None else self._state.find(ORGANIZATION, org_id)
        if record is None:
            return None
        return {"id": org_id, "name": record.values["name"], "address": (record.values["address"] or {}).get("value")}

    def _fields(self, request: Request, known: tuple[str, ...]) -> list[str]:
        fields = request.listed("fields")
        if unknown := sorted(set(fields) - set(known)):
            raise validation("fields", f"{unknown[0]} is not allowed")
        return fields or list(known)

    def _term(self, request: Request, *, is_short_fine: bool) -> str:
        """At least two characters, one for an exact match; an empty one has an error of its own, as recorded."""
        term = request.first("term")
        if not term.strip():
            message = 'Validation failed: "term" is not allowed to be empty'
            raise AnswerError(400, {"success": False, "error": message, "code": "ERR_INVALID_INPUT"})
        if len(term.strip()) < (1 if is_short_fine else 2):
            raise validation("term", "length must be at least 2 characters long")
        return term


def _texts(values: Json, custom: Json, name: str, *, is_custom: bool) -> list[str]:
    value = custom.get(name) if is_custom else values.get({"email": "emails", "phone": "phones"}.get(name, name))
    if isinstance(value, list):
        return [str(each["value"]) for each in value if isinstance(each, dict)]
    if isinstance(value, dict):
        value = value.get("value")
    return [] if value is None else [str(value)]


def _flag(request: Request, name: str) -> bool:
    text = request.first(name)
    if text not in ("", "true", "false"):
        raise validation(name, "must be a boolean")
    return text == "true"
