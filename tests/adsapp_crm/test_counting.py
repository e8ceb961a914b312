"""Counts of many rows: exact while counting is quick, kept for a while where it is slow."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from unittest import mock

import pytest
from redis.exceptions import ConnectionError as AwayError

from adsapp_crm.models import uuid7
from adsapp_crm.services import counting
from adsapp_crm.services.counting import counted

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock():
    """What time.time and time.monotonic say; a count moves the second by what it takes."""
    now = {"time": 1_000.0}
    with mock.patch.object(counting, "time", SimpleNamespace(time=lambda: now["time"], monotonic=lambda: now["time"])):
        yield now


def slow(clock, seconds):
    """Counts one more each time, and takes so long for it."""
    numbers = itertools.count(1)

    def count():
        clock["time"] += seconds
        return {"live": next(numbers)}

    return count


def test_a_quick_count_is_made_each_time(inside, clock):
    """Small organizations see what is."""
    count, connection = slow(clock, 0.1), uuid7()
    assert [counted("links", connection, count)["live"] for _ in range(3)] == [1, 2, 3]


def test_a_slow_count_is_kept_for_fifteen_times_what_it_took(inside, clock):
    count, connection = slow(clock, 2.0), uuid7()
    assert [counted("links", connection, count)["live"] for _ in range(3)] == [1, 1, 1]
    clock["time"] += 29
    assert counted("links", connection, count)["live"] == 1
    clock["time"] += 2
    assert counted("links", connection, count)["live"] == 2
    assert counted("links", uuid7(), count)["live"] == 3


def test_one_counts_anew_and_the_others_are_told_the_last_figure(inside, clock):
    """While it counts; whoever comes meanwhile does not wait."""
    connection = uuid7()
    counted("links", connection, slow(clock, 2.0))
    clock["time"] += 60

    def count():
        assert counted("links", connection, lambda: pytest.fail("counted twice at once")) == {"live": 1}
        clock["time"] += 2
        return {"live": 7}

    assert counted("links", connection, count) == {"live": 7}


def test_a_count_that_has_become_quick_ends_the_old_figure(inside, clock):
    connection = uuid7()
    counted("links", connection, slow(clock, 2.0))
    clock["time"] += 60

    quick = itertools.count(8)
    assert [counted("links", connection, lambda: next(quick)), counted("links", connection, lambda: next(quick))] == [
        8,
        9,
    ]


def test_another_organization_is_told_its_own(tenant, other, clock):
    connection = uuid7()
    for each, number in ((tenant, 1), (other, 2)):
        with each.context():
            count = slow(clock, 2.0)
            for _ in range(number - 1):
                count()
            assert counted("links", connection, count) == {"live": number}


def test_without_the_cache_everything_is_counted(inside, clock):
    count = slow(clock, 2.0)
    broken = mock.patch.multiple(
        counting.cache, get=mock.Mock(side_effect=AwayError), set=mock.Mock(side_effect=AwayError)
    )
    with broken:
        assert [counted("links", uuid7(), count)["live"] for _ in range(2)] == [1, 2]
