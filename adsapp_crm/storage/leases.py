"""Leases: who may scan a stream. Committed rows with the database's clock; the fence grows with every grant.

A lease is short and kept alive by a heartbeat, so that the work of a worker that died goes on soon. Who takes over
from a dead worker frees what that one had claimed: without its lease it can commit nothing any more.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from django.db import Error as DatabaseError
from django.db import connection as database
from django.db import connections

from adsapp_crm import conf
from adsapp_crm.models import CrmConnection, uuid7
from adsapp_crm.storage.claims import claimant_of, free_claims
from adsapp_crm.tenancy import in_organization
from crm.errors import LeaseLostError

log = logging.getLogger(__name__)

BEATS_PER_LEASE: Final = 4
"""A heartbeat may be missed, or wait for a page's transaction, without the lease being lost."""
LAPSE_TRIES: Final = 10
LAPSE_PAUSE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Lease:
    stream: str
    owner: str
    """Of this grant alone; empty in the row once it was given back. It names who claims records as well."""
    fence: int
    seconds: float


def acquire_lease(connection: CrmConnection, stream: str, seconds: float | None = None) -> Lease | None:
    """The lease of the stream for ``seconds`` (CRM_LEASE_SECONDS when None), or None while another one lasts.

    Frees the claims of an owner that let its lease run out. Commits, in an open organization context with that.
    """
    owner = str(uuid.uuid4())
    seconds = conf.lease_seconds() if seconds is None else seconds
    with in_organization(str(connection.organization_id)):
        rows = _execute(
            connection,
            """
        WITH before AS MATERIALIZED (
          SELECT k.owner FROM crm_leases k
          WHERE k.organization_id = %(organization)s AND k.connection_id = %(connection)s AND k.stream = %(stream)s
        )
        INSERT INTO crm_leases AS held (id, organization_id, connection_id, stream, owner, fence, expires_at)
        VALUES (%(id)s, %(organization)s, %(connection)s, %(stream)s, %(owner)s, 1,
                clock_timestamp() + make_interval(secs => %(seconds)s))
        ON CONFLICT (organization_id, connection_id, stream) DO UPDATE
        SET owner = EXCLUDED.owner, fence = held.fence + 1, expires_at = EXCLUDED.expires_at
        WHERE held.expires_at <= clock_timestamp()
        RETURNING fence, coalesce((SELECT before.owner FROM before), '')
        """,
            id=uuid7(),
            stream=stream,
            owner=owner,
            seconds=seconds,
        )
        if not rows:
            return None
        fence, dead = rows[0]
        if dead:
            free_claims(connection, claimant_of(dead))
    return Lease(stream, owner, fence, seconds)


def renew_lease(connection: CrmConnection, lease: Lease) -> bool:
    """Prolong the lease from now on; False when it has ended or somebody else has the stream."""
    return bool(_set_end(connection, lease, lease.seconds))


def release_lease(connection: CrmConnection, lease: Lease) -> None:
    """Let the next one in at once. Does nothing when the lease is no longer ours."""
    _set_end(connection, lease, 0, owner="")


def let_lapse(connection: CrmConnection, lease: Lease) -> None:
    """End the lease in its owner's name, as that of a worker that died: the sweep looks for those.

    Called when the database has failed us: waits a little for it to come back. Whether it did or not, the lease runs
    out by itself.
    """
    for again in range(LAPSE_TRIES):
        try:
            _set_end(connection, lease, 0)
        except DatabaseError:
            connections.close_all()
            if again + 1 < LAPSE_TRIES:
                time.sleep(LAPSE_PAUSE_SECONDS)
        else:
            return


@contextmanager
def kept_alive(connection: CrmConnection, lease: Lease) -> Iterator[Callable[[], None]]:
    """Prolong the lease from a thread with a database connection of its own, however long one unit takes.

    Yields a check for use directly before a request leaves: it raises LeaseLostError when this process has not
    heard for a whole lease that the lease is still its own (it was stopped, or the database is away). Others may
    work on the same records by then, and the CRM knows no fence.
    """
    ended = threading.Event()
    heard = [_awake_seconds()]

    def beat() -> None:
        try:
            while not ended.wait(lease.seconds / BEATS_PER_LEASE):
                asked = _awake_seconds()
                try:
                    if not renew_lease(connection, lease):
                        return
                except DatabaseError:
                    log.warning("the lease could not be prolonged", extra={"stream": lease.stream})
                    connections.close_all()
                else:
                    heard[0] = asked
        finally:
            connections.close_all()

    def check() -> None:
        if _awake_seconds() - heard[0] >= lease.seconds:
            raise LeaseLostError

    thread = threading.Thread(target=beat, name=f"lease {lease.stream}", daemon=True)
    thread.start()
    try:
        yield check
    finally:
        ended.set()
        thread.join()


def _awake_seconds() -> float:
    """A clock that no one sets and that goes on while this machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _set_end(
    connection: CrmConnection, lease: Lease, seconds: float, owner: str | None = None
) -> list[tuple[Any, ...]]:
    return _execute(
        connection,
        """
        UPDATE crm_leases SET expires_at = clock_timestamp() + make_interval(secs => %(seconds)s),
          owner = coalesce(%(owner_after)s::text, owner)
        WHERE organization_id = %(organization)s AND connection_id = %(connection)s AND stream = %(stream)s
          AND owner = %(owner)s AND fence = %(fence)s AND expires_at > clock_timestamp()
        RETURNING fence
        """,
        stream=lease.stream,
        owner=lease.owner,
        fence=lease.fence,
        seconds=seconds,
        owner_after=owner,
    )


def _execute(connection: CrmConnection, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
    named = {"organization": connection.organization_id, "connection": connection.pk, **parameters}
    with in_organization(str(connection.organization_id)), database.cursor() as cursor:
        cursor.execute(statement, named)
        return list(cursor.fetchall())
