"""Intents: one for each record until it is settled."""

# ruff: noqa: S101 - a test suite: asserts are what it is made of, its names say what holds

from __future__ import annotations

from dataclasses import replace

import pytest

from crm.errors import LeaseLostError
from crm.model import (
    Action,
    ActionKind,
    IntentKind,
    IntentStatus,
    Side,
)
from crm.testing.store_contract.rows import AN_HOUR, TYPE, create_action, create_intent, effect_on, plan_of, stored_link
from crm.testing.store_contract.world import StoreWorld, WithWorld


class IntentContract(WithWorld):
    def test_one_record_has_one_open_intent(self, world: StoreWorld) -> None:
        create = create_action(world)
        with world.store.unit() as unit:
            unit.record_intents([create_intent(world, create)])
        with pytest.raises(LeaseLostError), world.rival().unit() as unit:
            unit.record_intents([create_intent(world, create)])

    def test_a_settled_intent_makes_room_for_the_next(self, world: StoreWorld) -> None:
        create = create_action(world)
        intent = create_intent(world, create)
        with world.store.unit() as unit:
            unit.record_intents([intent])
            unit.settle_intents([(intent.intent_id, IntentStatus.REJECTED, "rule.validation")])
            unit.record_intents([create_intent(world, create)])

    def test_an_open_intent_is_taken_once_its_worker_is_gone(self, world: StoreWorld) -> None:
        """While the claim lasts nobody takes it; afterwards one worker does, and only one."""
        plan_id = plan_of(world, create_action(world))
        with world.store.unit() as unit:
            (line,) = unit.claim_lines(plan_id, 3, 9)
            intent = create_intent(world, line.action, line_id=line.line_id)
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
        intent = create_intent(world, create_action(world))
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
        sent, unknown, settled = (create_intent(world, create_action(world)) for _ in range(3))
        link = stored_link(world, "R1")
        update = Action(ActionKind.SYNC, TYPE, link.contact_id, "R1", link.link_id, effects=(effect_on(Side.CRM),))
        with world.store.unit() as unit:
            unit.record_intents([sent, unknown, settled, replace(create_intent(world, update), kind=IntentKind.UPDATE)])
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
        link = stored_link(world, "R1")
        update = Action(ActionKind.SYNC, TYPE, link.contact_id, "R1", link.link_id, effects=(effect_on(Side.CRM),))
        intent = replace(create_intent(world, update), kind=IntentKind.UPDATE)
        with world.store.unit() as unit:
            unit.record_intents([intent])
            assert [view.held for view in unit.links_for_records(TYPE, ["R1"])] == [True]
            unit.settle_intents([(intent.intent_id, IntentStatus.CONFIRMED, "")])
            assert [view.held for view in unit.links_for_records(TYPE, ["R1"])] == [False]
