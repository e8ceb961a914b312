"""The org's allocations, each for 24 rolling hours and shared by all: API requests, bulk query jobs, bulk batches.

Pages: Salesforce Developer Limits and Allocations Quick Reference, "API Request Limits and Allocations" and "Bulk API
and Bulk API 2.0 Limits and Allocations" (only ingest jobs use batches, of 10,000 rows; the body of a refusal is
unconfirmed)
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
    query_jobs: int = 10_000
    bulk_batches: int = 15_000


class Day:
    """What was used in the last 24 hours, to the minute."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._minutes: deque[list[int]] = deque()
        self._used = 0

    @property
    def used(self) -> int:
        now_ms = self._clock.now_ms()
        while self._minutes and self._minutes[0][0] <= (now_ms - DAY_MS) // _BUCKET_MS:
            self._used -= self._minutes.popleft()[1]
        return self._used

    def add(self, count: int = 1) -> None:
        minute = self._clock.now_ms() // _BUCKET_MS
        if self._minutes and self._minutes[-1][0] == minute:
            self._minutes[-1][1] += count
        else:
            self._minutes.append([minute, count])
        self._used += count

    def put(self, count: int) -> None:
        """That much, all of it now."""
        self._minutes.clear()
        self._used = 0
        self.add(count)


class RateLimits:
    """``real`` refuses, ``count`` only counts what would have been refused, ``none`` does neither.

    What was used is known in every mode, for the header of each answer.
    """

    def __init__(self, clock: FakeClock, mode: LimitMode, sizes: LimitSizes) -> None:
        self._clock = clock
        self.mode = mode
        self.sizes = sizes
        self._lock = threading.Lock()
        self._calls = Day(clock)
        self.query_jobs = Day(clock)
        self.bulk_batches = Day(clock)
        self._second: deque[int] = deque()
        self.peak_per_second = 0
        self.violations: Counter[str] = Counter()

    @property
    def used(self) -> int:
        return self._calls.used

    def admit_query_job(self) -> None:
        """Count one. Raises 400 LIMIT_EXCEEDED."""
        self._refuse_beyond(self.query_jobs, self.sizes.query_jobs, "DailyBulkV2QueryJobs")
        self.query_jobs.add()

    def admit_ingest_job(self) -> None:
        """Its batches are counted when its data is whole. Raises 400 LIMIT_EXCEEDED while none is left."""
        self._refuse_beyond(self.bulk_batches, self.sizes.bulk_batches, "DailyBulkApiBatches")

    def _refuse_beyond(self, day: Day, most: int, name: str) -> None:
        with self._lock:
            if day.used >= most and self.mode != "none":
                self.violations[name] += 1
                if self.mode == "real":
                    raise plain(400, "LIMIT_EXCEEDED", f"{name} Limit exceeded.")

    def admit(self) -> None:
        """Count one call. Raises 403 REQUEST_LIMIT_EXCEEDED."""
        with self._lock:
            now_ms = self._clock.now_ms()
            if self.used >= self.sizes.daily and self.mode != "none":
                self.violations["DailyApiRequests"] += 1
                if self.mode == "real":
                    raise exceeded()
            self._calls.add()
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
            self._calls.put(count)


def exceeded(kind: str = "TotalRequests") -> AnswerError:
    words = "ConcurrentRequests (Concurrent API Requests)" if kind.startswith("Concurrent") else kind
    return plain(403, "REQUEST_LIMIT_EXCEEDED", f"{words} Limit exceeded.")
