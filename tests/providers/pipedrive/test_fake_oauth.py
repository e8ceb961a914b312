"""OAuth: consent, codes, PKCE, refresh, revocation, scopes."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.providers.pipedrive.fake_company import BASE, Company

BACK = "https://app.example/crm/oauth/callback"


@pytest.fixture
def company():
    return Company()


def token_call(company: Company, secret: str = "", **form: str):
    app = company.fake.oauth.app
    return company.session.post(f"{BASE}/oauth/token", data=form, auth=(app.client_id, secret or app.client_secret))


def consent(company: Company, do: str = "allow", **more: str) -> dict[str, list[str]]:
    form = {"client_id": company.fake.oauth.app.client_id, "redirect_uri": BACK, "state": "s1", "do": do, **more}
    answer = company.session.post(f"{BASE}/oauth/authorize", data=form, allow_redirects=False)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(BACK)
    return parse_qs(urlsplit(answer.headers["Location"]).query)


def with_bearer(company: Company, access_token: str, path: str = "/persons"):
    return company.call("GET", path, token="", headers={"Authorization": f"Bearer {access_token}"})


def test_the_whole_way_from_consent_to_a_call(company) -> None:
    """The page shows the scopes; the token names the company's own host."""
    app = company.fake.oauth.app
    page = company.session.get(
        f"{BASE}/oauth/authorize", params={"client_id": app.client_id, "redirect_uri": BACK, "state": "<s>"}
    )
    assert page.status_code == 200
    assert "contacts:full" in page.text
    assert "<s>" not in page.text
    back = consent(company)
    assert back["state"] == ["s1"]
    answer = token_call(company, grant_type="authorization_code", code=back["code"][0], redirect_uri=BACK)
    found = answer.json()
    assert set(found) == {"access_token", "token_type", "expires_in", "refresh_token", "scope", "api_domain"}
    assert (found["token_type"], found["expires_in"], found["api_domain"]) == ("Bearer", 3599, BASE)
    assert found["scope"].startswith("base,contacts:full")
    assert with_bearer(company, found["access_token"]).status_code == 200
    again = token_call(company, grant_type="authorization_code", code=back["code"][0], redirect_uri=BACK)
    assert (again.status_code, again.json()) == (
        400,
        {"success": False, "message": "Invalid grant: authorization_code is invalid", "error": "invalid_grant"},
    )


def test_a_person_can_refuse(company) -> None:
    assert consent(company, do="deny") == {"error": ["user_denied"], "state": ["s1"]}


def test_a_stranger_gets_no_consent_page(company) -> None:
    answer = company.session.get(f"{BASE}/oauth/authorize", params={"client_id": "x", "redirect_uri": BACK})
    assert answer.status_code == 400
    assert "Invalid client" in answer.text


def test_a_challenge_must_be_met(company) -> None:
    verifier = "v" * 50
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    for given, status in (("wrong", 400), (verifier, 200)):
        code = consent(company, code_challenge=challenge, code_challenge_method="S256")["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": given}
        assert token_call(company, **form).status_code == status


@pytest.mark.parametrize(
    ("form", "secret", "message"),
    [
        ({}, "", "Missing parameter: grant_type"),
        ({"grant_type": "password"}, "", "Unsupported grant type: grant_type is invalid"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "", "Invalid grant: refresh_token is invalid"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "wrong", "Invalid client: client is invalid"),
    ],
)
def test_a_refused_token_call_says_why(company, form, secret, message) -> None:
    answer = token_call(company, secret, **form)
    assert (answer.status_code, answer.json()["message"]) == (400, message)


def test_a_code_lives_five_minutes(company) -> None:
    code = consent(company)["code"][0]
    company.clock.advance(300)
    answer = token_call(company, grant_type="authorization_code", code=code, redirect_uri=BACK)
    assert answer.json()["message"] == "Invalid grant: authorization_code has expired"


def test_access_ends_with_its_hour_and_refresh_gives_another(company) -> None:
    """The refresh token stays the same unless the switch says otherwise, and dies after sixty days unused."""
    code = consent(company)["code"][0]
    first = token_call(company, grant_type="authorization_code", code=code, redirect_uri=BACK).json()
    company.clock.advance(3600)
    answer = with_bearer(company, first["access_token"])
    assert (answer.status_code, answer.json()["error"]) == (401, "Invalid token: access_token is invalid")
    second = token_call(company, grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
    assert second["refresh_token"] == first["refresh_token"]
    assert with_bearer(company, second["access_token"]).status_code == 200
    company.person("POST", "settings", {"rotateRefreshTokens": True})
    third = token_call(company, grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
    assert third["refresh_token"] != first["refresh_token"]
    assert token_call(company, grant_type="refresh_token", refresh_token=first["refresh_token"]).status_code == 400
    company.clock.advance(60 * 86_400)
    assert token_call(company, grant_type="refresh_token", refresh_token=third["refresh_token"]).status_code == 400


def test_revoking_the_refresh_token_uninstalls(company) -> None:
    code = consent(company)["code"][0]
    found = token_call(company, grant_type="authorization_code", code=code, redirect_uri=BACK).json()
    app = company.fake.oauth.app
    answer = company.session.post(
        f"{BASE}/oauth/revoke", data={"token": found["refresh_token"]}, auth=(app.client_id, app.client_secret)
    )
    assert answer.status_code == 200
    assert with_bearer(company, found["access_token"]).status_code == 401
    assert company.call("GET", "/persons").status_code == 200


def test_a_token_reaches_only_what_its_scopes_cover(company) -> None:
    """Reading is not writing; 403 in Pipedrive's words."""
    made = company.person("POST", "tokens", {"scopes": ["base", "contacts:read"]}).json()["token"]
    assert with_bearer(company, made).status_code == 200
    headers = {"Authorization": f"Bearer {made}"}
    answer = company.call("POST", "/persons", {"name": "Ada"}, token="", headers=headers)
    assert (answer.status_code, answer.json()) == (
        403,
        {"success": False, "error": "Scope and URL mismatch", "errorCode": 403},
    )
    assert with_bearer(company, made, "/deals").status_code == 403
    assert company.ids() == []
