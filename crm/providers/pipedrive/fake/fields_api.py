"""Field definitions over HTTP: version 2 with bulk options, version 1 by number.

Pages: the API reference (personFields, organizationFields, dealFields, activityFields), migration guide ("Fields").
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from crm.providers.pipedrive.fake import answers
from crm.providers.pipedrive.fake.answers import Json, body_object, ok, validation
from crm.providers.pipedrive.fake.caller import require, require_admin
from crm.providers.pipedrive.fake.entities import ACTIVITY, DEAL, ORGANIZATION, PERSON, Entity
from crm.providers.pipedrive.fake.fields import CREATABLE, FieldDefinition, v1_field, v2_field
from crm.providers.pipedrive.fake.paging import limit_of, offset_of, offset_page, v1_page
from crm.providers.pipedrive.fake.state import State
from crm.testing.wsgi import Request, Response, Router, UnreadableBodyError

MAX_OPTIONS: Final = 10_000
_EXTRA: Final[dict[str, Json]] = {
    "ui_visibility": {"add_visible_flag": False, "details_visible_flag": True},
    "important_fields": {"enabled": False, "stage_ids": []},
    "required_fields": {"enabled": False},
}


class FieldsApi:
    """``max_custom_fields``: what the plan allows for one record type."""

    def __init__(self, state: State, *, max_custom_fields: int = 1_000) -> None:
        self._state = state
        self.max_custom_fields = max_custom_fields

    def mount(self, router: Router) -> None:
        for entity in (PERSON, ORGANIZATION, DEAL, ACTIVITY):
            root = f"/api/v2/{entity.fields_path}"
            router.add("GET", root, partial(self.list_fields, entity))
            router.add("GET", f"{root}/{{field_code}}", partial(self.read, entity))
            for prefix in ("/v1", "/api/v1"):
                router.add("GET", f"{prefix}/{entity.fields_path}", partial(self.list_v1, entity))
                router.add("GET", f"{prefix}/{entity.fields_path}/{{id}}", partial(self.read_v1, entity))
                if entity is not ACTIVITY:
                    router.add("POST", f"{prefix}/{entity.fields_path}", partial(self.create_v1, entity))
                    router.add("PUT", f"{prefix}/{entity.fields_path}/{{id}}", partial(self.change_v1, entity))
                    router.add("DELETE", f"{prefix}/{entity.fields_path}/{{id}}", partial(self.delete_v1, entity))
            if entity is ACTIVITY:
                continue
            router.add("POST", root, partial(self.create, entity))
            router.add("PATCH", f"{root}/{{field_code}}", partial(self.change, entity))
            router.add("DELETE", f"{root}/{{field_code}}", partial(self.delete, entity))
            options = f"{root}/{{field_code}}/options"
            router.add("POST", options, partial(self.add_options, entity))
            router.add("PATCH", options, partial(self.rename_options, entity))
            router.add("DELETE", options, partial(self.remove_options, entity))

    # Version 2 ----------------------------------------------------------------------------------------

    def list_fields(self, entity: Entity, request: Request) -> Response:
        self._may_read(entity, request)
        include = request.listed("include_fields")
        if unknown := sorted(set(include) - set(_EXTRA)):
            raise validation("include_fields", f"{unknown[0]} is not allowed")
        rows = list(self._state.fields.of(entity).definitions.values())
        page, cursor = offset_page(rows, offset_of(request), limit_of(request))
        extra = {name: _EXTRA[name] for name in include}
        return ok([{**v2_field(found), **extra} for found in page], additional_data={"next_cursor": cursor})

    def read(self, entity: Entity, request: Request) -> Response:
        self._may_read(entity, request)
        return ok(v2_field(self._found(entity, request)))

    def create(self, entity: Entity, request: Request) -> Response:
        self._may_write(entity, request)
        body = body_object(request)
        if unknown := sorted(set(body) - {"field_name", "field_type", "options", "description", *_EXTRA}):
            raise validation(unknown[0], "is not allowed")
        found = self.add(entity, body.get("field_name"), body.get("field_type"), body.get("options"))
        return ok(v2_field(found))

    def add(self, entity: Entity, name: object, kind: object, options: object) -> FieldDefinition:
        """A new custom field. Raises 400, or 403 when the plan allows no more."""
        if not isinstance(name, str) or not name.strip():
            raise validation("field_name", "is required")
        if kind not in CREATABLE:
            raise validation("field_type", f"must be one of [{', '.join(CREATABLE)}]")
        labels = _labels(options) if options is not None else []
        if kind in ("enum", "set") and not labels:
            raise validation("options", "is required for field types enum and set")
        if len(self._state.fields.of(entity).custom()) >= self.max_custom_fields:
            raise answers.forbidden(
                "Couldn't add the custom field. Custom fields limit reached.", "feature_capping_custom_fields_limit"
            )
        self._state.dirty_tables.add("fields")
        return self._state.fields.add_custom(entity, name.strip(), str(kind), labels)

    def change(self, entity: Entity, request: Request) -> Response:
        """Name and places in the pages only; type and code never change."""
        self._may_write(entity, request)
        found, body = self._custom(entity, request), body_object(request)
        if unknown := sorted(set(body) - {"field_name", "description", *_EXTRA}):
            raise validation(unknown[0], "is not allowed")
        if "field_name" in body:
            if not isinstance(body["field_name"], str) or not body["field_name"].strip():
                raise validation("field_name", "must be a string")
            found.name = body["field_name"].strip()
            self._state.dirty_tables.add("fields")
        return ok(v2_field(found))

    def delete(self, entity: Entity, request: Request) -> Response:
        self._may_write(entity, request)
        found = self._custom(entity, request)
        self.remove(entity, found)
        return ok(v2_field(found))

    def remove(self, entity: Entity, found: FieldDefinition) -> None:
        """The field and all its values, for good."""
        del self._state.fields.of(entity).definitions[found.code]
        self._state.forget_field(entity, found.code)
        self._state.dirty_tables.add("fields")

    def add_options(self, entity: Entity, request: Request) -> Response:
        found = self._with_options(entity, request)
        added = self._state.fields.new_options(_labels(_items(request)))
        if len(found.options or []) + len(added) > MAX_OPTIONS:
            raise validation("options", f"must contain at most {MAX_OPTIONS} items")
        found.options = [*(found.options or []), *added]
        return ok(added, additional_data=None)

    def rename_options(self, entity: Entity, request: Request) -> Response:
        found = self._with_options(entity, request)
        items, labels = _items(request), _labels(_items(request))
        self._known(found, items)
        renamed = {item["id"]: label for item, label in zip(items, labels, strict=True)}
        held = found.options or []
        found.options = [{**option, "label": renamed.get(option["id"], option["label"])} for option in held]
        return ok([option for option in found.options if option["id"] in renamed], additional_data=None)

    def remove_options(self, entity: Entity, request: Request) -> Response:
        found = self._with_options(entity, request)
        items = _items(request)
        self._known(found, items)
        ids = {item["id"] for item in items}
        removed = [option for option in found.options or [] if option["id"] in ids]
        self._drop_options(entity, found, ids)
        return ok(removed, additional_data=None)

    def _drop_options(self, entity: Entity, found: FieldDefinition, ids: set[int]) -> None:
        """All or none; records lose the values."""
        found.options = [option for option in found.options or [] if option["id"] not in ids]
        for record in self._state.table(entity).records.values():
            held = record.custom.get(found.code)
            if isinstance(held, list) and ids.intersection(held):
                record.custom[found.code] = [item for item in held if item not in ids]
                if not record.custom[found.code]:
                    del record.custom[found.code]
            elif not isinstance(held, list) and held in ids:
                del record.custom[found.code]
            else:
                continue
            self._state.dirty_records[entity.key, record.record_id] = None

    def _known(self, found: FieldDefinition, items: list[Json]) -> None:
        known = found.option_ids()
        for item in items:
            if item.get("id") not in known:
                raise validation("options", f"option {item.get('id')} does not exist")

    def _with_options(self, entity: Entity, request: Request) -> FieldDefinition:
        self._may_write(entity, request)
        found = self._found(entity, request)
        if found.options is None or not (found.is_custom or found.code == "label_ids"):
            raise validation("field_code", "the field has no options that can be changed")
        self._state.dirty_tables.add("fields")
        return found

    def _found(self, entity: Entity, request: Request) -> FieldDefinition:
        found = self._state.fields.of(entity).definitions.get(request.params["field_code"])
        if found is None:
            raise answers.not_found("Field")
        return found

    def _custom(self, entity: Entity, request: Request) -> FieldDefinition:
        found = self._found(entity, request)
        if not found.is_custom:
            raise validation("field_code", "only custom fields can be changed")
        return found

    # Version 1 ----------------------------------------------------------------------------------------

    def list_v1(self, entity: Entity, request: Request) -> Response:
        self._may_read(entity, request)
        rows = list(self._state.fields.of(entity).definitions.values())
        page, pagination = v1_page(rows, request)
        # As the document has it: the keys directly under additional_data for deals, nested elsewhere.
        more = pagination if entity is DEAL else {"pagination": pagination}
        return ok([v1_field(found) for found in page], additional_data=more)

    def read_v1(self, entity: Entity, request: Request) -> Response:
        self._may_read(entity, request)
        return ok(v1_field(self._by_number(entity, request)))

    def create_v1(self, entity: Entity, request: Request) -> Response:
        self._may_write(entity, request)
        body = body_object(request)
        options = body.get("options")
        found = self.add(entity, body.get("name"), body.get("field_type"), options)
        found.show_in_add_dialog = bool(body.get("add_visible_flag", True))
        return ok(v1_field(found), 201)

    def change_v1(self, entity: Entity, request: Request) -> Response:
        """``options`` replaces the list: one that comes without its id is made anew, one left out is destroyed."""
        self._may_write(entity, request)
        found, body = self._by_number(entity, request), body_object(request)
        if isinstance(body.get("name"), str) and body["name"].strip():
            found.name = body["name"].strip()
        if found.options is not None and isinstance(body.get("options"), list):
            labels = _labels(body["options"])
            known = found.option_ids()
            kept = {item["id"]: label for item, label in zip(body["options"], labels, strict=True) if "id" in item}
            self._drop_options(entity, found, known - set(kept))
            fresh = [label for item, label in zip(body["options"], labels, strict=True) if "id" not in item]
            held = [{**option, "label": kept[option["id"]]} for option in found.options]
            found.options = [*held, *self._state.fields.new_options(fresh)]
        self._state.dirty_tables.add("fields")
        return ok(v1_field(found))

    def delete_v1(self, entity: Entity, request: Request) -> Response:
        self._may_write(entity, request)
        found = self._by_number(entity, request)
        if not found.is_custom:
            raise answers.forbidden("Field can not be deleted")
        self.remove(entity, found)
        return ok({"id": found.number})

    def _by_number(self, entity: Entity, request: Request) -> FieldDefinition:
        text = request.params["id"]
        found = self._state.fields.of(entity).by_number(int(text)) if text.isascii() and text.isdigit() else None
        if found is None:
            raise answers.not_found_v1("Field")
        return found

    # Rights -------------------------------------------------------------------------------------------

    def _may_read(self, entity: Entity, request: Request) -> None:
        prefix = "contact" if entity.scope == "contacts" else "deal"
        require(request, f"{entity.scope}:read", f"{entity.scope}:full", "admin", f"{prefix}-fields:full")

    def _may_write(self, entity: Entity, request: Request) -> None:
        prefix = "contact" if entity.scope == "contacts" else "deal"
        require(request, "admin", f"{prefix}-fields:full")
        require_admin(self._state, request, "edit custom fields")


def _items(request: Request) -> list[Json]:
    try:
        body: Any = request.json()
    except UnreadableBodyError as error:
        raise validation("body", "must be JSON") from error
    if not isinstance(body, list) or not body or not all(isinstance(item, dict) for item in body):
        raise validation("options", "must be an array of objects")
    return body


def _labels(options: object) -> list[str]:
    if not isinstance(options, list):
        raise validation("options", "must be an array of objects")
    found = []
    for item in options:
        label = item.get("label") if isinstance(item, dict) else None
        if not isinstance(label, str) or not label.strip():
            raise validation("options", "label is required")
        found.append(label.strip())
    return found
