"""Connections, their rules, and what their CRM says of its fields. Credentials are in no answer."""

# ruff: noqa: N815  JSON keys are camelCase
from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from adsapp_crm.api.paging import PageQuery
from adsapp_crm.api.serializers import StrictSerializer
from adsapp_crm.api.shapes.runs import NoteSerializer, shape_notes
from adsapp_crm.models import CrmConnection
from adsapp_crm.models.choices import (
    ConflictStrategy,
    ConnectionStatus,
    DriftHandling,
    Health,
    OnDeletion,
    SyncMode,
    TieRule,
)
from adsapp_crm.services.connection_rules import LONGEST_DEBUG_MINUTES, crm_settings_of, rules_of
from adsapp_crm.services.examination import CHECKS, Verdict
from adsapp_crm.services.standing import code_of, health_of

MOST_ROWS: Final = 2_000_000


class ConnectionQuery(PageQuery):
    status = serializers.ChoiceField(choices=ConnectionStatus.choices, required=False)


class RulesSerializer(StrictSerializer):
    """A rule that is left out keeps its value."""

    mode = serializers.ChoiceField(choices=SyncMode.choices, required=False)
    strategy = serializers.ChoiceField(choices=ConflictStrategy.choices, required=False)
    tieRule = serializers.ChoiceField(choices=TieRule.choices, required=False)
    clockSkewSeconds = serializers.FloatField(min_value=0, max_value=3600, required=False)
    onAppDeleted = serializers.ChoiceField(choices=OnDeletion.choices, required=False)
    onCrmDeleted = serializers.ChoiceField(choices=OnDeletion.choices, required=False)
    drift = serializers.ChoiceField(choices=DriftHandling.choices, required=False)
    createInCrm = serializers.BooleanField(required=False)
    createInApp = serializers.BooleanField(required=False)
    createType = serializers.CharField(required=False, allow_blank=True, max_length=100)
    fightLimit = serializers.IntegerField(min_value=1, max_value=100, required=False)
    maxShareDeleted = serializers.FloatField(min_value=0, max_value=1, required=False)
    maxCountDeleted = serializers.IntegerField(min_value=0, max_value=MOST_ROWS, required=False)
    maxShareCreated = serializers.FloatField(min_value=0, max_value=1, required=False)
    maxCountCreated = serializers.IntegerField(min_value=0, max_value=MOST_ROWS, required=False)
    maxAttempts = serializers.IntegerField(min_value=1, max_value=100, required=False)
    syncIntervalSeconds = serializers.IntegerField(min_value=900, max_value=86_400, required=False)
    batchSize = serializers.IntegerField(min_value=1, max_value=200, required=False, allow_null=True)
    requestDelayMs = serializers.IntegerField(min_value=0, max_value=60_000, required=False, allow_null=True)
    quotaShare = serializers.FloatField(min_value=0.01, max_value=1, required=False, allow_null=True)
    crmSettings = serializers.DictField(
        child=serializers.CharField(max_length=100, allow_null=True),
        required=False,
        help_text="The CRM's own settings by name, as `crmSettings` of the connection lists them; null gives one back"
        " to the installation.",
    )


class CrmSettingSerializer(serializers.Serializer):  # type: ignore[type-arg]
    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    help = serializers.CharField()
    rule = serializers.CharField(help_text="Which values there are.")
    choices = serializers.ListField(child=serializers.CharField())
    value = serializers.CharField(allow_null=True, help_text="The connection's own; null: the installation's holds.")
    inForce = serializers.CharField()


class ConnectionSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    crmType = serializers.CharField(source="crm_type")
    status = serializers.ChoiceField(choices=ConnectionStatus.choices)
    health = serializers.SerializerMethodField()
    problem = serializers.SerializerMethodField()
    accountId = serializers.CharField(source="remote_account_id")
    accountName = serializers.CharField(source="remote_account_name")
    accountUrl = serializers.CharField(source="remote_account_url")
    environment = serializers.CharField()
    grantedScopes = serializers.ListField(child=serializers.CharField(), source="granted_scopes")
    rules = serializers.SerializerMethodField()
    crmSettings = serializers.SerializerMethodField()
    mappingVersion = serializers.IntegerField(source="mapping_version")
    firstSyncApprovedAt = serializers.DateTimeField(source="first_sync_approved_at", allow_null=True)
    connectedAt = serializers.DateTimeField(source="connected_at", allow_null=True)
    pausedAt = serializers.DateTimeField(source="paused_at", allow_null=True)
    disconnectedAt = serializers.DateTimeField(source="disconnected_at", allow_null=True)
    lastSync = serializers.DateTimeField(source="last_sync_at", allow_null=True)
    lastSuccess = serializers.DateTimeField(source="last_success_at", allow_null=True)
    nextSync = serializers.DateTimeField(source="next_sync_at", allow_null=True)
    nextFull = serializers.DateTimeField(source="next_full_at", allow_null=True)
    waitsForQuotaUntil = serializers.DateTimeField(source="parked_until", allow_null=True)
    debugUntil = serializers.SerializerMethodField()

    @extend_schema_field(serializers.ChoiceField(choices=Health.choices))
    def get_health(self, row: CrmConnection) -> str:
        return health_of(row, self.context["now"])

    @extend_schema_field(serializers.DateTimeField(allow_null=True, help_text="Until then each request is logged."))
    def get_debugUntil(self, row: CrmConnection) -> datetime | None:  # noqa: N802  DRF's name for it
        return row.debug_until if row.debug_until is not None and row.debug_until > self.context["now"] else None

    @extend_schema_field(NoteSerializer(allow_null=True))
    def get_problem(self, row: CrmConnection) -> dict[str, str] | None:
        code = code_of(row, self.get_health(row))
        return shape_notes([code])[0] if code else None

    @extend_schema_field(CrmSettingSerializer(many=True))
    def get_crmSettings(self, row: CrmConnection) -> list[dict[str, Any]]:  # noqa: N802  DRF's name for it
        return crm_settings_of(row)

    @extend_schema_field(RulesSerializer)
    def get_rules(self, row: CrmConnection) -> dict[str, Any]:
        return rules_of(row)


class FieldsQuery(StrictSerializer):
    recordType = serializers.CharField(required=False, max_length=100)


class FieldDefinitionSerializer(serializers.Serializer):  # type: ignore[type-arg]
    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    kind = serializers.CharField()
    remoteType = serializers.CharField(source="remote_type")
    writable = serializers.BooleanField()
    createable = serializers.BooleanField()
    required = serializers.BooleanField()  # type: ignore[assignment]
    unique = serializers.BooleanField()
    custom = serializers.BooleanField()
    multiple = serializers.BooleanField()
    maxLength = serializers.IntegerField(source="max_length", allow_null=True)
    options = serializers.SerializerMethodField()

    @extend_schema_field(serializers.ListField(child=serializers.DictField(child=serializers.CharField())))
    def get_options(self, field: Any) -> list[Mapping[str, str]]:
        return [{"value": value, "label": label} for value, label in field.options]


class RecordTypeFieldsSerializer(serializers.Serializer):  # type: ignore[type-arg]
    recordType = serializers.CharField()
    fetchedAt = serializers.DateTimeField(allow_null=True)
    definitions = FieldDefinitionSerializer(many=True)


class FieldListSerializer(serializers.Serializer):  # type: ignore[type-arg]
    items = RecordTypeFieldsSerializer(many=True)


class DebugSerializer(StrictSerializer):
    minutes = serializers.IntegerField(
        min_value=0, max_value=LONGEST_DEBUG_MINUTES, help_text="How long each request to the CRM is logged; 0 ends it."
    )


class ExaminationFindingSerializer(serializers.Serializer):  # type: ignore[type-arg]
    check = serializers.ChoiceField(choices=CHECKS)
    verdict = serializers.ChoiceField(choices=[each.value for each in Verdict])
    code = serializers.CharField(allow_null=True)
    said = serializers.CharField(help_text="What was found.")
    fix = serializers.CharField(allow_null=True, help_text="What to do about it.")


class ExaminationSerializer(serializers.Serializer):  # type: ignore[type-arg]
    connectionId = serializers.UUIDField()
    crmType = serializers.CharField()
    account = serializers.CharField()
    examinedAt = serializers.DateTimeField()
    ok = serializers.BooleanField(help_text="No check failed; there may be warnings.")
    worst = serializers.ChoiceField(choices=[each.value for each in Verdict])
    findings = ExaminationFindingSerializer(many=True)
