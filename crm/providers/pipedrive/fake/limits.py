"""Limits: a budget of tokens a day for the company, a burst in two rolling seconds for each token, the edge's ban.

Page: https://pipedrive.readme.io/docs/core-api-concepts-rate-limiting
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass
from typing import Final

from crm.providers.pipedrive.fake import answers
from crm.providers.pipedrive.fake.caller import Grant
from crm.testing.clock import FakeClock
from crm.testing.switches import LimitMode
from crm.testing.wsgi import Response

Headers = list[tuple[str, str]]
WINDOW_MS: Final = 2_000
DAY_MS: Final = 86_400_000
BASE_TOKENS: Final = 30_000
SEARCHES: Final = 10
PLANS: Final = {"lite": (1, 20, 80), "growth": (2, 40, 160), "premium": (5, 100, 400), "ultimate": (7, 120, 480)}
"""Plan: budget multiplier, burst of an API token, burst of an OAuth token."""


@dataclass(frozen=True, slots=True)
class LimitSizes:
    """After ``ban_after`` refusals of an API token in a minute the edge answers for ``ban_seconds`` (unconfirmed)."""

    api_burst: int = 20
    oauth_burst: int = 80
    searches: int = SEARCHES
    daily_tokens: int = BASE_TOKENS
    ban_after: int = 20
    ban_seconds: float = 1800.0


def sizes_of(plan: str, seats: int = 1) -> LimitSizes:
    """Raises ValueError for a plan that does not exist."""
    if plan not in PLANS:
        raise ValueError(f"plan: {plan!r} is none of {', '.join(PLANS)}")
    multiplier, api_burst, oauth_burst = PLANS[plan]
    return LimitSizes(api_burst, oauth_burst, daily_tokens=BASE_TOKENS * multiplier * seats)


class RateLimits:
    """``real`` refuses, ``count`` only counts what would have been refused, ``none`` does neither."""

    def __init__(self, clock: FakeClock, mode: LimitMode, sizes: LimitSizes) -> None:
        self._clock = clock
        self.mode = mode
        self.sizes = sizes
        self._lock = threading.Lock()
        self._sent: dict[tuple[str, bool], deque[int]] = {}
        self._refused: dict[str, deque[int]] = {}
        self._banned_until_ms: dict[str, int] = {}
        self._day = 0
        self.spent_today = 0
        self.spent = 0
        self.violations: Counter[str] = Counter()

    def ban(self, grant: Grant) -> Response | None:
        """The edge's page while the token is banned."""
        with self._lock:
            if self._clock.now_ms() < self._banned_until_ms.get(grant.token, 0):
                self.violations["banned"] += 1
                return answers.blocked()
        return None

    def admit(self, grant: Grant, cost: int, *, is_search: bool) -> Headers:
        """Count one call of ``cost`` tokens; gives the headers of its answer. Raises 429."""
        if self.mode == "none":
            self.spent += cost
            return []
        with self._lock:
            now_ms = self._clock.now_ms()
            self._new_day(now_ms)
            burst = self.sizes.oauth_burst if grant.is_oauth else self.sizes.api_burst
            most = self.sizes.searches if is_search else burst
            sent = self._sent.setdefault((grant.token, is_search), deque())
            while sent and sent[0] <= now_ms - WINDOW_MS:
                sent.popleft()
            if len(sent) >= most:
                self._refuse(grant, "search_burst" if is_search else "burst", self._headers(most, 0), now_ms)
            if self.spent_today + cost > self.sizes.daily_tokens:
                self._refuse(grant, "daily", self._headers(most, most - len(sent)), now_ms)
            sent.append(now_ms)
            self.spent_today += cost
            self.spent += cost
            return self._headers(most, max(0, most - len(sent)))

    def burst_headers(self) -> Headers:
        return self._headers(self.sizes.api_burst, 0)

    def daily_headers(self) -> Headers:
        headers = self._headers(self.sizes.api_burst, self.sizes.api_burst - 1)
        return [*headers[:-1], ("x-daily-ratelimit-token-remaining", "0")]

    def _new_day(self, now_ms: int) -> None:
        if now_ms // DAY_MS != self._day:
            self._day, self.spent_today = now_ms // DAY_MS, 0

    def _refuse(self, grant: Grant, limit: str, headers: Headers, now_ms: int) -> None:
        self.violations[limit] += 1
        if self.mode != "real":
            return
        if not grant.is_oauth:
            refused = self._refused.setdefault(grant.token, deque())
            refused.append(now_ms)
            while refused[0] <= now_ms - 60_000:
                refused.popleft()
            if len(refused) >= self.sizes.ban_after:
                self._banned_until_ms[grant.token] = now_ms + round(self.sizes.ban_seconds * 1000)
                refused.clear()
        raise answers.too_many(headers)

    def _headers(self, most: int, left: int) -> Headers:
        return [
            ("x-ratelimit-limit", str(most)),
            ("x-ratelimit-remaining", str(left)),
            ("x-ratelimit-reset", str(WINDOW_MS // 1000)),
            ("x-daily-ratelimit-token-limit", str(self.sizes.daily_tokens)),
            ("x-daily-ratelimit-token-remaining", str(max(0, self.sizes.daily_tokens - self.spent_today))),
        ]
