"""Mappings before they are saved, and as they were saved before."""

# ruff: noqa: N815  JSON keys are camelCase
from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from adsapp_crm.api.paging import PageQuery
from adsapp_crm.api.serializers import MOST_MAPPINGS, MappingRowSerializer, StrictSerializer
from adsapp_crm.api.shapes.effects import shape_value
from adsapp_crm.models.choices import MappingReach
from adsapp_crm.services.mapping_preview import TRIED, Made, Tried
from crm.mapping.lint import Severity

EXAMPLE: Final = {"recordType": "contacts", "adsappField": "firstName", "crmField": "firstname"}


class StoredMappingSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    recordType = serializers.CharField()
    adsappField = serializers.CharField()
    crmField = serializers.CharField()
    direction = serializers.CharField()
    transformRule = serializers.JSONField(allow_null=True)
    isCustom = serializers.BooleanField()
    blankRule = serializers.CharField()
    strategy = serializers.CharField(allow_null=True)
    drift = serializers.CharField(allow_null=True)
    brokenCode = serializers.CharField(allow_null=True)
    pending = serializers.ChoiceField(
        choices=MappingReach.choices,
        allow_null=True,
        required=False,
        help_text="What was answered at a change that waits for the next complete run; null when none waits.",
    )


class MappingSetSerializer(serializers.Serializer):  # type: ignore[type-arg]
    crmType = serializers.CharField()
    connectionId = serializers.UUIDField()
    version = serializers.IntegerField()
    mappings = StoredMappingSerializer(many=True)


class VersionQuery(PageQuery):
    pass


class VersionSerializer(serializers.Serializer):  # type: ignore[type-arg]
    version = serializers.IntegerField()
    savedAt = serializers.DateTimeField(source="created_at")
    savedBy = serializers.CharField(source="actor")
    comment = serializers.CharField()


class WholeVersionSerializer(VersionSerializer):
    mappings = StoredMappingSerializer(many=True)


class WantedMappingsSerializer(StrictSerializer):
    mappings = MappingRowSerializer(many=True, max_length=MOST_MAPPINGS)  # type: ignore[call-arg]  # of the list


class FindingSerializer(serializers.Serializer):  # type: ignore[type-arg]
    code = serializers.CharField()
    severity = serializers.ChoiceField(choices=[each.value for each in Severity])
    pointer = serializers.CharField(help_text="JSON pointer into the body.")
    message = serializers.CharField()
    fix = serializers.CharField()
    example = serializers.CharField(help_text="A value of a contact that shows it.")


class AskedSerializer(serializers.Serializer):  # type: ignore[type-arg]
    adsappFields = serializers.ListField(child=serializers.CharField(), source="fields")
    records = serializers.IntegerField(help_text="Linked records of the record types concerned.")


class FindingsSerializer(serializers.Serializer):  # type: ignore[type-arg]
    items = FindingSerializer(many=True)
    asks = AskedSerializer(
        allow_null=True,
        help_text="Saving these asks for applyTo: which fields are added or changed, and how many records are linked.",
    )


class PreviewRequestSerializer(StrictSerializer):
    mapping = MappingRowSerializer()
    contactIds = serializers.ListField(
        child=serializers.UUIDField(),
        max_length=TRIED,
        required=False,
        help_text="Linked contacts to try; without it some whose values tell something.",
    )


class MadeSerializer(serializers.Serializer):  # type: ignore[type-arg]
    value = serializers.JSONField(allow_null=True)
    trouble = serializers.CharField(help_text="Why nothing can be made of it; empty when it can.")


class TriedSerializer(serializers.Serializer):  # type: ignore[type-arg]
    contactId = serializers.UUIDField(source="contact_id")
    appValue = serializers.SerializerMethodField()
    crmValue = serializers.SerializerMethodField()
    sent = serializers.SerializerMethodField(help_text="What the CRM would get.")
    taken = serializers.SerializerMethodField(help_text="What ADSapp would get.")

    def get_appValue(self, tried: Tried) -> Any:  # noqa: N802  the JSON key
        return shape_value(tried.app)

    def get_crmValue(self, tried: Tried) -> Any:  # noqa: N802
        return shape_value(tried.crm)

    @extend_schema_field(MadeSerializer)
    def get_sent(self, tried: Tried) -> dict[str, Any]:
        return _made(tried.sent)

    @extend_schema_field(MadeSerializer)
    def get_taken(self, tried: Tried) -> dict[str, Any]:
        return _made(tried.taken)


def _made(made: Made) -> dict[str, Any]:
    return {"value": shape_value(made.value), "trouble": made.trouble}


class PreviewSerializer(serializers.Serializer):  # type: ignore[type-arg]
    findings = FindingSerializer(many=True)
    pushes = serializers.BooleanField()
    pulls = serializers.BooleanField()
    tried = TriedSerializer(many=True)
