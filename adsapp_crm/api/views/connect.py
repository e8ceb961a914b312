"""Connect and disconnect a CRM."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from adsapp_crm.api.access import OrganizationView, actor_of, organization_of, valid
from adsapp_crm.api.serializers import ConnectSerializer, CrmTypeSerializer
from adsapp_crm.api.views.log_in import connected_body, person_of
from adsapp_crm.models.choices import Role
from adsapp_crm.services.connections import check_provider, connect_with_token, disconnect
from adsapp_crm.services.oauth import begin_log_in
from adsapp_crm.services.refusals import RefusedError, refuse
from adsapp_crm.services.seats import asking_outside
from adsapp_crm.services.staff import check_no_visit


class ConnectView(OrganizationView):
    roles: ClassVar[Mapping[str, str]] = {"POST": Role.ADMIN, "DELETE": Role.ADMIN}

    def post(self, request: Request) -> Response:
        """Connect by ``config.apiToken``, or begin a log-in at the CRM: ``authUrl`` is for this browser alone.

        With a token the CRM is asked who that is before anything is stored.
        """
        asked = valid(ConnectSerializer, request.data)
        check_no_visit(getattr(request, "staff_access_id", None))
        config = asked.get("config", {})
        crm_type = check_provider(asked["crmType"])
        organization_id, token = organization_of(request), config.get("apiToken", "")
        environment = config.get("environment", "")
        if not token:
            return self._log_in(request, organization_id, crm_type, config)
        with asking_outside(), _pointing_into_config():
            made = connect_with_token(
                organization_id, crm_type, token, actor=actor_of(request), environment=environment
            )
        return Response(connected_body(made), status=200 if made.reconnected else 201)

    def _log_in(
        self, request: Request, organization_id: uuid.UUID, crm_type: str, config: Mapping[str, str]
    ) -> Response:
        person = person_of(request)
        if person is None:
            raise refuse("oauth.session", "There is no browser session.", fix="Log in to ADSapp in the browser first.")
        begun = begin_log_in(
            organization_id,
            crm_type,
            person,
            environment=config.get("environment", ""),
            client_id=config.get("clientId", ""),
            client_secret=config.get("clientSecret", ""),
        )
        return Response({"authUrl": begun.auth_url, "connectionId": str(begun.connection_id)})

    @asking_outside()
    def delete(self, request: Request) -> Response:
        """Forget the token; links, mappings and history stay for a later connection to the same account."""
        asked = valid(CrmTypeSerializer, request.query_params.dict())
        connection_id = disconnect(organization_of(request), asked["crm_type"], actor=actor_of(request))
        return Response({"success": True, "connectionId": str(connection_id)})


@contextmanager
def _pointing_into_config() -> Iterator[None]:
    """The service knows the token by its name; in the body it stands in ``config``."""
    try:
        yield
    except RefusedError as error:
        raise RefusedError(
            replace(each, field="/config/apiToken") if each.field == "apiToken" else each for each in error.refusals
        ) from error
