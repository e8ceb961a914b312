"""Runs between two units of work, and the watermarks they move."""

# ruff: noqa: S608  statements are put together from the literals of this package
from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final

from adsapp_crm.storage import codec
from adsapp_crm.storage.scope import RUN_COLUMNS, Scope
from crm.model import Counts, Phase, RunKind, RunState, RunStatus

_ENDED: Final = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.HELD, RunStatus.CANCELLED)

_LOAD: Final = f"""
SELECT {RUN_COLUMNS} FROM crm_sync_logs r
WHERE r.organization_id = %(organization)s AND r.connection_id = %(connection)s AND r.id = %(run)s
"""

_SAVE: Final = """
UPDATE crm_sync_logs r SET sync_type = %(run_kind)s, phase = %(run_phase)s, position = %(run_position)s::jsonb,
  approved = %(run_approved)s, counts = %(run_counts)s::jsonb, status = %(run_status)s, error_code = %(run_code)s,
  records_processed = %(run_processed)s, records_success = %(run_success)s, records_failed = %(run_failed)s,
  progress = %(run_progress)s::jsonb, updated_at = clock_timestamp(),
  completed_at = CASE WHEN %(run_ended)s THEN coalesce(r.completed_at, clock_timestamp()) END
WHERE r.organization_id = %(organization)s AND r.connection_id = %(connection)s AND r.id = %(run_id)s
"""

# A plan that was shown (dry run) or is held stays open for a person; another ends with its run.
_END_PLAN: Final = """
UPDATE crm_plans p SET status = CASE WHEN %(plan_applied)s THEN 'applied' ELSE 'dropped' END,
  closed_at = clock_timestamp()
WHERE p.organization_id = %(organization)s AND p.connection_id = %(connection)s AND p.id = %(plan_id)s
  AND p.status IN ('planned', 'approved')
"""

_CURSOR: Final = """
SELECT k.cursors FROM crm_connections k
WHERE k.organization_id = %(organization)s AND k.id = %(connection)s
"""

_SAVE_CURSOR: Final = """
UPDATE crm_connections k SET cursors = k.cursors || jsonb_build_object(%(cursor_type)s::text, %(cursor_at)s::text)
WHERE k.organization_id = %(organization)s AND k.id = %(connection)s
  AND coalesce((k.cursors ->> %(cursor_type)s)::timestamptz < %(cursor_at)s::timestamptz, true)
"""


class Runs:
    """The run and cursor verbs of ``crm.ports.Unit``."""

    _scope: Scope
    _cursors: dict[str, str] | None = None
    """As this unit has read them."""

    def load_run(self, run_id: str) -> RunState:
        """Raises LookupError for a run that this connection does not have."""
        row = self._scope.take_run(run_id)
        if row is None:
            rows = self._scope.rows(_LOAD, run=run_id)
            if not rows:
                raise LookupError(f"this connection has no run {run_id}")
            (row,) = rows
        return RunState(
            run_id=row[0],
            kind=RunKind(row[1]),
            record_types=tuple(json.loads(row[2])),
            phase=Phase(row[3]),
            position=json.loads(row[4]),
            plan_id=row[5],
            dry_run=row[6],
            approved=row[7],
            limit=row[8],
            contact_ids=tuple(json.loads(row[9])),
            remote_ids=tuple(json.loads(row[10])),
            counts=codec.decode(Counts, json.loads(row[11])),
            status=RunStatus(row[12]),
            error_code=row[13],
            cancel_requested=row[14],
            first_sync=row[15],
            loaded_at=self._scope.now,
        )

    def save_run(self, run: RunState) -> None:
        counts = run.counts
        success, failed = counts.unchanged + counts.applied, counts.failed + counts.unknown
        progress = {"phase": run.phase.value, "observed": counts.observed, "planned": counts.planned, "done": success}
        self._scope.postpone(
            "run",
            _SAVE,
            run_id=run.run_id,
            run_kind=run.kind.value,
            run_phase=run.phase.value,
            run_position=codec.dump({name: value for name, value in run.position.items() if name != "starts"}),
            run_approved=run.approved,
            run_counts=codec.dump(codec.encode(counts)),
            run_status=run.status.value,
            run_code=run.error_code,
            run_processed=max(counts.observed, success + failed),
            run_success=success,
            run_failed=failed,
            run_progress=codec.dump(progress),
            run_ended=run.status in _ENDED,
        )
        if run.plan_id and run.status in _ENDED and run.status is not RunStatus.HELD and not run.dry_run:
            self._scope.postpone("plan", _END_PLAN, plan_id=run.plan_id, plan_applied=run.status is RunStatus.COMPLETED)

    def cursor(self, record_type: str) -> datetime | None:
        if self._cursors is None:
            rows = self._scope.rows(_CURSOR)
            self._cursors = json.loads(rows[0][0]) if rows else {}
        watermark = self._cursors.get(record_type)
        return datetime.fromisoformat(watermark) if watermark else None

    def save_cursor(self, record_type: str, watermark: datetime) -> None:
        self._cursors = None
        at = watermark.astimezone(UTC).isoformat()
        self._scope.postpone("cursor", _SAVE_CURSOR, cursor_type=record_type, cursor_at=at)
