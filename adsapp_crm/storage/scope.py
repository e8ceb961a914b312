"""One open transaction of one connection: its context, its fence, its statements, its postponed writes."""

# ruff: noqa: S608  statements are put together from the literals of this package
from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.db import connection as database
from psycopg.abc import Buffer
from psycopg.adapt import Loader

from adsapp_crm.storage.arrays import array_of
from adsapp_crm.storage.claims import claimant_of
from adsapp_crm.storage.ids import new_id
from adsapp_crm.storage.leases import Lease
from crm.errors import LeaseLostError

RUN_COLUMNS: Final = """
r.id::text, r.sync_type, r.record_types, r.phase, r.position, coalesce(r.plan_id::text, ''), r.dry_run, r.approved,
r.contact_limit, r.contact_ids, r.remote_ids, r.counts, r.status, r.error_code, r.cancel_requested, r.first_sync
"""

# The context is set before the lateral rows are looked up: a lateral subquery that is not flattened
# (OFFSET 0) runs once its outer row exists, and row-level security would hide the rows before.
# Every statement of a unit is meant for an index, but a first sync meets tables that nobody has analyzed yet:
# left alone, the planner reads all of a table it believes empty, once for each of the 200 keys of a page.
_OPEN: Final = f"""
SELECT clock_timestamp(), organization.region, lease.valid, turn.taken, run.*
FROM (
  SELECT set_config('app.org', %(organization)s, true) AS id, set_config('app.actor', %(actor)s, true),
         set_config('app.origin', %(origin)s, true), set_config('app.evidence', '', true),
         set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)
  OFFSET 0
) AS context
LEFT JOIN LATERAL (
  SELECT o.region FROM organizations o WHERE o.id = context.id::uuid OFFSET 0
) AS organization ON true
LEFT JOIN LATERAL (
  SELECT true AS valid FROM crm_leases k
  WHERE k.organization_id = context.id::uuid AND k.connection_id = %(connection)s AND k.stream = %(stream)s
    AND k.owner = %(owner)s AND k.fence = %(fence)s AND k.expires_at > clock_timestamp()
  FOR UPDATE OFFSET 0
) AS lease ON true
LEFT JOIN LATERAL (
  SELECT {RUN_COLUMNS} FROM crm_sync_logs r
  WHERE r.organization_id = context.id::uuid AND r.connection_id = %(connection)s AND r.id = %(run)s::uuid OFFSET 0
) AS run ON true
LEFT JOIN LATERAL (
  SELECT true AS taken FROM pg_advisory_xact_lock(hashtextextended(%(connection)s, 0))
  WHERE run.phase = 'apply' AND lease.valid IS NOT false OFFSET 0
) AS turn ON true
"""
"""A worker that is about to claim lines takes its turn here: what the following statement sees is then settled."""

SERIALIZE: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%(connection)s, 0))"
"""Two workers that look for free records at the same moment would both find one free."""

_PROLONG: Final = """
UPDATE crm_leases SET expires_at = clock_timestamp() + make_interval(secs => %(lease_seconds)s)
WHERE organization_id = %(organization)s AND connection_id = %(connection)s AND stream = %(lease_stream)s
  AND owner = %(lease_owner)s AND fence = %(lease_fence)s
"""


class _Moment(Loader):
    """A time as PostgreSQL writes it, read in C: Django's way was a fifteenth of a page that pairs."""

    def load(self, data: Buffer) -> datetime:
        return datetime.fromisoformat(str(data, "ascii"))


class Scope:
    """Runs statements with ``%(organization)s``, ``%(connection)s`` and ``%(claimant)s`` bound.

    Writes that answer nothing may be postponed: they go out together as one statement, before the
    next statement that could notice, at the latest when the unit ends.
    """

    def __init__(
        self, organization_id: str, connection_id: str, worker: str, lease: Lease | None, run_id: str = ""
    ) -> None:
        """Raises LeaseLostError when the lease is no longer valid. Needs an open transaction."""
        self.lease = lease
        self.new_id = new_id
        self._named: dict[str, Any] = {
            "organization": organization_id,
            "connection": connection_id,
            "claimant": claimant_of(lease.owner if lease else worker),
        }
        self._postponed: dict[str, str] = {}
        self._parameters: dict[str, Any] = {}
        self.tombstone_key: bytes | None = None
        """Under which erased people are recognised; None where nobody was erased."""
        self._cursor = database.cursor()
        self._cursor.cursor.adapters.register_loader("timestamptz", _Moment)
        self.now: datetime
        self.region: str
        ((self.now, self.region, valid, self._in_turn, *run),) = self._fetch(
            _OPEN,
            {
                "actor": "sync",
                "origin": f"pull:{connection_id}",
                "stream": lease.stream if lease else "",
                "owner": lease.owner if lease else "",
                "fence": lease.fence if lease else 0,
                "run": run_id or None,
            },
        )
        self._run = tuple(run) if run[0] is not None else None
        if lease is not None and not valid:
            raise LeaseLostError

    def take_run(self, run_id: str) -> tuple[Any, ...] | None:
        """The run's row (``RUN_COLUMNS``) where the transaction was opened with it; once."""
        run, self._run = self._run, None
        return run if run is not None and run[0] == run_id else None

    def take_turn(self) -> None:
        """Hold other workers of the connection off from claiming lines until the transaction ends."""
        if not self._in_turn:
            self.rows(SERIALIZE)
            self._in_turn = True

    def rows(self, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement that returns rows, after what was postponed."""
        self.flush()
        return self._fetch(statement, parameters)

    def rows_beside(self, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Like ``rows`` for a statement that does not touch what may be postponed."""
        return self._fetch(statement, parameters)

    def execute(self, statement: str, **parameters: Any) -> int:
        """Run a statement; the number of rows it touched."""
        self.flush()
        self._cursor.execute(statement, self._bound(parameters))
        return int(self._cursor.rowcount)

    def postpone(self, kind: str, statement: str, **parameters: Any) -> None:
        """Leave a write until ``flush``. Kinds must not touch the same rows; a second one of a kind waits for none."""
        if kind in self._postponed:
            self.flush()
        self._postponed[kind] = statement
        self._parameters.update(parameters)

    def flush(self) -> None:
        if not self._postponed:
            return
        parts, parameters = dict(self._postponed), dict(self._parameters)
        if self.lease is not None:
            parts["lease"] = _PROLONG
            parameters |= {
                "lease_seconds": self.lease.seconds,
                "lease_stream": self.lease.stream,
                "lease_owner": self.lease.owner,
                "lease_fence": self.lease.fence,
            }
        self._postponed.clear()
        self._parameters.clear()
        together = ", ".join(f"{kind}_write AS ({statement})" for kind, statement in parts.items())
        self._cursor.execute(f"WITH {together} SELECT 1", self._bound(parameters))

    def close(self) -> None:
        self._cursor.close()

    def _fetch(self, statement: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        self._cursor.execute(statement, self._bound(parameters))
        return list(self._cursor.fetchall())

    def _bound(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        given = {name: array_of(value) if isinstance(value, list) else value for name, value in parameters.items()}
        return {**self._named, **given}
