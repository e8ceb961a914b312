"""Deliveries of the CRMs' stand-ins, over HTTP, until the contact holds what the CRM holds."""

from __future__ import annotations

import time

import pytest
import requests

from adsapp_crm.models import Contact, CrmSyncState, CrmWebhook, CrmWebhookEvent
from adsapp_crm.services.subscriptions import keep_subscription, remove_subscription, setup_of
from tests.adsapp_crm.webhook_stand import (
    APP_SECRET,
    EVENTS,
    add_contact,
    connect,
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
