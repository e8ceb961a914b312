"""The ``Connector`` for Pipedrive: which endpoint answers which question of the engine.

Full scans list by id. Deltas list what changed by ``update_time`` and, since a record that was never changed has none,
what was created by ``add_time``. Everything that decides about single records is a list by ids or a read of one;
search, whose index lags, is never used.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from crm.errors import (
    CrmError,
    CursorExpiredError,
    PermissionMissingError,
    RejectedError,
    UnexpectedAnswerError,
)
from crm.http.client import HttpClient
from crm.http.crew import Crew
from crm.http.hosts import HostPolicy
from crm.http.redact import Secret
from crm.http.transport import checked_session
from crm.model import FieldDefinition, RemoteRecord, RemoteState
from crm.ports import Account, Capabilities, CreateItem, FieldChange, ItemResult, Page, UpdateItem
from crm.providers.base import CallCounter, ConnectorContext
from crm.providers.pipedrive import auth, endpoints, mapping, webhooks
from crm.providers.pipedrive import fields as field_names
from crm.providers.pipedrive.client import PipedriveClient, RecordPage, Records, RecordsV2
from crm.providers.pipedrive.companies import Companies
from crm.providers.pipedrive.legacy import RecordsV1
from crm.providers.pipedrive.objects import LINKS_TO_CONTACT, PERSONS, RecordType
from crm.providers.pipedrive.objects import record_type as type_of
from crm.providers.pipedrive.schema import Schema
from crm.providers.pipedrive.wire import WireRecord, classify
from crm.providers.pipedrive.writes import Names, Observed, RecordWriter

CAPABILITIES: Final = Capabilities(
    record_types=(PERSONS,),
    create_type=PERSONS,
    read_batch=endpoints.PAGE,
    write_batch=1,
    overlap_seconds=endpoints.OVERLAP_SECONDS,
    delta_shows_deletions=False,
    returns_values=True,
    marker_lookup=True,
    field_history=False,
    webhooks=True,
    links_to_contact=LINKS_TO_CONTACT,
)
_SCAN: Final = "scan"
_CHANGED: Final = "changed"
_CREATED: Final = "created"
_SHOWN: Final = "shown"
"""As ``changed``, on an account whose list of changes was seen to hold new records too."""
LATEST_SECONDS: Final = 10.0
"""How long the newest records serve several look-ups."""
YES: Final = "yes"
NO: Final = "no"


def connect(context: ConnectorContext) -> PipedriveConnector:
    """A connector for one connection. Raises ConfigurationError for an address that may not be called.

    Beside the provider's settings, ``context.settings`` may hold the connection's own ``company_domain`` and
    ``auth_scheme`` (``token`` or ``bearer``).
    """
    given = context.settings
    counter = CallCounter(context.on_call)
    authorize = auth.headers(context.token, given.get("auth_scheme") or "")
    crew = Crew(authorize, context.reauthorize, counter, endpoints.WRITERS)
    http = HttpClient(
        provider="pipedrive",
        base_url=endpoints.base_address(given.get("api_base") or "", given.get("company_domain") or ""),
        authorize=crew.authorize,
        reauthorize=crew.reauthorize if context.reauthorize else None,
        classify=classify,
        limiter=context.limiter,
        hosts=HostPolicy(endpoints.HOST_SUFFIXES, context.extra_hosts),
        request_id_header=endpoints.REQUEST_ID_HEADER,
        default_headers={"User-Agent": "ADSapp-CRM"},
        session=context.session or checked_session(pool_size=endpoints.WRITERS),
        sleep=context.sleep or time.sleep,
        on_call=crew.on_call,
        circuits=context.circuits,
    )
    return PipedriveConnector(http, crew, counter, context)


class PipedriveConnector:
    """``crm.ports.Connector``. Not shared between threads; its writes use some of their own."""

    def __init__(self, http: HttpClient, crew: Crew, counter: CallCounter, context: ConnectorContext) -> None:
        version = endpoints.checked_version(context.settings.get("api_version") or endpoints.V2)
        self._client = PipedriveClient(http)
        self._v1 = RecordsV1(http)
        self._records: Records = RecordsV2(http) if version == endpoints.V2 else self._v1
        self._crew = crew
        self._counter = counter
        self._has_marker_field = context.has_marker_field
        self._page_size = min(endpoints.PAGE, max(1, context.batch_size or endpoints.PAGE))
        self._companies = Companies(
            self._records, may_create=(context.settings.get("create_organizations") or YES) != NO
        )
        self._given = context.definitions
        self._schemas: dict[str, Schema] = {}
        self._observed: dict[str, Observed] = {}
        self._writers: dict[str, RecordWriter] = {}
        self._asked: dict[str, set[str]] = {}
        self._newest: tuple[float, str, list[WireRecord]] | None = None

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES if self._has_marker_field else replace(CAPABILITIES, marker_lookup=False)

    @property
    def calls(self) -> int:
        return self._counter.total

    @property
    def calls_by_operation(self) -> Mapping[str, int]:
        """Requests by what they were for; ``read`` are check reads and fetches, 100 ids each."""
        return dict(self._counter.by_operation)

    def account(self) -> Account:
        me = self._client.me()
        company_id, domain = me.get("company_id"), me.get("company_domain")
        if isinstance(company_id, bool) or not isinstance(company_id, int | str) or not str(company_id):
            raise UnexpectedAnswerError("Pipedrive's answer about the user names no company", provider="pipedrive")
        return Account(
            remote_account_id=str(company_id),
            name=str(me.get("company_name") or domain or f"Pipedrive company {company_id}"),
            url=f"https://{domain}.pipedrive.com" if isinstance(domain, str) and domain else "",
            time_zone=str(me.get("timezone_name") or ""),
            user_id=str(me.get("id") or ""),
        )

    # definitions

    def describe(self, record_type: str) -> Sequence[FieldDefinition]:
        kind = type_of(record_type)
        wires = self._of(kind).fields(kind) if kind.fields else []
        owners: list[Mapping[str, object]] = []
        if any(each["field_code"] == "owner_id" for each in wires):
            with contextlib.suppress(PermissionMissingError):
                owners = [each for each in self._client.users() if each.get("active_flag") is not False]
        found = field_names.definitions(kind, wires, owners)
        self._schema(kind).learn(found)
        return found

    def prepare(self, record_type: str) -> bool:
        kind = type_of(record_type)
        schema = self._schema(kind)
        self._has_marker_field = False
        if kind.has_custom_fields:
            try:
                schema.read()
                if not schema.known_marker():
                    made = self._of(kind).create_field(kind, field_names.MARKER_NAME, field_names.MARKER_TYPE)
                    schema.add(field_names.definitions(kind, [made], ()))
            except (PermissionMissingError, RejectedError):
                return False
            self._has_marker_field = bool(schema.known_marker())
        return self._has_marker_field

    # reads

    def scan(self, record_type: str, fields: Sequence[str], after: str | None) -> Page:
        kind = self._asking(record_type, fields)
        _, cursor = _position(after, _SCAN)
        page = self._of(kind).list_page(kind, cursor, self._page_size, _included(fields))
        return Page(self._read(kind, page.records, fields), _following(_SCAN, page, cursor), page.server_time)

    def expect(self, record_type: str, fields: Sequence[str], after: str) -> None:
        """Its pages are few and large: none is asked for ahead."""

    def changes(self, record_type: str, fields: Sequence[str], since: datetime, after: str | None) -> Page:
        """Two walks: by ``update_time``, then new records by ``add_time``, unless the first has shown such ones. The
        second begins in the request after the first's last page, or with it when that page is empty.
        """
        kind = self._asking(record_type, fields)
        walk, cursor = _position(after, _CHANGED, _SHOWN, _CREATED)
        if walk == _CREATED:
            return self._created(kind, fields, since, cursor)
        page = self._of(kind).changed_page(kind, since, cursor, self._page_size, _included(fields))
        shows_new = walk == _SHOWN or kind.only_v1 or self._of(kind) is self._v1
        shows_new = shows_new or any(wire.get("update_time") is None for wire in page.records)
        records = self._read(kind, page.records, fields)
        following = _following(_SHOWN if shows_new else _CHANGED, page, cursor)
        if following is not None or shows_new:
            return Page(records, following, page.server_time)
        if records:
            return Page(records, f"{_CREATED}:", page.server_time)
        return replace(self._created(kind, fields, since, ""), server_time=page.server_time)

    def _created(self, kind: RecordType, names: Sequence[str], since: datetime, cursor: str) -> Page:
        page = self._of(kind).newest_page(kind, cursor, self._page_size, _included(names))
        added = [mapping.moment(wire.get("add_time")) for wire in page.records]
        fresh = [
            wire
            for wire, at in zip(page.records, added, strict=True)
            if at is not None and at >= since.replace(microsecond=0) and wire.get("update_time") is None
        ]
        is_past = any(at is not None and at < since.replace(microsecond=0) for at in added)
        following = None if is_past else _following(_CREATED, page, cursor)
        return Page(self._read(kind, fresh, names), following, page.server_time)

    def fetch(self, record_type: str, remote_ids: Sequence[str], fields: Sequence[str]) -> Mapping[str, RemoteRecord]:
        """One request a hundred, and one more for each id that is not among the live ones. A merged-away record is
        told from a deleted one by its webhook only: here it is ARCHIVED.
        """
        kind = self._asking(record_type, fields)
        wanted = list(dict.fromkeys(remote_ids))
        numeric = [each for each in wanted if each.isascii() and each.isdecimal()]
        found: list[WireRecord] = []
        for chunk in _chunks(numeric, min(endpoints.IDS_BATCH, self._page_size)):
            found += self._of(kind).read_ids(kind, chunk, _included(fields))
        known = {str(wire["id"]) for wire in found}
        for remote_id in numeric:
            if remote_id not in known and (wire := self._of(kind).read_one(kind, remote_id)) is not None:
                found.append(wire)
        records = {record.remote_id: record for record in self._read(kind, found, fields)}
        missing = RemoteState.MISSING
        return {each: records.get(each) or RemoteRecord(record_type, each, {}, state=missing) for each in wanted}

    def find_by_markers(
        self, record_type: str, markers: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord]:
        """Among the records created in the last 30 days, newest first: a list, read directly."""
        kind = self._asking(record_type, fields)
        code = self._marker(kind)
        wanted = {each for each in markers if each}
        if not code or not wanted:
            return {}
        marked: dict[str, WireRecord] = {}
        for wire in self._latest(kind):
            custom = wire.get("custom_fields")
            marker = custom.get(code) if isinstance(custom, dict) else None
            # A field can be copied along with a record: the one that we made is the older.
            if marker in wanted and (marker not in marked or int(wire["id"]) < int(marked[marker]["id"])):
                marked[marker] = wire
        return dict(zip(marked, self._read(kind, list(marked.values()), fields), strict=True))

    def field_history(
        self, record_type: str, remote_ids: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, Mapping[str, Sequence[FieldChange]]]:
        """Nothing: the changelog costs as much as 20 reads for each record."""
        del record_type, remote_ids, fields
        return {}

    # writes

    def create(self, record_type: str, items: Sequence[CreateItem]) -> Mapping[str, ItemResult]:
        kind = type_of(record_type)
        self._newest = None
        try:
            return self._writer(kind).create(items, self._names(kind, items))
        except CrmError as error:
            return _nothing_sent(items, error)

    def update(self, record_type: str, items: Sequence[UpdateItem]) -> Mapping[str, ItemResult]:
        kind = type_of(record_type)
        try:
            return self._writer(kind).update(items, self._names(kind, items))
        except CrmError as error:
            return _nothing_sent(items, error)

    def delete(self, record_type: str, items: Sequence[UpdateItem]) -> Mapping[str, ItemResult]:
        return self._writer(type_of(record_type)).delete(items)

    # deliveries

    def subscribe(self, url: str, password: Secret) -> str:
        """Have events about persons delivered to ``url`` with these credentials; gives the subscription's id.

        Not idempotent: compare with ``subscriptions`` first. Pipedrive calls the address at once and refuses one that
        does not answer (RejectedError). A subscription ends by itself after three days without a delivery taken.
        """
        return self._client.create_webhook(
            url=url, event_object=type_of(PERSONS).singular, username=webhooks.USERNAME, password=password
        )

    def subscriptions(self) -> Mapping[str, str]:
        """Id -> address of those that are active."""
        return {str(each["id"]): str(each.get("subscription_url")) for each in self._client.webhooks() if _is_on(each)}

    def unsubscribe(self, subscription_id: str) -> None:
        """Ending what is over already succeeds."""
        self._client.delete_webhook(subscription_id)

    # steps

    def _of(self, kind: RecordType) -> Records:
        return self._v1 if kind.only_v1 else self._records

    def _asking(self, record_type: str, names: Sequence[str]) -> RecordType:
        kind = type_of(record_type)
        self._asked.setdefault(kind.key, set()).update(names)
        return kind

    def _read(self, kind: RecordType, wires: Sequence[WireRecord], names: Sequence[str]) -> tuple[RemoteRecord, ...]:
        if not wires:
            return ()
        self._observed.setdefault(kind.key, Observed()).add(wires)
        if field_names.COMPANY in names and kind.key == PERSONS:
            self._companies.learn(org_id for wire in wires if isinstance(org_id := wire.get("org_id"), int))
        reader = mapping.Reader(kind, self._schema(kind).kinds(names), self._marker(kind), self._companies.names)
        return tuple(reader.record(wire) for wire in wires)

    def _latest(self, kind: RecordType) -> Sequence[WireRecord]:
        """Pages are kept for the look-ups that follow each other; a create or a few seconds make them worthless."""
        held = self._newest
        if held is None or held[1] != kind.key or time.monotonic() - held[0] > LATEST_SECONDS:
            held = self._newest = (time.monotonic(), kind.key, self._walk_latest(kind))
        return held[2]

    def _walk_latest(self, kind: RecordType) -> list[WireRecord]:
        found: list[WireRecord] = []
        cursor, oldest = "", None
        while True:
            page = self._of(kind).newest_page(kind, cursor, self._page_size)
            found += page.records
            if oldest is None and page.server_time is not None:
                oldest = page.server_time - timedelta(days=endpoints.LOOK_BACK_DAYS)
            last = mapping.moment(page.records[-1].get("add_time")) if page.records else None
            if last is not None and oldest is not None and last < oldest:
                return found
            if _following(_CREATED, page, cursor) is None:
                return found
            cursor = page.cursor

    def _writer(self, kind: RecordType) -> RecordWriter:
        if kind.key not in self._writers:
            self._writers[kind.key] = RecordWriter(
                kind,
                self._of(kind),
                self._crew,
                self._companies,
                self._observed.setdefault(kind.key, Observed()),
                whole_name=self._schema(kind).has_whole_names_only,
            )
        return self._writers[kind.key]

    def _names(self, kind: RecordType, items: Sequence[CreateItem] | Sequence[UpdateItem]) -> Names:
        schema = self._schema(kind)
        names = list(dict.fromkeys(name for item in items for name in item.values))
        is_create = any(isinstance(item, CreateItem) for item in items)
        return Names(
            kinds=schema.kinds(names),
            refusals={name: refusal for name in names if (refusal := schema.refusal(name)) is not None},
            mapped=frozenset(self._asked.get(kind.key, ())),
            marker=self._marker(kind) if is_create else "",
        )

    def _schema(self, kind: RecordType) -> Schema:
        if kind.key not in self._schemas:
            self._schemas[kind.key] = Schema(kind, self._of(kind), self._given.get(kind.key, ()))
        return self._schemas[kind.key]

    def _marker(self, kind: RecordType) -> str:
        return self._schema(kind).marker() if self._has_marker_field else ""


def _nothing_sent(items: Sequence[CreateItem] | Sequence[UpdateItem], error: CrmError) -> dict[str, ItemResult]:
    """What had to be read before the writes could not be: the error is every item's."""
    return {item.key: ItemResult(item.key, error=error) for item in items}


def _is_on(subscription: Mapping[str, object]) -> bool:
    return "id" in subscription and subscription.get("is_active") == 1


def _included(names: Sequence[str]) -> tuple[str, ...]:
    """Values that a list carries only when asked."""
    return (field_names.MARKETING,) if field_names.MARKETING in names else ()


def _position(after: str | None, *walks: str) -> tuple[str, str]:
    """Pipedrive's cursors do not say which walk they belong to: ours do."""
    if not after:
        return walks[0], ""
    walk, _, cursor = after.partition(":")
    if walk not in walks:
        raise CursorExpiredError("The position belongs to another kind of walk", provider="pipedrive")
    return walk, cursor


def _following(walk: str, page: RecordPage, cursor: str) -> str | None:
    """The next position; a walk that does not move on would never end."""
    if not page.cursor:
        return None
    if page.cursor == cursor:
        raise UnexpectedAnswerError(
            "Pipedrive gave a next page that leads nowhere", provider="pipedrive", operation=walk
        )
    return f"{walk}:{page.cursor}"


def _chunks(ids: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))
