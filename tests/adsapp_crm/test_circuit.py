"""A CRM that is down is left alone by all workers, and asked by one call now and then."""

from __future__ import annotations

import threading
import uuid

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from adsapp_crm import wiring
from adsapp_crm.circuit import RedisCircuit
from adsapp_crm.limiter import RedisLimits, told_figures
from adsapp_crm.models import CrmConnection, CrmSyncLog
from adsapp_crm.services.stepping import step_run
from adsapp_crm.services.syncing import start_run
from crm.http.circuit import FAILURES, LONGEST_PAUSE_SECONDS, PAUSE_SECONDS
from crm.model import RunKind
from tests.adsapp_crm.webhook_stand import add_contact, connect, stand_in


class ServerTime:
    """Moves what a circuit in Redis knows into the past, as if time had passed there."""

    def __init__(self, client, prefix):
        self.client, self.key = client, f"{prefix}circuit:host"

    def __call__(self, seconds):
        for name in ("till", "failed"):
            if self.client.hexists(self.key, name):
                self.client.hset(self.key, name, int(self.client.hget(self.key, name)) - int(seconds * 1000))
        left = self.client.pttl(f"{self.key}:probe")
        if left > 0:
            self.client.pexpire(f"{self.key}:probe", max(1, left - int(seconds * 1000)))


@pytest.fixture
def shared(settings):
    client = redis.Redis.from_url(settings.REDIS_URL)
    return RedisLimits(client, prefix=f"test:{uuid.uuid4()}:"), client


@pytest.fixture
def stand(shared):
    """(the circuit, as another worker has it, let time pass)."""
    limits, client = shared
    return *(RedisCircuit(limits, "host", "hubspot") for _ in range(2)), ServerTime(client, limits.prefix)


def fail(circuit, times=FAILURES):
    for _ in range(times):
        circuit.rest_seconds()
        circuit.settle(reached=False)


def test_it_opens_after_failures_in_a_row_of_all_workers(stand):
    """Before that nothing rests, and a success in between begins the count anew."""
    circuit, other, _pass = stand
    fail(circuit, FAILURES - 1)
    assert other.rest_seconds() == 0
    other.settle(reached=True)
    fail(circuit, FAILURES - 1)
    assert other.rest_seconds() == 0
    other.settle(reached=False)

    assert 9 < circuit.rest_seconds() <= PAUSE_SECONDS == 10
    assert other.rest_seconds() > 9


def test_failures_far_apart_do_not_add_up(stand):
    circuit, _other, let_pass = stand
    for _ in range(FAILURES):
        fail(circuit, 1)
        let_pass(61)
    assert circuit.rest_seconds() == 0


def test_one_call_asks_whether_it_is_back(stand):
    """The others go on resting until that call's outcome is known; a success lets all through."""
    circuit, other, let_pass = stand
    fail(circuit)
    let_pass(11)

    assert circuit.rest_seconds() == 0
    assert 0 < other.rest_seconds() <= 60
    circuit.settle(reached=True)
    assert other.rest_seconds() == 0
    assert circuit.rest_seconds() == 0


def test_each_failed_try_doubles_the_pause_up_to_a_minute(stand):
    circuit, other, let_pass = stand
    fail(circuit)
    pauses = []
    for _ in range(7):
        pauses.append(round(other.rest_seconds()))
        let_pass(pauses[-1] + 1)
        assert circuit.rest_seconds() == 0
        circuit.settle(reached=False)
    assert pauses == [10, 20, 40, 60, 60, 60, LONGEST_PAUSE_SECONDS]


def test_a_worker_that_died_while_asking_is_not_waited_for_longer_than_a_call(stand):
    circuit, other, let_pass = stand
    fail(circuit)
    let_pass(11)
    assert circuit.rest_seconds() == 0
    let_pass(61)
    if isinstance(circuit, RedisCircuit):
        circuit._limits.run("return redis.call('DEL', KEYS[1])", ["circuit:host:probe"], [])
    assert other.rest_seconds() == 0


def test_exactly_one_of_many_asks(shared):
    limits, client = shared
    fail(RedisCircuit(limits, "host", "hubspot"))
    ServerTime(client, limits.prefix)(11)
    start, let_through = threading.Barrier(8), []

    def ask():
        circuit = RedisCircuit(limits, "host", "hubspot")
        start.wait()
        let_through.append(circuit.rest_seconds() == 0)

    workers = [threading.Thread(target=ask) for _ in range(8)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert let_through.count(True) == 1


def test_hosts_are_apart_and_without_redis_every_call_goes_through(shared):
    limits, _client = shared
    fail(RedisCircuit(limits, "host", "hubspot"))
    assert RedisCircuit(limits, "elsewhere", "hubspot").rest_seconds() == 0

    away = RedisLimits(redis.Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0)))
    circuit = RedisCircuit(away, "host", "hubspot")
    fail(circuit)
    assert circuit.rest_seconds() == 0


@pytest.mark.django_db
def test_a_run_waits_with_the_reason_and_goes_on_when_the_host_is_back(tenant, settings, monkeypatch, shared):
    """A worker that finds the host resting sends nothing, and parks its run until then."""
    limits, client = shared
    monkeypatch.setattr(wiring, "_limits", lambda _url: limits)
    with stand_in("pipedrive") as crm:
        settings.CRM_PROVIDERS = {"pipedrive": {"api_base": crm.url}}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        add_contact(tenant, firstName="Ann", email="ann@example.com")
        connection = connect(tenant, "pipedrive", approve=False)
        host = crm.url.removeprefix("http://")
        fail(RedisCircuit(limits, host, "pipedrive"))
        run_id = start_run(tenant.id, connection, RunKind.FULL, actor="user:test")
        sent = client.hget(f"{limits.prefix}told", "pipedrive api_calls")

        step_run(tenant.id, run_id)

        with tenant.context():
            run = CrmSyncLog.objects.get(pk=run_id)
            assert (run.status, run.error_code) == ("parked", "net.resting")
            assert 5 < (run.resume_at - run.updated_at).total_seconds() <= 10
            assert CrmConnection.objects.get().status == "active"
        assert client.hget(f"{limits.prefix}told", "pipedrive api_calls") == sent
        told = told_figures(client, limits.prefix)
        assert (told["pipedrive", "circuit_openings"], told["pipedrive", "circuit_refusals"]) == (1, 1)
        client.delete(f"{limits.prefix}circuit:{host}")
        assert step_run(tenant.id, run_id).status == "held"  # as a first sync ends
