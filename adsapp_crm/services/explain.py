"""Where a contact stands in each CRM, and why: the answer to "was my record synced, and if not, why not?"."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from adsapp_crm.models import (
    Contact,
    CrmConflict,
    CrmConnection,
    CrmFieldMapping,
    CrmIntent,
    CrmLedgerEntry,
    CrmPlanLine,
    CrmSyncState,
)
from adsapp_crm.models.choices import (
    ConnectionStatus,
    LinkStatus,
    PlanLineStatus,
    PlanStatus,
    QuestionStatus,
)
from adsapp_crm.models.intent import OPEN
from adsapp_crm.services.mappings import app_value, mappings_of
from adsapp_crm.services.refusals import refuse
from adsapp_crm.storage import codec
from crm.model import BasePair, FieldTrouble, Seen, Value
from crm.normalize import email_key, sanitize_text

MOST_CONTACTS: Final = 20
LEDGER_LINES: Final = 10

IN_SYNC, PENDING, EXCLUDED, FAILING, CONFLICT = "in sync", "pending", "excluded", "failing", "conflict"
"""The five words there are for a record; nothing else is ever said of one."""

_ENDED: Final[Mapping[str, str]] = {
    LinkStatus.UNLINKED: "state.excluded",
    LinkStatus.DELETED_IN_APP: "state.deleted",
    LinkStatus.DELETED_IN_CRM: "state.deleted",
    LinkStatus.SUPERSEDED: "state.merged",
}


@dataclass(frozen=True, slots=True)
class FieldStand:
    app_field: str
    remote_field: str
    direction: str
    state: str
    code: str
    app_value: Value
    crm_value: Seen
    base_app: Value
    base_crm: Value
    has_base: bool


@dataclass(frozen=True, slots=True)
class Stand:
    """One contact at one connection. ``state`` is one of the five words; ``code`` says why where it is not in sync."""

    connection_id: uuid.UUID
    crm_type: str
    account: str
    state: str
    code: str
    record_type: str = ""
    remote_id: str = ""
    link_id: uuid.UUID | None = None
    last_synced_at: datetime | None = None
    next_attempt_at: datetime | None = None
    attempts: int = 0
    fields: tuple[FieldStand, ...] = ()
    conflict_ids: tuple[uuid.UUID, ...] = ()
    is_left_out: bool = False
    """A person left it out; they can take it in again."""


@dataclass(frozen=True, slots=True)
class LedgerLine:
    at: datetime
    connection_id: uuid.UUID
    kind: str
    rule: str
    run_id: uuid.UUID | None
    actor: str
    effects: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    contact: Contact
    stands: tuple[Stand, ...]
    history: tuple[LedgerLine, ...]
    connections: Mapping[uuid.UUID, CrmConnection]
    """Of the organization, disconnected ones too: the history may name them."""


@dataclass(slots=True)
class _Facts:
    """Everything about the contacts in question, by contact id; a constant number of queries."""

    links: defaultdict[uuid.UUID, list[CrmSyncState]] = field(default_factory=lambda: defaultdict(list))
    conflicts: defaultdict[uuid.UUID, list[CrmConflict]] = field(default_factory=lambda: defaultdict(list))
    unknown: set[tuple[uuid.UUID, uuid.UUID]] = field(default_factory=set)
    held: dict[tuple[uuid.UUID, uuid.UUID], str] = field(default_factory=dict)
    history: defaultdict[uuid.UUID, list[LedgerLine]] = field(default_factory=lambda: defaultdict(list))


def explain_contacts(who: str) -> list[Explanation]:
    """Contacts of the current organization with this e-mail address or id, and where each stands.

    Raises RefusedError (``contact.unknown``) when there is none.
    """
    contacts = _find(who)
    if not contacts:
        raise refuse(
            "contact.unknown",
            "No contact has this e-mail address or id.",
            field="contact",
            fix="Check the spelling, or look whether the contact was deleted for good.",
        )
    known = {each.pk: each for each in CrmConnection.objects.order_by("crm_type", "id")}
    connections = [each for each in known.values() if each.status != ConnectionStatus.DISCONNECTED]
    mappings = mappings_of(connections)
    facts = _gather([contact.pk for contact in contacts])
    return [
        Explanation(
            contact,
            tuple(stand for each in connections for stand in _stands(contact, each, mappings[each.pk], facts)),
            tuple(facts.history[contact.pk]),
            known,
        )
        for contact in contacts
    ]


def _find(who: str) -> list[Contact]:
    try:
        wanted = uuid.UUID(who)
    except ValueError:
        key = email_key(who)
        text = sanitize_text(who)[0].strip()
        found = Contact.objects.filter(email_normalized=key) if key else Contact.objects.filter(email=text)
        return list(found.order_by("id")[:MOST_CONTACTS])
    return list(Contact.objects.filter(pk=wanted))


def _gather(contact_ids: Sequence[uuid.UUID]) -> _Facts:
    facts = _Facts()
    for link in CrmSyncState.objects.filter(contact_id__in=contact_ids).order_by("id"):
        facts.links[link.contact_id].append(link)
    link_ids = [link.pk for links in facts.links.values() for link in links]
    owners = {link.pk: link.contact_id for links in facts.links.values() for link in links}
    asked = CrmConflict.objects.filter(status__in=[QuestionStatus.OPEN, QuestionStatus.ANSWERED])
    for conflict in asked.filter(contact_id__in=contact_ids) | asked.filter(link_id__in=link_ids):
        owner = conflict.contact_id or (owners.get(conflict.link_id) if conflict.link_id else None)
        if owner is not None:
            facts.conflicts[owner].append(conflict)
    intents = CrmIntent.objects.filter(contact_id__in=contact_ids, status__in=OPEN)
    facts.unknown = set(intents.values_list("contact_id", "connection_id"))
    lines = CrmPlanLine.objects.filter(
        contact_id__in=contact_ids, status=PlanLineStatus.HELD, plan__status=PlanStatus.HELD
    ).select_related("plan")
    for line in lines:
        codes = line.plan.held_codes or ["brake.held"]
        if line.contact_id is not None:
            facts.held[line.contact_id, line.plan.connection_id] = codes[0]
    for contact_id in contact_ids:
        entries = CrmLedgerEntry.objects.filter(contact_id=contact_id).order_by("-at", "-id")[:LEDGER_LINES]
        facts.history[contact_id] = [_ledger_line(entry) for entry in entries]
    return facts


def _ledger_line(entry: CrmLedgerEntry) -> LedgerLine:
    effects = entry.effects or (entry.action or {}).get("effects", [])
    return LedgerLine(entry.at, entry.connection_id, entry.kind, entry.rule, entry.run_id, entry.actor, tuple(effects))


def _stands(
    contact: Contact, connection: CrmConnection, mappings: Sequence[CrmFieldMapping], facts: _Facts
) -> Iterable[Stand]:
    links = [link for link in facts.links[contact.pk] if link.connection_id == connection.pk]
    current = [link for link in links if link.state in (LinkStatus.LIVE, LinkStatus.PENDING)]
    questions = [each for each in facts.conflicts[contact.pk] if each.connection_id == connection.pk]
    if not links:
        state, code = _state_without_link(contact, connection, questions, facts)
        yield Stand(
            connection.pk,
            connection.crm_type,
            connection.remote_account_name,
            state,
            code,
            conflict_ids=tuple(each.pk for each in questions),
        )
    for link in current or links[-1:]:
        asked = [each for each in questions if each.link_id in (link.pk, None)]
        state, code = _state(contact, connection, link, asked, facts)
        yield Stand(
            connection.pk,
            connection.crm_type,
            connection.remote_account_name,
            state,
            code,
            record_type=link.crm_record_type,
            remote_id=link.crm_record_id or "",
            link_id=link.pk,
            last_synced_at=link.last_synced_at,
            next_attempt_at=link.next_attempt_at,
            attempts=link.attempts,
            fields=tuple(_fields(contact, link, mappings, asked)),
            conflict_ids=tuple(each.pk for each in asked),
            is_left_out=link.excluded_at is not None,
        )


def _state_without_link(
    contact: Contact, connection: CrmConnection, questions: Sequence[CrmConflict], facts: _Facts
) -> tuple[str, str]:
    gone = "" if contact.state == "live" else "state.erased" if contact.erased_at else "state.deleted"
    left_out = gone or ("" if connection.create_in_crm else "state.excluded")
    if left_out:
        return EXCLUDED, left_out
    asked = _question_code(questions)
    if asked:
        return CONFLICT, asked
    waits = _waits_for(contact, connection, facts)
    return PENDING, waits or ("" if connection.first_sync_approved_at else "brake.first_sync")


def _state(
    contact: Contact, connection: CrmConnection, link: CrmSyncState, questions: Sequence[CrmConflict], facts: _Facts
) -> tuple[str, str]:
    """The first that holds, in the order in which a person would want to know it."""
    troubles = codec.decode_map(FieldTrouble, link.troubles)
    waits = _waits_for(contact, connection, facts)
    behind = link.state == LinkStatus.PENDING or link.due or contact.version > link.synced_version
    left_out = "state.excluded" if link.excluded_at is not None else _ENDED.get(link.state, "")
    for state, code in (
        (EXCLUDED, left_out),
        (CONFLICT, _question_code(questions)),
        (FAILING, link.error_code or (troubles[min(troubles)].code if troubles else "")),
        (PENDING, waits),
    ):
        if code:
            return state, code
    return (PENDING if behind else IN_SYNC), ""


def _question_code(questions: Sequence[CrmConflict]) -> str:
    return (questions[0].code or f"conflict.{questions[0].kind}") if questions else ""


def _waits_for(contact: Contact, connection: CrmConnection, facts: _Facts) -> str:
    """What has to be settled before anything is planned for the contact there."""
    place = (contact.pk, connection.pk)
    return "net.outcome_unknown" if place in facts.unknown else facts.held.get(place, "")


def _fields(
    contact: Contact, link: CrmSyncState, mappings: Sequence[CrmFieldMapping], questions: Sequence[CrmConflict]
) -> Iterable[FieldStand]:
    base = codec.decode_map(BasePair, link.base)
    observed: dict[str, Seen] = codec.decode_values(link.observed)
    troubles = codec.decode_map(FieldTrouble, link.troubles)
    asked = {each.mapping_id: each for each in questions if each.mapping_id}
    for row in mappings:
        if row.record_type != link.crm_record_type:
            continue
        key = str(row.pk)
        pair = base.get(key)
        ours = app_value(contact, row.adsapp_field) or None
        theirs = observed.get(row.crm_field, pair.crm if pair else None)
        if key in asked:
            state, code = CONFLICT, asked[key].code or "conflict.field"
            theirs = codec.decode_values(asked[key].values).get("crm", theirs)  # newer than what was agreed on
        elif key in troubles or row.broken_code:
            state, code = FAILING, troubles[key].code if key in troubles else row.broken_code
        else:
            agreed = (pair.app or None, pair.crm or None) if pair is not None else (None, None)
            state, code = IN_SYNC if (ours, theirs or None) == agreed else PENDING, ""
        yield FieldStand(
            row.adsapp_field,
            row.crm_field,
            row.direction,
            state,
            code,
            ours,
            theirs,
            pair.app if pair else None,
            pair.crm if pair else None,
            pair is not None,
        )
