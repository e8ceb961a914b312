"""Runs through the real store, the real connector and a HubSpot on loopback."""

from __future__ import annotations

import contextlib
import re
import uuid
from contextlib import contextmanager

import pytest
import redis
import requests
import responses
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from adsapp_crm import wiring
from adsapp_crm.limiter import RedisLimits
from adsapp_crm.models import Contact, CrmConnection, CrmFieldMapping, CrmPlan, CrmPlanLine, CrmSyncLog, CrmSyncState
from adsapp_crm.services import stepping, syncing
from adsapp_crm.services.conflict_rules import wanted_of
from adsapp_crm.services.connections import check_connection, connect_with_token, resume_connection
from adsapp_crm.services.contacts import create_contact, update_contact
from adsapp_crm.services.erasure import erase_contact
from adsapp_crm.services.mappings import current_mappings, replace_mappings
from adsapp_crm.services.record_actions import exclude_links, include_links
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.services.run_shapes import shape_errors
from adsapp_crm.services.syncing import Left, RunBusyError
from adsapp_crm.storage import acquire_lease, release_lease
from crm.engine import observe
from crm.engine import run as engine_run
from crm.model import RunKind
from crm.providers.hubspot.fake import DEFAULT_TOKEN, HubSpotFake
from crm.testing.faults import Fault
from crm.testing.wsgi import LoopbackServer

pytestmark = pytest.mark.django_db(transaction=True)

MAPPED = {
    "firstName": "firstname",
    "lastName": "lastname",
    "email": "email",
    "phone": "phone",
    "company": "company",
    "jobTitle": "jobtitle",
}


MOST_IDLE = 23


class Site:
    """An organization with a connected HubSpot."""

    def __init__(self, tenant, url, fake):
        self.tenant, self.url, self.fake = tenant, url, fake
        self.connection_id = connect_with_token(tenant.id, "hubspot", DEFAULT_TOKEN, actor="user:test").connection_id
        with self.inside:
            CrmFieldMapping.objects.all().delete()
            for app_field, remote_field in MAPPED.items():
                CrmFieldMapping.objects.create(
                    connection_id=self.connection_id,
                    record_type="contacts",
                    adsapp_field=app_field,
                    crm_field=remote_field,
                )

    @property
    def inside(self):
        return self.tenant.context(actor="user:test", origin="user")

    def contact(self, **values):
        with self.inside:
            return str(create_contact(values).pk)

    def record(self, **values):
        return self.door("POST", "bulk", {"records": [values]})["ids"][0]

    def door(self, method, path, body=None):
        answer = requests.request(method, f"{self.url}/_fake/{path}", json=body, timeout=10)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def start(self, kind=RunKind.FULL, **named):
        return syncing.start_run(self.tenant.id, self.connection_id, kind, actor="user:test", **named)

    def step(self, run_id, **named):
        return syncing.step_run(self.tenant.id, run_id, **named)

    def run(self, kind=RunKind.FULL, **named):
        run_id = self.start(kind, **named)
        assert self.step(run_id, seconds=60).left is Left.ENDED
        return self.row(run_id)

    def row(self, run_id):
        with self.inside:
            return CrmSyncLog.objects.get(pk=run_id)

    def approve(self, plan_id):
        with self.inside:
            run_id = syncing.approve_plan(plan_id, actor="user:test").pk
        assert self.step(run_id, seconds=60).left is Left.ENDED
        return self.row(run_id)

    def connection(self):
        with self.inside:
            return CrmConnection.objects.defer(None).get(pk=self.connection_id)

    def live_ids(self):
        return {each["id"] for each in self.door("GET", "records")["results"]}

    def counts(self):
        """What exists of everything that a refusal must leave alone."""
        with self.inside:
            return [model.objects.count() for model in (CrmSyncLog, CrmPlan, CrmPlanLine, CrmSyncState, Contact)]


@pytest.fixture
def site(tenant, settings, monkeypatch):
    fake = HubSpotFake(limits="none", search_lag_seconds=0)
    # The fakes' accounts have one number: each test has budgets of its own.
    limits = RedisLimits(redis.Redis.from_url(settings.REDIS_URL), prefix=f"test:{uuid.uuid4()}:")
    monkeypatch.setattr(wiring, "_limits", lambda redis_url: limits)
    with LoopbackServer(fake) as server:
        settings.CRM_PROVIDERS = {"hubspot": {"api_base": server.url}}
        settings.CRM_EXTRA_HOSTS = ("127.0.0.1",)
        yield Site(tenant, server.url, fake)


@contextmanager
def refused(site, code):
    before = site.counts()
    with pytest.raises(RefusedError) as caught:
        yield caught
    assert caught.value.code == code
    assert site.counts() == before


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


def test_a_passing_trouble_parks_the_run_until_its_time(site):
    """The run keeps its place and says when it goes on; stepping it again ends it."""
    run_id = site.start()
    site.fake.faults.add(Fault("rate_limited", times=50, retry_after_seconds=100.0))
    assert site.step(run_id).left is Left.PARKED
    parked = site.row(run_id)
    assert (parked.status, parked.completed_at) == ("parked", None)
    assert parked.resume_at > parked.started_at
    assert parked.error_code == "quota.rate"


def test_a_refused_token_ends_the_run_and_stops_the_connection(site):
    """The owner has to reconnect; no further run is started."""
    run_id = site.start()
    site.fake.faults.add(Fault("unauthorized", times=50))
    assert site.step(run_id).left is Left.ENDED
    failed, connection = site.row(run_id), site.connection()
    assert (failed.status, failed.phase) == ("failed", "done")
    assert (connection.status, connection.health) == ("error", "needs_reconnect")
    assert connection.last_error_code == failed.error_code
    with refused(site, "connection.paused"):
        site.start()


def test_a_cancelled_run_stops_at_its_next_page(site):
    """It ends as cancelled, and another may start."""
    run_id = site.start()
    with site.inside:
        syncing.cancel_run(run_id, actor="user:test")
    assert site.step(run_id).left is Left.ENDED
    assert site.row(run_id).status == "cancelled"
    assert site.start()


@pytest.mark.parametrize(
    ("named", "code"),
    [
        ({"kind": RunKind.MANUAL}, "contact.empty"),
        ({"kind": RunKind.MANUAL, "contact_ids": ["nobody"]}, "contact.unknown"),
        ({"kind": RunKind.MANUAL, "contact_ids": [str(uuid.UUID(int=7))]}, "contact.unknown"),
        ({"limit": 0}, "config.invalid"),
    ],
)
def test_what_cannot_be_run_is_refused_and_nothing_is_stored(site, named, code):
    with refused(site, code):
        site.start(**named)


def test_an_unknown_connection_run_or_plan_is_refused(site, other):
    """Another organization's ids are as unknown as made-up ones."""
    with refused(site, "connection.unknown"):
        syncing.start_run(other.id, site.connection_id, RunKind.FULL, actor="user:test")
    run_id = site.start()
    with refused(site, "run.unknown"):
        syncing.step_run(other.id, run_id)
    with refused(site, "run.unfinished"), site.inside:
        syncing.request_undo(run_id, actor="user:test")
    with refused(site, "plan.unknown"), site.inside:
        syncing.approve_plan(uuid.UUID(int=7), actor="user:test")
    with refused(site, "plan.closed"), site.inside:
        syncing.approve_plan(site.row(run_id).plan_id, actor="user:test")


def test_a_mapping_that_the_crm_no_longer_carries_is_noted_and_the_rest_goes_on(site):
    """The row says why it is out of use, and says so no longer once its field is back."""
    with site.inside:
        mapping = CrmFieldMapping.objects.filter(adsapp_field="jobTitle").get()
        CrmFieldMapping.objects.filter(pk=mapping.pk).update(crm_field="gone_for_good")
    assert site.run(dry_run=True).status == "completed"
    with site.inside:
        assert CrmFieldMapping.objects.get(pk=mapping.pk).broken_code == "field.missing"
        CrmFieldMapping.objects.filter(pk=mapping.pk).update(crm_field=mapping.crm_field)
    assert site.run(dry_run=True).status == "completed"
    with site.inside:
        assert CrmFieldMapping.objects.get(pk=mapping.pk).broken_code == ""


def test_an_answer_that_nobody_understands_is_kept_without_its_values(site, monkeypatch):
    """Another shape is neither an empty page nor a deletion; the run says what came, without a person's value."""
    site.record(email="ada@x.example", firstname="Ada")
    answer = {"results": {"id": "1", "properties": {"email": "ada@x.example"}}, "message": "for ada@x.example"}
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        mocked.add_passthru(f"{site.url}/crm/v3/properties")
        mocked.add_passthru(f"{site.url}/crm/v3/owners")
        mocked.add("GET", re.compile(".*/objects/contacts.*"), json=answer)
        run_id = site.start()
        site.step(run_id, session=requests.Session())
    (told,) = shape_errors(site.row(run_id))
    assert (site.row(run_id).status, told["code"]) == ("failed", "net.bad_response")
    assert told["answer"] == '{"results":{"id":"1","properties":{"email":"***"}},"message":"for ***"}'
    with site.inside:
        assert (Contact.objects.count(), CrmSyncState.objects.count()) == (0, 0)


def test_a_token_of_another_account_stops_every_write(site, monkeypatch):
    """The check that notices stops runs that are under way, too; back on its own account the connection goes on."""
    for number in range(3):
        site.contact(email=f"p{number}@x.example", firstName="New")
    run_id = site.start()
    monkeypatch.setattr(site.fake.state, "portal_id", 4711)

    assert check_connection(site.tenant.id, site.connection_id) == "auth.wrong_org"
    assert site.step(run_id).status == "failed"
    with refused(site, "connection.paused"):
        site.start()

    assert (site.fake.stats()["writes"], site.row(run_id).error_code) == (0, "auth.wrong_org")
    monkeypatch.undo()
    assert check_connection(site.tenant.id, site.connection_id) == ""
    assert site.run(dry_run=True).status == "completed"


def test_a_field_that_became_another_one_stops_its_own_mapping_only(site):
    """Removed and made anew as a number: nothing of it is compared until somebody saves its mapping."""
    site.contact(email="ada@x.example", jobTitle="12", company="Engines")
    site.run(dry_run=True)
    with site.inside:
        mapping = CrmFieldMapping.objects.get(adsapp_field="jobTitle")
        CrmFieldMapping.objects.filter(pk=mapping.pk).update(definition="jobtitle:number:")
    run = site.run(dry_run=True)
    with site.inside:
        assert CrmFieldMapping.objects.get(pk=mapping.pk).broken_code == "field.changed"
        (line,) = CrmPlanLine.objects.filter(plan=run.plan_id)
        assert {each["app_field"] for each in line.action["effects"]} == {"email", "company"}
        connection = CrmConnection.objects.get(pk=site.connection_id)
        replace_mappings(connection, [wanted_of(each) for each in current_mappings(connection)], actor="user:test")
    run = site.run(dry_run=True)
    with site.inside:
        assert CrmFieldMapping.objects.get(pk=mapping.pk).broken_code == ""
        (line,) = CrmPlanLine.objects.filter(plan=run.plan_id)
        assert "jobTitle" in {each["app_field"] for each in line.action["effects"]}


def test_a_record_that_crashes_the_worker_is_listed_and_the_others_are_synced(site, monkeypatch, caplog):
    """A kill is no exception: the start that it cut short was counted before. Only that one record is left out."""
    people = {site.contact(email=f"p{n}@x.example", lastName=f"P{n}"): n for n in range(4)}
    victim = next(each for each, n in people.items() if n == 2)
    site.approve(site.run().plan_id)
    with site.inside:
        Contact.objects.update(company="Looms")
    honest, crashes = observe.plan_link, []

    def killed(view, *arguments):
        if view.contact.contact_id == victim:
            crashes.append(len(crashes))
            raise KeyboardInterrupt if len(crashes) % 2 else ZeroDivisionError(view.contact.values)
        return honest(view, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(observe, "plan_link", killed)
        run_id = site.start(RunKind.DELTA)
        for _ in range(40):
            with contextlib.suppress(KeyboardInterrupt):
                if site.step(run_id, seconds=60).left is Left.ENDED:
                    break
    assert (site.row(run_id).status, site.row(run_id).records_failed) == ("completed", 1)
    with site.inside:
        codes = dict(CrmSyncState.objects.values_list("contact_id", "error_code"))
    assert {str(each): code for each, code in codes.items() if code} == {victim: "record.quarantined"}
    companies = [each["properties"].get("company") for each in site.door("GET", "records")["results"]]
    assert companies.count("Looms") == 3
    assert len(crashes) <= 12
    assert "StepFailedError: ZeroDivisionError" in caplog.text
    assert "Looms" not in caplog.text, "an unexpected error's own words may quote a contact"
    assert site.run(RunKind.DELTA).counts.get("planned", 0) == 0


def test_a_run_that_fails_wherever_it_begins_is_given_up(site, monkeypatch):
    """Without a page there is no record to set aside: three starts, then the run has failed by its code."""
    run_id, calls = site.start(), []

    def broken(*_arguments):
        calls.append(1)
        raise ZeroDivisionError

    monkeypatch.setattr(engine_run, "take_intents", broken)
    while site.step(run_id).left is not Left.ENDED:
        pass
    assert (site.row(run_id).status, site.row(run_id).error_code, len(calls)) == ("failed", "internal.error", 3)


def test_each_mapping_says_what_happens_to_drift(site):
    """The other side of a one-way field is written back where its own row says so, whatever the connection does."""
    site.contact(email="ada@x.example", company="Engines", jobTitle="Countess")
    with site.inside:
        CrmFieldMapping.objects.filter(adsapp_field__in=["company", "jobTitle"]).update(direction="to_crm")
        CrmFieldMapping.objects.filter(adsapp_field="company").update(drift="write_back")
    site.approve(site.run().plan_id)
    (remote_id,) = site.live_ids()
    site.door("PATCH", f"records/{remote_id}", {"properties": {"company": "Looms", "jobtitle": "Poet"}})
    site.run()
    (record,) = site.door("GET", "records")["results"]
    assert (record["properties"]["company"], record["properties"]["jobtitle"]) == ("Engines", "Poet")


def test_a_connection_without_token_cannot_be_assembled(site):
    """It is a matter for its owner, not a crash."""
    connection = site.connection()
    connection.seal_credentials(None)
    with pytest.raises(Exception, match=r"auth\.expired"):
        wiring.connector_of(connection)
