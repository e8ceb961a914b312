"""Remote writes, journalled before they are sent."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from adsapp_crm.models.base import OrganizationModel, indexed, one_of, unique
from adsapp_crm.models.choices import WriteKind, WriteStatus
from adsapp_crm.models.connection import CrmConnection
from adsapp_crm.models.contact import Contact

OPEN = (WriteStatus.SENT, WriteStatus.UNKNOWN)
"""While one of these stands on a record, nothing else is planned for it."""


class CrmIntent(OrganizationModel):
    """One remote write. ``run_id``, ``line_id`` and ``link_id`` name rows that may go first, or come later."""

    connection = models.ForeignKey(
        CrmConnection, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="intents"
    )
    contact = models.ForeignKey(
        Contact, on_delete=models.CASCADE, null=True, db_constraint=False, db_index=False, related_name="intents"
    )
    run_id = models.UUIDField(_("run"), null=True)
    line_id = models.UUIDField(_("plan line"), null=True)
    link_id = models.UUIDField(_("link"), null=True)
    kind = models.TextField(_("kind"), choices=WriteKind.choices)
    status = models.TextField(_("status"), choices=WriteStatus.choices, default=WriteStatus.SENT)
    record_type = models.TextField(_("record type"))
    remote_id = models.TextField(_("CRM record id"), blank=True, default="")
    marker = models.TextField(_("marker"), blank=True, default="")
    values = models.JSONField(_("values"), default=dict)
    action = models.JSONField(_("action"), default=dict)
    app_version = models.BigIntegerField(_("contact version"), default=0)
    error_code = models.TextField(_("error code"), blank=True, default="")
    request_id = models.TextField(_("CRM request id"), blank=True, default="")
    claim_token = models.UUIDField(null=True, editable=False)
    claimed_until = models.DateTimeField(null=True, editable=False)
    attempts = models.PositiveIntegerField(_("look-ups"), default=0)
    sent_at = models.DateTimeField(_("sent at"), db_default=Now())
    settled_at = models.DateTimeField(_("settled at"), null=True, blank=True)

    class Meta(OrganizationModel.Meta):
        db_table = "crm_intents"
        verbose_name = _("intent")
        verbose_name_plural = _("intents")
        constraints = [
            unique(
                "connection",
                "contact",
                "record_type",
                name="crm_intents_open_contact",
                condition=models.Q(status__in=OPEN),
            ),
            unique(
                "connection",
                "record_type",
                "remote_id",
                name="crm_intents_open_record",
                condition=models.Q(status__in=OPEN) & ~models.Q(remote_id=""),
            ),
            one_of(WriteKind.choices, "kind", name="crm_intents_kind"),
            one_of(WriteStatus.choices, "status", name="crm_intents_status"),
        ]
        indexes = [
            indexed("connection", "claimed_until", name="crm_intents_open", condition=models.Q(status__in=OPEN)),
            indexed("run_id", name="crm_intents_run"),
            indexed("contact", name="crm_intents_contact"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.record_type} ({self.status})"
