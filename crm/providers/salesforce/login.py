"""Salesforce's web server flow as data.

https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_web_server_flow.htm (checked 2026-11). PKCE is
required of partners; a refresh token may rotate, and one that was spent ends the whole grant when it is used again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from crm.http import grants
from crm.http.hosts import HostPolicy
from crm.providers.salesforce import auth, endpoints


def _base(settings: Mapping[str, str]) -> str:
    environment = settings.get("environment") or endpoints.PRODUCTION
    return auth.login_base(environment, settings.get("login_base") or "").rstrip("/")


def authorize_url(settings: Mapping[str, str]) -> str:
    return _base(settings) + endpoints.AUTHORIZE_PATH


def token_url(settings: Mapping[str, str]) -> str:
    return _base(settings) + endpoints.TOKEN_PATH


def revoke_url(settings: Mapping[str, str]) -> str:
    return _base(settings) + endpoints.REVOKE_PATH


def read_token(body: Mapping[str, Any], client: grants.OAuthClient, hosts: HostPolicy) -> grants.Token:
    """The instance may be another after a refresh; there is no ``expires_in``."""
    access_token = grants.secret_of(body, "access_token", provider="salesforce")
    granted = auth.read_grant(body, client.client_secret, hosts.extra_hosts)
    return grants.Token(
        access_token=access_token,
        refresh_token=grants.optional_secret_of(body, "refresh_token", provider="salesforce"),
        expires_in_seconds=grants.seconds_of(body),
        scopes=grants.scopes_of(body.get("scope")),
        remote_account_id=granted.organization_id,
        settings={"instance_url": granted.instance_url, "user_id": granted.user_id},
    )


def missing_scopes(required: Sequence[str], granted: Sequence[str]) -> tuple[str, ...]:
    """``full`` holds all but the refresh token, which has two names."""
    held = set(granted) | ({"refresh_token"} if "offline_access" in granted else set())
    if "full" in held:
        held |= set(required) - {"refresh_token"}
    return grants.missing_scopes(required, tuple(held))


def environment_of(settings: Mapping[str, str]) -> str:
    """A sandbox's own domain is ``<domain>--<sandbox>.sandbox.my.salesforce.com``; other names tell nothing."""
    host = urlsplit(settings.get("instance_url", "")).hostname or ""
    if host.endswith(".sandbox.my.salesforce.com"):
        return endpoints.SANDBOX
    return endpoints.PRODUCTION if host.endswith(".my.salesforce.com") else ""


OAUTH: Final = grants.OAuthFlow(
    authorize_url=authorize_url,
    token_url=token_url,
    revoke_url=revoke_url,
    read_token=read_token,
    session_seconds=7_200.0,
    idle_days=30,
    passing_messages=("already being processed",),
    missing_scopes=missing_scopes,
    environment_of=environment_of,
)
