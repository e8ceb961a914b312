"""What one org holds: records by type, indexes, the recycle bin, the journal.

It stores and finds; the rules live in the modules that write. Every change goes through a method here, so that
the journal, the disk and the outbound messages hear of it. Callers hold ``lock``.

Values are as JSON has them, except that date-times are whole milliseconds; an empty field is absent.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from crm.providers.salesforce.fake import ids
from crm.providers.salesforce.fake.answers import Json
from crm.providers.salesforce.fake.schema import Schema
from crm.providers.salesforce.fake.stamps import date_time
from crm.testing.clock import FakeClock

BIN_DAYS_MS: Final = 15 * 86_400_000
Values = dict[str, Any]


class Actor(NamedTuple):
    """Who writes: ``api`` (a session of an app), ``ui`` (a person in Salesforce) or ``automation``."""

    source: str
    user_id: str


class Shadow(NamedTuple):
    """What others still see of a record until a long transaction ends; None: nothing yet."""

    until_ms: int
    values: Values | None


@dataclass(slots=True)
class Record:
    kind: str
    record_id: str
    values: Values
    shadow: Shadow | None = None

    @property
    def is_deleted(self) -> bool:
        return bool(self.values.get("IsDeleted"))


class Table:
    """The records of one type, with an index for each field that a look-up by value uses."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.indexes: dict[str, dict[str, set[str]]] = {}

    def add_index(self, name: str) -> None:
        if name not in self.indexes:
            self.indexes[name] = {}
            for record in self.records.values():
                self._enter(name, record.record_id, record.values)

    def clear(self) -> None:
        self.records.clear()
        for index in self.indexes.values():
            index.clear()

    def enter(self, record: Record) -> None:
        for name in self.indexes:
            self._enter(name, record.record_id, record.values)

    def leave(self, record: Record) -> None:
        for name, index in self.indexes.items():
            value = record.values.get(name)
            if value is not None:
                index.get(str(value).lower(), set()).discard(record.record_id)

    def holders(self, name: str, value: object) -> list[Record]:
        """Records outside the recycle bin with that value, whatever its case, in id order."""
        found = self.indexes.get(name, {}).get(str(value).lower(), set())
        return [self.records[each] for each in sorted(found) if not self.records[each].is_deleted]

    def _enter(self, name: str, record_id: str, values: Values) -> None:
        value = values.get(name)
        if value is not None:
            self.indexes[name].setdefault(str(value).lower(), set()).add(record_id)


class State:
    """One org. ``on_write`` and ``on_journal`` are set by whoever listens (outbound messages, disk)."""

    def __init__(self, *, clock: FakeClock, seed: int, schema: Schema) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.schema = schema
        self.tables = {name: Table() for name in schema.types}
        for kind in schema.types.values():
            for each in kind.fields.values():
                if each.id_lookup:
                    self.tables[kind.name].add_index(each.name)
        self.journal: list[Json] = []
        self.write_counts: Counter[str] = Counter()
        self.row_locks: dict[str, int | None] = {}
        self.next_number = 1_000_000
        self.on_write: Callable[[Record, str], None] = lambda _record, _op: None
        self.on_journal: Callable[[Json], None] = lambda _entry: None
        self.dirty_records: dict[tuple[str, str], None] = {}
        self.dirty_tables: set[str] = set()
        self._undo: list[Callable[[], None]] | None = None
        self._told: list[tuple[Json, Record]] = []
        self._random = random.Random(f"state/{seed}")  # noqa: S311 - reproducible, not secret

    def table(self, kind: str) -> Table:
        return self.tables[kind]

    def load_schema(self, saved: Json) -> None:
        """The schema as it was kept, with the indexes of its custom fields."""
        self.schema.load(saved)
        for kind in self.schema.types.values():
            for each in kind.fields.values():
                if each.custom and (each.external_id or each.unique):
                    self.tables[kind.name].add_index(each.name)

    def new_id(self, prefix: str) -> str:
        """Ids grow, with gaps: others write too."""
        self.next_number += self._random.randint(1, 9)
        self.dirty_tables.add("counter")
        return ids.make(prefix, self.next_number)

    def find(self, record_id: str) -> Record | None:
        """By 18-character id, in the recycle bin or not."""
        kind = self.schema.type_of_id(record_id)
        if kind is None:
            return None
        for name, other in self.schema.types.items():
            if other.prefix == kind.prefix and record_id in self.tables[name].records:
                return self.tables[name].records[record_id]
        return None

    def seen(self, record: Record, now_ms: int) -> Values | None:
        """The values that a reader sees now; None while nothing of it is committed."""
        if record.shadow is None:
            return record.values
        if record.shadow.until_ms <= now_ms:
            record.shadow = None
            return record.values
        return record.shadow.values

    def rows(self, kind: str, *, with_deleted: bool) -> Iterator[tuple[Record, Values]]:
        """What a reader sees of a type, in no order; rows long in the recycle bin are gone."""
        now_ms = self.clock.now_ms()
        oldest_ms = now_ms - BIN_DAYS_MS
        for record in self.tables[kind].records.values():
            values = record.values if record.shadow is None else self.seen(record, now_ms)
            if values is None:
                continue
            if values.get("IsDeleted") and (not with_deleted or values["SystemModstamp"] < oldest_ms):
                continue
            yield record, values

    # Changing ----------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside, or none when an exception leaves it. Inner ones join the outer one."""
        if self._undo is not None:
            yield
            return
        self._undo = []
        try:
            yield
        except BaseException:
            for step in reversed(self._undo):
                step()
            self._undo = None
            self._told.clear()
            raise
        self._undo = None
        told, self._told = self._told, []
        for entry, record in told:
            self._tell(entry, record)

    def insert(self, record: Record) -> None:
        table = self.tables[record.kind]
        table.records[record.record_id] = record
        table.enter(record)
        self._touch(record, lambda: self._drop(record))

    def put(self, record: Record, values: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Store values (None clears); gives name -> (before, after) of what really changed, often nothing."""
        before = record.values
        changed = {
            name: (before.get(name), value) for name, value in values.items() if not same(before.get(name), value)
        }
        table = self.tables[record.kind]
        table.leave(record)
        record.values = {name: value for name, value in {**before, **values}.items() if value is not None}
        table.enter(record)
        self._touch(record, lambda: self._put_back(record, before))
        return changed

    def purge(self, record: Record) -> None:
        """Out of the recycle bin, for good."""
        self._drop(record)

    def _drop(self, record: Record) -> None:
        table = self.tables[record.kind]
        table.leave(record)
        del table.records[record.record_id]
        self.dirty_records[record.kind, record.record_id] = None

    def _put_back(self, record: Record, values: Values) -> None:
        table = self.tables[record.kind]
        table.leave(record)
        record.values = values
        table.enter(record)

    def _touch(self, record: Record, undo: Callable[[], None]) -> None:
        self.dirty_records[record.kind, record.record_id] = None
        if self._undo is not None:
            self._undo.append(undo)

    # What happened -----------------------------------------------------------------------------------------

    def note(self, op: str, record: Record, actor: Actor, changes: dict[str, tuple[Any, Any]], **more: object) -> None:
        """One line of the journal: every write by anyone, also those that changed nothing."""
        entry: Json = {
            "at": date_time(self.clock.now_ms()),
            "op": op,
            "object": record.kind,
            "id": record.record_id,
            "actor": {"source": actor.source, "userId": actor.user_id},
            "changes": {name: list(pair) for name, pair in changes.items()},
            "noop": op == "update" and not changes,
            **more,
        }
        if self._undo is not None:
            self._told.append((entry, record))
        else:
            self._tell(entry, record)

    def _tell(self, entry: Json, record: Record) -> None:
        entry["seq"] = len(self.journal) + 1
        self.journal.append(entry)
        if entry["actor"]["source"] == "api":
            self.write_counts["noop" if entry["noop"] else entry["op"]] += 1
        self.on_journal(entry)
        self.on_write(record, entry["op"])


def same(left: Any, right: Any) -> bool:
    """Equal in value and in kind (``1`` is not ``True``)."""
    return bool(left == right and isinstance(left, bool) == isinstance(right, bool))
