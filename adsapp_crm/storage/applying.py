"""Who works on which record: claims on plan lines, and intents journalled before each remote write.

A claim is a committed row that ends by the database's clock. Lines about one contact or one record
are claimed one at a time, whichever plan they stand in; a line that takes other links over (a merge)
marks those too.
"""

# ruff: noqa: S608  statements are put together from the literals of this package
from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from adsapp_crm.storage import codec
from adsapp_crm.storage.links import OPEN_INTENT
from adsapp_crm.storage.planning import LINE_COLUMNS, line_of
from adsapp_crm.storage.scope import Scope
from crm.errors import LeaseLostError
from crm.model import Action, Intent, IntentKind, IntentStatus, LineResult, PlanLine

CLAIM_SECONDS: Final = 120
"""Four times the longest unit of work."""

# OFFSET 0 keeps a look-up a look-up: flattened into joins, a page would read the whole plan.
_RIVAL: Final = """
SELECT FROM active JOIN crm_plan_lines o ON o.organization_id = %(organization)s AND o.plan_id = active.id
WHERE o.claimed_until > clock_timestamp() AND o.id <> l.id AND o.record_type = l.record_type
"""

_CLAIM: Final = f"""
WITH active AS MATERIALIZED (
  SELECT DISTINCT r.plan_id AS id FROM crm_sync_logs r
  WHERE r.organization_id = %(organization)s AND r.connection_id = %(connection)s AND r.completed_at IS NULL
    AND r.plan_id IS NOT NULL
),
free AS MATERIALIZED (
  SELECT l.id, l.seq, l.record_type, l.contact_id, l.remote_id, l.link_id, l.action
  FROM crm_plan_lines l
  WHERE l.organization_id = %(organization)s AND l.plan_id = %(plan)s AND l.stage = %(stage)s AND l.status = 'planned'
    AND (l.claimed_until IS NULL OR l.claimed_until <= clock_timestamp() OR l.claim_token = %(claimant)s)
    AND NOT EXISTS ({_RIVAL} AND o.contact_id = l.contact_id OFFSET 0)
    AND NOT EXISTS ({_RIVAL} AND o.remote_id = l.remote_id AND l.remote_id <> '' OFFSET 0)
    AND NOT EXISTS (SELECT FROM crm_intents i WHERE {OPEN_INTENT} AND i.contact_id = l.contact_id
                    AND i.record_type = l.record_type AND i.line_id IS DISTINCT FROM l.id OFFSET 0)
    AND NOT EXISTS (SELECT FROM crm_intents i WHERE {OPEN_INTENT} AND i.remote_id = l.remote_id
                    AND i.record_type = l.record_type AND l.remote_id <> '' AND i.line_id IS DISTINCT FROM l.id
                    AND i.remote_id <> '' OFFSET 0)
    AND NOT EXISTS (SELECT FROM crm_sync_state s
                    WHERE s.organization_id = %(organization)s AND s.id = l.link_id
                      AND s.claimed_until > clock_timestamp() AND s.claim_token <> l.id OFFSET 0)
    AND (l.kind <> 'relink' OR NOT EXISTS (
      SELECT FROM jsonb_array_elements_text(l.action -> 'superseded') AS other(id)
      JOIN crm_sync_state s ON s.organization_id = %(organization)s AND s.id = other.id::uuid
      WHERE s.claimed_until > clock_timestamp() AND s.claim_token <> l.id
         OR EXISTS ({_RIVAL} AND o.contact_id = s.contact_id OFFSET 0)))
  ORDER BY l.seq LIMIT %(limit)s
),
numbered AS (
  SELECT f.*,
    row_number() OVER (PARTITION BY f.record_type, f.contact_id ORDER BY f.seq) AS nth_of_contact,
    row_number() OVER (PARTITION BY f.record_type, f.remote_id ORDER BY f.seq) AS nth_of_record
  FROM free f
),
chosen AS MATERIALIZED (
  SELECT n.* FROM numbered n
  WHERE (n.contact_id IS NULL OR n.nth_of_contact = 1) AND (n.remote_id = '' OR n.nth_of_record = 1)
),
superseded AS (
  UPDATE crm_sync_state s SET claim_token = k.line_id,
    claimed_until = clock_timestamp() + make_interval(secs => %(seconds)s)
  FROM (SELECT chosen.id AS line_id, jsonb_array_elements_text(chosen.action -> 'superseded')::uuid AS link_id
        FROM chosen) AS k
  WHERE s.organization_id = %(organization)s AND s.connection_id = %(connection)s AND s.id = k.link_id
),
claimed AS (
  UPDATE crm_plan_lines l SET claim_token = %(claimant)s,
    claimed_until = clock_timestamp() + make_interval(secs => %(seconds)s)
  FROM chosen WHERE l.organization_id = %(organization)s AND l.id = chosen.id
  RETURNING {LINE_COLUMNS}, l.seq
)
SELECT * FROM claimed ORDER BY seq
"""

_CHECK: Final = """
SELECT l.id FROM crm_plan_lines l
WHERE l.organization_id = %(organization)s AND l.id = ANY(%(lines)s::uuid[]) AND l.claim_token = %(claimant)s
  AND l.claimed_until > clock_timestamp()
ORDER BY l.id FOR UPDATE
"""

# Named by an array besides, here and below: of a join alone the planner may conclude, as long as nobody has analyzed
# the table, that all rows of the connection are few.
_SETTLE_LINES: Final = """
UPDATE crm_plan_lines l SET status = d.status, code = d.code, claim_token = NULL, claimed_until = NULL,
  settled_at = clock_timestamp()
FROM jsonb_to_recordset(%(results)s::jsonb) AS d(id uuid, status text, code text)
WHERE l.organization_id = %(organization)s AND l.id = ANY(%(settled)s::uuid[]) AND l.id = d.id
"""

_GIVE_BACK_SUPERSEDED: Final = """
UPDATE crm_sync_state s SET claim_token = NULL, claimed_until = NULL
FROM (SELECT l.id AS line_id, jsonb_array_elements_text(l.action -> 'superseded')::uuid AS link_id
      FROM crm_plan_lines l WHERE l.organization_id = %(organization)s AND l.id = ANY(%(settled)s::uuid[])) AS k
WHERE s.organization_id = %(organization)s AND s.connection_id = %(connection)s AND s.id = k.link_id
  AND s.claim_token = k.line_id
"""

_RECORD: Final = """
INSERT INTO crm_intents (
  id, organization_id, connection_id, contact_id, run_id, line_id, link_id, kind, status, record_type, remote_id,
  marker, values, action, app_version, error_code, request_id, attempts, sent_at, claim_token, claimed_until)
SELECT d.id, %(organization)s, %(connection)s, d.contact_id, d.run_id, d.line_id, d.link_id, d.kind, 'sent',
       d.record_type, d.remote_id, d.marker, d.values, d.action, d.app_version, '', '', 0, clock_timestamp(),
       %(claimant)s, clock_timestamp() + make_interval(secs => %(seconds)s)
FROM jsonb_to_recordset(%(intents)s::jsonb) AS d(
  id uuid, contact_id uuid, run_id uuid, line_id uuid, link_id uuid, kind text, record_type text, remote_id text,
  marker text, values jsonb, action jsonb, app_version bigint)
ON CONFLICT DO NOTHING
RETURNING id
"""

INTENT_COLUMNS: Final = """
i.id::text, i.kind, i.action, i.values, i.app_version, i.status, i.marker, coalesce(i.line_id::text, ''),
coalesce(i.run_id::text, ''), i.error_code
"""

_TAKE: Final = f"""
UPDATE crm_intents i SET claim_token = %(claimant)s, attempts = i.attempts + 1,
  claimed_until = clock_timestamp() + make_interval(secs => %(seconds)s)
FROM (
  SELECT o.id FROM crm_intents o
  WHERE o.organization_id = %(organization)s AND o.connection_id = %(connection)s AND o.status IN ('sent', 'unknown')
    AND (o.claimed_until IS NULL OR o.claimed_until <= clock_timestamp())
  ORDER BY o.id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) AS free
WHERE i.organization_id = %(organization)s AND i.id = free.id
RETURNING {INTENT_COLUMNS}
"""

_OPEN_CREATES: Final = f"""
SELECT {INTENT_COLUMNS} FROM crm_intents i WHERE {OPEN_INTENT} AND i.kind = 'create' AND i.record_type = %(record_type)s
ORDER BY i.id
"""

_LOCK_OPEN: Final = f"""
SELECT i.id::text FROM crm_intents i WHERE {OPEN_INTENT} AND i.id = ANY(%(intents)s::uuid[]) ORDER BY i.id FOR UPDATE
"""

# An answer that was lost just now is looked up at once; one that a look-up left open rests until its claim ends.
_SETTLE_INTENTS: Final = """
UPDATE crm_intents i SET status = d.status, error_code = d.code,
  claimed_until = CASE WHEN d.status = 'unknown' AND i.attempts > 0 THEN i.claimed_until END,
  claim_token = CASE WHEN d.status = 'unknown' AND i.attempts > 0 THEN i.claim_token END,
  settled_at = CASE WHEN d.status IN ('sent', 'unknown') THEN NULL ELSE clock_timestamp() END
FROM jsonb_to_recordset(%(settled_intents)s::jsonb) AS d(id uuid, status text, code text)
WHERE i.organization_id = %(organization)s AND i.connection_id = %(connection)s
  AND i.id = ANY(%(ended_intents)s::uuid[]) AND i.id = d.id
"""


class Applying:
    """The claim and intent verbs of ``crm.ports.Unit``."""

    _scope: Scope

    def claim_lines(self, plan_id: str, stage: int, limit: int) -> list[PlanLine]:
        self._scope.take_turn()
        rows = self._scope.rows(_CLAIM, plan=plan_id, stage=stage, limit=limit, seconds=CLAIM_SECONDS)
        return [line_of(row[:-1]) for row in rows]

    def check_claims(self, lines: Sequence[PlanLine]) -> None:
        wanted = {line.line_id for line in lines}
        if wanted and len(self._scope.rows(_CHECK, lines=sorted(wanted))) != len(wanted):
            raise LeaseLostError

    def settle_lines(self, results: Sequence[LineResult]) -> None:
        if not results:
            return
        documents = [{"id": each.line_id, "status": each.status, "code": each.code} for each in results]
        settled = [each.line_id for each in results]
        self._scope.postpone("lines", _SETTLE_LINES, results=codec.dump(documents), settled=settled)
        self._scope.postpone("superseded", _GIVE_BACK_SUPERSEDED, settled=settled)

    def record_intents(self, intents: Sequence[Intent]) -> None:
        if not intents:
            return
        documents = [_document(intent) for intent in intents]
        if len(self._scope.rows(_RECORD, intents=codec.dump(documents), seconds=CLAIM_SECONDS)) != len(documents):
            raise LeaseLostError

    def take_open_intents(self, limit: int) -> list[Intent]:
        rows = self._scope.rows(_TAKE, limit=limit, seconds=CLAIM_SECONDS)
        return sorted((intent_of(row) for row in rows), key=lambda intent: intent.intent_id)

    def open_creates(self, record_type: str) -> list[Intent]:
        return [intent_of(row) for row in self._scope.rows(_OPEN_CREATES, record_type=record_type)]

    def lock_open_intents(self, intent_ids: Sequence[str]) -> set[str]:
        return {intent_id for (intent_id,) in self._scope.rows(_LOCK_OPEN, intents=list(intent_ids))}

    def settle_intents(self, settled: Sequence[tuple[str, IntentStatus, str]]) -> None:
        if settled:
            documents = [{"id": each, "status": status, "code": code} for each, status, code in settled]
            ids = [each for each, _, _ in settled]
            self._scope.postpone("intents", _SETTLE_INTENTS, settled_intents=codec.dump(documents), ended_intents=ids)


def _document(intent: Intent) -> dict[str, Any]:
    action = intent.action
    return {
        "id": intent.intent_id,
        "contact_id": action.contact_id or None,
        "run_id": intent.run_id or None,
        "line_id": intent.line_id or None,
        "link_id": action.link_id or None,
        "kind": intent.kind,
        "record_type": action.record_type,
        "remote_id": action.remote_id,
        "marker": intent.marker,
        "values": codec.encode_values(intent.values),
        "action": codec.encode(action),
        "app_version": intent.app_version,
    }


def intent_of(row: Sequence[Any]) -> Intent:
    """A row of ``INTENT_COLUMNS``."""
    intent_id, kind, action, values, app_version, status, marker, line_id, run_id, error_code = row
    return Intent(
        intent_id,
        IntentKind(kind),
        codec.decode(Action, json.loads(action)),
        codec.decode_values(json.loads(values)),
        app_version,
        IntentStatus(status),
        marker,
        line_id,
        run_id,
        error_code,
    )
