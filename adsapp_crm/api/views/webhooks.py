"""What CRMs told us: subscriptions, received events, reading them again."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from rest_framework.request import Request

from adsapp_crm.api.access import OrganizationView
from adsapp_crm.api.lookups import check_named, find_connection
from adsapp_crm.api.operations import Operation
from adsapp_crm.api.paging import listed, page_of
from adsapp_crm.api.shapes.webhooks import (
    EventQuery,
    EventSerializer,
    RefusedListSerializer,
    RefusedQuery,
    ReplayedSerializer,
    ReplaySerializer,
    SubscriptionQuery,
    SubscriptionSerializer,
)
from adsapp_crm.models import CrmWebhook, CrmWebhookEvent
from adsapp_crm.models.choices import Role
from adsapp_crm.services.inbox import replay
from adsapp_crm.services.refusals import refuse
from adsapp_crm.services.refused_deliveries import refused_deliveries
from adsapp_crm.tasks import refetch, send_after_commit


class SubscriptionsView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(
            Role.VIEWER, "List webhook subscriptions", listed(SubscriptionSerializer), query=SubscriptionQuery
        )
    }

    def get(self, request: Request) -> Any:
        asked = self.query(request)
        with self.work(request):
            check_named(asked)
            rows = CrmWebhook.objects.defer("secret", "path_token")
            rows = rows.filter(connection_id=asked["connectionId"]) if asked.get("connectionId") else rows
            return self.answer(request, page_of(rows, asked))


class EventsView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(Role.VIEWER, "List received webhook events", listed(EventSerializer), query=EventQuery)
    }

    def get(self, request: Request) -> Any:
        asked = self.query(request)
        with self.work(request):
            check_named(asked)
            rows = CrmWebhookEvent.objects.all()
            for key, column in (("connectionId", "connection_id"), ("status", "status")):
                rows = rows.filter(**{column: asked[key]}) if asked.get(key) else rows
            return self.answer(request, page_of(rows, asked))


class EventView(OrganizationView):
    operations: ClassVar = {"GET": Operation(Role.VIEWER, "Read a webhook event", EventSerializer, problems=(404,))}

    def get(self, request: Request, event_id: uuid.UUID) -> Any:
        with self.work(request):
            event = CrmWebhookEvent.objects.filter(pk=event_id).first()
            if event is None:
                raise refuse("webhook.event_unknown", "There is no event with this id.", field="id")
            return self.answer(request, event)


class EventsReplayView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(
            Role.OPERATOR,
            "Read the records of events again",
            ReplayedSerializer,
            body=ReplaySerializer,
            problems=(404,),
            example={"connectionId": "0198b1f0-0000-7000-8000-000000000001", "since": "2026-01-01T00:00:00Z"},
        )
    }

    def post(self, request: Request) -> Any:
        """Reading a record again changes nothing when nothing has changed."""
        asked = self.body(request)
        with self.work(request):
            row = find_connection(asked["connectionId"], field="connectionId")
            counts = replay(row.pk, asked["since"], only_failed=asked["onlyFailed"], dry_run=asked["dryRun"])
            if not asked["dryRun"]:
                send_after_commit(refetch, str(row.pk))
        return self.answer(request, {"events": sum(counts.values()), "byStatus": counts})


class RefusedDeliveriesView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(Role.OPERATOR, "Count refused webhook deliveries", RefusedListSerializer, query=RefusedQuery)
    }

    def get(self, request: Request) -> Any:
        """Of the whole installation, by CRM and reason: nothing else is kept of them, not even whose they were."""
        return self.answer(
            request, {"items": [each.as_json() for each in refused_deliveries(self.query(request)["days"])]}
        )
