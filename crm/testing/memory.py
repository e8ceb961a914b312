"""The store in memory: ``SyncStore`` of ``crm.ports``, as one process can have it.

A ``MemoryStore`` is one worker's handle on a connection; ``rival()`` gives another worker's. Units
never overlap (one thread), so a transaction is an undo log: see ``memory_tables``. The app's own
side is ``memory_app``, the port's verbs are ``memory_unit``, claims and leases ``memory_locks``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from crm.model import (
    Intent,
    LedgerEntry,
    LineStatus,
    Link,
    Resolution,
    RunKind,
    RunState,
    Side,
    Value,
)
from crm.testing.memory_app import MemoryApp
from crm.testing.memory_state import ConflictRow, ConnectionState, copy_run
from crm.testing.memory_unit import MemoryUnit


class MemoryStore:
    """One worker's ``SyncStore`` on a connection in memory, with the doors of users and services beside it."""

    def __init__(
        self, app: MemoryApp | None = None, *, name: str = "crm", state: ConnectionState | None = None
    ) -> None:
        self.app = app or MemoryApp()
        self.name = name
        self.state = state or ConnectionState(self.app)
        self.worker = self.app.new_id()
        self._lease: tuple[str, int] | None = None

    def rival(self) -> MemoryStore:
        """Another worker on the same connection."""
        return MemoryStore(self.app, name=self.name, state=self.state)

    def fork(self, app: MemoryApp) -> MemoryStore:
        """The same connection once more, beside a fork of the app."""
        return MemoryStore(app, name=self.name, state=self.state.fork(app))

    def new_id(self) -> str:
        return self.app.new_id()

    @contextmanager
    def unit(self, run_id: str = "") -> Iterator[MemoryUnit]:  # noqa: ARG002 - the port's shape
        journal = self.app.journal
        if self._lease:
            self.state.locks.renew_lease(*self._lease)
        journal.begin()
        try:
            yield MemoryUnit(self.state, worker=self.worker, origin=self.name)
        except BaseException:
            journal.rollback()
            raise
        journal.commit()

    # services around the engine

    def take_lease(self, stream: str) -> None:
        """Own this stream from now on; raises LeaseLostError while another worker does."""
        self._lease = (stream, self.state.locks.take_lease(stream))

    def release_lease(self) -> None:
        if self._lease:
            self.state.locks.release_lease(*self._lease)
        self._lease = None

    @property
    def has_lease(self) -> bool:
        return self._lease is not None

    def lease_is_ours(self) -> bool:
        """The stream, if this worker took one, has been given to nobody since."""
        return self._lease is None or self.state.locks.fence(self._lease[0]) == self._lease[1]

    def start_run(
        self,
        kind: RunKind = RunKind.FULL,
        *,
        record_types: tuple[str, ...] = ("contact",),
        dry_run: bool = False,
        first_sync: bool = False,
        limit: int | None = None,
        contact_ids: tuple[str, ...] = (),
        remote_ids: tuple[str, ...] = (),
        plan_id: str = "",
    ) -> str:
        """A stored run, ready to be advanced. With ``plan_id`` it applies that approved plan."""
        run = RunState(
            run_id=self.new_id(),
            kind=kind,
            record_types=record_types,
            plan_id=plan_id or self.new_id(),
            dry_run=dry_run,
            approved=bool(plan_id),
            limit=limit,
            contact_ids=contact_ids,
            remote_ids=remote_ids,
            first_sync=first_sync,
        )
        self.state.runs[run.run_id] = run
        self.state.runs_started[run.run_id] = self.app.now()
        return run.run_id

    def run(self, run_id: str) -> RunState:
        return copy_run(self.state.runs[run_id])

    def request_cancel(self, run_id: str) -> None:
        self.state.runs[run_id] = replace(self.run(run_id), cancel_requested=True)

    def approve_plan(self, plan_id: str) -> int:
        """A person approves the lines shown, held or planned; returns how many."""
        shown = [
            row
            for row in self.state.lines.values()
            if row.plan_id == plan_id and row.line.status in (LineStatus.HELD, LineStatus.PLANNED)
        ]
        for row in shown:
            self.state.put_line(replace(row, line=replace(row.line, status=LineStatus.PLANNED, approved=True)))
        return len(shown)

    def answer_conflict(self, conflict_id: str, side: Side | None, value: Value = None) -> None:
        """A person's answer to the question as it stands now; None with ``value`` for a typed one."""
        row = self.state.conflicts[conflict_id]
        answer = Resolution(conflict_id, side, value, row.draft.app_value, row.draft.crm_value)
        self.state.conflicts[conflict_id] = replace(row, answer=answer)

    def create_anyway(self, conflict_id: str) -> None:
        """A person's answer to a match: none of these, make a new one."""
        row = self.state.conflicts[conflict_id]
        self.state.conflicts[conflict_id] = replace(row, create=True)
        if row.link_id:
            self.state.links[row.link_id] = replace(self.state.links[row.link_id], due=True)

    def exclude(self, contact_id: str, *, excluded: bool = True) -> None:
        self.state.excluded[contact_id] = excluded

    # what a test or an oracle looks at

    def links(self) -> list[Link]:
        return sorted(self.state.links.values(), key=lambda link: link.link_id)

    def ledger(self) -> list[LedgerEntry]:
        return [entry for _, entry in self.state.ledger.values()]

    def open_conflicts(self) -> list[ConflictRow]:
        return [row for row in self.state.conflicts.values() if not row.closed]

    def intents(self) -> list[Intent]:
        return list(self.state.locks.intents.values())
