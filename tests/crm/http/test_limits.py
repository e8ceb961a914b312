"""Budgets for one process, on a clock that stands still until a test moves it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.errors import RateLimitedError
from crm.http.limits import (
    DAILY,
    BoundBudgets,
    DailyBudget,
    Priority,
    Reading,
    RollingWindow,
    Scope,
    headers_reader,
    minimum_gap,
    politeness,
)
from crm.http.memory_limits import MemoryLimits

KEYS = {Scope.ACCOUNT: "example:1", Scope.APP: "example:app:1", Scope.CONNECTION: "c1"}
BURST = RollingWindow(
    "burst",
    Scope.APP,
    10,
    10.0,
    read=headers_reader(limit="x-max", remaining="x-remaining", interval_milliseconds="x-interval"),
)
SEARCH = RollingWindow("search", Scope.ACCOUNT, 5, 1.0)
DAY = DailyBudget(limit=100, read=headers_reader(limit="x-daily", remaining="x-daily-remaining"))


class StoppedClock:
    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return StoppedClock()


@pytest.fixture
def limits(clock):
    return MemoryLimits(clock=clock)


def bound(*budgets, priority=Priority.FULL, share=1.0, keys=KEYS):
    return BoundBudgets(budgets, keys, priority, share)


def granted(limiter, budget="burst", cost=1, tries=1_000):
    """How many calls may go now."""
    count = 0
    for _ in range(tries):
        try:
            if limiter.acquire(budget, cost).wait_seconds > 0:
                return count
        except RateLimitedError:
            return count
        count += 1
    return count


def test_a_window_gives_its_limit_and_then_the_wait_until_there_is_room(limits, clock):
    """Ten at once; the eleventh ten seconds and the margin after the first."""
    limiter = limits.limiter(bound(BURST))

    waits = [limiter.acquire("burst").wait_seconds for _ in range(11)]
    assert waits == [0.0] * 10 + [10.15]
    clock.now += 10.1
    assert limiter.acquire("burst").wait_seconds == pytest.approx(0.05)


@given(st.lists(st.floats(0, 3), min_size=1, max_size=80), st.integers(1, 7))
def test_no_window_ever_holds_more_than_the_limit(pauses, limit):
    """Whatever the rhythm of the calls: every slot lies a window after the one ``limit`` places before it."""
    clock = StoppedClock()
    limiter = MemoryLimits(clock=clock, max_wait_seconds=1e6).limiter(
        bound(RollingWindow("burst", Scope.APP, limit, 2.0))
    )
    slots = []
    for pause in pauses:
        clock.now += pause
        slots.append(clock.now + limiter.acquire("burst").wait_seconds)

    assert all(later - earlier > 2.0 for earlier, later in zip(slots, slots[limit:], strict=False))


def test_a_waiting_backlog_uses_all_but_the_margin(limits, clock):
    """At least 95 % of what the CRM allows over 100 seconds."""
    limiter = limits.limiter(bound(BURST))
    started, sent = clock.now, 0
    while clock.now < started + 100:
        clock.now += limiter.acquire("burst").wait_seconds
        sent += 1

    assert 95 <= sent <= 110


def test_a_wait_longer_than_a_worker_sits_out_is_refused_and_takes_nothing(clock):
    """The refusal says when, and the slot stays free."""
    limiter = MemoryLimits(clock=clock, max_wait_seconds=3).limiter(bound(BURST))
    assert granted(limiter, tries=10) == 10

    for _ in range(5):
        with pytest.raises(RateLimitedError) as caught:
            limiter.acquire("burst")
        assert (caught.value.retry_after_seconds, caught.value.daily) == (10.15, False)
    clock.now += 10.15
    assert granted(limiter) == 10


def test_budgets_are_shared_by_key_and_apart_by_key(limits):
    """Two connections on one account share its search; each app has its own burst."""
    other = {Scope.ACCOUNT: "example:1", Scope.APP: "example:other-app:1", Scope.CONNECTION: "c2"}
    first, second = limits.limiter(bound(BURST, SEARCH)), limits.limiter(bound(BURST, SEARCH, keys=other))

    assert (granted(first, "search", tries=3), granted(second, "search")) == (3, 2)
    assert (granted(first), granted(second)) == (10, 10)


def test_threads_together_get_exactly_the_limit(clock):
    """No thread comes between."""
    limits = MemoryLimits(clock=clock, max_wait_seconds=0)
    limiter = limits.limiter(bound(RollingWindow("burst", Scope.APP, 50, 10.0)))

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: granted(limiter, tries=100), range(4)))
    assert sum(counts) == 50


def test_every_call_waits_for_the_delay_and_the_politeness_of_its_connection(limits):
    """requestDelayMs keeps calls apart, whatever budget they name and whatever the share."""
    limiter = limits.limiter(bound(BURST, SEARCH, minimum_gap(250), politeness(100), share=0.5))

    waits = [limiter.acquire(budget).wait_seconds for budget in ("burst", "search", "burst")]
    assert pytest.approx(waits) == [0.0, 0.25, 0.5]


def test_the_share_does_not_reduce_our_own_politeness(limits):
    """It is a part of the CRM's limits, not of ours."""
    assert granted(limits.limiter(bound(BURST, politeness(4), share=0.5))) == 4


def test_a_share_leaves_the_rest_of_the_limit(limits):
    """Half of ten, never less than one."""
    assert granted(limits.limiter(bound(BURST, share=0.55))) == 5
    one = {**KEYS, Scope.APP: "another"}
    assert granted(limits.limiter(bound(BURST, share=0.01, keys=one))) == 1


@pytest.mark.parametrize(
    ("priority", "calls"),
    [(Priority.FULL, 14), (Priority.DELTA, 15), (Priority.REALTIME, 15), (Priority.INTERACTIVE, 16)],
)
def test_each_priority_uses_the_day_down_to_its_own_reserve(limits, priority, calls):
    """Of 100 tokens at 5 a call; a fifth is the customer's."""
    wide = RollingWindow("burst", Scope.APP, 1_000, 1.0)

    assert granted(limits.limiter(bound(wide, DAY, priority=priority)), cost=5) == calls


def test_more_urgent_work_goes_on_where_less_urgent_work_stops(limits):
    """The counter is one, the reserves differ."""
    wide = RollingWindow("burst", Scope.APP, 1_000, 1.0)
    full, interactive = (limits.limiter(bound(wide, DAY, priority=each)) for each in (Priority.FULL, "interactive"))

    assert (granted(full), granted(interactive), granted(full)) == (70, 10, 0)


def test_a_spent_day_says_when_the_next_begins(limits, clock):
    """At the account's own midnight."""
    clock.now = 1_790_000_000.0 - 1_790_000_000 % 86_400 + 80_000
    berlin = DailyBudget(limit=10, utc_offset_seconds=3_600)
    limiter = limits.limiter(bound(BURST, berlin))
    assert granted(limiter) == 7

    with pytest.raises(RateLimitedError) as caught:
        limiter.acquire("burst")
    assert (caught.value.retry_after_seconds, caught.value.daily, caught.value.code) == (2_800.0, True, "quota.daily")
    clock.now += 2_800
    assert granted(limiter) == 7


def test_a_refusal_by_the_crm_closes_its_budget_and_no_other(limits, clock):
    """Everyone on that key waits; others go on."""
    limiter, other = limits.limiter(bound(BURST, SEARCH)), limits.limiter(bound(BURST, SEARCH))

    limiter.exhausted("search", 4.0)

    assert (other.acquire("burst").wait_seconds, other.acquire("search").wait_seconds) == (0.0, 4.0)
    clock.now += 4.0
    assert granted(other, "search") == 4


@pytest.mark.parametrize("budgets", [(BURST,), (BURST, DAY)])
def test_a_daily_refusal_stops_every_call_of_the_account(limits, budgets):
    """Also where no daily budget was declared."""
    limiter = limits.limiter(bound(*budgets))
    limiter.exhausted(DAILY, 3_600)

    with pytest.raises(RateLimitedError) as caught:
        limiter.acquire("burst")
    assert (caught.value.retry_after_seconds, caught.value.daily) == (3_600.0, True)


def test_limits_are_learned_from_headers(limits, clock):
    """A higher limit and a shorter window, then a lower one."""
    limiter = limits.limiter(bound(BURST))
    limiter.observe({"x-max": "20", "x-interval": "2000"})
    assert granted(limiter) == 20
    assert limiter.acquire("burst").wait_seconds == pytest.approx(2.03)  # the margin is a part of the window told

    clock.now += 5
    limiter.observe({"x-max": "3"})
    assert granted(limiter) == 3


def test_use_by_others_is_learned_from_headers(limits):
    """What remains at the CRM counts, not what we sent."""
    limiter = limits.limiter(bound(BURST))
    limiter.acquire("burst")
    limiter.observe({"x-max": "10", "x-remaining": "4"})

    assert granted(limiter) == 4


def test_our_own_calls_are_not_counted_twice(limits):
    """A reading that only shows what we did changes nothing."""
    limiter = limits.limiter(bound(BURST))
    assert granted(limiter, tries=6) == 6
    limiter.observe({"x-max": "10", "x-remaining": "4"})
    limiter.observe({"x-max": "10", "x-remaining": "5"})

    assert granted(limiter) == 4


def test_the_days_use_is_what_the_crm_says(limits):
    """Other tools spend too, and top-ups give back."""
    limiter = limits.limiter(bound(BURST, DailyBudget(read=DAY.read)))
    assert granted(limiter, tries=1) == 1
    limiter.observe({"x-daily": "100", "x-daily-remaining": "33"})
    assert granted(limiter) == 3
    limiter.observe({"x-daily": "100", "x-daily-remaining": "35"})
    assert granted(limiter) == 5


@pytest.mark.parametrize(
    "headers", [{}, {"x-max": ""}, {"x-max": "-1"}, {"x-max": "ten"}, {"x-max": "１"}, {"x-max": "9" * 50}]
)
def test_odd_headers_say_nothing(headers):
    """Readers are total."""
    assert BURST.read(headers) is None


def test_a_reader_gives_limit_use_and_window():
    """Use is what does not remain, never below zero."""
    assert BURST.read({"x-max": "110", "x-remaining": "107", "x-interval": "10000"}) == Reading(110, 3, 10.0)
    assert BURST.read({"x-max": "110", "x-remaining": "200"}) == Reading(110, 0, None)


def test_mistakes_of_the_caller_are_named(limits):
    """An unknown budget, a scope without key, a share out of range."""
    with pytest.raises(ValueError, match="no budget is named 'serach'"):
        limits.limiter(bound(BURST)).acquire("serach")
    with pytest.raises(ValueError, match="no key for the scope app"):
        bound(BURST, keys={Scope.ACCOUNT: "x"})
    with pytest.raises(ValueError, match="share"):
        bound(BURST, share=1.5)


def test_a_turn_that_was_waited_for_is_taken_at_that_moment(clock):
    """Who slept too long is counted when it sends: the slot behind it moves too."""
    limiter = MemoryLimits(clock=clock, max_wait_seconds=30).limiter(
        bound(RollingWindow("burst", Scope.APP, 1, 10.0, margin_seconds=0.0))
    )
    limiter.acquire("burst")
    second, third = limiter.acquire("burst"), limiter.acquire("burst")
    assert (second.wait_seconds, third.wait_seconds) == (10.0, 20.0)

    clock.now += 13
    assert limiter.acquire("burst", 1, second).wait_seconds == 0.0
    clock.now += 7
    third = limiter.acquire("burst", 1, third)
    assert third.wait_seconds == 3.0
    clock.now += 3
    assert limiter.acquire("burst", 1, third).wait_seconds == 0.0


def test_a_request_that_was_late_is_counted_late(limits, clock):
    """By as much; less than a tenth of the margin is not told."""
    limiter = limits.limiter(bound(RollingWindow("burst", Scope.APP, 1, 10.0, margin_seconds=1.0)))
    first = limiter.acquire("burst")
    limiter.late("burst", first, 0.09)
    second = limiter.acquire("burst")
    assert second.wait_seconds == 11.0
    limiter.late("burst", first, 5.0)

    clock.now += 11
    assert limiter.acquire("burst", 1, second).wait_seconds == 5.0


def test_a_turn_that_would_come_too_late_is_given_back(clock):
    """The CRM said no while it waited: its place and its cost are free again."""
    limits = MemoryLimits(clock=clock, max_wait_seconds=20)
    limiter = limits.limiter(bound(RollingWindow("burst", Scope.APP, 1, 10.0), DailyBudget(limit=100)))
    limiter.acquire("burst", 30)
    turn = limiter.acquire("burst", 30)
    limiter.exhausted("burst", 60)

    with pytest.raises(RateLimitedError) as caught:
        limiter.acquire("burst", 30, turn)
    assert (caught.value.retry_after_seconds, caught.value.daily) == (60, False)
    clock.now += 60
    assert limiter.acquire("burst", 40).wait_seconds == 0.0


@given(st.lists(st.tuples(st.floats(0, 1.5), st.floats(0, 3)), min_size=1, max_size=60), st.integers(1, 5))
def test_requests_that_are_late_never_fill_a_window(calls, limit):
    """One after another, each counted up to ``late`` after its turn: never more than the limit in a window."""
    clock = StoppedClock()
    limiter = MemoryLimits(clock=clock, max_wait_seconds=1e6).limiter(
        bound(RollingWindow("burst", Scope.APP, limit, 2.0))
    )
    counted = []
    for late, pause in calls:
        clock.now += pause
        turn = limiter.acquire("burst")
        while turn.wait_seconds > 0:
            clock.now += turn.wait_seconds
            turn = limiter.acquire("burst", 1, turn)
        clock.now += late
        counted.append(clock.now)
        limiter.late("burst", turn, late)

    assert all(later - earlier > 2.0 for earlier, later in zip(counted, counted[limit:], strict=False))
