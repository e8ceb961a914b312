"""What a plan says about records that were made, deleted or merged: the record table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm.engine.digest import digest_value
from crm.engine.plan import plan_create_in_app, plan_create_in_crm, plan_heir, plan_link, plan_relink, plan_undelete
from crm.mapping.field_map import FieldMap
from crm.mapping.kinds import Kind
from crm.model import (
    ActionKind,
    BasePair,
    ConflictKind,
    ContactState,
    DeletionPolicy,
    Direction,
    Evidence,
    FieldTrouble,
    Link,
    LinkState,
    RemoteState,
    Rule,
    Side,
    Strategy,
)
from tests.crm.engine.build import BASE, NAME, OPT_OUT, answer, book, contact, question, record, view

GONE_CRM = [RemoteState.ARCHIVED, RemoteState.MISSING, RemoteState.ERASED]


@pytest.mark.parametrize("state", GONE_CRM)
@pytest.mark.parametrize(
    ("policy", "kind"),
    [
        (DeletionPolicy.UNLINK, ActionKind.UNLINK),
        (DeletionPolicy.ARCHIVE, ActionKind.DELETE_IN_APP),
        (DeletionPolicy.DELETE, ActionKind.DELETE_IN_APP),
    ],
)
def test_a_deletion_in_the_crm_follows_the_policy(state, policy, kind):
    """Unlinked and tagged by default; deleted here only where the connection says so."""
    planned = plan_link(view(), record(state=state), book(on_crm_deleted=policy))

    action = planned.action
    assert (action.kind, action.link_state, action.deletes) == (kind, LinkState.DELETED_IN_CRM, True)
    assert action.tag == ("deleted in CRM" if kind is ActionKind.UNLINK else "")


@pytest.mark.parametrize(
    ("policy", "kind"),
    [
        (DeletionPolicy.UNLINK, ActionKind.UNLINK),
        (DeletionPolicy.ARCHIVE, ActionKind.DELETE_IN_CRM),
        (DeletionPolicy.DELETE, ActionKind.DELETE_IN_CRM),
    ],
)
def test_a_deletion_in_the_app_follows_the_policy(policy, kind):
    """Unlinked by default; deleted there only where the connection says so."""
    planned = plan_link(view(contact(state=ContactState.DELETED)), record(), book(on_app_deleted=policy))

    assert (planned.action.kind, planned.action.link_state) == (kind, LinkState.DELETED_IN_APP)


@pytest.mark.parametrize("state", [*GONE_CRM, RemoteState.MERGED])
def test_both_gone_is_a_tombstone(state):
    """Nothing is re-created through it."""
    planned = plan_link(view(contact(state=ContactState.DELETED)), record(state=state), book())

    assert (planned.action.kind, planned.action.link_state) == (ActionKind.UNLINK, LinkState.DELETED_IN_APP)


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (contact(firstName="Edited"), record(state=RemoteState.ARCHIVED)),
        (contact(state=ContactState.DELETED), record(first="Edited")),
    ],
)
def test_deleted_here_and_edited_there_is_asked_once(here, there):
    """The edit is kept and nothing is written until a person says which."""
    policy = {"on_crm_deleted": DeletionPolicy.ARCHIVE, "on_app_deleted": DeletionPolicy.ARCHIVE}

    planned = plan_link(view(here), there, book(**policy))
    asked = replace(question(""), kind=ConflictKind.DELETE_EDIT)
    again = plan_link(view(here, conflicts=(asked,)), there, book(**policy))

    assert planned.action.kind is ActionKind.REVIEW
    assert [draft.kind for draft in planned.action.conflicts] == [ConflictKind.DELETE_EDIT]
    assert planned.action.effects == ()
    assert again.action is None


@pytest.mark.parametrize(("side", "kind"), [(Side.APP, ActionKind.UNLINK), (Side.CRM, ActionKind.DELETE_IN_APP)])
def test_an_answer_decides_between_the_deletion_and_the_edit(side, kind):
    """Keep the contact, or follow the deletion."""
    asked = replace(question(""), kind=ConflictKind.DELETE_EDIT)
    here = view(contact(firstName="Edited"), conflicts=(asked,), resolutions={"": answer(side)})

    planned = plan_link(here, record(state=RemoteState.ARCHIVED), book(on_crm_deleted=DeletionPolicy.ARCHIVE))

    assert (planned.action.kind, planned.action.rule, planned.action.closes) == (kind, Rule.CHOSEN, ("q1",))


def test_an_answer_for_a_contact_deleted_here_keeps_or_follows():
    """The app's deletion is followed in the CRM only when both the answer and the policy say so."""
    asked = replace(question(""), kind=ConflictKind.DELETE_EDIT)
    here = contact(state=ContactState.DELETED)
    archive = book(on_app_deleted=DeletionPolicy.ARCHIVE)

    follow = view(here, conflicts=(asked,), resolutions={"": answer(Side.APP)})
    keep = view(here, conflicts=(asked,), resolutions={"": answer(Side.CRM)})

    assert plan_link(follow, record(first="Edited"), archive).action.kind is ActionKind.DELETE_IN_CRM
    assert plan_link(keep, record(first="Edited"), archive).action.kind is ActionKind.UNLINK


def test_the_question_of_a_deletion_closes_when_both_live_again():
    """Somebody restored it."""
    asked = replace(question(""), kind=ConflictKind.DELETE_EDIT)

    planned = plan_link(view(conflicts=(asked,)), record(), book())

    assert planned.action.closes == ("q1",)


def test_a_field_that_was_never_agreed_or_is_hidden_is_no_edit():
    """Only a move away from the base counts as one."""
    thin = view(contact(firstName="Edited"), {"base": {key: BASE[key] for key in ("m-email",)}})
    hidden = view(contact(state=ContactState.DELETED))

    assert plan_link(thin, record(state=RemoteState.ARCHIVED), book()).action.kind is ActionKind.UNLINK
    assert plan_link(hidden, record(without=("first",)), book()).action.kind is ActionKind.UNLINK


def test_a_merged_away_record_waits_for_its_survivor():
    """The survivor brings the former id with it."""
    assert plan_link(view(), record(state=RemoteState.MERGED, merged_into="r2"), book()).action is None


def test_a_link_that_is_not_live_plans_nothing():
    """Unlinked, superseded, pending and deleted links are left alone."""
    for state in set(LinkState) - {LinkState.LIVE}:
        assert plan_link(view(contact(firstName="B"), {"state": state}), record(), book()).action is None


def test_a_link_follows_a_merge_keeping_what_the_app_held():
    """An untouched field takes the survivor's value; an edited one is contested."""
    survivor = record("r9", first="Survivor", former_ids=("r1",))

    planned = plan_relink(survivor, [view()], None, book())
    edited = plan_relink(survivor, [view(contact(firstName="Edited"))], None, book())

    assert (planned.action.kind, planned.action.remote_id, planned.action.link_id) == (ActionKind.RELINK, "r9", "l1")
    assert ("Survivor", Side.APP) in {(effect.after, effect.side) for effect in planned.action.effects}
    assert edited.contested == ("m-name",)


def test_two_links_of_merged_records_leave_one_live_and_one_question():
    """The survivor's own link stays, else the older; the contacts are shown to a person."""
    older, newer = view(), view(contact("c2"), {"link_id": "l2", "remote_id": "r2"})
    own = view(contact("c3"), {"link_id": "l3", "remote_id": "r9"})

    without_own = plan_relink(record("r9"), [older, newer], None, book()).action
    with_own = plan_relink(record("r9"), [older, newer], own, book()).action

    assert (without_own.link_id, without_own.superseded) == ("l1", ("l2",))
    assert (with_own.link_id, with_own.superseded) == ("l3", ("l1", "l2"))
    (draft,) = without_own.conflicts
    assert (draft.kind, draft.candidates) == (ConflictKind.MERGE, ("contact:c1", "contact:c2"))


def test_a_merge_waits_while_a_write_is_open_and_ends_when_there_is_nothing_to_follow():
    """Held, gone or already followed."""
    survivor = record("r9")
    own = view(link={"remote_id": "r9"})

    assert plan_relink(survivor, [view(held=True)], None, book()).action is None
    assert plan_relink(survivor, [view()], replace(own, held=True), book()).action is None
    assert plan_relink(survivor, [view(link={"state": LinkState.UNLINKED})], own, book()).action is None
    assert plan_relink(survivor, [view(link={"state": LinkState.UNLINKED})], None, book()).action is None


def test_a_survivor_whose_own_link_has_ended_takes_the_link_of_the_merged_record():
    """The ended row makes room; nobody is asked, since it has no contact to merge."""
    ended = view(link={"link_id": "l9", "remote_id": "r9", "state": LinkState.UNLINKED})

    action = plan_relink(record("r9"), [view()], ended, book()).action

    assert action is not None
    assert (action.kind, action.link_id, action.remote_id) == (ActionKind.RELINK, "l1", "r9")
    assert action.superseded == ("l9",)
    assert [draft for draft in action.conflicts if draft.kind is ConflictKind.MERGE] == []


def test_a_merged_contact_passes_its_link_to_a_free_heir():
    """The record follows the surviving contact, whose values go out."""
    merged = replace(contact(state=ContactState.MERGED), merged_into="c2")
    heir = contact("c2", firstName="Heir")

    planned = plan_heir(view(merged), heir, True, record(), book())

    assert (planned.action.kind, planned.action.contact_id) == (ActionKind.RELINK, "c2")
    assert ("Heir", Side.CRM) in {(effect.after, effect.side) for effect in planned.action.effects}


def test_no_opt_out_is_taken_back_by_a_merge_on_either_side():
    """The heir, or the survivor, was never asked: that is no edit of the other one's answer."""
    consents = (NAME, OPT_OUT)
    merged = contact(state=ContactState.MERGED, emailOptOut=True)
    out = BasePair(True, True, OPT_OUT.definition)
    linked = view(merged, link={"base": {**BASE, OPT_OUT.mapping_id: out}})
    survivor = record("r9", out=False)
    kept = view(contact(emailOptOut=True), link={"base": {**BASE, OPT_OUT.mapping_id: out}})

    heir = plan_heir(linked, contact("c2", emailOptOut=False), True, record(out=True), book(*consents)).action
    relink = plan_relink(survivor, [kept], None, book(*consents)).action

    assert {
        (effect.side, effect.after, effect.rule) for effect in heir.effects if effect.app_field == "emailOptOut"
    } == {(Side.APP, True, Rule.OPT_OUT_WINS)}
    assert {
        (effect.side, effect.after, effect.rule) for effect in relink.effects if effect.app_field == "emailOptOut"
    } == {(Side.CRM, True, Rule.OPT_OUT_WINS)}


def test_a_merged_contact_whose_heir_is_linked_proposes_a_merge_of_the_records():
    """Its own link is superseded and no value moves."""
    merged = contact(state=ContactState.MERGED)

    planned = plan_heir(view(merged), contact("c2"), False, record(), book())

    assert (planned.action.kind, planned.action.link_state) == (ActionKind.UNLINK, LinkState.SUPERSEDED)
    assert [draft.candidates for draft in planned.action.conflicts] == [("contact:c2", "record:r1")]
    assert planned.action.effects == ()


def test_an_heir_gets_nothing_while_a_write_is_open_or_when_the_record_is_gone():
    """Held first; and a record that is gone ends the pair."""
    merged = contact(state=ContactState.MERGED)

    held = plan_heir(view(merged, held=True), contact("c2"), True, record(), book())
    gone = plan_heir(view(merged), contact("c2"), True, record(state=RemoteState.ARCHIVED), book())
    edited = plan_heir(view(merged), contact("c2", firstName="A"), True, record(first="C"), book())

    assert held.action is None
    assert gone.action.kind is ActionKind.UNLINK
    assert edited.contested == ("m-name",)


def test_an_undeleted_record_lives_on_with_the_base_it_had():
    """Same id, same pair: only what changed meanwhile moves."""
    ended = view(link={"state": LinkState.DELETED_IN_CRM})

    same = plan_undelete(ended, record(), book()).action
    changed = plan_undelete(ended, record(first="Back"), book()).action
    both = plan_undelete(view(contact(firstName="A"), {"state": LinkState.DELETED_IN_CRM}), record(first="C"), book())

    assert (same.kind, same.link_state, same.effects) == (ActionKind.RELINK, LinkState.LIVE, ())
    assert (changed.kind, [effect.after for effect in changed.effects]) == (ActionKind.RELINK, ["Back"])
    assert both.contested == ("m-name",)
    assert plan_undelete(replace(ended, held=True), record(), book()).action is None
    assert plan_undelete(view(contact(state=ContactState.DELETED)), record(), book()).action is None


def test_a_record_is_created_with_what_may_travel():
    """No blanks, nothing of a field that only comes from the CRM, no opt-in, nothing known to be refused."""
    from_crm = replace(NAME, mapping_id="m-x", app_field="jobTitle", direction=Direction.FROM_CRM)
    here = contact(phone="", jobTitle="Buyer")
    refused = Link(
        "l1",
        "c1",
        "contact",
        "",
        troubles={"m-email": FieldTrouble("field.x", Side.CRM, digest_value("ada@x.nl"), "d2")},
    )

    action = plan_create_in_crm(here, book(*book().maps, from_crm), "l1")
    again = plan_create_in_crm(here, book(), "l1", refused)

    assert {(effect.remote_field, effect.after) for effect in action.effects} == {
        ("first", "Ada"),
        ("mail", "ada@x.nl"),
    }
    assert {effect.remote_field for effect in again.effects} == {"first"}
    assert set(again.troubles) == {"m-email"}
    assert plan_create_in_crm(here, book(create_in_crm=False), "l1") is None


def test_a_contact_is_created_with_what_may_travel():
    """The same from the other side, and an opt-out comes along."""
    to_crm = replace(NAME, direction=Direction.TO_CRM)

    action = plan_create_in_app(record(tel="", out=True), book(to_crm, *book().maps[1:]), "l1", "c9")

    assert {(effect.app_field, effect.after) for effect in action.effects} == {
        ("email", "ada@x.nl"),
        ("emailOptOut", True),
    }
    assert (action.contact_id, action.before.unmatched) == ("c9", True)
    assert plan_create_in_app(record(), book(create_in_app=False), "l1", "c9") is None


def test_a_value_that_cannot_travel_does_not_stop_a_creation():
    """It is listed, and the rest makes the record or the contact."""
    out = FieldMap("m-n", "custom.n", "n", Direction.BIDIRECTIONAL, Kind.TEXT, Kind.NUMBER, definition="dn")
    back = FieldMap("m-d", "birthday", "born", Direction.BIDIRECTIONAL, Kind.DATE, Kind.TEXT, definition="dd")

    pushed = plan_create_in_crm(contact(**{"custom.n": "many"}), book(NAME, out), "l1")
    pulled = plan_create_in_app(record(born="in spring"), book(NAME, back), "l1", "c9")

    assert ([item.after for item in pushed.effects], set(pushed.troubles)) == (["Ada"], {"m-n"})
    assert ([item.after for item in pulled.effects], set(pulled.troubles)) == (["Ada"], {"m-d"})


def test_an_opt_out_wins_at_a_first_link():
    """Whatever the strategy, and an opt-in never travels there."""
    from crm.engine.plan import plan_pairing

    out_here = plan_pairing(contact(emailOptOut=True), record(), Rule.MATCHED_EMAIL, book(OPT_OUT), "l1", Evidence())
    out_there = plan_pairing(
        contact(), record(out=True), Rule.MATCHED_EMAIL, book(OPT_OUT, strategy=Strategy.ADSAPP_WINS), "l1"
    )

    assert [(effect.side, effect.after) for effect in out_here.action.effects] == [(Side.CRM, True)]
    assert [(effect.side, effect.after) for effect in out_there.action.effects] == [(Side.APP, True)]
