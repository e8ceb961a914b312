"""Questions and the ledger, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from crm.model import (
    ConflictChange,
    ConflictDraft,
    ConflictKind,
    LedgerEntry,
)
from crm.testing.memory_links import MemoryLinks
from crm.testing.memory_state import ConflictRow


class MemoryJournal(MemoryLinks):
    """The verbs of ``Unit`` that write down what happened and what is asked."""

    def ledger_of(self, run_id: str, after: str, limit: int) -> list[tuple[str, LedgerEntry]]:
        newest_first = sorted(
            (
                key
                for key, (owner, _) in self._state.ledger.items()
                if owner == run_id and (not after or key < int(after))
            ),
            reverse=True,
        )
        return [(str(key), self._state.ledger[key][1]) for key in newest_first[:limit]]

    def add_ledger(self, run_id: str, entries: Sequence[LedgerEntry]) -> None:
        for entry in entries:
            self._state.ledger[len(self._state.ledger)] = (run_id, entry)

    def save_conflicts(self, run_id: str, changes: Sequence[ConflictChange]) -> int:  # noqa: ARG002 - the port's shape
        opened = 0
        for change in changes:
            for conflict_id in change.closes:
                self._close(conflict_id)
            opened += sum(self._ask(change, draft) for draft in change.drafts)
        return opened

    def _close(self, conflict_id: str) -> None:
        row = self._state.conflicts.get(conflict_id)
        if row is not None and not row.closed:
            self._state.conflicts[conflict_id] = replace(row, closed=True)
            self._state.open_questions.drop(row.question)
            self._list_open(row.link_id, remove=conflict_id)

    def _ask(self, change: ConflictChange, draft: ConflictDraft) -> bool:
        """Open the question, or refresh it; an answer falls when the values it was shown are gone."""
        state = self._state
        row = ConflictRow("", change.link_id, change.contact_id, change.record_type, change.remote_id, draft)
        held_id = state.open_questions.get(row.question)
        if held_id is None:
            row = replace(row, conflict_id=self._app.new_id())
            state.conflicts[row.conflict_id] = row
            state.open_questions[row.question] = row.conflict_id
            self._list_open(row.link_id, add=row.conflict_id)
            return True
        held = state.conflicts[held_id]
        shown, now = held.draft, draft
        same = (shown.app_value, shown.crm_value) == (now.app_value, now.crm_value)
        same = same and (draft.kind is not ConflictKind.MATCH or shown.candidates == now.candidates)
        state.conflicts[held_id] = replace(
            held, draft=draft, answer=held.answer if same else None, create=held.create and same
        )
        return False

    def _list_open(self, link_id: str, *, add: str = "", remove: str = "") -> None:
        if link_id:
            table = self._state.conflicts_of_link
            table[link_id] = (
                *(each for each in table.get(link_id, ()) if each != remove),
                *((add,) if add else ()),
            )
