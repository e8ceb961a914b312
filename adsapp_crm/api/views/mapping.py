"""Read and replace a connection's field mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from adsapp_crm.api.access import OrganizationView, actor_of, organization_of
from adsapp_crm.api.errors import refusal_problem
from adsapp_crm.api.serializers import CrmTypeSerializer, MappingsSerializer, wanted_mapping
from adsapp_crm.models import CrmConnection
from adsapp_crm.models.choices import Role
from adsapp_crm.services.connections import find_connection
from adsapp_crm.services.mappings import MappingsRefusedError, current_mappings, replace_mappings, shape_mapping
from adsapp_crm.tenancy import organization_context


class MappingView(OrganizationView):
    roles: ClassVar[Mapping[str, str]] = {"GET": Role.VIEWER, "PUT": Role.ADMIN}

    def get(self, request: Request) -> Response:
        query = CrmTypeSerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        with organization_context(organization_of(request)):
            return Response(_shape(find_connection(query.validated_data["crm_type"])))

    def put(self, request: Request) -> Response:
        """All rows are taken, or none with a pointer to each field that is wrong."""
        body = MappingsSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        try:
            with organization_context(organization_of(request), actor=actor_of(request)):
                connection = find_connection(body.validated_data["crmType"])
                first = next(iter(connection.schema), "")
                wanted = [wanted_mapping(row, first) for row in body.validated_data["mappings"]]
                replace_mappings(connection, wanted, actor=actor_of(request))
                connection.refresh_from_db(fields=["mapping_version"])
                return Response(_shape(connection))
        except MappingsRefusedError as error:
            answer = refusal_problem(error)
            for each in answer.data.get("errors", []):
                if each["pointer"] in error.examples:
                    each["example"] = error.examples[each["pointer"]]
            return answer


def _shape(connection: CrmConnection) -> dict[str, object]:
    return {
        "crmType": connection.crm_type,
        "connectionId": str(connection.pk),
        "version": connection.mapping_version,
        "mappings": [shape_mapping(row) for row in current_mappings(connection)],
    }
