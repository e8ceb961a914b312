"""``crm.ports.SyncStore`` on PostgreSQL: one connection's state, a transaction a unit of work.

Set-wise SQL, since this is the hot path: every method runs a constant number of statements for any
page size. Every statement names organization and connection, and row-level security says the same.
"""

from __future__ import annotations

from adsapp_crm.storage.leases import Lease, acquire_lease, kept_alive, let_lapse, release_lease, renew_lease
from adsapp_crm.storage.store import DjangoStore

__all__ = ["DjangoStore", "Lease", "acquire_lease", "kept_alive", "let_lapse", "release_lease", "renew_lease"]
