"""Limits, credentials and faults: headers, bodies, and what is counted."""

from __future__ import annotations

import pytest
import requests

from crm.providers.pipedrive.fake.limits import LimitSizes
from crm.testing.faults import Fault
from tests.providers.pipedrive.fake_company import Company

OVER = {"success": False, "error": "request over limit", "errorCode": 429}


def limits_of(answer) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items() if "ratelimit" in name.lower()}


def test_every_answer_tells_what_is_left_of_both_limits() -> None:
    """Burst of the plan's token, budget of the company, cost by the call."""
    company = Company(limits="real")
    assert limits_of(company.call("GET", "/persons")) == {
        "x-ratelimit-limit": "20",
        "x-ratelimit-remaining": "19",
        "x-ratelimit-reset": "2",
        "x-daily-ratelimit-token-limit": "30000",
        "x-daily-ratelimit-token-remaining": "29990",
    }
    answer = company.call("POST", "/persons", {"name": "Ada"})
    assert limits_of(answer)["x-daily-ratelimit-token-remaining"] == "29985"
    assert len(answer.headers["x-correlation-id"]) == 36


@pytest.mark.parametrize(
    ("plan", "seats", "burst", "daily"), [("growth", 1, "40", "60000"), ("ultimate", 3, "120", "630000")]
)
def test_plans_and_seats_set_the_sizes(plan, seats, burst, daily) -> None:
    found = limits_of(Company(limits="real", plan=plan, seats=seats).call("GET", "/persons"))
    assert (found["x-ratelimit-limit"], found["x-daily-ratelimit-token-limit"]) == (burst, daily)


def test_the_burst_refuses_the_call_after_the_last_and_forgets_after_two_seconds() -> None:
    """A refused call costs nothing and changes nothing."""
    company = Company(limits="real")
    for _ in range(20):
        company.add()
    answer = company.call("POST", "/persons", {"name": "Ada"})
    assert (answer.status_code, answer.json()) == (429, OVER)
    found = limits_of(answer)
    assert (found["x-ratelimit-remaining"], found["x-ratelimit-reset"]) == ("0", "2")
    assert found["x-daily-ratelimit-token-remaining"] == "29900"
    assert "retry-after" not in {name.lower() for name in answer.headers}
    company.clock.advance(2)
    assert len(company.ids()) == 20
    assert company.fake.stats()["limitViolations"] == {"burst": 1}


def test_search_has_ten_in_two_seconds_of_its_own() -> None:
    company = Company(limits="real", plan="ultimate")
    for _ in range(10):
        assert company.call("GET", "/persons/search", params={"term": "Ada"}).status_code == 200
    answer = company.call("GET", "/itemSearch", params={"term": "Ada"})
    assert (answer.status_code, limits_of(answer)["x-ratelimit-limit"]) == (429, "10")
    assert company.call("GET", "/persons").status_code == 200


def test_an_empty_budget_refuses_until_midnight() -> None:
    """Told apart from a burst by what remains: calls in the window, no tokens for the day."""
    company = Company(limits="real", limit_sizes=LimitSizes(daily_tokens=12))
    assert company.call("GET", "/persons").status_code == 200
    answer = company.call("GET", "/persons")
    found = limits_of(answer)
    assert (answer.status_code, answer.json()) == (429, OVER)
    assert (found["x-ratelimit-remaining"], found["x-daily-ratelimit-token-remaining"]) == ("19", "2")
    company.clock.advance(10 * 3600)
    assert company.call("GET", "/persons").status_code == 200


def test_who_goes_on_after_429_is_blocked_at_the_edge() -> None:
    """403 with a page instead of JSON, for half an hour; other tokens are not concerned."""
    company = Company(limits="real", limit_sizes=LimitSizes(api_burst=1, ban_after=3))
    token = company.person("POST", "tokens", {}).json()["token"]
    statuses = [company.call("GET", "/persons").status_code for _ in range(5)]
    assert statuses == [200, 429, 429, 429, 403]
    answer = company.call("GET", "/persons")
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "Cloudflare" in answer.text
    assert company.call("GET", "/persons", token=token).status_code == 200
    company.clock.advance(1800)
    assert company.call("GET", "/persons").status_code == 200


def test_counting_refuses_nothing_and_none_does_not_even_count() -> None:
    counting = Company(limits="count", limit_sizes=LimitSizes(api_burst=1))
    assert [counting.call("GET", "/persons").status_code for _ in range(3)] == [200, 200, 200]
    assert counting.fake.stats()["limitViolations"] == {"burst": 2}
    off = Company(limit_sizes=LimitSizes(api_burst=1))
    assert [off.call("GET", "/persons").status_code for _ in range(3)] == [200, 200, 200]
    assert (off.fake.stats()["limitViolations"], off.fake.stats()["tokensSpent"]) == ({}, 30)


def test_a_token_that_is_not_known_is_refused_by_the_gateway() -> None:
    company = Company()
    answer = company.call("GET", "/persons", token="wrong")
    assert (answer.status_code, answer.headers["x-401-by-gw"], answer.json()) == (
        401,
        "true",
        {
            "success": False,
            "error": "unauthorized access",
            "errorCode": 401,
            "error_info": "Please check developers.pipedrive.com",
        },
    )


def test_the_token_in_the_query_counts_on_version_1_only_and_never_as_bearer() -> None:
    """Switchable, because third parties disagree about version 2."""
    company = Company()
    token = company.fake.token

    def ask(path: str, **headers: str) -> int:
        query = {} if headers else {"api_token": token}
        return company.call("GET", path, token="", params=query, headers=headers).status_code

    assert (ask("/v1/users/me"), ask("/persons")) == (200, 401)
    company.person("POST", "settings", {"queryToken": "everywhere"})
    assert ask("/persons") == 200
    assert ask("/persons", Authorization=f"Bearer {token}") == 401


def test_a_closed_company_answers_402() -> None:
    company = Company()
    company.person("POST", "settings", {"companyOpen": False})
    assert company.call("GET", "/persons").status_code == 402


@pytest.mark.parametrize(
    ("policy", "status", "kind", "remaining"),
    [
        ("burst", 429, "application/json", "0"),
        ("daily", 429, "application/json", "19"),
        ("cloudflare", 403, "text/html", None),
    ],
)
def test_limits_can_be_forced_as_faults(policy, status, kind, remaining) -> None:
    company = Company()
    company.fake.faults.add(Fault("rate_limited", times=1, policy=policy))
    answer = company.call("POST", "/persons", {"name": "Ada"})
    assert (answer.status_code, answer.headers.get("x-ratelimit-remaining")) == (status, remaining)
    assert answer.headers["Content-Type"].startswith(kind)
    assert company.ids() == []


def test_a_write_whose_answer_is_lost_is_there_all_the_same() -> None:
    """No key makes a second POST harmless: sent again, it is a second person."""
    company = Company()
    company.fake.faults.add(Fault("drop_after", method="POST", times=1))
    with pytest.raises(requests.ConnectionError):
        company.call("POST", "/persons", {"name": "Ada"})
    company.call("POST", "/persons", {"name": "Ada"})
    assert company.ids() == [1, 2]


def test_html_comes_instead_of_json_when_asked_for() -> None:
    company = Company()
    company.fake.faults.script([Fault("server_error", times=1, status=524), Fault("html_ok", times=1)])
    answers = [company.call("GET", "/persons") for _ in range(2)]
    assert [(answer.status_code, answer.headers["Content-Type"][:9]) for answer in answers] == [
        (524, "text/html"),
        (200, "text/html"),
    ]


def test_unknown_paths_and_methods_have_their_own_answers() -> None:
    company = Company()
    assert company.call("GET", "/leads").status_code == 404
    assert company.call("POST", "/api/v2/notes", {}).status_code == 404
    answer = company.call("PUT", "/persons/1", {})
    assert (answer.status_code, answer.json()["error"]) == (405, "Method not allowed")
