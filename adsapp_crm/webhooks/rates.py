"""How many verified deliveries an address may take: one customer's storm must not be everybody's."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

DELIVERIES_PER_SECOND: Final = 200.0
"""For each address and process."""
BURST: Final = 1_000.0
MOST_ADDRESSES: Final = 10_000


class RateCap:
    """A token bucket for each key; the keys that were quiet longest are forgotten. Safe for several threads."""

    def __init__(
        self,
        per_second: float = DELIVERIES_PER_SECOND,
        burst: float = BURST,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_second, self._burst, self._monotonic = per_second, burst, monotonic
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admits(self, key: str) -> bool:
        """Take one from the key's bucket; False when it is empty."""
        now = self._monotonic()
        with self._lock:
            level, seen = self._buckets.pop(key, (self._burst, now))
            level = min(self._burst, level + (now - seen) * self._per_second)
            admitted = level >= 1
            self._buckets[key] = (level - 1 if admitted else level, now)
            if len(self._buckets) > MOST_ADDRESSES:
                self._buckets.popitem(last=False)
        return admitted


RATES: Final = RateCap()
