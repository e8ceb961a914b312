"""Asking a CRM anew which fields its records have, and what follows when they have become others."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adsapp_crm import wiring
from adsapp_crm.models import CrmConnection, CrmFieldMapping
from adsapp_crm.models.choices import ConnectionStatus
from adsapp_crm.services.connection_history import note_schema
from adsapp_crm.services.mappings import described
from adsapp_crm.services.record_actions import retry_refused
from adsapp_crm.services.refusals import refuse
from adsapp_crm.storage import codec
from adsapp_crm.tenancy import organization_context
from crm.mapping.reopened import may_take_more
from crm.model import FieldDefinition
from crm.ports import Limiter


def refresh_fields(
    organization_id: uuid.UUID,
    connection_id: uuid.UUID,
    *,
    actor: str,
    listen: Callable[[wiring.SharedLimiter], Limiter] | None = None,
) -> CrmConnection:
    """Store what the CRM says of its fields now; with an error of the CRM (any CrmError) nothing has changed.

    Must be called outside ``organization_context``. Raises RefusedError: ``connection.unknown``,
    ``connection.paused``.
    """
    with organization_context(organization_id, actor=actor):
        row = CrmConnection.objects.defer(None).filter(pk=connection_id).first()
    if row is None or row.status == ConnectionStatus.DISCONNECTED:
        raise refuse("connection.unknown", "There is no open connection with this id.", field="id")
    if row.status != ConnectionStatus.ACTIVE:
        raise refuse("connection.paused", "The connection is paused or needs its owner.", fix="Resume or reconnect it.")
    connector = wiring.connector_of(row, listen=listen)
    found = {record_type: connector.describe(record_type) for record_type in wiring.record_types_of(row)}
    with organization_context(organization_id, actor=actor):
        store_fields(row, found)
        return CrmConnection.objects.get(pk=connection_id)


def store_fields(asked: CrmConnection, found: Mapping[str, Sequence[FieldDefinition]]) -> dict[str, Any]:
    """Keep a description as of now; returns what is kept. In the current organization's context.

    Nothing changes where somebody has connected anew since ``asked`` was read: the new grant may see other fields. Who
    asks at the same time as another finds the change noted already.
    """
    row = CrmConnection.objects.defer(None).select_for_update(no_key=True).get(pk=asked.pk)
    before: dict[str, Any] = row.schema
    if row.connected_at != asked.connected_at:
        return before
    after = {**before, **described(found)}
    CrmConnection.objects.filter(pk=row.pk).update(schema=after)
    note_fields(uuid.UUID(str(row.pk)), before, after)
    return after


def note_fields(connection_id: uuid.UUID, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Write a change down, and have records tried again that may be taken now; both as ``CrmConnection.schema``.

    Once a change: the same description twice does nothing. In the current organization's context.
    """
    note_schema(connection_id, before, after)
    changed = [kind for kind in before if kind in after and before[kind].get("hash") != after[kind].get("hash")]
    if not changed:
        return
    mapped: dict[str, set[str]] = {}
    rows = CrmFieldMapping.objects.filter(connection=connection_id, deleted_at__isnull=True)
    for record_type, name in rows.values_list("record_type", "crm_field"):
        mapped.setdefault(record_type, set()).add(name)
    open_again = [
        kind for kind in changed if may_take_more(_fields(before[kind]), _fields(after[kind]), mapped.get(kind, ()))
    ]
    retry_refused(connection_id, open_again)


def _fields(description: Mapping[str, Any]) -> dict[str, FieldDefinition]:
    return {each["name"]: codec.decode(FieldDefinition, each) for each in description.get("fields", [])}
