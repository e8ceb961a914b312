"""Who there is: people, organizations, who belongs to which, and which staff were let in."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower, Now
from django.utils.translation import gettext_lazy as _

from adsapp_crm.fields import EncryptedJSONField
from adsapp_crm.models.base import OrganizationModel, indexed, one_of, unique, uuid7
from adsapp_crm.models.choices import Role
from adsapp_crm.models.validation import validate_region, validate_time_zone
from adsapp_crm.tenancy import current_organization


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> User:
        """Log-in names are e-mail addresses, and those do not differ by case."""
        return self.get(email__iexact=username or "")

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        if not email or "@" not in email:
            raise ValidationError({"email": _("An e-mail address is needed to log in.")}, code="user.email")
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """A person who logs in. Belongs to no organization by itself: memberships say to which."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(_("e-mail"), unique=True, error_messages={"unique": _("This address is taken.")})
    name = models.CharField(_("name"), blank=True, default="")
    time_zone = models.CharField(
        _("time zone"),
        blank=True,
        default="",
        validators=[validate_time_zone],
        help_text=_("Empty: the organization's."),
    )
    is_staff = models.BooleanField(_("staff"), default=False, help_text=_("May open the admin."))
    is_active = models.BooleanField(_("active"), default=True)
    date_joined = models.DateTimeField(_("joined at"), db_default=Now(), editable=False)

    objects: ClassVar[UserManager] = UserManager()

    EMAIL_FIELD = "email"
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        db_table = "users"
        verbose_name = _("user")
        verbose_name_plural = _("users")
        constraints = [models.UniqueConstraint(Lower("email"), name="users_email_caseless")]

    def __str__(self) -> str:
        return self.email


class CurrentOrganizationManager(models.Manager["Organization"]):
    """Sees the current organization only."""

    def get_queryset(self) -> models.QuerySet[Organization]:
        return super().get_queryset().filter(pk=current_organization())


class OrganizationListManager(CurrentOrganizationManager):
    """Leaves the key in the database; never a base manager (see ``CrmConnection.scoped``)."""

    def get_queryset(self) -> models.QuerySet[Organization]:
        return super().get_queryset().defer("tombstone_key")


class Organization(models.Model):
    """A customer of ADSapp: the owner of contacts and connections, and the wall between them."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(_("name"))
    region = models.CharField(
        _("region"),
        blank=True,
        default="",
        validators=[validate_region],
        help_text=_("ISO 3166 code of the country whose rules read phone numbers without a country code."),
    )
    time_zone = models.CharField(_("time zone"), default="UTC", validators=[validate_time_zone])
    tombstone_key = EncryptedJSONField(null=True, editable=False)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    objects: ClassVar[OrganizationListManager] = OrganizationListManager()
    scoped: ClassVar[CurrentOrganizationManager] = CurrentOrganizationManager()
    unscoped: ClassVar[models.Manager[Organization]] = models.Manager()

    class Meta:
        db_table = "organizations"
        base_manager_name = "scoped"
        default_manager_name = "objects"
        verbose_name = _("organization")
        verbose_name_plural = _("organizations")

    def __str__(self) -> str:
        return self.name


class Membership(OrganizationModel):
    """A person's place in an organization."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    role = models.CharField(_("role"), choices=Role.choices, default=Role.VIEWER)
    email_notices = models.BooleanField(
        _("e-mail notices"),
        default=True,
        db_default=True,
        help_text=_("Whether an owner or administrator is told by e-mail when a connection needs somebody."),
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta(OrganizationModel.Meta):
        db_table = "memberships"
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints = [
            unique("user", name="memberships_user"),
            one_of(Role.choices, "role", name="memberships_role"),
        ]

    def __str__(self) -> str:
        return f"{self.get_role_display()} {self.user_id}"


class StaffAccess(OrganizationModel):
    """Leave for one of our own staff to see one organization's data, for a time and a reason."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    role = models.CharField(_("role"), choices=Role.choices, default=Role.VIEWER)
    reason = models.CharField(_("reason"))
    granted_by = models.CharField(_("granted by"), blank=True, default="")
    granted_at = models.DateTimeField(_("granted at"), db_default=Now(), editable=False)
    expires_at = models.DateTimeField(_("expires at"))
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True, editable=False)

    class Meta(OrganizationModel.Meta):
        db_table = "staff_access"
        verbose_name = _("staff access")
        verbose_name_plural = _("staff access")
        indexes = [indexed("user", "expires_at", name="staff_access_user")]
        constraints = [one_of(Role.choices, "role", name="staff_access_role")]

    def __str__(self) -> str:
        return f"{self.user_id} until {self.expires_at:%Y-%m-%d %H:%M}"


class StaffAccessEvent(OrganizationModel):
    """One thing a member of staff looked at or did under a grant. Append-only."""

    access = models.ForeignKey(
        StaffAccess, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="events"
    )
    method = models.CharField(_("method"))
    path = models.CharField(_("path"), help_text=_("Without its query string."))
    at = models.DateTimeField(_("at"), db_default=Now(), editable=False)

    class Meta(OrganizationModel.Meta):
        db_table = "staff_access_events"
        verbose_name = _("staff access event")
        verbose_name_plural = _("staff access events")
        indexes = [indexed("access", "at", name="staff_access_events_at")]

    def __str__(self) -> str:
        return f"{self.method} at {self.at:%Y-%m-%d %H:%M}"
