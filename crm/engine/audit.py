"""Do app, CRM and base still agree? The planner's own answer for each link, read as a finding, and acted on by nobody.

What a coming sync takes by itself is *waiting*; what no sync would find by itself has *drifted*, by a cause that says
how it is repaired. Pure but for ``read_page``, which reads both sides and writes nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from crm.engine.context import Ports
from crm.engine.plan import plan_link
from crm.engine.rulebook import Rulebook
from crm.model import Action, ActionKind, ConflictChange, LinkView, RemoteRecord, RemoteState


class Cause(enum.StrEnum):
    """Why a pair does not agree."""

    WAITING = "waiting"
    """Changed since its last sync; the next one takes it."""
    MISSED_IN_APP = "missed_in_app"
    """The contact differs from what was agreed, at a version that counts as synced."""
    MISSED_IN_CRM = "missed_in_crm"
    """The record differs, and the stream's watermark lies behind its change."""
    CONFLICT = "conflict"
    """Both sides changed a field, and a person is asked."""
    CONTACT_GONE = "contact_gone"
    RECORD_GONE = "record_gone"
    REFUSED = "refused"
    """A value that the other side does not take."""
    UNRECORDED = "unrecorded"
    """The sides agree, and the base does not know it."""


DRIFT = frozenset({Cause.MISSED_IN_APP, Cause.MISSED_IN_CRM, Cause.CONTACT_GONE, Cause.RECORD_GONE, Cause.UNRECORDED})
"""What is repaired by looking at the records again; the others wait for a sync or a person."""


@dataclass(frozen=True, slots=True)
class Finding:
    link_id: str
    contact_id: str
    record_type: str
    remote_id: str
    cause: Cause | None
    """None: in step."""
    questions: ConflictChange | None = None
    """Conflicts to open and to close."""


def audit_link(view: LinkView, record: RemoteRecord, book: Rulebook, watermark: datetime | None) -> Finding:
    """One link on fresh values of both sides. ``watermark``: up to where the stream's deltas have read."""
    planned = plan_link(view, record, book)
    action = planned.action
    cause: Cause | None = None
    if planned.contested:  # the newest edit wins, once a sync has asked when each was made
        cause = _missed(view, record, watermark, pushes=True, pulls=True)
    elif record.state is RemoteState.MERGED:
        cause = Cause.RECORD_GONE
    elif action is not None:
        cause = _cause(action, view, record, watermark)
    questions = None
    # An answer that waits to be applied is the sync's to close.
    closes = action.closes if action is not None and not view.resolutions else ()
    if action is not None and action.kind is ActionKind.SYNC and (action.conflicts or closes):
        questions = ConflictChange(
            link_id=view.link.link_id,
            contact_id=view.contact.contact_id,
            record_type=book.record_type,
            remote_id=view.link.remote_id,
            drafts=action.conflicts,
            closes=closes,
        )
    return Finding(view.link.link_id, view.contact.contact_id, book.record_type, view.link.remote_id, cause, questions)


def _cause(action: Action, view: LinkView, record: RemoteRecord, watermark: datetime | None) -> Cause | None:
    if action.kind is not ActionKind.SYNC:
        return Cause.RECORD_GONE if record.state is not RemoteState.LIVE else Cause.CONTACT_GONE
    if action.conflicts:
        return Cause.CONFLICT
    if action.effects:
        pushes, pulls = bool(action.pushes), bool(action.pulls)
        return _missed(view, record, watermark, pushes=pushes, pulls=pulls)
    return Cause.REFUSED if action.troubles else None


def _missed(view: LinkView, record: RemoteRecord, watermark: datetime | None, *, pushes: bool, pulls: bool) -> Cause:
    """Whether the next sync comes by it anyway, else which side's change it would not see."""
    if view.link.due or view.contact.version > view.link.synced_version or watermark is None:
        return Cause.WAITING
    if record.modified_at is not None and record.modified_at >= watermark:
        return Cause.WAITING
    if pulls:
        return Cause.MISSED_IN_CRM
    return Cause.MISSED_IN_APP if pushes else Cause.UNRECORDED


@dataclass(frozen=True, slots=True)
class ReadPage:
    views: Sequence[LinkView]
    records: Mapping[str, RemoteRecord]
    watermark: datetime | None
    """Up to where the stream's deltas had read."""


def read_page(ports: Ports, book: Rulebook, audit_id: str, after: str, limit: int) -> ReadPage:
    """The next live links of the type by id after ``after``, with their records as the CRM has them now.

    One read of the CRM for a ``limit`` that is at most its read batch. A page without views ends the walk.
    """
    with ports.store.unit() as unit:
        views = unit.missing_links(audit_id, book.record_type, after, limit)  # no run has this id: none was seen by it
        watermark = unit.cursor(book.record_type)
    ids = [view.link.remote_id for view in views if view.link.remote_id and not view.excluded]
    records = ports.connector.fetch(book.record_type, ids, book.remote_fields) if ids else {}
    return ReadPage(views, records, watermark)


def settle_page(ports: Ports, book: Rulebook, audit_id: str, page: ReadPage) -> tuple[list[Finding], int]:
    """The findings of a page, and how many conflicts were opened. A link that moved meanwhile is waiting."""
    with ports.store.unit() as unit:
        now = {view.link.link_id: view for view in unit.links([view.link.link_id for view in page.views])}
        findings = []
        for view in page.views:
            record = page.records.get(view.link.remote_id)
            current = now.get(view.link.link_id)
            if record is None or current is None or view.held:
                continue
            moved = (current.link, current.contact.version) != (view.link, view.contact.version)
            findings.append(
                Finding(view.link.link_id, view.contact.contact_id, book.record_type, record.remote_id, Cause.WAITING)
                if moved
                else audit_link(current, record, book, page.watermark)
            )
        asked = [finding.questions for finding in findings if finding.questions is not None]
        opened = unit.save_conflicts(audit_id, asked) if asked else 0
    return findings, opened
