"""The ``Connector`` for HubSpot: which endpoint answers which question of the engine.

Full scans use the list endpoint (complete, by id, no search limits). Deltas use search with a keyset on the record
id inside the modification window, which passes the 10,000 results a query can reach however many records share one
stamp. Everything that decides about a single record is a direct read.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from crm.errors import (
    CrmError,
    CursorExpiredError,
    DuplicateRecordError,
    PermissionMissingError,
    RejectedError,
    UnexpectedAnswerError,
)
from crm.http.client import HttpClient
from crm.http.crew import Crew
from crm.http.hosts import HostPolicy
from crm.http.transport import checked_session
from crm.mapping.kinds import Kind
from crm.model import FieldDefinition, RemoteRecord, RemoteState, Value
from crm.ports import Account, Capabilities, CreateItem, FieldChange, ItemResult, Page, UpdateItem
from crm.providers.base import CallCounter, ConnectorContext
from crm.providers.hubspot import auth, endpoints, links, mapping
from crm.providers.hubspot.client import HubSpotClient, RecordPage
from crm.providers.hubspot.consent import EmailOptOuts
from crm.providers.hubspot.wire import WireOwner, WireRecord, WireVersion, classify
from crm.providers.hubspot.writes import BatchWriter

CAPABILITIES: Final = Capabilities(
    record_types=(mapping.CONTACTS,),
    create_type=mapping.CONTACTS,
    read_batch=endpoints.READ_BATCH,
    write_batch=endpoints.WRITE_BATCH,
    overlap_seconds=endpoints.SEARCH_LAG_SECONDS,
    delta_shows_deletions=False,
    returns_values=True,
    marker_lookup=True,
    field_history=True,
    webhooks=True,
    batches_in_flight=endpoints.IN_FLIGHT,
    links_to_contact=links.LINKS_TO_CONTACT,
)
_ALWAYS_READ: Final = (mapping.MERGED_IDS, mapping.MERGED_IDS_WITH_TIMES)
_LIST: Final = "list"
_SEARCH: Final = "search"


def _is_long(names: Sequence[str]) -> bool:
    """More than an address holds."""
    return len(",".join(names)) > endpoints.MAX_QUERY_CHARACTERS


def connect(context: ConnectorContext) -> HubSpotConnector:
    """A connector for one connection. Raises ConfigurationError for an address that may not be called."""
    calls = CallCounter(context.on_call)
    crew = Crew(auth.bearer(context.token), context.reauthorize, calls, endpoints.IN_FLIGHT)
    http = HttpClient(
        provider="hubspot",
        base_url=context.settings.get("api_base") or endpoints.API_BASE,
        authorize=crew.authorize,
        reauthorize=crew.reauthorize if context.reauthorize else None,
        classify=classify,
        limiter=context.limiter,
        hosts=HostPolicy(endpoints.HOST_SUFFIXES, context.extra_hosts),
        request_id_header=endpoints.REQUEST_ID_HEADER,
        session=context.session or checked_session(pool_size=endpoints.IN_FLIGHT),
        sleep=context.sleep or time.sleep,
        on_call=crew.on_call,
        circuits=context.circuits,
    )
    paths = endpoints.Paths(context.settings.get("api_version") or endpoints.NUMBERED)
    return HubSpotConnector(HubSpotClient(http, paths), crew, calls, context)


class HubSpotConnector:
    """``crm.ports.Connector``. Not shared between threads; batches use some of their own."""

    def __init__(self, client: HubSpotClient, crew: Crew, calls: CallCounter, context: ConnectorContext) -> None:
        self._client = client
        self._crew = crew
        self._calls = calls
        self._app_id = context.remote_app_id
        self._has_marker_field = context.has_marker_field
        self._batch_size = min(endpoints.WRITE_BATCH, max(1, context.batch_size or endpoints.WRITE_BATCH))
        self._kinds: dict[str, dict[str, Kind]] = {
            record_type: {each.name: Kind.of(each.kind) for each in definitions}
            for record_type, definitions in context.definitions.items()
        }
        self._described: set[str] = set()
        self._expected: tuple[tuple[str, tuple[str, ...], str | None], Future[Page]] | None = None

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES if self._has_marker_field else replace(CAPABILITIES, marker_lookup=False)

    @property
    def calls(self) -> int:
        return self._calls.total

    @property
    def calls_by_operation(self) -> Mapping[str, int]:
        """Requests by what they were for; ``unsubscribe_all`` are the opt-outs, sent apart from the batches."""
        return dict(self._calls.by_operation)

    def account(self) -> Account:
        details = self._client.account_details()
        portal_id, host = details.get("portalId"), details.get("uiDomain")
        if isinstance(portal_id, bool) or not isinstance(portal_id, int | str) or not str(portal_id):
            raise UnexpectedAnswerError("HubSpot's account details hold no portal id", provider="hubspot")
        kind = str(details.get("accountType") or "STANDARD").replace("_", " ").lower()
        return Account(
            remote_account_id=str(portal_id),
            name=f"HubSpot account {portal_id}" + ("" if kind == "standard" else f" ({kind})"),
            url=f"https://{host if isinstance(host, str) and host else 'app.hubspot.com'}/contacts/{portal_id}",
            time_zone=str(details.get("timeZone") or ""),
        )

    # definitions

    def describe(self, record_type: str) -> Sequence[FieldDefinition]:
        properties = self._client.properties(record_type)
        owners: list[WireOwner] = []
        if any(each["name"] == mapping.OWNER for each in properties):
            try:
                owners = self._client.owners()
            except PermissionMissingError:
                owners = []
        found = [mapping.definition(each, owners) for each in properties if each.get("archived") is not True]
        if record_type in links.TYPE_IDS:
            found.append(links.DEFINITION)
        self._learn(record_type, found)
        return found

    def prepare(self, record_type: str) -> bool:
        try:
            found = self._client.property(record_type, mapping.MARKER_FIELD)
            if found is None:
                self._make_marker_field(record_type)
                found = self._client.property(record_type, mapping.MARKER_FIELD)
        except (PermissionMissingError, RejectedError):
            found = None
        self._has_marker_field = found is not None and found.get("hasUniqueValue") is True
        return self._has_marker_field

    def _make_marker_field(self, record_type: str) -> None:
        """Both may exist by now: another worker, or an earlier try that was cut short."""
        with contextlib.suppress(DuplicateRecordError):
            self._client.create_property_group(record_type, mapping.MARKER_GROUP, "ADSapp")
        with contextlib.suppress(DuplicateRecordError):
            self._client.create_property(record_type, mapping.MARKER_DEFINITION)

    # reads

    def scan(self, record_type: str, fields: Sequence[str], after: str | None) -> Page:
        expected, self._expected = self._expected, None
        if expected is not None and expected[0] == (record_type, tuple(fields), after):
            try:
                return replace(expected[1].result(), read_ahead=True)
            except CrmError:
                pass  # asked again below, by whom a refusal of the token is mended
            finally:
                self._crew.hear()
        return self._scan(record_type, fields, after)

    def expect(self, record_type: str, fields: Sequence[str], after: str) -> None:
        if _is_long(self._names(fields)):
            return  # its values are read by ids, several batches at once, by those who do that
        with contextlib.suppress(CrmError):
            begun = self._crew.begin(lambda: self._scan(record_type, fields, after))
            self._expected = ((record_type, tuple(fields), after), begun)

    def _scan(self, record_type: str, fields: Sequence[str], after: str | None) -> Page:
        names = self._names(fields)
        is_long = _is_long(names)
        listed = [mapping.OBJECT_ID] if is_long else names
        page = self._client.list_page(record_type, listed, _position(after, _LIST), self._batch_size)
        records = self._values_of(record_type, page.records, names) if is_long else page.records
        following = _following(_LIST, page, page.after, _position(after, _LIST))
        return Page(self._read(record_type, records, fields), following, page.server_time)

    def changes(self, record_type: str, fields: Sequence[str], since: datetime, after: str | None) -> Page:
        names = self._names(fields)
        last_id = _position(after, _SEARCH)
        body = _search_body(record_type, names, since, last_id, self._search_page)
        is_long = len(json.dumps(body)) > endpoints.MAX_SEARCH_CHARACTERS
        if is_long:
            body["properties"] = [mapping.OBJECT_ID]
        page = self._client.search(record_type, body)
        records = self._values_of(record_type, page.records, names) if is_long else page.records
        greatest = str(max((int(record["id"]) for record in page.records), default=0))
        following = _following(_SEARCH, page, greatest, last_id)
        return Page(self._read(record_type, records, fields), following, page.server_time)

    @property
    def _search_page(self) -> int:
        return endpoints.SEARCH_PAGE if self._batch_size == endpoints.WRITE_BATCH else self._batch_size

    def fetch(self, record_type: str, remote_ids: Sequence[str], fields: Sequence[str]) -> Mapping[str, RemoteRecord]:
        """One request a batch, one more for each id that the batch does not know, one more for those still missing."""
        names = self._names(fields)
        wanted = list(dict.fromkeys(remote_ids))
        numeric = [each for each in wanted if each.isdecimal()]
        found = {wire["id"]: wire for wire in self._batch_read(record_type, numeric, names)}
        records = {record.remote_id: record for record in self._read(record_type, list(found.values()), fields)}
        gone: list[str] = []
        for remote_id in numeric:
            if remote_id in records:
                continue
            wire = self._client.read_one(record_type, remote_id, [mapping.OBJECT_ID])
            if wire is None:
                gone.append(remote_id)
            elif wire["id"] != remote_id:
                records[remote_id] = RemoteRecord(
                    record_type, remote_id, {}, state=RemoteState.MERGED, merged_into=wire["id"]
                )
            else:
                again = self._batch_read(record_type, [remote_id], names)
                records |= {record.remote_id: record for record in self._read(record_type, again, fields)}
        archived = self._batch_read(record_type, gone, names, archived=True)
        records |= {record.remote_id: record for record in self._read(record_type, archived, fields)}
        missing = RemoteState.MISSING
        return {each: records.get(each) or RemoteRecord(record_type, each, {}, state=missing) for each in wanted}

    def find_by_markers(
        self, record_type: str, markers: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord]:
        """One request for a hundred; deleted and merged-away records are not among them."""
        wanted, names = list(dict.fromkeys(markers)), self._names(fields)
        found = self._batch_read(record_type, wanted, names, id_property=mapping.MARKER_FIELD)
        records = self._read(record_type, found, fields)
        return {record.marker: record for record in records if record.marker in markers}

    def field_history(
        self, record_type: str, remote_ids: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, Mapping[str, Sequence[FieldChange]]]:
        kinds = self._kinds_of(record_type, fields)
        size = min(endpoints.HISTORY_BATCH, self._batch_size)
        found: dict[str, dict[str, list[FieldChange]]] = {}
        for chunk in _chunks(list(dict.fromkeys(each for each in remote_ids if each.isdecimal())), size):
            answer = self._client.read_batch(record_type, chunk, [mapping.OBJECT_ID], history=list(fields))
            for wire in answer.records:
                history = wire.get("propertiesWithHistory", {})
                found[wire["id"]] = {
                    name: self._history(kinds[name], history[name]) for name in fields if name in history
                }
        return found

    # writes

    def create(self, record_type: str, items: Sequence[CreateItem]) -> Mapping[str, ItemResult]:
        opt_outs = EmailOptOuts(self._client)
        plain = [
            replace(
                item,
                values=opt_outs.take(item.key, item.values),
                marker=item.marker if self._has_marker_field else "",
            )
            for item in items
        ]
        results = opt_outs.send(record_type, self._writer(record_type).create(plain), created=True)
        return _with_new_links(items, results)

    def update(self, record_type: str, items: Sequence[UpdateItem]) -> Mapping[str, ItemResult]:
        opt_outs = EmailOptOuts(self._client)
        plain = [replace(item, values=opt_outs.take(item.key, item.values)) for item in items]
        asked = {item.key: item.values[links.CONTACT_LINKS] for item in items if links.CONTACT_LINKS in item.values}
        plain = [replace(item, values={name: item.values[name] for name in links.without_links(tuple(item.values))})
                 for item in plain]  # fmt: skip
        results = opt_outs.send(record_type, self._writer(record_type).update(plain), created=False)
        return links.write_links(self._client, record_type, asked, results) if asked else results

    def delete(self, record_type: str, items: Sequence[UpdateItem]) -> Mapping[str, ItemResult]:
        return self._writer(record_type).delete(items)

    # steps

    def _writer(self, record_type: str) -> BatchWriter:
        known = self._kinds.get(record_type, {})

        def kind_of(name: str, sent: Value) -> Kind:
            return known.get(name) or mapping.STANDARD_KINDS.get(name) or mapping.kind_of_sent(sent)

        return BatchWriter(self._client, self._crew, record_type, self._batch_size, kind_of)

    def _names(self, fields: Sequence[str]) -> list[str]:
        marker = [mapping.MARKER_FIELD] if self._has_marker_field else []
        return list(dict.fromkeys([*links.without_links(fields), *_ALWAYS_READ, *marker]))

    def _batch_read(
        self,
        record_type: str,
        remote_ids: Sequence[str],
        names: Sequence[str],
        *,
        archived: bool = False,
        id_property: str = "",
    ) -> list[WireRecord]:
        def read(ids: Sequence[str]) -> Sequence[WireRecord]:
            return self._client.read_batch(record_type, ids, names, archived=archived, id_property=id_property).records

        chunks = dict(enumerate(_chunks(remote_ids, self._batch_size)))
        if len(chunks) == 1:
            return list(read(chunks[0]))
        records: list[WireRecord] = []
        for answer in self._crew.each(chunks, read).values():
            if isinstance(answer, CrmError):
                raise answer
            records += answer
        return records

    def _values_of(self, record_type: str, found: Sequence[WireRecord], names: Sequence[str]) -> list[WireRecord]:
        """The values of a page whose property list is too long for its own request; deleted ones drop out."""
        values = self._batch_read(record_type, [record["id"] for record in found], names)
        by_id = {record["id"]: record for record in values}
        return [by_id[record["id"]] for record in found if record["id"] in by_id]

    def _read(self, record_type: str, records: Sequence[WireRecord], fields: Sequence[str]) -> tuple[RemoteRecord, ...]:
        if not records:
            return ()
        kinds = self._kinds_of(record_type, links.without_links(fields))
        found = tuple(mapping.read_record(record_type, wire, kinds) for wire in records)
        return links.with_links(self._client, record_type, found) if links.is_linked(record_type, fields) else found

    def _kinds_of(self, record_type: str, fields: Iterable[str]) -> dict[str, Kind]:
        """Asks for the definitions, once, when a field is neither given nor the same in every account."""
        known = self._kinds.get(record_type, {})
        standard = mapping.STANDARD_KINDS if record_type == mapping.CONTACTS else {}
        names = list(fields)
        if record_type not in self._described and any(name not in known and name not in standard for name in names):
            self._learn(record_type, [mapping.definition(each) for each in self._client.properties(record_type)])
            known = self._kinds[record_type]
        return {name: known.get(name) or standard.get(name) or Kind.TEXT for name in names}

    def _learn(self, record_type: str, definitions: Iterable[FieldDefinition]) -> None:
        self._described.add(record_type)
        self._kinds[record_type] = {each.name: Kind.of(each.kind) for each in definitions}

    def _history(self, kind: Kind, versions: Sequence[WireVersion]) -> list[FieldChange]:
        changes = [
            FieldChange(
                value=mapping.read_value(kind, version.get("value")),
                at=at,
                imported=version.get("sourceType") == "IMPORT",
                by_us=bool(self._app_id)
                and version.get("sourceType") == "INTEGRATION"
                and version.get("sourceId") == self._app_id,
            )
            for version in versions
            if (at := mapping.moment(version.get("timestamp"))) is not None
        ]
        return sorted(changes, key=lambda change: change.at, reverse=True)


def _with_new_links(items: Sequence[CreateItem], results: Mapping[str, ItemResult]) -> dict[str, ItemResult]:
    """A record that was made took its links along: HubSpot refuses all of it otherwise."""
    done = dict(results)
    for item in items:
        record = results[item.key].record
        if links.CONTACT_LINKS in item.values and record is not None:
            values = {**record.values, links.CONTACT_LINKS: item.values[links.CONTACT_LINKS]}
            done[item.key] = replace(results[item.key], record=replace(record, values=values))
    return done


def _search_body(record_type: str, names: Sequence[str], since: datetime, last_id: str, limit: int) -> dict[str, Any]:
    modified = mapping.MODIFIED_PROPERTY.get(record_type, "hs_lastmodifieddate")
    window = {"propertyName": modified, "operator": "GTE", "value": str(mapping.epoch_milliseconds(since))}
    filters = [window]
    if last_id:
        filters.append({"propertyName": mapping.OBJECT_ID, "operator": "GT", "value": last_id})
    return {
        "filterGroups": [{"filters": filters}],
        "sorts": [{"propertyName": mapping.OBJECT_ID, "direction": "ASCENDING"}],
        "properties": list(names),
        "limit": limit,
    }


def _position(after: str | None, kind: str) -> str:
    """The cursors of list and search are both numbers and mean different things: each says which it is."""
    if not after:
        return ""
    found, _, position = after.partition(":")
    if found != kind or not position.isdecimal():
        raise CursorExpiredError("The position belongs to another kind of walk", provider="hubspot")
    return position


def _following(kind: str, page: RecordPage, position: str, last: str) -> str | None:
    """The next position; a walk that does not move on would be taken for a complete one, or never end."""
    if not page.after:
        return None
    if not page.records or not position.isdecimal() or int(position) <= int(last or 0):
        raise UnexpectedAnswerError("HubSpot gave a next page that leads nowhere", provider="hubspot", operation=kind)
    return f"{kind}:{position}"


def _chunks(ids: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))
