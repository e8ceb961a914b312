"""One worker's store of a connection on PostgreSQL, with the doors of ``MemoryStore`` round the product's own store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection as database

from adsapp_crm.models import CrmConflict, CrmConnection, CrmPlan, CrmPlanLine, CrmSyncLog
from adsapp_crm.storage import DjangoStore, Lease, acquire_lease, codec, release_lease, renew_lease
from adsapp_crm.tenancy import organization_context
from crm.errors import LeaseLostError
from crm.model import Intent, LedgerEntry, Link, Resolution, RunKind, RunState, Side, Value
from crm.testing.memory_state import ConflictRow
from tests.harness.simulate.postgres_app import PostgresApp
from tests.harness.simulate.postgres_mirror import Tables, read_tables

LEASE_SECONDS = 120.0
BEAT_SECONDS = 30.0
"""A worker prolongs its lease so often, while it is not standing still."""
CRMS = ("hubspot", "salesforce", "pipedrive")
"""One connection of each: an organization has one of a kind."""
_FENCE = "SELECT k.fence FROM crm_leases k WHERE k.connection_id = %s AND k.stream = %s"


class PostgresStore:
    def __init__(self, app: PostgresApp, name: str, connection: CrmConnection) -> None:
        self.app, self.name, self.connection = app, name, connection
        self._lease: Lease | None = None
        self._renewed_at = app.now()
        self._tables: tuple[int, Tables | None] = (-1, None)
        self._door = DjangoStore(app.organization_id, connection.pk, worker=app.new_id())

    @classmethod
    def connected(cls, app: PostgresApp, name: str) -> PostgresStore:
        with organization_context(app.organization_id):
            connection = CrmConnection.objects.create(id=app.new_id(), crm_type=CRMS[len(app.names)])
        app.names[str(connection.pk)] = name
        return cls(app, name, connection)

    def rival(self) -> PostgresStore:
        return PostgresStore(self.app, self.name, self.connection)

    def fork(self, app: PostgresApp) -> PostgresStore:
        return PostgresStore(app, self.name, self.connection)

    def new_id(self) -> str:
        return self.app.new_id()

    @contextmanager
    def unit(self, run_id: str = "") -> Iterator[Any]:
        self._beat()
        self.app.tell_time()
        self._door.lease = self._lease
        self.app.units_open += 1
        try:
            with self._door.unit(run_id) as unit:
                yield unit
        finally:
            self.app.units_open -= 1
            self.app.writes += 1

    # leases

    def take_lease(self, stream: str) -> None:
        self.app.tell_time()
        lease = acquire_lease(self.connection, stream, LEASE_SECONDS)
        self.app.writes += 1
        if lease is None:
            raise LeaseLostError
        self._lease, self._renewed_at = lease, self.app.now()

    def release_lease(self) -> None:
        if self._lease:
            self.app.tell_time()
            release_lease(self.connection, self._lease)
        self._lease = None

    @property
    def has_lease(self) -> bool:
        return self._lease is not None

    def lease_is_ours(self) -> bool:
        """Asked inside a unit: its transaction says whose rows are seen, and goes on after the question."""
        if self._lease is None:
            return True
        with database.cursor() as cursor:
            cursor.execute(_FENCE, [self.connection.pk, self._lease.stream])
            return bool(cursor.fetchone() == (self._lease.fence,))

    def _beat(self) -> None:
        if self._lease and (self.app.now() - self._renewed_at).total_seconds() > BEAT_SECONDS:
            self.app.tell_time()
            renew_lease(self.connection, self._lease)
            self._renewed_at = self.app.now()

    # services around the engine

    def start_run(
        self,
        kind: RunKind = RunKind.FULL,
        *,
        record_types: tuple[str, ...] = ("contact",),
        dry_run: bool = False,
        contact_ids: tuple[str, ...] = (),
        remote_ids: tuple[str, ...] = (),
        plan_id: str = "",
    ) -> str:
        with self._writing():
            run = CrmSyncLog(
                id=self.new_id(), connection=self.connection, sync_type=kind.value, record_types=list(record_types),
                dry_run=dry_run, approved=bool(plan_id), contact_ids=list(contact_ids), remote_ids=list(remote_ids),
            )  # fmt: skip
            run.plan_id = plan_id or self.new_id()
            if not CrmPlan.objects.filter(pk=run.plan_id).exists():
                CrmPlan.objects.bulk_create([CrmPlan(id=run.plan_id, connection=self.connection)])
            CrmSyncLog.objects.bulk_create([run])
        return str(run.pk)

    def run(self, run_id: str) -> RunState:
        with self.unit() as unit:
            run: RunState = unit.load_run(run_id)
            return run

    def approve_plan(self, plan_id: str) -> int:
        with self._writing():
            CrmPlan.objects.filter(pk=plan_id).update(status="approved")
            lines = CrmPlanLine.objects.filter(plan=plan_id, status__in=["held", "planned"])
            return int(lines.update(status="planned", approved=True))

    def answer_conflict(self, conflict_id: str, side: Side | None, value: Value = None) -> None:
        draft = self.state.conflicts[conflict_id].draft
        answer = Resolution(conflict_id, side, value, draft.app_value, draft.crm_value)
        with self._writing():
            row = CrmConflict.objects.filter(pk=conflict_id)
            row.update(resolution=codec.encode(answer), status="answered")

    # what an oracle looks at

    @property
    def state(self) -> Tables:
        written, tables = self._tables
        if tables is None or written != self.app.writes:
            tables = read_tables(self.app.organization_id, str(self.connection.pk))
            self._tables = (self.app.writes, tables)
        return tables

    def links(self) -> list[Link]:
        return list(self.state.links.values())

    def ledger(self) -> list[LedgerEntry]:
        return [entry for _, entry in self.state.ledger.values()]

    def open_conflicts(self) -> list[ConflictRow]:
        return [row for row in self.state.conflicts.values() if not row.closed]

    def intents(self) -> list[Intent]:
        return list(self.state.locks.intents.values())

    def _writing(self) -> Any:
        self.app.tell_time()
        self.app.writes += 1
        return organization_context(self.app.organization_id, actor="user:simulated", origin="user")
