"""Notices of what no trigger sees: what an audit found, and what became of telling people."""

from __future__ import annotations

import uuid

from django.db.models.functions import Now

from adsapp_crm.models import CrmAudit, CrmNotice
from adsapp_crm.models.choices import AuditScope, NoticeKind


def tell_drift(audit: CrmAudit, drifted: int) -> None:
    """Tell that an audit found drift; not again before a whole audit found none. In the organization's transaction."""
    still = CrmNotice.objects.filter(
        connection=audit.connection_id, kind=NoticeKind.DRIFT_FOUND, resolved_at__isnull=True
    )
    if drifted and not still.exists():
        CrmNotice.objects.get_or_create(
            connection_id=audit.connection_id,
            kind=NoticeKind.DRIFT_FOUND,
            code="",
            resolved_at=None,
            defaults={"details": {"auditId": str(audit.pk), "records": drifted, "compared": audit.compared}},
        )
    elif not drifted and audit.scope == AuditScope.ALL:
        still.update(resolved_at=Now())


def tell_webhook_off(webhook_id: uuid.UUID, code: str) -> None:
    """Tell that an outgoing webhook was switched off. In the organization's transaction."""
    CrmNotice.objects.create(
        kind=NoticeKind.WEBHOOK_OFF, code=code, details={"webhookId": str(webhook_id), "code": code}, resolved_at=Now()
    )
