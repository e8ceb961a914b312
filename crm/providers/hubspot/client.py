"""HubSpot's endpoints, one method each: typed in and out, nothing decided.

Objects: https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide; search:
https://developers.hubspot.com/docs/api-reference/search/guide (checked 2026-11). An answer of another shape than
documented is UnexpectedAnswerError; after a write that means that its outcome is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

from crm.errors import OutcomeUnknownError, RecordGoneError, UnexpectedAnswerError
from crm.http.client import Answer, HttpClient
from crm.http.redact import shape_of
from crm.providers.hubspot import endpoints
from crm.providers.hubspot.wire import WireOwner, WireProperty, WireRecord


@dataclass(frozen=True, slots=True)
class RecordPage:
    records: tuple[WireRecord, ...]
    after: str
    """HubSpot's cursor to the next page; ``""`` on the last one."""
    server_time: datetime | None


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """``records`` in no promised order, and the entries of ``errors`` as they came."""

    records: tuple[WireRecord, ...]
    errors: tuple[Mapping[str, Any], ...] = ()
    request_id: str = ""


class HubSpotClient:
    def __init__(self, http: HttpClient, paths: endpoints.Paths) -> None:
        self._http = http
        self._paths = paths

    # reads

    def list_page(self, record_type: str, properties: Sequence[str], after: str, limit: int) -> RecordPage:
        answer = self._http.request(
            "GET",
            self._paths.of("list"),
            operation="list",
            path_params={"type": record_type},
            params={"limit": limit, "after": after or None, "properties": ",".join(properties), "archived": False},
        )
        return _page(answer)

    def search(self, record_type: str, body: Mapping[str, Any]) -> RecordPage:
        answer = self._http.request(
            "POST",
            self._paths.of("search"),
            operation="search",
            path_params={"type": record_type},
            json=body,
            budget=endpoints.SEARCH,
            write=False,
        )
        return _page(answer)

    def read_batch(
        self,
        record_type: str,
        remote_ids: Iterable[str],
        properties: Sequence[str],
        *,
        history: Sequence[str] = (),
        archived: bool = False,
        id_property: str = "",
    ) -> BatchAnswer:
        """Ids that are unknown, deleted or merged away are left out or listed in ``errors``.

        ``id_property``: the unique property whose values stand in place of the ids.
        """
        body: dict[str, Any] = {"inputs": [{"id": each} for each in remote_ids], "properties": list(properties)}
        if id_property:
            body["idProperty"] = id_property
        if history:
            body["propertiesWithHistory"] = list(history)
        answer = self._http.request(
            "POST",
            self._paths.of("batch_read"),
            operation="history" if history else "batch_read",
            path_params={"type": record_type},
            params={"archived": True} if archived else None,
            json=body,
            write=False,
        )
        return _batch(answer)

    def read_one(
        self, record_type: str, key: str, properties: Sequence[str], *, id_property: str = ""
    ) -> WireRecord | None:
        """``None`` when HubSpot does not know it. A merged-away id gives the survivor, under the survivor's id."""
        try:
            answer = self._http.request(
                "GET",
                self._paths.of("record"),
                operation="read",
                path_params={"type": record_type, "id": key},
                params={"properties": ",".join(properties), "idProperty": id_property or None},
            )
        except RecordGoneError:
            return None
        return _record(answer.body)

    # writes

    def create_batch(self, record_type: str, inputs: Sequence[Mapping[str, Any]]) -> BatchAnswer:
        return _written(self._batch_write("batch_create", record_type, inputs))

    def update_batch(self, record_type: str, inputs: Sequence[Mapping[str, Any]]) -> BatchAnswer:
        return _written(self._batch_write("batch_update", record_type, inputs))

    def archive_batch(self, record_type: str, remote_ids: Iterable[str]) -> None:
        """Answers 204 for ids that are gone already, too."""
        self._batch_write("batch_archive", record_type, [{"id": each} for each in remote_ids])

    def _batch_write(self, resource: str, record_type: str, inputs: Sequence[Mapping[str, Any]]) -> Answer:
        return self._http.request(
            "POST",
            self._paths.of(resource),
            operation=resource,
            path_params={"type": record_type},
            json={"inputs": list(inputs)},
        )

    def unsubscribe_all(self, email: str) -> None:
        """Opt the address out of all e-mail of the account. Sending it again changes nothing, so it is retried.

        https://developers.hubspot.com/docs/api-reference/communication-preferences-subscriptions-v4/guide
        """
        self._http.request(
            "POST",
            self._paths.of("unsubscribe_all"),
            operation="unsubscribe_all",
            path_params={"email": email},
            params={"channel": "EMAIL"},
            write=False,
        )

    # associations with contacts

    def links(self, record_type: str, positions: Mapping[str, str]) -> tuple[dict[str, list[str]], dict[str, str]]:
        """Id -> ids of its contacts, from each record's position on; and the positions of those that have more.

        A record without any is left out of the answer, or listed among its errors, which is none.
        """
        inputs = [{"id": each, "after": after} if after else {"id": each} for each, after in positions.items()]
        answer = self._http.request(
            "POST",
            self._paths.of("links_read"),
            operation="links",
            path_params={"type": record_type},
            json={"inputs": inputs},
            write=False,
        )
        found: dict[str, list[str]] = {}
        following: dict[str, str] = {}
        for entry in _results(answer.body):
            own, others = _id(_mapping(entry).get("from")), _mapping(entry).get("to")
            if not isinstance(others, list):
                raise UnexpectedAnswerError("HubSpot gave associations without the other end", payload=shape_of(entry))
            found[own] = [_id({"id": _mapping(other).get("toObjectId")}) for other in others]
            after = _after(entry)
            if after and after != positions.get(own):
                following[own] = after
        return found, following

    def link(self, record_type: str, pairs: Sequence[tuple[str, str]]) -> bool:
        """Whether all (record, contact) are linked now. Linking what is linked changes nothing, so it is retried."""
        body = {"inputs": [{"from": {"id": own}, "to": {"id": other}} for own, other in pairs]}
        return self._write_links("links_create", record_type, body)

    def unlink(self, record_type: str, pairs: Sequence[tuple[str, str]]) -> bool:
        """Whether all (record, contact) are apart now. Repeatable, as ``link`` is."""
        body = {"inputs": [{"from": {"id": own}, "to": [{"id": other}]} for own, other in pairs]}
        return self._write_links("links_archive", record_type, body)

    def _write_links(self, resource: str, record_type: str, body: Mapping[str, Any]) -> bool:
        answer = self._http.request(
            "POST",
            self._paths.of(resource),
            operation=resource,
            path_params={"type": record_type},
            json=body,
            write=False,
        )
        return not (isinstance(answer.body, dict) and answer.body.get("errors"))

    # account, definitions

    def account_details(self) -> Mapping[str, Any]:
        answer = self._http.request("GET", self._paths.of("account"), operation="account")
        return _mapping(answer.body)

    def properties(self, record_type: str) -> list[WireProperty]:
        answer = self._http.request(
            "GET", self._paths.of("properties"), operation="properties", path_params={"type": record_type}
        )
        return [_property(entry) for entry in _results(answer.body)]

    def property(self, record_type: str, name: str) -> WireProperty | None:
        try:
            answer = self._http.request(
                "GET",
                self._paths.of("property"),
                operation="property",
                path_params={"type": record_type, "name": name},
            )
        except RecordGoneError:
            return None
        return _property(answer.body)

    def create_property_group(self, record_type: str, name: str, label: str) -> None:
        self._http.request(
            "POST",
            self._paths.of("property_groups"),
            operation="create_property",
            path_params={"type": record_type},
            json={"name": name, "label": label},
        )

    def create_property(self, record_type: str, definition: Mapping[str, Any]) -> None:
        self._http.request(
            "POST",
            self._paths.of("properties"),
            operation="create_property",
            path_params={"type": record_type},
            json=definition,
        )

    def owners(self) -> list[WireOwner]:
        """All active owners, page by page."""
        found: list[WireOwner] = []
        after: str | None = None
        while True:
            answer = self._http.request(
                "GET",
                self._paths.of("owners"),
                operation="owners",
                params={"limit": endpoints.OWNER_PAGE, "after": after, "archived": False},
            )
            found += [cast("WireOwner", {**entry, "id": _id(entry)}) for entry in _results(answer.body)]
            following = _after(answer.body)
            if not following or following == after:
                return found
            after = following


def _page(answer: Answer) -> RecordPage:
    records = tuple(_record(entry) for entry in _results(answer.body))
    return RecordPage(records, _after(answer.body), _server_time(answer))


def _batch(answer: Answer) -> BatchAnswer:
    errors = answer.body.get("errors") if isinstance(answer.body, dict) else None
    return BatchAnswer(
        tuple(_record(entry) for entry in _results(answer.body)),
        tuple(entry for entry in errors if isinstance(entry, dict)) if isinstance(errors, list) else (),
        answer.header(endpoints.REQUEST_ID_HEADER),
    )


def _written(answer: Answer) -> BatchAnswer:
    try:
        return _batch(answer)
    except UnexpectedAnswerError as error:
        raise OutcomeUnknownError("The write was answered in a way that does not say what happened") from error


def _results(body: Any) -> list[Any]:
    results = _mapping(body).get("results")
    if not isinstance(results, list):
        raise UnexpectedAnswerError("HubSpot's answer holds no list of results", payload=shape_of(body))
    return results


def _after(body: Any) -> str:
    """The cursor only: host and version inside ``paging.next.link`` vary."""
    paging = _mapping(body).get("paging")
    following = paging.get("next") if isinstance(paging, dict) else None
    after = following.get("after") if isinstance(following, dict) else None
    return str(after) if isinstance(after, str | int) else ""


def _record(entry: Any) -> WireRecord:
    properties = _mapping(entry).get("properties")
    if not isinstance(properties, dict):
        raise UnexpectedAnswerError("HubSpot gave a record without properties", payload=shape_of(entry))
    texts = {
        name: value if value is None or isinstance(value, str) else str(value) for name, value in properties.items()
    }
    return cast("WireRecord", {**entry, "id": _id(entry), "properties": texts})


def _property(entry: Any) -> WireProperty:
    words = {name: _mapping(entry).get(name) for name in ("name", "label", "type", "fieldType")}
    if not isinstance(words["name"], str) or not isinstance(words["type"], str):
        raise UnexpectedAnswerError("HubSpot gave a property without name or type", payload=shape_of(entry))
    whole = {name: word if isinstance(word, str) else "" for name, word in words.items()}
    return cast("WireProperty", {**entry, **whole})


def _id(entry: Any) -> str:
    """Ids are texts here and numbers there."""
    found = _mapping(entry).get("id")
    if isinstance(found, bool) or not isinstance(found, str | int) or not str(found):
        raise UnexpectedAnswerError("HubSpot gave a record without an id", payload=shape_of(entry))
    return str(found)


def _mapping(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise UnexpectedAnswerError("HubSpot's answer is no JSON object", payload=shape_of(body))
    return body


def _server_time(answer: Answer) -> datetime | None:
    text = answer.header("date")
    if not text:
        return None
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None
