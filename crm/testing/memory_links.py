"""Links in memory: what a planner knows of each, which are due, and the unique rules of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from crm.model import (
    Link,
    LinkState,
    LinkView,
    OpenConflict,
)
from crm.testing.memory_state import ConflictRow, ConnectionState

_HOLDING: Final = (LinkState.LIVE, LinkState.PENDING)
_ALONE: Final = (LinkState.PENDING, LinkState.SUPERSEDED)
"""Have no record yet, or have given it up to the link that goes on."""
_LinkTest = Callable[[Link], bool]


class MemoryLinks:
    """The link verbs of ``Unit``, and what all of them stand on."""

    def __init__(self, state: ConnectionState, *, worker: str, origin: str) -> None:
        self._state = state
        self._app = state.app
        self._worker = worker
        self._origin = origin

    def now(self) -> datetime:
        return self._app.now()

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

    def mark_seen(self, run_id: str, seen: Mapping[str, int]) -> None:
        for link_id, version in seen.items():
            link = self._state.links[link_id]
            self._state.links[link_id] = replace(
                link, observed_at=self.now(), synced_version=max(link.synced_version, version), due=False
            )
            self._state.links_seen[link_id] = run_id

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
            conflicts=tuple(map(open_conflict, rows)),
            resolutions={row.draft.mapping_id: row.answer for row in rows if row.answer is not None},
            excluded=bool(state.excluded.get(link.contact_id)),
        )


def open_conflict(row: ConflictRow) -> OpenConflict:
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
