"""Who may do what: a logged-in person, in one organization, by their role there."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import ClassVar, Final

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from adsapp_crm.models.choices import Role
from adsapp_crm.tenancy import NoOrganizationError

RANK: Final[Mapping[str, int]] = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2, Role.OWNER: 3}


class MayInOrganization(BasePermission):
    """The role in the request's organization is at least the one that the view names for the method."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not request.user.is_authenticated:
            return False
        organization_of(request)
        needed = getattr(view, "roles", {}).get(request.method, Role.OWNER)
        return RANK.get(getattr(request, "organization_role", ""), -1) >= RANK[needed]


class OrganizationView(APIView):
    """A view of one organization's data. It opens its own transactions: services do, for as long as they need one."""

    permission_classes = [MayInOrganization]
    roles: ClassVar[Mapping[str, str]] = {}
    """HTTP method -> the least role; a method that is not named needs the owner."""
    opens_own_transactions: ClassVar[bool] = True
    """Nothing is opened round it (``adsapp_crm.middleware``)."""


def organization_of(request: Request) -> uuid.UUID:
    """Raises NoOrganizationError (a 400) when none is chosen."""
    organization_id = getattr(request, "organization_id", None)
    if organization_id is None:
        raise NoOrganizationError
    found: uuid.UUID = organization_id
    return found


def actor_of(request: Request) -> str:
    return f"user:{request.user.pk}"
