"""What an address and an account were found to be a moment ago, so that a storm asks the database once a second.

Nothing here is believed for longer than ``KEPT_SECONDS``, and what is written is checked again where it is written: a
connection that was ended or a subscription that was removed takes nothing, whatever is remembered here. What is not
there is never remembered: it may be made at any moment.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

KEPT_SECONDS: Final = 1.0
MOST_ENTRIES: Final = 10_000

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Known(Generic[_Key, _Value]):
    """Remembers what ``find`` gave for a key; empty answers and errors are not remembered. Safe for several threads."""

    def __init__(
        self,
        find: Callable[[_Key], _Value],
        *,
        seconds: float = KEPT_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find, self._seconds, self._monotonic = find, seconds, monotonic
        self._lock = threading.Lock()
        self._found: OrderedDict[_Key, tuple[float, _Value]] = OrderedDict()

    def get(self, key: _Key) -> tuple[_Value, bool]:
        """The value, and whether it was asked for just now."""
        now = self._monotonic()
        with self._lock:
            at, value = self._found.get(key, (None, None))
        if at is not None and value is not None and now - at < self._seconds:
            return value, False
        return self.renew(key), True

    def renew(self, key: _Key) -> _Value:
        """The value as it is now."""
        now = self._monotonic()
        value = self._find(key)
        with self._lock:
            self._found.pop(key, None)
            if value:
                self._found[key] = (now, value)
            if len(self._found) > MOST_ENTRIES:
                self._found.popitem(last=False)
        return value
