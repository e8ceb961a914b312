"""What happened to a connection apart from its runs, and how much was done by day."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from rest_framework.request import Request

from adsapp_crm.api.access import OrganizationView
from adsapp_crm.api.lookups import find_connection
from adsapp_crm.api.operations import Operation
from adsapp_crm.api.paging import listed, page_of
from adsapp_crm.api.shapes.history import ConnectionEventSerializer, FiguresQuery, FiguresSerializer, HistoryQuery
from adsapp_crm.models import CrmConnectionEvent
from adsapp_crm.models.choices import Role
from adsapp_crm.selectors import database_now
from adsapp_crm.services.analytics import figures_by_day


class ConnectionHistoryView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(
            Role.VIEWER,
            "List what happened to a connection apart from its runs",
            listed(ConnectionEventSerializer),
            query=HistoryQuery,
            problems=(404,),
        )
    }

    def get(self, request: Request, connection_id: uuid.UUID) -> Any:
        asked = self.query(request)
        with self.work(request):
            rows = CrmConnectionEvent.objects.filter(connection=find_connection(connection_id))
            if "kind" in asked:
                rows = rows.filter(kind=asked["kind"])
            return self.answer(request, page_of(rows, asked))


class FiguresView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(
            Role.VIEWER,
            "Count what was synced, asked and disputed, by day and CRM",
            FiguresSerializer,
            query=FiguresQuery,
        )
    }

    def get(self, request: Request) -> Any:
        days = int(self.query(request)["days"])
        with self.work(request):
            found = figures_by_day(database_now(), days)
            items = [{"crmType": crm, "days": each} for crm, each in found.items()]
            return self.answer(request, {"items": items})
