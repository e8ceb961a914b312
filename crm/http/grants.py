"""Authorization by OAuth 2.0 as a provider declares it: addresses, proofs, token answers, refusals. Pure.

RFC 6749 (the code grant), RFC 7636 (PKCE), RFC 7009 (revocation), RFC 9207 (issuer), RFC 9700 (best practice).
What is sent is sent by ``crm.http.oauth``.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import urlencode, urlsplit

from crm.errors import (
    AuthorizationExpiredError,
    ConfigurationError,
    CrmError,
    ProviderUnavailableError,
    RateLimitedError,
    UnexpectedAnswerError,
)
from crm.http.hosts import HostPolicy
from crm.http.redact import Secret, redact_text

STATE_BYTES: Final = 32
VERIFIER_BYTES: Final = 48
"""64 characters; RFC 7636 asks for 43 to 128."""
MAX_TOKEN_CHARACTERS: Final = 8_192
DEFAULT_WAIT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """The app that asks: registered at the provider by this installation or by the organization itself."""

    client_id: str
    client_secret: Secret


@dataclass(frozen=True, slots=True)
class Token:
    """What a token answer gives. The tokens are ``Secret``, so ``repr`` shows none."""

    access_token: Secret
    refresh_token: Secret | None
    """None: the one there is stays in use."""
    expires_in_seconds: float | None
    """None: not told; the session's usual length is then ``OAuthFlow.session_seconds``."""
    scopes: tuple[str, ...] | None = None
    """None: not told."""
    remote_account_id: str = ""
    """Empty: the answer names no account; ``Connector.account`` does."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What the connector has to know from now on, by ``Setting.name``; replaces what it knew."""


@dataclass(frozen=True, slots=True)
class Uninstalled:
    """What a CRM tells of an app that was uninstalled there."""

    client_id: str
    account_id: str
    user_id: str = ""
    """Whose grant has ended; empty: everybody's of that account."""


class ReadToken(Protocol):
    def __call__(self, body: Mapping[str, Any], client: OAuthClient, hosts: HostPolicy) -> Token:
        """Raises UnexpectedAnswerError for what is not documented, ConfigurationError for a foreign address."""


AddressOf = Callable[[Mapping[str, str]], str]
"""From ``Setting.name`` -> value (this installation's, the connection's environment) to a whole address."""


def standard_error(body: Mapping[str, Any]) -> str:
    """The error word of RFC 6749, 5.2; ``""`` when the answer has none."""
    word = body.get("error")
    return word if isinstance(word, str) else ""


def missing_scopes(required: Sequence[str], granted: Sequence[str]) -> tuple[str, ...]:
    return tuple(scope for scope in required if scope not in granted)


def no_environment(_: Mapping[str, str]) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class OAuthFlow:
    """How one provider does it."""

    authorize_url: AddressOf
    token_url: AddressOf
    revoke_url: AddressOf
    read_token: ReadToken
    pkce: bool = True
    asks_scopes: bool = True
    """False where the scopes are fixed in the app's registration."""
    optional_scope_parameter: str = ""
    """Parameter for scopes the grant may lack; empty where there is none."""
    client_by_basic: bool = False
    """Client id and secret in an Authorization header, not in the form."""
    session_seconds: float = 3_600.0
    """How long an access token lives where its answer does not say."""
    idle_days: float | None = None
    """A grant that is not renewed for so long ends by itself; None: it does not."""
    error_of: Callable[[Mapping[str, Any]], str] = standard_error
    """The provider's refusal in the words of RFC 6749."""
    passing_messages: tuple[str, ...] = ()
    """Parts of an ``invalid_grant``'s description, in lower case, that say: somebody else is at it, try again."""
    missing_scopes: Callable[[Sequence[str], Sequence[str]], tuple[str, ...]] = missing_scopes
    """(required, granted) -> what is lacking."""
    read_uninstall: Callable[[Mapping[str, Any]], Uninstalled] | None = None
    """What a DELETE at the callback says, with the app's client id and secret as Basic credentials; raises
    UnexpectedAnswerError. None: the CRM does not tell."""
    environment_of: Callable[[Mapping[str, str]], str] = no_environment
    """From ``Token.settings``: the environment that the account is in, ``""`` where that cannot be told."""


def new_state() -> str:
    """256 random bits as 43 characters."""
    return secrets.token_urlsafe(STATE_BYTES)


def new_verifier() -> Secret:
    return Secret(secrets.token_urlsafe(VERIFIER_BYTES))


def challenge_of(verifier: Secret) -> str:
    """RFC 7636, 4.2: S256. The plain method is never used."""
    digest = hashlib.sha256(verifier.reveal().encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def authorize_address(
    flow: OAuthFlow,
    settings: Mapping[str, str],
    hosts: HostPolicy,
    *,
    client_id: str,
    redirect_uri: str,
    state: str,
    verifier: Secret,
    scopes: Sequence[str],
    optional_scopes: Sequence[str] = (),
) -> str:
    """Where the person's browser is sent. Raises ConfigurationError (``config.host``) for a foreign address."""
    address = flow.authorize_url(settings)
    parts = hosts.check_url(address)
    query = {"response_type": "code", "client_id": client_id, "redirect_uri": redirect_uri, "state": state}
    if flow.asks_scopes:
        query["scope"] = " ".join(scopes)
        if flow.optional_scope_parameter and optional_scopes:
            query[flow.optional_scope_parameter] = " ".join(optional_scopes)
    if flow.pkce:
        query |= {"code_challenge": challenge_of(verifier), "code_challenge_method": "S256"}
    return f"{address}{'&' if parts.query else '?'}{urlencode(query)}"


def is_issuer(issuer: str, flow: OAuthFlow, settings: Mapping[str, str], hosts: HostPolicy) -> bool:
    """Whether ``iss`` of a callback (RFC 9207) may be the server that the person was sent to.

    That server's own origin, or another host of the provider's domains: an account's own log-in domain names
    itself. An extra host is only ever the one that was used, since extra hosts of all providers stand in one list.
    """
    try:
        given = hosts.check_url(issuer)
        sent_to = urlsplit(flow.authorize_url(settings))
        if (given.scheme, given.hostname, given.port) == (sent_to.scheme, sent_to.hostname, sent_to.port):
            return True
        HostPolicy(hosts.suffixes).check_url(issuer)
    except (ConfigurationError, ValueError):
        return False
    return True


_CALLBACK_CODES: Final[Mapping[str, str]] = {
    "access_denied": "oauth.denied",
    "user_denied": "oauth.denied",
    "oauth_app_blocked": "oauth.not_installed",
    "oauth_approval_error_generic": "oauth.not_installed",
    "invalid_client": "oauth.client",
    "invalid_client_id": "oauth.client",
    "unauthorized_client": "oauth.client",
    "redirect_uri_mismatch": "oauth.request",
    "invalid_request": "oauth.request",
    "invalid_scope": "oauth.request",
    "unsupported_response_type": "oauth.request",
}


def callback_code(error: str, description: str) -> str:
    """The catalogue's code for ``error`` of a callback: what a person can do about it."""
    if "must be installed" in description.lower():
        return "oauth.not_installed"
    return _CALLBACK_CODES.get(error.lower(), "oauth.failed")


class AnswerLike(Protocol):
    """What ``classify`` reads of an answer (``crm.http.answer.Answer``)."""

    @property
    def status(self) -> int: ...

    @property
    def body(self) -> Any: ...

    @property
    def succeeded(self) -> bool: ...

    def retry_after_seconds(self) -> float | None: ...


_CLIENT_WORDS: Final = ("invalid_client", "invalid_client_id", "unauthorized_client")
_REQUEST_WORDS: Final = (
    *("invalid_request", "invalid_scope", "unsupported_grant_type", "unsupported_response_type"),
    *("redirect_uri_mismatch", "invalid_redirect_uri"),
)
_PASSING_WORDS: Final = frozenset({"temporarily_unavailable", "server_error", "unknown_error", "slow_down"})
_PASSING_STATUSES: Final = frozenset({408, 423, 425, 477})


def classify(flow: OAuthFlow, answer: AnswerLike) -> CrmError | None:
    """What an answer of the token endpoint means; None for success.

    ``invalid_grant`` is AuthorizationExpiredError (``auth.expired``, ``auth.user_inactive``), a refused client or
    request ConfigurationError (``oauth.client``, ``oauth.request``): that says nothing of anybody's grant. Everything
    passing is TransientError. What is not understood is UnexpectedAnswerError, never the end of a grant.
    """
    body = answer.body if isinstance(answer.body, dict) else {}
    word = flow.error_of(body)
    if answer.succeeded and not word:
        return None
    description = body.get("error_description") or body.get("message")
    description = description if isinstance(description, str) else ""
    error = _passing(flow, answer, word, description.lower()) or _REFUSALS.get(word, _not_understood)(description)
    error.provider_message = redact_text(description)
    return error


def _passing(flow: OAuthFlow, answer: AnswerLike, word: str, description: str) -> CrmError | None:
    if answer.status == 429:
        return RateLimitedError(retry_after_seconds=answer.retry_after_seconds() or DEFAULT_WAIT_SECONDS)
    if answer.status >= 500 or answer.status in _PASSING_STATUSES or word in _PASSING_WORDS:
        return ProviderUnavailableError("The CRM cannot issue tokens at the moment")
    if word == "invalid_grant" and any(part in description for part in flow.passing_messages):
        return ProviderUnavailableError("Another request renews this token")
    return None


def _ended(description: str) -> CrmError:
    return AuthorizationExpiredError(
        code="auth.user_inactive" if "inactive user" in description.lower() else "auth.expired"
    )


def _withdrawn(_: str) -> CrmError:
    return AuthorizationExpiredError(code="auth.revoked")


def _client_refused(_: str) -> CrmError:
    return ConfigurationError(
        "The CRM does not know this client id, or the client secret is another one.", code="oauth.client"
    )


def _request_refused(_: str) -> CrmError:
    return ConfigurationError(
        "The CRM refuses the log-in's parameters: compare redirect address and scopes with the app there.",
        code="oauth.request",
    )


def _not_understood(_: str) -> CrmError:
    return UnexpectedAnswerError("The CRM's token endpoint answered something else than a token")


_REFUSALS: Final[Mapping[str, Callable[[str], CrmError]]] = {
    "invalid_grant": _ended,
    "access_denied": _withdrawn,
    "invalid_token": _withdrawn,
    **dict.fromkeys(_CLIENT_WORDS, _client_refused),
    **dict.fromkeys(_REQUEST_WORDS, _request_refused),
}


def text_of(body: Mapping[str, Any], name: str, *, provider: str) -> str:
    """A text that has to be there; raises UnexpectedAnswerError, which shows the name only."""
    found = body.get(name)
    if not isinstance(found, str) or not found or len(found) > MAX_TOKEN_CHARACTERS or not found.isascii():
        raise UnexpectedAnswerError(f"The token answer has no usable {name}", provider=provider)
    return found


def secret_of(body: Mapping[str, Any], name: str, *, provider: str) -> Secret:
    return Secret(text_of(body, name, provider=provider))


def optional_secret_of(body: Mapping[str, Any], name: str, *, provider: str) -> Secret | None:
    return secret_of(body, name, provider=provider) if body.get(name) not in (None, "") else None


def seconds_of(body: Mapping[str, Any], name: str = "expires_in") -> float | None:
    """A lifetime in seconds; None when it is absent or no sensible number."""
    found = body.get(name)
    if isinstance(found, str) and found.isascii() and found.isdigit():
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if 0 < found < 10**9 else None


def scopes_of(value: object) -> tuple[str, ...] | None:
    """A list of scopes, or a text with blanks or commas between them; None for anything else."""
    if isinstance(value, str):
        return tuple(value.replace(",", " ").split())
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    return None
