"""Who has no partner yet, and what is known of a match key over everything on both sides."""

# ruff: noqa: S608  statements are put together from the literals of this package
from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Final

from adsapp_crm.storage.contacts import CONTACT_COLUMNS, CONTACT_WIDTH, contact_of
from adsapp_crm.storage.links import COME, LINK_COLUMNS, MARKED, OPEN_INTENT, QUESTION, WAITING, link_of, question_of
from adsapp_crm.storage.scope import Scope
from crm.model import KeyHit, LoneContact

_LIVE_CONTACT: Final = "c.deleted_at IS NULL AND c.merged_into_id IS NULL AND c.erased_at IS NULL"

_LONE: Final = f"""
WITH {WAITING}
SELECT {CONTACT_COLUMNS}, {LINK_COLUMNS},
       (SELECT {QUESTION} FROM crm_conflicts q WHERE q.organization_id = %(organization)s AND q.link_id = l.id
        AND q.status IN ('open', 'answered') AND q.kind = 'match' LIMIT 1)
FROM contacts c
LEFT JOIN crm_sync_state l ON l.organization_id = c.organization_id AND l.connection_id = %(connection)s
  AND l.contact_id = c.id AND l.crm_record_type = %(record_type)s AND l.state = 'pending'
WHERE c.organization_id = %(organization)s
"""

_UNLINKED: Final = """
NOT EXISTS (SELECT FROM crm_sync_state o WHERE o.organization_id = %(organization)s
            AND o.connection_id = %(connection)s AND o.contact_id = c.id OFFSET 0)
"""

_FREE: Final = f"""
NOT EXISTS (SELECT FROM crm_sync_state e WHERE e.organization_id = c.organization_id
    AND e.connection_id = %(connection)s AND e.contact_id = c.id AND e.excluded_at IS NOT NULL OFFSET 0)
  AND NOT EXISTS (SELECT FROM crm_intents i WHERE {OPEN_INTENT}
    AND i.contact_id = c.id AND i.record_type = %(record_type)s OFFSET 0)
  AND NOT EXISTS (SELECT FROM waiting JOIN crm_plan_lines h ON h.plan_id = waiting.id
    WHERE h.organization_id = %(organization)s AND h.status = 'held' AND h.contact_id = c.id
      AND h.record_type = %(record_type)s OFFSET 0)
"""

UNPAIRED: Final = f"""
{_LONE} AND (%(after)s::uuid IS NULL OR c.id > %(after)s::uuid)
  AND {_LIVE_CONTACT}
  AND CASE WHEN l.id IS NULL
    THEN {_UNLINKED}
    ELSE l.due OR c.version > l.synced_version OR l.next_attempt_at <= clock_timestamp()
      OR (%(recheck)s AND l.error_code LIKE 'match.%%')
    END
  AND {_FREE}
ORDER BY c.id LIMIT %(limit)s
"""

_WITHOUT_LINK: Final = f"""
SELECT c.id FROM crm_lone_contacts m JOIN contacts c ON c.organization_id = m.organization_id AND c.id = m.contact_id
WHERE m.organization_id = %(organization)s AND m.connection_id = %(connection)s
  AND (%(after)s::uuid IS NULL OR m.contact_id > %(after)s::uuid) AND {_LIVE_CONTACT} AND {_UNLINKED} AND {_FREE}
ORDER BY m.contact_id LIMIT %(limit)s
"""


def _pending(condition: str) -> str:
    return f"""
SELECT c.id FROM crm_sync_state s JOIN contacts c ON c.organization_id = s.organization_id AND c.id = s.contact_id
WHERE s.organization_id = %(organization)s AND s.connection_id = %(connection)s
  AND s.crm_record_type = %(record_type)s AND s.state = 'pending'
  AND (%(after)s::uuid IS NULL OR s.contact_id > %(after)s::uuid) AND {condition} AND {_LIVE_CONTACT} AND {_FREE}
ORDER BY s.contact_id LIMIT %(limit)s
"""


_LONE_MARKED: Final = " UNION ".join(f"({each})" for each in (_WITHOUT_LINK, _pending(MARKED), _pending(COME)))
UNPAIRED_MARKED_IDS: Final = f"WITH {WAITING} {_LONE_MARKED}"
UNPAIRED_MARKED: Final = f"""
{_LONE} AND c.id = ANY(ARRAY(SELECT m.id FROM ({_LONE_MARKED}) AS m ORDER BY m.id LIMIT %(limit)s))
ORDER BY c.id
"""

_LISTED: Final = 3

# Equality with the keys themselves, never a join: under row-level security nothing else uses their
# indexes, and only of values that it sees can the planner tell that they are rare.
_FOUND: Final = " UNION ALL ".join(
    f"""
SELECT '{column}', c.{column}_normalized, 'contact', c.id::text,
       row_number() OVER (PARTITION BY c.{column}_normalized ORDER BY c.id)
FROM contacts c
WHERE c.organization_id = %(organization)s AND c.{column}_normalized = ANY(%({column}_keys)s) AND {_LIVE_CONTACT}
UNION ALL
SELECT '{column}', r.key, 'record', r.remote_id, row_number() OVER (PARTITION BY r.key ORDER BY r.remote_id)
FROM (
  SELECT l.{column}_key AS key, l.crm_record_id AS remote_id FROM crm_sync_state l
  WHERE l.organization_id = %(organization)s AND l.connection_id = %(connection)s
    AND l.crm_record_type = %(record_type)s AND l.{column}_key = ANY(%({column}_keys)s)
    AND (l.state IN ('live', 'unlinked') OR l.observed_at > l.ended_at)
    AND l.crm_record_id IS NOT NULL
  UNION ALL
  SELECT o.{column}_key, o.remote_id FROM crm_observations o
  WHERE o.organization_id = %(organization)s AND o.connection_id = %(connection)s
    AND o.record_type = %(record_type)s AND o.{column}_key = ANY(%({column}_keys)s) AND o.state = 'live'
) AS r
UNION ALL
SELECT '{column}', c.{column}_normalized, 'creating', c.id::text, 1
FROM crm_intents i JOIN contacts c ON c.organization_id = i.organization_id AND c.id = i.contact_id
WHERE {OPEN_INTENT} AND i.kind = 'create' AND i.record_type = %(record_type)s
  AND c.{column}_normalized = ANY(%({column}_keys)s) AND {_LIVE_CONTACT}
"""
    for column in ("email", "phone")
)

# Partners are looked up once for all that was found: asked row by row, a planner that does not know the connection's
# rows yet (a first sync, a page in) may take for each of them an index that leads past all the others.
_KEY_HITS: Final = f"""
WITH found(column_name, key, side, id, place) AS MATERIALIZED ({_FOUND}),
linked(side, id) AS MATERIALIZED (
  SELECT 'contact', l.contact_id::text FROM crm_sync_state l
  WHERE l.organization_id = %(organization)s AND l.connection_id = %(connection)s
    AND l.contact_id = ANY(ARRAY(SELECT f.id::uuid FROM found f WHERE f.side = 'contact' AND f.place <= {_LISTED}))
    AND l.crm_record_type = %(record_type)s AND l.state <> 'pending'
  UNION ALL
  SELECT 'record', l.crm_record_id FROM crm_sync_state l
  WHERE l.organization_id = %(organization)s AND l.connection_id = %(connection)s
    AND l.crm_record_type = %(record_type)s
    AND l.crm_record_id = ANY(ARRAY(SELECT f.id FROM found f WHERE f.side = 'record' AND f.place <= {_LISTED}))
)
SELECT f.column_name, f.key, f.side, f.id,
  f.side <> 'creating' AND (f.side, f.id) NOT IN (SELECT l.side, l.id FROM linked l)
FROM found f WHERE f.place <= {_LISTED}
ORDER BY f.column_name, f.key, f.side, f.place, f.id
"""

_NAMED: Final = """
SELECT named.contact_id, min(named.asker COLLATE "C") FROM (
  SELECT l.contact_id::text, '' FROM crm_plan_lines l
  WHERE l.organization_id = %(organization)s AND l.plan_id = %(plan)s AND l.contact_id = ANY(%(contacts)s::uuid[])
  UNION ALL
  SELECT substr(candidate #>> '{}', 9), '' FROM crm_plan_lines l
  CROSS JOIN LATERAL jsonb_path_query(l.action, '$.conflicts[*].candidates[*]') AS candidate
  WHERE l.organization_id = %(organization)s AND l.plan_id = %(plan)s AND l.kind = 'review' AND l.remote_id <> ''
    AND candidate #>> '{}' = ANY(%(candidates)s)
  UNION ALL
  SELECT substr(candidate, 9), q.remote_id FROM crm_conflicts q
  CROSS JOIN LATERAL jsonb_array_elements_text(q.candidates) AS candidate
  WHERE q.organization_id = %(organization)s AND q.connection_id = %(connection)s AND q.status IN ('open', 'answered')
    AND q.kind = 'match' AND q.record_type = %(record_type)s AND q.link_id IS NULL AND q.contact_id IS NULL
    AND candidate = ANY(%(candidates)s)
) AS named(contact_id, asker)
GROUP BY named.contact_id
"""


class Pairing:
    """The pairing verbs of ``crm.ports.Unit``."""

    _scope: Scope

    def unpaired_contacts(
        self, record_type: str, after: str, limit: int, *, recheck_matches: bool, marked: bool = False
    ) -> list[LoneContact]:
        statement = UNPAIRED_MARKED if marked else UNPAIRED
        rows = self._scope.rows(
            statement, record_type=record_type, after=after or None, limit=limit, recheck=recheck_matches
        )
        return [
            LoneContact(
                contact_of(row[:CONTACT_WIDTH]),
                link_of(row[CONTACT_WIDTH:]) if row[CONTACT_WIDTH] else None,
                question_of(json.loads(row[-1])) if row[-1] else None,
            )
            for row in rows
        ]

    def key_hits(
        self, record_type: str, email_keys: Iterable[str], phone_keys: Iterable[str]
    ) -> tuple[dict[str, KeyHit], dict[str, KeyHit]]:
        rows = self._scope.rows(
            _KEY_HITS,
            record_type=record_type,
            email_keys=sorted({key for key in email_keys if key}),
            phone_keys=sorted({key for key in phone_keys if key}),
        )
        hits: dict[str, dict[str, KeyHit]] = {"email": {}, "phone": {}}
        for (column, key), group in itertools.groupby(rows, key=lambda row: row[:2]):
            found: dict[str, list[tuple[str, bool]]] = {"contact": [], "record": [], "creating": []}
            for _, _, side, each, free in group:
                found[side].append((each, free))
            hits[column][key] = KeyHit(
                contacts=tuple(each for each, _ in found["contact"]),
                free_contacts=tuple(each for each, free in found["contact"] if free),
                records=tuple(each for each, _ in found["record"]),
                free_records=tuple(each for each, free in found["record"] if free),
                creating=tuple(each for each, _ in found["creating"]),
            )
        return hits["email"], hits["phone"]

    def named_contacts(self, plan_id: str, record_type: str, contact_ids: Sequence[str]) -> dict[str, str]:
        if not contact_ids:
            return {}
        rows = self._scope.rows(
            _NAMED,
            plan=plan_id,
            record_type=record_type,
            contacts=list(contact_ids),
            candidates=[f"contact:{contact_id}" for contact_id in contact_ids],
        )
        return dict(rows)
