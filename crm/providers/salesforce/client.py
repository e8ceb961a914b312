"""Salesforce's endpoints, one method each: typed in and out, nothing decided.

https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/ (checked 2026-11): Query, QueryAll, sObject
Collections, Composite. An answer of another shape than documented is UnexpectedAnswerError; after a write that means
that its outcome is not known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, Final, cast
from urllib.parse import quote_plus

from crm.errors import CrmError, OutcomeUnknownError, UnexpectedAnswerError
from crm.http.client import Answer, HttpClient
from crm.http.paging import Page as ListPage
from crm.http.paging import read_all
from crm.http.redact import shape_of
from crm.providers.salesforce import endpoints
from crm.providers.salesforce import soql as soql_text
from crm.providers.salesforce.wire import WireField, WireRow, WireRowResult, classify

_LOCATOR: Final = re.compile(r"/services/data/v\d+\.\d+/(query|queryAll)/([0-9A-Za-z-]{1,100})")


@dataclass(frozen=True, slots=True)
class RowPage:
    rows: tuple[WireRow, ...]
    is_last: bool
    locator: str = ""
    """``query/<locator>`` of the page that follows."""
    server_time: datetime | None = None
    total: int = 0
    """Rows of the whole query, as far as its limit lets them be counted."""


@dataclass(frozen=True, slots=True)
class _SubAnswer:
    """A composite call's answer to one of its requests."""

    status: int
    body: Any
    text: str = ""

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status < 300

    def retry_after_seconds(self) -> float | None:
        return None


class SalesforceClient:
    def __init__(self, http: HttpClient, paths: endpoints.Paths, *, save_duplicates: bool) -> None:
        self._http = http
        self._paths = paths
        self._write_headers = {
            "Sforce-Auto-Assign": "FALSE",
            "Sforce-Duplicate-Rule-Header": f"allowSave={str(save_duplicates).lower()}; includeRecordDetails=true",
        }

    # reads

    def query(self, soql: str, *, deleted_too: bool = False, operation: str = "query") -> RowPage:
        """The first page. A query too long for an address travels in the body of a composite call."""
        resource = "queryAll" if deleted_too else "query"
        if len(quote_plus(soql)) <= endpoints.MAX_QUERY_CHARACTERS:
            answer = self._http.request(
                "GET", self._paths.of(resource), operation=operation, params={"q": soql}, budget=endpoints.REQUESTS
            )
            return _page(answer.body, server_time(answer))
        url = f"{self._paths.of(resource)}?q={quote_plus(soql)}"
        answer = self._composite([url], operation)
        (found,) = _sub_answers(answer.body, 1)
        return _page(_succeeded(found), server_time(answer))

    def query_rows(self, soql: str, *, deleted_too: bool = False, operation: str = "query") -> list[WireRow]:
        """Every row, page after page."""

        def fetch(position: str) -> ListPage[WireRow]:
            page = (
                self._more(position, operation)
                if position
                else self.query(soql, deleted_too=deleted_too, operation=operation)
            )
            return ListPage(page.rows, page.locator)

        return list(read_all(fetch))

    def count(self, record_type: str) -> int:
        """Live records, by one request."""
        answer = self._http.request(
            "GET",
            self._paths.of("query"),
            operation="count",
            params={"q": soql_text.count(record_type)},
            budget=endpoints.REQUESTS,
        )
        return _total(answer.body)

    def _more(self, position: str, operation: str) -> RowPage:
        resource, _, locator = position.partition("/")
        answer = self._http.request(
            "GET",
            self._paths.of("more"),
            operation=operation,
            path_params={"resource": resource, "locator": locator},
            budget=endpoints.REQUESTS,
        )
        return _page(answer.body, server_time(answer))

    def describe(self, record_type: str) -> list[WireField]:
        answer = self._http.request(
            "GET",
            self._paths.of("describe"),
            operation="describe",
            path_params={"type": record_type},
            budget=endpoints.REQUESTS,
        )
        return _fields(answer.body)

    def describe_all(self, record_types: Sequence[str]) -> dict[str, list[WireField] | CrmError]:
        """Several descriptions by one request, each with its own outcome."""
        path = self._paths.of("describe")
        answer = self._composite([path.replace("{type}", quote_plus(each)) for each in record_types], "describe")
        found: dict[str, list[WireField] | CrmError] = {}
        for record_type, each in zip(record_types, _sub_answers(answer.body, len(record_types)), strict=True):
            try:
                found[record_type] = _fields(_succeeded(each))
            except CrmError as error:
                found[record_type] = error
        return found

    def _composite(self, urls: Sequence[str], operation: str) -> Answer:
        """Reads that are no business of each other: together they count as one request."""
        reads = [{"method": "GET", "url": url, "referenceId": f"read{number}"} for number, url in enumerate(urls)]
        return self._http.request(
            "POST",
            self._paths.of("composite"),
            operation=operation,
            json={"allOrNone": False, "compositeRequest": reads},
            budget=endpoints.REQUESTS,
            write=False,
        )

    def note_body(self, remote_id: str) -> str:
        """A ContentNote's body: HTML, as it is kept."""
        answer = self._http.request(
            "GET",
            self._paths.of("note_body"),
            operation="note_body",
            path_params={"id": remote_id},
            budget=endpoints.REQUESTS,
            accepts="application/octet-stream",
        )
        return answer.text

    def user_information(self) -> Mapping[str, Any]:
        answer = self._http.request("GET", endpoints.USERINFO_PATH, operation="account", budget=endpoints.REQUESTS)
        return _mapping(answer.body)

    # writes

    def create_rows(self, records: Sequence[Mapping[str, Any]]) -> list[WireRowResult]:
        return self._write_rows("POST", "collection", "create", records)

    def update_rows(self, records: Sequence[Mapping[str, Any]]) -> list[WireRowResult]:
        return self._write_rows("PATCH", "collection", "update", records)

    def upsert_rows(self, record_type: str, field: str, records: Sequence[Mapping[str, Any]]) -> list[WireRowResult]:
        return self._write_rows("PATCH", "upsert", "upsert", records, {"type": record_type, "field": field})

    def delete_rows(self, remote_ids: Sequence[str]) -> list[WireRowResult]:
        answer = self._http.request(
            "DELETE",
            self._paths.of("collection"),
            operation="delete",
            params={"ids": ",".join(remote_ids), "allOrNone": False},
            headers=self._write_headers,
            budget=endpoints.REQUESTS,
        )
        return _row_results(answer.body, len(remote_ids))

    def update_row(
        self, record_type: str, remote_id: str, values: Mapping[str, Any], unchanged_since: datetime
    ) -> None:
        """Raises StaleWriteError when the record was changed in a later second.

        https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/headers_conditional.htm
        """
        since = format_datetime(unchanged_since.astimezone(UTC).replace(microsecond=0), usegmt=True)
        self._http.request(
            "PATCH",
            self._paths.of("record"),
            operation="update",
            path_params={"type": record_type, "id": remote_id},
            json=dict(values),
            headers={**self._write_headers, "If-Unmodified-Since": since},
            budget=endpoints.REQUESTS,
        )

    def _write_rows(
        self,
        method: str,
        resource: str,
        operation: str,
        records: Sequence[Mapping[str, Any]],
        path_params: Mapping[str, str] | None = None,
    ) -> list[WireRowResult]:
        answer = self._http.request(
            method,
            self._paths.of(resource),
            operation=operation,
            path_params=path_params,
            json={"allOrNone": False, "records": list(records)},
            headers=self._write_headers,
            budget=endpoints.REQUESTS,
        )
        return _row_results(answer.body, len(records))


def _page(body: Any, server_time: datetime | None) -> RowPage:
    found = _mapping(body)
    rows, done, following = found.get("records"), found.get("done"), found.get("nextRecordsUrl")
    if not isinstance(rows, list) or not isinstance(done, bool) or not all(_is_row(row) for row in rows):
        raise UnexpectedAnswerError("Salesforce's answer holds no list of records", payload=shape_of(body))
    locator = ""
    if not done:
        matched = _LOCATOR.fullmatch(following) if isinstance(following, str) else None
        if matched is None:
            raise UnexpectedAnswerError("Salesforce gave a next page that leads nowhere", payload=shape_of(body))
        locator = f"{matched[1]}/{matched[2]}"
    return RowPage(tuple(rows), done, locator, server_time, _total(body))


def _total(body: Any) -> int:
    found = _mapping(body).get("totalSize")
    if not isinstance(found, int) or isinstance(found, bool):
        raise UnexpectedAnswerError("Salesforce's answer holds no number of records", payload=shape_of(body))
    return found


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get("Id"), str) and bool(row["Id"])


def _sub_answers(body: Any, count: int) -> list[_SubAnswer]:
    """The answers of a composite call, in the order of its requests."""
    answers = _mapping(body).get("compositeResponse")
    if not isinstance(answers, list) or len(answers) != count or not all(isinstance(each, dict) for each in answers):
        raise UnexpectedAnswerError("Salesforce's composite answer has not an answer each", payload=shape_of(body))
    found = [_SubAnswer(each.get("httpStatusCode"), each.get("body")) for each in answers]
    if not all(isinstance(each.status, int) for each in found):
        raise UnexpectedAnswerError("Salesforce's composite answer has no status", payload=shape_of(body))
    return found


def _succeeded(answer: _SubAnswer) -> Any:
    """Its body; raises what its status means."""
    error: CrmError | None = classify(answer)
    if error is not None:
        error.provider = "salesforce"
        raise error
    return answer.body


def _fields(body: Any) -> list[WireField]:
    fields = _mapping(body).get("fields")
    if not isinstance(fields, list):
        raise UnexpectedAnswerError("Salesforce's description holds no list of fields", payload=shape_of(body))
    return [_field(entry) for entry in fields]


def _row_results(body: Any, count: int) -> list[WireRowResult]:
    """One entry for each record, in their order. Whatever else it is, the write may have happened."""
    if (
        not isinstance(body, list)
        or len(body) != count
        or not all(isinstance(entry, dict) and isinstance(entry.get("success"), bool) for entry in body)
    ):
        raise OutcomeUnknownError("The write was answered in a way that does not say what happened")
    return cast("list[WireRowResult]", body)


def _field(entry: Any) -> WireField:
    found = _mapping(entry)
    if not isinstance(found.get("name"), str) or not isinstance(found.get("type"), str):
        raise UnexpectedAnswerError("Salesforce described a field without name or type", payload=shape_of(entry))
    return cast("WireField", found)


def _mapping(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise UnexpectedAnswerError("Salesforce's answer is no JSON object", payload=shape_of(body))
    return body


def server_time(answer: Answer) -> datetime | None:
    text = answer.header("date")
    if not text:
        return None
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None
