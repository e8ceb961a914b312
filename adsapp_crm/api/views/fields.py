"""What a CRM says of its fields."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from rest_framework.request import Request

from adsapp_crm.api.access import OrganizationView, actor_of, organization_of
from adsapp_crm.api.lookups import find_connection
from adsapp_crm.api.operations import Operation
from adsapp_crm.api.shapes.connections import FieldListSerializer, FieldsQuery
from adsapp_crm.models import CrmConnection
from adsapp_crm.models.choices import Role
from adsapp_crm.services.describing import refresh_fields
from adsapp_crm.services.seats import asking_outside
from adsapp_crm.wiring import definitions_of


class FieldsView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(
            Role.VIEWER, "Describe the CRM's fields", FieldListSerializer, query=FieldsQuery, problems=(404,)
        )
    }

    def get(self, request: Request, connection_id: uuid.UUID) -> Any:
        """As the CRM described them last; ``fetchedAt`` says when."""
        only = self.query(request).get("recordType")
        with self.work(request):
            return self.answer(request, _described(find_connection(connection_id), only))


class FieldsRefreshView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(
            Role.ADMIN, "Ask the CRM for its fields anew", FieldListSerializer, problems=(404, 409, 502, 503)
        )
    }

    @asking_outside()
    def post(self, request: Request, connection_id: uuid.UUID) -> Any:
        row = refresh_fields(organization_of(request), connection_id, actor=actor_of(request))
        return self.answer(request, _described(row, None))


def _described(row: CrmConnection, only: str | None) -> dict[str, Any]:
    kinds = [kind for kind in row.schema if only in (None, kind)]
    return {
        "items": [
            {
                "recordType": kind,
                "fetchedAt": row.schema[kind].get("fetchedAt"),
                "definitions": sorted(definitions_of(row, kind).values(), key=lambda each: each.name),
            }
            for kind in kinds
        ]
    }
