"""The field table of ``crm.engine.decide``, exhaustively, against a table written by hand.

A case is spelled ``base app crm``: b is the value both sides last agreed on, x and y are two other
values, - is blank, ? is unknown, and a leading . means that nothing was ever agreed. The expected
words were written from the rules (two-way, to the CRM, from the CRM), not from the code.
"""

from __future__ import annotations

import itertools

import pytest

from crm.engine.decide import Decision, Facts, Rules, Verdict, decide_field
from crm.engine.newest import Newest
from crm.model import BlankRule, Direction, DriftRule, Rule, Strategy

# base, app, crm -> two-way (before the policy), to_crm, from_crm
TABLE = {
    "b b b": ("nothing", "nothing", "nothing"),
    "b b x": ("pull", "nothing", "pull"),
    "b b -": ("pull", "nothing", "pull"),
    "b b ?": ("skip", "skip", "skip"),
    "b x b": ("push", "push", "nothing"),
    "b - b": ("push", "push", "nothing"),
    "b x x": ("agree", "agree", "agree"),
    "b - -": ("agree", "agree", "agree"),
    "b x y": ("policy", "push", "pull"),
    "b y x": ("policy", "push", "pull"),
    "b x -": ("policy", "push", "pull"),
    "b - x": ("policy", "push", "pull"),
    "b x ?": ("skip", "skip", "skip"),
    "b - ?": ("skip", "skip", "skip"),
    "b ? b": ("skip", "skip", "skip"),
    "b ? x": ("skip", "skip", "skip"),
    "b ? -": ("skip", "skip", "skip"),
    "b ? ?": ("skip", "skip", "skip"),
    ". x x": ("agree", "agree", "agree"),
    ". - -": ("nothing", "nothing", "nothing"),
    ". x -": ("push", "push", "nothing"),
    ". - x": ("pull", "nothing", "pull"),
    ". x y": ("policy", "push", "pull"),
    ". y x": ("policy", "push", "pull"),
    ". x ?": ("skip", "skip", "skip"),
    ". - ?": ("skip", "skip", "skip"),
    ". ? x": ("skip", "skip", "skip"),
    ". ? -": ("skip", "skip", "skip"),
    ". ? ?": ("skip", "skip", "skip"),
}
DIRECTIONS = (Direction.BIDIRECTIONAL, Direction.TO_CRM, Direction.FROM_CRM)
BY_POLICY = {
    Strategy.ADSAPP_WINS: "push",
    Strategy.CRM_WINS: "pull",
    Strategy.MANUAL: "ask",
    Strategy.NEWEST_WINS: "need_evidence",
}


def facts_of(case: str, **more: bool) -> Facts:
    base, app, crm = case.split()
    based = base == "b"
    return Facts(
        known="?" not in (app, crm),
        based=based,
        app_moved=based and app != "b",
        crm_moved=based and crm != "b",
        agree=app == crm,
        app_blank=app == "-",
        crm_blank=crm == "-",
        **more,
    )


def all_cases() -> set[str]:
    """Every combination of two sides and a base; x and y are interchangeable where only one occurs."""
    found = set()
    for base, app, crm in itertools.product("b.", "bxy-?", "bxy-?"):
        if base == "." and "b" in (app, crm):
            continue
        if "y" in (app, crm) and "x" not in (app, crm):
            continue
        if app == crm == "y":
            continue
        found.add(f"{base} {app} {crm}")
    return found


def test_the_table_by_hand_covers_every_combination():
    """No combination of values, blanks and unknowns is left to chance."""
    assert all_cases() == set(TABLE)


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("case", sorted(TABLE))
def test_a_field_is_decided_by_the_table(case: str, direction: Direction, strategy: Strategy):
    """Values, direction and strategy determine what happens; time plays no part."""
    expected = TABLE[case][DIRECTIONS.index(direction)]
    if expected == "policy":
        expected = BY_POLICY[strategy]

    decision = decide_field(facts_of(case), Rules(direction=direction, strategy=strategy))

    assert decision.verdict.value == expected


@pytest.mark.parametrize(
    ("newest", "tie_rule", "expected"),
    [
        (Newest.APP, Strategy.MANUAL, Decision(Verdict.PUSH, Rule.NEWEST_WINS, 6, overrules=True)),
        (Newest.CRM, Strategy.MANUAL, Decision(Verdict.PULL, Rule.NEWEST_WINS, 6, overrules=True)),
        (Newest.CANNOT_KNOW, Strategy.MANUAL, Decision(Verdict.ASK, Rule.TIE, 6)),
        (Newest.CANNOT_KNOW, Strategy.ADSAPP_WINS, Decision(Verdict.PUSH, Rule.TIE, 6, overrules=True)),
        (Newest.CANNOT_KNOW, Strategy.CRM_WINS, Decision(Verdict.PULL, Rule.TIE, 6, overrules=True)),
    ],
)
def test_newest_wins_uses_the_tie_rule_only_when_it_cannot_know(newest, tie_rule, expected):
    """Evidence decides; without it the connection's tie rule does, and says so."""
    decision = decide_field(facts_of("b x y"), Rules(tie_rule=tie_rule), newest)

    assert decision == expected


def test_a_first_meeting_without_evidence_is_asked():
    """Two different values and no history: never a silent guess."""
    decision = decide_field(facts_of(". x y"), Rules(), Newest.CANNOT_KNOW)

    assert decision == Decision(Verdict.ASK, Rule.TIE, 9)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("b - b", "agree"),
        ("b b -", "agree"),
        ("b - x", "agree"),
        ("b x -", "agree"),
        ("b x y", "ask"),
        (". x -", "push"),
    ],
)
def test_never_blank_keeps_the_other_side_as_an_agreed_difference(case: str, expected: str):
    """A cleared side stays cleared, the other keeps its value, and nothing moves again."""
    rules = Rules(blank_rule=BlankRule.NEVER, strategy=Strategy.MANUAL)

    decision = decide_field(facts_of(case), rules)

    assert decision.verdict.value == expected
    if expected == "agree":
        assert decision.rule is Rule.AGREED_DIFFERENCE


@pytest.mark.parametrize(
    ("case", "direction", "expected"),
    [
        ("b b -", Direction.BIDIRECTIONAL, "push"),
        ("b - b", Direction.BIDIRECTIONAL, "pull"),
        ("b b -", Direction.FROM_CRM, "nothing"),
        ("b - b", Direction.TO_CRM, "nothing"),
        ("b b x", Direction.BIDIRECTIONAL, "pull"),
    ],
)
def test_a_blank_after_a_break_in_reading_is_no_deletion(case: str, direction: Direction, expected: str):
    """The field was hidden meanwhile: a blank is filled as at a first meeting, a value still travels."""
    decision = decide_field(facts_of(case, blank_is_trusted=False), Rules(direction=direction))

    assert decision.verdict.value == expected


@pytest.mark.parametrize(
    ("case", "direction", "expected"),
    [("b b x", Direction.TO_CRM, "push"), ("b x b", Direction.FROM_CRM, "pull"), ("b b x", Direction.FROM_CRM, "pull")],
)
def test_drift_of_a_one_way_field_is_written_back_when_the_connection_says_so(case, direction, expected):
    """The side that a one-way field does not listen to is overwritten, and the ledger knows what was lost."""
    decision = decide_field(facts_of(case), Rules(direction=direction, drift=DriftRule.WRITE_BACK))

    assert decision.verdict.value == expected
    if decision.rule is Rule.WRITTEN_BACK:
        assert decision.overrules


# consent: o is opted out, i is opted in (or no opinion): base app crm -> two-way, to_crm, from_crm
CONSENT = {
    "o o o": ("nothing", "nothing", "nothing"),
    "i i i": ("nothing", "nothing", "nothing"),
    "o i o": ("push", "nothing", "nothing"),  # a person opted in from an agreed base: two-way only
    "o o i": ("pull", "nothing", "nothing"),
    "i o i": ("push", "push", "nothing"),
    "i i o": ("pull", "nothing", "pull"),
    "i o o": ("agree", "agree", "agree"),
    "o i i": ("agree", "agree", "agree"),
    ". o i": ("push", "push", "nothing"),
    ". i o": ("pull", "nothing", "pull"),
    ". o o": ("agree", "agree", "agree"),
    ". i i": ("nothing", "nothing", "nothing"),
}


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("case", sorted(CONSENT))
def test_opted_out_wins_whatever_the_strategy(case: str, direction: Direction, strategy: Strategy):
    """An opt-in travels only as one person's change of an agreed base, and only on a two-way field."""
    base, app, crm = case.split()
    facts = Facts(
        known=True,
        based=base != ".",
        app_moved=base not in {".", app},
        crm_moved=base not in {".", crm},
        agree=app == crm,
        app_blank=False,
        crm_blank=False,
        app_opted_out=app == "o",
        crm_opted_out=crm == "o",
    )

    decision = decide_field(facts, Rules(direction=direction, strategy=strategy, consent=True))

    assert decision.verdict.value == CONSENT[case][DIRECTIONS.index(direction)]


def test_two_different_forms_of_not_opted_out_are_an_agreed_difference():
    """False here and blank there, both changed from an opt-out: nobody is opted in by a guess."""
    facts = Facts(True, True, True, True, False, False, True)

    decision = decide_field(facts, Rules(consent=True))

    assert decision.verdict is Verdict.AGREE


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_plan_is_mirrored_when_the_sides_are_swapped(direction: Direction):
    """I21: swapping sides, direction and policy swaps push and pull and nothing else."""
    swap = {"push": "pull", "pull": "push"}
    mirrored = {Direction.TO_CRM: Direction.FROM_CRM, Direction.FROM_CRM: Direction.TO_CRM}
    other = {Strategy.ADSAPP_WINS: Strategy.CRM_WINS, Strategy.CRM_WINS: Strategy.ADSAPP_WINS}
    for case, strategy in itertools.product(TABLE, Strategy):
        base, app, crm = case.split()
        here = decide_field(facts_of(case), Rules(direction=direction, strategy=strategy)).verdict.value
        there = decide_field(
            facts_of(f"{base} {crm} {app}"),
            Rules(direction=mirrored.get(direction, direction), strategy=other.get(strategy, strategy)),
        ).verdict.value

        assert there == swap.get(here, here)
