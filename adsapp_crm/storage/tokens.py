"""A connection's access token, and its renewal by one worker at a time.

A grant may rotate: its refresh token works once, and using it again can end the whole grant. So whoever renews first
claims the connection's row, committed and by the database's clock; asks the CRM with no transaction open; and stores
what came back before anybody uses it, provided that nobody else has stored something meanwhile (``token_version``).
A refusal is believed only when the stored token is still the one that was refused. Trouble on the way never ends a
connection.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import requests
from django.db import connections
from django.db.models import Case, DurationField, ExpressionWrapper, F, Q, Value, When
from django.db.models.functions import Now

from adsapp_crm.models import CrmConnection
from adsapp_crm.models.choices import ConnectionStatus, Health
from adsapp_crm.storage.apps import client_of, hosts_of, owner_of, settings_of
from adsapp_crm.tenancy import current_organization_or_none, organization_context
from crm.errors import (
    AuthorizationExpiredError,
    ConfigurationError,
    ConnectionBlockedError,
    CrmError,
    ProviderUnavailableError,
    WrongAccountError,
)
from crm.http.grants import OAuthFlow, Token
from crm.http.oauth import TokenEndpoint
from crm.http.redact import Secret
from crm.registry import provider

CLAIM_SECONDS: Final = 90
"""Longer than a token call may last (``crm.http.oauth.TOTAL_SECONDS``), so that nobody renews beside a slow one."""
WAIT_SECONDS: Final = 100.0
"""How long a worker without a usable token waits for the one that has the claim: the claim and a little more."""
EARLY_SECONDS: Final = 120.0
EARLY_SHARE: Final = 0.25
"""A token is renewed so long, or this share of its life, before it ends: whichever is less."""
RETRY_SECONDS: Final = 10.0
FIRST_PAUSE_SECONDS: Final = 0.02
LONGEST_PAUSE_SECONDS: Final = 0.3


def token_payload(token: Token, before: Mapping[str, Any], flow: OAuthFlow) -> dict[str, Any]:
    """The credentials to seal: the new answer over what there was."""
    refresh = token.refresh_token.reveal() if token.refresh_token else str(before.get("refresh_token", ""))
    kept = {**before.get("settings", {}), **token.settings}
    return {
        **before,
        "token": token.access_token.reveal(),
        "refresh_token": refresh,
        "lifetime_seconds": token.expires_in_seconds or flow.session_seconds,
        "settings": kept,
    }


@dataclass(frozen=True, slots=True)
class _Stored:
    """What the row says, with the time left by the database's clock."""

    row: CrmConnection
    payload: Mapping[str, Any]
    remaining_seconds: float
    is_claimed: bool

    @property
    def early_seconds(self) -> float:
        return min(EARLY_SECONDS, float(self.payload.get("lifetime_seconds") or 0) * EARLY_SHARE)


@dataclass(frozen=True, slots=True)
class _Held:
    token: Secret
    version: int
    renew_at: float
    """On the monotonic clock."""


class ConnectionTokens:
    """What a connector's ``token`` and ``reauthorize`` are for one connection. Safe to use from several threads.

    ``renewable`` is False for an API token and for a row that is not stored yet (its token has no version): the token
    is what it is. ``token_digest`` names an API token, whose burst limit is its own; it is empty for an app's token.
    """

    def __init__(
        self,
        connection: CrmConnection,
        *,
        session: requests.Session | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises AuthorizationExpiredError when the connection has no token."""
        payload = connection.open_credentials()
        if not payload.get("token"):
            raise AuthorizationExpiredError(provider=connection.crm_type, operation="connect")
        self.renewable = bool(payload.get("refresh_token")) and connection.token_version > 0
        self._first = Secret(str(payload["token"]))
        self.token_digest = "" if payload.get("refresh_token") else _digest(self._first)
        self.settings = settings_of(
            connection.crm_type, environment=connection.environment, kept=payload.get("settings", {})
        )
        self.remote_app_id = str(payload.get("app_id", ""))
        self._organization_id, self._connection_id = owner_of(connection), connection.pk
        self._provider = connection.crm_type
        self._session, self._sleep, self._monotonic = session, sleep, monotonic
        self._lock = threading.Lock()
        self._thread = threading.get_ident()
        self._used = threading.local()
        self._held: _Held | None = None

    def token(self) -> Secret:
        """The token in use, renewed shortly before it ends.

        Raises AuthorizationExpiredError when the grant is gone, ConfigurationError when the app is refused, and
        TransientError when the CRM gives no token at the moment and the stored one has ended.
        """
        if not self.renewable:
            return self._first
        with self._lock:
            if self._held is None or self._monotonic() >= self._held.renew_at:
                self._held = self._current(refused_version=None)
            self._used.version = self._held.version
            return self._held.token

    def reauthorize(self) -> None:
        """The CRM refused the token that this thread was given: take the newer one that is stored, or renew."""
        refused = getattr(self._used, "version", None)
        with self._lock:
            if self._held is None or self._held.version == refused:
                self._held = self._current(refused_version=refused)

    # One worker at a time -----------------------------------------------------------------------------------

    def _current(self, refused_version: int | None) -> _Held:
        try:
            return self._renewed(refused_version)
        finally:
            if threading.get_ident() != self._thread:
                connections.close_all()  # a connection of this thread's own, which nobody else would close

    def _renewed(self, refused_version: int | None) -> _Held:
        deadline = self._monotonic() + WAIT_SECONDS
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            stored = self._read()
            works = stored.remaining_seconds > 0 and stored.row.token_version != refused_version
            if works and (stored.is_claimed or stored.remaining_seconds > stored.early_seconds):
                return self._hold(stored)
            claim = None if stored.is_claimed else self._claim(stored.row.token_version)
            if claim is not None:
                return self._renew(stored, claim, works=works)
            if self._monotonic() >= deadline:
                raise ProviderUnavailableError(
                    "Another worker is renewing the token and does not finish", provider=self._provider
                )
            self._sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)

    def _renew(self, stored: _Stored, claim: uuid.UUID, *, works: bool) -> _Held:
        version = stored.row.token_version
        try:
            endpoint = endpoint_of(stored.row, session=self._session, sleep=self._sleep)
            token = endpoint.refresh(Secret(str(stored.payload["refresh_token"])))
            if token.remote_account_id not in ("", stored.row.remote_account_id):
                raise WrongAccountError(provider=self._provider, operation="refresh_token")
        except ConnectionBlockedError as error:
            if self._mark_lost(version, error):
                raise
            return self._hold(self._read())
        except CrmError:
            self._release(claim)
            if works:
                return self._hold(stored)  # renewed early for nothing: the token there is still opens the CRM
            raise
        stored_now = self._store(version, token)
        try:
            return self._hold(self._read())
        except AuthorizationExpiredError:
            # Disconnected meanwhile. What the disconnecting end revoked is spent when the grant rotates.
            if not stored_now and token.refresh_token and token.refresh_token != str(stored.payload["refresh_token"]):
                with contextlib.suppress(CrmError):
                    endpoint.revoke(token.refresh_token)
            raise

    def _read(self) -> _Stored:
        with organization_context(self._organization_id):
            row = (
                CrmConnection.objects.defer(None)
                .annotate(
                    remaining=ExpressionWrapper(F("token_expires_at") - Now(), output_field=DurationField()),
                    is_claimed=Q(refresh_claimed_until__gt=Now()),
                )
                .filter(pk=self._connection_id)
                .first()
            )
        payload = row.open_credentials() if row is not None else {}
        if row is None or row.status == ConnectionStatus.DISCONNECTED or not payload.get("token"):
            raise AuthorizationExpiredError(code="auth.revoked", provider=self._provider, operation="refresh_token")
        remaining = row.remaining
        seconds = remaining.total_seconds() if remaining is not None else 0.0
        return _Stored(row, payload, seconds, bool(row.is_claimed))

    def _claim(self, version: int) -> uuid.UUID | None:
        if current_organization_or_none() is not None:
            raise RuntimeError("A token is renewed outside organization_context: no CRM is called in a transaction.")
        claim = uuid.uuid4()
        with organization_context(self._organization_id):
            free = Q(refresh_claimed_until__isnull=True) | Q(refresh_claimed_until__lte=Now())
            taken = CrmConnection.objects.filter(free, pk=self._connection_id, token_version=version).update(
                refresh_claim_token=claim, refresh_claimed_until=Now() + timedelta(seconds=CLAIM_SECONDS)
            )
        return claim if taken else None

    def _release(self, claim: uuid.UUID) -> None:
        with organization_context(self._organization_id):
            CrmConnection.objects.filter(pk=self._connection_id, refresh_claim_token=claim).update(
                refresh_claim_token=None, refresh_claimed_until=None
            )

    def _store(self, version: int, token: Token) -> bool:
        """Store the new token unless the one it replaces has been replaced already. Commits."""
        flow = flow_of(self._provider)
        with organization_context(self._organization_id):
            row = CrmConnection.objects.select_for_update().defer(None).filter(pk=self._connection_id).first()
            if row is None or row.token_version != version or row.status == ConnectionStatus.DISCONNECTED:
                return False
            payload = token_payload(token, row.open_credentials(), flow)
            row.seal_credentials(payload)
            row.token_version = version + 1
            row.token_expires_at = Now() + timedelta(seconds=payload["lifetime_seconds"])
            row.refresh_claim_token = row.refresh_claimed_until = None
            if token.scopes:
                row.granted_scopes = list(token.scopes)
            names = ["credentials", "token_version", "token_expires_at", "refresh_claim_token"]
            row.save(update_fields=[*names, "refresh_claimed_until", "granted_scopes", "updated_at"])
        return True

    def _mark_lost(self, version: int, error: ConnectionBlockedError) -> bool:
        """The grant is gone, unless the token it was refused with is no longer the stored one. Commits."""
        with organization_context(self._organization_id):
            rows = CrmConnection.objects.filter(pk=self._connection_id, token_version=version)
            lost = rows.exclude(status=ConnectionStatus.DISCONNECTED).update(
                status=Case(
                    When(status=ConnectionStatus.PAUSED, then=Value(ConnectionStatus.PAUSED)),
                    default=Value(ConnectionStatus.ERROR),
                ),
                health=Health.NEEDS_RECONNECT,
                last_error=error.message,
                last_error_code=error.code,
                refresh_claim_token=None,
                refresh_claimed_until=None,
            )
        return bool(lost)

    def _hold(self, stored: _Stored) -> _Held:
        # While somebody else renews early, or the CRM gives no new token, the old one is not asked about each time.
        least = min(RETRY_SECONDS, stored.remaining_seconds / 2)
        seconds = max(0.0, least, stored.remaining_seconds - stored.early_seconds)
        return _Held(Secret(str(stored.payload["token"])), stored.row.token_version, self._monotonic() + seconds)


def _digest(token: Secret) -> str:
    return hashlib.sha256(token.reveal().encode()).hexdigest()[:16]


def flow_of(crm_type: str) -> OAuthFlow:
    """Raises ConfigurationError (``config.oauth_unavailable``) for a CRM without log-in."""
    flow = provider(crm_type).oauth
    if flow is None:
        raise ConfigurationError(
            "This CRM is connected by a token.", code="config.oauth_unavailable", provider=crm_type
        )
    return flow


def endpoint_of(
    connection: CrmConnection,
    *,
    session: requests.Session | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> TokenEndpoint:
    """The token endpoint for a connection's app and environment."""
    crm_type = connection.crm_type
    return TokenEndpoint(
        flow_of(crm_type),
        settings_of(crm_type, environment=connection.environment),
        hosts_of(crm_type),
        client_of(owner_of(connection), crm_type, connection.app_registration_id),
        provider=crm_type,
        session=session,
        sleep=sleep,
    )
