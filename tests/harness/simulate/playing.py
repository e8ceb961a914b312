"""One seed, whatever becomes of it."""

from __future__ import annotations

import traceback

from tests.harness.simulate.schedule import Result, draw_steps, play
from tests.harness.simulate.workers import Figures


def play_seed(seed: int, numbers: set[int] | None = None) -> Result:
    steps = [step for step in draw_steps(seed) if numbers is None or step.number in numbers]
    try:
        return play(seed, steps)
    except Exception:  # noqa: BLE001 - whatever it is, it belongs to this seed
        text = traceback.format_exc()
        return Result(seed, tuple(step.number for step in steps), 0, 0, 0, 0, Figures(), [("error", text)], [], "", {})
