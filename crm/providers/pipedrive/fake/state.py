"""What one company account holds: records, users, field definitions, the search index, the journal.

It stores and finds; the rules live in the modules that write. Every change goes through a method here, so that the
journal, the search index, the disk and the webhooks hear of it. Callers hold ``lock``.
"""

from __future__ import annotations

import random
import threading
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from crm.providers.pipedrive.fake.answers import Json
from crm.providers.pipedrive.fake.entities import ENTITIES, Entity
from crm.providers.pipedrive.fake.fields import FieldRegistry
from crm.providers.pipedrive.fake.stamps import v2_stamp
from crm.testing.clock import FakeClock

PURGE_AFTER_SECONDS: Final = 30 * 86_400
FIRST_USER_ID: Final = 25_760_681


class Actor(NamedTuple):
    """Who writes: ``api`` (a token), ``app`` (a person in the web application), ``automation`` (a workflow)."""

    source: str
    user_id: int
    agent: str = ""
    is_bulk: bool = False


class Edit(NamedTuple):
    """One line of a record's changelog."""

    name: str
    before: Any
    after: Any
    at_s: int
    actor: Actor


Change = dict[str, tuple[Any, Any]]


@dataclass(slots=True)
class Record:
    """``values`` are v2's standard fields, ``custom`` the custom ones by hash, never null; values are not mutated."""

    entity: Entity
    record_id: int
    added_s: int
    values: Json
    custom: Json = field(default_factory=dict)
    updated_s: int | None = None
    deleted_s: int | None = None
    merged_into: int | None = None
    edits: list[Edit] = field(default_factory=list)
    indexed: tuple[Json, Json] | None = None
    awaiting_index: int = 0
    touched_ms: int = 0

    @property
    def is_deleted(self) -> bool:
        return self.deleted_s is not None

    def copied(self) -> Record:
        """The record as it stands, for whoever tells of it later."""
        return Record(
            self.entity,
            self.record_id,
            self.added_s,
            dict(self.values),
            dict(self.custom),
            self.updated_s,
            self.deleted_s,
            self.merged_into,
        )


Row = tuple[tuple[Any, ...], Record]
"""A record behind its sort key, whose last part is the id."""


def in_order(records: Iterable[Record], name: str) -> list[Row]:
    """Ascending by a field, null first."""
    return sorted(((sort_key(record, name), record) for record in records), key=key_of)


def key_of(row: Row) -> tuple[Any, ...]:
    return row[0]


class Table:
    """The records of one type by id; ``sorted_by`` keeps an order until the next write."""

    def __init__(self) -> None:
        self.records: dict[int, Record] = {}
        self.ids: list[int] = []
        self.next_id = 1
        self._orders: dict[str, list[Row]] = {}

    def add(self, record: Record) -> None:
        if self.ids and record.record_id < self.ids[-1]:
            self.ids.insert(bisect_left(self.ids, record.record_id), record.record_id)
        else:
            self.ids.append(record.record_id)
        self.records[record.record_id] = record
        self.changed()

    def changed(self) -> None:
        self._orders.clear()

    def sorted_by(self, name: str) -> list[Row]:
        """All rows, deleted ones included."""
        found = self._orders.get(name)
        if found is None:
            found = self._orders[name] = in_order(self.records.values(), name)
        return found


def sort_value(record: Record, name: str) -> Any:
    match name:
        case "id":
            return record.record_id
        case "add_time":
            return record.added_s
        case "update_time":
            return record.updated_s
    return record.values.get(name)


def sort_key(record: Record, name: str) -> tuple[Any, ...]:
    value = sort_value(record, name)
    return (value is not None, value if value is not None else 0, record.record_id)


@dataclass(slots=True)
class Event:
    """Something a webhook may tell. ``before`` is None on create, ``record`` None on delete."""

    action: str
    before: Record | None
    record: Record | None
    actor: Actor
    at_ms: int
    more: Json = field(default_factory=dict)

    @property
    def subject(self) -> Record:
        found = self.record or self.before
        assert found is not None  # noqa: S101 - one of the two is always given
        return found


class State:
    """One account. ``on_event`` and ``on_journal`` are set by whoever listens (webhooks, disk)."""

    def __init__(
        self, *, clock: FakeClock, seed: int, company_id: int, company_domain: str, search_lag_seconds: float
    ) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.company_id = company_id
        self.company_domain = company_domain
        self.search_lag_seconds = search_lag_seconds
        self.random = random.Random(f"state/{seed}")  # noqa: S311 - reproducible, not secret
        self.fields = FieldRegistry(self.random)
        self.tables = {key: Table() for key in ENTITIES}
        self.users: dict[int, Json] = {}
        self.journal: list[Json] = []
        self.write_counts: Counter[str] = Counter()
        self.on_event: Callable[[Event], None] = lambda _event: None
        self.on_journal: Callable[[Json], None] = lambda _entry: None
        self.dirty_records: dict[tuple[str, int], None] = {}
        self.dirty_tables: set[str] = set()
        self.rewrites_due: list[tuple[Record, tuple[str, ...]]] = []
        self._index_queue: deque[tuple[int, Record, tuple[Json, Json]]] = deque()

    def now_s(self) -> int:
        return self.clock.now_ms() // 1000

    def table(self, entity: Entity) -> Table:
        return self.tables[entity.key]

    # Finding ------------------------------------------------------------------------------------------

    def find(self, entity: Entity, record_id: int) -> Record | None:
        """The record, also when it is in the bin; None once it is purged, 30 days after."""
        record = self.table(entity).records.get(record_id)
        return None if record is None or self.is_purged(record) else record

    def live(self, entity: Entity, record_id: int) -> Record | None:
        record = self.table(entity).records.get(record_id)
        return None if record is None or record.is_deleted else record

    def all_live(self, entity: Entity) -> Iterator[Record]:
        return (record for record in self.table(entity).records.values() if not record.is_deleted)

    def is_purged(self, record: Record) -> bool:
        return record.deleted_s is not None and record.deleted_s + PURGE_AFTER_SECONDS <= self.now_s()

    def is_visible(self, record: Record, user_id: int) -> bool:
        """``visible_to`` 1 shows a record to its owner only; administrators see everything."""
        if record.values.get("visible_to") != 1:
            return True
        return bool(self.users[user_id]["is_admin"]) or record.values.get("owner_id") == user_id

    # Users --------------------------------------------------------------------------------------------

    def add_user(self, *, name: str, email: str, is_admin: bool = False) -> Json:
        user_id = FIRST_USER_ID + 7 * len(self.users)
        user: Json = {"id": user_id, "name": name, "email": email, "is_admin": is_admin, "active": True}
        user["created_s"] = self.now_s()
        self.users[user_id] = user
        self.dirty_tables.add("users")
        return user

    # Changing -----------------------------------------------------------------------------------------

    def insert(self, record: Record, actor: Actor) -> None:
        table = self.table(record.entity)
        table.next_id = max(table.next_id, record.record_id + 1)
        table.add(record)
        self._touched(record, None)
        self._tell("create", None, record, actor)
        names = {**record.values, **record.custom}
        self.note("create", record, actor, {name: (None, value) for name, value in names.items() if value})

    def put(self, record: Record, values: Json, custom: Json, actor: Actor, *, op: str, **more: str) -> Change:
        """Store values (custom: None clears); gives name -> (before, after) of what really changed, often nothing."""
        changed: Change = {}
        before = record.copied()
        for name, value in values.items():
            if record.values.get(name) != value:
                changed[name] = (record.values.get(name), value)
        for code, value in custom.items():
            if record.custom.get(code) != value:
                changed[code] = (record.custom.get(code), value)
        if changed:
            record.values.update({name: after for name, (_, after) in changed.items() if name in values})
            for code in custom:
                if code in changed:
                    self._put_custom(record, code, changed[code][1])
            self.stamp(record)
            assert record.updated_s is not None  # noqa: S101 - stamped just now
            record.edits += [Edit(name, *pair, record.updated_s, actor) for name, pair in changed.items()]
            self._touched(record, before)
            self._tell("change", before, record, actor, **more)
        self.note(op, record, actor, changed, **more)
        return changed

    def touch(self, record: Record, actor: Actor, **more: str) -> None:
        """A change of the record in which no field changed (a merge that brought nothing)."""
        before = record.copied()
        self.stamp(record)
        self._touched(record, before)
        self._tell("change", before, record, actor, **more)

    def stamp(self, record: Record) -> None:
        """Move ``update_time``; it is null until the first change."""
        record.updated_s = self.now_s()

    def delete(self, record: Record, actor: Actor, *, op: str = "delete", **more: str) -> None:
        """Into the bin; ``update_time`` becomes the time of it."""
        before = record.copied()
        record.deleted_s = record.updated_s = self.now_s()
        self._touched(record, None)
        self._tell("delete", before, None, actor, **more)
        self.note(op, record, actor, {}, **more)

    def restore(self, record: Record, actor: Actor) -> None:
        before = record.copied()
        record.deleted_s = record.merged_into = None
        self.stamp(record)
        self._touched(record, None)
        self._tell("change", before, record, actor)
        self.note("restore", record, actor, {})

    def load(self, record: Record) -> None:
        """A record as it was kept; nobody is told."""
        table = self.table(record.entity)
        table.add(record)
        table.next_id = max(table.next_id, record.record_id + 1)

    def forget_field(self, entity: Entity, code: str) -> None:
        """A deleted custom field takes its values along."""
        for record in self.table(entity).records.values():
            if record.custom.pop(code, None) is not None:
                self.dirty_records[entity.key, record.record_id] = None

    def _put_custom(self, record: Record, code: str, value: Any) -> None:
        if value is None:
            record.custom.pop(code, None)
        else:
            record.custom[code] = value

    def _touched(self, record: Record, before: Record | None) -> None:
        """Note a change for the disk and the lists; ``before`` is what the search index shows for a while."""
        self.table(record.entity).changed()
        record.touched_ms = self.clock.now_ms()
        self.dirty_records[record.entity.key, record.record_id] = None
        if record.is_deleted or not self.search_lag_seconds:
            return
        if record.awaiting_index == 0:
            record.indexed = None if before is None else (before.values, before.custom)
        record.awaiting_index += 1
        due_ms = self.clock.now_ms() + round(self.search_lag_seconds * 1000)
        self._index_queue.append((due_ms, record, (dict(record.values), dict(record.custom))))

    def index_of(self, record: Record) -> tuple[Json, Json] | None:
        """What search knows of a record: (standard values, custom values), or None when it is not in yet."""
        return record.indexed if record.awaiting_index else (record.values, record.custom)

    def refresh_index(self) -> None:
        """Let the search index catch up with what was written ``search_lag_seconds`` ago."""
        queue, now_ms = self._index_queue, self.clock.now_ms()
        while queue and queue[0][0] <= now_ms:
            _, record, snapshot = queue.popleft()
            record.awaiting_index -= 1
            record.indexed = snapshot if record.awaiting_index else None

    # What happened ------------------------------------------------------------------------------------

    def _tell(self, action: str, before: Record | None, record: Record | None, actor: Actor, **more: str) -> None:
        self.on_event(Event(action, before, record, actor, self.clock.now_ms(), dict(more)))

    def note(self, op: str, record: Record, actor: Actor, changes: Change, **more: object) -> None:
        """One line of the journal: every write by anyone, also those that changed nothing."""
        entry: Json = {
            "seq": len(self.journal) + 1,
            "at": v2_stamp(self.now_s()),
            "op": op,
            "objectType": record.entity.plural,
            "id": record.record_id,
            "actor": {"source": actor.source, "userId": actor.user_id},
            "changes": {name: list(pair) for name, pair in changes.items()},
            "noop": op == "update" and not changes,
            **more,
        }
        self.journal.append(entry)
        if actor.source == "api":
            self.write_counts["noop" if entry["noop"] else op] += 1
        if op in ("create", "update") and actor.source != "automation":
            self.rewrites_due.append((record, tuple(changes)))
        self.on_journal(entry)
