"""What changed in contacts since the connection last looked, marked on its links: a delta reads the marks alone.

Every change of a contact leaves a line of history with the transaction that wrote it. A snapshot's ``xmin`` is the
oldest transaction that was still open: whatever an older one wrote is visible or never will be. So lines are read from
the ``xmin`` of the last look on, and no edit is missed however late its transaction commits; those that committed early
are read twice. Transactions are counted by a cluster: restored into another one, or not looked through for most of a
day (lines of history are cleaned up after one at the earliest), a connection has all of its contacts looked through.

A mark is the contact's version on the link (``contact_version``), which asks for work while it is above the synced
one: nothing else can take it away. A contact without any link has a row of its own (``CrmLoneContact``).
"""

# ruff: noqa: S608  statements are put together from the literals of this package
from __future__ import annotations

from typing import Final

from adsapp_crm.storage.scope import Scope

BATCH: Final = 5_000
"""Lines of history looked through in one transaction; a transaction that wrote more is looked through at once."""

_KNOWN: Final = """
k.changes_xid IS NOT NULL AND k.changes_cluster = cluster.system_identifier
AND k.changes_at > clock_timestamp() - interval '20 hours'
"""

UNMARKED: Final = f"""
EXISTS (
  SELECT FROM crm_connections k CROSS JOIN pg_control_system() AS cluster
  WHERE k.organization_id = %(organization)s AND k.id = %(connection)s AND ({_KNOWN} AND NOT EXISTS (
    SELECT FROM contact_changes h WHERE h.organization_id = %(organization)s AND h.xid >= k.changes_xid
  )) IS NOT TRUE
)
"""
"""Whether there may be a change that is not marked yet."""

_POSITION: Final = f"""
SELECT CASE WHEN {_KNOWN} THEN k.changes_xid END, pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
  (SELECT h.xid FROM contact_changes h WHERE h.organization_id = %(organization)s AND h.xid >= k.changes_xid
   ORDER BY h.xid LIMIT 1 OFFSET %(batch)s)
FROM crm_connections k CROSS JOIN pg_control_system() AS cluster
WHERE k.organization_id = %(organization)s AND k.id = %(connection)s
FOR NO KEY UPDATE OF k
"""

_LIVE: Final = "c.deleted_at IS NULL AND c.merged_into_id IS NULL AND c.erased_at IS NULL"
_CHANGED: Final = """
SELECT DISTINCT h.contact_id AS id FROM contact_changes h
WHERE h.organization_id = %(organization)s AND h.xid >= %(start)s
  AND (%(end)s::bigint IS NULL OR h.xid < %(end)s::bigint)
"""
_EVERY: Final = "SELECT c.id FROM contacts c WHERE c.organization_id = %(organization)s"


def _marking(contacts: str) -> str:
    return f"""
WITH noticed AS MATERIALIZED (
  SELECT n.id, EXISTS (SELECT FROM crm_sync_state o
    WHERE o.organization_id = %(organization)s AND o.connection_id = %(connection)s AND o.contact_id = n.id OFFSET 0
  ) AS linked FROM ({contacts}) AS n
),
marked AS (
  UPDATE crm_sync_state l SET contact_version = c.version
  FROM noticed n JOIN contacts c ON c.organization_id = %(organization)s AND c.id = n.id
  WHERE l.organization_id = %(organization)s AND l.connection_id = %(connection)s AND l.contact_id = n.id AND n.linked
    AND c.version > greatest(l.contact_version, l.synced_version)
),
paired AS (
  DELETE FROM crm_lone_contacts m USING noticed n
  WHERE m.organization_id = %(organization)s AND m.connection_id = %(connection)s AND m.contact_id = n.id AND n.linked
),
lone AS (
  INSERT INTO crm_lone_contacts (id, organization_id, connection_id, contact_id)
  SELECT crm_uuid7(), %(organization)s, %(connection)s, n.id
  FROM noticed n JOIN contacts c ON c.organization_id = %(organization)s AND c.id = n.id
  WHERE NOT n.linked AND {_LIVE}
  ON CONFLICT (organization_id, connection_id, contact_id) DO NOTHING
)
UPDATE crm_connections k SET changes_xid = %(reached)s, changes_at = clock_timestamp(),
  changes_cluster = (SELECT system_identifier FROM pg_control_system())
WHERE k.organization_id = %(organization)s AND k.id = %(connection)s
"""


_MARK_CHANGED: Final = _marking(_CHANGED)
_MARK_EVERY: Final = _marking(_EVERY)


class Marking:
    """The verb of ``crm.ports.Unit`` that turns changes into marks."""

    _scope: Scope

    def mark_changed(self) -> bool:
        ((start, oldest_open, later),) = self._scope.rows(_POSITION, batch=BATCH)
        if start is None:
            self._scope.execute(_MARK_EVERY, reached=oldest_open)
            return True
        if later is None or later >= oldest_open:  # what younger transactions committed is marked too, and read again
            self._scope.execute(_MARK_CHANGED, start=start, end=None, reached=oldest_open)
            return True
        end = later if later > start else later + 1
        self._scope.execute(_MARK_CHANGED, start=start, end=end, reached=end)
        return False
