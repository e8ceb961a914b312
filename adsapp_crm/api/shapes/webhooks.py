"""What CRMs tell us, and by which subscription. Addresses and secrets are in no answer."""

# ruff: noqa: N815  JSON keys are camelCase
from __future__ import annotations

from rest_framework import serializers

from adsapp_crm.api.paging import PageQuery
from adsapp_crm.api.serializers import StrictSerializer
from adsapp_crm.models.choices import DeliveryStatus, WebhookStatus
from adsapp_crm.services.refused_deliveries import SHOWN_DAYS


class SubscriptionQuery(PageQuery):
    connectionId = serializers.UUIDField(required=False)


class SubscriptionSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    connectionId = serializers.UUIDField(source="connection_id")
    eventTypes = serializers.ListField(child=serializers.CharField(), source="event_types")
    status = serializers.ChoiceField(choices=WebhookStatus.choices)
    lastEventAt = serializers.DateTimeField(source="last_event_at", allow_null=True)
    lastErrorCode = serializers.CharField(source="last_error_code")
    createdAt = serializers.DateTimeField(source="created_at")


class EventQuery(PageQuery):
    connectionId = serializers.UUIDField(required=False)
    status = serializers.ChoiceField(choices=DeliveryStatus.choices, required=False)


class EventSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    connectionId = serializers.UUIDField(source="connection_id")
    eventType = serializers.CharField(source="event_type")
    recordType = serializers.CharField(source="record_type")
    recordId = serializers.CharField(source="remote_id")
    status = serializers.ChoiceField(choices=DeliveryStatus.choices)
    code = serializers.CharField()
    attempts = serializers.IntegerField()
    runId = serializers.UUIDField(source="run_id", allow_null=True)
    occurredAt = serializers.DateTimeField(source="occurred_at", allow_null=True)
    receivedAt = serializers.DateTimeField(source="received_at")
    processedAt = serializers.DateTimeField(source="processed_at", allow_null=True)


class ReplaySerializer(StrictSerializer):
    connectionId = serializers.UUIDField()
    since = serializers.DateTimeField(help_text="Events received since then are read again.")
    onlyFailed = serializers.BooleanField(default=False)
    dryRun = serializers.BooleanField(default=False, help_text="Only count them.")


class ReplayedSerializer(serializers.Serializer):  # type: ignore[type-arg]
    events = serializers.IntegerField()
    byStatus = serializers.DictField(child=serializers.IntegerField(), help_text="By what had become of them.")


class RefusedQuery(StrictSerializer):
    days = serializers.IntegerField(min_value=1, max_value=400, default=SHOWN_DAYS)


class RefusedSerializer(serializers.Serializer):  # type: ignore[type-arg]
    crmType = serializers.CharField(help_text="? for an address of no CRM.")
    code = serializers.CharField()
    title = serializers.CharField()
    fix = serializers.CharField()
    deliveries = serializers.IntegerField()
    lastAt = serializers.DateTimeField()


class RefusedListSerializer(serializers.Serializer):  # type: ignore[type-arg]
    items = RefusedSerializer(many=True)
