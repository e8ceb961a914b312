"""What the CRM refuses costs neither the rest of a line nor a question that stands, and an answer is carried out.

The simulation found each; here stands the shortest schedule that shows it.
"""

from __future__ import annotations

from crm.model import (
    LinkState,
    RunKind,
    Side,
    Strategy,
)
from crm.testing.adversary_nature import HUBSPOT_LIKE, PIPEDRIVE_LIKE, SALESFORCE_LIKE
from tests.crm.engine.pair import Pair


def test_a_contact_whose_creation_was_refused_is_linked_to_the_record_that_appears():
    """The row that waits becomes the link: it is no obstacle to it."""
    pair = Pair(SALESFORCE_LIKE)
    contact_id = pair.store.app.create_contact({"firstName": "Grace", "email": "grace@x.example"})
    assert pair.run().counts.failed == 1
    remote_id = pair.crm.user_creates({"lastname": "Hopper", "email": "grace@x.example"})
    pair.wait(600)
    assert pair.run(RunKind.FULL).counts.linked == 1
    rows = [link for link in pair.store.links() if link.contact_id == contact_id]
    assert [(link.state, link.remote_id) for link in rows] == [(LinkState.LIVE, remote_id)]
    assert pair.store.app.get(contact_id).values["lastName"] == "Hopper"


def test_what_a_refused_push_leaves_of_a_line_is_applied():
    """The CRM refuses the record without naming a field: its own edits arrive, and answered questions are closed."""
    pair = Pair(PIPEDRIVE_LIKE, strategy=Strategy.MANUAL)
    pair.edit(company="Looms")
    pair.edit_record(company="Mills")
    pair.wait(600)
    pair.run()
    (question,) = pair.store.open_conflicts()
    pair.store.answer_conflict(question.conflict_id, Side.CRM)
    pair.edit(lastName="L" * 41)
    pair.edit_record(firstname="Augusta")
    pair.wait(600)
    run = pair.run()
    assert (run.counts.failed, run.counts.updated_in_app, run.counts.updated_in_crm) == (1, 1, 0)
    assert (pair.contact["firstName"], pair.contact["company"]) == ("Augusta", "Mills")
    assert pair.store.open_conflicts() == []
    for _ in range(3):
        pair.wait(4000)
        run = pair.run(RunKind.FULL)
    assert (run.counts.planned, pair.record["lastname"]) == (0, "Lovelace")
    pair.edit(lastName="King")
    pair.run()
    assert pair.record["lastname"] == "King"


def test_a_refusal_is_over_once_the_value_is_taken_back():
    """Both sides hold what was agreed: nothing is left to be refused, tried again or told of."""
    pair = Pair(PIPEDRIVE_LIKE)
    pair.edit(lastName="L" * 41)
    assert pair.run().counts.failed == 1
    pair.edit(lastName="Lovelace")
    pair.run()
    (link,) = pair.store.links()
    assert (link.error_code, link.attempts, pair.store.state.next_attempts.get(link.link_id)) == ("", 0, None)
    pair.wait(4000)
    assert pair.run().counts.planned == 0


def test_an_answer_that_the_crm_refuses_stays_a_question():
    """The kept value cannot be written: neither is the question closed nor the other side taken as agreed."""
    pair = Pair(PIPEDRIVE_LIKE, strategy=Strategy.MANUAL)
    pair.edit(lastName="L" * 41)
    pair.edit_record(lastname="Byron")
    pair.wait(600)
    pair.run()
    (question,) = pair.store.open_conflicts()
    pair.store.answer_conflict(question.conflict_id, Side.APP)
    assert pair.run().counts.failed == 1
    assert [row.conflict_id for row in pair.store.open_conflicts()] == [question.conflict_id]
    (link,) = pair.store.links()
    assert link.base["m-lastname"].crm == "Lovelace"


def test_an_answer_is_applied_by_a_delta_that_sees_nothing_new_in_the_crm():
    """The record has not changed since the question was asked: what it holds there is still known."""
    pair = Pair(PIPEDRIVE_LIKE, strategy=Strategy.MANUAL)
    pair.edit(company="Looms")
    pair.edit_record(company="Mills")
    pair.wait(600)
    pair.run()
    pair.wait(600)
    (question,) = pair.store.open_conflicts()
    pair.store.answer_conflict(question.conflict_id, Side.CRM)
    assert pair.run().counts.updated_in_app == 1
    assert (pair.contact["company"], pair.store.open_conflicts()) == ("Mills", [])


def test_a_question_that_no_longer_exists_is_closed_though_the_crm_refuses_the_value():
    """The CRM's side went back to what was agreed; what is refused now is told by the trouble."""
    pair = Pair(HUBSPOT_LIKE, strategy=Strategy.MANUAL)
    pair.edit(firstName="Ada#")
    pair.edit_record(firstname="Augusta")
    pair.wait(60)
    pair.run()
    assert len(pair.store.open_conflicts()) == 1
    pair.edit_record(firstname="Ada")
    pair.wait(60)
    assert pair.run().counts.failed == 1
    assert pair.store.open_conflicts() == []
    assert pair.run(RunKind.FULL).counts.planned == 0


def test_a_pair_whose_first_push_is_refused_is_a_pair_all_the_same():
    """Its contact had a row that waits; without a record on it the pair was made, refused and told by every run."""
    pair = Pair(PIPEDRIVE_LIKE, strategy=Strategy.ADSAPP_WINS)
    contact_id = pair.store.app.create_contact({"firstName": "Grace#", "lastName": "Hopper", "email": "g@x.example"})
    assert pair.run().counts.failed == 1
    remote_id = pair.crm.user_creates({"lastname": "Hopper", "email": "g@x.example"})
    ledger = []
    for _ in range(6):
        pair.wait(4000)
        pair.run(RunKind.FULL)
        ledger.append(len(pair.store.ledger()))
    (link,) = (link for link in pair.store.links() if link.contact_id == contact_id)
    assert (link.remote_id, link.state, link.error_code) == (remote_id, LinkState.LIVE, "rule.validation")
    assert ledger[-1] == ledger[0]
