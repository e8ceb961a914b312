"""Schedules of connections: taken once, silent in quiet hours, changed by people, refused where they never fire."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection as database
from django.db.models import Value
from django.db.models.functions import Concat
from django.test import Client

from adsapp_crm.models import CrmConnection, CrmJobSlot
from adsapp_crm.selectors import database_now, figures_of
from adsapp_crm.services import jobs
from adsapp_crm.services.jobs import Job
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.services.schedules import GRACE, change_schedule, late_after, schedule_of, take_due
from adsapp_crm.services.standing import health_of, standings
from crm.model import RunKind
from tests.adsapp_crm.dashboard_stand import BASE

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 6, 3, 12, 0, tzinfo=UTC)
"""A Wednesday."""


@pytest.fixture
def row(tenant, fill):
    return fill(tenant)["CrmConnection"]


def take(tenant, row, now):
    with tenant.context():
        return take_due(row.pk, now)


def due_times(tenant):
    with tenant.context():
        return CrmConnection.objects.values_list("next_sync_at", "next_full_at").get()


def plan(tenant, **columns):
    with tenant.context():
        CrmConnection.objects.update(**columns)


def test_a_delta_is_taken_once_an_interval_and_a_full_sync_once_a_week(tenant, row):
    """Two weeks of ticks, each asked for twice: one full sync a week, a delta on every other tick."""
    plan(tenant, sync_interval_seconds=12 * 3600, schedule={"fullDay": "sunday", "fullAt": "03:10"})

    ticks = [NOON + timedelta(hours=6 * tick) for tick in range(2 * 7 * 4)]
    taken = [(now, take(tenant, row, now)) for now in ticks for _ in range(2)]

    full = [now for now, kind in taken if kind is RunKind.FULL]
    assert [now.strftime("%a %H:%M") for now in full] == ["Sun 06:00"] * 2
    assert [now for now, kind in taken if kind is RunKind.DELTA] == ticks[::2]


def test_nothing_is_taken_in_quiet_hours_and_what_waited_comes_when_they_end(tenant, row):
    """From 08:00 until 18:00 in Amsterdam, which is 06:00 until 16:00 UTC in June."""
    plan(tenant, schedule={"timeZone": "Europe/Amsterdam", "quietFrom": "08:00", "quietUntil": "18:00"})

    assert take(tenant, row, NOON) is None
    assert due_times(tenant)[0] == NOON.replace(hour=16)
    assert take(tenant, row, NOON.replace(hour=15, minute=59)) is None
    assert take(tenant, row, NOON.replace(hour=16)) is RunKind.DELTA


def test_a_daily_sync_waits_for_its_time_and_is_not_late_before_it(tenant, row):
    """Its health goes by the day, not by the interval of others."""
    plan(tenant, schedule={"dailyAt": "23:00"}, status="active", health="healthy", last_success_at=NOON)

    assert take(tenant, row, NOON) is None
    assert due_times(tenant)[0] == NOON.replace(hour=23)
    with tenant.context():
        stored = CrmConnection.objects.get()
        assert late_after(stored, NOON) == NOON.replace(hour=23, minute=15)
        assert health_of(stored, NOON.replace(hour=23, minute=14)) == "healthy"
        assert health_of(stored, NOON.replace(hour=23, minute=16)) == "late"
    assert take(tenant, row, NOON.replace(hour=23)) is RunKind.DELTA
    assert due_times(tenant)[0] == NOON.replace(day=4, hour=23)


@pytest.mark.parametrize(
    ("said", "hours", "late"),
    [
        ({}, 1, True),
        ({"dailyAt": "now+1"}, 20, False),
        ({"dailyAt": "now-1"}, 23, True),
        ({"quietFrom": "now-4", "quietUntil": "now+1", "fullAt": "now+6"}, 3, False),
        ({"quietFrom": "now-4", "quietUntil": "now-1", "fullAt": "now+6"}, 3, True),
    ],
)
def test_metrics_board_and_probe_judge_by_the_schedule(tenant, row, said, hours, late):
    """A time of the day, quiet hours, or the plain interval: the same word in every place."""
    now = database_now()

    def wall(text):
        return (now + timedelta(hours=int(text.removeprefix("now")))).strftime("%H:00")

    plan(tenant, status="active", health="healthy", last_success_at=now - timedelta(hours=hours))
    with tenant.context():
        if said:
            change_schedule(row.pk, {"timeZone": "UTC", **{key: wall(text) for key, text in said.items()}})
        word = health_of(CrmConnection.objects.get(), now)

    grace = int(GRACE.total_seconds())
    assert word == ("late" if late else "healthy")
    assert [each[1] for each in figures_of("crm_connection_figures", grace)] == [word]
    assert [each[3] for each in figures_of("crm_connection_board", grace, 5)] == [word]
    assert [each.health for each in standings()] == [word]
    code = 0
    try:
        call_command("crm_status", "--fail-on", "late", stdout=io.StringIO())
    except SystemExit as done:
        code = done.code
    assert code == int(late)


def test_full_syncs_of_many_connections_are_spread_over_the_nights(tenant, row):
    """All of an installation at one hour would be a herd."""
    with tenant.context():
        starts = set()
        for number in range(200):
            row.pk = row.pk.__class__(int=number)
            starts.add(schedule_of(row).next_full(NOON))
    assert len(starts) == 7 * 4 * 4


def test_beats_and_the_cron_route_together_run_a_job_once(settings, tenant, row):
    """Three beats and a cron call at a time, in fifty slots over the five jobs: fifty claims."""
    settings.CRON_SECRETS = ["s" * 32]
    header = {"Authorization": "Bearer " + "s" * 32}

    leaving = threading.Barrier(4)

    def beat(job):
        return jobs.claim_slot(job) is not None

    def cron(job):
        return Client().post(f"/api/cron/crm-sync?job={job}", headers=header).json()["started"]

    def leave(_number):
        leaving.wait()
        database.close()

    with ThreadPoolExecutor(4) as together:
        for slot in range(10):
            for job in Job:
                firing = [together.submit(door, job) for door in (beat, beat, beat, cron)]
                assert sum(each.result() for each in firing) == 1
            CrmJobSlot.objects.exclude(slot__startswith="past").update(slot=Concat(Value(f"past {slot} "), "slot"))
        list(together.map(leave, range(4)))
    assert CrmJobSlot.objects.count() == 50


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"quietFrom": "08:00", "quietUntil": "08:00"}, "quietUntil"),
        ({"dailyAt": "09:00", "quietFrom": "08:00", "quietUntil": "18:00"}, "dailyAt"),
        ({"dailyAt": "09:00", "intervalSeconds": 900}, "dailyAt"),
        ({"timeZone": "Mars/Olympus"}, "timeZone"),
    ],
)
def test_a_schedule_that_never_fires_is_refused_and_changes_nothing(tenant, row, wanted, field):
    before = due_times(tenant)
    with tenant.context(), pytest.raises(RefusedError) as raised:
        change_schedule(row.pk, wanted)
    assert (raised.value.code, raised.value.refusals[0].field) == ("schedule.invalid", field)
    assert due_times(tenant) == before


def test_the_api_changes_a_schedule_part_by_part(browser, tenant, row):
    """What is left out stays; an interval ends a daily time; bad input names its field."""
    where = f"/api/crm/connections/{row.pk}/schedule"

    def patch(**body):
        return browser.patch(where, body, content_type="application/json")

    patch(timeZone="Asia/Kathmandu", dailyAt="02:30", fullDay="every_day", fullAt="04:00")
    said = browser.get(where).json()
    assert (said["dailyAt"], said["intervalSeconds"], said["fullDay"]) == ("02:30", None, "every_day")
    assert said["nextSync"].endswith("20:45:00Z")
    said = patch(intervalSeconds=3600).json()
    assert (said["dailyAt"], said["intervalSeconds"], said["timeZone"]) == (None, 3600, "Asia/Kathmandu")
    assert browser.get(f"/api/crm/connections/{row.pk}").json()["rules"]["syncIntervalSeconds"] == 3600
    for body, pointer in (
        ({"quietFrom": "09:00"}, "/quietUntil"),
        ({"dailyAt": "25:61"}, "/dailyAt"),
        ({"intervalSeconds": 5}, "/intervalSeconds"),
        ({"fullDay": "someday"}, "/fullDay"),
        ({"nextSync": "2020-01-01T00:00:00Z"}, "/nextSync"),
    ):
        refused = patch(**body)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, pointer)
    assert browser.get(where).json() == said


def test_the_form_shows_and_saves_a_schedule(browser, tenant, row):
    """And says beside the field why it does not."""
    where = f"{BASE}/connections/hubspot/schedule"
    form = {"time_zone": "Europe/Amsterdam", "interval": "0", "daily_at": "02:30", "full_day": "sunday"}
    form |= {"full_at": "04:00", "quiet_from": "", "quiet_until": ""}

    saved = browser.post(where, form)
    refused = browser.post(where, {**form, "quiet_from": "22:00", "quiet_until": "03:00"})

    assert saved.status_code == 302
    assert refused.status_code == 422
    assert "would never run" in refused.content.decode()
    assert 'value="02:30"' in browser.get(where).content.decode()
    with tenant.context():
        assert CrmConnection.objects.get().schedule == {
            "timeZone": "Europe/Amsterdam",
            "dailyAt": "02:30",
            "fullDay": "sunday",
            "fullAt": "04:00",
        }
