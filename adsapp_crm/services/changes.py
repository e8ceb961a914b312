"""The ledger, read: what the sync did to whom, by which rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import QuerySet

from adsapp_crm.models import CrmLedgerEntry


def find_changes(asked: Mapping[str, Any]) -> QuerySet[CrmLedgerEntry]:
    """Entries of the current organization; keys of ``asked``: connectionId, contactId, runId, kind, field, since."""
    found = CrmLedgerEntry.objects.all()
    for key, column in (("connectionId", "connection_id"), ("contactId", "contact_id"), ("runId", "run_id")):
        if asked.get(key):
            found = found.filter(**{column: asked[key]})
    if asked.get("kind"):
        found = found.filter(kind=asked["kind"])
    if asked.get("field"):
        # An entry keeps its effects, or the whole action that holds them.
        effect = [{"app_field": asked["field"]}]
        found = found.filter(effects__contains=effect) | found.filter(action__effects__contains=effect)
    if asked.get("since"):
        found = found.filter(at__gte=asked["since"])
    return found


def effects_of(entry: CrmLedgerEntry) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = entry.effects or (entry.action or {}).get("effects", [])
    return found
