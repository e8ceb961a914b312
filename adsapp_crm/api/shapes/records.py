"""Each contact at each CRM: its state, and why."""

# ruff: noqa: N815  JSON keys are camelCase
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rest_framework import serializers

from adsapp_crm.api.paging import PageQuery
from adsapp_crm.api.serializers import StrictSerializer
from adsapp_crm.api.shapes.effects import shape_value
from adsapp_crm.services.explain import FieldStand
from adsapp_crm.services.records import WORDS
from adsapp_crm.services.round_trip import Outcome
from adsapp_crm.services.sensitive import is_sensitive

MOST_AT_ONCE: Final = 1000


class RecordQuery(PageQuery):
    connectionId = serializers.UUIDField(required=False)
    contactId = serializers.UUIDField(required=False)
    state = serializers.ChoiceField(choices=WORDS, required=False)
    code = serializers.CharField(required=False, max_length=100, help_text="A reason, as the counts name them.")


class RecordSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    connectionId = serializers.UUIDField(source="connection_id")
    contactId = serializers.UUIDField(source="contact_id")
    recordType = serializers.CharField(source="crm_record_type")
    recordId = serializers.CharField(source="crm_record_id", allow_null=True)
    state = serializers.ChoiceField(source="word", choices=WORDS)
    code = serializers.CharField(source="why", help_text="Why; empty where it is in sync or only waits its turn.")
    attempts = serializers.IntegerField()
    nextAttemptAt = serializers.DateTimeField(source="next_attempt_at", allow_null=True)
    lastSyncedAt = serializers.DateTimeField(source="last_synced_at", allow_null=True)
    excludedBy = serializers.CharField(source="excluded_by")


class WantedRoundTripSerializer(StrictSerializer):
    connectionId = serializers.UUIDField()


class TriedFieldSerializer(serializers.Serializer):  # type: ignore[type-arg]
    adsappField = serializers.CharField(source="app_field")
    crmField = serializers.CharField(source="remote_field")
    outcome = serializers.ChoiceField(choices=[each.value for each in Outcome])
    code = serializers.CharField(help_text="Why it was refused; else empty.")


class RoundTripSerializer(serializers.Serializer):  # type: ignore[type-arg]
    recordType = serializers.CharField(source="record_type")
    ok = serializers.BooleanField(source="is_fine", help_text="Every field came back as it went.")
    code = serializers.CharField(help_text="Why the test record could not be made or read; else empty.")
    leftOver = serializers.CharField(source="left_over", help_text="Id of a test record that could not be deleted.")
    tried = TriedFieldSerializer(many=True, source="fields")


class CountQuery(StrictSerializer):
    connectionId = serializers.UUIDField()


class WordCountsSerializer(serializers.Serializer):  # type: ignore[type-arg]
    in_sync = serializers.IntegerField()
    pending = serializers.IntegerField()
    excluded = serializers.IntegerField()
    failing = serializers.IntegerField()
    conflict = serializers.IntegerField()


class ReasonCountSerializer(serializers.Serializer):  # type: ignore[type-arg]
    state = serializers.ChoiceField(choices=WORDS)
    code = serializers.CharField()
    records = serializers.IntegerField()


class RecordCountsSerializer(serializers.Serializer):  # type: ignore[type-arg]
    total = serializers.IntegerField(help_text="The sum of the five counts.")
    counts = WordCountsSerializer()
    reasons = ReasonCountSerializer(many=True)
    contactsWithoutRecord = serializers.IntegerField(source="contacts_without_record")
    recordsWithoutContact = serializers.IntegerField(source="records_without_contact")


class ChosenRecordsSerializer(StrictSerializer):
    """Records of one connection: by id, or all with one reason."""

    connectionId = serializers.UUIDField()
    recordIds = serializers.ListField(
        child=serializers.UUIDField(), min_length=1, max_length=MOST_AT_ONCE, required=False
    )
    code = serializers.CharField(required=False, max_length=100)

    def validate(self, attrs: Mapping[str, Any]) -> Mapping[str, Any]:
        if ("recordIds" in attrs) == ("code" in attrs):
            raise serializers.ValidationError({"recordIds": "Give either recordIds or code."})
        return attrs


class RecordsDoneSerializer(serializers.Serializer):  # type: ignore[type-arg]
    records = serializers.IntegerField(help_text="How many were changed.")


class FieldStandSerializer(serializers.Serializer):  # type: ignore[type-arg]
    field = serializers.CharField(source="app_field")
    crmField = serializers.CharField(source="remote_field")
    direction = serializers.CharField()
    state = serializers.CharField()
    code = serializers.CharField()
    appValue = serializers.SerializerMethodField()
    crmValue = serializers.SerializerMethodField()
    agreedAppValue = serializers.SerializerMethodField()
    agreedCrmValue = serializers.SerializerMethodField()
    agreed = serializers.BooleanField(source="has_base", help_text="Whether both sides ever agreed on it.")

    def _told(self, stand: FieldStand, value: Any) -> Any:
        return None if self.context.get("hides") and is_sensitive(stand.app_field) else shape_value(value)

    def get_appValue(self, stand: FieldStand) -> Any:  # noqa: N802  the JSON key
        return self._told(stand, stand.app_value)

    def get_crmValue(self, stand: FieldStand) -> Any:  # noqa: N802
        return self._told(stand, stand.crm_value)

    def get_agreedAppValue(self, stand: FieldStand) -> Any:  # noqa: N802
        return self._told(stand, stand.base_app)

    def get_agreedCrmValue(self, stand: FieldStand) -> Any:  # noqa: N802
        return self._told(stand, stand.base_crm)


class StandSerializer(serializers.Serializer):  # type: ignore[type-arg]
    connectionId = serializers.UUIDField(source="connection_id")
    crmType = serializers.CharField(source="crm_type")
    account = serializers.CharField()
    state = serializers.SerializerMethodField()
    code = serializers.CharField()
    linkId = serializers.UUIDField(source="link_id", allow_null=True)
    recordType = serializers.CharField(source="record_type")
    recordId = serializers.CharField(source="remote_id")
    attempts = serializers.IntegerField()
    nextAttemptAt = serializers.DateTimeField(source="next_attempt_at", allow_null=True)
    lastSyncedAt = serializers.DateTimeField(source="last_synced_at", allow_null=True)
    conflictIds = serializers.ListField(child=serializers.UUIDField(), source="conflict_ids")
    fieldStates = FieldStandSerializer(many=True, source="fields")

    def get_state(self, stand: Any) -> str:
        return str(stand.state).replace(" ", "_")


class StandsSerializer(serializers.Serializer):  # type: ignore[type-arg]
    contactId = serializers.UUIDField()
    records = StandSerializer(many=True)
