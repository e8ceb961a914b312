"""Who has no partner yet, and what is known of a match key over everything on both sides."""

# ruff: noqa: S608  statements are put together from the literals of this package
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from adsapp_crm.storage.contacts import CONTACT_COLUMNS, CONTACT_WIDTH, contact_of
from adsapp_crm.storage.links import LINK_COLUMNS, OPEN_INTENT, WAITING, link_of
from adsapp_crm.storage.scope import Scope
from crm.model import AppContact, KeyHit, Link

_LIVE_CONTACT: Final = "c.deleted_at IS NULL AND c.merged_into_id IS NULL AND c.erased_at IS NULL"

_UNPAIRED: Final = f"""
WITH {WAITING}
SELECT {CONTACT_COLUMNS}, {LINK_COLUMNS}
FROM contacts c
LEFT JOIN crm_sync_state l ON l.organization_id = c.organization_id AND l.connection_id = %(connection)s
  AND l.contact_id = c.id AND l.crm_record_type = %(record_type)s AND l.state = 'pending'
WHERE c.organization_id = %(organization)s AND (%(after)s::uuid IS NULL OR c.id > %(after)s::uuid)
  AND {_LIVE_CONTACT}
  AND CASE WHEN l.id IS NULL
    THEN NOT EXISTS (SELECT FROM crm_sync_state o WHERE o.organization_id = c.organization_id
                     AND o.connection_id = %(connection)s AND o.contact_id = c.id OFFSET 0)
    ELSE l.due OR c.version > l.synced_version OR l.next_attempt_at <= clock_timestamp()
      OR (%(recheck)s AND l.error_code LIKE 'match.%%')
    END
  AND NOT EXISTS (SELECT FROM crm_sync_state e WHERE e.organization_id = c.organization_id
    AND e.connection_id = %(connection)s AND e.contact_id = c.id AND e.excluded_at IS NOT NULL OFFSET 0)
  AND NOT EXISTS (SELECT FROM crm_intents i WHERE {OPEN_INTENT}
    AND i.contact_id = c.id AND i.record_type = %(record_type)s OFFSET 0)
  AND NOT EXISTS (SELECT FROM waiting JOIN crm_plan_lines h ON h.plan_id = waiting.id
    WHERE h.organization_id = %(organization)s AND h.status = 'held' AND h.contact_id = c.id
      AND h.record_type = %(record_type)s OFFSET 0)
ORDER BY c.id LIMIT %(limit)s
"""

# Equality on the stored keys only: under row-level security nothing else would use their indexes.
_HITS: Final = " UNION ALL ".join(
    f"""
SELECT '{column}', wanted.key,
  ARRAY(SELECT c.id::text FROM contacts c
        WHERE c.organization_id = %(organization)s AND c.{column}_normalized = wanted.key AND {_LIVE_CONTACT}
        ORDER BY c.id LIMIT 3),
  ARRAY(SELECT r.remote_id FROM (
          (SELECT l.crm_record_id AS remote_id FROM crm_sync_state l
           WHERE l.organization_id = %(organization)s AND l.connection_id = %(connection)s
             AND l.crm_record_type = %(record_type)s AND l.{column}_key = wanted.key
             AND l.state IN ('live', 'unlinked') AND l.crm_record_id IS NOT NULL
           ORDER BY l.crm_record_id LIMIT 3)
          UNION ALL
          (SELECT o.remote_id FROM crm_observations o
           WHERE o.organization_id = %(organization)s AND o.connection_id = %(connection)s
             AND o.record_type = %(record_type)s AND o.{column}_key = wanted.key AND o.state = 'live'
           ORDER BY o.remote_id LIMIT 3)
        ) AS r ORDER BY r.remote_id LIMIT 3),
  ARRAY(SELECT i.contact_id::text FROM crm_intents i
        JOIN contacts c ON c.organization_id = i.organization_id AND c.id = i.contact_id
        WHERE {OPEN_INTENT} AND i.kind = 'create' AND i.record_type = %(record_type)s
          AND c.{column}_normalized = wanted.key AND {_LIVE_CONTACT}
        ORDER BY i.contact_id LIMIT 3)
FROM unnest(%({column}_keys)s::text[]) AS wanted(key)
"""
    for column in ("email", "phone")
)

_KEY_HITS: Final = f"""
WITH hits(column_name, key, contacts, records, creating) AS MATERIALIZED ({_HITS})
SELECT h.column_name, h.key, h.contacts,
  ARRAY(SELECT each FROM unnest(h.contacts) WITH ORDINALITY AS listed(each, place) WHERE NOT EXISTS (
    SELECT FROM crm_sync_state l WHERE l.organization_id = %(organization)s AND l.connection_id = %(connection)s
      AND l.contact_id = listed.each::uuid AND l.crm_record_type = %(record_type)s AND l.state <> 'pending')
    ORDER BY place),
  h.records,
  ARRAY(SELECT each FROM unnest(h.records) WITH ORDINALITY AS listed(each, place) WHERE NOT EXISTS (
    SELECT FROM crm_sync_state l WHERE l.organization_id = %(organization)s AND l.connection_id = %(connection)s
      AND l.crm_record_type = %(record_type)s AND l.crm_record_id = listed.each)
    ORDER BY place),
  h.creating
FROM hits h WHERE cardinality(h.contacts) + cardinality(h.records) > 0
ORDER BY h.key
"""

_PLANNED: Final = """
SELECT l.contact_id::text FROM crm_plan_lines l
WHERE l.organization_id = %(organization)s AND l.plan_id = %(plan)s AND l.contact_id = ANY(%(contacts)s::uuid[])
UNION
SELECT substr(candidate #>> '{}', 9) FROM crm_plan_lines l
CROSS JOIN LATERAL jsonb_path_query(l.action, '$.conflicts[*].candidates[*]') AS candidate
WHERE l.organization_id = %(organization)s AND l.plan_id = %(plan)s AND l.kind = 'review' AND l.remote_id <> ''
  AND candidate #>> '{}' = ANY(%(candidates)s)
"""


class Pairing:
    """The pairing verbs of ``crm.ports.Unit``."""

    _scope: Scope

    def unpaired_contacts(
        self, record_type: str, after: str, limit: int, *, recheck_matches: bool
    ) -> list[tuple[AppContact, Link | None]]:
        rows = self._scope.rows(
            _UNPAIRED, record_type=record_type, after=after or None, limit=limit, recheck=recheck_matches
        )
        return [
            (contact_of(row[:CONTACT_WIDTH]), link_of(row[CONTACT_WIDTH:]) if row[CONTACT_WIDTH] else None)
            for row in rows
        ]

    def key_hits(
        self, record_type: str, email_keys: Iterable[str], phone_keys: Iterable[str]
    ) -> tuple[dict[str, KeyHit], dict[str, KeyHit]]:
        hits: dict[str, dict[str, KeyHit]] = {"email": {}, "phone": {}}
        for column, key, *found in self._scope.rows(
            _KEY_HITS,
            record_type=record_type,
            email_keys=sorted({key for key in email_keys if key}),
            phone_keys=sorted({key for key in phone_keys if key}),
        ):
            hits[column][key] = KeyHit(*(tuple(ids) for ids in found))
        return hits["email"], hits["phone"]

    def planned_contacts(self, plan_id: str, contact_ids: Sequence[str]) -> set[str]:
        if not contact_ids:
            return set()
        rows = self._scope.rows(
            _PLANNED,
            plan=plan_id,
            contacts=list(contact_ids),
            candidates=[f"contact:{contact_id}" for contact_id in contact_ids],
        )
        return {found for (found,) in rows}
