"""A person's answers to the questions the sync could not decide.

A field is answered with a side or a value, and the answer carries the values that were shown: the next run
applies it only while they still hold, and asks again otherwise. A match is answered with the pair that
belongs together, with "none of these" (a new one is made), or by leaving it out of the sync.
"""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass

from django.db import IntegrityError, models, transaction
from django.db.models.functions import Now

from adsapp_crm.models import Contact, CrmConflict, CrmConnection, CrmLedgerEntry, CrmObservation, CrmSyncState
from adsapp_crm.models.choices import LinkStatus, QuestionKind, QuestionStatus, RecordState
from adsapp_crm.services.contacts import merge_contacts
from adsapp_crm.services.refusals import RefusedError, refuse
from adsapp_crm.storage import codec
from adsapp_crm.storage.links import CREATE
from adsapp_crm.tenancy import current_organization, organization_context
from crm.model import Action, ActionKind, Resolution, Rule, Side, Value


class MatchAnswer(enum.StrEnum):
    LINK = "link"
    CREATE = CREATE["answer"]
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Candidates:
    """Who could be whom: contact ids and remote ids named by a match or merge conflict, itself included."""

    contacts: tuple[str, ...]
    records: tuple[str, ...]


def candidates_of(conflict: CrmConflict) -> Candidates:
    contacts = [str(conflict.contact_id)] if conflict.contact_id else []
    records = [conflict.remote_id] if conflict.remote_id else []
    for text in conflict.candidates:
        kind, _, value = str(text).partition(":")
        (contacts if kind == "contact" else records).append(value)
    return Candidates(tuple(dict.fromkeys(contacts)), tuple(dict.fromkeys(records)))


def answer_conflict(
    conflict_id: uuid.UUID, *, actor: str, side: Side | None = None, value: Value = None, typed: bool = False
) -> CrmConflict:
    """Store which side's value stays, or with ``typed`` the value to hold on both, in the current organization.

    The next run of the link applies it. Answering again before that replaces the answer. Raises
    RefusedError: ``conflict.unknown``, ``conflict.settled``, ``conflict.answer``.
    """
    if (side is None) != typed:
        raise _unfit("A field is answered with one side, or with a value.")
    with organization_context(current_organization(), actor=actor):
        conflict = _asked(conflict_id)
        if conflict.kind == QuestionKind.MATCH:
            raise _unfit("A match is answered with a pair, or by ignoring it.")
        if conflict.kind == QuestionKind.MERGE:
            raise _unfit("A merge is answered by merging the contacts, or by leaving them as they are.")
        if typed and conflict.kind != QuestionKind.FIELD:
            raise _unfit("Only a field can be answered with a value.")
        shown = codec.decode_values(conflict.values)
        answer = Resolution(str(conflict.pk), side, value, shown.get("app"), shown.get("crm"))
        return _store_answer(conflict, codec.encode(answer), actor)


def link_pair(conflict_id: uuid.UUID, *, contact_id: str, remote_id: str, actor: str) -> CrmSyncState:
    """Make the contact and the record of a match conflict a pair.

    Nothing is written to either side here: the pair has no base, and the next run decides each field as for
    two that meet for the first time. Raises RefusedError (``conflict.answer``) for a pair that is not among
    the candidates, and ``match.taken`` where one of them has a partner.
    """
    with organization_context(current_organization(), actor=actor):
        conflict = _asked(conflict_id)
        _check_pair(conflict, contact_id, remote_id)
        link = _new_pair(conflict, contact_id, remote_id)
        action = Action(
            kind=ActionKind.LINK,
            record_type=conflict.record_type,
            contact_id=contact_id,
            remote_id=remote_id,
            link_id=str(link.pk),
            rule=Rule.CHOSEN,
        )
        CrmLedgerEntry.objects.create(
            connection_id=conflict.connection_id,
            contact_id=contact_id,
            link_id=link.pk,
            record_type=conflict.record_type,
            remote_id=remote_id,
            kind=ActionKind.LINK.value,
            rule=Rule.CHOSEN.value,
            action=codec.encode(action),
            actor=actor,
        )
        _close(conflict, {"answer": MatchAnswer.LINK, "contact": contact_id, "record": remote_id}, actor)
    return link


def create_anyway(conflict_id: uuid.UUID, *, actor: str) -> CrmConflict:
    """Answer a match with "none of these": the next run makes a record for the contact, or a contact for the record.

    The answer holds while the same candidates are asked about, and the ledger notes the creation as a person's choice.
    Answering again before that run replaces the answer. Raises RefusedError: ``conflict.unknown``,
    ``conflict.settled``, ``conflict.answer`` (no match, a contact that is gone, or a side where nothing is made).
    """
    with organization_context(current_organization(), actor=actor):
        conflict = _asked(conflict_id)
        if conflict.kind != QuestionKind.MATCH:
            raise _unfit("Only a match is answered by making a new one.")
        contact_id, connection = conflict.contact_id, CrmConnection.objects.get(pk=conflict.connection_id)
        if contact_id is not None and not Contact.objects.live().filter(pk=contact_id).exists():
            raise _unfit("The contact is deleted, merged or erased.")
        if not (connection.create_in_app if contact_id is None else connection.create_in_crm):
            raise _unfit("The connection's rules make nothing new on that side.")
        return _store_answer(conflict, dict(CREATE), actor)


def merge_named(conflict_id: uuid.UUID, *, into: str, actor: str) -> CrmConflict:
    """Answer a merge by merging the contacts that it names into one of them, at once; ``into`` goes on.

    Raises RefusedError: ``conflict.unknown``, ``conflict.settled``, ``conflict.answer`` (no merge, or a contact that it
    does not name), ``contact.merge``.
    """
    with organization_context(current_organization(), actor=actor):
        conflict = _asked(conflict_id)
        named = candidates_of(conflict).contacts
        if conflict.kind != QuestionKind.MERGE or into not in named or len(named) < 2:
            raise _unfit("A merge is answered with one of the contacts that it names, of which there are two or more.")
        live = {str(each) for each in Contact.objects.live().filter(pk__in=named).values_list("pk", flat=True)}
        for other in named:
            if other != into and other in live:
                merge_contacts(uuid.UUID(into), uuid.UUID(other))
        _close(conflict, {"answer": "merge", "contact": into}, actor)
    return conflict


def ignore_match(conflict_id: uuid.UUID, *, actor: str) -> CrmConflict:
    """Leave the contact or record of a match conflict out of the sync until somebody takes it in again.

    What a merge asks about is left as it is: nobody is merged, and it is not asked again.
    """
    with organization_context(current_organization(), actor=actor):
        conflict = _asked(conflict_id)
        if conflict.kind == QuestionKind.MERGE:
            _close(conflict, {"answer": MatchAnswer.IGNORE}, actor)
            return conflict
        if conflict.kind != QuestionKind.MATCH:
            raise _unfit("Only a match or a merge can be ignored; other questions are answered with a side.")
        if conflict.contact_id is None:
            CrmObservation.objects.filter(
                connection_id=conflict.connection_id, record_type=conflict.record_type, remote_id=conflict.remote_id
            ).update(excluded_at=Now(), excluded_by=actor)
        else:
            link, _made = CrmSyncState.objects.get_or_create(
                connection_id=conflict.connection_id,
                contact_id=conflict.contact_id,
                crm_record_type=conflict.record_type,
                state=LinkStatus.PENDING,
            )
            CrmSyncState.objects.filter(pk=link.pk).update(excluded_at=Now(), excluded_by=actor, error_code="")
        _close(conflict, {"answer": MatchAnswer.IGNORE}, actor)
    return conflict


def _asked(conflict_id: uuid.UUID) -> CrmConflict:
    """The conflict, locked until the transaction ends."""
    conflict = CrmConflict.objects.select_for_update().filter(pk=conflict_id).first()
    if conflict is None:
        raise refuse("conflict.unknown", "There is no conflict with this id.", field="conflict")
    if conflict.status == QuestionStatus.CLOSED:
        raise refuse("conflict.settled", f"The question was closed: {conflict.closed_reason or 'the sides agree'}.")
    return conflict


def _check_pair(conflict: CrmConflict, contact_id: str, remote_id: str) -> None:
    known = candidates_of(conflict)
    if conflict.kind != QuestionKind.MATCH:
        raise _unfit("Only a match is answered with a pair.")
    if contact_id not in known.contacts or remote_id not in known.records:
        raise _unfit("The pair is not among the candidates of this conflict.")
    if not Contact.objects.live().filter(pk=contact_id).exists():
        raise _unfit("The contact is deleted, merged or erased.")


def _new_pair(conflict: CrmConflict, contact_id: str, remote_id: str) -> CrmSyncState:
    seen = CrmObservation.objects.filter(
        connection_id=conflict.connection_id, record_type=conflict.record_type, remote_id=remote_id
    ).first()
    if seen is not None and seen.state != RecordState.LIVE:
        raise _unfit("The record was deleted or merged in the CRM.")
    waiting = CrmSyncState.objects.select_for_update().filter(
        connection_id=conflict.connection_id,
        contact_id=contact_id,
        crm_record_type=conflict.record_type,
        state=LinkStatus.PENDING,
    )
    link = waiting.first() or CrmSyncState(
        connection_id=conflict.connection_id, contact_id=contact_id, crm_record_type=conflict.record_type
    )
    link.crm_record_id = remote_id
    link.state = LinkStatus.LIVE
    link.due = True
    link.error_code, link.attempts, link.next_attempt_at = "", 0, None
    link.excluded_at, link.excluded_by = None, ""
    if seen is not None:
        link.observed, link.observed_at, link.seen_run = seen.values, seen.observed_at, seen.seen_run
        link.email_key, link.phone_key, link.crm_updated_at = seen.email_key, seen.phone_key, seen.modified_at
    try:
        with transaction.atomic():
            link.save()
    except IntegrityError as error:
        raise refuse(
            "match.taken",
            "The contact or the record has a partner already.",
            fix="Unlink that pair first, or choose other candidates.",
        ) from error
    if seen is not None:
        seen.delete()
    return link


def _store_answer(conflict: CrmConflict, answer: dict[str, object], actor: str) -> CrmConflict:
    CrmConflict.objects.filter(pk=conflict.pk).update(
        status=QuestionStatus.ANSWERED, resolution=answer, answered_at=Now(), answered_by=actor
    )
    if conflict.link_id is not None:
        CrmSyncState.objects.filter(pk=conflict.link_id).update(due=True)
    return CrmConflict.objects.get(pk=conflict.pk)


def _close(conflict: CrmConflict, answer: dict[str, str], actor: str) -> None:
    """Close the question and, for a pair, the ones that ask the same from the contact's or the record's side."""
    same = models.Q(pk=conflict.pk)
    if answer["answer"] == MatchAnswer.LINK:
        same |= models.Q(contact_id=answer["contact"]) | models.Q(contact=None, remote_id=answer["record"])
    CrmConflict.objects.filter(
        same, connection_id=conflict.connection_id, kind=conflict.kind, record_type=conflict.record_type
    ).exclude(status=QuestionStatus.CLOSED).update(
        status=QuestionStatus.CLOSED,
        resolution=answer,
        answered_at=Now(),
        answered_by=actor,
        closed_at=Now(),
        closed_reason="answered",
    )


def _unfit(message: str) -> RefusedError:
    return refuse("conflict.answer", message, field="answer", fix="Choose one of the answers that the conflict offers.")
