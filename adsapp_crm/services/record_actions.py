"""What a person does about single records: try again, leave out, take in again, unlink.

All of it runs in the current organization's context and writes to our rows only; the next run does the rest.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from typing import Final

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from adsapp_crm.models import CrmConflict, CrmLedgerEntry, CrmSyncState
from adsapp_crm.models.choices import LinkStatus, QuestionStatus
from adsapp_crm.services.refusals import refuse
from adsapp_crm.storage import codec
from crm.model import Action, ActionKind, LinkState, Rule

FAILING: Final = ~Q(error_code="") | ~Q(troubles={})
_CURRENT: Final = (LinkStatus.LIVE, LinkStatus.PENDING)


def failing_links(connection_id: uuid.UUID, code: str = "") -> QuerySet[CrmSyncState]:
    """Links that fail as a whole; ``code`` narrows to one reason."""
    links = _unasked(connection_id)
    return links.filter(error_code=code) if code else links.exclude(error_code="")


def troubled_links(connection_id: uuid.UUID) -> QuerySet[CrmSyncState]:
    """Links of which single fields fail while the rest is in sync."""
    return _unasked(connection_id).filter(error_code="").exclude(troubles={})


def count_failing() -> dict[uuid.UUID, int]:
    """How many links fail, as a whole or in single fields, by connection; those of which none does are not named."""
    found = _unasked().filter(FAILING).order_by().values_list("connection_id").annotate(number=Count("pk"))
    return dict(found)


def _unasked(connection_id: uuid.UUID | None = None) -> QuerySet[CrmSyncState]:
    """Links that are neither left out nor wait for an answer: those count as excluded or conflict, not as failing."""
    asked = CrmConflict.objects.filter(
        link_id=OuterRef("pk"), status__in=[QuestionStatus.OPEN, QuestionStatus.ANSWERED]
    )
    links = CrmSyncState.objects.filter(state__in=_CURRENT, excluded_at__isnull=True)
    if connection_id is not None:
        links = links.filter(connection_id=connection_id)
    return links.filter(~Exists(asked))


def excluded_links(connection_id: uuid.UUID) -> QuerySet[CrmSyncState]:
    return CrmSyncState.objects.filter(connection_id=connection_id, state__in=_CURRENT, excluded_at__isnull=False)


def retry_links(links: QuerySet[CrmSyncState]) -> int:
    """Let the next run try these again at once, refused fields included; returns how many there are."""
    return links.filter(FAILING, excluded_at__isnull=True).update(
        due=True, error_code="", troubles={}, attempts=0, next_attempt_at=None
    )


def retry_refused(connection_id: uuid.UUID, record_types: Collection[str]) -> int:
    """After a change of the mapping or of the CRM's fields what was refused may be taken.

    Who is who is no matter of either.
    """
    links = CrmSyncState.objects.filter(connection_id=connection_id, crm_record_type__in=record_types)
    links = links.exclude(error_code__startswith="match.")
    return retry_links(links) if record_types else 0


def end_creates(connection_id: uuid.UUID) -> int:
    """Where the rules no longer make records in the CRM, one that was refused is not tried again by itself.

    It stays among the failing ones with its reason; returns how many there are.
    """
    links = CrmSyncState.objects.filter(connection_id=connection_id, connection__create_in_crm=False)
    return links.filter(state=LinkStatus.PENDING, next_attempt_at__lte=Now()).update(next_attempt_at=None, due=False)


def begin_creates(connection_id: uuid.UUID) -> int:
    """Once the rules make records in the CRM again, what was refused before is tried; who is who stays a question."""
    links = CrmSyncState.objects.filter(connection_id=connection_id, state=LinkStatus.PENDING)
    return retry_links(links.exclude(error_code__startswith="match."))


def exclude_links(links: QuerySet[CrmSyncState], *, actor: str) -> int:
    """Leave these out of the sync until somebody takes them in again; both sides keep what they have."""
    return links.filter(state__in=_CURRENT, excluded_at__isnull=True).update(
        excluded_at=Now(), excluded_by=actor, next_attempt_at=None
    )


def include_links(links: QuerySet[CrmSyncState]) -> int:
    """Take excluded ones in again; the next run looks at them."""
    return links.filter(excluded_at__isnull=False, state__in=_CURRENT).update(
        excluded_at=None, excluded_by="", due=True, next_attempt_at=None
    )


def unlink(link_id: uuid.UUID, *, actor: str) -> None:
    """End the pair: both records stay, neither follows the other. Raises RefusedError (``contact.unknown``)."""
    link = CrmSyncState.objects.select_for_update().filter(pk=link_id, state__in=_CURRENT).first()
    if link is None or not link.crm_record_id:
        raise refuse(
            "contact.unknown", "There is no such pair.", field="link", fix="Reload the page: it has ended already."
        )
    CrmSyncState.objects.filter(pk=link.pk).update(
        state=LinkStatus.UNLINKED, ended_at=Now(), due=False, error_code="", troubles={}, next_attempt_at=None
    )
    action = Action(
        kind=ActionKind.UNLINK,
        record_type=link.crm_record_type,
        contact_id=str(link.contact_id),
        remote_id=link.crm_record_id,
        link_id=str(link.pk),
        rule=Rule.CHOSEN,
        link_state=LinkState.UNLINKED,
    )
    CrmLedgerEntry.objects.create(
        connection_id=link.connection_id,
        contact_id=link.contact_id,
        link_id=link.pk,
        record_type=link.crm_record_type,
        remote_id=link.crm_record_id,
        kind=ActionKind.UNLINK.value,
        rule=Rule.CHOSEN.value,
        action=codec.encode(action),
        actor=actor,
    )


def contact_ids_of(links: QuerySet[CrmSyncState], limit: int) -> Sequence[str]:
    found = links.order_by("id").values_list("contact_id", flat=True)[:limit]
    return tuple(dict.fromkeys(str(each) for each in found))
