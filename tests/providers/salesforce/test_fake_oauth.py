"""The web server flow as a browser and an app's server walk it, and every way it ends."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import threading
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from crm.providers.salesforce.fake import SalesforceFake
from crm.providers.salesforce.fake.grants import ConnectedApp
from crm.testing.clock import FakeClock
from crm.testing.wsgi import LoopbackServer
from tests.providers.salesforce.fake_org import BASE, DATA, Org

CALLBACK = "https://adsapp.example.com/oauth/salesforce/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
OAUTH = f"{BASE}/services/oauth2"


class Flow(Org):
    """An org with one registered callback."""

    def __init__(self, **app):
        self.app = ConnectedApp(redirect_uris=[CALLBACK], **app)
        super().__init__(connected_app=self.app)

    def asked(self, **changes):
        given = {
            "response_type": "code",
            "client_id": self.app.client_id,
            "redirect_uri": CALLBACK,
            "scope": "api refresh_token openid",
            "state": "st&te=1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in {**given, **changes}.items() if value is not None}

    def decide(self, decision="allow", **changes):
        """The query that the callback gets."""
        answer = self.session.post(
            f"{OAUTH}/authorize", data={**self.asked(**changes), "decision": decision}, allow_redirects=False
        )
        assert answer.status_code == 302, answer.text
        where = urlsplit(answer.headers["Location"])
        assert f"{where.scheme}://{where.netloc}{where.path}" == CALLBACK
        return {name: values[0] for name, values in parse_qs(where.query).items()}

    def token(self, **form):
        given = {"client_id": self.app.client_id, "client_secret": self.app.client_secret, **form}
        return self.session.post(f"{OAUTH}/token", data=given)

    def exchange(self, code, **changes):
        given = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        return self.token(**{name: value for name, value in {**given, **changes}.items() if value is not None})

    def connected(self):
        answer = self.exchange(self.decide()["code"])
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refresh(self, token):
        return self.token(grant_type="refresh_token", refresh_token=token)


def refused(answer, error, description):
    assert (answer.status_code, answer.json()) == (400, {"error": error, "error_description": description})


def test_the_consent_page_leads_to_tokens_that_work():
    """State comes back as it was sent; the token answer has no expires_in and is signed over id and time."""
    flow = Flow()
    page = flow.session.get(f"{OAUTH}/authorize", params=flow.asked())
    assert page.status_code == 200
    assert {"allow", "deny"} <= set(re.findall(r"name=decision value=(\w+)", page.text))
    assert "st&amp;te=1" in page.text
    query = flow.decide()
    assert query["state"] == "st&te=1"
    found = flow.exchange(query["code"]).json()
    assert set(found) == {
        "access_token",
        "refresh_token",
        "signature",
        "scope",
        "instance_url",
        "id",
        "token_type",
        "issued_at",
    }
    signed = hmac.new(flow.app.client_secret.encode(), (found["id"] + found["issued_at"]).encode(), hashlib.sha256)
    assert found["signature"] == base64.b64encode(signed.digest()).decode()
    assert found["id"].endswith(f"/id/{flow.fake.people.org_id}/{flow.fake.people.api_user_id}")
    assert found["access_token"].startswith(flow.fake.people.org_id[:15] + "!")
    assert flow.call("GET", "/limits", token=found["access_token"]).status_code == 200
    who = flow.call("GET", "/services/oauth2/userinfo", token=found["access_token"]).json()
    assert (who["organization_id"], who["user_id"]) == (flow.fake.people.org_id, flow.fake.people.api_user_id)
    identity = flow.session.get(found["id"], headers={"Authorization": f"Bearer {found['access_token']}"}).json()
    assert identity["organization_id"] == flow.fake.people.org_id


def test_a_denied_consent_tells_the_callback():
    """access_denied with the state, and no code."""
    assert Flow().decide("deny") == {
        "error": "access_denied",
        "error_description": "end-user denied authorization",
        "state": "st&te=1",
    }


@pytest.mark.parametrize(
    ("changes", "error", "description"),
    [
        ({"code_challenge": None}, "invalid_request", "missing required code challenge"),
        ({"code_challenge": "short"}, "invalid_request", "invalid code challenge"),
        ({"code_challenge_method": "plain"}, "invalid_request", "invalid code challenge method"),
        ({"response_type": "token"}, "unsupported_response_type", "response type not supported"),
        ({"scope": "api everything"}, "invalid_scope", "the requested scope is not allowed: everything"),
    ],
)
def test_a_bad_request_tells_the_callback(changes, error, description):
    """PKCE is enforced: a missing, malformed or plain challenge gives no code."""
    assert Flow().decide(**changes) == {"error": error, "error_description": description, "state": "st&te=1"}


def test_an_app_that_is_not_installed_gets_no_code():
    """An org may forbid apps that it has not installed."""
    flow = Flow(is_installed=False)
    assert flow.decide()["error_description"] == "app must be installed into org"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"client_id": "x"}, "error=invalid_client_id"),
        ({"redirect_uri": CALLBACK + "/"}, "error=redirect_uri_mismatch"),
        ({"redirect_uri": "https://evil.example.com/"}, "error=redirect_uri_mismatch"),
    ],
)
def test_an_unknown_app_or_callback_is_never_redirected(changes, text):
    """The person sees the error; no other host hears of it."""
    flow = Flow()
    for answer in (
        flow.session.get(f"{OAUTH}/authorize", params=flow.asked(**changes), allow_redirects=False),
        flow.session.post(
            f"{OAUTH}/authorize", data={**flow.asked(**changes), "decision": "allow"}, allow_redirects=False
        ),
    ):
        assert (answer.status_code, text in answer.text, "Location" in answer.headers) == (400, True, False)


def test_a_code_is_good_once_for_fifteen_minutes_and_its_own_verifier():
    """Used, late, without or with another verifier, for another callback: refused, and the code is spent."""
    flow = Flow()
    code = flow.decide()["code"]
    assert flow.exchange(code).status_code == 200
    refused(flow.exchange(code), "invalid_grant", "expired authorization code")
    refused(flow.exchange(flow.decide()["code"], code_verifier=None), "invalid_grant", "code verifier required")
    code = flow.decide()["code"]
    refused(flow.exchange(code, code_verifier="w" * 43), "invalid_grant", "invalid code verifier")
    refused(flow.exchange(code), "invalid_grant", "expired authorization code")
    refused(
        flow.exchange(flow.decide()["code"], redirect_uri="https://evil.example.com/"),
        "redirect_uri_mismatch",
        "redirect_uri must match configuration",
    )
    code = flow.decide()["code"]
    flow.clock.advance(901)
    refused(flow.exchange(code), "invalid_grant", "expired authorization code")


def test_wrong_client_credentials_are_told_apart():
    """A wrong key, a wrong secret and a wrong grant type have their own errors and spend nothing."""
    flow = Flow()
    code = flow.decide()["code"]
    refused(flow.exchange(code, client_id="x"), "invalid_client_id", "client identifier invalid")
    refused(flow.exchange(code, client_secret="x"), "invalid_client", "invalid client credentials")
    refused(flow.token(grant_type="magic"), "unsupported_grant_type", "grant type not supported")
    assert flow.exchange(code).status_code == 200


def test_a_session_expires_and_a_refresh_gives_another():
    """The old token gets the 401 array; without rotation the refresh token stays and is not repeated."""
    flow = Flow(session_seconds=900)
    first = flow.connected()
    flow.clock.advance(900)
    answer = flow.call("GET", "/limits", token=first["access_token"])
    body = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
    assert (answer.status_code, answer.json()) == (401, body)
    for _ in range(2):
        second = flow.refresh(first["refresh_token"]).json()
        assert "refresh_token" not in second
        assert flow.call("GET", "/limits", token=second["access_token"]).status_code == 200


def test_a_rotated_refresh_token_used_twice_ends_the_grant():
    """Rotation hands out a new one each time; a used one kills the current one and its sessions."""
    flow = Flow(rotates_refresh_tokens=True)
    first = flow.connected()
    second = flow.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    refused(flow.refresh(first["refresh_token"]), "invalid_grant", "expired access/refresh token")
    refused(flow.refresh(second["refresh_token"]), "invalid_grant", "expired access/refresh token")
    assert flow.call("GET", "/limits", token=second["access_token"]).status_code == 401


class HeldClock(FakeClock):
    """A wait begins, and is over when the test says so."""

    def __init__(self):
        super().__init__()
        self.begun, self.over = threading.Event(), threading.Event()

    def sleep(self, seconds):
        self.begun.set()
        self.over.wait(60)


def test_two_refreshes_at_once_have_one_winner():
    """The second is told that the first is being processed, and the grant lives on."""
    app = ConnectedApp(redirect_uris=[CALLBACK], rotates_refresh_tokens=True, refresh_seconds=0.4)
    clock = HeldClock()
    fake = SalesforceFake(connected_app=app, clock=clock)
    grant = fake.grants.open(fake.people.api_user_id, "api refresh_token")
    answers = []

    def refresh(url):
        form = {
            "grant_type": "refresh_token",
            "refresh_token": token,
            "client_id": app.client_id,
            "client_secret": app.client_secret,
        }
        answers.append(requests.post(f"{url}/services/oauth2/token", data=form, timeout=10))

    token = grant.refresh_token
    with LoopbackServer(fake) as server:
        thread = threading.Thread(target=refresh, args=(server.url,))
        thread.start()
        assert clock.begun.wait(60)
        refresh(server.url)
        clock.over.set()
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 400]
    loser = next(answer for answer in answers if answer.status_code == 400)
    assert loser.json()["error_description"] == "token request is already being processed"
    assert grant.grant_id in fake.grants.by_id


def test_revoking_a_refresh_token_takes_its_sessions_along():
    """An access token goes alone; an unknown token is an error."""
    flow = Flow()
    first = flow.connected()
    assert flow.session.post(f"{OAUTH}/revoke", data={"token": first["access_token"]}).status_code == 200
    assert flow.call("GET", "/limits", token=first["access_token"]).status_code == 401
    second = flow.refresh(first["refresh_token"]).json()
    answer = flow.session.post(f"{OAUTH}/revoke", data={"token": first["refresh_token"]})
    assert (answer.status_code, answer.content) == (200, b"")
    assert flow.call("GET", "/limits", token=second["access_token"]).status_code == 401
    refused(flow.refresh(first["refresh_token"]), "invalid_grant", "expired access/refresh token")
    assert flow.session.post(f"{OAUTH}/revoke", data={"token": "nothing"}).json()["error"] == "invalid_token"


def test_introspection_knows_live_and_dead_tokens():
    """A live session tells its times and user; anything else is inactive."""
    flow = Flow()
    token = flow.connected()["access_token"]
    form = {"client_id": flow.app.client_id, "client_secret": flow.app.client_secret}
    found = flow.session.post(f"{OAUTH}/introspect", data={**form, "token": token}).json()
    assert (found["active"], found["exp"] - found["iat"], found["token_type"]) == (True, 7200, "access_token")
    assert flow.session.post(f"{OAUTH}/introspect", data={**form, "token": "x"}).json() == {"active": False}


def test_a_sixth_grant_ends_the_oldest_and_thirty_idle_days_end_any():
    """Five live grants a user; refreshing keeps one alive."""
    flow = Flow()
    tokens = [flow.connected()["refresh_token"] for _ in range(6)]
    assert [flow.refresh(token).status_code for token in tokens] == [400, 200, 200, 200, 200, 200]
    for _ in range(2):
        flow.clock.advance(20 * 86_400)
        assert flow.refresh(tokens[1]).status_code == 200
    refused(flow.refresh(tokens[2]), "invalid_grant", "expired access/refresh token")


def test_an_admin_can_end_every_grant():
    """What a blocked app meets."""
    flow = Flow()
    found = flow.connected()
    assert flow.person("POST", "grants/revoke") == {"revoked": 1}
    assert flow.call("GET", "/limits", token=found["access_token"]).status_code == 401


@pytest.mark.parametrize(
    ("header", "code"),
    [(None, "INVALID_SESSION_ID"), ("Bearer nothing", "INVALID_SESSION_ID"), ("Basic x", "INVALID_AUTH_HEADER")],
)
def test_a_call_without_a_session_is_refused(header, code):
    """401 with an array; nothing else is told."""
    answer = Org().session.get(BASE + DATA + "/limits", headers={"Authorization": header} if header else {})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (401, code)
    assert "Sforce-Limit-Info" not in answer.headers
