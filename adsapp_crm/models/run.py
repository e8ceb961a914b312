"""Runs: what was asked for, how far it came, what it did."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from adsapp_crm.models.base import OrganizationModel, indexed, one_of
from adsapp_crm.models.choices import RunPurpose, RunState, RunTrigger, SyncDirection, SyncType
from adsapp_crm.models.connection import CrmConnection


class CrmSyncLog(OrganizationModel):
    """One run of one connection; the row carries everything that resuming it needs."""

    connection = models.ForeignKey(
        CrmConnection, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="runs"
    )
    sync_type = models.TextField(_("sync type"), choices=SyncType.choices)
    direction = models.TextField(_("direction"), choices=SyncDirection.choices, default=SyncDirection.BIDIRECTIONAL)
    status = models.TextField(_("status"), choices=RunState.choices, default=RunState.RUNNING)
    records_processed = models.PositiveIntegerField(_("processed"), default=0)
    records_success = models.PositiveIntegerField(_("succeeded"), default=0)
    records_failed = models.PositiveIntegerField(_("failed"), default=0)
    errors = models.JSONField(_("errors"), default=list, blank=True)
    started_at = models.DateTimeField(_("started at"), db_default=Now())
    completed_at = models.DateTimeField(_("completed at"), null=True, blank=True)

    purpose = models.TextField(_("purpose"), choices=RunPurpose.choices, default=RunPurpose.SYNC)
    trigger = models.TextField(_("trigger"), choices=RunTrigger.choices, default=RunTrigger.USER)
    actor = models.TextField(_("started by"), blank=True, default="")
    plan = models.ForeignKey(
        "adsapp_crm.CrmPlan",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    undoes = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        related_name="undone_by",
    )
    record_types = models.JSONField(_("record types"), default=list, blank=True)
    phase = models.TextField(_("phase"), default="settle")
    position = models.JSONField(_("position"), default=dict, blank=True)
    counts = models.JSONField(_("counts"), default=dict, blank=True)
    progress = models.JSONField(_("progress"), default=dict, blank=True)
    api_calls = models.PositiveIntegerField(_("API calls"), default=0)
    cancel_requested = models.BooleanField(_("cancel requested"), default=False)
    dry_run = models.BooleanField(_("dry run"), default=False)
    approved = models.BooleanField(_("approved"), default=False)
    first_sync = models.BooleanField(_("first sync"), default=False)
    contact_limit = models.PositiveIntegerField(_("contact limit"), null=True, blank=True)
    contact_ids = models.JSONField(_("contacts"), default=list, blank=True)
    remote_ids = models.JSONField(_("CRM records"), default=list, blank=True)
    error_code = models.TextField(_("error code"), blank=True, default="")
    resume_at = models.DateTimeField(_("resumes at"), null=True, blank=True)
    updated_at = models.DateTimeField(_("updated at"), db_default=Now())

    class Meta(OrganizationModel.Meta):
        db_table = "crm_sync_logs"
        verbose_name = _("sync run")
        verbose_name_plural = _("sync runs")
        constraints = [
            one_of(SyncType.choices, "sync_type", name="crm_sync_logs_sync_type"),
            one_of(SyncDirection.choices, "direction", name="crm_sync_logs_direction"),
            one_of(RunState.choices, "status", name="crm_sync_logs_status"),
            one_of(RunTrigger.choices, "trigger", name="crm_sync_logs_trigger"),
        ]
        indexes = [
            indexed("connection", "started_at", "id", name="crm_sync_logs_started"),
            indexed("started_at", "id", name="crm_sync_logs_recent"),
            indexed(
                "connection", "status", name="crm_sync_logs_running", condition=models.Q(completed_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sync_type} run {self.pk} ({self.status})"
