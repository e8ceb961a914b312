"""What happened to a connection apart from its runs: who connected, paused or set it, and what its CRM changed."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from adsapp_crm.models.base import OrganizationModel, indexed, one_of
from adsapp_crm.models.choices import ConnectionEventKind
from adsapp_crm.models.connection import CrmConnection


class CrmConnectionEvent(OrganizationModel):
    """A line of a connection's history. ``details`` name settings and fields, never a contact or a secret."""

    connection = models.ForeignKey(
        CrmConnection, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="history"
    )
    kind = models.TextField(_("kind"), choices=ConnectionEventKind.choices)
    code = models.TextField(_("code"), blank=True, default="")
    details = models.JSONField(_("details"), default=dict, blank=True)
    actor = models.TextField(_("by"), blank=True, default="")
    at = models.DateTimeField(_("at"), db_default=Now(), editable=False)

    class Meta(OrganizationModel.Meta):
        db_table = "crm_connection_events"
        verbose_name = _("connection event")
        verbose_name_plural = _("connection events")
        constraints = [one_of(ConnectionEventKind.choices, "kind", name="crm_connection_events_kind")]
        indexes = [
            indexed("at", "id", name="crm_connection_events_at"),
            indexed("connection", "at", "id", name="crm_connection_events_conn"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
