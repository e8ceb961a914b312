"""A run that another run, a person or a lagging index has overtaken writes nothing by what it knew.

The simulation found each; here stands the shortest schedule that shows it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm.engine.run import advance
from crm.model import (
    ConflictKind,
    LinkState,
    Phase,
    RunKind,
    Strategy,
)
from crm.testing.adversary_nature import HUBSPOT_LIKE, PIPEDRIVE_LIKE, SALESFORCE_LIKE
from tests.crm.engine.pair import Pair


def test_a_contact_that_got_its_record_from_another_run_meanwhile_gets_no_second_one():
    """A planned create is not carried out once another run has made the record; nothing looks like an edit there."""
    pair = Pair(PIPEDRIVE_LIKE)
    contact_id = pair.store.app.create_contact({"lastName": "Hopper", "email": "grace@x.example"})
    slow = pair.store.start_run(RunKind.DELTA)
    while pair.store.run(slow).phase is not Phase.APPLY:
        advance(slow, pair.ports)
    pair.run(RunKind.MANUAL, contact_ids=(contact_id,))
    while pair.store.run(slow).phase is not Phase.DONE:
        advance(slow, pair.ports)
    assert pair.store.run(slow).counts.stale == 1
    assert [record.values.get("lastname") for record in pair.crm.live()] == ["Lovelace", "Hopper"]


def test_a_record_seen_through_a_lagging_index_is_read_before_it_is_written():
    """The index still shows the record as it was; a person's edit that it does not show yet is not overwritten."""
    pair = Pair(HUBSPOT_LIKE, strategy=Strategy.MANUAL)
    pair.edit_record(lastname="Byron")
    pair.wait(60)
    pair.edit(company="Looms")
    pair.edit_record(company="Mills")
    pair.run()
    assert pair.record["company"] == "Mills"
    assert [entry.after for entry in pair.crm.journal if entry.field == "company" and entry.by == "us"] == ["Engines"]


@pytest.mark.parametrize("kind", [RunKind.DELTA, RunKind.FULL, RunKind.WEBHOOK])
def test_a_page_read_before_another_run_confirmed_a_record_is_read_again(kind):
    """The old row is no edit, though its stamp is as coarse as the new one's; what both know is kept."""
    pair = Pair(replace(PIPEDRIVE_LIKE, stamp_seconds=60.0))
    pair.edit_record(lastname="Byron")
    at_call, verb = pair.connector.at_call, {RunKind.DELTA: "changes", RunKind.FULL: "scan"}.get(kind, "fetch")
    overtaken = []

    def overtake(point):
        at_call(point)
        if point == f"{verb}/answered" and not overtaken:
            overtaken.append(point)
            pair.wait(1)
            pair.edit(company="Looms")
            pair.run(RunKind.MANUAL, contact_ids=(pair.contact_id,))

    pair.connector.at_call = overtake
    run = pair.run(kind, remote_ids=(pair.remote_id,) if kind is RunKind.WEBHOOK else ())
    assert (pair.contact["company"], pair.record["company"]) == ("Looms", "Looms")
    assert (pair.contact["lastName"], pair.record["lastname"]) == ("Byron", "Byron")
    assert (run.counts.observed, run.counts.planned) == (1, 0)
    assert overtaken


def test_a_page_read_ahead_is_as_old_as_when_it_was_asked_for():
    """Another run confirms a record of it while the page before is stored: what it shows is read again, no edit."""
    pair = Pair(replace(HUBSPOT_LIKE, page_size=1, stamp_seconds=3600.0))
    pair.crm.user_creates({"lastname": "Zuse", "email": "konrad@x.example"})
    pair.wait(600)
    pair.run(RunKind.FULL)
    first, second = sorted(pair.crm.records)
    later = next(link for link in pair.store.links() if link.remote_id == second)
    at_call, answered = pair.connector.at_call, []

    def overtake(point):
        at_call(point)
        if point == "scan/answered":
            answered.append(point)
            if len(answered) == 2:
                pair.wait(1)
                pair.store.app.edit_contact(later.contact_id, {"company": "Looms"})
                pair.run(RunKind.MANUAL, contact_ids=(later.contact_id,))

    pair.connector.at_call = overtake
    run = pair.run(RunKind.FULL)
    assert first != second
    assert pair.crm.records[second].values["company"] == "Looms"
    assert pair.store.app.get(later.contact_id).values["company"] == "Looms"
    assert (run.counts.observed, run.counts.planned, len(answered)) == (2, 0, 3)


class _Overtaken:
    """A create that another run overtakes between the CRM's doing it and our storing its answer."""

    def __init__(self, pair, meanwhile):
        self.pair, self.meanwhile, self.done = pair, meanwhile, False
        self.at_call, pair.connector.at_call = pair.connector.at_call, self

    def __call__(self, point):
        self.at_call(point)
        if point == "create/done" and not self.done:
            self.done = True
            self.meanwhile(next(record for record in self.pair.crm.live() if record.remote_id != self.pair.remote_id))


def test_a_record_that_an_open_create_has_made_is_left_to_it():
    """No marker, no key, and a webhook run sees the record before the create is confirmed: nobody is made twice."""
    pair = Pair(replace(SALESFORCE_LIKE, marker_allowed=False))
    contact_id = pair.store.app.create_contact({"lastName": "Hopper", "company": "Navy"})
    _Overtaken(pair, lambda record: pair.run(RunKind.WEBHOOK, remote_ids=(record.remote_id,)))
    pair.run()
    for _ in range(2):
        pair.wait(600)
        pair.run(RunKind.FULL)
    assert sum(record.values["lastname"] == "Hopper" for record in pair.crm.live()) == 1
    assert [link.state for link in pair.store.links() if link.contact_id == contact_id] == [LinkState.LIVE]
    assert len(list(pair.store.app.live())) == 2


def test_a_contact_whose_new_record_somebody_else_got_is_asked_about_and_gets_no_second_one():
    """A person renames the record at once, so that nothing tells where it came from, and it becomes a contact."""
    pair = Pair(replace(SALESFORCE_LIKE, marker_allowed=False))
    contact_id = pair.store.app.create_contact({"lastName": "Hopper", "company": "Navy"})

    def take(record):
        pair.crm.user_edits(record.remote_id, {"lastname": "Murray", "company": "Univac"})
        pair.run(RunKind.WEBHOOK, remote_ids=(record.remote_id,))

    _Overtaken(pair, take)
    pair.run()
    pair.store.app.edit_contact(contact_id, {"lastName": "Murray Hopper"})
    for _ in range(2):
        pair.wait(600)
        run = pair.run(RunKind.FULL)
    assert len(pair.crm.live()) == 2
    waiting = [(link.state, link.error_code) for link in pair.store.links() if link.contact_id == contact_id]
    assert waiting == [(LinkState.PENDING, "match.taken")]
    (question,) = pair.store.open_conflicts()
    assert (question.draft.kind, question.draft.candidates[0]) == (ConflictKind.MATCH, f"contact:{contact_id}")
    assert run.counts.planned == 0


def test_a_scan_forgets_no_record_that_another_run_has_read_meanwhile():
    """Two records with one address: word of one during the scan does not make the other the only one."""
    pair = Pair(HUBSPOT_LIKE)
    contact_id = pair.store.app.create_contact({"lastName": "Hopper", "email": "grace@x.example"})
    pair.crm.nature = replace(pair.crm.nature, unique_email=False)
    first, second = (
        pair.crm.user_creates({"lastname": name, "email": "grace@x.example"}) for name in ("Hopper", "Murray")
    )
    pair.wait(600)
    run_id = pair.store.start_run(RunKind.FULL)
    while pair.store.run(run_id).phase is not Phase.GUARD:
        advance(run_id, pair.ports)
    pair.run(RunKind.WEBHOOK, remote_ids=(second,))
    while pair.store.run(run_id).phase is not Phase.DONE:
        advance(run_id, pair.ports)
    pair.edit_record(firstname="Augusta")
    pair.crm.user_edits(first, {"firstname": "Grace"})
    pair.wait(600)
    pair.run()
    assert contact_id not in {link.contact_id for link in pair.store.links() if link.state is LinkState.LIVE}


@pytest.mark.parametrize("kind", [RunKind.DELTA, RunKind.WEBHOOK])
def test_what_a_person_writes_while_a_line_waits_for_approval_arrives_once_it_is_settled(kind):
    """The held line blanks the field; the value that the CRM got meanwhile stands, and so does the other edit."""
    pair = Pair(HUBSPOT_LIKE, max_count_deleted=0)
    pair.edit_record(company=None)
    pair.wait(600)
    held = pair.run()
    assert held.counts.held == 1
    pair.edit_record(company="Looms", firstname="Augusta")
    pair.wait(600)
    pair.run(kind, remote_ids=(pair.remote_id,) if kind is RunKind.WEBHOOK else ())
    for _ in range(2):
        pair.wait(600)
        pair.run()
    pair.store.approve_plan(held.plan_id)
    assert pair.run(RunKind.MANUAL, plan_id=held.plan_id).counts.stale == 1
    pair.wait(600)
    pair.run()
    assert (pair.contact["company"], pair.contact["firstName"]) == ("Looms", "Augusta")
    assert pair.run().counts.planned == 0
