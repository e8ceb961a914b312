"""The tasks: ids in, rows out; what one leaves, the next one or the sweep finds."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from adsapp_crm import tasks
from adsapp_crm.models import Contact, CrmConnection, CrmFieldMapping, CrmJobSlot, CrmSyncLog, CrmSyncState
from adsapp_crm.services import jobs
from adsapp_crm.services.connection_rules import change_rules
from adsapp_crm.services.connections import connect_with_token
from adsapp_crm.services.contacts import create_contact, update_contact
from adsapp_crm.services.jobs import Job
from adsapp_crm.services.syncing import approve_plan, start_run
from config import celery_app
from crm.model import RunKind
from tests.adsapp_crm.hubspot_account import TOKEN, hubspot_account

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hubspot(settings):
    with hubspot_account() as account:
        settings.CRM_PROVIDERS = {"hubspot": {"api_base": account.url}}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        yield account


@pytest.fixture(autouse=True)
def worker():
    """Tasks are done where they are sent, and what they raise is seen."""
    celery_app.conf.task_always_eager = True
    celery_app.conf.task_eager_propagates = True
    yield
    celery_app.conf.task_always_eager = False
    celery_app.conf.task_eager_propagates = False


@pytest.fixture
def synced(tenant, hubspot):
    """Ann is on both sides; the first sync was approved."""
    with tenant.context(actor="user:test", origin="user"):
        create_contact({"firstName": "Ann", "email": "ann@example.com"})
    connection_id = connect_with_token(tenant.id, "hubspot", TOKEN, actor="user:test").connection_id
    tasks.sync_page.delay(str(start_run(tenant.id, connection_id, RunKind.FULL, actor="user:test")))
    with tenant.context():
        run = approve_plan(CrmSyncLog.objects.get().plan_id, actor="user:test")
    tasks.sync_page.delay(str(run.pk))
    assert [each["email"] for each in hubspot.records()] == ["ann@example.com"]
    return connection_id


def edit(tenant, **values):
    with tenant.context(actor="user:test", origin="user"):
        update_contact(Contact.objects.get().pk, values, version=None)


def first_names(hubspot):
    return [each["firstname"] for each in hubspot.records()]


def runs(tenant):
    with tenant.context():
        return list(CrmSyncLog.objects.order_by("-started_at").values_list("sync_type", "trigger", "status"))


def test_a_run_is_stepped_until_it_ends(tenant, synced):
    """The full run was held, the approved one completed."""
    assert runs(tenant) == [("full", "plan", "completed"), ("full", "user", "held")]


def test_a_message_for_nothing_does_nothing(tenant, hubspot):
    """A forged or stale id names no run, no connection, no slot."""
    for task in (tasks.sync_page, tasks.sync_now, tasks.drain, tasks.check_connection, tasks.work_job):
        task.delay(str(uuid.uuid4()))

    assert runs(tenant) == []


def test_a_drain_brings_an_edit_to_the_crm_at_once(tenant, hubspot, synced):
    """A run over the changed contacts only; a second drain finds nothing due."""
    edit(tenant, firstName="Anna")

    tasks.drain.delay(str(synced))
    tasks.drain.delay(str(synced))

    assert first_names(hubspot) == ["Anna"]
    assert runs(tenant)[0] == ("manual", "app_change", "completed")
    assert len(runs(tenant)) == 3


def test_a_drain_waits_for_the_first_sync(tenant, hubspot):
    """Before somebody approved it, nothing goes to the CRM by itself."""
    connection_id = connect_with_token(tenant.id, "hubspot", TOKEN, actor="user:test").connection_id
    with tenant.context(actor="user:test", origin="user"):
        contact = create_contact({"firstName": "Ann"})
        CrmSyncState.objects.create(
            connection_id=connection_id, contact=contact, crm_record_type="contacts", crm_record_id="1", due=True
        )

    tasks.drain.delay(str(connection_id))

    assert runs(tenant) == []


def test_the_delta_job_syncs_what_is_due_once_a_slot(tenant, hubspot, synced):
    """Fired twice it runs once; the edit itself was pushed when it was committed."""
    edit(tenant, firstName="Anna")

    tasks.fire_job.delay("delta-sync")
    tasks.fire_job.delay("delta-sync")

    assert first_names(hubspot) == ["Anna"]
    assert runs(tenant) == [
        ("delta", "beat", "completed"),
        ("manual", "app_change", "completed"),
        ("full", "plan", "completed"),
        ("full", "user", "held"),
    ]
    slot = CrmJobSlot.objects.get()
    assert (slot.kind, slot.result) == (Job.DELTA_SYNC, {"started": 1, "busy": 0})


@pytest.mark.parametrize(
    "change",
    [
        {"status": "paused"},
        {"status": "error"},
        {"first_sync_approved_at": None},
        {"parked_until": timezone.now() + timedelta(hours=1)},
        {"next_sync_at": timezone.now() + timedelta(hours=1)},
    ],
)
def test_the_delta_job_leaves_alone_what_is_not_due(tenant, synced, change):
    """Paused, broken, not approved, out of quota, or on a longer interval."""
    with tenant.context():
        CrmConnection.objects.update(**change)

    tasks.fire_job.delay("delta-sync")

    assert len(runs(tenant)) == 2


def test_the_retry_job_takes_the_records_whose_time_has_come(tenant, synced):
    """A run over them; with none due there is no run."""
    tasks.fire_job.delay("retry-failed")
    assert len(runs(tenant)) == 2
    CrmJobSlot.objects.all().delete()
    with tenant.context():
        CrmSyncState.objects.update(next_attempt_at=timezone.now() - timedelta(minutes=1), attempts=1)

    tasks.fire_job.delay("retry-failed")

    assert runs(tenant)[0] == ("manual", "retry", "completed")


def test_the_retry_job_takes_all_that_is_due_a_page_each_in_turns(tenant, other, fill, synced, monkeypatch):
    """One connection's second page comes after everybody's first; with runs that are not through none is added."""
    monkeypatch.setattr(jobs, "DUE_CONTACTS", 2)
    monkeypatch.setattr(tasks.drain, "delay", lambda _connection_id: None)  # the new contacts are due, nothing else
    wanted = {}
    for place, number in ((tenant, 5), (other, 3)):
        if place is other:
            fill(other)
        with place.context(actor="user:test", origin="user"):
            connection = CrmConnection.objects.get()
            connection.status, connection.first_sync_approved_at = "active", timezone.now()
            connection.save()
            CrmFieldMapping.objects.get_or_create(
                connection=connection, record_type="contacts", adsapp_field="firstName", crm_field="firstname",
                deleted_at=None,
            )  # fmt: skip
            CrmSyncState.objects.all().delete()
            made = [create_contact({"firstName": f"N{each}"}).pk for each in range(number)]
            for each in made:
                CrmSyncState.objects.create(
                    connection=connection, contact_id=each, crm_record_type="contacts", state="pending",
                    next_attempt_at=timezone.now() - timedelta(minutes=1),
                )  # fmt: skip
        wanted[place.id] = {str(each) for each in made}

    slot = jobs.claim_slot(Job.RETRY_FAILED)
    outcome = jobs.do_job(slot)

    assert outcome.counts == {"started": 5, "busy": 0}
    pages = []
    for run_id in outcome.run_ids:
        for place in (tenant, other):
            with place.context():
                pages += [(place, row.contact_ids) for row in CrmSyncLog.objects.filter(pk=run_id)]
    assert len({place.id for place, _ in pages[:2]}) == len({place.id for place, _ in pages[2:4]}) == 2
    for place in (tenant, other):
        taken = [each for of, ids in pages if of is place for each in ids]
        assert (len(taken), set(taken)) == (len(wanted[place.id]), wanted[place.id])
    CrmJobSlot.objects.all().delete()
    assert jobs.do_job(jobs.claim_slot(Job.RETRY_FAILED)).counts == {"started": 0, "busy": 2}


def test_a_refused_create_of_a_connection_that_creates_no_more_is_listed_once(tenant, hubspot, synced):
    """It stays among the failing records with its reason and is not looked at; with creating back it is tried."""
    with tenant.context(actor="user:test", origin="user"):
        contact = create_contact({"firstName": "Ben", "email": "ben@example.com"})
        link = CrmSyncState.objects.create(
            connection_id=synced, contact=contact, crm_record_type="contacts", state="pending", attempts=1,
            synced_version=contact.version, error_code="rule.validation",
            next_attempt_at=timezone.now() - timedelta(minutes=1),
        )  # fmt: skip
        change_rules(synced, {"createInCrm": False})
    for _ in range(2):
        CrmJobSlot.objects.all().delete()
        tasks.fire_job.delay("retry-failed")
        tasks.fire_job.delay("delta-sync")
    assert [kind for kind in runs(tenant) if kind[1] == "retry"] == []
    assert first_names(hubspot) == ["Ann"]
    with tenant.context():
        link.refresh_from_db()
        assert (link.error_code, link.next_attempt_at, link.due) == ("rule.validation", None, False)
        change_rules(synced, {"createInCrm": True})
    tasks.sync_page.delay(str(start_run(tenant.id, synced, RunKind.DELTA, actor="user:test")))
    assert first_names(hubspot) == ["Ann", "Ben"]


@pytest.mark.parametrize("moved", [False, True])
def test_credentials_that_cannot_be_opened_end_the_run_and_stop_the_connection(tenant, synced, settings, moved):
    """With the reason, and what to do; once the key is back the health check finds that all is well."""
    run_id = start_run(tenant.id, synced, RunKind.DELTA, actor="user:test")
    with tenant.context():
        kept = CrmConnection.objects.defer(None).get().credentials
        if moved:
            CrmConnection.objects.update(credentials={**kept, "connection": str(uuid.uuid4())})
    if not moved:
        keys, settings.FERNET_KEYS = settings.FERNET_KEYS, ["another-key-another-key-another-key-0"]

    tasks.sync_page.delay(str(run_id))
    tasks.fire_job.delay("health-check")

    code, health = ("auth.credentials_foreign", "needs_reconnect") if moved else (
        *("config.encryption_key", "needs_attention"),
    )  # fmt: skip
    with tenant.context():
        run = CrmSyncLog.objects.get(pk=run_id)
        row = CrmConnection.objects.get()
    assert (run.status, run.error_code) == ("failed", code)
    assert (row.status, row.health, row.last_error_code) == ("error", health, code)
    assert jobs.runs_to_resume() == []

    with tenant.context():
        if moved:
            CrmConnection.objects.update(credentials=kept)
    if not moved:
        settings.FERNET_KEYS = keys
    CrmJobSlot.objects.all().delete()
    tasks.fire_job.delay("health-check")
    with tenant.context():
        row = CrmConnection.objects.get()
    assert (row.status, row.health, row.last_error_code) == ("active", "healthy", "")


def test_the_health_job_finds_a_withdrawn_token_and_its_return(tenant, hubspot, synced, settings):
    """The connection stops with the code; when the CRM answers again it goes on by itself."""
    with tenant.context():
        row = CrmConnection.objects.get()
        row.seal_credentials({"token": "pat-withdrawn"})
        row.save()
    tasks.fire_job.delay("health-check")
    with tenant.context():
        stopped = CrmConnection.objects.get()
        assert (stopped.status, stopped.health, stopped.last_error_code) == ("error", "needs_reconnect", "auth.expired")
        stopped.seal_credentials({"token": TOKEN})
        stopped.save()
    CrmJobSlot.objects.all().delete()

    tasks.fire_job.delay("health-check")

    with tenant.context():
        healed = CrmConnection.objects.get()
        assert (healed.status, healed.health, healed.last_error_code) == ("active", "healthy", "")


def test_the_sweep_goes_on_with_a_run_whose_message_was_lost(tenant, synced):
    """Not with one that somebody works on, nor with one that waits for its time."""
    lost = start_run(tenant.id, synced, RunKind.DELTA, actor="user:test")

    tasks.sweep.delay()
    assert runs(tenant)[0][2] == "running"
    long_ago, later = timezone.now() - timedelta(minutes=5), timezone.now() + timedelta(minutes=5)
    with tenant.context():
        CrmSyncLog.objects.filter(pk=lost).update(updated_at=long_ago, status="parked", resume_at=later)
    tasks.sweep.delay()
    assert runs(tenant)[0][2] == "parked"
    with tenant.context():
        CrmSyncLog.objects.filter(pk=lost).update(resume_at=long_ago)

    tasks.sweep.delay()

    assert runs(tenant)[0] == ("delta", "user", "completed")


def test_every_beat_entry_and_route_names_a_task_and_a_queue(settings):
    """The guide's five jobs and the sweep; a misspelt name would be found at midnight."""
    assert {*settings.CELERY_BEAT_SCHEDULE} == {*Job, "sweep"}
    for entry in settings.CELERY_BEAT_SCHEDULE.values():
        assert entry["task"] in celery_app.tasks
        assert entry["task"] in settings.CELERY_TASK_ROUTES
    for name, route in settings.CELERY_TASK_ROUTES.items():
        assert name in celery_app.tasks
        assert route["queue"] in settings.CELERY_TASK_QUEUES
    ours = {name for name in celery_app.tasks if name.startswith("adsapp_crm.")}
    assert ours == {*settings.CELERY_TASK_ROUTES}
