"""Faults that the simulation found, each as the shortest schedule that showed it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm.engine.context import Ports
from crm.engine.rulebook import Rulebook
from crm.engine.run import advance
from crm.errors import TransientError
from crm.mapping.field_map import FieldMap
from crm.mapping.kinds import Kind
from crm.model import (
    ConflictKind,
    ContactState,
    DeletionPolicy,
    Direction,
    IntentStatus,
    LineStatus,
    LinkState,
    Phase,
    Policy,
    RunKind,
    Side,
    Strategy,
)
from crm.testing.adversary import RECORD_TYPE, AdversaryConnector
from crm.testing.adversary_nature import HUBSPOT_LIKE, PIPEDRIVE_LIKE, SALESFORCE_LIKE
from crm.testing.memory import MemoryStore

MAPS = tuple(
    FieldMap(f"m-{remote_field}", app_field, remote_field, Direction.BIDIRECTIONAL, kind, kind)
    for app_field, remote_field, kind in (
        ("firstName", "firstname", Kind.NAME),
        ("lastName", "lastname", Kind.NAME),
        ("email", "email", Kind.EMAIL),
        ("company", "company", Kind.TEXT),
    )
)


class Pair:
    """A contact and a record that are in step, and the doors to both sides."""

    def __init__(self, nature=HUBSPOT_LIKE, **policy):
        self.store = MemoryStore()
        self.connector = AdversaryConnector.quiet(nature, self.store.app.clock)
        self.crm = self.connector.crm
        book = Rulebook(RECORD_TYPE, MAPS, Policy(**policy), "rules-1", "crm-deleted")
        self.ports = Ports(self.store, self.connector, {RECORD_TYPE: book}, self.store.app.organization_id, RECORD_TYPE)
        values = {"firstName": "Ada", "lastName": "Lovelace", "email": "ada@x.example", "company": "Engines"}
        self.contact_id = self.store.app.create_contact(values)
        self.remote_id = self.crm.user_creates({"firstname": "Ada", "lastname": "Lovelace", "email": "ada@x.example"})
        self.wait(600)
        self.run(RunKind.FULL)
        self.wait(600)

    @property
    def contact(self):
        return self.store.app.get(self.contact_id).values

    @property
    def record(self):
        return self.crm.records[self.remote_id].values

    def wait(self, seconds):
        self.store.app.clock.advance(seconds)

    def edit(self, **values):
        self.store.app.edit_contact(self.contact_id, values)

    def edit_record(self, **values):
        self.crm.user_edits(self.remote_id, values)

    def run(self, kind=RunKind.DELTA, **options):
        """A whole run; a call that the CRM puts off is tried again."""
        run_id = self.store.start_run(kind, **options)
        for _ in range(100):
            try:
                run = advance(run_id, self.ports)
            except TransientError:
                self.connector.faults.stop()
                continue
            if run.phase is Phase.DONE:
                return run
        pytest.fail("the run does not end")


@pytest.mark.parametrize("nature", [HUBSPOT_LIKE, SALESFORCE_LIKE], ids=lambda nature: nature.name)
def test_a_push_that_could_not_be_sent_is_no_base(nature):
    """The CRM puts a write off while its record also brings a value: both edits arrive, none is taken as agreed."""
    pair = Pair(nature)
    pair.edit(company="Looms")
    pair.edit_record(lastname="Byron")
    pair.wait(600)
    at_call = pair.connector.at_call

    def refuse(point):
        pair.connector.faults.rate_limited = 1.0 if point == "update" and not pair.connector.faults.given else 0.0
        at_call(point)

    pair.connector.at_call = refuse
    pair.run()
    pair.wait(600)
    pair.run()
    assert pair.connector.faults.given == {"rate_limited": 1}
    assert (pair.contact["company"], pair.record["company"]) == ("Looms", "Looms")
    assert (pair.contact["lastName"], pair.record["lastname"]) == ("Byron", "Byron")


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


def test_a_write_that_never_happened_is_not_read_back_as_the_crms_answer():
    """That we wrote the record last says nothing about this write: the old value is no agreed one."""
    pair = Pair(SALESFORCE_LIKE)
    pair.edit(lastName="King")
    pair.run()
    pair.edit(company="Looms")
    pair.connector.faults.lost_before = 1.0
    pair.run()
    pair.connector.faults.stop()
    pair.wait(600)
    pair.run()
    pair.run()
    assert pair.record["company"] == "Looms"
    (link,) = pair.store.links()
    assert (link.base["m-company"].app, link.base["m-company"].crm) == ("Looms", "Looms")


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


def test_a_write_found_by_looking_is_not_undone_by_an_index_that_still_shows_the_older_row():
    """The lost write took effect; the search index does not know it yet, and is no evidence of an edit."""
    pair = Pair(HUBSPOT_LIKE)
    pair.edit(company="Looms")
    pair.edit_record(firstname="Augusta")
    pair.wait(60)
    pair.connector.faults.lost_after = 1.0
    pair.run()
    pair.connector.faults.stop()
    pair.wait(0.001)
    pair.run()
    pair.run()
    assert pair.record["company"] == "Looms"
    assert pair.contact["company"] == "Looms"


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


def test_a_write_whose_answer_was_lost_before_its_record_went_leaves_nothing_agreed():
    """The record comes back with what we may have sent: that is nobody's edit, and the person's own value stands."""
    pair = Pair(SALESFORCE_LIKE, strategy=Strategy.ADSAPP_WINS)
    pair.crm.user_creates({"lastname": "Babbage"})
    pair.edit(company="Looms")
    pair.connector.faults.lost_after = 1.0
    pair.run()
    pair.connector.faults.stop()
    pair.edit(company="Engines")
    pair.crm.user_deletes(pair.remote_id)
    pair.wait(600)
    pair.run(RunKind.FULL)
    pair.crm.user_undeletes(pair.remote_id)
    for _ in range(2):
        pair.wait(600)
        pair.run(RunKind.FULL)
    assert (pair.contact["company"], pair.record["company"]) == ("Engines", "Engines")


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


def test_a_field_that_a_lost_update_left_out_is_no_form_of_what_was_sent():
    """The record shows that the rest was written, by us; the old value in the field is the old value."""
    pair = Pair(replace(SALESFORCE_LIKE, drops_refused_fields=True))
    pair.edit(company="Looms", firstName="Ada#")
    pair.connector.faults.lost_after = 1.0
    pair.run()
    pair.connector.faults.stop()
    for _ in range(3):
        pair.wait(600)
        pair.run(RunKind.FULL)
    (link,) = pair.store.links()
    assert (pair.record["firstname"], pair.record["company"]) == ("Ada", "Looms")
    assert link.base["m-firstname"].app == "Ada"
    assert set(link.troubles) == {"m-firstname"}


def test_a_lost_write_to_a_field_that_was_hidden_when_it_was_looked_up_leaves_nothing_agreed():
    """The field shows again with what we may have sent: that is nobody's edit, and the person's last word goes out."""
    pair = Pair(SALESFORCE_LIKE, strategy=Strategy.ADSAPP_WINS)
    pair.edit(company="Looms", lastName="Byron")
    pair.connector.faults.lost_after = 1.0
    pair.run()
    pair.connector.faults.stop()
    pair.crm.hidden.add("company")
    pair.wait(600)
    pair.run()
    (link,) = pair.store.links()
    assert (link.base["m-lastname"].app, "m-company" in link.base) == ("Byron", False)
    pair.edit(company="Engines")
    pair.crm.hidden.clear()
    for _ in range(2):
        pair.wait(600)
        pair.run(RunKind.FULL)
    assert (pair.contact["company"], pair.record["company"]) == ("Engines", "Engines")


def test_a_write_that_could_not_be_read_back_is_no_edit_when_the_app_has_changed_its_mind():
    """The CRM took the value, the read after it failed, and a person took it back: their last word goes out."""
    pair = Pair(SALESFORCE_LIKE)
    at_call = pair.connector.at_call
    failing = [True]

    def fail(point):
        at_call(point)
        if point == "fetch" and failing and pair.record["company"] == "Looms":
            failing.clear()
            raise TransientError

    pair.edit(company="Looms")
    pair.connector.at_call = fail
    pair.run()
    assert not failing
    pair.edit(company="Engines")
    for _ in range(3):
        pair.wait(600)
        pair.run()
    assert (pair.contact["company"], pair.record["company"]) == ("Engines", "Engines")
    assert [entry.action.kind.value for entry in pair.store.ledger()][-2:] == ["sync", "sync"]


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


def test_nobody_is_made_beside_a_record_that_outlived_its_contact():
    """The contact was deleted and its record left alone: somebody else with its address is asked about."""
    pair = Pair(SALESFORCE_LIKE, on_app_deleted=DeletionPolicy.UNLINK)
    pair.store.app.delete_contact(pair.contact_id)
    pair.run(RunKind.FULL)
    other = pair.store.app.create_contact({"lastName": "Lovelace", "email": "ada@x.example"})
    pair.wait(600)
    assert pair.run(RunKind.FULL).counts.conflicts == 1
    assert [record.remote_id for record in pair.crm.live()] == [pair.remote_id]
    (question,) = pair.store.open_conflicts()
    assert (question.contact_id, question.draft.code) == (other, "match.email_taken")


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


def lose_a_create(pair, values, rename=None):
    """A contact whose record was made without an answer: (contact id, record id)."""
    contact_id = pair.store.app.create_contact(values)
    pair.connector.faults.lost_after = 1.0
    pair.run()
    pair.connector.faults.stop()
    made = next(record.remote_id for record in pair.crm.live() if record.remote_id != pair.remote_id)
    if rename:
        pair.crm.user_edits(made, rename)
    return contact_id, made


def up_to(pair, run_id, *phases):
    while pair.store.run(run_id).phase not in (*phases, Phase.DONE):
        advance(run_id, pair.ports)


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


def test_a_complete_scan_frees_the_address_of_a_record_that_outlived_its_contact_and_is_gone():
    """Seeds 1391 and 5652. The scan does not show it: whoever has the address gets a record now, not by later word."""
    pair = Pair(SALESFORCE_LIKE, on_app_deleted=DeletionPolicy.UNLINK)
    pair.store.app.delete_contact(pair.contact_id)
    pair.run(RunKind.FULL)
    other = pair.store.app.create_contact({"lastName": "Lovelace", "email": "ada@x.example"})
    pair.wait(600)
    pair.run(RunKind.FULL)
    pair.crm.user_deletes(pair.remote_id)
    pair.wait(600)
    assert pair.run(RunKind.FULL).counts.created_in_crm == 1
    assert pair.run(RunKind.WEBHOOK, remote_ids=(pair.remote_id,)).counts.planned == 0
    assert [link.state for link in pair.store.links() if link.contact_id == other] == [LinkState.LIVE]
