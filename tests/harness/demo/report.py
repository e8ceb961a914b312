"""What the demo prints: a table of steps, or one JSON object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

COLUMNS = ("created", "updated", "linked", "unchanged", "unlinked", "conflicts", "failing", "held")


@dataclass(slots=True)
class Step:
    """One step: what it had to do, fixed before the first request, and what it did."""

    name: str
    expected: Mapping[str, int]
    actual: dict[str, int] = field(default_factory=dict)
    unchanged: int = 0
    """Records that were looked at and left alone: shown, not held against an expectation."""
    requests: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def differences(self) -> list[str]:
        """What did not come as expected; a count that is not named has to be zero."""
        names = dict.fromkeys((*self.expected, *self.actual))
        return [
            f"{name}: expected {self.expected.get(name, 0)}, was {self.actual.get(name, 0)}"
            for name in names
            if self.expected.get(name, 0) != self.actual.get(name, 0)
        ]

    @property
    def ok(self) -> bool:
        return not self.differences


def as_json(steps: Sequence[Step], **more: Any) -> dict[str, Any]:
    return {
        "ok": bool(steps) and all(step.ok for step in steps),
        "steps": [
            {
                "step": step.name,
                "ok": step.ok,
                "counts": {name: count for name, count in step.actual.items() if count},
                "unchanged": step.unchanged,
                "requests": step.requests,
                "seconds": round(step.seconds, 2),
                "differences": step.differences,
                "notes": step.notes,
            }
            for step in steps
        ],
        "requests": sum(step.requests for step in steps),
        "seconds": round(sum(step.seconds for step in steps), 1),
        **more,
    }


def as_table(steps: Sequence[Step]) -> str:
    """The steps with the counts a person looks for; both sides together."""
    width = max(len(step.name) for step in steps)
    head = f"{'step':<{width}} " + " ".join(f"{name:>9}" for name in COLUMNS) + "  requests  seconds"
    lines = [head, "-" * len(head)]
    for step in steps:
        shown = _shown(step)
        counts = " ".join(f"{shown[name] or '.':>9}" for name in COLUMNS)
        mark = "" if step.ok else "  NOT AS EXPECTED"
        lines.append(f"{step.name:<{width}} {counts}  {step.requests:>8}  {step.seconds:>7.1f}{mark}")
        lines += [f"    {note}" for note in (*step.notes, *step.differences)]
    return "\n".join(lines)


def _shown(step: Step) -> dict[str, int]:
    def total(*names: str) -> int:
        return sum(step.actual.get(name, 0) for name in names)

    return {
        "created": total("created_in_app", "created_in_crm"),
        "updated": total("updated_in_app", "updated_in_crm"),
        "linked": total("linked"),
        "unchanged": step.unchanged,
        "unlinked": total("unlinked"),
        "conflicts": total("conflicts"),
        "failing": total("failed"),
        "held": total("held"),
    }
