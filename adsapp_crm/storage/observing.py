"""What was read from the CRM: on the link of the record where it has one, else in a row of its own."""

# ruff: noqa: S608  statements are put together from the literals of this package
from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from adsapp_crm.models.contact import tombstone_digest
from adsapp_crm.storage import codec
from adsapp_crm.storage.links import QUESTION, WAITING, question_of
from adsapp_crm.storage.scope import Scope
from crm.model import Observation, RemoteRecord, RemoteState

# A record that was set aside (crm.engine.quarantine) stays so until it changes.
# Of a person who was erased here nothing is kept, whatever the CRM still shows of them.
# A link that was saved after the records were read is left alone; updated_at is read where the row is locked,
# so that a transaction that commits in this moment counts too.
_SAVE: Final = """
WITH input AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(%(observations)s::jsonb) AS d(
    id uuid, link_id uuid, record_type text, remote_id text, values jsonb, modified_at timestamptz,
    created_at timestamptz, state text, merged_into text, former_ids jsonb, marker text, by_us boolean,
    email_key text, phone_key text, reason_code text)
),
target AS MATERIALIZED (
  SELECT i.*, coalesce(i.link_id, r.id) AS target
  FROM input i LEFT JOIN crm_sync_state r
    ON r.organization_id = %(organization)s AND r.connection_id = %(connection)s
    AND r.crm_record_type = i.record_type AND r.crm_record_id = i.remote_id
),
linked AS (
  UPDATE crm_sync_state l SET observed = CASE WHEN person.stays THEN d.values END, observed_at = clock_timestamp(),
    due = true, seen_run = %(run)s, email_key = CASE WHEN person.stays THEN d.email_key ELSE '' END,
    phone_key = CASE WHEN person.stays THEN d.phone_key ELSE '' END
  FROM target d
    JOIN crm_sync_state held ON held.organization_id = %(organization)s AND held.id = d.target
    CROSS JOIN LATERAL (SELECT k.erased_at IS NULL AS stays FROM contacts k
                        WHERE k.organization_id = %(organization)s AND k.id = held.contact_id OFFSET 0) AS person
  WHERE l.organization_id = %(organization)s AND l.connection_id = %(connection)s AND l.id = d.target
    AND (%(read_at)s::timestamptz IS NULL OR l.updated_at <= %(read_at)s)
  RETURNING d.id
),
unlinked AS (
INSERT INTO crm_observations AS o (
  id, organization_id, connection_id, record_type, remote_id, values, modified_at, created_at, state, merged_into,
  former_ids, marker, by_us, email_key, phone_key, reason_code, excluded_by, seen_run, observed_at)
SELECT i.id, %(organization)s, %(connection)s, i.record_type, i.remote_id, i.values, i.modified_at, i.created_at,
       i.state, i.merged_into, i.former_ids, i.marker, i.by_us, i.email_key, i.phone_key, i.reason_code, '', %(run)s,
       clock_timestamp()
FROM target i WHERE i.target IS NULL
ON CONFLICT (organization_id, connection_id, record_type, remote_id) DO UPDATE SET
  values = EXCLUDED.values, modified_at = EXCLUDED.modified_at, created_at = EXCLUDED.created_at,
  state = EXCLUDED.state, merged_into = EXCLUDED.merged_into, former_ids = EXCLUDED.former_ids,
  marker = EXCLUDED.marker, by_us = EXCLUDED.by_us, email_key = EXCLUDED.email_key, phone_key = EXCLUDED.phone_key,
  reason_code = CASE WHEN o.reason_code = 'record.quarantined'
                       AND o.modified_at IS NOT DISTINCT FROM EXCLUDED.modified_at
                     THEN o.reason_code ELSE EXCLUDED.reason_code END,
  seen_run = EXCLUDED.seen_run, observed_at = EXCLUDED.observed_at
)
SELECT d.target::text FROM target d
WHERE d.target IS NOT NULL AND NOT EXISTS (SELECT FROM linked WHERE linked.id = d.id)
"""

# The answered ones are named by their ids, so that a look at them is a look-up; a question has no row here that is not
# about a record alone.
_OF_THE_RUN: Final = "o.seen_run = %(run)s"
_ANSWERED: Final = """
o.remote_id = ANY(ARRAY(SELECT answered.remote_id FROM answered)) AND o.seen_run IS DISTINCT FROM %(run)s
"""


def _unpaired(condition: str) -> str:
    return f"""
SELECT o.* FROM crm_observations o
WHERE o.organization_id = %(organization)s AND o.connection_id = %(connection)s AND o.record_type = %(record_type)s
  AND o.remote_id > %(after)s AND o.state = 'live' AND o.excluded_at IS NULL AND {condition}
  AND NOT EXISTS (SELECT FROM plan JOIN crm_plan_lines p ON p.plan_id = plan.id
    WHERE p.organization_id = %(organization)s AND p.record_type = o.record_type AND p.remote_id = o.remote_id
      AND p.kind <> 'review' OFFSET 0)
  AND NOT EXISTS (SELECT FROM crm_sync_state l
    WHERE l.organization_id = %(organization)s AND l.connection_id = %(connection)s
      AND l.crm_record_type = o.record_type AND l.crm_record_id = o.remote_id OFFSET 0)
  AND NOT EXISTS (SELECT FROM waiting JOIN crm_plan_lines h ON h.plan_id = waiting.id
    WHERE h.organization_id = %(organization)s AND h.status = 'held' AND h.record_type = o.record_type
      AND h.remote_id = o.remote_id OFFSET 0)
ORDER BY o.remote_id LIMIT %(limit)s
"""


# Each way to a record by its own index; the first of both are among the first of each.
UNPAIRED: Final = f"""
WITH {WAITING},
plan AS MATERIALIZED (
  SELECT r.plan_id AS id FROM crm_sync_logs r WHERE r.organization_id = %(organization)s AND r.id = %(run)s
),
answered AS MATERIALIZED (
  SELECT q.remote_id FROM crm_conflicts q
  WHERE q.organization_id = %(organization)s AND q.connection_id = %(connection)s AND q.status = 'answered'
    AND q.kind = 'match' AND q.record_type = %(record_type)s AND q.link_id IS NULL AND q.contact_id IS NULL
)
SELECT o.remote_id, o.values, o.modified_at, o.created_at, o.merged_into, o.former_ids, o.marker, o.by_us,
       o.email_key, o.phone_key, o.reason_code,
       (SELECT {QUESTION} FROM crm_conflicts q
        WHERE q.organization_id = %(organization)s AND q.connection_id = %(connection)s
          AND q.status IN ('open', 'answered') AND q.kind = 'match' AND q.record_type = o.record_type
          AND q.remote_id = o.remote_id AND q.link_id IS NULL AND q.contact_id IS NULL)
FROM (({_unpaired(_OF_THE_RUN)}) UNION ALL ({_unpaired(_ANSWERED)})) AS o
ORDER BY o.remote_id LIMIT %(limit)s
"""

_SCAN: Final = """
(SELECT r.started_at FROM crm_sync_logs r WHERE r.organization_id = %(organization)s AND r.id = %(scan_run)s::uuid)
"""

_FORGET: Final = f"""
DELETE FROM crm_observations o
WHERE o.organization_id = %(organization)s AND o.connection_id = %(connection)s AND o.record_type = %(scan_type)s
  AND o.seen_run IS DISTINCT FROM %(scan_run)s::uuid AND o.observed_at < {_SCAN}
"""

_FREE_KEYS: Final = f"""
UPDATE crm_sync_state l SET email_key = '', phone_key = ''
WHERE l.organization_id = %(organization)s AND l.connection_id = %(connection)s AND l.crm_record_type = %(scan_type)s
  AND l.state NOT IN ('live', 'pending') AND (l.email_key <> '' OR l.phone_key <> '')
  AND l.seen_run IS DISTINCT FROM %(scan_run)s::uuid AND (l.observed_at IS NULL OR l.observed_at < {_SCAN})
"""

_UNASK: Final = f"""
UPDATE crm_conflicts q SET status = 'closed', closed_at = clock_timestamp(), closed_reason = 'settled'
WHERE q.organization_id = %(organization)s AND q.connection_id = %(connection)s AND q.status IN ('open', 'answered')
  AND q.kind = 'match' AND q.record_type = %(scan_type)s AND q.link_id IS NULL AND q.contact_id IS NULL
  AND NOT EXISTS (SELECT FROM crm_observations o
    WHERE o.organization_id = %(organization)s AND o.connection_id = %(connection)s
      AND o.record_type = q.record_type AND o.remote_id = q.remote_id
      AND (o.seen_run = %(scan_run)s OR o.observed_at >= {_SCAN}) OFFSET 0)
"""

_TOMBSTONES: Final = """
SELECT t.digest FROM contact_tombstones t
WHERE t.organization_id = %(organization)s AND t.digest = ANY(%(digests)s)
"""
ERASED: Final = "state.erased"


class Observations:
    """The observation verbs of ``crm.ports.Unit``."""

    _scope: Scope

    def save_observations(
        self, run_id: str, observations: Sequence[Observation], read_at: datetime | None = None
    ) -> set[str]:
        latest = {(each.record.record_type, each.record.remote_id): each for each in observations}
        if not latest:
            return set()
        alone = self._without_erased([each for each in latest.values() if not each.link_id])
        linked = [each for each in latest.values() if each.link_id]
        documents = [_document(_emptied(each), self._scope.new_id()) for each in [*alone, *linked]]
        rows = self._scope.rows(_SAVE, run=run_id, observations=codec.dump(documents), read_at=read_at)
        return {link_id for (link_id,) in rows}

    def unpaired_records(self, run_id: str, record_type: str, after: str, limit: int) -> list[Observation]:
        rows = self._scope.rows(UNPAIRED, run=run_id, record_type=record_type, after=after, limit=limit)
        return self._without_erased([_observation(record_type, row) for row in rows])

    def _without_erased(self, alone: list[Observation]) -> list[Observation]:
        """Records of people who asked to be forgotten are skipped by their reason: nobody makes them anew."""
        key = self._scope.tombstone_key
        digests = (
            {each.email_key: tombstone_digest(key, "email", each.email_key) for each in alone if each.email_key}
            if key
            else {}
        )
        if not digests:
            return alone
        found = {digest for (digest,) in self._scope.rows(_TOMBSTONES, digests=sorted(digests.values()))}
        return [
            replace(each, record=replace(each.record, skip_reason=ERASED))
            if digests.get(each.email_key) in found
            else each
            for each in alone
        ]

    def finish_scan(self, run_id: str, record_type: str) -> None:
        for kind, statement in (("forget", _FORGET), ("free_keys", _FREE_KEYS), ("unask", _UNASK)):
            self._scope.postpone(kind, statement, scan_run=run_id, scan_type=record_type)


def _emptied(observation: Observation) -> Observation:
    """Of a person who asked to be forgotten only the record's id is kept, and the reason why it is left alone."""
    if observation.record.skip_reason != ERASED:
        return observation
    record = replace(observation.record, values={}, marker="")
    return replace(observation, record=record, email_key="", phone_key="", reason_code=ERASED)


def _document(observation: Observation, row_id: str) -> dict[str, Any]:
    record = observation.record
    return {
        "id": row_id,
        "link_id": observation.link_id or None,
        "record_type": record.record_type,
        "remote_id": record.remote_id,
        "values": codec.encode_values(record.values),
        "modified_at": record.modified_at and record.modified_at.isoformat(),
        "created_at": record.created_at and record.created_at.isoformat(),
        "state": record.state,
        "merged_into": record.merged_into,
        "former_ids": list(record.former_ids),
        "marker": record.marker,
        "by_us": record.by_us,
        "email_key": observation.email_key,
        "phone_key": observation.phone_key,
        "reason_code": observation.reason_code or record.skip_reason,
    }


def _observation(record_type: str, row: Sequence[Any]) -> Observation:
    remote_id, values, modified_at, created_at, merged_into, former_ids, marker, by_us, *keys = row
    email_key, phone_key, reason_code, question = keys
    record = RemoteRecord(
        record_type,
        remote_id,
        codec.decode_values(codec.parse(values)),
        modified_at=modified_at,
        created_at=created_at,
        state=RemoteState.LIVE,
        merged_into=merged_into,
        former_ids=tuple(codec.parse(former_ids)),
        marker=marker,
        by_us=by_us,
        skip_reason=reason_code,
    )
    return Observation(
        record,
        email_key=email_key,
        phone_key=phone_key,
        reason_code=reason_code,
        question=question_of(json.loads(question)) if question else None,
    )
