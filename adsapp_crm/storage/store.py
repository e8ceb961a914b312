"""The store of one connection, and its unit: one transaction, one organization, one fence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db import transaction

from adsapp_crm.storage.applying import Applying
from adsapp_crm.storage.contacts import Contacts
from adsapp_crm.storage.ids import new_id
from adsapp_crm.storage.journal import Journal
from adsapp_crm.storage.leases import Lease
from adsapp_crm.storage.links import Links
from adsapp_crm.storage.marking import Marking
from adsapp_crm.storage.observing import Observations
from adsapp_crm.storage.pairing import Pairing
from adsapp_crm.storage.planning import Planning
from adsapp_crm.storage.runs import Runs
from adsapp_crm.storage.scope import Scope
from adsapp_crm.storage.work import Work
from adsapp_crm.tenancy import current_organization_or_none


class DjangoUnit(Runs, Contacts, Links, Observations, Pairing, Planning, Applying, Journal, Marking, Work):
    """``crm.ports.Unit``: each family of verbs stands in its own module."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def now(self) -> datetime:
        """The database's clock when the unit opened."""
        return self._scope.now


class DjangoStore:
    """``crm.ports.SyncStore`` of one connection and one worker.

    ``worker`` names who claims records; it must differ between any two stores that work at the same
    time. With a ``lease`` each unit is refused once somebody else has the stream, and each unit that
    stores something prolongs the lease.
    """

    def __init__(
        self,
        organization_id: object,
        connection_id: object,
        lease: Lease | None = None,
        *,
        worker: str,
        tombstone_key: bytes | None = None,
    ) -> None:
        self.organization_id = str(organization_id)
        self.connection_id = str(connection_id)
        self.lease = lease
        self.worker = worker
        self.tombstone_key = tombstone_key

    @contextmanager
    def unit(self, run_id: str = "") -> Iterator[DjangoUnit]:
        """Open a transaction. Raises LeaseLostError when somebody else has the stream. With ``run_id`` the run
        comes along, and of one that applies its plan no other worker claims lines before the transaction ends.

        Raises RuntimeError inside ``organization_context``: its transaction would be held across the
        calls to the CRM between two units.
        """
        if current_organization_or_none() is not None:
            raise RuntimeError("A unit opens its own transaction: leave organization_context first.")
        with transaction.atomic():
            scope = Scope(self.organization_id, self.connection_id, self.worker, self.lease, run_id)
            scope.tombstone_key = self.tombstone_key
            try:
                yield DjangoUnit(scope)
                scope.flush()
            finally:
                scope.close()

    def new_id(self) -> str:
        return new_id()
