"""Testing a connection from end to end: token, scopes, schema, mapping, quota, webhook, clock, records.

It reads and changes nothing, besides renewing a token that has run out, as any call would. A few requests to the CRM.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, cast

import requests

from adsapp_crm import wiring
from adsapp_crm.fields import UnreadableError
from adsapp_crm.limiter import DayUse
from adsapp_crm.models import (
    CrmConnection,
    CrmFieldMapping,
    CrmWebhook,
    CrmWebhookEvent,
)
from adsapp_crm.models.choices import ConnectionStatus, WebhookStatus
from adsapp_crm.selectors import database_now
from adsapp_crm.services import examination as found
from adsapp_crm.services.examination import Examination, Finding, Verdict, error_found, fine, trouble, untested
from adsapp_crm.services.mappings import current_mappings, described
from adsapp_crm.services.refusals import refuse
from adsapp_crm.services.refused_deliveries import refused_deliveries
from adsapp_crm.services.standing import count_links
from adsapp_crm.services.subscriptions import address_of, is_reachable
from adsapp_crm.storage.apps import client_of, webhook_secret_of
from adsapp_crm.tenancy import organization_context
from adsapp_crm.wiring import SharedLimiter
from crm.errors import (
    ConfigurationError,
    CrmError,
    PermissionMissingError,
    RateLimitedError,
    WrongAccountError,
)
from crm.http.limits import Priority
from crm.model import FieldDefinition
from crm.ports import Connector, Limiter, Turn
from crm.registry import SubscribingConnector, WebhookRoute, provider

LATELY_DAYS: Final = 1


def examine(
    organization_id: uuid.UUID, connection_id: uuid.UUID, *, session: requests.Session | None = None
) -> Examination:
    """Every check, each with its finding and what to do.

    Raises RefusedError (``connection.unknown``) for a connection that there is not, or that is disconnected. Errors of
    the CRM are findings. Must be called outside ``organization_context``.
    """
    with organization_context(organization_id):
        row = CrmConnection.objects.defer(None).filter(pk=connection_id).first()
        if row is None or row.status == ConnectionStatus.DISCONNECTED:
            raise refuse("connection.unknown", "There is no open connection with this id.", field="id")
        mappings = current_mappings(row)
    findings: list[Finding] = []
    ear: _Ear | None = None
    try:
        connector, ear = _connector(row, session)
        account = connector.account()
        if account.remote_account_id != row.remote_account_id:
            raise WrongAccountError(provider=row.crm_type, operation="account")
    except UnreadableError as error:
        findings.append(trouble("token", error.code))
        connector = None
    except CrmError as error:
        findings.append(_refusal(error))
        connector = None
    else:
        findings.append(fine("token", f"The CRM takes it, for {account.name or account.remote_account_id}."))
    findings += _fields(row, mappings, connector)
    findings += _quota(row, ear)
    findings += _webhook(row, connector)
    findings += _clocks(row, ear)
    with organization_context(organization_id):
        findings += found.judge_records(count_links(row))
    order = {name: place for place, name in enumerate(found.CHECKS)}
    findings.sort(key=lambda each: order[each.check])
    return Examination(row.pk, row.crm_type, row.remote_account_name, database_now(), tuple(findings))


def _refusal(error: CrmError) -> Finding:
    """Why the cheapest call did not work; that the day's requests are used up is told as the quota's finding."""
    if isinstance(error, RateLimitedError) and error.daily:
        return untested("token")
    return error_found("scopes" if isinstance(error, PermissionMissingError) else "token", error)


class _Ear:
    """Stands round the limiter and hears what time the CRM's answers say it is."""

    def __init__(self, limiter: SharedLimiter) -> None:
        self._limiter = limiter
        self.ahead_seconds: list[float] = []

    def acquire(self, budget: str, cost: int = 1, turn: Turn | None = None) -> Turn:
        return self._limiter.acquire(budget, cost, turn)

    def late(self, budget: str, turn: Turn, seconds: float) -> None:
        self._limiter.late(budget, turn, seconds)

    def observe(self, headers: Mapping[str, str]) -> None:
        said = next((value for name, value in headers.items() if name.lower() == "date"), "")
        try:
            moment = parsedate_to_datetime(said)
        except ValueError:
            moment = None
        if moment is not None and moment.tzinfo is not None:
            self.ahead_seconds.append((moment - datetime.now(UTC)).total_seconds())
        self._limiter.observe(headers)

    def exhausted(self, budget: str, retry_after_seconds: float) -> None:
        self._limiter.exhausted(budget, retry_after_seconds)

    def day_use(self) -> DayUse | None:
        return self._limiter.day_use()


def _connector(row: CrmConnection, session: requests.Session | None) -> tuple[Connector, _Ear]:
    ears: list[_Ear] = []

    def listen(limiter: SharedLimiter) -> Limiter:
        ears.append(_Ear(limiter))
        return ears[0]

    connector = wiring.connector_of(row, priority=Priority.INTERACTIVE, session=session, listen=listen)
    return connector, ears[0]


def _fields(row: CrmConnection, mappings: Sequence[CrmFieldMapping], connector: Connector | None) -> list[Finding]:
    """Scopes, schema and mapping: all three rest on what the CRM shows of its fields."""
    kinds = provider(row.crm_type)
    scopes = found.judge_scopes(kinds.scopes, kinds.optional_scopes, row.granted_scopes)
    if connector is None:
        missing = [each for each in scopes if each.verdict is Verdict.FAILED]
        return [*(missing or [untested("scopes")]), untested("schema"), *_mapping(row, mappings)]
    fields: dict[str, dict[str, FieldDefinition]] = {}
    try:
        for kind in kinds.record_types:
            fields[kind] = {each.name: each for each in connector.describe(kind)}
    except PermissionMissingError as error:
        lacking = trouble("scopes", error.code, detail=", ".join(error.missing))
        return [lacking, untested("schema"), *_mapping(row, mappings)]
    except CrmError as error:
        return [*scopes, error_found("schema", error), *_mapping(row, mappings)]
    row.schema = described({kind: tuple(each.values()) for kind, each in fields.items()})  # for the mapping; not stored
    return [*scopes, *found.judge_schema(mappings, fields), *_mapping(row, mappings)]


def _mapping(row: CrmConnection, mappings: Sequence[CrmFieldMapping]) -> list[Finding]:
    with organization_context(str(row.organization_id)):
        _books, broken = wiring.books_of(row)
    return found.judge_mapping(mappings, broken)


def _quota(row: CrmConnection, ear: _Ear | None) -> list[Finding]:
    parked = (row.parked_until - database_now()).total_seconds() if row.parked_until is not None else 0.0
    if ear is None:
        return [untested("quota")]
    return found.judge_quota(ear.day_use(), max(0.0, parked))


def _clocks(row: CrmConnection, ear: _Ear | None) -> list[Finding]:
    before = datetime.now(UTC)
    theirs = database_now()
    middle = before + (datetime.now(UTC) - before) / 2
    ahead = (theirs - middle).total_seconds()
    return found.judge_clocks(ahead, ear.ahead_seconds if ear is not None else (), row.clock_skew_seconds)


def _webhook(row: CrmConnection, connector: Connector | None) -> list[Finding]:
    if not is_reachable(row.crm_type):
        return [trouble("webhook", "webhook.not_public", verdict=Verdict.WARNING)]
    kind = provider(row.crm_type)
    refused = _refused(row.crm_type)
    if kind.webhook_route is WebhookRoute.APP and not _app_secret(row):
        return [trouble("webhook", "webhook.no_secret"), *refused]
    if kind.subscribes:
        return [_subscription(row, connector), *refused]
    with organization_context(str(row.organization_id)):
        events = CrmWebhookEvent.objects.filter(connection=row)
        last = events.order_by("-received_at").values_list("received_at", flat=True).first()
    if last is None:
        return [trouble("webhook", "webhook.none_yet", verdict=Verdict.WARNING), *refused]
    return [fine("webhook", f"The last event came at {last:%Y-%m-%d %H:%M} UTC."), *refused]


def _subscription(row: CrmConnection, connector: Connector | None) -> Finding:
    if connector is None:
        return untested("webhook")
    with organization_context(str(row.organization_id)):
        hook = CrmWebhook.objects.filter(connection=row).exclude(status=WebhookStatus.REMOVED).order_by("-id").first()
    try:
        theirs = cast("SubscribingConnector", connector).subscriptions()
    except CrmError as error:
        return error_found("webhook", error)
    if hook is None or address_of(hook, row.crm_type) not in theirs.values():
        return trouble("webhook", "webhook.not_subscribed")
    seen = f", the last event came at {hook.last_event_at:%Y-%m-%d %H:%M} UTC" if hook.last_event_at else ""
    return fine("webhook", f"The CRM sends its events here{seen}.")


def _app_secret(row: CrmConnection) -> bool:
    """Whether deliveries to the connection's app can be verified at all."""
    if row.app_registration_id is None:
        return bool(webhook_secret_of(row.crm_type))
    try:
        return bool(client_of(uuid.UUID(str(row.organization_id)), row.crm_type, row.app_registration_id).client_secret)
    except ConfigurationError:
        return False


def _refused(crm_type: str) -> list[Finding]:
    counted = refused_deliveries(LATELY_DAYS, crm_type)
    if not counted:
        return []
    detail = ", ".join(f"{each.deliveries:,} {each.code}" for each in counted)
    return [trouble("webhook", "webhook.refused_lately", verdict=Verdict.WARNING, detail=detail)]
