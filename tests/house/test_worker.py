"""A worker process as the Procfile starts it, told to stop while it works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import quote, urlsplit

import kombu
import pytest
import redis
from django.conf import settings as live
from django.db import connection as database

from adsapp_crm import tasks
from adsapp_crm.models import CrmLease, CrmSyncLog
from adsapp_crm.services.connections import connect_with_token
from adsapp_crm.services.organizations import create_organization
from adsapp_crm.services.syncing import start_run
from adsapp_crm.tenancy import organization_context
from crm.fakes import FAKES
from crm.model import RunKind
from crm.testing.wsgi import LoopbackServer
from tests.adsapp_crm.hubspot_account import TOKEN

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 90
"""Starting a worker takes seconds; a machine that is busy needs more."""


class Gate:
    """Stands before a fake CRM: holds the first search up until it is opened."""

    def __init__(self, app):
        self.app = app
        self.closed = False
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, environ, start_response):
        if self.closed and "/objects/" in environ["PATH_INFO"]:
            self.reached.set()
            self.opened.wait(PATIENCE_SECONDS)
        return self.app(environ, start_response)


@pytest.fixture
def broker():
    """A database of its own on the broker's server: nobody else's messages."""
    url = urlsplit(live.REDIS_URL)._replace(path="/7").geturl()
    client = redis.Redis.from_url(url)
    client.flushdb()
    yield url, client
    client.flushdb()


def worker(broker_url, api_base):
    place = database.settings_dict
    role = f"{quote(place['USER'])}:{quote(place['PASSWORD'])}"
    given = os.environ | {
        "DATABASE_URL": f"postgresql://{role}@{place['HOST']}:{place['PORT']}/{place['NAME']}",
        "REDIS_URL": broker_url,
        "CRM_HUBSPOT_API_BASE": api_base,
        "CRM_EXTRA_HOSTS": "127.0.0.1",
    }
    command = ["celery", "-A", "config", "worker", "--queues", "bulk", "--concurrency", "1", "--hostname", "t@%h"]
    return subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, env=given, start_new_session=True)


@pytest.mark.django_db(transaction=True)
def test_a_worker_told_to_stop_ends_its_unit_and_hands_the_rest_back(settings, broker):
    """SIGTERM while a CRM is asked: what was begun is stored, the lease is given back, the other message waits.

    It starts a real process, so it takes seconds.
    """
    broker_url, client = broker
    fake = FAKES["hubspot"](token=TOKEN, limits="none", search_lag_seconds=0.0)
    gate = Gate(fake)
    runs = []
    with LoopbackServer(gate) as server:
        settings.CRM_PROVIDERS = {"hubspot": {"api_base": server.url}}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        for number in range(2):
            organization, _owner = create_organization(f"O{number}", email=f"o{number}@example.com")
            connection = connect_with_token(organization.pk, "hubspot", TOKEN, actor="user:test").connection_id
            run = start_run(organization.pk, connection, RunKind.FULL, actor="user:test")
            runs.append((organization.pk, run))
            with kombu.Connection(broker_url) as sender:
                tasks.sync_page.apply_async([str(run)], connection=sender, queue="bulk")
        gate.closed = True
        process = worker(broker_url, server.url)
        try:
            assert gate.reached.wait(PATIENCE_SECONDS)
            process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.5)
            gate.opened.set()
            assert process.wait(PATIENCE_SECONDS) == 0
        finally:
            gate.opened.set()
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            fake.close()

    (done, first), (waits, second) = runs
    with organization_context(done):
        ended = CrmSyncLog.objects.get(pk=first)
        assert (ended.completed_at is None, ended.error_code) == (False, "")
        assert set(CrmLease.objects.values_list("owner", flat=True)) == {""}
    with organization_context(waits):
        assert CrmSyncLog.objects.get(pk=second).phase == "settle"
    assert (client.llen("bulk"), client.hlen("unacked")) == (1, 0)
    assert str(second) in client.lindex("bulk", 0).decode()
