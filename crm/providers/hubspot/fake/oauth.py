"""The consent page, code and refresh grants, introspection, revocation. PKCE is enforced once a challenge was sent.

Page: https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/oauth/working-with-oauth
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from dataclasses import dataclass, field
from html import escape
from typing import Final
from urllib.parse import urlencode, urlsplit

from crm.providers.hubspot.fake.answers import AnswerError, Json
from crm.providers.hubspot.fake.caller import Grant, grant_of
from crm.providers.hubspot.fake.state import State
from crm.providers.hubspot.fake.versions import prefixes
from crm.testing.wsgi import Request, Response, Router, html_page, json_response, no_content

CODE_LIFETIME_MS: Final = 60_000


@dataclass(slots=True)
class OAuthApp:
    """The app that may ask for tokens; ``expires_in_seconds`` is the life of an access token.

    No ``redirect_uris``: every http and https address is taken. ``required_scopes``, where set, must be asked for
    exactly. ``is_installable=False``: nobody may install it.
    """

    client_id: str = "11111111-2222-3333-4444-666666666666"
    client_secret: str = "11111111-2222-3333-4444-555555555555"  # noqa: S105 - opens nothing but a fake
    redirect_uris: list[str] = field(default_factory=list)
    expires_in_seconds: int = 1800
    required_scopes: frozenset[str] = frozenset()
    is_installable: bool = True


@dataclass(slots=True)
class Code:
    redirect_uri: str
    scopes: frozenset[str]
    expires_ms: int
    challenge: str = ""


class OAuthApi:
    """Issues tokens into ``grants``, where the application looks them up."""

    def __init__(self, state: State, grants: dict[str, Grant], app: OAuthApp, *, seed: int, app_id: int) -> None:
        self._state = state
        self._grants = grants
        self.app = app
        self._app_id = app_id
        self._random = random.Random(f"oauth/{seed}")  # noqa: S311 - reproducible, not secret
        self.codes: dict[str, Code] = {}
        self.refresh_tokens: dict[str, frozenset[str]] = {}

    def mount(self, router: Router) -> None:
        router.add("GET", "/oauth/authorize", self.consent_page)
        router.add("POST", "/oauth/authorize", self.decide)
        for prefix in prefixes("oauth"):
            router.add("POST", f"{prefix}/token", self.token)
            router.add("POST", f"{prefix}/token/introspect", self.introspect)
            router.add("POST", f"{prefix}/token/revoke", self.revoke)
        for prefix in prefixes("installs"):
            router.add("DELETE", f"{prefix}/external-install", self.uninstall)
        router.add("GET", "/oauth/v1/access-tokens/{token}", self.describe_access_token)
        router.add("GET", "/oauth/v1/refresh-tokens/{token}", self.describe_refresh_token)
        router.add("DELETE", "/oauth/v1/refresh-tokens/{token}", self.delete_refresh_token)

    def issue_code(self, redirect_uri: str, scopes: frozenset[str], challenge: str = "") -> str:
        """What the consent page hands to the redirect address; used once, within a minute."""
        code = f"na1-{self._hex(8)}-{self._hex(4)}"
        expires_ms = self._state.clock.now_ms() + CODE_LIFETIME_MS
        self.codes[code] = Code(redirect_uri, scopes, expires_ms, challenge)
        return code

    # The person's browser ----------------------------------------------------------------------------------

    def consent_page(self, request: Request) -> Response:
        """Approve or deny. What is wrong with the request itself is shown here and never sent to the callback."""
        asked = {name: values[-1] for name, values in request.query.items()}
        if problem := self._problem(asked):
            return _problem_page(problem)
        names = ("client_id", "redirect_uri", "scope", "optional_scope", "state", "code_challenge")
        hidden = "".join(
            f"<input type=hidden name={name} value='{escape(asked[name], quote=True)}'>"
            for name in (*names, "code_challenge_method")
            if name in asked
        )
        scopes = "".join(f"<li>{escape(scope)}" for scope in sorted(_words(asked, "scope", "optional_scope")))
        return html_page(
            "Connect app to HubSpot account",
            f"<p>An app is asking for access to account {self._state.portal_id}:<ul>{scopes}</ul>",
            f"<form class=line method=post action='/oauth/authorize'>{hidden}"
            "<button name=decision value=approve>Connect app</button>"
            "<button name=decision value=deny>Cancel</button></form>",
        )

    def decide(self, request: Request) -> Response:
        asked = request.form()
        if problem := self._problem(asked):
            return _problem_page(problem)
        given = {"state": asked["state"]} if "state" in asked else {}
        if asked.get("decision") == "approve":
            scopes = frozenset(_words(asked, "scope", "optional_scope"))
            query = {"code": self.issue_code(asked["redirect_uri"], scopes, asked.get("code_challenge", ""))}
        else:
            query = {"error": "access_denied", "error_description": "The user denied access to the app"}
        joiner = "&" if urlsplit(asked["redirect_uri"]).query else "?"
        return Response(302, b"", [("Location", f"{asked['redirect_uri']}{joiner}{urlencode(query | given)}")])

    def _problem(self, asked: dict[str, str]) -> str:
        app = self.app
        redirect_uri, scopes = asked.get("redirect_uri", ""), _words(asked, "scope")
        is_web = urlsplit(redirect_uri).scheme in ("http", "https")
        is_registered = not app.redirect_uris or redirect_uri in app.redirect_uris
        method = asked.get("code_challenge_method", "")
        rules = (
            (asked.get("client_id") == app.client_id, "The app you are trying to connect does not exist (client_id)."),
            (is_web and is_registered, "The redirect URL does not match the app's settings (redirect_uri)."),
            (app.is_installable, "You do not have permission to install this app."),
            (
                bool(scopes) and (not app.required_scopes or scopes == app.required_scopes),
                "The scopes do not match those that the app requires (scope).",
            ),
            (
                not asked.get("code_challenge") or method == "S256",
                "The code challenge method is not supported (code_challenge_method).",
            ),
        )
        return next((problem for holds, problem in rules if not holds), "")

    # Handlers --------------------------------------------------------------------------------------------

    def token(self, request: Request) -> Response:
        form = self._client_form(request)
        match form.get("grant_type"):
            case "authorization_code":
                code = self.codes.pop(form.get("code", ""), None)
                if code is None or code.expires_ms <= self._state.clock.now_ms():
                    raise refusal("BAD_AUTH_CODE", "invalid_grant", "missing or unknown auth code")
                if form.get("redirect_uri") != code.redirect_uri:
                    raise refusal("BAD_REDIRECT_URI", "invalid_grant", "missing or invalid redirect uri")
                if code.challenge and not _is_verified(code.challenge, form.get("code_verifier", "")):
                    raise refusal("BAD_CODE_VERIFIER", "invalid_grant", "missing or invalid code verifier")
                refresh_token = f"na1-{self._hex(4)}-{self._hex(6)}"
                self.refresh_tokens[refresh_token] = code.scopes
                return self._issue(refresh_token, code.scopes)
            case "refresh_token":
                refresh_token = form.get("refresh_token", "")
                scopes = self.refresh_tokens.get(refresh_token)
                if scopes is None:
                    raise refusal("BAD_REFRESH_TOKEN", "invalid_grant", "refresh token is invalid, expired or revoked")
                return self._issue(refresh_token, scopes)
            case _:
                raise refusal("BAD_GRANT_TYPE", "unsupported_grant_type", "missing or unknown grant type")

    def introspect(self, request: Request) -> Response:
        form = self._client_form(request)
        token = form.get("token") or form.get("access_token") or form.get("refresh_token") or ""
        grant = self._grants.get(token)
        now_ms = self._state.clock.now_ms()
        if grant is not None and grant.expires_ms is not None and grant.expires_ms > now_ms:
            signed = {"expiresAt": grant.expires_ms, "hubId": self._state.portal_id, "userId": 42}
            return json_response(
                {
                    **self._about(token, grant.scopes or frozenset()),
                    "token_use": "access_token",
                    "expires_in": (grant.expires_ms - now_ms) // 1000,
                    "signed_access_token": {**signed, "appId": self._app_id, "hublet": "na1"},
                }
            )
        if token in self.refresh_tokens:
            return json_response({**self._about(token, self.refresh_tokens[token]), "token_use": "refresh_token"})
        return json_response({"active": False})

    def revoke(self, request: Request) -> Response:
        """Ends the refresh token; access tokens already issued live on until they expire."""
        form = self._client_form(request)
        self._end(form.get("token") or form.get("refresh_token") or "")
        return no_content()

    def uninstall(self, request: Request) -> Response:
        """The app leaves the account: every token of it ends."""
        grant = grant_of(request)
        self.refresh_tokens.clear()
        for token in [token for token, other in self._grants.items() if other.app_id == grant.app_id]:
            del self._grants[token]
        self._state.dirty_tables.add("tokens")
        return no_content()

    def describe_access_token(self, request: Request) -> Response:
        grant = self._grants.get(request.params["token"])
        if grant is None or grant.expires_ms is None or grant.expires_ms <= self._state.clock.now_ms():
            raise AnswerError(404, {"message": "access token not found", "category": "OBJECT_NOT_FOUND"})
        left = (grant.expires_ms - self._state.clock.now_ms()) // 1000
        told = self._about(grant.token, grant.scopes or frozenset())
        told.pop("active")
        return json_response({**told, "expires_in": left, "token_type": "access"})

    def describe_refresh_token(self, request: Request) -> Response:
        token = request.params["token"]
        if token not in self.refresh_tokens:
            raise AnswerError(404, {"message": "refresh token not found", "category": "OBJECT_NOT_FOUND"})
        told = self._about(token, self.refresh_tokens[token])
        told.pop("active")
        return json_response({**told, "token_type": "refresh"})

    def delete_refresh_token(self, request: Request) -> Response:
        self._end(request.params["token"])
        return no_content()

    # Steps -------------------------------------------------------------------------------------------------

    def _client_form(self, request: Request) -> dict[str, str]:
        """The form of a token call; credentials in the query are not taken."""
        if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            raise refusal("BAD_GRANT_TYPE", "invalid_request", "the body must be application/x-www-form-urlencoded")
        form = request.form()
        if form.get("client_id") != self.app.client_id:
            raise refusal("BAD_CLIENT_ID", "invalid_client", "missing or invalid client id")
        if form.get("client_secret") != self.app.client_secret:
            raise refusal("BAD_CLIENT_SECRET", "invalid_client", "missing or invalid client secret")
        return form

    def _issue(self, refresh_token: str, scopes: frozenset[str]) -> Response:
        expires_in = self.app.expires_in_seconds
        token = f"C{self._hex(40)}"
        expires_ms = self._state.clock.now_ms() + expires_in * 1000
        self._grants[token] = Grant(token, self._app_id, False, scopes, expires_ms)
        self._state.dirty_tables.add("tokens")
        return json_response(
            {
                "token_type": "bearer",
                "access_token": token,
                "refresh_token": refresh_token,
                "expires_in": expires_in,
                "hub_id": self._state.portal_id,
                "scopes": sorted(scopes),
            }
        )

    def _about(self, token: str, scopes: frozenset[str]) -> Json:
        return {
            "active": True,
            "token": token,
            "hub_id": self._state.portal_id,
            "user_id": 42,
            "client_id": self.app.client_id,
            "app_id": self._app_id,
            "user": "admin@example.com",
            "hub_domain": "example.com",
            "scopes": sorted(scopes),
            "is_private_distribution": True,
            "token_type": "Bearer",
        }

    def _end(self, refresh_token: str) -> None:
        self.refresh_tokens.pop(refresh_token, None)
        self._state.dirty_tables.add("tokens")

    def _hex(self, size_bytes: int) -> str:
        return f"{self._random.getrandbits(size_bytes * 8):0{size_bytes * 2}x}"


def refusal(status: str, error: str, message: str) -> AnswerError:
    """RFC 6749 names and HubSpot's older ones side by side."""
    body: Json = {"error": error, "error_description": message, "message": message}
    refused = AnswerError(400, body)
    refused.body["status"] = status
    return refused


def _words(asked: dict[str, str], *names: str) -> set[str]:
    return {word for name in names for word in asked.get(name, "").split()}


def _problem_page(problem: str) -> Response:
    page = html_page("HubSpot fake: the app cannot be connected", f"<p role=alert>{escape(problem)}")
    page.status = 400
    return page


def _is_verified(challenge: str, verifier: str) -> bool:
    """RFC 7636, 4.6, S256."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return hmac.compare_digest(base64.urlsafe_b64encode(digest).decode().rstrip("="), challenge)
