"""Who is who: the question that a match leads to, and whether it is asked already."""

from __future__ import annotations

from crm.engine.match import Match
from crm.engine.rulebook import Rulebook
from crm.model import (
    Action,
    ActionKind,
    AppContact,
    ConflictDraft,
    ConflictKind,
    LinkState,
    LinkView,
    OpenConflict,
    Precondition,
)


def review(
    book: Rulebook, match: Match, *, contact: AppContact | None = None, link_id: str = "", remote_id: str = ""
) -> Action:
    draft = ConflictDraft(ConflictKind.MATCH, code=match.review_code, candidates=match.candidates)
    return Action(
        kind=ActionKind.REVIEW,
        record_type=book.record_type,
        contact_id=contact.contact_id if contact is not None else "",
        remote_id=remote_id,
        link_id=link_id,
        conflicts=() if match.asked else (draft,),
        code=match.review_code,
        link_state=LinkState.PENDING,
        before=Precondition(app_version=contact.version if contact is not None else 0),
    )


def match_question(view: LinkView) -> OpenConflict | None:
    return next((question for question in view.conflicts if question.kind is ConflictKind.MATCH), None)


def still_asks(question: OpenConflict, match: Match) -> bool:
    return (question.code, question.candidates) == (match.review_code, match.candidates)
