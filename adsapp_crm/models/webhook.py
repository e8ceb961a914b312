"""Subscriptions at the CRMs, the inbox of what they send, and how much was refused."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from adsapp_crm.fields import EncryptedJSONField
from adsapp_crm.models.base import OrganizationModel, indexed, one_of, unique
from adsapp_crm.models.choices import DeliveryStatus, WebhookStatus
from adsapp_crm.models.connection import CredentialsMismatchError, CrmConnection


class CrmWebhook(OrganizationModel):
    """One subscription of a connection. ``path_token`` is the SHA-256 of the token that its address ends in."""

    connection = models.ForeignKey(
        CrmConnection, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="webhooks"
    )
    remote_subscription_id = models.TextField(_("subscription id"), blank=True, default="")
    event_types = models.JSONField(_("event types"), default=list, blank=True)
    path_token = models.TextField(editable=False, db_index=True)
    secret = EncryptedJSONField(_("secret"), null=True, editable=False)
    status = models.TextField(_("status"), choices=WebhookStatus.choices, default=WebhookStatus.ACTIVE)
    checked_at = models.DateTimeField(_("checked at"), null=True, blank=True)
    last_event_at = models.DateTimeField(_("last event at"), null=True, blank=True)
    last_error_code = models.TextField(_("last error code"), blank=True, default="")
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta(OrganizationModel.Meta):
        db_table = "crm_webhooks"
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        constraints = [
            unique(
                "connection",
                "remote_subscription_id",
                name="crm_webhooks_subscription",
                condition=~models.Q(remote_subscription_id=""),
            ),
            one_of(WebhookStatus.choices, "status", name="crm_webhooks_status"),
        ]

    def __str__(self) -> str:
        return f"Webhook {self.pk} ({self.status})"

    def seal(self, token: str, password: str) -> None:
        """Set the address's token and the secret that deliveries prove themselves by. Saves nothing."""
        self.secret = {
            "organization": str(self.organization_id),
            "webhook": str(self.pk),
            "token": token,
            "password": password,
        }

    def opened(self) -> dict[str, Any]:
        """``token`` and ``password``; empty when there are none.

        Raises CredentialsMismatchError when they were sealed for another row, ``adsapp_crm.fields.DecryptionError``
        when no key opens them.
        """
        sealed = self.secret
        if sealed is None:
            return {}
        bound = (sealed.get("organization"), sealed.get("webhook")) if isinstance(sealed, dict) else None
        if bound != (str(self.organization_id), str(self.pk)):
            raise CredentialsMismatchError(f"The secret of {self} belongs to another webhook.")
        return {"token": str(sealed["token"]), "password": str(sealed["password"])}


class CrmWebhookEvent(OrganizationModel):
    """A delivery: that something changed, never what to. Unique by the provider's own key of the event."""

    connection = models.ForeignKey(
        CrmConnection, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="webhook_events"
    )
    webhook = models.ForeignKey(
        CrmWebhook, on_delete=models.SET_NULL, null=True, db_constraint=False, db_index=False, related_name="events"
    )
    event_key = models.TextField(_("event key"))
    event_type = models.TextField(_("event type"))
    record_type = models.TextField(_("record type"), blank=True, default="")
    remote_id = models.TextField(_("CRM record id"), blank=True, default="")
    details = models.JSONField(_("details"), default=dict, blank=True)
    status = models.TextField(_("status"), choices=DeliveryStatus.choices, default=DeliveryStatus.RECEIVED)
    code = models.TextField(_("code"), blank=True, default="")
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    run_id = models.UUIDField(_("run"), null=True)
    occurred_at = models.DateTimeField(_("occurred at"), null=True, blank=True)
    received_at = models.DateTimeField(_("received at"), db_default=Now(), editable=False)
    processed_at = models.DateTimeField(_("processed at"), null=True, blank=True)

    class Meta(OrganizationModel.Meta):
        db_table = "crm_webhook_events"
        verbose_name = _("webhook event")
        verbose_name_plural = _("webhook events")
        constraints = [
            unique("connection", "event_key", name="crm_webhook_events_key"),
            one_of(DeliveryStatus.choices, "status", name="crm_webhook_events_status"),
        ]
        indexes = [
            indexed(
                "connection",
                "received_at",
                name="crm_webhook_events_waiting",
                condition=models.Q(status=DeliveryStatus.RECEIVED),
            ),
            indexed("connection", "record_type", "remote_id", name="crm_webhook_events_record"),
            indexed("received_at", name="crm_webhook_events_received"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.pk} ({self.status})"


class CrmWebhookRefusal(models.Model):
    """How many deliveries were refused for a reason on a day (UTC). Nothing else is kept of them, not even whose."""

    crm_type = models.TextField(_("CRM"))
    code = models.TextField(_("code"))
    day = models.DateField(_("day"))
    deliveries = models.BigIntegerField(_("deliveries"), default=0)
    last_at = models.DateTimeField(_("last at"))

    class Meta:
        db_table = "crm_webhook_refusals"
        verbose_name = _("refused webhook deliveries")
        verbose_name_plural = _("refused webhook deliveries")
        constraints = [models.UniqueConstraint(fields=["crm_type", "code", "day"], name="crm_webhook_refusals_reason")]

    def __str__(self) -> str:
        return f"{self.crm_type} {self.code} on {self.day}: {self.deliveries}"
