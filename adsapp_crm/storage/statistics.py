"""The query planner's knowledge of tables that a sync fills faster than autovacuum looks."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Self, cast

from django.db import Error as DatabaseError
from django.db import connection as database

log = logging.getLogger(__name__)

TABLES: Final = ("contacts", "crm_sync_state", "crm_observations", "crm_plan_lines", "crm_intents", "crm_conflicts")

_CHANGED: Final = """
SELECT s.relname FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
WHERE s.schemaname = 'public' AND s.relname = ANY(%(tables)s)
  AND s.n_mod_since_analyze > 500
  AND (s.n_mod_since_analyze > 500 + 0.2 * c.reltuples OR (%(filling)s AND c.reltuples < %(large)s))
ORDER BY s.relname
"""


LARGE: Final = 1_000_000
"""Rows from which a table is analyzed for the sake of one run only when that run is long: a sample takes seconds by
then."""
LONG_PAGES: Final = 9
"""Of one phase, after which a run is long."""


class Analyst:
    """Keeps the statistics fresh in a thread beside a sync: the pages go on, and the next ones are planned with what it
    finds. One look at a time; leaving the context waits for it. What the database refuses is logged and done without.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._look: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True)

    def refresh(self, *, filling: bool = False, pages: int = 0) -> tuple[str, ...]:
        """Analyze the tables that have changed much since they last were, and return them; a millisecond or two else.

        ``filling``: this run writes many rows of one organization, ``pages`` of them so far. Much is 500 rows then,
        whatever the others have: of an organization or a plan that is not in the statistics the planner may expect no
        row. Does nothing while the last look goes on, and before PostgreSQL 17, where only a table's owner may.
        """
        if self._look is not None and not self._look.done():
            return ()
        changed = _changed_tables(filling=filling, pages=pages)
        if changed:
            self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="analyze")
            self._look = self._pool.submit(_analyze, changed)
        return changed


def _changed_tables(*, filling: bool, pages: int) -> tuple[str, ...]:
    large = LARGE if pages < LONG_PAGES else math.inf
    with database.cursor() as cursor:
        if filling:  # of this very session: a second late else, which is thousands of rows
            cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(_CHANGED, {"tables": list(TABLES), "filling": filling, "large": large})
        changed = tuple(name for (name,) in cursor.fetchall())
    return changed if cast("Any", database).pg_version >= 170000 else ()


def _analyze(tables: Sequence[str]) -> None:
    try:
        with database.cursor() as cursor:
            cursor.execute(f"ANALYZE (SKIP_LOCKED) {', '.join(tables)}")
    except DatabaseError as error:
        log.warning("statistics were not refreshed", extra={"error": type(error).__name__})
    finally:
        database.close()  # this thread's own, which nobody else would close
