"""The judge: what people entered, what became of it, and whether every engine write was right.

It looks at both journals (who wrote which value when) and never at how the engine decided.
"""

from __future__ import annotations

from tests.harness.simulate.evidence import Told
from tests.harness.simulate.oracle_matches import MatchesJudge
from tests.harness.simulate.oracle_state import StateJudge
from tests.harness.simulate.oracle_writes import WritesJudge
from tests.harness.simulate.world import World


class _Judge(WritesJudge, MatchesJudge, StateJudge):
    """One account's."""


def judge(world: World, *, is_quiet: bool) -> Told:
    """Accuse the world of every broken invariant; returns what was counted."""
    total = Told()
    for account in world.accounts:
        case = _Judge(account)
        case.judge_writes()
        case.judge_creations()
        case.judge_resurrections()
        case.judge_meetings()
        case.judge_guesses()
        case.judge_brakes()
        if is_quiet:
            case.judge_state()
        total.add(case.told)
    return total
