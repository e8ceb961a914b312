"""Audits: what was compared, what has drifted and why, and how it is repaired."""

# ruff: noqa: N815  JSON keys are camelCase
from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from adsapp_crm.api.paging import PageQuery
from adsapp_crm.models import CrmAudit
from adsapp_crm.models.choices import AuditScope, AuditStatus
from adsapp_crm.services.audits import drifted, plan_of


class AuditQuery(PageQuery):
    connectionId = serializers.UUIDField(required=False)


class RepairSerializer(serializers.Serializer):  # type: ignore[type-arg]
    cause = serializers.CharField()
    records = serializers.IntegerField()
    isDrift = serializers.BooleanField()
    repair = serializers.CharField()


class AuditSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    connectionId = serializers.UUIDField(source="connection_id")
    scope = serializers.ChoiceField(choices=AuditScope.choices)
    status = serializers.ChoiceField(choices=AuditStatus.choices)
    startedAt = serializers.DateTimeField(source="started_at")
    completedAt = serializers.DateTimeField(source="completed_at", allow_null=True)
    compared = serializers.IntegerField()
    drifted = serializers.SerializerMethodField()
    plan = serializers.SerializerMethodField()
    contactIds = serializers.ListField(child=serializers.UUIDField(), source="contact_ids")
    conflictsOpened = serializers.IntegerField(source="conflicts_opened")
    conflictsClosed = serializers.IntegerField(source="conflicts_closed")
    apiCalls = serializers.IntegerField(source="api_calls")
    errorCode = serializers.CharField(source="error_code")

    def get_drifted(self, audit: CrmAudit) -> int:
        return drifted(audit)

    @extend_schema_field(RepairSerializer(many=True))
    def get_plan(self, audit: CrmAudit) -> list[dict[str, Any]]:
        return plan_of(audit)
