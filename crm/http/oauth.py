"""A provider's token endpoint: a code for tokens, a refresh token for tokens, the end of a grant.

Nothing is stored here and nobody is kept waiting for a turn: that one worker at a time renews a grant is the
caller's care (``adsapp_crm.storage.tokens``).
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final
from urllib.parse import quote, urlsplit

import requests

from crm.errors import AuthorizationExpiredError, OutcomeUnknownError, ProviderUnavailableError, UnexpectedAnswerError
from crm.http.answer import Answer
from crm.http.client import Call, HttpClient
from crm.http.grants import OAuthClient, OAuthFlow, Token, classify
from crm.http.hosts import HostPolicy
from crm.http.redact import Secret
from crm.ports import Turn

TOTAL_SECONDS: Final = 30.0
"""The longest a call may take, retries included: a third of what a claim on the refresh is valid for."""


class _Unlimited:
    """Token endpoints stand outside the providers' request budgets."""

    def acquire(self, budget: str, cost: int = 1, turn: Turn | None = None) -> Turn:  # noqa: ARG002  the port's shape
        return Turn()

    def late(self, budget: str, turn: Turn, seconds: float) -> None:
        """Nothing is counted."""

    def observe(self, headers: Mapping[str, str]) -> None:
        """Nothing to learn."""

    def exhausted(self, budget: str, retry_after_seconds: float) -> None:
        """The error says it all."""


class TokenEndpoint:
    """One app's way to the token endpoint of one provider.

    Raises ConfigurationError (``config.host``) for an address that is not the provider's.
    """

    def __init__(
        self,
        flow: OAuthFlow,
        settings: Mapping[str, str],
        hosts: HostPolicy,
        client: OAuthClient,
        *,
        provider: str,
        session: requests.Session | None = None,
        sleep: Callable[[float], None] = time.sleep,
        on_call: Callable[[Call], None] | None = None,
    ) -> None:
        self._flow = flow
        self._client = client
        self._hosts = hosts
        self._provider = provider
        self._token_url = flow.token_url(settings)
        self._revoke_url = flow.revoke_url(settings)
        self._http = partial(
            HttpClient,
            provider=provider,
            authorize=self._headers,
            classify=partial(classify, flow),
            limiter=_Unlimited(),
            hosts=hosts,
            read_timeout_seconds=TOTAL_SECONDS - 5,
            total_seconds=TOTAL_SECONDS,
            max_body_bytes=1 << 20,
            session=session,
            sleep=sleep,
            on_call=on_call,
        )

    def exchange(self, code: Secret, *, redirect_uri: str, verifier: Secret | None) -> Token:
        """A code becomes tokens. Never tried twice: a code works once.

        Raises AuthorizationExpiredError when the code is refused, ConfigurationError when the app is,
        ProviderUnavailableError when the CRM did not say (the person then starts again).
        """
        form = {"grant_type": "authorization_code", "code": code.reveal(), "redirect_uri": redirect_uri}
        if verifier is not None and self._flow.pkce:
            form["code_verifier"] = verifier.reveal()
        return self._token(form, "exchange_code")

    def refresh(self, refresh_token: Secret) -> Token:
        """New tokens for a grant.

        Raises AuthorizationExpiredError when the grant is refused, ConfigurationError when the app is; every other
        trouble is a TransientError. When the answer was lost the old refresh token may be spent: the next try tells.
        """
        return self._token({"grant_type": "refresh_token", "refresh_token": refresh_token.reveal()}, "refresh_token")

    def revoke(self, token: Secret) -> None:
        """End the grant of a refresh token. A token that is unknown by now succeeds."""
        form = {"token": token.reveal(), "token_type_hint": "refresh_token"}
        try:
            self._post(self._revoke_url, form, "revoke_token", write=False)
        except AuthorizationExpiredError:
            return

    def _token(self, form: Mapping[str, str], operation: str) -> Token:
        try:
            answer = self._post(self._token_url, form, operation, write=True)
        except OutcomeUnknownError as lost:
            raise ProviderUnavailableError(
                "The CRM did not answer the request for a token",
                provider=self._provider,
                operation=operation,
                provider_message=lost.provider_message,
            ) from None
        if not isinstance(answer.body, dict):
            raise UnexpectedAnswerError("The token answer is no JSON object", provider=self._provider)
        return self._flow.read_token(answer.body, self._client, self._hosts)

    def _post(self, url: str, form: Mapping[str, str], operation: str, *, write: bool) -> Answer:
        parts = urlsplit(url)
        whole = dict(form)
        if not self._flow.client_by_basic:
            whole |= {"client_id": self._client.client_id, "client_secret": self._client.client_secret.reveal()}
        http = self._http(base_url=f"{parts.scheme}://{parts.netloc}")
        return http.request("POST", parts.path, operation=operation, form=whole, write=write)

    def _headers(self) -> Mapping[str, str]:
        if not self._flow.client_by_basic:
            return {}
        # RFC 6749, 2.3.1: both halves are form-encoded before they are joined.
        pair = f"{quote(self._client.client_id, safe='')}:{quote(self._client.client_secret.reveal(), safe='')}"
        return {"Authorization": Secret(f"Basic {base64.b64encode(pair.encode()).decode()}")}
