"""What keeps the service honest: once-only jobs, replayable requests, keys, notices."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from adsapp_crm.fields import EncryptedJSONField
from adsapp_crm.models.base import OrganizationModel, indexed, unique, uuid7
from adsapp_crm.models.connection import CrmConnection


class CrmJobSlot(models.Model):
    """A job did its work for a slot of time. Belongs to no organization: it holds nothing but ids and times."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.TextField(_("job"))
    connection_id = models.UUIDField(_("connection"), null=True, blank=True)
    slot = models.TextField(_("slot"), help_text=_("The slot's start, ISO 8601 in UTC."))
    claimed_at = models.DateTimeField(_("claimed at"), db_default=Now(), editable=False)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    result = models.JSONField(_("result"), default=dict, blank=True)

    class Meta:
        db_table = "crm_job_slots"
        verbose_name = _("job slot")
        verbose_name_plural = _("job slots")
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "connection_id", "slot"], name="crm_job_slots_slot", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.slot}"


class CrmHeartbeat(models.Model):
    """When a part of the installation was last heard of. Belongs to no organization."""

    name = models.TextField(_("name"), primary_key=True)
    at = models.DateTimeField(_("at"))

    class Meta:
        db_table = "crm_heartbeats"
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")

    def __str__(self) -> str:
        return self.name


class IdempotencyKey(OrganizationModel):
    """A POST that named itself: the same key gets the stored answer, another body under it a refusal."""

    actor = models.TextField(_("actor"))
    key = models.TextField(_("key"))
    method = models.TextField(_("method"))
    path = models.TextField(_("path"))
    body_digest = models.TextField(_("body digest"))
    status_code = models.PositiveSmallIntegerField(_("status code"), null=True)
    response = models.JSONField(_("response"), null=True)
    secrets = EncryptedJSONField(null=True, editable=False)
    """What of the answer is secret, with the organization and the row it belongs to."""
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    expires_at = models.DateTimeField(_("expires at"))

    class Meta(OrganizationModel.Meta):
        db_table = "idempotency_keys"
        verbose_name = _("idempotency key")
        verbose_name_plural = _("idempotency keys")
        constraints = [unique("actor", "key", name="idempotency_keys_key")]
        indexes = [indexed("expires_at", name="idempotency_keys_expiry")]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class ApiKey(OrganizationModel):
    """A program's way in. Only a hash of the secret is kept; ``prefix`` finds the row."""

    name = models.TextField(_("name"))
    prefix = models.TextField(_("prefix"), db_index=True, editable=False)
    secret_hash = models.TextField(editable=False)
    scopes = models.JSONField(_("scopes"), default=list)
    created_by = models.TextField(_("created by"), blank=True, default="")
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True)
    revoked_by = models.TextField(_("revoked by"), blank=True, default="", db_default="", editable=False)

    class Meta(OrganizationModel.Meta):
        db_table = "api_keys"
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        constraints = [unique("prefix", name="api_keys_prefix")]

    def __str__(self) -> str:
        return f"API key {self.prefix}"


class CrmNotice(OrganizationModel):
    """Something people are told: one for each change of state, never one for each occurrence.

    Triggers write those about connections, runs and conflicts in the transaction of the change. An open one
    (``resolved_at`` empty) stands for what is still so; ``sent_at``: when messages were made of it. ``tell_at``: not
    before, and only if it still is so then.
    """

    connection = models.ForeignKey(
        CrmConnection, on_delete=models.CASCADE, null=True, db_constraint=False, db_index=False, related_name="notices"
    )
    kind = models.TextField(_("kind"))
    code = models.TextField(_("code"), blank=True, default="")
    details = models.JSONField(_("details"), default=dict, blank=True)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    tell_at = models.DateTimeField(_("told from"), null=True, blank=True)
    sent_at = models.DateTimeField(_("sent at"), null=True, blank=True)
    read_at = models.DateTimeField(_("read at"), null=True, blank=True)
    resolved_at = models.DateTimeField(_("resolved at"), null=True, blank=True)

    class Meta(OrganizationModel.Meta):
        db_table = "crm_notices"
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        constraints = [
            unique(
                "connection",
                "kind",
                "code",
                name="crm_notices_open",
                condition=models.Q(resolved_at__isnull=True),
                nulls_distinct=False,
            )
        ]
        indexes = [
            indexed("created_at", "id", name="crm_notices_created"),
            indexed("id", name="crm_notices_unsent", condition=models.Q(sent_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.code}"
