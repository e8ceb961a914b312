"""Credentials, rate limits and faults."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import requests

from crm.providers.hubspot.fake import DEFAULT_TOKEN, HubSpotFake
from crm.providers.hubspot.fake.limits import LimitSizes
from crm.testing.faults import KINDS, Fault
from crm.testing.wsgi import LoopbackServer
from tests.providers.hubspot.fake_account import Account, body_of

CONTACTS = "/crm/v3/objects/contacts"


@pytest.fixture
def account() -> Account:
    return Account()


def test_without_a_known_token_nothing_is_answered(account: Account) -> None:
    """401 INVALID_AUTHENTICATION."""
    for answer in (
        account.call("GET", CONTACTS, token="unknown"),
        account.session.get(f"https://api.hubapi.com{CONTACTS}"),
        account.call("GET", CONTACTS, headers={"Authorization": f"Basic {DEFAULT_TOKEN}"}),
    ):
        assert answer.status_code == 401
        assert body_of(answer)["category"] == "INVALID_AUTHENTICATION"


def test_an_expired_token_says_since_when(account: Account) -> None:
    """401 EXPIRED_AUTHENTICATION."""
    token = account.person("POST", "tokens", {"expiresIn": 60}).json()["token"]
    assert account.call("GET", CONTACTS, token=token).status_code == 200
    account.clock.advance(67)
    answer = account.call("GET", CONTACTS, token=token)
    assert answer.status_code == 401
    assert body_of(answer)["category"] == "EXPIRED_AUTHENTICATION"
    assert answer.json()["message"] == "The OAuth token used to make this call expired 7 second(s) ago."


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", CONTACTS, "crm.objects.contacts.write"),
        ("POST", f"{CONTACTS}/batch/update", "crm.objects.contacts.write"),
        ("POST", "/crm/v3/objects/companies/search", "crm.objects.companies.read"),
        ("GET", "/crm/v3/owners", "crm.objects.owners.read"),
        ("POST", "/crm/v3/properties/contacts", "crm.schemas.contacts.write"),
    ],
)
def test_a_missing_scope_is_named(account: Account, method: str, path: str, scope: str) -> None:
    """403 MISSING_SCOPES with requiredGranularScopes."""
    token = account.person("POST", "tokens", {"scopes": ["oauth", "crm.objects.contacts.read"]}).json()["token"]
    answer = account.call(method, path, {}, token=token)
    assert answer.status_code == 403
    assert body_of(answer)["category"] == "MISSING_SCOPES"
    assert answer.json()["errors"][0]["context"]["requiredGranularScopes"] == [scope]
    assert account.call("GET", CONTACTS, token=token).status_code == 200


def test_the_rolling_ten_seconds_are_kept_to_the_call() -> None:
    """100 calls for a private app, then 429 without Retry-After, until the first leaves the window."""
    account = Account(limits="real")
    first = account.call("GET", CONTACTS)
    assert first.headers["X-HubSpot-RateLimit-Max"] == "100"
    assert first.headers["X-HubSpot-RateLimit-Remaining"] == "99"
    assert first.headers["X-HubSpot-RateLimit-Interval-Milliseconds"] == "10000"
    assert first.headers["X-HubSpot-RateLimit-Daily"] == "250000"
    account.clock.advance(1)
    assert {account.call("GET", CONTACTS).status_code for _ in range(99)} == {200}
    refused = account.call("GET", CONTACTS)
    assert refused.status_code == 429
    assert "Retry-After" not in refused.headers
    assert body_of(refused) == {
        "status": "error",
        "message": "You have reached your ten_secondly_rolling limit.",
        "errorType": "RATE_LIMIT",
        "policyName": "TEN_SECONDLY_ROLLING",
        "groupName": "publicapi:private_app-api-calls-ten-secondly",
    }
    account.clock.advance(9)
    assert account.call("GET", CONTACTS).status_code == 200
    assert account.call("GET", CONTACTS).status_code == 429
    stats = account.person("GET", "stats").json()
    assert (stats["limitViolations"], stats["answered429"]) == ({"TEN_SECONDLY_ROLLING": 2}, 2)


def test_an_oauth_app_has_its_own_larger_window_without_a_day() -> None:
    """110, and no daily headers."""
    account = Account(limits="real")
    token = account.person("POST", "tokens", {"expiresIn": 1800}).json()["token"]
    headers = account.call("GET", CONTACTS, token=token).headers
    assert headers["X-HubSpot-RateLimit-Max"] == "110"
    assert "X-HubSpot-RateLimit-Daily" not in headers


def test_search_has_its_own_second_and_no_headers() -> None:
    """Five a second, whatever the other calls do."""
    account = Account(limits="real")
    answers = [account.search() for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert not [name for name in answers[0].headers if "ratelimit" in name.lower()]
    assert body_of(answers[5])["policyName"] == "SECONDLY"
    account.clock.advance(1)
    assert account.search().status_code == 200


def test_the_day_ends_for_a_private_app() -> None:
    """DAILY until the next one begins."""
    account = Account(limits="real", limit_sizes=LimitSizes(private_daily=2))
    assert [account.call("GET", CONTACTS).status_code for _ in range(3)] == [200, 200, 429]
    assert account.call("GET", CONTACTS).json()["policyName"] == "DAILY"
    account.clock.advance(86_400)
    assert account.call("GET", CONTACTS).status_code == 200


def test_limits_can_be_counted_without_being_enforced() -> None:
    """For measuring a client."""
    account = Account(limits="count")
    assert {account.search().status_code for _ in range(8)} == {200}
    assert account.person("GET", "stats").json()["limitViolations"] == {"SECONDLY": 3}


CREATE = {"properties": {"email": "ada@example.com"}}


@pytest.mark.parametrize(
    ("fault", "status", "done"),
    [
        ({"kind": "rate_limited"}, 429, False),
        ({"kind": "rate_limited", "policy": "DAILY", "retry_after_seconds": 3}, 429, False),
        ({"kind": "server_error"}, 502, False),
        ({"kind": "server_error", "status": 500}, 500, False),
        ({"kind": "server_error_after"}, 504, True),
        ({"kind": "locked"}, 423, False),
        ({"kind": "moving"}, 477, False),
        ({"kind": "unauthorized"}, 401, False),
        ({"kind": "html_ok"}, 200, False),
        ({"kind": "drop_before"}, None, False),
        ({"kind": "drop_after"}, None, True),
        ({"kind": "timeout_before"}, None, False),
        ({"kind": "timeout_after"}, None, True),
        ({"kind": "half_body"}, None, True),
        ({"kind": "slow", "seconds": 31}, None, True),
        ({"kind": "slow", "seconds": 2}, 201, True),
        ({"kind": "huge_body", "size_bytes": 1000}, 201, True),
        ({"kind": "gzip_bomb", "size_bytes": 1000}, 201, True),
    ],
)
def test_each_fault_answers_so_and_did_or_did_not_do_the_work(
    account: Account, fault: dict[str, Any], status: int | None, done: bool
) -> None:
    """Scripted for one call; the next one is as always. ``None`` is no usable answer."""
    account.person("POST", "faults", {**fault, "method": "POST", "path": f"{CONTACTS}*", "times": 1})
    assert account.ids() == []
    if status is None:
        with pytest.raises(requests.RequestException):
            account.call("POST", CONTACTS, CREATE, timeout=(5, 30))
    else:
        answer = account.call("POST", CONTACTS, CREATE, timeout=(5, 30))
        assert answer.status_code == status
        wanted = {"rate_limited": fault.get("retry_after_seconds"), "moving": 5}.get(fault["kind"])
        assert answer.headers.get("Retry-After") == (None if wanted is None else str(wanted))
    assert len(account.ids()) == int(done)
    assert account.call("POST", CONTACTS, CREATE).status_code == (409 if done else 201)
    assert account.person("GET", "stats").json()["faults"] == {fault["kind"]: 1}


def test_a_timeout_is_told_from_a_dropped_connection(account: Account) -> None:
    """ReadTimeout and ConnectionError, as on a socket."""
    account.fake.faults.script([Fault("timeout_before", times=1), Fault("drop_before", times=1)])
    with pytest.raises(requests.ReadTimeout):
        account.call("GET", CONTACTS, timeout=(5, 30))
    with pytest.raises(requests.ConnectionError):
        account.call("GET", CONTACTS, timeout=(5, 30))


def test_faults_by_chance_are_the_same_for_the_same_seed() -> None:
    """Another seed, another order; skipped calls come through."""

    def statuses(seed: int) -> list[int]:
        account = Account(seed=seed)
        account.person("POST", "faults", [{"kind": "server_error", "probability": 0.3, "skip": 2}])
        return [account.call("GET", CONTACTS).status_code for _ in range(40)]

    assert statuses(1) == statuses(1)
    assert statuses(1) != statuses(2)
    assert statuses(1)[:2] == [200, 200]
    assert {200, 502} == set(statuses(1))


@pytest.mark.parametrize(
    "wrong", [{"kind": "flood"}, {"kind": "slow", "second": 1}, {"kind": "slow", "probability": 2}, "slow", [3]]
)
def test_a_fault_that_does_not_exist_is_refused_and_none_is_set(account: Account, wrong: object) -> None:
    """400 with the field."""
    assert account.person("POST", "faults", wrong).status_code == 400
    assert account.person("GET", "faults").json()["faults"] == []


def test_cleared_faults_are_over(account: Account) -> None:
    """DELETE ends those without an end."""
    account.person("POST", "faults", {"kind": "server_error"})
    assert [account.call("GET", CONTACTS).status_code for _ in range(2)] == [502, 502]
    account.person("DELETE", "faults")
    assert account.call("GET", CONTACTS).status_code == 200


def test_connection_faults_are_real_on_a_socket() -> None:
    """The client sees a closed connection or a short body, and the server goes on."""
    fake = HubSpotFake()
    headers = {"Authorization": f"Bearer {DEFAULT_TOKEN}"}
    with LoopbackServer(fake) as server, requests.Session() as session:
        url = f"{server.url}{CONTACTS}"
        fake.faults.script([Fault("drop_after", times=1), Fault("half_body", times=1), Fault("moving", times=1)])
        with pytest.raises(requests.ConnectionError):
            session.post(url, json=CREATE, headers=headers, timeout=5)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            session.get(url, headers=headers, timeout=5)
        assert session.get(url, headers=headers, timeout=5).status_code == 477
        fake.faults.add(Fault("slow", times=1, seconds=0.2))
        with pytest.raises(requests.ReadTimeout):
            session.get(url, headers=headers, timeout=0.05)
        answer = session.get(url, headers=headers, timeout=5)
        assert [row["properties"]["email"] for row in answer.json()["results"]] == ["ada@example.com"]
        port = int(server.url.rsplit(":", 1)[1])
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_every_kind_of_fault_is_described() -> None:
    """The list in the module is the list of the tests above."""
    assert sorted(KINDS) == sorted(
        [
            "drop_after",
            "drop_before",
            "gzip_bomb",
            "half_body",
            "html_ok",
            "huge_body",
            "locked",
            "moving",
            "rate_limited",
            "server_error",
            "server_error_after",
            "slow",
            "timeout_after",
            "timeout_before",
            "unauthorized",
        ]
    )
