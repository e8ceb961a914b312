"""Transactions, runs, leases and claims."""

# ruff: noqa: S101 - a test suite: asserts are what it is made of, its names say what holds

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from crm.errors import LeaseLostError
from crm.model import (
    ActionKind,
    ContactWrite,
    LineResult,
    LineStatus,
    RunKind,
    RunStatus,
)
from crm.testing.store_contract.rows import AN_HOUR, TYPE, StopError, create_action, link_to, plan_of
from crm.testing.store_contract.world import StoreWorld, WithWorld


class WorkContract(WithWorld):
    def test_what_a_failed_block_wrote_is_gone(self, world: StoreWorld) -> None:
        """An exception leaves contact, link, cursor and run as they were."""
        contact_id = world.make_contact({"firstName": "Ada"})
        run_id = world.start_run(RunKind.FULL)
        with suppress(StopError), world.store.unit() as unit:
            unit.write_contacts([ContactWrite(contact_id, 1, {"firstName": "Eve"})])
            unit.save_links([link_to(world, contact_id, "R1")])
            unit.save_cursor(TYPE, datetime(2026, 1, 1, tzinfo=UTC))
            run = unit.load_run(run_id)
            run.counts.observed = 7
            unit.save_run(run)
            raise StopError
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
        plan_id = plan_of(world, create_action(world), create_action(world))
        with world.store.unit() as unit:
            mine = unit.claim_lines(plan_id, 3, 1)
        with world.rival().unit() as unit:
            theirs = unit.claim_lines(plan_id, 3, 10)
        assert len(mine) == len(theirs) == 1
        assert mine[0].line_id != theirs[0].line_id

    def test_lines_of_one_record_are_claimed_one_after_the_other(self, world: StoreWorld) -> None:
        """The second line of a contact is given out only after the first was settled."""
        create = create_action(world)
        plan_id = plan_of(world, create, create)
        with world.store.unit() as unit:
            first = unit.claim_lines(plan_id, 3, 10)
        with world.store.unit() as unit:
            unit.settle_lines([LineResult(first[0].line_id, LineStatus.APPLIED)])
            second = unit.claim_lines(plan_id, 3, 10)
        assert len(first) == len(second) == 1
        assert first[0].line_id != second[0].line_id

    def test_only_planned_lines_of_the_stage_are_claimed(self, world: StoreWorld) -> None:
        create, ask = create_action(world), replace(create_action(world), kind=ActionKind.REVIEW)
        plan_id = plan_of(world, create, ask)
        with world.store.unit() as unit:
            assert [line.action.kind for line in unit.claim_lines(plan_id, 0, 10)] == [ActionKind.REVIEW]
            assert unit.claim_lines(plan_id, 4, 10) == []
            assert unit.claim_lines(world.store.new_id(), 3, 10) == []

    def test_a_claim_ends_by_itself_and_its_holder_is_told(self, world: StoreWorld) -> None:
        plan_id = plan_of(world, create_action(world))
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
        create = create_action(world)
        plan_id = plan_of(world, create)
        with world.store.unit() as unit:
            unit.settle_lines(
                [LineResult(line.line_id, LineStatus.APPLIED) for line in unit.claim_lines(plan_id, 3, 9)]
            )
        again = plan_of(world, create)
        with world.rival().unit() as unit:
            assert len(unit.claim_lines(again, 3, 9)) == 1
            assert [line.status for line in unit.lines(plan_id, LineStatus.APPLIED, "", 9)] == [LineStatus.APPLIED]
