"""OAuth as data and as calls: proofs, addresses, what token answers and refusals mean."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from crm.errors import (
    AuthorizationExpiredError,
    ConfigurationError,
    CrmError,
    ProviderUnavailableError,
    RateLimitedError,
    UnexpectedAnswerError,
)
from crm.http.answer import Answer
from crm.http.grants import (
    OAuthClient,
    authorize_address,
    callback_code,
    challenge_of,
    classify,
    is_issuer,
    new_state,
    new_verifier,
    scopes_of,
    seconds_of,
)
from crm.http.hosts import HostPolicy
from crm.http.oauth import TokenEndpoint
from crm.http.redact import Secret
from crm.registry import PROVIDERS, provider
from crm.testing.wsgi import InProcessAdapter, Request, Response, WsgiApp, json_response

CLIENT = OAuthClient("our-app", Secret("our secret"))
HOSTS = {key: HostPolicy(found.host_suffixes) for key, found in PROVIDERS.items()}
TOKENS: dict[str, dict[str, Any]] = {
    "hubspot": {"access_token": "A1", "refresh_token": "R1", "expires_in": 1800, "hub_id": 7, "scopes": ["oauth"]},
    "salesforce": {
        "access_token": "A1",
        "refresh_token": "R1",
        "instance_url": "https://acme.my.salesforce.com",
        "id": "https://login.salesforce.com/id/00D000000000001EAA/005000000000001AAA",
        "scope": "api refresh_token openid",
        "issued_at": "1",
    },
    "pipedrive": {
        "access_token": "A1",
        "refresh_token": "R1",
        "expires_in": 3599,
        "scope": "base,contacts:full",
        "api_domain": "https://acme.pipedrive.com",
    },
}


def flow(key: str) -> Any:
    found = provider(key).oauth
    assert found is not None
    return found


class Scripted(WsgiApp):
    """Answers each request with the next of its answers and keeps what was asked."""

    def __init__(self, *answers: Response) -> None:
        self.answers = list(answers)
        self.asked: list[Request] = []

    def respond(self, request: Request) -> Response:
        self.asked.append(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def endpoint(key: str, app: WsgiApp, client: OAuthClient = CLIENT) -> TokenEndpoint:
    session = requests.Session()
    session.mount("https://", InProcessAdapter(app))
    return TokenEndpoint(flow(key), {}, HOSTS[key], client, provider=key, session=session, sleep=lambda _: None)


# Proofs and addresses.


def test_the_challenge_is_that_of_the_rfc() -> None:
    """RFC 7636, appendix B."""
    verifier = Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_states_and_verifiers_are_long_and_new_each_time() -> None:
    """256 bits, and 43 to 128 characters of the alphabet that RFC 7636 allows."""
    states = {new_state() for _ in range(1000)}
    assert len(states) == 1000
    assert {len(state) for state in states} == {43}
    verifier = new_verifier()
    assert 43 <= len(verifier.reveal()) <= 128
    assert str(verifier) == "***"


@pytest.mark.parametrize("key", sorted(PROVIDERS))
def test_the_address_asks_for_what_the_provider_declares(key: str) -> None:
    """Code flow, client, redirect, state; scopes and challenge where the provider takes them; never the verifier."""
    verifier = new_verifier()
    address = authorize_address(
        flow(key),
        {},
        HOSTS[key],
        client_id="our app",
        redirect_uri="https://crm.example.com/back?x=1",
        state="S",
        verifier=verifier,
        scopes=("one", "two"),
        optional_scopes=("three",),
    )
    query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    assert query["response_type"] == "code"
    assert (query["client_id"], query["redirect_uri"], query["state"]) == (
        "our app",
        "https://crm.example.com/back?x=1",
        "S",
    )
    assert query.get("scope") == ("one two" if flow(key).asks_scopes else None)
    assert query.get("code_challenge") == (challenge_of(verifier) if flow(key).pkce else None)
    assert verifier.reveal() not in address
    assert HOSTS[key].check_url(address)


def test_an_address_of_another_host_is_refused() -> None:
    """Before a browser is sent anywhere."""
    with pytest.raises(ConfigurationError, match="no host of this provider"):
        authorize_address(
            flow("hubspot"),
            {"auth_base": "https://app.hubspot.com.evil.example"},
            HOSTS["hubspot"],
            client_id="c",
            redirect_uri="r",
            state="s",
            verifier=new_verifier(),
            scopes=(),
        )


def test_salesforce_s_addresses_follow_the_environment() -> None:
    """Production, sandbox, or an own log-in domain."""
    found = flow("salesforce")
    assert found.token_url({}).startswith("https://login.salesforce.com/")
    assert found.token_url({"environment": "sandbox"}).startswith("https://test.salesforce.com/")
    own = {"environment": "sandbox", "login_base": "https://acme.my.salesforce.com/"}
    assert found.authorize_url(own) == "https://acme.my.salesforce.com/services/oauth2/authorize"


@pytest.mark.parametrize(
    ("issuer", "accepted"),
    [
        ("https://login.salesforce.com", True),
        ("https://acme.my.salesforce.com", True),
        ("https://app.hubspot.com", False),
        ("https://salesforce.com.evil.example", False),
        ("http://login.salesforce.com", False),
        ("https://user@login.salesforce.com", False),
        ("", False),
        ("not an address", False),
    ],
)
def test_an_issuer_has_to_be_the_provider_s(issuer: str, accepted: bool) -> None:
    """RFC 9207: the server the person was sent to, or another host of the same provider."""
    assert is_issuer(issuer, flow("salesforce"), {}, HOSTS["salesforce"]) is accepted


def test_an_extra_host_is_the_issuer_only_where_it_was_used() -> None:
    """Extra hosts of all providers stand in one list, so the list does not tell them apart."""
    hosts = HostPolicy(("salesforce.com",), ("127.0.0.1",))
    settings = {"login_base": "http://127.0.0.1:1"}
    assert is_issuer("http://127.0.0.1:1", flow("salesforce"), settings, hosts)
    assert not is_issuer("http://127.0.0.1:2", flow("salesforce"), settings, hosts)


# Token answers.


@pytest.mark.parametrize("key", sorted(PROVIDERS))
def test_a_code_becomes_a_token(key: str) -> None:
    """One request, client proof where the provider wants it, the verifier where it was promised; secrets masked."""
    app = Scripted(json_response(TOKENS[key]))
    token = endpoint(key, app).exchange(Secret("code=="), redirect_uri="https://x/cb", verifier=Secret("v" * 43))
    (asked,) = app.asked
    form = asked.form()
    assert (form["grant_type"], form["code"], form["redirect_uri"]) == ("authorization_code", "code==", "https://x/cb")
    assert form.get("code_verifier") == ("v" * 43 if flow(key).pkce else None)
    if flow(key).client_by_basic:
        assert asked.headers["authorization"] == "Basic " + base64.b64encode(b"our-app:our%20secret").decode()
        assert "client_secret" not in form
    else:
        assert (form["client_id"], form["client_secret"]) == ("our-app", "our secret")
    assert asked.query_text == ""
    assert (token.access_token.reveal(), token.refresh_token.reveal() if token.refresh_token else "") == ("A1", "R1")
    assert "A1" not in repr(token)
    assert "R1" not in repr(token)


def test_what_each_answer_tells_of_the_account() -> None:
    """HubSpot and Salesforce name it; Pipedrive names where it is called."""
    found = {key: flow(key).read_token(body, OAuthClient("c", Secret("s")), HOSTS[key]) for key, body in TOKENS.items()}
    assert found["hubspot"].remote_account_id == "7"
    assert found["salesforce"].remote_account_id == "00D000000000001EAA"
    assert found["salesforce"].settings == {
        "instance_url": "https://acme.my.salesforce.com",
        "user_id": "005000000000001AAA",
    }
    assert found["salesforce"].expires_in_seconds is None
    assert found["pipedrive"].settings == {"api_base": "https://acme.pipedrive.com", "auth_scheme": "bearer"}
    assert found["pipedrive"].scopes == ("base", "contacts:full")


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("salesforce", {"instance_url": "https://acme.my.salesforce.com.evil.example"}),
        ("salesforce", {"instance_url": "http://169.254.169.254"}),
        ("pipedrive", {"api_domain": "https://evil.example"}),
        ("pipedrive", {"api_domain": "http://127.0.0.1"}),
        ("pipedrive", {"api_domain": "https://acme.pipedrive.com@evil.example"}),
    ],
)
def test_a_token_answer_cannot_lead_the_token_elsewhere(key: str, changes: dict[str, str]) -> None:
    """The address it names has to be the provider's."""
    with pytest.raises(ConfigurationError) as refused:
        endpoint(key, Scripted(json_response({**TOKENS[key], **changes}))).refresh(Secret("R0"))
    assert refused.value.code == "config.host"


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("hubspot", {"access_token": ""}),
        ("hubspot", {"access_token": 7}),
        ("hubspot", {"access_token": "x" * 9000}),
        ("hubspot", {"hub_id": None}),
        ("salesforce", {"id": "https://login.salesforce.com/id/x"}),
        ("salesforce", {"signature": "forged"}),
        ("pipedrive", {"api_domain": ""}),
    ],
)
def test_an_answer_that_is_not_documented_is_not_believed(key: str, changes: dict[str, Any]) -> None:
    """And its content does not stand in the error."""
    with pytest.raises(UnexpectedAnswerError) as refused:
        endpoint(key, Scripted(json_response({**TOKENS[key], **changes}))).refresh(Secret("R0"))
    assert "forged" not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "seconds"), [(1800, 1800.0), ("3599", 3599.0), (None, None), (-1, None), (True, None)]
)
def test_lifetimes(value: object, seconds: float | None) -> None:
    """Numbers, and numbers as text."""
    assert seconds_of({"expires_in": value}) == seconds


def test_scopes_come_in_three_forms() -> None:
    """A list, words, words with commas."""
    assert scopes_of(["a", "b"]) == scopes_of("a b") == scopes_of("a,b") == ("a", "b")
    assert scopes_of(3) is None


# Refusals.


def judged(key: str, status: int, body: Any, **headers: str) -> CrmError | None:
    return classify(flow(key), Answer(status=status, headers=headers, body=body, text=""))


@pytest.mark.parametrize(
    ("key", "status", "body", "kind", "code"),
    [
        ("hubspot", 400, {"status": "BAD_REFRESH_TOKEN"}, AuthorizationExpiredError, "auth.expired"),
        ("hubspot", 400, {"status": "BAD_HUB", "error": "access_denied"}, AuthorizationExpiredError, "auth.revoked"),
        ("hubspot", 400, {"status": "BAD_CLIENT_SECRET"}, ConfigurationError, "oauth.client"),
        ("hubspot", 400, {"status": "BAD_REDIRECT_URI", "error": "invalid_grant"}, ConfigurationError, "oauth.request"),
        ("hubspot", 477, {"error": "invalid_grant"}, ProviderUnavailableError, "net.unavailable"),
        ("salesforce", 400, {"error": "invalid_grant"}, AuthorizationExpiredError, "auth.expired"),
        (
            "salesforce",
            400,
            {"error": "invalid_grant", "error_description": "token request is already being processed"},
            ProviderUnavailableError,
            "net.unavailable",
        ),
        (
            "salesforce",
            400,
            {"error": "invalid_grant", "error_description": "inactive user"},
            AuthorizationExpiredError,
            "auth.user_inactive",
        ),
        ("salesforce", 400, {"error": "invalid_client_id"}, ConfigurationError, "oauth.client"),
        ("salesforce", 400, {"error": "unknown_error"}, ProviderUnavailableError, "net.unavailable"),
        (
            "pipedrive",
            400,
            {"success": False, "message": "Invalid grant: refresh_token is invalid"},
            AuthorizationExpiredError,
            "auth.expired",
        ),
        ("pipedrive", 400, {"message": "Invalid client: client is invalid"}, ConfigurationError, "oauth.client"),
        ("pipedrive", 200, {"error": "invalid_grant"}, AuthorizationExpiredError, "auth.expired"),
        ("pipedrive", 429, {}, RateLimitedError, "quota.rate"),
        ("pipedrive", 503, {"error": "invalid_grant"}, ProviderUnavailableError, "net.unavailable"),
        ("hubspot", 400, {"error": "brand_new"}, UnexpectedAnswerError, "net.bad_response"),
        ("hubspot", 403, None, UnexpectedAnswerError, "net.bad_response"),
        ("hubspot", 302, None, UnexpectedAnswerError, "net.bad_response"),
    ],
)
def test_what_refusals_mean(key: str, status: int, body: Any, kind: type[CrmError], code: str) -> None:
    """Only the CRM's own word ends a grant; what is not understood never does."""
    error = judged(key, status, body)
    assert type(error) is kind
    assert error is not None
    assert error.code == code


def test_a_refusal_does_not_repeat_the_token_it_quotes() -> None:
    """The description passes the redactor."""
    quoted = "refresh_token=na1-aaaa1111-bbbb2222 is invalid"
    error = judged("hubspot", 400, {"error": "invalid_grant", "error_description": quoted})
    assert error is not None
    assert "bbbb2222" not in error.provider_message


@pytest.mark.parametrize("status", [500, 502, 408])
def test_a_lost_answer_is_passing_trouble_and_is_not_sent_twice(status: int) -> None:
    """A rotating refresh token may be spent: the next try tells."""
    app = Scripted(Response(status))
    with pytest.raises(ProviderUnavailableError):
        endpoint("salesforce", app).refresh(Secret("R0"))
    assert len(app.asked) == 1


def test_revoking_what_is_gone_succeeds() -> None:
    """Everything else is said."""
    endpoint("salesforce", Scripted(json_response({"error": "invalid_token"}, 400))).revoke(Secret("R0"))
    with pytest.raises(ConfigurationError):
        endpoint("salesforce", Scripted(json_response({"error": "invalid_client"}, 400))).revoke(Secret("R0"))


@pytest.mark.parametrize(
    ("error", "description", "code"),
    [
        ("access_denied", "", "oauth.denied"),
        ("user_denied", "", "oauth.denied"),
        ("invalid_client", "app must be installed into org", "oauth.not_installed"),
        ("OAUTH_APP_BLOCKED", "this app is blocked by admin", "oauth.not_installed"),
        ("redirect_uri_mismatch", "", "oauth.request"),
        ("anything", "<b>", "oauth.failed"),
    ],
)
def test_what_a_callback_s_error_means(error: str, description: str, code: str) -> None:
    """In the catalogue's words."""
    assert callback_code(error, description) == code
