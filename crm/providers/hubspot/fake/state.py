"""What one HubSpot account holds: records with their history, indexes, associations, opt-outs, the journal.

It stores and finds; the rules live in the modules that write. Every change goes through a method here, so
that the journal, the search index, the disk and the webhooks hear of it. Callers hold ``lock``.
"""

from __future__ import annotations

import random
import threading
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from crm.providers.hubspot.fake.answers import Json, whole_number
from crm.providers.hubspot.fake.object_types import CONTACTS, OBJECT_TYPES, ObjectType
from crm.providers.hubspot.fake.properties import Registry
from crm.testing.clock import FakeClock, iso_ms

EMAIL: Final = "email"
ADDITIONAL_EMAILS: Final = "hs_additional_emails"


class Actor(NamedTuple):
    """Who writes: CRM_UI (``userId:1``), INTEGRATION (the app's id), AUTOMATION_PLATFORM, MERGE_OBJECTS, ..."""

    source: str
    source_id: str
    label: str = ""
    user_id: int | None = None


class Version(NamedTuple):
    """One value a property has had; ``""`` means it was cleared."""

    value: str
    at_ms: int
    actor: Actor


@dataclass(slots=True)
class Record:
    """``links`` is other type id -> other record id -> association type ids, seen from this record."""

    record_id: int
    kind: ObjectType
    created_ms: int
    updated_ms: int
    properties: dict[str, str] = field(default_factory=dict)
    history: dict[str, list[Version]] = field(default_factory=dict)
    archived_ms: int | None = None
    links: dict[str, dict[int, set[int]]] = field(default_factory=dict)
    indexed: dict[str, str] | None = None
    awaiting_index: int = 0

    def emails(self) -> list[str]:
        """Primary first, then the secondary ones."""
        primary = self.properties.get(EMAIL)
        others = self.properties.get(ADDITIONAL_EMAILS, "")
        return [*([primary] if primary else []), *(part for part in others.split(";") if part)]


class Table:
    """The records of one type: by id, in id order, and by each unique value."""

    def __init__(self, kind: ObjectType) -> None:
        self.kind = kind
        self.records: dict[int, Record] = {}
        self.ids: list[int] = []
        self.aliases: dict[int, int] = {}
        self.unique: dict[str, dict[str, int]] = {EMAIL: {}} if kind is CONTACTS else {}

    def add(self, record: Record) -> None:
        if not self.ids or record.record_id > self.ids[-1]:
            self.ids.append(record.record_id)
        else:
            self.ids.insert(bisect_left(self.ids, record.record_id), record.record_id)
        self.records[record.record_id] = record

    def remove(self, record_id: int) -> None:
        del self.records[record_id]
        del self.ids[bisect_left(self.ids, record_id)]

    def from_id(self, first_id: int, *, archived: bool = False) -> Iterator[Record]:
        """Records with an id of at least ``first_id``, in id order."""
        for position in range(bisect_left(self.ids, first_id), len(self.ids)):
            record = self.records[self.ids[position]]
            if (record.archived_ms is not None) == archived:
                yield record

    def live(self, record_id: int) -> Record | None:
        record = self.records.get(record_id)
        return None if record is None or record.archived_ms is not None else record

    def live_by_key(self, key: object) -> Record | None:
        """By an id as it comes in a call; None for what is no id."""
        record_id = whole_number(key)
        return None if record_id is None else self.live(record_id)

    def canonical_id(self, record_id: int) -> int:
        """The survivor's id for a merged-away one, else the id itself."""
        while record_id in self.aliases:
            record_id = self.aliases[record_id]
        return record_id


@dataclass(slots=True)
class Event:
    """Something a webhook may tell; ``detail`` holds the fields of its type."""

    kind: ObjectType
    what: str
    at_ms: int
    actor: Actor
    detail: Json


class State:
    """One account. ``on_event`` and ``on_dirty`` are set by whoever listens (webhooks, disk)."""

    def __init__(self, *, clock: FakeClock, seed: int, portal_id: int, search_lag_seconds: float) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.portal_id = portal_id
        self.search_lag_seconds = search_lag_seconds
        self.registry = Registry(clock.now_ms())
        self.tables = {kind.type_id: Table(kind) for kind in OBJECT_TYPES}
        self.blocked_emails: set[str] = set()
        self.owners: list[Json] = []
        self.opt_outs: dict[str, dict[str, Json]] = {}
        self.journal: list[Json] = []
        self.write_counts: Counter[str] = Counter()
        self.next_id = 100_000_000_001
        self.on_event: Callable[[Event], None] = lambda _event: None
        self.on_journal: Callable[[Json], None] = lambda _entry: None
        self.dirty_records: dict[tuple[str, int], None] = {}
        self.dirty_tables: set[str] = set()
        self.rewrites_due: list[tuple[Record, tuple[str, ...]]] = []
        self._index_queue: deque[tuple[int, Record, dict[str, str]]] = deque()
        self._random = random.Random(f"state/{seed}")  # noqa: S311 - reproducible, not secret

    def table(self, kind: ObjectType) -> Table:
        return self.tables[kind.type_id]

    def new_id(self) -> int:
        """Ids grow, with gaps: the account's other objects take numbers too."""
        self.next_id += self._random.randint(1, 9)
        self.dirty_tables.add("counter")
        return self.next_id

    # Records ----------------------------------------------------------------------------------------

    def insert(self, record: Record, actor: Actor) -> None:
        """A new record with its first values already in place."""
        table = self.table(record.kind)
        table.add(record)
        self._index_unique(record)
        for name, value in record.properties.items():
            record.history[name] = [Version(value, record.created_ms, actor)]
        self._touched(record, {})

    def load(self, record: Record) -> None:
        """A record as it was kept; nobody is told."""
        self.table(record.kind).add(record)
        self._index_unique(record)

    def put_values(
        self, record: Record, values: dict[str, str], actor: Actor, at_ms: int
    ) -> dict[str, tuple[str, str]]:
        """Store values (``""`` clears); gives name -> (before, after) of what really changed, often nothing."""
        properties = record.properties
        changed = {
            name: (properties.get(name, ""), value)
            for name, value in values.items()
            if properties.get(name, "") != value
        }
        if not changed:
            return changed
        before = dict(properties) if self.search_lag_seconds else {}
        self._unindex_unique(record)
        for name, (_, value) in changed.items():
            if value:
                properties[name] = value
            else:
                properties.pop(name, None)
            record.history.setdefault(name, []).append(Version(value, at_ms, actor))
        self._index_unique(record)
        self._touched(record, before)
        return changed

    def stamp(self, record: Record, at_ms: int) -> None:
        """Move the record's modification time."""
        before = dict(record.properties) if self.search_lag_seconds else {}
        record.updated_ms = at_ms
        record.properties[record.kind.modified] = iso_ms(at_ms)
        self._touched(record, before)

    def archive(self, record: Record, at_ms: int) -> None:
        self._unindex_unique(record)
        record.archived_ms = at_ms
        self._touched(record, None)

    def restore(self, record: Record) -> None:
        record.archived_ms = None
        self._index_unique(record)
        self._touched(record, None)

    def purge(self, record: Record) -> None:
        """Take a record away for good (merged away or erased)."""
        self._unindex_unique(record)
        self.table(record.kind).remove(record.record_id)
        for other_type, others in record.links.items():
            for other_id in others:
                other = self.tables[other_type].records.get(other_id)
                if other is not None:
                    other.links.get(record.kind.type_id, {}).pop(record.record_id, None)
                    self.dirty_records[other_type, other_id] = None
        self.dirty_records[record.kind.type_id, record.record_id] = None

    def holder(self, kind: ObjectType, name: str, value: str) -> int | None:
        """The live record that holds a unique value; for ``email`` secondary addresses count."""
        return self.table(kind).unique.get(name, {}).get(value.strip().lower())

    def reindex_unique(self, kind: ObjectType, name: str) -> None:
        self.table(kind).unique.setdefault(name, {})

    def _index_unique(self, record: Record) -> None:
        if record.archived_ms is not None:
            return
        for name, holders in self.table(record.kind).unique.items():
            for value in record.emails() if name == EMAIL else [record.properties.get(name, "")]:
                if value:
                    holders[value.lower()] = record.record_id

    def _unindex_unique(self, record: Record) -> None:
        for name, holders in self.table(record.kind).unique.items():
            for value in record.emails() if name == EMAIL else [record.properties.get(name, "")]:
                if holders.get(value.lower()) == record.record_id:
                    del holders[value.lower()]

    def _touched(self, record: Record, before: dict[str, str] | None) -> None:
        """Note a change for the disk; ``before`` is what the search index goes on showing for a while."""
        self.dirty_records[record.kind.type_id, record.record_id] = None
        if before is None or not self.search_lag_seconds:
            return
        if record.awaiting_index == 0:
            record.indexed = before or None
        record.awaiting_index += 1
        due_ms = self.clock.now_ms() + round(self.search_lag_seconds * 1000)
        self._index_queue.append((due_ms, record, dict(record.properties)))

    def refresh_index(self, now_ms: int) -> None:
        """Let the search index catch up with what was written ``search_lag_seconds`` ago."""
        queue = self._index_queue
        while queue and queue[0][0] <= now_ms:
            _, record, snapshot = queue.popleft()
            record.awaiting_index -= 1
            record.indexed = snapshot if record.awaiting_index else None

    # What happened ----------------------------------------------------------------------------------

    def tell(self, kind: ObjectType, what: str, at_ms: int, actor: Actor, **detail: object) -> None:
        self.on_event(Event(kind, what, at_ms, actor, dict(detail)))

    def note(
        self, op: str, record: Record, actor: Actor, at_ms: int, changes: dict[str, tuple[str, str]], **more: object
    ) -> None:
        """One line of the journal: every write by anyone, also those that changed nothing."""
        entry: Json = {
            "seq": len(self.journal) + 1,
            "at": iso_ms(at_ms),
            "op": op,
            "objectType": record.kind.plural,
            "id": str(record.record_id),
            "actor": {"source": actor.source, "sourceId": actor.source_id},
            "changes": {name: list(pair) for name, pair in changes.items()},
            "noop": op == "update" and not changes,
            **more,
        }
        self.journal.append(entry)
        if actor.source == "INTEGRATION":
            self.write_counts["noop" if entry["noop"] else op] += 1
        self.on_journal(entry)
