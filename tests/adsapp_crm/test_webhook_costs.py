"""What a delivery costs: counted round trips to the database, and that remembering a moment lets nothing through."""

from __future__ import annotations

import base64
import itertools
import json
import threading
import time
from unittest import mock

import pytest
from django.db import connection as database
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from adsapp_crm import tasks
from adsapp_crm.models import CrmConnection, CrmWebhook, CrmWebhookEvent
from adsapp_crm.services import inbox, realtime
from adsapp_crm.services.refusal_counter import REFUSALS
from adsapp_crm.services.subscriptions import setup_of
from adsapp_crm.webhooks import intake
from adsapp_crm.webhooks.known import Known
from tests.adsapp_crm.webhook_stand import APP_SECRET, hubspot_event, signed

pytestmark = pytest.mark.django_db

numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def _no_queue():
    with mock.patch("celery.app.task.Task.apply_async"):
        yield
    REFUSALS._pending.clear()  # counted in a transaction that is rolled back


@pytest.fixture
def portal(tenant, settings):
    """HubSpot's portal of a number that no other test has."""
    settings.CRM_PROVIDERS = {"hubspot": {"client_secret": APP_SECRET}}
    portal_id = 5_000_000 + next(numbers)
    connected(tenant, "hubspot", portal_id)
    return portal_id


def connected(tenant, crm_type, account_id):
    with tenant.context():
        return CrmConnection.objects.create(
            crm_type=crm_type, remote_account_id=str(account_id), first_sync_approved_at=Now()
        ).pk


def to_hubspot(settings, portal_id, secret=APP_SECRET):
    url = f"{settings.CRM_PUBLIC_URL}/api/crm/webhooks/hubspot/app"
    event = hubspot_event(portal_id, 77, occurredAt=1_790_000_000_000 + next(numbers))
    body, headers = signed(url, [event], secret=secret, now_ms=time.time_ns() // 1_000_000)
    return post("/api/crm/webhooks/hubspot/app", body, headers)


def post(path, body, headers):
    """(status, statements sent)."""
    with CaptureQueriesContext(database) as queries:
        answer = Client().post(path, body, content_type="application/json", headers=headers)
    return answer.status_code, [each["sql"] for each in queries if "crm_webhook_refusals" not in each["sql"]]


def stored(tenant):
    with tenant.context():
        return CrmWebhookEvent.objects.count()


def test_a_delivery_of_a_known_account_is_one_round_trip(tenant, settings, portal):
    """The account is looked up once a second; what is stored announces its organization in the same message."""
    assert [len(queries) for _status, queries in [to_hubspot(settings, portal) for _ in range(3)]] == [2, 1, 1]
    assert stored(tenant) == 3


def test_a_forged_delivery_costs_the_database_nothing(settings, portal):
    """The signature is compared before anything is looked for."""
    assert to_hubspot(settings, portal, secret="another" * 5) == (401, [])


@pytest.fixture
def pipedrive(tenant):
    """(connection id, path, password) of an address that Pipedrive was told."""
    connection_id = connected(tenant, "pipedrive", 9)
    address = setup_of(tenant.id, connection_id, actor="user:test").address
    with tenant.context():
        password = CrmWebhook.objects.get().opened()["password"]
    return connection_id, "/" + address.split("/", 3)[3], password


def to_pipedrive(path, password, company="9"):
    meta = {"action": "change", "entity": "person", "entity_id": "7", "company_id": company, "timestamp": next(numbers)}
    credentials = base64.b64encode(f"adsapp:{password}".encode()).decode()
    return post(path, json.dumps({"meta": meta}).encode(), {"Authorization": f"Basic {credentials}"})


def test_an_address_is_looked_up_once_a_second(tenant, pipedrive):
    """Then a genuine delivery is one round trip and a forged one none; when it was used last is noted meanwhile."""
    _connection_id, path, password = pipedrive
    first = to_pipedrive(path, password)
    assert (first[0], len(first[1]) > 1) == (200, True)
    assert [len(queries) for _status, queries in [to_pipedrive(path, password) for _ in range(2)]] == [1, 1]
    assert to_pipedrive(path, "wrong") == (401, [])
    assert to_pipedrive(path, password, company="10")[0] == 403
    assert stored(tenant) == 3
    with tenant.context():
        assert CrmWebhook.objects.get().last_event_at is not None


@pytest.mark.parametrize("ended", ["connection", "subscription"])
def test_what_ended_within_the_second_takes_nothing(tenant, pipedrive, ended):
    """The address is still remembered; storing looks again."""
    connection_id, path, password = pipedrive
    assert to_pipedrive(path, password)[0] == 200
    with tenant.context():
        if ended == "connection":
            CrmConnection.objects.filter(pk=connection_id).update(status="disconnected")
        else:
            CrmWebhook.objects.update(status="removed")
    assert to_pipedrive(path, password)[0] == 403
    assert stored(tenant) == 1


def test_an_account_that_moved_within_the_second_is_found(tenant, other, settings, portal):
    """The one that was remembered takes it no more, so it is asked anew."""
    assert to_hubspot(settings, portal)[0] == 200
    with tenant.context():
        CrmConnection.objects.update(status="disconnected")
    connected(other, "hubspot", portal)
    assert to_hubspot(settings, portal)[0] == 200
    assert (stored(tenant), stored(other)) == (1, 1)


def test_nothing_is_remembered_of_what_is_not_there(settings, tenant):
    """An account may be connected at any moment."""
    settings.CRM_PROVIDERS = {"hubspot": {"client_secret": APP_SECRET}}
    portal_id = 6_000_000 + next(numbers)
    assert to_hubspot(settings, portal_id)[0] == 200
    connected(tenant, "hubspot", portal_id)
    assert to_hubspot(settings, portal_id)[0] == 200
    assert stored(tenant) == 1


def test_memory_ends_by_time_and_by_number(monkeypatch):
    """A second, and so many keys; errors are passed on and not remembered."""
    monkeypatch.setattr("adsapp_crm.webhooks.known.MOST_ENTRIES", 2)
    now, asked = [0.0], []

    def find(key):
        asked.append(key)
        if key == "broken":
            raise ValueError(key)
        return [] if key == "nothing" else [key]

    known = Known(find, seconds=1.0, monotonic=lambda: now[0])
    assert known.get("a") == (["a"], True)
    assert known.get("a") == (["a"], False)
    now[0] = 1.0
    assert known.get("a") == (["a"], True)
    for key in ("b", "c", "a", "nothing", "nothing"):
        known.get(key)
    assert asked == ["a", "a", "b", "c", "a", "nothing", "nothing"]
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            known.get("broken")
    assert asked[-2:] == ["broken", "broken"]


def test_memory_is_safe_between_threads():
    known = Known(lambda key: [key], seconds=0.0)
    wrong = []

    def use(number):
        for turn in range(300):
            key = f"{number}.{turn % 7}"
            if known.get(key)[0] != [key]:
                wrong.append(key)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert wrong == []


def test_a_burst_is_read_in_few_runs(tenant, monkeypatch):
    """What came while a run was on its way waits a moment for more; an idle connection's event waits for nothing."""
    sent = []
    monkeypatch.setattr(tasks.refetch, "apply_async", lambda *args, **named: sent.append((args, named)))
    monkeypatch.setattr(tasks.inbox, "settle", lambda *_ids: True)
    monkeypatch.setattr(realtime, "connections_to_ask", list)
    tasks._follow_up(tenant.id, tenant.id)
    assert sent == [(((str(tenant.id),),), {"countdown": inbox.BURST_SECONDS})]
    assert 0 < inbox.BURST_SECONDS <= 1


def test_addresses_of_this_installation_are_the_settings(settings, portal):
    """A secret that was changed counts at once."""
    assert to_hubspot(settings, portal)[0] == 200
    settings.CRM_PROVIDERS = {"hubspot": {"client_secret": "n" * 36}}
    assert to_hubspot(settings, portal)[0] == 401
    assert to_hubspot(settings, portal, secret="n" * 36)[0] == 200
    assert intake.find_address("hubspot", "app").secret == "n" * 36
