"""How many deliveries were refused, by CRM, reason and day. Nothing else of them is kept.

A flood must not turn into a flood of writes to one row: each process adds up in memory and writes once a second, and
when it ends.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import threading
import time
from collections import Counter
from typing import Final

from django.db import Error as DatabaseError
from django.db import connection as database

log = logging.getLogger(__name__)

WRITE_SECONDS: Final = 1.0

_ADD: Final = """
INSERT INTO crm_webhook_refusals AS known (crm_type, code, day, deliveries, last_at)
SELECT d.crm_type, d.code, (clock_timestamp() AT TIME ZONE 'UTC')::date, d.deliveries, clock_timestamp()
FROM jsonb_to_recordset(%s::jsonb) AS d (crm_type text, code text, deliveries bigint)
ORDER BY d.crm_type, d.code
ON CONFLICT (crm_type, code, day) DO UPDATE
SET deliveries = known.deliveries + EXCLUDED.deliveries, last_at = EXCLUDED.last_at
"""


class RefusalCounter:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: Counter[tuple[str, str]] = Counter()
        self._written_at = float("-inf")

    def add(self, crm_type: str, code: str) -> None:
        """Count one; ``crm_type`` is a provider's key, or ``?``."""
        with self._lock:
            self._pending[crm_type, code] += 1

    def write_if_due(self) -> None:
        if time.monotonic() - self._written_at >= WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        """Write what has added up. A database that is away is told later."""
        try:
            self._write()
        except DatabaseError:
            log.warning("refused deliveries could not be counted yet")

    def write_last(self) -> None:
        """The process ends: what cannot be written now is lost, and there is nobody left to tell."""
        with contextlib.suppress(Exception):
            self._write()

    def _write(self) -> None:
        with self._lock:
            taken, self._pending = self._pending, Counter()
            self._written_at = time.monotonic()
        if not taken:
            return
        rows = [{"crm_type": key[0], "code": key[1], "deliveries": count} for key, count in taken.items()]
        try:
            with database.cursor() as cursor:
                cursor.execute(_ADD, [json.dumps(rows)])
        except DatabaseError:
            with self._lock:
                self._pending.update(taken)
            raise


REFUSALS: Final = RefusalCounter()

atexit.register(REFUSALS.write_last)
