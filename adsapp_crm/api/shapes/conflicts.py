"""Questions that only a person can answer, and answers."""

# ruff: noqa: N815  JSON keys are camelCase
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rest_framework import serializers

from adsapp_crm.api.paging import PageQuery
from adsapp_crm.api.serializers import StrictSerializer
from adsapp_crm.api.shapes.effects import shape_value
from adsapp_crm.models import CrmConflict
from adsapp_crm.models.choices import QuestionKind, QuestionStatus
from adsapp_crm.services.conflicts import candidates_of
from adsapp_crm.services.sensitive import is_sensitive
from crm.model import Side, Value
from crm.normalize import sanitize_text

MOST_AT_ONCE: Final = 200
_SIDES = [each.value for each in Side]


class ConflictQuery(PageQuery):
    connectionId = serializers.UUIDField(required=False)
    contactId = serializers.UUIDField(required=False)
    kind = serializers.ChoiceField(choices=QuestionKind.choices, required=False)
    status = serializers.ChoiceField(choices=QuestionStatus.choices, required=False)
    field = serializers.CharField(required=False, max_length=200)


class ConflictSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    connectionId = serializers.UUIDField(source="connection_id")
    kind = serializers.ChoiceField(choices=QuestionKind.choices)
    status = serializers.ChoiceField(choices=QuestionStatus.choices)
    code = serializers.CharField()
    contactId = serializers.UUIDField(source="contact_id", allow_null=True)
    linkId = serializers.UUIDField(source="link_id", allow_null=True)
    recordType = serializers.CharField(source="record_type")
    recordId = serializers.CharField(source="remote_id")
    field = serializers.CharField(source="app_field", help_text="Empty: the question is about the whole record.")
    values = serializers.SerializerMethodField(help_text="app, crm, and baseApp and baseCrm: what both agreed on last.")
    agreed = serializers.SerializerMethodField(
        help_text="Whether the sides ever agreed on the field; if not, baseApp and baseCrm are null and no blanks."
    )
    changed = serializers.JSONField(source="intervals", help_text="When each side changed: after earliest, by latest.")
    candidateContacts = serializers.SerializerMethodField()
    candidateRecords = serializers.SerializerMethodField()
    remembered = serializers.BooleanField()
    openedAt = serializers.DateTimeField(source="opened_at")
    answeredAt = serializers.DateTimeField(source="answered_at", allow_null=True)
    answeredBy = serializers.CharField(source="answered_by")
    closedAt = serializers.DateTimeField(source="closed_at", allow_null=True)
    closedReason = serializers.CharField(source="closed_reason")

    def get_values(self, conflict: CrmConflict) -> dict[str, Any]:
        if self.context.get("hides") and is_sensitive(conflict.app_field):
            return {}
        never = {} if self.get_agreed(conflict) else {"baseApp": None, "baseCrm": None}
        return {**never, **{key: shape_value(value) for key, value in conflict.values.items()}}

    def get_agreed(self, conflict: CrmConflict) -> bool:
        return conflict.kind != QuestionKind.FIELD or "baseApp" in conflict.values

    def get_candidateContacts(self, conflict: CrmConflict) -> list[str]:  # noqa: N802  the JSON key
        return list(candidates_of(conflict).contacts)

    def get_candidateRecords(self, conflict: CrmConflict) -> list[str]:  # noqa: N802
        return list(candidates_of(conflict).records)


class AnswerSerializer(StrictSerializer):
    """Either a side or a value."""

    side = serializers.ChoiceField(choices=_SIDES, required=False, help_text="Whose value stays.")
    value = serializers.JSONField(required=False, allow_null=True, help_text="What both sides shall hold; null: blank.")
    remember = serializers.BooleanField(default=False, help_text="The side wins from now on in this field's mapping.")

    def validate_value(self, value: Any) -> Value:
        words = value if isinstance(value, list) else [value]
        if not all(word is None or isinstance(word, str | bool | int | float) for word in words):
            raise serializers.ValidationError("A value is text, a number, true or false, null, or a list of texts.")
        if isinstance(value, list):
            return tuple(sanitize_text(str(word))[0] for word in value)
        return sanitize_text(value)[0] if isinstance(value, str) else value

    def validate(self, attrs: Mapping[str, Any]) -> Mapping[str, Any]:
        if ("side" in attrs) == ("value" in attrs):
            raise serializers.ValidationError({"side": "Give either side or value."})
        return attrs


class BulkAnswerSerializer(StrictSerializer):
    conflictIds = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=MOST_AT_ONCE)
    side = serializers.ChoiceField(choices=_SIDES)


class BulkAnswerResultSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    code = serializers.CharField(help_text="Why it was not answered; empty when it was.")


class BulkAnswersSerializer(serializers.Serializer):  # type: ignore[type-arg]
    answered = serializers.IntegerField()
    results = BulkAnswerResultSerializer(many=True)


class PairSerializer(StrictSerializer):
    contactId = serializers.UUIDField()
    recordId = serializers.CharField(max_length=200, help_text="The record's id in the CRM.")


class LinkedPairSerializer(serializers.Serializer):  # type: ignore[type-arg]
    linkId = serializers.UUIDField(source="pk")
    contactId = serializers.UUIDField(source="contact_id")
    recordType = serializers.CharField(source="crm_record_type")
    recordId = serializers.CharField(source="crm_record_id")
