"""Rows that the tests begin with."""

# ruff: noqa: S101 - a test suite: asserts are what it is made of, its names say what holds

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from crm.model import (
    Action,
    ActionKind,
    ConflictChange,
    ConflictDraft,
    ConflictKind,
    Effect,
    Intent,
    IntentKind,
    LineStatus,
    Link,
    LinkState,
    LinkView,
    Observation,
    PlanLine,
    RemoteRecord,
    RemoteState,
    Rule,
    RunKind,
    Side,
    Value,
)
from crm.testing.store_contract.world import StoreWorld

TYPE = "contact"
AN_HOUR = 3600.0


class StopError(Exception):
    """Ends a block on purpose."""


def link_to(world: StoreWorld, contact_id: str, remote_id: str) -> Link:
    return Link(world.store.new_id(), contact_id, TYPE, remote_id)


def stored_link(world: StoreWorld, remote_id: str, *, synced_version: int = 1) -> Link:
    """A live link of a contact of its own, in step."""
    contact_id = world.make_contact({"firstName": remote_id})
    link = replace(link_to(world, contact_id, remote_id), synced_version=synced_version)
    with world.store.unit() as unit:
        assert unit.save_links([link]) == {link.link_id: ""}
    return link


def seen_record(
    remote_id: str,
    values: Mapping[str, Value],
    *,
    link_id: str = "",
    email_key: str = "",
    state: RemoteState = RemoteState.LIVE,
) -> Observation:
    return Observation(RemoteRecord(TYPE, remote_id, values, state=state), link_id, email_key)


def due_ids(world: StoreWorld) -> set[str]:
    with world.store.unit() as unit:
        views: list[LinkView] = unit.due_links(TYPE, "", 99)
    return {view.link.link_id for view in views}


def marked_pages(world: StoreWorld) -> tuple[set[str], set[str]]:
    with world.store.unit() as unit:
        while not unit.mark_changed():
            pass
    return pages(world, marked=True)


def pages(world: StoreWorld, *, marked: bool = False) -> tuple[set[str], set[str]]:
    """Links with work, and contacts without a pair."""
    with world.store.unit() as unit:
        due = {view.link.link_id for view in unit.due_links(TYPE, "", 99, marked=marked)}
        alone = unit.unpaired_contacts(TYPE, "", 99, recheck_matches=False, marked=marked)
    return due, {item.contact.contact_id for item in alone}


def create_action(world: StoreWorld) -> Action:
    return Action(ActionKind.CREATE_IN_CRM, TYPE, world.make_contact({"firstName": "New"}))


def plan_of(world: StoreWorld, *actions: Action) -> str:
    run_id = world.start_run(RunKind.FULL)
    with world.store.unit() as unit:
        plan_id = unit.load_run(run_id).plan_id
        unit.add_lines(run_id, plan_id, actions)
        planned: list[PlanLine] = unit.lines(plan_id, LineStatus.PLANNED, "", 99)
    assert [line.action for line in planned] == list(actions)
    return plan_id


def create_intent(world: StoreWorld, action: Action, *, line_id: str = "") -> Intent:
    return Intent(
        world.store.new_id(),
        IntentKind.CREATE,
        action,
        {"firstname": "New", "tags": ("a", "b")},
        1,
        marker=f"org:{action.contact_id}",
        line_id=line_id,
    )


def effect_on(side: Side, *, after: Value = "new", overrules: bool = False) -> Effect:
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


def question_about(link: Link, *, mapping_id: str = "m1", app_value: Value = "A") -> ConflictChange:
    draft = ConflictDraft(ConflictKind.FIELD, mapping_id, "firstName", app_value=app_value, crm_value="B")
    return ConflictChange(link.link_id, link.contact_id, TYPE, link.remote_id, (draft,))


def one_of_each(world: StoreWorld, link: Link) -> tuple[Action, ...]:
    """Six lines: two that delete or end a pair by a deletion, one that blanks, two creates, one that overrules."""
    about = (TYPE, link.contact_id, link.remote_id, link.link_id)
    return (
        Action(ActionKind.DELETE_IN_CRM, *about),
        Action(ActionKind.UNLINK, *about, link_state=LinkState.DELETED_IN_CRM),
        Action(ActionKind.SYNC, *about, effects=(effect_on(Side.CRM, after=None),)),
        Action(ActionKind.CREATE_IN_APP, TYPE, world.store.new_id(), "R8"),
        create_action(world),
        Action(ActionKind.LINK, *about, effects=(effect_on(Side.APP, overrules=True),)),
    )


def words_of(value: Value) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()
