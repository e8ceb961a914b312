"""The ``Connector`` for Salesforce: which endpoint answers which question of the engine.

Everything is read by SOQL over the fields that the connected user can see. Full scans walk by id, deltas by
(SystemModstamp, Id) over live and deleted rows alike; each page is a query of its own, so that no cursor of Salesforce
can expire and changes made meanwhile are seen. What became of single records is one query for 2,000 of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from crm.errors import (
    ConfigurationError,
    CursorExpiredError,
    MappingError,
    PermissionMissingError,
    RecordGoneError,
    RecordInvalidError,
    RejectedError,
    UnexpectedAnswerError,
)
from crm.http.client import HttpClient
from crm.http.hosts import HostPolicy
from crm.mapping.kinds import Kind
from crm.model import FieldDefinition, RemoteRecord, RemoteState
from crm.ports import Account, Capabilities, CreateItem, FieldChange, ItemResult, Page, UpdateItem
from crm.providers.base import CallCounter, ConnectorContext
from crm.providers.salesforce import auth, bulk_scan, endpoints, links, mapping, policies, soql
from crm.providers.salesforce.bulk import BulkClient
from crm.providers.salesforce.bulk_scan import BulkScan
from crm.providers.salesforce.client import RowPage, SalesforceClient
from crm.providers.salesforce.companies import Companies
from crm.providers.salesforce.ingest import Ingest
from crm.providers.salesforce.wire import WireRow, classify, unknown_relation
from crm.providers.salesforce.writes import Means, Writer

CAPABILITIES: Final = Capabilities(
    record_types=(mapping.CONTACT, mapping.LEAD),
    create_type=mapping.CONTACT,
    read_batch=endpoints.READ_BATCH,
    write_batch=endpoints.WRITE_BATCH,
    overlap_seconds=endpoints.OVERLAP_SECONDS,
    delta_shows_deletions=True,
    returns_values=False,
    marker_lookup=True,
    field_history=False,
    conditional_update=True,
    webhooks=True,
    links_to_contact=links.LINKS_TO_CONTACT,
)
_SCAN: Final = "scan"
_CHANGES: Final = "changes"
_MAX_MERGES: Final = 10
"""How often a winner may itself have lost before the chain is given up."""
_QUERY_ROOM: Final = 90_000
_CHARACTERS_AN_ID: Final = 42
"""Each id stands in a query twice, with quotes and comma."""


def connect(context: ConnectorContext) -> SalesforceConnector:
    """A connector for one connection; ``settings`` holds ``instance_url`` and ``user_id`` of the grant.

    Raises ConfigurationError for an address that may not be called.
    """
    calls = CallCounter(context.on_call)
    sleep = context.sleep or time.sleep
    http = HttpClient(
        provider="salesforce",
        base_url=auth.check_instance(context.settings.get("instance_url", ""), context.extra_hosts),
        authorize=auth.bearer(context.token),
        reauthorize=context.reauthorize,
        classify=classify,
        limiter=context.limiter,
        hosts=HostPolicy(endpoints.HOST_SUFFIXES, context.extra_hosts),
        request_id_header=endpoints.REQUEST_ID_HEADER,
        default_headers={"Sforce-Call-Options": f"client={endpoints.CLIENT_NAME}"},
        session=context.session,
        sleep=sleep,
        on_call=calls,
        circuits=context.circuits,
    )
    paths = endpoints.Paths(context.settings.get("api_version") or endpoints.DEFAULT_VERSION)
    client = SalesforceClient(
        http,
        paths,
        save_duplicates=context.settings.get("duplicate_alerts") == "ignore",
    )
    return SalesforceConnector(client, BulkClient(http, paths), calls, context, sleep)


class SalesforceConnector:
    """``crm.ports.Connector``. Not shared between threads."""

    def __init__(
        self,
        client: SalesforceClient,
        bulk_client: BulkClient,
        calls: CallCounter,
        context: ConnectorContext,
        sleep: Callable[[float], None],
    ) -> None:
        self._client = client
        self._bulk = bulk_client
        self._calls = calls
        self._sleep = sleep
        self._instance_url = context.settings.get("instance_url", "")
        self._has_marker_field = context.has_marker_field
        self._write_batch = min(endpoints.WRITE_BATCH, max(1, context.batch_size or endpoints.WRITE_BATCH))
        self._read_page = endpoints.QUERY_PAGE if self._write_batch == endpoints.WRITE_BATCH else self._write_batch
        self._bulk_reads_from = _number(context, "bulk_reads_from", endpoints.BULK_READS_FROM)
        self._bulk_writes_from = _number(context, "bulk_writes_from", endpoints.BULK_WRITES_FROM)
        if context.settings.get("duplicate_alerts") == "ignore" or context.batch_size:
            self._bulk_writes_from = 0  # a job obeys every alert, and is no small batch
        self._bulk_scan = BulkScan(bulk_client, sleep, self._read_page)
        self._user_id: str | None = mapping.to18(context.settings.get("user_id", ""))
        self._companies = Companies(client, may_create=context.settings.get("accounts") != "match")
        self._listed: dict[str, dict[str, FieldDefinition]] = {
            record_type: {each.name: each for each in definitions}
            for record_type, definitions in context.definitions.items()
            if definitions
        }
        self._former: dict[str, dict[str, set[str]]] = {}
        note_kind = context.settings.get("note_kind") or policies.DETECT
        self._note_type = "" if note_kind == policies.DETECT else note_kind

    @property
    def capabilities(self) -> Capabilities:
        """``marker_lookup`` where every contact-like type has the marker field, by description where it is known."""
        known = [self._listed[each] for each in CAPABILITIES.record_types if each in self._listed]
        is_known = len(known) == len(CAPABILITIES.record_types)
        has_marker = all(map(mapping.can_mark, known)) if is_known else self._has_marker_field
        return replace(
            CAPABILITIES,
            marker_lookup=has_marker,
            first_scan=bulk_scan.START if self._bulk_reads_from else None,
            bulk_writes=endpoints.BULK_WRITES if self._bulk_writes_from and has_marker else 0,
            links_to_contact={
                **links.LINKS_TO_CONTACT,
                policies.NOTE: links.LINKS_TO_CONTACT[self._note_type or policies.NOTE],
            },
        )

    @property
    def calls(self) -> int:
        return self._calls.total

    @property
    def calls_by_operation(self) -> Mapping[str, int]:
        return dict(self._calls.by_operation)

    def account(self) -> Account:
        """By the user information, which also tells who we are."""
        found = self._client.user_information()
        organization_id, user_id = (mapping.to18(str(found.get(name))) for name in ("organization_id", "user_id"))
        if organization_id is None or user_id is None:
            raise UnexpectedAnswerError("Salesforce's user information names no organization", provider="salesforce")
        self._user_id = user_id
        zone = found.get("zoneinfo")
        return Account(
            remote_account_id=organization_id,
            name=f"Salesforce organization {organization_id}",
            url=self._instance_url,
            time_zone=zone if isinstance(zone, str) else "",
        )

    # definitions

    def describe(self, record_type: str) -> Sequence[FieldDefinition]:
        record_type = self._type_of(record_type)
        found = mapping.definitions(record_type, self._client.describe(record_type))
        found += links.definitions(record_type)
        self._listed[record_type] = {each.name: each for each in found}
        return found

    def prepare(self, record_type: str) -> bool:
        """Whether an administrator has made the marker field: the API cannot."""
        record_type = self._type_of(record_type)
        self.describe(record_type)
        return mapping.can_mark(self._listed[record_type])

    def _fields(self, record_type: str) -> dict[str, FieldDefinition]:
        if record_type not in self._listed:
            self.describe(record_type)
        return self._listed[record_type]

    # reads

    def scan(self, record_type: str, fields: Sequence[str], after: str | None) -> Page:
        """From ``capabilities.first_scan`` on by a query job where there are many records."""
        record_type = self._type_of(record_type)
        if bulk_scan.is_position(after):
            found = self._scan_by_job(record_type, fields, str(after))
            if found is not None:
                return found
            after = None
        last_id = _position(after, _SCAN)
        where = soql.above(mapping.ID, last_id) if last_id else None

        def ask(names: list[str]) -> RowPage:
            query = soql.select(names, record_type, where, order=[mapping.ID], limit=self._read_page)
            return self._client.query(query, operation=_SCAN)

        page = self._asking(record_type, fields, ask)
        records = self._read(record_type, page.rows, fields)
        following = self._following(page, _SCAN, page.rows[-1]["Id"] if page.rows else "", last_id)
        return Page(tuple(self._with_former(record_type, records)), following, page.server_time)

    def _scan_by_job(self, record_type: str, fields: Sequence[str], position: str) -> Page | None:
        """``None``: page by page, from the beginning."""
        found: bulk_scan.Rows | None = None
        if position != bulk_scan.START:
            if not bulk_scan.is_whole(position):
                raise CursorExpiredError("The position names no job", provider="salesforce")
            found = self._bulk_scan.page(position, bulk_scan.types_of(self._fields(record_type)))
        elif self._client.count(record_type) >= self._bulk_reads_from:
            names = self._selected(record_type, fields)
            found = self._bulk_scan.begin(soql.select(names, record_type))
        if found is None:
            return None
        records = self._read(record_type, found.rows, fields)
        return Page(tuple(self._with_former(record_type, records)), found.following, found.server_time)

    def changes(self, record_type: str, fields: Sequence[str], since: datetime, after: str | None) -> Page:
        record_type = self._type_of(record_type)
        position = _position(after, _CHANGES)
        where = _changed_after(position) if position else soql.since(mapping.MODIFIED, since)

        def ask(names: list[str]) -> RowPage:
            order = [mapping.MODIFIED, mapping.ID]
            query = soql.select(names, record_type, where, order=order, limit=self._read_page)
            return self._client.query(query, deleted_too=True, operation=_CHANGES)

        page = self._asking(record_type, fields, ask)
        records = self._read(record_type, page.rows, fields)
        last = f"{page.rows[-1].get(mapping.MODIFIED)}|{page.rows[-1]['Id']}" if page.rows else ""
        following = self._following(page, _CHANGES, last, position)
        settled = self._follow_merges(record_type, fields, {each.remote_id: each for each in records})
        return Page(tuple(self._with_former(record_type, settled.values())), following, page.server_time)

    def fetch(self, record_type: str, remote_ids: Sequence[str], fields: Sequence[str]) -> Mapping[str, RemoteRecord]:
        """One request for 2,000 ids, and one more for each step of a merge that leads outside them.

        An id of another type (``Contact:003...``, where a lead was converted into) is not in the answer.
        """
        record_type = self._type_of(record_type)
        asked = [each for each in dict.fromkeys(remote_ids) if ":" not in each]
        whole = {each: mapping.id_of_type(record_type, each) for each in asked}
        self._us()
        found = self._by_id(record_type, [each for each in whole.values() if each], fields)
        found = self._follow_merges(record_type, fields, found)
        known = {each.remote_id: each for each in self._with_former(record_type, found.values())}
        missing = RemoteState.MISSING
        return {
            each: replace(known[remote_id], remote_id=each)
            if remote_id and remote_id in known
            else RemoteRecord(record_type, each, {}, state=missing)
            for each, remote_id in whole.items()
        }

    def find_by_marker(self, record_type: str, marker: str, fields: Sequence[str]) -> RemoteRecord | None:
        record_type = self._type_of(record_type)
        if not mapping.can_mark(self._fields(record_type)):
            return None

        def ask(names: list[str]) -> RowPage:
            query = soql.select(names, record_type, soql.equals(mapping.MARKER_FIELD, marker), limit=2)
            return self._client.query(query, operation="find_by_marker")

        page = self._asking(record_type, fields, ask)
        records = [each for each in self._read(record_type, page.rows, fields) if each.marker == marker]
        return records[0] if len(records) == 1 else None

    def field_history(
        self,
        record_type: str,  # noqa: ARG002 - the port's
        remote_ids: Sequence[str],  # noqa: ARG002
        fields: Sequence[str],  # noqa: ARG002
    ) -> Mapping[str, Mapping[str, Sequence[FieldChange]]]:
        """Nothing: an organization keeps it for some fields, if at all."""
        return {}

    # writes

    def create(self, record_type: str, items: Sequence[CreateItem]) -> Mapping[str, ItemResult]:
        if not items:
            return {}
        record_type = self._type_of(record_type)
        extra = links.Links(self._client, record_type)
        results = self._writer(record_type).create([replace(item, values=extra.plain(item.values)) for item in items])
        return extra.write({item.key: item.values for item in items}, results)

    def update(self, record_type: str, items: Sequence[UpdateItem]) -> Mapping[str, ItemResult]:
        if not items:
            return {}
        record_type = self._type_of(record_type)
        extra = links.Links(self._client, record_type)
        results = self._writer(record_type).update([replace(item, values=extra.plain(item.values)) for item in items])
        return extra.write({item.key: item.values for item in items}, results)

    def delete(self, record_type: str, items: Sequence[UpdateItem]) -> Mapping[str, ItemResult]:
        return self._writer(self._type_of(record_type)).delete(items) if items else {}

    # steps

    def _type_of(self, record_type: str) -> str:
        """Notes are the kind that the connection chose, or that the organization shows, which is asked once."""
        if record_type != policies.NOTE:
            return record_type
        if not self._note_type:
            self._note_type = policies.CONTENT_NOTE
            try:
                self.describe(policies.CONTENT_NOTE)
            except (PermissionMissingError, RecordGoneError):
                self._note_type = policies.NOTE
        return self._note_type

    def _writer(self, record_type: str) -> Writer:
        return Writer(
            Means(
                client=self._client,
                companies=self._companies,
                record_type=record_type,
                batch_size=self._write_batch,
                listed=self._fields(record_type),
                read=lambda ids: self.fetch(record_type, ids, ()),
                user_id=self._us,
                sleep=self._sleep,
                ingest=Ingest(self._bulk, record_type, self._sleep),
                ingest_from=self._bulk_writes_from,
            )
        )

    def _us(self) -> str:
        """The connected user, asked for once when the grant did not tell; ``""`` when nobody says."""
        if self._user_id is None:
            try:
                self.account()
            except (RejectedError, PermissionMissingError, UnexpectedAnswerError):
                self._user_id = ""
        return self._user_id or ""

    def _selected(self, record_type: str, fields: Sequence[str]) -> list[str]:
        plain = [name for name in fields if not links.is_own(record_type, name)]
        return mapping.selected(plain, self._fields(record_type))

    def _asking(self, record_type: str, fields: Sequence[str], ask: Callable[[list[str]], RowPage]) -> RowPage:
        """Ask for the fields that are listed; when one has vanished since, look at the description once more."""
        names = self._selected(record_type, fields)
        try:
            return ask(names)
        except RecordInvalidError as error:
            self.describe(record_type)
            relation = unknown_relation(error)
            if relation:
                listed = self._listed[record_type]
                self._listed[record_type] = {
                    name: each for name, each in listed.items() if not name.startswith(f"{relation}.")
                }
            left = self._selected(record_type, fields)
            if left == names:
                raise MappingError(
                    "Salesforce does not know a field that it describes",
                    fix="Check the log-in's access to the mapped fields.",
                ) from error
        return ask(left)

    def _by_id(self, record_type: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, RemoteRecord]:
        """Rows of these ids, deleted ones too, and those that were merged into them."""
        wanted = list(dict.fromkeys(ids))
        size = endpoints.READ_BATCH
        names_length = sum(len(field) + 1 for field in fields)
        size = max(1, min(size, (_QUERY_ROOM - names_length) // _CHARACTERS_AN_ID))
        found: dict[str, RemoteRecord] = {}
        for start in range(0, len(wanted), size):
            chunk = wanted[start : start + size]
            by_id = soql.is_in(mapping.ID, chunk)
            has_masters = mapping.MASTER in self._fields(record_type)
            where = soql.any_of(by_id, soql.is_in(mapping.MASTER, chunk)) if has_masters else by_id

            def ask(names: list[str], where: soql.Condition = where) -> RowPage:
                rows = self._client.query_rows(
                    soql.select(names, record_type, where), deleted_too=True, operation="fetch"
                )
                return RowPage(tuple(rows), is_last=True)

            rows = self._asking(record_type, fields, ask).rows
            found |= {record.remote_id: record for record in self._read(record_type, rows, fields)}
        return found

    def _read(self, record_type: str, rows: Iterable[WireRow], fields: Sequence[str]) -> list[RemoteRecord]:
        listed = self._fields(record_type)
        kinds = {
            name: Kind.of(listed[name].kind)
            for name in fields
            if name in listed and not links.is_own(record_type, name)
        }
        records = [mapping.read_record(record_type, row, list(kinds), kinds, self._user_id or "") for row in rows]
        if len(kinds) == len(fields) or not any(links.is_own(record_type, name) for name in fields):
            return records
        return links.Links(self._client, record_type).add(records, fields)

    def _follow_merges(
        self, record_type: str, fields: Sequence[str], records: dict[str, RemoteRecord]
    ) -> dict[str, RemoteRecord]:
        """The records with every loser led to its last winner, and the winners that were not among them."""
        found = dict(records)
        targets = mapping.merge_targets(found.values())
        for _ in range(_MAX_MERGES):
            unknown = [each for each in dict.fromkeys(targets.values()) if each not in found]
            if not unknown:
                break
            read = self._by_id(record_type, unknown, fields)
            found |= {each: read.get(each) or RemoteRecord(record_type, each, {}, state=RemoteState.MISSING)
                      for each in unknown}  # fmt: skip
            targets |= mapping.merge_targets(found.values())
        former = self._former.setdefault(record_type, {})
        for loser in targets:
            winner, seen = targets[loser], {loser}
            while winner in targets and winner not in seen:
                seen.add(winner)
                winner = targets[winner]
            found[loser] = replace(found[loser], merged_into=winner)
            former.setdefault(winner, set()).add(loser)
        return {
            each: record for each, record in found.items() if each in records or record.state is not RemoteState.MISSING
        }

    def _with_former(self, record_type: str, records: Iterable[RemoteRecord]) -> list[RemoteRecord]:
        """Winners name the losers that this connector has met."""
        former = self._former.get(record_type, {})
        return [
            replace(record, former_ids=tuple(sorted(former[record.remote_id])))
            if record.remote_id in former and record.state is RemoteState.LIVE
            else record
            for record in records
        ]

    def _following(self, page: RowPage, kind: str, last: str, before: str) -> str | None:
        """The next position; a walk that does not move on would be taken for a complete one, or never end."""
        if page.is_last and len(page.rows) < self._read_page:
            return None
        if not last or last == before:
            raise UnexpectedAnswerError("Salesforce's pages lead nowhere", provider="salesforce", operation=kind)
        return f"{kind}|{last}"


def _number(context: ConnectorContext, name: str, default: int) -> int:
    """Raises ConfigurationError for a setting that is no whole number."""
    text = (context.settings.get(name) or str(default)).strip()
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise ConfigurationError(f"The setting {name} is no whole number. Give a number of records; 0 for never.")
    return int(text)


def _position(after: str | None, kind: str) -> str:
    """Each kind of walk has its own positions: a stamp and an id, or an id."""
    if not after:
        return ""
    found, _, position = after.partition("|")
    stamp, _, remote_id = position.rpartition("|")
    is_whole = mapping.moment(stamp) is not None if kind == _CHANGES else not stamp
    if found != kind or not is_whole or mapping.to18(remote_id) is None:
        raise CursorExpiredError("The position belongs to another kind of walk", provider="salesforce")
    return position


def _changed_after(position: str) -> soql.Condition:
    stamp, _, last_id = position.rpartition("|")
    at = mapping.moment(stamp)
    if at is None:
        raise CursorExpiredError("The position holds no time", provider="salesforce")
    same_second = soql.all_of(soql.at(mapping.MODIFIED, at), soql.above(mapping.ID, last_id))
    return soql.any_of(soql.after(mapping.MODIFIED, at), same_second)
