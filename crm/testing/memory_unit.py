"""One transaction on a connection in memory: ``Unit`` of ``crm.ports``, line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from crm.model import (
    SET_ASIDE,
    Action,
    ActionKind,
    AppContact,
    ConflictChange,
    ConflictDraft,
    ConflictKind,
    ContactState,
    ContactWrite,
    Intent,
    IntentKind,
    IntentStatus,
    Interval,
    KeyHit,
    LedgerEntry,
    LineResult,
    LineStatus,
    Link,
    LinkState,
    LinkView,
    LoneContact,
    Observation,
    OpenConflict,
    Phase,
    PlanLine,
    PlanTotals,
    RemoteState,
    RunState,
)
from crm.testing.memory_locks import record_keys
from crm.testing.memory_state import ConflictRow, ConnectionState, LineRow, copy_run

_LISTED: Final = 3
_CREATES: Final = (ActionKind.CREATE_IN_APP, ActionKind.CREATE_IN_CRM)
_HOLDING: Final = (LinkState.LIVE, LinkState.PENDING)
_ALONE: Final = (LinkState.PENDING, LinkState.SUPERSEDED)
"""Have no record yet, or have given it up to the link that goes on."""
_LinkTest = Callable[[Link], bool]


class MemoryUnit:
    """One transaction of one worker. The store opens it and undoes what it wrote when the block raises."""

    def __init__(self, state: ConnectionState, *, worker: str, origin: str) -> None:
        self._state = state
        self._app = state.app
        self._worker = worker
        self._origin = origin

    # the run

    def load_run(self, run_id: str) -> RunState:
        return replace(copy_run(self._state.runs[run_id]), loaded_at=self.now())

    def save_run(self, run: RunState) -> None:
        cancel = self._state.runs[run.run_id].cancel_requested
        position = {name: value for name, value in run.position.items() if name != "starts"}
        self._state.runs[run.run_id] = replace(copy_run(run), position=position, cancel_requested=cancel)

    def now(self) -> datetime:
        return self._app.now()

    # observe

    def links_for_records(self, record_type: str, remote_ids: Sequence[str]) -> list[LinkView]:
        found = (self._state.links_of_record.get((record_type, remote_id)) for remote_id in dict.fromkeys(remote_ids))
        return [self._view(self._state.links[link_id]) for link_id in found if link_id]

    def links_for_contacts(self, record_type: str, contact_ids: Sequence[str]) -> list[LinkView]:
        return [
            self._view(link)
            for contact_id in dict.fromkeys(contact_ids)
            for link in self._links_of(contact_id)
            if link.record_type == record_type
        ]

    def links(self, link_ids: Sequence[str]) -> list[LinkView]:
        found = (self._state.links.get(link_id) for link_id in dict.fromkeys(link_ids))
        return [self._view(link) for link in found if link is not None]

    def links_of(
        self,
        record_types: Sequence[str],
        contact_ids: Sequence[str],
        remote_ids: Sequence[str],
        link_ids: Sequence[str],
    ) -> list[LinkView]:
        views = self.links(link_ids)
        for record_type in record_types:
            views += self.links_for_contacts(record_type, contact_ids) + self.links_for_records(record_type, remote_ids)
        return list({view.link.link_id: view for view in views}.values())

    def _links_of(self, contact_id: str) -> list[Link]:
        return [self._state.links[link_id] for link_id in self._state.links_of_contact.get(contact_id, ())]

    def contacts(self, contact_ids: Sequence[str]) -> dict[str, AppContact]:
        found = ((contact_id, self._app.get(contact_id)) for contact_id in contact_ids)
        return {contact_id: contact for contact_id, contact in found if contact is not None}

    def app_changes(self, contact_ids: Sequence[str]) -> dict[str, dict[str, Interval]]:
        return {contact_id: self._app.last_changes(contact_id) for contact_id in contact_ids}

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

    def mark_seen(self, run_id: str, seen: Mapping[str, int]) -> None:
        for link_id, version in seen.items():
            link = self._state.links[link_id]
            self._state.links[link_id] = replace(
                link, observed_at=self.now(), synced_version=max(link.synced_version, version), due=False
            )
            self._state.links_seen[link_id] = run_id

    def add_lines(self, run_id: str, plan_id: str, actions: Sequence[Action]) -> None:
        for action in actions:
            self._state.put_line(LineRow(PlanLine(self._app.new_id(), action), plan_id, run_id))

    # pair

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
            row.remote_id: _open_conflict(row)
            for row in rows
            if row.record_type == record_type and not row.link_id and not row.contact_id
        }

    def unpaired_contacts(
        self,
        record_type: str,
        after: str,
        limit: int,
        *,
        recheck_matches: bool,
        marked: bool = False,  # noqa: ARG002
    ) -> list[LoneContact]:
        found = [
            LoneContact(contact, links[0] if links else None, self._match_question(links))
            for contact in self._app.live()
            if contact.contact_id > after and self._may_pair(record_type, contact.contact_id)
            for links in (self._links_of(contact.contact_id),)
            if not links or self._waits(record_type, contact, links, recheck_matches=recheck_matches)
        ]
        return sorted(found, key=lambda alone: alone.contact.contact_id)[:limit]

    def _match_question(self, links: list[Link]) -> OpenConflict | None:
        asked = self._view(links[0]).conflicts if links else ()
        return next((question for question in asked if question.kind is ConflictKind.MATCH), None)

    def _may_pair(self, record_type: str, contact_id: str) -> bool:
        state, key = self._state, f"contact:{record_type}:{contact_id}"
        return not (state.excluded.get(contact_id) or key in state.waiting or state.locks.is_busy(key))

    def _waits(self, record_type: str, contact: AppContact, links: list[Link], *, recheck_matches: bool) -> bool:
        """The contact's only link is a PENDING one of this type whose time has come."""
        link = links[0]
        return (
            len(links) == 1
            and link.state is LinkState.PENDING
            and link.record_type == record_type
            and (
                link.due
                or contact.version > link.synced_version
                or self._attempt_has_come(link)
                or (recheck_matches and link.error_code.startswith("match."))
            )
        )

    def key_hits(
        self, record_type: str, email_keys: Iterable[str], phone_keys: Iterable[str]
    ) -> tuple[dict[str, KeyHit], dict[str, KeyHit]]:
        state = self._state
        wanted = ({key for key in email_keys if key}, {key for key in phone_keys if key})
        contacts: tuple[dict[str, list[str]], ...] = ({}, {})
        records: tuple[dict[str, list[str]], ...] = ({}, {})
        for row in self._app.rows.values():
            if row.contact.state is ContactState.LIVE:
                for index, key in enumerate((row.email_key, row.phone_key)):
                    if key in wanted[index]:
                        contacts[index].setdefault(key, []).append(row.contact.contact_id)
        for (kind, remote_id), keys in state.record_keys.items():
            if kind == record_type and self._is_known_live(record_type, remote_id):
                for index, key in enumerate(keys):
                    if key in wanted[index]:
                        records[index].setdefault(key, []).append(remote_id)
        emails, phones = (
            {
                key: self._hit(record_type, sorted(contacts[index].get(key, ())), sorted(records[index].get(key, ())))
                for key in sorted(contacts[index].keys() | records[index].keys())
            }
            for index in (0, 1)
        )
        return emails, phones

    def _hit(self, record_type: str, contact_ids: Sequence[str], remote_ids: Sequence[str]) -> KeyHit:
        state = self._state
        contacts, records = tuple(contact_ids[:_LISTED]), tuple(remote_ids[:_LISTED])
        return KeyHit(
            contacts=contacts,
            free_contacts=tuple(each for each in contacts if self._is_free(record_type, each)),
            records=records,
            free_records=tuple(each for each in records if (record_type, each) not in state.links_of_record),
            creating=tuple(
                each
                for each in contact_ids
                if state.locks.open_kind(f"contact:{record_type}:{each}") is IntentKind.CREATE
            ),
        )

    def _is_free(self, record_type: str, contact_id: str) -> bool:
        links = [link for link in self._links_of(contact_id) if link.record_type == record_type]
        return all(link.state is LinkState.PENDING for link in links)

    def _is_known_live(self, record_type: str, remote_id: str) -> bool:
        link_id = self._state.links_of_record.get((record_type, remote_id))
        if link_id:
            link, saved_at = self._state.links[link_id], self._state.links_saved_at[link_id]
            outlived = link.observed_at is not None and link.observed_at > saved_at
            return link.state in (LinkState.LIVE, LinkState.UNLINKED) or outlived
        held = self._state.observations.get((record_type, remote_id))
        return held is not None and held[0].record.state is RemoteState.LIVE

    def open_creates(self, record_type: str) -> list[Intent]:
        return [
            intent
            for intent in self._state.locks.open_intents()
            if intent.kind is IntentKind.CREATE and intent.action.record_type == record_type
        ]

    def named_contacts(self, plan_id: str, record_type: str, contact_ids: Sequence[str]) -> dict[str, str]:
        named: dict[str, str] = {}
        for remote_id, question in sorted(self._record_questions(record_type).items(), reverse=True):
            named.update(dict.fromkeys(_contacts_in(question.candidates), remote_id))
        for row in self._state.lines.values():
            action = row.line.action
            if row.plan_id == plan_id:
                named[action.contact_id] = ""
                for draft in action.conflicts if action.remote_id else ():
                    named.update(dict.fromkeys(_contacts_in(draft.candidates), ""))
        return {contact_id: named[contact_id] for contact_id in contact_ids if contact_id in named}

    # due work

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

    def due_links(
        self,
        record_type: str,
        after: str,
        limit: int,
        *,
        marked: bool = False,  # noqa: ARG002
    ) -> list[LinkView]:
        answered = {row.link_id for row in self._state.conflicts.values() if row.answer and not row.closed}
        return self._live_views(record_type, after, limit, lambda link: link.link_id in answered or self._is_due(link))

    def missing_links(self, run_id: str, record_type: str, after: str, limit: int) -> list[LinkView]:
        seen = self._state.links_seen
        return self._live_views(record_type, after, limit, lambda link: seen.get(link.link_id) != run_id)

    def _live_views(self, record_type: str, after: str, limit: int, chosen: _LinkTest) -> list[LinkView]:
        found = sorted(
            link.link_id
            for link in self._state.links.values()
            if link.state is LinkState.LIVE
            and link.record_type == record_type
            and link.link_id > after
            and chosen(link)
        )
        return [self._view(self._state.links[link_id]) for link_id in found[:limit]]

    def _is_due(self, link: Link) -> bool:
        contact = self._app.rows[link.contact_id].contact
        return link.due or contact.version > link.synced_version or self._attempt_has_come(link)

    def _attempt_has_come(self, link: Link) -> bool:
        attempt_at = self._state.next_attempts.get(link.link_id)
        return attempt_at is not None and attempt_at <= self.now()

    # guard and apply

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

    def save_links(self, links: Sequence[Link]) -> dict[str, str]:
        return {link.link_id: self._save_link(link) for link in links}

    def _save_link(self, link: Link) -> str:
        state = self._state
        record = (link.record_type, link.remote_id)
        if link.contact_id not in self._app.rows:
            raise ValueError(f"link {link.link_id} names a contact that does not exist")
        if link.state not in _ALONE and not link.remote_id:
            raise ValueError(f"link {link.link_id} is {link.state} without a record")
        if link.remote_id and state.links_of_record.get(record, link.link_id) != link.link_id:
            return "match.taken"
        if link.state in _HOLDING and any(
            other.state in _HOLDING and other.record_type == link.record_type and other.link_id != link.link_id
            for other in self._links_of(link.contact_id)
        ):
            return "match.taken"
        before = state.links.get(link.link_id)
        if before is not None:
            self._unindex(before)
        if link.remote_id:
            state.links_of_record[record] = link.link_id
            _, seen_by = state.observations.get(record, (None, ""))
            if seen_by:
                state.links_seen[link.link_id] = seen_by
                del state.observations[record]
        state.links_of_contact[link.contact_id] = (
            *(each for each in state.links_of_contact.get(link.contact_id, ()) if each != link.link_id),
            link.link_id,
        )
        state.next_attempts.drop(link.link_id)
        if link.next_attempt_seconds is not None:
            state.next_attempts[link.link_id] = self.now() + timedelta(seconds=link.next_attempt_seconds)
        state.links[link.link_id] = replace(link, next_attempt_seconds=None)
        state.links_saved_at[link.link_id] = self.now()
        return ""

    def _unindex(self, link: Link) -> None:
        state = self._state
        if link.remote_id:
            state.links_of_record.drop((link.record_type, link.remote_id))
        left = tuple(each for each in state.links_of_contact.get(link.contact_id, ()) if each != link.link_id)
        if left:
            state.links_of_contact[link.contact_id] = left
        else:
            state.links_of_contact.drop(link.contact_id)

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

    # cursors

    def cursor(self, record_type: str) -> datetime | None:
        return self._state.cursors.get(record_type)

    def save_cursor(self, record_type: str, watermark: datetime) -> None:
        held = self._state.cursors.get(record_type)
        self._state.cursors[record_type] = watermark if held is None else max(held, watermark)

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

    def _view(self, link: Link) -> LinkView:
        state = self._state
        keys = (
            f"link:{link.link_id}",
            f"contact:{link.record_type}:{link.contact_id}",
            f"record:{link.record_type}:{link.remote_id}",
        )
        rows = [state.conflicts[conflict_id] for conflict_id in state.conflicts_of_link.get(link.link_id, ())]
        return LinkView(
            link=link,
            contact=self._app.rows[link.contact_id].contact,
            held=any(key in state.waiting or state.locks.is_busy(key) for key in keys),
            conflicts=tuple(map(_open_conflict, rows)),
            resolutions={row.draft.mapping_id: row.answer for row in rows if row.answer is not None},
            excluded=bool(state.excluded.get(link.contact_id)),
        )


def _open_conflict(row: ConflictRow) -> OpenConflict:
    draft = row.draft
    return OpenConflict(
        row.conflict_id,
        draft.kind,
        draft.mapping_id,
        draft.app_value,
        draft.crm_value,
        draft.code,
        draft.candidates,
        row.create,
    )


def _contacts_in(candidates: tuple[str, ...]) -> list[str]:
    return [each.removeprefix("contact:") for each in candidates if each.startswith("contact:")]


def _stops(code: str, action: Action) -> bool:
    match code:
        case "brake.deletions":
            return action.deletes or action.blanks
        case "brake.creations":
            return action.kind in _CREATES
        case "brake.empty_source" | "brake.first_sync":
            return True
    raise ValueError(f"{code} is no brake")
