"""Events in, refetches out: together, once a record, again where it failed, never a value from a body."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from adsapp_crm import tasks
from adsapp_crm.models import CrmConnection, CrmLedgerEntry, CrmSyncLog, CrmSyncState, CrmWebhookEvent
from adsapp_crm.services import inbox
from crm.providers.base import ChangeHint, HintKind
from tests.adsapp_crm.webhook_stand import connect, contacts, eager_tasks, events, runs, stand_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def worker():
    with eager_tasks():
        yield


@pytest.fixture
def hubspot(settings):
    with stand_in("hubspot") as crm:
        settings.CRM_PROVIDERS = {"hubspot": {"api_base": crm.url}}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        yield crm


@pytest.fixture
def people(tenant, hubspot):
    """Three people on both sides; their records' ids."""
    names = ("Ann", "Bob", "Cid")
    ids = hubspot.back_door(
        "POST", "bulk", {"records": [{"firstname": name, "email": f"{name}@example.com"} for name in names]}
    )["ids"]
    connect(tenant, "hubspot")
    assert contacts(tenant) == list(names)
    return ids


def edit(hubspot, remote_id, **values):
    hubspot.back_door("PATCH", f"records/{remote_id}", {"properties": values})


def hint(remote_id, key, kind=HintKind.CHANGED):
    return ChangeHint("1", "contacts", remote_id, kind, key)


def store(tenant, *hints):
    with tenant.context():
        connection = CrmConnection.objects.get()
        account = connection.remote_account_id
        told = [replace(each, remote_account_id=account) for each in hints]
        return inbox.store(tenant.id, connection.pk, account, told)


def refetch(tenant):
    with tenant.context():
        connection_id = CrmConnection.objects.get().pk
    tasks.refetch.delay(str(connection_id))


def test_a_burst_is_one_refetch_of_each_record(tenant, hubspot, people):
    """90 events about three records: the first wakes a worker, three records are read by one run."""
    wakes = [store(tenant, hint(people[number % 3], f"k{number}")).wakes for number in range(90)]
    edit(hubspot, people[0], firstname="Anna")
    before = hubspot.back_door("GET", "stats")["totalRequests"]

    refetch(tenant)

    assert wakes == [True] + [False] * 89
    assert contacts(tenant) == ["Anna", "Bob", "Cid"]
    assert [(kind, status, sorted(ids)) for kind, status, ids in runs(tenant)] == [
        ("webhook", "completed", sorted(people))
    ]
    assert sorted(status for _kind, status in events(tenant)) == ["coalesced"] * 87 + ["done"] * 3
    assert hubspot.back_door("GET", "stats")["totalRequests"] - before == 1


def test_an_event_during_a_refetch_waits_for_its_end(tenant, hubspot, people):
    """It may tell of a change after the read: one run at a time, and then once more."""
    with tenant.context():
        connection_id = CrmConnection.objects.get().pk
    store(tenant, hint(people[0], "first"))
    run_id = inbox.start_refetch(tenant.id, connection_id)

    assert store(tenant, hint(people[0], "second")).wakes
    assert not store(tenant, hint(people[0], "third")).wakes
    assert inbox.start_refetch(tenant.id, connection_id) is None
    tasks.sync_now.delay(str(run_id))

    assert len(runs(tenant)) == 2
    assert sorted(status for _kind, status in events(tenant)) == ["coalesced", "done", "done"]


def test_the_sweep_finds_events_whose_message_was_lost(tenant, hubspot, people):
    """State is in rows: a broker wiped clean loses nothing."""
    edit(hubspot, people[1], firstname="Rob")
    store(tenant, hint(people[1], "lost"))

    tasks.sweep.delay()

    assert contacts(tenant) == ["Ann", "Rob", "Cid"]
    assert events(tenant) == [("changed", "done")]


def test_replayed_and_shuffled_events_write_nothing(tenant, hubspot, people):
    """500 events, each five times, in any order: no write to either side."""
    draw = random.Random(5)
    listed = [hint(draw.choice(people), f"k{number}") for number in range(500)] * 5
    draw.shuffle(listed)
    writes = hubspot.writes()
    with tenant.context():
        versions = list(CrmSyncState.objects.order_by("id").values_list("contact__version", "base"))
        entries = CrmLedgerEntry.objects.count()

    for start in range(0, len(listed), 250):
        store(tenant, *listed[start : start + 250])
        refetch(tenant)

    assert hubspot.writes() == writes
    with tenant.context():
        assert list(CrmSyncState.objects.order_by("id").values_list("contact__version", "base")) == versions
        assert CrmWebhookEvent.objects.count() == 500
        assert CrmLedgerEntry.objects.count() == entries


def test_an_event_for_a_record_that_never_was_makes_nothing(tenant, hubspot, people):
    """A forged id, or one that is gone: looked for, not found, done."""
    store(tenant, hint("999999999", "ghost", HintKind.CREATED))

    refetch(tenant)

    assert contacts(tenant) == ["Ann", "Bob", "Cid"]
    assert events(tenant) == [("created", "done")]


def test_before_the_first_sync_events_are_kept_and_not_acted_upon(tenant, hubspot):
    """That sync reads everything; only an erasure waits for it."""
    connect(tenant, "hubspot", approve=False)

    stored = store(tenant, hint("1", "a"), hint("2", "b", HintKind.ERASED))
    refetch(tenant)

    assert (stored.new, stored.wakes) == (2, True)
    assert sorted(events(tenant)) == [("changed", "ignored"), ("erased", "received")]
    assert runs(tenant) == []


def test_a_run_that_failed_gives_its_events_back_three_times(tenant, hubspot, people):
    """Then they are failed with its code, and the others have gone through."""
    with tenant.context():
        connection_id = CrmConnection.objects.get().pk
    store(tenant, hint(people[0], "poison"))
    for _ in range(inbox.MOST_ATTEMPTS):
        assert events(tenant) == [("changed", "received")]
        run_id = inbox.start_refetch(tenant.id, connection_id)
        with tenant.context():
            failed = CrmSyncLog.objects.filter(pk=run_id)
            failed.update(status="failed", completed_at=timezone.now(), error_code="internal.error")
        inbox.settle(tenant.id, connection_id)

    with tenant.context():
        event = CrmWebhookEvent.objects.get()
    assert (event.status, event.code, event.attempts) == ("failed", "internal.error", inbox.MOST_ATTEMPTS - 1)
    assert inbox.start_refetch(tenant.id, connection_id) is None


def test_an_event_that_failed_is_tried_alone_after_the_others(tenant, hubspot, people):
    """What poisoned a run together with others does not take them down twice."""
    store(tenant, hint(people[0], "poison"))
    with tenant.context():
        CrmWebhookEvent.objects.update(attempts=1)
    store(tenant, hint(people[1], "fresh"), hint(people[2], "too"))

    refetch(tenant)

    assert [sorted(ids) for _kind, _status, ids in runs(tenant)] == [sorted(people[1:]), [people[0]]]
    assert {status for _kind, status in events(tenant)} == {"done"}


def test_another_record_type_has_a_run_of_its_own(tenant, hubspot, people):
    """An event about a type that is not mapped is left out; it does not block those behind it."""
    store(tenant, ChangeHint("1", "leads", "7", HintKind.CHANGED, "lead"), hint(people[0], "k"))

    refetch(tenant)
    refetch(tenant)

    with tenant.context():
        found = dict(CrmWebhookEvent.objects.values_list("record_type", "status"))
    assert found == {"leads": "ignored", "contacts": "done"}


def test_replay_shows_counts_first_and_reads_again_with_yes(tenant, hubspot, people, capsys):
    """An edit whose event was handled before it became visible is found by the replay."""
    store(tenant, hint(people[0], "early"))
    refetch(tenant)
    edit(hubspot, people[0], firstname="Anna")
    command = ("crm_replay_webhooks", str(tenant.id), "hubspot", "--since", "1h", "--json")

    call_command(*command)
    assert json.loads(capsys.readouterr().out)["events"] == {"done": 1}
    assert contacts(tenant) == ["Ann", "Bob", "Cid"]

    call_command(*command, "--yes")
    assert json.loads(capsys.readouterr().out)["replayed"] is True
    assert contacts(tenant) == ["Anna", "Bob", "Cid"]
    assert events(tenant) == [("changed", "done")]

    soon = (timezone.now() + timedelta(hours=1)).isoformat()
    call_command("crm_replay_webhooks", str(tenant.id), "hubspot", "--since", soon)
    assert "no settled event" in capsys.readouterr().out


@pytest.mark.parametrize("since", ["", "yesterday", "2w", "99999999h", "2026-13-01T00:00:00Z"])
def test_replay_refuses_what_is_no_time(tenant, hubspot, people, since):
    """Named by the option, and nothing is replayed."""
    with pytest.raises(CommandError, match="--since"):
        call_command("crm_replay_webhooks", str(tenant.id), "hubspot", "--since", since, "--yes")


def test_events_of_another_account_are_not_kept(tenant, hubspot, people):
    """Neither for an account that the connection is not pinned to, nor by an app that it was not connected by."""
    with tenant.context():
        connection = CrmConnection.objects.get()
        mine, account = [hint(people[0], "k")], connection.remote_account_id
        assert inbox.store(tenant.id, connection.pk, "1", mine) is None
        assert inbox.store(tenant.id, connection.pk, account, mine, app=inbox.App(connection.pk)) is None
        assert events(tenant) == []
    stored = inbox.store(tenant.id, connection.pk, account, mine, app=inbox.App(None))
    assert stored == inbox.Stored(1, wakes=True)
