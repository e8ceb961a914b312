"""Where people want to be told what happens to their connections, and what became of each message."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from adsapp_crm.fields import EncryptedJSONField
from adsapp_crm.models.base import OrganizationModel, indexed, one_of
from adsapp_crm.models.choices import MessageStatus, NoticeKind
from adsapp_crm.models.connection import CredentialsMismatchError
from adsapp_crm.models.tenancy import User


class CrmOutgoingWebhook(OrganizationModel):
    """An address of the organization's own that notices are posted to, signed as Standard Webhooks say."""

    url = models.TextField(_("address"))
    secret = EncryptedJSONField(_("secret"), null=True, editable=False)
    kinds = models.JSONField(_("what is told"), default=list, blank=True)
    active = models.BooleanField(_("active"), default=True)
    off_code = models.TextField(_("why it is off"), blank=True, default="")
    last_success_at = models.DateTimeField(_("last success at"), null=True, blank=True)
    created_by = models.TextField(_("created by"), blank=True, default="")
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta(OrganizationModel.Meta):
        db_table = "crm_outgoing_webhooks"
        verbose_name = _("outgoing webhook")
        verbose_name_plural = _("outgoing webhooks")
        indexes = [indexed("created_at", "id", name="crm_outgoing_webhooks_created")]

    def __str__(self) -> str:
        return f"Outgoing webhook {self.pk}"

    def seal(self, secret: str) -> None:
        """Set the secret that signs, bound to this row. Saves nothing."""
        self.secret = {"organization": str(self.organization_id), "webhook": str(self.pk), "secret": secret}

    def opened(self) -> str:
        """The secret. Raises CredentialsMismatchError when it was sealed for another row,
        ``adsapp_crm.fields.DecryptionError`` when no key opens it.
        """
        sealed: dict[str, Any] = self.secret or {}
        if (sealed.get("organization"), sealed.get("webhook")) != (str(self.organization_id), str(self.pk)):
            raise CredentialsMismatchError
        return str(sealed["secret"])


class CrmMessage(OrganizationModel):
    """One notice on its way to one address: tried until it arrives, or for a day. Its id is the message's."""

    webhook = models.ForeignKey(
        CrmOutgoingWebhook,
        on_delete=models.CASCADE,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="messages",
    )
    """None: an e-mail."""
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, db_index=False, related_name="+")
    connection_id = models.UUIDField(_("connection"), null=True)
    kind = models.TextField(_("kind"), choices=NoticeKind.choices)
    payload = models.JSONField(_("payload"), default=dict)
    status = models.TextField(_("status"), choices=MessageStatus.choices, default=MessageStatus.WAITING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt at"), db_default=Now())
    code = models.TextField(_("code"), blank=True, default="")
    http_status = models.PositiveSmallIntegerField(_("HTTP status"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    settled_at = models.DateTimeField(_("settled at"), null=True, blank=True)

    class Meta(OrganizationModel.Meta):
        db_table = "crm_messages"
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        constraints = [
            one_of(NoticeKind.choices, "kind", name="crm_messages_kind"),
            one_of(MessageStatus.choices, "status", name="crm_messages_status"),
            models.CheckConstraint(
                condition=models.Q(webhook__isnull=True) ^ models.Q(user__isnull=True), name="crm_messages_to"
            ),
        ]
        indexes = [
            indexed("created_at", "id", name="crm_messages_created"),
            indexed("webhook", "created_at", "id", name="crm_messages_webhook"),
            indexed(
                "next_attempt_at",
                "id",
                name="crm_messages_waiting",
                condition=models.Q(status=MessageStatus.WAITING),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk} ({self.status})"
