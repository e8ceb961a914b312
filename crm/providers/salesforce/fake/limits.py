"""The org's allocation of API requests: so many in 24 rolling hours, shared by all; none per second.

Page: Salesforce Developer Limits and Allocations Quick Reference, "API Request Limits and Allocations"
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass
from typing import Final

from crm.providers.salesforce.fake.answers import AnswerError, plain
from crm.testing.clock import FakeClock
from crm.testing.switches import LimitMode

DAY_MS: Final = 86_400_000
_BUCKET_MS: Final = 60_000


@dataclass(slots=True)
class LimitSizes:
    """Enterprise Edition with one licence. ``polite_per_second`` is counted and never refused."""

    daily: int = 101_000
    polite_per_second: int = 100


class RateLimits:
    """``real`` refuses, ``count`` only counts what would have been refused, ``none`` does neither.

    What was used is known in every mode, for the header of each answer.
    """

    def __init__(self, clock: FakeClock, mode: LimitMode, sizes: LimitSizes) -> None:
        self._clock = clock
        self.mode = mode
        self.sizes = sizes
        self._lock = threading.Lock()
        self._minutes: deque[list[int]] = deque()
        self._second: deque[int] = deque()
        self.used = 0
        self.peak_per_second = 0
        self.violations: Counter[str] = Counter()

    def admit(self) -> None:
        """Count one call. Raises 403 REQUEST_LIMIT_EXCEEDED."""
        with self._lock:
            now_ms = self._clock.now_ms()
            self._forget(now_ms)
            if self.used >= self.sizes.daily and self.mode != "none":
                self.violations["DailyApiRequests"] += 1
                if self.mode == "real":
                    raise exceeded()
            self.used += 1
            if self._minutes and self._minutes[-1][0] == now_ms // _BUCKET_MS:
                self._minutes[-1][1] += 1
            else:
                self._minutes.append([now_ms // _BUCKET_MS, 1])
            self._second.append(now_ms)
            while self._second[0] <= now_ms - 1000:
                self._second.popleft()
            self.peak_per_second = max(self.peak_per_second, len(self._second))
            if len(self._second) > self.sizes.polite_per_second and self.mode != "none":
                self.violations["PolitePerSecond"] += 1

    def header(self) -> tuple[str, str]:
        return ("Sforce-Limit-Info", f"api-usage={self.used}/{self.sizes.daily}")

    def use(self, count: int) -> None:
        """Set what others have already used of the allocation."""
        with self._lock:
            self._minutes.clear()
            self._minutes.append([self._clock.now_ms() // _BUCKET_MS, count])
            self.used = count

    def _forget(self, now_ms: int) -> None:
        while self._minutes and self._minutes[0][0] <= (now_ms - DAY_MS) // _BUCKET_MS:
            self.used -= self._minutes.popleft()[1]


def exceeded(kind: str = "TotalRequests") -> AnswerError:
    words = "ConcurrentRequests (Concurrent API Requests)" if kind.startswith("Concurrent") else kind
    return plain(403, "REQUEST_LIMIT_EXCEEDED", f"{words} Limit exceeded.")
