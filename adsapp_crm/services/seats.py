"""Seats for requests that hold a thread of the web server while they wait for something outside of it.

A run takes its time, and a CRM that is slow is slow for minutes. Only some of a process's requests may wait for either
at once, so that the other threads go on answering.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from adsapp_crm import conf
from adsapp_crm.services.refusals import refuse

PATIENCE_SECONDS: Final = 2.0
"""How long a request stands in line for a seat; the line is as long as there are seats."""
RETRY_SECONDS: Final = 5
"""After which a request that found no seat may come again (``Retry-After``)."""


class Seats:
    """So many at once in this process. ``most`` is asked each time, so that a changed setting holds."""

    def __init__(self, most: Callable[[], int]) -> None:
        self._most = most
        self._free = threading.Condition()
        self._taken = 0
        self._in_line = 0

    @contextmanager
    def one(self, patience_seconds: float = 0.0) -> Iterator[bool]:
        """Whether there is a seat, after standing in line for it at most so long."""
        is_mine = self._take(patience_seconds)
        try:
            yield is_mine
        finally:
            if is_mine:
                with self._free:
                    self._taken -= 1
                    self._free.notify()

    def _take(self, patience_seconds: float) -> bool:
        with self._free:
            if not self._has_room() and patience_seconds > 0 and self._in_line < self._most():
                self._in_line += 1
                try:
                    self._free.wait_for(self._has_room, patience_seconds)
                finally:
                    self._in_line -= 1
            is_mine = self._has_room()
            self._taken += is_mine
            return is_mine

    def _has_room(self) -> bool:
        return self._taken < self._most()


WAITERS: Final = Seats(conf.sync_waiters)
"""For those who wait for a run."""
CALLERS: Final = Seats(conf.crm_callers)
"""For those who ask a CRM, or an address of a customer's, before they answer."""


@contextmanager
def asking_outside() -> Iterator[None]:
    """For what a view does that asks the network; also a decorator. Raises RefusedError (``request.busy``)."""
    with CALLERS.one(PATIENCE_SECONDS) as is_mine:
        if not is_mine:
            raise refuse("request.busy", "Other requests are waiting for a CRM just now.")
        yield
