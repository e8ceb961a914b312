"""The shared budgets on a real server: between processes, by its clock, and while it is away."""

from __future__ import annotations

import json
import logging
import os
import random
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
import redis

from adsapp_crm.limiter import RedisLimits
from crm.errors import RateLimitedError
from crm.http.limits import (
    DAILY,
    BoundBudgets,
    DailyBudget,
    Priority,
    RollingWindow,
    Scope,
    headers_reader,
    minimum_gap,
)
from crm.http.memory_limits import MemoryLimits
from crm.ports import Turn

ROOT = Path(__file__).resolve().parents[2]
KEYS = {Scope.ACCOUNT: "example:1", Scope.APP: "example:app:1", Scope.CONNECTION: "c1"}
BURST = RollingWindow(
    "burst",
    Scope.APP,
    10,
    60.0,
    read=headers_reader(limit="x-max", remaining="x-remaining", interval_milliseconds="x-interval"),
)
SEARCH = RollingWindow("search", Scope.ACCOUNT, 5, 60.0)
DAY = DailyBudget(limit=100, read=headers_reader(limit="x-daily", remaining="x-daily-remaining"))


@pytest.fixture
def client():
    with redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=2, socket_connect_timeout=2) as opened:
        yield opened


@pytest.fixture
def prefix(client):
    """Keys of this test alone."""
    own = f"test:{uuid.uuid4().hex}:"
    yield own
    for key in client.scan_iter(own + "*"):
        client.delete(key)


@pytest.fixture
def limits(client, prefix):
    return RedisLimits(client, prefix=prefix, max_wait_seconds=0)


def bound(*budgets, priority=Priority.FULL, share=1.0, keys=KEYS):
    return BoundBudgets(budgets, keys, priority, share)


def granted(limiter, budget="burst", cost=1, tries=300):
    for count in range(tries):
        try:
            limiter.acquire(budget, cost)
        except RateLimitedError:
            return count
    return tries


PROGRAM = """
import json, sys, time
import redis
from adsapp_crm.limiter import RedisLimits
from crm.errors import RateLimitedError
from crm.http.limits import BoundBudgets, RollingWindow, Scope
url, prefix, seconds, longest, tries, lasting = sys.argv[1], sys.argv[2], *map(float, sys.argv[3:])
client = redis.Redis.from_url(url)
window = RollingWindow("burst", Scope.APP, 50, seconds)
budgets = BoundBudgets((window,), {Scope.APP: "a"})
limiter = RedisLimits(client, prefix=prefix, max_wait_seconds=longest).limiter(budgets)
client.ping()
print("ready", flush=True)
begin = float(sys.stdin.readline())
time.sleep(max(0, begin - time.time()))
slots = []
while tries > 0 and time.time() < begin + lasting:
    tries -= 1
    asked = time.time()
    try:
        wait = limiter.acquire("burst").wait_seconds
    except RateLimitedError:
        continue
    slots.append((asked + wait, time.time() + wait))
    time.sleep(wait)
print(json.dumps(slots))
"""


def race(prefix, *, seconds, longest, tries, lasting):
    """Four processes that begin at the same moment; when the slots they got were at the earliest, and at the latest.

    Each of the two in order: a process may be kept waiting between the answer and its look at the clock.
    """
    arguments = [os.environ["REDIS_URL"], prefix, *map(str, (seconds, longest, tries, lasting))]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stdin=pipe, stdout=pipe, cwd=ROOT, text=True)
        for _ in range(4)
    ]
    assert ["ready\n"] * 4 == [process.stdout.readline() for process in processes]
    begin = time.time() + 0.1
    outputs = [process.communicate(f"{begin}\n", timeout=60)[0] for process in processes]
    slots = [slot for output in outputs for slot in json.loads(output)]
    return begin, sorted(earliest for earliest, _ in slots), sorted(latest for _, latest in slots)


def test_four_processes_with_400_tries_get_exactly_the_limit_of_50(prefix):
    """None more, none less, in one window."""
    _, slots, _ = race(prefix, seconds=60, longest=0, tries=100, lasting=30)

    assert len(slots) == 50


def test_four_processes_with_a_backlog_use_the_window_and_never_pass_it(prefix):
    """Over four windows of a second: at least 95 % of 50 a second, and never more than 50 in a second."""
    begin, earliest, latest = race(prefix, seconds=1.0, longest=2.0, tries=1_000_000, lasting=4.0)

    least, most = (sum(begin <= slot < begin + 4.0 for slot in slots) for slots in (earliest, latest))
    violations = sum(last - first < 1.0 for first, last in zip(earliest, latest[50:], strict=False))
    assert violations == 0
    assert least >= 190
    assert most <= 200


def test_a_slot_is_reserved_and_its_wait_told(client, prefix):
    """The caller waits, and sends without asking again."""
    limiter = RedisLimits(client, prefix=prefix, max_wait_seconds=100).limiter(bound(BURST))

    waits = [limiter.acquire("burst").wait_seconds for _ in range(11)]

    assert waits[:10] == [0.0] * 10
    assert waits[10] == pytest.approx(60.9, abs=1.0)


def test_a_refused_wait_takes_nothing(limits, client, prefix):
    """No slot, no cost."""
    limiter = limits.limiter(bound(BURST, DAY))
    assert granted(limiter, cost=3) == 10
    before = sorted((key, client.type(key), client.ttl(key) > 0) for key in client.scan_iter(prefix + "*"))

    with pytest.raises(RateLimitedError) as caught:
        limiter.acquire("burst", 3)

    assert (caught.value.daily, caught.value.retry_after_seconds) == (False, pytest.approx(60.9, abs=1.0))
    assert client.zcard(f"{prefix}burst:example:app:1") == 10
    assert before == sorted((key, client.type(key), client.ttl(key) > 0) for key in client.scan_iter(prefix + "*"))
    assert {True} == {expires for _, _, expires in before}


def test_priorities_stop_at_their_reserves(limits):
    """Full at 70, delta at 75, realtime at 78, interactive at 80 of 100."""
    wide = RollingWindow("burst", Scope.APP, 1_000, 1.0)

    counts = [
        granted(limits.limiter(bound(wide, DAY, priority=priority)))
        for priority in (Priority.FULL, Priority.DELTA, Priority.REALTIME, Priority.INTERACTIVE, Priority.FULL)
    ]
    assert counts == [70, 5, 3, 2, 0]


def test_a_spent_day_is_told_with_the_seconds_to_midnight(limits, client):
    """By the server's clock."""
    limiter = limits.limiter(bound(BURST, DailyBudget(limit=1)))

    with pytest.raises(RateLimitedError) as caught:
        limiter.acquire("burst")
    assert caught.value.daily
    assert caught.value.retry_after_seconds == pytest.approx(86_400 - client.time()[0] % 86_400, abs=5)


def test_a_refusal_by_the_crm_holds_the_budget_for_all(limits):
    """Search is closed, burst is open; a daily refusal closes everything."""
    one, other = limits.limiter(bound(BURST, SEARCH)), limits.limiter(bound(BURST, SEARCH))
    one.exhausted("search", 30)
    one.exhausted("search", 10)

    assert (granted(other, "search"), granted(other, tries=1)) == (0, 1)
    with pytest.raises(RateLimitedError) as caught:
        other.acquire("search")
    assert caught.value.retry_after_seconds == pytest.approx(30, abs=1)
    one.exhausted(DAILY, 3_600)
    with pytest.raises(RateLimitedError) as caught:
        other.acquire("burst")
    assert (caught.value.daily, caught.value.retry_after_seconds) == (True, pytest.approx(3_600, abs=1))


def test_limits_and_use_are_learned_from_headers_and_shared(limits, client, prefix):
    """What one process reads all others follow."""
    reader = limits.limiter(bound(BURST, DailyBudget(read=DAY.read)))
    other = RedisLimits(client, prefix=prefix, max_wait_seconds=0).limiter(bound(BURST, DAY))

    reader.observe({"x-max": "20", "x-remaining": "3", "x-interval": "60000"})
    assert granted(other) == 3
    reader.observe({"x-daily": "1000", "x-daily-remaining": "301"})
    reader.observe({"x-max": "100", "x-remaining": "0"})
    reader.observe({"x-max": "1000"})
    assert granted(other) == 1


def test_the_delay_between_calls_is_kept_across_processes(client, prefix):
    """requestDelayMs."""
    budgets = bound(BURST, minimum_gap(10_000))
    first, second = (RedisLimits(client, prefix=prefix, max_wait_seconds=60).limiter(budgets) for _ in range(2))

    waits = [
        first.acquire("burst").wait_seconds,
        second.acquire("burst").wait_seconds,
        first.acquire("burst").wait_seconds,
    ]
    assert waits == pytest.approx([0, 10, 20], abs=0.5)


@pytest.mark.parametrize("seed", range(5))
def test_the_server_and_the_single_process_follow_the_same_rules(client, prefix, seed):
    """The same calls, refusals and readings give the same outcome on both."""
    draw = random.Random(seed)
    budgets = bound(BURST, SEARCH, DAY, minimum_gap(500), share=draw.choice([1.0, 0.5]))
    both = [
        RedisLimits(client, prefix=prefix, max_wait_seconds=40).limiter(budgets),
        MemoryLimits(max_wait_seconds=40).limiter(budgets),
    ]
    waiting = []
    for _ in range(60):
        kind, budget, cost = (
            draw.choice(["acquire"] * 7 + ["again", "late", "hold", "read"]),
            draw.choice(["burst", "search"]),
            draw.randint(1, 4),
        )
        headers = {"x-max": str(draw.randint(5, 15)), "x-remaining": str(draw.randint(0, 5)), "x-daily": "90"}
        outcomes, turns = [], []
        again = waiting.pop() if waiting and kind in ("again", "late") else None
        for limiter, turn in zip(both, again or (None, None), strict=True):
            if kind == "hold":
                limiter.exhausted(budget, cost * 3)
            elif kind == "read":
                limiter.observe(headers | {"x-daily-remaining": str(90 - cost * 10)})
            elif kind == "late":
                limiter.late("search", turn or Turn(), cost * 3.0)
            else:
                try:
                    turns.append(limiter.acquire("search" if turn else budget, cost, turn))
                    outcomes.append(("slot", turns[-1].wait_seconds))
                except RateLimitedError as error:
                    outcomes.append((error.code, error.retry_after_seconds))
        if outcomes:
            assert outcomes[0][0] == outcomes[1][0]
            assert outcomes[0][1] == pytest.approx(outcomes[1][1], abs=1.0)
        if len(turns) == 2 and budget == "search":
            waiting.append(turns)


def unreachable():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return redis.Redis(port=port, socket_connect_timeout=0.2, retry=None)


def test_without_the_server_each_process_keeps_to_a_cautious_share(caplog):
    """A fifth of the limit, said once and not at every call; refusals and readings still count."""
    caplog.set_level(logging.WARNING)
    limits = RedisLimits(unreachable(), max_wait_seconds=0)
    limiter = limits.limiter(bound(RollingWindow("burst", Scope.APP, 50, 60.0), SEARCH))

    assert granted(limiter) == 10
    limiter.exhausted("search", 30)
    assert granted(limiter, "search") == 0
    assert [record.getMessage() for record in caplog.records] == [
        "Redis is away (ConnectionError): each process keeps to its own rate limits"
    ]


def test_the_server_is_asked_again_after_a_pause_and_its_return_is_said(client, prefix, caplog):
    """No call waits for a dead host more often than every five seconds."""
    caplog.set_level(logging.WARNING)
    now = [0.0]
    limits = RedisLimits(client, prefix=prefix, max_wait_seconds=0, monotonic=lambda: now[0])
    working = dict(limits._scripts)
    asked = []

    def fail(**_):
        asked.append(now[0])
        raise redis.TimeoutError

    limits._scripts = dict.fromkeys(working, fail)
    limiter = limits.limiter(bound(BURST))
    for now[0] in (0.0, 1.0, 4.9, 5.1):
        granted(limiter, tries=1)
    assert asked == [0.0, 5.1]

    limits._scripts = working
    now[0] = 11.0
    assert granted(limiter) == 10
    assert [record.getMessage() for record in caplog.records] == [
        "Redis is away (TimeoutError): each process keeps to its own rate limits",
        "Redis is back: rate limits are shared again",
    ]
