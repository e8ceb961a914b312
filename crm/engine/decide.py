"""What happens to one field of one linked pair: the table, and nothing but the table.

Everything that needs values has been reduced to yes and no before (``Facts``), so that the whole
decision can be enumerated. The rows:

==  =============================  ==========================  ===================  ===================
 #  condition                      two-way field               to_crm field         from_crm field
==  =============================  ==========================  ===================  ===================
 1  a or c is unknown              skip                        skip                 skip
 2  a=b, c=b                       nothing                     nothing              nothing
 3  a≠b, c=b                       push a                      push a               drift: show or write c
 4  a=b, c≠b                       pull c                      drift: show or push  pull c
 5  both changed, correspond       base := (a, c)              same                 same
 6  both changed, differ           policy                      push a               pull c
 7  no base, correspond            base := (a, c)              same                 same
 8  no base, one is blank          fill the blank              fill the CRM only    fill the app only
 9  no base, differ                policy                      push a               pull c
10  the changed side became blank  by the blank rule           same                 same
11  refused by the far side        (a trouble; see ``plan``)
12  consent: contested             opted out wins              push only opt-outs   pull only opt-outs
==  =============================  ==========================  ===================  ===================

A pair that was agreed under an earlier form of the mapping, which a person wants brought into step ("existing
records too"), is ``outdated``: in row 2 it is expressed anew, from the side that the mapping starts at. A blank is
filled and never written.

"Correspond" is looked at before rows 3 and 4 as well: after an agreed difference one side may
come back to the other's value, and then there is nothing to write.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from crm.engine.newest import Newest
from crm.model import BlankRule, Direction, DriftRule, Rule, Side, Strategy


class Verdict(enum.StrEnum):
    NOTHING = "nothing"
    SKIP = "skip"
    """A side is unknown: never treated as blank."""
    PUSH = "push"
    PULL = "pull"
    AGREE = "agree"
    """Nothing is written; the pair as it stands becomes the base."""
    ASK = "ask"
    """A conflict for a person."""
    NEED_EVIDENCE = "need_evidence"
    """newest_wins has to know when both sides changed."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One field, reduced to what the table asks. "Moved" means that it differs from the base."""

    known: bool
    based: bool
    app_moved: bool
    crm_moved: bool
    agree: bool
    app_blank: bool
    crm_blank: bool
    blank_is_trusted: bool = True
    """The field was readable without a break since the base was written."""
    app_opted_out: bool = False
    crm_opted_out: bool = False
    outdated: bool = False
    """Nothing moved, but the pair does not correspond under the mapping as it was changed for existing records too."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How the mapping and the connection want it."""

    direction: Direction = Direction.BIDIRECTIONAL
    strategy: Strategy = Strategy.NEWEST_WINS
    tie_rule: Strategy = Strategy.MANUAL
    blank_rule: BlankRule = BlankRule.PROPAGATE
    drift: DriftRule = DriftRule.SHOW
    consent: bool = False
    source: Side = Side.APP
    """Where an outdated pair of a two-way field is taken from when the strategy names no side."""


@dataclass(frozen=True, slots=True)
class Decision:
    verdict: Verdict
    rule: Rule
    row: int
    overrules: bool = False
    """A value that a person may have entered is overruled: the ledger notes it."""


_PUSH = {Direction.BIDIRECTIONAL, Direction.TO_CRM}
_PULL = {Direction.BIDIRECTIONAL, Direction.FROM_CRM}


def decide_field(facts: Facts, rules: Rules, newest: Newest | None = None) -> Decision:
    """Pure and total. ``newest`` is asked for (NEED_EVIDENCE) only where it decides."""
    if not facts.known:
        return Decision(Verdict.SKIP, Rule.UNREADABLE, 1)
    if facts.based and not facts.app_moved and not facts.crm_moved:
        return _decide_outdated(facts, rules) if facts.outdated else Decision(Verdict.NOTHING, Rule.AGREED, 2)
    if not facts.based and _both_empty(facts, rules):
        return Decision(Verdict.NOTHING, Rule.AGREED, 7)
    if facts.agree:
        return Decision(Verdict.AGREE, Rule.AGREED, 5 if facts.based else 7)
    if rules.consent:
        return _decide_consent(facts, rules)
    if not facts.based:
        return _decide_first_meeting(facts, rules, newest)
    if facts.app_moved and facts.crm_moved:
        return _decide_contested(facts, rules, newest, row=6)
    if facts.app_moved:
        return _decide_one_sided(facts, rules, app=True)
    return _decide_one_sided(facts, rules, app=False)


def _both_empty(facts: Facts, rules: Rules) -> bool:
    """Nothing on either side needs no base: whoever fills it first meets row 8, as with one.

    It also spares a first sync from coming back to every record for the fields it left out.
    """
    if rules.consent:
        return not (facts.app_opted_out or facts.crm_opted_out)
    return facts.app_blank and facts.crm_blank


def _decide_outdated(facts: Facts, rules: Rules) -> Decision:
    """Row 2 after the mapping was changed for existing records too: as rows 8, 9 and 12, but nobody is asked."""
    if rules.consent:
        opt_out = replace(facts, based=False)
        return _decide_consent(opt_out, rules)
    if facts.app_blank or facts.crm_blank:
        fills_app = facts.app_blank
        travels = rules.direction in (_PULL if fills_app else _PUSH) and not (facts.app_blank and facts.crm_blank)
        if not travels or rules.blank_rule is BlankRule.NEVER:
            return Decision(Verdict.NOTHING, Rule.AGREED, 2)
        return Decision(Verdict.PULL if fills_app else Verdict.PUSH, Rule.MAPPING_CHANGED, 8)
    pushes = rules.direction is Direction.TO_CRM
    if rules.direction is Direction.BIDIRECTIONAL:
        source = {Strategy.ADSAPP_WINS: Side.APP, Strategy.CRM_WINS: Side.CRM}.get(rules.strategy, rules.source)
        pushes = source is Side.APP
    return Decision(Verdict.PUSH if pushes else Verdict.PULL, Rule.MAPPING_CHANGED, 2, overrules=True)


def _decide_one_sided(facts: Facts, rules: Rules, *, app: bool) -> Decision:
    """Rows 3, 4 and 10: only one side moved away from the base."""
    row = 3 if app else 4
    travels = rules.direction in (_PUSH if app else _PULL)
    if not travels:
        if rules.drift is DriftRule.SHOW:
            return Decision(Verdict.NOTHING, Rule.ONE_WAY, row)
        return Decision(Verdict.PULL if app else Verdict.PUSH, Rule.WRITTEN_BACK, row, overrules=True)
    became_blank = facts.app_blank if app else facts.crm_blank
    if became_blank:
        if rules.blank_rule is BlankRule.NEVER:
            return Decision(Verdict.AGREE, Rule.AGREED_DIFFERENCE, 10)
        if not facts.blank_is_trusted:
            if rules.direction not in (_PULL if app else _PUSH):
                return Decision(Verdict.NOTHING, Rule.UNREADABLE, 10)
            return Decision(Verdict.PULL if app else Verdict.PUSH, Rule.FILLED, 10)
    rule = Rule.APP_CHANGED if app else Rule.CRM_CHANGED
    return Decision(Verdict.PUSH if app else Verdict.PULL, rule, 10 if became_blank else row)


def _decide_first_meeting(facts: Facts, rules: Rules, newest: Newest | None) -> Decision:
    """Rows 8 and 9: nothing was ever agreed."""
    if facts.app_blank or facts.crm_blank:
        fills_app = facts.app_blank
        if rules.direction not in (_PULL if fills_app else _PUSH):
            return Decision(Verdict.NOTHING, Rule.ONE_WAY, 8)
        return Decision(Verdict.PULL if fills_app else Verdict.PUSH, Rule.FILLED, 8)
    return _decide_contested(facts, rules, newest, row=9)


def _decide_contested(facts: Facts, rules: Rules, newest: Newest | None, *, row: int) -> Decision:
    """Rows 6 and 9: two different values, each of which somebody may have meant."""
    if rules.direction is Direction.TO_CRM:
        return Decision(Verdict.PUSH, Rule.ONE_WAY, row, overrules=True)
    if rules.direction is Direction.FROM_CRM:
        return Decision(Verdict.PULL, Rule.ONE_WAY, row, overrules=True)
    if rules.blank_rule is BlankRule.NEVER and (facts.app_blank or facts.crm_blank):
        return Decision(Verdict.AGREE, Rule.AGREED_DIFFERENCE, 10)
    strategy, rule_of = rules.strategy, None
    if strategy is Strategy.NEWEST_WINS:
        match newest:
            case None:
                return Decision(Verdict.NEED_EVIDENCE, Rule.NEWEST_WINS, row)
            case Newest.APP:
                return Decision(Verdict.PUSH, Rule.NEWEST_WINS, row, overrules=True)
            case Newest.CRM:
                return Decision(Verdict.PULL, Rule.NEWEST_WINS, row, overrules=True)
            case _:
                strategy, rule_of = rules.tie_rule, Rule.TIE
    if strategy is Strategy.ADSAPP_WINS:
        return Decision(Verdict.PUSH, rule_of or Rule.ADSAPP_WINS, row, overrules=True)
    if strategy is Strategy.CRM_WINS:
        return Decision(Verdict.PULL, rule_of or Rule.CRM_WINS, row, overrules=True)
    return Decision(Verdict.ASK, rule_of or Rule.CHOSEN, row)


def _decide_consent(facts: Facts, rules: Rules) -> Decision:
    """Row 12. An opt-in travels only as row 3 or 4 of a two-way field, by a person's change of an agreed base."""
    push, pull = rules.direction in _PUSH, rules.direction in _PULL
    if not facts.based or (facts.app_moved and facts.crm_moved):
        if facts.app_opted_out and not facts.crm_opted_out:
            return Decision(Verdict.PUSH if push else Verdict.NOTHING, Rule.OPT_OUT_WINS, 12)
        if facts.crm_opted_out and not facts.app_opted_out:
            return Decision(Verdict.PULL if pull else Verdict.NOTHING, Rule.OPT_OUT_WINS, 12)
        return Decision(Verdict.AGREE if facts.based else Verdict.NOTHING, Rule.AGREED, 12)
    two_way = rules.direction is Direction.BIDIRECTIONAL
    if facts.app_moved:
        travels = two_way or (push and facts.app_opted_out)
        return Decision(Verdict.PUSH if travels else Verdict.NOTHING, Rule.APP_CHANGED, 3)
    travels = two_way or (pull and facts.crm_opted_out)
    return Decision(Verdict.PULL if travels else Verdict.NOTHING, Rule.CRM_CHANGED, 4)
