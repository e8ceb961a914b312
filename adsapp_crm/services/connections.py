"""Connecting a CRM, and what happens to a connection afterwards.

A CRM is asked before anything is stored, outside any transaction; only what it answered is written then.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import requests
from django.db import IntegrityError
from django.db.models import F
from django.db.models.functions import Now

from adsapp_crm import wiring
from adsapp_crm.models import CrmConnection, CrmLease, CrmPlan, CrmSyncLog, uuid7
from adsapp_crm.models.choices import ConnectionEventKind, ConnectionStatus, Health, PlanStatus, RunState
from adsapp_crm.services.connection_history import note
from adsapp_crm.services.describing import note_fields
from adsapp_crm.services.health import working_health
from adsapp_crm.services.mappings import described, seed_default_mappings
from adsapp_crm.services.refusals import RefusedError, refuse
from adsapp_crm.services.sealed import readable
from adsapp_crm.services.subscriptions import remove_subscription
from adsapp_crm.services.tokens import grant_to_end, revoke_grant
from adsapp_crm.tenancy import organization_context
from crm.errors import ConfigurationError, ConnectionBlockedError, CrmError, TransientError, WrongAccountError
from crm.model import FieldDefinition
from crm.ports import Account, Limiter
from crm.registry import PROVIDERS, provider

MAX_TOKEN_CHARACTERS: Final = 4096
NEEDS_RECONNECT: Final = frozenset({Health.NEEDS_RECONNECT})


@dataclass(frozen=True, slots=True)
class Access:
    """What opens an account, as it is sealed with the connection."""

    payload: dict[str, Any] = field(repr=False)
    environment: str = ""
    lifetime_seconds: float | None = None
    """None: the token does not end by itself."""
    scopes: tuple[str, ...] = ()
    registration_id: uuid.UUID | None = None
    """The organization's own app; None: this installation's, or none at all."""
    connection_id: uuid.UUID | None = None
    """For a connection that is not there yet."""


@dataclass(frozen=True, slots=True)
class Connected:
    connection_id: uuid.UUID
    account: Account
    record_types: tuple[str, ...]
    fields: int
    mappings: int
    """Default mappings stored; 0 when the connection had some."""
    marker: bool
    """False where the account does not let us make the field that finds our creations again."""
    reconnected: bool


def check_provider(key: str) -> str:
    """The key of a CRM there is; raises RefusedError with the ones there are."""
    if key not in PROVIDERS:
        raise refuse(
            "config.provider_unknown",
            "There is no CRM of this name.",
            field="crmType",
            fix=f"Choose one of: {', '.join(sorted(PROVIDERS))}.",
        )
    return key


def find_connection(crm_type: str) -> CrmConnection:
    """The connection to this CRM that is not disconnected, in the current organization's context."""
    check_provider(crm_type)
    found = open_connection(crm_type)
    if found is None:
        raise refuse(
            "connection.unknown", "This CRM is not connected.", field="crmType", fix="Connect it first, then try again."
        )
    return found


def open_connection(crm_type: str) -> CrmConnection | None:
    """The connection to this CRM that is not disconnected, if there is one."""
    return CrmConnection.objects.exclude(status=ConnectionStatus.DISCONNECTED).filter(crm_type=crm_type).first()


def connect_with_token(
    organization_id: uuid.UUID, crm_type: str, token: str, *, actor: str, environment: str = ""
) -> Connected:
    """Connect an account by an API or private-app token, or reconnect the account of a lost one.

    The token is tried, the account pinned, its fields described and our marker field made, before the row is
    written: with an error of the CRM (any CrmError) or a refusal (``connection.exists``,
    ``config.token_missing``, ``config.provider_unknown``, ``config.unsupported`` where a log-in is needed) nothing
    has changed on our side. Must be called outside ``organization_context``.
    """
    check_provider(crm_type)
    if not PROVIDERS[crm_type].takes_token:
        label = PROVIDERS[crm_type].label
        raise refuse(
            "config.unsupported",
            f"{label} is connected by a log-in there: a token alone does not say where its account is.",
            field="apiToken",
            fix=f"Open Connect {label} in the dashboard and log in at {label}.",
        )
    access = Access({"token": _checked_token(token)}, environment)
    return connect_account(organization_id, crm_type, access, actor=actor)


def check_reconnect(existing: CrmConnection | None, *, wanted: bool = False) -> None:
    """A connection that works is not replaced, unless its owner asks to log in again."""
    if existing is not None and existing.health not in NEEDS_RECONNECT and not wanted:
        raise _exists()


def connect_account(
    organization_id: uuid.UUID,
    crm_type: str,
    access: Access,
    *,
    actor: str,
    reconnect: bool = False,
    session: requests.Session | None = None,
) -> Connected:
    """Connect the account that ``access`` opens; the same rules and promises as ``connect_with_token``.

    ``reconnect`` also renews the access of a connection that works, for the same account.
    """
    with organization_context(organization_id, actor=actor):
        lost = open_connection(crm_type)
    check_reconnect(lost, wanted=reconnect)
    draft = CrmConnection(
        id=access.connection_id or uuid7(),
        organization_id=organization_id,
        crm_type=crm_type,
        environment=access.environment,
    )
    draft.app_registration_id = access.registration_id
    draft.seal_credentials(access.payload)
    connector = wiring.connector_of(draft, session=session)
    account = connector.account()
    if lost is not None and lost.remote_account_id and lost.remote_account_id != account.remote_account_id:
        raise WrongAccountError(provider=crm_type, operation="connect")
    record_types = provider(crm_type).record_types
    definitions = {record_type: connector.describe(record_type) for record_type in record_types}
    prepared = {record_type: connector.prepare(record_type) for record_type in record_types}
    marker = all(prepared.values())
    try:
        with organization_context(organization_id, actor=actor):
            connection, reconnected = _store(draft, access, account, definitions, marker=marker, actor=actor)
            by_name = {kind: {each.name: each for each in fields} for kind, fields in definitions.items()}
            seeded = seed_default_mappings(connection, provider(crm_type).default_mappings, by_name)
    except IntegrityError as error:
        raise _exists() from error
    return Connected(
        connection.pk,
        account,
        record_types,
        sum(map(len, definitions.values())),
        seeded,
        marker,
        reconnected,
    )


def _exists() -> RefusedError:
    return refuse(
        "connection.exists",
        "This CRM is connected already.",
        field="crmType",
        fix="Use the connection there is, or disconnect it first.",
    )


def _checked_token(token: str) -> str:
    token = token.strip()
    if not token or len(token) > MAX_TOKEN_CHARACTERS or not token.isascii() or not token.isprintable() or " " in token:
        raise refuse(
            "config.token_missing",
            "This is not a token: one line of printable ASCII without spaces is needed.",
            field="apiToken",
            fix="Copy the token from the CRM again.",
        )
    return token


def _store(
    draft: CrmConnection,
    access: Access,
    account: Account,
    definitions: Mapping[str, Sequence[FieldDefinition]],
    *,
    marker: bool,
    actor: str,
) -> tuple[CrmConnection, bool]:
    """A row of its own, or the one that this account had before: its links, mappings and cursors go on."""
    earlier = CrmConnection.objects.select_for_update().filter(
        crm_type=draft.crm_type, remote_account_id=account.remote_account_id
    )
    known = earlier.order_by("-connected_at", "-id").first()
    row = known or draft
    described_before = dict(row.schema)
    row.seal_credentials(access.payload)
    row.app_registration_id = access.registration_id
    row.granted_scopes = list(access.scopes)
    seconds = access.lifetime_seconds
    row.token_expires_at = None if seconds is None else Now() + timedelta(seconds=seconds)
    row.refresh_claim_token = row.refresh_claimed_until = None
    row.status, row.health = ConnectionStatus.ACTIVE, Health.SETTING_UP if known is None else working_health()
    row.last_error, row.last_error_code = "", ""
    row.remote_account_id = account.remote_account_id
    row.remote_account_name = account.name
    row.remote_account_url = account.url
    row.environment = draft.environment or row.environment
    row.settings = {**row.settings, wiring.MARKER_SETTING: marker, wiring.USER_SETTING: account.user_id}
    row.schema = described(definitions)
    row.connected_at, row.connected_by = Now(), actor
    row.paused_at, row.paused_by = None, ""
    row.disconnected_at, row.disconnected_by, row.parked_until = None, "", None
    row.token_version += 1
    row.save()
    kind = ConnectionEventKind.CONNECTED if known is None else ConnectionEventKind.RECONNECTED
    note(row.pk, kind, actor=actor)
    note_fields(row.pk, described_before, row.schema)
    return CrmConnection.objects.get(pk=row.pk), known is not None


def disconnect(
    organization_id: uuid.UUID, crm_type: str, *, actor: str, session: requests.Session | None = None
) -> uuid.UUID:
    """End the connection: the token is forgotten, whoever works on it commits nothing more, the CRM ends the grant.

    Links, mappings and history stay, for the day the same account is connected again. A CRM that cannot be told is
    told later (``revoke_left_behind``). Must be called outside ``organization_context``.
    """
    with organization_context(organization_id, actor=actor):
        connection = find_connection(crm_type)
    remove_subscription(organization_id, connection.pk, session=session)
    with organization_context(organization_id, actor=actor):
        row = CrmConnection.objects.select_for_update().defer(None).get(pk=connection.pk)
        row.seal_credentials(grant_to_end(row))
        row.refresh_claim_token = row.refresh_claimed_until = None
        row.status, row.health = ConnectionStatus.DISCONNECTED, Health.DISCONNECTED
        row.disconnected_at, row.disconnected_by = Now(), actor
        row.token_version += 1
        row.next_sync_at = row.next_full_at = row.parked_until = row.token_expires_at = None
        row.save()
        CrmLease.objects.filter(connection=row).update(fence=F("fence") + 1, owner="", expires_at=Now())
        unfinished = CrmSyncLog.objects.filter(connection=row, status__in=[RunState.RUNNING, RunState.PARKED])
        unfinished.update(status=RunState.CANCELLED, cancel_requested=True, phase="done", completed_at=Now())
        waiting = CrmPlan.objects.filter(connection=row, status__in=[PlanStatus.PLANNED, PlanStatus.HELD])
        waiting.update(status=PlanStatus.DROPPED, closed_at=Now())
        note(row.pk, ConnectionEventKind.DISCONNECTED, actor=actor)
    revoke_grant(organization_id, connection.pk, session=session)
    return connection.pk


def pause_connection(connection_id: uuid.UUID, *, actor: str) -> None:
    """No run is started until it is resumed; in the current organization's context.

    One that needs a new log-in goes on to say so: only that ends its pause too.
    """
    row = _locked(connection_id)
    row.status = ConnectionStatus.PAUSED
    row.health = row.health if row.health in NEEDS_RECONNECT else Health.PAUSED
    row.paused_at, row.paused_by = Now(), actor
    row.save(update_fields=["status", "health", "paused_at", "paused_by", "updated_at"])
    note(row.pk, ConnectionEventKind.PAUSED, actor=actor)


def resume_connection(connection_id: uuid.UUID, *, actor: str) -> None:
    """Take a pause back. Refused where the CRM needs a new log-in."""
    row = _locked(connection_id)
    if row.health in NEEDS_RECONNECT:
        raise refuse("connection.paused", "The CRM refused the log-in.", fix="Reconnect it with a new token.")
    row.status, row.health = ConnectionStatus.ACTIVE, working_health()
    row.paused_at, row.paused_by = None, ""
    row.save(update_fields=["status", "health", "paused_at", "paused_by", "updated_at"])
    note(row.pk, ConnectionEventKind.RESUMED, actor=actor)


def _locked(connection_id: uuid.UUID) -> CrmConnection:
    row = CrmConnection.objects.select_for_update().filter(pk=connection_id).first()
    if row is None or row.status == ConnectionStatus.DISCONNECTED:
        raise refuse("connection.unknown", "There is no such connection.", fix="Connect the CRM first.")
    return row


def check_connection(
    organization_id: uuid.UUID,
    connection_id: uuid.UUID,
    *,
    listen: Callable[[wiring.SharedLimiter], Limiter] | None = None,
) -> str:
    """Ask the CRM who we are, by its cheapest call; the connection's health says what came of it.

    Returns the error code, empty when all is well. A passing trouble (network, quota) changes nothing.
    Must be called outside ``organization_context``.
    """
    with organization_context(organization_id):
        connection = CrmConnection.objects.get(pk=connection_id)
    if connection.status not in (ConnectionStatus.ACTIVE, ConnectionStatus.ERROR):
        return connection.last_error_code
    try:
        with organization_context(organization_id), readable():
            connection = CrmConnection.objects.defer(None).get(pk=connection_id)
            connection.open_credentials()
        account = wiring.connector_of(connection, listen=listen).account()
        if account.remote_account_id != connection.remote_account_id:
            raise WrongAccountError(provider=connection.crm_type, operation="account")
    except TransientError as error:
        return error.code
    except (ConnectionBlockedError, ConfigurationError) as error:
        block_connection(organization_id, connection_id, error, token_version=connection.token_version)
        return error.code
    with organization_context(organization_id):
        healed = CrmConnection.objects.filter(pk=connection_id, status=ConnectionStatus.ERROR)
        if healed.update(status=ConnectionStatus.ACTIVE, health=working_health(), last_error="", last_error_code=""):
            note(connection_id, ConnectionEventKind.HEALED)
    return ""


def block_connection(
    organization_id: uuid.UUID, connection_id: uuid.UUID, error: CrmError, *, token_version: int | None = None
) -> None:
    """Stop the connection with the error's code until a person acts; cursors, queue and links are kept.

    With ``token_version`` only while that token is still the one in use: an error of the token before says
    nothing of the new one.
    """
    with organization_context(organization_id):
        rows = CrmConnection.objects.filter(pk=connection_id, status=ConnectionStatus.ACTIVE)
        if token_version is not None:
            rows = rows.filter(token_version=token_version)
        reconnect = isinstance(error, ConnectionBlockedError)
        blocked = rows.update(
            status=ConnectionStatus.ERROR,
            health=Health.NEEDS_RECONNECT if reconnect else Health.NEEDS_ATTENTION,
            last_error=error.message,
            last_error_code=error.code,
        )
        if blocked:
            note(connection_id, ConnectionEventKind.BLOCKED, code=error.code)
