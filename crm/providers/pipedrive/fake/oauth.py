"""OAuth 2.0: the consent page, code and refresh grants, revocation. PKCE is accepted.

Pages: https://pipedrive.readme.io/docs/marketplace-oauth-authorization and
https://pipedrive.readme.io/docs/marketplace-oauth-and-api-proxy-status-codes
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import random
from dataclasses import dataclass, field
from html import escape
from typing import Final
from urllib.parse import urlencode, urlsplit

from crm.providers.pipedrive.fake.answers import AnswerError
from crm.providers.pipedrive.fake.caller import Grant
from crm.providers.pipedrive.fake.state import FIRST_USER_ID, State
from crm.testing.wsgi import Request, Response, Router, html_page, json_response

CODE_LIFETIME_MS: Final = 5 * 60_000
REFRESH_LIFETIME_MS: Final = 60 * 86_400_000
DEFAULT_SCOPES: Final = (
    "base",
    "contacts:full",
    "deals:full",
    "activities:full",
    "search:read",
    "users:read",
    "recents:read",
    "contact-fields:full",
    "admin",
)


@dataclass(slots=True)
class OAuthApp:
    """The registered app; its scopes are fixed here. ``rotates``: each refresh gives a new refresh token."""

    client_id: str = "0f1e2d3c4b5a6978"
    client_secret: str = "8796a5b4c3d2e1f00f1e2d3c4b5a697887960a1b"  # noqa: S105 - opens nothing but a fake
    redirect_uris: list[str] = field(default_factory=list)
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    expires_in_seconds: int = 3599
    rotates: bool = False
    user_id: int = FIRST_USER_ID


@dataclass(slots=True)
class Code:
    redirect_uri: str
    expires_ms: int
    challenge: str = ""
    method: str = "plain"


class OAuthApi:
    """Issues tokens into ``grants``, where the application looks them up."""

    def __init__(self, state: State, grants: dict[str, Grant], app: OAuthApp, *, seed: int) -> None:
        self._state = state
        self._grants = grants
        self.app = app
        self._random = random.Random(f"oauth/{seed}")  # noqa: S311 - reproducible, not secret
        self._codes: dict[str, Code] = {}
        self.refresh_tokens: dict[str, int] = {}

    def mount(self, router: Router) -> None:
        router.add("GET", "/oauth/authorize", self.consent_page)
        router.add("POST", "/oauth/authorize", self.consent)
        router.add("POST", "/oauth/token", self.token)
        router.add("POST", "/oauth/revoke", self.revoke)

    def issue_code(self, redirect_uri: str, *, challenge: str = "", method: str = "plain") -> str:
        """What the consent page hands to the redirect address; used once, within five minutes."""
        code = self._hex(20)
        self._codes[code] = Code(redirect_uri, self._state.clock.now_ms() + CODE_LIFETIME_MS, challenge, method)
        return code

    # Pages ----------------------------------------------------------------------------------------------

    def consent_page(self, request: Request) -> Response:
        problem = self._problem(request.first("client_id"), request.first("redirect_uri"))
        if problem:
            page = html_page("Pipedrive fake: cannot install", f"<p role=alert>{escape(problem)}")
            page.status = 400
            return page
        names = ("client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method")
        hidden = "".join(
            f"<input type=hidden name={name} value='{escape(request.first(name), quote=True)}'>" for name in names
        )
        scopes = "".join(f"<li>{escape(scope)}" for scope in self.app.scopes)
        return html_page(
            "Pipedrive fake: install the app?",
            f"<p>It may use, in {escape(self._state.company_domain)}:<ul>{scopes}</ul>",
            f"<form class=line method=post>{hidden}<button name=do value=allow>Allow and install</button>"
            "<button name=do value=deny>Cancel</button></form>",
        )

    def consent(self, request: Request) -> Response:
        form = request.form()
        redirect_uri = form.get("redirect_uri", "")
        if problem := self._problem(form.get("client_id", ""), redirect_uri):
            raise refusal("invalid_request", problem)
        given = {"state": form["state"]} if form.get("state") else {}
        if form.get("do") == "allow":
            method = form.get("code_challenge_method") or "plain"
            code = self.issue_code(redirect_uri, challenge=form.get("code_challenge", ""), method=method)
            query = {"code": code, **given}
        else:
            query = {"error": "user_denied", **given}
        joiner = "&" if urlsplit(redirect_uri).query else "?"
        return Response(302, b"", [("Location", f"{redirect_uri}{joiner}{urlencode(query)}")])

    def _problem(self, client_id: str, redirect_uri: str) -> str:
        if client_id != self.app.client_id:
            return "Invalid client: client is invalid"
        known = self.app.redirect_uris
        if urlsplit(redirect_uri).scheme not in ("http", "https") or (known and redirect_uri not in known):
            return "Invalid request: redirect_uri is not valid"
        return ""

    # Tokens ---------------------------------------------------------------------------------------------

    def token(self, request: Request) -> Response:
        form = self._client_form(request)
        now_ms = self._state.clock.now_ms()
        match form.get("grant_type"):
            case None | "":
                raise refusal("invalid_request", "Missing parameter: grant_type")
            case "authorization_code":
                self._redeem(form)
                refresh_token = self._refresh_token()
            case "refresh_token":
                refresh_token = form.get("refresh_token", "")
                if self.refresh_tokens.get(refresh_token, 0) <= now_ms:
                    raise refusal("invalid_grant", "Invalid grant: refresh_token is invalid")
                if self.app.rotates:
                    del self.refresh_tokens[refresh_token]
                    refresh_token = self._refresh_token()
            case _:
                raise refusal("unsupported_grant_type", "Unsupported grant type: grant_type is invalid")
        self.refresh_tokens[refresh_token] = now_ms + REFRESH_LIFETIME_MS
        access_token = f"v1u:{self._hex(60)}"
        expires_ms = now_ms + self.app.expires_in_seconds * 1000
        scopes = frozenset(self.app.scopes)
        self._grants[access_token] = Grant(access_token, self.app.user_id, True, scopes, expires_ms)
        self._state.dirty_tables.add("tokens")
        return json_response(
            {
                "access_token": access_token,
                "token_type": "Bearer",
                "expires_in": self.app.expires_in_seconds,
                "refresh_token": refresh_token,
                "scope": ",".join(self.app.scopes),
                "api_domain": self._api_domain(request),
            }
        )

    def revoke(self, request: Request) -> Response:
        """Always 200. Without its refresh token the app is uninstalled: its access tokens end too."""
        token = self._client_form(request).get("token", "")
        if self.refresh_tokens.pop(token, None) is not None:
            for found in [found for found, grant in self._grants.items() if grant.is_oauth]:
                del self._grants[found]
        else:
            grant = self._grants.get(token)
            if grant is not None and grant.is_oauth:
                del self._grants[token]
        self._state.dirty_tables.add("tokens")
        return json_response({"success": True})

    def _redeem(self, form: dict[str, str]) -> None:
        code = self._codes.pop(form.get("code", ""), None)
        if code is None:
            raise refusal("invalid_grant", "Invalid grant: authorization_code is invalid")
        if code.expires_ms <= self._state.clock.now_ms():
            raise refusal("invalid_grant", "Invalid grant: authorization_code has expired")
        if form.get("redirect_uri") != code.redirect_uri:
            raise refusal("invalid_request", "Invalid request: redirect_uri is not valid")
        if code.challenge and not _verified(code, form.get("code_verifier", "")):
            raise refusal("invalid_grant", "Invalid grant: code_verifier is invalid")

    def _client_form(self, request: Request) -> dict[str, str]:
        """The form, once the client is known, by Basic credentials or by the form itself."""
        form = request.form()
        client_id, client_secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                client_id, _, client_secret = base64.b64decode(encoded, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                client_id = client_secret = ""
        if not client_id or not client_secret:
            raise refusal("invalid_client", "Invalid client: cannot retrieve client credentials")
        if client_id != self.app.client_id or not hmac.compare_digest(client_secret, self.app.client_secret):
            raise refusal("invalid_client", "Invalid client: client is invalid")
        return form

    def _api_domain(self, request: Request) -> str:
        """The company's own host; on loopback the one that was asked."""
        host = urlsplit(request.host_url).hostname or ""
        if host == "pipedrive.com" or host.endswith(".pipedrive.com"):
            return f"https://{self._state.company_domain}.pipedrive.com"
        return request.host_url

    def _refresh_token(self) -> str:
        return f"{self._state.company_id}:{self.app.user_id}:{self._hex(20)}"

    def _hex(self, length_bytes: int) -> str:
        return self._random.randbytes(length_bytes).hex()


def refusal(code: str, message: str) -> AnswerError:
    """The message is documented, the envelope around it is not."""
    return AnswerError(400, {"success": False, "message": message, "error": code})


def _verified(code: Code, verifier: str) -> bool:
    """RFC 7636, 4.6."""
    if code.method == "S256":
        digest = hashlib.sha256(verifier.encode()).digest()
        verifier = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return hmac.compare_digest(verifier, code.challenge)
