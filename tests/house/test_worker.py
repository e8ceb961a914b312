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
import requests
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
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=given,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(process, words):
    """Return when the process has said so; it is killed when it does not within ``PATIENCE_SECONDS``."""
    killer = threading.Timer(PATIENCE_SECONDS, os.killpg, (process.pid, signal.SIGKILL))
    killer.start()
    try:
        assert any(words in line for line in process.stdout)
    finally:
        killer.cancel()


@pytest.mark.django_db(transaction=True)
def test_a_worker_told_to_stop_ends_its_page_and_hands_the_rest_back(settings, broker):
    """SIGTERM to all its processes while a CRM is asked: the page is stored, the lease given back, both messages wait.

    It starts a real process, so it takes seconds.
    """
    broker_url, client = broker
    fake = FAKES["hubspot"](token=TOKEN, limits="none", search_lag_seconds=0.0)
    gate = Gate(fake)
    runs = []
    with LoopbackServer(gate) as server:
        settings.CRM_PROVIDERS = {"hubspot": {"api_base": server.url}}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        person = {"email": "ann@example.com"}
        requests.post(f"{server.url}/_fake/bulk", json={"records": [person]}, timeout=10).raise_for_status()
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
            os.killpg(process.pid, signal.SIGTERM)
            wait_for(process, "Warm shutdown")
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.5)
            gate.opened.set()
            assert process.wait(PATIENCE_SECONDS) == 0
        finally:
            gate.opened.set()
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.stdout.close()
            fake.close()

    (begun, first), (waits, second) = runs
    with organization_context(begun):
        left = CrmSyncLog.objects.get(pk=first)
        assert (left.completed_at, left.status, left.error_code) == (None, "running", "")
        assert left.phase != "settle"
        assert set(CrmLease.objects.values_list("owner", flat=True)) == {""}
    with organization_context(waits):
        assert CrmSyncLog.objects.get(pk=second).phase == "settle"
    assert (client.llen("bulk"), client.hlen("unacked")) == (2, 0)
    queued = b"".join(client.lrange("bulk", 0, 1)).decode()
    assert all(str(run) in queued for run in (first, second))


def test_a_process_of_the_pool_learns_what_its_main_process_was_told():
    """The signal came to the main process alone; the flag is in memory that both share."""
    program = """
import os
import config
from celery import signals
from adsapp_crm import stopping
asked, answered = os.pipe()
told, heard = os.pipe()
if os.fork() == 0:
    signals.worker_process_init.send(sender=None)
    before = stopping.told_to_stop()
    os.write(answered, b".")
    os.read(told, 1)
    os._exit(0 if (before, stopping.told_to_stop()) == (False, True) else 1)
os.read(asked, 1)
signals.worker_shutting_down.send(sender=None, sig="SIGTERM", how="Warm", exitcode=0)
os.write(heard, b".")
raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=PATIENCE_SECONDS)
