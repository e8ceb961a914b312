"""Runs through the real store, the real connector and a HubSpot on loopback."""

from __future__ import annotations

import uuid

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from adsapp_crm.models import Contact, CrmConnection, CrmPlan, CrmPlanLine, CrmSyncState
from adsapp_crm.services import stepping, syncing
from adsapp_crm.services.connections import check_connection, resume_connection
from adsapp_crm.services.contacts import update_contact
from adsapp_crm.services.erasure import erase_contact
from adsapp_crm.services.record_actions import exclude_links, include_links
from adsapp_crm.services.syncing import Left, RunBusyError
from adsapp_crm.storage import acquire_lease, release_lease
from crm.model import RunKind
from tests.adsapp_crm.syncing_stand import refused, standing_site

pytestmark = pytest.mark.django_db(transaction=True)

MOST_IDLE = 23


@pytest.fixture
def site(tenant, settings):
    with standing_site(tenant, settings) as made:
        yield made


def test_an_idle_delta_takes_few_statements(site):
    """Of the whole step, with its lease, its run and what its connection's page says, beside those of storing it."""
    site.record(firstname="Bea", email="bea@x.example")
    site.approve(site.run().plan_id)
    site.run(RunKind.DELTA)
    run_id = site.start(RunKind.DELTA)
    with CaptureQueriesContext(database) as captured:
        assert site.step(run_id, seconds=60).left is Left.ENDED
    said = [each["sql"] for each in captured if each["sql"] not in ("BEGIN", "COMMIT")]
    seen_again = 5  # the record lies in the overlap, and is not changed
    assert len(said) - seen_again <= MOST_IDLE


def test_a_first_full_run_is_held_and_its_approval_carries_it_out(site):
    """Nothing is written before a person said yes; then both sides hold all three people and stay as they are."""
    site.contact(firstName="Ada", lastName="Lovelace", email="ada@x.example")
    both = site.contact(firstName="Bea", email="bea@x.example")
    site.record(firstname="Bea", email="BEA@x.example")
    site.record(firstname="Cyd", email="cyd@x.example")
    before = site.live_ids()

    first = site.run()
    assert (first.status, first.counts["held"]) == ("held", 3)
    assert site.live_ids() == before
    assert site.connection().health == "held"
    with site.inside:
        assert Contact.objects.count() == 2
        assert CrmSyncState.objects.count() == 0

    applied = site.approve(first.plan_id)
    assert (applied.status, applied.error_code) == ("completed", "")
    assert applied.counts["linked"] == 1
    assert applied.counts["created_in_app"] == 1
    assert applied.counts["created_in_crm"] == 1
    assert applied.records_failed == 0
    assert len(site.live_ids()) == 3
    with site.inside:
        assert Contact.objects.count() == 3
        assert CrmSyncState.objects.filter(state="live").count() == 3
        assert CrmSyncState.objects.get(contact_id=both).crm_record_id in before
        assert CrmPlan.objects.get(pk=first.plan_id).status == "applied"
    assert (site.connection().health, site.connection().first_sync_approved_by) == ("healthy", "user:test")

    quiet = site.run()
    assert (quiet.status, quiet.counts.get("planned", 0), quiet.counts["unchanged"]) == ("completed", 0, 3)
    assert quiet.api_calls > 0


def test_edits_travel_both_ways_in_a_delta_and_undo_takes_them_back(site):
    """Each side's edit arrives at the other; the undo takes back what the run wrote, not what people wrote."""
    contact_id = site.contact(firstName="Ada", lastName="Lovelace", email="ada@x.example")
    site.approve(site.run().plan_id)
    (remote_id,) = site.live_ids()
    with site.inside:
        update_contact(contact_id, {"firstName": "Adele"}, version=None)
    site.door("PATCH", f"records/{remote_id}", {"properties": {"lastname": "Byron"}})

    delta = site.run(RunKind.DELTA)
    assert delta.status == "completed"
    with site.inside:
        assert Contact.objects.get(pk=contact_id).last_name == "Byron"
    assert site.door("GET", f"records/{remote_id}")["properties"]["firstname"] == "Adele"

    with site.inside:
        undo_id = syncing.request_undo(delta.pk, actor="user:test")
    assert site.step(undo_id, seconds=60).left is Left.ENDED
    undone = site.approve(site.row(undo_id).plan_id)
    assert (undone.status, undone.purpose, undone.undoes_id) == ("completed", "undo", delta.pk)
    with site.inside:
        contact = Contact.objects.get(pk=contact_id)
    assert (contact.first_name, contact.last_name) == ("Adele", "Lovelace")
    properties = site.door("GET", f"records/{remote_id}")["properties"]
    assert (properties["firstname"], properties["lastname"]) == ("Ada", "Byron")
    again = site.run(RunKind.DELTA)
    assert (again.status, again.counts.get("planned", 0)) == ("completed", 0)


def test_an_undo_that_is_killed_while_it_is_planned_shows_each_record_once(site, monkeypatch):
    """The next worker finds the whole plan, or none of it."""
    site.contact(firstName="Ada", email="ada@x.example")
    done = site.approve(site.run().plan_id)
    with site.inside:
        undo_id = syncing.request_undo(done.pk, actor="user:test")
    whole = stepping.store_undo

    def die(*arguments):
        whole(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(stepping, "store_undo", die)
    with pytest.raises(KeyboardInterrupt):
        site.step(undo_id, seconds=60)
    monkeypatch.setattr(stepping, "store_undo", whole)
    assert site.step(undo_id, seconds=60).left is Left.ENDED
    with site.inside:
        plan = CrmPlan.objects.get(run=undo_id)
        assert (plan.lines.count(), plan.totals) == (1, {"notUndoable": []})


def test_an_erased_person_is_not_made_again_from_a_new_record(site):
    """The address alone is recognised, by a keyed digest; nobody else is held back."""
    contact_id = site.contact(firstName="Ada", email="ada@x.example")
    site.approve(site.run().plan_id)
    with site.inside:
        erase_contact(uuid.UUID(str(contact_id)))
    site.run(RunKind.DELTA)
    (old,) = site.live_ids()
    site.door("DELETE", f"records/{old}")
    site.record(firstname="Ada", email="ADA@x.example")
    site.record(firstname="Bea", email="bea@x.example")

    run = site.run()

    assert (run.status, run.counts["created_in_app"]) == ("completed", 1)
    with site.inside:
        assert list(Contact.objects.live().values_list("email", flat=True)) == ["bea@x.example"]


def test_a_dropped_plan_is_carried_out_by_nobody(site):
    """Its lines are dropped, approving it later is refused, and the next run plans anew."""
    site.contact(firstName="Ada", email="ada@x.example")
    first = site.run()
    with site.inside:
        syncing.drop_plan(first.plan_id, actor="user:test")
        assert set(CrmPlanLine.objects.values_list("status", flat=True)) == {"dropped"}
    with refused(site, "plan.closed"), site.inside:
        syncing.approve_plan(first.plan_id, actor="user:test")
    assert site.live_ids() == set()
    assert site.run().counts["held"] == 1


def test_a_connection_is_held_for_as_long_as_a_plan_waits(site):
    """Whatever else ends well meanwhile: a run, a resume, a look whether the log-in works."""
    site.contact(firstName="Ada", email="ada@x.example")
    site.approve(site.run().plan_id)
    assert site.connection().health == "healthy"
    with site.inside:
        plan = CrmPlan.objects.create(connection_id=site.connection_id, kind="sync", status="held")
    words = []
    site.run(RunKind.DELTA)
    words.append(site.connection().health)
    with site.inside:
        CrmConnection.objects.update(status="paused", health="paused")
        resume_connection(site.connection_id, actor="user:test")
    words.append(site.connection().health)
    with site.inside:
        CrmConnection.objects.update(status="error", health="needs_attention")
    check_connection(site.tenant.id, site.connection_id)
    words.append(site.connection().health)
    assert words == ["held"] * 3
    with site.inside:
        syncing.drop_plan(plan.pk, actor="user:test")
    assert site.connection().health == "healthy"


def test_a_record_that_is_taken_in_again_is_looked_at_once(site):
    """Both sides agree: nothing is left to be tried, now or every hour."""
    site.record(firstname="Bea", email="bea@x.example")
    site.approve(site.run().plan_id)
    with site.inside:
        exclude_links(CrmSyncState.objects.all(), actor="user:test")
        include_links(CrmSyncState.objects.all())
    site.run(RunKind.DELTA)
    with site.inside:
        assert list(CrmSyncState.objects.values_list("due", "next_attempt_at")) == [(False, None)]


def test_a_second_first_run_shows_everything_anew_and_approves_nothing_by_itself(site):
    """The older plan is dropped: only what was shown last can be approved, and the connection stays unapproved."""
    site.contact(firstName="Ada", email="ada@x.example")
    first = site.run()
    second = site.run()
    assert (second.status, second.counts["held"]) == ("held", 1)
    with site.inside:
        assert CrmPlan.objects.get(pk=first.plan_id).status == "dropped"
    assert site.connection().first_sync_approved_at is None
    assert site.live_ids() == set()
    assert site.approve(second.plan_id).counts["created_in_crm"] == 1


def test_a_dry_run_shows_and_writes_nothing(site):
    """The plan is there to be approved; the CRM and our contacts are as before."""
    site.contact(firstName="Ada", email="ada@x.example")
    shown = site.run(dry_run=True)
    assert (shown.status, shown.counts["planned"]) == ("completed", 1)
    assert site.live_ids() == set()
    assert site.approve(shown.plan_id).counts["created_in_crm"] == 1
    assert len(site.live_ids()) == 1


def test_a_second_scan_is_refused_with_the_running_one(site):
    """Chosen contacts are synced beside it."""
    contact_id = site.contact(firstName="Ada", email="ada@x.example")
    running = site.start()
    with refused(site, "run.busy") as caught:
        site.start(RunKind.DELTA)
    assert isinstance(caught.value, RunBusyError)
    assert caught.value.run_id == running
    assert site.start(RunKind.MANUAL, contact_ids=[contact_id])


def test_a_stream_that_another_worker_has_is_left_alone(site):
    """The step says busy and the run is as before; once the lease is given back it ends."""
    run_id = site.start()
    lease = acquire_lease(site.connection(), "scan")
    assert site.step(run_id).left is Left.BUSY
    assert site.row(run_id).phase == "settle"
    release_lease(site.connection(), lease)
    assert site.step(run_id, seconds=60).left is Left.ENDED


def test_a_step_without_time_does_one_page_and_the_next_goes_on(site):
    """Steps of no length end the run too, each leaving it at the next page."""
    site.contact(firstName="Ada", email="ada@x.example")
    run_id = site.start()
    phases = []
    while (step := site.step(run_id, seconds=0)).left is Left.MORE:
        phases.append(site.row(run_id).phase)
    assert step.left is Left.ENDED
    assert phases == sorted(
        phases, key=["observe", "missing", "changed", "pair", "unpaired", "guard", "apply", "finish"].index
    )
    assert site.row(run_id).status == "held"
