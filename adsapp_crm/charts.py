"""Bars by day as shapes for an SVG: drawn on the server, so that no script is needed and a printer shows them too."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 200
LEFT, RIGHT, TOP, BOTTOM = 80, 24, 10, 24  # "16 h 40 min" fits left, half of the last day's name right of the plot
PLOT_WIDTH: Final = WIDTH - LEFT - RIGHT
PLOT_HEIGHT: Final = HEIGHT - TOP - BOTTOM
TICKS: Final = 4
LABELS: Final = 6
"""Days named below the bars, at most about."""


@dataclass(frozen=True, slots=True)
class Series:
    """One CRM's bars. ``number`` chooses colour and hatching, and stays with the CRM on every chart."""

    label: str
    number: int
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    number: int
    title: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A line of the scale, or the name of a day."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    bars: tuple[Bar, ...]
    scale: tuple[Mark, ...]
    days: tuple[Mark, ...]
    empty: bool
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    floor: int = TOP + PLOT_HEIGHT


def bars(
    days: Sequence[date],
    series: Sequence[Series],
    *,
    written: Callable[[float], str],
    named: Callable[[date], str],
    stacked: bool = True,
) -> Chart:
    """``written`` spells a value, ``named`` a day. ``stacked``: one bar a day of all series, else one for each."""
    sums = [sum(each.values[place] for each in series) for place in range(len(days))]
    highest = max(sums if stacked else [value for each in series for value in each.values], default=0)
    top = nice(highest)
    slot = PLOT_WIDTH / max(1, len(days))
    shown: list[Bar] = []
    for place, day in enumerate(days):
        below = 0.0
        for order, each in enumerate(series):
            value = each.values[place]
            if value <= 0:
                continue
            height = PLOT_HEIGHT * value / top
            inner = slot * 0.76
            width = inner if stacked else inner / len(series)
            x = LEFT + slot * place + slot * 0.12 + (0 if stacked else width * order)
            y = TOP + PLOT_HEIGHT - below - height
            title = f"{named(day)}, {each.label}: {written(value)}"
            shown.append(Bar(round(x, 2), round(y, 2), round(width, 2), round(height, 2), each.number, title))
            below += height if stacked else 0
    scale = [
        Mark(round(TOP + PLOT_HEIGHT * (1 - step / TICKS), 2), written(top * step / TICKS)) for step in range(TICKS + 1)
    ]
    stride = max(1, math.ceil(len(days) / LABELS))
    marks = [
        Mark(round(LEFT + slot * (place + 0.5), 2), named(day))
        for place, day in enumerate(days)
        if (len(days) - 1 - place) % stride == 0
    ]
    return Chart(tuple(shown), tuple(scale), tuple(marks), empty=highest <= 0)


def nice(value: float) -> float:
    """The round number at or above a value that four steps divide into whole numbers; never 0."""
    if value <= TICKS:
        return TICKS
    size = float(10 ** math.floor(math.log10(value)))
    tops = (size * step / 10 for step in (10, 12, 16, 20, 24, 32, 40, 60, 80, 100, 120))
    return next(top for top in tops if top >= value and top % TICKS == 0)
