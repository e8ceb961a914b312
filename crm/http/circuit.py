"""A circuit breaker for each host: a CRM that is down is left alone, and asked by one call now and then.

After ``FAILURES`` calls in a row, of all workers, that found no server or an error of its own (5xx), the host rests.
When the pause is over, one call goes through: its success closes the circuit, its failure doubles the pause. Whatever
else the host answers, a refusal too, is a success: it is there.

``MemoryCircuit`` is one process's, ``adsapp_crm.circuit`` that of all workers, in Redis.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from crm.errors import RateLimitedError

FAILURES: Final = 8
"""More than two calls with all their tries: one record at which a server stumbles stops nobody."""
WITHIN_SECONDS: Final = 60.0
"""Failures with longer pauses between them do not add up."""
PAUSE_SECONDS: Final = 10.0
LONGEST_PAUSE_SECONDS: Final = 60.0
PROBE_SECONDS: Final = 60.0
"""For so long the one call is waited for; its worker may have died."""


class Circuit(Protocol):
    """One host's, as one connection uses it."""

    def rest_seconds(self) -> float:
        """How long to leave the host alone; 0: call it, and tell ``settle`` what came of it."""
        ...

    def settle(self, *, reached: bool) -> None:
        """Whether the host answered with something other than an error of its own."""
        ...


def resting(seconds: float) -> RateLimitedError:
    """What is raised instead of a call; nothing was sent."""
    return RateLimitedError(
        "The CRM failed again and again; it is left alone", retry_after_seconds=seconds, code="net.resting"
    )


def pause_seconds(opened: int) -> float:
    """How long the host rests when the circuit opens for the ``opened``-th time in a row, from 0."""
    return float(min(PAUSE_SECONDS * 2 ** min(opened, 10), LONGEST_PAUSE_SECONDS))


class MemoryCircuit:
    """The circuit of one host in one process."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failures = 0
        self._failed_at = 0.0
        self._opened = 0
        self._rests_until = 0.0
        self._probed_until = 0.0

    def rest_seconds(self) -> float:
        with self._lock:
            now = self._monotonic()
            if not self._opened:
                return 0.0
            wait = max(self._rests_until, self._probed_until) - now
            if wait > 0:
                return wait
            self._probed_until = now + PROBE_SECONDS
            return 0.0

    def settle(self, *, reached: bool) -> None:
        with self._lock:
            now = self._monotonic()
            if reached:
                self._failures = self._opened = 0
                self._rests_until = self._probed_until = 0.0
                return
            self._failures = self._failures + 1 if now - self._failed_at <= WITHIN_SECONDS else 1
            self._failed_at = now
            probing = self._opened > 0 and self._rests_until <= now
            if probing or (not self._opened and self._failures >= FAILURES):
                self._rests_until = now + pause_seconds(self._opened)
                self._opened += 1
                self._probed_until = 0.0
