"""The token endpoint: grants, introspection, revocation, refusals."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from crm.providers.hubspot.fake.oauth import OAuthApp
from tests.providers.hubspot.fake_account import Account

REDIRECT = "https://app.example.com/callback"
APP = OAuthApp()


@pytest.fixture
def account() -> Account:
    return Account()


def token_call(account: Account, path: str = "/oauth/2026-03/token", **form: str) -> Any:
    fields = {"client_id": APP.client_id, "client_secret": APP.client_secret, **form}
    return account.session.post(f"https://api.hubapi.com{path}", data=fields)


def code(account: Account) -> str:
    body = {"redirectUri": REDIRECT, "scopes": ["oauth", "crm.objects.contacts.read"]}
    issued: str = account.person("POST", "codes", body).json()["code"]
    return issued


def exchanged(account: Account) -> dict[str, Any]:
    answer = token_call(account, grant_type="authorization_code", code=code(account), redirect_uri=REDIRECT)
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


def test_a_code_becomes_tokens_once(account: Account) -> None:
    """The access token works, the code does not work again."""
    issued = code(account)
    form = {"grant_type": "authorization_code", "code": issued, "redirect_uri": REDIRECT}
    first = token_call(account, **form).json()
    assert {name: first[name] for name in ("token_type", "expires_in", "hub_id", "scopes")} == {
        "token_type": "bearer",
        "expires_in": 1800,
        "hub_id": 8_800_001,
        "scopes": ["crm.objects.contacts.read", "oauth"],
    }
    assert account.call("GET", "/crm/v3/objects/contacts", token=first["access_token"]).status_code == 200
    again = token_call(account, **form)
    assert (again.status_code, again.json()["status"], again.json()["error"]) == (400, "BAD_AUTH_CODE", "invalid_grant")


def test_a_code_does_not_wait_longer_than_a_minute(account: Account) -> None:
    """Then it is refused like an unknown one."""
    issued = code(account)
    account.clock.advance(60)
    answer = token_call(account, grant_type="authorization_code", code=issued, redirect_uri=REDIRECT)
    assert (answer.status_code, answer.json()["status"]) == (400, "BAD_AUTH_CODE")


@pytest.mark.parametrize("path", ["/oauth/v1/token", "/oauth/v3/token", "/oauth/2026-03/token", "/oauth/2026-09/token"])
def test_a_refresh_gives_a_new_access_token_and_the_same_refresh_token(account: Account, path: str) -> None:
    """On every version; the old access token lives on until it expires."""
    tokens = exchanged(account)
    account.clock.advance(100)
    fresh = token_call(account, path, grant_type="refresh_token", refresh_token=tokens["refresh_token"]).json()
    assert fresh["refresh_token"] == tokens["refresh_token"]
    assert fresh["access_token"] != tokens["access_token"]
    for token in (tokens["access_token"], fresh["access_token"]):
        assert account.call("GET", "/crm/v3/objects/contacts", token=token).status_code == 200
    account.clock.advance(1700)
    expired = account.call("GET", "/crm/v3/objects/contacts", token=tokens["access_token"])
    assert expired.json()["category"] == "EXPIRED_AUTHENTICATION"
    assert account.call("GET", "/crm/v3/objects/contacts", token=fresh["access_token"]).status_code == 200


def test_a_revoked_refresh_token_is_refused_in_both_vocabularies(account: Account) -> None:
    """400 with RFC 6749's names and HubSpot's; access tokens live on."""
    tokens = exchanged(account)
    answer = token_call(account, "/oauth/2026-03/token/revoke", token=tokens["refresh_token"])
    assert answer.status_code == 204
    refused = token_call(account, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert refused.status_code == 400
    body = refused.json()
    body.pop("correlationId")
    message = "refresh token is invalid, expired or revoked"
    assert body == {
        "error": "invalid_grant",
        "error_description": message,
        "status": "BAD_REFRESH_TOKEN",
        "message": message,
    }
    assert account.call("GET", "/crm/v3/objects/contacts", token=tokens["access_token"]).status_code == 200


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"client_id": "x"}, "BAD_CLIENT_ID"),
        ({"client_secret": "x"}, "BAD_CLIENT_SECRET"),
        ({"grant_type": "password"}, "BAD_GRANT_TYPE"),
        ({"redirect_uri": "https://elsewhere.example.com"}, "BAD_REDIRECT_URI"),
    ],
)
def test_what_is_wrong_with_a_token_call_is_named(account: Account, form: dict[str, str], status: str) -> None:
    """By HubSpot's status."""
    usual = {"grant_type": "authorization_code", "code": code(account), "redirect_uri": REDIRECT}
    answer = token_call(account, **{**usual, **form})
    assert (answer.status_code, answer.json()["status"]) == (400, status)


def test_credentials_in_the_address_are_not_taken(account: Account) -> None:
    """The token endpoint reads the form only."""
    query = f"?grant_type=refresh_token&client_id={APP.client_id}&client_secret={APP.client_secret}"
    assert account.session.post(f"https://api.hubapi.com/oauth/v3/token{query}").status_code == 400


def test_introspection_tells_live_tokens_from_dead_ones(account: Account) -> None:
    """Access and refresh tokens by their own fields; anything else is not active."""
    tokens = exchanged(account)
    account.clock.advance(11)
    access = token_call(account, "/oauth/2026-03/token/introspect", token=tokens["access_token"]).json()
    assert (access["active"], access["token_use"], access["expires_in"]) == (True, "access_token", 1789)
    assert (access["hub_id"], access["app_id"]) == (8_800_001, 770_011)
    refresh = token_call(account, "/oauth/2026-03/token/introspect", token=tokens["refresh_token"]).json()
    assert (refresh["active"], refresh["token_use"]) == (True, "refresh_token")
    assert "expires_in" not in refresh
    token_call(account, "/oauth/2026-03/token/revoke", token=tokens["refresh_token"])
    dead = token_call(account, "/oauth/2026-03/token/introspect", token=tokens["refresh_token"])
    assert dead.json() == {"active": False}


def test_an_uninstalled_app_has_no_tokens_left(account: Account) -> None:
    """Neither the one it called with nor its refresh token."""
    tokens = exchanged(account)
    gone = account.call("DELETE", "/appinstalls/v3/external-install", token=tokens["access_token"])
    assert gone.status_code == 204
    assert account.call("GET", "/crm/v3/objects/contacts", token=tokens["access_token"]).status_code == 401
    refused = token_call(account, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert refused.json()["status"] == "BAD_REFRESH_TOKEN"


def test_the_old_addresses_describe_tokens_too(account: Account) -> None:
    """/oauth/v1/access-tokens and refresh-tokens, until they are deleted."""
    tokens = exchanged(account)
    base = "https://api.hubapi.com/oauth/v1"
    shown = account.session.get(f"{base}/access-tokens/{tokens['access_token']}").json()
    assert (shown["hub_id"], shown["token_type"], shown["expires_in"]) == (8_800_001, "access", 1800)
    refresh = f"{base}/refresh-tokens/{tokens['refresh_token']}"
    assert account.session.get(refresh).json()["token_type"] == "refresh"
    assert account.session.delete(refresh).status_code == 204
    assert account.session.get(refresh).status_code == 404


VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
ASKED = {
    "client_id": APP.client_id,
    "redirect_uri": REDIRECT,
    "scope": "oauth crm.objects.contacts.read",
    "optional_scope": "crm.objects.owners.read",
    "state": "st'ate",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
AUTHORIZE = "https://api.hubapi.com/oauth/authorize"


def decided(account: Account, decision: str, **changes: str) -> Any:
    form = {**ASKED, **changes, "decision": decision}
    return account.session.post(AUTHORIZE, data=form, allow_redirects=False)


def brought_back(answer: Any) -> dict[str, str]:
    assert answer.status_code == 302
    address = urlsplit(answer.headers["Location"])
    assert f"{address.scheme}://{address.netloc}{address.path}" == REDIRECT
    return {name: values[0] for name, values in parse_qs(address.query).items()}


def test_the_consent_page_shows_the_scopes_and_keeps_what_was_asked(account: Account) -> None:
    """Required and optional ones; the state comes back unchanged, whatever it holds."""
    page = account.session.get(AUTHORIZE, params=ASKED)
    assert page.status_code == 200
    for text in ("crm.objects.contacts.read", "crm.objects.owners.read", "Connect app", "Cancel", "st&#x27;ate"):
        assert text in page.text
    assert brought_back(decided(account, "approve"))["state"] == "st'ate"


def test_approving_gives_a_code_with_both_kinds_of_scopes(account: Account) -> None:
    """And the verifier that fits the challenge."""
    code = brought_back(decided(account, "approve"))["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "code_verifier": VERIFIER}
    scopes = token_call(account, **form).json()["scopes"]
    assert scopes == ["crm.objects.contacts.read", "crm.objects.owners.read", "oauth"]


@pytest.mark.parametrize("verifier", ["", "w" * 43])
def test_a_challenge_that_was_sent_is_enforced(account: Account, verifier: str) -> None:
    """A missing verifier is as wrong as another one, and costs the code."""
    code = brought_back(decided(account, "approve"))["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
    answer = token_call(account, **form, code_verifier=verifier)
    assert (answer.status_code, answer.json()["status"]) == (400, "BAD_CODE_VERIFIER")
    again = token_call(account, **form, code_verifier=VERIFIER)
    assert again.json()["status"] == "BAD_AUTH_CODE"


def test_denying_sends_the_person_back_without_a_code(account: Account) -> None:
    """With the words of RFC 6749."""
    back = brought_back(decided(account, "deny"))
    assert (back["error"], back["state"], "code" in back) == ("access_denied", "st'ate", False)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"client_id": "x"}, "client_id"),
        ({"redirect_uri": "https://evil.example.com/"}, "redirect_uri"),
        ({"redirect_uri": "javascript:alert(1)"}, "redirect_uri"),
        ({"scope": ""}, "(scope)"),
        ({"code_challenge_method": "plain"}, "code_challenge_method"),
    ],
)
def test_a_request_that_is_wrong_is_shown_and_never_sent_back(
    account: Account, changes: dict[str, str], shown: str
) -> None:
    """Neither the page nor the decision goes to an address that is not the app's."""
    account.fake.oauth.app.redirect_uris = [REDIRECT]
    page = account.session.get(AUTHORIZE, params={**ASKED, **changes}, allow_redirects=False)
    posted = decided(account, "approve", **changes)
    for answer in (page, posted):
        assert answer.status_code == 400
        assert shown in answer.text
        assert "Location" not in answer.headers
    assert account.fake.oauth.codes == {}
