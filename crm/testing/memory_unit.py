"""One transaction on a connection in memory: ``Unit`` of ``crm.ports``, line by line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from crm.model import (
    Action,
    ActionKind,
    AppContact,
    ContactWrite,
    Intent,
    IntentStatus,
    Interval,
    LineResult,
    LineStatus,
    LinkState,
    Phase,
    PlanLine,
    PlanTotals,
    RemoteState,
    RunState,
)
from crm.testing.memory_locks import record_keys
from crm.testing.memory_pairing import MemoryPairing
from crm.testing.memory_state import LineRow, copy_run

_CREATES: Final = (ActionKind.CREATE_IN_APP, ActionKind.CREATE_IN_CRM)


class MemoryUnit(MemoryPairing):
    """One transaction of one worker. The store opens it and undoes what it wrote when the block raises."""

    def load_run(self, run_id: str) -> RunState:
        return replace(copy_run(self._state.runs[run_id]), loaded_at=self.now())

    def save_run(self, run: RunState) -> None:
        cancel = self._state.runs[run.run_id].cancel_requested
        position = {name: value for name, value in run.position.items() if name != "starts"}
        self._state.runs[run.run_id] = replace(copy_run(run), position=position, cancel_requested=cancel)

    def contacts(self, contact_ids: Sequence[str]) -> dict[str, AppContact]:
        found = ((contact_id, self._app.get(contact_id)) for contact_id in contact_ids)
        return {contact_id: contact for contact_id, contact in found if contact is not None}

    def app_changes(self, contact_ids: Sequence[str]) -> dict[str, dict[str, Interval]]:
        return {contact_id: self._app.last_changes(contact_id) for contact_id in contact_ids}

    def add_lines(self, run_id: str, plan_id: str, actions: Sequence[Action]) -> None:
        for action in actions:
            self._state.put_line(LineRow(PlanLine(self._app.new_id(), action), plan_id, run_id))

    def phases_with_work(
        self,
        run_id: str,
        record_type: str,
        phases: Sequence[Phase],
        *,
        recheck_matches: bool,
        marked: bool = False,  # noqa: ARG002
    ) -> set[Phase]:
        first: dict[Phase, Callable[[], Sequence[object]]] = {
            Phase.MISSING: lambda: self.missing_links(run_id, record_type, "", 1),
            Phase.CHANGED: lambda: self.due_links(record_type, "", 1),
            Phase.PAIR: lambda: self.unpaired_records(run_id, record_type, "", 1),
            Phase.UNPAIRED: lambda: self.unpaired_contacts(record_type, "", 1, recheck_matches=recheck_matches),
        }
        return {phase for phase in phases if first[phase]()}

    def mark_changed(self) -> bool:
        """Every question here is asked of everything: nothing has to be marked."""
        return True

    def plan_totals(self, run_id: str, plan_id: str) -> PlanTotals:
        state = self._state
        actions = [
            row.line.action
            for row in state.lines.values()
            if row.plan_id == plan_id and row.line.status not in (LineStatus.DROPPED, LineStatus.STALE)
        ]
        return PlanTotals(
            live_links=sum(link.state is LinkState.LIVE for link in state.links.values()),
            contacts=sum(1 for _ in self._app.live()),
            deletes=sum(action.deletes for action in actions),
            blanks=sum(action.blanks for action in actions),
            creates_in_app=sum(action.kind is ActionKind.CREATE_IN_APP for action in actions),
            creates_in_crm=sum(action.kind is ActionKind.CREATE_IN_CRM for action in actions),
            overwrites=sum(any(effect.overrules for effect in action.effects) for action in actions),
            lines=len(actions),
            records_seen=sum(seen_by == run_id for seen_by in state.links_seen.values())
            + sum(
                seen_by == run_id and observation.record.state is RemoteState.LIVE
                for observation, seen_by in state.observations.values()
            ),
        )

    def hold_lines(self, plan_id: str, codes: Sequence[str]) -> int:
        stopped = [
            row
            for row in self._state.lines.values()
            if row.plan_id == plan_id
            and row.line.status is LineStatus.PLANNED
            and not row.line.approved
            and any(_stops(code, row.line.action) for code in codes)
        ]
        for row in stopped:
            self._state.put_line(replace(row, line=replace(row.line, status=LineStatus.HELD)))
        return len(stopped)

    def claim_lines(self, plan_id: str, stage: int, limit: int) -> list[PlanLine]:
        claimed: list[PlanLine] = []
        for line_id, row in sorted(self._state.lines.items()):
            if len(claimed) == limit:
                break
            wanted = row.plan_id == plan_id and row.line.status is LineStatus.PLANNED and row.line.action.stage == stage
            if wanted and self._state.locks.claim(self._worker, line_id, record_keys(row.line.action)):
                claimed.append(row.line)
        return claimed

    def check_claims(self, lines: Sequence[PlanLine]) -> None:
        for line in lines:
            self._state.locks.check_claim(self._worker, line.line_id, record_keys(line.action))

    def record_intents(self, intents: Sequence[Intent]) -> None:
        for intent in intents:
            self._state.locks.open_intent(intent)

    def take_open_intents(self, limit: int) -> list[Intent]:
        return self._state.locks.take_open_intents(self._worker, limit)

    def lock_open_intents(self, intent_ids: Sequence[str]) -> set[str]:
        return {intent.intent_id for intent in self._state.locks.open_intents()} & set(intent_ids)

    def settle_intents(self, settled: Sequence[tuple[str, IntentStatus, str]]) -> None:
        for intent_id, status, error_code in settled:
            self._state.locks.settle_intent(self._worker, intent_id, status, error_code)

    def write_contacts(self, writes: Sequence[ContactWrite]) -> dict[str, int]:
        written = ((write.contact_id, self._app.write(write, self._origin)) for write in writes)
        return {contact_id: version for contact_id, version in written if version is not None}

    def settle_lines(self, results: Sequence[LineResult]) -> None:
        for result in results:
            row = self._state.lines[result.line_id]
            self._state.put_line(replace(row, line=replace(row.line, status=result.status)))
            self._state.locks.give_back(self._worker, result.line_id, record_keys(row.line.action))

    def lines(self, plan_id: str, status: LineStatus, after: str, limit: int) -> list[PlanLine]:
        found = sorted(
            line_id
            for line_id, row in self._state.lines.items()
            if row.plan_id == plan_id and row.line.status is status and line_id > after
        )
        return [self._state.lines[line_id].line for line_id in found[:limit]]

    def cursor(self, record_type: str) -> datetime | None:
        return self._state.cursors.get(record_type)

    def save_cursor(self, record_type: str, watermark: datetime) -> None:
        held = self._state.cursors.get(record_type)
        self._state.cursors[record_type] = watermark if held is None else max(held, watermark)


def _stops(code: str, action: Action) -> bool:
    match code:
        case "brake.deletions":
            return action.deletes or action.blanks
        case "brake.creations":
            return action.kind in _CREATES
        case "brake.empty_source" | "brake.first_sync":
            return True
    raise ValueError(f"{code} is no brake")
