"""What the client sends again, when, and what it never repeats."""

from __future__ import annotations

import pytest
import requests

from crm.errors import (
    CrmError,
    OutcomeUnknownError,
    ProviderUnavailableError,
    RateLimitedError,
    RecordLockedError,
)
from crm.http.answer import Answer
from tests.crm.http.conftest import BASE, raised


def test_a_read_is_retried_with_full_jitter(web, make_client, sleeper):
    """Two failures of a read cost two growing waits, then its answer is given."""
    web.get(f"{BASE}/", status=502, body="<html>bad gateway</html>", content_type="text/html")
    web.get(f"{BASE}/", status=500, json={})
    web.get(f"{BASE}/", json={"ok": True})

    answer = make_client(BASE).request("GET", "/", operation="get")

    assert answer.body == {"ok": True}
    assert sleeper.slept == [0.5, 1.0]


def test_a_read_that_keeps_failing_ends_after_three_tries(web, make_client):
    """The bound is three tries, and the error says what happens next."""
    for _ in range(3):
        web.get(f"{BASE}/", status=500, json={})

    error = raised(lambda: make_client(BASE).request("GET", "/", operation="list"))

    assert ProviderUnavailableError is type(error)
    assert (error.provider, error.operation, len(web.calls)) == ("example", "list", 3)


def test_retry_after_is_waited_for_when_short(web, make_client, sleeper):
    """The CRM's own wait comes first, jitter on top of it."""
    web.get(f"{BASE}/", status=503, json={}, headers={"Retry-After": "3"})
    web.get(f"{BASE}/", json={})

    make_client(BASE).request("GET", "/", operation="get")

    assert sleeper.slept == [3.5]


def test_retry_after_may_be_a_date_measured_by_the_servers_clock(web, make_client, sleeper):
    """A date counts from the answer's own Date, so our clock does not matter."""
    dates = {"Date": "Mon, 05 Jan 2026 10:00:00 GMT", "Retry-After": "Mon, 05 Jan 2026 10:00:04 GMT"}
    web.get(f"{BASE}/", status=503, json={}, headers=dates)
    web.get(f"{BASE}/", json={})

    make_client(BASE).request("GET", "/", operation="get")

    assert sleeper.slept == [4.5]


def test_a_long_retry_after_becomes_a_due_time(web, make_client, sleeper):
    """Nobody sleeps for minutes: the error carries the wait."""
    web.get(f"{BASE}/", status=503, json={}, headers={"Retry-After": "600"})

    error = raised(lambda: make_client(BASE).request("GET", "/", operation="get"))

    assert isinstance(error, RateLimitedError)
    assert (error.retry_after_seconds, sleeper.slept, len(web.calls)) == (600.0, [], 1)


@pytest.mark.parametrize(("daily", "budget"), [(False, "search"), (True, "daily")])
def test_a_429_closes_the_budget_for_everyone(web, make_client, limiter, daily, budget):
    """The refusal is told to the shared limiter, for the budget that the provider's table names."""
    web.get(f"{BASE}/", status=429, json={})

    def classify(answer: Answer) -> CrmError | None:
        return RateLimitedError(retry_after_seconds=60, daily=daily) if answer.status == 429 else None

    error = raised(lambda: make_client(BASE, classify=classify).request("GET", "/", operation="s", budget="search"))

    assert isinstance(error, RateLimitedError)
    assert [(budget, 60.0)] == limiter.refused


@pytest.mark.parametrize("status", [423, 429])
def test_a_write_that_was_refused_for_the_moment_is_sent_again(web, make_client, sleeper, status):
    """423 and 429 say that nothing happened, so that even a create may be repeated."""
    web.post(f"{BASE}/", status=status, json={})
    web.post(f"{BASE}/", status=201, json={"id": "1"})

    def classify(answer: Answer) -> CrmError | None:
        return {423: RecordLockedError(), 429: RateLimitedError(retry_after_seconds=2)}.get(answer.status)

    answer = make_client(BASE, classify=classify).request("POST", "/", operation="create", json={})

    assert (answer.status, len(web.calls), sleeper.slept) == (201, 2, [2.5])


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 521, 524])
def test_a_write_whose_answer_does_not_say_is_unknown_and_not_repeated(web, make_client, status):
    """A gateway's answer to a write says nothing of what happened behind it."""
    web.post(f"{BASE}/", status=status, body="<html>", content_type="text/html")

    def classify(answer: Answer) -> CrmError | None:
        return ProviderUnavailableError() if answer.status >= 400 else None

    error = raised(lambda: make_client(BASE, classify=classify).request("POST", "/", operation="create", json={}))

    assert (OutcomeUnknownError, 1) == (type(error), len(web.calls))


def test_a_post_that_only_reads_is_retried_like_a_read(web, make_client):
    """A search by POST says ``write=False``."""
    web.post(f"{BASE}/search", status=502, json={})
    web.post(f"{BASE}/search", json={"total": 0})

    answer = make_client(BASE).request("POST", "/search", operation="search", json={}, write=False)

    assert (answer.body, len(web.calls)) == ({"total": 0}, 2)


@pytest.mark.parametrize(
    "given",
    [requests.ConnectionError("reset"), requests.ReadTimeout("slow"), requests.exceptions.ChunkedEncodingError()],
)
def test_a_write_that_broke_off_is_unknown(web, make_client, given):
    """Whatever is not certain to have had no effect is unknown."""
    web.post(f"{BASE}/", body=given)

    error = raised(lambda: make_client(BASE).request("POST", "/", operation="create", json={}))

    assert (OutcomeUnknownError, 1) == (type(error), len(web.calls))


def test_a_connect_timeout_of_a_write_had_no_effect_and_is_retried(web, make_client):
    """Without a connection nothing was sent."""
    web.post(f"{BASE}/", body=requests.ConnectTimeout("no answer"))
    web.post(f"{BASE}/", status=201, json={})

    assert make_client(BASE).request("POST", "/", operation="create", json={}).status == 201
