"""A changed mapping: pairs that were agreed before are brought into step, or stay until somebody edits them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.engine.decide import Facts, Rules, Verdict, decide_field
from crm.engine.life import left_as_it_stands
from crm.engine.plan import plan_link, plan_pairing
from crm.mapping.field_map import FieldMap, Former
from crm.mapping.kinds import Kind
from crm.mapping.rule import parse_transform_rule
from crm.model import (
    BasePair,
    BlankRule,
    ConflictKind,
    Direction,
    DriftRule,
    Evidence,
    Interval,
    OpenConflict,
    Rule,
    Side,
    Strategy,
)
from tests.crm.engine.build import EMAIL, NAME, NOON, OPT_OUT, book, contact, record, view

PREFIXED = parse_transform_rule({"steps": [{"step": "prefix", "text": "Dr "}]})
LATER, EARLIER = NOON + timedelta(minutes=5), NOON - timedelta(minutes=5)


def existing(field_map: FieldMap = NAME, **more: object) -> FieldMap:
    """Changed to a prefix, for existing records too."""
    changed = replace(field_map, steps=PREFIXED, version=2, revisits_before=2)
    return replace(changed, **more)  # type: ignore[arg-type]


def opened(field_map: FieldMap = NAME, was: Direction | None = Direction.TO_CRM, **more: object) -> FieldMap:
    """A direction was opened (or the row added) at noon, only from now on."""
    return replace(field_map, version=2, former=Former(NOON, was), awaits_scan=True, **more)  # type: ignore[arg-type]


def only(planned):
    (effect,) = planned.action.effects
    return effect.side, effect.after, effect.rule


def pairs(**values: BasePair):
    return {"base": {f"m-{name}": pair for name, pair in values.items()}}


def at(moment, *, app: bool = False, crm: bool = False) -> Evidence:
    interval = Interval(moment, moment)
    return Evidence({"firstName": interval} if app else {}, {"first": interval} if crm else {})


# Existing records too ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("source", list(Side))
def test_two_values_are_expressed_from_the_side_that_the_mapping_starts_at(direction, strategy, source):
    """Direction first, then a strategy that names a side, then the side whose values the steps run on; never asked."""
    facts = Facts(True, True, False, False, False, False, False, outdated=True)

    decision = decide_field(facts, Rules(direction=direction, strategy=strategy, source=source))

    side = {Direction.TO_CRM: Side.APP, Direction.FROM_CRM: Side.CRM}.get(direction)
    side = side or {Strategy.ADSAPP_WINS: Side.APP, Strategy.CRM_WINS: Side.CRM}.get(strategy, source)
    assert decision.verdict is (Verdict.PUSH if side is Side.APP else Verdict.PULL)
    assert (decision.rule, decision.overrules) == (Rule.MAPPING_CHANGED, True)


@pytest.mark.parametrize(
    ("blanks", "direction", "expected"),
    [
        ((True, False), Direction.BIDIRECTIONAL, "pull"),
        ((False, True), Direction.BIDIRECTIONAL, "push"),
        ((True, False), Direction.TO_CRM, "nothing"),
        ((False, True), Direction.TO_CRM, "push"),
        ((True, False), Direction.FROM_CRM, "pull"),
        ((False, True), Direction.FROM_CRM, "nothing"),
        ((True, True), Direction.BIDIRECTIONAL, "nothing"),
    ],
)
def test_a_blank_is_filled_and_never_written(blanks, direction, expected):
    """Under "never blank" a cleared side stays cleared."""
    facts = Facts(True, True, False, False, False, *blanks, outdated=True)

    assert decide_field(facts, Rules(direction=direction)).verdict.value == expected
    assert decide_field(facts, Rules(direction=direction, blank_rule=BlankRule.NEVER)).verdict is Verdict.NOTHING


def test_of_consent_only_an_opt_out_travels():
    """As at a first meeting: nobody is opted in by a changed mapping."""
    for app_out, crm_out in itertools.product((True, False), repeat=2):
        facts = Facts(
            True, True, False, False, False, False, False, app_opted_out=app_out, crm_opted_out=crm_out, outdated=True
        )
        verdict = decide_field(facts, Rules(consent=True)).verdict
        expected = {(True, False): Verdict.PUSH, (False, True): Verdict.PULL}.get((app_out, crm_out), Verdict.NOTHING)
        assert verdict is expected


def test_a_changed_transform_is_carried_to_records_in_which_nothing_moved():
    """The value of the other side is noted as overruled; the pair is of the new version afterwards."""
    planned = plan_link(view(), record(), book(existing()))

    assert only(planned) == (Side.CRM, "Dr Ada", Rule.MAPPING_CHANGED)
    assert planned.action.effects[0].lost == "Ada"
    stamped = view(link=pairs(name=BasePair("Ada", "Ada", "d1", version=2)))
    assert plan_link(stamped, record(), book(existing())).action is None


def test_a_pair_that_corresponds_under_the_changed_mapping_is_left_alone():
    """No write and no ledger line only to note that it was looked at."""
    here = view(link=pairs(name=BasePair("Ada", "Dr Ada", "d1")))

    assert plan_link(here, record(first="Dr Ada"), book(existing())).action is None


def test_an_edit_goes_before_the_changed_mapping():
    """One side moved: that edit flows, by the new rules, and brings the field into step."""
    assert only(plan_link(view(contact(firstName="Adah")), record(), book(existing()))) == (
        Side.CRM,
        "Dr Adah",
        Rule.APP_CHANGED,
    )


def test_a_value_that_the_changed_mapping_cannot_express_is_refused_by_itself():
    """It stays out of step with its reason, run after run, and the other fields go on."""
    digits = parse_transform_rule({"steps": [{"step": "value_map", "map": {"Eve": "1"}}]})
    changed = replace(existing(), steps=digits)
    planned = plan_link(view(), record(), book(changed))
    assert planned.action.effects == ()
    (trouble,) = planned.action.troubles.values()
    again = view(link={"troubles": {"m-name": trouble}})

    assert trouble.side is Side.CRM
    assert plan_link(again, record(), book(changed)).action is None


def test_a_step_that_gives_blanks_a_value_is_no_blank():
    """A changed default goes out, though the app holds nothing."""
    default = parse_transform_rule({"steps": [{"step": "default", "value": "unknown"}]})
    changed = existing(steps=default, direction=Direction.TO_CRM)
    here = view(contact(firstName=None), link=pairs(name=BasePair(None, "n/a", "d1")))

    assert only(plan_link(here, record(first="n/a"), book(changed))) == (Side.CRM, "unknown", Rule.MAPPING_CHANGED)


def test_a_side_that_the_mapping_does_not_read_is_blank_as_it_is():
    """A one-way mapping can express one side only."""
    pulled = existing(direction=Direction.FROM_CRM, steps=())
    here = view(contact(firstName=None), link=pairs(name=BasePair(None, "Ada", "d1")))
    assert only(plan_link(here, record(), book(pulled))) == (Side.APP, "Ada", Rule.MAPPING_CHANGED)
    pushed = existing(direction=Direction.TO_CRM, steps=())
    here = view(link=pairs(name=BasePair("Ada", None, "d1")))
    assert only(plan_link(here, record(first=None), book(pushed))) == (Side.CRM, "Ada", Rule.MAPPING_CHANGED)


# Only from now on -------------------------------------------------------------------------------------------------


def test_a_changed_transform_leaves_what_is_agreed_and_takes_the_next_edit():
    """0 writes; the next edit of either side goes by the new steps."""
    changed = existing(revisits_before=0)

    assert plan_link(view(), record(), book(changed)).action is None
    assert only(plan_link(view(contact(firstName="Adah")), record(), book(changed)))[1] == "Dr Adah"
    assert only(plan_link(view(), record(first="Dr Adah"), book(changed)))[1] == "Adah"


@pytest.mark.parametrize("evidence", [at(EARLIER, crm=True), at(EARLIER, app=True, crm=True), Evidence()])
def test_a_difference_that_stood_when_a_direction_was_opened_is_left_as_it_stands(evidence):
    """The pair as it is found becomes the base, the ledger says why, and nothing is written."""
    drifted = record(first="Lady Ada")

    assert plan_link(view(), drifted, book(opened())).contested == ("m-name",)
    assert only(plan_link(view(), drifted, book(opened()), evidence)) == (None, "Ada", Rule.FROM_NOW_ON)


@pytest.mark.parametrize("evidence", [at(NOON, crm=True), at(LATER, crm=True), at(LATER, app=True)])
def test_an_edit_after_the_change_flows_by_the_new_rules(evidence):
    """Known to be later, it is nobody's old difference."""
    planned = plan_link(view(), record(first="Lady Ada"), book(opened()), evidence)

    assert only(planned) == (Side.APP, "Lady Ada", Rule.CRM_CHANGED)


def test_an_edit_that_the_former_rules_would_have_carried_needs_no_evidence():
    """It was on its way when the mapping was changed."""
    planned = plan_link(view(contact(firstName="Adah")), record(), book(opened()))

    assert only(planned) == (Side.CRM, "Adah", Rule.APP_CHANGED)


def test_a_pair_agreed_under_the_changed_mapping_is_like_any_other():
    here = view(link=pairs(name=BasePair("Ada", "Ada", "d1", version=2)))

    assert only(plan_link(here, record(first="Adah"), book(opened())))[0] is Side.APP


def test_drift_that_was_shown_stays_when_drift_is_to_be_written_back():
    """Only drift that comes later is overwritten."""
    shown = replace(
        opened(direction=Direction.TO_CRM, drift=DriftRule.WRITE_BACK),
        former=Former(NOON, Direction.TO_CRM, DriftRule.SHOW),
    )

    planned = plan_link(view(), record(first="Lady Ada"), book(shown), Evidence())

    assert only(planned) == (None, "Ada", Rule.FROM_NOW_ON)


def test_a_field_that_is_newly_mapped_keeps_what_both_sides_hold():
    """Different, or one of them blank; where both are blank there is nothing to note."""
    added = opened(was=None)
    for app, crm in (("Ada", "Bea"), ("Ada", None), (None, "Bea")):
        here = view(contact(firstName=app), link={"base": {}})
        assert only(plan_link(here, record(first=crm), book(added), Evidence())) == (None, app, Rule.FROM_NOW_ON)
    here = view(contact(firstName=None), link={"base": {}})
    assert plan_link(here, record(first=None), book(added)).action is None
    assert plan_link(view(link={"base": {}}), record(), book(added)).action.effects[0].rule is Rule.AGREED


def test_a_pair_that_meets_for_the_first_time_is_no_existing_record():
    """Neither is one that follows a merge: what its record holds came with the merge."""
    planned = plan_pairing(
        contact(firstName=None), record(), Rule.MATCHED_EMAIL, book(EMAIL, opened(was=None)), "l1", Evidence()
    )

    assert {each.rule for each in planned.action.effects} == {Rule.AGREED, Rule.FILLED}


def test_an_opt_out_travels_whenever_it_was_made():
    """An opt-in that stood is left as it stands."""
    added = opened(OPT_OUT, was=None)
    here = view(link={"base": {}})
    assert only(plan_link(here, record(out=True), book(added)))[0] is Side.APP
    here = view(contact(emailOptOut=True), link={"base": {}})
    assert only(plan_link(here, record(), book(added)))[0] is Side.CRM
    two_way = opened(OPT_OUT)
    here = view(contact(emailOptOut=True), link=pairs(out=BasePair(True, True, "d4")))
    assert plan_link(here, record(out=False), book(two_way)).contested == ("m-out",)


def test_without_a_former_mapping_nothing_is_left():
    decision = decide_field(Facts(True, True, True, False, False, False, False), Rules())

    assert left_as_it_stands(NAME, decision, Evidence()) is None


@pytest.mark.parametrize(("keeps", "closes"), [(True, ()), (False, ("q1",))])
def test_a_changed_strategy_answers_open_questions_only_for_existing_records(keeps, closes):
    """Only from now on: the question stays a person's, until one of the values moves."""
    asked = OpenConflict("q1", ConflictKind.FIELD, "m-name", "Ada A", "Ada C")
    ruled = replace(NAME, strategy=Strategy.CRM_WINS, keeps_questions=keeps)
    here = view(contact(firstName="Ada A"), conflicts=(asked,))

    planned = plan_link(here, record(first="Ada C"), book(ruled))

    assert (planned.action.closes if planned.action else ()) == closes
    assert only(plan_link(here, record(first="Ada D"), book(ruled)))[:2] == (Side.APP, "Ada D")


def test_a_changed_mapping_waits_for_a_complete_scan():
    assert book(opened()).awaits_scan
    assert not book(NAME).awaits_scan


def test_a_typed_field_is_compared_in_its_own_terms():
    """A changed map of numbers is carried like one of words."""
    number = FieldMap("m-name", "firstName", "first", Direction.TO_CRM, Kind.TEXT, Kind.NUMBER, definition="d1")
    codes = parse_transform_rule({"steps": [{"step": "value_map", "map": {"Ada": "7"}}]})
    changed = existing(number, steps=codes)
    here = view(link=pairs(name=BasePair("Ada", 1, "d1")))

    assert only(plan_link(here, record(first=1), book(changed))) == (Side.CRM, 7, Rule.MAPPING_CHANGED)


# Both answers, over all that can stand between two sides ----------------------------------------------------------

VALUES = st.sampled_from([None, "Ada", "Dr Ada", "Bea", "Dr Dr Cyd"])
RULES = st.builds(
    lambda direction, steps, drift, blank, strategy: {
        "direction": direction,
        "steps": steps,
        "drift": drift,
        "blank_rule": blank,
        "strategy": strategy,
    },
    st.sampled_from(Direction),
    st.sampled_from([(), PREFIXED]),
    st.sampled_from(DriftRule),
    st.sampled_from(BlankRule),
    st.sampled_from([Strategy.ADSAPP_WINS, Strategy.CRM_WINS]),
)


def applied(planned, app, crm, base, version):
    """Both sides and the base after a plan has been carried out."""
    for effect in planned.action.effects if planned.action else ():
        app = effect.after if effect.side is Side.APP else app
        crm = effect.after if effect.side is Side.CRM else crm
        base = {effect.mapping_id: BasePair(effect.app_value, effect.crm_value, "d1", version=version)}
    return app, crm, base


def planned_for(field_map, app, crm, base, evidence=None):
    here = view(contact(firstName=app), link={"base": base})
    return plan_link(here, record(first=crm), book(field_map), evidence)


@given(st.data(), VALUES, VALUES, st.none() | st.tuples(VALUES, VALUES), RULES, RULES)
def test_from_now_on_writes_nothing_and_then_every_edit_flows(data, app, crm, agreed, before, after):
    """Whatever rested under the former rules; an edit is decided as from an agreed pair of the new ones."""
    base = {"m-name": BasePair(*agreed, "d1", version=1)} if agreed else {}
    then = replace(NAME, **before, version=1)
    app, crm, base = applied(planned_for(then, app, crm, base), app, crm, base, 1)
    if planned_for(then, app, crm, base).action is not None:
        return
    opens = (before["direction"], before["drift"]) != (after["direction"], after["drift"])
    now = replace(
        NAME, **after, version=2, former=Former(NOON, before["direction"], before["drift"]) if opens else None
    )

    planned = planned_for(now, app, crm, base, Evidence())

    effects = planned.action.effects if planned.action else ()
    assert all(effect.side is None for effect in effects)
    app, crm, base = applied(planned, app, crm, base, 2)
    scanned = replace(now, former=None)
    assert planned_for(scanned, app, crm, base).action is None
    if base and data.draw(st.booleans()) and after["direction"] is not Direction.FROM_CRM:
        action = planned_for(scanned, "Eve", crm, base).action
        if not scanned.correspond("Eve", crm):
            assert action.effects[0].side is Side.CRM


@given(VALUES, VALUES, st.none() | st.tuples(VALUES, VALUES), RULES, RULES)
def test_existing_records_are_brought_into_step_once_and_never_blanked(app, crm, agreed, before, after):
    """A second look finds nothing; what an unmoved pair gets is no blank."""
    base = {"m-name": BasePair(*agreed, "d1", version=1)} if agreed else {}
    then = replace(NAME, **before, version=1)
    app, crm, base = applied(planned_for(then, app, crm, base), app, crm, base, 1)
    now = replace(NAME, **after, version=2, revisits_before=2)

    planned = planned_for(now, app, crm, base)

    for effect in planned.action.effects if planned.action else ():
        assert not (effect.rule is Rule.MAPPING_CHANGED and effect.after is None)
    troubles = planned.action.troubles if planned.action else {}
    app, crm, base = applied(planned, app, crm, base, 2)
    here = view(contact(firstName=app), link={"base": base, "troubles": troubles})
    assert plan_link(here, record(first=crm), book(now)).action is None
