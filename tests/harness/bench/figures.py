"""What a measurement found, each figure beside its target; counts decide, times are told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. ``most`` and ``least`` are its target; a gate fails the run, a time or a share never does."""

    name: str
    value: float
    unit: str = ""
    most: float | None = None
    least: float | None = None
    gate: bool = False

    @property
    def met(self) -> bool | None:
        """None where nothing was promised."""
        if self.most is None and self.least is None:
            return None
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)

    def document(self) -> dict[str, Any]:
        named = {"figure": self.name, "value": round(self.value, 4), "unit": self.unit}
        return {**named, "most": self.most, "least": self.least, "gate": self.gate, "met": self.met}


def count(name: str, value: float, *, most: float | None = None, least: float | None = None, unit: str = "") -> Figure:
    """A figure that does not depend on the machine: it has to meet its target."""
    return Figure(name, value, unit, most, least, gate=most is not None or least is not None)


@dataclass(slots=True)
class Report:
    """The figures of one scenario, and what it rests on."""

    provider: str
    scenario: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)

    def add(self, *figures: Figure) -> None:
        self.figures += figures

    @property
    def ok(self) -> bool:
        return all(figure.met is not False for figure in self.figures if figure.gate)

    def document(self) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "scenario": self.scenario,
            "ok": self.ok,
            "figures": [figure.document() for figure in self.figures],
            "notes": self.notes,
            "raw": self.raw,
        }


def lines(reports: Sequence[Report]) -> Iterable[str]:
    """A table for people: scenario, figure, value, target, whether met (``!`` where that fails the run)."""
    for report in reports:
        yield f"\n{report.provider}: {report.scenario}"
        for figure in report.figures:
            value = f"{_number(figure.value):>10} {figure.unit:<4}"
            yield f"  {figure.name:<58} {value} {_target(figure):<14} {_met(figure)}".rstrip()
        for note in report.notes:
            yield f"  ({note})"


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def _target(figure: Figure) -> str:
    if figure.most is not None and figure.least == figure.most:
        return f"= {figure.most:g}"
    parts = [f"<= {figure.most:g}"] if figure.most is not None else []
    parts += [f">= {figure.least:g}"] if figure.least is not None else []
    return ", ".join(parts)


def _met(figure: Figure) -> str:
    if figure.met is None:
        return ""
    if figure.met:
        return "met"
    return "NOT met !" if figure.gate else "not met"
