"""First pass, second half: find partners for records and contacts that have none.

Runs only after the first complete scan of the CRM, so that "nobody else has this key" means
nobody. A record looks for its contact by the ladder of ``match``; a contact that is still alone
afterwards gets a record. What is ambiguous becomes a question, never a second copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crm.engine.context import PAGE, Ports, contact_keys, gather_evidence
from crm.engine.match import (
    HOLD,
    MADE_AND_TAKEN,
    NOBODY,
    TAKEN,
    Match,
    may_come_from,
    resolve_contact,
    resolve_marker,
    resolve_record,
)
from crm.engine.plan import Rulebook, plan_create_in_app, plan_create_in_crm, plan_pairing
from crm.model import (
    Action,
    ActionKind,
    AppContact,
    ConflictDraft,
    ConflictKind,
    ContactState,
    KeyHit,
    Link,
    LinkState,
    LinkView,
    Observation,
    Precondition,
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
        page = unit.unpaired_records(run.run_id, book.record_type, run.position.get("after") or "", PAGE)
        # A record that a link is about to follow (a lead became this contact) looks for nobody.
        followed = unit.planned_records(run.plan_id, book.record_type, [item.record.remote_id for item in page])
        alone = [item for item in page if item.record.remote_id not in followed]
        matches, contacts = _match_records(unit, run, ports, book, alone)
    if not page:
        return True
    actions = _act_on_matches(alone, matches, contacts, book, ports)
    run.position = {**run.position, "after": page[-1].record.remote_id}
    _store(run, ports, actions)
    return False


def plan_contacts(run: RunState, ports: Ports) -> bool:
    """One page of contacts without a link; True when there are no more."""
    book = ports.book(run)
    if book.record_type != ports.create_type:
        return True
    with ports.store.unit() as unit:
        alone = unit.unpaired_contacts(
            book.record_type, run.position.get("after") or "", PAGE, recheck_matches=run.kind is RunKind.FULL
        )
        if not alone:
            return True
        actions = _plan_alone(unit, run, ports, book, alone)
    run.position = {**run.position, "after": alone[-1][0].contact_id}
    _store(run, ports, actions)
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
        alone: list[tuple[AppContact, Link | None]] = []
        for contact_id in run.contact_ids:
            view = rows.get(contact_id)
            if contact_id not in found or (view is not None and view.link.state is not LinkState.PENDING):
                continue
            if view is None or not (view.held or view.excluded):
                alone.append((found[contact_id], view.link if view is not None else None))
        actions = _plan_alone(unit, run, ports, book, alone)
    _store(run, ports, actions)


def plan_existing(existing: dict[str, str], run: RunState, book: Rulebook, ports: Ports) -> None:
    """Contacts whose creation the CRM answered with a record that it has already: a candidate to
    link, not an error. Linked when that record is free, else a question.
    """
    records = ports.connector.fetch(book.record_type, sorted(set(existing.values())), book.remote_fields)
    with ports.store.unit() as unit:
        contacts = unit.contacts(sorted(existing))
        taken = {view.link.remote_id for view in unit.links_for_records(book.record_type, sorted(records))}
    actions: list[Action] = []
    pairs: list[tuple[AppContact, RemoteRecord, Match, str]] = []
    for contact_id, remote_id in existing.items():
        record, contact = records[remote_id], contacts.get(contact_id)
        if contact is None or contact.state is not ContactState.LIVE:
            continue
        if record.state is RemoteState.LIVE and record.remote_id not in taken and not record.marker:
            taken.add(record.remote_id)
            pairs.append((contact, record, Match(contact_id, Rule.EXISTING_IN_CRM), ports.store.new_id()))
        else:
            match = Match(review_code=TAKEN, candidates=(f"contact:{contact_id}", f"record:{remote_id}"))
            actions.append(_review(book, match, contact=contact, link_id=ports.store.new_id()))
    _store(run, ports, actions + _plan_pairs(pairs, book, ports))


def _match_records(
    unit: Unit, run: RunState, ports: Ports, book: Rulebook, alone: Sequence[Observation]
) -> tuple[list[Match], dict[str, AppContact]]:
    marked = {item.record.marker.partition(":")[2] for item in alone if item.record.marker}
    owners = unit.contacts(sorted(marked)) if marked else {}
    owner_links = _links_by_contact(unit, book, sorted(marked))
    emails, phones = unit.key_hits(
        book.record_type,
        {item.email_key for item in alone if item.email_key},
        {item.phone_key for item in alone if item.phone_key},
    )
    creates = _open_creates(unit, ports, book, alone)
    matches = [
        HOLD
        if may_come_from(item.record, creates) and not item.record.skip_reason
        else _match(item, ports, owners, owner_links, emails, phones)
        for item in alone
    ]
    wanted = [match.contact_id for match in matches if match.contact_id]
    taken = unit.planned_contacts(run.plan_id, wanted) if wanted else set()
    for index, match in enumerate(matches):
        if not match.contact_id:
            continue
        if match.contact_id in taken:
            matches[index] = Match(
                review_code="match.duplicate_in_crm",
                candidates=(f"contact:{match.contact_id}", f"record:{alone[index].record.remote_id}"),
            )
        taken.add(match.contact_id)
    return matches, unit.contacts(wanted) if wanted else {}


def _open_creates(unit: Unit, ports: Ports, book: Rulebook, alone: Sequence[Observation]) -> list[Mapping[str, Value]]:
    """What creates without an outcome have sent, where a record need not carry our marker to be theirs."""
    if ports.connector.capabilities.marker_lookup or all(item.record.marker for item in alone):
        return []
    return [intent.values for intent in unit.open_creates(book.record_type)]


def _match(
    item: Observation,
    ports: Ports,
    owners: dict[str, AppContact],
    owner_links: dict[str, LinkView],
    emails: dict[str, KeyHit],
    phones: dict[str, KeyHit],
) -> Match:
    if item.record.skip_reason:
        return NOBODY
    marker = item.record.marker
    if marker:
        owner = marker.partition(":")[2]
        return resolve_marker(marker, ports.organization_id, owners.get(owner), owner_links.get(owner))
    return resolve_record(
        item.record.remote_id,
        emails.get(item.email_key),
        phones.get(item.phone_key),
        has_email=bool(item.email_key),
    )


def _act_on_matches(
    alone: Sequence[Observation],
    matches: Sequence[Match],
    contacts: dict[str, AppContact],
    book: Rulebook,
    ports: Ports,
) -> list[Action]:
    actions: list[Action] = []
    pairs: list[tuple[AppContact, RemoteRecord, Match, str]] = []
    for item, match in zip(alone, matches, strict=True):
        if match.hold or item.record.skip_reason:
            continue
        if match.contact_id:
            pairs.append((contacts[match.contact_id], item.record, match, ports.store.new_id()))
        elif match.review_code:
            actions.append(_review(book, match, remote_id=item.record.remote_id))
        else:
            action = plan_create_in_app(item.record, book, ports.store.new_id(), ports.store.new_id())
            if action is not None:
                actions.append(action)
    return actions + _plan_pairs(pairs, book, ports)


def _plan_pairs(
    pairs: Sequence[tuple[AppContact, RemoteRecord, Match, str]], book: Rulebook, ports: Ports
) -> list[Action]:
    if not pairs:
        return []
    with ports.store.unit() as unit:
        rows = _links_by_contact(unit, book, [contact.contact_id for contact, *_ in pairs])
    waiting = {
        contact_id: view.link.link_id for contact_id, view in rows.items() if view.link.state is LinkState.PENDING
    }
    pairs = [
        (contact, record, match, waiting.get(contact.contact_id, link_id)) for contact, record, match, link_id in pairs
    ]
    planned = [plan_pairing(contact, record, match.rule, book, link_id) for contact, record, match, link_id in pairs]
    contested = [
        (contact.contact_id, record, None, plan.contested)
        for (contact, record, _, _), plan in zip(pairs, planned, strict=True)
        if plan.contested
    ]
    evidence = gather_evidence(ports, book, contested)
    actions: list[Action] = []
    for (contact, record, match, link_id), plan in zip(pairs, planned, strict=True):
        final = plan
        if plan.contested:
            final = plan_pairing(contact, record, match.rule, book, link_id, evidence[record.remote_id])
        if final.action is not None:
            actions.append(final.action)
    return actions


def _plan_alone(
    unit: Unit, run: RunState, ports: Ports, book: Rulebook, alone: Sequence[tuple[AppContact, Link | None]]
) -> list[Action]:
    planned = unit.planned_contacts(run.plan_id, [contact.contact_id for contact, _ in alone])
    keys = {contact.contact_id: contact_keys(contact.values, book) for contact, _ in alone}
    emails, phones = unit.key_hits(
        book.record_type,
        {key.email for key in keys.values() if key.email},
        {key.phone for key in keys.values() if key.phone},
    )
    actions: list[Action] = []
    for contact, pending in alone:
        if contact.contact_id in planned:
            continue
        if pending is not None and pending.error_code == MADE_AND_TAKEN:
            continue  # its record was made and then paired with somebody else: a person is asked
        key = keys[contact.contact_id]
        match = resolve_contact(
            contact.contact_id, emails.get(key.email), phones.get(key.phone), has_email=bool(key.email)
        )
        link_id = pending.link_id if pending is not None else ports.store.new_id()
        if match.review_code:
            if pending is None or pending.error_code != match.review_code:
                actions.append(_review(book, match, contact=contact, link_id=link_id))
            continue
        action = plan_create_in_crm(contact, book, link_id, pending)
        if action is not None:
            actions.append(action)
    return actions


def _review(
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


def _links_by_contact(unit: Unit, book: Rulebook, contact_ids: Sequence[str]) -> dict[str, LinkView]:
    if not contact_ids:
        return {}
    views = unit.links_for_contacts(book.record_type, contact_ids)
    live_first = sorted(views, key=lambda view: view.link.state is LinkState.LIVE)
    return {view.contact.contact_id: view for view in live_first}


def _store(run: RunState, ports: Ports, actions: list[Action]) -> None:
    with ports.store.unit() as unit:
        if actions:
            unit.add_lines(run.run_id, run.plan_id, actions)
        run.counts.planned += len(actions)
        unit.save_run(run)
