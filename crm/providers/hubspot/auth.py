"""How a call to HubSpot is authorized, and what this project asks leave for.

https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/oauth/working-with-oauth
(checked 2026-11). Private apps, service keys and OAuth apps all send a bearer token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from crm.errors import UnexpectedAnswerError
from crm.http import grants
from crm.http.hosts import HostPolicy
from crm.http.redact import Secret
from crm.providers.hubspot import endpoints

SCOPES: Final = (
    "oauth",
    "crm.objects.contacts.read",
    "crm.objects.contacts.write",
    "crm.schemas.contacts.read",
)
OPTIONAL_SCOPES: Final = (
    "crm.schemas.contacts.write",
    "crm.objects.owners.read",
    "communication_preferences.read_write",
)
"""Without them: no marker field, no names of owners, no opt-outs sent. The rest works."""


def bearer(token: Callable[[], Secret]) -> Callable[[], Mapping[str, str]]:
    """The headers of a call, with the token as it is at that moment."""
    return lambda: {"Authorization": Secret(f"Bearer {token().reveal()}")}


def authorize_url(settings: Mapping[str, str]) -> str:
    return (settings.get("auth_base") or endpoints.AUTH_BASE).rstrip("/") + endpoints.AUTHORIZE_PATH


def token_url(settings: Mapping[str, str]) -> str:
    return (settings.get("api_base") or endpoints.API_BASE).rstrip("/") + endpoints.TOKEN_PATH


def revoke_url(settings: Mapping[str, str]) -> str:
    return (settings.get("api_base") or endpoints.API_BASE).rstrip("/") + endpoints.REVOKE_PATH


def read_token(body: Mapping[str, Any], client: grants.OAuthClient, hosts: HostPolicy) -> grants.Token:
    """``hub_id`` is the account. The refresh token that comes back is the one there was; it is kept as it comes."""
    del client, hosts
    hub_id = body.get("hub_id")
    if isinstance(hub_id, bool) or not isinstance(hub_id, int | str) or not str(hub_id).isdigit():
        raise UnexpectedAnswerError("The token answer names no account", provider="hubspot")
    return grants.Token(
        access_token=grants.secret_of(body, "access_token", provider="hubspot"),
        refresh_token=grants.optional_secret_of(body, "refresh_token", provider="hubspot"),
        expires_in_seconds=grants.seconds_of(body),
        scopes=grants.scopes_of(body.get("scopes")),
        remote_account_id=str(hub_id),
    )


_STATUS_WORDS: Final[Mapping[str, str]] = {
    "BAD_REFRESH_TOKEN": "invalid_grant",
    "BAD_AUTH_CODE": "invalid_grant",
    "BAD_CODE_VERIFIER": "invalid_grant",
    "BAD_HUB": "access_denied",
    "BAD_CLIENT_ID": "invalid_client",
    "BAD_CLIENT_SECRET": "invalid_client",
    "BAD_REDIRECT_URI": "redirect_uri_mismatch",
    "BAD_GRANT_TYPE": "unsupported_grant_type",
    "BAD_SCOPES": "invalid_scope",
}


def error_of(body: Mapping[str, Any]) -> str:
    """HubSpot's older ``status`` word where there is one: it tells more, and RFC 6749's came later."""
    return _STATUS_WORDS.get(str(body.get("status")), "") or grants.standard_error(body)


OAUTH: Final = grants.OAuthFlow(
    authorize_url=authorize_url,
    token_url=token_url,
    revoke_url=revoke_url,
    read_token=read_token,
    optional_scope_parameter="optional_scope",
    session_seconds=1_800.0,
    error_of=error_of,
)
"""A refresh token does not expire; revoking it leaves access tokens alive until their half hour is over."""
