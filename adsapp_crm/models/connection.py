"""An organization's account at a CRM: credentials, rules, health, and who works on it at the moment."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from adsapp_crm.fields import EncryptedJSONField, UnreadableError
from adsapp_crm.models.base import OrganizationManager, OrganizationModel, OrganizationQuerySet, one_of, unique
from adsapp_crm.models.choices import (
    ConflictStrategy,
    ConnectionStatus,
    DriftHandling,
    Health,
    OnDeletion,
    SyncMode,
    TieRule,
)
from crm.registry import PROVIDERS


class CredentialsMismatchError(UnreadableError):
    """Stored credentials were sealed for another connection: somebody moved them."""

    code = "auth.credentials_foreign"


class CrmAppRegistration(OrganizationModel):
    """An organization's own client id and secret at a provider, in place of this installation's."""

    crm_type = models.TextField(_("CRM"))
    client_id = models.TextField(_("client id"))
    secrets = EncryptedJSONField(_("secrets"), null=True, editable=False)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True, editable=False)

    class Meta(OrganizationModel.Meta):
        db_table = "crm_app_registrations"
        verbose_name = _("app registration")
        verbose_name_plural = _("app registrations")
        constraints = [unique("crm_type", "client_id", name="crm_app_registrations_client")]

    def __str__(self) -> str:
        return f"{self.crm_type} app {self.client_id}"


class ConnectionManager(OrganizationManager["CrmConnection"]):
    """Leaves the credentials in the database until somebody opens them."""

    def get_queryset(self) -> OrganizationQuerySet[CrmConnection]:
        return super().get_queryset().defer("credentials")


class CrmConnection(OrganizationModel):
    """One account at one CRM. The rule columns carry the names of ``crm.model.Policy``."""

    crm_type = models.TextField(_("CRM"))
    status = models.TextField(_("status"), choices=ConnectionStatus.choices, default=ConnectionStatus.ACTIVE)
    health = models.TextField(_("health"), choices=Health.choices, default=Health.SETTING_UP)
    credentials = EncryptedJSONField(_("credentials"), null=True, editable=False)
    settings = models.JSONField(_("settings"), default=dict, blank=True)
    last_sync_at = models.DateTimeField(_("last sync at"), null=True, blank=True)
    last_success_at = models.DateTimeField(_("last success at"), null=True, blank=True)
    last_error = models.TextField(_("last error"), blank=True, default="")
    last_error_code = models.TextField(_("last error code"), blank=True, default="")

    # The account, pinned at connect.
    remote_account_id = models.TextField(_("CRM account id"), blank=True, default="")
    remote_account_name = models.TextField(_("CRM account"), blank=True, default="")
    remote_account_url = models.TextField(_("CRM address"), blank=True, default="")
    granted_scopes = models.JSONField(_("granted scopes"), default=list, blank=True)
    environment = models.TextField(_("environment"), blank=True, default="")
    app_registration = models.ForeignKey(
        CrmAppRegistration,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        related_name="connections",
    )
    connected_at = models.DateTimeField(_("connected at"), null=True, blank=True)
    connected_by = models.TextField(_("connected by"), blank=True, default="")
    paused_at = models.DateTimeField(_("paused at"), null=True, blank=True)
    paused_by = models.TextField(_("paused by"), blank=True, default="")
    disconnected_at = models.DateTimeField(_("disconnected at"), null=True, blank=True)
    disconnected_by = models.TextField(_("disconnected by"), blank=True, default="")

    # The token: whoever refreshes it claims this row first, and compares the version when it writes.
    token_version = models.BigIntegerField(default=0, editable=False)
    token_expires_at = models.DateTimeField(_("token expires at"), null=True, blank=True, editable=False)
    refresh_claim_token = models.UUIDField(null=True, editable=False)
    refresh_claimed_until = models.DateTimeField(null=True, editable=False)

    # Rules.
    mode = models.TextField(_("mode"), choices=SyncMode.choices, default=SyncMode.SYNC)
    strategy = models.TextField(
        _("conflict strategy"), choices=ConflictStrategy.choices, default=ConflictStrategy.NEWEST_WINS
    )
    tie_rule = models.TextField(_("tie rule"), choices=TieRule.choices, default=TieRule.MANUAL)
    clock_skew_seconds = models.FloatField(_("clock skew (seconds)"), default=60.0)
    on_app_deleted = models.TextField(
        _("when deleted in ADSapp"), choices=OnDeletion.choices, default=OnDeletion.UNLINK
    )
    on_crm_deleted = models.TextField(
        _("when deleted in the CRM"), choices=OnDeletion.choices, default=OnDeletion.UNLINK
    )
    drift = models.TextField(_("drift of one-way fields"), choices=DriftHandling.choices, default=DriftHandling.SHOW)
    create_in_crm = models.BooleanField(_("create in the CRM"), default=True)
    create_in_app = models.BooleanField(_("create in ADSapp"), default=True)
    create_type = models.TextField(_("record type of new records"), blank=True, default="")
    fight_limit = models.PositiveSmallIntegerField(_("flips until a field is frozen"), default=3)
    max_share_deleted = models.FloatField(_("brake: share deleted"), default=0.10)
    max_count_deleted = models.PositiveIntegerField(_("brake: records deleted"), default=5)
    max_share_created = models.FloatField(_("brake: share created"), default=0.20)
    max_count_created = models.PositiveIntegerField(_("brake: records created"), default=500)
    max_attempts = models.PositiveSmallIntegerField(_("automatic attempts for a record"), default=3)
    first_sync_approved_at = models.DateTimeField(_("first sync approved at"), null=True, blank=True)
    first_sync_approved_by = models.TextField(_("first sync approved by"), blank=True, default="")

    # Where the sync stands.
    cursors = models.JSONField(default=dict, editable=False, help_text=_("Record type -> watermark (ISO 8601)."))
    # Up to where the history of contacts was looked through for what to mark; see storage/marking.py.
    changes_xid = models.BigIntegerField(null=True, editable=False)
    changes_cluster = models.BigIntegerField(null=True, editable=False)
    changes_at = models.DateTimeField(null=True, editable=False)
    schema = models.JSONField(
        default=dict,
        editable=False,
        help_text=_("Record type -> hash, fetchedAt and fields as the CRM describes them."),
    )
    mapping_version = models.PositiveIntegerField(_("mapping version"), default=0, editable=False)
    sync_interval_seconds = models.PositiveIntegerField(_("sync interval (seconds)"), default=900)
    schedule = models.JSONField(
        _("schedule"), default=dict, blank=True, help_text=_("The keys of crm.schedule; the interval stands beside it.")
    )
    next_sync_at = models.DateTimeField(_("next sync at"), null=True, blank=True)
    next_full_at = models.DateTimeField(_("next full sync at"), null=True, blank=True)
    late_at = models.DateTimeField(_("late at"), null=True, blank=True, editable=False)
    """When the schedule says that it is late, for look-ups that count over all; see ``schedules.late_after``."""
    checked_at = models.DateTimeField(_("health checked at"), null=True, blank=True)
    upkeep = models.JSONField(
        default=dict, editable=False, help_text=_("What looking after it cost today: day, spent, check, hourly.")
    )
    schema_checked_at = models.DateTimeField(_("fields checked at"), null=True, blank=True)
    parked_until = models.DateTimeField(_("waits for quota until"), null=True, blank=True)
    debug_until = models.DateTimeField(
        _("debug mode until"), null=True, blank=True, help_text=_("Until then each request to the CRM is logged.")
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True, editable=False)

    objects: ClassVar[ConnectionManager] = ConnectionManager()
    scoped: ClassVar[OrganizationManager[Self]] = OrganizationManager()
    """Defers nothing. Django reads a deferred column through the base manager: one that defers itself would read
    the whole row again, over what was changed in Python and not saved."""

    class Meta(OrganizationModel.Meta):
        db_table = "crm_connections"
        base_manager_name = "scoped"
        verbose_name = _("connection")
        verbose_name_plural = _("connections")
        constraints = [
            unique("crm_type", name="crm_connections_open", condition=~models.Q(status=ConnectionStatus.DISCONNECTED)),
            one_of(ConnectionStatus.choices, "status", name="crm_connections_status"),
            one_of(Health.choices, "health", name="crm_connections_health"),
            one_of(SyncMode.choices, "mode", name="crm_connections_mode"),
            one_of(ConflictStrategy.choices, "strategy", name="crm_connections_strategy"),
            one_of(TieRule.choices, "tie_rule", name="crm_connections_tie_rule"),
            one_of(OnDeletion.choices, "on_app_deleted", name="crm_connections_on_app_deleted"),
            one_of(OnDeletion.choices, "on_crm_deleted", name="crm_connections_on_crm_deleted"),
            one_of(DriftHandling.choices, "drift", name="crm_connections_drift"),
            models.CheckConstraint(
                condition=models.Q(max_share_deleted__range=(0, 1), max_share_created__range=(0, 1)),
                name="crm_connections_shares",
            ),
        ]

    def __str__(self) -> str:
        known = PROVIDERS.get(self.crm_type)
        return f"{known.label if known else self.crm_type} · {self.remote_account_name or self.pk}"

    def seal_credentials(self, payload: dict[str, Any] | None) -> None:
        """Set the credentials, bound to this connection of this organization. Saves nothing."""
        if payload is None:
            self.credentials = None
            return
        self.credentials = {
            "organization": str(self.organization_id),
            "connection": str(self.pk),
            "payload": payload,
        }

    def open_credentials(self) -> dict[str, Any]:
        """The payload that was sealed; empty when there is none.

        Raises CredentialsMismatchError when it was sealed for another connection or organization, and
        ``adsapp_crm.fields.DecryptionError`` when no key opens it.
        """
        sealed = self.credentials
        if sealed is None:
            return {}
        bound = (sealed.get("organization"), sealed.get("connection")) if isinstance(sealed, dict) else None
        if bound != (str(self.organization_id), str(self.pk)):
            raise CredentialsMismatchError(f"The credentials of {self} belong to another connection.")
        payload: dict[str, Any] = sealed["payload"]
        return payload


class CrmLease(OrganizationModel):
    """Who may scan a stream. The fence grows with every grant; a commit under an older one is refused."""

    connection = models.ForeignKey(
        CrmConnection, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="leases"
    )
    stream = models.TextField(_("stream"))
    owner = models.TextField(_("owner"), blank=True, default="")
    fence = models.BigIntegerField(_("fence"), default=0)
    expires_at = models.DateTimeField(_("expires at"))

    class Meta(OrganizationModel.Meta):
        db_table = "crm_leases"
        verbose_name = _("lease")
        verbose_name_plural = _("leases")
        constraints = [unique("connection", "stream", name="crm_leases_stream")]

    def __str__(self) -> str:
        return f"{self.stream} fence {self.fence}"


class CrmOAuthState(OrganizationModel):
    """A log-in at a CRM that was begun here. Found by a hash of its state, used once, within minutes."""

    connection = models.ForeignKey(
        CrmConnection,
        on_delete=models.CASCADE,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="oauth_states",
    )
    user = models.ForeignKey("adsapp_crm.User", on_delete=models.CASCADE, related_name="+")
    crm_type = models.TextField(_("CRM"))
    environment = models.TextField(_("environment"), blank=True, default="")
    state_hash = models.TextField(db_index=True)
    session_hash = models.TextField()
    verifier = EncryptedJSONField(null=True, editable=False)
    redirect_uri = models.TextField()
    return_route = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta(OrganizationModel.Meta):
        db_table = "crm_oauth_states"
        verbose_name = _("begun log-in")
        verbose_name_plural = _("begun log-ins")

    def __str__(self) -> str:
        return f"{self.crm_type} log-in {self.pk}"
