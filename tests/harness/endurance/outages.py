"""The broker emptied and the database restarted while people edit on every side, and how soon all of it is in step."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import requests

from tests.harness import postgres, services
from tests.harness.endurance.latency import FIELD
from tests.harness.endurance.world import StuckError, World

RECOVERY_SECONDS = 60.0
EDITS = 8
"""In each round, by turns in each CRM and in ADSapp; each person is always edited in the same place."""
POLL_SECONDS = 0.05


def outages(world: World, rounds: int, seed: int, *, say: Callable[[str], None]) -> dict[str, Any]:
    """``rounds`` of each kind of outage under load; seconds until every edit of the round is in every place.

    Those of a restart hold a CRM's own wait before it delivers again what was not taken.
    """
    draw = Random(seed)
    wanted: dict[int, str] = {}
    found: dict[str, Any] = {"edits": 0, "lost": 0}
    for name, strike in (("brokerWipes", _wipe_broker), ("databaseRestarts", _restart_database)):
        recoveries = []
        for number in range(rounds):
            recoveries.append(_round(world, strike, draw, wanted, f"{name[0].upper()}{number}"))
            found["edits"] += EDITS
            say(f"   {name}: {number + 1} of {rounds}, in step after {recoveries[-1]:.1f} s")
        found[name] = {
            "rounds": rounds,
            "medianSeconds": round(sorted(recoveries)[len(recoveries) // 2], 2),
            "slowestSeconds": round(max(recoveries), 2),
        }
    world.wait_until_quiet()
    found["lost"] = sum(not _arrived(world, person, value) for person, value in wanted.items())
    return found


def _round(world: World, strike: Callable[[World], None], draw: Random, wanted: dict[int, str], mark: str) -> float:
    edits = {}
    while len(edits) < EDITS:
        edits[draw.randrange(len(world.people))] = f"{mark}x{len(edits)}"
    blow_after = draw.uniform(0.0, 0.3)
    with ThreadPoolExecutor(2) as pool:
        typing = pool.submit(lambda: [_edit(world, person, value) for person, value in edits.items()])
        time.sleep(blow_after)
        strike(world)
        began = time.monotonic()
        typing.result()
    wanted.update(edits)
    waiting = dict(edits)
    while waiting:
        waiting = {person: value for person, value in waiting.items() if not _arrived(world, person, value)}
        if waiting and time.monotonic() - began > 2 * RECOVERY_SECONDS:
            message = f"{len(waiting)} edits of round {mark} have not arrived"
            raise StuckError(message)
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began


def _edit(world: World, number: int, value: str) -> None:
    """By hand, in the place that this person is always edited in; who gets no answer tries again."""
    person, places = world.people[number], world.fakes.all
    turn = number % (len(places) + 1)
    if turn < len(places):
        places[turn].edit_field(person.remote_ids[places[turn].key], FIELD, value)
        return None
    end = time.monotonic() + RECOVERY_SECONDS
    while True:
        try:
            return world.change(person, {FIELD: value})
        except (StuckError, RuntimeError, requests.RequestException):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def _arrived(world: World, number: int, value: str) -> bool:
    person = world.people[number]
    if any(account.value(person.remote_ids[account.key], FIELD) != value for account in world.fakes.all):
        return False
    return bool(world.asked_again(lambda: world.contact(person)[FIELD]) == value)


def _wipe_broker(world: World) -> None:
    import redis

    broker = redis.Redis.from_url(world.stack.environment["REDIS_URL"])
    broker.flushall()
    broker.close()


def _restart_database(world: World) -> None:
    """Stopped at once, as in a failure, and started again behind the same address."""
    folder = world.stack.folder
    postgres.stop(folder)
    state = postgres.start(folder, services.credentials(folder))
    world.database.target_port = state["port"]
    world.database.reset()
