"""Plans: what a run would do, line by line, before anything is written anywhere."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from adsapp_crm.models.base import OrganizationModel, indexed, one_of, unique
from adsapp_crm.models.choices import PlanLineKind, PlanLineStatus, PlanStatus, RunPurpose
from adsapp_crm.models.connection import CrmConnection
from adsapp_crm.models.run import CrmSyncLog


class CrmPlan(OrganizationModel):
    """The lines of one run, and who said yes to them."""

    connection = models.ForeignKey(
        CrmConnection, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="plans"
    )
    run = models.ForeignKey(
        CrmSyncLog, on_delete=models.SET_NULL, null=True, db_constraint=False, db_index=False, related_name="plans"
    )
    kind = models.TextField(_("kind"), choices=RunPurpose.choices, default=RunPurpose.SYNC)
    status = models.TextField(_("status"), choices=PlanStatus.choices, default=PlanStatus.PLANNED)
    held_codes = models.JSONField(_("held by"), default=list, blank=True)
    totals = models.JSONField(_("totals"), default=dict, blank=True)
    remote_account_id = models.TextField(_("CRM account id"), blank=True, default="")
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    created_by = models.TextField(_("created by"), blank=True, default="")
    approved_at = models.DateTimeField(_("approved at"), null=True, blank=True)
    approved_by = models.TextField(_("approved by"), blank=True, default="")
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)

    class Meta(OrganizationModel.Meta):
        db_table = "crm_plans"
        verbose_name = _("plan")
        verbose_name_plural = _("plans")
        constraints = [one_of(PlanStatus.choices, "status", name="crm_plans_status")]
        indexes = [
            indexed("connection", "created_at", name="crm_plans_created"),
            indexed("run", name="crm_plans_run"),
        ]

    def __str__(self) -> str:
        return f"Plan {self.pk} ({self.status})"


class CrmPlanLine(OrganizationModel):
    """What is to happen to one pair. Names ids that may not exist yet or any more, so it refers to none."""

    plan = models.ForeignKey(
        CrmPlan, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="lines"
    )
    seq = models.BigIntegerField(_("number"))
    stage = models.PositiveSmallIntegerField(_("stage"))
    kind = models.TextField(_("kind"), choices=PlanLineKind.choices)
    record_type = models.TextField(_("record type"))
    contact_id = models.UUIDField(_("contact"), null=True)
    link_id = models.UUIDField(_("link"), null=True)
    remote_id = models.TextField(_("CRM record id"), blank=True, default="")
    action = models.JSONField(_("action"))
    status = models.TextField(_("status"), choices=PlanLineStatus.choices, default=PlanLineStatus.PLANNED)
    code = models.TextField(_("code"), blank=True, default="")
    deletes = models.BooleanField(_("deletes"), default=False)
    blanks = models.BooleanField(_("blanks"), default=False)
    creates = models.TextField(_("creates in"), blank=True, default="", help_text=_("app, crm, or empty."))
    overrules = models.BooleanField(_("overrules"), default=False)
    approved = models.BooleanField(_("approved"), default=False)
    claim_token = models.UUIDField(null=True, editable=False)
    claimed_until = models.DateTimeField(null=True, editable=False)
    settled_at = models.DateTimeField(_("settled at"), null=True, blank=True)

    class Meta(OrganizationModel.Meta):
        db_table = "crm_plan_lines"
        verbose_name = _("plan line")
        verbose_name_plural = _("plan lines")
        constraints = [
            unique("plan", "seq", name="crm_plan_lines_seq"),
            one_of(PlanLineStatus.choices, "status", name="crm_plan_lines_status"),
            one_of([("", ""), ("app", ""), ("crm", "")], "creates", name="crm_plan_lines_creates"),
        ]
        indexes = [
            models.Index(fields=["plan", "stage", "status", "seq"], name="crm_plan_lines_stage"),
            indexed("plan", "contact_id", name="crm_plan_lines_contact"),
            indexed("plan", "record_type", "remote_id", name="crm_plan_lines_record"),
            indexed("plan", name="crm_plan_lines_review", condition=models.Q(kind=PlanLineKind.REVIEW)),
            indexed("plan", name="crm_plan_lines_claimed", condition=models.Q(claimed_until__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"Line {self.seq} {self.kind} ({self.status})"
