"""Deliveries of the CRMs' stand-ins, over HTTP, until the contact holds what the CRM holds."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
import requests
from django.utils import timezone

from adsapp_crm import tasks
from adsapp_crm.models import Contact, CrmConnection, CrmNotice, CrmSyncLog, CrmSyncState, CrmWebhook
from adsapp_crm.services import inbox
from adsapp_crm.services.connections import disconnect
from adsapp_crm.services.record_actions import unlink
from adsapp_crm.services.subscriptions import keep_subscription, remove_subscription, setup_of
from tests.adsapp_crm.webhook_stand import (
    APP_SECRET,
    EVENTS,
    TOKENS,
    add_contact,
    connect,
    connect_as_granted,
    contacts,
    eager_tasks,
    events,
    hubspot_event,
    refusals,
    runs,
    signed,
    stand_in,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def worker():
    with eager_tasks():
        yield


@pytest.fixture
def public(settings, live_server):
    settings.CRM_PUBLIC_URL = live_server.url
    settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
    return live_server.url


@pytest.fixture
def hubspot(settings, public):
    with stand_in("hubspot") as crm:
        settings.CRM_PROVIDERS = {"hubspot": {"api_base": crm.url, "client_secret": APP_SECRET}}
        yield crm


@pytest.fixture
def ann(tenant, hubspot, public):
    """Ann is on both sides, and HubSpot's events go to the app's address. Gives her record's id."""
    add_contact(tenant, firstName="Ann", email="ann@example.com")
    connection_id = connect(tenant, "hubspot")
    subscribe(tenant, hubspot, connection_id)
    return linked_id(tenant, "ann@example.com")


def subscribe(tenant, hubspot, connection_id, secret=APP_SECRET):
    address = setup_of(tenant.id, connection_id, actor="user:test").address
    wanted = [f"contact.{event}" for event in EVENTS]
    hubspot.back_door(
        "POST",
        "webhooks",
        {"targetUrl": address, "secret": secret, "subscriptions": wanted, "paused": True},
    )
    return address


def linked_id(tenant, email):
    with tenant.context():
        return CrmSyncState.objects.get(contact__email=email, state="live").crm_record_id


def edit(hubspot, remote_id, **values):
    hubspot.back_door("PATCH", f"records/{remote_id}", {"properties": values})


def test_an_edit_in_hubspot_arrives_by_its_webhook(tenant, hubspot, ann):
    """The event is stored, the record read again, the contact changed; nothing is written back."""
    writes = hubspot.writes()
    edit(hubspot, ann, firstname="Anna")

    assert hubspot.deliver() == 1

    assert contacts(tenant) == ["Anna"]
    assert events(tenant) == [("changed", "done")]
    assert runs(tenant) == [("webhook", "completed", [ann])]
    assert hubspot.writes() == writes
    assert refusals() == {}


def test_a_new_contact_in_hubspot_becomes_one_here(tenant, hubspot, ann):
    """Creation and property changes of one record come as several events and end in one refetch."""
    hubspot.back_door("POST", "records", {"properties": {"firstname": "Bob", "email": "bob@example.com"}})

    assert hubspot.deliver() == 3

    assert contacts(tenant, "email") == ["ann@example.com", "bob@example.com"]
    assert sorted(status for _kind, status in events(tenant)) == ["coalesced", "coalesced", "done"]
    assert len(runs(tenant)) == 1
    assert hubspot.deliver() == 0


def test_a_deletion_in_hubspot_unlinks_at_once(tenant, hubspot, ann):
    """HubSpot's delta shows no deletions; the event does, and the record is looked for before it counts."""
    hubspot.back_door("DELETE", f"records/{ann}")

    assert hubspot.deliver() == 1

    assert contacts(tenant) == ["Ann"]
    with tenant.context():
        assert CrmSyncState.objects.get(crm_record_id=ann).state != "live"


def test_a_merge_in_hubspot_moves_the_link_to_the_survivor(tenant, hubspot, ann):
    """Whatever the order of deletion and merge events, nobody is created again."""
    (other,) = hubspot.back_door("POST", "bulk", {"records": [{"email": "ann2@example.com", "jobtitle": "Chief"}]})[
        "ids"
    ]
    hubspot.deliver()
    survivor = hubspot.back_door("POST", "merge", {"primaryObjectId": other, "objectIdToMerge": ann})["id"]

    assert hubspot.deliver() >= 1

    with tenant.context():
        live = CrmSyncState.objects.filter(state="live")
        assert [link.crm_record_id for link in live] == [survivor]
        assert Contact.objects.count() == 2
    assert all(status in ("done", "coalesced") for _kind, status in events(tenant))


def delete_for_privacy(hubspot, remote_id):
    answer = requests.post(
        f"{hubspot.url}/crm/v3/objects/contacts/gdpr-delete",
        json={"objectId": remote_id},
        headers={"Authorization": f"Bearer {TOKENS['hubspot']}"},
        timeout=10,
    )
    assert answer.status_code == 204


def test_a_privacy_deletion_erases_nobody_whose_pair_a_person_has_ended(tenant, hubspot, ann):
    """The record was somebody else's, and an erasure cannot be taken back."""
    with tenant.context(actor="user:test"):
        unlink(CrmSyncState.objects.get().pk, actor="user:test")
    delete_for_privacy(hubspot, ann)

    assert hubspot.deliver() == 2

    assert contacts(tenant) == ["Ann"]
    assert ("erased", "done") in events(tenant)


def test_a_privacy_deletion_erases_the_person(tenant, hubspot, ann):
    """Values go from the contact; nothing asks a person to delete what HubSpot has deleted."""
    delete_for_privacy(hubspot, ann)

    assert hubspot.deliver() == 2

    with tenant.context():
        erased = Contact.objects.get()
        assert erased.erased_at is not None
        assert (erased.first_name, erased.email) == ("", "")
        assert not CrmNotice.objects.filter(kind__startswith="erasure").exists()
    assert ("erased", "done") in events(tenant)


def test_an_erasure_that_the_crm_does_not_confirm_is_asked_about_again_later(tenant, hubspot, ann):
    """A minute after the run, then later and later: no run follows another, and in the end the person is erased."""
    delete_for_privacy(hubspot, ann)
    hubspot.back_door("POST", "faults", {"kind": "unauthorized", "path": "*/batch/read", "skip": 2})
    hubspot.deliver()

    assert contacts(tenant) == ["Ann"]
    asked = hubspot.back_door("GET", "stats")["totalRequests"]
    for _ in range(3):
        tasks.sweep.delay()
    assert hubspot.back_door("GET", "stats")["totalRequests"] == asked
    assert (len(runs(tenant)), ("erased", "received") in events(tenant)) == (1, True)

    with tenant.context():
        CrmSyncLog.objects.update(completed_at=timezone.now() - timedelta(seconds=inbox.ERASE_AGAIN_SECONDS + 1))
    tasks.sweep.delay()
    assert hubspot.back_door("GET", "stats")["totalRequests"] > asked
    asked = hubspot.back_door("GET", "stats")["totalRequests"]
    hubspot.back_door("DELETE", "faults")
    tasks.sweep.delay()
    assert (hubspot.back_door("GET", "stats")["totalRequests"], contacts(tenant)) == (asked, ["Ann"])

    with tenant.context():
        CrmSyncLog.objects.update(completed_at=timezone.now() - timedelta(seconds=2 * inbox.ERASE_AGAIN_SECONDS + 1))
    tasks.sweep.delay()
    assert contacts(tenant) == []
    assert (len(runs(tenant)), ("erased", "done") in events(tenant)) == (1, True)


def test_a_claimed_erasure_of_a_living_record_erases_nobody(tenant, hubspot, ann, public, settings):
    """The event is a hint: HubSpot still shows the record, so the contact stays."""
    url = f"{public}/api/crm/webhooks/hubspot/app"
    with tenant.context():
        portal = portal_of(tenant)
    event = hubspot_event(portal, int(ann), subscriptionType="contact.privacyDeletion")
    body, headers = signed(url, [event], now_ms=time.time_ns() // 1_000_000)

    assert requests.post(url, body, headers=headers, timeout=10).status_code == 200

    assert contacts(tenant) == ["Ann"]
    assert events(tenant) == [("erased", "done")]


def portal_of(tenant):
    return int(CrmConnection.objects.get(crm_type="hubspot").remote_account_id)


def test_two_organizations_on_one_portal_each_get_the_event_once(tenant, other, hubspot):
    """One delivery, one row for each organization, one refetch by each."""
    (bob,) = hubspot.back_door("POST", "bulk", {"records": [{"firstname": "Bob", "email": "bob@example.com"}]})["ids"]
    subscribe(tenant, hubspot, connect(tenant, "hubspot"))
    connect(other, "hubspot")
    assert contacts(tenant) == contacts(other) == ["Bob"]
    edit(hubspot, bob, firstname="Rob")

    assert hubspot.deliver() == 1

    assert contacts(tenant) == contacts(other) == ["Rob"]
    assert events(tenant) == events(other) == [("changed", "done")]


def test_a_delivery_again_is_stored_once_and_reads_nothing(tenant, hubspot, ann, public):
    """The same event five times, in one body and in five: one row, one run."""
    url = f"{public}/api/crm/webhooks/hubspot/app"
    with tenant.context():
        portal = portal_of(tenant)
    event = hubspot_event(portal, int(ann))
    for attempt in range(5):
        listed = [{**event, "attemptNumber": attempt, "eventId": attempt}] * 2
        body, headers = signed(url, listed, now_ms=time.time_ns() // 1_000_000)
        assert requests.post(url, body, headers=headers, timeout=10).status_code == 200

    assert events(tenant) == [("changed", "done")]
    assert len(runs(tenant)) == 1
    assert contacts(tenant) == ["Ann"]


@pytest.fixture
def pipedrive(settings, public):
    with stand_in("pipedrive") as crm:
        settings.CRM_PROVIDERS = {"pipedrive": {"api_base": crm.url}}
        yield crm


def test_pipedrive_is_subscribed_and_delivers(tenant, pipedrive):
    """Through its API: subscribed once, checked again for nothing, an edit arrives, removed at the end."""
    add_contact(tenant, firstName="Ann", lastName="Lee", email="ann@example.com")
    connection_id = connect(tenant, "pipedrive")
    person = linked_id(tenant, "ann@example.com")

    assert keep_subscription(tenant.id, connection_id) == ""
    assert keep_subscription(tenant.id, connection_id, now=True) == ""
    assert len(pipedrive.fake.webhooks.hooks) == 1
    pipedrive.back_door("POST", "webhooks", {"paused": True})
    pipedrive.back_door("PATCH", f"records/{person}", {"properties": {"first_name": "Anna", "last_name": "Lee"}})
    assert pipedrive.deliver() == 1

    assert contacts(tenant) == ["Anna"]
    assert events(tenant) == [("changed", "done")]
    with tenant.context():
        assert CrmWebhook.objects.get().last_event_at is not None

    remove_subscription(tenant.id, connection_id)
    assert pipedrive.fake.webhooks.hooks == {}
    assert setup_of(tenant.id, connection_id, actor="user:test").status == ""


def test_a_subscription_that_pipedrive_ended_is_made_again(tenant, pipedrive):
    """Three days without success and Pipedrive deletes it: the next check subscribes anew at the same address."""
    connection_id = connect(tenant, "pipedrive")
    keep_subscription(tenant.id, connection_id)
    (first,) = pipedrive.fake.webhooks.hooks.values()
    pipedrive.fake.webhooks.hooks.clear()

    assert keep_subscription(tenant.id, connection_id) == ""
    assert pipedrive.fake.webhooks.hooks == {}
    assert keep_subscription(tenant.id, connection_id, now=True) == ""

    (second,) = pipedrive.fake.webhooks.hooks.values()
    assert second["subscription_url"] == first["subscription_url"]
    assert second["id"] != first["id"]


def test_no_subscription_is_made_for_an_address_nobody_can_reach(tenant, pipedrive, settings):
    """Plain http or a private host is told as such, and Pipedrive is not asked."""
    connection_id = connect(tenant, "pipedrive")
    settings.CRM_PROVIDERS = {"pipedrive": {}}
    settings.CRM_PUBLIC_URL = "http://crm.example.com"

    assert keep_subscription(tenant.id, connection_id, now=True) == "webhook.not_public"

    assert pipedrive.fake.webhooks.hooks == {}
    assert setup_of(tenant.id, connection_id, actor="user:test").error_code == "webhook.not_public"


@pytest.fixture
def salesforce(settings, public):
    with stand_in("salesforce") as crm:
        settings.CRM_PROVIDERS = {"salesforce": {"login_base": crm.url, "instance_url": crm.url}}
        yield crm


def test_salesforce_is_told_how_and_its_messages_are_acknowledged(tenant, salesforce):
    """The steps name the address; a message to it is answered with Ack and read again; another org's is not."""
    add_contact(tenant, firstName="Ann", lastName="Lee", email="ann@example.com")
    connection_id = connect_as_granted(tenant, salesforce)
    contact = linked_id(tenant, "ann@example.com")
    setup = setup_of(tenant.id, connection_id, actor="user:test")
    assert setup.address in setup.steps[1]
    assert keep_subscription(tenant.id, connection_id, now=True) == ""
    salesforce.back_door("POST", "outbound", {"targetUrl": setup.address, "paused": True})
    salesforce.back_door("PATCH", f"records/{contact}", {"fields": {"FirstName": "Anna"}})

    assert salesforce.deliver() == 1

    assert contacts(tenant) == ["Anna"]
    assert events(tenant) == [("changed", "done")]

    foreign = {"targetUrl": setup.address, "paused": True, "organizationId": "00D000000000001"}
    salesforce.back_door("POST", "outbound", foreign)
    salesforce.back_door("PATCH", f"records/{contact}", {"fields": {"FirstName": "Annie"}})
    assert salesforce.deliver() == 0
    assert contacts(tenant) == ["Anna"]
    assert refusals() == {"salesforce webhook.foreign": 1}


def test_the_health_check_subscribes_and_disconnecting_ends_it(tenant, pipedrive):
    """The first check after connecting subscribes, the next one asks nothing; afterwards Pipedrive sends no more."""
    connection_id = connect(tenant, "pipedrive")
    tasks.check_connection.delay(str(connection_id))
    before = sum(pipedrive.fake.requests.values())
    tasks.check_connection.delay(str(connection_id))
    assert sum(pipedrive.fake.requests.values()) - before == 1
    (hook,) = pipedrive.fake.webhooks.hooks.values()

    disconnect(tenant.id, "pipedrive", actor="user:test")

    assert pipedrive.fake.webhooks.hooks == {}
    assert requests.post(hook["subscription_url"], b"{}", timeout=10).status_code == 404
    assert refusals() == {"pipedrive webhook.address": 1}
