"""Who fights and who changes her mind: ``crm.engine.fights``."""

from __future__ import annotations

from crm.engine.fights import count_flip, is_fought
from crm.model import BasePair, Effect, Rule, Side
from tests.crm.engine.build import NAME


def effect(side: Side | None, before: str, after: str, rule: Rule = Rule.APP_CHANGED) -> Effect:
    crm_value = after
    return Effect("m-name", "firstName", "first", side, before, after, rule, after, crm_value)


def play(*moves: Effect):
    """Apply moves one after the other; what each has counted, and whether a further one would be fought."""
    flips, held = None, "a"
    for move in moves:
        pair = BasePair(held, held, "d1")
        flips = count_flip(flips, move, pair, NAME)
        held = str(move.after)
    return flips


A_B, B_A = ("a", "b"), ("b", "a")


def test_a_value_sent_back_and_forth_by_both_sides_is_a_fight():
    """Push, revert, push: the third reversal is one too many."""
    flips = play(effect(Side.CRM, *A_B), effect(Side.APP, *B_A), effect(Side.CRM, *A_B))

    assert flips.count == 3
    assert is_fought(flips, effect(Side.APP, *B_A), BasePair("b", "b", "d1"), NAME, 3)
    assert not is_fought(flips, effect(Side.CRM, *B_A), BasePair("b", "b", "d1"), NAME, 3)
    assert not is_fought(flips, effect(Side.APP, "b", "c"), BasePair("b", "b", "d1"), NAME, 3)


def test_a_person_who_changes_her_mind_on_one_side_is_no_fight():
    """The same side each time counts once."""
    flips = play(effect(Side.CRM, *A_B), effect(Side.CRM, *B_A), effect(Side.CRM, *A_B), effect(Side.CRM, *B_A))

    assert flips.count == 1
    assert not is_fought(flips, effect(Side.CRM, *A_B), BasePair("a", "a", "d1"), NAME, 3)


def test_a_drift_written_back_again_and_again_is_a_fight():
    """One side overwrites, an automation undoes it out of sight."""
    back = effect(Side.CRM, "b", "a", Rule.WRITTEN_BACK)

    flips = play(back, back, back)

    assert flips.count == 3
    assert is_fought(flips, back, BasePair("a", "a", "d1"), NAME, 3)


def test_what_writes_nothing_counts_nothing():
    """Agreements, and first values without a base."""
    assert count_flip(None, effect(None, *A_B), BasePair("a", "a", "d1"), NAME) is None
    assert count_flip(None, effect(Side.CRM, *A_B), None, NAME) is None
    assert not is_fought(None, effect(Side.CRM, *A_B), None, NAME, 3)


def test_a_pull_without_base_still_has_two_values():
    """It cannot be fought yet, and does not fail."""
    flips = play(effect(Side.CRM, *A_B), effect(Side.APP, *B_A), effect(Side.CRM, *A_B))

    assert not is_fought(flips, effect(Side.APP, *B_A), None, NAME, 3)
