"""Pipedrive's OAuth as data.

https://pipedrive.readme.io/docs/marketplace-oauth-authorization (checked 2026-09). Scopes are fixed in the app's
registration. PKCE is not documented, and integrations that sent it were refused: the client secret is the proof.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from crm.errors import UnexpectedAnswerError
from crm.http import grants
from crm.http.hosts import HostPolicy
from crm.providers.pipedrive import auth, endpoints


def _base(settings: Mapping[str, str]) -> str:
    return (settings.get("auth_base") or endpoints.AUTH_BASE).rstrip("/")


def authorize_url(settings: Mapping[str, str]) -> str:
    return _base(settings) + "/oauth/authorize"


def token_url(settings: Mapping[str, str]) -> str:
    return _base(settings) + "/oauth/token"


def revoke_url(settings: Mapping[str, str]) -> str:
    return _base(settings) + "/oauth/revoke"


def read_token(body: Mapping[str, Any], client: grants.OAuthClient, hosts: HostPolicy) -> grants.Token:
    """``api_domain`` is where the company's data is called. Which company that is, ``Connector.account`` tells."""
    del client
    access_token = grants.secret_of(body, "access_token", provider="pipedrive")
    api_domain = grants.text_of(body, "api_domain", provider="pipedrive")
    parts = urlsplit(api_domain if "://" in api_domain else f"https://{api_domain}")
    base = f"{parts.scheme}://{parts.netloc}"
    hosts.check_url(base)
    return grants.Token(
        access_token=access_token,
        refresh_token=grants.optional_secret_of(body, "refresh_token", provider="pipedrive"),
        expires_in_seconds=grants.seconds_of(body),
        scopes=grants.scopes_of(body.get("scope")),
        settings={"api_base": base, "auth_scheme": auth.BEARER},
    )


_MESSAGES: Final[Mapping[str, str]] = {
    "invalid grant": "invalid_grant",
    "invalid client": "invalid_client",
    "invalid request": "invalid_request",
    "missing parameter": "invalid_request",
    "unsupported grant type": "unsupported_grant_type",
    "invalid scope": "invalid_scope",
}


def error_of(body: Mapping[str, Any]) -> str:
    """The messages are documented (``Invalid grant: refresh_token is invalid``), the envelope round them is not."""
    message = body.get("message")
    begins = message.partition(":")[0].strip().lower() if isinstance(message, str) else ""
    return _MESSAGES.get(begins, "") or grants.standard_error(body)


_ID: Final = re.compile(r"[0-9A-Za-z._:-]{1,100}")


def read_uninstall(body: Mapping[str, Any]) -> grants.Uninstalled:
    """https://pipedrive.readme.io/docs/app-uninstallation: client_id, company_id, user_id, timestamp."""
    found = {name: body.get(name) for name in ("client_id", "company_id", "user_id")}
    if not all(type(each) in (int, str) and _ID.fullmatch(str(each)) for each in found.values()):
        raise UnexpectedAnswerError("It does not say which app of which company and user", provider="pipedrive")
    return grants.Uninstalled(*(str(each) for each in found.values()))


OAUTH: Final = grants.OAuthFlow(
    authorize_url=authorize_url,
    token_url=token_url,
    revoke_url=revoke_url,
    read_token=read_token,
    pkce=False,
    asks_scopes=False,
    client_by_basic=True,
    session_seconds=3_600.0,
    idle_days=60,
    error_of=error_of,
    read_uninstall=read_uninstall,
)
