"""Questions, cursors and the ledger."""

# ruff: noqa: S101 - a test suite: asserts are what it is made of, its names say what holds

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from datetime import UTC, datetime

from crm.model import (
    Action,
    ActionKind,
    ConflictChange,
    ConflictDraft,
    ConflictKind,
    LedgerEntry,
    RunKind,
    Side,
)
from crm.testing.store_contract.rows import TYPE, effect_on, question_about, stored_link
from crm.testing.store_contract.world import StoreWorld, WithWorld


class QuestionContract(WithWorld):
    def test_a_question_is_open_once(self, world: StoreWorld) -> None:
        """Asked again with other values it is refreshed, not opened a second time."""
        link = stored_link(world, "R1")
        run_id = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            assert unit.save_conflicts(run_id, [question_about(link)]) == 1
            assert unit.save_conflicts(run_id, [question_about(link), question_about(link, app_value="Z")]) == 0
            assert unit.save_conflicts(run_id, [question_about(link, mapping_id="m2")]) == 1
            (view,) = unit.links_for_records(TYPE, ["R1"])
        assert {(each.mapping_id, each.app_value) for each in view.conflicts} == {("m1", "Z"), ("m2", "A")}

    def test_a_closed_question_may_be_asked_again(self, world: StoreWorld) -> None:
        link = stored_link(world, "R1")
        run_id = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_conflicts(run_id, [question_about(link)])
            closes = unit.links_for_records(TYPE, ["R1"])[0].conflicts[0].conflict_id
            assert unit.save_conflicts(run_id, [replace(question_about(link), drafts=(), closes=(closes,))]) == 0
            assert unit.links_for_records(TYPE, ["R1"])[0].conflicts == ()
            assert unit.save_conflicts(run_id, [question_about(link)]) == 1

    def test_an_answer_reaches_the_planner_while_its_values_hold(self, world: StoreWorld) -> None:
        """The answer carries what the person was shown, and falls when the question changes."""
        link = stored_link(world, "R1")
        run_id = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_conflicts(run_id, [question_about(link)])
        world.answer_conflict(world.open_conflict_ids()[0], Side.CRM)
        with world.store.unit() as unit:
            answer = unit.links_for_records(TYPE, ["R1"])[0].resolutions["m1"]
            assert (answer.side, answer.shown_app, answer.shown_crm) == (Side.CRM, "A", "B")
            unit.save_conflicts(run_id, [question_about(link, app_value="Z")])
            assert unit.links_for_records(TYPE, ["R1"])[0].resolutions == {}

    def test_questions_without_a_link_are_told_apart_by_record(self, world: StoreWorld) -> None:
        run_id = world.start_run(RunKind.FULL)
        draft = ConflictDraft(ConflictKind.MATCH, code="match.ambiguous")
        asked = [ConflictChange("", "", TYPE, remote_id, (draft,)) for remote_id in ("R1", "R2", "R1")]
        with world.store.unit() as unit:
            assert unit.save_conflicts(run_id, asked) == 2
        assert len(world.open_conflict_ids()) == 2

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
        link = stored_link(world, "R1")
        action = Action(ActionKind.SYNC, TYPE, link.contact_id, "R1", link.link_id, effects=(effect_on(Side.APP),))
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
