"""First pass, its end: contacts that have no partner get a record each, unless somebody else has their keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from crm.engine.context import MATCH_PAGE, Ports, contact_keys, page_limit, store_lines
from crm.engine.match import MADE_AND_TAKEN, Match, resolve_contact
from crm.engine.plan import plan_create_in_crm
from crm.engine.questions import match_question, review, still_asks
from crm.engine.rulebook import Rulebook
from crm.model import Action, LinkState, LoneContact, OpenConflict, Rule, RunKind, RunState
from crm.ports import Unit


def plan_contacts(run: RunState, ports: Ports) -> bool:
    """One page of contacts without a link; True when there are no more."""
    book = ports.book(run)
    if book.record_type != ports.create_type:
        return True
    with ports.store.unit() as unit:
        alone = unit.unpaired_contacts(
            book.record_type,
            run.position.get("after") or "",
            page_limit(run, MATCH_PAGE),
            recheck_matches=run.kind is RunKind.FULL,
            marked=run.kind is RunKind.DELTA,
        )
        if not alone:
            return True
        actions = _plan_alone(unit, run, ports, book, alone)
        run.position = {**run.position, "after": alone[-1].contact.contact_id}
        store_lines(unit, run, actions)
    return False


def plan_chosen_contacts(run: RunState, ports: Ports) -> None:
    """The contacts of a manual run that have no link yet."""
    book = ports.book(run)
    if book.record_type != ports.create_type:
        return
    with ports.store.unit() as unit:
        if unit.cursor(book.record_type) is None:
            return
        views = unit.links_for_contacts(book.record_type, run.contact_ids)
        rows = {view.contact.contact_id: view for view in views}
        found = unit.contacts(run.contact_ids)
        alone: list[LoneContact] = []
        for contact_id in run.contact_ids:
            view = rows.get(contact_id)
            if contact_id not in found or (view is not None and view.link.state is not LinkState.PENDING):
                continue
            if view is None or not (view.held or view.excluded):
                question = match_question(view) if view is not None else None
                alone.append(LoneContact(found[contact_id], view.link if view is not None else None, question))
        store_lines(unit, run, _plan_alone(unit, run, ports, book, alone))


def _plan_alone(unit: Unit, run: RunState, ports: Ports, book: Rulebook, alone: Sequence[LoneContact]) -> list[Action]:
    named = unit.named_contacts(run.plan_id, book.record_type, [item.contact.contact_id for item in alone])
    keys = {item.contact.contact_id: contact_keys(item.contact.values, book) for item in alone}
    emails, phones = unit.key_hits(
        book.record_type,
        {key.email for key in keys.values() if key.email},
        {key.phone for key in keys.values() if key.phone},
    )
    actions: list[Action] = []
    for item in alone:
        contact_id, question = item.contact.contact_id, item.question
        key = keys[contact_id]
        match = resolve_contact(contact_id, emails.get(key.email), phones.get(key.phone), has_email=bool(key.email))
        chosen = question is not None and question.create and _holds(question, match)
        if contact_id in named and not (chosen and named[contact_id]):
            continue
        action = _make_or_ask(item, match, book, ports, chosen=chosen)
        if action is not None:
            actions.append(action)
    return actions


def _holds(question: OpenConflict, match: Match) -> bool:
    """Whether an answer still is about what was asked. A record that went to somebody else stays gone."""
    return question.code == MADE_AND_TAKEN or still_asks(question, match)


def _make_or_ask(item: LoneContact, match: Match, book: Rulebook, ports: Ports, *, chosen: bool) -> Action | None:
    contact, pending, question = item.contact, item.link, item.question
    link_id = pending.link_id if pending is not None else ports.store.new_id()
    closes = (question.conflict_id,) if question is not None else ()
    if not chosen and pending is not None and pending.error_code == MADE_AND_TAKEN:
        return None  # its record was made and then paired with somebody else: a person is asked
    if chosen or not match.review_code:
        action = plan_create_in_crm(contact, book, link_id, pending, Rule.CHOSEN if chosen else Rule.CREATED)
        return replace(action, closes=closes) if action is not None else None
    same = pending is not None and pending.error_code == match.review_code
    if same and (match.asked or question is None or still_asks(question, match)):
        return (
            replace(review(book, match, contact=contact, link_id=link_id), closes=closes)
            if (match.asked and closes)
            else None
        )
    return review(book, match, contact=contact, link_id=link_id)
