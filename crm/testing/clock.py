"""The time a fake lives in: real, shifted, or stopped until a test moves it."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FakeClock:
    """A settable clock in whole milliseconds since 1970 (UTC).

    With ``start_ms`` the clock stands still there and moves only by ``advance``, ``set`` and ``sleep``
    (and by ``tick_ms`` at each reading, so that writes may get distinct stamps). Without it the clock
    runs with the machine's, plus ``offset_ms``. Safe to use from several threads.
    """

    def __init__(self, *, start_ms: int | None = None, offset_ms: int = 0, tick_ms: int = 0) -> None:
        self._lock = threading.Lock()
        self._frozen_ms = start_ms
        self._offset_ms = offset_ms
        self._tick_ms = tick_ms

    @property
    def is_frozen(self) -> bool:
        return self._frozen_ms is not None

    def now_ms(self) -> int:
        with self._lock:
            if self._frozen_ms is None:
                return time.time_ns() // 1_000_000 + self._offset_ms
            self._frozen_ms += self._tick_ms
            return self._frozen_ms

    def http_date(self) -> str:
        """The present second as an HTTP ``Date`` header (RFC 9110, 5.6.7)."""
        return format_datetime(_EPOCH + timedelta(seconds=self.now_ms() // 1000), usegmt=True)

    def freeze(self, at_ms: int | None = None) -> None:
        """Stop the clock at ``at_ms``, or at the present moment."""
        present_ms = self.now_ms()
        with self._lock:
            self._frozen_ms = present_ms if at_ms is None else at_ms

    def run(self) -> None:
        """Let the clock go on from where it stands."""
        with self._lock:
            if self._frozen_ms is not None:
                self._offset_ms = self._frozen_ms - time.time_ns() // 1_000_000
                self._frozen_ms = None

    def advance(self, seconds: float) -> None:
        """Move the clock; a negative number moves it back."""
        with self._lock:
            if self._frozen_ms is None:
                self._offset_ms += round(seconds * 1000)
            else:
                self._frozen_ms += round(seconds * 1000)

    def sleep(self, seconds: float) -> None:
        """Wait in this clock's time: a stopped clock moves on at once, a running one really waits."""
        if self.is_frozen:
            self.advance(max(0.0, seconds))
        else:
            time.sleep(max(0.0, seconds))


def iso_ms(stamp_ms: int) -> str:
    """``1790000000123`` as ``2026-09-21T14:13:20.123Z``."""
    moment = _EPOCH + timedelta(milliseconds=stamp_ms)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{stamp_ms % 1000:03d}Z"


def parse_iso_ms(text: str) -> int | None:
    """ISO 8601 (date, or date and time; no zone means UTC) to milliseconds; None when it is neither."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00").replace("z", "+00:00"))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


class LeapingClock:
    """Seconds since the epoch for a limiter whose client does not sit out its waits: ``sleep`` moves it on at once."""

    def __init__(self) -> None:
        self._ahead_seconds = 0.0

    def __call__(self) -> float:
        return time.time() + self._ahead_seconds

    def sleep(self, seconds: float) -> None:
        self._ahead_seconds += seconds
