"""A POST that named itself is done once: whoever repeats it gets the answer that was given.

Only what was done is remembered. A refused request has changed nothing, so repeating it is judged anew; and a
request whose worker died is given up after a while, and may be made again, unless its work was committed: then only
its answer is lost, and doing it again would do it twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.db.models import BooleanField, ExpressionWrapper, Func, Q, TextField
from django.db.models.functions import Now
from django.db.models.lookups import IsNull

from adsapp_crm.models import CredentialsMismatchError, IdempotencyKey
from adsapp_crm.services.refusals import refuse
from adsapp_crm.tenancy import organization_context

KEPT_FOR: Final = timedelta(hours=24)
GIVEN_UP_AFTER: Final = timedelta(minutes=10)
"""Longer than any request lives."""
MAX_KEY_CHARACTERS: Final = 255
EFFECT: Final = {"effect": True}
"""Stands where the answer will, from the moment that the work is committed."""
SECRET_KEYS: Final = frozenset({"secret", "authUrl"})
"""Keys of answers whose values are stored encrypted, in a column of their own that ``rotate_keys`` finds."""


class _TransactionNumber(Func):
    """NULL until the transaction has written something."""

    function = "pg_current_xact_id_if_assigned"
    output_field = TextField()


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to do the request; ends with ``keep_answer`` or ``give_up``."""

    organization_id: uuid.UUID
    row_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    status: int
    body: Any
    headers: Mapping[str, str]


def claim_request(
    organization_id: uuid.UUID, actor: str, key: str, *, method: str, path: str, body_digest: str
) -> Claim | StoredAnswer:
    """Claim the request, or find what it was answered with. Commits.

    Must be called outside ``organization_context``. Raises RefusedError: ``idempotency.key``,
    ``idempotency.mismatch``, ``idempotency.in_flight``, ``idempotency.lost``.
    """
    if not key or len(key) > MAX_KEY_CHARACTERS or not key.isascii() or not key.isprintable():
        raise refuse(
            "idempotency.key", f"An Idempotency-Key is 1 to {MAX_KEY_CHARACTERS} printable ASCII characters long."
        )
    said = {"method": method, "path": path, "body_digest": body_digest}
    with organization_context(organization_id):
        mine = IdempotencyKey(actor=actor, key=key, expires_at=Now() + KEPT_FOR, **said)
        IdempotencyKey.objects.bulk_create([mine], ignore_conflicts=True)
        row = _stored(actor, key)
        if row.pk == mine.pk:
            return Claim(organization_id, mine.pk)
        if row.ended or (row.abandoned and row.response != EFFECT):
            IdempotencyKey.objects.filter(pk=row.pk).update(
                **said, status_code=None, response=None, secrets=None, created_at=Now(), expires_at=Now() + KEPT_FOR
            )
            return Claim(organization_id, row.pk)
        if any(getattr(row, name) != value for name, value in said.items()):
            raise refuse("idempotency.mismatch", "This Idempotency-Key belongs to another request.")
        if row.abandoned:
            raise refuse("idempotency.lost", "The first request with this key took effect, and its answer is lost.")
        if row.status_code is None:
            raise refuse("idempotency.in_flight", "The first request with this key has not ended.")
        stored = row.response or {}
        return StoredAnswer(row.status_code, _with_secrets(row, stored.get("body")), stored.get("headers", {}))


def note_effect(claim: Claim) -> None:
    """Remember with the work itself, in its transaction, that it is done: whatever happens to the answer.

    Nothing is remembered of a transaction that has only read: PostgreSQL numbers those that write. For
    ``each_transaction_ends_with``, which no service can forget.
    """
    rows = IdempotencyKey.objects.filter(pk=claim.row_id, status_code__isnull=True, response__isnull=True)
    rows.filter(IsNull(_TransactionNumber(), False)).update(response=EFFECT)


def keep_answer(claim: Claim, answer: StoredAnswer) -> None:
    with organization_context(claim.organization_id):
        body, secrets = _parted(answer.body)
        bound = {"organization": str(claim.organization_id), "row": str(claim.row_id), "values": secrets}
        IdempotencyKey.objects.filter(pk=claim.row_id).update(
            status_code=answer.status,
            response={"body": body, "headers": dict(answer.headers)},
            secrets=bound if secrets else None,
        )


def give_up(claim: Claim) -> None:
    """Forget a request that was refused."""
    with organization_context(claim.organization_id):
        IdempotencyKey.objects.filter(pk=claim.row_id, status_code__isnull=True).delete()


def give_up_broken(claim: Claim) -> None:
    """The same for one that failed unforeseen; where part of its work was committed its answer is lost from now on."""
    with organization_context(claim.organization_id):
        mine = IdempotencyKey.objects.filter(pk=claim.row_id, status_code__isnull=True)
        mine.filter(response__isnull=True).delete()
        mine.update(created_at=Now() - GIVEN_UP_AFTER - timedelta(seconds=1))


def _stored(actor: str, key: str) -> Any:
    """The row, locked, with ``ended``: its time has passed, and ``abandoned``: its worker died."""
    dead = Q(status_code__isnull=True, created_at__lt=Now() - GIVEN_UP_AFTER)
    times = {
        name: ExpressionWrapper(when, output_field=BooleanField())
        for name, when in (("ended", Q(expires_at__lte=Now())), ("abandoned", dead))
    }
    return IdempotencyKey.objects.select_for_update().annotate(**times).get(actor=actor, key=key)


def _parted(body: Any) -> tuple[Any, dict[str, Any]]:
    """What may be read by whoever reads the table, and what may not."""
    if not isinstance(body, dict):
        return body, {}
    secrets = {key: text for key, text in body.items() if key in SECRET_KEYS and text}
    return {key: None if key in secrets else text for key, text in body.items()}, secrets


def _with_secrets(row: IdempotencyKey, body: Any) -> Any:
    """Raises ``adsapp_crm.fields.DecryptionError``, and CredentialsMismatchError for another row's secrets."""
    if row.secrets is None:
        return body
    if (row.secrets.get("organization"), row.secrets.get("row")) != (str(row.organization_id), str(row.pk)):
        raise CredentialsMismatchError("The secrets of a stored answer belong to another one.")
    return {**body, **row.secrets["values"]}
