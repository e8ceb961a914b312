"""Which edit is the newer one: ``crm.engine.newest``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.engine.newest import Newest, resolve_newest
from crm.model import Interval

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def at(seconds: float, until: float | None = None, *, imported: bool = False) -> Interval:
    end = until if until is not None else seconds
    return Interval(NOON + timedelta(seconds=seconds), NOON + timedelta(seconds=end), imported)


@pytest.mark.parametrize(
    ("app", "crm", "expected"),
    [
        (at(0), at(61), Newest.CRM),
        (at(61), at(0), Newest.APP),
        (at(0), at(60), Newest.CANNOT_KNOW),
        (at(0), at(30), Newest.CANNOT_KNOW),
        (at(0, 300), at(200, 900), Newest.CANNOT_KNOW),
        (at(0, 100), at(161, 900), Newest.CRM),
        (at(0), None, Newest.CANNOT_KNOW),
        (None, at(0), Newest.CANNOT_KNOW),
        (at(0, imported=True), at(9999), Newest.CANNOT_KNOW),
        (at(0), at(9999, imported=True), Newest.CANNOT_KNOW),
        (at(0), Interval(None, NOON + timedelta(hours=9)), Newest.CANNOT_KNOW),
        (Interval(None, NOON), at(61), Newest.CRM),
        (at(61), Interval(None, NOON), Newest.APP),
        (Interval(NOON, None), at(61), Newest.CANNOT_KNOW),
    ],
)
def test_only_intervals_further_apart_than_the_skew_are_told_apart(app, crm, expected):
    """Within the clock skew, with an open end or from an import, nobody can know."""
    assert resolve_newest(app, crm, 60.0) is expected


@given(
    st.integers(-5000, 5000), st.integers(0, 500), st.integers(-5000, 5000), st.integers(0, 500), st.integers(0, 300)
)
def test_swapping_the_sides_swaps_the_answer(start_a, span_a, start_c, span_c, skew):
    """Neither side has an advantage."""
    app, crm = at(start_a, start_a + span_a), at(start_c, start_c + span_c)
    swapped = {Newest.APP: Newest.CRM, Newest.CRM: Newest.APP, Newest.CANNOT_KNOW: Newest.CANNOT_KNOW}

    assert resolve_newest(crm, app, skew) is swapped[resolve_newest(app, crm, skew)]
