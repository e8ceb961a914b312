"""An organization with its owner, and one row of every table that it may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from adsapp_crm import models
from adsapp_crm.models import Organization, User
from adsapp_crm.tenancy import organization_context


@dataclass(frozen=True)
class Tenant:
    """An organization and its owner."""

    organization: Organization
    user: User

    @property
    def id(self) -> Any:
        return self.organization.pk

    def context(self, **said: str) -> Any:
        return organization_context(self.id, **said)


def fill_rows(tenant: Tenant) -> dict[str, Any]:
    """Rows by model name."""
    now = timezone.now()
    with tenant.context():
        rows: dict[str, Any] = {}

        def add(model: Any, **values: Any) -> Any:
            rows[model.__name__] = model.objects.create(**values)
            return rows[model.__name__]

        contact = add(models.Contact, first_name="Ann", last_name="Canary", email="ann@canary.example")
        rows["ContactChange"] = models.ContactChange.objects.get()
        rows["Membership"] = models.Membership.objects.get()
        access = add(models.StaffAccess, user=tenant.user, reason="support", expires_at=now)
        add(models.StaffAccessEvent, access=access, method="GET", path="/")
        add(models.ContactTombstone, contact=contact, digest="00")
        add(models.CrmAppRegistration, crm_type="hubspot", client_id="app")
        connection = add(models.CrmConnection, crm_type="hubspot", remote_account_id="42", mapping_version=1)
        on = {"connection": connection}
        add(models.CrmLoneContact, **on, contact=contact)
        add(models.CrmLease, **on, stream="contact", expires_at=now)
        add(
            models.CrmOAuthState,
            **on,
            user=tenant.user,
            crm_type="hubspot",
            state_hash="s",
            session_hash="h",
            redirect_uri="https://crm.example.com/",
            expires_at=now,
        )
        add(models.CrmFieldMapping, **on, record_type="contact", adsapp_field="firstName", crm_field="firstname")
        add(models.CrmMappingVersion, **on, version=1, mappings=[])
        run = add(models.CrmSyncLog, **on, sync_type="full")
        link = add(models.CrmSyncState, **on, contact=contact, crm_record_type="contact", crm_record_id="1")
        add(models.CrmObservation, **on, record_type="contact", remote_id="2")
        plan = add(models.CrmPlan, **on, run=run)
        add(models.CrmPlanLine, plan=plan, seq=1, stage=0, kind="sync", record_type="contact", action={})
        add(models.CrmIntent, **on, contact=contact, kind="update", record_type="contact")
        add(models.CrmLedgerEntry, **on, contact=contact, kind="sync")
        add(models.CrmConflict, **on, link=link, contact=contact, kind="field", mapping_id="m")
        webhook = add(models.CrmWebhook, **on, path_token="token")
        add(models.CrmWebhookEvent, **on, webhook=webhook, event_key="e", event_type="changed")
        add(models.IdempotencyKey, actor="u", key="k", method="POST", path="/", body_digest="d", expires_at=now)
        add(models.ApiKey, name="key", prefix="crm_live_a")
        add(models.CrmConnectionEvent, **on, kind="paused")
        rows["CrmNotice"] = models.CrmNotice.objects.get()  # of the conflict
        outgoing = models.CrmOutgoingWebhook(url="https://hooks.example.com/", kinds=["run.finished"])
        outgoing.organization_id = tenant.id
        outgoing.seal("whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5")
        outgoing.save()
        rows["CrmOutgoingWebhook"] = outgoing
        add(models.CrmMessage, webhook=outgoing, connection_id=connection.pk, kind="run.finished", status="delivered")
        add(models.CrmAudit, **on)
    return rows
