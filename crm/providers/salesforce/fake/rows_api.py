"""One record: by id, by an external id, and the lists of what was updated and deleted.

Pages: REST API Developer Guide, "sObject Rows", "sObject Rows by External ID", "sObject Get Updated", "sObject Get
Deleted", "Conditional Request Headers"
"""

from __future__ import annotations

import base64
from typing import Any, Final

from crm.providers.salesforce.fake import answers, api_versions, ids, values
from crm.providers.salesforce.fake.answers import Json, RowError
from crm.providers.salesforce.fake.caller import write_options
from crm.providers.salesforce.fake.describe_api import BASE, type_named
from crm.providers.salesforce.fake.fields import Field, ObjectType
from crm.providers.salesforce.fake.soql import attributes
from crm.providers.salesforce.fake.stamps import date_time, http_date, parse_date_time, parse_http_date
from crm.providers.salesforce.fake.state import Record, State, Values
from crm.providers.salesforce.fake.writes import Writer
from crm.testing.wsgi import Request, Response, Router, json_response, no_content

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000


class RowsApi:
    def __init__(self, state: State, writer: Writer) -> None:
        self._state = state
        self._writer = writer

    def mount(self, router: Router) -> None:
        base = f"{BASE}/sobjects/{{object}}"
        router.add("POST", base, self.create)
        router.add("GET", f"{base}/updated", self.updated)
        router.add("GET", f"{base}/deleted", self.deleted)
        router.add("GET", f"{base}/{{id}}", self.read)
        router.add("PATCH", f"{base}/{{id}}", self.update)
        router.add("DELETE", f"{base}/{{id}}", self.delete)
        router.add("GET", f"{base}/{{field}}/{{value}}", self.read_by_value)
        router.add("PATCH", f"{base}/{{field}}/{{value}}", self.upsert)
        router.add("DELETE", f"{base}/{{field}}/{{value}}", self.delete_by_value)

    # By id -------------------------------------------------------------------------------------------------

    def create(self, request: Request) -> Response:
        kind = type_named(self._state, request.params["object"])
        try:
            record = self._writer.create(kind, row_body(request), write_options(request))
        except RowError as error:
            raise error.single() from error
        place = attributes(kind.name, record.record_id, request.params["version"])["url"]
        return json_response(saved(record.record_id), 201, [("Location", place)])

    def read(self, request: Request) -> Response:
        kind = type_named(self._state, request.params["object"])
        record = self._visible(kind, request.params["id"])
        return self._shown(request, kind, record)

    def update(self, request: Request) -> Response:
        kind = type_named(self._state, request.params["object"])
        record = self._any(kind, request.params["id"])
        if record.is_deleted:
            raise answers.deleted_record().single()
        self._refuse_unless_unmodified(request, record)
        try:
            self._writer.update(record, row_body(request), write_options(request))
        except RowError as error:
            raise error.single() from error
        return no_content()

    def delete(self, request: Request) -> Response:
        kind = type_named(self._state, request.params["object"])
        try:
            self._writer.delete(self._any(kind, request.params["id"]), write_options(request))
        except RowError as error:
            raise error.single() from error
        return no_content()

    # By an external id -------------------------------------------------------------------------------------

    def read_by_value(self, request: Request) -> Response:
        kind = type_named(self._state, request.params["object"])
        if kind.name == "ContentNote" and request.params["value"] == "Content":
            return self._note_body(kind, request.params["field"])
        found = self.matches(kind, self.key_field(kind, request.params["field"]), request.params["value"])
        if not found:
            raise answers.not_found("The requested resource does not exist")
        if len(found) > 1:
            return self._choices(request, kind, found)
        return self._shown(request, kind, found[0])

    def upsert(self, request: Request) -> Response:
        kind = type_named(self._state, request.params["object"])
        key, value = self.key_field(kind, request.params["field"]), request.params["value"]
        body = row_body(request)
        if any(name.lower() == key.name.lower() for name in body):
            message = f"The {key.name} field should not be specified in the sobject data."
            raise answers.plain(400, "INVALID_FIELD", message)
        found = self.matches(kind, key, value)
        if len(found) > 1:
            return self._choices(request, kind, found)
        if not found and (request.first("updateOnly").lower() == "true" or key.type == "id"):
            raise answers.not_found()
        try:
            record = self.save_by_key(kind, key, value, body, found, request)
        except RowError as error:
            raise error.single() from error
        if found and api_versions.number_of(request) < 46:
            return no_content()
        status = 200 if found else 201
        place = attributes(kind.name, record.record_id, request.params["version"])["url"]
        headers = [] if found else [("Location", place)]
        return json_response({**saved(record.record_id), "created": not found}, status, headers)

    def save_by_key(
        self, kind: ObjectType, key: Field, value: Any, body: Json, found: list[Record], request: Request
    ) -> Record:
        """Create or change the record that a look-up found, or did not."""
        options = write_options(request)
        if found:
            self._writer.update(found[0], body, options)
            return found[0]
        return self._writer.create(kind, {**body, key.name: value}, options)

    def delete_by_value(self, request: Request) -> Response:
        kind = type_named(self._state, request.params["object"])
        found = self.matches(kind, self.key_field(kind, request.params["field"]), request.params["value"])
        if not found:
            raise answers.not_found()
        if len(found) > 1:
            return self._choices(request, kind, found)
        try:
            self._writer.delete(found[0], write_options(request))
        except RowError as error:
            raise error.single() from error
        return no_content()

    def key_field(self, kind: ObjectType, name: str) -> Field:
        """A field that finds records: external id, idLookup, or the id itself."""
        field = self._state.schema.field(kind, name)
        if field is None or not (field.external_id or field.id_lookup or field.type == "id"):
            message = f"Provided external ID field does not exist or is not accessible: {name}"
            raise answers.not_found(message)
        return field

    def matches(self, kind: ObjectType, key: Field, value: Any) -> list[Record]:
        if key.type == "id":
            record = self._state.table(kind.name).records.get(ids.canonical(value) or "")
            return [] if record is None or record.is_deleted else [record]
        parsed = values.parse(key, value)
        found = self._state.table(kind.name).holders(key.name, parsed)
        if key.case_sensitive:
            found = [record for record in found if record.values.get(key.name) == parsed]
        return found

    def _choices(self, request: Request, kind: ObjectType, found: list[Record]) -> Response:
        version = request.params["version"]
        return json_response([attributes(kind.name, record.record_id, version)["url"] for record in found], 300)

    # What changed ------------------------------------------------------------------------------------------

    def updated(self, request: Request) -> Response:
        kind, start_ms, end_ms = self._window(request, 30)
        found = [
            record.record_id
            for record, seen in self._state.rows(kind.name, with_deleted=False)
            if start_ms <= seen["SystemModstamp"] < end_ms
        ]
        return json_response({"ids": sorted(found), "latestDateCovered": self._covered(end_ms)})

    def deleted(self, request: Request) -> Response:
        kind, start_ms, end_ms = self._window(request, 15)
        found = [
            (record.record_id, date_time(seen["SystemModstamp"]))
            for record, seen in self._state.rows(kind.name, with_deleted=True)
            if seen.get("IsDeleted") and start_ms <= seen["SystemModstamp"] < end_ms
        ]
        return json_response(
            {
                "deletedRecords": [{"id": each, "deletedDate": stamp} for each, stamp in sorted(found)],
                "earliestDateAvailable": date_time(self._state.clock.now_ms() - 15 * DAY_MS),
                "latestDateCovered": self._covered(end_ms),
            }
        )

    def _window(self, request: Request, days: int) -> tuple[ObjectType, int, int]:
        """Seconds are ignored; the start lies more than a minute before the end."""
        kind = type_named(self._state, request.params["object"])
        if not kind.has_deleted_list:
            raise answers.plain(400, "INVALID_TYPE_FOR_OPERATION", f"{kind.name} is not replicateable")
        stamps = [parse_date_time(request.first(name).replace(" ", "+")) for name in ("start", "end")]
        start_ms, end_ms = (None if stamp is None else stamp // MINUTE_MS * MINUTE_MS for stamp in stamps)
        if start_ms is None or end_ms is None:
            raise answers.plain(400, "MALFORMED_QUERY", "start and end: ISO 8601 date-times")
        if end_ms - start_ms < MINUTE_MS:
            message = "endDate must be at least one minute greater than startDate"
            raise answers.plain(400, "INVALID_REPLICATION_DATE", message)
        if start_ms < self._state.clock.now_ms() - days * DAY_MS:
            message = f"startDate cannot be more than {days} days ago"
            raise answers.plain(400, "INVALID_REPLICATION_DATE", message)
        return kind, start_ms, end_ms

    def _covered(self, end_ms: int) -> str:
        """Held back while a long transaction runs."""
        now_ms = self._state.clock.now_ms()
        covered_ms = min(end_ms, now_ms // MINUTE_MS * MINUTE_MS)
        for table in self._state.tables.values():
            for record in table.records.values():
                if record.shadow is not None and record.shadow.until_ms > now_ms:
                    covered_ms = min(covered_ms, record.values["SystemModstamp"] // MINUTE_MS * MINUTE_MS)
        return date_time(covered_ms)

    # Steps -------------------------------------------------------------------------------------------------

    def _any(self, kind: ObjectType, raw_id: str) -> Record:
        """The record of that id, in the recycle bin or not. Raises 404, or 400 for what is no id of the type."""
        record_id = ids.canonical(raw_id)
        if record_id is None or not record_id.startswith(kind.prefix):
            if record_id is None and len(raw_id) not in (15, 18):
                raise answers.not_found(f"Provided external ID field does not exist or is not accessible: {raw_id}")
            raise answers.plain(400, "MALFORMED_ID", f"malformed id {raw_id}")
        record = self._state.table(kind.name).records.get(record_id)
        if record is None:
            raise answers.missing_record().single()
        return record

    def _visible(self, kind: ObjectType, raw_id: str) -> Record:
        record = self._any(kind, raw_id)
        seen = self._state.seen(record, self._state.clock.now_ms())
        if seen is None or seen.get("IsDeleted"):
            raise answers.missing_record().single()
        return record

    def _shown(self, request: Request, kind: ObjectType, record: Record) -> Response:
        seen = self._state.seen(record, self._state.clock.now_ms()) or {}
        schema = self._state.schema
        fields = schema.visible_fields(kind)
        if names := request.listed("fields"):
            fields = []
            for name in names:
                field = schema.field(kind, name)
                if field is None:
                    raise answers.plain(400, "INVALID_FIELD", f"No such column '{name}' on entity '{kind.name}'")
                fields.append(field)
        headers = self._validators(kind, seen)
        since_ms = parse_http_date(request.headers.get("if-modified-since", ""))
        if since_ms is not None and seen.get("LastModifiedDate", 0) <= since_ms:
            return Response(304, b"", headers)
        self._refuse_unless_unmodified(request, record)
        body = record_json(kind, record.record_id, seen, fields, request.params["version"])
        return json_response(body, 200, headers)

    def _validators(self, kind: ObjectType, seen: Values) -> list[tuple[str, str]]:
        stamp_ms = seen.get("LastModifiedDate")
        if stamp_ms is None:
            return []
        found = [("Last-Modified", http_date(stamp_ms))]
        if kind.name == "Account":
            found.append(("ETag", f'"{stamp_ms // 1000:x}--gzip"'))
        return found

    def _refuse_unless_unmodified(self, request: Request, record: Record) -> None:
        """``If-Unmodified-Since`` on any object, ``If-Match`` on accounts; whole seconds only. Raises 412."""
        text = request.headers.get("if-unmodified-since")
        stamp_ms = record.values.get("LastModifiedDate", 0)
        if text is not None:
            since_ms = parse_http_date(text)
            if since_ms is None:
                raise answers.plain(400, "INVALID_HEADER", "If-Unmodified-Since: not an RFC 1123 date")
            if stamp_ms > since_ms:
                raise answers.AnswerError(412, None)
        tag = request.headers.get("if-match")
        if tag is not None and record.kind == "Account" and tag != f'"{stamp_ms // 1000:x}--gzip"':
            raise answers.AnswerError(412, None)

    def _note_body(self, kind: ObjectType, raw_id: str) -> Response:
        record = self._visible(kind, raw_id)
        body = base64.b64decode(record.values.get("Content") or "")
        return Response(200, body, [("Content-Type", "application/octet-stream")])


def record_json(kind: ObjectType, record_id: str, seen: Values, fields: list[Field], version: str) -> Json:
    """``attributes``, the fields asked for, and ``Id`` always."""
    shown: Json = {"attributes": attributes(kind.name, record_id, version)}
    shown |= {field.name: _row_value(field, record_id, seen, version) for field in fields}
    shown["Id"] = record_id
    return shown


def _row_value(field: Field, record_id: str, seen: Values, version: str) -> Any:
    if field.type == "base64":
        return f"/services/data/{version}/sobjects/ContentNote/{record_id}/{field.name}"
    return values.rendered(field, seen)


def saved(record_id: str) -> Json:
    return {"id": record_id, "success": True, "errors": []}


def row_body(request: Request) -> Json:
    body = request.json()
    if not isinstance(body, dict):
        raise answers.json_error("The HTTP entity body is required, but this request has no entity body.")
    return body
