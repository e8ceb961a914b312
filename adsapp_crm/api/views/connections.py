"""Connections: how they are, their rules, pausing and resuming."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from rest_framework.request import Request

from adsapp_crm.api.access import OrganizationView, actor_of, organization_of
from adsapp_crm.api.conditions import etag, wanted_tag
from adsapp_crm.api.lookups import find_connection
from adsapp_crm.api.operations import Operation
from adsapp_crm.api.paging import listed, page_of
from adsapp_crm.api.shapes.connections import (
    ConnectionQuery,
    ConnectionSerializer,
    DebugSerializer,
    ExaminationSerializer,
    RulesSerializer,
)
from adsapp_crm.models import CrmConnection
from adsapp_crm.models.choices import Role
from adsapp_crm.selectors import database_now
from adsapp_crm.services.connection_rules import change_rules, set_debug_mode, tag_of
from adsapp_crm.services.connections import pause_connection, resume_connection
from adsapp_crm.services.examining import examine
from adsapp_crm.services.seats import asking_outside


class _ConnectionAnswers(OrganizationView):
    def shape_context(self, request: Request) -> dict[str, Any]:
        return {**super().shape_context(request), "now": database_now()}


class ConnectionsView(_ConnectionAnswers):
    operations: ClassVar = {
        "GET": Operation(Role.VIEWER, "List connections", listed(ConnectionSerializer), query=ConnectionQuery)
    }

    def get(self, request: Request) -> Any:
        """Disconnected ones too: their history and links are still there."""
        asked = self.query(request)
        with self.work(request):
            rows = CrmConnection.objects.all()
            rows = rows.filter(status=asked["status"]) if asked.get("status") else rows
            return self.answer(request, page_of(rows, asked))


class ConnectionView(_ConnectionAnswers):
    operations: ClassVar = {
        "GET": Operation(Role.VIEWER, "Read a connection", ConnectionSerializer, problems=(404,)),
        "PATCH": Operation(
            Role.ADMIN,
            "Change a connection's rules",
            ConnectionSerializer,
            body=RulesSerializer,
            problems=(404, 412),
            conditional=True,
            example={"strategy": "newest_wins", "maxCountDeleted": 20},
        ),
    }

    def get(self, request: Request, connection_id: uuid.UUID) -> Any:
        with self.work(request):
            row = find_connection(connection_id)
            return self.answer(request, row, headers=etag(tag_of(row)))

    def patch(self, request: Request, connection_id: uuid.UUID) -> Any:
        """Rules that are left out stay; the next run goes by the new ones. The ETag is the rules'."""
        wanted = self.body(request)
        with self.work(request):
            tag = wanted_tag(request, lambda: tag_of(find_connection(connection_id)))
            row = change_rules(connection_id, wanted, tag=tag)
            return self.answer(request, row, headers=etag(tag_of(row)))


class ConnectionPauseView(_ConnectionAnswers):
    operations: ClassVar = {
        "POST": Operation(Role.ADMIN, "Start no run until it is resumed", ConnectionSerializer, problems=(404,))
    }

    def post(self, request: Request, connection_id: uuid.UUID) -> Any:
        with self.work(request):
            pause_connection(connection_id, actor=actor_of(request))
            return self.answer(request, find_connection(connection_id))


class ConnectionResumeView(_ConnectionAnswers):
    operations: ClassVar = {
        "POST": Operation(Role.ADMIN, "Take a pause back", ConnectionSerializer, problems=(404, 409))
    }

    def post(self, request: Request, connection_id: uuid.UUID) -> Any:
        """Refused where the CRM needs a new log-in."""
        with self.work(request):
            resume_connection(connection_id, actor=actor_of(request))
            return self.answer(request, find_connection(connection_id))


class ConnectionDebugView(_ConnectionAnswers):
    operations: ClassVar = {
        "POST": Operation(
            Role.ADMIN,
            "Log each request to the CRM for a while",
            ConnectionSerializer,
            body=DebugSerializer,
            problems=(404,),
            example={"minutes": 30},
        )
    }

    def post(self, request: Request, connection_id: uuid.UUID) -> Any:
        """The lines name operation, path and status, and no value, address or token. It ends by itself."""
        minutes = self.body(request)["minutes"]
        with self.work(request):
            return self.answer(request, set_debug_mode(connection_id, minutes))


class ConnectionExamineView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(Role.OPERATOR, "Test a connection from end to end", ExaminationSerializer, problems=(404,))
    }

    @asking_outside()
    def post(self, request: Request, connection_id: uuid.UUID) -> Any:
        """Token, scopes, schema, mapping, quota, webhook and clock; a few requests to the CRM, and nothing changed."""
        return self.answer(request, examine(organization_of(request), connection_id).as_json())
