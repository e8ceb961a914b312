"""What the sync did to whom, and why: append-only."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from adsapp_crm.models.base import OrganizationModel, indexed
from adsapp_crm.models.choices import PlanLineKind
from adsapp_crm.models.connection import CrmConnection
from adsapp_crm.models.contact import Contact


class CrmLedgerEntry(OrganizationModel):
    """One record and action with its field effects.

    Outlives the run it belongs to: ``run_id``, ``intent_id`` and ``link_id`` are names, not references.
    """

    connection = models.ForeignKey(
        CrmConnection, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="ledger"
    )
    contact = models.ForeignKey(
        Contact, on_delete=models.CASCADE, null=True, db_constraint=False, db_index=False, related_name="ledger"
    )
    run_id = models.UUIDField(_("run"), null=True)
    intent_id = models.UUIDField(_("intent"), null=True)
    link_id = models.UUIDField(_("link"), null=True)
    record_type = models.TextField(_("record type"), blank=True, default="")
    remote_id = models.TextField(_("CRM record id"), blank=True, default="")
    kind = models.TextField(_("kind"), choices=PlanLineKind.choices)
    rule = models.TextField(_("rule"), blank=True, default="")
    effects = models.JSONField(_("effects"), default=list)
    action = models.JSONField(_("action"), default=dict)
    contact_version = models.BigIntegerField(_("contact version"), default=0)
    at = models.DateTimeField(_("at"), db_default=Now(), editable=False)
    actor = models.TextField(_("actor"), blank=True, default="")

    class Meta(OrganizationModel.Meta):
        db_table = "crm_ledger"
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger entries")
        indexes = [
            indexed("contact", "at", "id", name="crm_ledger_contact"),
            indexed("run_id", "id", name="crm_ledger_run"),
            indexed("connection", "at", "id", name="crm_ledger_at"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} by {self.rule} at {self.at:%Y-%m-%d %H:%M}"
