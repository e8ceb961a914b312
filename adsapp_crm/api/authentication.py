"""API keys, in the ``Authorization`` header as ``Bearer crm_live_...``."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from adsapp_crm.middleware import HEADER
from adsapp_crm.services.api_keys import ROLE_OF, KeyGrant, open_key
from adsapp_crm.services.refusals import refuse


class ApiKeyAuthentication(BaseAuthentication):
    """The key names the organization. It is nobody's log-in: ``request.user`` stays anonymous.

    Stands before session log-in, so that a request with both is the key's.
    """

    def authenticate(self, request: Request) -> tuple[AnonymousUser, KeyGrant] | None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        grant = open_key(given.strip())
        if grant is None:
            raise refuse("key.refused", "The API key is unknown, revoked or over.")
        named = request.headers.get(HEADER)
        if named and named.lower() != str(grant.organization_id):
            raise refuse("organization.unknown", f"The {HEADER} header names another organization than the key's.")
        outer = request._request  # noqa: SLF001  what the middleware writes to, and everybody reads
        outer.organization_id = grant.organization_id  # type: ignore[attr-defined]
        outer.organization_role = ROLE_OF[grant.scope]  # type: ignore[attr-defined]
        outer.staff_access_id = None  # type: ignore[attr-defined]
        return AnonymousUser(), grant

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        return "Bearer"
