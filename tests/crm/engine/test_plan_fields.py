"""What a plan says about the fields of a linked pair."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from crm.engine.fields import PINGPONG
from crm.engine.plan import plan_link, plan_pairing
from crm.mapping.field_map import FieldMap
from crm.mapping.kinds import Kind
from crm.mapping.rule import parse_transform_rule
from crm.model import (
    ActionKind,
    BasePair,
    ConflictKind,
    Direction,
    DriftRule,
    Evidence,
    FieldTrouble,
    Flips,
    Interval,
    Rule,
    Side,
    Strategy,
)
from tests.crm.engine.build import BASE, EMAIL, MAPS, NAME, NOON, PHONE, answer, book, contact, question, record, view


def effects(planned):
    return {(effect.app_field, effect.side, effect.after, effect.rule) for effect in planned.action.effects}


def at(minutes: float) -> Interval:
    moment = NOON + timedelta(minutes=minutes)
    return Interval(moment, moment)


def test_an_unmoved_pair_plans_nothing():
    """Both sides equal the base, in whatever form the CRM keeps it."""
    assert plan_link(view(), record(), book()).action is None


def test_a_value_in_another_form_plans_nothing():
    """The same number, written differently on both sides, is no change."""
    planned = plan_link(view(contact(phone="06-12345678")), record(tel="+31 (0)6 1234 5678"), book())

    assert planned.action is None


def test_different_fields_changed_on_both_sides_merge():
    """The everyday case: each edit goes to the other side, and nobody is asked."""
    planned = plan_link(view(contact(firstName="Adah", version=4)), record(mail="new@x.nl"), book())

    assert planned.action.kind is ActionKind.SYNC
    assert effects(planned) == {
        ("firstName", Side.CRM, "Adah", Rule.APP_CHANGED),
        ("email", Side.APP, "new@x.nl", Rule.CRM_CHANGED),
    }
    assert planned.action.conflicts == ()
    assert planned.action.before.app_version == 4


def test_the_same_new_value_on_both_sides_is_agreed_without_a_write():
    """Both typed the same: the pair becomes the base."""
    planned = plan_link(view(contact(firstName="Adah")), record(first="Adah"), book())

    assert effects(planned) == {("firstName", None, "Adah", Rule.AGREED)}


def test_different_values_ask_for_evidence_first_and_then_obey_it():
    """newest_wins says which field it has to know about, and decides when it knows."""
    here, there = view(contact(firstName="Ada A")), record(first="Ada C")

    assert plan_link(here, there, book()).contested == ("m-name",)

    planned = plan_link(here, there, book(), Evidence({"firstName": at(0)}, {"first": at(5)}))

    (effect,) = planned.action.effects
    assert (effect.side, effect.after, effect.rule, effect.lost) == (Side.APP, "Ada C", Rule.NEWEST_WINS, "Ada A")


def test_a_tie_is_asked_with_both_values_and_times_while_other_fields_go_out():
    """One question, and the rest of the record flows."""
    evidence = Evidence({"firstName": at(0)}, {"first": at(0.5)})

    planned = plan_link(view(contact(firstName="Ada A", phone="")), record(first="Ada C"), book(), evidence)

    (draft,) = planned.action.conflicts
    assert (draft.kind, draft.mapping_id, draft.app_value, draft.crm_value) == (
        ConflictKind.FIELD, "m-name", "Ada A", "Ada C",
    )  # fmt: skip
    assert (draft.app_changed, draft.crm_changed) == (at(0), at(0.5))
    assert effects(planned) == {("phone", Side.CRM, None, Rule.APP_CHANGED)}


@pytest.mark.parametrize("strategy", [Strategy.NEWEST_WINS, Strategy.MANUAL])
def test_an_open_question_is_not_asked_again_while_its_values_stand(strategy: Strategy):
    """Neither with nor without a need for evidence."""
    asked = view(contact(firstName="Ada A"), conflicts=(question(),))

    planned = plan_link(asked, record(first="Ada C"), book(strategy=strategy))

    assert (planned.action, planned.contested) == (None, ())


def test_an_open_question_is_refreshed_when_a_value_moves_on():
    """The person is shown what is true now."""
    asked = view(contact(firstName="Ada B"), conflicts=(question(),))

    planned = plan_link(asked, record(first="Ada C"), book(strategy=Strategy.MANUAL))

    assert [draft.app_value for draft in planned.action.conflicts] == ["Ada B"]


def test_a_question_closes_itself_when_the_sides_agree_or_one_goes_back():
    """Its subject no longer exists."""
    agreed = plan_link(view(contact(firstName="X"), conflicts=(question(),)), record(first="X"), book())
    back = plan_link(view(contact(firstName="X"), conflicts=(question(),)), record(first="Ada"), book())

    assert agreed.action.closes == ("q1",)
    assert back.action.closes == ("q1",)
    assert effects(back) == {("firstName", Side.CRM, "X", Rule.APP_CHANGED)}


def test_a_question_about_a_removed_mapping_closes():
    """Nothing maps the field any more."""
    planned = plan_link(view(conflicts=(question("m-gone"),)), record(), book())

    assert planned.action.closes == ("q1",)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (answer(Side.APP), {(Side.CRM, "Ada A")}),
        (answer(Side.CRM), {(Side.APP, "Ada C")}),
        (answer(None, "Ada T"), {(Side.CRM, "Ada T"), (Side.APP, "Ada T")}),
    ],
)
def test_an_answer_is_carried_out_on_the_side_that_lacks_it(given, expected):
    """App's value, the CRM's, or a typed one: each becomes the value of both sides."""
    asked = view(contact(firstName="Ada A"), conflicts=(question(),), resolutions={"m-name": given})

    planned = plan_link(asked, record(first="Ada C"), book())

    assert {(effect.side, effect.after) for effect in planned.action.effects} == expected
    assert {effect.rule for effect in planned.action.effects} == {Rule.CHOSEN}
    assert planned.action.closes == ("q1",)


def test_an_answer_to_values_that_moved_is_not_applied():
    """The question is shown again instead."""
    asked = view(contact(firstName="Ada Z"), conflicts=(question(),), resolutions={"m-name": answer(Side.APP)})

    planned = plan_link(asked, record(first="Ada C"), book())

    assert planned.action.effects == ()
    assert [draft.app_value for draft in planned.action.conflicts] == ["Ada Z"]


def test_a_hidden_field_is_unknown_and_noted_once():
    """Not in the answer: never blank. A blank after that is filled, not taken for a deletion."""
    planned = plan_link(view(), record(without=("tel",)), book())
    unread = {**BASE, "m-phone": replace(BASE["m-phone"], unread=True)}
    again = plan_link(view(link={"base": unread}), record(without=("tel",)), book())
    returned = plan_link(view(link={"base": unread}), record(tel=""), book())
    readable = plan_link(view(link={"base": unread}), record(), book())

    assert effects(planned) == {("phone", None, "+31612345678", Rule.UNREADABLE)}
    assert again.action is None
    assert effects(returned) == {("phone", Side.CRM, "+31612345678", Rule.FILLED)}
    assert effects(readable) == {("phone", None, "+31612345678", Rule.AGREED)}


def test_a_field_that_became_another_one_in_the_crm_loses_its_base():
    """What returns under another definition meets for the first time: a blank is filled."""
    retyped = replace(NAME, definition="d9")

    planned = plan_link(view(), record(first=""), book(retyped))

    assert effects(planned) == {("firstName", Side.CRM, "Ada", Rule.FILLED)}


def test_a_value_that_cannot_be_expressed_stops_its_field_only():
    """It is listed with its code; other fields flow, and it is not tried again while it stays."""
    number = FieldMap("m-n", "custom.n", "n", Direction.BIDIRECTIONAL, Kind.TEXT, Kind.NUMBER, definition="dn")
    here = view(contact(**{"custom.n": "many", "firstName": "B"}), {"base": {**BASE, "m-n": BasePair("1", 1, "dn")}})

    planned = plan_link(here, record(n=1), book(*MAPS, number))

    assert effects(planned) == {("firstName", Side.CRM, "B", Rule.APP_CHANGED)}
    assert planned.action.troubles["m-n"].side is Side.CRM
    listed = view(
        contact(**{"custom.n": "many"}),
        {"base": {**BASE, "m-n": BasePair("1", 1, "dn")}, "troubles": planned.action.troubles},
    )
    assert plan_link(listed, record(n=1), book(*MAPS, number)).action is None


def test_a_pulled_value_that_cannot_be_expressed_is_listed_too():
    """The app's side can refuse as well."""
    date = FieldMap("m-d", "birthday", "born", Direction.BIDIRECTIONAL, Kind.DATE, Kind.TEXT, definition="dd")
    here = view(link={"base": {**BASE, "m-d": BasePair(None, None, "dd")}})

    planned = plan_link(here, record(born="in spring"), book(*MAPS, date))

    assert planned.action.effects == ()
    assert planned.action.troubles["m-d"].side is Side.APP


def test_a_trouble_is_dropped_when_its_field_agrees_again():
    """Nothing is left to refuse."""
    trouble = FieldTrouble("field.bad_type", Side.CRM, "x", "d1")

    planned = plan_link(view(link={"troubles": {"m-name": trouble}}), record(), book())

    assert planned.action.troubles == {}


def test_a_fought_over_field_is_frozen_and_the_rest_flows():
    """The third reversal between the same two values is the last."""
    from crm.engine.digest import digest_value

    pair = tuple(sorted((digest_value("Ada"), digest_value("ADA"))))
    flips = {"m-name": Flips(pair, 3, Side.CRM)}

    planned = plan_link(view(contact(phone=""), {"flips": flips}), record(first="ADA"), book())

    assert effects(planned) == {("phone", Side.CRM, None, Rule.APP_CHANGED)}
    assert planned.action.troubles["m-name"].code == PINGPONG


def test_drift_of_a_one_way_field_is_shown_or_written_back():
    """By the connection's rule, unless the mapping has one of its own."""
    one_way = replace(NAME, direction=Direction.TO_CRM)

    assert plan_link(view(), record(first="Edited"), book(one_way)).action is None
    planned = plan_link(view(), record(first="Edited"), book(one_way, drift=DriftRule.WRITE_BACK))
    assert effects(planned) == {("firstName", Side.CRM, "Ada", Rule.WRITTEN_BACK)}
    own = replace(one_way, drift=DriftRule.WRITE_BACK)
    assert plan_link(view(), record(first="Edited"), book(own)) == planned
    shown = replace(one_way, drift=DriftRule.SHOW)
    assert plan_link(view(), record(first="Edited"), book(shown, drift=DriftRule.WRITE_BACK)).action is None


def test_steps_run_on_the_way_and_back():
    """What is written went through the transform."""
    prefixed = replace(NAME, steps=parse_transform_rule({"steps": [{"step": "prefix", "text": "NL-"}]}))
    here = view(contact(firstName="B"), {"base": {"m-name": BasePair("Ada", "NL-Ada", "d1")}})

    planned = plan_link(here, record(first="NL-Ada"), book(prefixed))

    assert effects(planned) == {("firstName", Side.CRM, "NL-B", Rule.APP_CHANGED)}


def test_a_pairing_fills_blanks_agrees_and_asks():
    """Two that are the same person meet: blanks are filled, forms agreed, differences asked."""
    here = contact(phone="", firstName="Ada A")
    there = record(mail="ADA@X.nl", first="Ada C")

    contested = plan_pairing(here, there, Rule.MATCHED_EMAIL, book(), "l9")
    planned = plan_pairing(here, there, Rule.MATCHED_EMAIL, book(), "l9", Evidence())

    assert contested.contested == ("m-name",)
    assert (planned.action.kind, planned.action.rule, planned.action.link_id) == (
        ActionKind.LINK, Rule.MATCHED_EMAIL, "l9",
    )  # fmt: skip
    assert effects(planned) == {
        ("email", None, "ada@x.nl", Rule.AGREED),
        ("phone", Side.APP, "+31612345678", Rule.FILLED),
    } or effects(planned) == {
        ("email", None, "ada@x.nl", Rule.AGREED),
        ("phone", Side.APP, "06 12345678", Rule.FILLED),
    }
    assert [draft.mapping_id for draft in planned.action.conflicts] == ["m-name"]
    assert planned.action.before.unmatched


def test_a_record_refused_as_often_as_allowed_rests_until_something_changes():
    """Three automatic attempts; then the contact, the record or a person moves it."""
    failed = {"error_code": "rule.validation", "attempts": 3}
    edited = contact(firstName="B")

    resting = plan_link(view(edited, failed), record(), book(NAME, EMAIL, PHONE))
    moved = plan_link(view(contact(firstName="B", version=4), failed), record(), book(NAME, EMAIL, PHONE))

    assert resting.action is None
    assert effects(moved) == {("firstName", Side.CRM, "B", Rule.APP_CHANGED)}


@pytest.mark.parametrize("reason", ["held", "excluded"])
def test_nothing_is_planned_for_a_record_that_waits(reason: str):
    """An open intent, a line that waits for approval, or a person's exclusion."""
    assert plan_link(view(contact(firstName="B"), **{reason: True}), record(), book()).action is None


def test_a_typed_answer_that_the_crm_cannot_hold_is_listed():
    """The question closes with its answer; the field shows why it is not written."""
    number = FieldMap("m-n", "custom.n", "n", Direction.BIDIRECTIONAL, Kind.TEXT, Kind.NUMBER, definition="dn")
    base = {"base": {"m-n": BasePair("1", 1, "dn")}}
    for given in (answer(None, "many", "2", 3), answer(Side.APP, app="two", crm=3)):
        shown = "two" if given.side else "2"
        asked = view(
            contact(**{"custom.n": shown}), base, conflicts=(question("m-n", shown, 3),), resolutions={"m-n": given}
        )

        planned = plan_link(asked, record(n=3), book(number))

        assert planned.action.effects == ()
        assert planned.action.troubles["m-n"].code == "field.bad_type"


def test_a_chosen_value_that_the_app_cannot_hold_is_listed():
    """The same on our side."""
    date = FieldMap("m-d", "birthday", "born", Direction.BIDIRECTIONAL, Kind.DATE, Kind.TEXT, definition="dd")
    base = {"base": {"m-d": BasePair("2000-01-01", "2000-01-01", "dd")}}
    given = answer(Side.CRM, app="2001-01-01", crm="in spring")
    asked = view(
        contact(birthday="2001-01-01"), base,
        conflicts=(question("m-d", "2001-01-01", "in spring"),), resolutions={"m-d": given},
    )  # fmt: skip

    planned = plan_link(asked, record(born="in spring"), book(date))

    assert planned.action.effects == ()
    assert planned.action.troubles["m-d"].side is Side.APP


def test_an_opt_out_field_that_cannot_be_read_is_nobodys_opt_out():
    """What the CRM holds is no word for it: the app's opt-out is pushed, its absence is not."""
    strange = FieldMap(
        "m-out", "emailOptOut", "out", Direction.BIDIRECTIONAL, Kind.BOOLEAN, Kind.TEXT, definition="d4", consent=True
    )

    out = plan_pairing(contact(emailOptOut=True), record(out="perhaps"), Rule.MATCHED_EMAIL, book(strange), "l1")
    not_out = plan_pairing(contact(), record(out="perhaps"), Rule.MATCHED_EMAIL, book(strange), "l1")

    assert [effect.after for effect in out.action.effects] == ["true"]
    assert not_out.action.effects == ()
