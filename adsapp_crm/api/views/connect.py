"""Connect and disconnect a CRM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from adsapp_crm.api.access import OrganizationView, actor_of, organization_of
from adsapp_crm.api.errors import problem
from adsapp_crm.api.serializers import ConnectSerializer, CrmTypeSerializer
from adsapp_crm.catalogue import explain
from adsapp_crm.models.choices import Role
from adsapp_crm.services.connections import check_provider, connect_with_token, disconnect
from adsapp_crm.services.refusals import refuse

OAUTH_UNAVAILABLE = "config.oauth_unavailable"


class ConnectView(OrganizationView):
    roles: ClassVar[Mapping[str, str]] = {"POST": Role.ADMIN, "DELETE": Role.ADMIN}

    def post(self, request: Request) -> Response:
        """Connect by ``config.apiToken``: the CRM is asked who that is before anything is stored."""
        asked = _valid(ConnectSerializer(data=request.data))
        config = asked.get("config", {})
        crm_type = check_provider(asked["crmType"])
        token = config.get("apiToken", "")
        if not token:
            raise refuse(OAUTH_UNAVAILABLE, str(explain(OAUTH_UNAVAILABLE).cause), field="/config/apiToken")
        made = connect_with_token(
            organization_of(request),
            crm_type,
            token,
            actor=actor_of(request),
            environment=config.get("environment", ""),
        )
        return Response(
            {
                "authUrl": None,
                "connectionId": str(made.connection_id),
                "account": {"id": made.account.remote_account_id, "name": made.account.name, "url": made.account.url},
                "mappings": made.mappings,
                "reconnected": made.reconnected,
            },
            status=200 if made.reconnected else 201,
        )

    def delete(self, request: Request) -> Response:
        """Forget the token; links, mappings and history stay for a later connection to the same account."""
        asked = _valid(CrmTypeSerializer(data=request.query_params))
        connection_id = disconnect(organization_of(request), asked["crm_type"], actor=actor_of(request))
        return Response({"success": True, "connectionId": str(connection_id)})


class CallbackView(APIView):
    """Where a CRM's consent page sends people back to; no log-in can be begun yet, so none can end here."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    opens_own_transactions: ClassVar[bool] = True

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:  # noqa: ARG002
        """A browser asks for HTML, which no renderer here makes: never a 406."""
        return super().perform_content_negotiation(request, force=True)

    def get(self, request: Request) -> HttpResponseBase:
        if "text/html" in request.headers.get("Accept", ""):
            return _page(request._request)  # noqa: SLF001  the template needs Django's own
        return problem(OAUTH_UNAVAILABLE, 501)


def _page(request: HttpRequest) -> HttpResponseBase:
    entry = explain(OAUTH_UNAVAILABLE)
    answer = render(request, "adsapp_crm/problem.html", {"entry": entry, "home": settings.CRM_PUBLIC_URL}, status=501)
    answer["Referrer-Policy"] = "no-referrer"
    return answer


def _valid(serializer: Any) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    found: dict[str, Any] = serializer.validated_data
    return found
