"""CRMs on loopback that deliver webhooks to the application, and tasks that are done where they are sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests

from adsapp_crm import tasks
from adsapp_crm.models import Contact, CrmConnection, CrmSyncLog, CrmWebhookEvent, CrmWebhookRefusal
from adsapp_crm.services.connections import Access, connect_account, connect_with_token
from adsapp_crm.services.contacts import create_contact
from adsapp_crm.services.refusal_counter import REFUSALS
from adsapp_crm.services.syncing import approve_plan, start_run
from config import celery_app
from crm.fakes import FAKES
from crm.model import RunKind
from crm.providers.hubspot.fake.webhooks import signed_headers
from crm.testing.wsgi import LoopbackServer

TOKENS = {
    "hubspot": "pat-eu1-11111111-2222-3333-4444-555555555555",
    "pipedrive": "0123456789abcdef0123456789abcdef01234567",
    "salesforce": "00DdM0000000001!AQ.fake.session.that.opens.nothing",
}
APP_SECRET = "11111111-2222-3333-4444-555555555555"
EVENTS = ["creation", "deletion", "merge", "restore", "privacyDeletion", "propertyChange"]


@contextmanager
def eager_tasks() -> Iterator[None]:
    """Tasks are done where they are sent, and what they raise is seen."""
    celery_app.conf.task_always_eager = True
    celery_app.conf.task_eager_propagates = True
    try:
        yield
    finally:
        celery_app.conf.task_always_eager = False
        celery_app.conf.task_eager_propagates = False


@dataclass
class StandIn:
    """One fake CRM; ``fake`` is looked into by no test of the product, only by its back door."""

    key: str
    fake: Any
    url: str

    def back_door(self, method: str, path: str, body: object = None) -> Any:
        answer = requests.request(method, f"{self.url}/_fake/{path}", json=body, timeout=10)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def deliver(self) -> int:
        """One round of deliveries in this call; how many events were accepted."""
        path = "outbound/deliver" if self.key == "salesforce" else "webhooks/deliver"
        return int(self.back_door("POST", path)["accepted"])

    def writes(self) -> int:
        return int(self.back_door("GET", "stats")["writes"])


@contextmanager
def stand_in(key: str, **options: Any) -> Iterator[StandIn]:
    REFUSALS.write()  # what tests before this one left to be counted
    CrmWebhookRefusal.objects.all().delete()
    fake: Any = FAKES[key](token=TOKENS[key], limits="none", search_lag_seconds=0.0, **options)
    try:
        with LoopbackServer(fake) as server:
            yield StandIn(key, fake, server.url)
    finally:
        fake.close()


def connect(tenant: Any, key: str, *, approve: bool = True) -> Any:
    """Connect by token and carry out the first sync; gives the connection's id."""
    return first_synced(tenant, connect_with_token(tenant.id, key, TOKENS[key], actor="user:test"), approve=approve)


def connect_as_granted(tenant: Any, stand: StandIn) -> Any:
    """The same, as Salesforce's grant would leave it: it names the account's address and the user."""
    headers = {"Authorization": f"Bearer {TOKENS[stand.key]}"}
    about = requests.get(f"{stand.url}/services/oauth2/userinfo", headers=headers, timeout=10).json()
    told = {"instance_url": stand.url, "user_id": about["user_id"]}
    access = Access({"token": TOKENS[stand.key], "settings": told})
    return first_synced(tenant, connect_account(tenant.id, stand.key, access, actor="user:test"))


def first_synced(tenant: Any, connected: Any, *, approve: bool = True) -> Any:
    connection_id = connected.connection_id
    if approve:
        sync_first(tenant, connection_id)
    return connection_id


def sync_first(tenant: Any, connection_id: Any) -> None:
    run_id = start_run(tenant.id, connection_id, RunKind.FULL, actor="user:test")
    tasks.sync_page.delay(str(run_id))
    with tenant.context():
        plan_id = CrmSyncLog.objects.get(pk=run_id).plan_id
        held = CrmSyncLog.objects.get(pk=run_id).status == "held"
        approved = approve_plan(plan_id, actor="user:test") if held else None
    if approved is not None:
        tasks.sync_page.delay(str(approved.pk))
    with tenant.context():
        assert CrmConnection.objects.get(pk=connection_id).first_sync_approved_at is not None


def add_contact(tenant: Any, **values: Any) -> Any:
    with tenant.context(actor="user:test", origin="user"):
        return create_contact(values)


def contacts(tenant: Any, column: str = "first_name") -> list[Any]:
    with tenant.context():
        return list(Contact.objects.live().order_by("created_at", "id").values_list(column, flat=True))


def events(tenant: Any) -> list[tuple[str, str]]:
    """(kind, what became of it) of each stored event, in the order they came."""
    with tenant.context():
        rows = CrmWebhookEvent.objects.order_by("received_at", "id")
        return list(rows.values_list("event_type", "status"))


def runs(tenant: Any, trigger: str = "webhook") -> list[tuple[str, str, list[str]]]:
    with tenant.context():
        rows = CrmSyncLog.objects.filter(trigger=trigger).order_by("started_at")
        return list(rows.values_list("sync_type", "status", "remote_ids"))


def refusals() -> dict[str, int]:
    REFUSALS.write()
    return {f"{row.crm_type} {row.code}": row.deliveries for row in CrmWebhookRefusal.objects.all()}


def hubspot_event(portal_id: int, object_id: int, **more: Any) -> dict[str, Any]:
    return {
        "eventId": 1,
        "subscriptionId": 501,
        "portalId": portal_id,
        "appId": 770011,
        "occurredAt": 1790000000000,
        "subscriptionType": "contact.propertyChange",
        "attemptNumber": 0,
        "objectId": object_id,
        "propertyName": "firstname",
        "propertyValue": "Never taken",
        "changeSource": "CRM_UI",
        "sourceId": "userId:42",
        **more,
    }


def signed(url: str, listed: list[dict[str, Any]], *, secret: str = APP_SECRET, now_ms: int) -> tuple[bytes, Any]:
    """Body and headers as HubSpot sends them."""
    body = json.dumps(listed, separators=(",", ":")).encode()
    return body, signed_headers(secret, url, body, now_ms)
