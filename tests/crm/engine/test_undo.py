"""What can be taken back and what cannot: ``crm.engine.undo.plan_undo``."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm.engine.undo import GONE, MERGED, OPT_OUT, TOUCHED, plan_undo
from crm.mapping.field_map import FieldMap
from crm.mapping.kinds import Kind
from crm.model import (
    Action,
    ActionKind,
    ContactState,
    Direction,
    Effect,
    LedgerEntry,
    LinkState,
    RemoteState,
    Rule,
    Side,
)
from tests.crm.engine.build import book, contact, record, view


def effect(side, before, after, field=("m-name", "firstName", "first"), **more):
    return Effect(*field, side, before, after, Rule.APP_CHANGED, after, after, **more)


def entry(kind=ActionKind.SYNC, *effects, version=3, link_id="l1"):
    action = Action(kind, "contact", "c1", "r1", link_id, effects=effects)
    return LedgerEntry(action, link_id, "c1", "r1", contact_version=version)


def undo(*entries, here=None, there=None, maps=()):
    views = {"l1": here or view()}
    records = {("contact", "r1"): there or record()}
    return plan_undo(entries, views, records, {"contact": book(*maps)})


def test_each_value_goes_back_to_where_the_run_found_it():
    """A push is taken back in the CRM, a pull in the app, and the pair then held becomes the base."""
    pushed = effect(Side.CRM, "Old", "Ada")
    pulled = effect(Side.APP, "old@x.nl", "ada@x.nl", ("m-email", "email", "mail"))

    plan = undo(entry(ActionKind.SYNC, pushed, pulled))

    (action,) = plan.actions
    assert action.explicit
    assert action.rule is Rule.UNDO
    assert {(item.side, item.before, item.after, item.app_value, item.crm_value) for item in action.effects} == {
        (Side.CRM, "Ada", "Old", "Ada", "Old"),
        (Side.APP, "ada@x.nl", "old@x.nl", "old@x.nl", "ada@x.nl"),
    }
    assert plan.not_undoable == ()


def test_several_writes_of_one_run_go_back_to_before_the_first():
    """Only the last value has to stand still."""
    newest = entry(ActionKind.SYNC, effect(Side.CRM, "Mid", "Ada"))
    oldest = entry(ActionKind.SYNC, effect(Side.CRM, "Old", "Mid"), effect(None, "x", "x"))

    (action,) = undo(newest, oldest).actions

    assert [(item.before, item.after) for item in action.effects] == [("Ada", "Old")]


@pytest.mark.parametrize("side", [Side.APP, Side.CRM])
def test_what_somebody_changed_since_stays_and_is_listed(side):
    """The condition is that the run's value still stands."""
    plan = undo(entry(ActionKind.SYNC, effect(side, "Old", "Other")))

    assert plan.actions == ()
    assert [(item.app_field, item.code) for item in plan.not_undoable] == [("firstName", TOUCHED)]


@pytest.mark.parametrize("side", [Side.APP, Side.CRM])
def test_an_opt_out_is_never_undone(side):
    """Nobody is opted in again by a button."""
    out = effect(side, False, True, ("m-out", "emailOptOut", "out"))

    plan = undo(entry(ActionKind.SYNC, out), here=view(contact(emailOptOut=True)), there=record(out=True))

    assert plan.actions == ()
    assert [item.code for item in plan.not_undoable] == [OPT_OUT]


def test_an_opt_out_that_cannot_be_read_back_counts_as_one():
    """In doubt, out."""
    strange = FieldMap(
        "m-out", "emailOptOut", "out", Direction.TO_CRM, Kind.BOOLEAN, Kind.TEXT, definition="d4", consent=True
    )
    out = effect(Side.CRM, None, "perhaps", ("m-out", "emailOptOut", "out"))

    plan = undo(entry(ActionKind.SYNC, out), there=record(out="perhaps"), maps=(strange,))

    assert [item.code for item in plan.not_undoable] == [OPT_OUT]


def test_a_link_the_run_made_is_unlinked_with_its_fills_taken_back():
    """And it does not link itself again: the pair stays unlinked."""
    (action,) = undo(entry(ActionKind.LINK, effect(Side.APP, None, "Ada"))).actions

    assert (action.kind, action.link_state) == (ActionKind.UNLINK, LinkState.UNLINKED)
    assert [(item.side, item.after) for item in action.effects] == [(Side.APP, None)]
    assert not action.deletes


def test_a_bare_link_is_unlinked_and_an_agreement_needs_no_undo():
    """No value was written by either."""
    (action,) = undo(entry(ActionKind.LINK)).actions

    assert (action.kind, action.effects) == (ActionKind.UNLINK, ())
    assert undo(entry(ActionKind.SYNC, effect(None, "Ada", "Ada"))).actions == ()


@pytest.mark.parametrize(
    ("made", "taken"),
    [(ActionKind.CREATE_IN_CRM, ActionKind.DELETE_IN_CRM), (ActionKind.CREATE_IN_APP, ActionKind.DELETE_IN_APP)],
)
def test_what_the_run_made_is_taken_away_only_while_untouched(made, taken):
    """An edit on either side keeps it; the brake counts it."""
    created = entry(made, effect(Side.CRM, None, "Ada"), effect(Side.CRM, None, 1, ("m-gone", "x", "x")))

    (action,) = undo(created).actions
    assert (action.kind, action.link_state, action.deletes) == (taken, LinkState.UNLINKED, True)

    edited_there = undo(created, there=record(first="Edited"))
    edited_here = undo(created, here=view(contact(version=9)))
    for plan in (edited_there, edited_here):
        assert plan.actions == ()
        assert [item.code for item in plan.not_undoable] == [TOUCHED]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ActionKind.RELINK, MERGED),
        (ActionKind.UNLINK, GONE),
        (ActionKind.DELETE_IN_CRM, GONE),
        (ActionKind.DELETE_IN_APP, GONE),
    ],
)
def test_a_deletion_and_a_merge_cannot_be_given_back(kind, code):
    """Listed, not forced."""
    plan = undo(entry(kind))

    assert plan.actions == ()
    assert [(item.contact_id, item.code) for item in plan.not_undoable] == [("c1", code)]


def test_what_is_gone_by_now_cannot_be_undone():
    """The record, the contact, the link or the mapping."""
    pushed = entry(ActionKind.SYNC, effect(Side.CRM, "Old", "Ada"))

    no_record = plan_undo([pushed], {"l1": view()}, {}, {"contact": book()})
    archived = undo(pushed, there=record(state=RemoteState.ARCHIVED))
    no_contact = undo(pushed, here=view(contact(state=ContactState.DELETED)))
    no_link = plan_undo([pushed], {}, {}, {"contact": book()})
    no_mapping = undo(entry(ActionKind.SYNC, effect(Side.CRM, "Old", "Ada", ("m-x", "firstName", "first"))))

    for plan in (no_record, archived, no_contact, no_link, no_mapping):
        assert plan.actions == ()
        assert [item.code for item in plan.not_undoable] == [GONE]


def test_a_hidden_field_does_not_make_a_creation_touched():
    """Unknown is not changed."""
    created = entry(ActionKind.CREATE_IN_CRM, effect(Side.CRM, None, "Ada"))

    plan = undo(created, there=replace(record(without=("first",))))

    assert [action.kind for action in plan.actions] == [ActionKind.DELETE_IN_CRM]
