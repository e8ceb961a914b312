"""Contacts or records that became one: the link follows where it may, and a person is asked where it may not.

The simulation found each; here stands the shortest schedule that shows it.
"""

from __future__ import annotations

from crm.model import (
    ConflictKind,
    ContactState,
    DeletionPolicy,
    LinkState,
    RunKind,
    Strategy,
)
from crm.testing.adversary_nature import HUBSPOT_LIKE, PIPEDRIVE_LIKE
from tests.crm.engine.pair import Pair


def test_a_contact_merged_into_a_linked_one_gives_its_link_up():
    """The survivor keeps its own record; the other link is superseded, and a person is asked about the records."""
    pair = Pair()
    loser = pair.store.app.create_contact({"firstName": "A.", "email": "a.lovelace@x.example"})
    pair.run()
    pair.store.app.merge_contacts(loser, pair.contact_id)
    run = pair.run(RunKind.FULL)
    states = {link.contact_id: link.state for link in pair.store.links()}
    assert states == {pair.contact_id: LinkState.LIVE, loser: LinkState.SUPERSEDED}
    assert [row.draft.kind for row in pair.store.open_conflicts()] == [ConflictKind.MERGE]
    assert run.counts.stale == 0
    assert pair.run(RunKind.FULL).counts.planned == 0


def test_a_link_follows_a_merge_into_a_record_whose_own_pair_has_ended():
    """The survivor was paired with a contact that is gone: its row makes room for the link that lives."""
    pair = Pair(PIPEDRIVE_LIKE)
    other = pair.store.app.create_contact({"lastName": "Hopper", "email": "grace@x.example"})
    pair.run()
    (survivor,) = [record.remote_id for record in pair.crm.live() if record.remote_id != pair.remote_id]
    pair.store.app.delete_contact(other)
    pair.run()
    pair.crm.user_merges(pair.remote_id, survivor)
    pair.wait(600)
    pair.run(RunKind.FULL)
    live = [(link.contact_id, link.remote_id) for link in pair.store.links() if link.state is LinkState.LIVE]
    assert live == [(pair.contact_id, survivor)]
    assert pair.run(RunKind.FULL).counts.planned == 0


def test_a_link_follows_a_merge_though_the_crm_refuses_what_is_to_be_written():
    """The pair is right whatever becomes of its fields; the other contact is asked about."""
    pair = Pair(PIPEDRIVE_LIKE)
    other = pair.store.app.create_contact({"lastName": "Hopper", "email": "grace@x.example"})
    pair.run()
    (survivor,) = [record.remote_id for record in pair.crm.live() if record.remote_id != pair.remote_id]
    pair.store.app.edit_contact(other, {"lastName": "H" * 41})
    pair.crm.user_merges(pair.remote_id, survivor)
    for _ in range(2):  # first the survivor's own fields, then the link that comes in
        pair.wait(600)
        pair.run(RunKind.FULL)
    states = {link.contact_id: (link.state, link.remote_id) for link in pair.store.links()}
    assert states == {other: (LinkState.LIVE, survivor), pair.contact_id: (LinkState.SUPERSEDED, pair.remote_id)}
    assert ConflictKind.MERGE in [row.draft.kind for row in pair.store.open_conflicts()]


def test_a_contact_that_waits_for_a_record_inherits_the_one_of_the_contact_merged_into_it():
    """The row that waits makes room; a second contact merged into it finds it taken, and a person is asked."""
    pair = Pair(PIPEDRIVE_LIKE)
    second = pair.store.app.create_contact({"lastName": "Hopper", "email": "grace@x.example"})
    pair.run()
    heir = pair.store.app.create_contact({"firstName": "Ada", "email": "ada@x.example"})
    pair.run()
    assert [link.state for link in pair.store.links() if link.contact_id == heir] == [LinkState.PENDING]
    for contact_id in (pair.contact_id, second):
        pair.store.app.merge_contacts(contact_id, heir)
    for _ in range(3):
        pair.wait(600)
        run = pair.run(RunKind.FULL)
    live = [link.contact_id for link in pair.store.links() if link.state is LinkState.LIVE]
    assert live == [heir]
    assert run.counts.planned == 0


def test_a_record_merged_into_one_that_was_then_deleted_counts_as_deleted():
    pair = Pair(PIPEDRIVE_LIKE)
    survivor = pair.crm.user_creates({"lastname": "Byron"})
    pair.crm.user_creates({"lastname": "Babbage"})
    pair.crm.user_merges(pair.remote_id, survivor)
    pair.crm.user_deletes(survivor)
    pair.wait(600)
    pair.run(RunKind.FULL)
    states = {link.remote_id: link.state for link in pair.store.links()}
    assert states[pair.remote_id] is LinkState.DELETED_IN_CRM
    assert survivor not in states
    assert pair.run(RunKind.FULL).counts.planned == 0


def test_an_approved_deletion_holds_though_the_record_went_by_a_merge():
    """Merged, and the survivor deleted: what was approved is what a fresh read shows."""
    pair = Pair(PIPEDRIVE_LIKE, on_crm_deleted=DeletionPolicy.DELETE, max_count_deleted=0)
    survivor = pair.crm.user_creates({"lastname": "Byron"})
    pair.crm.user_merges(pair.remote_id, survivor)
    pair.crm.user_deletes(survivor)
    pair.crm.user_creates({"lastname": "Babbage"})
    pair.wait(600)
    held = pair.run(RunKind.FULL)
    assert held.counts.held == 1
    assert pair.store.approve_plan(held.plan_id) == 1
    run = pair.run(RunKind.MANUAL, plan_id=held.plan_id)
    assert (run.counts.deleted_in_app, run.counts.stale) == (1, 0)
    assert pair.store.app.get(pair.contact_id).state is ContactState.DELETED


def test_a_survivor_read_before_another_run_followed_the_merge_brings_no_old_value():
    """The value that the other run has written there meanwhile is not taken for cleared by a person."""
    pair = Pair(PIPEDRIVE_LIKE, strategy=Strategy.ADSAPP_WINS)
    survivor = pair.crm.user_creates({"lastname": "Byron"})
    pair.crm.user_merges(pair.remote_id, survivor)
    pair.crm.user_edits(survivor, {"company": None})
    pair.edit(company="Looms")
    at_call, reads = pair.connector.at_call, []

    def overtake(point):
        at_call(point)
        reads.append(point)
        if point == "fetch/answered" and reads.count(point) == 2:
            pair.wait(1)
            pair.run(RunKind.MANUAL, contact_ids=(pair.contact_id,))

    pair.connector.at_call = overtake
    pair.run(RunKind.MANUAL, contact_ids=(pair.contact_id,))
    assert (pair.contact["company"], pair.crm.records[survivor].values["company"]) == ("Looms", "Looms")
    assert [link.remote_id for link in pair.store.links() if link.state is LinkState.LIVE] == [survivor]


def test_no_link_follows_a_merge_into_a_record_that_is_gone():
    """Word of the deleted survivor comes while a person is asked about the edited contact: the question stays."""
    pair = Pair(HUBSPOT_LIKE)
    other = pair.crm.user_creates({"lastname": "Byron"})
    pair.crm.user_creates({"lastname": "Babbage"})
    survivor = pair.crm.user_merges(other, pair.remote_id)
    pair.edit(company="Looms")
    pair.crm.user_deletes(survivor)
    pair.wait(600)
    pair.run(RunKind.FULL)
    (question,) = pair.store.open_conflicts()
    assert question.draft.kind is ConflictKind.DELETE_EDIT
    run = pair.run(RunKind.WEBHOOK, remote_ids=(survivor,))
    assert (run.counts.planned, pair.contact["company"]) == (0, "Looms")
    assert [row.conflict_id for row in pair.store.open_conflicts()] == [question.conflict_id]
