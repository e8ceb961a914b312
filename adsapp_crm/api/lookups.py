"""Rows that a request names, of the current organization; another organization's are as unknown as none."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from adsapp_crm.models import Contact, CrmConflict, CrmConnection, CrmPlan, CrmSyncLog
from adsapp_crm.services.refusals import refuse

_NAMED: Final[Mapping[str, tuple[Any, str]]] = {
    "connectionId": (CrmConnection, "connection.unknown"),
    "contactId": (Contact, "contact.unknown"),
}


def check_named(asked: Mapping[str, Any]) -> None:
    """Each connection and contact that is named exists: a list of what is nowhere would look like an empty one.

    A run is not looked for: it is removed after its retention, and its entries in the ledger are not.
    """
    for key, (model, code) in _NAMED.items():
        wanted = asked.get(key)
        if wanted is not None and not model.objects.filter(pk=wanted).exists():
            raise refuse(code, f"There is nothing with this {key}.", field=key)


def find_connection(connection_id: uuid.UUID, *, field: str = "id") -> CrmConnection:
    """In any state, disconnected too."""
    row = CrmConnection.objects.filter(pk=connection_id).first()
    if row is None:
        raise refuse("connection.unknown", "There is no connection with this id.", field=field)
    return row


def find_run(run_id: uuid.UUID) -> CrmSyncLog:
    row = CrmSyncLog.objects.filter(pk=run_id).first()
    if row is None:
        raise refuse("run.unknown", "There is no run with this id.", field="id")
    return row


def find_plan(plan_id: uuid.UUID) -> CrmPlan:
    row = CrmPlan.objects.filter(pk=plan_id).first()
    if row is None:
        raise refuse("plan.unknown", "There is no plan with this id.", field="id")
    return row


def find_conflict(conflict_id: uuid.UUID) -> CrmConflict:
    row = CrmConflict.objects.filter(pk=conflict_id).first()
    if row is None:
        raise refuse("conflict.unknown", "There is no conflict with this id.", field="id")
    return row
