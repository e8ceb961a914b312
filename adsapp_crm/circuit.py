"""The circuits of all workers, kept in Redis (or Valkey) by its own clock; the rules are those of ``crm.http.circuit``.

While Redis is away every call goes through: a worker that knows nothing of the others asks the CRM itself.
"""

from __future__ import annotations

from typing import Any, Final

from adsapp_crm.limiter import TOLD, RedisLimits
from crm.http.circuit import FAILURES, LONGEST_PAUSE_SECONDS, PAUSE_SECONDS, PROBE_SECONDS, WITHIN_SECONDS

KEPT_SECONDS: Final = 3600
"""How long a host that nobody calls any more is remembered as down."""

# KEYS: the circuit, the probe. ARGV: how long a probe is waited for, the figures' key, whose figures. In milliseconds.
# Answer: how long to leave the host alone, in milliseconds; 0: call it; -1: call it, no failure is known.
_REST: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local told = redis.call('HMGET', KEYS[1], 'failures', 'till')
if not told[1] then return -1 end
local till = tonumber(told[2] or '-1')
if till < 0 then return 0 end
local wait = till - now
if wait <= 0 then
  if redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[1]) then return 0 end
  wait = math.max(1, redis.call('PTTL', KEYS[2]))
end
redis.call('HINCRBY', ARGV[2], ARGV[3] .. ' circuit_refusals', 1)
return wait
"""

# KEYS: the circuit, the probe. ARGV: 1 the host was there, failures, within, pause, longest pause, how long it is
# remembered, the figures' key, whose figures. In milliseconds. Answer: 1 when it opened just now.
_SETTLE: Final = """
if ARGV[1] == '1' then return redis.call('DEL', KEYS[1], KEYS[2]) * 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local told = redis.call('HMGET', KEYS[1], 'failed', 'failures', 'till', 'opened')
local failures, till, opened = tonumber(told[2] or '0') + 1, tonumber(told[3] or '-1'), tonumber(told[4] or '0')
if now - tonumber(told[1] or '0') > tonumber(ARGV[3]) then failures = 1 end
redis.call('HSET', KEYS[1], 'failed', string.format('%.0f', now), 'failures', failures)
redis.call('PEXPIRE', KEYS[1], ARGV[6])
if (till >= 0 and till <= now) or (till < 0 and failures >= tonumber(ARGV[2])) then
  local pause = math.min(tonumber(ARGV[4]) * 2 ^ math.min(opened, 10), tonumber(ARGV[5]))
  redis.call('HSET', KEYS[1], 'till', string.format('%.0f', now + pause), 'opened', opened + 1)
  redis.call('DEL', KEYS[2])
  redis.call('HINCRBY', ARGV[7], ARGV[8] .. ' circuit_openings', 1)
  return 1
end
return 0
"""


class RedisCircuit:
    """``crm.http.circuit.Circuit`` of one host, shared by every process on the same Redis."""

    def __init__(self, limits: RedisLimits, host: str, provider: str) -> None:
        """``provider`` is whose figures it counts in: a host may be named after a customer."""
        self._limits = limits
        self._provider = provider
        self._keys = [f"circuit:{host}", f"circuit:{host}:probe"]
        self._failures_known = False
        """A success is told only where it ends something: a host that is well costs one round trip a call."""

    def rest_seconds(self) -> float:
        answer = self._run(_REST, [_milliseconds(PROBE_SECONDS)])
        self._failures_known = answer is not None and answer >= 0
        return max(0.0, float(answer or 0)) / 1000

    def settle(self, *, reached: bool) -> None:
        if reached and not self._failures_known:
            return
        seconds = (WITHIN_SECONDS, PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, KEPT_SECONDS)
        self._run(_SETTLE, [int(reached), FAILURES, *map(_milliseconds, seconds)])

    def _run(self, script: str, arguments: list[Any]) -> Any:
        return self._limits.run(script, self._keys, [*arguments, self._limits.prefix + TOLD, self._provider])


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
