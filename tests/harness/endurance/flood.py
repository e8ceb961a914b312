"""The intake under load: how many deliveries it takes, and what a flood of forged ones does to the genuine.

Everything is signed before the clock starts, so that the sender costs little beside the server it shares a machine
with. The flood is an open loop: each delivery has its time, and its latency counts from there.
"""

from __future__ import annotations

import http.client
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.harness.endurance.forgery import Forged, forge, genuine_hubspot
from tests.harness.endurance.world import World

SENDERS = 8
FLOOD_SENDERS = 24
_counter = iter(range(1, 10**9))


@dataclass
class Sent:
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    """Of the genuine ones, in seconds."""
    statuses: Counter[int] = field(default_factory=Counter)
    forged_statuses: Counter[int] = field(default_factory=Counter)


def genuine(world: World, events: int = 1) -> Forged:
    """A delivery about people that there are, never sent before."""
    listed = []
    for _ in range(events):
        number = next(_counter)
        person = world.people[number % len(world.people)]
        listed.append(
            {
                "eventId": number, "subscriptionId": 501, "portalId": world.portal_id, "appId": 770011,
                "occurredAt": 1_700_000_000_000 + number, "subscriptionType": "contact.propertyChange",
                "attemptNumber": 0, "objectId": int(person.remote_ids["hubspot"]), "propertyName": "lastname",
                "propertyValue": "Never taken", "changeSource": "CRM_UI", "sourceId": "userId:42",
            }
        )  # fmt: skip
    return genuine_hubspot(world.address, world.secret, listed, time.time_ns() // 1_000_000).delivery


def intake(world: World, seconds: float, *, events: int = 1) -> Sent:
    """As many genuine deliveries as are taken by ``SENDERS`` connections that each wait for their answer."""
    ready = [genuine(world, events) for _ in range(int(seconds * (700 if events == 1 else 80)))]
    source, lock, sent = iter(ready), threading.Lock(), Sent()
    end = time.monotonic() + seconds

    def send() -> None:
        connection = _connection(world)
        while time.monotonic() < end:
            with lock:
                delivery = next(source, None)
            if delivery is None:
                return
            began = time.monotonic()
            status = _post(connection, world.address, delivery)
            with lock:
                sent.statuses[status] += 1
                sent.latencies.append(time.monotonic() - began)

    began = time.monotonic()
    with ThreadPoolExecutor(SENDERS) as pool:
        for done in [pool.submit(send) for _ in range(SENDERS)]:
            done.result()
    sent.seconds = time.monotonic() - began
    return sent


def flood(world: World, seconds: float, genuine_per_second: float, *, forged_for_each: int = 4) -> Sent:
    """Genuine deliveries at a steady rate, with ``forged_for_each`` forged ones beside each of them."""
    plan: list[tuple[float, bool, Forged]] = []
    pool_of_forged = _forged(world, int(seconds * genuine_per_second * forged_for_each) + forged_for_each)
    for number in range(int(seconds * genuine_per_second)):
        at = number / genuine_per_second
        plan.append((at, True, genuine(world)))
        step = 1 / genuine_per_second / (forged_for_each + 1)
        plan.extend((at + step * (place + 1), False, next(pool_of_forged)) for place in range(forged_for_each))
    plan.sort(key=lambda each: each[0])
    source, lock, sent = iter(plan), threading.Lock(), Sent()
    start = time.monotonic() + 0.2

    def send() -> None:
        connection = _connection(world)
        while True:
            with lock:
                due = next(source, None)
            if due is None:
                return
            at, is_genuine, delivery = due
            time.sleep(max(0.0, start + at - time.monotonic()))
            status = _post(connection, world.address, delivery)
            late = time.monotonic() - start - at
            with lock:
                (sent.statuses if is_genuine else sent.forged_statuses)[status] += 1
                if is_genuine:
                    sent.latencies.append(late)

    with ThreadPoolExecutor(FLOOD_SENDERS) as pool:
        for done in [pool.submit(send) for _ in range(FLOOD_SENDERS)]:
            done.result()
    sent.seconds = time.monotonic() - start
    return sent


def forged_over_http(world: World, count: int) -> Counter[int]:
    """Status -> how many of ``count`` forged deliveries, one after the other."""
    connection, statuses = _connection(world), Counter[int]()
    source = _forged(world, count)
    for _ in range(count):
        statuses[_post(connection, world.address, next(source))] += 1
    return statuses


def web_memory_kib(world: World) -> int:
    """Resident memory of the web server's processes."""
    return sum(fields[21] * 4 for fields in _web_processes(world))


def web_cpu_seconds(world: World) -> float:
    """What the web server's processes have computed so far: the figure that other load does not move much."""
    return sum(fields[11] + fields[12] for fields in _web_processes(world)) / os.sysconf("SC_CLK_TCK")


def _web_processes(world: World) -> Iterator[list[int]]:
    """Fields of proc(5) from the fourth on, as numbers, of each process of the web server's group."""
    group = world.stack.processes["web"].pid
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = [0, *map(int, status.read_text().rpartition(")")[2].split()[1:])]
        except (OSError, ValueError):
            continue
        if fields[2] == group:
            yield fields


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def _forged(world: World, count: int) -> Iterator[Forged]:
    """Forged deliveries that are still forged on the wire: blanks round a header's value do not arrive."""
    events = [{"portalId": world.portal_id, "objectId": int(world.people[0].remote_ids["hubspot"]),
               "subscriptionType": "contact.propertyChange", "occurredAt": 1, "subscriptionId": 1}]  # fmt: skip
    given = genuine_hubspot(world.address, world.secret, events, time.time_ns() // 1_000_000)
    made = 0
    for delivery in forge("hubspot", random.Random(count), 2 * count + 100, given):
        stripped = {name: value.strip() for name, value in delivery.headers.items()}
        if delivery.body == given.delivery.body and stripped == given.delivery.headers:
            continue
        made += 1
        yield delivery
        if made == count:
            return


def _connection(world: World) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(world.stack.url).netloc, timeout=30)


def _post(connection: http.client.HTTPConnection, address: str, delivery: Forged) -> int:
    """Posted to the genuine address, whatever it was signed for."""
    headers = {name: value.encode() for name, value in delivery.headers.items()}
    for attempt in range(2):
        try:
            connection.request("POST", urlsplit(address).path, delivery.body, headers)
            answer = connection.getresponse()
            answer.read()
        except (http.client.HTTPException, OSError):
            connection.close()
            if attempt:
                raise
            continue
        return answer.status
    return 0
