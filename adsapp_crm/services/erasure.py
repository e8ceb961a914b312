"""Forgetting a person who asked for it.

Rows stay, so that counts and references hold; every value of the person goes, from the contact, its history
and everything the sync wrote down. What remains are keyed digests (``ContactTombstone``) by which a record
of the same person is recognised and not made into a contact again.
"""

from __future__ import annotations

import base64
import secrets
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from django.db import models
from django.db.models import Q, TextField
from django.db.models.functions import Cast, Now

from adsapp_crm.models import (
    Contact,
    ContactChange,
    ContactTombstone,
    CrmConflict,
    CrmIntent,
    CrmLedgerEntry,
    CrmNotice,
    CrmObservation,
    CrmPlanLine,
    CrmSyncState,
    CrmWebhookEvent,
    IdempotencyKey,
    Organization,
)
from adsapp_crm.models.choices import LinkStatus, OnDeletion, QuestionStatus
from adsapp_crm.models.contact import TEXT_ATTRIBUTES, tombstone_digest, tombstone_key_of
from adsapp_crm.services.refusals import refuse
from adsapp_crm.tenancy import current_organization, organization_context
from crm.normalize import email_key

ERASED: Final = "erased"
_BATCH_ROWS: Final = 500

_VALUE_KEYS: Final = frozenset(
    {
        *("before", "after", "app_value", "crm_value", "lost", "base_app", "base_crm", "shown_app", "shown_crm"),
        *("app", "crm", "baseApp", "baseCrm", "value", "values", "provider_message"),
    }
)
"""Keys of stored actions, effects and answers under which a person's values lie."""

_Row = TypeVar("_Row", bound=models.Model)
_Record = tuple[uuid.UUID, str, str]
"""Connection, record type, remote id."""


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What was emptied, and in which CRMs the person is still known."""

    contact_ids: tuple[uuid.UUID, ...]
    history_rows: int
    deletions_planned: int
    """Links whose record the next run deletes or archives in its CRM, as the connection's policy says."""
    tasks: int
    """Links whose record a person has to delete in its CRM; each has a notice."""


def erase_contact(contact_id: uuid.UUID) -> ErasureReport:
    """Erase the contact, and those merged into it; raises RefusedError for one that does not exist.

    Erasing again finds what has appeared since, and changes nothing else.
    """
    with organization_context(current_organization(), origin="erasure"):
        if not Contact.objects.select_for_update().filter(pk=contact_id).exists():
            raise refuse(
                "contact.unknown", "There is no contact with this id.", field="id", fix="Use the id of a contact."
            )
        ids = _with_merged(contact_id)
        links = list(CrmSyncState.objects.filter(contact__in=ids).select_related("connection"))
        records = [
            (link.connection_id, link.crm_record_type, link.crm_record_id) for link in links if link.crm_record_id
        ]
        _bury(ids, links)
        planned, tasks = _follow_up(links)
        _empty_contacts(ids)
        _empty_links(ids)
        _empty_sync_rows(ids, records)
        history = _scrub(ContactChange.objects.filter(contact__in=ids), ("changes", "evidence"), _erase_history)
    return ErasureReport(tuple(ids), history, planned, tasks)


def is_buried(*, email: str = "", crm_type: str = "", remote_id: str = "") -> bool:
    """True when an erased person had this e-mail address, or was this record of that CRM."""
    digests = _digests(_emails([email]) + _records([(crm_type, remote_id)]), create_key=False)
    return bool(digests) and ContactTombstone.objects.filter(digest__in=digests).exists()


def _with_merged(contact_id: uuid.UUID) -> list[uuid.UUID]:
    """The contact and everything that was merged into it, directly or by way of another."""
    found, new = [contact_id], [contact_id]
    while new:
        merged = Contact.objects.select_for_update().filter(merged_into__in=new).exclude(pk__in=found)
        new = list(merged.values_list("pk", flat=True))
        found += new
    return found


def _bury(ids: Sequence[uuid.UUID], links: Iterable[CrmSyncState]) -> None:
    by_contact: dict[uuid.UUID, list[tuple[str, ...]]] = {contact_id: [] for contact_id in ids}
    for contact_id, email in Contact.objects.filter(pk__in=ids).values_list("pk", "email"):
        by_contact[contact_id] += _emails([email])
    for link in links:
        by_contact[link.contact_id] += _records([(link.connection.crm_type, link.crm_record_id or "")])
    stones = [
        ContactTombstone(contact_id=contact_id, digest=digest)
        for contact_id, names in by_contact.items()
        for digest in sorted(_digests(names, create_key=True))
    ]
    ContactTombstone.objects.bulk_create(stones, ignore_conflicts=True)


def _follow_up(links: Iterable[CrmSyncState]) -> tuple[int, int]:
    """Leave to the next run what the policies allow, and ask a person for the rest."""
    planned = tasks = 0
    for link in links:
        if link.state != LinkStatus.LIVE:
            continue
        if link.connection.on_app_deleted in (OnDeletion.DELETE, OnDeletion.ARCHIVE):
            planned += 1
            continue
        _notice, made = CrmNotice.objects.get_or_create(
            connection=link.connection,
            kind=f"erasure:{link.pk}",
            code="state.erased",
            resolved_at=None,
            defaults={"details": {"recordType": link.crm_record_type, "remoteId": link.crm_record_id}},
        )
        tasks += made
    return planned, tasks


def _empty_contacts(ids: Sequence[uuid.UUID]) -> None:
    Contact.objects.filter(pk__in=ids, erased_at__isnull=True).update(
        **dict.fromkeys(TEXT_ATTRIBUTES, ""),
        birthday=None,
        tags=[],
        custom_fields={},
        email_normalized="",
        phone_normalized="",
        keys_of="\n",
        deleted_at=Now(),
        erased_at=Now(),
    )


def _empty_links(ids: Sequence[uuid.UUID]) -> None:
    CrmSyncState.objects.filter(contact__in=ids).update(
        base={},
        observed=None,
        troubles={},
        flips={},
        conflict_detected=False,
        conflict_details=None,
        email_key="",
        phone_key="",
    )


def _empty_sync_rows(ids: Sequence[uuid.UUID], records: Sequence[_Record]) -> None:
    organization_id = current_organization()
    observed = Q(marker__in=[f"{organization_id}:{contact_id}" for contact_id in ids]) | _is_record(records)
    CrmObservation.objects.filter(observed).update(values={}, email_key="", phone_key="", reason_code="state.erased")
    CrmWebhookEvent.objects.filter(_is_record(records)).update(details={})
    _scrub(CrmIntent.objects.filter(contact__in=ids), ("values", "action"), _erase_values, whole=("values",))
    _scrub(
        CrmPlanLine.objects.filter(Q(contact_id__in=ids) | _is_record(records, "plan__")), ("action",), _erase_values
    )
    _scrub(CrmLedgerEntry.objects.filter(contact__in=ids), ("effects", "action"), _erase_values)
    conflicts = CrmConflict.objects.filter(Q(contact__in=ids) | Q(link__contact__in=ids))
    _scrub(conflicts, ("values", "intervals", "resolution"), _erase_values, whole=("values",))
    conflicts.exclude(status=QuestionStatus.CLOSED).update(
        status=QuestionStatus.CLOSED, closed_at=Now(), closed_reason=ERASED
    )
    mentions = Q()
    for contact_id in ids:
        mentions |= Q(path__contains=str(contact_id)) | Q(answer__contains=str(contact_id))
    told = IdempotencyKey.objects.annotate(answer=Cast("response", TextField())).filter(mentions)
    # The request that erases, where it named itself, is to be done once as well; its answer holds no value.
    told.exclude(status_code__isnull=True, path__contains="/erase").delete()


def _is_record(records: Iterable[_Record], prefix: str = "") -> Q:
    """One of these remote records; ``prefix`` leads to the row that names the connection."""
    found = Q(pk__in=())
    for connection_id, record_type, remote_id in records:
        found |= Q(**{f"{prefix}connection": connection_id}, record_type=record_type, remote_id=remote_id)
    return found


def _scrub(rows: models.QuerySet[_Row], columns: tuple[str, ...], erase: Any, *, whole: tuple[str, ...] = ()) -> int:
    """Rewrite JSON columns in batches; in those of ``whole`` every value goes, whatever its key."""
    count = 0
    batch: list[_Row] = []
    for row in rows.only("pk", *columns).iterator(chunk_size=_BATCH_ROWS):
        for column in columns:
            document = getattr(row, column)
            setattr(row, column, _erase_all(document) if column in whole else erase(document))
        batch.append(row)
        count += 1
        if len(batch) == _BATCH_ROWS:
            rows.model._default_manager.bulk_update(batch, columns)
            batch = []
    if batch:
        rows.model._default_manager.bulk_update(batch, columns)
    return count


def _erase_values(document: Any) -> Any:
    if isinstance(document, list):
        return [_erase_values(item) for item in document]
    if isinstance(document, dict):
        return {
            key: (_erase_all(item) if key in _VALUE_KEYS else _erase_values(item)) for key, item in document.items()
        }
    return document


def _erase_all(document: Any) -> Any:
    """Every value, however deep; keys stay, and so does what was blank."""
    if isinstance(document, dict):
        return {key: _erase_all(item) for key, item in document.items()}
    if isinstance(document, list):
        return [_erase_all(item) for item in document]
    return document if document in (None, "") else ERASED


def _erase_history(document: Any) -> Any:
    """``changes``: the pairs of each attribute; ``evidence`` holds times only and goes whole."""
    if document is None:
        return None
    kept = {"deleted_at", "merged_into_id", "erased_at"}
    return {
        attribute: pair if attribute in kept else [None if half is None else ERASED for half in pair]
        for attribute, pair in document.items()
        if isinstance(pair, list)
    }


def _emails(texts: Iterable[str]) -> list[tuple[str, ...]]:
    return [("email", key) for key in map(email_key, texts) if key]


def _records(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, ...]]:
    return [("record", crm_type, remote_id) for crm_type, remote_id in pairs if remote_id]


def _digests(names: Sequence[tuple[str, ...]], *, create_key: bool) -> set[str]:
    if not names:
        return set()
    key = _tombstone_key(create=create_key)
    return {tombstone_digest(key, *name) for name in names} if key else set()


def _tombstone_key(*, create: bool) -> bytes | None:
    organizations = Organization.scoped.all()
    organization = (organizations.select_for_update(no_key=True) if create else organizations).get()
    if organization.tombstone_key is None and create:
        organization.tombstone_key = {
            "organization": str(organization.pk),
            "key": base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        Organization.objects.filter(pk=organization.pk).update(tombstone_key=organization.tombstone_key)
    return tombstone_key_of(organization)
