"""What every connector does with the objects that do not sync yet: see ``crm.testing.contract``."""

from __future__ import annotations

from typing import Final

from crm.model import RemoteState, Value
from crm.ports import CreateItem, UpdateItem
from crm.testing.contract_stand import Check, Sample, Stand, add, expect, record_of, same, walk


def other_objects_live_change_and_die(stand: Stand) -> None:
    """Each is described, made, listed, read, changed, found as changed and deleted by the same methods."""
    declared = stand.connector().capabilities.links_to_contact
    expect(set(declared) <= set(stand.fields.others), "each object that is declared is tried")
    for record_type, sample in stand.fields.others.items():
        _live_and_die(stand, record_type, sample)


def _live_and_die(stand: Stand, record_type: str, sample: Sample) -> None:
    connector = stand.connector()  # with a burst of its own
    described = {each.name: each for each in connector.describe(record_type)}
    values = dict(sample.values)
    if sample.needs_contact:
        values[connector.capabilities.links_to_contact[record_type]] = add(stand, 1)[0]
    whole = {**values, **sample.change}
    expect(all(described[name].createable for name in whole), f"{record_type}: fields are listed as writable")
    since, asked = stand.now(), tuple(whole)
    made = connector.create(record_type, [CreateItem("k", "", values)])["k"]
    same((dict(made.refused), made.error), ({}, None), f"{record_type}: made")
    remote_id = record_of(made).remote_id
    stand.pass_time(60)
    changed = connector.update(record_type, [UpdateItem("k", remote_id, sample.change)])["k"]
    same((dict(changed.refused), changed.error), ({}, None), f"{record_type}: changed")
    read = connector.fetch(record_type, [remote_id], asked)[remote_id]
    same((read.state, dict(read.values)), (RemoteState.LIVE, whole), f"{record_type}: read")
    listed = walk(lambda after: connector.scan(record_type, asked, after))[0]
    newer = walk(lambda after: connector.changes(record_type, asked, since, after))[0]
    for walked in (listed, newer):
        live = [(each.remote_id, dict(each.values)) for each in walked if each.state is RemoteState.LIVE]
        same(live, [(remote_id, whole)], f"{record_type}: listed")
    for _ in range(2):
        same(connector.delete(record_type, [UpdateItem("k", remote_id, {})])["k"].error, None, "deleted")
    gone = connector.fetch(record_type, [remote_id], asked)[remote_id].state
    expect(gone in (RemoteState.ARCHIVED, RemoteState.MISSING), f"{record_type}: {gone} after it was deleted")


def other_objects_belong_to_a_contact(stand: Stand) -> None:
    """The field that leads to contacts is written with a new record, read everywhere, changed and cleared."""
    first, second = add(stand, 2)
    for record_type in stand.connector().capabilities.links_to_contact:
        _belong(stand, record_type, first, second)
    same(stand.live_ids(), {first, second}, "the contacts afterwards")


def _belong(stand: Stand, record_type: str, first: str, second: str) -> None:
    connector, sample = stand.connector(), stand.fields.others[record_type]
    described = {each.name: each for each in connector.describe(record_type)}
    name = connector.capabilities.links_to_contact[record_type]
    is_multiple = described[name].multiple

    def linked(*ids: str) -> Value:
        return tuple(ids) if is_multiple else ids[0]

    def read(remote_id: str) -> Value:
        (listed,) = walk(lambda after: connector.scan(record_type, [name], after))[0]
        fetched = connector.fetch(record_type, [remote_id], [name])[remote_id]
        same(listed.values, fetched.values, f"{record_type}: whom it belongs to, listed and read")
        return fetched.values[name]

    result = connector.create(record_type, [CreateItem("k", "", {**sample.values, name: linked(first)})])["k"]
    same(dict(result.refused), {}, f"{record_type}: made")
    remote_id = record_of(result).remote_id
    same(read(remote_id), linked(first), f"{record_type}: linked when made")
    steps: list[Value] = [linked(first, second)] if is_multiple else []
    steps += [linked(second), *(() if sample.needs_contact else (None,))]
    for wanted in () if sample.keeps_contact else steps:
        result = connector.update(record_type, [UpdateItem("k", remote_id, {name: wanted})])["k"]
        same((dict(result.refused), result.error), ({}, None), f"{record_type}: linked to {wanted}")
        same(read(remote_id), wanted, f"{record_type}: linked again")
    connector.delete(record_type, [UpdateItem("k", remote_id, {})])


CHECKS: Final[tuple[Check, ...]] = (other_objects_live_change_and_die, other_objects_belong_to_a_contact)
