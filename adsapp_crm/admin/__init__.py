"""The admin: what staff see of one organization. Read-mostly; credentials are never rendered."""

from __future__ import annotations

from adsapp_crm.admin import conflicts, connections, contacts, history, organizations, runs

__all__ = ["conflicts", "connections", "contacts", "history", "organizations", "runs"]
