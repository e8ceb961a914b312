"""An address that takes outgoing webhooks, and changes that people are told of."""

from __future__ import annotations

import json

import pytest
import requests
from django.db.models.functions import Now

from adsapp_crm.models import (
    CrmConnection,
    CrmMessage,
    CrmSyncLog,
)
from adsapp_crm.models.choices import Health
from adsapp_crm.services import outgoing, sending
from adsapp_crm.services.outgoing import add_webhook
from crm.http.hosts import HostPolicy
from crm.testing.wsgi import InProcessAdapter

URL = "https://hooks.example.com/crm"
EVERYTHING = [kind.value for kind in outgoing.CHOICES]


class Receiver:
    """A server in this process; ``statuses`` are what it answers, the last one from then on."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses) or [204]
        self.seen: list[tuple[bytes, dict[str, str]]] = []
        self.session = requests.Session()
        adapter = InProcessAdapter(self.app)
        self.session.mount("https://", adapter)
        self.session.mount("http://", adapter)

    def app(self, environ, start_response):
        body = environ["wsgi.input"].read()
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        self.seen.append((body, {name: environ[f"HTTP_{name.upper().replace('-', '_')}"] for name in names}))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        start_response(f"{status} said", [("Location", "http://127.0.0.1/inner")] if 300 <= status < 400 else [])
        return [b""]

    def told(self):
        return [json.loads(body) for body, _headers in self.seen]

    def types(self):
        return [each["type"] for each in self.told()]


def hook(tenant, kinds=EVERYTHING):
    return add_webhook(tenant.id, URL, kinds, actor="user:test")


def change(tenant, connection, **columns):
    with tenant.context():
        CrmConnection.objects.filter(pk=connection.pk).update(**columns)


def end_run(tenant, connection, status="completed", **columns):
    with tenant.context():
        run = CrmSyncLog.objects.create(**{"connection": connection, "sync_type": "delta"} | columns)
        CrmSyncLog.objects.filter(pk=run.pk).update(status=status, completed_at=Now())
        return run


def due_again(tenant):
    """The time of the next attempt has come."""
    with tenant.context():
        CrmMessage.objects.filter(status="waiting").update(next_attempt_at=Now())


@pytest.fixture
def public_names(monkeypatch, settings):
    """hooks.example.com has a public address; nothing is looked up."""
    names = {"hooks.example.com": ["93.184.216.34"], "inner.example.com": ["93.184.216.34", "10.0.0.7"]}
    policy = HostPolicy(any_public=True, resolve=lambda host, _port: names.get(host, [host]))
    monkeypatch.setattr(outgoing, "hosts", lambda: policy)
    monkeypatch.setattr(sending, "hosts", lambda: policy)
    settings.CRM_MAIL_FROM = "crm@adsapp.example"


@pytest.fixture
def connection(tenant):
    with tenant.context():
        return CrmConnection.objects.create(
            crm_type="hubspot", health=Health.HEALTHY, first_sync_approved_at=Now(), last_success_at=Now()
        )
