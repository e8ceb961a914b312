"""Ids that sort by age: UUIDs of version 7 that also grow within one millisecond."""

from __future__ import annotations

import threading
import time

from adsapp_crm.models import uuid7

_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """RFC 9562 section 6.2, method 2: the random part of the id before is counted up when the clock stands still."""
    global _last  # noqa: PLW0603  one sequence a process
    with _lock:
        _last = _last + 1 if time.time_ns() // 1_000_000 <= _last >> 80 else max(uuid7().int, _last + 1)
        text = f"{_last:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
