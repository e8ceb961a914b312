"""Figures of the whole installation for operators: counts and times by CRM, never whose.

Row-level security holds here too: the sums come from look-ups that tell numbers only. The number of queries is the same
for one organization as for a hundred thousand.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import redis
from django.db import connection as database

from adsapp_crm import conf
from adsapp_crm.limiter import told_figures
from adsapp_crm.selectors import figures_of
from adsapp_crm.services.schedules import GRACE
from adsapp_crm.services.vitals import broker_client, heartbeats

WINDOW_SECONDS: Final = 3600
"""Of the figures about runs that ended."""
CLOCK_MARGIN_SECONDS: Final = 3600
"""Ids begin with their maker's clock; the exact bound is the database's."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric. ``kind`` is gauge or counter; a row is the label values and the number."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()
    rows: Sequence[tuple[tuple[str, ...], float]] = ()


def gather() -> list[Figure]:
    """Everything, asked now; what the broker tells is left out while it is away. Raises ``django.db.Error``."""
    return [*_connections(), *_runs(), *_records(), *_webhooks(), *_hearts(), *_broker()]


def _connections() -> Iterator[Figure]:
    rows = figures_of("crm_connection_figures", int(GRACE.total_seconds()))
    yield Figure(
        "crm_connections",
        "gauge",
        "Connections by CRM and health.",
        ("crm", "health"),
        [((crm, health), number) for crm, health, number, _lag in rows],
    )
    lags: dict[str, float] = {}
    for crm, _health, _number, lag in rows:
        if lag is not None:
            lags[crm] = max(lag, lags.get(crm, 0.0))
    yield Figure(
        "crm_sync_lag_seconds",
        "gauge",
        "Age of the last success of the connection that is furthest behind, among the active ones.",
        ("crm",),
        [((crm,), lag) for crm, lag in lags.items()],
    )


def _runs() -> Iterator[Figure]:
    since = (time.time_ns() // 1_000_000 - (WINDOW_SECONDS + CLOCK_MARGIN_SECONDS) * 1000) << 80
    recent = figures_of("crm_recent_run_figures", uuid.UUID(int=since), WINDOW_SECONDS)
    yield Figure(
        "crm_runs_last_hour",
        "gauge",
        "Runs that began within the last hour.",
        ("crm", "kind", "status"),
        [((crm, kind, status), runs) for crm, kind, status, runs, _calls in recent],
    )
    calls: dict[str, float] = {}
    for crm, _kind, _status, _runs, number in recent:
        calls[crm] = calls.get(crm, 0) + number
    yield Figure(
        "crm_run_api_calls_last_hour",
        "gauge",
        "Requests to CRMs by the runs that began within the last hour.",
        ("crm",),
        [((crm,), number) for crm, number in calls.items()],
    )
    unfinished = figures_of("crm_open_run_figures")
    yield Figure(
        "crm_runs_unfinished",
        "gauge",
        "Runs on their way or waiting.",
        ("crm", "status"),
        [((crm, status), runs) for crm, status, runs, _age in unfinished],
    )
    yield Figure(
        "crm_oldest_unfinished_run_seconds",
        "gauge",
        "Age of the oldest run that has not ended.",
        ("crm", "status"),
        [((crm, status), age) for crm, status, _runs, age in unfinished],
    )


def _records() -> Iterator[Figure]:
    yield Figure(
        "crm_conflicts_open",
        "gauge",
        "Questions that wait for a person, or for the run that carries the answer out.",
        ("crm", "kind"),
        [((crm, kind), number) for crm, kind, number in figures_of("crm_question_figures")],
    )
    yield Figure(
        "crm_records_failing",
        "gauge",
        "Records that fail as a whole, by code.",
        ("crm", "code"),
        [((crm, code), number) for crm, code, number in figures_of("crm_failing_figures")],
    )


def _webhooks() -> Iterator[Figure]:
    waiting = figures_of("crm_inbox_figures")
    yield Figure(
        "crm_webhook_events_waiting",
        "gauge",
        "Events that were stored and whose records have not been read yet.",
        ("crm",),
        [((crm,), number) for crm, number, _age in waiting],
    )
    yield Figure(
        "crm_oldest_waiting_webhook_event_seconds",
        "gauge",
        "Age of the oldest of them.",
        ("crm",),
        [((crm,), age) for crm, _number, age in waiting],
    )
    with database.cursor() as cursor:
        cursor.execute("SELECT crm_type, code, sum(deliveries) FROM crm_webhook_refusals GROUP BY 1, 2 ORDER BY 1, 2")
        refused = cursor.fetchall()
    yield Figure(
        "crm_webhook_deliveries_refused",
        "counter",
        "Webhook deliveries that were refused, by reason.",
        ("crm", "code"),
        [((crm, code), int(number)) for crm, code, number in refused],
    )


def _hearts() -> Iterator[Figure]:
    yield Figure(
        "crm_heartbeat_age_seconds",
        "gauge",
        "Since beat sent its sweep, and since a worker carried one out.",
        ("part",),
        [((name,), age) for name, age in sorted(heartbeats().items())],
    )


def _broker() -> Iterator[Figure]:
    client: Any = broker_client()
    names = conf.queues()
    try:
        pipeline = client.pipeline(transaction=False)
        for name in names:
            pipeline.llen(name)
        pipeline.hlen("unacked")
        *depths, taken = pipeline.execute()
        told = told_figures(client)
    except redis.RedisError:
        yield _is_up(0)
        return
    yield _is_up(1)
    yield Figure(
        "crm_queue_depth",
        "gauge",
        "Messages that no worker has taken yet.",
        ("queue",),
        [((name,), depth) for name, depth in zip(names, depths, strict=True)],
    )
    yield Figure("crm_queue_taken", "gauge", "Messages that workers have taken and not finished.", (), [((), taken)])
    for name, text in _LIMITS.items():
        unit = 1e6 if name.endswith("seconds") else 1
        rows = [((crm,), number / unit) for (crm, what), number in sorted(told.items()) if what == name]
        yield Figure(f"crm_{name}", "counter", text, ("crm",), rows)


def _is_up(number: int) -> Figure:
    return Figure("crm_broker_up", "gauge", "1 while the broker answers.", (), [((), number)])


_LIMITS: Final = {
    "api_calls": "Requests to CRMs that were let through, since the broker was emptied last.",
    "limit_waits": "Of these, how many had to wait for their turn.",
    "limit_wait_seconds": "How long they waited together.",
    "circuit_openings": "How often a CRM's host was left alone because it failed again and again.",
    "circuit_refusals": "Requests put off because the host was left alone.",
    "limit_refusals": "Requests put off because their turn was too far away or the day's allowance was used up.",
}
