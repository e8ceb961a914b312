"""Reads that several doors share.

First the look-ups that come before an organization is known: each calls one ``SECURITY DEFINER`` function
(``migrations/0002_isolation.py``), which tells ids, words and times, never contents. Everything else runs
inside ``organization_context``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from adsapp_crm.models import Organization
from adsapp_crm.tenancy import current_organization_or_none, organization_context
from crm.normalize import sanitize_text

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Place:
    """An organization a person may enter."""

    organization_id: uuid.UUID
    role: str
    staff_access_id: uuid.UUID | None
    """The grant that lets our own staff in; None for a member."""


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """What schedules, boards and metrics know of a connection."""

    connection_id: uuid.UUID
    organization_id: uuid.UUID
    crm_type: str
    status: str
    health: str
    mode: str
    last_sync_at: datetime | None
    last_success_at: datetime | None
    last_error_code: str
    first_sync_approved_at: datetime | None
    next_sync_at: datetime | None
    parked_until: datetime | None
    token_expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class UnfinishedRun:
    run_id: uuid.UUID
    organization_id: uuid.UUID
    connection_id: uuid.UUID
    status: str
    resume_at: datetime | None


def database_now() -> datetime:
    """What decisions go by; workers' clocks differ."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
        return now


def places_of(user_id: uuid.UUID) -> list[Place]:
    """Where a person may go: memberships first, then staff access that has not ended."""
    rows = [Place(*row) for row in _call("crm_organizations_of", user_id)]
    return sorted(rows, key=lambda place: (place.staff_access_id is not None, place.organization_id))


def organization_ids() -> Iterator[uuid.UUID]:
    """Every organization, oldest first, read in pages."""
    after: uuid.UUID | None = None
    while rows := _call("crm_organizations", after, _PAGE):
        for (organization_id,) in rows:
            yield organization_id
        after = rows[-1][0]


def find_organization(text: str) -> uuid.UUID | None:
    """The organization with this id, or the only one with exactly this name."""
    named = [row[0] for row in _call("crm_organizations_named", text)]
    if named:
        return named[0] if len(named) == 1 else None
    try:
        wanted = uuid.UUID(text)
    except ValueError:
        return None
    return wanted if organization_name(wanted) is not None else None


def organization_name(organization_id: uuid.UUID) -> str | None:
    """The name, read in a context of its own unless this is the current organization; None when there is none."""
    if current_organization_or_none() == organization_id:
        return Organization.objects.values_list("name", flat=True).first()
    with organization_context(organization_id):
        return Organization.objects.values_list("name", flat=True).first()


def open_connections() -> Iterator[OpenConnection]:
    """Every connection that is not disconnected, oldest first, read in pages."""
    after: uuid.UUID | None = None
    while rows := _call("crm_open_connections", after, _PAGE):
        for row in rows:
            yield OpenConnection(*row)
        after = rows[-1][0]


def organization_of_connection(connection_id: uuid.UUID) -> uuid.UUID | None:
    rows = _call("crm_organization_of_connection", connection_id)
    return rows[0][0] if rows else None


def connections_of_account(provider: str, remote_account_id: str) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """(connection id, organization id) of the open connections to one CRM account."""
    return [(row[0], row[1]) for row in _call("crm_connections_of_account", provider, remote_account_id)]


def place_of_run(run_id: uuid.UUID) -> tuple[uuid.UUID, uuid.UUID] | None:
    """(organization id, connection id) of a run."""
    rows = _call("crm_organization_of_run", run_id)
    return (rows[0][0], rows[0][1]) if rows else None


def unfinished_runs(limit: int = 1000) -> list[UnfinishedRun]:
    """Runs that are running or wait for quota, oldest first."""
    return [UnfinishedRun(*row) for row in _call("crm_unfinished_runs", limit)]


def oauth_state(state_hash: str) -> tuple[uuid.UUID, uuid.UUID] | None:
    """(state id, organization id) of a begun log-in."""
    rows = _call("crm_oauth_state", state_hash)
    return (rows[0][0], rows[0][1]) if len(rows) == 1 else None


def webhook_of_path(token_digest: str) -> tuple[uuid.UUID, uuid.UUID, uuid.UUID] | None:
    """(webhook id, organization id, connection id) of a webhook address, by the SHA-256 of its token."""
    rows = _call("crm_webhook_of_path", token_digest)
    return (rows[0][0], rows[0][1], rows[0][2]) if len(rows) == 1 else None


def organization_of_app(registration_id: uuid.UUID, provider: str) -> uuid.UUID | None:
    """Whose app registration this is."""
    rows = _call("crm_organization_of_app", registration_id, provider)
    return rows[0][0] if rows else None


def waiting_inboxes(limit: int = 1000) -> list[uuid.UUID]:
    """Connections for which webhook events wait, or are being worked on."""
    return [row[0] for row in _call("crm_waiting_inboxes", limit)]


def organizations_to_tell(limit: int = 1000) -> list[uuid.UUID]:
    """Organizations with notices that nobody was told of, or messages whose time has come."""
    return [row[0] for row in _call("crm_organizations_to_tell", limit)]


def connections_beside_changes(seconds: int, limit: int = 1000) -> list[uuid.UUID]:
    """Connections that sync and in whose organization a contact was written within these seconds."""
    return [row[0] for row in _call("crm_connections_beside_changes", seconds, limit)]


def figures_of(function: str, *arguments: uuid.UUID | int) -> list[tuple[Any, ...]]:
    """Rows of one of the look-ups that count over all organizations and tell numbers only."""
    return _call(function, *arguments)


def organization_of_audit(audit_id: uuid.UUID) -> uuid.UUID | None:
    rows = _call("crm_organization_of_audit", audit_id)
    return rows[0][0] if rows else None


def api_key(prefix: str) -> tuple[uuid.UUID, uuid.UUID] | None:
    """(key id, organization id). The secret is compared inside the organization's context."""
    rows = _call("crm_api_key", prefix)
    return (rows[0][0], rows[0][1]) if len(rows) == 1 else None


def _call(function: str, *arguments: uuid.UUID | str | int | None) -> list[tuple[Any, ...]]:
    # Names and tokens come from anybody; no row holds one with a NUL in it, and asking for it is no fault of ours.
    asked = [sanitize_text(each)[0] if isinstance(each, str) else each for each in arguments]
    marks = ", ".join(["%s"] * len(arguments))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {function}({marks})", asked)  # noqa: S608  the names above, no input
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
