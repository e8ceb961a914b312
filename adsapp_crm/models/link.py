"""Links between contacts and remote records, and the remote records that have none yet."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from adsapp_crm.models.base import OrganizationModel, indexed, one_of, unique
from adsapp_crm.models.choices import LinkStatus, RecordState
from adsapp_crm.models.connection import CrmConnection
from adsapp_crm.models.contact import Contact

_PAIRED = models.Q(crm_record_id__isnull=False)


class CrmSyncState(OrganizationModel):
    """A link: one contact and one remote record, with what both sides last agreed on."""

    connection = models.ForeignKey(
        CrmConnection, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="links"
    )
    contact = models.ForeignKey(
        Contact, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="links"
    )
    crm_record_id = models.TextField(_("CRM record id"), null=True, blank=True)  # noqa: DJ001  NULL: none yet
    crm_record_type = models.TextField(_("CRM record type"))
    last_synced_at = models.DateTimeField(_("last synced at"), null=True, blank=True)
    adsapp_updated_at = models.DateTimeField(_("changed in ADSapp at"), null=True, blank=True)
    crm_updated_at = models.DateTimeField(_("changed in the CRM at"), null=True, blank=True)
    conflict_detected = models.BooleanField(_("conflict"), default=False)
    conflict_details = models.JSONField(_("conflict details"), null=True, blank=True)

    state = models.TextField(_("state"), choices=LinkStatus.choices, default=LinkStatus.LIVE)
    base = models.JSONField(_("base"), default=dict, help_text=_("Mapping id -> app value, CRM value, definition."))
    synced_version = models.BigIntegerField(_("synced contact version"), default=0)
    contact_version = models.BigIntegerField(
        default=0, db_default=0, editable=False, help_text=_("Newest version of the contact that was noticed.")
    )
    observed = models.JSONField(
        _("observed"), null=True, help_text=_("CRM field -> value, where it differs from base.")
    )
    observed_at = models.DateTimeField(_("observed at"), null=True)
    due = models.BooleanField(_("due"), default=False, db_default=False, help_text=_("The next run looks again."))
    seen_run = models.UUIDField(_("seen by run"), null=True)
    troubles = models.JSONField(_("refused fields"), default=dict, blank=True)
    flips = models.JSONField(_("flips"), default=dict, blank=True)
    error_code = models.TextField(_("error code"), blank=True, default="")
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt at"), null=True, blank=True)
    excluded_at = models.DateTimeField(_("excluded at"), null=True, blank=True)
    excluded_by = models.TextField(_("excluded by"), blank=True, default="")
    superseded_by = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        related_name="supersedes",
    )
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)
    claim_token = models.UUIDField(null=True, editable=False)
    claimed_until = models.DateTimeField(null=True, editable=False)
    email_key = models.TextField(blank=True, default="", editable=False)
    phone_key = models.TextField(blank=True, default="", editable=False)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True, editable=False)

    class Meta(OrganizationModel.Meta):
        db_table = "crm_sync_state"
        verbose_name = _("link")
        verbose_name_plural = _("links")
        constraints = [
            unique("connection", "crm_record_type", "crm_record_id", name="crm_sync_state_record", condition=_PAIRED),
            unique(
                "connection",
                "contact",
                "crm_record_type",
                name="crm_sync_state_contact",
                condition=models.Q(state__in=[LinkStatus.LIVE, LinkStatus.PENDING]),
            ),
            one_of(LinkStatus.choices, "state", name="crm_sync_state_state"),
            models.CheckConstraint(
                # One waits for its record, the other may have given it up to the link that goes on.
                condition=models.Q(state__in=[LinkStatus.PENDING, LinkStatus.SUPERSEDED]) | _PAIRED,
                name="crm_sync_state_paired",
            ),
        ]
        indexes = [
            indexed("contact", "connection", name="crm_sync_state_of_contact"),
            indexed("connection", "crm_record_type", "state", "id", name="crm_sync_state_walk"),
            indexed(
                "connection",
                "next_attempt_at",
                name="crm_sync_state_due",
                condition=models.Q(next_attempt_at__isnull=False),
            ),
            # What a delta looks at in place of all links.
            indexed(
                "connection",
                "crm_record_type",
                "state",
                "id",
                name="crm_sync_state_marked",
                condition=models.Q(due=True) | models.Q(contact_version__gt=models.F("synced_version")),
            ),
            indexed(
                "connection",
                "crm_record_type",
                "id",
                name="crm_sync_state_seen",
                condition=models.Q(observed__isnull=False),
            ),
            indexed("connection", "error_code", "id", name="crm_sync_state_error", condition=~models.Q(error_code="")),
            # Newest first, whoever's: the few among many that fail or are left out.
            indexed("id", name="crm_sync_state_failing", condition=~models.Q(error_code="") | ~models.Q(troubles={})),
            indexed("id", name="crm_sync_state_excluded", condition=models.Q(excluded_at__isnull=False)),
            indexed("connection", "crm_record_type", "email_key", name="crm_sync_state_email"),
            indexed("connection", "crm_record_type", "phone_key", name="crm_sync_state_phone"),
        ]

    def __str__(self) -> str:
        return f"Link {self.pk}: contact {self.contact_id}, {self.crm_record_type} {self.crm_record_id or '(none)'}"


class CrmLoneContact(OrganizationModel):
    """A contact that had no link of the connection when its last change was noticed; a link takes the row away."""

    connection = models.ForeignKey(
        CrmConnection, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="lone_contacts"
    )
    contact = models.ForeignKey(
        Contact, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="lone_in"
    )

    class Meta(OrganizationModel.Meta):
        db_table = "crm_lone_contacts"
        verbose_name = _("contact without a link")
        verbose_name_plural = _("contacts without a link")
        constraints = [unique("connection", "contact", name="crm_lone_contacts_contact")]

    def __str__(self) -> str:
        return f"Contact {self.contact_id} has no link of {self.connection_id}"


class CrmObservation(OrganizationModel):
    """A remote record without a link, as it was last seen."""

    connection = models.ForeignKey(
        CrmConnection, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="observations"
    )
    record_type = models.TextField(_("record type"))
    remote_id = models.TextField(_("CRM record id"))
    values = models.JSONField(_("values"), default=dict)
    modified_at = models.DateTimeField(_("changed in the CRM at"), null=True)
    created_at = models.DateTimeField(_("created in the CRM at"), null=True)
    state = models.TextField(_("state"), choices=RecordState.choices, default=RecordState.LIVE)
    merged_into = models.TextField(_("merged into"), blank=True, default="")
    former_ids = models.JSONField(_("former ids"), default=list, blank=True)
    marker = models.TextField(_("marker"), blank=True, default="")
    by_us = models.BooleanField(_("last written by us"), null=True)
    email_key = models.TextField(blank=True, default="")
    phone_key = models.TextField(blank=True, default="")
    reason_code = models.TextField(_("reason"), blank=True, default="")
    excluded_at = models.DateTimeField(_("excluded at"), null=True, blank=True)
    excluded_by = models.TextField(_("excluded by"), blank=True, default="")
    seen_run = models.UUIDField(_("seen by run"), null=True)
    observed_at = models.DateTimeField(_("observed at"), db_default=Now())

    class Meta(OrganizationModel.Meta):
        db_table = "crm_observations"
        verbose_name = _("unlinked CRM record")
        verbose_name_plural = _("unlinked CRM records")
        constraints = [
            unique("connection", "record_type", "remote_id", name="crm_observations_record"),
            one_of(RecordState.choices, "state", name="crm_observations_state"),
        ]
        indexes = [
            indexed("connection", "record_type", "email_key", name="crm_observations_email"),
            indexed("connection", "record_type", "phone_key", name="crm_observations_phone"),
            indexed("connection", "record_type", "seen_run", "remote_id", name="crm_observations_seen"),
            indexed("connection", "marker", name="crm_observations_marker", condition=~models.Q(marker="")),
            indexed(
                "connection", "reason_code", "id", name="crm_observations_reason", condition=~models.Q(reason_code="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.record_type} {self.remote_id} ({self.state})"
