"""Runs that meet trouble: of the CRM, of a connection or a mapping, of a record, and of the worker itself."""

from __future__ import annotations

import contextlib
import re
import uuid

import pytest
import requests
import responses

from adsapp_crm import wiring
from adsapp_crm.models import Contact, CrmConnection, CrmFieldMapping, CrmPlanLine, CrmSyncState
from adsapp_crm.services import syncing
from adsapp_crm.services.conflict_rules import wanted_of
from adsapp_crm.services.connections import check_connection
from adsapp_crm.services.mappings import current_mappings, replace_mappings
from adsapp_crm.services.run_shapes import shape_errors
from adsapp_crm.services.syncing import Left
from crm.engine import observe
from crm.engine import run as engine_run
from crm.model import RunKind
from crm.testing.faults import Fault
from tests.adsapp_crm.syncing_stand import refused, standing_site

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site(tenant, settings):
    with standing_site(tenant, settings) as made:
        yield made


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
