"""The answers of connecting a CRM and of the jobs' address."""

# ruff: noqa: N815  JSON keys are camelCase
from __future__ import annotations

from rest_framework import serializers

from adsapp_crm.api.serializers import StrictSerializer
from adsapp_crm.services.jobs import Job

_JOBS = [each.value for each in Job]


class FoundAccountSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.CharField()
    name = serializers.CharField()
    url = serializers.CharField()


class ConnectedSerializer(serializers.Serializer):  # type: ignore[type-arg]
    authUrl = serializers.CharField(allow_null=True, help_text="Where to send this browser; null: connected already.")
    connectionId = serializers.UUIDField()
    account = FoundAccountSerializer(required=False)
    mappings = serializers.IntegerField(required=False, help_text="Default mappings that were stored.")
    reconnected = serializers.BooleanField(required=False)


class DisconnectedSerializer(serializers.Serializer):  # type: ignore[type-arg]
    success = serializers.BooleanField()
    connectionId = serializers.UUIDField()


class WaitingLogInSerializer(serializers.Serializer):  # type: ignore[type-arg]
    crmType = serializers.CharField()
    account = FoundAccountSerializer()
    environment = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())
    lackingScopes = serializers.ListField(child=serializers.CharField())
    reconnects = serializers.BooleanField()


class DecisionSerializer(StrictSerializer):
    decision = serializers.ChoiceField(choices=["connect", "decline"])


class DecidedSerializer(serializers.Serializer):  # type: ignore[type-arg]
    connectionId = serializers.UUIDField(allow_null=True)
    account = FoundAccountSerializer(allow_null=True)
    authUrl = serializers.CharField(required=False, allow_null=True)
    mappings = serializers.IntegerField(required=False)
    reconnected = serializers.BooleanField(required=False)


class CallbackQuery(serializers.Serializer):  # type: ignore[type-arg]
    """As the CRM sends it; nothing of it is shown."""

    code = serializers.CharField(required=False)
    state = serializers.CharField(required=False)
    error = serializers.CharField(required=False)
    error_description = serializers.CharField(required=False)


class JobQuery(serializers.Serializer):  # type: ignore[type-arg]
    job = serializers.ChoiceField(choices=_JOBS)


class JobStartedSerializer(serializers.Serializer):  # type: ignore[type-arg]
    success = serializers.BooleanField()
    job = serializers.ChoiceField(choices=_JOBS)
    started = serializers.BooleanField(help_text="False: the slot's work was started already.")
