"""Ids that sort by age: UUIDs of version 7 that also grow within one millisecond."""

from __future__ import annotations

import threading
import uuid

from adsapp_crm.models import uuid7

_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """RFC 9562 section 6.2, method 2: the random part of the id before is counted up when the clock stands still."""
    global _last  # noqa: PLW0603  one sequence a process
    with _lock:
        _last = max(uuid7().int, _last + 1)
        return str(uuid.UUID(int=_last))
