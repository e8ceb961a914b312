"""List, read, create, update and archive one record.

Page: https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide (the same for every object)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from crm.providers.hubspot.fake import answers, writes
from crm.providers.hubspot.fake.answers import Json
from crm.providers.hubspot.fake.associations import AssociationStore, parse_specs
from crm.providers.hubspot.fake.caller import actor_of, require
from crm.providers.hubspot.fake.object_types import CONTACTS, ObjectType, object_type
from crm.providers.hubspot.fake.state import EMAIL, Record, State
from crm.providers.hubspot.fake.versions import is_dated, prefixes
from crm.providers.hubspot.fake.writes import WriteRules, object_json
from crm.testing.wsgi import Request, Response, Router, json_response, no_content

DEFAULT_LIMIT: Final = 10
MAX_LIMIT: Final = 100
MAX_LIMIT_WITH_HISTORY: Final = 50


class ObjectsApi:
    """``required`` maps an object's plural name to properties its create form asks for (2026-09 path only)."""

    def __init__(self, state: State, associations: AssociationStore, required: dict[str, tuple[str, ...]]) -> None:
        self.state = state
        self.associations = associations
        self._required = required

    def mount(self, router: Router) -> None:
        for prefix in prefixes("objects"):
            base, one = f"{prefix}/{{objectType}}", f"{prefix}/{{objectType}}/{{id}}"
            routes: list[tuple[str, str, Callable[[Request], Response]]] = [
                ("GET", base, self.list_page),
                ("POST", base, self.create),
                ("GET", one, self.read),
                ("PATCH", one, self.update),
                ("DELETE", one, self.archive),
            ]
            for method, template, handler in routes:
                router.add(method, template, handler)

    # Shared with batch and search ---------------------------------------------------------------------

    def kind_for(self, request: Request, right: str) -> ObjectType:
        kind = object_type(request.params["objectType"])
        require(request, f"{kind.scope}.{right}")
        return kind

    def rules(self, request: Request, kind: ObjectType) -> WriteRules:
        if is_dated(request.path, "2026-09"):
            return WriteRules(self._required.get(kind.plural, ()), refuse_epoch_seconds=True)
        return WriteRules()

    def shown_names(self, kind: ObjectType, asked: Iterable[str]) -> list[str]:
        """Asked properties that exist, plus those every answer has; unknown names are left out silently."""
        registry = self.state.registry
        known = [name.lower() for name in asked if registry.get(kind, name.lower())]
        if not known:
            return list(kind.default_properties)
        return list(dict.fromkeys([*known, kind.created, kind.modified, "hs_object_id"]))

    def known_names(self, kind: ObjectType, asked: Iterable[str]) -> list[str]:
        return [name for name in asked if self.state.registry.get(kind, name)]

    def find(self, kind: ObjectType, key: str, id_property: str, *, archived: bool = False) -> Record:
        """By id (merged-away ids lead to the survivor), by e-mail or by an own unique property. Raises 404."""
        table = self.state.table(kind)
        if id_property and id_property != "hs_object_id":
            self.check_id_property(kind, id_property)
            holder = self.state.holder(kind, id_property, key)
            record = table.records.get(holder) if holder is not None else None
        else:
            record = table.records.get(table.canonical_id(numeric_id(key)))
        if record is None or (record.archived_ms is not None) != archived:
            raise answers.not_found()
        return record

    def check_id_property(self, kind: ObjectType, name: str) -> None:
        if name not in self.state.table(kind).unique:
            raise answers.invalid(
                f"Property '{name}' is not a unique property of {kind.plural} and cannot be an idProperty"
            )

    # Handlers ------------------------------------------------------------------------------------------

    def list_page(self, request: Request) -> Response:
        kind = self.kind_for(request, "read")
        archived = flag(request, "archived")
        if archived and not kind.has_archived_list:
            raise answers.invalid("Paging through deleted objects is not yet supported")
        with_history = self.known_names(kind, request.listed("propertiesWithHistory"))
        limit = page_limit(request, MAX_LIMIT_WITH_HISTORY if with_history else MAX_LIMIT)
        after = request.first("after")
        first_id = answers.whole_number(after or 0)
        if first_id is None:
            raise answers.invalid(
                f'Cannot deserialize value of type `long` from String "{after}": not a valid `long` value'
            )
        names = self.shown_names(kind, request.listed("properties"))
        others = [object_type(token) for token in request.listed("associations")]
        results: list[Json] = []
        next_id: int | None = None
        for record in self.state.table(kind).from_id(first_id, archived=archived):
            if len(results) == limit:
                next_id = record.record_id
                break
            shown = object_json(record, names, with_history, portal_id=self.state.portal_id)
            if others:
                shown["associations"] = self.associations.embedded(record, others)
            results.append(shown)
        page: Json = {"results": results}
        if next_id is not None:
            link = f"https://api.hubapi.com{request.path}?limit={limit}&after={next_id}"
            page["paging"] = {"next": {"after": str(next_id), "link": link}}
        return json_response(page)

    def read(self, request: Request) -> Response:
        kind = self.kind_for(request, "read")
        record = self.find(kind, request.params["id"], request.first("idProperty"), archived=flag(request, "archived"))
        with_history = self.known_names(kind, request.listed("propertiesWithHistory"))
        names = self.shown_names(kind, request.listed("properties"))
        shown = object_json(record, names, with_history, portal_id=self.state.portal_id)
        if others := [object_type(token) for token in request.listed("associations")]:
            shown["associations"] = self.associations.embedded(record, others)
        return json_response(shown)

    def create(self, request: Request) -> Response:
        kind = self.kind_for(request, "write")
        body = object_body(request)
        prepared, problems = writes.prepare(self.state, kind, property_map(body), None, self.rules(request, kind))
        if problems:
            raise answers.invalid_properties(problems)
        wanted = self.associations.check_new(kind, parse_specs(body.get("associations")))
        writes.refuse_taken(self.state, prepared)
        record = writes.create(self.state, prepared, actor_of(request))
        self.associations.link_new(record, wanted, actor_of(request))
        return json_response(writes.written_json(record, prepared, self.state.portal_id), 201)

    def update(self, request: Request) -> Response:
        kind = self.kind_for(request, "write")
        record = self.find(kind, request.params["id"], request.first("idProperty"))
        prepared, problems = writes.prepare(
            self.state, kind, property_map(object_body(request)), record, self.rules(request, kind)
        )
        if problems:
            raise answers.invalid_properties(problems)
        writes.refuse_taken(self.state, prepared)
        writes.update(self.state, prepared, actor_of(request))
        return json_response(writes.written_json(record, prepared, self.state.portal_id))

    def archive(self, request: Request) -> Response:
        """204 for an unknown or archived id too."""
        kind = self.kind_for(request, "write")
        record = self.state.table(kind).live(numeric_id(request.params["id"]))
        if record is not None:
            writes.archive(self.state, record, actor_of(request))
        return no_content()


def flag(request: Request, name: str) -> bool:
    return request.first(name).lower() == "true"


def page_limit(request: Request, most: int, default: int = DEFAULT_LIMIT) -> int:
    text = request.first("limit") or str(default)
    limit = answers.whole_number(text)
    if limit is None or not 0 < limit <= most:
        raise answers.invalid(f"limit must be a number between 1 and {most}, was {text}")
    return limit


def numeric_id(key: str) -> int:
    """Raises 404 in the words for an id that is no number."""
    record_id = answers.whole_number(key)
    if record_id is None:
        raise answers.not_numeric()
    return record_id


def object_body(request: Request) -> Json:
    body = request.json()
    if not isinstance(body, dict):
        raise answers.invalid_input("an object is expected")
    return body


def property_map(item: Json) -> dict[str, Any]:
    properties = item.get("properties", {})
    if not isinstance(properties, dict) or any(isinstance(value, dict | list) for value in properties.values()):
        raise answers.invalid_input("`properties` must map property names to values")
    return properties


def is_email_key(kind: ObjectType, id_property: str) -> bool:
    return kind is CONTACTS and id_property == EMAIL
