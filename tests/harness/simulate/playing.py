"""One seed, whatever becomes of it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from dataclasses import replace

from tests.harness.simulate.ground import MEMORY, Ground
from tests.harness.simulate.schedule import Result, Step, draw_steps, play
from tests.harness.simulate.workers import Figures


def play_seed(seed: int, numbers: set[int] | None = None, ground: Ground = MEMORY) -> Result:
    begun = time.process_time()
    result = _play(seed, [step for step in draw_steps(seed) if numbers is None or step.number in numbers], ground)
    return replace(result, cpu_seconds=time.process_time() - begun)


def _play(seed: int, steps: Sequence[Step], ground: Ground) -> Result:
    try:
        return play(seed, steps, ground=ground)
    except Exception:  # noqa: BLE001 - whatever it is, it belongs to this seed
        text = traceback.format_exc()
        return Result(seed, tuple(step.number for step in steps), 0, 0, [], 0, Figures(), [("error", text)], [], "", {})
