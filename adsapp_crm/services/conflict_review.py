"""What a person needs to answer a question: both values, the agreed one, who changed them when, what is like it.

In the current organization's context. Answering is ``services.conflicts``'s; remembering is ``conflict_rules``'s.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.db.models import QuerySet

from adsapp_crm.models import Contact, ContactChange, CrmConflict, CrmFieldMapping, CrmObservation
from adsapp_crm.models.choices import QuestionKind, QuestionStatus
from adsapp_crm.services.conflict_rules import remember_side
from adsapp_crm.services.conflicts import answer_conflict, candidates_of
from adsapp_crm.services.refusals import refuse
from adsapp_crm.storage import codec
from crm.mapping.app_fields import app_field
from crm.model import Interval, Seen, Side, Value

MOST_AT_ONCE: Final = 1_000
"""Questions that one act answers."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its evidence. ``values``: app, crm, and baseApp and baseCrm where the sides ever agreed."""

    conflict: CrmConflict
    values: Mapping[str, Seen]
    when: Mapping[str, Interval]
    change: ContactChange | None
    """The last change of the field in ADSapp, as far as its history reaches back."""
    mapping: CrmFieldMapping | None
    alike: int
    """Other open questions of its kind about the same mapped field."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record that could be the person, with what is known of it."""

    remote_id: str
    values: Mapping[str, Seen]


def question_of(conflict: CrmConflict) -> Question:
    return Question(
        conflict,
        codec.decode_values(conflict.values),
        codec.decode_map(Interval, {key: value for key, value in conflict.intervals.items() if value}),
        last_change(conflict),
        mapping_of(conflict),
        alike(conflict).count(),
    )


def together_with(conflict: CrmConflict) -> QuerySet[CrmConflict]:
    """The questions about the same pair that are not closed, this one first: a person answers field by field."""
    if conflict.link_id is None or conflict.kind != QuestionKind.FIELD or conflict.status == QuestionStatus.CLOSED:
        return CrmConflict.objects.filter(pk=conflict.pk)
    same = CrmConflict.objects.filter(link=conflict.link_id, kind=QuestionKind.FIELD)
    return same.exclude(status=QuestionStatus.CLOSED).order_by("app_field", "id")


def alike(conflict: CrmConflict) -> QuerySet[CrmConflict]:
    """Other open questions of the same kind about the same mapped field at the same connection."""
    return CrmConflict.objects.filter(
        connection=conflict.connection_id,
        kind=conflict.kind,
        mapping_id=conflict.mapping_id,
        status=QuestionStatus.OPEN,
    ).exclude(pk=conflict.pk)


def mapping_of(conflict: CrmConflict) -> CrmFieldMapping | None:
    key = _uuid(conflict.mapping_id)
    return CrmFieldMapping.objects.filter(pk=key, deleted_at__isnull=True).first() if key else None


def last_change(conflict: CrmConflict) -> ContactChange | None:
    known = app_field(conflict.app_field) if conflict.app_field else None
    if known is None or conflict.contact_id is None:
        return None
    key = f"custom.{known.attribute}" if known.custom else known.attribute
    return ContactChange.objects.filter(contact=conflict.contact_id, changes__has_key=key).order_by("-version").first()


def who_could_be_whom(conflict: CrmConflict) -> tuple[Sequence[Contact], Sequence[Candidate]]:
    """The contacts and records that a match or merge names."""
    known = candidates_of(conflict)
    contacts = list(Contact.objects.filter(pk__in=[each for each in map(_uuid, known.contacts) if each]))
    seen = CrmObservation.objects.filter(
        connection=conflict.connection_id, record_type=conflict.record_type, remote_id__in=known.records
    )
    values = {each.remote_id: codec.decode_values(each.values) for each in seen}
    return contacts, [Candidate(each, values.get(each, {})) for each in known.records]


def typed_value(conflict: CrmConflict, text: str) -> Value:
    """What somebody typed, in the terms of what is held now: a list of words stays one, yes and no too."""
    shown = codec.decode_values(conflict.values)
    kinds = {type(shown.get(key)) for key in ("app", "crm")}
    if tuple in kinds:
        return tuple(word.strip() for word in text.split(";") if word.strip())
    if bool in kinds:
        return text.strip().lower() in ("yes", "true", "1")
    return text.strip() or None


def answer(
    conflict: CrmConflict,
    *,
    actor: str,
    side: Side | None = None,
    text: str | None = None,
    all_alike: bool = False,
    remember: bool = False,
) -> int:
    """Answer with a side or a typed text, and the questions like it with the same side; returns how many.

    Raises RefusedError as ``answer_conflict`` and ``remember_side`` do, and then nothing is to be kept.
    """
    if side is None and (all_alike or remember):
        raise refuse(
            "conflict.answer",
            "Only a side can be taken for others, or remembered.",
            field="answer",
            fix="Choose a side, or leave the two boxes unticked.",
        )
    if side is None:
        answer_conflict(conflict.pk, actor=actor, value=typed_value(conflict, text or ""), typed=True)
        return 1
    answer_conflict(conflict.pk, actor=actor, side=side)
    others = list(alike(conflict).order_by("id")[:MOST_AT_ONCE]) if all_alike else []
    for each in others:
        answer_conflict(each.pk, actor=actor, side=side)
    if remember:
        remember_side(conflict, side, actor=actor)
    return 1 + len(others)


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
