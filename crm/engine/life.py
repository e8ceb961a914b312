"""What a changed mapping does to pairs that were agreed before: brought into step, or left as they stand.

A changed mapping is for existing records too, or only from now on; a person says which. "Existing" makes pairs of an
earlier version that no longer correspond outdated (see ``decide``). "From now on" leaves every difference that stood
still under the former rules: its pair, as it is found, becomes the base. An edit made after the change flows by the
new rules, and so does one that the former rules would have carried. Time decides which is which, as in newest_wins,
and only until a complete scan has looked at every record; what is not known to be later is left as it stands, and
the ledger says so.
"""

from __future__ import annotations

from dataclasses import replace

from crm.engine.decide import Decision, Facts, Rules, Verdict, decide_field
from crm.errors import MappingError
from crm.mapping.field_map import FieldMap, Former
from crm.model import BasePair, Direction, Evidence, Rule, Side, Value

_WRITES = (Verdict.PUSH, Verdict.PULL, Verdict.ASK, Verdict.NEED_EVIDENCE)


def with_outdated(facts: Facts, field_map: FieldMap, pair: BasePair | None, app: Value, crm: Value) -> Facts:
    """The facts of an unmoved pair, once it is seen whether it was agreed under a mapping that no longer holds.

    Blank is then what nothing can be made of: a step may give a blank a value.
    """
    if pair is None or facts.app_moved or facts.crm_moved or pair.version >= field_map.revisits_before:
        return facts
    if field_map.correspond(app, crm):
        return facts
    return replace(
        facts,
        outdated=True,
        app_blank=_silent(field_map, app, Side.APP, blank=facts.app_blank),
        crm_blank=_silent(field_map, crm, Side.CRM, blank=facts.crm_blank),
    )


def stands(decision: Decision, facts: Facts, rules: Rules, field_map: FieldMap, pair: BasePair | None) -> bool:
    """Whether this write is one that only the changed mapping makes, and so waits for evidence of a later edit.

    An opt-out travels always: it does not matter since when.
    """
    former = field_map.former
    if former is None or decision.verdict not in _WRITES or (pair is not None and pair.version >= field_map.version):
        return False
    opts_out = facts.app_opted_out if decision.verdict is Verdict.PUSH else facts.crm_opted_out
    return not (rules.consent and opts_out) and _rested(former, facts, rules)


def left_as_it_stands(field_map: FieldMap, decision: Decision, evidence: Evidence) -> Decision | None:
    """What becomes of a write that ``stands``: the pair is taken as agreed, or None where an edit came later."""
    former = field_map.former
    if former is None:
        return None
    ours = evidence.app.get(field_map.app_field)
    theirs = evidence.crm.get(field_map.remote_field)
    edited_here = ours is not None and ours.latest is not None and ours.latest >= former.since
    edited_there = theirs is not None and theirs.earliest is not None and theirs.earliest >= former.since
    if edited_here or edited_there:
        return None
    return Decision(Verdict.AGREE, Rule.FROM_NOW_ON, decision.row)


def _rested(former: Former, facts: Facts, rules: Rules) -> bool:
    if former.direction is None:
        return True
    then = replace(rules, direction=former.direction, drift=former.drift or rules.drift)
    return decide_field(facts, then).verdict is Verdict.NOTHING


def _silent(field_map: FieldMap, value: Value, side: Side, *, blank: bool) -> bool:
    other_way = Direction.FROM_CRM if side is Side.APP else Direction.TO_CRM
    if field_map.direction is other_way:
        return blank
    try:
        if side is Side.APP:
            return field_map.canonical_crm(field_map.to_crm(value)) is None
        return field_map.canonical_app(field_map.from_crm(value)) is None
    except MappingError:
        return blank
