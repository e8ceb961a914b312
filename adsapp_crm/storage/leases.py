"""Leases: who may scan a stream. Committed rows with the database's clock; the fence grows with every grant."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from django.db import connection as database

from adsapp_crm.models import CrmConnection, uuid7
from adsapp_crm.tenancy import organization_context

LEASE_SECONDS = 120
"""Four times the longest unit of work; every unit that stores something prolongs it."""


@dataclass(frozen=True, slots=True)
class Lease:
    stream: str
    owner: str
    fence: int
    seconds: float = LEASE_SECONDS


def acquire_lease(connection: CrmConnection, stream: str, seconds: float = LEASE_SECONDS) -> Lease | None:
    """The lease of the stream for ``seconds``, or None while another one lasts. Commits."""
    owner = str(uuid.uuid4())
    rows = _execute(
        connection,
        """
        INSERT INTO crm_leases AS held (id, organization_id, connection_id, stream, owner, fence, expires_at)
        VALUES (%(id)s, %(organization)s, %(connection)s, %(stream)s, %(owner)s, 1,
                clock_timestamp() + make_interval(secs => %(seconds)s))
        ON CONFLICT (organization_id, connection_id, stream) DO UPDATE
        SET owner = EXCLUDED.owner, fence = held.fence + 1, expires_at = EXCLUDED.expires_at
        WHERE held.expires_at <= clock_timestamp()
        RETURNING fence
        """,
        id=uuid7(),
        stream=stream,
        owner=owner,
        seconds=seconds,
    )
    return Lease(stream, owner, rows[0][0], seconds) if rows else None


def renew_lease(connection: CrmConnection, lease: Lease) -> bool:
    """Prolong the lease from now on; False when it has ended or somebody else has the stream."""
    return bool(_set_end(connection, lease, lease.seconds))


def release_lease(connection: CrmConnection, lease: Lease) -> None:
    """Let the next one in at once. Does nothing when the lease is no longer ours."""
    _set_end(connection, lease, 0)


def _set_end(connection: CrmConnection, lease: Lease, seconds: float) -> list[tuple[Any, ...]]:
    return _execute(
        connection,
        """
        UPDATE crm_leases SET expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
        WHERE organization_id = %(organization)s AND connection_id = %(connection)s AND stream = %(stream)s
          AND owner = %(owner)s AND fence = %(fence)s AND expires_at > clock_timestamp()
        RETURNING fence
        """,
        stream=lease.stream,
        owner=lease.owner,
        fence=lease.fence,
        seconds=seconds,
    )


def _execute(connection: CrmConnection, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
    named = {"organization": connection.organization_id, "connection": connection.pk, **parameters}
    with organization_context(str(connection.organization_id)), database.cursor() as cursor:
        cursor.execute(statement, named)
        return list(cursor.fetchall())
