"""Pipedrive's endpoints, one method each: typed in and out, nothing decided.

https://developers.pipedrive.com/docs/api/v1 (checked 2026-09): version 2 for records and fields, version 1 for users
and webhooks. An answer of another shape than documented is UnexpectedAnswerError; after a write that means that its
outcome is not known. Costs are the document's ``x-token-cost``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, cast

from crm.errors import OutcomeUnknownError, RecordGoneError, UnexpectedAnswerError
from crm.http.client import Answer, HttpClient
from crm.http.paging import Page, read_all
from crm.http.redact import Secret, shape_of
from crm.providers.pipedrive import endpoints
from crm.providers.pipedrive.endpoints import V1, V2
from crm.providers.pipedrive.objects import RecordType
from crm.providers.pipedrive.wire import WireField, WireRecord


@dataclass(frozen=True, slots=True)
class RecordPage:
    records: tuple[WireRecord, ...]
    cursor: str
    """Where the next page begins; ``""`` on the last one."""
    server_time: datetime | None


class Records(Protocol):
    """What both versions of the API do for a record type, in v2's shapes."""

    def list_page(self, kind: RecordType, cursor: str, limit: int, include: Sequence[str] = ()) -> RecordPage:
        """Live records by id."""
        ...

    def changed_page(
        self, kind: RecordType, since: datetime, cursor: str, limit: int, include: Sequence[str] = ()
    ) -> RecordPage:
        """Records with ``update_time`` at or after ``since``, oldest first. A new record may lack that stamp."""
        ...

    def newest_page(self, kind: RecordType, cursor: str, limit: int, include: Sequence[str] = ()) -> RecordPage:
        """Records by creation, newest first."""
        ...

    def read_ids(self, kind: RecordType, ids: Sequence[str], include: Sequence[str] = ()) -> list[WireRecord]:
        """At most ``endpoints.IDS_BATCH`` at a time; what is deleted or not visible is left out."""
        ...

    def read_one(self, kind: RecordType, remote_id: str) -> WireRecord | None:
        """A deleted record comes with ``is_deleted`` while Pipedrive keeps it; ``None`` when it knows none."""
        ...

    def create(self, kind: RecordType, body: Mapping[str, Any]) -> WireRecord: ...

    def update(self, kind: RecordType, remote_id: str, body: Mapping[str, Any]) -> WireRecord: ...

    def delete(self, kind: RecordType, remote_id: str) -> None:
        """Raises RecordGoneError for what is gone already."""
        ...

    def fields(self, kind: RecordType) -> list[WireField]: ...

    def create_field(self, kind: RecordType, name: str, field_type: str) -> WireField: ...


class RecordsV2:
    """https://developers.pipedrive.com/docs/api/v1 (version 2 of each)."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self._costs = endpoints.COSTS[V2]

    def list_page(self, kind: RecordType, cursor: str, limit: int, include: Sequence[str] = ()) -> RecordPage:
        return self._page(kind, "list", cursor, limit, include, {"sort_by": "id"})

    def changed_page(
        self, kind: RecordType, since: datetime, cursor: str, limit: int, include: Sequence[str] = ()
    ) -> RecordPage:
        # A fraction of a second is refused; rounding down leaves nothing out.
        stamp = f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return self._page(kind, "changes", cursor, limit, include, {"updated_since": stamp, "sort_by": "update_time"})

    def newest_page(self, kind: RecordType, cursor: str, limit: int, include: Sequence[str] = ()) -> RecordPage:
        return self._page(kind, "newest", cursor, limit, include, {"sort_by": "add_time", "sort_direction": "desc"})

    def read_ids(self, kind: RecordType, ids: Sequence[str], include: Sequence[str] = ()) -> list[WireRecord]:
        params = {"ids": ",".join(ids)}
        return list(self._page(kind, "read", "", endpoints.IDS_BATCH, include, params).records)

    def read_one(self, kind: RecordType, remote_id: str) -> WireRecord | None:
        try:
            answer = self._http.request(
                "GET",
                endpoints.path(V2, f"{kind.key}/{{id}}"),
                operation="read_one",
                path_params={"id": remote_id},
                cost=self._costs.one,
            )
        except RecordGoneError:
            return None
        return record(data(answer))

    def create(self, kind: RecordType, body: Mapping[str, Any]) -> WireRecord:
        answer = self._http.request(
            "POST", endpoints.path(V2, kind.key), operation="create", json=body, cost=self._costs.write
        )
        return written(answer)

    def update(self, kind: RecordType, remote_id: str, body: Mapping[str, Any]) -> WireRecord:
        answer = self._http.request(
            "PATCH",
            endpoints.path(V2, f"{kind.key}/{{id}}"),
            operation="update",
            path_params={"id": remote_id},
            json=body,
            cost=self._costs.write,
        )
        return written(answer)

    def delete(self, kind: RecordType, remote_id: str) -> None:
        self._http.request(
            "DELETE",
            endpoints.path(V2, f"{kind.key}/{{id}}"),
            operation="delete",
            path_params={"id": remote_id},
            cost=self._costs.delete,
        )

    def fields(self, kind: RecordType) -> list[WireField]:
        def page(cursor: str) -> Page[WireField]:
            answer = self._http.request(
                "GET",
                endpoints.path(V2, kind.fields),
                operation="fields",
                params={"limit": endpoints.PAGE, "cursor": cursor or None},
                cost=self._costs.page,
            )
            return Page([field(entry) for entry in rows(answer)], next_cursor(answer))

        return list(read_all(page))

    def create_field(self, kind: RecordType, name: str, field_type: str) -> WireField:
        answer = self._http.request(
            "POST",
            endpoints.path(V2, kind.fields),
            operation="create_field",
            json={"field_name": name, "field_type": field_type},
            cost=self._costs.write,
        )
        return field(data(answer))

    def _page(
        self,
        kind: RecordType,
        operation: str,
        cursor: str,
        limit: int,
        include: Sequence[str],
        params: Mapping[str, str],
    ) -> RecordPage:
        answer = self._http.request(
            "GET",
            endpoints.path(V2, kind.key),
            operation=operation,
            params={
                **params,
                "limit": limit,
                "cursor": cursor or None,
                "include_fields": ",".join(include) or None,
            },
            cost=self._costs.page,
        )
        return RecordPage(tuple(record(entry) for entry in rows(answer)), next_cursor(answer), server_time(answer))


class PipedriveClient:
    """What belongs to the account and not to a record type; version 1 is its only form."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    def me(self) -> Mapping[str, Any]:
        """The token's user, with the company's id, name and domain."""
        answer = self._http.request("GET", endpoints.path(V1, "users/me"), operation="account", cost=endpoints.ME_COST)
        return mapping_of(data(answer))

    def users(self) -> list[Mapping[str, Any]]:
        """All users of the company, not paged."""
        answer = self._http.request("GET", endpoints.path(V1, "users"), operation="users", cost=endpoints.USERS_COST)
        return [mapping_of(entry) for entry in rows(answer)]

    def webhooks(self) -> list[Mapping[str, Any]]:
        answer = self._http.request(
            "GET", endpoints.path(V1, "webhooks"), operation="webhooks", cost=endpoints.WEBHOOKS_COST
        )
        return [mapping_of(entry) for entry in rows(answer)]

    def create_webhook(self, *, url: str, event_object: str, username: str, password: Secret) -> str:
        """Subscribe to every action on one kind of record; gives the subscription's id.

        ``version`` is always sent: without it the default has changed once already. Events are those that the token's
        user may see. Raises RejectedError (422) beyond 40 subscriptions a user.
        """
        answer = self._http.request(
            "POST",
            endpoints.path(V1, "webhooks"),
            operation="create_webhook",
            json={
                "name": f"ADSapp contact sync ({event_object})",
                "subscription_url": url,
                "event_action": "*",
                "event_object": event_object,
                "version": "2.0",
                "http_auth_user": username,
                "http_auth_password": password.reveal(),
            },
            cost=endpoints.WEBHOOKS_COST,
        )
        return record_id(mapping_of(data(answer)))

    def delete_webhook(self, subscription_id: str) -> None:
        """Deleting what is gone already succeeds."""
        try:
            self._http.request(
                "DELETE",
                endpoints.path(V1, "webhooks/{id}"),
                operation="delete_webhook",
                path_params={"id": subscription_id},
                cost=endpoints.WEBHOOK_DELETE_COST,
            )
        except RecordGoneError:
            return


# reading answers


def data(answer: Answer) -> Any:
    return mapping_of(answer.body).get("data")


def rows(answer: Answer) -> list[Any]:
    """v1 says ``null`` where a list is empty."""
    found = data(answer)
    if found is None and "data" in mapping_of(answer.body):
        return []
    if not isinstance(found, list):
        raise UnexpectedAnswerError("Pipedrive's answer holds no list", payload=shape_of(answer.body))
    return found


def next_cursor(answer: Answer) -> str:
    more = mapping_of(answer.body).get("additional_data")
    found = more.get("next_cursor") if isinstance(more, dict) else None
    return found if isinstance(found, str) else ""


def record(entry: Any) -> WireRecord:
    found = mapping_of(entry)
    record_id(found)
    return dict(found)


def written(answer: Answer) -> WireRecord:
    try:
        return record(data(answer))
    except UnexpectedAnswerError as error:
        raise OutcomeUnknownError("The write was answered in a way that does not say what happened") from error


def record_id(entry: Mapping[str, Any]) -> str:
    found = entry.get("id")
    if isinstance(found, bool) or not isinstance(found, int | str) or not str(found):
        raise UnexpectedAnswerError("Pipedrive gave a record without an id", payload=shape_of(entry))
    return str(found)


def field(entry: Any) -> WireField:
    found = mapping_of(entry)
    code, kind = found.get("field_code"), found.get("field_type")
    if not isinstance(code, str) or not code or not isinstance(kind, str):
        raise UnexpectedAnswerError("Pipedrive gave a field without a code or a type", payload=shape_of(entry))
    name = found.get("field_name")
    return cast("WireField", {**found, "field_name": name if isinstance(name, str) else ""})


def mapping_of(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise UnexpectedAnswerError("Pipedrive's answer is no JSON object", payload=shape_of(body))
    return body


def server_time(answer: Answer) -> datetime | None:
    text = answer.header("date")
    if not text:
        return None
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None
