"""What happened to connections, and how much was done by day."""

# ruff: noqa: N815  JSON keys are camelCase
from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from adsapp_crm.api.paging import PageQuery
from adsapp_crm.api.serializers import StrictSerializer
from adsapp_crm.models import CrmConnectionEvent
from adsapp_crm.models.choices import ConnectionEventKind
from adsapp_crm.services.analytics import SPANS


class HistoryQuery(PageQuery):
    kind = serializers.ChoiceField(choices=ConnectionEventKind.choices, required=False)


class ConnectionEventSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    at = serializers.DateTimeField()
    kind = serializers.ChoiceField(choices=ConnectionEventKind.choices)
    code = serializers.CharField(help_text="Of the error that stopped it; empty for the other kinds.")
    details = serializers.SerializerMethodField(
        help_text="What changed: names of settings and fields, never a contact or a secret."
    )
    actor = serializers.CharField()

    @extend_schema_field(serializers.DictField())
    def get_details(self, event: CrmConnectionEvent) -> dict[str, Any]:
        return dict(event.details)


class FiguresQuery(StrictSerializer):
    days = serializers.ChoiceField(choices=[str(span) for span in SPANS], default="30")


class FiguresOfDaySerializer(serializers.Serializer):  # type: ignore[type-arg]
    day = serializers.DateField()
    runs = serializers.IntegerField()
    runsFailed = serializers.IntegerField(source="runs_failed")
    records = serializers.IntegerField(help_text="Looked at, in dry runs too.")
    written = serializers.IntegerField(help_text="Creations, changes and deletions on both sides.")
    failed = serializers.IntegerField(help_text="Records that were refused; each try counts.")
    calls = serializers.IntegerField(help_text="Requests to the CRM.")
    lagSeconds = serializers.FloatField(
        source="lag_seconds", help_text="The longest time between two successes that ended on this day."
    )
    conflicts = serializers.IntegerField(help_text="Opened.")
    settled = serializers.IntegerField(help_text="Conflicts closed.")


class CrmFiguresSerializer(serializers.Serializer):  # type: ignore[type-arg]
    crmType = serializers.CharField()
    days = FiguresOfDaySerializer(many=True, help_text="Oldest first; the days are the organization's.")


class FiguresSerializer(serializers.Serializer):  # type: ignore[type-arg]
    items = CrmFiguresSerializer(many=True)
