"""Request budgets as data: what a provider declares, bound to the keys of one connection.

A limiter hands out *slots*. For a rolling window of W seconds the log of the last slots decides: the next slot is W and
a margin after the slot that lies ``limit`` places back. So no window of W seconds holds more than ``limit`` requests,
whatever the burst, and a waiting backlog uses all but the margin. A slot ahead is a place in the queue: who has waited
for it asks again, and only then it is taken, at that moment. What a request took longer than others of its kind may
have passed before the CRM counted it, so its slot moves on by that (``Limiter.late``). A daily budget is a counter of
costs; each priority may use it down to its own reserve. Whoever shares a key shares the budget.

``crm.http.memory_limits`` keeps the slots of one process, ``adsapp_crm.limiter`` those of all workers, in Redis.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from crm.errors import RateLimitedError

DAILY: Final = "daily"
"""The name of a daily budget; ``exhausted(DAILY, ...)`` stops every call of the account."""
MARGIN_SHARE: Final = 0.015
"""Of the window, on top of it: the jitter on the way to the CRM that is too small to be told."""
TOLD_SHARE: Final = 0.1
"""Of the margin: what a request is late by less is not told."""
MAX_WAIT_SECONDS: Final = 12.0
"""A worker sits out any ten-second window; a longer wait is a due time."""
DAY_SECONDS: Final = 86_400


class Priority(enum.StrEnum):
    INTERACTIVE = "interactive"
    """A person waits."""
    REALTIME = "realtime"
    DELTA = "delta"
    FULL = "full"


DEFAULT_RESERVES: Final[Mapping[Priority, float]] = {
    Priority.INTERACTIVE: 0.20,
    Priority.REALTIME: 0.22,
    Priority.DELTA: 0.25,
    Priority.FULL: 0.30,
}
"""Share of a day's allowance that each priority leaves; the first fifth belongs to the customer's other tools."""


class Scope(enum.StrEnum):
    """Whose budget it is: the key that callers must share."""

    ACCOUNT = "account"
    """Everyone on one remote account."""
    APP = "app"
    """One token or app on one remote account."""
    CONNECTION = "connection"


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer's headers said about one budget; ``None``: not said."""

    limit: int | None = None
    used: int | None = None
    """Within the window, or since the day began, this request included."""
    seconds: float | None = None


ReadHeaders = Callable[[Mapping[str, str]], Reading | None]
"""Headers (names in lower case) -> what they say; total, ``None`` when they say nothing."""


@dataclass(frozen=True, slots=True)
class RollingWindow:
    """At most ``limit`` requests in any ``seconds``. A request counts one, whatever it costs elsewhere."""

    name: str
    scope: Scope
    limit: int
    seconds: float
    margin_seconds: float | None = None
    """``None``: MARGIN_SHARE of the window. A window that the CRM's headers tell otherwise keeps the same part."""
    every_call: bool = False
    """Holds whatever budget a call names (politeness, delay); the connection's share does not reduce it."""
    read: ReadHeaders | None = None


@dataclass(frozen=True, slots=True)
class DailyBudget:
    """A day's allowance, charged with each call's cost; it holds whatever budget a call names."""

    scope: Scope = Scope.ACCOUNT
    limit: int | None = None
    """``None``: unknown until headers tell; nothing is refused before."""
    reserves: Mapping[Priority, float] = field(default_factory=lambda: DEFAULT_RESERVES)
    utc_offset_seconds: int = 0
    """Of the midnight at which the CRM resets it."""
    read: ReadHeaders | None = None
    name: str = DAILY


Budget = RollingWindow | DailyBudget


def politeness(per_second: int) -> RollingWindow:
    """A cap of our own on the calls of one connection, where the CRM has no such limit."""
    return RollingWindow("politeness", Scope.CONNECTION, per_second, 1.0, every_call=True)


def minimum_gap(milliseconds: int) -> RollingWindow:
    """The connection setting ``requestDelayMs``: calls are at least this far apart."""
    return RollingWindow("delay", Scope.CONNECTION, 1, milliseconds / 1000, margin_seconds=0.0, every_call=True)


def headers_reader(
    *, limit: str = "", remaining: str = "", interval_milliseconds: str = "", seconds: float | None = None
) -> ReadHeaders:
    """A reader for headers that hold plain numbers, by their names; a name left out is not read."""

    def read(headers: Mapping[str, str]) -> Reading | None:
        told_limit = _count(headers, limit)
        told_remaining = _count(headers, remaining)
        interval = _count(headers, interval_milliseconds)
        if told_limit is None:
            return None
        return Reading(
            limit=told_limit,
            used=None if told_remaining is None else max(0, told_limit - told_remaining),
            seconds=interval / 1000 if interval else seconds,
        )

    return read


def _count(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name.lower(), "").strip() if name else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


@dataclass(frozen=True, slots=True)
class WindowDemand:
    key: str
    limit: int
    share: float
    window_microseconds: int
    margin_microseconds: int

    def allowed(self, learned: int | None) -> int:
        return max(1, math.floor((self.limit if learned is None else learned) * self.share))


@dataclass(frozen=True, slots=True)
class DayDemand:
    key: str
    limit: int | None
    usable_share: float
    utc_offset_seconds: int


@dataclass(frozen=True, slots=True)
class BoundBudgets:
    """The budgets of one connection at one priority, ready to be asked for.

    ``keys`` names each scope's owner, such as ``{ACCOUNT: "<provider>:<account>", APP: ..., CONNECTION: ...}``;
    a missing scope is a ValueError. ``share`` is the part of the CRM's limits this connection may use (0-1].
    """

    budgets: tuple[Budget, ...]
    keys: Mapping[Scope, str]
    priority: Priority = Priority.FULL
    share: float = 1.0

    def __post_init__(self) -> None:
        missing = sorted({budget.scope for budget in self.budgets} - set(self.keys))
        if missing:
            raise ValueError(f"no key for the scope {missing[0]}")
        if not 0 < self.share <= 1:
            raise ValueError("share is above 0 and not above 1")

    @property
    def day(self) -> DailyBudget:
        """The declared daily budget, or one without a limit, so that a daily refusal has a place."""
        declared = next((budget for budget in self.budgets if isinstance(budget, DailyBudget)), None)
        return declared or DailyBudget(scope=Scope.ACCOUNT if Scope.ACCOUNT in self.keys else next(iter(self.keys)))

    def windows(self, budget: str) -> list[RollingWindow]:
        """Those that a call on ``budget`` needs; ValueError when no window has that name."""
        found = [each for each in self.budgets if isinstance(each, RollingWindow)]
        if budget not in {window.name for window in found}:
            raise ValueError(f"no budget is named {budget!r}")
        return [window for window in found if window.every_call or window.name == budget]

    def key(self, budget: Budget) -> str:
        return f"{budget.name}:{self.keys[budget.scope]}"

    def window_demand(self, window: RollingWindow) -> WindowDemand:
        margin = window.seconds * MARGIN_SHARE if window.margin_seconds is None else window.margin_seconds
        return WindowDemand(
            key=self.key(window),
            limit=window.limit,
            share=1.0 if window.every_call else self.share,
            window_microseconds=math.ceil(window.seconds * 1e6),
            margin_microseconds=math.ceil(margin * 1e6),
        )

    def demands(self, budget: str) -> list[WindowDemand]:
        return [self.window_demand(window) for window in self.windows(budget)]

    def is_told(self, budget: str, late_seconds: float) -> bool:
        """Whether a request that late can make a window of ``budget`` hold too many."""
        least = min(demand.margin_microseconds for demand in self.demands(budget))
        return late_seconds * 1e6 > least * TOLD_SHARE

    def day_demand(self) -> DayDemand:
        day = self.day
        return DayDemand(
            key=self.key(day),
            limit=day.limit,
            usable_share=(1 - day.reserves.get(self.priority, 0.0)) * self.share,
            utc_offset_seconds=day.utc_offset_seconds,
        )

    def readings(self, headers: Mapping[str, str]) -> list[tuple[Budget, Reading]]:
        found = [(budget, budget.read(headers)) for budget in self.budgets if budget.read]
        return [(budget, reading) for budget, reading in found if reading is not None]


def too_long(wait_seconds: float, *, daily: bool) -> RateLimitedError:
    what = "The day's allowance" if daily else "The request allowance"
    return RateLimitedError(f"{what} is used up for the moment", retry_after_seconds=wait_seconds, daily=daily)


def held_keys(bound: BoundBudgets, budget: str) -> list[str]:
    """The keys that a refusal on ``budget`` closes: its own, never the politeness of everyone."""
    if budget == DAILY:
        return [bound.key(bound.day)]
    return [bound.key(window) for window in bound.windows(budget) if window.name == budget]
