"""The back door under ``/_fake/`` for records: what people do in Salesforce's own pages.

JSON in and out. Writes here are a person's (``LastModifiedById`` is the UI user unless ``userId`` says otherwise).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from crm.providers.salesforce.fake import answers, ids, schema, values
from crm.providers.salesforce.fake.answers import Json, RowError
from crm.providers.salesforce.fake.fields import Field, ObjectType
from crm.providers.salesforce.fake.lifecycle import Lifecycle
from crm.providers.salesforce.fake.rows_api import record_json
from crm.providers.salesforce.fake.stamps import parse_date_time
from crm.providers.salesforce.fake.state import Actor, Record
from crm.providers.salesforce.fake.writes import WriteOptions
from crm.testing.wsgi import Request, Response, Router, json_response, no_content

if TYPE_CHECKING:
    from crm.providers.salesforce.fake.app import SalesforceFake

Act = Callable[[Request], Response]


class AdminApi:
    def __init__(self, fake: SalesforceFake) -> None:
        self._fake = fake
        self._state = fake.state
        self.lifecycle = Lifecycle(fake.state, fake.writer)

    def mount(self, router: Router) -> None:
        routes: list[tuple[str, str, Act]] = [
            ("GET", "records", self.list_records),
            ("POST", "records", self.create_record),
            ("GET", "records/{id}", self.read_record),
            ("PATCH", "records/{id}", self.update_record),
            ("DELETE", "records/{id}", self.delete_record),
            ("POST", "bulk", self.create_many),
            ("POST", "merge", self.merge),
            ("POST", "convert", self.convert),
            ("POST", "undelete", self.undelete),
            ("POST", "purge", self.purge),
            ("GET", "fields", self.list_fields),
            ("POST", "fields", self.add_field),
            ("DELETE", "fields/{object}/{name}", self.remove_field),
            ("POST", "fields/access", self.set_access),
            ("POST", "fields/options", self.set_options),
            ("GET", "locks", self.list_locks),
            ("POST", "locks", self.lock),
            ("DELETE", "locks", self.unlock),
        ]
        for method, path, act in routes:
            router.add(method, f"/_fake/{path}", act)

    # Records ------------------------------------------------------------------------------------------------

    def list_records(self, request: Request) -> Response:
        """All fields; ``object``, ``deleted=true`` (only the recycle bin), ``q`` (part of any value), ``limit``."""
        kind = self.kind(request.first("object") or "Contact")
        query, limit = request.first("q").lower(), int(request.first("limit") or 1_000_000)
        wants_deleted = request.first("deleted").lower() == "true"
        found = []
        for record in self._state.table(kind.name).records.values():
            if record.is_deleted != wants_deleted:
                continue
            if query and not any(query in str(value).lower() for value in record.values.values()):
                continue
            found.append(self.shown(record))
            if len(found) == limit:
                break
        return json_response({"results": found})

    def read_record(self, request: Request) -> Response:
        return json_response(self.shown(self.record(request.params["id"])))

    def create_record(self, request: Request) -> Response:
        """``object``, ``fields``; ``at`` gives it another time, ``visibleAfterSeconds`` shows it later."""
        body = object_body(request)
        kind = self.kind(body.get("object") or "Contact")
        record = self._fake.writer.create(kind, field_map(body), self.options(body))
        return json_response(self.shown(record), 201)

    def update_record(self, request: Request) -> Response:
        body = object_body(request)
        record = self.record(request.params["id"])
        self._fake.writer.update(record, self.typed(record, field_map(body)), self.options(body))
        return json_response(self.shown(record))

    def delete_record(self, request: Request) -> Response:
        body = object_body(request)
        record = self.record(request.params["id"])
        if not record.is_deleted:
            self._fake.writer.delete(record, self.options(body))
        return no_content()

    def create_many(self, request: Request) -> Response:
        """Thousands at once, all or none: ``records`` are field maps or bodies of ``POST records``."""
        body = object_body(request)
        kind = self.kind(body.get("object") or "Contact")
        found = []
        with self._state.transaction():
            for number, item in enumerate(body.get("records") or []):
                inner = item if "fields" in item else {"fields": item}
                try:
                    record = self._fake.writer.create(kind, field_map(inner), self.options({**body, **inner}))
                except RowError as error:
                    raise answers.bad_admin_input(f"records[{number}]: {error}") from error
                found.append(record.record_id)
        return json_response({"ids": found}, 201)

    def merge(self, request: Request) -> Response:
        """``masterId``, ``ids`` (one or two losers), ``fields`` (values picked from a loser)."""
        body = object_body(request)
        master = self.record(str(body.get("masterId", "")))
        losers = [self.record(str(each)) for each in body.get("ids") or []]
        chosen = {
            field.name: values.parse(field, value)
            for name, value in (body.get("fields") or {}).items()
            if (field := self._fake.schema.any_field(self.kind(master.kind), name)) is not None
        }
        self.lifecycle.merge(master, losers, chosen, self.options(body))
        return json_response(self.shown(master))

    def convert(self, request: Request) -> Response:
        """``leadId``, ``accountId``, ``contactId``, ``opportunity`` (true makes one), ``status``."""
        body = object_body(request)
        lead = self.record(str(body.get("leadId", "")))
        wants = bool(body.get("opportunity"))
        made = self.lifecycle.convert(lead, self.options(body), wants_opportunity=wants, asked=body)
        return json_response({**made, "lead": self.shown(lead)})

    def undelete(self, request: Request) -> Response:
        body = object_body(request)
        record = self.record(str(body.get("id", "")))
        if not record.is_deleted:
            raise answers.bad_admin_input(f"id: {record.record_id} is not in the recycle bin")
        self._fake.writer.undelete(record, self.options(body))
        return json_response(self.shown(record))

    def purge(self, request: Request) -> Response:
        """Empty the recycle bin, or take one record (``id``) out of it for good."""
        wanted = object_body(request).get("id")
        records = [self.record(str(wanted))] if wanted else list(self._bin())
        for record in records:
            if not record.is_deleted:
                raise answers.bad_admin_input(f"id: {record.record_id} is not in the recycle bin")
            self._state.purge(record)
        return json_response({"purged": len(records)})

    def _bin(self) -> list[Record]:
        return [each for table in self._state.tables.values() for each in table.records.values() if each.is_deleted]

    # Fields and locks ----------------------------------------------------------------------------------------

    def list_fields(self, request: Request) -> Response:
        """Custom fields and field-level security; ``object``."""
        kind = self.kind(request.first("object") or "Contact")
        found = [each.described() for each in kind.fields.values() if each.custom]
        return json_response({"custom": found, "access": self._fake.schema.access})

    def add_field(self, request: Request) -> Response:
        """What only the customer's admin can do; keys as ``schema.custom_field`` takes them, and ``object``."""
        body = object_body(request)
        kind = self.kind(body.get("object") or "Contact")
        field = schema.custom_field(body)
        self._add(kind, field)
        return json_response(field.described(), 201)

    def make_external_id(self, path: str) -> None:
        """``Contact.ADSapp_Id__c``: text of 80, unique, case-sensitive external id."""
        kind_name, _, name = path.partition(".")
        raw = {"name": name, "type": "string", "length": 80, "externalId": True, "unique": True, "caseSensitive": True}
        self._add(self.kind(kind_name), schema.custom_field(raw))

    def _add(self, kind: ObjectType, field: Field) -> None:
        self._fake.schema.add_field(kind, field)
        if field.external_id or field.unique:
            self._state.table(kind.name).add_index(field.name)
        self._schema_changed()

    def remove_field(self, request: Request) -> Response:
        kind = self.kind(request.params["object"])
        field = self._fake.schema.remove_field(kind, request.params["name"])
        table = self._state.table(kind.name)
        table.indexes.pop(field.name, None)
        for record in table.records.values():
            if field.name in record.values:
                self._state.put(record, {field.name: None})
        self._schema_changed()
        return no_content()

    def set_access(self, request: Request) -> Response:
        """Field-level security: ``object``, ``name``, ``access`` (visible, read_only, hidden)."""
        body = object_body(request)
        kind = self.kind(body.get("object") or "Contact")
        self._fake.schema.set_access(kind, str(body.get("name", "")), str(body.get("access", "")))
        self._schema_changed()
        return json_response({"access": self._fake.schema.access})

    def set_options(self, request: Request) -> Response:
        """A picklist's values: ``object``, ``name``, ``options``, ``restricted``."""
        body = object_body(request)
        kind = self.kind(body.get("object") or "Contact")
        field = self._fake.schema.any_field(kind, str(body.get("name", "")))
        if field is None or field.type not in ("picklist", "multipicklist"):
            raise answers.bad_admin_input(f"name: {kind.name} has no picklist {body.get('name')!r}")
        options = tuple(str(each) for each in body.get("options") or field.options)
        restricted = bool(body.get("restricted", field.restricted))
        self._fake.schema.set_options(kind, field.name, options, restricted=restricted)
        self._schema_changed()
        return json_response(kind.fields[field.name].described())

    def _schema_changed(self) -> None:
        self._fake.schema.changed_ms = self._fake.clock.now_ms()
        self._state.dirty_tables.add("schema")

    def list_locks(self, _request: Request) -> Response:
        return json_response({"locks": self._state.row_locks})

    def lock(self, request: Request) -> Response:
        """The next ``times`` (absent: all) API writes to record ``id``, or to a contact of it, find it locked."""
        body = object_body(request)
        record = self.record(str(body.get("id", "")))
        times = body.get("times")
        self._state.row_locks[record.record_id] = None if times is None else int(times)
        return self.list_locks(request)

    def unlock(self, _request: Request) -> Response:
        self._state.row_locks.clear()
        return no_content()

    # Steps ---------------------------------------------------------------------------------------------------

    def kind(self, name: object) -> ObjectType:
        found = self._fake.schema.types.get(str(name))
        if found is None:
            raise answers.bad_admin_input(f"object: {name!r} is none of {', '.join(self._fake.schema.types)}")
        return found

    def record(self, raw_id: str) -> Record:
        found = self._state.find(ids.canonical(raw_id) or "")
        if found is None:
            raise answers.not_found(f"no record {raw_id}")
        return found

    def shown(self, record: Record) -> Json:
        """As it is stored, whatever others see of it yet."""
        kind = self.kind(record.kind)
        return record_json(kind, record.record_id, record.values, list(kind.fields.values()), "v59.0")

    def options(self, body: Json) -> WriteOptions:
        """Who writes, when, and when others see it."""
        user_id = ids.canonical(str(body.get("userId") or self._fake.people.ui_user_id))
        if user_id is None or self._state.find(user_id) is None:
            raise answers.bad_admin_input(f"userId: no user {body.get('userId')!r}")
        at_ms = None
        if body.get("at") is not None:
            at_ms = body["at"] if isinstance(body["at"], int) else parse_date_time(str(body["at"]))
            if at_ms is None:
                raise answers.bad_admin_input("at: give milliseconds or ISO 8601")
        late = float(body.get("visibleAfterSeconds", self._fake.late_seconds))
        source = str(body.get("source") or "ui")
        if source not in ("ui", "api", "automation"):
            raise answers.bad_admin_input(f"source: {source!r} is none of ui, api, automation")
        actor = Actor("ui" if source == "api" else source, user_id)
        return WriteOptions(actor, allow_save=True, auto_assign=False, at_ms=at_ms, visible_after_seconds=late)

    def typed(self, record: Record, given: dict[str, Any]) -> dict[str, Any]:
        """As the page sends it: line breaks of a text area are CR LF."""
        kind = self.kind(record.kind)
        return {
            name: value.replace("\r\n", "\n").replace("\n", "\r\n")
            if isinstance(value, str)
            and (field := self._fake.schema.any_field(kind, name)) is not None
            and field.type == "textarea"
            else value
            for name, value in given.items()
        }


def object_body(request: Request) -> Json:
    body = request.json()
    if not isinstance(body, dict):
        raise answers.bad_admin_input("an object is expected")
    return body


def field_map(body: Json) -> dict[str, Any]:
    found = body.get("fields") or {}
    if not isinstance(found, dict):
        raise answers.bad_admin_input("fields: an object of field names and values")
    return found
