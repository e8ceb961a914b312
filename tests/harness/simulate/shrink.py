"""Make a failing schedule short: drop steps as long as it still breaks one of the same invariants."""

from __future__ import annotations

from tests.harness.simulate.ground import MEMORY, Ground
from tests.harness.simulate.schedule import Result, Step, draw_steps, play

MAX_PLAYS = 200


def shrink(result: Result, ground: Ground = MEMORY, plays: int = MAX_PLAYS) -> Result:
    """The shortest failing schedule found within so many ``plays``."""
    wanted = {name for name, _ in result.violations}
    steps, best, played = list(draw_steps(result.seed)), result, 0
    size = max(1, len(steps) // 2)
    while size >= 1 and played < plays:
        position, dropped = 0, False
        while position < len(steps) and played < plays:
            played += 1
            fewer = steps[:position] + steps[position + size :]
            again = _try(result.seed, fewer, ground)
            if again is not None and wanted & {name for name, _ in again.violations}:
                steps, best, dropped = fewer, again, True
            else:
                position += size
        if not dropped or size > 1:
            size //= 2
    return best


def _try(seed: int, steps: list[Step], ground: Ground) -> Result | None:
    try:
        return play(seed, steps, ground=ground)
    except Exception:  # noqa: BLE001 - whatever it is, it belongs to this seed
        return None
