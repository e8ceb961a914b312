"""Everything that happened to the connections on one line: runs, settings, mappings, fields and webhooks."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from adsapp_crm.models import CrmConnectionEvent, CrmMappingVersion, CrmSyncLog, CrmWebhookEvent
from adsapp_crm.models.choices import ConnectionEventKind
from adsapp_crm.services.actor_names import names_of
from adsapp_crm.services.field_labels import Labels, labels_of
from adsapp_crm.services.mapping_files import MappingDifference, compare_mappings, version_rows

SIZE: Final = 40
MOST_DELIVERIES: Final = 2_000
"""Webhook events that one page counts by the hour."""
KINDS: Final = {
    "run": _("Runs"),
    "settings": _("Connection and settings"),
    "mapping": _("Mapping"),
    "schema": _("Fields of the CRM"),
    "webhook": _("Webhooks"),
}


@dataclass(frozen=True, slots=True)
class Moment:
    at: datetime
    kind: str
    connection_id: uuid.UUID
    row: Any = None
    """The run, event or mapping version; None for webhooks."""
    number: int = 0
    by_status: Mapping[str, int] = field(default_factory=dict)
    by: str = ""
    difference: MappingDifference | None = None
    """What a mapping version changed of the one before it."""
    labels: Labels = field(default_factory=dict)
    """What the CRM calls the fields that are named."""


@dataclass(frozen=True, slots=True)
class Timeline:
    moments: tuple[Moment, ...]
    next: str
    """Time that the following page ends before (ISO 8601); empty on the last."""


def timeline(
    connections: Collection[uuid.UUID], *, kind: str = "", before: datetime | None = None, size: int = SIZE
) -> Timeline:
    """The newest first, in the current organization's context: eight queries, however long the history is."""
    wanted = [kind] if kind in KINDS else list(KINDS)
    found: list[Moment] = []
    for each in wanted:
        found += _SOURCES[each](connections, before, size + 1)
    found.sort(key=lambda moment: moment.at, reverse=True)
    shown = found[:size]
    names = names_of(moment.row.actor for moment in shown if moment.row is not None)
    labels = labels_of({each.connection_id for each in shown if each.kind in ("mapping", "schema")})
    differences = _differences([each.row for each in shown if each.kind == "mapping"])
    told = tuple(
        replace(
            each,
            by=_by(each, names),
            difference=differences.get(each.row.pk) if each.row is not None else None,
            labels=labels.get(each.connection_id, {}),
        )
        for each in shown
    )
    return Timeline(told, shown[-1].at.isoformat() if len(found) > size else "")


def _by(moment: Moment, names: Mapping[str, str]) -> str:
    return names.get(moment.row.actor, "") if moment.row is not None else ""


def _runs(connections: Collection[uuid.UUID], before: datetime | None, size: int) -> list[Moment]:
    rows = CrmSyncLog.objects.select_related("plan").filter(connection__in=connections)
    rows = rows.filter(started_at__lt=before) if before else rows
    return [Moment(row.started_at, "run", row.connection_id, row) for row in rows.order_by("-started_at", "-id")[:size]]


def _events(kind: str) -> Any:
    def found(connections: Collection[uuid.UUID], before: datetime | None, size: int) -> list[Moment]:
        rows = CrmConnectionEvent.objects.filter(connection__in=connections)
        schema = ConnectionEventKind.SCHEMA
        rows = rows.filter(kind=schema) if kind == "schema" else rows.exclude(kind=schema)
        rows = rows.filter(at__lt=before) if before else rows
        return [Moment(row.at, kind, row.connection_id, row) for row in rows.order_by("-at", "-id")[:size]]

    return found


def _versions(connections: Collection[uuid.UUID], before: datetime | None, size: int) -> list[Moment]:
    rows = CrmMappingVersion.objects.filter(connection__in=connections)
    rows = rows.filter(created_at__lt=before) if before else rows
    ordered = rows.order_by("-created_at", "-id")[:size]
    return [Moment(row.created_at, "mapping", row.connection_id, row) for row in ordered]


def _differences(versions: Sequence[CrmMappingVersion]) -> dict[uuid.UUID, MappingDifference]:
    """By version, what it changed; of a connection's first one nothing is known that was before it."""
    stored = {(each.connection_id, each.version): each.mappings for each in versions}
    before = {(connection, version - 1) for connection, version in stored} - stored.keys()
    if before:
        asked = Q(pk=None)
        for connection, version in before:
            asked |= Q(connection=connection, version=version)
        older = CrmMappingVersion.objects.filter(asked)
        stored |= {(each.connection_id, each.version): each.mappings for each in older}
    return {
        each.pk: compare_mappings(version_rows(was), version_rows(each.mappings))
        for each in versions
        if (was := stored.get((each.connection_id, each.version - 1))) is not None
    }


def _deliveries(connections: Collection[uuid.UUID], before: datetime | None, size: int) -> list[Moment]:
    """One moment an hour and connection: the newest event of it, and how many there were."""
    rows = CrmWebhookEvent.objects.filter(connection__in=connections)
    rows = rows.filter(received_at__lt=before) if before else rows
    newest: Sequence[tuple[Any, datetime, str]] = list(
        rows.order_by("-received_at").values_list("connection_id", "received_at", "status")[:MOST_DELIVERIES]
    )
    hours: dict[tuple[Any, datetime], Counter[str]] = {}
    at: dict[tuple[Any, datetime], datetime] = {}
    for connection_id, received, status in newest:
        key = connection_id, received.replace(minute=0, second=0, microsecond=0)
        hours.setdefault(key, Counter())[status] += 1
        at.setdefault(key, received)
    return [
        Moment(at[key], "webhook", key[0], number=counted.total(), by_status=dict(counted))
        for key, counted in hours.items()
    ][:size]


_SOURCES: Final[Mapping[str, Any]] = {
    "run": _runs,
    "settings": _events("settings"),
    "mapping": _versions,
    "schema": _events("schema"),
    "webhook": _deliveries,
}
