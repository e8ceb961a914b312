"""Each contact at each CRM: one of five words, and why. The words' counts add up to the number of records."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db.models import Case, Count, Exists, F, Func, OuterRef, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Coalesce, NullIf

from adsapp_crm.models import Contact, CrmConflict, CrmConnection, CrmObservation, CrmSyncState
from adsapp_crm.models.choices import LinkStatus, QuestionStatus, RecordState
from adsapp_crm.services.counting import counted
from adsapp_crm.services.record_actions import FAILING
from adsapp_crm.services.refusals import refuse

WORDS: Final = ("in_sync", "pending", "excluded", "failing", "conflict")
EXCLUDED: Final = "state.excluded"
_CURRENT: Final = (LinkStatus.LIVE, LinkStatus.PENDING)
_BLANK: Final = Value("", output_field=TextField())
_ASKED: Final = (QuestionStatus.OPEN, QuestionStatus.ANSWERED)


class FirstTrouble(Func):
    """The code of the first refused field."""

    template = "(jsonb_path_query_first(%(expressions)s, '$.*.code') #>> '{}')"
    output_field = TextField()


def find_records(asked: Mapping[str, Any]) -> QuerySet[CrmSyncState]:
    """Records of the current organization with ``word`` and ``why``; keys: connectionId, contactId, state, code."""
    found: Any = _told()
    for key, column in (("connectionId", "connection_id"), ("contactId", "contact_id")):
        found = found.filter(**{column: asked[key]}) if asked.get(key) else found
    found = found.filter(_is(asked["state"])) if asked.get("state") else found
    chosen: QuerySet[CrmSyncState] = _because_of(found, asked["code"]) if asked.get("code") else found
    return chosen


def count_records(connection: CrmConnection) -> dict[str, Any]:
    """By word and by reason, and what has no partner on either side; a constant number of queries.

    Of many records a little old.
    """
    return counted("records", connection.pk, lambda: _count_records(connection))


def _count_records(connection: CrmConnection) -> dict[str, Any]:
    rows = _told().filter(connection=connection).values_list("word", "why").annotate(number=Count("pk"))
    counts, reasons = dict.fromkeys(WORDS, 0), []
    for word, why, number in rows.order_by("-number", "why"):
        counts[word] += number
        if why:
            reasons.append({"state": word, "code": why, "records": number})
    linked = CrmSyncState.objects.filter(connection=connection, contact=OuterRef("pk"), state__in=_CURRENT)
    alone = Contact.objects.live().filter(~Exists(linked)).count()
    unlinked = CrmObservation.objects.filter(connection=connection, state=RecordState.LIVE).count()
    return {
        "total": sum(counts.values()),
        "counts": counts,
        "reasons": reasons,
        "contacts_without_record": alone,
        "records_without_contact": unlinked,
    }


def chosen_records(
    connection_id: uuid.UUID, record_ids: Sequence[uuid.UUID], code: str | None
) -> QuerySet[CrmSyncState]:
    """The links that a bulk action names: by id, or all with one reason. Every id has to be one of the connection's.

    Raises RefusedError (``record.unknown``), and then nothing is to be done for any.
    """
    links = CrmSyncState.objects.filter(connection_id=connection_id, state__in=_CURRENT)
    if code is not None:
        chosen = _because_of(_told().filter(connection_id=connection_id), code)
        return links.filter(pk__in=list(chosen.values_list("pk", flat=True)))
    found = links.filter(pk__in=record_ids)
    if found.count() != len(set(record_ids)):
        raise refuse("record.unknown", "An id names no record of this connection.", field="recordIds")
    return found


def _question() -> QuerySet[CrmConflict]:
    return CrmConflict.objects.filter(link_id=OuterRef("pk"), status__in=_ASKED)


def _is(word: str) -> Q:
    """In columns alone, without the word's own expression: each part that is rare has an index."""
    excluded, asked = Q(excluded_at__isnull=False), Q(Exists(_question()))
    pending = Q(state=LinkStatus.PENDING) | Q(due=True) | Q(contact__version__gt=F("synced_version"))
    found = Q()
    for each, holds in zip(_BY_RANK, (excluded, asked, FAILING, pending), strict=True):
        if word == each:
            return found & holds
        found &= Q(excluded_at__isnull=True) if each == "excluded" else ~holds
    return found


_BY_RANK: Final = ("excluded", "conflict", "failing", "pending")
"""The first that holds is a record's word; where none does it is in sync."""


def _because_of(found: Any, code: str) -> Any:
    """Those of ``found`` with this reason. Hardly ever do a question and a failure share one."""
    if code == EXCLUDED:
        return found.filter(_is("excluded"))
    found = found.annotate(
        trouble=FirstTrouble("troubles"), asked=_coded(_question()).order_by("id").values("told")[:1]
    )
    asked = _is("conflict") & Q(asked=code)
    failing = _is("failing") & (Q(error_code=code) | Q(error_code="", trouble=code))
    if not _coded(CrmConflict.objects.filter(status__in=_ASKED)).filter(told=code).exists():
        return found.filter(failing)
    return found.filter(asked | failing) if found.filter(failing).exists() else found.filter(asked)


def _coded(questions: Any) -> Any:
    """With ``told``, the code that each question is shown under."""
    kind = Case(*_KINDS, default=Value("conflict.field"), output_field=TextField())
    return questions.annotate(told=Coalesce(NullIf("code", _BLANK), kind))


def _told() -> Any:
    question = _question()
    word = Case(
        When(excluded_at__isnull=False, then=Value("excluded")),
        When(Exists(question), then=Value("conflict")),
        When(FAILING, then=Value("failing")),
        When(
            Q(state=LinkStatus.PENDING) | Q(due=True) | Q(contact__version__gt=F("synced_version")),
            then=Value("pending"),
        ),
        default=Value("in_sync"),
        output_field=TextField(),
    )
    why = Case(
        When(word="excluded", then=Value(EXCLUDED)),
        When(word="conflict", then=_coded(question).order_by("id").values("told")[:1]),
        When(word="failing", then=Coalesce(NullIf("error_code", _BLANK), FirstTrouble("troubles"))),
        default=_BLANK,
        output_field=TextField(),
    )
    return CrmSyncState.objects.filter(state__in=_CURRENT).annotate(word=word).annotate(why=why)


_KINDS: Final = [When(kind=kind, then=Value(f"conflict.{kind}")) for kind in ("field", "delete_edit", "match", "merge")]
