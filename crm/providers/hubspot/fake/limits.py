"""Rate limits: the rolling ten seconds per app and account, the day, and five searches a second.

Page: https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass
from typing import Final

from crm.providers.hubspot.fake.answers import AnswerError, Json
from crm.providers.hubspot.fake.caller import Grant
from crm.testing.clock import FakeClock
from crm.testing.switches import LimitMode

INTERVAL_MS: Final = 10_000
DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class LimitSizes:
    """HubSpot's numbers: a distributed OAuth app, and a private app of a Free or Starter account."""

    oauth_burst: int = 110
    private_burst: int = 100
    private_daily: int = 250_000
    searches_per_second: int = 5
    interval_ms: int = INTERVAL_MS


DEFAULT_SIZES: Final = LimitSizes()


class RateLimits:
    """``real`` refuses, ``count`` only counts what would have been refused, ``none`` does neither."""

    def __init__(self, clock: FakeClock, mode: LimitMode, sizes: LimitSizes) -> None:
        self._clock = clock
        self.mode = mode
        self.sizes = sizes
        self._lock = threading.Lock()
        self._sent: dict[int, deque[int]] = {}
        self._searches: deque[int] = deque()
        self._days: Counter[tuple[int, int]] = Counter()
        self.violations: Counter[str] = Counter()

    def admit(self, grant: Grant, *, is_search: bool) -> list[tuple[str, str]]:
        """Count one call; gives the headers of its answer. Raises 429. Search has its own bucket, no headers."""
        if self.mode == "none":
            return []
        with self._lock:
            now_ms = self._clock.now_ms()
            if is_search:
                self._admit_to(self._searches, now_ms, 1000, self.sizes.searches_per_second, "SECONDLY")
                return []
            burst = self.sizes.private_burst if grant.is_private_app else self.sizes.oauth_burst
            sent = self._sent.setdefault(grant.app_id, deque())
            self._admit_to(sent, now_ms, self.sizes.interval_ms, burst, "TEN_SECONDLY_ROLLING")
            headers = [
                ("X-HubSpot-RateLimit-Max", str(burst)),
                ("X-HubSpot-RateLimit-Remaining", str(max(0, burst - len(sent)))),
                ("X-HubSpot-RateLimit-Interval-Milliseconds", str(self.sizes.interval_ms)),
                ("X-HubSpot-RateLimit-Secondly", str(burst // 10)),
                ("X-HubSpot-RateLimit-Secondly-Remaining", str(burst // 10)),
            ]
            if grant.is_private_app:
                day = (grant.app_id, now_ms // DAY_MS)
                self._days[day] += 1
                if self._days[day] > self.sizes.private_daily:
                    self._refuse("DAILY")
                left = max(0, self.sizes.private_daily - self._days[day])
                headers += [
                    ("X-HubSpot-RateLimit-Daily", str(self.sizes.private_daily)),
                    ("X-HubSpot-RateLimit-Daily-Remaining", str(left)),
                ]
            return headers

    def _admit_to(self, sent: deque[int], now_ms: int, window_ms: int, most: int, policy: str) -> None:
        while sent and sent[0] <= now_ms - window_ms:
            sent.popleft()
        if len(sent) >= most:
            self._refuse(policy)
        sent.append(now_ms)

    def _refuse(self, policy: str) -> None:
        self.violations[policy] += 1
        if self.mode == "real":
            raise too_many(policy)


def too_many(policy: str, retry_after_seconds: float | None = None) -> AnswerError:
    """HubSpot promises no Retry-After on 429; it is there only when asked for."""
    words = {"TEN_SECONDLY_ROLLING": "ten_secondly_rolling", "DAILY": "daily", "SECONDLY": "secondly"}
    body: Json = {
        "message": f"You have reached your {words.get(policy, policy.lower())} limit.",
        "errorType": "RATE_LIMIT",
        "policyName": policy,
    }
    if policy == "TEN_SECONDLY_ROLLING":
        body["groupName"] = "publicapi:private_app-api-calls-ten-secondly"
    headers = [] if retry_after_seconds is None else [("Retry-After", f"{retry_after_seconds:g}")]
    return AnswerError(429, body, headers)
