"""ADSapp's contacts and everything that ever changed in them."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower, Now
from django.utils.translation import gettext_lazy as _

from adsapp_crm.models.base import OrganizationManager, OrganizationModel, OrganizationQuerySet, indexed, unique
from adsapp_crm.models.tenancy import Organization
from adsapp_crm.tenancy import current_organization
from crm.model import ContactState
from crm.normalize import email_key, phone_key

TEXT_ATTRIBUTES = (
    "first_name",
    "last_name",
    "email",
    "phone",
    "whatsapp_number",
    "company",
    "job_title",
    "street",
    "city",
    "region",
    "postal_code",
    "country",
    "language",
    "notes",
    "owner",
)
CONTENT_ATTRIBUTES = (*TEXT_ATTRIBUTES, "birthday", "tags", "email_opt_out", "whatsapp_opt_out", "custom_fields")
"""What a contact says of a person. A change in one of these is a new version and a line of history."""

LIFE_ATTRIBUTES = ("deleted_at", "merged_into_id", "erased_at")
"""These make a new version too: a deletion has to reach the CRM like any edit."""


def match_keys(email: str, phone: str, region: str) -> dict[str, str]:
    """The three columns a writer of e-mail or phone also writes: both match keys, and what they were made from.

    ``region`` is the organization's. A key is empty where the text is not exactly one address or number.
    """
    return {
        "email_normalized": email_key(email) or "",
        "phone_normalized": phone_key(phone, region) or "",
        "keys_of": keys_source(email, phone),
    }


def keys_source(email: str, phone: str) -> str:
    return f"{email}\n{phone}"


_KEY = models.CharField(editable=False)


def _searched(column: str, *, name: str) -> models.Index:
    """Finds by the whole key and, whatever the database's collation, by its beginning (``^@``)."""
    return models.Index(fields=["organization", column], name=name, opclasses=["uuid_ops", "varchar_pattern_ops"])


class ContactQuerySet(OrganizationQuerySet["Contact"]):
    def live(self) -> ContactQuerySet:
        return self.filter(deleted_at__isnull=True, merged_into__isnull=True, erased_at__isnull=True)


class ContactManager(OrganizationManager["Contact"]):
    def get_queryset(self) -> ContactQuerySet:
        return ContactQuerySet(self.model, using=self._db).filter(organization_id=current_organization())

    def live(self) -> ContactQuerySet:
        return self.get_queryset().live()

    def fill_match_keys(self, *, limit: int = 1000) -> int:
        """Make the match keys that a write without them left open; returns how many contacts it looked at.

        Call until it returns less than ``limit`` before contacts are matched. Writes by services and by
        the sync bring their keys along; bulk updates and raw SQL do not.
        """
        open_keys = models.Q(phone_normalized__isnull=True) | models.Q(email_normalized__isnull=True)
        contacts = list(self.get_queryset().filter(open_keys).only("id", "email", "phone")[:limit])
        if not contacts:
            return 0
        region = Organization.objects.get().region
        for contact in contacts:
            for column, value in match_keys(contact.email, contact.phone, region).items():
                setattr(contact, column, value)
        self.get_queryset().bulk_update(contacts, ["email_normalized", "phone_normalized", "keys_of"])
        return len(contacts)


class Contact(OrganizationModel):
    """A person, as ADSapp knows them.

    Triggers keep ``version``, ``updated_at`` and ``ContactChange`` whatever writes the row, and void a
    match key whose source changed without it (``keys_of``).
    """

    first_name = models.CharField(_("first name"), blank=True, default="", db_default="")
    last_name = models.CharField(_("last name"), blank=True, default="", db_default="")
    email = models.CharField(_("e-mail"), blank=True, default="", db_default="")
    phone = models.CharField(_("phone"), blank=True, default="", db_default="")
    whatsapp_number = models.CharField(_("WhatsApp number"), blank=True, default="", db_default="")
    company = models.CharField(_("company"), blank=True, default="", db_default="")
    job_title = models.CharField(_("job title"), blank=True, default="", db_default="")
    street = models.CharField(_("street"), blank=True, default="", db_default="")
    city = models.CharField(_("city"), blank=True, default="", db_default="")
    region = models.CharField(_("region"), blank=True, default="", db_default="")
    postal_code = models.CharField(_("postal code"), blank=True, default="", db_default="")
    country = models.CharField(_("country"), blank=True, default="", db_default="")
    language = models.CharField(_("language"), blank=True, default="", db_default="")
    birthday = models.DateField(_("birthday"), null=True, blank=True)
    notes = models.TextField(_("notes"), blank=True, default="", db_default="")
    tags = ArrayField(models.TextField(), verbose_name=_("tags"), blank=True, default=list, db_default=[])
    email_opt_out = models.BooleanField(_("no e-mail"), default=False, db_default=False)
    whatsapp_opt_out = models.BooleanField(_("no WhatsApp"), default=False, db_default=False)
    owner = models.CharField(_("owner"), blank=True, default="", db_default="", help_text=_("E-mail address."))
    custom_fields = models.JSONField(_("custom fields"), blank=True, default=dict, db_default={})

    version = models.BigIntegerField(_("version"), default=1, db_default=1, editable=False)
    email_normalized = models.CharField(null=True, editable=False)  # noqa: DJ001  NULL: not made yet
    phone_normalized = models.CharField(null=True, editable=False)  # noqa: DJ001
    keys_of = models.CharField(default="", db_default="", editable=False)
    # What a search compares with: the database's own lower case, so that both sides of it agree.
    first_name_key = models.GeneratedField(expression=Lower("first_name"), output_field=_KEY, db_persist=True)
    last_name_key = models.GeneratedField(expression=Lower("last_name"), output_field=_KEY, db_persist=True)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("updated at"), db_default=Now(), editable=False)
    deleted_at = models.DateTimeField(_("deleted at"), null=True, blank=True, editable=False)
    merged_into = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        db_constraint=False,
        db_index=False,
        related_name="merged_from",
    )
    erased_at = models.DateTimeField(_("erased at"), null=True, blank=True, editable=False)

    objects: ClassVar[ContactManager] = ContactManager()

    class Meta(OrganizationModel.Meta):
        db_table = "contacts"
        verbose_name = _("contact")
        verbose_name_plural = _("contacts")
        indexes = [
            _searched("email_normalized", name="contacts_email"),
            _searched("phone_normalized", name="contacts_phone"),
            _searched("first_name_key", name="contacts_first_name"),
            _searched("last_name_key", name="contacts_last_name"),
            indexed("updated_at", "id", name="contacts_updated"),
            indexed(
                "id",
                name="contacts_keys_open",
                condition=models.Q(phone_normalized__isnull=True) | models.Q(email_normalized__isnull=True),
            ),
            indexed(
                "id",
                name="contacts_ended",
                condition=models.Q(deleted_at__isnull=False)
                | models.Q(merged_into__isnull=False)
                | models.Q(erased_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"Contact {self.pk}"

    @property
    def state(self) -> ContactState:
        if self.erased_at is not None:
            return ContactState.ERASED
        if self.merged_into_id is not None:
            return ContactState.MERGED
        return ContactState.LIVE if self.deleted_at is None else ContactState.DELETED


class ContactChange(OrganizationModel):
    """One write to a contact: which attributes, from what to what. Written by a trigger, read by everyone."""

    contact = models.ForeignKey(
        Contact, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="changes"
    )
    version = models.BigIntegerField(_("version"))
    changes = models.JSONField(
        _("changes"), help_text=_("Attribute -> [before, after]; custom fields as custom.<key>.")
    )
    at = models.DateTimeField(_("at"))
    who = models.CharField(_("who"), blank=True, default="")
    origin = models.CharField(_("origin"), blank=True, default="")
    evidence = models.JSONField(_("evidence"), null=True, help_text=_("Attribute -> when it changed in its CRM."))
    xid = models.BigIntegerField(null=True, editable=False)
    """The transaction that wrote it, as ``pg_current_xact_id`` counts them; a default of the database."""

    class Meta(OrganizationModel.Meta):
        db_table = "contact_changes"
        verbose_name = _("contact change")
        verbose_name_plural = _("contact changes")
        ordering = ["-version"]
        constraints = [unique("contact", "version", name="contact_changes_version")]
        indexes = [
            indexed("at", name="contact_changes_at"),
            indexed("xid", "contact", name="contact_changes_xid", condition=models.Q(xid__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"Contact {self.contact_id} version {self.version}"


def tombstone_key_of(organization: Organization) -> bytes | None:
    """The key under which the organization recognises erased people; None where nobody was erased yet."""
    sealed = organization.tombstone_key
    if sealed is None:
        return None
    if sealed["organization"] != str(organization.pk):
        raise RuntimeError("The tombstone key belongs to another organization.")
    return base64.b64decode(sealed["key"])


def tombstone_digest(key: bytes, kind: str, *parts: str) -> str:
    """How an erased person is recognised: keyed, so that the table alone lets nobody try addresses."""
    return hmac.new(key, "\n".join((kind, *parts)).encode(), hashlib.sha256).hexdigest()


class ContactTombstone(OrganizationModel):
    """What is kept of an erased person: keyed digests by which they are recognised and not made again."""

    contact = models.ForeignKey(
        Contact, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="tombstones"
    )
    digest = models.TextField(editable=False)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta(OrganizationModel.Meta):
        db_table = "contact_tombstones"
        verbose_name = _("tombstone")
        verbose_name_plural = _("tombstones")
        constraints = [unique("digest", "contact", name="contact_tombstones_digest")]

    def __str__(self) -> str:
        return f"Tombstone of contact {self.contact_id}"
