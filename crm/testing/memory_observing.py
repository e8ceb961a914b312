"""What was read from the CRM, in memory: on links, and in rows of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from crm.model import (
    SET_ASIDE,
    ActionKind,
    Link,
    LinkState,
    Observation,
    OpenConflict,
    RemoteState,
)
from crm.testing.memory_journal import MemoryJournal
from crm.testing.memory_links import open_conflict


class MemoryObservations(MemoryJournal):
    """The observation verbs of ``Unit``."""

    def save_observations(
        self, run_id: str, observations: Sequence[Observation], read_at: datetime | None = None
    ) -> set[str]:
        state, overtaken = self._state, set()
        for observation in observations:
            record = observation.record
            key = (record.record_type, record.remote_id)
            link_id = observation.link_id or state.links_of_record.get(key, "")
            if link_id and read_at is not None and state.links_saved_at[link_id] > read_at:
                overtaken.add(link_id)
                continue
            state.record_keys[key] = (observation.email_key, observation.phone_key)
            if link_id:
                link = state.links[link_id]
                state.links[link_id] = replace(link, observed=dict(record.values), observed_at=self.now(), due=True)
                state.links_seen[link_id] = run_id
            else:
                state.observations[key] = (self._kept_aside(observation), run_id)
                state.observed_at[key] = self.now()
        return overtaken

    def _kept_aside(self, observation: Observation) -> Observation:
        """A record that was set aside stays so until it changes."""
        record = observation.record
        held, _ = self._state.observations.get((record.record_type, record.remote_id), (None, ""))
        if held is None or held.reason_code != SET_ASIDE or held.record.modified_at != record.modified_at:
            return observation
        return replace(observation, record=replace(record, skip_reason=SET_ASIDE), reason_code=SET_ASIDE)

    def unpaired_records(self, run_id: str, record_type: str, after: str, limit: int) -> list[Observation]:
        planned = self._planned_records(self._state.runs[run_id].plan_id, record_type)
        questions = self._record_questions(record_type)
        found = [
            replace(observation, question=questions.get(remote_id))
            for (kind, remote_id), (observation, seen_by) in self._state.observations.items()
            if kind == record_type
            and remote_id > after
            and (seen_by == run_id or (remote_id in questions and questions[remote_id].create))
            and observation.record.state is RemoteState.LIVE
            and f"record:{record_type}:{remote_id}" not in self._state.waiting
            and remote_id not in planned
        ]
        return sorted(found, key=lambda observation: observation.record.remote_id)[:limit]

    def _planned_records(self, plan_id: str, record_type: str) -> set[str]:
        return {
            row.line.action.remote_id
            for row in self._state.lines.values()
            if row.plan_id == plan_id
            and row.line.action.record_type == record_type
            and row.line.action.kind is not ActionKind.REVIEW
        }

    def _record_questions(self, record_type: str) -> dict[str, OpenConflict]:
        """Open match questions about records that have no link."""
        rows = (self._state.conflicts[conflict_id] for conflict_id in self._state.open_questions.values())
        return {
            row.remote_id: open_conflict(row)
            for row in rows
            if row.record_type == record_type and not row.link_id and not row.contact_id
        }

    def finish_scan(self, run_id: str, record_type: str) -> None:
        begun = self._state.runs_started[run_id]
        gone = [
            key
            for key, (_, seen_by) in self._state.observations.items()
            if key[0] == record_type and seen_by != run_id and self._state.observed_at[key] < begun
        ]
        for key in gone:
            del self._state.observations[key]
            self._state.record_keys.drop(key)
        for link in list(self._state.links.values()):
            key = (record_type, link.remote_id)
            outlived = link.record_type == record_type and link.remote_id and link.state is not LinkState.LIVE
            if outlived and self._state.links_seen.get(link.link_id) != run_id and not self._is_seen_since(link, begun):
                self._state.record_keys.drop(key)
        for remote_id, question in self._record_questions(record_type).items():
            if (record_type, remote_id) not in self._state.observations:
                self._close(question.conflict_id)

    @staticmethod
    def _is_seen_since(link: Link, moment: datetime) -> bool:
        return link.observed_at is not None and link.observed_at >= moment
