"""Describe and create properties and their groups.

Page: https://developers.hubspot.com/docs/api-reference/crm-properties-v3/guide
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from crm.providers.hubspot.fake import answers
from crm.providers.hubspot.fake.answers import AnswerError, Json
from crm.providers.hubspot.fake.batch import batch_inputs
from crm.providers.hubspot.fake.caller import require
from crm.providers.hubspot.fake.object_types import ObjectType, object_type
from crm.providers.hubspot.fake.objects_api import flag, object_body
from crm.providers.hubspot.fake.properties import Definition
from crm.providers.hubspot.fake.state import State
from crm.providers.hubspot.fake.versions import prefixes
from crm.testing.clock import iso_ms
from crm.testing.wsgi import Request, Response, Router, json_response, no_content

MAX_UNIQUE: Final = 10
FIELD_TYPES: Final = {
    "string": ("text", "textarea", "html", "file", "phonenumber", "calculation_equation"),
    "number": ("number", "calculation_equation"),
    "bool": ("booleancheckbox", "calculation_equation"),
    "enumeration": ("select", "radio", "checkbox", "booleancheckbox", "calculation_equation"),
    "date": ("date",),
    "datetime": ("date",),
    "phone_number": ("phonenumber",),
}


class PropertiesApi:
    def __init__(self, state: State) -> None:
        self._state = state

    def mount(self, router: Router) -> None:
        for prefix in prefixes("properties"):
            base, groups = f"{prefix}/{{objectType}}", f"{prefix}/{{objectType}}/groups"
            routes: list[tuple[str, str, Callable[[Request], Response]]] = [
                ("GET", base, self.list_all),
                ("POST", base, self.create),
                ("GET", f"{base}/{{name}}", self.read),
                ("PATCH", f"{base}/{{name}}", self.update),
                ("DELETE", f"{base}/{{name}}", self.archive),
                ("POST", f"{base}/batch/create", self.batch_create),
                ("POST", f"{base}/batch/read", self.batch_read),
                ("POST", f"{base}/batch/archive", self.batch_archive),
                ("GET", groups, self.list_groups),
                ("POST", groups, self.create_group),
                ("GET", f"{groups}/{{name}}", self.read_group),
                ("PATCH", f"{groups}/{{name}}", self.update_group),
                ("DELETE", f"{groups}/{{name}}", self.archive_group),
            ]
            for method, template, handler in routes:
                router.add(method, template, handler)

    # Properties --------------------------------------------------------------------------------------

    def list_all(self, request: Request) -> Response:
        kind = self._kind(request, "read")
        archived = flag(request, "archived")
        found = [item.to_json() for item in self._state.registry.of(kind).values() if item.archived == archived]
        return json_response({"results": found})

    def read(self, request: Request) -> Response:
        return json_response(self._found(self._kind(request, "read"), request.params["name"]).to_json())

    def create(self, request: Request) -> Response:
        kind = self._kind(request, "write")
        return json_response(self._create(kind, object_body(request)).to_json(), 201)

    def update(self, request: Request) -> Response:
        """Options are replaced as a whole; ``hasUniqueValue`` is not part of an update."""
        definition = self._found(self._kind(request, "write"), request.params["name"])
        body = object_body(request)
        self._refuse_hubspot_defined(definition, keep_options=set(body) <= {"options"})
        if "options" in body:
            definition.options = _options(body["options"])
        definition.label = str(body.get("label", definition.label))
        definition.description = str(body.get("description", definition.description))
        definition.hidden = bool(body.get("hidden", definition.hidden))
        definition.display_order = _order(body, definition.display_order)
        self._changed(definition)
        return json_response(definition.to_json())

    def archive(self, request: Request) -> Response:
        kind = self._kind(request, "write")
        definition = self._state.registry.get(kind, request.params["name"])
        if definition is not None:
            self._archive(definition)
        return no_content()

    def batch_create(self, request: Request) -> Response:
        """Each on its own: 207 with the ones that exist already."""
        kind = self._kind(request, "write")
        results, errors = [], []
        for item in batch_inputs(object_body(request)):
            try:
                results.append(self._create(kind, item).to_json())
            except AnswerError as error:
                errors.append(error.body)
        return self._batch_answer(results, errors, 201)

    def batch_read(self, request: Request) -> Response:
        kind = self._kind(request, "read")
        results, errors = [], []
        for item in batch_inputs(object_body(request)):
            try:
                results.append(self._found(kind, str(item.get("name", ""))).to_json())
            except AnswerError as error:
                errors.append(error.body)
        return self._batch_answer(results, errors, 200)

    def batch_archive(self, request: Request) -> Response:
        kind = self._kind(request, "write")
        for item in batch_inputs(object_body(request)):
            definition = self._state.registry.get(kind, str(item.get("name", "")))
            if definition is not None:
                self._archive(definition)
        return no_content()

    # Groups -------------------------------------------------------------------------------------------

    def list_groups(self, request: Request) -> Response:
        kind = self._kind(request, "read")
        return json_response({"results": list(self._state.registry.groups[kind.plural].values())})

    def create_group(self, request: Request) -> Response:
        kind = self._kind(request, "write")
        body = object_body(request)
        name = str(body.get("name", "")).lower()
        groups = self._state.registry.groups[kind.plural]
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise answers.invalid(f"Property group name '{name}' is not valid")
        if name in groups:
            raise _exists("PROPERTY_GROUP_WITH_NAME_EXISTS", f"A property group named '{name}' already exists.", name)
        order = _order(body)
        groups[name] = {"name": name, "label": str(body.get("label", name)), "displayOrder": order, "archived": False}
        self._state.dirty_tables.add("registry")
        return json_response(groups[name], 201)

    def read_group(self, request: Request) -> Response:
        return json_response(self._group(self._kind(request, "read"), request))

    def update_group(self, request: Request) -> Response:
        group = self._group(self._kind(request, "write"), request)
        body = object_body(request)
        group.update({name: body[name] for name in ("label", "displayOrder") if name in body})
        self._state.dirty_tables.add("registry")
        return json_response(group)

    def archive_group(self, request: Request) -> Response:
        kind = self._kind(request, "write")
        self._state.registry.groups[kind.plural].pop(request.params["name"], None)
        self._state.dirty_tables.add("registry")
        return no_content()

    # Steps ---------------------------------------------------------------------------------------------

    def _kind(self, request: Request, right: str) -> ObjectType:
        kind = object_type(request.params["objectType"])
        area = "contacts" if kind.is_activity else kind.plural
        require(request, f"crm.schemas.{area}.{right}", *([f"crm.objects.{area}.read"] if right == "read" else []))
        return kind

    def _found(self, kind: ObjectType, name: str) -> Definition:
        definition = self._state.registry.get(kind, name)
        if definition is None:
            raise answers.not_found(f'Property "{name}" does not exist')
        return definition

    def _group(self, kind: ObjectType, request: Request) -> Json:
        found = self._state.registry.groups[kind.plural].get(request.params["name"])
        if found is None:
            raise answers.not_found(f"Property group {request.params['name']} does not exist")
        return found

    def _create(self, kind: ObjectType, body: Json) -> Definition:
        registry = self._state.registry
        name = str(body.get("name", "")).lower()
        missing = [key for key in ("name", "label", "type", "fieldType", "groupName") if not body.get(key)]
        if missing:
            raise answers.invalid(f"Some required fields were not set: [{', '.join(missing)}]")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise answers.invalid(f"Property name '{name}' is not valid: use lowercase letters, digits and underscores")
        if name in registry.of(kind):
            raise _exists("PROPERTY_WITH_NAME_EXISTS", f"A property named '{name}' already exists.", name)
        if body["fieldType"] not in FIELD_TYPES.get(body["type"], ()):
            raise answers.invalid(f"fieldType {body['fieldType']} does not go with type {body['type']}")
        if body["groupName"] not in registry.groups[kind.plural]:
            raise answers.invalid(f"Property group {body['groupName']} does not exist")
        unique = bool(body.get("hasUniqueValue"))
        if unique and len(registry.unique_names(kind)) >= MAX_UNIQUE:
            raise answers.invalid(f"At most {MAX_UNIQUE} properties of an object can have unique values")
        now_ms = self._state.clock.now_ms()
        definition = Definition(
            name=name,
            label=str(body["label"]),
            type=body["type"],
            field_type=body["fieldType"],
            group_name=body["groupName"],
            description=str(body.get("description") or ""),
            options=_options(body.get("options") or []),
            has_unique_value=unique,
            calculated=body["fieldType"] == "calculation_equation",
            hidden=bool(body.get("hidden")),
            form_field=bool(body.get("formField")),
            display_order=_order(body),
            created_ms=now_ms,
            updated_ms=now_ms,
        )
        if definition.type == "enumeration" and not definition.options and not body.get("externalOptions"):
            raise answers.invalid("Enumeration properties need options")
        registry.of(kind)[name] = definition
        if unique:
            self._state.reindex_unique(kind, name)
        self._state.dirty_tables.add("registry")
        return definition

    def _archive(self, definition: Definition) -> None:
        self._refuse_hubspot_defined(definition)
        definition.archived = True
        self._changed(definition)

    def _refuse_hubspot_defined(self, definition: Definition, *, keep_options: bool = False) -> None:
        if definition.is_hubspot_defined and not (keep_options and definition.options):
            raise answers.invalid(f"Property '{definition.name}' is defined by HubSpot and cannot be changed")

    def _changed(self, definition: Definition) -> None:
        definition.updated_ms = self._state.clock.now_ms()
        self._state.dirty_tables.add("registry")

    def _batch_answer(self, results: list[Json], errors: list[Json], status: int) -> Response:
        now = iso_ms(self._state.clock.now_ms())
        body: Json = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
        if errors:
            body |= {"numErrors": len(errors), "errors": errors}
        return json_response(body, 207 if errors else status)


def _exists(code: str, message: str, name: str) -> AnswerError:
    body = {
        "message": message,
        "category": "OBJECT_ALREADY_EXISTS",
        "subCategory": f"Properties.{code}",
        "context": {"name": [name]},
    }
    return AnswerError(409, body)


def _order(body: Json, default: int = -1) -> int:
    order = body.get("displayOrder")
    if order is None:
        return default
    if not isinstance(order, int):
        raise answers.invalid_input("`displayOrder` must be a whole number")
    return order


def _options(raw: Any) -> list[Json]:
    if not isinstance(raw, list) or not all(isinstance(item, dict) and item.get("value") for item in raw):
        raise answers.invalid_input("`options` must be a list of objects with `label` and `value`")
    values = [str(item["value"]) for item in raw]
    if len(set(values)) != len(values):
        raise answers.invalid("Option values must be unique")
    return [
        {
            "label": str(item.get("label") or item["value"]),
            "value": str(item["value"]),
            "description": str(item.get("description") or ""),
            "displayOrder": _order(item, 0),
            "hidden": bool(item.get("hidden")),
        }
        for item in raw
    ]
