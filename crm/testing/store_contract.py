"""What every ``SyncStore`` promises, as one suite: inherit ``StoreContract`` and say how a world is made.

The tests use nothing but the port, and the verbs of ``StoreWorld`` for what happens outside the
engine (people edit contacts, time passes, another worker comes along).
"""

# ruff: noqa: S101 - a test suite: asserts are what it is made of, its names say what holds

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from crm.errors import LeaseLostError
from crm.model import (
    SET_ASIDE,
    Action,
    ActionKind,
    BasePair,
    ConflictChange,
    ConflictDraft,
    ConflictKind,
    ContactState,
    ContactWrite,
    Effect,
    Intent,
    IntentKind,
    IntentStatus,
    Interval,
    LedgerEntry,
    LineResult,
    LineStatus,
    Link,
    LinkState,
    LinkView,
    Observation,
    Phase,
    PlanLine,
    RemoteRecord,
    RemoteState,
    Rule,
    RunKind,
    RunStatus,
    Side,
    Value,
)
from crm.ports import SyncStore

TYPE = "contact"
AN_HOUR = 3600.0


class StoreWorld(Protocol):
    """One connection and what surrounds it."""

    @property
    def store(self) -> SyncStore:
        """One worker's store; the same object every time."""
        ...

    def rival(self) -> SyncStore:
        """Another worker of the same connection."""
        ...

    def make_contact(self, values: Mapping[str, Value]) -> str: ...

    def edit_contact(self, contact_id: str, values: Mapping[str, Value]) -> None: ...

    def delete_contact(self, contact_id: str) -> None: ...

    def exclude_contact(self, contact_id: str) -> None: ...

    def start_run(self, kind: RunKind) -> str:
        """Id of a run of the record type ``contact``, its plan id given."""
        ...

    def request_cancel(self, run_id: str) -> None: ...

    def approve_plan(self, plan_id: str) -> None: ...

    def open_conflict_ids(self) -> list[str]: ...

    def answer_conflict(self, conflict_id: str, side: Side) -> None: ...

    def create_anyway(self, conflict_id: str) -> None:
        """A match is answered with "none of these"."""
        ...

    def take_lease(self, store: SyncStore, stream: str) -> None:
        """The worker of this store owns the stream from now on. Raises LeaseLostError while another does."""
        ...

    def pass_time(self, seconds: float) -> None:
        """Let the store's clock go on; leases and claims end within an hour."""
        ...


class StoreContract:
    """Inherit, and implement ``make_world``."""

    @abstractmethod
    def make_world(self) -> StoreWorld:
        """A fresh connection without contacts, links or runs."""

    @pytest.fixture
    def world(self) -> StoreWorld:
        return self.make_world()

    # transactions

    def test_what_a_failed_block_wrote_is_gone(self, world: StoreWorld) -> None:
        """An exception leaves contact, link, cursor and run as they were."""
        contact_id = world.make_contact({"firstName": "Ada"})
        run_id = world.start_run(RunKind.FULL)
        with suppress(_StopError), world.store.unit() as unit:
            unit.write_contacts([ContactWrite(contact_id, 1, {"firstName": "Eve"})])
            unit.save_links([_link(world, contact_id, "R1")])
            unit.save_cursor(TYPE, datetime(2026, 1, 1, tzinfo=UTC))
            run = unit.load_run(run_id)
            run.counts.observed = 7
            unit.save_run(run)
            raise _StopError
        with world.store.unit() as unit:
            assert unit.contacts([contact_id])[contact_id].values["firstName"] == "Ada"
            assert unit.contacts([contact_id])[contact_id].version == 1
            assert unit.links_for_contacts(TYPE, [contact_id]) == []
            assert unit.cursor(TYPE) is None
            assert unit.load_run(run_id).counts.observed == 0

    def test_ids_are_unique_and_sort_by_age(self, world: StoreWorld) -> None:
        ids = [world.store.new_id() for _ in range(50)]
        assert len(set(ids)) == 50
        assert ids == sorted(ids)

    # the run

    def test_a_run_comes_back_as_saved(self, world: StoreWorld) -> None:
        run_id = world.start_run(RunKind.DELTA)
        with world.store.unit() as unit:
            run = unit.load_run(run_id)
            run.position = {"after": "x", "page": 3}
            run.counts.observed = 4
            run.status = RunStatus.PARKED
            unit.save_run(run)
        with world.store.unit() as unit:
            loaded = unit.load_run(run_id)
        assert (loaded.kind, loaded.position, loaded.counts.observed, loaded.status) == (
            RunKind.DELTA,
            {"after": "x", "page": 3},
            4,
            RunStatus.PARKED,
        )

    def test_saving_a_run_does_not_take_back_a_cancel(self, world: StoreWorld) -> None:
        run_id = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            run = unit.load_run(run_id)
        world.request_cancel(run_id)
        with world.store.unit() as unit:
            unit.save_run(run)
        with world.store.unit() as unit:
            assert unit.load_run(run_id).cancel_requested

    # leases and claims

    def test_a_stale_lease_commits_nothing(self, world: StoreWorld) -> None:
        """After another worker took the stream over, the first one's unit refuses to open."""
        contact_id = world.make_contact({"firstName": "Ada"})
        world.take_lease(world.store, "scan")
        world.pass_time(AN_HOUR)
        world.take_lease(world.rival(), "scan")
        with pytest.raises(LeaseLostError), world.store.unit() as unit:
            unit.write_contacts([ContactWrite(contact_id, 1, {"firstName": "Eve"})])
        with world.rival().unit() as unit:
            assert unit.contacts([contact_id])[contact_id].version == 1

    def test_a_lease_is_exclusive(self, world: StoreWorld) -> None:
        world.take_lease(world.store, "scan")
        with pytest.raises(LeaseLostError):
            world.take_lease(world.rival(), "scan")
        world.take_lease(world.rival(), "another stream")

    def test_a_claimed_record_is_not_given_to_another_worker(self, world: StoreWorld) -> None:
        plan_id = _plan(world, _create(world), _create(world))
        with world.store.unit() as unit:
            mine = unit.claim_lines(plan_id, 3, 1)
        with world.rival().unit() as unit:
            theirs = unit.claim_lines(plan_id, 3, 10)
        assert len(mine) == len(theirs) == 1
        assert mine[0].line_id != theirs[0].line_id

    def test_lines_of_one_record_are_claimed_one_after_the_other(self, world: StoreWorld) -> None:
        """The second line of a contact is given out only after the first was settled."""
        create = _create(world)
        plan_id = _plan(world, create, create)
        with world.store.unit() as unit:
            first = unit.claim_lines(plan_id, 3, 10)
        with world.store.unit() as unit:
            unit.settle_lines([LineResult(first[0].line_id, LineStatus.APPLIED)])
            second = unit.claim_lines(plan_id, 3, 10)
        assert len(first) == len(second) == 1
        assert first[0].line_id != second[0].line_id

    def test_only_planned_lines_of_the_stage_are_claimed(self, world: StoreWorld) -> None:
        create, ask = _create(world), replace(_create(world), kind=ActionKind.REVIEW)
        plan_id = _plan(world, create, ask)
        with world.store.unit() as unit:
            assert [line.action.kind for line in unit.claim_lines(plan_id, 0, 10)] == [ActionKind.REVIEW]
            assert unit.claim_lines(plan_id, 4, 10) == []
            assert unit.claim_lines(world.store.new_id(), 3, 10) == []

    def test_a_claim_ends_by_itself_and_its_holder_is_told(self, world: StoreWorld) -> None:
        plan_id = _plan(world, _create(world))
        with world.store.unit() as unit:
            mine = unit.claim_lines(plan_id, 3, 10)
            unit.check_claims(mine)
        world.pass_time(AN_HOUR)
        rival = world.rival()
        with rival.unit() as unit:
            theirs = unit.claim_lines(plan_id, 3, 10)
        assert [line.line_id for line in theirs] == [line.line_id for line in mine]
        with pytest.raises(LeaseLostError), world.store.unit() as unit:
            unit.check_claims(mine)
        with rival.unit() as unit:
            unit.check_claims(theirs)

    def test_a_settled_line_gives_its_claim_back(self, world: StoreWorld) -> None:
        create = _create(world)
        plan_id = _plan(world, create)
        with world.store.unit() as unit:
            unit.settle_lines(
                [LineResult(line.line_id, LineStatus.APPLIED) for line in unit.claim_lines(plan_id, 3, 9)]
            )
        again = _plan(world, create)
        with world.rival().unit() as unit:
            assert len(unit.claim_lines(again, 3, 9)) == 1
            assert [line.status for line in unit.lines(plan_id, LineStatus.APPLIED, "", 9)] == [LineStatus.APPLIED]

    # intents

    def test_one_record_has_one_open_intent(self, world: StoreWorld) -> None:
        create = _create(world)
        with world.store.unit() as unit:
            unit.record_intents([_intent(world, create)])
        with pytest.raises(LeaseLostError), world.rival().unit() as unit:
            unit.record_intents([_intent(world, create)])

    def test_a_settled_intent_makes_room_for_the_next(self, world: StoreWorld) -> None:
        create = _create(world)
        intent = _intent(world, create)
        with world.store.unit() as unit:
            unit.record_intents([intent])
            unit.settle_intents([(intent.intent_id, IntentStatus.REJECTED, "rule.validation")])
            unit.record_intents([_intent(world, create)])

    def test_an_open_intent_is_taken_once_its_worker_is_gone(self, world: StoreWorld) -> None:
        """While the claim lasts nobody takes it; afterwards one worker does, and only one."""
        plan_id = _plan(world, _create(world))
        with world.store.unit() as unit:
            (line,) = unit.claim_lines(plan_id, 3, 9)
            intent = _intent(world, line.action, line_id=line.line_id)
            unit.record_intents([intent])
        rival = world.rival()
        with rival.unit() as unit:
            assert unit.take_open_intents(10) == []
        world.pass_time(AN_HOUR)
        with rival.unit() as unit:
            assert [taken.intent_id for taken in unit.take_open_intents(10)] == [intent.intent_id]
        with world.rival().unit() as unit:
            assert unit.take_open_intents(10) == []

    def test_an_unknown_intent_stays_open_until_it_is_settled(self, world: StoreWorld) -> None:
        intent = _intent(world, _create(world))
        with world.store.unit() as unit:
            unit.record_intents([intent])
            unit.settle_intents([(intent.intent_id, IntentStatus.UNKNOWN, "net.outcome_unknown")])
        world.pass_time(AN_HOUR)
        with world.rival().unit() as unit:
            (taken,) = unit.take_open_intents(10)
            assert (taken.intent_id, taken.status, taken.values) == (
                intent.intent_id,
                IntentStatus.UNKNOWN,
                intent.values,
            )
            unit.settle_intents([(intent.intent_id, IntentStatus.CONFIRMED, "")])
        world.pass_time(AN_HOUR)
        with world.rival().unit() as unit:
            assert unit.take_open_intents(10) == []

    def test_open_creates_are_those_without_an_outcome(self, world: StoreWorld) -> None:
        """Sent and unknown creates of the record type; no update, and none that is settled."""
        sent, unknown, settled = (_intent(world, _create(world)) for _ in range(3))
        link = _stored_link(world, "R1")
        update = Action(ActionKind.SYNC, TYPE, link.contact_id, "R1", link.link_id, effects=(_effect(Side.CRM),))
        with world.store.unit() as unit:
            unit.record_intents([sent, unknown, settled, replace(_intent(world, update), kind=IntentKind.UPDATE)])
        with world.store.unit() as unit:
            unit.settle_intents([(unknown.intent_id, IntentStatus.UNKNOWN, "net.outcome_unknown")])
            unit.settle_intents([(settled.intent_id, IntentStatus.CONFIRMED, "")])
        with world.rival().unit() as unit:
            assert {each.intent_id for each in unit.open_creates(TYPE)} == {sent.intent_id, unknown.intent_id}
            assert [each.values for each in unit.open_creates(TYPE)] == [sent.values, unknown.values]
            assert unit.open_creates("lead") == []
            every = [sent.intent_id, unknown.intent_id, settled.intent_id]
            assert unit.lock_open_intents(every) == {sent.intent_id, unknown.intent_id}

    def test_a_link_with_an_open_intent_is_held(self, world: StoreWorld) -> None:
        link = _stored_link(world, "R1")
        update = Action(ActionKind.SYNC, TYPE, link.contact_id, "R1", link.link_id, effects=(_effect(Side.CRM),))
        intent = replace(_intent(world, update), kind=IntentKind.UPDATE)
        with world.store.unit() as unit:
            unit.record_intents([intent])
            assert [view.held for view in unit.links_for_records(TYPE, ["R1"])] == [True]
            unit.settle_intents([(intent.intent_id, IntentStatus.CONFIRMED, "")])
            assert [view.held for view in unit.links_for_records(TYPE, ["R1"])] == [False]

    # contacts

    def test_a_contact_that_moved_on_is_not_written(self, world: StoreWorld) -> None:
        stale, fresh = (world.make_contact({"firstName": name}) for name in ("Ada", "Bea"))
        world.edit_contact(stale, {"firstName": "Adele"})
        with world.store.unit() as unit:
            written = unit.write_contacts(
                [
                    ContactWrite(stale, 1, {"lastName": "Lovelace"}),
                    ContactWrite(fresh, 1, {"lastName": "Smith"}),
                ]
            )
            assert written == {fresh: 2}
            assert unit.contacts([stale])[stale].values.get("lastName") in (None, "")
            assert unit.contacts([fresh])[fresh].values["lastName"] == "Smith"

    def test_a_contact_is_created_once_with_the_id_given(self, world: StoreWorld) -> None:
        contact_id = world.store.new_id()
        create = ContactWrite(contact_id, None, {"firstName": "Ada"})
        with world.store.unit() as unit:
            assert unit.write_contacts([create]) == {contact_id: 1}
        with world.store.unit() as unit:
            assert unit.write_contacts([create]) == {}
            assert unit.contacts([contact_id])[contact_id].version == 1

    def test_a_contact_is_deleted_tagged_and_restored_by_writes(self, world: StoreWorld) -> None:
        contact_id = world.make_contact({"firstName": "Ada", "tags": ("vip",)})
        with world.store.unit() as unit:
            assert unit.write_contacts([ContactWrite(contact_id, 1, {}, delete=True, add_tag="gone")]) == {
                contact_id: 2
            }
            gone = unit.contacts([contact_id])[contact_id]
            assert (gone.state, set(_words(gone.values["tags"]))) == (ContactState.DELETED, {"vip", "gone"})
            assert unit.write_contacts([ContactWrite(contact_id, 2, {}, restore=True)]) == {contact_id: 3}
            assert unit.contacts([contact_id])[contact_id].state is ContactState.LIVE

    def test_unknown_contacts_are_absent_and_deleted_ones_are_there(self, world: StoreWorld) -> None:
        contact_id = world.make_contact({"firstName": "Ada"})
        world.delete_contact(contact_id)
        nobody = world.store.new_id()
        with world.store.unit() as unit:
            found = unit.contacts([contact_id, nobody])
        assert set(found) == {contact_id}
        assert found[contact_id].state is ContactState.DELETED

    def test_the_change_log_dates_edits_and_believes_the_crm_about_pulls(self, world: StoreWorld) -> None:
        """An edit by a person has its own time; a pulled value the interval that came with it."""
        contact_id = world.make_contact({"firstName": "Ada", "lastName": "L"})
        with world.store.unit() as unit:
            before = unit.now()
        world.pass_time(600)
        world.edit_contact(contact_id, {"firstName": "Adele"})
        said = Interval(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
        with world.store.unit() as unit:
            unit.write_contacts([ContactWrite(contact_id, 2, {"lastName": "Love"}, changed_at={"lastName": said})])
            changes = unit.app_changes([contact_id])[contact_id]
        assert changes["lastName"] == said
        assert changes["firstName"].latest is not None
        assert changes["firstName"].latest >= before + timedelta(seconds=599)
        assert changes["firstName"].earliest is not None

    # links

    def test_a_link_comes_back_as_saved(self, world: StoreWorld) -> None:
        contact_id = world.make_contact({"firstName": "Ada"})
        base = {"m1": BasePair("Ada", "ada", "firstname:string:"), "m2": BasePair(None, ("a", "b"), "tags:set:")}
        link = replace(
            _link(world, contact_id, "R1"), base=base, synced_version=1, attempts=2, error_code="rule.length"
        )
        with world.store.unit() as unit:
            assert unit.save_links([link]) == {link.link_id: ""}
        with world.store.unit() as unit:
            (view,) = unit.links_for_records(TYPE, ["R1", "R2"])
            assert view.link == link
            assert view.contact.contact_id == contact_id
            assert unit.links_for_contacts(TYPE, [contact_id])[0].link == link
            assert unit.links_for_records("lead", ["R1"]) == []
            assert [each.link for each in unit.links([link.link_id, world.store.new_id()])] == [link]

    def test_a_record_belongs_to_one_link(self, world: StoreWorld) -> None:
        """The second pair on one record is refused with a code, the rest of the page is saved."""
        first, second, third = (world.make_contact({"firstName": name}) for name in "ABC")
        taken, good = _link(world, second, "R1"), _link(world, third, "R3")
        with world.store.unit() as unit:
            unit.save_links([_link(world, first, "R1")])
            assert unit.save_links([taken, good]) == {taken.link_id: "match.taken", good.link_id: ""}
        with world.store.unit() as unit:
            assert [view.contact.contact_id for view in unit.links_for_records(TYPE, ["R1"])] == [first]
            assert unit.links_for_contacts(TYPE, [second]) == []
            assert len(unit.links_for_contacts(TYPE, [third])) == 1

    def test_a_contact_has_one_live_link_of_a_type(self, world: StoreWorld) -> None:
        contact_id = world.make_contact({"firstName": "Ada"})
        old, new = _link(world, contact_id, "R1"), _link(world, contact_id, "R2")
        with world.store.unit() as unit:
            assert unit.save_links([old]) == {old.link_id: ""}
            assert unit.save_links([new]) == {new.link_id: "match.taken"}
            unit.save_links([replace(old, state=LinkState.DELETED_IN_CRM)])
            assert unit.save_links([new]) == {new.link_id: ""}
            assert len(unit.links_for_contacts(TYPE, [contact_id])) == 2

    def test_a_link_that_moves_to_another_record_frees_the_old_one(self, world: StoreWorld) -> None:
        link = _stored_link(world, "R1")
        with world.store.unit() as unit:
            assert unit.save_links([replace(link, remote_id="R2")]) == {link.link_id: ""}
            assert unit.links_for_records(TYPE, ["R1"]) == []
            assert [view.link.link_id for view in unit.links_for_records(TYPE, ["R2"])] == [link.link_id]

    def test_several_contacts_may_wait_for_a_record(self, world: StoreWorld) -> None:
        """PENDING links have no remote id: an empty id is not a record that they share."""
        first, second = (world.make_contact({"firstName": name}) for name in "AB")
        links = [replace(_link(world, each, ""), state=LinkState.PENDING) for each in (first, second)]
        with world.store.unit() as unit:
            assert set(unit.save_links(links).values()) == {""}

    # observations and due work

    def test_due_links_are_exactly_those_with_work(self, world: StoreWorld) -> None:
        """Changed contact, observation, answered conflict, retry whose time has come; no others."""
        quiet, edited, seen, asked, later, dead, elsewhere = (_stored_link(world, f"R{n}") for n in range(7))
        world.edit_contact(edited.contact_id, {"firstName": "New"})
        run_id = world.start_run(RunKind.DELTA)
        with world.store.unit() as unit:
            unit.save_observations(run_id, [_seen("R2", {"firstname": "X"})])
            unit.save_conflicts(run_id, [_question(asked)])
            unit.save_links([replace(later, error_code="rule.length", attempts=1, next_attempt_seconds=1800.0)])
            unit.save_links([replace(dead, state=LinkState.UNLINKED, due=True)])
            unit.save_links([replace(elsewhere, record_type="lead", due=True)])
        assert _due(world) == {edited.link_id, seen.link_id}
        world.answer_conflict(world.open_conflict_ids()[0], Side.APP)
        assert _due(world) == {edited.link_id, seen.link_id, asked.link_id}
        world.pass_time(1801)
        assert _due(world) == {edited.link_id, seen.link_id, asked.link_id, later.link_id}
        assert quiet.link_id not in _due(world)

    def test_a_phase_has_work_where_its_first_page_is_not_empty(self, world: StoreWorld) -> None:
        run_id = world.start_run(RunKind.FULL)
        every = (Phase.MISSING, Phase.CHANGED, Phase.PAIR, Phase.UNPAIRED)

        def found(*phases: Phase) -> set[Phase]:
            with world.store.unit() as unit:
                return unit.phases_with_work(run_id, TYPE, phases, recheck_matches=True)

        assert found(*every) == found() == set()
        contact_id = world.make_contact({"firstName": "Ada"})
        assert found(*every) == {Phase.UNPAIRED}
        assert found(Phase.PAIR) == set()
        with world.store.unit() as unit:
            unit.save_observations(run_id, [Observation(RemoteRecord(TYPE, "r1", {}))])
        assert found(*every) == {Phase.PAIR, Phase.UNPAIRED}
        link = Link(world.store.new_id(), contact_id, TYPE, "r1", synced_version=1)
        with world.store.unit() as unit:
            unit.save_links([link])
        assert found(*every) - {Phase.MISSING} == set()
        world.edit_contact(contact_id, {"firstName": "Grace"})
        assert found(*every) - {Phase.MISSING} == {Phase.CHANGED}

    def test_marked_pages_hold_what_changed(self, world: StoreWorld) -> None:
        """After ``mark_changed`` a page of marks is the page of everything, whoever made the change and whenever."""
        quiet, edited, seen, asked, later, dead = (_stored_link(world, f"R{n}") for n in range(6))
        waits = replace(_link(world, world.make_contact({"firstName": "Ada"}), ""), state=LinkState.PENDING)
        with world.store.unit() as unit:
            unit.save_links([replace(waits, synced_version=1)])
        run_id = world.start_run(RunKind.DELTA)
        assert _marked(world) == _pages(world)
        alone = world.make_contact({"firstName": "New"})
        gone = world.make_contact({"firstName": "Gone"})
        world.delete_contact(gone)
        for each in (edited, dead, waits):
            world.edit_contact(each.contact_id, {"firstName": "Edited"})
        with world.store.unit() as unit:
            unit.save_observations(run_id, [_seen("R2", {"firstname": "X"})])
            unit.save_conflicts(run_id, [_question(asked)])
            unit.save_links([replace(later, error_code="rule.length", attempts=1, next_attempt_seconds=1800.0)])
            unit.save_links([replace(dead, state=LinkState.UNLINKED)])
        world.answer_conflict(world.open_conflict_ids()[0], Side.APP)
        world.pass_time(1801)
        phases = (Phase.CHANGED, Phase.UNPAIRED)
        with world.store.unit() as unit:
            told = unit.phases_with_work(run_id, TYPE, phases, recheck_matches=False, marked=True)
        assert told == set(phases)
        due, unpaired = _marked(world)
        assert due == {each.link_id for each in (edited, seen, asked, later)}
        assert unpaired == {alone, waits.contact_id}
        assert (due, unpaired) == _pages(world)
        with world.store.unit() as unit:
            unit.save_links([replace(_link(world, alone, "R9"), synced_version=1), replace(edited, synced_version=2)])
            unit.mark_seen(run_id, {seen.link_id: 1, asked.link_id: 1})
        assert _marked(world) == _pages(world)
        assert quiet.link_id not in _due(world)

    def test_marked_pages_are_paged(self, world: StoreWorld) -> None:
        contacts = sorted(world.make_contact({"firstName": f"N{n}"}) for n in range(5))
        links = sorted(_stored_link(world, f"R{n}", synced_version=0).link_id for n in range(5))
        with world.store.unit() as unit:
            assert unit.mark_changed()
            pages = [
                [view.link.link_id for view in unit.due_links(TYPE, after, 2, marked=True)]
                for after in ("", links[1], links[3])
            ]
            assert pages == [links[:2], links[2:4], links[4:]]
            alone = [
                [
                    item.contact.contact_id
                    for item in unit.unpaired_contacts(TYPE, after, 2, recheck_matches=False, marked=True)
                ]
                for after in ("", contacts[1], contacts[3])
            ]
            assert alone == [contacts[:2], contacts[2:4], contacts[4:]]

    def test_due_links_are_paged_by_id(self, world: StoreWorld) -> None:
        links = sorted(_stored_link(world, f"R{n}", synced_version=0).link_id for n in range(5))
        with world.store.unit() as unit:
            pages = [
                [view.link.link_id for view in unit.due_links(TYPE, after, 2)] for after in ("", links[1], links[3])
            ]
        assert pages == [links[:2], links[2:4], links[4:]]

    def test_a_saved_link_is_due_no_longer(self, world: StoreWorld) -> None:
        """Saving what was read clears observation, due mark and retry; the contact's version counts as synced."""
        link = _stored_link(world, "R1")
        world.edit_contact(link.contact_id, {"firstName": "New"})
        run_id = world.start_run(RunKind.DELTA)
        with world.store.unit() as unit:
            unit.save_links([replace(link, next_attempt_seconds=0.0)])
            unit.save_observations(run_id, [_seen("R1", {"firstname": "X"})])
            (view,) = unit.due_links(TYPE, "", 9)
            assert view.link.observed == {"firstname": "X"}
            assert view.link.due
            unit.save_links([replace(view.link, observed=None, due=False, synced_version=2)])
        assert _due(world) == set()

    def test_a_superseded_link_gives_its_record_up(self, world: StoreWorld) -> None:
        """By a merge in the CRM an ended row makes room for the link that goes on; a waiting row never had a record."""
        ended, goes_on = _stored_link(world, "R1"), _stored_link(world, "R2")
        waiting = replace(_link(world, world.make_contact({"firstName": "Ada"}), ""), state=LinkState.PENDING)
        with world.store.unit() as unit:
            unit.save_links([waiting, replace(ended, state=LinkState.DELETED_IN_CRM)])
        gone = [
            replace(each, state=LinkState.SUPERSEDED, superseded_by=goes_on.link_id, remote_id="")
            for each in (ended, waiting)
        ]
        moved = replace(goes_on, remote_id="R1")
        with world.store.unit() as unit:
            assert set(unit.save_links([*gone, moved]).values()) == {""}
            assert [view.link.link_id for view in unit.links_for_records(TYPE, ["R1", "R2"])] == [goes_on.link_id]

    def test_an_observation_older_than_the_link_is_not_taken(self, world: StoreWorld) -> None:
        """What was read before a link was saved knows less than the link: its id is returned, the rest is stored."""
        stale, fresh = _stored_link(world, "R1"), _stored_link(world, "R2")
        run_id = world.start_run(RunKind.DELTA)
        with world.store.unit() as unit:
            read_at = unit.now()
        world.pass_time(1)
        with world.store.unit() as unit:
            unit.save_links([stale])
        with world.store.unit() as unit:
            seen = [_seen(each, {"firstname": "X"}) for each in ("R1", "R2", "R3")]
            assert unit.save_observations(run_id, seen, read_at) == {stale.link_id}
            assert [view.link.link_id for view in unit.due_links(TYPE, "", 9)] == [fresh.link_id]
            assert [each.record.remote_id for each in unit.unpaired_records(run_id, TYPE, "", 9)] == ["R3"]
            assert unit.save_observations(run_id, seen, unit.now()) == set()
        assert _due(world) == {stale.link_id, fresh.link_id}

    def test_a_marked_link_is_seen_synced_and_due_no_longer(self, world: StoreWorld) -> None:
        """The mark says that nothing is to be done for this version of the contact; a later one is due again."""
        link = _stored_link(world, "R1")
        world.edit_contact(link.contact_id, {"firstName": "New"})
        first, second = world.start_run(RunKind.FULL), world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_observations(first, [_seen("R1", {"firstname": "X"})])
            unit.mark_seen(second, {link.link_id: 2})
            assert unit.missing_links(second, TYPE, "", 9) == []
            (view,) = unit.links_for_records(TYPE, ["R1"])
            assert (view.link.synced_version, view.link.due) == (2, False)
            assert view.link.observed_at is not None
        assert _due(world) == set()
        world.edit_contact(link.contact_id, {"firstName": "Newer"})
        assert _due(world) == {link.link_id}

    def test_missing_links_are_exactly_the_live_ones_not_seen(self, world: StoreWorld) -> None:
        marked, observed, unseen, ended = (_stored_link(world, f"R{n}") for n in range(4))
        run_id = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.mark_seen(world.start_run(RunKind.FULL), {unseen.link_id: 1})
            unit.mark_seen(run_id, {marked.link_id: 1})
            unit.save_observations(run_id, [_seen("R1", {}, link_id=observed.link_id)])
            unit.save_links([replace(ended, state=LinkState.DELETED_IN_APP)])
            assert [view.link.link_id for view in unit.missing_links(run_id, TYPE, "", 9)] == [unseen.link_id]
            assert unit.missing_links(run_id, TYPE, unseen.link_id, 9) == []
            assert unit.missing_links(run_id, "lead", "", 9) == []

    def test_a_record_linked_after_it_was_seen_is_not_missing(self, world: StoreWorld) -> None:
        contact_id = world.make_contact({"firstName": "Ada"})
        run_id = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_observations(run_id, [_seen("R1", {})])
            unit.save_links([_link(world, contact_id, "R1")])
            assert unit.missing_links(run_id, TYPE, "", 9) == []

    # pairing

    def test_links_are_found_by_contact_record_or_id_at_once(self, world: StoreWorld) -> None:
        """Contacts and records count for the types named only; each row is there once."""
        by_contact, by_record, by_id, other = (_stored_link(world, each) for each in ("R1", "R2", "R3", "R4"))
        with world.store.unit() as unit:
            found = unit.links_of([TYPE], [by_contact.contact_id], ["R1", "R2"], [by_id.link_id])
            wanted = sorted(link.link_id for link in (by_contact, by_record, by_id))
            assert sorted(view.link.link_id for view in found) == wanted
            assert unit.links_of(["lead"], [other.contact_id], ["R4"], []) == []

    def test_opening_a_unit_may_bring_the_run_along(self, world: StoreWorld) -> None:
        run_id = world.start_run(RunKind.DELTA)
        with world.store.unit(run_id) as unit:
            run = unit.load_run(run_id)
            assert (run.run_id, run.kind, run.loaded_at) == (run_id, RunKind.DELTA, unit.now())
            assert unit.load_run(run_id) == run

    def test_unpaired_records_are_live_seen_by_this_run_and_without_link(self, world: StoreWorld) -> None:
        _stored_link(world, "R1")
        ended = _stored_link(world, "R2")
        old, run_id = world.start_run(RunKind.FULL), world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_links([replace(ended, state=LinkState.DELETED_IN_APP)])
            unit.save_observations(old, [_seen("R3", {})])
            unit.save_observations(run_id, [_seen(each, {}) for each in ("R1", "R2", "R6", "R5")])
            unit.save_observations(run_id, [_seen("R7", {}, state=RemoteState.ARCHIVED)])
            found = unit.unpaired_records(run_id, TYPE, "", 9)
            assert [each.record.remote_id for each in found] == ["R5", "R6"]
            assert [each.record.remote_id for each in unit.unpaired_records(run_id, TYPE, "R5", 9)] == ["R6"]
            assert unit.unpaired_records(run_id, "lead", "", 9) == []

    def test_an_observation_replaces_the_one_before(self, world: StoreWorld) -> None:
        run_id = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_observations(run_id, [_seen("R1", {"firstname": "A"})])
            unit.save_observations(run_id, [_seen("R1", {"firstname": "B"})])
            (found,) = unit.unpaired_records(run_id, TYPE, "", 9)
        assert found.record.values == {"firstname": "B"}

    def test_a_record_that_was_set_aside_stays_so_until_it_changes(self, world: StoreWorld) -> None:
        run_id = world.start_run(RunKind.FULL)
        at, later = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC)
        seen = _seen("R1", {}, email_key="a@x.example")
        aside = replace(seen, record=replace(seen.record, modified_at=at, skip_reason=SET_ASIDE), reason_code=SET_ASIDE)
        with world.store.unit() as unit:
            unit.save_observations(run_id, [aside])
            for modified_at, reason in ((at, SET_ASIDE), (later, "")):
                unit.save_observations(run_id, [replace(seen, record=replace(seen.record, modified_at=modified_at))])
                (found,) = unit.unpaired_records(run_id, TYPE, "", 9)
                assert found.record.skip_reason == reason

    def test_starts_are_counted_until_a_page_is_stored(self, world: StoreWorld) -> None:
        """What a unit of work stores takes them back."""
        run_id = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            run = unit.load_run(run_id)
            run.position = {"type": 0, "starts": 2}
            unit.save_run(run)
            assert unit.load_run(run_id).position == {"type": 0}

    def test_a_finished_scan_forgets_what_it_did_not_see(self, world: StoreWorld) -> None:
        """A record that no longer exists is no match for anybody."""
        old = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_observations(old, [_seen("R1", {}, email_key="a@x.example")])
        world.pass_time(1)
        run_id = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_observations(run_id, [_seen("R2", {}, email_key="a@x.example")])
            unit.finish_scan(run_id, TYPE)
            assert unit.unpaired_records(old, TYPE, "", 9) == []
            assert unit.key_hits(TYPE, ["a@x.example"], [])[0]["a@x.example"].records == ("R2",)

    def test_a_finished_scan_keeps_what_another_run_has_seen_meanwhile(self, world: StoreWorld) -> None:
        """The record was read once more, by word of it: it is there, and so is the question about it."""
        scan, other = world.start_run(RunKind.FULL), world.start_run(RunKind.WEBHOOK)
        draft = ConflictDraft(ConflictKind.MATCH, code="match.ambiguous", candidates=("record:R1", "record:R2"))
        with world.store.unit() as unit:
            unit.save_observations(scan, [_seen("R1", {}, email_key="a@x.example")])
            unit.save_observations(scan, [_seen("R2", {}, email_key="a@x.example")])
            unit.save_observations(other, [_seen("R1", {}, email_key="a@x.example")])
            unit.save_conflicts(scan, [ConflictChange("", "", TYPE, "R1", (draft,))])
            unit.finish_scan(scan, TYPE)
            assert unit.key_hits(TYPE, ["a@x.example"], [])[0]["a@x.example"].records == ("R1", "R2")
        assert len(world.open_conflict_ids()) == 1

    def test_a_finished_scan_frees_the_keys_of_records_that_outlived_their_link_and_are_gone(
        self, world: StoreWorld
    ) -> None:
        """It has not shown R1; R2 it has, R3 another run has read meanwhile, and of a pair it frees nothing."""
        links = [_stored_link(world, f"R{number}") for number in range(1, 5)]
        with world.store.unit() as unit:
            unit.save_links([replace(link, state=LinkState.UNLINKED) for link in links[:3]])
        keyed = [_seen(f"R{number}", {}, email_key=f"{number}@x.example") for number in range(1, 5)]
        world.pass_time(1)
        first = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_observations(first, keyed)
        world.pass_time(1)
        scan, other = world.start_run(RunKind.FULL), world.start_run(RunKind.WEBHOOK)
        with world.store.unit() as unit:
            unit.save_observations(scan, [keyed[1]])
            unit.save_observations(other, [keyed[2]])
            unit.finish_scan(scan, TYPE)
            hits = unit.key_hits(TYPE, [each.email_key for each in keyed], [])[0]
            assert {hit.records for hit in hits.values()} == {("R2",), ("R3",), ("R4",)}

    def test_a_record_that_outlived_its_contact_keeps_its_keys(self, world: StoreWorld) -> None:
        """Seen again after the contact was deleted it is there; one that was deleted with it is not seen again."""
        run_id = world.start_run(RunKind.FULL)
        links = [_link(world, world.make_contact({"lastName": "Ada"}), remote_id) for remote_id in ("R1", "R2")]
        with world.store.unit() as unit:
            unit.save_links(links)
            for link in links:
                unit.save_observations(run_id, [_seen(link.remote_id, {}, email_key="a@x.example")])
                unit.save_links([replace(link, state=LinkState.DELETED_IN_APP, observed_at=None)])
            assert unit.key_hits(TYPE, ["a@x.example"], [])[0] == {}
        world.pass_time(1)
        with world.store.unit() as unit:
            unit.mark_seen(run_id, {links[1].link_id: 1})
            (hit,) = unit.key_hits(TYPE, ["a@x.example"], [])[0].values()
        assert (hit.records, hit.free_records) == (("R2",), ())

    def test_unpaired_contacts_are_exactly_those_that_need_a_record(self, world: StoreWorld) -> None:
        """Live and without link, or waiting with their time come; not excluded, gone, busy or shown for approval."""
        free, changed, retried, asked, waiting, gone, excluded, busy, held, paired, elsewhere = (
            world.make_contact({"firstName": name}) for name in "ABCDEFGHIJK"
        )
        pending = {
            each: replace(_link(world, each, ""), state=LinkState.PENDING, synced_version=1)
            for each in (changed, retried, asked, waiting)
        }
        with world.store.unit() as unit:
            unit.save_links(
                [
                    pending[changed],
                    replace(pending[retried], next_attempt_seconds=60.0, error_code="rule.validation"),
                    replace(pending[asked], error_code="match.ambiguous"),
                    replace(pending[waiting], next_attempt_seconds=7200.0, error_code="rule.validation"),
                    replace(_link(world, paired, "R1"), state=LinkState.UNLINKED),
                    replace(_link(world, elsewhere, "R2"), record_type="lead"),
                ]
            )
            unit.record_intents([_intent(world, Action(ActionKind.CREATE_IN_CRM, TYPE, busy))])
        plan_id = _plan(world, Action(ActionKind.CREATE_IN_CRM, TYPE, held))
        with world.store.unit() as unit:
            unit.hold_lines(plan_id, ["brake.first_sync"])
        world.edit_contact(changed, {"firstName": "New"})
        world.delete_contact(gone)
        world.exclude_contact(excluded)
        world.pass_time(61)
        rows = {each: pending[each].link_id for each in (changed, retried, asked)}
        with world.store.unit() as unit:
            found = unit.unpaired_contacts(TYPE, "", 99, recheck_matches=False)
            assert [(each.contact.contact_id, each.link.link_id if each.link else None) for each in found] == [
                (each, rows.get(each)) for each in sorted([free, changed, retried])
            ]
            again = unit.unpaired_contacts(TYPE, "", 99, recheck_matches=True)
            assert [each.contact.contact_id for each in again] == sorted([free, changed, retried, asked])
            (second,) = unit.unpaired_contacts(TYPE, again[0].contact.contact_id, 1, recheck_matches=True)
            assert second.contact.contact_id == again[1].contact.contact_id

    def test_key_hits_count_both_sides_and_say_who_is_free(self, world: StoreWorld) -> None:
        """Contacts and records with a key, the free ones apart; a key without hit is absent."""
        shared = "shop@x.example"
        alone, linked = (world.make_contact({"email": text}) for text in ("Shop@X.example", shared))
        world.delete_contact(world.make_contact({"email": shared}))
        run_id = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_links([_link(world, linked, "R1")])
            unit.save_observations(run_id, [_seen(each, {}, email_key=shared) for each in ("R1", "R2", "R3")])
            emails, phones = unit.key_hits(TYPE, [shared, "nobody@x.example"], ["+31612345678"])
        assert set(emails) == {shared}
        assert phones == {}
        hit = emails[shared]
        assert (set(hit.contacts), hit.free_contacts) == ({alone, linked}, (alone,))
        assert (set(hit.records), set(hit.free_records)) == ({"R1", "R2", "R3"}, {"R2", "R3"})
        assert hit.creating == ()

    def test_key_hits_list_at_most_three(self, world: StoreWorld) -> None:
        for _ in range(5):
            world.make_contact({"phone": "+31612345678"})
        with world.store.unit() as unit:
            hit = unit.key_hits(TYPE, [], ["+31612345678"])[1]["+31612345678"]
        assert len(hit.contacts) == len(hit.free_contacts) == 3
        assert hit.records == ()

    def test_key_hits_name_contacts_that_are_being_created(self, world: StoreWorld) -> None:
        contact_id = world.make_contact({"email": "ada@x.example"})
        with world.store.unit() as unit:
            unit.record_intents([_intent(world, Action(ActionKind.CREATE_IN_CRM, TYPE, contact_id))])
            assert unit.key_hits(TYPE, ["ada@x.example"], [])[0]["ada@x.example"].creating == (contact_id,)

    def test_a_contact_that_waits_for_its_record_is_free(self, world: StoreWorld) -> None:
        contact_id = world.make_contact({"email": "ada@x.example"})
        with world.store.unit() as unit:
            unit.save_links([replace(_link(world, contact_id, ""), state=LinkState.PENDING)])
            assert unit.key_hits(TYPE, ["ada@x.example"], [])[0]["ada@x.example"].free_contacts == (contact_id,)

    def test_named_contacts_are_those_that_a_line_or_an_open_question_names(self, world: StoreWorld) -> None:
        """A line's word goes before a question's; of several questions the one of the lowest record counts."""
        linked, asked, created, untouched = (world.make_contact({"firstName": name}) for name in "ABCD")
        review = ConflictDraft(ConflictKind.MATCH, candidates=(f"contact:{asked}", "record:R2"))
        plan_id = _plan(
            world,
            Action(ActionKind.LINK, TYPE, linked, "R1"),
            Action(ActionKind.REVIEW, TYPE, remote_id="R2", conflicts=(review,)),
            Action(ActionKind.CREATE_IN_CRM, TYPE, created),
        )
        with world.store.unit() as unit:
            everybody = [linked, asked, created, untouched]
            assert unit.named_contacts(plan_id, TYPE, everybody) == {linked: "", asked: "", created: ""}
            assert unit.named_contacts(world.store.new_id(), TYPE, everybody) == {}
            about = ConflictDraft(ConflictKind.MATCH, candidates=(f"contact:{linked}", f"contact:{untouched}"))
            changes = [ConflictChange("", "", TYPE, remote_id, (about,)) for remote_id in ("R9", "R10")]
            unit.save_conflicts(world.start_run(RunKind.FULL), changes)
            named = unit.named_contacts(plan_id, TYPE, everybody)
            assert named == {linked: "", asked: "", created: "", untouched: "R10"}
            assert unit.named_contacts(plan_id, "lead", [untouched]) == {}

    def test_a_lone_record_comes_with_its_question_until_the_record_is_gone(self, world: StoreWorld) -> None:
        """An answer lists it though the run has not seen it; other candidates take the answer back."""
        run_id, later = world.start_run(RunKind.FULL), world.start_run(RunKind.FULL)
        draft = ConflictDraft(ConflictKind.MATCH, code="match.ambiguous", candidates=("record:R1", "record:R2"))
        asked = ConflictChange("", "", TYPE, "R1", (draft,))
        with world.store.unit() as unit:
            unit.save_observations(run_id, [_seen("R1", {}), _seen("R2", {})])
            unit.save_conflicts(run_id, [asked])
            first, second = unit.unpaired_records(run_id, TYPE, "", 9)
            assert second.question is None
            assert first.question is not None
            assert (first.question.code, first.question.candidates) == ("match.ambiguous", draft.candidates)
            assert not first.question.create
            assert unit.unpaired_records(later, TYPE, "", 9) == []
        world.create_anyway(first.question.conflict_id)
        with world.store.unit() as unit:
            unit.save_conflicts(run_id, [asked])
            (found,) = unit.unpaired_records(later, TYPE, "", 9)
            assert found.question is not None
            assert found.question.create
            unit.save_conflicts(run_id, [replace(asked, drafts=(replace(draft, candidates=("record:R1",)),))])
            assert unit.unpaired_records(later, TYPE, "", 9) == []
        world.pass_time(1)
        last = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_observations(last, [_seen("R2", {})])
            unit.finish_scan(last, TYPE)
        assert world.open_conflict_ids() == []

    def test_a_lone_contact_comes_with_its_question(self, world: StoreWorld) -> None:
        contact_id = world.make_contact({"email": "ada@x.example"})
        waiting = replace(_link(world, contact_id, ""), state=LinkState.PENDING, synced_version=1)
        draft = ConflictDraft(ConflictKind.MATCH, code="match.email_taken", candidates=("record:R1",))
        with world.store.unit() as unit:
            unit.save_links([replace(waiting, error_code="match.email_taken")])
            change = ConflictChange(waiting.link_id, contact_id, TYPE, "", (draft,))
            unit.save_conflicts(world.start_run(RunKind.FULL), [change])
            assert unit.unpaired_contacts(TYPE, "", 9, recheck_matches=False) == []
        world.create_anyway(world.open_conflict_ids()[0])
        with world.store.unit() as unit:
            (found,) = unit.unpaired_contacts(TYPE, "", 9, recheck_matches=False)
            assert found.question is not None
            assert (found.question.code, found.question.create) == ("match.email_taken", True)
            (view,) = unit.links([waiting.link_id])
            assert view.conflicts == (found.question,)
            assert view.resolutions == {}

    # the guard

    def test_totals_count_the_plan_and_what_surrounds_it(self, world: StoreWorld) -> None:
        link = _stored_link(world, "R1")
        world.delete_contact(world.make_contact({}))
        run_id = world.start_run(RunKind.FULL)
        plan_id = _plan(world, *_one_of_each(world, link))
        with world.store.unit() as unit:
            unit.save_observations(run_id, [_seen("R1", {}), _seen("R8", {})])
            totals = unit.plan_totals(run_id, plan_id)
        assert (totals.live_links, totals.records_seen, totals.lines) == (1, 2, 6)
        assert (totals.deletes, totals.blanks) == (2, 1)
        assert (totals.creates_in_app, totals.creates_in_crm, totals.overwrites) == (1, 1, 1)
        assert totals.contacts == 2

    @pytest.mark.parametrize(
        ("codes", "held"),
        [
            (("brake.deletions",), {ActionKind.DELETE_IN_CRM, ActionKind.UNLINK, ActionKind.SYNC}),
            (("brake.creations",), {ActionKind.CREATE_IN_APP, ActionKind.CREATE_IN_CRM}),
            (("brake.first_sync",), set(ActionKind) - {ActionKind.DELETE_IN_APP, ActionKind.RELINK, ActionKind.REVIEW}),
            ((), set()),
        ],
    )
    def test_a_brake_holds_its_own_lines(
        self, world: StoreWorld, codes: tuple[str, ...], held: set[ActionKind]
    ) -> None:
        plan_id = _plan(world, *_one_of_each(world, _stored_link(world, "R1")))
        with world.store.unit() as unit:
            assert unit.hold_lines(plan_id, codes) == len(held)
            lines = unit.lines(plan_id, LineStatus.HELD, "", 99)
            assert {line.action.kind for line in lines} == held
            for stage in range(5):
                assert not {line.line_id for line in lines} & {
                    each.line_id for each in unit.claim_lines(plan_id, stage, 99)
                }

    def test_a_held_line_holds_its_record_until_it_is_approved(self, world: StoreWorld) -> None:
        link = _stored_link(world, "R1")
        unlink = Action(
            ActionKind.UNLINK, TYPE, link.contact_id, "R1", link.link_id, link_state=LinkState.DELETED_IN_CRM
        )
        plan_id = _plan(world, unlink)
        with world.store.unit() as unit:
            assert unit.hold_lines(plan_id, ["brake.deletions"]) == 1
            assert unit.links_for_records(TYPE, ["R1"])[0].held
        world.approve_plan(plan_id)
        with world.store.unit() as unit:
            assert not unit.links_for_records(TYPE, ["R1"])[0].held
            assert unit.hold_lines(plan_id, ["brake.deletions"]) == 0
            (line,) = unit.claim_lines(plan_id, 0, 9)
        assert line.approved

    # conflicts

    def test_a_question_is_open_once(self, world: StoreWorld) -> None:
        """Asked again with other values it is refreshed, not opened a second time."""
        link = _stored_link(world, "R1")
        run_id = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            assert unit.save_conflicts(run_id, [_question(link)]) == 1
            assert unit.save_conflicts(run_id, [_question(link), _question(link, app_value="Z")]) == 0
            assert unit.save_conflicts(run_id, [_question(link, mapping_id="m2")]) == 1
            (view,) = unit.links_for_records(TYPE, ["R1"])
        assert {(each.mapping_id, each.app_value) for each in view.conflicts} == {("m1", "Z"), ("m2", "A")}

    def test_a_closed_question_may_be_asked_again(self, world: StoreWorld) -> None:
        link = _stored_link(world, "R1")
        run_id = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_conflicts(run_id, [_question(link)])
            closes = unit.links_for_records(TYPE, ["R1"])[0].conflicts[0].conflict_id
            assert unit.save_conflicts(run_id, [replace(_question(link), drafts=(), closes=(closes,))]) == 0
            assert unit.links_for_records(TYPE, ["R1"])[0].conflicts == ()
            assert unit.save_conflicts(run_id, [_question(link)]) == 1

    def test_an_answer_reaches_the_planner_while_its_values_hold(self, world: StoreWorld) -> None:
        """The answer carries what the person was shown, and falls when the question changes."""
        link = _stored_link(world, "R1")
        run_id = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_conflicts(run_id, [_question(link)])
        world.answer_conflict(world.open_conflict_ids()[0], Side.CRM)
        with world.store.unit() as unit:
            answer = unit.links_for_records(TYPE, ["R1"])[0].resolutions["m1"]
            assert (answer.side, answer.shown_app, answer.shown_crm) == (Side.CRM, "A", "B")
            unit.save_conflicts(run_id, [_question(link, app_value="Z")])
            assert unit.links_for_records(TYPE, ["R1"])[0].resolutions == {}

    def test_questions_without_a_link_are_told_apart_by_record(self, world: StoreWorld) -> None:
        run_id = world.start_run(RunKind.FULL)
        draft = ConflictDraft(ConflictKind.MATCH, code="match.ambiguous")
        asked = [ConflictChange("", "", TYPE, remote_id, (draft,)) for remote_id in ("R1", "R2", "R1")]
        with world.store.unit() as unit:
            assert unit.save_conflicts(run_id, asked) == 2
        assert len(world.open_conflict_ids()) == 2

    # cursors and ledger

    def test_a_cursor_never_moves_backwards(self, world: StoreWorld) -> None:
        late, early = datetime(2026, 5, 2, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
        with world.store.unit() as unit:
            assert unit.cursor(TYPE) is None
            unit.save_cursor(TYPE, late)
            unit.save_cursor(TYPE, early)
        with world.store.unit() as unit:
            assert unit.cursor(TYPE) == late
            assert unit.cursor("lead") is None

    def test_the_ledger_takes_lines_with_their_effects(self, world: StoreWorld) -> None:
        """Two entries for one record in one run are both kept: nothing is replaced."""
        link = _stored_link(world, "R1")
        action = Action(ActionKind.SYNC, TYPE, link.contact_id, "R1", link.link_id, effects=(_effect(Side.APP),))
        entry = LedgerEntry(action, link.link_id, link.contact_id, "R1", contact_version=2)
        run_id = world.start_run(RunKind.FULL)
        before = self.count_ledger(world)
        with world.store.unit() as unit:
            unit.add_ledger(run_id, [entry])
            unit.add_ledger(run_id, [entry])
        assert self.count_ledger(world) == before + 2

    @abstractmethod
    def count_ledger(self, world: StoreWorld) -> int:
        """How many ledger lines the connection has."""


class _StopError(Exception):
    """Ends a block on purpose."""


def _link(world: StoreWorld, contact_id: str, remote_id: str) -> Link:
    return Link(world.store.new_id(), contact_id, TYPE, remote_id)


def _stored_link(world: StoreWorld, remote_id: str, *, synced_version: int = 1) -> Link:
    """A live link of a contact of its own, in step."""
    contact_id = world.make_contact({"firstName": remote_id})
    link = replace(_link(world, contact_id, remote_id), synced_version=synced_version)
    with world.store.unit() as unit:
        assert unit.save_links([link]) == {link.link_id: ""}
    return link


def _seen(
    remote_id: str,
    values: Mapping[str, Value],
    *,
    link_id: str = "",
    email_key: str = "",
    state: RemoteState = RemoteState.LIVE,
) -> Observation:
    return Observation(RemoteRecord(TYPE, remote_id, values, state=state), link_id, email_key)


def _due(world: StoreWorld) -> set[str]:
    with world.store.unit() as unit:
        views: list[LinkView] = unit.due_links(TYPE, "", 99)
    return {view.link.link_id for view in views}


def _marked(world: StoreWorld) -> tuple[set[str], set[str]]:
    with world.store.unit() as unit:
        while not unit.mark_changed():
            pass
    return _pages(world, marked=True)


def _pages(world: StoreWorld, *, marked: bool = False) -> tuple[set[str], set[str]]:
    """Links with work, and contacts without a pair."""
    with world.store.unit() as unit:
        due = {view.link.link_id for view in unit.due_links(TYPE, "", 99, marked=marked)}
        alone = unit.unpaired_contacts(TYPE, "", 99, recheck_matches=False, marked=marked)
    return due, {item.contact.contact_id for item in alone}


def _create(world: StoreWorld) -> Action:
    return Action(ActionKind.CREATE_IN_CRM, TYPE, world.make_contact({"firstName": "New"}))


def _plan(world: StoreWorld, *actions: Action) -> str:
    run_id = world.start_run(RunKind.FULL)
    with world.store.unit() as unit:
        plan_id = unit.load_run(run_id).plan_id
        unit.add_lines(run_id, plan_id, actions)
        planned: list[PlanLine] = unit.lines(plan_id, LineStatus.PLANNED, "", 99)
    assert [line.action for line in planned] == list(actions)
    return plan_id


def _intent(world: StoreWorld, action: Action, *, line_id: str = "") -> Intent:
    return Intent(
        world.store.new_id(),
        IntentKind.CREATE,
        action,
        {"firstname": "New", "tags": ("a", "b")},
        1,
        marker=f"org:{action.contact_id}",
        line_id=line_id,
    )


def _effect(side: Side, *, after: Value = "new", overrules: bool = False) -> Effect:
    return Effect(
        mapping_id="m1",
        app_field="firstName",
        remote_field="firstname",
        side=side,
        before="old",
        after=after,
        rule=Rule.APP_CHANGED,
        app_value=after,
        crm_value=after,
        overrules=overrules,
    )


def _question(link: Link, *, mapping_id: str = "m1", app_value: Value = "A") -> ConflictChange:
    draft = ConflictDraft(ConflictKind.FIELD, mapping_id, "firstName", app_value=app_value, crm_value="B")
    return ConflictChange(link.link_id, link.contact_id, TYPE, link.remote_id, (draft,))


def _one_of_each(world: StoreWorld, link: Link) -> tuple[Action, ...]:
    """Six lines: two that delete or end a pair by a deletion, one that blanks, two creates, one that overrules."""
    about = (TYPE, link.contact_id, link.remote_id, link.link_id)
    return (
        Action(ActionKind.DELETE_IN_CRM, *about),
        Action(ActionKind.UNLINK, *about, link_state=LinkState.DELETED_IN_CRM),
        Action(ActionKind.SYNC, *about, effects=(_effect(Side.CRM, after=None),)),
        Action(ActionKind.CREATE_IN_APP, TYPE, world.store.new_id(), "R8"),
        _create(world),
        Action(ActionKind.LINK, *about, effects=(_effect(Side.APP, overrules=True),)),
    )


def _words(value: Value) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()
