"""Claims of a worker that is gone: freed by whoever takes over its lease."""

from __future__ import annotations

import uuid
from typing import Final

from django.db import connection as database

from adsapp_crm.models import CrmConnection

_CLAIMANTS: Final = uuid.UUID("7f1d3c1e-6a58-4b0a-9c3f-0d3b5a6f2e10")

_FREE: Final = """
WITH active AS MATERIALIZED (
  SELECT DISTINCT r.plan_id AS id FROM crm_sync_logs r
  WHERE r.organization_id = %(organization)s AND r.connection_id = %(connection)s AND r.completed_at IS NULL
    AND r.plan_id IS NOT NULL
),
lines AS (
  UPDATE crm_plan_lines l SET claim_token = NULL, claimed_until = NULL
  FROM active WHERE l.organization_id = %(organization)s AND l.plan_id = active.id AND l.claimed_until IS NOT NULL
    AND l.claim_token = %(claimant)s
  RETURNING l.id, l.action
),
superseded AS (
  UPDATE crm_sync_state s SET claim_token = NULL, claimed_until = NULL
  FROM (SELECT lines.id AS line_id, jsonb_array_elements_text(lines.action -> 'superseded')::uuid AS link_id
        FROM lines) AS k
  WHERE s.organization_id = %(organization)s AND s.connection_id = %(connection)s AND s.id = k.link_id
    AND s.claim_token = k.line_id
)
UPDATE crm_intents i SET claim_token = NULL, claimed_until = NULL
WHERE i.organization_id = %(organization)s AND i.connection_id = %(connection)s AND i.status IN ('sent', 'unknown')
  AND i.claim_token = %(claimant)s
"""


def claimant_of(worker: str) -> str:
    """Who a worker is in the rows that it claims."""
    return str(uuid.uuid5(_CLAIMANTS, worker))


def free_claims(connection: CrmConnection, claimant: str) -> None:
    """In the organization's context: what this claimant had is free, and its open intents are to be looked up."""
    named = {"organization": connection.organization_id, "connection": connection.pk, "claimant": claimant}
    with database.cursor() as cursor:
        cursor.execute(_FREE, named)
