"""First pass, second half: find partners for records that have none.

Runs only after the first complete scan of the CRM, so that "nobody else has this key" means
nobody. A record looks for its contact by the ladder of ``match``; a contact that is still alone
afterwards gets a record (``lone``). What is ambiguous becomes a question, never a second copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from crm.engine.context import MATCH_PAGE, Ports, page_limit, store_lines, weigh_evidence
from crm.engine.match import (
    DUPLICATE,
    HOLD,
    NOBODY,
    TAKEN,
    Match,
    may_come_from,
    resolve_lost,
    resolve_marker,
    resolve_record,
)
from crm.engine.plan import Planned, plan_create_in_app, plan_create_in_crm, plan_pairing
from crm.engine.questions import match_question, review, still_asks
from crm.engine.rulebook import Rulebook
from crm.engine.settle import leave_unknown, settle_found
from crm.model import (
    Action,
    AppContact,
    ContactState,
    Intent,
    Interval,
    KeyHit,
    LinkState,
    LinkView,
    Observation,
    OpenConflict,
    RemoteRecord,
    RemoteState,
    Rule,
    RunKind,
    RunState,
    Value,
)
from crm.ports import Unit


def plan_records(run: RunState, ports: Ports) -> bool:
    """One page of records without a link; True when there are no more."""
    book = ports.book(run)
    with ports.store.unit() as unit:
        # A record that a link is about to follow (a lead became this contact) looks for nobody and is not listed.
        after = run.position.get("after") or ""
        page = unit.unpaired_records(run.run_id, book.record_type, after, page_limit(run, MATCH_PAGE))
        if not page:
            return True
        lost = _lost_creates(unit, run, book)
        matches, people = _match_records(unit, run, ports, book, page, lost)
        made = {
            lost[match.contact_id].intent_id: item.record
            for item, match in zip(page, matches, strict=True)
            if match.contact_id in lost
        }
        others = [HOLD if match.contact_id in lost else match for match in matches]
        actions, pairs = _act_on_matches(page, others, people, book, ports)
        paired = _plan_pairs(unit, pairs, book)
        waiting = _waiting_for_question(unit, run, book, actions, lost)
    if made:
        settle_found([intent for intent in lost.values() if intent.intent_id in made], made, run, ports)
    leave_unknown(run, [lost[contact_id].intent_id for contact_id in waiting])
    run.position = {**run.position, "after": page[-1].record.remote_id}
    actions += paired.decide(book, ports)
    with ports.store.unit() as unit:
        store_lines(unit, run, actions)
    return False


def _lost_creates(unit: Unit, run: RunState, book: Rulebook) -> dict[str, Intent]:
    """Contact id -> its creation, which no direct read can tell of and no record's marker has told of: a complete
    scan looks for what it has made by keys and by values.
    """
    unknown = run.position.get("unknown")
    if run.kind is not RunKind.FULL or not unknown:
        return {}
    return {
        intent.action.contact_id: intent
        for intent in unit.open_creates(book.record_type)
        if intent.intent_id in unknown
    }


def _waiting_for_question(
    unit: Unit, run: RunState, book: Rulebook, actions: Sequence[Action], lost: Mapping[str, Intent]
) -> list[str]:
    """Contacts that a question of these names: held until the question stands. One that a line of this plan is about
    (it gets the link of a contact that was merged into it) is not: held, it could not have that either.
    """
    named = {each for action in actions for draft in action.conflicts for each in draft.candidates}
    asked = sorted(contact_id for contact_id in lost if f"contact:{contact_id}" in named)
    spoken = unit.named_contacts(run.plan_id, book.record_type, asked) if asked else {}
    return [contact_id for contact_id in asked if spoken.get(contact_id) != ""]


def plan_existing(existing: dict[str, str], run: RunState, book: Rulebook, ports: Ports) -> None:
    """Contacts whose creation the CRM answered with a record that it has already: a candidate to
    link, not an error. Linked when that record is free, else a question.
    """
    records = ports.connector.fetch(book.record_type, sorted(set(existing.values())), book.remote_fields)
    actions: list[Action] = []
    pairs: list[_Pair] = []
    with ports.store.unit() as unit:
        contacts = unit.contacts(sorted(existing))
        rows = _links_by_contact(unit, book, sorted(existing))
        taken = {view.link.remote_id for view in unit.links_for_records(book.record_type, sorted(records))}
        for contact_id, remote_id in existing.items():
            record, contact, view = records[remote_id], contacts.get(contact_id), rows.get(contact_id)
            if contact is None or contact.state is not ContactState.LIVE:
                continue
            if record.state is RemoteState.LIVE and record.remote_id not in taken and not record.marker:
                taken.add(record.remote_id)
                rule = Rule.EXISTING_IN_CRM
                pairs.append(_pair(contact, record, rule, view, ports))
            else:
                match = Match(review_code=TAKEN, candidates=(f"contact:{contact_id}", f"record:{remote_id}"))
                pending = view.link if view is not None and view.link.state is LinkState.PENDING else None
                link_id = pending.link_id if pending is not None else ports.store.new_id()
                actions.append(review(book, match, contact=contact, link_id=link_id))
        paired = _plan_pairs(unit, pairs, book)
    actions += paired.decide(book, ports)
    with ports.store.unit() as unit:
        store_lines(unit, run, actions)


def _match_records(
    unit: Unit,
    run: RunState,
    ports: Ports,
    book: Rulebook,
    alone: Sequence[Observation],
    lost: Mapping[str, Intent],
) -> tuple[list[Match], _People]:
    emails, phones = unit.key_hits(
        book.record_type,
        {item.email_key for item in alone if item.email_key},
        {item.phone_key for item in alone if item.phone_key},
    )
    if lost:  # theirs is what is looked for here
        emails, phones = (
            {
                key: replace(hit, creating=tuple(each for each in hit.creating if each not in lost))
                for key, hit in hits.items()
            }
            for hits in (emails, phones)
        )
    marked = {item.record.marker.partition(":")[2] for item in alone if item.record.marker}
    hit = {hit.contacts[0] for hit in (*emails.values(), *phones.values()) if len(hit.contacts) == 1}
    people = _load_people(unit, book, sorted(marked | hit | lost.keys()))
    sent = {
        contact_id: _sent_for(people.contacts[contact_id], book) for contact_id in lost if people.is_alone(contact_id)
    }
    creates = _open_creates(unit, ports, book, alone)
    making = {f"{ports.organization_id}:{intent.action.contact_id}" for intent in creates}
    others = [intent for intent in creates if intent.action.contact_id not in lost]
    values = [] if ports.connector.capabilities.marker_lookup else [intent.values for intent in others]
    matches = [
        HOLD
        if (item.record.marker in making or may_come_from(item.record, values)) and not item.record.skip_reason
        else _match(item, ports, people, emails, phones, sent)
        for item in alone
    ]
    wanted = [match.contact_id for match in matches if match.contact_id]
    named = unit.named_contacts(run.plan_id, book.record_type, wanted) if wanted else {}
    for index, (item, match) in enumerate(zip(alone, matches, strict=True)):
        if not match.contact_id:
            continue
        remote_id = item.record.remote_id
        if named.get(match.contact_id, remote_id) < remote_id:  # a line or an earlier record speaks for the contact
            candidates = (f"contact:{match.contact_id}", f"record:{remote_id}")
            matches[index] = Match(review_code=DUPLICATE, candidates=candidates)
        named[match.contact_id] = ""
    return matches, people


@dataclass(frozen=True, slots=True)
class _People:
    """Contacts that records of a page may belong to, and their link rows."""

    contacts: dict[str, AppContact]
    rows: dict[str, LinkView]

    def is_alone(self, contact_id: str) -> bool:
        """A live contact without a record."""
        contact, view = self.contacts.get(contact_id), self.rows.get(contact_id)
        if contact is None or contact.state is not ContactState.LIVE:
            return False
        return view is None or (view.link.state is LinkState.PENDING and not view.excluded)


def _load_people(unit: Unit, book: Rulebook, contact_ids: Sequence[str]) -> _People:
    if not contact_ids:
        return _People({}, {})
    return _People(unit.contacts(contact_ids), _links_by_contact(unit, book, contact_ids))


def _open_creates(unit: Unit, ports: Ports, book: Rulebook, alone: Sequence[Observation]) -> list[Intent]:
    """Creates without an outcome, where one of the records could be theirs: by our marker, or without it where the
    CRM cannot be asked for it.
    """
    if any(item.record.marker or not ports.connector.capabilities.marker_lookup for item in alone):
        return unit.open_creates(book.record_type)
    return []


def _match(
    item: Observation,
    ports: Ports,
    people: _People,
    emails: dict[str, KeyHit],
    phones: dict[str, KeyHit],
    sent: Mapping[str, Mapping[str, Value]],
) -> Match:
    if item.record.skip_reason:
        return NOBODY
    marker = item.record.marker
    if marker:
        owner = marker.partition(":")[2]
        return resolve_marker(marker, ports.organization_id, people.contacts.get(owner), people.rows.get(owner))
    match = resolve_record(
        item.record.remote_id,
        emails.get(item.email_key),
        phones.get(item.phone_key),
        has_email=bool(item.email_key),
    )
    return resolve_lost(item.record, sent) if sent and match == NOBODY else match


def _sent_for(contact: AppContact, book: Rulebook) -> dict[str, Value]:
    """What a record of the contact would be made with."""
    action = plan_create_in_crm(contact, book, "", None)
    return {effect.remote_field: effect.after for effect in action.effects} if action is not None else {}


def _act_on_matches(
    alone: Sequence[Observation], matches: Sequence[Match], people: _People, book: Rulebook, ports: Ports
) -> tuple[list[Action], list[_Pair]]:
    actions: list[Action] = []
    pairs: list[_Pair] = []
    for item, match in zip(alone, matches, strict=True):
        if match.hold or item.record.skip_reason:
            continue
        question = item.question
        closes = (question.conflict_id,) if question is not None else ()
        if match.contact_id:
            contact, view = people.contacts[match.contact_id], people.rows.get(match.contact_id)
            pairs.append(_pair(contact, item.record, match.rule, view, ports, closes))
            continue
        chosen = question is not None and question.create and still_asks(question, match)
        if match.review_code and not chosen:
            action = _ask_about_record(book, match, item.record.remote_id, question)
        else:
            rule = Rule.CHOSEN if chosen else Rule.CREATED
            action = plan_create_in_app(item.record, book, ports.store.new_id(), ports.store.new_id(), rule)
            action = replace(action, closes=closes) if action is not None else None
        if action is not None:
            actions.append(action)
    return actions, pairs


def _ask_about_record(book: Rulebook, match: Match, remote_id: str, question: OpenConflict | None) -> Action | None:
    """None where it is asked already, of this record or of another that shares its key."""
    if match.asked:
        closes = (question.conflict_id,) if question is not None else ()
        return replace(review(book, match, remote_id=remote_id), closes=closes) if closes else None
    if question is not None and still_asks(question, match):
        return None
    return review(book, match, remote_id=remote_id)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A contact and a record that are the same person."""

    contact: AppContact
    record: RemoteRecord
    rule: Rule
    link_id: str
    closes: tuple[str, ...] = ()
    """Questions that have found their answer."""


def _pair(
    contact: AppContact,
    record: RemoteRecord,
    rule: Rule,
    view: LinkView | None,
    ports: Ports,
    closes: tuple[str, ...] = (),
) -> _Pair:
    """``view``: the contact's link row, which it keeps where it waits on it."""
    if view is None or view.link.state is not LinkState.PENDING:
        return _Pair(contact, record, rule, ports.store.new_id(), closes)
    question = match_question(view)
    asked = (question.conflict_id,) if question is not None else ()
    return _Pair(contact, record, rule, view.link.link_id, closes + asked)


@dataclass(frozen=True, slots=True)
class _Planned:
    """Pairs as far as they can be planned without the CRM's field history."""

    pairs: Sequence[_Pair]
    plans: Sequence[Planned]
    changes: Mapping[str, Mapping[str, Interval]]
    """Contact id -> when its fields changed, of those that newest_wins has to decide."""

    def decide(self, book: Rulebook, ports: Ports) -> list[Action]:
        """Asks the CRM where a plan needs it: no transaction may be open."""
        contested = [
            (pair.contact.contact_id, pair.record, None, plan.contested)
            for pair, plan in zip(self.pairs, self.plans, strict=True)
            if plan.contested
        ]
        evidence = weigh_evidence(ports, book, contested, self.changes)
        actions: list[Action] = []
        for pair, plan in zip(self.pairs, self.plans, strict=True):
            known = evidence[pair.record.remote_id] if plan.contested else None
            action = plan.action
            if known is not None:
                action = plan_pairing(pair.contact, pair.record, pair.rule, book, pair.link_id, known).action
            if action is not None:
                actions.append(replace(action, closes=pair.closes))
        return actions


def _plan_pairs(unit: Unit, pairs: Sequence[_Pair], book: Rulebook) -> _Planned:
    plans = [plan_pairing(pair.contact, pair.record, pair.rule, book, pair.link_id) for pair in pairs]
    contested = [pair.contact.contact_id for pair, plan in zip(pairs, plans, strict=True) if plan.contested]
    return _Planned(pairs, plans, unit.app_changes(contested) if contested else {})


def _links_by_contact(unit: Unit, book: Rulebook, contact_ids: Sequence[str]) -> dict[str, LinkView]:
    if not contact_ids:
        return {}
    views = unit.links_for_contacts(book.record_type, contact_ids)
    live_first = sorted(views, key=lambda view: view.link.state is LinkState.LIVE)
    return {view.contact.contact_id: view for view in live_first}
