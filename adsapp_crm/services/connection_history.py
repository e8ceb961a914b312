"""Writing down what happens to a connection, in the transaction in which it happens."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from adsapp_crm.models import CrmConnectionEvent
from adsapp_crm.models.choices import ConnectionEventKind
from adsapp_crm.services.field_labels import labels_in
from adsapp_crm.tenancy import current_actor

MOST_FIELDS_NAMED: Final = 20


def note(
    connection_id: uuid.UUID, kind: ConnectionEventKind, *, actor: str = "", code: str = "", **details: Any
) -> None:
    """A line of the connection's history, in the current organization's context and transaction."""
    CrmConnectionEvent.objects.create(
        connection_id=connection_id, kind=kind, code=code, details=details, actor=actor or current_actor()
    )


def note_settings(connection_id: uuid.UUID, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Which settings changed, from what to what; nothing where none did."""
    changed = {
        name: [before.get(name), after.get(name)]
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    }
    if changed:
        note(connection_id, ConnectionEventKind.SETTINGS, changed=changed)


def note_schema(connection_id: uuid.UUID, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Which fields the CRM added, removed or changed, by record type; both as ``CrmConnection.schema`` keeps them."""
    for record_type in sorted(set(before) & set(after)):
        if before[record_type].get("hash") == after[record_type].get("hash"):
            continue
        was, now = _by_name(before[record_type]), _by_name(after[record_type])
        details: dict[str, Any] = {
            "recordType": record_type,
            "added": sorted(set(now) - set(was))[:MOST_FIELDS_NAMED],
            "removed": sorted(set(was) - set(now))[:MOST_FIELDS_NAMED],
            "changed": sorted(name for name in set(was) & set(now) if was[name] != now[name])[:MOST_FIELDS_NAMED],
        }
        labels = {**labels_in(before[record_type]), **labels_in(after[record_type])}
        named = {name for each in ("added", "removed", "changed") for name in details[each]}
        details["labels"] = {name: labels[name] for name in sorted(named) if labels[name] != name}
        note(connection_id, ConnectionEventKind.SCHEMA, **details)


def _by_name(described: Mapping[str, Any]) -> dict[str, Any]:
    return {str(field["name"]): field for field in described.get("fields", [])}
