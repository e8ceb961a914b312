"""Keys by which programs come in.

A key is shown once. What is kept is a hash of its secret half: 256 random bits need no slow hash. Its public
half, the prefix, finds the row.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from django.db.models import Case, Q, When
from django.db.models.functions import Now

from adsapp_crm import selectors
from adsapp_crm.models import ApiKey, Membership
from adsapp_crm.models.choices import Role
from adsapp_crm.services.actor_names import ids_of
from adsapp_crm.services.refusals import refuse
from adsapp_crm.tenancy import current_actor, organization_context

PREFIX: Final = "crm_live_"
_KEY: Final = re.compile(r"(crm_live_[0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
_NOTED_EVERY: Final = timedelta(minutes=1)
"""``last_used_at`` is as exact as this: not every request writes a row."""


class Scope(StrEnum):
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


ROLE_OF: Final[Mapping[str, Role]] = {
    Scope.READ: Role.VIEWER,
    Scope.WRITE: Role.OPERATOR,
    Scope.ADMIN: Role.ADMIN,
}
"""What a key with this scope may do, in the words for people. No key does what is the owner's."""
SCOPE_OF: Final[Mapping[str, Scope]] = {
    Role.VIEWER: Scope.READ,
    Role.OPERATOR: Scope.WRITE,
    Role.ADMIN: Scope.ADMIN,
    Role.OWNER: Scope.ADMIN,
}
"""The widest scope of a member with this role."""
_ORDER: Final = tuple(Scope)


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """A key that was shown and fits."""

    key_id: uuid.UUID
    organization_id: uuid.UUID
    scope: Scope
    """The widest one it has, as far as the role that its maker has now goes."""


@dataclass(frozen=True, slots=True)
class NewKey:
    row: ApiKey
    text: str = field(repr=False)
    """The whole key; nowhere else, and never again."""


def make_key(name: str, scopes: Sequence[str], *, actor: str, expires_at: datetime | None = None) -> NewKey:
    """A new key of the current organization. Raises RefusedError: ``key.invalid``."""
    name = name.strip()
    if not name:
        raise refuse("key.invalid", "A key has a name.", field="name", fix="Say which program it is for.")
    wanted = [scope for scope in _ORDER if scope in scopes]
    if not wanted or len(wanted) != len(set(scopes)):
        raise refuse("key.invalid", "A key has at least one scope.", field="scopes", fix=f"Use {', '.join(Scope)}.")
    prefix, secret = f"{PREFIX}{secrets.token_hex(6)}", secrets.token_urlsafe(32)
    row = ApiKey.objects.create(
        name=name, prefix=prefix, secret_hash=_hashed(secret), scopes=wanted, created_by=actor, expires_at=expires_at
    )
    if expires_at is not None and not ApiKey.objects.filter(pk=row.pk, expires_at__gt=Now()).exists():
        raise refuse("key.invalid", "The key would be over already.", field="expiresAt", fix="Give a time to come.")
    return NewKey(ApiKey.objects.get(pk=row.pk), f"{prefix}_{secret}")


def revoke_key(key_id: uuid.UUID) -> ApiKey:
    """The key opens nothing any more; revoking it again changes nothing."""
    if not ApiKey.objects.filter(pk=key_id).exists():
        raise refuse("key.unknown", "There is no API key with this id.", field="id")
    revoke_all([key_id])
    return ApiKey.objects.get(pk=key_id)


def revoke_all(key_ids: Iterable[uuid.UUID]) -> None:
    """In the name of who acts; those that are revoked already keep who did it and when."""
    ApiKey.objects.filter(pk__in=list(key_ids), revoked_at__isnull=True).update(
        revoked_at=Now(), revoked_by=current_actor()
    )


def usable_keys() -> dict[str, list[ApiKey]]:
    """Actor -> the keys that they made and that open something still, in the current organization.

    A key that was made with a key is its maker's, however many there are in between and whether those still open
    anything: who knew the first one was shown the last one.
    """
    over = Case(When(Q(revoked_at__isnull=False) | Q(expires_at__lte=Now()), then=True), default=False)
    keys = list(ApiKey.objects.annotate(is_over=over).order_by("id"))
    made_with = {f"key:{key.pk}": key.created_by for key in keys}
    found: dict[str, list[ApiKey]] = {}
    for key in keys:
        if not key.is_over:
            found.setdefault(_first_maker(key.created_by, made_with), []).append(key)
    return found


def open_key(text: str) -> KeyGrant | None:
    """What the key opens; None for one that is unknown, revoked or over, and these look the same.

    Must be called outside ``organization_context``.
    """
    shown = _KEY.fullmatch(text)
    place = selectors.api_key(shown.group(1)) if shown else None
    if shown is None or place is None:
        return None
    key_id, organization_id = place
    with organization_context(organization_id):
        usable = Q(expires_at__isnull=True) | Q(expires_at__gt=Now())
        row = ApiKey.objects.filter(usable, pk=key_id, revoked_at__isnull=True).first()
        if row is None or not hmac.compare_digest(row.secret_hash, _hashed(shown.group(2))):
            return None
        stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=Now() - _NOTED_EVERY)
        ApiKey.objects.filter(stale, pk=key_id).update(last_used_at=Now())
        scope = scopes_now([row])[row.pk]
    return KeyGrant(key_id, organization_id, scope)


def scopes_now(rows: Sequence[ApiKey]) -> dict[uuid.UUID, Scope]:
    """Each key's widest scope, or its maker's role where that allows less by now; in the current organization.

    A key that was made with a key is its first maker's. One whose maker is no member (any more) keeps its own: whoever
    took the maker out said what becomes of their keys.
    """
    makers = {f"key:{row.pk}": row.created_by for row in rows}
    if any(maker.startswith("key:") for maker in makers.values()):
        makers |= {f"key:{pk}": maker for pk, maker in ApiKey.objects.values_list("pk", "created_by")}
    first = {row.pk: _first_maker(row.created_by, makers) for row in rows}
    people = ids_of("user:", set(first.values()))
    members = Membership.objects.filter(user_id__in=people).values_list("user_id", "role") if people else ()
    roles = {f"user:{user_id}": role for user_id, role in members}
    found = {}
    for row in rows:
        widest = max((Scope(scope) for scope in row.scopes), key=_ORDER.index)
        role = roles.get(first[row.pk])
        found[row.pk] = widest if role is None else min(widest, SCOPE_OF[role], key=_ORDER.index)
    return found


def _first_maker(maker: str, makers: Mapping[str, str]) -> str:
    while maker in makers:
        maker = makers[maker]
    return maker


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
