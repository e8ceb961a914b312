"""What is done to the stack while a run is on its way. Each blow returns when it has struck, and says when."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.harness.torture.app import App, StuckError
from tests.harness.torture.stand import LEASE_SECONDS, Stand
from tests.harness.torture.worker import POINTS

OBEY_SECONDS = 40.0


@dataclass
class Struck:
    """A blow that was dealt."""

    victim: dict[str, Any] | None = None
    """The grant of the worker that was killed or stopped at its work: ``stream``, ``fence``, ``at``, ``pid``."""
    after: list[Callable[[], None]] = field(default_factory=list)
    """What is left to be done once the run has ended."""


@dataclass(frozen=True)
class Blow:
    name: str
    strike: Callable[[Stand, App, Random], Struck]
    prepare: Callable[[Stand, Random], None] = lambda _stand, _draw: None
    messages: int = 1
    kind: str = ""
    """Of the run; drawn when empty."""


def all_blows(kills: int) -> list[Blow]:
    named = [Blow(f"kill -9 {point.replace('_', ' ')}", _obeyed, _order(point)) for point in POINTS]
    random = [Blow(f"kill -9 at random ({number + 1})", _kill_at_random) for number in range(kills)]
    return [
        *named,
        *random,
        Blow("broker flushed, worker killed", _flush),
        Blow("database restarted", _restart_database),
        Blow("message delivered three times", _nothing, messages=3),
        Blow("lease holder stopped past its lease", _stopped, _stop_at("after_intent")),
        Blow("answers lost after the write", _nothing, _lose_answers),
        Blow("network slow and sliced", _nothing, _slow_network),
        Blow("network resets and half answers", _reset_network),
        Blow("CRM, broker and database cut off", _cut_off),
    ]


def _order(point: str) -> Callable[[Stand, Random], None]:
    def prepare(stand: Stand, draw: Random) -> None:
        kind = draw.choice(("create", "update")) if point.startswith("after_") and point != "after_commit" else ""
        stand.order(point, deed=draw.choice(("kill", "kill", "kill_child")), kind=kind)

    return prepare


def _stop_at(point: str) -> Callable[[Stand, Random], None]:
    return lambda stand, _draw: stand.order(point, deed="stop")


def _wait_obeyed(stand: Stand) -> dict[str, Any]:
    end = time.monotonic() + OBEY_SECONDS
    while time.monotonic() < end:
        if told := stand.obeyed():
            return told
        time.sleep(0.02)
    stand.take_order_back()
    raise StuckError("no worker came to the point")


def _obeyed(stand: Stand, _app: App, _draw: Random) -> Struck:
    told = _wait_obeyed(stand)
    stand.kills += 1
    if told["deed"] != "kill_child":
        stand.await_end(told["group"])
    return Struck(told)


def _kill_at_random(stand: Stand, app: App, draw: Random) -> Struck:
    app.wait_for_worker()
    time.sleep(draw.uniform(0.0, 0.5))
    victim = stand.kill_holder()
    if victim is None:
        return Struck()
    stand.kills += 1
    # It may have given its lease back just before: then there is nothing to go on with.
    return Struck(victim if app.grant(victim["stream"]) == (victim["fence"], True) else None)


def _flush(stand: Stand, app: App, draw: Random) -> Struck:
    """All messages are gone, also those that would have been given back by a dying worker."""
    struck = _kill_at_random(stand, app, draw)
    stand.flush_broker()
    return struck


def _restart_database(stand: Stand, app: App, draw: Random) -> Struck:
    time.sleep(draw.uniform(0.1, 0.6))
    stand.restart_database()
    return Struck()


def _nothing(_stand: Stand, _app: App, _draw: Random) -> Struck:
    return Struck()


def _stopped(stand: Stand, _app: App, _draw: Random) -> Struck:
    """Between its intents and its request; it goes on when another one has done the work."""
    told = _wait_obeyed(stand)

    def go_on() -> None:
        time.sleep(max(0.0, told["at"] + LEASE_SECONDS + 0.5 - time.time()))
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(told["pid"]), signal.SIGCONT)
        time.sleep(1.0)

    return Struck(told, [go_on])


def _lose_answers(stand: Stand, draw: Random) -> None:
    faults: list[dict[str, Any]] = [
        {"kind": "drop_after"},
        {"kind": "server_error_after", "status": 504},
        {"kind": "half_body"},
        {"kind": "timeout_after", "seconds": 0.5},
    ]
    draw.shuffle(faults)
    for method, path in stand.crm.writes:
        stand.crm.go_wrong(*({**fault, "method": method, "path": path, "times": 1} for fault in faults[:2]))


def _slow_network(stand: Stand, draw: Random) -> None:
    stand.crm_proxy.toxics.latency_seconds = 0.004
    stand.crm_proxy.toxics.slice_bytes = draw.choice((1400, 2900))


def _reset_network(stand: Stand, _app: App, draw: Random) -> Struck:
    for _ in range(6):
        time.sleep(draw.uniform(0.05, 0.25))
        stand.crm_proxy.reset()
    with stand.crm_proxy.suffering(limit_bytes=draw.choice((500, 5000))):
        time.sleep(0.5)
    return Struck()


def _cut_off(stand: Stand, _app: App, draw: Random) -> Struck:
    proxies = [stand.crm_proxy, stand.broker_proxy, stand.database_proxy]
    draw.shuffle(proxies)
    for proxy in proxies:
        with proxy.suffering(is_down=True):
            proxy.reset()
            time.sleep(0.4)
    return Struck()
