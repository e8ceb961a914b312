"""A connection's schedule: read and changed."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from rest_framework.request import Request

from adsapp_crm.api.access import OrganizationView
from adsapp_crm.api.lookups import find_connection
from adsapp_crm.api.operations import Operation
from adsapp_crm.api.shapes.schedules import ScheduleSerializer, WantedScheduleSerializer
from adsapp_crm.models.choices import Role
from adsapp_crm.services.schedules import change_schedule, shape_schedule


class ScheduleView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(Role.VIEWER, "Read a connection's schedule", ScheduleSerializer, problems=(404,)),
        "PATCH": Operation(
            Role.ADMIN,
            "Change a connection's schedule",
            ScheduleSerializer,
            body=WantedScheduleSerializer,
            problems=(404,),
            example={"timeZone": "Europe/Amsterdam", "quietFrom": "08:00", "quietUntil": "18:00"},
        ),
    }

    def get(self, request: Request, connection_id: uuid.UUID) -> Any:
        with self.work(request):
            return self.answer(request, shape_schedule(find_connection(connection_id)))

    def patch(self, request: Request, connection_id: uuid.UUID) -> Any:
        """A schedule that would never fire is refused. Webhooks and changes made here go on in quiet hours."""
        wanted = self.body(request)
        with self.work(request):
            return self.answer(request, shape_schedule(change_schedule(connection_id, wanted)))
