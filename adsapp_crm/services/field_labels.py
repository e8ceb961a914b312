"""What a CRM calls its fields, beside their codes: ``Job title`` for ``a1b2c3...``."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from typing import Any

from adsapp_crm.models import CrmConnection

Labels = Mapping[str, Mapping[str, str]]
"""Record type -> field -> label."""


def labels_of(connections: Collection[uuid.UUID]) -> dict[uuid.UUID, Labels]:
    """By connection, as the CRM described its fields last; one query, in the current organization's context."""
    rows = CrmConnection.objects.filter(pk__in=connections).values_list("pk", "schema") if connections else ()
    return {pk: {kind: labels_in(described) for kind, described in schema.items()} for pk, schema in rows}


def labels_in(described: Mapping[str, Any]) -> dict[str, str]:
    """Of one record type's description, as ``CrmConnection.schema`` keeps it."""
    return {str(each["name"]): str(each.get("label") or each["name"]) for each in described.get("fields", [])}
