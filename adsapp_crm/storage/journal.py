"""What was done and what is asked: the ledger and the conflicts."""

# ruff: noqa: S608  statements are put together from the literals of this package
from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from adsapp_crm.storage import codec
from adsapp_crm.storage.scope import Scope
from crm.model import Action, ConflictChange, ConflictDraft, Interval, LedgerEntry

_LEDGER: Final = """
INSERT INTO crm_ledger (
  id, organization_id, connection_id, contact_id, run_id, intent_id, link_id, record_type, remote_id, kind, rule,
  effects, action, contact_version, at, actor)
SELECT d.id, %(organization)s, %(connection)s, d.contact_id, %(ledger_run)s, d.intent_id, d.link_id, d.record_type,
       d.remote_id, d.kind, d.rule, d.effects, d.action, d.contact_version, clock_timestamp(),
       coalesce((SELECT r.actor FROM crm_sync_logs r
                 WHERE r.organization_id = %(organization)s AND r.id = %(ledger_run)s), '')
FROM jsonb_to_recordset(%(ledger)s::jsonb) AS d(
  id uuid, contact_id uuid, intent_id uuid, link_id uuid, record_type text, remote_id text, kind text, rule text,
  effects jsonb, action jsonb, contact_version bigint)
"""

LEDGER_COLUMNS: Final = """
e.action, e.effects, coalesce(e.link_id::text, ''), coalesce(e.contact_id::text, ''), e.remote_id,
coalesce(e.intent_id::text, ''), e.contact_version
"""

_OF_RUN: Final = f"""
SELECT e.id::text, {LEDGER_COLUMNS} FROM crm_ledger e
WHERE e.organization_id = %(organization)s AND e.connection_id = %(connection)s AND e.run_id = %(run)s
  AND (%(after)s::uuid IS NULL OR e.id < %(after)s::uuid)
ORDER BY e.id DESC LIMIT %(limit)s
"""

_CLOSE: Final = """
UPDATE crm_conflicts q SET status = 'closed', closed_at = clock_timestamp(), closed_reason = 'settled'
WHERE q.organization_id = %(organization)s AND q.connection_id = %(connection)s AND q.id = ANY(%(closes)s::uuid[])
  AND q.status IN ('open', 'answered')
RETURNING q.id
"""

_OPEN: Final = (
    "q.organization_id = %(organization)s AND q.connection_id = %(connection)s AND q.status IN ('open', 'answered')"
)

# An answer holds for the values it was given to: other values make the question open again.
_ASK: Final = f"""
WITH input AS MATERIALIZED (
  SELECT d.id, s.id AS link_id, coalesce(s.contact_id, c.id) AS contact_id, d.record_type, d.remote_id, d.kind,
         d.mapping_id, d.app_field, d.code, d.values, d.intervals, d.candidates
  FROM jsonb_to_recordset(%(drafts)s::jsonb) AS d(
    id uuid, link_id uuid, contact_id uuid, record_type text, remote_id text, kind text, mapping_id text,
    app_field text, code text, values jsonb, intervals jsonb, candidates jsonb)
  LEFT JOIN crm_sync_state s ON s.organization_id = %(organization)s AND s.connection_id = %(connection)s
    AND s.id = d.link_id
  LEFT JOIN contacts c ON c.organization_id = %(organization)s AND c.id = d.contact_id
),
matched AS MATERIALIZED (
  SELECT d.*, held.id AS held_id
  FROM input d LEFT JOIN LATERAL (
    SELECT q.id FROM crm_conflicts q WHERE {_OPEN} AND q.link_id = d.link_id AND q.link_id IS NOT NULL
      AND q.kind = d.kind AND q.mapping_id = d.mapping_id
    UNION ALL
    SELECT q.id FROM crm_conflicts q WHERE {_OPEN} AND d.link_id IS NULL AND q.link_id IS NULL
      AND q.contact_id = d.contact_id AND q.contact_id IS NOT NULL AND q.record_type = d.record_type
      AND q.kind = d.kind AND q.mapping_id = d.mapping_id
    UNION ALL
    SELECT q.id FROM crm_conflicts q WHERE {_OPEN} AND d.link_id IS NULL AND d.contact_id IS NULL
      AND q.link_id IS NULL AND q.contact_id IS NULL AND q.record_type = d.record_type
      AND q.remote_id = d.remote_id AND q.kind = d.kind AND q.mapping_id = d.mapping_id
    LIMIT 1
  ) AS held ON true
),
refreshed AS (
  UPDATE crm_conflicts q SET values = m.values, intervals = m.intervals, candidates = m.candidates, code = m.code,
    run_id = %(run)s, refreshed_at = clock_timestamp(),
    status = CASE WHEN same.values THEN q.status ELSE 'open' END,
    resolution = CASE WHEN same.values THEN q.resolution END,
    answered_at = CASE WHEN same.values THEN q.answered_at END,
    answered_by = CASE WHEN same.values THEN q.answered_by ELSE '' END
  FROM matched m JOIN crm_conflicts before ON before.organization_id = %(organization)s AND before.id = m.held_id
    CROSS JOIN LATERAL (SELECT before.values -> 'app' = m.values -> 'app'
                               AND before.values -> 'crm' = m.values -> 'crm'
                               AND (m.kind <> 'match' OR before.candidates = m.candidates) AS values) AS same
  WHERE q.organization_id = %(organization)s AND q.id = m.held_id
    AND (q.values, q.candidates, q.code) IS DISTINCT FROM (m.values, m.candidates, m.code)
),
opened AS (
  INSERT INTO crm_conflicts (
    id, organization_id, connection_id, kind, status, code, link_id, contact_id, record_type, remote_id, mapping_id,
    app_field, values, intervals, candidates, remembered, run_id, opened_at, answered_by, closed_reason)
  SELECT m.id, %(organization)s, %(connection)s, m.kind, 'open', m.code, m.link_id, m.contact_id, m.record_type,
         m.remote_id, m.mapping_id, m.app_field, m.values, m.intervals, m.candidates, false, %(run)s,
         clock_timestamp(), '', ''
  FROM matched m WHERE m.held_id IS NULL
  ON CONFLICT DO NOTHING
  RETURNING id
)
SELECT count(*) FROM opened
"""

_FLAG: Final = """
UPDATE crm_sync_state s SET conflict_detected = open.details IS NOT NULL, conflict_details = open.details
FROM unnest(%(asked_links)s::uuid[]) AS wanted(id) CROSS JOIN LATERAL (
  SELECT jsonb_agg(jsonb_build_object('kind', q.kind, 'field', q.app_field, 'code', q.code) ORDER BY q.id) AS details
  FROM crm_conflicts q
  WHERE q.organization_id = %(organization)s AND q.link_id = wanted.id AND q.status IN ('open', 'answered')
) AS open
WHERE s.organization_id = %(organization)s AND s.connection_id = %(connection)s AND s.id = wanted.id
  AND s.conflict_details IS DISTINCT FROM open.details
"""


class Journal:
    """The ledger and conflict verbs of ``crm.ports.Unit``."""

    _scope: Scope

    def add_ledger(self, run_id: str, entries: Sequence[LedgerEntry]) -> None:
        if entries:
            documents = [_entry(entry, self._scope.new_id()) for entry in entries]
            self._scope.postpone("ledger", _LEDGER, ledger_run=run_id, ledger=codec.dump(documents))

    def ledger_of(self, run_id: str, after: str, limit: int) -> list[tuple[str, LedgerEntry]]:
        rows = self._scope.rows(_OF_RUN, run=run_id, after=after or None, limit=limit)
        return [(row[0], entry_of(row[1:])) for row in rows]

    def save_conflicts(self, run_id: str, changes: Sequence[ConflictChange]) -> int:
        closes = [conflict_id for change in changes for conflict_id in change.closes]
        if closes:
            self._scope.rows_beside(_CLOSE, closes=closes)
        asked = {_question(change, draft): (change, draft) for change in changes for draft in change.drafts}
        opened = 0
        if asked:
            documents = [_draft(change, draft, self._scope.new_id()) for change, draft in asked.values()]
            ((opened,),) = self._scope.rows_beside(_ASK, run=run_id, drafts=codec.dump(documents))
        links = sorted({change.link_id for change in changes if change.link_id})
        if links:
            self._scope.postpone("flags", _FLAG, asked_links=links)
        return int(opened)


def _entry(entry: LedgerEntry, row_id: str) -> dict[str, Any]:
    action = entry.action
    document = codec.encode(action)
    effects = document.pop("effects", [])
    return {
        "id": row_id,
        "contact_id": entry.contact_id or None,
        "intent_id": entry.intent_id or None,
        "link_id": entry.link_id or None,
        "record_type": action.record_type,
        "remote_id": entry.remote_id,
        "kind": action.kind,
        "rule": action.rule,
        "effects": effects,
        "action": document,
        "contact_version": entry.contact_version,
    }


def _question(change: ConflictChange, draft: ConflictDraft) -> tuple[str, ...]:
    about = (change.link_id,) if change.link_id else (change.record_type, change.contact_id or change.remote_id)
    return (*about, draft.kind.value, draft.mapping_id)


def _draft(change: ConflictChange, draft: ConflictDraft, row_id: str) -> dict[str, Any]:
    return {
        "id": row_id,
        "link_id": change.link_id or None,
        "contact_id": change.contact_id or None,
        "record_type": change.record_type,
        "remote_id": change.remote_id,
        "kind": draft.kind.value,
        "mapping_id": draft.mapping_id,
        "app_field": draft.app_field,
        "code": draft.code,
        "values": codec.encode_values(
            {
                **({"baseApp": draft.base_app, "baseCrm": draft.base_crm} if draft.agreed else {}),
                "app": draft.app_value,
                "crm": draft.crm_value,
            }
        ),
        "intervals": codec.encode_map(
            Interval,
            {
                side: interval
                for side, interval in (("app", draft.app_changed), ("crm", draft.crm_changed))
                if interval is not None
            },
        ),
        "candidates": list(draft.candidates),
    }


def entry_of(row: Sequence[Any]) -> LedgerEntry:
    """A row of ``LEDGER_COLUMNS``."""
    action, effects, link_id, contact_id, remote_id, intent_id, contact_version = row
    whole = {**json.loads(action), "effects": json.loads(effects)}
    return LedgerEntry(codec.decode(Action, whole), link_id, contact_id, remote_id, intent_id, contact_version)
