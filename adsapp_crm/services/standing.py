"""How connections are doing: one health word and five counts that add up, for the list, the API and probes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import connection as database
from django.db.models import Case, CharField, Count, Exists, F, Func, OuterRef, Q, TextField, Value, When

from adsapp_crm.models import CrmConflict, CrmConnection, CrmSyncState
from adsapp_crm.models.choices import ConnectionStatus, Health, LinkStatus, QuestionStatus
from adsapp_crm.selectors import open_connections, organization_name
from adsapp_crm.services.audits import drifted, last_audit
from adsapp_crm.services.counting import counted
from adsapp_crm.services.schedules import late_after
from adsapp_crm.tenancy import current_organization, organization_context


@dataclass(frozen=True, slots=True)
class ConnectionStanding:
    organization_id: uuid.UUID
    organization_name: str
    connection_id: uuid.UUID
    crm_type: str
    account: str
    status: str
    health: str
    code: str
    last_sync_at: datetime | None
    last_success_at: datetime | None
    parked_until: datetime | None
    counts: Mapping[str, int]
    """Links by state: in_sync, pending, excluded, failing, conflict."""
    drifted: int | None = None
    """Links that the last audit found drifted; None: not looked up, or never audited."""

    def as_json(self) -> dict[str, Any]:
        return {
            "organizationId": self.organization_id,
            "organization": self.organization_name,
            "connectionId": self.connection_id,
            "crmType": self.crm_type,
            "account": self.account,
            "status": self.status,
            "health": self.health,
            "code": self.code or None,
            "lastSync": self.last_sync_at,
            "lastSuccess": self.last_success_at,
            "parkedUntil": self.parked_until,
            "counts": dict(self.counts),
            "drifted": self.drifted,
        }


def standings(only: uuid.UUID | None = None) -> Iterator[ConnectionStanding]:
    """Every open connection, of one organization or of all. Must be called outside ``organization_context``."""
    with database.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now = cursor.fetchone()[0]
    for each in open_connections():
        if only is not None and each.organization_id != only:
            continue
        with organization_context(each.organization_id):
            row = CrmConnection.objects.filter(pk=each.connection_id).first()
            if row is not None:
                audit = last_audit(row.pk)
                found = standing_of(row, now, organization_name(each.organization_id) or "")
                yield replace(found, drifted=drifted(audit) if audit is not None else None)


def standing_of(row: CrmConnection, now: datetime, name: str = "") -> ConnectionStanding:
    """In the connection's organization; ``now`` by the database's clock."""
    health = health_of(row, now)
    return ConnectionStanding(
        organization_id=current_organization(),
        organization_name=name,
        connection_id=row.pk,
        crm_type=row.crm_type,
        account=row.remote_account_name,
        status=row.status,
        health=health,
        code=code_of(row, health),
        last_sync_at=row.last_sync_at,
        last_success_at=row.last_success_at,
        parked_until=row.parked_until,
        counts=count_links(row),
    )


def health_of(row: CrmConnection, now: datetime) -> str:
    """The stored word, unless time, a failing record or a broken mapping has made it another.

    Nobody writes a connection's row because nothing happened, or because one of its records was refused. One query
    where the stored word is that all is well. That it is late is told first: then nothing at all is synced.
    """
    if row.status != ConnectionStatus.ACTIVE:
        return row.health
    if row.parked_until is not None and row.parked_until > now:
        return Health.WAITING_FOR_QUOTA
    since = row.last_success_at or row.first_sync_approved_at
    if row.health == Health.HEALTHY and since is not None and late_after(row, since) < now:
        return Health.LATE
    if row.health == Health.HEALTHY and trouble_of(row):
        return Health.NEEDS_ATTENTION
    return row.health


def code_of(row: CrmConnection, health: str) -> str:
    """Of the last error, or of what ``health`` needs attention for; empty when there is nothing to say."""
    return (trouble_of(row) if health == Health.NEEDS_ATTENTION else "") or row.last_error_code


class Trouble(Func):
    """What ``trouble_of`` tells, for all rows of a list at once: ``annotate(trouble=Trouble())``."""

    function = "crm_trouble_of"
    output_field = TextField()

    def __init__(self, *_expressions: Any, **named: Any) -> None:
        super().__init__(F("organization_id"), F("pk"), **named)


def trouble_of(row: CrmConnection) -> str:
    """The code of a broken mapping, else ``record.failing``, else nothing; asked once for each row read."""
    if "trouble" not in row.__dict__:
        now_beside(row)
    return str(row.__dict__["trouble"])


def now_beside(row: CrmConnection) -> datetime:
    """The database's time, asked for together with ``trouble_of``."""
    with database.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp(), crm_trouble_of(%s, %s)", [current_organization(), row.pk])
        now: datetime
        now, row.__dict__["trouble"] = cursor.fetchone()
    return now


def count_links(row: CrmConnection) -> dict[str, int]:
    """Each current link in exactly one of the five states, in one query; of many links a little old."""
    return counted("links", row.pk, lambda: _count_links(row))


def _count_links(row: CrmConnection) -> dict[str, int]:
    asked = CrmConflict.objects.filter(
        link_id=OuterRef("pk"), status__in=[QuestionStatus.OPEN, QuestionStatus.ANSWERED]
    )
    failing = ~Q(error_code="") | ~Q(troubles={})
    pending = Q(state=LinkStatus.PENDING) | Q(due=True) | Q(contact__version__gt=F("synced_version"))
    links = CrmSyncState.objects.filter(connection=row, state__in=[LinkStatus.LIVE, LinkStatus.PENDING])
    word = Case(
        When(excluded_at__isnull=False, then=Value("excluded")),
        When(Exists(asked), then=Value("conflict")),
        When(failing, then=Value("failing")),
        When(pending, then=Value("pending")),
        default=Value("in_sync"),
        output_field=CharField(),
    )
    found = dict(links.annotate(word=word).values_list("word").annotate(number=Count("pk")))
    return {key: found.get(key, 0) for key in ("in_sync", "pending", "excluded", "failing", "conflict")}
