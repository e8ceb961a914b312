"""A forecast says what a plan costs before anybody approves it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.forecast import forecast_calls, forecast_spend
from crm.registry import PROVIDERS

COUNTS = st.integers(0, 1_000_000)


def test_time_and_share_of_the_day_follow_from_the_calls():
    """41 of 100 of today's calls, about 3 h 10 at the pace seen."""
    spend = forecast_spend(4100, seconds_a_call=11_400 / 4100, limit=10_000, used=3000, usable_share=0.75)

    assert (spend.calls, spend.day_share, spend.fits_today) == (4100, 0.41, True)
    assert spend.seconds == pytest.approx(11_400)


@pytest.mark.parametrize(("used", "fits"), [(3400, True), (3401, False)])
def test_what_the_reserve_does_not_leave_waits_for_the_reset(used, fits):
    assert forecast_spend(4100, seconds_a_call=None, limit=10_000, used=used, usable_share=0.75).fits_today is fits


def test_without_a_known_allowance_nothing_is_said_of_it():
    spend = forecast_spend(10, seconds_a_call=None)
    assert (spend.seconds, spend.day_share, spend.fits_today) == (None, None, True)


@given(st.sampled_from(sorted(PROVIDERS)), COUNTS, COUNTS, COUNTS)
def test_more_to_write_never_costs_less(key, created, updated, deleted):
    abilities = PROVIDERS[key].capabilities
    calls = forecast_calls(created, updated, deleted, abilities)

    assert forecast_calls(0, 0, 0, abilities) == 0
    assert calls <= forecast_calls(created + 1, updated + 1, deleted + 1, abilities)
    assert calls >= (created + updated + deleted) / abilities.write_batch
