"""Bars drawn on the server: geometry only, so that a page needs no script for its chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

WIDTH: Final = 700
HEIGHT: Final = 140
GAP: Final = 0.25
"""Share of a day's width that stays empty."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One day: lengths in units of the drawing, measured from its bottom."""

    day: date
    x: float
    width: float
    good_y: float
    good_height: float
    bad_y: float
    bad_height: float
    good: int
    bad: int


def bars_of(counts: Mapping[date, tuple[int, int]], last: date, days: int) -> Sequence[Bar]:
    """A bar for each of the days up to ``last``, empty ones too; ``counts``: day -> (went well, failed)."""
    highest = max((good + bad for good, bad in counts.values()), default=0) or 1
    step = WIDTH / days
    bars = []
    for place in range(days):
        day = last - timedelta(days=days - 1 - place)
        good, bad = counts.get(day, (0, 0))
        good_height = HEIGHT * good / highest
        bad_height = HEIGHT * bad / highest
        bars.append(
            Bar(
                day,
                round(step * (place + GAP / 2), 2),
                round(step * (1 - GAP), 2),
                round(HEIGHT - good_height, 2),
                round(good_height, 2),
                round(HEIGHT - good_height - bad_height, 2),
                round(bad_height, 2),
                good,
                bad,
            )
        )
    return bars
