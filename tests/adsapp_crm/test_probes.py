"""What platforms ask: is it alive, is it ready, how is it doing; and that none of the answers names anybody."""

from __future__ import annotations

import time

import pytest
import redis
from celery import signals
from django.db import connection as database
from django.db.utils import OperationalError
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from adsapp_crm import tasks
from adsapp_crm.limiter import RedisLimits, told_figures
from adsapp_crm.models import Contact, CrmConflict, CrmConnection, CrmSyncLog, CrmSyncState, CrmWebhookRefusal
from adsapp_crm.services import figures, vitals
from crm.errors import RateLimitedError
from crm.http.limits import BoundBudgets, RollingWindow, Scope

pytestmark = pytest.mark.django_db

TOKEN = "t" * 32


@pytest.fixture(autouse=True)
def _hearts():
    vitals.note_heartbeat(vitals.BEAT)
    vitals.note_heartbeat(vitals.SWEEP)


def age(name, seconds):
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE crm_heartbeats SET at = clock_timestamp() - make_interval(secs => %s) WHERE name = %s",
            [seconds, name],
        )


def scrape(client, **headers):
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.content
    return {
        (
            sample.name,
            *(sample.labels[name] for name in sorted(sample.labels, key=lambda name: (name != "crm", name))),
        ): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


def test_alive_asks_nobody(client, django_assert_num_queries):
    """No query, whatever host the platform calls the machine by, without TLS."""
    with django_assert_num_queries(0):
        answer = client.get("/healthz", headers={"Host": "10.1.2.3:8000"})
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert answer["Cache-Control"] == "no-store"


def test_ready_names_each_part(client, django_assert_num_queries):
    with django_assert_num_queries(1):
        answer = client.get("/readyz", headers={"Host": "10.1.2.3"})
    told = answer.json()
    assert answer.status_code == 200
    assert {name: part["ok"] for name, part in told.items() if name != "ok"} == {
        "database": True, "broker": True, "beat": True, "sweep": True,
    }  # fmt: skip


@pytest.mark.parametrize("name", [vitals.BEAT, vitals.SWEEP])
def test_a_heart_that_stopped_makes_it_unready(client, name):
    """By the database's clock; one that was never heard of, too."""
    age(name, 40)
    assert client.get("/readyz").status_code == 200
    age(name, 61)
    told = client.get("/readyz")
    assert (told.status_code, told.json()[name]["problem"]) == (503, "silent")
    with database.cursor() as cursor:
        cursor.execute("DELETE FROM crm_heartbeats WHERE name = %s", [name])
    assert client.get("/readyz").json()[name] == {"ok": False, "problem": "never heard of"}


def test_a_missing_broker_or_database_is_named(client, monkeypatch):
    """The other parts are told as they are; nothing is raised."""
    away = vitals._client("redis://127.0.0.1:1/0")
    monkeypatch.setattr(vitals, "_client", lambda _url: away)
    told = client.get("/readyz")
    assert (told.status_code, told.json()["broker"], told.json()["database"]) == (
        503, {"ok": False, "problem": "ConnectionError"}, {"ok": True},
    )  # fmt: skip
    assert ("crm_broker_up",) in scrape(client)
    assert not [name for name in scrape(client) if name[0] == "crm_queue_depth"]

    def broken():
        raise OperationalError("no")

    monkeypatch.setattr(vitals, "heartbeats", broken)
    monkeypatch.setattr(figures, "heartbeats", broken)
    told = client.get("/readyz").json()
    assert [name for name in told if name != "ok" and told[name]["ok"]] == []
    refused = client.get("/metrics")
    assert (refused.status_code, refused.json()["code"]) == (503, "internal.database")


def test_beat_and_its_worker_are_heard_of(monkeypatch):
    """Beat's own sending counts, a worker's does not; the sweep notes itself when it is done."""
    age(vitals.BEAT, 1000)
    age(vitals.SWEEP, 1000)
    signals.after_task_publish.send(sender=tasks.sweep.name, body=(), headers={}, exchange="", routing_key="")
    assert vitals.heartbeats()[vitals.BEAT] > 900
    try:
        signals.beat_init.send(sender=None)
        monkeypatch.setattr(tasks, "close_old_connections", lambda: None)
        signals.after_task_publish.send(sender=tasks.sweep.name, body=(), headers={}, exchange="", routing_key="")
    finally:
        signals.after_task_publish.disconnect(sender=tasks.sweep.name, dispatch_uid="tasks.heartbeat")
    assert vitals.heartbeats()[vitals.BEAT] < 5
    tasks.sweep()
    assert vitals.heartbeats()[vitals.SWEEP] < 5


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}, {"X-Token": TOKEN}]
)
def test_metrics_want_their_token(client, settings, headers):
    """Also from this machine; a refusal asks the database nothing."""
    settings.CRM_METRICS_TOKENS = ["o" * 32, TOKEN]
    with CaptureQueriesContext(database) as queries:
        answer = client.get("/metrics", headers=headers)
    assert (answer.status_code, answer.json()["code"], len(queries)) == (401, "metrics.refused", 0)
    assert scrape(client, Authorization=f"Bearer {TOKEN}")


def test_without_a_token_only_this_machine_reads_metrics(client):
    """What a proxy on this machine passes on is from anywhere."""
    assert scrape(client)
    for headers in ({"X-Forwarded-For": "127.0.0.1"}, {"Via": "1.1 proxy"}, {"X-Real-IP": "127.0.0.1"}):
        assert client.get("/metrics", headers=headers).status_code == 401
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.7").status_code == 401
    assert client.get("/metrics", REMOTE_ADDR="").status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_are_only_read(client, path):
    answer = client.post(path)
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")
    assert client.head(path).status_code == 200


def organization_with_trouble(organization, number):
    """One connection that is late, a run, a question, two failing records."""
    with organization.context():
        connection = CrmConnection.objects.create(
            crm_type="hubspot", remote_account_id=f"Canary{number}", health="healthy"
        )
        contacts = [
            Contact.objects.create(first_name="Canary", email=f"canary{number}.{each}@example.com") for each in range(2)
        ]
        for contact in contacts:
            CrmSyncState.objects.create(
                connection=connection,
                contact=contact,
                crm_record_type="contacts",
                crm_record_id=f"Canary{contact.pk}",
                error_code="field.too_long",
            )
        CrmConflict.objects.create(connection=connection, contact=contacts[0], kind="match")
        CrmSyncLog.objects.create(connection=connection, sync_type="delta", api_calls=7)
    with database.cursor() as cursor, organization.context():
        cursor.execute(
            "UPDATE crm_connections SET last_success_at = clock_timestamp() - interval '2 hours',"
            " first_sync_approved_at = clock_timestamp() - interval '1 day'"
        )


def test_metrics_add_up_over_organizations_and_name_none(client, make_organization):
    """The same number of queries for one organization as for three; numbers, CRMs and codes, nothing else."""
    organization_with_trouble(make_organization("Canary 1"), 1)
    with CaptureQueriesContext(database) as once:
        scrape(client)
    for number in (2, 3):
        organization_with_trouble(make_organization(f"Canary {number}"), number)
    CrmWebhookRefusal.objects.create(
        crm_type="hubspot", code="webhook.signature", day="2026-01-01", deliveries=5, last_at="2026-01-01T00:00:00Z"
    )
    with CaptureQueriesContext(database) as thrice:
        told = scrape(client)

    assert told["crm_connections", "hubspot", "late"] == 3
    assert 7200 <= told["crm_sync_lag_seconds", "hubspot"] < 7300
    assert told["crm_runs_last_hour", "hubspot", "delta", "running"] == 3
    assert told["crm_run_api_calls_last_hour", "hubspot"] == 21
    assert told["crm_runs_unfinished", "hubspot", "running"] == 3
    assert told["crm_conflicts_open", "hubspot", "match"] == 3
    assert told["crm_records_failing", "hubspot", "field.too_long"] == 6
    assert told["crm_webhook_deliveries_refused_total", "hubspot", "webhook.signature"] == 5
    assert {name[1] for name in told if name[0] == "crm_queue_depth"} == {
        "interactive", "realtime", "bulk", "maintenance",
    }  # fmt: skip
    assert len(once) == len(thrice) <= 15
    text = client.get("/metrics").content.decode()
    assert "canary" not in text.lower()
    assert "example.com" not in text
    assert not [line for line in text.splitlines() if line.count("-") >= 4 and not line.startswith("#")]


def test_waits_at_the_limits_are_counted(settings):
    """Requests let through, how many waited and how long, and those put off: by CRM, in the broker."""
    client = redis.Redis.from_url(settings.REDIS_URL)
    limits = RedisLimits(client, prefix=f"test:{time.time_ns()}:", max_wait_seconds=1.5)
    budgets = (RollingWindow("burst", Scope.ACCOUNT, 1, 1.0),)
    limiter = limits.limiter(BoundBudgets(budgets, {Scope.ACCOUNT: "hubspot:42"}))
    assert limiter.acquire("burst").wait_seconds == 0
    waited = limiter.acquire("burst").wait_seconds
    with pytest.raises(RateLimitedError):
        limiter.acquire("burst")
    told = told_figures(client, limits.prefix)
    assert told["hubspot", "api_calls"] == 2
    assert told["hubspot", "limit_waits"] == 1
    assert told["hubspot", "limit_refusals"] == 1
    assert told["hubspot", "limit_wait_seconds"] == pytest.approx(waited * 1e6, abs=2)
