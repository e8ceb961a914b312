"""When a connection syncs by itself. Times of the day are local, written HH:MM."""

# ruff: noqa: N815  JSON keys are camelCase
from __future__ import annotations

from rest_framework import serializers

from adsapp_crm.api.serializers import StrictSerializer
from crm.schedule import EVERY_DAY, LONGEST_SECONDS, TICK_SECONDS, WEEKDAYS

DAYS = [*WEEKDAYS, EVERY_DAY]


class WantedScheduleSerializer(StrictSerializer):
    """What is left out stays; null takes a value back."""

    timeZone = serializers.CharField(max_length=100, required=False, allow_null=True)
    intervalSeconds = serializers.IntegerField(
        min_value=TICK_SECONDS, max_value=LONGEST_SECONDS, required=False, allow_null=True
    )
    dailyAt = serializers.CharField(max_length=8, required=False, allow_null=True)
    quietFrom = serializers.CharField(max_length=8, required=False, allow_null=True)
    quietUntil = serializers.CharField(max_length=8, required=False, allow_null=True)
    fullDay = serializers.ChoiceField(choices=DAYS, required=False, allow_null=True)
    fullAt = serializers.CharField(max_length=8, required=False, allow_null=True)


class ScheduleSerializer(serializers.Serializer):  # type: ignore[type-arg]
    timeZone = serializers.CharField()
    intervalSeconds = serializers.IntegerField(allow_null=True)
    dailyAt = serializers.CharField(allow_null=True)
    quietFrom = serializers.CharField(allow_null=True)
    quietUntil = serializers.CharField(allow_null=True)
    fullDay = serializers.ChoiceField(choices=DAYS)
    fullAt = serializers.CharField()
    nextSync = serializers.DateTimeField(allow_null=True)
    nextFull = serializers.DateTimeField(allow_null=True)
