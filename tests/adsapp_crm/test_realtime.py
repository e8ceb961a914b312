"""A contact that was changed here is in the CRM at once; what nobody announced is found by the sweep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from adsapp_crm import tasks
from adsapp_crm.models import Contact, CrmConnection, CrmSyncState
from adsapp_crm.services import realtime
from adsapp_crm.services.contacts import create_contact, delete_contact, update_contact
from tests.adsapp_crm.webhook_stand import add_contact, connect, contacts, eager_tasks, runs, stand_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def worker():
    with eager_tasks():
        yield


@pytest.fixture
def crms(settings):
    with stand_in("hubspot") as hubspot, stand_in("pipedrive") as pipedrive:
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        settings.CRM_PROVIDERS = {"hubspot": {"api_base": hubspot.url}, "pipedrive": {"api_base": pipedrive.url}}
        yield hubspot, pipedrive


@pytest.fixture
def hubspot(crms):
    return crms[0]


@pytest.fixture
def ann(tenant, hubspot):
    contact = add_contact(tenant, firstName="Ann", email="ann@example.com")
    connect(tenant, "hubspot")
    assert first_names(hubspot) == ["Ann"]
    return contact.pk


def first_names(hubspot):
    return [each["properties"].get("firstname") for each in hubspot.back_door("GET", "records")["results"]]


def edit(tenant, contact_id, **values):
    with tenant.context(actor="user:test", origin="user"):
        update_contact(contact_id, values, version=None)


def pushes(tenant):
    return [(kind, status) for kind, status, _ids in runs(tenant, "app_change")]


def test_an_edit_is_in_the_crm_when_its_transaction_has_committed(tenant, hubspot, ann):
    """One run, one write; nothing is left to do."""
    writes = hubspot.writes()

    edit(tenant, ann, firstName="Anna")

    assert first_names(hubspot) == ["Anna"]
    assert hubspot.writes() == writes + 1
    assert pushes(tenant) == [("manual", "completed")]


def test_a_rolled_back_edit_is_pushed_nowhere(tenant, hubspot, ann):
    """What was not committed did not happen."""
    with tenant.context():
        update_contact(ann, {"firstName": "Anna"}, version=None)
        transaction.set_rollback(True)

    assert first_names(hubspot) == ["Ann"]
    assert pushes(tenant) == []


def test_many_edits_of_one_transaction_are_one_push(tenant, hubspot, ann):
    """Announced for each contact, asked for once."""
    with tenant.context(actor="user:test", origin="user"):
        for number in range(5):
            create_contact({"firstName": f"New {number}", "email": f"new{number}@example.com"})
        update_contact(ann, {"firstName": "Anna"}, version=None)

    assert sorted(first_names(hubspot)) == ["Anna", *(f"New {number}" for number in range(5))]
    assert pushes(tenant) == [("manual", "completed")]


def test_a_deletion_reaches_the_crm_by_its_policy(tenant, hubspot, ann):
    """Unlinked by default: the record stays, and nothing makes the contact again."""
    with tenant.context(actor="user:test", origin="user"):
        delete_contact(ann)

    with tenant.context():
        assert CrmSyncState.objects.get().state == "deleted_in_app"
    assert first_names(hubspot) == ["Ann"]
    assert pushes(tenant) == [("manual", "completed")]


def test_a_write_past_the_services_is_found_by_the_sweep(tenant, hubspot, ann):
    """The trigger wrote it into the history; no announcement was needed, and none is repeated."""
    with tenant.context():
        Contact.objects.filter(pk=ann).update(first_name="Anna")
    assert first_names(hubspot) == ["Ann"]

    tasks.sweep.delay()
    tasks.sweep.delay()

    assert first_names(hubspot) == ["Anna"]
    assert pushes(tenant) == [("manual", "completed")]


def test_more_than_a_page_goes_by_a_delta_at_once(tenant, hubspot, ann):
    """200 due contacts are one push, 201 are one delta in batches; nothing waits for the schedule."""
    add_silently(tenant, realtime.MOST_CONTACTS)
    edit(tenant, ann, firstName="Anna")

    assert pushes(tenant) == [("delta", "completed")]
    assert len(first_names(hubspot)) == realtime.MOST_CONTACTS + 1
    assert "Anna" in first_names(hubspot)

    add_silently(tenant, realtime.MOST_CONTACTS)
    tasks.sweep.delay()

    assert len(first_names(hubspot)) == 2 * realtime.MOST_CONTACTS + 1
    assert pushes(tenant) == [("delta", "completed"), ("manual", "completed")]


def test_what_a_delta_has_left_due_begins_no_other(tenant, hubspot, ann):
    """HubSpot refuses all of them: they wait for their hourly attempts, not for the next sweep."""
    add_silently(tenant, realtime.MOST_CONTACTS + 1, email="no address {}")
    for _ in range(3):
        tasks.sweep.delay()

    assert [kind for kind, _status in pushes(tenant)].count("delta") == 1


def clock(hours):
    """The time of the day so many hours from now."""
    return f"{datetime.now(UTC) + timedelta(hours=hours):%H:%M}"


@pytest.mark.parametrize(
    "waits_for",
    [
        {"parked_until": datetime(2099, 1, 1, tzinfo=UTC)},
        {"schedule": {"timeZone": "UTC", "quietFrom": clock(-2), "quietUntil": clock(2), "fullAt": clock(12)}},
        {"settings": {"realtime": False}},
    ],
    ids=["quota", "quiet", "turned_off"],
)
def test_many_wait_where_a_delta_would(tenant, hubspot, ann, waits_for):
    """A quota used up and quiet hours hold them back; the next delta of the schedule takes them."""
    with tenant.context():
        CrmConnection.objects.update(**waits_for)
    add_silently(tenant, realtime.MOST_CONTACTS + 1)
    tasks.sweep.delay()

    assert pushes(tenant) == []


def add_silently(tenant, count, **values):
    """Written past the services: only the sweep can find them."""
    with tenant.context():
        rows = [
            Contact(first_name=f"New {number}", **{name: text.format(number) for name, text in values.items()})
            for number in range(count)
        ]
        Contact.objects.bulk_create(rows)


def test_what_one_crm_says_is_pushed_to_the_other_at_once(tenant, crms, ann):
    """A pull is an ordinary change for every other connection."""
    hubspot, pipedrive = crms
    connect(tenant, "pipedrive")
    (record,) = hubspot.back_door("GET", "records")["results"]
    hubspot.back_door("PATCH", f"records/{record['id']}", {"properties": {"firstname": "Anna"}})

    tasks.fire_job.delay("delta-sync")

    assert contacts(tenant) == ["Anna"]
    (person,) = pipedrive.back_door("GET", "records")["results"]
    assert person["first_name"] == "Anna"


def test_a_refused_contact_is_not_tried_for_ever(tenant, hubspot, ann):
    """HubSpot refuses the address: one push, then the record waits for its hourly attempts."""
    with tenant.context():
        Contact.objects.filter(pk=ann).update(email="no address")
    for _ in range(5):
        tasks.sweep.delay()

    assert pushes(tenant) == [("manual", "completed")]
    with tenant.context():
        link = CrmSyncState.objects.get()
    assert link.troubles or link.error_code


def test_nothing_is_pushed_before_the_first_sync_was_approved(tenant, hubspot):
    """A new connection only plans."""
    connect(tenant, "hubspot", approve=False)
    add_contact(tenant, firstName="Ann", email="ann@example.com")
    tasks.sweep.delay()

    assert first_names(hubspot) == []
    assert pushes(tenant) == []


def test_a_paused_connection_pushes_when_it_is_resumed(tenant, hubspot, ann):
    """Nothing is lost meanwhile: the sweep finds it."""
    from adsapp_crm.services.connections import pause_connection, resume_connection

    with tenant.context():
        connection_id = CrmConnection.objects.get().pk
        pause_connection(connection_id, actor="user:test")
    edit(tenant, ann, firstName="Anna")
    tasks.sweep.delay()
    assert first_names(hubspot) == ["Ann"]
    with tenant.context():
        resume_connection(connection_id, actor="user:test")

    tasks.sweep.delay()

    assert first_names(hubspot) == ["Anna"]
