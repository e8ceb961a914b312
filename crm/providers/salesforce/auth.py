"""How a call to Salesforce is authorized, what leave this project asks for, and what a token answer says. Pure.

https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_web_server_flow.htm (checked 2026-11).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from crm.errors import ConfigurationError, UnexpectedAnswerError
from crm.http.hosts import HostPolicy
from crm.http.redact import Secret
from crm.http.signatures import is_same
from crm.providers.salesforce import endpoints
from crm.providers.salesforce.mapping import to18

SCOPES: Final = ("api", "refresh_token", "openid")
"""``openid`` for the user information that names organization and user."""
OPTIONAL_SCOPES: Final = ()


def bearer(token: Callable[[], Secret]) -> Callable[[], Mapping[str, str]]:
    """The headers of a call, with the token as it is at that moment."""
    return lambda: {"Authorization": Secret(f"Bearer {token().reveal()}")}


def login_base(environment: str, override: str = "") -> str:
    """Where a person grants access and tokens come from; ``override`` is an own domain or another address."""
    return override or (endpoints.SANDBOX_LOGIN_BASE if environment == endpoints.SANDBOX else endpoints.LOGIN_BASE)


def check_instance(url: str, extra_hosts: tuple[str, ...] = ()) -> str:
    """The address that data is called at; raises ConfigurationError (``config.host``) when it may not be called."""
    if not url:
        raise ConfigurationError(
            "Salesforce is connected by a log-in at Salesforce: a token alone does not say where the organization is."
        )
    policy = HostPolicy(endpoints.HOST_SUFFIXES, extra_hosts)
    parts = policy.check_url(url)
    host = parts.hostname or ""
    if host == endpoints.PAGES_HOST or host.endswith("." + endpoints.PAGES_HOST):
        raise ConfigurationError(
            "The address is the one that people work at. Give the one that ends in .my.salesforce.com.",
            code="config.host",
        )
    return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token answer says besides its tokens."""

    instance_url: str
    """May differ after every refresh, and then replaces the stored one."""
    organization_id: str
    user_id: str


def read_grant(answer: Mapping[str, Any], client_secret: Secret, extra_hosts: tuple[str, ...] = ()) -> Grant:
    """From the answer of the token endpoint. Raises UnexpectedAnswerError when it is not what is documented.

    ``signature``, where present, must be the HMAC-SHA256 of ``id`` and ``issued_at`` under the client secret.
    """
    identity, instance = answer.get("id"), answer.get("instance_url")
    if not isinstance(identity, str) or not isinstance(instance, str):
        raise UnexpectedAnswerError("The token answer names no instance or no identity", provider="salesforce")
    signature = answer.get("signature")
    if isinstance(signature, str):
        signed = (identity + str(answer.get("issued_at") or "")).encode()
        expected = base64.b64encode(hmac.new(client_secret.reveal().encode(), signed, hashlib.sha256).digest())
        if not is_same(signature, expected.decode()):
            raise UnexpectedAnswerError("The token answer's signature does not fit", provider="salesforce")
    parts = urlsplit(identity).path.split("/")
    organization_id, user_id = (to18(part) for part in parts[-2:]) if len(parts) > 2 else (None, None)
    if not organization_id or not user_id:
        raise UnexpectedAnswerError("The token answer's identity is none", provider="salesforce")
    return Grant(check_instance(instance, extra_hosts), organization_id, user_id)
