"""Contacts, as the API takes and tells them. Every field is named: a new column is in no answer by itself."""

# ruff: noqa: N815  JSON keys are camelCase
from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from adsapp_crm.api.paging import PageQuery
from adsapp_crm.api.serializers import StrictSerializer
from adsapp_crm.models import Contact, ContactChange
from adsapp_crm.models.contact import LIFE_ATTRIBUTES
from adsapp_crm.services.contact_import import ImportReport
from adsapp_crm.services.contact_search import STATES
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.services.sensitive import SENSITIVE, is_sensitive
from crm.mapping.app_fields import APP_FIELDS, CUSTOM_PREFIX

MOST_REFUSED_ROWS: Final = 1_000
_NAMES = {field.attribute: name for name, field in APP_FIELDS.items()}
_LIFE = dict(zip(LIFE_ATTRIBUTES, ("deletedAt", "mergedInto", "erasedAt"), strict=True))


class _Text(serializers.CharField):
    """Text as it came: what it means is the service's to judge."""

    def __init__(self, **named: Any) -> None:
        super().__init__(required=False, allow_null=True, allow_blank=True, trim_whitespace=False, **named)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class ContactBodySerializer(StrictSerializer):
    """A field that is left out keeps its value; null clears it."""

    firstName = _Text()
    lastName = _Text()
    email = _Text()
    phone = _Text()
    whatsappNumber = _Text()
    company = _Text()
    jobTitle = _Text()
    street = _Text()
    city = _Text()
    region = _Text()
    postalCode = _Text()
    country = _Text()
    language = _Text()
    birthday = _Text(help_text="YYYY-MM-DD")
    notes = _Text()
    tags = serializers.ListField(child=serializers.CharField(max_length=255), required=False, allow_null=True)
    emailOptOut = serializers.BooleanField(required=False)
    whatsappOptOut = serializers.BooleanField(required=False)
    owner = _Text(help_text="E-mail address of whose contact it is.")
    customFields = serializers.DictField(
        child=serializers.JSONField(allow_null=True), required=False, help_text="By key; null removes one."
    )


def contact_values(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body in the words of ``read_contact_values``."""
    values = {name: value for name, value in body.items() if name != "customFields"}
    return values | {f"{CUSTOM_PREFIX}{key}": value for key, value in body.get("customFields", {}).items()}


@contextmanager
def pointing_into_body() -> Iterator[None]:
    """Refusals of custom fields, which services know as ``custom.<key>``, point to where the body has them."""
    try:
        yield
    except RefusedError as error:
        raise RefusedError(
            replace(each, field=f"/customFields{replace(each, field=each.field.removeprefix(CUSTOM_PREFIX)).pointer}")
            if each.field.startswith(CUSTOM_PREFIX)
            else each
            for each in error.refusals
        ) from error


class ContactSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    version = serializers.IntegerField()
    state = serializers.ChoiceField(choices=STATES)
    firstName = serializers.CharField(source="first_name")
    lastName = serializers.CharField(source="last_name")
    email = serializers.CharField()
    phone = serializers.CharField()
    whatsappNumber = serializers.CharField(source="whatsapp_number", required=False)
    company = serializers.CharField()
    jobTitle = serializers.CharField(source="job_title")
    street = serializers.CharField(required=False)
    city = serializers.CharField()
    region = serializers.CharField()
    postalCode = serializers.CharField(source="postal_code", required=False)
    country = serializers.CharField()
    language = serializers.CharField()
    birthday = serializers.DateField(required=False, allow_null=True)
    notes = serializers.CharField(required=False)
    tags = serializers.ListField(child=serializers.CharField())
    emailOptOut = serializers.BooleanField(source="email_opt_out")
    whatsappOptOut = serializers.BooleanField(source="whatsapp_opt_out")
    owner = serializers.CharField()
    customFields = serializers.DictField(source="custom_fields", required=False)
    mergedInto = serializers.UUIDField(source="merged_into_id", allow_null=True)
    createdAt = serializers.DateTimeField(source="created_at")
    updatedAt = serializers.DateTimeField(source="updated_at")
    deletedAt = serializers.DateTimeField(source="deleted_at", allow_null=True)

    def to_representation(self, instance: Contact) -> dict[str, Any]:
        told = super().to_representation(instance)
        if self.context.get("hides"):
            for name in (*SENSITIVE, "customFields"):
                told.pop(name, None)
        return told


class ContactQuery(PageQuery):
    search = serializers.CharField(required=False, max_length=200, help_text="How a name, address or number begins.")
    name = serializers.CharField(required=False, max_length=200, help_text="How the first or last name begins.")
    email = serializers.CharField(required=False, max_length=254, help_text="How the address begins.")
    phone = serializers.CharField(
        required=False, max_length=40, help_text="A number, or how one begins, with its country code."
    )
    tag = serializers.CharField(required=False, max_length=255)
    state = serializers.ChoiceField(choices=STATES, default="live")
    updatedSince = serializers.DateTimeField(required=False)
    updatedBefore = serializers.DateTimeField(required=False)


class ExportQuery(StrictSerializer):
    search = serializers.CharField(required=False, max_length=200)
    name = serializers.CharField(required=False, max_length=200)
    email = serializers.CharField(required=False, max_length=254)
    phone = serializers.CharField(required=False, max_length=40)
    tag = serializers.CharField(required=False, max_length=255)
    updatedSince = serializers.DateTimeField(required=False)
    updatedBefore = serializers.DateTimeField(required=False)


class MergeSerializer(StrictSerializer):
    otherId = serializers.UUIDField(help_text="The contact that becomes a pointer to this one.")


class RowProblemSerializer(serializers.Serializer):  # type: ignore[type-arg]
    field = serializers.CharField(allow_blank=True)
    code = serializers.CharField()
    detail = serializers.CharField(source="message")
    fix = serializers.CharField(allow_blank=True)


class RefusedRowSerializer(serializers.Serializer):  # type: ignore[type-arg]
    line = serializers.IntegerField(help_text="Where the row ends, counted from 1 with the header.")
    errors = RowProblemSerializer(source="refusals", many=True)  # type: ignore[assignment]


class ImportReportSerializer(serializers.Serializer):  # type: ignore[type-arg]
    rows = serializers.IntegerField()
    created = serializers.IntegerField()
    refused = serializers.SerializerMethodField()
    refusedRows = serializers.SerializerMethodField(help_text=f"The first {MOST_REFUSED_ROWS} of them.")

    def get_refused(self, report: ImportReport) -> int:
        return len(report.refused)

    @extend_schema_field(RefusedRowSerializer(many=True))
    def get_refusedRows(self, report: ImportReport) -> Any:  # noqa: N802  the JSON key
        return RefusedRowSerializer(report.refused[:MOST_REFUSED_ROWS], many=True).data


class ErasureSerializer(serializers.Serializer):  # type: ignore[type-arg]
    contactIds = serializers.ListField(child=serializers.UUIDField(), source="contact_ids")
    historyRows = serializers.IntegerField(source="history_rows")
    deletionsPlanned = serializers.IntegerField(
        source="deletions_planned", help_text="Records that the next run deletes or archives in their CRM."
    )
    tasks = serializers.IntegerField(help_text="Records that a person has to delete in their CRM.")


class FieldChangeSerializer(serializers.Serializer):  # type: ignore[type-arg]
    field = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class ContactChangeSerializer(serializers.Serializer):  # type: ignore[type-arg]
    version = serializers.IntegerField()
    at = serializers.DateTimeField()
    who = serializers.CharField()
    origin = serializers.CharField()
    changes = serializers.SerializerMethodField()

    def get_changes(self, change: ContactChange) -> list[dict[str, Any]]:
        told = []
        for attribute, (before, after) in sorted(change.changes.items()):
            name = _NAMES.get(attribute) or _LIFE.get(attribute) or attribute
            if not (self.context.get("hides") and is_sensitive(name)):
                told.append({"field": name, "before": before, "after": after})
        return told
