"""The query planner's knowledge of tables that a sync fills faster than autovacuum looks."""

from __future__ import annotations

import math
from typing import Any, Final, cast

from django.db import connection as database

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


def refresh_statistics(*, filling: bool = False, pages: int = 0) -> tuple[str, ...]:
    """Analyze the tables that have changed much since they last were, and return them; a millisecond or two else.

    ``filling``: this run writes many rows of one organization, ``pages`` of them so far. Much is 500 rows then,
    whatever the others have: of an organization or a plan that is not in the statistics the planner may expect no row.
    Does nothing before PostgreSQL 17, where only a table's owner may.
    """
    large = LARGE if pages < LONG_PAGES else math.inf
    with database.cursor() as cursor:
        if filling:
            cursor.execute("SELECT pg_stat_force_next_flush()")  # a second late else, which is thousands of rows
        cursor.execute(_CHANGED, {"tables": list(TABLES), "filling": filling, "large": large})
        changed = tuple(name for (name,) in cursor.fetchall())
        if cast("Any", database).pg_version < 170000 or not changed:
            return ()
        cursor.execute(f"ANALYZE (SKIP_LOCKED) {', '.join(changed)}")
    return changed
