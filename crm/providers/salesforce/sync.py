"""The ``Connector`` for Salesforce: which part of it answers which question of the engine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from crm.errors import ConfigurationError, PermissionMissingError, RejectedError, UnexpectedAnswerError
from crm.http.client import HttpClient
from crm.http.crew import Crew
from crm.http.hosts import HostPolicy
from crm.http.transport import checked_session
from crm.model import FieldDefinition, RemoteRecord
from crm.ports import Account, Capabilities, CreateItem, FieldChange, ItemResult, Page, UpdateItem
from crm.providers.base import CallCounter, ConnectorContext
from crm.providers.salesforce import auth, bulk_scan, endpoints, links, mapping, policies
from crm.providers.salesforce.allowance import DayUse
from crm.providers.salesforce.bulk import BulkClient
from crm.providers.salesforce.bulk_scan import BulkScan
from crm.providers.salesforce.client import SalesforceClient
from crm.providers.salesforce.companies import Companies
from crm.providers.salesforce.ingest import Ingest
from crm.providers.salesforce.listing import Listing
from crm.providers.salesforce.reads import Reader, ReadMeans
from crm.providers.salesforce.writes import Means, Writer

CAPABILITIES: Final = Capabilities(
    record_types=mapping.PEOPLE,
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
    batches_in_flight=endpoints.IN_FLIGHT,
    links_to_contact=links.LINKS_TO_CONTACT,
)


def connect(context: ConnectorContext) -> SalesforceConnector:
    """A connector for one connection; ``settings`` holds ``instance_url`` and ``user_id`` of the grant.

    Raises ConfigurationError for an address that may not be called.
    """
    calls = CallCounter(context.on_call)
    crew = Crew(auth.bearer(context.token), context.reauthorize, calls, endpoints.IN_FLIGHT)
    day = DayUse()
    sleep = context.sleep or time.sleep
    http = HttpClient(
        provider="salesforce",
        base_url=auth.check_instance(context.settings.get("instance_url", ""), context.extra_hosts),
        authorize=crew.authorize,
        reauthorize=crew.reauthorize if context.reauthorize else None,
        classify=day.classify,
        limiter=context.limiter,
        hosts=HostPolicy(endpoints.HOST_SUFFIXES, context.extra_hosts),
        request_id_header=endpoints.REQUEST_ID_HEADER,
        default_headers={"Sforce-Call-Options": f"client={endpoints.CLIENT_NAME}"},
        session=context.session or checked_session(pool_size=endpoints.IN_FLIGHT),
        sleep=sleep,
        on_call=crew.on_call,
        circuits=context.circuits,
    )
    paths = endpoints.Paths(context.settings.get("api_version") or endpoints.DEFAULT_VERSION)
    save_duplicates = context.settings.get("duplicate_alerts") == "ignore"
    client = SalesforceClient(http, paths, save_duplicates=save_duplicates)
    return SalesforceConnector(client, BulkClient(http, paths), crew, calls, day, context)


class SalesforceConnector:
    """``crm.ports.Connector``. Not shared between threads; collections use some of their own."""

    def __init__(
        self,
        client: SalesforceClient,
        bulk_client: BulkClient,
        crew: Crew,
        calls: CallCounter,
        day: DayUse,
        context: ConnectorContext,
    ) -> None:
        self._client = client
        self._bulk = bulk_client
        self._crew = crew
        self._calls = calls
        self._day = day
        self._sleep = context.sleep or time.sleep
        self._instance_url = context.settings.get("instance_url", "")
        self._has_marker_field = context.has_marker_field
        self._write_batch = min(endpoints.WRITE_BATCH, max(1, context.batch_size or endpoints.WRITE_BATCH))
        page_size = endpoints.QUERY_PAGE if self._write_batch == endpoints.WRITE_BATCH else self._write_batch
        self._bulk_reads_from = _number(context, "bulk_reads_from", endpoints.BULK_READS_FROM)
        self._bulk_writes_from = _number(context, "bulk_writes_from", endpoints.BULK_WRITES_FROM)
        if context.settings.get("duplicate_alerts") == "ignore" or context.batch_size:
            self._bulk_writes_from = 0  # a job obeys every alert, and is no small batch
        self._user_id: str | None = mapping.to18(context.settings.get("user_id", ""))
        self._companies = Companies(client, crew, may_create=context.settings.get("accounts") != "match")
        self._listing = Listing(client, context.definitions, context.settings.get("note_kind") or policies.DETECT)
        self._reader = Reader(
            ReadMeans(
                client=client,
                listing=self._listing,
                bulk_scan=BulkScan(bulk_client, self._sleep, page_size),
                page_size=page_size,
                jobs_from=self._bulk_reads_from,
                known_user_id=lambda: self._user_id or "",
            )
        )

    @property
    def capabilities(self) -> Capabilities:
        """``marker_lookup`` where every contact-like type has the marker field, by description where it is known."""
        known = self._listing.known(CAPABILITIES.record_types)
        is_known = len(known) == len(CAPABILITIES.record_types)
        has_marker = all(map(mapping.can_mark, known)) if is_known else self._has_marker_field
        return replace(
            CAPABILITIES,
            marker_lookup=has_marker,
            first_scan=bulk_scan.START if self._bulk_reads_from else None,
            bulk_writes=endpoints.BULK_WRITES if self._bulk_writes_from and has_marker else 0,
            links_to_contact={
                **links.LINKS_TO_CONTACT,
                policies.NOTE: links.LINKS_TO_CONTACT[self._listing.note_type or policies.NOTE],
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
        return self._listing.describe(self._listing.type_of(record_type))

    def prepare(self, record_type: str) -> bool:
        """Whether an administrator has made the marker field: the API cannot."""
        record_type = self._listing.type_of(record_type)
        self._listing.renew(record_type)
        return mapping.can_mark(self._listing.fields(record_type))

    # reads

    def scan(self, record_type: str, fields: Sequence[str], after: str | None) -> Page:
        """From ``capabilities.first_scan`` on by a query job where there are many records."""
        return self._reader.scan(self._listing.type_of(record_type), fields, after)

    def expect(self, record_type: str, fields: Sequence[str], after: str) -> None:
        """Its pages are few and large: none is asked for ahead."""

    def changes(self, record_type: str, fields: Sequence[str], since: datetime, after: str | None) -> Page:
        return self._reader.changes(self._listing.type_of(record_type), fields, since, after)

    def fetch(self, record_type: str, remote_ids: Sequence[str], fields: Sequence[str]) -> Mapping[str, RemoteRecord]:
        """One request for 2,000 ids, and one more for each step of a merge that leads outside them."""
        record_type = self._listing.type_of(record_type)
        self._us()
        return self._reader.fetch(record_type, remote_ids, fields)

    def find_by_markers(
        self, record_type: str, markers: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord]:
        return self._reader.find_by_markers(self._listing.type_of(record_type), markers, fields)

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
        record_type = self._listing.type_of(record_type)
        extra = links.Links(self._client, record_type)
        results = self._writer(record_type).create([replace(item, values=extra.plain(item.values)) for item in items])
        return extra.write({item.key: item.values for item in items}, results)

    def update(self, record_type: str, items: Sequence[UpdateItem]) -> Mapping[str, ItemResult]:
        if not items:
            return {}
        record_type = self._listing.type_of(record_type)
        extra = links.Links(self._client, record_type)
        results = self._writer(record_type).update([replace(item, values=extra.plain(item.values)) for item in items])
        return extra.write({item.key: item.values for item in items}, results)

    def delete(self, record_type: str, items: Sequence[UpdateItem]) -> Mapping[str, ItemResult]:
        return self._writer(self._listing.type_of(record_type)).delete(items) if items else {}

    # steps

    def _writer(self, record_type: str) -> Writer:
        return Writer(
            Means(
                client=self._client,
                crew=self._crew,
                companies=self._companies,
                record_type=record_type,
                batch_size=self._write_batch,
                listed=self._listing.fields(record_type),
                read=lambda ids: self.fetch(record_type, ids, ()),
                user_id=self._us,
                sleep=self._sleep,
                ingest=Ingest(self._bulk, record_type, self._sleep),
                ingest_from=self._bulk_writes_from if self._day.is_scarce else 0,
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


def _number(context: ConnectorContext, name: str, default: int) -> int:
    """Raises ConfigurationError for a setting that is no whole number."""
    text = (context.settings.get(name) or str(default)).strip()
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise ConfigurationError(f"The setting {name} is no whole number. Give a number of records; 0 for never.")
    return int(text)
