"""Budgets: the burst is used and never passed, and every call is charged what Pipedrive charges."""

from __future__ import annotations

from typing import Any

import pytest

from crm.errors import RateLimitedError
from crm.http.limits import BoundBudgets, Priority, Scope
from crm.http.memory_limits import MemoryLimiter, MemoryLimits
from crm.ports import CreateItem, Turn, UpdateItem
from crm.providers.pipedrive import PROVIDER, endpoints
from tests.providers.pipedrive.stand import START_MS, PipedriveStand, pipedrive_stand

KEYS = {scope: f"test:{scope.value}" for scope in Scope}


class Punctual(MemoryLimiter):
    """No time of the fake's passes while a request is under way."""

    def late(self, budget: str, turn: Turn, seconds: float) -> None:
        """Never."""


def clocked(stand: PipedriveStand, **options: Any) -> dict[str, Any]:
    """A limiter and a sleep that live in the fake's time."""
    clock = stand.fake.clock
    limits = MemoryLimits(clock=lambda: clock.now_ms() / 1000, max_wait_seconds=60)
    limiter = Punctual(limits, BoundBudgets(PROVIDER.budgets, KEYS, priority=Priority.INTERACTIVE, **options))

    def sleep(seconds: float) -> None:
        clock.advance(-(-seconds * 1000 // 1) / 1000)

    return {"limiter": limiter, "sleep": sleep}


def test_a_backlog_uses_the_burst_and_never_passes_it(monkeypatch) -> None:
    """At least 95 % of 20 requests in 2 seconds, over 320 writes, with not one refusal.

    One writer, so that the stopped clock moves in the order of the requests.
    """
    monkeypatch.setattr(endpoints, "WRITERS", 1)
    with pipedrive_stand(limits="real") as stand:
        stand.learn()
        stand.pass_time(10)
        connector = stand.connector(**clocked(stand))
        started_ms = stand.fake.clock.now_ms()
        stand.fake.reset_stats()
        items = [CreateItem(f"k{n}", f"org:{n}", {"name": f"P{n}"}) for n in range(320)]
        results = connector.create("persons", items)
        seconds = (stand.fake.clock.now_ms() - started_ms) / 1000
        assert {result.error for result in results.values()} == {None}
        # The first burst costs no time: the other 300 went out in what passed.
        assert 300 / seconds >= 0.95 * 20 / 2
        assert stand.fake.stats()["limitViolations"] == {}


def test_a_plans_own_burst_is_learned_from_the_headers(monkeypatch) -> None:
    """One answer of a larger plan is enough."""
    monkeypatch.setattr(endpoints, "WRITERS", 1)
    with pipedrive_stand(limits="real", plan="ultimate") as stand:
        stand.learn()
        stand.pass_time(10)
        connector = stand.connector(**clocked(stand))
        connector.account()
        started_ms = stand.fake.clock.now_ms()
        stand.fake.reset_stats()
        connector.create("persons", [CreateItem(f"k{n}", f"org:{n}", {"name": f"P{n}"}) for n in range(479)])
        seconds = (stand.fake.clock.now_ms() - started_ms) / 1000
        assert 360 / seconds >= 0.95 * 120 / 2
        assert stand.fake.stats()["limitViolations"] == {}


def test_each_call_is_charged_what_pipedrive_charges() -> None:
    """The day's tokens that the limiter has counted are those that the account has lost, for either version."""
    for version in endpoints.VERSIONS:
        with pipedrive_stand({"api_version": version}) as stand:
            spent: list[int] = []

            class Counting:
                def acquire(self, budget: str, cost: int = 1, turn: Any = None) -> Turn:
                    spent.append(cost)  # noqa: B023 - used within this round of the loop only
                    return Turn()

                def late(self, budget: str, turn: Turn, seconds: float) -> None:
                    """Nothing is moved."""

                def observe(self, headers: Any) -> None:
                    """Nothing is learned."""

                def exhausted(self, budget: str, retry_after_seconds: float) -> None:
                    """Nothing is held back."""

            connector = stand.connector(limiter=Counting())
            connector.account()
            connector.prepare("persons")
            connector.describe("persons")
            made = connector.create("persons", [CreateItem("k", "org:1", {"name": "Ada", "org_id.name": "Acme"})])
            remote_id = made["k"].record.remote_id
            connector.scan("persons", ["name", "org_id.name"], None)
            connector.changes("persons", ["name"], stand.now(), None)
            connector.fetch("persons", [remote_id, "999"], ["name"])
            connector.find_by_markers("persons", ["org:1"], ["name"]).get("org:1")
            connector.update("persons", [UpdateItem("k", remote_id, {"name": "Bob"})])
            connector.delete("persons", [UpdateItem("k", remote_id, {})])
            connector.scan("notes", ["content"], None)
            assert sum(spent) == stand.fake.stats()["tokensSpent"]
            assert connector.calls == stand.fake.stats()["totalRequests"] == len(spent)


def test_a_days_budget_is_learned_and_kept_in_part_for_others() -> None:
    """30,000 tokens until the headers tell more: a full sync leaves three tenths of them."""
    limits = MemoryLimits(clock=lambda: START_MS / 1000)
    limiter = limits.limiter(BoundBudgets(PROVIDER.budgets, KEYS, priority=Priority.FULL))
    limiter.acquire(endpoints.BURST, 21_000)
    with pytest.raises(RateLimitedError) as refused:
        limiter.acquire(endpoints.BURST, 10)
    assert refused.value.daily
    limiter.observe({"x-daily-ratelimit-token-limit": "120000", "x-daily-ratelimit-token-remaining": "99000"})
    limiter.acquire(endpoints.BURST, 63_000)
    with pytest.raises(RateLimitedError):
        limiter.acquire(endpoints.BURST, 10)
