"""Bulk API 2.0: jobs, their states, and rows as CSV. Typed in and out, nothing decided.

https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/bulk_api_2_0.htm (checked 2026-11). A job
is made, given its data once, closed, and asked for its state; rows come back in no order.
"""

from __future__ import annotations

import csv
import enum
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from crm.errors import UnexpectedAnswerError
from crm.http.client import Answer, HttpClient
from crm.http.redact import shape_of
from crm.normalize import sanitize_text
from crm.providers.salesforce import endpoints
from crm.providers.salesforce.client import server_time

CSV_TYPE: Final = "text/csv"
CLEAR: Final = "#N/A"
"""A cell that clears; an empty one leaves its field alone."""
ROW_ID: Final = "sf__Id"
ROW_ERROR: Final = "sf__Error"

Row = dict[str, str]


class JobState(enum.StrEnum):
    OPEN = "Open"
    CLOSED = "UploadComplete"
    RUNNING = "InProgress"
    COMPLETE = "JobComplete"
    FAILED = "Failed"
    ABORTED = "Aborted"

    @property
    def is_over(self) -> bool:
        return self in (JobState.COMPLETE, JobState.FAILED, JobState.ABORTED)


@dataclass(frozen=True, slots=True)
class JobStatus:
    state: JobState
    has_failed_rows: bool = True
    """``True`` where the answer does not say."""


@dataclass(frozen=True, slots=True)
class ResultPage:
    rows: tuple[Row, ...]
    locator: str
    """Of the page that follows, ``""`` on the last one."""
    server_time: datetime | None


class BulkClient:
    """One method an endpoint."""

    def __init__(self, http: HttpClient, paths: endpoints.Paths) -> None:
        self._http = http
        self._paths = paths

    def create_query(self, soql: str) -> tuple[str, datetime | None]:
        """The job's id, and Salesforce's clock before it read anything."""
        answer = self._make("query", {"operation": "query", "query": soql})
        return _job_id(answer), server_time(answer)

    def create_ingest(self, record_type: str, operation: str, key: str = "") -> str:
        body = {"object": record_type, "operation": operation, "contentType": "CSV", "lineEnding": "LF"}
        return _job_id(self._make("ingest", {**body, "externalIdFieldName": key} if key else body))

    def upload(self, job: str, rows: str) -> None:
        """Once a job: ``rows`` is CSV with a header. Nothing happens before ``close``."""
        self._http.request(
            "PUT",
            self._paths.of("job_part"),
            operation="bulk_upload",
            path_params={"verb": "ingest", "job": job, "part": "batches"},
            csv=rows,
            budget=endpoints.REQUESTS,
        )

    def close(self, job: str) -> None:
        """The data is whole: Salesforce begins."""
        self._change(job, JobState.CLOSED)

    def abort(self, job: str) -> None:
        """Rows that were not begun stay undone."""
        self._change(job, JobState.ABORTED)

    def state(self, verb: str, job: str) -> JobStatus:
        answer = self._http.request(
            "GET",
            self._paths.of("job"),
            operation="bulk_state",
            path_params={"verb": verb, "job": job},
            budget=endpoints.REQUESTS,
        )
        found = _body(answer)
        try:
            state = JobState(str(found.get("state")))
        except ValueError:
            raise UnexpectedAnswerError("Salesforce told a bulk job's state in an unknown word") from None
        return JobStatus(state, has_failed_rows=found.get("numberRecordsFailed") != 0)

    def query_page(self, job: str, locator: str) -> ResultPage:
        answer = self._http.request(
            "GET",
            self._paths.of("job_part"),
            operation="bulk_results",
            path_params={"verb": "query", "job": job, "part": "results"},
            params={"maxRecords": endpoints.BULK_RESULTS, "locator": locator or None},
            accepts=CSV_TYPE,
            budget=endpoints.REQUESTS,
        )
        following = answer.header("sforce-locator")
        if not following:
            raise UnexpectedAnswerError("Salesforce's bulk results do not say whether more follow")
        rows = parse_rows(answer.text)
        return ResultPage(tuple(rows), "" if following == "null" else following, server_time(answer))

    def ingest_rows(self, job: str, part: str) -> list[Row]:
        """``successfulResults`` or ``failedResults``: the rows as they were sent, with ``sf__`` columns."""
        answer = self._http.request(
            "GET",
            self._paths.of("job_part"),
            operation="bulk_results",
            path_params={"verb": "ingest", "job": job, "part": part},
            accepts=CSV_TYPE,
            budget=endpoints.REQUESTS,
        )
        return parse_rows(answer.text)

    def delete(self, verb: str, job: str) -> None:
        """Of a job that is over; Salesforce does so by itself after seven days."""
        self._http.request(
            "DELETE",
            self._paths.of("job"),
            operation="bulk_delete",
            path_params={"verb": verb, "job": job},
            budget=endpoints.REQUESTS,
        )

    def _make(self, verb: str, body: Mapping[str, Any]) -> Answer:
        return self._http.request(
            "POST",
            self._paths.of("jobs"),
            operation="bulk_job",
            path_params={"verb": verb},
            json=dict(body),
            budget=endpoints.REQUESTS,
            write=False,  # a job without data does nothing
        )

    def _change(self, job: str, state: JobState) -> None:
        self._http.request(
            "PATCH",
            self._paths.of("job"),
            operation="bulk_state",
            path_params={"verb": "ingest", "job": job},
            json={"state": state.value},
            budget=endpoints.REQUESTS,
        )


def to_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """With all their fields as columns; a field that one record lacks is an empty cell."""
    columns = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(record[name]) if name in record else "" for name in columns] for record in records)
    return text.getvalue()


def holds(record: Mapping[str, Any]) -> bool:
    """Whether CSV can say what the record is to be: a text that means "clear" cannot be written by it."""
    return not any(value in (CLEAR, "") for value in record.values() if isinstance(value, str))


def _cell(value: object) -> str:
    if value is None:
        return CLEAR
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_rows(text: str) -> list[Row]:
    """Raises UnexpectedAnswerError when it is no table: a cut one must not look like a short one."""
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header, *rows = [line for line in lines if line] or [[]]
    except csv.Error:
        raise UnexpectedAnswerError("Salesforce's bulk results are no CSV") from None
    if any(len(row) != len(header) for row in rows):
        raise UnexpectedAnswerError("Salesforce's bulk results hold rows of another length than their header")
    return [{name: sanitize_text(cell)[0] for name, cell in zip(header, row, strict=True)} for row in rows]


def row_errors(text: str) -> list[dict[str, Any]]:
    """``CODE:message:Field1,Field2`` (``--`` for none) as the entries of a collection's row."""
    code, _, rest = text.partition(":")
    message, _, fields = rest.rpartition(":")
    named = [name for part in fields.removesuffix("--").split(",") if (name := part.strip())]
    return [{"statusCode": code, "message": message, "fields": named}]


def typed_row(row: Mapping[str, str], remote_types: Mapping[str, str]) -> dict[str, Any]:
    """A result row as a query gives it: typed, blank cells as null, related fields under their relation."""
    found: dict[str, Any] = {}
    for name, text in row.items():
        relation, _, field = name.partition(".")
        value = _typed(text, remote_types.get(name, "string"))
        if not field:
            found[name] = value
        elif value is not None:
            found.setdefault(relation, {})
            found[relation] = {**(found[relation] or {}), field: value}
        else:
            found.setdefault(relation, None)
    return found


_NUMBERS: Final = frozenset({"int", "long", "double", "currency", "percent"})


def _typed(text: str, remote_type: str) -> Any:
    if text == "":
        return None
    if remote_type == "boolean":
        return text.casefold() == "true"
    if remote_type in _NUMBERS:
        try:
            return int(text) if remote_type in ("int", "long") else float(text)
        except ValueError:
            return text
    return text


def _job_id(answer: Answer) -> str:
    found = _body(answer).get("id")
    if not isinstance(found, str) or not found.isalnum():
        raise UnexpectedAnswerError("Salesforce made a bulk job without an id")
    return found


def _body(answer: Answer) -> Mapping[str, Any]:
    if not isinstance(answer.body, dict):
        raise UnexpectedAnswerError("Salesforce's answer is no JSON object", payload=shape_of(answer.body))
    return answer.body
