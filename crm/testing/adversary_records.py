"""The made-up CRM itself: records, its users, its automations, and a journal of who wrote what.

The journal is the oracle: it knows every write with its author, whatever the API shows of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from crm.model import RemoteState, Value
from crm.testing.adversary_nature import Nature
from crm.testing.clock import FakeClock

Author = Literal["user", "us", "automation", "merge"]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BLANK: Final = (None, "", ())


@dataclass(frozen=True, slots=True)
class Write:
    """One entry of the journal: a field of a record, or its life (``field`` is then empty)."""

    number: int
    at: datetime
    """By the world's clock, not the CRM's."""
    remote_id: str
    field: str
    before: Value
    after: Value
    by: Author
    what: Literal["create", "edit", "delete", "undelete", "merge"] = "edit"
    marker: str = ""
    read_at: datetime | None = None
    """By us: when the connector that writes had last read the record."""
    read_number: int = 0
    """By us: number of the last write that it had read."""


@dataclass(frozen=True, slots=True)
class Version:
    """A record as it was from ``shown_at`` on in the CRM's search index."""

    shown_at: datetime
    values: Mapping[str, Value]
    modified_at: datetime
    state: RemoteState
    by_us: bool


@dataclass(slots=True)
class CrmRecord:
    remote_id: str
    values: dict[str, Value]
    created_at: datetime
    modified_at: datetime
    state: RemoteState = RemoteState.LIVE
    merged_into: str = ""
    former_ids: tuple[str, ...] = ()
    marker: str = ""
    by_us: bool = False
    versions: list[Version] = field(default_factory=list)
    shown: int = 0
    """So many of the versions have been seen by a connector, or are older than one that was."""
    history: dict[str, list[tuple[Value, datetime, bool]]] = field(default_factory=dict)
    """Field -> (value, stamp, by us), newest first."""
    reads: dict[str, tuple[datetime, int]] = field(default_factory=dict)
    """Connector -> when it last read the record (by the world's clock), and up to which journal number."""

    def fork(self) -> CrmRecord:
        return replace(
            self,
            values=dict(self.values),
            versions=list(self.versions),
            history={name: list(entries) for name, entries in self.history.items()},
            reads=dict(self.reads),
        )


class AdversaryCrm:
    """One account. Users act on it directly; the connector acts as ``us``."""

    def __init__(self, nature: Nature, clock: FakeClock, draw: random.Random) -> None:
        self.nature = nature
        self.records: dict[str, CrmRecord] = {}
        self.journal: list[Write] = []
        self.hidden: set[str] = set()
        """Fields that our credentials may not read or write at the moment."""
        self.connector = ""
        """Name of the connector whose request is being answered."""
        self._clock = clock
        self._draw = draw
        self._next_id = 1000
        self._due: list[tuple[datetime, str, str, Callable[[Value], Value]]] = []

    def fork(self, clock: FakeClock) -> AdversaryCrm:
        """The same account once more, by another clock; what happens in one does not in the other."""
        draw = random.Random(0)  # noqa: S311 - reproducible, not secret
        draw.setstate(self._draw.getstate())
        twin = AdversaryCrm(self.nature, clock, draw)
        twin.records = {remote_id: record.fork() for remote_id, record in self.records.items()}
        twin.journal, twin.hidden = list(self.journal), set(self.hidden)
        twin._next_id, twin._due = self._next_id, list(self._due)
        return twin

    # time

    def world_now(self) -> datetime:
        return _EPOCH + timedelta(milliseconds=self._clock.now_ms())

    def server_now(self) -> datetime:
        """The CRM's own clock."""
        return self.world_now() + timedelta(seconds=self.nature.clock_offset_seconds)

    def _stamp(self, *, seconds_ago: float = 0.0) -> datetime:
        grain_ms = round(self.nature.stamp_seconds * 1000)
        now_ms = self._clock.now_ms() + round((self.nature.clock_offset_seconds - seconds_ago) * 1000)
        return _EPOCH + timedelta(milliseconds=now_ms // grain_ms * grain_ms)

    # its users

    def live(self) -> list[CrmRecord]:
        return [record for record in self.records.values() if record.state is RemoteState.LIVE]

    def user_creates(self, values: Mapping[str, Value]) -> str:
        return self.add(values, by="user").remote_id

    def user_edits(self, remote_id: str, values: Mapping[str, Value]) -> None:
        self.write(self.records[remote_id], values, by="user")

    def user_deletes(self, remote_id: str) -> None:
        self.remove(self.records[remote_id], by="user")

    def user_undeletes(self, remote_id: str) -> None:
        record = self.records[remote_id]
        record.state = RemoteState.LIVE
        self._note(record, "", None, None, "user", "undelete")
        self._touch(record, by_us=False)

    def user_merges(self, loser_id: str, winner_id: str) -> str:
        """Returns the id of the survivor, which is a new one where this CRM gives new ids."""
        loser, winner = self.records[loser_id], self.records[winner_id]
        values = {**loser.values, **{name: value for name, value in winner.values.items() if value not in _BLANK}}
        gone = [loser, winner] if self.nature.merge_gives_new_id else [loser]
        if self.nature.merge_gives_new_id:
            marker, winner.marker = winner.marker, ""
            survivor = self.add(values, by="merge", marker=marker)
        else:
            survivor = winner
            self.write(survivor, values, by="merge")
        former = [former_id for record in (*gone, winner) for former_id in record.former_ids]
        survivor.former_ids = tuple(dict.fromkeys((*survivor.former_ids, *former, *(each.remote_id for each in gone))))
        for record in gone:
            record.state, record.merged_into = RemoteState.MERGED, survivor.remote_id
            self._note(record, "", None, survivor.remote_id, "user", "merge")
            self._touch(record, by_us=False)
        for record in self.records.values():
            if record.merged_into in {each.remote_id for each in gone} and record is not survivor:
                record.merged_into = survivor.remote_id
        self._touch(survivor, by_us=False)
        return survivor.remote_id

    # writes of anybody

    def add(self, values: Mapping[str, Value], *, by: Author, marker: str = "") -> CrmRecord:
        self._next_id += 1
        remote_id, stamp = str(self._next_id), self._stamp()
        record = CrmRecord(remote_id, {}, stamp, stamp, marker=marker if self.nature.marker_allowed else "")
        self.records[remote_id] = record
        self._note(record, "", None, None, by, "create", marker)
        self.write(record, values, by=by)
        return record

    def write(self, record: CrmRecord, values: Mapping[str, Value], *, by: Author) -> None:
        """Store the values in the CRM's own form; automations follow later."""
        for name, value in values.items():
            rule = self.nature.fields[name]
            stored = rule.stores(value) if value not in _BLANK else None
            before = record.values.get(name)
            if type(stored) is type(before) and stored == before:
                continue
            record.values[name] = stored
            self._note(record, name, before, stored, by, "edit")
            record.history.setdefault(name, []).insert(0, (stored, self._stamp(), by == "us"))
            if by != "automation":
                self._schedule(record, name)
        self._touch(record, by_us=by == "us")

    def remove(self, record: CrmRecord, *, by: Author) -> None:
        record.state = RemoteState.ARCHIVED
        self._note(record, "", None, None, by, "delete")
        self._touch(record, by_us=by == "us")

    def run_automations(self) -> None:
        """Those whose time has come; called at each request."""
        now = self.world_now()
        due = [entry for entry in self._due if entry[0] <= now]
        self._due = [entry for entry in self._due if entry[0] > now]
        for _, remote_id, name, sets in due:
            record = self.records[remote_id]
            value = record.values.get(name)
            if record.state is RemoteState.LIVE and value not in _BLANK and sets(value) != value:
                self.write(record, {name: sets(value)}, by="automation")

    def _schedule(self, record: CrmRecord, name: str) -> None:
        for automation in self.nature.automations:
            if automation.field == name:
                due_at = self.world_now() + timedelta(seconds=automation.delay_seconds)
                self._due.append((due_at, record.remote_id, name, automation.sets))

    def _note(
        self,
        record: CrmRecord,
        name: str,
        before: Value,
        after: Value,
        by: Author,
        what: Literal["create", "edit", "delete", "undelete", "merge"],
        marker: str = "",
    ) -> None:
        read_at, read_number = record.reads.get(self.connector, (None, 0))
        self.journal.append(
            Write(
                len(self.journal) + 1,
                self.world_now(),
                record.remote_id,
                name,
                before,
                after,
                by,
                what,
                marker,
                read_at,
                read_number,
            )
        )

    def _touch(self, record: CrmRecord, *, by_us: bool) -> None:
        record.by_us = by_us
        shown_at, lag = self.world_now(), self._draw.uniform(0.0, self.nature.lag_seconds)
        if self.nature.index_lags:
            record.modified_at = self._stamp()
            shown_at += timedelta(seconds=lag)
            if record.versions:
                shown_at = max(shown_at, record.versions[-1].shown_at)
        else:
            record.modified_at = max(record.modified_at, self._stamp(seconds_ago=0.0 if by_us else lag))
        record.versions.append(Version(shown_at, dict(record.values), record.modified_at, record.state, by_us))

    def indexed(self) -> Iterable[tuple[CrmRecord, Version]]:
        """Every record with the version that the search index shows now."""
        now = self.world_now()
        for record in self.records.values():
            shown = next((version for version in reversed(record.versions) if version.shown_at <= now), None)
            if shown is not None:
                yield record, shown
