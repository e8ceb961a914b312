"""The request budgets of all workers, kept in Redis (or Valkey) by its own clock.

The rules are those of ``crm.http.limits``; here each is one Lua script, so that processes cannot come between.
While Redis is away each process keeps to a cautious share of the budgets by itself. Keys of one script are derived
from each other: one server, or a cluster with everything under one hash tag.
"""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import redis

from crm.http.limits import MAX_WAIT_SECONDS, BoundBudgets, DailyBudget, RollingWindow, held_keys, too_long
from crm.http.memory_limits import MemoryLimiter, MemoryLimits
from crm.ports import Turn

log = logging.getLogger(__name__)

CAUTIOUS_SHARE: Final = 0.2
"""Of the budgets, for each process while Redis is away."""
PAUSE_SECONDS: Final = 5.0
"""How long Redis is left alone after it failed: a dead host must not cost each call its time-out."""
LEARN_SECONDS: Final = 60.0
"""How long an unchanged limit needs no telling again."""
PREFIX: Final = "crm:limit:"
TOLD: Final = "told"
"""The key of the figures for operators: "provider what" -> a number that only grows."""
_ALONE: Final = "alone:"
"""Begins the tickets that this process gave while Redis was away."""

# KEYS: the day, then the windows. ARGV: nonce, cost, longest wait, day limit (-1: unknown), usable share of the day,
# UTC offset, the figures' key, whose figures; for each window: limit, share, window, margin (of a window that was told
# otherwise the same part). Times in microseconds; "%.0f" since Lua prints 1.7e+15.
# Answer: what it is (0 a slot was taken, 1 too long, 2 the day's allowance), the wait.
_ACQUIRE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local nonce, cost, longest = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local offset = tonumber(ARGV[6])
local function tell(what, number)
  redis.call('HINCRBY', ARGV[7], ARGV[8] .. ' ' .. what, string.format('%.0f', number))
  redis.call('EXPIRE', ARGV[7], 2592000)
end
local day = math.floor((tonumber(time[1]) + offset) / 86400)
local counter = KEYS[1] .. ':' .. string.format('%.0f', day)
local limit = tonumber(redis.call('HGET', KEYS[1] .. ':learned', 'limit') or ARGV[4])
if limit >= 0 and tonumber(redis.call('GET', counter) or '0') + cost > limit * tonumber(ARGV[5]) then
  tell('limit_refusals', 1)
  return {2, ((day + 1) * 86400 - offset) * 1000000 - now}
end
local slot = math.max(now, tonumber(redis.call('GET', KEYS[1] .. ':held') or '0'))
if slot - now > longest then
  tell('limit_refusals', 1)
  return {2, slot - now}
end
local spans = {}
for i = 2, #KEYS do
  local key, at = KEYS[i], 9 + (i - 2) * 4
  local learned = redis.call('HMGET', key .. ':learned', 'limit', 'window')
  local span = tonumber(learned[2] or ARGV[at + 2]) * (1 + ARGV[at + 3] / ARGV[at + 2])
  local places = math.max(1, math.floor(tonumber(learned[1] or ARGV[at]) * tonumber(ARGV[at + 1])))
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now - 2 * span))
  local last = redis.call('ZREVRANGE', key, places - 1, places - 1, 'WITHSCORES')
  if last[2] then slot = math.max(slot, tonumber(last[2]) + span) end
  slot = math.max(slot, tonumber(redis.call('GET', key .. ':held') or '0'))
  spans[i] = span
end
if slot - now > longest then
  tell('limit_refusals', 1)
  return {1, slot - now}
end
for i = 2, #KEYS do
  redis.call('ZADD', KEYS[i], string.format('%.0f', slot), nonce)
  redis.call('PEXPIRE', KEYS[i], string.format('%.0f', (slot - now + 2 * spans[i]) / 1000 + 1000))
end
if cost > 0 then
  redis.call('INCRBY', counter, cost)
  redis.call('EXPIRE', counter, 172800)
end
tell('api_calls', 1)
if slot > now then
  tell('limit_waits', 1)
  tell('limit_wait_seconds', slot - now)
end
return {0, slot - now}
"""

# KEYS and ARGV as for _ACQUIRE, the nonce being the ticket. Slots that lie ahead are those of others in the queue: they
# ask again themselves. Answer: as of _ACQUIRE; a place that would come too late is given back with its cost.
_CONFIRM: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local nonce, cost, longest = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local function tell(what, number)
  redis.call('HINCRBY', ARGV[7], ARGV[8] .. ' ' .. what, string.format('%.0f', number))
end
local held = tonumber(redis.call('GET', KEYS[1] .. ':held') or '0')
local slot = math.max(now, held)
local spans = {}
for i = 2, #KEYS do
  local key, at = KEYS[i], 9 + (i - 2) * 4
  local learned = redis.call('HMGET', key .. ':learned', 'limit', 'window')
  local span = tonumber(learned[2] or ARGV[at + 2]) * (1 + ARGV[at + 3] / ARGV[at + 2])
  local places = math.max(1, math.floor(tonumber(learned[1] or ARGV[at]) * tonumber(ARGV[at + 1])))
  redis.call('ZREM', key, nonce)
  local last = redis.call('ZREVRANGEBYSCORE', key, string.format('%.0f', now), '-inf', 'WITHSCORES',
    'LIMIT', places - 1, 1)
  if last[2] then slot = math.max(slot, tonumber(last[2]) + span) end
  slot = math.max(slot, tonumber(redis.call('GET', key .. ':held') or '0'))
  spans[i] = span
end
if slot - now > longest then
  local day = math.floor((tonumber(time[1]) + tonumber(ARGV[6])) / 86400)
  if cost > 0 then redis.call('DECRBY', KEYS[1] .. ':' .. string.format('%.0f', day), cost) end
  tell('limit_refusals', 1)
  return {slot == held and 2 or 1, slot - now}
end
for i = 2, #KEYS do
  redis.call('ZADD', KEYS[i], string.format('%.0f', slot), nonce)
  redis.call('PEXPIRE', KEYS[i], string.format('%.0f', (slot - now + 2 * spans[i]) / 1000 + 1000))
end
if slot > now then tell('limit_wait_seconds', slot - now) end
return {0, slot - now}
"""

# KEYS: the windows. ARGV: the ticket, how late.
_LATE: Final = """
for _, key in ipairs(KEYS) do
  if redis.call('ZSCORE', key, ARGV[1]) then redis.call('ZINCRBY', key, ARGV[2], ARGV[1]) end
end
"""

# KEYS: one budget. ARGV: nonce, 'day' or 'window', limit ('' unsaid), used ('' unsaid), window ('' unsaid), UTC offset.
_LEARN: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1] .. ':learned', 'limit', ARGV[3])
  if ARGV[5] ~= '' then redis.call('HSET', KEYS[1] .. ':learned', 'window', ARGV[5]) end
  redis.call('EXPIRE', KEYS[1] .. ':learned', 172800)
end
if ARGV[4] == '' then return end
local used = tonumber(ARGV[4])
if ARGV[2] == 'day' then
  local day = math.floor((tonumber(time[1]) + tonumber(ARGV[6])) / 86400)
  redis.call('SET', KEYS[1] .. ':' .. string.format('%.0f', day), string.format('%.0f', used), 'EX', 172800)
  return
end
local ours = redis.call('ZCOUNT', KEYS[1], '-inf', string.format('%.0f', now))
for i = ours + 1, math.min(used, ours + 1000) do
  redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1] .. ':' .. i)
end
if redis.call('PTTL', KEYS[1]) < 60000 then redis.call('PEXPIRE', KEYS[1], 60000) end
"""

# KEYS: the budgets that the CRM refused. ARGV: for how long.
_HOLD: Final = """
local time = redis.call('TIME')
local till = time[1] * 1000000 + time[2] + tonumber(ARGV[1])
for _, key in ipairs(KEYS) do
  if till > tonumber(redis.call('GET', key .. ':held') or '0') then
    redis.call('SET', key .. ':held', string.format('%.0f', till), 'PX', math.ceil(tonumber(ARGV[1]) / 1000) + 1)
  end
end
"""


# KEYS: the day. ARGV: limit (-1: unknown), UTC offset. Answer: limit (-1), used, how long it is held, and until the
# reset, in microseconds.
_LOOK: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local offset = tonumber(ARGV[2])
local day = math.floor((tonumber(time[1]) + offset) / 86400)
local limit = tonumber(redis.call('HGET', KEYS[1] .. ':learned', 'limit') or ARGV[1])
local used = tonumber(redis.call('GET', KEYS[1] .. ':' .. string.format('%.0f', day)) or '0')
local held = math.max(0, tonumber(redis.call('GET', KEYS[1] .. ':held') or '0') - now)
return {limit, used, held, ((day + 1) * 86400 - offset) * 1000000 - now}
"""


@dataclass(frozen=True, slots=True)
class DayUse:
    """How a day's allowance stands."""

    limit: int | None
    """None: the CRM has none, or has not told it yet."""
    used: int
    usable_share: float
    """What this caller's priority and share may use of it."""
    held_seconds: float
    """The CRM refused everything until then; 0: it does not."""
    resets_in_seconds: float

    @property
    def waits_seconds(self) -> float:
        """How long nothing is let through; 0 while something is."""
        used_up = self.limit is not None and self.used >= self.limit * self.usable_share
        return max(self.held_seconds, self.resets_in_seconds if used_up else 0.0)


def told_figures(client: Any, prefix: str = PREFIX) -> dict[tuple[str, str], int]:
    """(provider, what) -> requests let through, waits, microseconds waited, refusals. Raises ``redis.RedisError``."""
    told: dict[bytes, bytes] = client.hgetall(prefix + TOLD)
    return {(name[0], name[1]): int(number) for key, number in told.items() if (name := key.decode().split(" ", 1))[1:]}


class RedisLimits:
    """One process's door to the shared budgets; make it once and bind it per connection with ``limiter``.

    ``client`` needs short socket time-outs (a second): it is asked before every request to a CRM.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        prefix: str = PREFIX,
        max_wait_seconds: float = MAX_WAIT_SECONDS,
        cautious_share: float = CAUTIOUS_SHARE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.prefix = prefix
        self.max_wait_microseconds = math.ceil(max_wait_seconds * 1e6)
        self.cautious_share = cautious_share
        self.memory = MemoryLimits(max_wait_seconds=max_wait_seconds)
        scripts = (_ACQUIRE, _CONFIRM, _LATE, _LEARN, _HOLD, _LOOK)
        self._scripts = {text: client.register_script(text) for text in scripts}
        self._register = client.register_script
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._away_until: float | None = None
        self._told: dict[str, tuple[object, float]] = {}

    def limiter(self, bound: BoundBudgets) -> RedisLimiter:
        return RedisLimiter(self, bound)

    def run(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        """The script's answer, or ``None`` while Redis is away; the outage and its end are logged once each."""
        away_until = self._away_until
        if away_until is not None and self._monotonic() < away_until:
            return None
        try:
            if script not in self._scripts:
                self._scripts[script] = self._register(script)
            answer = self._scripts[script](keys=[self.prefix + key for key in keys], args=arguments)
        except redis.RedisError as error:
            with self._lock:
                is_news = self._away_until is None
                self._away_until = self._monotonic() + PAUSE_SECONDS
            if is_news:
                log.warning("Redis is away (%s): each process keeps to its own rate limits", type(error).__name__)
            return None
        if away_until is not None:
            with self._lock:
                is_news = self._away_until is not None
                self._away_until = None
            if is_news:
                log.warning("Redis is back: rate limits are shared again")
        return answer if answer is not None else ()

    def is_news(self, key: str, told: object) -> bool:
        """Whether this limit was not told from this process within the last minute."""
        now = self._monotonic()
        with self._lock:
            before, at = self._told.get(key, (None, -LEARN_SECONDS))
            if before == told and now - at < LEARN_SECONDS:
                return False
            if len(self._told) > 10_000:
                self._told.clear()
            self._told[key] = (told, now)
            return True


class RedisLimiter:
    """``crm.ports.Limiter`` shared by every process on the same Redis."""

    def __init__(self, limits: RedisLimits, bound: BoundBudgets) -> None:
        self._limits = limits
        self._bound = bound
        self._told_of = next(iter(bound.keys.values()), "").partition(":")[0] or "?"
        cautious = BoundBudgets(bound.budgets, bound.keys, bound.priority, bound.share * limits.cautious_share)
        self._alone = MemoryLimiter(limits.memory, cautious)

    def acquire(self, budget: str, cost: int = 1, turn: Turn | None = None) -> Turn:
        ticket = turn.ticket if turn else ""
        if ticket.startswith(_ALONE):
            return _alone(self._alone.acquire(budget, cost, Turn(ticket=ticket.removeprefix(_ALONE))))
        day = self._bound.day_demand()
        windows = self._bound.demands(budget)
        nonce = ticket or secrets.token_hex(8)
        arguments: list[Any] = [
            nonce,
            cost,
            self._limits.max_wait_microseconds,
            -1 if day.limit is None else day.limit,
            day.usable_share,
            day.utc_offset_seconds,
            self._limits.prefix + TOLD,
            self._told_of,
        ]
        for window in windows:
            arguments += [window.limit, window.share, window.window_microseconds, window.margin_microseconds]
        script = _CONFIRM if ticket else _ACQUIRE
        answer = self._limits.run(script, [day.key, *(window.key for window in windows)], arguments)
        if answer is None:
            return _alone(self._alone.acquire(budget, cost))
        kind, wait_microseconds = answer
        if kind:
            raise too_long(wait_microseconds / 1e6, daily=kind == 2)
        return Turn(wait_microseconds / 1e6, nonce)

    def late(self, budget: str, turn: Turn, seconds: float) -> None:
        if turn.ticket.startswith(_ALONE):
            self._alone.late(budget, Turn(ticket=turn.ticket.removeprefix(_ALONE)), seconds)
        elif turn.ticket and self._bound.is_told(budget, seconds):
            keys = [window.key for window in self._bound.demands(budget)]
            self._limits.run(_LATE, keys, [turn.ticket, math.ceil(seconds * 1e6)])

    def observe(self, headers: Mapping[str, str]) -> None:
        self._alone.observe(headers)
        for budget, reading in self._bound.readings(headers):
            key = self._bound.key(budget)
            if isinstance(budget, RollingWindow):
                # Near its end a window is told each time, else only a new limit is: one round trip less a call.
                is_scarce = reading.used is not None and reading.limit and reading.used * 5 > reading.limit * 4
                if not is_scarce and not self._limits.is_news(key, (reading.limit, reading.seconds)):
                    continue
            self._limits.run(
                _LEARN,
                [key],
                [
                    secrets.token_hex(8),
                    "day" if isinstance(budget, DailyBudget) else "window",
                    "" if reading.limit is None else reading.limit,
                    "" if reading.used is None else reading.used,
                    "" if not reading.seconds else math.ceil(reading.seconds * 1e6),
                    budget.utc_offset_seconds if isinstance(budget, DailyBudget) else 0,
                ],
            )

    def exhausted(self, budget: str, retry_after_seconds: float) -> None:
        self._alone.exhausted(budget, retry_after_seconds)
        self._limits.run(_HOLD, held_keys(self._bound, budget), [math.ceil(retry_after_seconds * 1e6)])

    def day_use(self) -> DayUse | None:
        """The day's allowance as all workers share it; None while Redis is away. Takes nothing of it."""
        day = self._bound.day_demand()
        limit = -1 if day.limit is None else day.limit
        answer = self._limits.run(_LOOK, [day.key], [limit, day.utc_offset_seconds])
        if answer is None:
            return None
        known, used, held, until = answer
        return DayUse(None if known < 0 else known, used, day.usable_share, held / 1e6, until / 1e6)


def _alone(turn: Turn) -> Turn:
    return replace(turn, ticket=_ALONE + turn.ticket)
