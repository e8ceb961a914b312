"""A run at once over records that somebody wants tried again."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

from adsapp_crm.models.choices import RunTrigger
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.services.syncing import start_run
from adsapp_crm.tenancy import current_organization
from crm.model import RunKind

AT_ONCE: Final = 200
"""Contacts that a run takes at once; the next scheduled run takes the rest."""


def start_retry(connection_id: uuid.UUID, contact_ids: Sequence[str], *, actor: str) -> uuid.UUID | None:
    """Store a run over the first of these contacts, in the current organization's context; None where none can start.

    Then the next scheduled run takes them: their links are due.
    """
    if not contact_ids:
        return None
    try:
        return start_run(
            current_organization(),
            connection_id,
            RunKind.MANUAL,
            trigger=RunTrigger.RETRY,
            actor=actor,
            contact_ids=tuple(contact_ids)[:AT_ONCE],
        )
    except RefusedError:
        return None
