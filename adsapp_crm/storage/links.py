"""Links: the pairs of contacts and remote records, with everything the planner needs to know about each."""

# ruff: noqa: S608  statements are put together from the literals of this package
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db import IntegrityError

from adsapp_crm.storage import codec
from adsapp_crm.storage.contacts import CONTACT_COLUMNS, contact_of
from adsapp_crm.storage.scope import Scope
from crm.errors import LeaseLostError
from crm.model import (
    BasePair,
    ConflictKind,
    FieldTrouble,
    Flips,
    Link,
    LinkState,
    LinkView,
    OpenConflict,
    Resolution,
)

TAKEN: Final = "match.taken"

LINK_COLUMNS: Final = """
l.id::text, l.contact_id::text, l.crm_record_type, coalesce(l.crm_record_id, ''), l.state, l.base, l.synced_version,
l.crm_updated_at, l.observed_at, l.observed, l.due, l.troubles, l.flips, l.error_code, l.attempts,
coalesce(l.superseded_by_id::text, '')
"""
LINK_WIDTH: Final = 16


def link_of(row: Sequence[Any]) -> Link:
    """A row of ``LINK_COLUMNS``."""
    return Link(
        link_id=row[0],
        contact_id=row[1],
        record_type=row[2],
        remote_id=row[3],
        state=LinkState(row[4]),
        base=codec.decode_map(BasePair, codec.parse(row[5])),
        synced_version=row[6],
        remote_modified_at=row[7],
        observed_at=row[8],
        observed=None if row[9] is None else codec.decode_values(codec.parse(row[9])),
        due=row[10],
        troubles=codec.decode_map(FieldTrouble, codec.parse(row[11])),
        flips=codec.decode_map(Flips, codec.parse(row[12])),
        error_code=row[13],
        attempts=row[14],
        superseded_by=row[15],
    )


WAITING: Final = """
waiting AS MATERIALIZED (
  SELECT p.id FROM crm_plans p
  WHERE p.organization_id = %(organization)s AND p.connection_id = %(connection)s AND p.status = 'held'
)
"""
"""Plans with lines that wait for a person. Nearly always none or one, so it is looked up once a statement."""

OPEN_INTENT: Final = (
    "i.organization_id = %(organization)s AND i.connection_id = %(connection)s AND i.status IN ('sent', 'unknown')"
)

QUESTION: Final = "jsonb_build_array(q.id, q.kind, q.mapping_id, q.values, q.code, q.candidates, q.resolution)"
"""What ``question_of`` reads, of the questions under the alias ``q``."""

CREATE: Final = {"answer": "create"}
"""What ``CrmConflict.resolution`` holds where a person answered a match with "none of these"."""


def question_of(document: Sequence[Any]) -> OpenConflict:
    """A parsed ``QUESTION``."""
    conflict_id, kind, mapping_id, values, code, candidates, answer = document
    known = codec.decode_values(values)
    return OpenConflict(
        conflict_id,
        ConflictKind(kind),
        mapping_id,
        known.get("app"),
        known.get("crm"),
        code,
        tuple(candidates),
        create=kind == ConflictKind.MATCH and answer == CREATE,
    )


_VIEWS: Final = f"""
WITH {WAITING}
SELECT {LINK_COLUMNS},
  l.excluded_at IS NOT NULL,
  EXISTS (SELECT FROM crm_intents i WHERE {OPEN_INTENT}
          AND i.contact_id = l.contact_id AND i.record_type = l.crm_record_type)
  OR EXISTS (SELECT FROM crm_intents i WHERE {OPEN_INTENT} AND i.remote_id <> ''
             AND i.remote_id = l.crm_record_id AND i.record_type = l.crm_record_type)
  OR EXISTS (SELECT FROM waiting JOIN crm_plan_lines h ON h.plan_id = waiting.id
             WHERE h.organization_id = %(organization)s AND h.status = 'held'
               AND h.contact_id = l.contact_id AND h.record_type = l.crm_record_type)
  OR EXISTS (SELECT FROM waiting JOIN crm_plan_lines h ON h.plan_id = waiting.id
             WHERE h.organization_id = %(organization)s AND h.status = 'held'
               AND h.remote_id = l.crm_record_id AND h.record_type = l.crm_record_type AND h.remote_id <> ''),
  (SELECT jsonb_agg({QUESTION} ORDER BY q.opened_at, q.id)
   FROM crm_conflicts q
   WHERE q.organization_id = %(organization)s AND q.link_id = l.id AND q.status IN ('open', 'answered')),
  {CONTACT_COLUMNS}
FROM crm_sync_state l JOIN contacts c ON c.organization_id = l.organization_id AND c.id = l.contact_id
WHERE l.organization_id = %(organization)s AND l.connection_id = %(connection)s
"""

_BY_RECORD: Final = f"{_VIEWS} AND l.crm_record_type = %(record_type)s AND l.crm_record_id = ANY(%(ids)s)"
_BY_CONTACT: Final = (
    f"{_VIEWS} AND l.crm_record_type = %(record_type)s AND l.contact_id = ANY(%(ids)s::uuid[]) ORDER BY l.id"
)
_BY_ID: Final = f"{_VIEWS} AND l.id = ANY(%(ids)s::uuid[])"
# Each way to a row by its own index; one condition with OR would read the connection's rows.
_BY_ANY: Final = f"""
{_VIEWS} AND l.id = ANY(ARRAY(
  SELECT unnest(%(ids)s::uuid[])
  UNION
  SELECT s.id FROM crm_sync_state s WHERE s.organization_id = %(organization)s AND s.connection_id = %(connection)s
    AND s.crm_record_type = ANY(%(types)s) AND s.contact_id = ANY(%(contacts)s::uuid[])
  UNION
  SELECT s.id FROM crm_sync_state s WHERE s.organization_id = %(organization)s AND s.connection_id = %(connection)s
    AND s.crm_record_type = ANY(%(types)s) AND s.crm_record_id = ANY(%(records)s)
))
"""

_WALK: Final = f"""
{_VIEWS} AND l.crm_record_type = %(record_type)s AND l.state = 'live'
  AND (%(after)s::uuid IS NULL OR l.id > %(after)s::uuid)
"""
DUE: Final = f"""
{_WALK} AND (
  l.due OR c.version > l.synced_version OR l.next_attempt_at <= clock_timestamp()
  OR EXISTS (SELECT FROM crm_conflicts q WHERE q.organization_id = %(organization)s AND q.link_id = l.id
             AND q.status = 'answered')
)
ORDER BY l.id LIMIT %(limit)s
"""


def _marked(condition: str) -> str:
    return f"""
SELECT s.id FROM crm_sync_state s
WHERE s.organization_id = %(organization)s AND s.connection_id = %(connection)s
  AND s.crm_record_type = %(record_type)s AND s.state = 'live'
  AND (%(after)s::uuid IS NULL OR s.id > %(after)s::uuid) AND {condition}
ORDER BY s.id LIMIT %(limit)s
"""


MARKED: Final = "(s.due OR s.contact_version > s.synced_version)"
"""As the index of marked links says it, of links under the alias ``s``."""
COME: Final = """
s.id = ANY(ARRAY(SELECT d.id FROM crm_sync_state d
  WHERE d.organization_id = %(organization)s AND d.connection_id = %(connection)s
    AND d.next_attempt_at IS NOT NULL AND d.next_attempt_at <= clock_timestamp()))
"""
_ANSWERED: Final = """
s.id = ANY(ARRAY(SELECT q.link_id FROM crm_conflicts q
  WHERE q.organization_id = %(organization)s AND q.connection_id = %(connection)s AND q.status = 'answered'))
"""
DUE_MARKED_IDS: Final = " UNION ".join(f"({_marked(condition)})" for condition in (MARKED, COME, _ANSWERED))
"""Each way to a link with work by its own index; the first ``limit`` of all are among the first of each."""
_DUE_MARKED: Final = f"""
{_VIEWS} AND l.id = ANY(ARRAY(SELECT m.id FROM ({DUE_MARKED_IDS}) AS m ORDER BY m.id LIMIT %(limit)s)) ORDER BY l.id
"""

MISSING: Final = f"{_WALK} AND l.seen_run IS DISTINCT FROM %(run)s::uuid ORDER BY l.id LIMIT %(limit)s"

_MARK_SEEN: Final = """
UPDATE crm_sync_state l SET seen_run = %(run)s, observed_at = clock_timestamp(), last_synced_at = clock_timestamp(),
  synced_version = greatest(l.synced_version, d.version), due = false
FROM unnest(%(ids)s::uuid[], %(versions)s::bigint[]) AS d(id, version)
WHERE l.organization_id = %(organization)s AND l.connection_id = %(connection)s AND l.id = ANY(%(ids)s::uuid[])
  AND l.id = d.id
"""

# A row is refused when its record, or its contact's one place for a pair, belongs to another link that
# this call does not move away, or to an earlier row of this call. Rows that give a place up go first.
# OFFSET 0 keeps a look-up a look-up: flattened into a join, a page would read all links of the connection. What
# is asked of a row is a column, not a condition: of conditions the planner concludes that one row at most is left, and
# compares each row of a page with each.
# A contact that gets its link is held while this transaction is open, so that no edit of it can be noticed before the
# link is there to be marked (storage/marking.py). One that somebody is writing is not waited for: its link is due.
_SAVE: Final = """
WITH input AS MATERIALIZED (
  SELECT d.*, nullif(d.remote_id, '') AS record_id, d.state IN ('live', 'pending') AS holding,
         row_number() OVER (PARTITION BY d.record_type, d.remote_id ORDER BY d.seq) AS nth_of_record,
         row_number() OVER (PARTITION BY d.record_type, d.contact_id, d.state IN ('live', 'pending')
                            ORDER BY d.seq) AS nth_of_contact
  FROM jsonb_to_recordset(%(links)s::jsonb) AS d(
    seq integer, id uuid, contact_id uuid, record_type text, remote_id text, state text, base jsonb,
    synced_version bigint, remote_modified_at timestamptz, observed_at timestamptz, observed jsonb, due boolean,
    troubles jsonb, flips jsonb, error_code text, attempts integer, next_attempt_seconds float8, superseded_by uuid)
),
judged AS MATERIALIZED (
  SELECT i.*,
    (i.record_id IS NULL OR i.nth_of_record = 1)
    AND (NOT i.holding OR i.nth_of_contact = 1)
    AND NOT EXISTS (
      SELECT FROM crm_sync_state o
      WHERE o.organization_id = %(organization)s AND o.connection_id = %(connection)s
        AND o.crm_record_type = i.record_type AND o.crm_record_id = i.record_id AND o.id <> i.id
        AND NOT EXISTS (SELECT FROM input m WHERE m.id = o.id AND m.record_id IS DISTINCT FROM o.crm_record_id)
      OFFSET 0)
    AND NOT (i.holding AND EXISTS (
      SELECT FROM crm_sync_state o
      WHERE o.organization_id = %(organization)s AND o.connection_id = %(connection)s
        AND o.contact_id = i.contact_id AND o.crm_record_type = i.record_type
        AND o.state IN ('live', 'pending') AND o.id <> i.id
        AND NOT EXISTS (SELECT FROM input m WHERE m.id = o.id AND NOT m.holding)
      OFFSET 0)) AS is_accepted,
    NOT EXISTS (SELECT FROM crm_sync_state o WHERE o.organization_id = %(organization)s AND o.id = i.id
                AND o.contact_id = i.contact_id OFFSET 0) AS is_new
  FROM input i
),
accepted AS MATERIALIZED (
  SELECT j.* FROM judged j WHERE j.is_accepted
),
pinned AS MATERIALIZED (
  SELECT c.id, c.version FROM contacts c
  WHERE c.organization_id = %(organization)s AND c.id = ANY(ARRAY(SELECT a.contact_id FROM accepted a WHERE a.is_new))
  FOR SHARE SKIP LOCKED
),
paired AS (
  DELETE FROM crm_lone_contacts m
  WHERE m.organization_id = %(organization)s AND m.connection_id = %(connection)s
    AND m.contact_id = ANY(ARRAY(SELECT a.contact_id FROM accepted a WHERE a.is_new))
),
alone AS MATERIALIZED (
  SELECT o.* FROM (SELECT a.record_type, array_agg(a.record_id) AS ids FROM accepted a GROUP BY a.record_type) AS t
  CROSS JOIN LATERAL (
    SELECT o.id, o.record_type, o.remote_id, o.seen_run, o.email_key, o.phone_key FROM crm_observations o
    WHERE o.organization_id = %(organization)s AND o.connection_id = %(connection)s
      AND o.record_type = t.record_type AND o.remote_id = ANY(t.ids) OFFSET 0) AS o
),
freed AS (
  DELETE FROM crm_observations o
  WHERE o.organization_id = %(organization)s AND o.id = ANY(ARRAY(SELECT alone.id FROM alone))
),
saved AS (
  INSERT INTO crm_sync_state AS l (
    id, organization_id, connection_id, contact_id, crm_record_type, crm_record_id, state, base, synced_version,
    crm_updated_at, observed_at, observed, due, troubles, flips, error_code, attempts, next_attempt_at,
    superseded_by_id, seen_run, email_key, phone_key, last_synced_at, adsapp_updated_at, ended_at,
    conflict_detected, excluded_by, updated_at, contact_version)
  SELECT a.id, %(organization)s, %(connection)s, a.contact_id, a.record_type, a.record_id, a.state, a.base,
         a.synced_version, a.remote_modified_at, a.observed_at, a.observed,
         a.due OR (a.is_new AND p.id IS NULL), a.troubles, a.flips, a.error_code,
         a.attempts, clock_timestamp() + make_interval(secs => a.next_attempt_seconds), a.superseded_by,
         f.seen_run, coalesce(f.email_key, ''), coalesce(f.phone_key, ''),
         CASE WHEN a.state = 'live' AND a.error_code = '' THEN clock_timestamp() END, c.updated_at,
         CASE WHEN NOT a.holding THEN clock_timestamp() END, false, '', clock_timestamp(),
         greatest(c.version, p.version, 0)
  FROM accepted a LEFT JOIN alone f ON f.record_type = a.record_type AND f.remote_id = a.record_id
    LEFT JOIN contacts c ON c.organization_id = %(organization)s AND c.id = a.contact_id
    LEFT JOIN pinned p ON p.id = a.contact_id AND a.is_new
  ORDER BY a.holding, a.seq
  ON CONFLICT (id) DO UPDATE SET
    contact_id = EXCLUDED.contact_id, crm_record_type = EXCLUDED.crm_record_type,
    crm_record_id = EXCLUDED.crm_record_id, state = EXCLUDED.state, base = EXCLUDED.base,
    synced_version = EXCLUDED.synced_version, crm_updated_at = EXCLUDED.crm_updated_at,
    observed_at = EXCLUDED.observed_at, observed = EXCLUDED.observed, due = EXCLUDED.due,
    troubles = EXCLUDED.troubles, flips = EXCLUDED.flips, error_code = EXCLUDED.error_code,
    attempts = EXCLUDED.attempts, next_attempt_at = EXCLUDED.next_attempt_at,
    superseded_by_id = EXCLUDED.superseded_by_id, seen_run = coalesce(EXCLUDED.seen_run, l.seen_run),
    email_key = CASE WHEN EXCLUDED.seen_run IS NULL THEN l.email_key ELSE EXCLUDED.email_key END,
    phone_key = CASE WHEN EXCLUDED.seen_run IS NULL THEN l.phone_key ELSE EXCLUDED.phone_key END,
    last_synced_at = coalesce(EXCLUDED.last_synced_at, l.last_synced_at),
    adsapp_updated_at = EXCLUDED.adsapp_updated_at,
    ended_at = CASE WHEN EXCLUDED.ended_at IS NOT NULL THEN coalesce(l.ended_at, EXCLUDED.ended_at) END,
    updated_at = EXCLUDED.updated_at,
    contact_version = CASE WHEN l.contact_id = EXCLUDED.contact_id
                           THEN greatest(l.contact_version, l.synced_version, EXCLUDED.contact_version)
                           ELSE EXCLUDED.contact_version END
  RETURNING l.id
)
SELECT id::text FROM saved
"""


class Links:
    """The link verbs of ``crm.ports.Unit``."""

    _scope: Scope

    def links_for_records(self, record_type: str, remote_ids: Sequence[str]) -> list[LinkView]:
        return self._views(_BY_RECORD, record_type=record_type, ids=list(remote_ids))

    def links_for_contacts(self, record_type: str, contact_ids: Sequence[str]) -> list[LinkView]:
        return self._views(_BY_CONTACT, record_type=record_type, ids=list(contact_ids))

    def links(self, link_ids: Sequence[str]) -> list[LinkView]:
        return self._views(_BY_ID, ids=[link_id for link_id in link_ids if link_id])

    def links_of(
        self,
        record_types: Sequence[str],
        contact_ids: Sequence[str],
        remote_ids: Sequence[str],
        link_ids: Sequence[str],
    ) -> list[LinkView]:
        return self._views(
            _BY_ANY, types=list(record_types), contacts=list(contact_ids), records=list(remote_ids), ids=list(link_ids)
        )

    def due_links(self, record_type: str, after: str, limit: int, *, marked: bool = False) -> list[LinkView]:
        return self._views(_DUE_MARKED if marked else DUE, record_type=record_type, after=after or None, limit=limit)

    def missing_links(self, run_id: str, record_type: str, after: str, limit: int) -> list[LinkView]:
        return self._views(MISSING, run=run_id, record_type=record_type, after=after or None, limit=limit)

    def mark_seen(self, run_id: str, seen: Mapping[str, int]) -> None:
        if seen:
            self._scope.execute(_MARK_SEEN, run=run_id, ids=list(seen), versions=list(seen.values()))

    def save_links(self, links: Sequence[Link]) -> dict[str, str]:
        if not links:
            return {}
        documents = [{"seq": place, **_document(link)} for place, link in enumerate(links)]
        try:
            rows = self._scope.rows(_SAVE, links=codec.dump(documents))
        except IntegrityError as error:
            if getattr(error.__cause__, "sqlstate", "") == "23505":  # another worker paired it in this moment
                raise LeaseLostError from error
            raise
        saved = {link_id for (link_id,) in rows}
        return {link.link_id: "" if link.link_id in saved else TAKEN for link in links}

    def _views(self, statement: str, **parameters: object) -> list[LinkView]:
        return [_view(row) for row in self._scope.rows(statement, **parameters)]


def _view(row: Sequence[Any]) -> LinkView:
    excluded, held, questions = row[LINK_WIDTH : LINK_WIDTH + 3]
    conflicts = []
    resolutions = {}
    for document in codec.parse(questions) if questions else ():
        question, answer = question_of(document), document[-1]
        conflicts.append(question)
        if answer is not None and question.kind is not ConflictKind.MATCH:
            resolutions[question.mapping_id] = codec.decode(Resolution, answer)
    return LinkView(
        link=link_of(row),
        contact=contact_of(row[LINK_WIDTH + 3 :]),
        held=held,
        conflicts=tuple(conflicts),
        resolutions=resolutions,
        excluded=excluded,
    )


def _document(link: Link) -> dict[str, Any]:
    return {
        "id": link.link_id,
        "contact_id": link.contact_id,
        "record_type": link.record_type,
        "remote_id": link.remote_id,
        "state": link.state,
        "base": codec.encode_map(BasePair, link.base),
        "synced_version": link.synced_version,
        "remote_modified_at": link.remote_modified_at and link.remote_modified_at.isoformat(),
        "observed_at": link.observed_at and link.observed_at.isoformat(),
        "observed": None if link.observed is None else codec.encode_values(link.observed),
        "due": link.due,
        "troubles": codec.encode_map(FieldTrouble, link.troubles),
        "flips": codec.encode_map(Flips, link.flips),
        "error_code": link.error_code,
        "attempts": link.attempts,
        "next_attempt_seconds": link.next_attempt_seconds,
        "superseded_by": link.superseded_by or None,
    }
