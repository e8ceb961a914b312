"""Up to 200 records a call: an answer a row, in the order given, all or none on request.

Page: REST API Developer Guide, "sObject Collections"
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from crm.providers.salesforce.fake import answers, ids
from crm.providers.salesforce.fake.answers import Json, RowError
from crm.providers.salesforce.fake.caller import write_options
from crm.providers.salesforce.fake.describe_api import BASE, type_named
from crm.providers.salesforce.fake.fields import Field, ObjectType
from crm.providers.salesforce.fake.rows_api import RowsApi, record_json, saved
from crm.providers.salesforce.fake.state import Record, State
from crm.providers.salesforce.fake.writes import Writer
from crm.testing.wsgi import Request, Response, Router, json_response

MAX_ROWS: Final = 200
MAX_RETRIEVED: Final = 2_000
MAX_CHUNKS: Final = 10
_NO_ATTRIBUTES: Final = (
    "Nested object for polymorphic foreign key must have an attributes field before any other fields."
)
_ROLLED_BACK: Final = "Record rolled back because not all records were valid and the request was using AllOrNone header"


class _RollBackError(Exception):
    """Leaves the transaction of an all-or-none call that has a failed row."""


class CollectionsApi:
    def __init__(self, state: State, writer: Writer, rows: RowsApi) -> None:
        self._state = state
        self._writer = writer
        self._rows = rows

    def mount(self, router: Router) -> None:
        base = f"{BASE}/composite/sobjects"
        router.add("POST", base, self.create)
        router.add("PATCH", base, self.update)
        router.add("DELETE", base, self.delete)
        router.add("PATCH", f"{base}/{{object}}/{{field}}", self.upsert)
        router.add("GET", f"{base}/{{object}}", self.retrieve)
        router.add("POST", f"{base}/{{object}}", self.retrieve)

    def create(self, request: Request) -> Response:
        options = write_options(request)

        def one(raw: Json) -> Json:
            kind = self._kind(raw)
            return saved(self._writer.create(kind, raw, options).record_id)

        rows, all_or_none = self._read(request)
        return self._each(rows, one, all_or_none=all_or_none)

    def update(self, request: Request) -> Response:
        options = write_options(request)

        def one(raw: Json) -> Json:
            kind = self._kind(raw)
            record = self._row_record(kind, next((raw[name] for name in raw if name.lower() == "id"), None))
            self._writer.update(record, _without(raw, "id"), options)
            return saved(record.record_id)

        rows, all_or_none = self._read(request)
        return self._each(rows, one, all_or_none=all_or_none)

    def upsert(self, request: Request) -> Response:
        kind = type_named(self._state, request.params["object"])
        key = self._rows.key_field(kind, request.params["field"])

        def one(raw: Json) -> Json:
            if self._kind(raw) is not kind:
                raise RowError("INVALID_INPUT", f"only records of type {kind.name} are allowed in this call")
            value = next((raw[name] for name in raw if name.lower() == key.name.lower()), None)
            if value is None or value == "":
                raise RowError("MISSING_ARGUMENT", f"{key.name} not specified")
            if key.type == "id":
                raise RowError("INVALID_FIELD", "only external ids, not record ids, are allowed in this call")
            found = self._rows.matches(kind, key, value)
            if len(found) > 1:
                message = f"{key.shown_label()}: more than one record found for external id field: {value}"
                raise RowError("DUPLICATE_EXTERNAL_ID", message)
            record = self._rows.save_by_key(kind, key, value, _without(raw, key.name.lower()), found, request)
            return {**saved(record.record_id), "created": not found}

        rows, all_or_none = self._read(request)
        return self._each(rows, one, all_or_none=all_or_none)

    def delete(self, request: Request) -> Response:
        options = write_options(request)
        wanted = request.listed("ids")
        if not wanted:
            raise answers.plain(400, "MISSING_ARGUMENT", "ids not specified")
        self._refuse_many(len(wanted))

        def one(raw: Json) -> Json:
            record_id = ids.canonical(raw["id"])
            record = self._state.find(record_id) if record_id else None
            if record is None:
                code = "MALFORMED_ID" if record_id is None else "INVALID_CROSS_REFERENCE_KEY"
                words = f"malformed id {raw['id']}" if record_id is None else "invalid cross reference id"
                raise RowError(code, words)
            self._writer.delete(record, options)
            return saved(record.record_id)

        all_or_none = request.first("allOrNone").lower() == "true"
        return self._each([{"id": each} for each in wanted], one, all_or_none=all_or_none)

    def retrieve(self, request: Request) -> Response:
        """By id, ``null`` for what is missing or in the recycle bin; an unknown field fails the whole call."""
        kind = type_named(self._state, request.params["object"])
        wanted: Any
        names: Any
        if request.method == "GET":
            wanted, names = request.query.get("ids", [""])[0].split(","), request.listed("fields")
        else:
            body = request.json()
            wanted, names = (body.get(name) if isinstance(body, dict) else None for name in ("ids", "fields"))
        if not isinstance(wanted, list) or not wanted or not isinstance(names, list) or not names:
            raise answers.plain(400, "MISSING_ARGUMENT", "ids and fields have to be specified")
        if len(wanted) > MAX_RETRIEVED:
            raise answers.plain(400, "EXCEEDED_ID_LIMIT", f"too many ids: at most {MAX_RETRIEVED} in one call")
        fields = [self._field(kind, str(name)) for name in names]
        now_ms, table = self._state.clock.now_ms(), self._state.table(kind.name)
        found: list[Json | None] = []
        for raw_id in wanted:
            record = table.records.get(ids.canonical(raw_id) or "")
            seen = self._state.seen(record, now_ms) if record else None
            if record is None or seen is None or seen.get("IsDeleted"):
                found.append(None)
            else:
                found.append(record_json(kind, record.record_id, seen, fields, request.params["version"]))
        return json_response(found)

    # Steps -------------------------------------------------------------------------------------------------

    def _read(self, request: Request) -> tuple[list[Json], bool]:
        body = request.json()
        rows = body.get("records") if isinstance(body, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise answers.json_error("records: an array of objects is required")
        self._refuse_many(len(rows))
        chunks, last = 0, ""
        for row in rows:
            name = _type_name(row)
            chunks, last = chunks + (name != last), name
        if chunks > MAX_CHUNKS:
            message = f"Cannot have more than {MAX_CHUNKS} chunks in a single operation."
            raise answers.plain(400, "INVALID_INPUT", message)
        return rows, bool(body.get("allOrNone", False))

    def _refuse_many(self, count: int) -> None:
        if count > MAX_ROWS:
            message = f"record limit reached. cannot submit more than {MAX_ROWS} records in this operation"
            raise answers.plain(400, "LIMIT_EXCEEDED", message)

    def _each(self, rows: list[Json], one: Callable[[Json], Json], *, all_or_none: bool) -> Response:
        found: list[Json] = []
        try:
            if not all_or_none:
                found = [self._row(row, one) for row in rows]
                return json_response(found)
            with self._state.transaction():
                found = [self._row(row, one) for row in rows]
                _refuse_partial(found)
        except _RollBackError:
            innocent = RowError("ALL_OR_NONE_OPERATION_ROLLED_BACK", _ROLLED_BACK).row()
            found = [innocent if row["success"] else row for row in found]
        return json_response(found)

    def _row(self, raw: Json, one: Callable[[Json], Json]) -> Json:
        try:
            return one(raw)
        except RowError as error:
            return error.row()

    def _kind(self, raw: Json) -> ObjectType:
        """The type that ``attributes``, which must come first, names."""
        name = _type_name(raw)
        if next(iter(raw), None) != "attributes" or not name:
            raise RowError("JSON_PARSER_ERROR", _NO_ATTRIBUTES)
        kind = self._state.schema.find_type(name)
        if kind is None:
            raise RowError("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return kind

    def _row_record(self, kind: ObjectType, raw_id: Any) -> Record:
        if raw_id is None:
            raise RowError("MISSING_ARGUMENT", "Id not specified in an update call")
        record_id = ids.canonical(raw_id)
        if record_id is None or not record_id.startswith(kind.prefix):
            raise RowError("MALFORMED_ID", f"{kind.label} ID: id value of incorrect type: {raw_id}", ["Id"])
        record = self._state.table(kind.name).records.get(record_id)
        if record is None:
            raise RowError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        return record

    def _field(self, kind: ObjectType, name: str) -> Field:
        field = self._state.schema.field(kind, name)
        if field is None:
            raise answers.plain(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {kind.name}")
        return field


def _refuse_partial(found: list[Json]) -> None:
    if not all(row["success"] for row in found):
        raise _RollBackError


def _type_name(raw: Json) -> str:
    found = raw.get("attributes")
    return str(found.get("type") or "") if isinstance(found, dict) else ""


def _without(raw: Json, lower_name: str) -> Json:
    return {name: value for name, value in raw.items() if name.lower() != lower_name}
