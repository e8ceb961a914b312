"""The admin: what staff see and do in one organization at a time. Credentials are never rendered."""

from __future__ import annotations

from adsapp_crm.admin import conflicts, connections, contacts, mappings, organizations, records, runs, service, webhooks

__all__ = [
    "conflicts",
    "connections",
    "contacts",
    "mappings",
    "organizations",
    "records",
    "runs",
    "service",
    "webhooks",
]
