"""Audits: what a comparison of app, CRM and base found, and how it is repaired."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from adsapp_crm.models.base import OrganizationModel, indexed, one_of
from adsapp_crm.models.choices import AuditScope, AuditStatus
from adsapp_crm.models.connection import CrmConnection


class CrmAudit(OrganizationModel):
    """One audit. It goes on at ``position``, page by page; ``contact_ids`` names some of what has drifted."""

    connection = models.ForeignKey(
        CrmConnection, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="audits"
    )
    scope = models.TextField(_("scope"), choices=AuditScope.choices, default=AuditScope.SAMPLE)
    status = models.TextField(_("status"), choices=AuditStatus.choices, default=AuditStatus.RUNNING)
    pages_left = models.PositiveIntegerField(_("pages left"), default=1)
    position = models.JSONField(_("position"), default=dict, blank=True)
    compared = models.PositiveIntegerField(_("links compared"), default=0)
    causes = models.JSONField(_("causes"), default=dict, blank=True)
    conflicts_opened = models.PositiveIntegerField(_("conflicts opened"), default=0)
    conflicts_closed = models.PositiveIntegerField(_("conflicts closed"), default=0)
    contact_ids = models.JSONField(_("contacts that drifted"), default=list, blank=True)
    api_calls = models.PositiveIntegerField(_("API calls"), default=0)
    error_code = models.TextField(_("error code"), blank=True, default="")
    started_at = models.DateTimeField(_("started at"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("updated at"), db_default=Now())
    completed_at = models.DateTimeField(_("completed at"), null=True, blank=True)

    class Meta(OrganizationModel.Meta):
        db_table = "crm_audits"
        verbose_name = _("audit")
        verbose_name_plural = _("audits")
        constraints = [
            one_of(AuditScope.choices, "scope", name="crm_audits_scope"),
            one_of(AuditStatus.choices, "status", name="crm_audits_status"),
        ]
        indexes = [indexed("connection", "started_at", "id", name="crm_audits_started")]

    def __str__(self) -> str:
        return f"{self.scope} audit {self.pk} ({self.status})"
