"""From a connection's row to a connector, a store and rules: the only place that assembles."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Protocol

import redis
import requests
import structlog
from django.conf import settings
from django.db.models.functions import Now
from redis.backoff import NoBackoff
from redis.retry import Retry

from adsapp_crm import conf
from adsapp_crm.circuit import RedisCircuit
from adsapp_crm.limiter import DayUse, RedisLimiter, RedisLimits
from adsapp_crm.models import CrmConnection, CrmFieldMapping, Organization
from adsapp_crm.models.contact import tombstone_key_of
from adsapp_crm.storage import DjangoStore, Lease, codec
from adsapp_crm.storage.apps import settings_of
from adsapp_crm.storage.tokens import ConnectionTokens
from adsapp_crm.tenancy import in_organization, organization_context
from crm.engine.context import Ports
from crm.engine.rulebook import Rulebook
from crm.errors import AuthorizationExpiredError
from crm.http.client import Call
from crm.http.limits import BoundBudgets, Budget, Priority, Scope, politeness
from crm.http.redact import Secret
from crm.mapping.build import BrokenMapping, MappingRow, build_field_map
from crm.mapping.field_map import FieldMap, Former
from crm.model import DeletionPolicy, Direction, DriftRule, FieldDefinition, Mode, Policy, Strategy
from crm.ports import Capabilities, Connector, Limiter, Turn
from crm.registry import REQUESTS_PER_SECOND, ConnectorContext, Provider, provider

MARKER_SETTING: Final = "hasMarkerField"
USER_SETTING: Final = "crmUserId"
"""Whose grant it is, where the CRM tells when that user uninstalls the app."""
"""Key of ``CrmConnection.settings``: whether the account let us make the marker field."""
BATCH_SETTING: Final = "batchSize"
DELAY_SETTING: Final = "requestDelayMs"
SHARE_SETTING: Final = "quotaShare"
CRM_SETTING: Final = "crm"
"""Key of ``CrmConnection.settings``: the connection's own values of its provider's settings, by ``Setting.name``."""

REDIS_TIMEOUT_SECONDS: Final = 1.0
"""Redis is asked before every request to a CRM: a dead one must not hold anything up."""


debug = structlog.get_logger("adsapp_crm.debug")


@dataclass(frozen=True, slots=True)
class Assembled:
    """A connection ready to be synced."""

    ports: Ports
    broken: tuple[BrokenMapping, ...]
    """Mapping rows that cannot be used; the others work."""


def assemble(
    connection: CrmConnection,
    *,
    lease: Lease | None,
    worker: str,
    priority: Priority = Priority.DELTA,
    session: requests.Session | None = None,
    before_call: Callable[[], None] | None = None,
) -> Assembled:
    """Everything that a run of this connection works with, as of now; ``before_call`` may stop each request.

    Opens a transaction of its own outside ``organization_context``, and sends nothing. Raises ConfigurationError for a
    CRM or an address that there is not, AuthorizationExpiredError where no token is stored.
    """
    organization_id = str(connection.organization_id)
    with in_organization(str(connection.organization_id)):
        organization = Organization.scoped.get()
        books, broken = books_of(connection, region=organization.region)
        tombstone_key = tombstone_key_of(organization)
    connector = connector_of(connection, priority=priority, session=session, before_call=before_call)
    ports = Ports(
        store=DjangoStore(organization_id, connection.pk, lease, worker=worker, tombstone_key=tombstone_key),
        connector=connector,
        books=books,
        organization_id=organization_id,
        create_type=connection.create_type or connector.capabilities.create_type,
        mode=Mode(connection.mode),
    )
    return Assembled(ports, broken)


def connector_of(
    connection: CrmConnection,
    *,
    priority: Priority = Priority.INTERACTIVE,
    session: requests.Session | None = None,
    before_call: Callable[[], None] | None = None,
    listen: Callable[[SharedLimiter], Limiter] | None = None,
) -> Connector:
    """The connection's CRM, also for a row not stored yet. Its token is read and renewed when a call needs it.

    ``listen`` puts something round the limiter, which sees the headers of every answer.
    """
    found = provider(connection.crm_type)
    tokens = ConnectionTokens(connection, session=session)

    def token() -> Secret:
        """Read last of all before a request leaves, after any wait for its turn."""
        read = tokens.token()
        if before_call is not None:
            before_call()
        return read

    limiter = _limiter(connection, found, tokens.token_digest, priority)
    context = ConnectorContext(
        token=token,
        reauthorize=tokens.reauthorize if tokens.renewable else None,
        limiter=listen(limiter) if listen is not None else limiter,
        settings={**tokens.settings, **own_settings(connection)},
        extra_hosts=conf.extra_hosts(),
        definitions={kind: tuple(definitions_of(connection, kind).values()) for kind in connection.schema},
        batch_size=connection.settings.get(BATCH_SETTING),
        has_marker_field=connection.settings.get(MARKER_SETTING, True),
        remote_app_id=tokens.remote_app_id,
        on_call=_log_of(connection),
        circuits=lambda host: RedisCircuit(_limits(settings.REDIS_URL), host, found.key),
        session=session,
    )
    return found.connect(context)


def own_settings(connection: CrmConnection) -> dict[str, str]:
    """The connection's values of the settings that its provider lets it have, by ``Setting.name``."""
    kept = connection.settings.get(CRM_SETTING) or {}
    declared = provider(connection.crm_type).connection_settings
    return {each.name: kept[each.name] for each in declared if each.takes(str(kept.get(each.name, "")))}


def settings_in_force(connection: CrmConnection) -> dict[str, str]:
    """What holds for each setting that the connection may have its own value of, by ``Setting.name``."""
    said = {**settings_of(connection.crm_type), **own_settings(connection)}
    return {
        each.name: said.get(each.name) or each.default for each in provider(connection.crm_type).connection_settings
    }


def _log_of(connection: CrmConnection) -> Callable[[Call], None] | None:
    """Debug mode: where each request is logged until the time that was set, by the database's clock."""
    if connection.debug_until is None:
        return None
    with organization_context(str(connection.organization_id)):
        if not CrmConnection.objects.filter(pk=connection.pk, debug_until__gt=Now()).exists():
            return None
    crm_type, connection_id = connection.crm_type, str(connection.pk)

    def log_call(call: Call) -> None:
        """No host, query, body or id of a record: what the CRM client says of a call has none."""
        debug.info(
            "request to a CRM",
            crm=crm_type,
            connection_id=connection_id,
            operation=call.operation,
            method=call.method,
            path=call.path_template,
            status=call.status,
            milliseconds=round(call.milliseconds, 1),
            attempt=call.attempt,
        )

    return log_call


def day_use(connection: CrmConnection, priority: Priority = Priority.INTERACTIVE) -> DayUse | None:
    """How the account's daily allowance stands for calls of that priority. Asks no CRM.

    None while Redis is away, and where no token is stored that could use it.
    """
    try:
        tokens = ConnectionTokens(connection)
    except AuthorizationExpiredError:
        return None
    return _limiter(connection, provider(connection.crm_type), tokens.token_digest, priority).day_use()


def capabilities_of(connection: CrmConnection) -> Capabilities:
    return provider(connection.crm_type).capabilities


def record_types_of(connection: CrmConnection) -> tuple[str, ...]:
    """The provider's record types that sync, in the order they are read."""
    return provider(connection.crm_type).record_types


def definitions_of(connection: CrmConnection, record_type: str) -> dict[str, FieldDefinition]:
    """The CRM's fields by name, as they were described last; empty before the first description."""
    described = connection.schema.get(record_type, {}).get("fields", [])
    fields = [codec.decode(FieldDefinition, each) for each in described]
    return {each.name: each for each in fields}


def policy_of(connection: CrmConnection) -> Policy:
    return Policy(
        strategy=Strategy(connection.strategy),
        tie_rule=Strategy(connection.tie_rule),
        clock_skew_seconds=connection.clock_skew_seconds,
        on_app_deleted=DeletionPolicy(connection.on_app_deleted),
        on_crm_deleted=DeletionPolicy(connection.on_crm_deleted),
        drift=DriftRule(connection.drift),
        create_in_crm=connection.create_in_crm,
        create_in_app=connection.create_in_app,
        fight_limit=connection.fight_limit,
        max_share_deleted=connection.max_share_deleted,
        max_count_deleted=connection.max_count_deleted,
        max_share_created=connection.max_share_created,
        max_count_created=connection.max_count_created,
    )


def books_of(connection: CrmConnection, *, region: str = "") -> tuple[dict[str, Rulebook], tuple[BrokenMapping, ...]]:
    """Mapping and policy by record type, and the rows left out, in the current organization's context.

    ``region`` is the organization's, looked up when it is empty.
    """
    region = str(connection.settings.get("region") or region or Organization.objects.get().region)
    policy = policy_of(connection)
    maps: dict[str, list[FieldMap]] = {kind: [] for kind in provider(connection.crm_type).record_types}
    broken: list[BrokenMapping] = []
    definitions = {kind: definitions_of(connection, kind) for kind in maps}
    for row in connection.mappings.filter(deleted_at__isnull=True).order_by("record_type", "position", "id"):
        if row.record_type not in maps:
            continue
        wanted = MappingRow(
            mapping_id=str(row.pk),
            app_field=row.adsapp_field,
            remote_field=row.crm_field,
            direction=row.direction,
            transform_rule=row.transform_rule,
            blank_rule=row.blank_rule,
            strategy=row.strategy,
            drift=row.drift,
            definition=row.definition,
        )
        built = build_field_map(wanted, definitions[row.record_type].get(row.crm_field), region)
        if isinstance(built, BrokenMapping):
            broken.append(built)
        else:
            maps[row.record_type].append(_with_life(built, row))
    tag = f"deleted-in-{connection.crm_type}"
    books = {
        kind: Rulebook(kind, tuple(found), policy, _digest(policy, found), deleted_tag=tag)
        for kind, found in maps.items()
    }
    return books, tuple(broken)


def _with_life(built: FieldMap, row: CrmFieldMapping) -> FieldMap:
    """What the row says of changes to it that records were not all looked at under yet."""
    former = None
    if row.former is not None and row.changed_at is not None:
        direction, drift = row.former.get("direction"), row.former.get("drift")
        former = Former(row.changed_at, direction and Direction(direction), drift and DriftRule(drift))
    return replace(
        built,
        version=row.version,
        revisits_before=row.revisits_before,
        former=former,
        keeps_questions=row.keeps_questions,
        awaits_scan=row.changed_at is not None,
    )


def _digest(policy: Policy, maps: Sequence[FieldMap]) -> str:
    """Of everything that decides what a plan line says."""
    return hashlib.sha256(repr((policy, *maps)).encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _limiter(connection: CrmConnection, found: Provider, token_digest: str, priority: Priority) -> SharedLimiter:
    """Who shares which budget: everybody on an account its day, everybody on a token or an app its bursts.

    A token is known before its account is: what connecting sends counts for the run that begins right after it.
    """
    account = f"{found.key}:{connection.remote_account_id or connection.pk}"
    app = f"{account}:app:{connection.app_registration_id or ''}"
    bound = BoundBudgets(
        found.budgets + _politeness(connection),
        {
            Scope.ACCOUNT: account,
            Scope.APP: f"{found.key}:token:{token_digest}" if token_digest else app,
            Scope.CONNECTION: f"{account}:{connection.pk}",
        },
        priority=priority,
        share=float(connection.settings.get(SHARE_SETTING) or 1.0),
    )
    limiter = _limits(settings.REDIS_URL).limiter(bound)
    delay_seconds = float(connection.settings.get(DELAY_SETTING) or 0) / 1000
    return DelayedLimiter(limiter, delay_seconds) if delay_seconds > 0 else limiter


def _politeness(connection: CrmConnection) -> tuple[Budget, ...]:
    """A cap below the provider's own, where the connection or the installation has set one."""
    declared = next((each for each in provider(connection.crm_type).settings if each.name == REQUESTS_PER_SECOND), None)
    per_second = settings_in_force(connection).get(REQUESTS_PER_SECOND, "")
    if declared is None or not declared.takes(per_second) or int(per_second) >= int(declared.default):
        return ()
    return (politeness(int(per_second)),)


@lru_cache(maxsize=4)
def _limits(redis_url: str) -> RedisLimits:
    client: Any = redis.Redis.from_url(
        redis_url,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 1),  # a connection that a restart left behind is made anew, once
    )
    return RedisLimits(client)


class SharedLimiter(Limiter, Protocol):
    """A limiter that also tells how the day's allowance stands."""

    def day_use(self) -> DayUse | None: ...


class DelayedLimiter:
    """Leaves at least ``delay_seconds`` before each request, whatever the budget says."""

    def __init__(self, limiter: RedisLimiter, delay_seconds: float) -> None:
        self._limiter = limiter
        self._delay_seconds = delay_seconds

    def acquire(self, budget: str, cost: int = 1, turn: Turn | None = None) -> Turn:
        given = self._limiter.acquire(budget, cost, turn)
        return given if turn else replace(given, wait_seconds=max(given.wait_seconds, self._delay_seconds))

    def late(self, budget: str, turn: Turn, seconds: float) -> None:
        self._limiter.late(budget, turn, seconds)

    def observe(self, headers: Mapping[str, str]) -> None:
        self._limiter.observe(headers)

    def exhausted(self, budget: str, retry_after_seconds: float) -> None:
        self._limiter.exhausted(budget, retry_after_seconds)

    def day_use(self) -> DayUse | None:
        return self._limiter.day_use()
