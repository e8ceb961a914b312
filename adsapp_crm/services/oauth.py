"""Connecting by a log-in at the CRM: begun, brought back by the browser, confirmed by the person.

What is begun here can end only here: the state is 256 random bits, known to the database by its hash, bound to the
session, the person, the organization, the CRM and its environment, and the redirect address, for ten minutes and one
use. The CRM that a code goes to is the one the state names, whatever the callback's query says. The account that was
found is shown, and only the person's word makes it a connection: a log-in that somebody else smuggled into the
browser ends there. No CRM is called inside a transaction.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import requests
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import NoReverseMatch, reverse

from adsapp_crm import conf, wiring
from adsapp_crm.models import CrmConnection, CrmOAuthState, uuid7
from adsapp_crm.models.choices import Role
from adsapp_crm.selectors import oauth_state, places_of
from adsapp_crm.services.connections import (
    check_provider,
    check_reconnect,
    open_connection,
)
from adsapp_crm.services.left_grants import (
    PENDING_KEY,
    end_left_grant,
    endpoint_for,
    leave,
    opened_for,
    registration_of,
    sealed_for,
)
from adsapp_crm.services.refusals import refuse
from adsapp_crm.storage.apps import client_of, hosts_of, owner_of, register_app, settings_of
from adsapp_crm.storage.tokens import flow_of, token_payload
from adsapp_crm.tenancy import organization_context
from crm.errors import (
    AuthorizationExpiredError,
    CrmError,
    PermissionMissingError,
    UnexpectedAnswerError,
    WrongAccountError,
)
from crm.http.grants import (
    authorize_address,
    callback_code,
    is_issuer,
    new_state,
    new_verifier,
)
from crm.http.redact import Secret, redact_text
from crm.ports import Account
from crm.registry import provider

STATE_SECONDS: Final = 600
CONFIRM_SECONDS: Final = 600
MAX_CODE_CHARACTERS: Final = 4_096
MAX_SHOWN_CHARACTERS: Final = 200
MAX_CLIENT_CHARACTERS: Final = 500
CALLBACK: Final = "api:connect-callback"
_STATE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_MAY_CONNECT: Final = frozenset({Role.ADMIN, Role.OWNER})


class LogInFailedError(Exception):
    """The log-in at the CRM ended without a connection; nothing was changed."""

    def __init__(self, code: str, *, crm_type: str = "", shown: str = "") -> None:
        """``shown`` is the CRM's own text, redacted and cut; it is shown, never logged."""
        self.code = code
        self.crm_type = crm_type
        self.shown = redact_text(shown, max_length=MAX_SHOWN_CHARACTERS)
        super().__init__(f"{crm_type or 'log-in'}: {code}")


@dataclass(frozen=True, slots=True)
class Person:
    """Who is at the browser: the log-in's begin and its end have to be the same."""

    user_id: uuid.UUID
    session_key: str

    @property
    def session_hash(self) -> str:
        return _hash(self.session_key)

    @property
    def actor(self) -> str:
        return f"user:{self.user_id}"


@dataclass(frozen=True, slots=True)
class Begun:
    auth_url: str
    connection_id: uuid.UUID
    """The connection's id once it is confirmed, unless the account was connected before: that one's goes on."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A log-in that came back and waits for the person's word."""

    organization_id: uuid.UUID
    attempt_id: uuid.UUID


# Begin ------------------------------------------------------------------------------------------------------


def begin_log_in(
    organization_id: uuid.UUID,
    crm_type: str,
    person: Person,
    *,
    environment: str = "",
    client_id: str = "",
    client_secret: str = "",
    return_route: str = "",
    reconnect: bool = False,
) -> Begun:
    """The address of the CRM's consent page, made for this person's browser alone.

    Raises RefusedError (``config.provider_unknown``, ``config.oauth_unavailable``, ``oauth.session``,
    ``oauth.not_configured``, ``connection.exists``) and then has stored nothing, except ConfigurationError
    (``oauth.not_configured``, ``config.host``) for what the installation lacks. ``return_route`` is the name of a
    route without arguments. Must be called outside ``organization_context``.
    """
    check_provider(crm_type)
    found = provider(crm_type)
    if found.oauth is None:
        raise refuse(
            "config.oauth_unavailable",
            "This CRM is connected by a token.",
            field="/config/apiToken",
            fix="Send config.apiToken.",
        )
    if not person.session_key:
        raise refuse("oauth.session", "There is no browser session.", fix="Log in to ADSapp in the browser first.")
    _check_route(return_route)
    _check_client(client_id, client_secret)
    with organization_context(organization_id, actor=person.actor):
        existing = open_connection(crm_type)
        check_reconnect(existing, wanted=reconnect)
        registration_id = existing.app_registration_id if existing is not None else None
        if client_id:
            registration_id = register_app(crm_type, client_id, Secret(client_secret)).pk
    environment = environment or (existing.environment if existing is not None else "")
    settings = settings_of(crm_type, environment=environment)
    client = client_of(organization_id, crm_type, registration_id)
    connection_id = existing.pk if existing is not None else uuid7()
    state, verifier, callback = new_state(), new_verifier(), redirect_uri(crm_type)
    address = authorize_address(
        found.oauth,
        settings,
        hosts_of(crm_type),
        client_id=client.client_id,
        redirect_uri=callback,
        state=state,
        verifier=verifier,
        scopes=found.scopes,
        optional_scopes=found.optional_scopes,
    )
    with organization_context(organization_id, actor=person.actor):
        # Those that were granted are kept until their grants are ended (``left_grants``).
        CrmOAuthState.objects.filter(Q(used_at__isnull=True) | Q(verifier__isnull=True), expires_at__lt=Now()).delete()
        row = CrmOAuthState(
            id=uuid7(),
            connection=existing,
            user_id=person.user_id,
            crm_type=crm_type,
            environment=environment,
            state_hash=_hash(state),
            session_hash=person.session_hash,
            redirect_uri=callback,
            return_route=return_route,
            expires_at=Now() + timedelta(seconds=STATE_SECONDS),
        )
        row.organization_id = organization_id
        row.verifier = sealed_for(
            row,
            verifier=verifier.reveal(),
            registration=str(registration_id or ""),
            connection=str(connection_id),
        )
        row.save(force_insert=True)
    return Begun(address, connection_id)


def redirect_uri(crm_type: str) -> str:
    """The guide's callback, which customers register; one of the CRM's own by setting."""
    if conf.callback_per_provider():
        return conf.public_url() + reverse(f"{CALLBACK}-of", args=[crm_type])
    return conf.public_url() + reverse(CALLBACK)


def _check_route(name: str) -> None:
    if not name:
        return
    try:
        reverse(name)
    except NoReverseMatch:
        raise refuse("request.invalid", "There is no such page to come back to.", field="returnRoute") from None


def _check_client(client_id: str, client_secret: str) -> None:
    for field, value in (("clientId", client_id), ("clientSecret", client_secret)):
        if bool(client_id) != bool(client_secret) and not value:
            raise refuse(
                "oauth.not_configured",
                "Client id and client secret belong together.",
                field=f"/config/{field}",
                fix="Send both, or neither to use this installation's.",
            )
        if len(value) > MAX_CLIENT_CHARACTERS or not value.isascii() or (value and not value.isprintable()):
            raise refuse(
                "oauth.client",
                "This is no client id or secret: one line of printable ASCII is needed.",
                field=f"/config/{field}",
            )


# Brought back by the browser --------------------------------------------------------------------------------


def finish_log_in(
    query: Mapping[str, Sequence[str]],
    person: Person | None,
    *,
    path_provider: str = "",
    session: requests.Session | None = None,
) -> Arrived:
    """Take what the CRM sent back, ask which account it opens, and wait for the person's word.

    ``query`` holds every value of each parameter; ``path_provider`` is the CRM that the callback's own address names.
    What arrived is for ``waiting_log_in``, ``confirm_log_in`` and ``decline_log_in``. Raises LogInFailedError; the
    state is used up by then if it was this person's.
    """
    state, error = _single(query, "state"), _single(query, "error")
    if person is None:
        raise LogInFailedError("oauth.session")
    row, sealed = _use_state(state, person, path_provider)
    fail = row.crm_type
    if error:
        description = _single(query, "error_description")
        raise LogInFailedError(callback_code(error, description), crm_type=fail, shown=description or error)
    settings, hosts = settings_of(row.crm_type, environment=row.environment), hosts_of(row.crm_type)
    issuer, code = _single(query, "iss"), _single(query, "code")
    if "iss" in query and not is_issuer(issuer, flow_of(row.crm_type), settings, hosts):
        raise LogInFailedError("oauth.issuer", crm_type=fail)
    if not code or len(code) > MAX_CODE_CHARACTERS or not code.isascii() or not code.isprintable():
        raise LogInFailedError("oauth.failed", crm_type=fail)
    try:
        found_account = _open_account(row, sealed, Secret(code), session)
    except AuthorizationExpiredError as refused:
        code_word = "oauth.code" if refused.operation == "exchange_code" else refused.code
        raise LogInFailedError(code_word, crm_type=fail, shown=refused.provider_message) from None
    except PermissionMissingError as lack:
        shown = f"Missing: {', '.join(lack.missing)}" if lack.missing else lack.provider_message
        raise LogInFailedError(lack.code, crm_type=fail, shown=shown) from None
    except CrmError as refused:
        raise LogInFailedError(refused.code, crm_type=fail, shown=refused.provider_message) from None
    with organization_context(owner_of(row)):
        CrmOAuthState.objects.filter(pk=row.pk).update(
            verifier=sealed_for(row, **found_account), expires_at=Now() + timedelta(seconds=CONFIRM_SECONDS)
        )
    return Arrived(owner_of(row), row.pk)


def _open_account(
    row: CrmOAuthState, sealed: Mapping[str, str], code: Secret, session: requests.Session | None
) -> dict[str, Any]:
    """Exchange the code and ask which account it opens: what waits for the person's word.

    Raises every CrmError; a grant that was given by then is ended at the CRM.
    """
    found = provider(row.crm_type)
    flow = flow_of(row.crm_type)
    endpoint = endpoint_for(row, sealed["registration"], session)
    verifier = Secret(sealed["verifier"]) if flow.pkce else None
    token = endpoint.exchange(code, redirect_uri=row.redirect_uri, verifier=verifier)
    account_id = token.remote_account_id
    try:
        _check_environment(row, flow.environment_of(token.settings))
        payload = token_payload(token, {}, flow)
        account = wiring.connector_of(_draft(row, payload, sealed["registration"]), session=session).account()
        if account_id not in ("", account.remote_account_id):
            raise UnexpectedAnswerError("The token belongs to one account and opens another", provider=row.crm_type)
        account_id = account.remote_account_id
        scopes = token.scopes if token.scopes is not None else found.scopes
        lacking = flow.missing_scopes(found.scopes, scopes)
        if lacking or not payload["refresh_token"]:
            raise PermissionMissingError(missing=lacking or ("refresh_token",), provider=row.crm_type)
        _check_account(row, account)
    except CrmError:
        if token.refresh_token is not None:
            with organization_context(owner_of(row)):
                refresh_token, registration = token.refresh_token.reveal(), sealed["registration"]
                leave(row, refresh_token, registration=registration, account_id=account_id)
            end_left_grant(owner_of(row), row.pk, session=session)
        raise
    return {
        PENDING_KEY: payload,
        "account": [account.remote_account_id, account.name, account.url],
        "scopes": list(scopes),
        "registration": sealed["registration"],
        "connection": sealed["connection"],
    }


def _use_state(state: str, person: Person, path_provider: str) -> tuple[CrmOAuthState, Mapping[str, str]]:
    """The begun log-in, used up by one atomic statement: of any number at once, one gets it."""
    place = oauth_state(_hash(state)) if _STATE.fullmatch(state) else None
    if place is None:
        raise LogInFailedError("oauth.state")
    state_id, organization_id = place
    if not may_connect(person, organization_id):
        raise LogInFailedError("oauth.state")
    with organization_context(organization_id, actor=person.actor):
        mine = CrmOAuthState.objects.filter(
            pk=state_id, user_id=person.user_id, session_hash=person.session_hash, state_hash=_hash(state)
        )
        row = mine.first()
        named = bool(row is not None and row.redirect_uri.endswith(f"/{row.crm_type}"))
        if row is None or path_provider != (row.crm_type if named else ""):
            raise LogInFailedError("oauth.state")
        sealed = row.verifier
        used = mine.filter(used_at__isnull=True, expires_at__gt=Now()).update(used_at=Now(), verifier=None)
        if not used:
            code = "oauth.expired" if row.used_at is None else "oauth.state"
            raise LogInFailedError(code, crm_type=row.crm_type)
    return row, opened_for(row, sealed)


def _check_environment(row: CrmOAuthState, environment: str) -> None:
    """The account is in the environment that was chosen; told by its address, so before that is called."""
    chosen = settings_of(row.crm_type, environment=row.environment).get("environment", "")
    if environment and chosen and environment != chosen:
        raise WrongAccountError(code="oauth.environment", provider=row.crm_type)


def _check_account(row: CrmOAuthState, account: Account) -> None:
    """A reconnect is to the account that is pinned."""
    with organization_context(owner_of(row)):
        existing = open_connection(row.crm_type)
    if existing is not None and existing.remote_account_id not in ("", account.remote_account_id):
        raise WrongAccountError(provider=row.crm_type, operation="connect")


# Small things -----------------------------------------------------------------------------------------------


def _draft(row: CrmOAuthState, payload: dict[str, Any], registration: str) -> CrmConnection:
    draft = CrmConnection(
        id=uuid7(),
        organization_id=row.organization_id,
        crm_type=row.crm_type,
        environment=row.environment,
        app_registration_id=registration_of(registration),
    )
    draft.seal_credentials(payload)
    return draft


def may_connect(person: Person, organization_id: uuid.UUID) -> bool:
    """Asked again at each step: the role may be gone by now. Nobody connects by a grant, which the access outlasts."""
    return any(
        place.organization_id == organization_id and place.role in _MAY_CONNECT and place.staff_access_id is None
        for place in places_of(person.user_id)
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _single(query: Mapping[str, Sequence[str]], name: str) -> str:
    """The only value of a parameter; a parameter that is given twice counts as wrong."""
    values = query.get(name, ())
    if len(values) > 1:
        raise LogInFailedError("oauth.state")
    return values[0] if values else ""
