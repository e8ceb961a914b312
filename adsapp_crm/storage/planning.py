"""The lines of a plan: written by the first pass, counted and held by the guard."""

# ruff: noqa: S608  statements are put together from the literals of this package
from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from adsapp_crm.storage import codec
from adsapp_crm.storage.scope import Scope
from crm.model import Action, ActionKind, LineStatus, PlanLine, PlanTotals

_CREATES: Final = {ActionKind.CREATE_IN_APP: "app", ActionKind.CREATE_IN_CRM: "crm"}

_ADD: Final = """
INSERT INTO crm_plan_lines (
  id, organization_id, plan_id, seq, stage, kind, record_type, contact_id, link_id, remote_id, action, status, code,
  deletes, blanks, creates, overrules, approved)
SELECT d.id, %(organization)s, %(planned)s,
       d.seq + (SELECT coalesce(max(l.seq), 0) FROM crm_plan_lines l
                WHERE l.organization_id = %(organization)s AND l.plan_id = %(planned)s),
       d.stage, d.kind, d.record_type, d.contact_id, d.link_id, d.remote_id, d.action, 'planned', '',
       d.deletes, d.blanks, d.creates, d.overrules, false
FROM jsonb_to_recordset(%(planned_lines)s::jsonb) AS d(
  id uuid, seq bigint, stage smallint, kind text, record_type text, contact_id uuid, link_id uuid, remote_id text,
  action jsonb, deletes boolean, blanks boolean, creates text, overrules boolean)
"""

_TOTALS: Final = """
SELECT
  (SELECT count(*) FROM crm_sync_state s WHERE s.organization_id = %(organization)s
     AND s.connection_id = %(connection)s AND s.state = 'live'),
  (SELECT count(*) FROM contacts c WHERE c.organization_id = %(organization)s
     AND c.deleted_at IS NULL AND c.merged_into_id IS NULL AND c.erased_at IS NULL),
  count(*) FILTER (WHERE l.deletes), count(*) FILTER (WHERE l.blanks),
  count(*) FILTER (WHERE l.creates = 'app'), count(*) FILTER (WHERE l.creates = 'crm'),
  count(*) FILTER (WHERE l.overrules), count(*),
  (SELECT count(*) FROM crm_sync_state s WHERE s.organization_id = %(organization)s
     AND s.connection_id = %(connection)s AND s.seen_run = %(run)s)
  + (SELECT count(*) FROM crm_observations o WHERE o.organization_id = %(organization)s
     AND o.connection_id = %(connection)s AND o.seen_run = %(run)s AND o.state = 'live')
FROM crm_plan_lines l
WHERE l.organization_id = %(organization)s AND l.plan_id = %(plan)s AND l.status NOT IN ('dropped', 'stale')
"""

_STOPPED: Final = {
    "brake.deletions": "l.deletes OR l.blanks",
    "brake.creations": "l.creates <> ''",
    "brake.empty_source": "true",
    "brake.first_sync": "true",
}

_HOLD: Final = """
WITH stopped AS (
  UPDATE crm_plan_lines l SET status = 'held'
  WHERE l.organization_id = %(organization)s AND l.plan_id = %(plan)s AND l.status = 'planned' AND NOT l.approved
    AND ({condition})
  RETURNING l.id
),
plan AS (
  UPDATE crm_plans p SET status = 'held', held_codes = %(codes)s::jsonb
  WHERE p.organization_id = %(organization)s AND p.connection_id = %(connection)s AND p.id = %(plan)s
    AND EXISTS (SELECT FROM stopped)
)
SELECT count(*) FROM stopped
"""

LINE_COLUMNS: Final = "l.id::text, l.action, l.status, l.approved"

_LINES: Final = f"""
SELECT {LINE_COLUMNS} FROM crm_plan_lines l
WHERE l.organization_id = %(organization)s AND l.plan_id = %(plan)s AND l.status = %(status)s
  AND (%(after)s::uuid IS NULL OR l.id > %(after)s::uuid)
ORDER BY l.id LIMIT %(limit)s
"""


def line_of(row: Sequence[Any]) -> PlanLine:
    """A row of ``LINE_COLUMNS``."""
    line_id, action, status, approved = row
    return PlanLine(line_id, codec.decode(Action, codec.parse(action)), LineStatus(status), approved)


class Planning:
    """The plan verbs of ``crm.ports.Unit``."""

    _scope: Scope

    def add_lines(self, run_id: str, plan_id: str, actions: Sequence[Action]) -> None:  # noqa: ARG002  the plan has its run
        if actions:
            documents = [_document(action, place, self._scope.new_id()) for place, action in enumerate(actions, 1)]
            self._scope.postpone("added", _ADD, planned=plan_id, planned_lines=codec.dump(documents))

    def plan_totals(self, run_id: str, plan_id: str) -> PlanTotals:
        ((*totals,),) = self._scope.rows(_TOTALS, run=run_id, plan=plan_id)
        return PlanTotals(*totals)

    def hold_lines(self, plan_id: str, codes: Sequence[str]) -> int:
        """Raises KeyError for a code that is no brake."""
        if not codes:
            return 0
        condition = " OR ".join(f"({_STOPPED[code]})" for code in codes)
        ((held,),) = self._scope.rows(_HOLD.format(condition=condition), plan=plan_id, codes=json.dumps(list(codes)))
        return int(held)

    def lines(self, plan_id: str, status: LineStatus, after: str, limit: int) -> list[PlanLine]:
        rows = self._scope.rows(_LINES, plan=plan_id, status=status.value, after=after or None, limit=limit)
        return [line_of(row) for row in rows]


def _document(action: Action, place: int, line_id: str) -> dict[str, Any]:
    return {
        "id": line_id,
        "seq": place,
        "stage": action.stage,
        "kind": action.kind,
        "record_type": action.record_type,
        "contact_id": action.contact_id or None,
        "link_id": action.link_id or None,
        "remote_id": action.remote_id,
        "action": codec.encode(action),
        "deletes": action.deletes,
        "blanks": action.blanks,
        "creates": _CREATES.get(action.kind, ""),
        "overrules": any(effect.overrules for effect in action.effects),
    }
