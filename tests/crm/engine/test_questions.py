"""Who is who: asked once, quiet while nothing moves, answered by a person, closed when the question is gone."""

from __future__ import annotations

import pytest

from crm.model import ActionKind, ConflictKind, LinkState, Rule, RunKind
from crm.testing.adversary_nature import HUBSPOT_LIKE, PIPEDRIVE_LIKE, SALESFORCE_LIKE
from tests.crm.engine.pair import Pair

SHOP = "shop@x.example"


def twin_records(pair):
    """Two records with one e-mail address, that of a contact."""
    contact_id = pair.store.app.create_contact({"lastName": "Shop", "email": SHOP})
    remote_ids = [pair.crm.user_creates({"lastname": name, "email": SHOP}) for name in ("Front", "Back")]
    pair.wait(600)
    pair.run(RunKind.FULL)
    pair.wait(600)
    return contact_id, remote_ids


def twin_contacts(pair):
    """Two contacts with one e-mail address that nobody in the CRM has."""
    ids = sorted(pair.store.app.create_contact({"lastName": name, "email": SHOP}) for name in ("Front", "Back"))
    pair.run(RunKind.FULL)
    pair.wait(600)
    return ids


def questions(pair):
    return [row for row in pair.store.open_conflicts() if row.draft.kind is ConflictKind.MATCH]


def assert_quiet(pair):
    before = len(pair.store.ledger()), [row.conflict_id for row in pair.store.open_conflicts()]
    for kind in (RunKind.FULL, RunKind.DELTA):
        counts = pair.run(kind).counts
        assert (counts.planned, counts.applied) == (0, 0)
        pair.wait(600)
    assert (len(pair.store.ledger()), [row.conflict_id for row in pair.store.open_conflicts()]) == before


@pytest.mark.parametrize("ask", [twin_records, twin_contacts], ids=["records", "contacts"])
@pytest.mark.parametrize("nature", [PIPEDRIVE_LIKE, SALESFORCE_LIKE], ids=lambda nature: nature.name)
def test_what_is_asked_is_not_planned_again(ask, nature):
    pair = Pair(nature)
    ask(pair)
    assert len(questions(pair)) == 1
    assert_quiet(pair)


def test_a_record_of_which_a_person_says_that_it_is_nobody_becomes_a_contact():
    """The delta after the answer makes it; the ledger says that a person chose. The other twin is asked about then."""
    pair = Pair(PIPEDRIVE_LIKE)
    contact_id, remote_ids = twin_records(pair)
    (asked,) = questions(pair)
    pair.store.create_anyway(asked.conflict_id)
    counts = pair.run(RunKind.DELTA).counts
    assert (counts.created_in_app, counts.created_in_crm) == (1, 0)
    made = pair.store.ledger()[-1]
    assert (made.action.kind, made.action.rule, made.remote_id) == (
        ActionKind.CREATE_IN_APP,
        Rule.CHOSEN,
        asked.remote_id,
    )
    assert asked.conflict_id not in [row.conflict_id for row in questions(pair)]
    links = {link.remote_id: link for link in pair.store.links()}
    assert links[asked.remote_id].contact_id != contact_id
    (other,) = set(remote_ids) - {asked.remote_id}
    assert other not in links
    pair.wait(600)
    for _ in range(2):
        pair.run(RunKind.FULL)
        pair.wait(600)
    assert questions(pair)
    assert_quiet(pair)


def test_a_contact_of_which_a_person_says_that_it_is_nobody_gets_a_record():
    pair = Pair(PIPEDRIVE_LIKE)
    first, second = twin_contacts(pair)
    (asked,) = questions(pair)
    assert asked.contact_id == first
    pair.store.create_anyway(asked.conflict_id)
    pair.run(RunKind.DELTA)
    made = pair.store.ledger()[-1]
    assert (made.action.kind, made.action.rule, made.contact_id) == (ActionKind.CREATE_IN_CRM, Rule.CHOSEN, first)
    states = {link.contact_id: link.state for link in pair.store.links()}
    assert states[first] is LinkState.LIVE
    assert states.get(second) is not LinkState.LIVE
    pair.wait(600)
    pair.run(RunKind.FULL)
    pair.wait(600)
    assert asked.conflict_id not in [row.conflict_id for row in questions(pair)]
    assert_quiet(pair)


def test_an_answer_falls_when_other_candidates_appear():
    """The person saw two; with a third it is another question, and nothing is made."""
    pair = Pair(PIPEDRIVE_LIKE)
    twin_records(pair)
    (asked,) = questions(pair)
    pair.store.create_anyway(asked.conflict_id)
    pair.crm.user_creates({"lastname": "Cellar", "email": SHOP})
    pair.wait(600)
    counts = pair.run(RunKind.FULL).counts
    assert (counts.created_in_app, counts.created_in_crm) == (0, 0)
    (again,) = questions(pair)
    assert (again.conflict_id, again.create) == (asked.conflict_id, False)
    assert len(again.draft.candidates) == len(asked.draft.candidates) + 1


def test_a_question_is_closed_when_it_has_found_its_answer():
    """One twin gets another address: the record and the contact are a pair, and nobody is asked any more."""
    pair = Pair(PIPEDRIVE_LIKE)
    contact_id, remote_ids = twin_records(pair)
    (asked,) = questions(pair)
    (other,) = set(remote_ids) - {asked.remote_id}
    pair.crm.user_edits(other, {"email": "back@x.example"})
    pair.wait(600)
    pair.run(RunKind.FULL)
    assert {link.contact_id: link.remote_id for link in pair.store.links()}[contact_id] == asked.remote_id
    assert questions(pair) == []
    pair.wait(600)
    assert_quiet(pair)


def test_a_question_about_a_record_that_is_gone_is_closed():
    pair = Pair(PIPEDRIVE_LIKE)
    _, remote_ids = twin_records(pair)
    for remote_id in remote_ids:
        pair.crm.user_deletes(remote_id)
    pair.wait(600)
    pair.run(RunKind.FULL)
    assert questions(pair) == []


def test_a_contact_whose_question_is_gone_is_made_and_its_question_closed():
    pair = Pair(HUBSPOT_LIKE)
    first, second = twin_contacts(pair)
    pair.store.app.edit_contact(second, {"email": "back@x.example"})
    pair.run(RunKind.FULL)
    assert questions(pair) == []
    states = {link.contact_id: link.state for link in pair.store.links()}
    assert (states[first], states[second]) == (LinkState.LIVE, LinkState.LIVE)
    pair.wait(600)
    assert_quiet(pair)


def test_a_contact_chosen_by_hand_is_made_once_it_is_said_to_be_nobody():
    """A manual run of the contact asks, too, and follows the answer."""
    pair = Pair(PIPEDRIVE_LIKE)
    first, _ = twin_contacts(pair)
    assert pair.run(RunKind.MANUAL, contact_ids=(first,)).counts.planned == 0
    pair.store.create_anyway(questions(pair)[0].conflict_id)
    assert pair.run(RunKind.MANUAL, contact_ids=(first,)).counts.created_in_crm == 1
