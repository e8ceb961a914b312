"""Every error code people can meet, with what it means and what to do: the same text in pages, API and documentation.

A code never changes its meaning. ``tests/adsapp_crm/test_catalogue.py`` fails for a code in the source
without an entry here.
"""

from __future__ import annotations

from adsapp_crm.catalogue.connections import CONNECTIONS
from adsapp_crm.catalogue.doors import DOORS
from adsapp_crm.catalogue.entry import Entry, Retry
from adsapp_crm.catalogue.logins import LOGINS
from adsapp_crm.catalogue.notices import NOTICES
from adsapp_crm.catalogue.operations import OPERATIONS
from adsapp_crm.catalogue.programs import PROGRAMS
from adsapp_crm.catalogue.records import RECORDS
from adsapp_crm.catalogue.service import SERVICE
from adsapp_crm.catalogue.webhooks import WEBHOOKS

ENTRIES: dict[str, Entry] = {
    **CONNECTIONS,
    **LOGINS,
    **RECORDS,
    **SERVICE,
    **DOORS,
    **WEBHOOKS,
    **PROGRAMS,
    **OPERATIONS,
    **NOTICES,
}

__all__ = ["ENTRIES", "Entry", "Retry", "explain"]


def explain(code: str) -> Entry:
    """The entry of a code; that of ``internal.error`` for a code nobody wrote an entry for."""
    return ENTRIES.get(code, ENTRIES["internal.error"])
