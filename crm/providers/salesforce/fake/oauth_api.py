"""The web server flow: consent page, code and refresh grants, revocation, introspection, who is who.

PKCE with S256 is enforced. Pages: Salesforce Help, "OAuth 2.0 Web Server Flow for Web App Integration",
"OAuth Endpoints"; OpenID Connect userinfo
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import threading
from html import escape
from typing import Final
from urllib.parse import urlencode

from crm.providers.salesforce.fake import answers, ids
from crm.providers.salesforce.fake.answers import AnswerError, Json
from crm.providers.salesforce.fake.caller import Session, session_of
from crm.providers.salesforce.fake.grants import Grant, Grants
from crm.providers.salesforce.fake.stamps import moment
from crm.providers.salesforce.fake.state import State
from crm.testing.wsgi import Request, Response, Router, html_page, json_response

_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_KNOWN_SCOPES: Final = frozenset(
    {"api", "refresh_token", "offline_access", "openid", "id", "full", "web", "profile", "email"}
)


class OAuthApi:
    """``wait`` holds a refresh for as long as ``ConnectedApp.refresh_seconds`` says."""

    def __init__(self, state: State, grants: Grants, *, org_id: str, user_id: str, instance_url: str) -> None:
        self._state = state
        self.grants = grants
        self.org_id = org_id
        self._user_id = user_id
        self.instance_url = instance_url
        self.refreshing: set[str] = set()
        self._refreshing_lock = threading.Lock()

    def mount(self, router: Router) -> None:
        base = "/services/oauth2"
        router.add("GET", f"{base}/authorize", self.consent_page)
        router.add("POST", f"{base}/authorize", self.decide)
        router.add("POST", f"{base}/token", self.token)
        router.add("POST", f"{base}/revoke", self.revoke)
        router.add("POST", f"{base}/introspect", self.introspect)
        router.add("GET", f"{base}/userinfo", self.userinfo)
        router.add("GET", "/id/{org}/{user}", self.identity)
        router.add("GET", "/.well-known/openid-configuration", self.discovery)

    # The person's browser ----------------------------------------------------------------------------------

    def consent_page(self, request: Request) -> Response:
        """Allow or Deny. What cannot be told to the callback is shown here."""
        asked = {name: values[-1] for name, values in request.query.items()}
        if refusal := self._refuse_request(asked):
            return refusal
        fields = "".join(
            f"<input type=hidden name='{escape(name)}' value='{escape(value)}'>" for name, value in asked.items()
        )
        scopes = "".join(f"<li>{escape(scope)}" for scope in asked.get("scope", "api").split())
        return html_page(
            "Allow access?",
            f"<p>{escape(self.grants.app.name)} is asking to use org {escape(self.org_id)} for:<ul>{scopes}</ul>",
            f"<form method=post action='/services/oauth2/authorize'>{fields}"
            "<button name=decision value=allow>Allow</button> <button name=decision value=deny>Deny</button></form>",
        )

    def decide(self, request: Request) -> Response:
        form = request.form()
        if refusal := self._refuse_request(form):
            return refusal
        state = {"state": form["state"]} if "state" in form else {}
        if form.get("decision") != "allow":
            return _to_callback(
                form, {"error": "access_denied", "error_description": "end-user denied authorization"} | state
            )
        scope = form.get("scope") or "api"
        code = self.grants.new_code(form["redirect_uri"], scope, form.get("code_challenge", ""), self._user_id)
        return _to_callback(form, {"code": code} | state)

    def _refuse_request(self, asked: dict[str, str]) -> Response | None:
        app = self.grants.app
        if asked.get("client_id") != app.client_id:
            return _error_page("invalid_client_id", "client identifier invalid")
        if asked.get("redirect_uri") not in app.redirect_uris:
            return _error_page("redirect_uri_mismatch", "redirect_uri must match configuration")
        problem = None
        challenge = asked.get("code_challenge", "")
        if asked.get("response_type") != "code":
            problem = ("unsupported_response_type", "response type not supported")
        elif not app.is_installed:
            problem = ("invalid_client", "app must be installed into org")
        elif app.requires_pkce and not challenge:
            problem = ("invalid_request", "missing required code challenge")
        elif challenge and not _CHALLENGE.fullmatch(challenge):
            problem = ("invalid_request", "invalid code challenge")
        elif challenge and asked.get("code_challenge_method", "S256") != "S256":
            problem = ("invalid_request", "invalid code challenge method")
        elif unknown := set(asked.get("scope", "api").split()) - _KNOWN_SCOPES:
            problem = ("invalid_scope", f"the requested scope is not allowed: {min(unknown)}")
        if problem is None:
            return None
        state = {"state": asked["state"]} if "state" in asked else {}
        return _to_callback(asked, {"error": problem[0], "error_description": problem[1]} | state)

    # The app's server ----------------------------------------------------------------------------------------

    def token(self, request: Request) -> Response:
        if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            raise refusal("unsupported_grant_type", "grant type not supported")
        form = request.form()
        match form.get("grant_type"):
            case "authorization_code":
                self._check_client(form)
                with self._state.lock:
                    return self._by_code(request, form)
            case "refresh_token":
                self._check_client(form)
                return self._by_refresh_token(request, form.get("refresh_token", ""))
            case _:
                raise refusal("unsupported_grant_type", "grant type not supported")

    def _by_code(self, request: Request, form: dict[str, str]) -> Response:
        code = self.grants.codes.pop(form.get("code", ""), None)
        if code is None or code.expires_ms <= self._state.clock.now_ms():
            raise refusal("invalid_grant", "expired authorization code")
        if form.get("redirect_uri") != code.redirect_uri:
            raise refusal("redirect_uri_mismatch", "redirect_uri must match configuration")
        verifier = form.get("code_verifier", "")
        if code.challenge and not verifier:
            raise refusal("invalid_grant", "code verifier required")
        if code.challenge and not (_VERIFIER.fullmatch(verifier) and _challenge(verifier) == code.challenge):
            raise refusal("invalid_grant", "invalid code verifier")
        grant = self.grants.open(code.user_id, code.scope)
        offers_refresh = bool({"refresh_token", "offline_access", "full"} & set(code.scope.split()))
        return self._issued(request, grant, grant.refresh_token if offers_refresh else None)

    def _by_refresh_token(self, request: Request, token: str) -> Response:
        """Two at once with one token: the second is told so, and nothing happens to the grant."""
        with self._refreshing_lock:
            if token in self.refreshing:
                raise refusal("invalid_grant", "token request is already being processed")
            self.refreshing.add(token)
        try:
            if self.grants.app.refresh_seconds:
                self._state.clock.sleep(self.grants.app.refresh_seconds)
            with self._state.lock:
                grant = self.grants.of_refresh_token(token)
                if grant is None:
                    raise refusal("invalid_grant", "expired access/refresh token")
                grant.refreshed_ms = self._state.clock.now_ms()
                if not self.grants.app.rotates_refresh_tokens:
                    return self._issued(request, grant, None)
                self.grants.rotate(grant)
                return self._issued(request, grant, grant.refresh_token)
        finally:
            with self._refreshing_lock:
                self.refreshing.discard(token)

    def _issued(self, request: Request, grant: Grant, refresh_token: str | None) -> Response:
        session = self.grants.new_session(grant)
        identity = self._identity_url(request, session)
        issued_at = str(session.issued_ms)
        signed = hmac.new(self.grants.app.client_secret.encode(), (identity + issued_at).encode(), hashlib.sha256)
        body: Json = {"access_token": session.token}
        if refresh_token is not None:
            body["refresh_token"] = refresh_token
        body |= {
            "signature": base64.b64encode(signed.digest()).decode(),
            "scope": grant.scope,
            "instance_url": self._instance(request),
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued_at,
        }
        return json_response(body)

    def revoke(self, request: Request) -> Response:
        """A refresh token takes its sessions along; an access token goes alone."""
        token = request.form().get("token") or request.first("token")
        with self._state.lock:
            if token in self.grants.sessions:
                del self.grants.sessions[token]
                self._state.dirty_tables.add("tokens")
                return Response(200)
            grant = self.grants.of_refresh_token(token or "")
            if grant is None:
                raise refusal("invalid_token", "the token is not valid")
            self.grants.end(grant)
        return Response(200)

    def introspect(self, request: Request) -> Response:
        form = request.form()
        self._check_client(form)
        session = self.grants.live(form.get("token", ""))
        if session is None:
            grant = self.grants.of_refresh_token(form.get("token", ""))
            if grant is None:
                return json_response({"active": False})
            return json_response({"active": True, "scope": grant.scope, "token_type": "refresh_token"})
        issued = session.issued_ms // 1000
        body: Json = {
            "active": True,
            "scope": session.scope,
            "client_id": session.client_id,
            "username": self._user(session.user_id)["Username"],
            "sub": self._identity_url(request, session),
            "token_type": "access_token",
            "iat": issued,
            "nbf": issued,
        }
        if session.expires_ms is not None:
            body["exp"] = session.expires_ms // 1000
        return json_response(body)

    # Who is who ------------------------------------------------------------------------------------------------

    def userinfo(self, request: Request) -> Response:
        session = session_of(request)
        user = self._user(session.user_id)
        instance = self._instance(request)
        return json_response(
            {
                "sub": self._identity_url(request, session),
                "user_id": session.user_id,
                "organization_id": self.org_id,
                "preferred_username": user["Username"],
                "nickname": user["Username"].partition("@")[0],
                "name": user["Name"],
                "email": user["Email"],
                "email_verified": True,
                "given_name": user.get("FirstName"),
                "family_name": user["LastName"],
                "zoneinfo": "America/Los_Angeles",
                "urls": self._urls(instance),
                "active": True,
                "user_type": "STANDARD",
                "language": "en_US",
                "locale": "en_US",
                "utcOffset": -28_800_000,
                "updated_at": f"{moment(user['LastModifiedDate']):%Y-%m-%dT%H:%M:%SZ}",
                "is_salesforce_integration_user": False,
            }
        )

    def identity(self, request: Request) -> Response:
        session = session_of(request)
        asked = [ids.canonical(request.params[name]) for name in ("org", "user")]
        if asked != [self.org_id, session.user_id]:
            raise answers.plain(403, "FORBIDDEN", "Bad_OAuth_Token")
        user = self._user(session.user_id)
        return json_response(
            {
                "id": self._identity_url(request, session),
                "asserted_user": True,
                "user_id": session.user_id,
                "organization_id": self.org_id,
                "username": user["Username"],
                "display_name": user["Name"],
                "email": user["Email"],
                "urls": self._urls(self._instance(request)),
                "active": True,
                "user_type": "STANDARD",
                "language": "en_US",
                "locale": "en_US",
            }
        )

    def discovery(self, request: Request) -> Response:
        base = f"{request.host_url}/services/oauth2"
        return json_response(
            {
                "issuer": request.host_url,
                "authorization_endpoint": f"{base}/authorize",
                "token_endpoint": f"{base}/token",
                "revocation_endpoint": f"{base}/revoke",
                "introspection_endpoint": f"{base}/introspect",
                "userinfo_endpoint": f"{base}/userinfo",
                "scopes_supported": sorted(_KNOWN_SCOPES),
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    # Steps -------------------------------------------------------------------------------------------------

    def _check_client(self, form: dict[str, str]) -> None:
        if form.get("client_id") != self.grants.app.client_id:
            raise refusal("invalid_client_id", "client identifier invalid")
        if form.get("client_secret") != self.grants.app.client_secret:
            raise refusal("invalid_client", "invalid client credentials")

    def _instance(self, request: Request) -> str:
        return self.instance_url or request.host_url

    def _identity_url(self, request: Request, session: Session) -> str:
        return f"{request.host_url}/id/{self.org_id}/{session.user_id}"

    def _urls(self, instance: str) -> Json:
        rest = f"{instance}/services/data/v{{version}}/"
        return {
            "enterprise": f"{instance}/services/Soap/c/{{version}}/{self.org_id[:15]}",
            "partner": f"{instance}/services/Soap/u/{{version}}/{self.org_id[:15]}",
            "rest": rest,
            "sobjects": f"{rest}sobjects/",
            "query": f"{rest}query/",
            "custom_domain": instance,
        }

    def _user(self, user_id: str) -> Json:
        return self._state.table("User").records[user_id].values


def refusal(error: str, description: str) -> AnswerError:
    return AnswerError(400, {"error": error, "error_description": description}, [("Cache-Control", "no-store")])


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _to_callback(asked: dict[str, str], query: dict[str, str]) -> Response:
    uri = asked["redirect_uri"]
    return Response(302, b"", [("Location", f"{uri}{'&' if '?' in uri else '?'}{urlencode(query)}")])


def _error_page(error: str, description: str) -> Response:
    page = html_page("OAuth Error", f"<p>error={escape(error)}&amp;error_description={escape(description)}")
    page.status = 400
    return page
