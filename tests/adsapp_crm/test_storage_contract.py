"""The store on PostgreSQL keeps every promise of the port."""

from __future__ import annotations

import contextlib

import pytest
from django.db import connection as database

from adsapp_crm.models import (
    Contact,
    CrmConflict,
    CrmConnection,
    CrmLedgerEntry,
    CrmPlan,
    CrmPlanLine,
    CrmSyncLog,
    CrmSyncState,
)
from adsapp_crm.models.contact import match_keys
from adsapp_crm.services.conflicts import create_anyway
from adsapp_crm.storage import DjangoStore, acquire_lease, codec
from crm.errors import LeaseLostError
from crm.mapping.app_fields import APP_FIELDS
from crm.model import Resolution
from crm.testing.store_contract import StoreContract

CLOCKED = {
    "crm_leases": ("expires_at",),
    "crm_plan_lines": ("claimed_until",),
    "crm_sync_state": ("claimed_until", "next_attempt_at"),
    "crm_intents": ("claimed_until",),
}


class World:
    """A connection in the test's database, and everybody around it."""

    def __init__(self, tenant, owner_sql):
        self.tenant, self.owner_sql = tenant, owner_sql
        self.passed_seconds = 0.0
        self.workers = 0
        with tenant.context():
            self.connection = CrmConnection.objects.create(crm_type="hubspot")
        self.store = self.rival()

    def rival(self):
        self.workers += 1
        return DjangoStore(self.tenant.id, self.connection.pk, worker=f"worker {self.workers}")

    def make_contact(self, values):
        with self.tenant.context(actor="user:test", origin="user"):
            attributes = {APP_FIELDS[name].attribute: _column(value) for name, value in values.items()}
            keys = match_keys(attributes.get("email", ""), attributes.get("phone", ""), "NL")
            return str(Contact.objects.create(**attributes, **keys).pk)

    def edit_contact(self, contact_id, values):
        with self.tenant.context(actor="user:test", origin="user"):
            attributes = {APP_FIELDS[name].attribute: _column(value) for name, value in values.items()}
            Contact.objects.filter(pk=contact_id).update(**attributes)
        self.owner_sql("SELECT set_config('app.org', %s, false)", str(self.tenant.id))
        self.owner_sql(
            "UPDATE contact_changes SET at = at + make_interval(secs => %s) WHERE contact_id = %s"
            " AND version = (SELECT version FROM contacts WHERE id = %s)",
            self.passed_seconds,
            contact_id,
            contact_id,
        )

    def delete_contact(self, contact_id):
        self._sql("UPDATE contacts SET deleted_at = now() WHERE id = %s", [contact_id])

    def exclude_contact(self, contact_id):
        with self.tenant.context():
            CrmSyncState.objects.update_or_create(
                connection=self.connection,
                contact_id=contact_id,
                crm_record_type="contact",
                defaults={"excluded_at": "2026-01-01T00:00:00Z"},
                create_defaults={"excluded_at": "2026-01-01T00:00:00Z", "state": "pending"},
            )

    def start_run(self, kind):
        # The suite starts runs inside units too, whose context is open already.
        with contextlib.nullcontext() if database.in_atomic_block else self.tenant.context():
            mine = {"organization_id": self.tenant.id, "connection": self.connection}
            plan = CrmPlan(**mine)
            run = CrmSyncLog(**mine, sync_type=kind.value, record_types=["contact"], plan=plan)
            CrmPlan.unscoped.bulk_create([plan])
            CrmSyncLog.unscoped.bulk_create([run])
            return str(run.pk)

    def request_cancel(self, run_id):
        with self.tenant.context():
            CrmSyncLog.objects.filter(pk=run_id).update(cancel_requested=True)

    def approve_plan(self, plan_id):
        with self.tenant.context():
            CrmPlanLine.objects.filter(plan=plan_id, status__in=["held", "planned"]).update(
                status="planned", approved=True
            )
            CrmPlan.objects.filter(pk=plan_id).update(status="approved")

    def open_conflict_ids(self):
        with self.tenant.context():
            return [str(pk) for pk in CrmConflict.objects.exclude(status="closed").values_list("pk", flat=True)]

    def answer_conflict(self, conflict_id, side):
        with self.tenant.context():
            conflict = CrmConflict.objects.get(pk=conflict_id)
            shown = codec.decode_values(conflict.values)
            conflict.resolution = codec.encode(Resolution(conflict_id, side, None, shown["app"], shown["crm"]))
            conflict.status = "answered"
            conflict.save()

    def create_anyway(self, conflict_id):
        with self.tenant.context():
            create_anyway(CrmConflict.objects.get(pk=conflict_id).pk, actor="user:test")

    def take_lease(self, store, stream):
        lease = acquire_lease(self.connection, stream)
        if lease is None:
            raise LeaseLostError
        store.lease = lease

    def pass_time(self, seconds):
        """The database's clock cannot be moved: everything that waits for it is."""
        self.passed_seconds += seconds
        for table, columns in CLOCKED.items():
            moved = ", ".join(f"{column} = {column} - make_interval(secs => {seconds})" for column in columns)
            self._sql(f"UPDATE {table} SET {moved}", [])

    def ledger_lines(self):
        with self.tenant.context():
            return CrmLedgerEntry.objects.count()

    def _sql(self, statement, parameters):
        with self.tenant.context(), database.cursor() as cursor:
            cursor.execute(statement, parameters)


def _column(value):
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.django_db(transaction=True)
class TestDjangoStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _surroundings(self, tenant, owner_sql):
        self.tenant, self.owner_sql = tenant, owner_sql

    def make_world(self):
        return World(self.tenant, self.owner_sql)

    def count_ledger(self, world):
        return world.ledger_lines()
