"""Who has no partner yet, in memory, and what is known of a match key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from crm.model import (
    AppContact,
    ConflictKind,
    ContactState,
    Intent,
    IntentKind,
    KeyHit,
    Link,
    LinkState,
    LoneContact,
    OpenConflict,
    RemoteState,
)
from crm.testing.memory_observing import MemoryObservations

_LISTED: Final = 3


class MemoryPairing(MemoryObservations):
    """The pairing verbs of ``Unit``."""

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


def _contacts_in(candidates: tuple[str, ...]) -> list[str]:
    return [each.removeprefix("contact:") for each in candidates if each.startswith("contact:")]
