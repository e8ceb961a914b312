"""Making organizations and letting people in."""

from __future__ import annotations

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from adsapp_crm.models import Contact, Membership, Organization, User, uuid7
from adsapp_crm.models.choices import Role
from adsapp_crm.services.refusals import RefusedError, from_validation, refuse
from adsapp_crm.tenancy import current_organization, organization_context
from crm.normalize import sanitize_text

MOST_NAME_CHARACTERS = 200


def create_organization(
    name: str,
    *,
    email: str,
    password: str | None = None,
    region: str = "",
    time_zone: str = "UTC",
    staff: bool = False,
    actor: str = "",
) -> tuple[Organization, User]:
    """An organization and its owner; ``email`` of a person who is known already makes that person the owner.

    Without a password a new person cannot log in until one is set. Raises RefusedError, and then nothing
    was made: ``organization.invalid``, ``user.email``, ``user.password``.
    """
    shown = sanitize_text(name)[0].strip()
    if len(shown) > MOST_NAME_CHARACTERS:
        raise refuse(
            "organization.invalid",
            f"The name has {len(shown)} characters.",
            field="name",
            fix=f"Use {MOST_NAME_CHARACTERS} characters or fewer.",
        )
    organization = Organization(id=uuid7(), name=shown, region=region.strip().upper(), time_zone=time_zone)
    try:
        organization.clean_fields()
    except ValidationError as error:
        raise from_validation(error, "organization.invalid") from error
    address = _checked_email(email)
    with organization_context(organization.id, actor=actor or "service:organizations"):
        user = User.objects.filter(email__iexact=address).first()
        if user is None:
            _check_password(password, User(email=address))
            user = User.objects.create_user(address, password, is_staff=staff)
        organization.save(force_insert=True)
        Membership.objects.create(user=user, role=Role.OWNER)
    return organization, user


def add_member(email: str, role: Role, *, password: str | None = None) -> Membership:
    """Let a person into the current organization; their role is replaced when they were in already."""
    address = _checked_email(email)
    with transaction.atomic():
        user = User.objects.filter(email__iexact=address).first()
        if user is None:
            _check_password(password, User(email=address))
            user = User.objects.create_user(address, password)
        membership, _made = Membership.objects.update_or_create(user=user, defaults={"role": role})
    return membership


def change_region(region: str) -> Organization:
    """Read the organization's phone numbers by another country's rules from now on.

    The match keys of all contacts with a phone are void until ``Contact.objects.fill_match_keys`` made
    them again.
    """
    with organization_context(current_organization()):
        organization = Organization.objects.select_for_update().get()
        organization.region = region.strip().upper()
        try:
            organization.clean_fields()
        except ValidationError as error:
            raise from_validation(error, "organization.invalid") from error
        organization.save(update_fields=["region"])
        Contact.objects.exclude(phone="").update(keys_of="")
    return organization


def _checked_email(email: str) -> str:
    address = email.strip().lower()
    try:
        validate_email(address)
    except ValidationError as error:
        raise refuse(
            "user.email",
            "This is not an e-mail address.",
            field="email",
            fix="Give an address such as ann@example.com.",
        ) from error
    return address


def _check_password(password: str | None, user: User) -> None:
    if password is None:
        return
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise RefusedError(
            refuse("user.password", text, field="password", fix="Choose a longer, rarer password.").refusals[0]
            for text in error.messages
        ) from error
