"""Bars stay inside their frame, add up, and a scale ends at a round number."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adsapp_crm.charts import LEFT, PLOT_HEIGHT, TOP, WIDTH, Series, bars, nice

FIRST = date(2026, 1, 1)


def drawn(values, *, stacked=True):
    days = [FIRST + timedelta(days=place) for place in range(len(values[0]))]
    series = [Series(f"CRM {place}", place, each) for place, each in enumerate(values)]
    return bars(days, series, written=lambda value: f"{value:g}", named=lambda day: f"{day:%d %b}", stacked=stacked)


def test_stacked_bars_stand_on_each_other():
    chart = drawn([[10, 0], [30, 40]])
    below, above, alone = chart.bars
    assert (below.y + below.height, above.y + above.height) == (TOP + PLOT_HEIGHT, below.y)
    assert (below.title, alone.title) == ("01 Jan, CRM 0: 10", "02 Jan, CRM 1: 40")
    assert [mark.text for mark in chart.scale] == ["0", "10", "20", "30", "40"]


def test_bars_beside_each_other_share_the_day():
    first, second = drawn([[10], [30]], stacked=False).bars
    assert second.x == pytest.approx(first.x + first.width, abs=0.02)
    assert second.height == pytest.approx(3 * first.height, abs=0.05)


def test_nothing_is_an_empty_chart():
    assert drawn([[0, 0]]).empty
    assert drawn([[0, 0]]).bars == ()


@given(
    st.integers(1, 4).flatmap(
        lambda wide: st.lists(st.lists(st.floats(0, 1e9), min_size=wide, max_size=wide), min_size=1, max_size=3)
    ),
    st.booleans(),
)
def test_no_bar_leaves_the_frame(values, stacked):
    chart = drawn(values, stacked=stacked)
    for bar in chart.bars:
        assert LEFT <= bar.x
        assert bar.x + bar.width <= WIDTH
        assert bar.y >= TOP - 0.05
        assert bar.y + bar.height <= TOP + PLOT_HEIGHT + 0.05


@given(st.floats(0, 1e12))
def test_the_scale_ends_at_or_above_the_highest_value(value):
    assert value <= nice(value) <= max(4, 2 * value)
    assert nice(value) % 4 == 0, "a scale of counts has whole numbers"
