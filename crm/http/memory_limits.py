"""The budgets of one process: for tests, for commands without Redis, and while Redis is away."""

from __future__ import annotations

import bisect
import itertools
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from crm.http.limits import (
    DAY_SECONDS,
    MAX_WAIT_SECONDS,
    BoundBudgets,
    DailyBudget,
    DayDemand,
    Reading,
    WindowDemand,
    held_keys,
    too_long,
)
from crm.ports import Turn

Slot = tuple[int, int]
"""(microsecond, ticket); ticket 0 is somebody else's request."""


@dataclass(slots=True)
class _Shelf:
    """What is known of one key."""

    slots: list[Slot] = field(default_factory=list)
    """Ascending; some lie ahead."""
    held_until: int = 0
    limit: int | None = None
    window_microseconds: int | None = None
    used: dict[int, int] = field(default_factory=dict)
    """Day number -> cost."""

    def remove(self, ticket: int) -> int | None:
        """The microsecond of the ticket's slot, which is gone then."""
        at = next((slot for slot, owner in self.slots if owner == ticket), None)
        if at is not None:
            self.slots.remove((at, ticket))
        return at


class MemoryLimits:
    """Thread safe."""

    def __init__(self, *, max_wait_seconds: float = MAX_WAIT_SECONDS, clock: Callable[[], float] = time.time) -> None:
        self._lock = threading.Lock()
        self._shelves: dict[str, _Shelf] = {}
        self._max_wait = math.ceil(max_wait_seconds * 1e6)
        self._clock = clock
        self._tickets = itertools.count(1)

    def limiter(self, bound: BoundBudgets) -> MemoryLimiter:
        return MemoryLimiter(self, bound)

    def take(self, windows: Sequence[WindowDemand], day: DayDemand, cost: int) -> Turn:
        """A slot behind all others; RateLimitedError, and nothing taken, when that is too far ahead."""
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
            ticket = next(self._tickets)
            for window in windows:
                bisect.insort(self._shelf(window.key).slots, (slot, ticket))
            shelf.used = {today: shelf.used.get(today, 0) + cost}
            return Turn((slot - now) / 1e6, str(ticket))

    def confirm(self, windows: Sequence[WindowDemand], day: DayDemand, cost: int, ticket: int) -> Turn:
        """Now, if that has become the ticket's turn; else a later slot. Too late a one is given back and refused."""
        with self._lock:
            now = self._now()
            for window in windows:
                self._shelf(window.key).remove(ticket)
            held_until = self._shelf(day.key).held_until
            slot = max([now, held_until, *(self._free(window, now, among_past=True) for window in windows)])
            if slot - now > self._max_wait:
                used = self._shelf(day.key).used
                today, _ = _day(now, day.utc_offset_seconds)
                used[today] = max(0, used.get(today, 0) - cost)
                raise too_long((slot - now) / 1e6, daily=held_until == slot)
            for window in windows:
                bisect.insort(self._shelf(window.key).slots, (slot, ticket))
            return Turn((slot - now) / 1e6, str(ticket))

    def move(self, windows: Sequence[WindowDemand], ticket: int, late_seconds: float) -> None:
        with self._lock:
            for window in windows:
                shelf = self._shelf(window.key)
                at = shelf.remove(ticket)
                if at is not None:
                    bisect.insort(shelf.slots, (at + math.ceil(late_seconds * 1e6), ticket))

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
            ours = sum(slot <= now for slot, _ in shelf.slots)
            if reading.used is not None and reading.used > ours:
                shelf.slots = sorted(shelf.slots + [(now, 0)] * (reading.used - ours))

    def _free(self, demand: WindowDemand, now: int, *, among_past: bool = False) -> int:
        """The first moment at which the window has room: behind all slots, or but those that lie ahead."""
        shelf = self._shelf(demand.key)
        told = shelf.window_microseconds or demand.window_microseconds
        window = told + told * demand.margin_microseconds // demand.window_microseconds
        shelf.slots = [slot for slot in shelf.slots if slot[0] > now - 2 * window]
        end = bisect.bisect_right(shelf.slots, (now, math.inf)) if among_past else len(shelf.slots)
        limit = demand.allowed(shelf.limit)
        full_until = shelf.slots[end - limit][0] + window if end >= limit else now
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

    def acquire(self, budget: str, cost: int = 1, turn: Turn | None = None) -> Turn:
        windows, day = self._bound.demands(budget), self._bound.day_demand()
        if turn is None or not turn.ticket:
            return self._limits.take(windows, day, cost)
        return self._limits.confirm(windows, day, cost, int(turn.ticket))

    def late(self, budget: str, turn: Turn, seconds: float) -> None:
        if turn.ticket and self._bound.is_told(budget, seconds):
            self._limits.move(self._bound.demands(budget), int(turn.ticket), seconds)

    def observe(self, headers: Mapping[str, str]) -> None:
        for budget, reading in self._bound.readings(headers):
            if isinstance(budget, DailyBudget):
                self._limits.learn(self._bound.day_demand(), reading)
            else:
                self._limits.learn(self._bound.window_demand(budget), reading)

    def exhausted(self, budget: str, retry_after_seconds: float) -> None:
        for key in held_keys(self._bound, budget):
            self._limits.hold(key, retry_after_seconds)
