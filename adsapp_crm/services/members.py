"""Who belongs to the organization. Nobody gives or takes a role above their own, and one owner always stays."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.db.models import QuerySet

from adsapp_crm.models import ApiKey, Membership, Organization
from adsapp_crm.models.choices import Role
from adsapp_crm.services.api_keys import revoke_all, usable_keys
from adsapp_crm.services.organizations import add_member
from adsapp_crm.services.refusals import refuse

_RANK: Final[Mapping[str, int]] = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2, Role.OWNER: 3}


@dataclass(frozen=True, slots=True)
class TakenOut:
    """What became of the keys that the person had made and that opened something."""

    revoked: tuple[ApiKey, ...]
    kept: tuple[ApiKey, ...]


def invite(email: str, role: Role, *, by_role: str) -> Membership:
    """Let a person in, or give a member another role. In the current organization's context.

    Raises RefusedError: ``user.email``, ``member.role``, ``member.last_owner``.
    """
    held = _locked().filter(user__email__iexact=email.strip()).first()
    _check(held, role, by_role)
    return add_member(email, role)


def change_role(member_id: uuid.UUID, role: Role, *, by_role: str) -> Membership:
    held = _member(member_id)
    _check(held, role, by_role)
    Membership.objects.filter(pk=held.pk).update(role=role)
    return _member(member_id)


def remove_member(member_id: uuid.UUID, *, by_role: str, revoke_keys: bool = True) -> TakenOut:
    """The person is out at once, and so are the API keys they made, also with keys of theirs, unless ``revoke_keys`` is
    False.

    What they did stays in the ledger. Whoever makes a key knows it, so one that is kept lets them in further.
    """
    held = _member(member_id)
    _check(held, None, by_role)
    keys = tuple(usable_keys().get(f"user:{held.user_id}", ()))
    held.delete()
    if not revoke_keys:
        return TakenOut((), keys)
    revoke_all(key.pk for key in keys)
    return TakenOut(keys, ())


def set_email_notices(user_id: uuid.UUID | None, *, wanted: bool) -> None:
    """Whether the member themself is told by e-mail. Raises RefusedError (``member.unknown``), staff on a visit too."""
    if user_id is None or not Membership.objects.filter(user=user_id).update(email_notices=wanted):
        raise refuse("member.unknown", "Only a member is told by e-mail.", field="emailNotices")


def _locked() -> QuerySet[Membership]:
    # One row that everybody who changes members holds: two owners cannot remove each other at once.
    Organization.objects.select_for_update(no_key=True).get()
    return Membership.objects.select_related("user")


def _member(member_id: uuid.UUID) -> Membership:
    found = _locked().filter(pk=member_id).first()
    if found is None:
        raise refuse("member.unknown", "There is no member with this id.", field="id")
    return found


def _check(held: Membership | None, role: Role | None, by_role: str) -> None:
    ranks = [_RANK[role] if role else 0, _RANK[held.role] if held else 0]
    if max(ranks) > _RANK.get(by_role, -1):
        raise refuse("member.role", "The role is above your own.", field="role")
    if held is None or held.role != Role.OWNER or role == Role.OWNER:
        return
    if Membership.objects.filter(role=Role.OWNER).count() == 1:
        raise refuse("member.last_owner", "This is the only owner.", field="role")
