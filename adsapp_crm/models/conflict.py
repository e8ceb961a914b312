"""Questions only a person can answer."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from adsapp_crm.models.base import OrganizationModel, indexed, one_of, unique
from adsapp_crm.models.choices import QuestionKind, QuestionStatus
from adsapp_crm.models.connection import CrmConnection
from adsapp_crm.models.contact import Contact
from adsapp_crm.models.link import CrmSyncState

_UNSETTLED = models.Q(status__in=[QuestionStatus.OPEN, QuestionStatus.ANSWERED])
_OF_CONTACT = models.Q(link__isnull=True, contact__isnull=False)
_OF_RECORD = models.Q(link__isnull=True, contact__isnull=True)


class CrmConflict(OrganizationModel):
    """One open question about a link, else a contact, else a record. ``mapping_id`` is empty for record questions."""

    connection = models.ForeignKey(
        CrmConnection, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="conflicts"
    )
    kind = models.TextField(_("kind"), choices=QuestionKind.choices)
    status = models.TextField(_("status"), choices=QuestionStatus.choices, default=QuestionStatus.OPEN)
    code = models.TextField(_("code"), blank=True, default="")
    link = models.ForeignKey(
        CrmSyncState, on_delete=models.CASCADE, null=True, db_constraint=False, db_index=False, related_name="conflicts"
    )
    contact = models.ForeignKey(
        Contact, on_delete=models.CASCADE, null=True, db_constraint=False, db_index=False, related_name="conflicts"
    )
    record_type = models.TextField(_("record type"), blank=True, default="")
    remote_id = models.TextField(_("CRM record id"), blank=True, default="")
    mapping_id = models.TextField(_("mapping"), blank=True, default="")
    app_field = models.TextField(_("ADSapp field"), blank=True, default="")
    values = models.JSONField(_("values"), default=dict, help_text=_("baseApp, baseCrm, app and crm."))
    intervals = models.JSONField(_("changed when"), default=dict, blank=True, help_text=_("app and crm."))
    candidates = models.JSONField(_("candidates"), default=list, blank=True)
    resolution = models.JSONField(_("answer"), null=True, blank=True)
    remembered = models.BooleanField(_("remembered as a rule"), default=False)
    run_id = models.UUIDField(_("run"), null=True)
    opened_at = models.DateTimeField(_("opened at"), db_default=Now())
    refreshed_at = models.DateTimeField(_("refreshed at"), null=True, blank=True)
    answered_at = models.DateTimeField(_("answered at"), null=True, blank=True)
    answered_by = models.TextField(_("answered by"), blank=True, default="")
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)
    closed_reason = models.TextField(_("closed because"), blank=True, default="")

    class Meta(OrganizationModel.Meta):
        db_table = "crm_conflicts"
        verbose_name = _("conflict")
        verbose_name_plural = _("conflicts")
        constraints = [
            unique(
                "connection",
                "link",
                "kind",
                "mapping_id",
                name="crm_conflicts_link",
                condition=_UNSETTLED & models.Q(link__isnull=False),
            ),
            unique(
                "connection",
                "contact",
                "record_type",
                "kind",
                "mapping_id",
                name="crm_conflicts_contact",
                condition=_UNSETTLED & _OF_CONTACT,
            ),
            unique(
                "connection",
                "record_type",
                "remote_id",
                "kind",
                "mapping_id",
                name="crm_conflicts_record",
                condition=_UNSETTLED & _OF_RECORD,
            ),
            one_of(QuestionKind.choices, "kind", name="crm_conflicts_kind"),
            one_of(QuestionStatus.choices, "status", name="crm_conflicts_status"),
        ]
        indexes = [
            indexed("connection", "status", "opened_at", name="crm_conflicts_open"),
            indexed("link", "status", name="crm_conflicts_of_link"),
            indexed("contact", name="crm_conflicts_of_contact"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} conflict {self.pk} ({self.status})"
