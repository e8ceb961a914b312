"""Carrying out what ``bodies`` accepted."""

from __future__ import annotations

import copy

from crm.providers.pipedrive.fake.answers import Json
from crm.providers.pipedrive.fake.bodies import Prepared
from crm.providers.pipedrive.fake.entities import ACTIVITY, DEAL, NOTE
from crm.providers.pipedrive.fake.stamps import v2_stamp
from crm.providers.pipedrive.fake.state import Actor, Change, Record, State


def create(state: State, prepared: Prepared, actor: Actor) -> Record:
    """A new record; e-mails need not be unique, so a second one of the same person is simply there."""
    entity = prepared.entity
    values = {**copy.deepcopy(dict(entity.defaults)), **prepared.values}
    owner = "user_id" if entity is NOTE else "owner_id"
    if values.get(owner) is None:
        values[owner] = actor.user_id
    if entity is ACTIVITY:
        values["creator_user_id"] = actor.user_id
    now_s = state.now_s()
    custom = {code: value for code, value in prepared.custom.items() if value is not None}
    added_s = now_s if prepared.added_s is None else prepared.added_s
    record = Record(entity, state.table(entity).next_id, added_s, values, custom)
    values |= _consequences(record, values, state)
    if entity is NOTE:
        record.updated_s = added_s
    state.insert(record, actor)
    return record


def update(state: State, record: Record, prepared: Prepared, actor: Actor, *, op: str = "update") -> Change:
    values = {**prepared.values, **_consequences(record, prepared.values, state)}
    return state.put(record, values, prepared.custom, actor, op=op)


def _consequences(record: Record, values: Json, state: State) -> Json:
    """What follows from a write: a deal's times from its status, an activity's from being done."""
    now = v2_stamp(state.now_s())
    found: Json = {}
    if record.entity is DEAL:
        status = values.get("status")
        if status in ("won", "lost"):
            found = {"close_time": now, f"{status}_time": now}
        elif status == "open":
            found = {"close_time": None, "won_time": None, "lost_time": None}
        if "stage_id" in values and record.values.get("stage_id") != values["stage_id"]:
            found["stage_change_time"] = now
    if record.entity is ACTIVITY and "done" in values:
        found["marked_as_done_time"] = now if values["done"] else None
    return found
