"""A contact whose record was made and then became another contact's: it waits for a person, and gets no second one."""

from __future__ import annotations

from dataclasses import replace

from crm.engine.match import MADE_AND_TAKEN
from crm.model import Action, ConflictChange, ConflictDraft, ConflictKind, Link, LinkState


def wait_for_person(
    action: Action, link: Link | None, contact_version: int, remote_id: str
) -> tuple[Link, ConflictChange]:
    """The row on which the contact waits, and the question whose record ``remote_id`` is."""
    waiting = replace(
        link or Link(action.link_id, action.contact_id, action.record_type, ""),
        state=LinkState.PENDING,
        synced_version=contact_version,
        due=False,
        error_code=MADE_AND_TAKEN,
    )
    draft = ConflictDraft(
        ConflictKind.MATCH,
        code=MADE_AND_TAKEN,
        candidates=(f"contact:{action.contact_id}", f"record:{remote_id}"),
    )
    return waiting, ConflictChange(waiting.link_id, action.contact_id, action.record_type, remote_id, drafts=(draft,))
