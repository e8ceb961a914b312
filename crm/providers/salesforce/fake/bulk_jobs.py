"""Bulk API 2.0 jobs and the work they do: CSV in, CSV out.

Page: Bulk API 2.0 Developer Guide, "Bulk API 2.0 Ingest", "Bulk API 2.0 Query", "Valid CSV Record Rows"
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from crm.providers.salesforce.fake import ids
from crm.providers.salesforce.fake.answers import Json, RowError
from crm.providers.salesforce.fake.fields import Field, ObjectType
from crm.providers.salesforce.fake.stamps import date_time
from crm.providers.salesforce.fake.state import Record, State
from crm.providers.salesforce.fake.writes import WriteOptions, Writer

DELIMITERS: Final = {"BACKQUOTE": "`", "CARET": "^", "COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "TAB": "\t"}
LINE_ENDS: Final = {"LF": "\n", "CRLF": "\r\n"}
NULL: Final = "#N/A"


@dataclass(slots=True)
class Job:
    """``state`` as the API names it (Open, UploadComplete, InProgress, JobComplete, Failed, Aborted).

    ``ready_ms`` is when its work is done.
    """

    job_id: str
    operation: str
    object_name: str
    user_id: str
    created_ms: int
    version: str
    key_name: str = ""
    query: str = ""
    delimiter: str = "COMMA"
    line_end: str = "LF"
    state: str = "Open"
    ready_ms: int = 0
    upload: str | None = None
    error: str = ""
    header: list[str] = field(default_factory=list)
    successful: list[list[str]] = field(default_factory=list)
    failed: list[list[str]] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    options: WriteOptions | None = None

    @property
    def is_query(self) -> bool:
        return self.operation in ("query", "queryAll")

    def shown(self) -> Json:
        version = self.version.removeprefix("v")
        found: Json = {
            "id": self.job_id,
            "operation": self.operation,
            "object": self.object_name,
            "createdById": self.user_id,
            "createdDate": date_time(self.created_ms),
            "systemModstamp": date_time(self.created_ms),
            "state": self.state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(version),
            "lineEnding": self.line_end,
            "columnDelimiter": self.delimiter,
        }
        if self.is_query:
            return {**found, "jobType": "V2Query", "numberRecordsProcessed": len(self.rows), "retries": 0}
        return {
            **found,
            "jobType": "V2Ingest",
            "contentUrl": f"services/data/{self.version}/jobs/ingest/{self.job_id}/batches",
            "externalIdFieldName": self.key_name or None,
            "numberRecordsProcessed": len(self.successful) + len(self.failed),
            "numberRecordsFailed": len(self.failed),
            "retries": 0,
            "errorMessage": self.error or None,
        }

    def uploaded(self) -> list[list[str]]:
        """Header and rows, blank lines left out."""
        reader = csv.reader(io.StringIO(self.upload or "", newline=""), delimiter=DELIMITERS[self.delimiter])
        return [row for row in reader if row]

    def csv(self, header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
        text = io.StringIO()
        writer = csv.writer(
            text, delimiter=DELIMITERS[self.delimiter], lineterminator=LINE_ENDS[self.line_end], quoting=csv.QUOTE_ALL
        )
        writer.writerow(header)
        writer.writerows(rows)
        return text.getvalue().encode("utf-8", "surrogatepass")


class Ingest:
    """Does the writes of one job, a row at a time; a bad row fails alone."""

    def __init__(self, state: State, writer: Writer) -> None:
        self._state = state
        self._writer = writer

    def carry_out(self, job: Job, kind: ObjectType) -> None:
        rows = job.uploaded()
        if not rows:
            job.state, job.error = "Failed", "InvalidBatch : Failed to parse CSV. EmptyFile"
            return
        job.header = rows[0]
        unknown = [name for name in job.header if self._state.schema.field(kind, name) is None]
        if unknown:
            job.state = "Failed"
            job.error = f"InvalidBatch : Field name not found : {unknown[0]}"
            return
        for row in rows[1:]:
            if len(row) != len(job.header):
                job.failed.append(["", "InvalidBatch:The number of columns does not match the header:--", *row])
                continue
            values = dict(zip(job.header, row, strict=True))
            try:
                record, is_new = self._one(job, kind, values)
            except RowError as error:
                job.failed.append([values.get("Id", ""), error.text(), *row])
            else:
                job.successful.append([record.record_id, str(is_new).lower(), *row])
        job.state = "JobComplete"

    def _one(self, job: Job, kind: ObjectType, texts: dict[str, str]) -> tuple[Record, bool]:
        """An empty cell is left alone, ``#N/A`` clears."""
        options = job.options
        assert options is not None  # noqa: S101 - an ingest job is made with the options of its creator
        raw: dict[str, Any] = {
            name: None if text == NULL else text for name, text in texts.items() if text != "" and name.lower() != "id"
        }
        record_id = next((text for name, text in texts.items() if name.lower() == "id"), "")
        match job.operation:
            case "insert":
                return self._writer.create(kind, raw, options), True
            case "upsert":
                return self._upsert(job, kind, raw, record_id, options)
            case "update":
                record = self._record(kind, record_id)
                self._writer.update(record, raw, options)
                return record, False
            case operation:
                record = self._record(kind, record_id)
                self._writer.delete(record, options)
                if operation == "hardDelete":
                    self._state.purge(record)
                return record, False

    def _upsert(
        self, job: Job, kind: ObjectType, raw: dict[str, Any], record_id: str, options: WriteOptions
    ) -> tuple[Record, bool]:
        key = self._key(kind, job.key_name)
        if key.type == "id":
            if not record_id:
                return self._writer.create(kind, raw, options), True
            found = [self._record(kind, record_id)]
        else:
            value = next((raw.pop(name) for name in list(raw) if name.lower() == key.name.lower()), None)
            if value is None:
                raise RowError("MISSING_ARGUMENT", f"{key.name} not specified")
            found = self._state.table(kind.name).holders(key.name, value)
            if not found:
                return self._writer.create(kind, {**raw, key.name: value}, options), True
        if len(found) > 1:
            raise RowError("DUPLICATE_EXTERNAL_ID", f"{key.name}: more than one record found for external id field")
        self._writer.update(found[0], raw, options)
        return found[0], False

    def _key(self, kind: ObjectType, name: str) -> Field:
        found = self._state.schema.field(kind, name)
        if found is None:
            raise RowError("INVALID_FIELD", f"Field name provided, {name} is not an External ID")
        return found

    def _record(self, kind: ObjectType, raw_id: str) -> Record:
        if not raw_id:
            raise RowError("MISSING_ARGUMENT", "Id not specified in an update call")
        record = self._state.table(kind.name).records.get(ids.canonical(raw_id) or "")
        if record is None:
            raise RowError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        return record
