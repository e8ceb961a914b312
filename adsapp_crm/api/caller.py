"""Who asks, and for which organization."""

from __future__ import annotations

import uuid

from rest_framework.request import Request

from adsapp_crm.services.api_keys import KeyGrant, Scope
from adsapp_crm.tenancy import NoOrganizationError


def organization_of(request: Request) -> uuid.UUID:
    """Raises NoOrganizationError (a 400) when none is chosen."""
    organization_id = getattr(request, "organization_id", None)
    if organization_id is None:
        raise NoOrganizationError
    found: uuid.UUID = organization_id
    return found


def role_of(request: Request) -> str:
    return str(getattr(request, "organization_role", ""))


def actor_of(request: Request) -> str:
    if isinstance(request.auth, KeyGrant):
        return f"key:{request.auth.key_id}"
    return f"user:{request.user.pk}"


def hides_values(request: Request) -> bool:
    """Whether sensitive values stay away: they are not for keys that can only read."""
    return isinstance(request.auth, KeyGrant) and request.auth.scope is Scope.READ
