"""What waits by itself: a refused record for its next attempts, a connection for its CRM's reset; and how it shows."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
import redis
from django.db.models.functions import Now

from adsapp_crm import wiring
from adsapp_crm.limiter import RedisLimits
from adsapp_crm.models import Contact, CrmConnection, CrmSyncLog, CrmSyncState
from adsapp_crm.selectors import database_now
from adsapp_crm.services import jobs
from adsapp_crm.services.contacts import update_contact
from adsapp_crm.services.stepping import step_run
from adsapp_crm.services.syncing import start_run
from crm.model import RunKind
from tests.adsapp_crm.webhook_stand import add_contact, connect, eager_tasks, stand_in

pytestmark = pytest.mark.django_db

HOUR = 3600


@pytest.fixture
def limits(settings, monkeypatch):
    client = redis.Redis.from_url(settings.REDIS_URL)

    def fresh():
        found = RedisLimits(client, prefix=f"test:{uuid.uuid4()}:")
        monkeypatch.setattr(wiring, "_limits", lambda _redis_url: found)

    fresh()
    return fresh


@pytest.fixture
def crm(limits, settings):
    with stand_in("pipedrive") as made:
        settings.CRM_PROVIDERS = {"pipedrive": {"api_base": made.url}}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        yield made


@pytest.fixture
def connection(tenant, crm):
    add_contact(tenant, firstName="Ann", email="ann@example.com")
    with eager_tasks():
        return connect(tenant, "pipedrive")


def edit(tenant, **values):
    with tenant.context(actor="user:test", origin="user"):
        update_contact(Contact.objects.get().pk, values, version=None)


def sync(tenant, connection):
    run_id = start_run(tenant.id, connection, RunKind.DELTA, actor="user:test")
    step_run(tenant.id, run_id)
    with tenant.context():
        return CrmSyncLog.objects.get(pk=run_id)


def link(tenant):
    with tenant.context():
        return CrmSyncState.objects.get()


def test_a_record_that_is_refused_is_tried_three_times_an_hour_apart_and_then_left_to_a_person(tenant, crm, connection):
    """Each time one request; the fourth firing finds nothing due."""
    crm.back_door("POST", "faults", {"kind": "server_error", "method": "PATCH", "status": 400})
    edit(tenant, firstName="Anna")
    sync(tenant, connection)
    seen = []
    for _ in range(4):
        found = link(tenant)
        seen.append((found.attempts, found.next_attempt_at is not None))
        assert found.error_code
        if found.next_attempt_at is not None:
            assert timedelta(minutes=59) < found.next_attempt_at - database_now() <= timedelta(hours=1)
        with tenant.context():
            CrmSyncState.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at=Now())
        for run_id in jobs.retry_failed().run_ids:
            step_run(tenant.id, run_id)

    assert seen == [(1, True), (2, True), (3, False), (3, False)]
    assert crm.back_door("GET", "stats")["faults"]["server_error"] == 3


def test_a_crm_that_fails_costs_no_record_an_attempt(tenant, crm, connection):
    """The run waits; the record is as it was, and goes over when the CRM is back."""
    crm.back_door("POST", "faults", {"kind": "server_error", "method": "GET", "status": 503})
    edit(tenant, firstName="Anna")

    run = sync(tenant, connection)

    assert (run.status, run.error_code) == ("parked", "net.unavailable")
    assert (link(tenant).attempts, link(tenant).error_code) == (0, "")
    crm.back_door("DELETE", "faults")
    step_run(tenant.id, run.pk)
    assert (link(tenant).attempts, link(tenant).error_code) == (0, "")


def test_a_spent_day_parks_until_the_crms_reset_and_shows_that_time(tenant, connection, limits, client):
    """On the health card, in the API and to the scheduler; a success afterwards ends it."""
    heard = []
    with tenant.context():
        row = CrmConnection.objects.defer(None).get()
    wiring.connector_of(row, listen=lambda limiter: heard.append(limiter) or limiter)
    heard[0].exhausted("daily", 5.5 * HOUR)

    run = sync(tenant, connection)

    assert (run.status, run.error_code) == ("parked", "quota.daily")
    until = database_now() + timedelta(hours=5.5)
    client.force_login(tenant.user)
    with tenant.context():
        row = CrmConnection.objects.get()
    assert abs(row.parked_until - until) < timedelta(minutes=1)
    assert abs(run.resume_at - row.parked_until) < timedelta(seconds=1)
    said = client.get(f"/api/crm/connections/{connection}").json()
    assert (said["health"], said["waitsForQuotaUntil"][:16]) == (
        "waiting_for_quota",
        row.parked_until.isoformat()[:16],
    )
    home = client.get("/dashboard/settings/crm").content.decode()
    assert "Waiting for quota" in home
    assert f'datetime="{row.parked_until.isoformat()[:16]}' in home
    assert jobs.delta_sync().run_ids == []

    limits()
    with tenant.context():
        CrmConnection.objects.update(parked_until=Now())
        CrmSyncLog.objects.filter(pk=run.pk).update(resume_at=Now(), updated_at=Now() - timedelta(minutes=1))
    assert jobs.runs_to_resume() == [run.pk]
    step_run(tenant.id, run.pk)
    with tenant.context():
        row = CrmConnection.objects.get()
    assert (row.parked_until, row.health) == (None, "healthy")
