"""The tables of one connection in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime

from crm.model import (
    ConflictDraft,
    LedgerEntry,
    LineStatus,
    Link,
    Observation,
    PlanLine,
    Resolution,
    RunState,
)
from crm.testing.memory_app import MemoryApp
from crm.testing.memory_locks import Locks, record_keys
from crm.testing.memory_tables import Table


@dataclass(frozen=True, slots=True)
class ConflictRow:
    """A question and, once a person answered, the answer; ``closed`` once it is settled."""

    conflict_id: str
    link_id: str
    contact_id: str
    record_type: str
    remote_id: str
    draft: ConflictDraft
    answer: Resolution | None = None
    create: bool = False
    """A match: "none of these"."""
    closed: bool = False

    @property
    def question(self) -> tuple[str, ...]:
        about = (self.link_id,) if self.link_id else (self.record_type, self.contact_id, self.remote_id)
        return (*about, self.draft.kind.value, self.draft.mapping_id)


@dataclass(frozen=True, slots=True)
class LineRow:
    line: PlanLine
    plan_id: str
    run_id: str


class ConnectionState:
    """The tables of one connection."""

    def __init__(self, app: MemoryApp) -> None:
        self.app = app
        self.runs: Table[str, RunState] = Table(app.journal)
        self.links: Table[str, Link] = Table(app.journal)
        self.links_of_record: Table[tuple[str, str], str] = Table(app.journal)
        self.links_of_contact: Table[str, tuple[str, ...]] = Table(app.journal)
        self.links_saved_at: Table[str, datetime] = Table(app.journal)
        self.links_seen: Table[str, str] = Table(app.journal)
        self.next_attempts: Table[str, datetime] = Table(app.journal)
        self.observations: Table[tuple[str, str], tuple[Observation, str]] = Table(app.journal)
        self.observed_at: Table[tuple[str, str], datetime] = Table(app.journal)
        self.runs_started: Table[str, datetime] = Table(app.journal)
        self.record_keys: Table[tuple[str, str], tuple[str, str]] = Table(app.journal)
        self.lines: Table[str, LineRow] = Table(app.journal)
        self.waiting: Table[str, frozenset[str]] = Table(app.journal)
        self.conflicts: Table[str, ConflictRow] = Table(app.journal)
        self.open_questions: Table[tuple[str, ...], str] = Table(app.journal)
        self.conflicts_of_link: Table[str, tuple[str, ...]] = Table(app.journal)
        self.ledger: Table[int, tuple[str, LedgerEntry]] = Table(app.journal)
        self.cursors: Table[str, datetime] = Table(app.journal)
        self.excluded: Table[str, bool] = Table(app.journal)
        self.locks = Locks(app)

    def fork(self, app: MemoryApp) -> ConnectionState:
        """The same rows once more, beside a fork of the app."""
        twin = ConnectionState(app)
        for name, table in vars(self).items():
            if isinstance(table, Table):
                setattr(twin, name, table.fork(app.journal))
        twin.locks = self.locks.fork(app)
        return twin

    def put_line(self, row: LineRow) -> None:
        """Store a line and keep the index of records with a line that waits for approval."""
        line = row.line
        before = self.lines.get(line.line_id)
        self.lines[line.line_id] = row
        waited = before is not None and before.line.status is LineStatus.HELD
        if waited != (line.status is LineStatus.HELD):
            for key in record_keys(line.action):
                ids = self.waiting.get(key, frozenset()) ^ {line.line_id}
                if ids:
                    self.waiting[key] = ids
                else:
                    self.waiting.drop(key)


def copy_run(run: RunState) -> RunState:
    """Through JSON, as the real row goes: a position that is no JSON fails here too."""
    return replace(run, position=json.loads(json.dumps(run.position)), counts=replace(run.counts))
