"""Runs and plans."""

# ruff: noqa: N815  JSON keys are camelCase
from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from adsapp_crm.api.paging import PageQuery
from adsapp_crm.api.serializers import StrictSerializer
from adsapp_crm.api.shapes.effects import EffectSerializer, shape_effects
from adsapp_crm.catalogue import explain
from adsapp_crm.models import CrmPlan, CrmPlanLine, CrmSyncLog
from adsapp_crm.models.choices import (
    PlanLineKind,
    PlanLineStatus,
    PlanStatus,
    RunPurpose,
    RunState,
    RunTrigger,
    SyncDirection,
    SyncType,
)
from adsapp_crm.services.forecasts import Forecast, spend_said
from adsapp_crm.services.run_shapes import shape_errors
from crm.model import Side


class NoteSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """What went wrong, or why something waits, in the catalogue's words."""

    code = serializers.CharField()
    title = serializers.CharField()
    detail = serializers.CharField()
    fix = serializers.CharField()


def shape_notes(codes: list[str]) -> list[dict[str, str]]:
    entries = [explain(code) for code in codes]
    return [
        {"code": code, "title": str(each.title), "detail": str(each.cause), "fix": str(each.fix)}
        for code, each in zip(codes, entries, strict=True)
    ]


class RunQuery(PageQuery):
    connectionId = serializers.UUIDField(required=False)
    status = serializers.ChoiceField(choices=RunState.choices, required=False)
    trigger = serializers.ChoiceField(choices=RunTrigger.choices, required=False)


class RunSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    connectionId = serializers.UUIDField(source="connection_id")
    syncType = serializers.ChoiceField(source="sync_type", choices=SyncType.choices)
    direction = serializers.ChoiceField(choices=SyncDirection.choices)
    status = serializers.ChoiceField(choices=RunState.choices)
    purpose = serializers.ChoiceField(choices=RunPurpose.choices)
    trigger = serializers.ChoiceField(choices=RunTrigger.choices)
    actor = serializers.CharField()
    dryRun = serializers.BooleanField(source="dry_run")
    recordsProcessed = serializers.IntegerField(source="records_processed")
    recordsSuccess = serializers.IntegerField(source="records_success")
    recordsFailed = serializers.IntegerField(source="records_failed")
    counts = serializers.DictField(child=serializers.IntegerField())
    progress = serializers.DictField()
    phase = serializers.CharField()
    apiCalls = serializers.IntegerField(source="api_calls")
    planId = serializers.UUIDField(source="plan_id", allow_null=True)
    undoesId = serializers.UUIDField(source="undoes_id", allow_null=True)
    cancelRequested = serializers.BooleanField(source="cancel_requested")
    errors = serializers.SerializerMethodField()  # type: ignore[assignment]  # the API's word, not the serializer's
    startedAt = serializers.DateTimeField(source="started_at")
    completedAt = serializers.DateTimeField(source="completed_at", allow_null=True)
    resumeAt = serializers.DateTimeField(source="resume_at", allow_null=True)

    @extend_schema_field(serializers.ListField(child=serializers.DictField()))
    def get_errors(self, run: CrmSyncLog) -> list[Any]:
        return list(shape_errors(run))


class PlanQuery(PageQuery):
    connectionId = serializers.UUIDField(required=False)
    status = serializers.ChoiceField(choices=PlanStatus.choices, required=False)


class DryRunSerializer(StrictSerializer):
    connectionId = serializers.UUIDField()
    syncType = serializers.ChoiceField(choices=[SyncType.FULL.value, SyncType.DELTA.value], default=SyncType.FULL.value)
    limit = serializers.IntegerField(
        min_value=1, max_value=1_000_000, required=False, help_text="At most so many records are applied later."
    )


class PlanSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    connectionId = serializers.UUIDField(source="connection_id")
    runId = serializers.UUIDField(source="run_id", allow_null=True)
    kind = serializers.ChoiceField(choices=RunPurpose.choices)
    status = serializers.ChoiceField(choices=PlanStatus.choices)
    heldBy = serializers.SerializerMethodField()
    totals = serializers.DictField(help_text="Sums of the lines; notUndoable names what an undo cannot take back.")
    createdAt = serializers.DateTimeField(source="created_at")
    createdBy = serializers.CharField(source="created_by")
    approvedAt = serializers.DateTimeField(source="approved_at", allow_null=True)
    approvedBy = serializers.CharField(source="approved_by")
    closedAt = serializers.DateTimeField(source="closed_at", allow_null=True)

    @extend_schema_field(NoteSerializer(many=True))
    def get_heldBy(self, plan: CrmPlan) -> list[dict[str, str]]:  # noqa: N802  the JSON key
        return shape_notes(plan.held_codes)


class ForecastSerializer(serializers.Serializer):  # type: ignore[type-arg]
    calls = serializers.IntegerField(source="spend.calls", help_text="About as many requests to the CRM.")
    seconds = serializers.FloatField(source="spend.seconds", allow_null=True)
    dayShare = serializers.FloatField(source="spend.day_share", allow_null=True)
    fitsToday = serializers.BooleanField(source="spend.fits_today")
    said = serializers.SerializerMethodField()

    def get_said(self, forecast: Forecast) -> str:
        return spend_said(forecast.spend)


class PlanLineQuery(PageQuery):
    kind = serializers.ChoiceField(choices=PlanLineKind.choices, required=False)
    status = serializers.ChoiceField(choices=PlanLineStatus.choices, required=False)
    contactId = serializers.UUIDField(required=False)
    deletes = serializers.BooleanField(required=False, allow_null=True, default=None)
    blanks = serializers.BooleanField(required=False, allow_null=True, default=None)


class PlanLineSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    number = serializers.IntegerField(source="seq")
    kind = serializers.ChoiceField(choices=PlanLineKind.choices)
    status = serializers.ChoiceField(choices=PlanLineStatus.choices)
    code = serializers.CharField()
    contactId = serializers.UUIDField(source="contact_id", allow_null=True)
    recordType = serializers.CharField(source="record_type")
    recordId = serializers.CharField(source="remote_id")
    rule = serializers.SerializerMethodField()
    deletes = serializers.BooleanField()
    blanks = serializers.BooleanField()
    creates = serializers.ChoiceField(choices=[each.value for each in Side], allow_blank=True)
    overrules = serializers.BooleanField()
    approved = serializers.BooleanField()
    effects = serializers.SerializerMethodField()

    def get_rule(self, line: CrmPlanLine) -> str:
        return str(line.action.get("rule") or "")

    @extend_schema_field(EffectSerializer(many=True))
    def get_effects(self, line: CrmPlanLine) -> list[dict[str, Any]]:
        return shape_effects(line.action.get("effects", []), hides=bool(self.context.get("hides")))
