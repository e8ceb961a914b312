"""What our own staff look at in a customer's data is written down."""

from __future__ import annotations

import uuid

from django.db.models.functions import Now

from adsapp_crm.models import StaffAccess, StaffAccessEvent
from adsapp_crm.tenancy import organization_context


def log_staff_access(organization_id: uuid.UUID, access_id: uuid.UUID, *, method: str, path: str) -> None:
    """Note one look or act under a grant. ``path`` is without its query string, which may hold contact data."""
    with organization_context(organization_id):
        StaffAccessEvent.objects.create(access_id=access_id, method=method, path=path[:500])
        StaffAccess.objects.filter(pk=access_id).update(last_used_at=Now())
