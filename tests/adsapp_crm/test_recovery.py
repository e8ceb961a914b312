"""A worker dies in the middle of a page: its run goes on soon, with what it had claimed, and makes nothing twice."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from adsapp_crm import wiring
from adsapp_crm.models import CrmConnection, CrmIntent, CrmLease, CrmPlanLine, CrmSyncLog
from adsapp_crm.services import stepping
from adsapp_crm.services.connections import connect_with_token
from adsapp_crm.services.contacts import create_contact
from adsapp_crm.services.jobs import runs_to_resume
from adsapp_crm.services.syncing import approve_plan, start_run
from adsapp_crm.storage import acquire_lease, kept_alive, leases, release_lease
from crm.errors import LeaseLostError
from crm.model import RunKind
from tests.adsapp_crm.hubspot_account import TOKEN, hubspot_account

pytestmark = pytest.mark.django_db(transaction=True)


class DiedError(BaseException):
    """The process is gone: nothing in the product catches it."""


@pytest.fixture
def hubspot(settings):
    with hubspot_account() as account:
        settings.CRM_PROVIDERS = {"hubspot": {"api_base": account.url}}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        yield account


@pytest.fixture
def approved(tenant, hubspot):
    """Id of a run that is to create three contacts in HubSpot."""
    with tenant.context(actor="user:test", origin="user"):
        for name in ("Ann", "Bea", "Cas"):
            create_contact({"firstName": name, "email": f"{name.lower()}@example.com"})
    connection_id = connect_with_token(tenant.id, "hubspot", TOKEN, actor="user:test").connection_id
    run_id = start_run(tenant.id, connection_id, RunKind.FULL, actor="user:test")
    stepping.step_run(tenant.id, run_id, seconds=60)
    with tenant.context():
        return approve_plan(CrmSyncLog.objects.get().plan_id, actor="user:test").pk


def die_in_create(monkeypatch, tenant, run_id, *, after_the_call):
    """A worker that dies when it creates: it gives nothing back, and only time tells that it is gone."""

    def dying(connection, **named):
        connector = connector_of(connection, **named)
        create = connector.create

        def die(*arguments):
            if after_the_call:
                create(*arguments)
            raise DiedError

        connector.create = die
        return connector

    connector_of = wiring.connector_of
    with monkeypatch.context() as patched:
        patched.setattr(wiring, "connector_of", dying)
        patched.setattr(stepping, "release_lease", lambda *_: None)
        with pytest.raises(DiedError):
            stepping.step_run(tenant.id, run_id, seconds=60)


def let_the_lease_run_out(tenant):
    past = timezone.now() - timedelta(seconds=3)
    with tenant.context():
        CrmLease.objects.update(expires_at=past)
        CrmSyncLog.objects.update(updated_at=past)


def open_work(tenant):
    """(open intents, claimed lines)"""
    with tenant.context():
        claimed = CrmPlanLine.objects.filter(claimed_until__isnull=False).count()
        return CrmIntent.objects.filter(status__in=["sent", "unknown"]).count(), claimed


@pytest.mark.parametrize("after_the_call", [False, True])
def test_a_killed_workers_page_is_finished_by_the_next_one(monkeypatch, tenant, hubspot, approved, after_the_call):
    """Whether its creations reached the CRM is looked up; each contact has one record in the end."""
    die_in_create(monkeypatch, tenant, approved, after_the_call=after_the_call)
    assert open_work(tenant) == (3, 3)
    assert len(hubspot.records()) == (3 if after_the_call else 0)
    assert stepping.step_run(tenant.id, approved).left is stepping.Left.BUSY

    let_the_lease_run_out(tenant)
    assert runs_to_resume() == [approved]
    assert stepping.step_run(tenant.id, approved, seconds=60).left is stepping.Left.ENDED

    assert open_work(tenant) == (0, 0)
    assert sorted(each["firstname"] for each in hubspot.records()) == ["Ann", "Bea", "Cas"]
    with tenant.context():
        run = CrmSyncLog.objects.get(pk=approved)
    assert (run.status, run.counts["created_in_crm"]) == ("completed", 3)


def test_a_run_whose_worker_is_alive_or_left_is_not_offered(tenant, hubspot, approved):
    """Neither while the lease lasts nor, for a while, after it was given back."""
    with tenant.context():
        connection = CrmConnection.objects.get()
        CrmSyncLog.objects.update(updated_at=timezone.now() - timedelta(seconds=10))
    lease = acquire_lease(connection, "scan")
    assert runs_to_resume() == []

    release_lease(connection, lease)
    assert runs_to_resume() == []


@pytest.mark.parametrize("away", [0, 2, 99], ids=["there", "back_soon", "away"])
def test_a_run_that_lost_its_database_is_offered_soon(monkeypatch, tenant, hubspot, approved, away):
    """Its lease lapses as soon as the database is back, else by itself; it is not given back.

    Without a lapsed lease the sweep would take the run for one whose message is on its way.
    """
    tries = []

    def lost(*_arguments):
        raise OperationalError("the server closed the connection")

    def set_end(connection, lease, seconds, **named):
        if seconds:  # the heartbeat
            return end_of(connection, lease, seconds, **named)
        tries.append(1)
        return lost() if len(tries) <= away else end_of(connection, lease, seconds, **named)

    end_of = leases._set_end
    with monkeypatch.context() as patched:
        patched.setattr(stepping, "advance", lost)
        patched.setattr(leases, "_set_end", set_end)
        patched.setattr(leases, "LAPSE_PAUSE_SECONDS", 0)
        with pytest.raises(OperationalError):
            stepping.step_run(tenant.id, approved)

    assert len(tries) == min(away + 1, leases.LAPSE_TRIES)
    past = timezone.now() - timedelta(seconds=3)
    with tenant.context():
        assert CrmLease.objects.filter(expires_at__lte=timezone.now()).count() == (away < 99)
        CrmSyncLog.objects.update(updated_at=past)
    if away == 99:
        assert runs_to_resume() == []
        let_the_lease_run_out(tenant)
    assert runs_to_resume() == [approved]
    assert stepping.step_run(tenant.id, approved, seconds=60).left is stepping.Left.ENDED
    assert len(hubspot.records()) == 3


def test_a_worker_that_was_stopped_past_its_lease_sends_nothing_more(monkeypatch, tenant, hubspot, approved):
    """The check before each request refuses; until then it lets them pass."""
    with tenant.context():
        connection = CrmConnection.objects.get()
    lease = acquire_lease(connection, "scan", seconds=30)
    with kept_alive(connection, lease) as check:
        check()
        now = leases._awake_seconds()
        monkeypatch.setattr(leases, "_awake_seconds", lambda: now + 30)
        with pytest.raises(LeaseLostError):
            check()
