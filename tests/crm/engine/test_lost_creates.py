"""A create whose answer was lost: its contact gets no second record, and its record no second contact.

The simulation found each; here stands the shortest schedule that shows it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm.model import (
    DeletionPolicy,
    IntentStatus,
    LineStatus,
    LinkState,
    Phase,
    RunKind,
)
from crm.testing.adversary_nature import PIPEDRIVE_LIKE, SALESFORCE_LIKE
from tests.crm.engine.pair import Pair, lose_a_create, up_to


@pytest.mark.parametrize("happened", [True, False], ids=["happened", "never happened"])
@pytest.mark.parametrize("marked", [True, False], ids=["marker", "no marker"])
def test_a_create_that_no_read_can_tell_of_is_settled_by_the_next_complete_scan(happened, marked):
    """Neither made twice nor forgotten: one record and a live link, whether or not the lost create took effect."""
    pair = Pair(replace(PIPEDRIVE_LIKE, marker_allowed=marked))
    contact_id = pair.store.app.create_contact({"lastName": "Hopper", "email": "grace@x.example"})
    if happened:
        pair.connector.faults.lost_after = 1.0
    else:
        pair.connector.faults.lost_before = 1.0
    pair.run()
    pair.connector.faults.stop()
    pair.wait(600)
    pair.run()
    told = happened and marked  # a delta has read the record that bears its mark
    status = IntentStatus.CONFIRMED if told else IntentStatus.UNKNOWN
    assert [intent.status for intent in pair.store.intents()][-1] is status
    pair.wait(600)
    pair.run(RunKind.FULL)
    pair.run(RunKind.FULL)
    assert sum(record.values.get("lastname") == "Hopper" for record in pair.crm.live()) == 1
    assert [link.state for link in pair.store.links() if link.contact_id == contact_id] == [LinkState.LIVE]
    assert len(list(pair.store.app.live())) == 2


def test_a_field_that_a_lost_create_left_out_is_no_agreed_blank():
    """The CRM dropped the field and the answer was lost: it is written later, not taken for the CRM's own form."""
    pair = Pair(replace(SALESFORCE_LIKE, drops_refused_fields=True))
    contact_id = pair.store.app.create_contact({"lastName": "Hopper", "company": "Navy", "email": "grace@x.example"})
    pair.crm.hidden.add("company")
    pair.connector.faults.lost_after = 1.0
    pair.run()
    pair.connector.faults.stop()
    pair.crm.hidden.clear()
    for _ in range(3):
        pair.wait(4000)
        pair.run(RunKind.FULL)
    assert [record.values.get("company") for record in pair.crm.live() if record.values["lastname"] == "Hopper"] == [
        "Navy"
    ]
    assert pair.store.app.get(contact_id).values["company"] == "Navy"


def test_a_lost_create_whose_record_was_merged_into_is_a_question():
    """The contact's new record took in another contact's: a scan sees its marker, and it is made no second time."""
    pair = Pair(PIPEDRIVE_LIKE)
    contact_id = pair.store.app.create_contact({"lastName": "Hopper", "email": "grace@x.example"})
    pair.connector.faults.lost_after = 1.0
    pair.run()
    pair.connector.faults.stop()
    (made,) = [record.remote_id for record in pair.crm.live() if record.remote_id != pair.remote_id]
    pair.crm.user_merges(pair.remote_id, made)
    pair.run(RunKind.WEBHOOK, remote_ids=(pair.remote_id,))
    for _ in range(3):
        pair.wait(4000)
        run = pair.run(RunKind.FULL)
    assert [record.remote_id for record in pair.crm.live()] == [made]
    rows = {link.contact_id: (link.state, link.error_code) for link in pair.store.links()}
    assert rows == {pair.contact_id: (LinkState.LIVE, ""), contact_id: (LinkState.PENDING, "match.taken")}
    assert [row.draft.candidates for row in pair.store.open_conflicts()] == [
        (f"contact:{contact_id}", f"record:{made}")
    ]
    assert run.counts.planned == 0


@pytest.mark.parametrize("left_out", [False, True], ids=["all of it", "a field left out"])
def test_a_record_that_nothing_but_its_values_ties_to_a_lost_create_is_paired_by_those(left_out):
    """No marker, no address, no number: the complete scan tells by what had been sent, and nobody is made twice."""
    pair = Pair(replace(PIPEDRIVE_LIKE, marker_allowed=False, drops_refused_fields=True))
    contact_id = pair.store.app.create_contact({"lastName": "Hopper", "firstName": "Grace", "company": "Navy"})
    stranger = pair.crm.user_creates({"lastname": "Hopper", "firstname": "Edward"})
    if left_out:
        pair.crm.hidden.add("company")
    pair.connector.faults.lost_after = 1.0
    pair.run()
    pair.connector.faults.stop()
    pair.crm.hidden.clear()
    for _ in range(3):
        pair.wait(600)
        pair.run(RunKind.FULL)
    links = {link.contact_id: link.remote_id for link in pair.store.links() if link.state is LinkState.LIVE}
    assert len(links) == len(pair.crm.live()) == len(list(pair.store.app.live())) == 3
    assert links[contact_id] not in {stranger, pair.remote_id}


@pytest.mark.parametrize("settling", [True, False], ids=["settling", "settled by another worker"])
def test_a_record_with_the_mark_of_a_create_without_an_outcome_tells_it(settling):
    """The run that may settle the create does; any other leaves the record to it."""
    pair = Pair(PIPEDRIVE_LIKE)
    _, made = lose_a_create(pair, {"lastName": "Hopper", "email": "grace@x.example"})
    if not settling:
        up_to(pair, pair.store.start_run(RunKind.FULL), Phase.OBSERVE)
    run = pair.run(RunKind.WEBHOOK, remote_ids=(made,))
    assert (run.counts.planned, run.counts.created_in_crm) == (0, int(settling))
    pair.wait(600)
    assert pair.run(RunKind.FULL).counts.created_in_crm == 1 - settling
    assert [record.values["lastname"] for record in pair.crm.live()] == ["Lovelace", "Hopper"]


def test_a_lost_create_whose_record_another_link_follows_in_the_same_run_is_a_question():
    """A linked record was merged into it: the scan sees its mark before it learns of the merge, and a person is asked
    about the two contacts.
    """
    pair = Pair(PIPEDRIVE_LIKE)
    contact_id, made = lose_a_create(pair, {"lastName": "Hopper", "email": "grace@x.example"})
    assert pair.crm.user_merges(pair.remote_id, made) == made
    for _ in range(3):
        pair.wait(4000)
        pair.run(RunKind.FULL)
    assert [record.remote_id for record in pair.crm.live()] == [made]
    assert {link.contact_id: link.state for link in pair.store.links()} == {
        pair.contact_id: LinkState.SUPERSEDED,
        contact_id: LinkState.LIVE,
    }
    assert [question.draft.code for question in pair.store.open_conflicts()] == ["state.merged"]


@pytest.mark.parametrize("marked", [True, False], ids=["marker", "no marker"])
@pytest.mark.parametrize("phase", [Phase.PAIR, Phase.UNPAIRED], ids=["read", "paired"])
def test_a_contact_is_held_until_the_scan_has_decided_about_its_lost_create(marked, phase):
    """Seed 1179. A scan has seen the record when its worker dies; a single-contact run comes before the next scan."""
    pair = Pair(replace(PIPEDRIVE_LIKE, marker_allowed=marked))
    contact_id, made = lose_a_create(pair, {"lastName": "Hopper", "email": "grace@x.example"})
    pair.wait(600)
    up_to(pair, pair.store.start_run(RunKind.FULL), phase)
    pair.store.app.edit_contact(contact_id, {"company": "Navy"})
    pair.wait(600)
    pair.run(RunKind.MANUAL, contact_ids=(contact_id,))
    pair.wait(600)
    pair.run(RunKind.FULL)
    pair.run()
    assert [record.remote_id for record in pair.crm.live()] == [pair.remote_id, made]
    assert pair.crm.records[made].values["company"] == "Navy"
    assert {link.contact_id for link in pair.store.links()} == {pair.contact_id, contact_id}


def test_a_lost_create_is_not_made_again_when_its_record_was_merged_into_and_then_deleted():
    """Seed 666. A run of the merged contact reads the record before any scan; then that contact goes, and it too."""
    pair = Pair(PIPEDRIVE_LIKE, on_app_deleted=DeletionPolicy.DELETE)
    contact_id, made = lose_a_create(pair, {"lastName": "Hopper"})
    pair.wait(600)
    pair.crm.user_merges(pair.remote_id, made)
    pair.run(RunKind.MANUAL, contact_ids=(pair.contact_id,))
    (question,) = pair.store.open_conflicts()
    assert question.draft.candidates == (f"contact:{contact_id}", f"record:{made}")
    pair.store.app.delete_contact(pair.contact_id)
    for _ in range(3):
        pair.wait(600)
        pair.run(RunKind.FULL)
    assert pair.crm.live() == []
    assert [link.state for link in pair.store.links() if link.contact_id == contact_id] == [LinkState.PENDING]


def test_a_merge_into_what_a_lost_create_without_a_mark_may_have_made_is_a_question():
    """Nothing tells whose record it was but a text: the contact waits for a person instead of getting another one."""
    pair = Pair(replace(PIPEDRIVE_LIKE, marker_allowed=False))
    contact_id, made = lose_a_create(pair, {"lastName": "Hopper"})
    pair.wait(600)
    pair.crm.user_merges(pair.remote_id, made)
    pair.run(RunKind.MANUAL, contact_ids=(pair.contact_id,))
    for _ in range(2):
        pair.wait(600)
        pair.run(RunKind.FULL)
    assert [record.remote_id for record in pair.crm.live()] == [made]
    assert [question.draft.code for question in pair.store.open_conflicts()] == ["match.taken"]
    assert [link.error_code for link in pair.store.links() if link.contact_id == contact_id] == ["match.taken"]


def test_a_merge_into_a_record_with_a_word_in_common_is_no_lost_creates():
    """Seed 1598. One text that two people share says nothing: the record that was made is found by all of them."""
    pair = Pair(replace(PIPEDRIVE_LIKE, marker_allowed=False))
    survivor = pair.crm.user_creates({"lastname": "Murray", "company": "Navy"})
    contact_id, _ = lose_a_create(pair, {"lastName": "Hopper", "company": "Navy"})
    pair.crm.user_merges(pair.remote_id, survivor)
    pair.run(RunKind.MANUAL, contact_ids=(pair.contact_id,))
    for _ in range(2):
        pair.wait(600)
        pair.run(RunKind.FULL)
    assert [link.state for link in pair.store.links() if link.contact_id == contact_id] == [LinkState.LIVE]
    assert sum(record.values["lastname"] == "Hopper" for record in pair.crm.live()) == 1


def test_a_record_that_another_run_reads_during_a_scan_is_still_a_lost_creates():
    """Seed 8024. Word of the record comes between the scan's reading it and its pairing."""
    pair = Pair(PIPEDRIVE_LIKE)
    contact_id, made = lose_a_create(pair, {"lastName": "Hopper"})
    pair.wait(600)
    scan = pair.store.start_run(RunKind.FULL)
    up_to(pair, scan, Phase.PAIR)
    pair.run(RunKind.WEBHOOK, remote_ids=(made,))
    up_to(pair, scan, Phase.DONE)
    pair.wait(600)
    pair.run(RunKind.FULL)
    assert [record.remote_id for record in pair.crm.live()] == [pair.remote_id, made]
    assert {link.remote_id: link.contact_id for link in pair.store.links()}[made] == contact_id


def test_a_lost_create_that_may_be_one_of_two_records_is_held_until_the_question_stands():
    """Its address is on two records without a mark; between the scan that asks and the next it gets no third one."""
    pair = Pair(replace(PIPEDRIVE_LIKE, marker_allowed=False))
    contact_id, made = lose_a_create(pair, {"lastName": "Hopper", "email": "grace@x.example"})
    other = pair.crm.user_creates({"lastname": "Murray", "email": "grace@x.example"})
    for status in (IntentStatus.UNKNOWN, IntentStatus.RESOLVED):
        pair.wait(600)
        pair.run(RunKind.FULL)
        assert pair.store.intents()[-1].status is status
        pair.run(RunKind.MANUAL, contact_ids=(contact_id,))
    assert [record.remote_id for record in pair.crm.live()] == [pair.remote_id, made, other]
    assert {question.draft.code for question in pair.store.open_conflicts()} == {"match.ambiguous"}


def test_a_contact_merged_into_one_whose_creation_had_no_answer_brings_its_link():
    """The scan has not shown the lost record: the contact is free for the link of the merged one, in the same run."""
    pair = Pair(PIPEDRIVE_LIKE)
    heir = pair.store.app.create_contact({"lastName": "Hopper", "email": "grace@x.example"})
    pair.connector.faults.lost_before = 1.0
    pair.run()
    pair.connector.faults.stop()
    pair.store.app.merge_contacts(pair.contact_id, heir)
    pair.wait(600)
    pair.run(RunKind.FULL)
    assert [(link.contact_id, link.remote_id) for link in pair.store.links()] == [(heir, pair.remote_id)]
    assert [intent.status for intent in pair.store.intents()][-1] in (IntentStatus.RESOLVED, IntentStatus.CONFIRMED)


def test_a_question_about_a_lost_create_does_not_keep_the_link_of_a_merged_contact_from_it():
    """Seeds 4717 and 4820. The scan's line about the heir is carried out, and what it asks about it is asked."""
    pair = Pair(replace(PIPEDRIVE_LIKE, marker_allowed=False))
    heir, _ = lose_a_create(pair, {"lastName": "Hopper", "email": "grace@x.example"})
    pair.store.app.merge_contacts(pair.contact_id, heir)
    pair.wait(600)
    run = pair.run(RunKind.FULL)
    assert (run.counts.applied, run.counts.conflicts) == (2, 1)
    assert LineStatus.DROPPED not in {row.line.status for row in pair.store.state.lines.values()}
    assert [(link.contact_id, link.remote_id) for link in pair.store.links() if link.state is LinkState.LIVE] == [
        (heir, pair.remote_id)
    ]
    assert [question.draft.code for question in pair.store.open_conflicts()] == ["match.duplicate_in_crm"]
    assert [intent.status for intent in pair.store.intents()][-1] in (IntentStatus.RESOLVED, IntentStatus.CONFIRMED)
