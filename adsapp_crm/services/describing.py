"""Asking a CRM anew which fields its records have."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from adsapp_crm import wiring
from adsapp_crm.models import CrmConnection
from adsapp_crm.models.choices import ConnectionStatus
from adsapp_crm.services.connection_history import note_schema
from adsapp_crm.services.mappings import described
from adsapp_crm.services.refusals import refuse
from adsapp_crm.tenancy import organization_context
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
        fresh = described(found)
        if CrmConnection.objects.filter(pk=connection_id, token_version=row.token_version).update(schema=fresh):
            note_schema(connection_id, row.schema, fresh)
        return CrmConnection.objects.get(pk=connection_id)
