"""Letting our own staff into a customer's organization for a time, and writing down what they look at there."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Final

from django.db.models import Case, F, QuerySet, When
from django.db.models.functions import Now

from adsapp_crm.models import StaffAccess, StaffAccessEvent, User
from adsapp_crm.models.choices import Role
from adsapp_crm.services.refusals import refuse
from adsapp_crm.tenancy import organization_context
from crm.normalize import sanitize_text

ROLES: Final = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)
"""No grant makes an owner."""
MOST_HOURS: Final = 7 * 24
DEFAULT_HOURS: Final = 4
MOST_REASON_CHARACTERS: Final = 200
_RANK: Final = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2, Role.OWNER: 3}


def check_no_visit(staff_access_id: uuid.UUID | None) -> None:
    """For what would outlast a grant: grants, members, keys, webhooks, a CRM's access.

    Raises RefusedError (``staff.by_grant``).
    """
    if staff_access_id is not None:
        raise refuse("staff.by_grant", "You are in this organization by a grant yourself.")


def let_in(email: str, role: str, *, hours: int, reason: str, by: str, by_role: str = Role.OWNER) -> StaffAccess:
    """A grant of the current organization for one of our staff, from now on for ``hours``.

    ``by`` is the actor who gives it, ``by_role`` their own role: nobody gives more than they have. Raises RefusedError:
    ``staff.person`` (nobody of our staff has the address; also said of customers' people), ``staff.invalid``.
    """
    shown = sanitize_text(reason)[0].strip()
    if not shown or len(shown) > MOST_REASON_CHARACTERS:
        raise refuse(
            "staff.invalid",
            f"A grant has a reason of at most {MOST_REASON_CHARACTERS} characters.",
            field="reason",
            fix="Say what for, such as the number of a ticket.",
        )
    if not 1 <= hours <= MOST_HOURS:
        raise refuse(
            "staff.invalid",
            f"A grant lasts from one hour to {MOST_HOURS} hours.",
            field="hours",
            fix=f"Give a whole number of hours from 1 to {MOST_HOURS}.",
        )
    if role not in ROLES or _RANK[Role(role)] > _RANK.get(Role(by_role), -1):
        raise refuse("staff.invalid", "Staff are let in as viewer, operator or admin, and as no more than you are.",
                     field="role", fix="Choose a lesser role.")  # fmt: skip
    user = User.objects.filter(email__iexact=email.strip(), is_staff=True, is_active=True).first()
    if user is None:
        raise refuse("staff.person", "Nobody of our staff has this e-mail address.", field="email")
    made = StaffAccess.objects.create(
        user=user, role=role, reason=shown, granted_by=by, expires_at=Now() + timedelta(hours=hours)
    )
    return StaffAccess.objects.select_related("user").get(pk=made.pk)


def end_access(access_id: uuid.UUID) -> StaffAccess:
    """The grant opens nothing any more; ending it again changes nothing. Raises RefusedError: ``staff.unknown``."""
    if not StaffAccess.objects.filter(pk=access_id).exists():
        raise refuse("staff.unknown", "There is no grant with this id.", field="id")
    StaffAccess.objects.filter(pk=access_id, ended_at__isnull=True).update(ended_at=Now())
    return StaffAccess.objects.select_related("user").get(pk=access_id)


def grants() -> QuerySet[StaffAccess]:
    """The current organization's grants; ``is_open`` by the database's clock."""
    is_open = Case(When(ended_at__isnull=True, expires_at__gt=Now(), then=True), default=False)
    return StaffAccess.objects.select_related("user").annotate(is_open=is_open).order_by(F("id").desc())


def open_grants() -> list[StaffAccess]:
    return list(grants().filter(ended_at__isnull=True, expires_at__gt=Now()))


def log_staff_access(organization_id: uuid.UUID, access_id: uuid.UUID, *, method: str, path: str) -> None:
    """Note one look or act under a grant. ``path`` is without its query string, which may hold contact data."""
    with organization_context(organization_id):
        StaffAccessEvent.objects.create(access_id=access_id, method=method, path=path[:500])
        StaffAccess.objects.filter(pk=access_id).update(last_used_at=Now())
