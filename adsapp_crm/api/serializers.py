"""What the API takes. An unknown key is refused: a misspelt one would otherwise be ignored in silence."""

# ruff: noqa: N815  the JSON keys are the guide's
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

from adsapp_crm.models.choices import BlankHandling, ConflictStrategy, DriftHandling, MappingReach, SyncDirection
from adsapp_crm.services.mappings import WantedMapping
from crm.model import AppliesTo

MOST_MAPPINGS = 500


class StrictSerializer(serializers.Serializer):  # type: ignore[type-arg]  # not subscriptable at run time
    """Names every key that it does not know."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = sorted(set(data) - set(self.fields))
            if unknown:
                known = ", ".join(self.fields)
                detail = ErrorDetail(f"Unknown. Known are: {known}.", code="unknown")
                raise serializers.ValidationError(dict.fromkeys(unknown, detail))
        return super().to_internal_value(data)


class ConnectConfigSerializer(StrictSerializer):
    clientId = serializers.CharField(required=False, allow_blank=True, max_length=500)
    clientSecret = serializers.CharField(required=False, allow_blank=True, max_length=500)
    apiToken = serializers.CharField(required=False, allow_blank=True, max_length=4096)
    environment = serializers.ChoiceField(choices=["production", "sandbox"], required=False)


class ConnectSerializer(StrictSerializer):
    crmType = serializers.CharField()
    config = ConnectConfigSerializer(required=False)


class SyncSerializer(StrictSerializer):
    crmType = serializers.CharField()
    syncType = serializers.ChoiceField(choices=["full", "delta"], default="delta")
    contactId = serializers.UUIDField(required=False, allow_null=True)


class CrmTypeSerializer(StrictSerializer):
    """The query of the reading routes, in the guide's snake_case."""

    crm_type = serializers.CharField()


class StatusQuery(CrmTypeSerializer):
    run = serializers.UUIDField(required=False)


class MappingRowSerializer(StrictSerializer):
    """Keys that a GET adds (id, isCustom, brokenCode, pending) may come back and are not taken from there."""

    id = serializers.CharField(required=False, allow_null=True)
    isCustom = serializers.BooleanField(required=False)
    brokenCode = serializers.CharField(required=False, allow_null=True, allow_blank=True)
    pending = serializers.CharField(required=False, allow_null=True)
    recordType = serializers.CharField(required=False)
    adsappField = serializers.CharField(max_length=200)
    crmField = serializers.CharField(max_length=500)
    direction = serializers.ChoiceField(choices=SyncDirection.choices, default=SyncDirection.BIDIRECTIONAL)
    transformRule = serializers.JSONField(required=False, allow_null=True)
    blankRule = serializers.ChoiceField(choices=BlankHandling.choices, default=BlankHandling.PROPAGATE)
    strategy = serializers.ChoiceField(choices=ConflictStrategy.choices, required=False, allow_null=True)
    drift = serializers.ChoiceField(choices=DriftHandling.choices, required=False, allow_null=True)


class ReachSerializer(StrictSerializer):
    applyTo = serializers.ChoiceField(
        choices=MappingReach.choices,
        required=False,
        help_text=(
            "Which records the change is for: existing ones too, which the next complete run brings into step, or only"
            " what is edited from now on. Without it: existing ones for rows that are added, and only from now on for"
            " rows that are changed."
        ),
    )


class MappingsSerializer(ReachSerializer):
    crmType = serializers.CharField()
    mappings = MappingRowSerializer(many=True, max_length=MOST_MAPPINGS)  # type: ignore[call-arg]  # of the list


def reach_of(asked: Mapping[str, Any]) -> AppliesTo | None:
    return AppliesTo(asked["applyTo"]) if "applyTo" in asked else None


def wanted_mapping(row: Mapping[str, Any], default_record_type: str) -> WantedMapping:
    return WantedMapping(
        record_type=row.get("recordType") or default_record_type,
        app_field=row["adsappField"],
        remote_field=row["crmField"],
        direction=row["direction"],
        transform_rule=row.get("transformRule"),
        blank_rule=row["blankRule"],
        strategy=row.get("strategy"),
        drift=row.get("drift"),
    )
