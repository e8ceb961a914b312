"""Schedules: once a local day or week, never in quiet hours, and none that would never fire."""

from __future__ import annotations

import zoneinfo
from collections import Counter
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.schedule import (
    EVERY_DAY,
    TICK_SECONDS,
    WEEKDAYS,
    Daily,
    Every,
    Quiet,
    ScheduleError,
    Weekly,
    default_schedule,
    next_time,
    parse_schedule,
    said_of,
)

ZONES = ("Europe/Amsterdam", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu")
MOMENTS = st.datetimes(datetime(2010, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  Hypothesis adds the zone
WALLS = st.times().map(lambda found: found.replace(second=0, microsecond=0))
ALL_ZONES = st.sampled_from([*ZONES, "America/New_York", "Africa/Casablanca", "Pacific/Apia", "Asia/Beirut", "UTC"])
FALLBACK = default_schedule(0)


def fires(cadence, zone, since, until):
    """What a tick every quarter of an hour fires: when it was due, and the tick that saw it."""
    due = next_time(cadence, None, zone, since)
    while due < until:
        yield due
        seen = -(-due.timestamp() // TICK_SECONDS) * TICK_SECONDS
        now = datetime.fromtimestamp(seen, UTC)
        following = next_time(cadence, None, zone, due)
        while following <= now:
            following = next_time(cadence, None, zone, following)
        due = following


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("at", [time(2, 30), time(0, 15)])
def test_ten_years_hold_one_run_a_local_day_and_one_a_local_week(name, at):
    """Both at an hour that clocks skip and repeat; zones change at night, at midnight, by half an hour, or never."""
    zone = zoneinfo.ZoneInfo(name)
    since, until = datetime(2010, 1, 4, tzinfo=zone), datetime(2020, 1, 6, tzinfo=zone)

    days = Counter(due.astimezone(zone).date() for due in fires(Daily(at), zone, since, until))
    weeks = Counter(due.astimezone(zone).isocalendar()[:2] for due in fires(Weekly(6, at), zone, since, until))

    assert set(days.values()) == set(weeks.values()) == {1}
    assert (len(days), len(weeks)) == (3654, 522)


def test_a_day_that_a_zone_skipped_has_no_run():
    """Samoa had no 30 December 2011."""
    zone = zoneinfo.ZoneInfo("Pacific/Apia")
    found = list(fires(Daily(time(2)), zone, datetime(2011, 12, 29, tzinfo=zone), datetime(2012, 1, 1, tzinfo=zone)))

    assert [due.astimezone(zone).day for due in found] == [29, 31]


@pytest.mark.parametrize(
    ("day", "runs_at"),
    [
        (datetime(2026, 3, 29, tzinfo=UTC), "2026-03-29T01:00:00+00:00"),
        (datetime(2026, 10, 25, tzinfo=UTC), "2026-10-25T00:30:00+00:00"),
    ],
)
def test_a_skipped_time_runs_right_after_the_gap_and_a_repeated_one_the_first_time(day, runs_at):
    """02:30 in Amsterdam on the days on which the clocks change."""
    zone = zoneinfo.ZoneInfo("Europe/Amsterdam")

    assert next_time(Daily(time(2, 30)), None, zone, day - timedelta(hours=1)).isoformat() == runs_at


@given(MOMENTS, st.integers(TICK_SECONDS, 86_400), WALLS, WALLS, ALL_ZONES)
def test_an_interval_is_kept_outside_quiet_hours(after, seconds, start, end, name):
    """Never earlier, never in the quiet hours, and exactly then where they do not say otherwise."""
    zone = zoneinfo.ZoneInfo(name)
    quiet = Quiet(start, end) if start != end else None

    due = next_time(Every(seconds), quiet, zone, after)

    earliest = after + timedelta(seconds=seconds)
    assert due >= earliest
    if quiet is None or not quiet.covers(earliest.astimezone(zone).time()):
        assert due == earliest
    else:
        assert due - earliest <= timedelta(hours=50)  # a zone may skip the day on which they end


@given(MOMENTS, WALLS, ALL_ZONES, st.integers(0, 7))
def test_the_next_time_is_the_first_one_later(after, at, name, day):
    """Asking a moment before it gives the same answer; asking at it gives a later one."""
    zone = zoneinfo.ZoneInfo(name)
    cadence = Daily(at) if day == 7 else Weekly(day, at)

    due = next_time(cadence, None, zone, after)

    assert due > after
    assert due - after <= timedelta(days=2 if day == 7 else 9)
    assert next_time(cadence, None, zone, due - timedelta(seconds=1)) == due
    assert next_time(cadence, None, zone, due) > due


@given(st.integers(0, 10_000), st.integers(TICK_SECONDS, 86_400), WALLS, st.sampled_from([*WEEKDAYS, EVERY_DAY]))
def test_what_is_said_of_a_schedule_makes_it_again(seed, seconds, at, day):
    """The API's form is a round trip."""
    made = parse_schedule(
        {"timeZone": "Asia/Kathmandu", "intervalSeconds": seconds, "fullDay": day, "fullAt": at.isoformat()},
        default_schedule(seed),
    )

    assert parse_schedule(said_of(made), FALLBACK) == made
    assert parse_schedule(said_of(default_schedule(seed)), FALLBACK) == default_schedule(seed)


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"quietFrom": "08:00", "quietUntil": "08:00"}, "quietUntil"),
        ({"quietFrom": "08:00"}, "quietUntil"),
        ({"quietFrom": "22:00", "quietUntil": "06:00", "dailyAt": "02:30"}, "dailyAt"),
        ({"quietFrom": "22:00", "quietUntil": "06:00", "fullAt": "05:59"}, "fullAt"),
        ({"timeZone": "Mars/Olympus"}, "timeZone"),
        ({"timeZone": "../etc/passwd"}, "timeZone"),
        ({"timeZone": "\x00"}, "timeZone"),
        ({"dailyAt": "25:00"}, "dailyAt"),
        ({"dailyAt": "noon"}, "dailyAt"),
        ({"fullDay": "someday"}, "fullDay"),
        ({"intervalSeconds": 899}, "intervalSeconds"),
        ({"intervalSeconds": True}, "intervalSeconds"),
        ({"intervalSeconds": 10**9}, "intervalSeconds"),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused_by_field(said, field):
    """Above all one that would never fire."""
    with pytest.raises(ScheduleError) as raised:
        parse_schedule(said, FALLBACK)

    assert raised.value.field == field
    assert raised.value.fix
