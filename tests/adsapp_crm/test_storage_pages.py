"""A page costs the same few statements whether it holds ten records or two hundred."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from adsapp_crm.models import Contact, CrmConnection, CrmPlan, CrmSyncLog
from adsapp_crm.storage import DjangoStore, acquire_lease
from adsapp_crm.storage.statistics import Analyst
from crm.model import (
    Action,
    ActionKind,
    BasePair,
    ConflictChange,
    ConflictDraft,
    ConflictKind,
    ContactWrite,
    Effect,
    Intent,
    IntentKind,
    IntentStatus,
    LedgerEntry,
    LineResult,
    LineStatus,
    Link,
    Observation,
    RemoteRecord,
    Rule,
    Side,
)

pytestmark = pytest.mark.django_db(transaction=True)
TYPE = "contacts"
MOST = 12


class Page:
    """A connection with ``size`` linked contacts, and a run whose worker holds the stream."""

    def __init__(self, tenant, size):
        with tenant.context(actor="user:test", origin="user"):
            self.connection = CrmConnection.objects.create(crm_type="hubspot")
            contacts = Contact.objects.bulk_create(
                Contact(first_name=f"N{n}", email=f"n{n}@x.example", email_normalized=f"n{n}@x.example")
                for n in range(size)
            )
            run = CrmSyncLog.objects.create(connection=self.connection, sync_type="full", record_types=[TYPE])
            run.plan = CrmPlan.objects.create(connection=self.connection, run=run)
            run.save()
        self.run_id, self.plan_id = str(run.pk), str(run.plan.pk)
        lease = acquire_lease(self.connection, "scan")
        self.store = DjangoStore(tenant.id, self.connection.pk, lease, worker="one")
        self.links = [
            Link(
                self.store.new_id(),
                str(contact.pk),
                TYPE,
                f"R{n}",
                base={"m1": BasePair(f"N{n}", f"N{n}", "firstname:string:")},
                synced_version=1,
            )
            for n, contact in enumerate(contacts)
        ]
        with self.store.unit() as unit:
            assert set(unit.save_links(self.links).values()) == {""}

    def actions(self):
        return [
            Action(
                ActionKind.SYNC,
                TYPE,
                link.contact_id,
                link.remote_id,
                link.link_id,
                effects=(_effect("m1", "firstName", Side.CRM), _effect("m2", "lastName", Side.APP)),
            )
            for link in self.links
        ]


def _effect(mapping_id, app_field, side):
    return Effect(mapping_id, app_field, app_field.lower(), side, "old", "new", Rule.APP_CHANGED, "new", "new")


def observe(page):
    """As the engine reads a page: half of it unchanged, half changed, a few records new."""
    store, links = page.store, page.links
    half = len(links) // 2
    with store.unit() as unit:
        views = unit.links_for_records(TYPE, [link.remote_id for link in links])
        assert len(views) == len(links)
        unit.app_changes([view.contact.contact_id for view in views])
    with store.unit() as unit:
        changed = [Observation(RemoteRecord(TYPE, link.remote_id, {"firstname": "X"}), link.link_id) for link in links]
        new = [Observation(RemoteRecord(TYPE, f"new {n}", {"firstname": "Y"})) for n in range(half)]
        unit.save_observations(page.run_id, [*changed[half:], *new])
        unit.mark_seen(page.run_id, {link.link_id: 1 for link in links[:half]})
        unit.add_lines(page.run_id, page.plan_id, page.actions())
        run = unit.load_run(page.run_id)
        run.counts.observed += len(links)
        unit.save_run(run)


def pair(page):
    with page.store.unit() as unit:
        alone = unit.unpaired_records(page.run_id, TYPE, "", 200)
        waiting = unit.unpaired_contacts(TYPE, "", 200, recheck_matches=False)
        unit.key_hits(TYPE, [f"n{n}@x.example" for n in range(len(page.links))], ["+31612345678"])
        unit.named_contacts(page.plan_id, TYPE, [link.contact_id for link in page.links])
        assert len(alone) == len(page.links) // 2
        assert waiting == []


def apply(page):
    """As the engine applies a page in which every line writes both sides and asks something."""
    store = page.store
    with store.unit() as unit:
        lines = unit.claim_lines(page.plan_id, 2, 200)
        views = {view.link.link_id: view for view in unit.links([line.action.link_id for line in lines])}
        unit.now()
        assert len(lines) == len(views) == len(page.links)
    intents = [
        Intent(store.new_id(), IntentKind.UPDATE, line.action, {"firstname": "new"}, 1, line_id=line.line_id)
        for line in lines
    ]
    with store.unit() as unit:
        unit.record_intents(intents)
    with store.unit() as unit:
        unit.check_claims(lines)
        writes = [ContactWrite(line.action.contact_id, 1, {"lastName": "new"}) for line in lines]
        versions = unit.write_contacts(writes)
        assert set(versions.values()) == {2}
        saved = unit.save_links(
            [replace(views[line.action.link_id].link, observed=None, due=False, synced_version=2) for line in lines]
        )
        assert set(saved.values()) == {""}
        unit.add_ledger(
            page.run_id,
            [
                LedgerEntry(line.action, line.action.link_id, line.action.contact_id, line.action.remote_id)
                for line in lines
            ],
        )
        unit.settle_intents([(intent.intent_id, IntentStatus.CONFIRMED, "") for intent in intents])
        draft = ConflictDraft(ConflictKind.FIELD, "m3", "city", app_value="A", crm_value="B")
        asked = [
            ConflictChange(line.action.link_id, line.action.contact_id, TYPE, line.action.remote_id, (draft,))
            for line in lines
        ]
        assert unit.save_conflicts(page.run_id, asked) == len(lines)
        unit.settle_lines([LineResult(line.line_id, LineStatus.APPLIED) for line in lines])
        run = replace_counts(unit.load_run(page.run_id), len(lines)) if page.reload else page.run
        unit.save_run(run)


def replace_counts(run, applied):
    run.counts.applied += applied
    return run


def statements(work, page):
    with CaptureQueriesContext(database) as captured:
        work(page)
    texts = [query["sql"] for query in captured]
    return [text for text in texts if not text.startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK"))]


@pytest.mark.parametrize("work", [observe, pair, apply], ids=lambda work: work.__name__)
def test_a_page_of_two_hundred_costs_what_a_page_of_ten_costs(work, make_organization):
    """At most twelve statements, whatever the size."""
    found = {}
    for size in (10, 200):
        page = Page(make_organization(region="NL"), size)
        page.reload = False
        with page.store.unit() as unit:
            page.run = unit.load_run(page.run_id)
        if work is not observe:
            observe(page)
        found[size] = statements(work, page)
    assert len(found[10]) == len(found[200])
    assert len(found[200]) <= MOST, "\n".join(text[:90] for text in found[200])


def test_everything_of_an_applied_page_is_stored(tenant):
    """The statements that go out together at the end have all arrived."""
    page = Page(tenant, 10)
    page.reload = True
    observe(page)
    apply(page)
    with page.store.unit() as unit:
        views = unit.links_for_records(TYPE, [link.remote_id for link in page.links])
        assert {view.contact.values["lastName"] for view in views} == {"new"}
        assert {view.link.synced_version for view in views} == {2}
        assert {conflict.mapping_id for view in views for conflict in view.conflicts} == {"m3"}
        assert not any(view.held for view in views)
        assert len(unit.ledger_of(page.run_id, "", 200)) == 10
        assert len(unit.lines(page.plan_id, LineStatus.APPLIED, "", 200)) == 10
        assert unit.take_open_intents(200) == []
        run = unit.load_run(page.run_id)
        assert (run.counts.observed, run.counts.applied) == (10, 10)


def test_statistics_are_refreshed_where_a_table_has_changed_much(tenant, owner_sql):
    """Filled tables are analyzed by the application's role, once; then there is nothing to do."""
    Page(tenant, 600)
    owner_sql("SELECT pg_stat_force_next_flush()")
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
    assert {"contacts", "crm_sync_state"} <= set(_refreshed())
    assert _refreshed() == ()
    rows = owner_sql("SELECT reltuples FROM pg_class WHERE relname IN ('contacts', 'crm_sync_state')")
    assert rows == [(600,), (600,)]
    with tenant.context(actor="user:test", origin="user"):
        Contact.objects.update(city="Delft")
    assert _refreshed() == ()
    assert _refreshed(filling=True) == ("contacts",)


def _refreshed(**about):
    """Once the look is over."""
    with Analyst() as analyst:
        return analyst.refresh(**about)
