"""The guide's answers to a sync. ``services.run_shapes`` makes them; this names their keys."""

# ruff: noqa: N815  JSON keys are camelCase
from __future__ import annotations

from rest_framework import serializers

from adsapp_crm.models.choices import ConnectionStatus, Health, RunState, RunTrigger, SyncDirection, SyncType


class SyncResultSerializer(serializers.Serializer):  # type: ignore[type-arg]
    success = serializers.BooleanField()
    recordsProcessed = serializers.IntegerField()
    recordsSuccess = serializers.IntegerField()
    recordsFailed = serializers.IntegerField()
    duration = serializers.IntegerField(help_text="Milliseconds.")
    errors = serializers.ListField(child=serializers.DictField())  # type: ignore[assignment]  # the guide's key
    runId = serializers.UUIDField()
    status = serializers.ChoiceField(choices=RunState.choices)
    syncType = serializers.ChoiceField(choices=SyncType.choices)
    planId = serializers.UUIDField(allow_null=True)
    counts = serializers.DictField(child=serializers.IntegerField())
    progress = serializers.DictField()
    resumeAt = serializers.DateTimeField(allow_null=True)


class SyncedConnectionSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    crmType = serializers.CharField()
    status = serializers.ChoiceField(choices=ConnectionStatus.choices)
    lastSync = serializers.DateTimeField(allow_null=True)
    health = serializers.ChoiceField(choices=Health.choices)
    account = serializers.CharField()
    lastError = serializers.CharField(allow_null=True)


class SyncedStatusSerializer(serializers.Serializer):  # type: ignore[type-arg]
    connected = serializers.BooleanField()
    recordCount = serializers.IntegerField()


class HistoryLineSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    syncType = serializers.ChoiceField(choices=SyncType.choices)
    direction = serializers.ChoiceField(choices=SyncDirection.choices)
    status = serializers.ChoiceField(choices=RunState.choices)
    trigger = serializers.ChoiceField(choices=RunTrigger.choices)
    dryRun = serializers.BooleanField()
    recordsProcessed = serializers.IntegerField()
    recordsSuccess = serializers.IntegerField()
    recordsFailed = serializers.IntegerField()
    counts = serializers.DictField(child=serializers.IntegerField())
    errors = serializers.ListField(child=serializers.DictField())  # type: ignore[assignment]
    startedAt = serializers.DateTimeField()
    completedAt = serializers.DateTimeField(allow_null=True)


class SyncStatusSerializer(serializers.Serializer):  # type: ignore[type-arg]
    connection = SyncedConnectionSerializer()
    status = SyncedStatusSerializer()
    history = HistoryLineSerializer(many=True)
    run = SyncResultSerializer(required=False, help_text="The run that the query names.")
