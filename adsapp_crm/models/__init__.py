"""The tables. Names and columns of the guide's five are the guide's; what is ours stands beside them."""

from __future__ import annotations

from adsapp_crm.models.audit import CrmAudit
from adsapp_crm.models.base import OrganizationModel, uuid7
from adsapp_crm.models.conflict import CrmConflict
from adsapp_crm.models.connection import (
    CredentialsMismatchError,
    CrmAppRegistration,
    CrmConnection,
    CrmLease,
    CrmOAuthState,
)
from adsapp_crm.models.connection_event import CrmConnectionEvent
from adsapp_crm.models.contact import Contact, ContactChange, ContactTombstone
from adsapp_crm.models.field_map import CrmFieldMapping, CrmMappingVersion
from adsapp_crm.models.intent import CrmIntent
from adsapp_crm.models.ledger import CrmLedgerEntry
from adsapp_crm.models.link import CrmLoneContact, CrmObservation, CrmSyncState
from adsapp_crm.models.plan import CrmPlan, CrmPlanLine
from adsapp_crm.models.platform import ApiKey, CrmHeartbeat, CrmJobSlot, CrmNotice, IdempotencyKey
from adsapp_crm.models.run import CrmSyncLog
from adsapp_crm.models.telling import CrmMessage, CrmOutgoingWebhook
from adsapp_crm.models.tenancy import Membership, Organization, StaffAccess, StaffAccessEvent, User
from adsapp_crm.models.webhook import CrmWebhook, CrmWebhookEvent, CrmWebhookRefusal

__all__ = [
    "ApiKey",
    "Contact",
    "ContactChange",
    "ContactTombstone",
    "CredentialsMismatchError",
    "CrmAppRegistration",
    "CrmAudit",
    "CrmConflict",
    "CrmConnection",
    "CrmConnectionEvent",
    "CrmFieldMapping",
    "CrmHeartbeat",
    "CrmIntent",
    "CrmJobSlot",
    "CrmLease",
    "CrmLedgerEntry",
    "CrmLoneContact",
    "CrmMappingVersion",
    "CrmMessage",
    "CrmNotice",
    "CrmOAuthState",
    "CrmObservation",
    "CrmOutgoingWebhook",
    "CrmPlan",
    "CrmPlanLine",
    "CrmSyncLog",
    "CrmSyncState",
    "CrmWebhook",
    "CrmWebhookEvent",
    "CrmWebhookRefusal",
    "IdempotencyKey",
    "Membership",
    "Organization",
    "OrganizationModel",
    "StaffAccess",
    "StaffAccessEvent",
    "User",
    "uuid7",
]
