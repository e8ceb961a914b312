"""Entries of the ledger."""

# ruff: noqa: N815  JSON keys are camelCase
from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from adsapp_crm.api.paging import PageQuery
from adsapp_crm.api.shapes.effects import EffectSerializer, shape_effects
from adsapp_crm.models import CrmLedgerEntry
from adsapp_crm.models.choices import PlanLineKind
from adsapp_crm.services.changes import effects_of


class ChangeQuery(PageQuery):
    connectionId = serializers.UUIDField(required=False)
    contactId = serializers.UUIDField(required=False)
    runId = serializers.UUIDField(required=False)
    kind = serializers.ChoiceField(choices=PlanLineKind.choices, required=False)
    field = serializers.CharField(required=False, max_length=200, help_text="One of ADSapp's field names.")
    since = serializers.DateTimeField(required=False)


class ChangeSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    at = serializers.DateTimeField()
    connectionId = serializers.UUIDField(source="connection_id")
    contactId = serializers.UUIDField(source="contact_id", allow_null=True)
    runId = serializers.UUIDField(source="run_id", allow_null=True)
    linkId = serializers.UUIDField(source="link_id", allow_null=True)
    recordType = serializers.CharField(source="record_type")
    recordId = serializers.CharField(source="remote_id")
    kind = serializers.ChoiceField(choices=PlanLineKind.choices)
    rule = serializers.CharField()
    actor = serializers.CharField()
    contactVersion = serializers.IntegerField(source="contact_version")
    effects = serializers.SerializerMethodField()

    @extend_schema_field(EffectSerializer(many=True))
    def get_effects(self, entry: CrmLedgerEntry) -> list[dict[str, Any]]:
        return shape_effects(effects_of(entry), hides=bool(self.context.get("hides")))
