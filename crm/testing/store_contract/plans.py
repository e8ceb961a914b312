"""Lines of a plan: their totals, brakes and approval."""

# ruff: noqa: S101 - a test suite: asserts are what it is made of, its names say what holds

from __future__ import annotations

import pytest

from crm.model import (
    Action,
    ActionKind,
    LineStatus,
    LinkState,
    RunKind,
)
from crm.testing.store_contract.rows import TYPE, one_of_each, plan_of, seen_record, stored_link
from crm.testing.store_contract.world import StoreWorld, WithWorld


class PlanContract(WithWorld):
    def test_totals_count_the_plan_and_what_surrounds_it(self, world: StoreWorld) -> None:
        link = stored_link(world, "R1")
        world.delete_contact(world.make_contact({}))
        run_id = world.start_run(RunKind.FULL)
        plan_id = plan_of(world, *one_of_each(world, link))
        with world.store.unit() as unit:
            unit.save_observations(run_id, [seen_record("R1", {}), seen_record("R8", {})])
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
        plan_id = plan_of(world, *one_of_each(world, stored_link(world, "R1")))
        with world.store.unit() as unit:
            assert unit.hold_lines(plan_id, codes) == len(held)
            lines = unit.lines(plan_id, LineStatus.HELD, "", 99)
            assert {line.action.kind for line in lines} == held
            for stage in range(5):
                assert not {line.line_id for line in lines} & {
                    each.line_id for each in unit.claim_lines(plan_id, stage, 99)
                }

    def test_a_held_line_holds_its_record_until_it_is_approved(self, world: StoreWorld) -> None:
        link = stored_link(world, "R1")
        unlink = Action(
            ActionKind.UNLINK, TYPE, link.contact_id, "R1", link.link_id, link_state=LinkState.DELETED_IN_CRM
        )
        plan_id = plan_of(world, unlink)
        with world.store.unit() as unit:
            assert unit.hold_lines(plan_id, ["brake.deletions"]) == 1
            assert unit.links_for_records(TYPE, ["R1"])[0].held
        world.approve_plan(plan_id)
        with world.store.unit() as unit:
            assert not unit.links_for_records(TYPE, ["R1"])[0].held
            assert unit.hold_lines(plan_id, ["brake.deletions"]) == 0
            (line,) = unit.claim_lines(plan_id, 0, 9)
        assert line.approved
