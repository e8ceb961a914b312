"""Where an organization's notices are posted to, and what became of each message."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from rest_framework.request import Request

from adsapp_crm.api.access import OrganizationView, actor_of, organization_of
from adsapp_crm.api.operations import Operation
from adsapp_crm.api.paging import listed, page_of
from adsapp_crm.api.shapes.notices import (
    ChangedOutgoingSerializer,
    MessageQuery,
    MessageSerializer,
    NewOutgoingSerializer,
    OutgoingQuery,
    OutgoingSerializer,
    WantedOutgoingSerializer,
)
from adsapp_crm.models import CrmMessage, CrmOutgoingWebhook
from adsapp_crm.models.choices import Role
from adsapp_crm.services.outgoing import add_webhook, change_webhook, find_webhook, remove_webhook
from adsapp_crm.services.seats import asking_outside
from adsapp_crm.services.sending import send_test
from adsapp_crm.services.staff import check_no_visit


class OutgoingWebhooksView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(Role.ADMIN, "List outgoing webhooks", listed(OutgoingSerializer), query=OutgoingQuery),
        "POST": Operation(
            Role.ADMIN,
            "Add an outgoing webhook",
            NewOutgoingSerializer,
            body=WantedOutgoingSerializer,
            status=201,
            problems=(409,),
            example={"url": "https://hooks.example.com/crm", "kinds": ["connection.state", "brake.pulled"]},
        ),
    }

    def get(self, request: Request) -> Any:
        asked = self.query(request)
        with self.work(request):
            return self.answer(request, page_of(CrmOutgoingWebhook.objects.defer("secret"), asked))

    def post(self, request: Request) -> Any:
        """``secret`` signs every message and is shown this once."""
        check_no_visit(getattr(request, "staff_access_id", None))
        asked = self.body(request)
        with asking_outside():
            made = add_webhook(organization_of(request), asked["url"], asked["kinds"], actor=actor_of(request))
        return self.told({**OutgoingSerializer(made.row).data, "secret": made.secret}, status=201)


class OutgoingWebhookView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(Role.ADMIN, "Read an outgoing webhook", OutgoingSerializer, problems=(404,)),
        "PATCH": Operation(
            Role.ADMIN,
            "Change what an outgoing webhook is told, or switch it on and off",
            OutgoingSerializer,
            body=ChangedOutgoingSerializer,
            problems=(404,),
            example={"active": True},
        ),
        "DELETE": Operation(Role.ADMIN, "Remove an outgoing webhook", status=204, problems=(404,)),
    }

    def get(self, request: Request, outgoing_id: uuid.UUID) -> Any:
        with self.work(request):
            return self.answer(request, find_webhook(outgoing_id))

    def patch(self, request: Request, outgoing_id: uuid.UUID) -> Any:
        check_no_visit(getattr(request, "staff_access_id", None))
        asked = self.body(request)
        with self.work(request):
            changed = change_webhook(outgoing_id, kinds=asked.get("kinds"), active=asked.get("active"))
            return self.answer(request, changed)

    def delete(self, request: Request, outgoing_id: uuid.UUID) -> Any:
        """Messages on their way to it are dropped with it."""
        with self.work(request):
            remove_webhook(outgoing_id)
        return self.answer(request, None)


class OutgoingWebhookTestView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(Role.ADMIN, "Send a test to an outgoing webhook", MessageSerializer, problems=(404,))
    }

    def post(self, request: Request, outgoing_id: uuid.UUID) -> Any:
        """Sent once, now; ``status`` and ``code`` of the message say what came of it."""
        with asking_outside():
            return self.answer(request, send_test(organization_of(request), outgoing_id, actor=actor_of(request)))


class MessagesView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(
            Role.ADMIN, "List messages to people and programs", listed(MessageSerializer), query=MessageQuery
        )
    }

    def get(self, request: Request) -> Any:
        """Newest first. What was delivered or given up is kept for the days that run logs are."""
        asked = self.query(request)
        with self.work(request):
            rows = CrmMessage.objects.select_related("user")
            for key in ("status", "kind"):
                rows = rows.filter(**{key: asked[key]}) if asked.get(key) else rows
            return self.answer(request, page_of(rows, asked))
