"""Read and replace a connection's field mappings."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.request import Request

from adsapp_crm.api.access import OrganizationView, actor_of
from adsapp_crm.api.caller import hides_values
from adsapp_crm.api.conditions import etag, wanted_version
from adsapp_crm.api.errors import refusal_problem
from adsapp_crm.api.operations import Operation
from adsapp_crm.api.serializers import CrmTypeSerializer, MappingsSerializer, reach_of, wanted_mapping
from adsapp_crm.api.shapes.mappings import EXAMPLE, MappingSetSerializer
from adsapp_crm.models import CrmConnection
from adsapp_crm.models.choices import Role
from adsapp_crm.services.connections import find_connection
from adsapp_crm.services.mappings import (
    MappingsRefusedError,
    current_mappings,
    described_types,
    replace_mappings,
    shape_mapping,
)
from adsapp_crm.services.refusals import refuse


class MappingView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(
            Role.VIEWER, "Read the mappings", MappingSetSerializer, query=CrmTypeSerializer, problems=(404,)
        ),
        "PUT": Operation(
            Role.ADMIN,
            "Replace the mappings",
            MappingSetSerializer,
            body=MappingsSerializer,
            problems=(404, 412),
            conditional=True,
            example={"crmType": "hubspot", "mappings": [EXAMPLE], "applyTo": "existing"},
        ),
    }

    def get(self, request: Request) -> Any:
        asked = self.query(request)
        with self.work(request):
            connection = find_connection(asked["crm_type"])
            return self.answer(request, shape_set(connection), headers=etag(connection.mapping_version))

    def put(self, request: Request) -> Any:
        """All rows are taken, or none with a pointer to each field that is wrong."""
        asked = self.body(request)
        try:
            with self.work(request):
                found = find_connection(asked["crmType"])
                connection = CrmConnection.objects.select_for_update().get(pk=found.pk)
                version = wanted_version(request, lambda: connection.mapping_version)
                if version is not None and version != connection.mapping_version:
                    text = f"The mappings are at version {connection.mapping_version} and not {version}."
                    raise refuse("request.precondition", text)
                first = next(iter(described_types(connection)), "")
                wanted = [wanted_mapping(row, first) for row in asked["mappings"]]
                replace_mappings(connection, wanted, actor=actor_of(request), applies_to=reach_of(asked))
                connection.refresh_from_db(fields=["mapping_version"])
                return self.answer(request, shape_set(connection), headers=etag(connection.mapping_version))
        except MappingsRefusedError as error:
            answer = refusal_problem(error)
            for each in answer.data.get("errors", []):
                if each["pointer"] in error.examples and not hides_values(request):
                    each["example"] = error.examples[each["pointer"]]
            return answer


def shape_set(connection: CrmConnection) -> dict[str, object]:
    """All mappings of a connection, with their version."""
    return {
        "crmType": connection.crm_type,
        "connectionId": str(connection.pk),
        "version": connection.mapping_version,
        "mappings": [shape_mapping(row) for row in current_mappings(connection)],
    }
