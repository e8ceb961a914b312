"""Request budgets as data, and the limiter for one process.

A provider declares its budgets; a connection binds them to keys (``BoundBudgets``); a limiter hands out *slots*: the
caller waits until its slot and sends. For a rolling window of W seconds the log of the last slots decides: the next
slot is W and a margin after the slot that lies ``limit`` places back. So no window of W seconds holds more than
``limit`` requests, whatever the burst, and a waiting backlog uses all but the margin. A daily budget is a counter of
costs; each priority may use it down to its own reserve. Whoever shares a key shares the budget.

``adsapp_crm.limiter`` does the same for all workers, in Redis.
"""

from __future__ import annotations

import enum
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from crm.errors import RateLimitedError

DAILY: Final = "daily"
"""The name of a daily budget; ``exhausted(DAILY, ...)`` stops every call of the account."""
MARGIN_SHARE: Final = 0.025
"""Of the window, on top of it: the jitter between our slot and the arrival at the CRM."""
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
    """``None``: MARGIN_SHARE of the window."""
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


@dataclass(slots=True)
class _Shelf:
    """What is known of one key."""

    slots: list[int] = field(default_factory=list)
    """Ascending, in microseconds; some lie ahead."""
    held_until: int = 0
    limit: int | None = None
    window_microseconds: int | None = None
    used: dict[int, int] = field(default_factory=dict)
    """Day number -> cost."""


class MemoryLimits:
    """The budgets of one process: for tests, for commands without Redis, and while Redis is away. Thread safe."""

    def __init__(self, *, max_wait_seconds: float = MAX_WAIT_SECONDS, clock: Callable[[], float] = time.time) -> None:
        self._lock = threading.Lock()
        self._shelves: dict[str, _Shelf] = {}
        self._max_wait = math.ceil(max_wait_seconds * 1e6)
        self._clock = clock

    def limiter(self, bound: BoundBudgets) -> MemoryLimiter:
        return MemoryLimiter(self, bound)

    def take(self, windows: Sequence[WindowDemand], day: DayDemand, cost: int) -> float:
        """Seconds until the slot, which is taken; RateLimitedError, and nothing taken, when that is too long."""
        with self._lock:
            now = self._now()
            shelf = self._shelf(day.key)
            today, tomorrow = _day(now, day.utc_offset_seconds)
            limit = day.limit if shelf.limit is None else shelf.limit
            if limit is not None and shelf.used.get(today, 0) + cost > limit * day.usable_share:
                raise too_long((tomorrow - now) / 1e6, daily=True)
            if shelf.held_until > now + self._max_wait:
                raise too_long((shelf.held_until - now) / 1e6, daily=True)
            slot = max([now, shelf.held_until, *(self._free(window, now) for window in windows)])
            if slot - now > self._max_wait:
                raise too_long((slot - now) / 1e6, daily=False)
            for window in windows:
                slots = self._shelf(window.key).slots
                slots.append(slot)
                slots.sort()
            shelf.used = {today: shelf.used.get(today, 0) + cost}
            return (slot - now) / 1e6

    def hold(self, key: str, seconds: float) -> None:
        with self._lock:
            shelf = self._shelf(key)
            shelf.held_until = max(shelf.held_until, self._now() + math.ceil(seconds * 1e6))

    def learn(self, demand: WindowDemand | DayDemand, reading: Reading) -> None:
        with self._lock:
            now = self._now()
            shelf = self._shelf(demand.key)
            shelf.limit = shelf.limit if reading.limit is None else reading.limit
            if isinstance(demand, DayDemand):
                if reading.used is not None:
                    shelf.used = {_day(now, demand.utc_offset_seconds)[0]: reading.used}
                return
            if reading.seconds:
                shelf.window_microseconds = math.ceil(reading.seconds * 1e6)
            # The reading is as old as its answer: slots of two windows count as ours before anyone else is suspected.
            ours = sum(slot <= now for slot in shelf.slots)
            if reading.used is not None and reading.used > ours:
                shelf.slots = sorted(shelf.slots + [now] * (reading.used - ours))

    def _free(self, demand: WindowDemand, now: int) -> int:
        """The first moment at which the window has room."""
        shelf = self._shelf(demand.key)
        window = (shelf.window_microseconds or demand.window_microseconds) + demand.margin_microseconds
        shelf.slots = [slot for slot in shelf.slots if slot > now - 2 * window]
        limit = demand.allowed(shelf.limit)
        full_until = shelf.slots[-limit] + window if len(shelf.slots) >= limit else now
        return max(full_until, shelf.held_until)

    def _shelf(self, key: str) -> _Shelf:
        return self._shelves.setdefault(key, _Shelf())

    def _now(self) -> int:
        return int(self._clock() * 1e6)


def _day(now: int, utc_offset_seconds: int) -> tuple[int, int]:
    """The number of the day and the microsecond at which the next one begins."""
    day = (now // 1_000_000 + utc_offset_seconds) // DAY_SECONDS
    return day, ((day + 1) * DAY_SECONDS - utc_offset_seconds) * 1_000_000


class MemoryLimiter:
    """``crm.ports.Limiter`` over ``MemoryLimits``."""

    def __init__(self, limits: MemoryLimits, bound: BoundBudgets) -> None:
        self._limits = limits
        self._bound = bound

    def acquire(self, budget: str, cost: int = 1) -> float:
        windows = [self._bound.window_demand(window) for window in self._bound.windows(budget)]
        return self._limits.take(windows, self._bound.day_demand(), cost)

    def observe(self, headers: Mapping[str, str]) -> None:
        for budget, reading in self._bound.readings(headers):
            if isinstance(budget, DailyBudget):
                self._limits.learn(self._bound.day_demand(), reading)
            else:
                self._limits.learn(self._bound.window_demand(budget), reading)

    def exhausted(self, budget: str, retry_after_seconds: float) -> None:
        for key in held_keys(self._bound, budget):
            self._limits.hold(key, retry_after_seconds)


def held_keys(bound: BoundBudgets, budget: str) -> list[str]:
    """The keys that a refusal on ``budget`` closes: its own, never the politeness of everyone."""
    if budget == DAILY:
        return [bound.key(bound.day)]
    return [bound.key(window) for window in bound.windows(budget) if window.name == budget]
