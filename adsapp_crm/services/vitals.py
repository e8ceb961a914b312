"""Whether the installation's parts are there: database, broker, beat, and the workers of its sweep.

Beat notes in the database that it sent its sweep, the worker that carries the sweep out notes that too; how long ago
that was is asked of the database's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import redis
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection as database
from redis.backoff import NoBackoff
from redis.retry import Retry

from adsapp_crm import conf

BEAT: Final = "beat"
SWEEP: Final = "sweep"
MISSED_SWEEPS: Final = 6
LEAST_SECONDS: Final = 60.0
"""A heartbeat older than this, and than so many sweeps, is a heart that stopped."""
BROKER_TIMEOUT_SECONDS: Final = 1.0

_NOTE: Final = """
INSERT INTO crm_heartbeats (name, at) VALUES (%s, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET at = EXCLUDED.at
"""


@dataclass(frozen=True, slots=True)
class Vital:
    """One part: is it there, since when, and what is wrong in one word."""

    name: str
    ok: bool
    age_seconds: float | None = None
    problem: str = ""

    def as_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {"ok": self.ok}
        if self.age_seconds is not None:
            told["ageSeconds"] = round(self.age_seconds, 1)
        return told | ({"problem": self.problem} if self.problem else {})


def note_heartbeat(name: str) -> None:
    """``name`` was heard of just now."""
    with database.cursor() as cursor:
        cursor.execute(_NOTE, [name])


def heartbeats() -> dict[str, float]:
    """Name -> seconds since it was heard of last."""
    with database.cursor() as cursor:
        cursor.execute("SELECT name, extract(epoch FROM clock_timestamp() - at)::double precision FROM crm_heartbeats")
        return dict(cursor.fetchall())


def longest_silence_seconds() -> float:
    return max(LEAST_SECONDS, float(MISSED_SWEEPS * conf.sweep_seconds()))


def vitals() -> list[Vital]:
    """Each part, asked now. Never raises: what cannot be asked is not there."""
    try:
        heard = heartbeats()
    except DatabaseError as error:
        # Without the database nobody knows of the others.
        return [
            Vital("database", ok=False, problem=type(error).__name__),
            broker(),
            Vital(BEAT, ok=False, problem="unknown"),
        ]
    return [Vital("database", ok=True), broker(), _heart(BEAT, heard.get(BEAT)), _heart(SWEEP, heard.get(SWEEP))]


def broker() -> Vital:
    try:
        broker_client().ping()
    except redis.RedisError as error:
        return Vital("broker", ok=False, problem=type(error).__name__)
    return Vital("broker", ok=True)


def broker_client() -> redis.Redis:
    """For looking at the broker: a dead one costs a second, not a request's patience."""
    return _client(settings.REDIS_URL)


@lru_cache(maxsize=4)
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=BROKER_TIMEOUT_SECONDS,
        socket_connect_timeout=BROKER_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 1),  # a connection that a restart left behind is made anew, once
    )


def _heart(name: str, age_seconds: float | None) -> Vital:
    if age_seconds is None:
        return Vital(name, ok=False, problem="never heard of")
    if age_seconds > longest_silence_seconds():
        return Vital(name, ok=False, age_seconds=age_seconds, problem="silent")
    return Vital(name, ok=True, age_seconds=age_seconds)
