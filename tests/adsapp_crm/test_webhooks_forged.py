"""Who may say that something changed: 10,000 forged variants of a delivery, and tenants who sign for each other."""

from __future__ import annotations

import base64
import gzip
import json
import random
import time
from datetime import UTC, datetime

import pytest

from adsapp_crm.models import CrmConnection, CrmWebhookEvent
from adsapp_crm.services.refusal_counter import REFUSALS
from adsapp_crm.services.subscriptions import setup_of
from adsapp_crm.storage.apps import register_app
from adsapp_crm.tenancy import organization_context
from crm.errors import WebhookRejectedError
from crm.http.redact import Secret
from crm.registry import provider
from tests.adsapp_crm.webhook_stand import APP_SECRET, hubspot_event, refusals, signed
from tests.harness.endurance.forgery import GENUINE, Forged, forge

NOW_MS = 1_790_000_000_500
PUBLIC = "https://crm.example.com"


@pytest.fixture(autouse=True)
def nothing_left_to_count():
    """What an earlier test left to be counted is none of this one's."""
    REFUSALS._pending.clear()


@pytest.mark.parametrize("key", ["hubspot", "pipedrive", "salesforce"])
def test_ten_thousand_forged_variants_are_refused(key):
    """Bits flipped, cut, serialized anew, other versions, secrets, paths, digits, headers: none is believed."""
    verify = provider(key).verify_webhook
    genuine = GENUINE[key]
    now = datetime.fromtimestamp(NOW_MS / 1000, UTC)

    def accepted(delivery: Forged) -> bool:
        try:
            verify(
                method=delivery.method,
                url=delivery.url,
                headers=delivery.headers,
                body=delivery.body,
                secret=Secret(genuine.secret),
                now=now,
            )
        except WebhookRejectedError:
            return False
        return True

    assert accepted(genuine.delivery)
    forged = list(forge(key, random.Random(2026), 10_000))
    assert len(forged) == 10_000
    assert len({each.kind for each in forged}) >= 6
    assert [each.kind for each in forged if accepted(each)] == []


pytestmark_db = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hubspot(settings):
    settings.CRM_PUBLIC_URL = PUBLIC
    settings.CRM_PROVIDERS = {"hubspot": {"client_secret": APP_SECRET}}
    REFUSALS.write()


def pinned(tenant, portal, registration=None):
    with tenant.context():
        return CrmConnection.objects.create(
            crm_type="hubspot",
            remote_account_id=str(portal),
            app_registration=registration,
            first_sync_approved_at=datetime.now(UTC),
            status="paused",
        )


def stored(*tenants):
    found = {}
    for tenant in tenants:
        with tenant.context():
            found[tenant.id] = CrmWebhookEvent.objects.count()
    return found


def post(client, address, body, headers):
    return client.post(
        address.removeprefix(PUBLIC), body, content_type="application/json", headers={**headers, "Content-Type": ""}
    )


@pytestmark_db
def test_each_app_speaks_for_its_own_accounts_only(client, hubspot, make_organization):
    """Three tenants with an app each: of nine combinations of signer, address and account only the own ones count."""
    tenants = [make_organization(f"T{number}") for number in range(3)]
    secrets = [f"own-secret-{number}" * 3 for number in range(3)]
    addresses = []
    for number, tenant in enumerate(tenants):
        with tenant.context():
            registration = register_app("hubspot", "the-same-client-id", Secret(secrets[number]))
        row = pinned(tenant, 100 + number, registration)
        addresses.append(setup_of(tenant.id, row.pk, actor="user:test").address)
    accepted = []
    for signer in range(3):
        for place in range(3):
            for account in range(3):
                event = hubspot_event(100 + account, 7, occurredAt=signer * 100 + place * 10 + account)
                body, headers = signed(
                    addresses[place], [event], secret=secrets[signer], now_ms=time.time_ns() // 1_000_000
                )
                before = stored(*tenants)
                answer = post(client, addresses[place], body, headers)
                after = stored(*tenants)
                if after != before:
                    accepted.append((signer, place, account, answer.status_code))
                    assert [tenant.id for tenant in tenants if after[tenant.id] != before[tenant.id]] == [
                        tenants[account].id
                    ]

    assert accepted == [(number, number, number, 200) for number in range(3)]
    assert refusals() == {"hubspot webhook.signature": 18, "hubspot webhook.foreign": 6}


@pytestmark_db
def test_an_own_app_does_not_reach_accounts_of_the_installation(client, hubspot, tenant, other):
    """A tenant signs with an own app for a portal that another one connected by this installation's app."""
    pinned(other, 100)
    with tenant.context():
        registration = register_app("hubspot", "mine", Secret("own-secret"))
    mine = pinned(tenant, 200, registration)
    address = setup_of(tenant.id, mine.pk, actor="user:test").address
    body, headers = signed(address, [hubspot_event(100, 7)], secret="own-secret", now_ms=time.time_ns() // 1_000_000)

    assert post(client, address, body, headers).status_code == 200

    assert stored(tenant, other) == {tenant.id: 0, other.id: 0}
    assert refusals() == {"hubspot webhook.foreign": 1}


@pytestmark_db
def test_the_webhook_secret_replaces_the_client_secret(client, hubspot, tenant, settings):
    """HUBSPOT_WEBHOOK_SECRET set: what the client secret signed is refused."""
    settings.CRM_PROVIDERS = {"hubspot": {"client_secret": APP_SECRET, "webhook_secret": "another"}}
    pinned(tenant, 100)
    address = f"{PUBLIC}/api/crm/webhooks/hubspot/app"
    statuses = []
    for secret in (APP_SECRET, "another"):
        body, headers = signed(address, [hubspot_event(100, 7)], secret=secret, now_ms=time.time_ns() // 1_000_000)
        statuses.append(post(client, address, body, headers).status_code)

    assert statuses == [401, 200]
    assert stored(tenant) == {tenant.id: 1}


def shapes():
    """(name, status, code, changed request) of what is refused at the door, HubSpot's as an example."""
    yield "unknown crm", 404, "? webhook.address", {"path": "/api/crm/webhooks/zoho/app"}
    yield "unknown app", 404, "hubspot webhook.address", {"path": "/api/crm/webhooks/hubspot/apps"}
    yield "no app id", 404, "hubspot webhook.address", {"path": f"/api/crm/webhooks/hubspot/{'0' * 36}"}
    yield "unknown token", 404, "pipedrive webhook.address", {"path": "/api/crm/webhooks/pipedrive/token"}
    yield "no signature", 401, "hubspot webhook.signature", {"drop": "X-HubSpot-Signature-v3"}
    yield "old", 401, "hubspot webhook.stale", {"age_seconds": 301}
    yield "from the future", 401, "hubspot webhook.stale", {"age_seconds": -3600}
    yield "compressed", 415, "hubspot webhook.compressed", {"headers": {"Content-Encoding": "gzip"}}
    yield "too large", 413, "hubspot webhook.too_large", {"body": b"[" + b" " * 1_048_576 + b"]"}
    yield "no JSON", 400, "hubspot webhook.malformed", {"body": b"<xml/>"}
    yield "deep", 400, "hubspot webhook.malformed", {"body": b"[" * 100_000}
    yield "no array", 400, "hubspot webhook.malformed", {"body": b"{}"}
    yield "strange id", 400, "hubspot webhook.malformed", {"event": {"objectId": "7\x00"}}
    yield "long id", 400, "hubspot webhook.malformed", {"event": {"objectId": "7" * 101}}
    yield "get", 405, "hubspot webhook.method", {"method": "GET"}
    yield "chunked", 411, "hubspot webhook.length", {"headers": {"Transfer-Encoding": "chunked"}}


@pytestmark_db
@pytest.mark.parametrize(
    ("name", "status", "code", "change"), list(shapes()), ids=lambda each: each if isinstance(each, str) else ""
)
def test_a_refused_delivery_leaves_a_counter_and_nothing_else(client, hubspot, tenant, name, status, code, change):
    """Its status says why, its answer nothing; no event is stored."""
    pinned(tenant, 100)
    path = change.get("path", "/api/crm/webhooks/hubspot/app")
    now_ms = time.time_ns() // 1_000_000 - int(change.get("age_seconds", 0) * 1000)
    body, headers = signed(f"{PUBLIC}{path}", [hubspot_event(100, 7, **change.get("event", {}))], now_ms=now_ms)
    if "body" in change:
        from crm.providers.hubspot.fake.webhooks import signed_headers

        body = change["body"]
        headers = signed_headers(APP_SECRET, f"{PUBLIC}{path}", body, now_ms)
    headers.pop(change.get("drop", ""), None)
    headers |= change.get("headers", {})
    if "Content-Encoding" in change.get("headers", {}):
        body = gzip.compress(body)
    del headers["Content-Type"]

    answer = client.generic(change.get("method", "POST"), path, body, content_type="application/json", headers=headers)

    assert (answer.status_code, answer.content) == (status, b"")
    assert refusals() == {code: 1}
    assert stored(tenant) == {tenant.id: 0}


@pytestmark_db
def test_a_genuine_delivery_names_no_value(client, hubspot, tenant):
    """What is stored of an event are ids, kinds and times."""
    pinned(tenant, 100)
    address = f"{PUBLIC}/api/crm/webhooks/hubspot/app"
    body, headers = signed(address, [hubspot_event(100, 7)], now_ms=time.time_ns() // 1_000_000)

    assert post(client, address, body, headers).status_code == 200

    with organization_context(tenant.id):
        row = CrmWebhookEvent.objects.values().get()
    assert "Never taken" not in json.dumps(row, default=str)
    assert base64.b64encode(b"Never taken").decode() not in json.dumps(row, default=str)


@pytestmark_db
def test_a_storm_at_one_address_is_capped(client, hubspot, tenant, monkeypatch):
    """Beyond its share an address is told to come later; others are not."""
    from adsapp_crm.webhooks import intake
    from adsapp_crm.webhooks.rates import RateCap

    monkeypatch.setattr(intake, "RATES", RateCap(per_second=0, burst=2))
    pinned(tenant, 100)
    address = f"{PUBLIC}/api/crm/webhooks/hubspot/app"
    answers = []
    for number in range(4):
        body, headers = signed(address, [hubspot_event(100, 7, occurredAt=number)], now_ms=time.time_ns() // 1_000_000)
        answers.append(post(client, address, body, headers))

    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert answers[-1]["Retry-After"] == "5"
    assert stored(tenant) == {tenant.id: 2}
