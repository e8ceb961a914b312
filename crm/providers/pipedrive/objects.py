"""The record types that are read and written, and what each one's API offers: one grammar, no module an object.

https://developers.pipedrive.com/docs/api/v1 (persons, organizations, deals, activities: version 2; notes: version 1;
checked 2026-09).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from crm.errors import ConfigurationError
from crm.mapping.kinds import Kind

PERSONS: Final = "persons"
ORGANIZATIONS: Final = "organizations"
NOTES: Final = "notes"


@dataclass(frozen=True, slots=True)
class RecordType:
    """``standard``: code -> kind of the fields whose kind is the same in every account; ``writable``: those of them
    that can be sent. ``fields`` is the resource that lists definitions, ``""`` where ``standard`` is the whole list.
    """

    key: str
    singular: str
    fields: str
    standard: Mapping[str, Kind]
    writable: frozenset[str]
    required: frozenset[str] = frozenset()
    has_custom_fields: bool = True
    only_v1: bool = False


_STAMPS: Final[Mapping[str, Kind]] = {"add_time": Kind.DATETIME, "update_time": Kind.DATETIME}
_SHARED: Final[Mapping[str, Kind]] = {
    "owner_id": Kind.REFERENCE,
    "visible_to": Kind.CHOICE,
    "label_ids": Kind.TAGS,
    **_STAMPS,
}

TYPES: Final[Mapping[str, RecordType]] = {
    each.key: each
    for each in (
        RecordType(
            key=PERSONS,
            singular="person",
            fields="personFields",
            standard={
                "name": Kind.NAME,
                "first_name": Kind.NAME,
                "last_name": Kind.NAME,
                "email": Kind.EMAIL,
                "phone": Kind.PHONE,
                "org_id.name": Kind.TEXT,
                "postal_address": Kind.TEXT,
                "notes": Kind.TEXT,
                "birthday": Kind.DATE,
                "job_title": Kind.TEXT,
                "marketing_status": Kind.BOOLEAN,
                "picture_id": Kind.REFERENCE,
                **_SHARED,
            },
            writable=frozenset({
                "name", "first_name", "last_name", "email", "phone", "org_id.name", "postal_address", "notes",
                "birthday", "job_title", "owner_id", "visible_to", "label_ids",
            }),
        ),
        RecordType(
            key=ORGANIZATIONS,
            singular="organization",
            fields="organizationFields",
            standard={
                "name": Kind.NAME,
                "address": Kind.TEXT,
                "website": Kind.URL,
                "linkedin": Kind.URL,
                "industry": Kind.CHOICE,
                "annual_revenue": Kind.NUMBER,
                "employee_count": Kind.NUMBER,
                **_SHARED,
            },
            writable=frozenset({
                "name", "address", "website", "linkedin", "industry", "annual_revenue", "employee_count", "owner_id",
                "visible_to", "label_ids",
            }),
            required=frozenset({"name"}),
        ),
        RecordType(
            key="deals",
            singular="deal",
            fields="dealFields",
            standard={
                "title": Kind.TEXT,
                "value": Kind.NUMBER,
                "currency": Kind.TEXT,
                "person_id": Kind.REFERENCE,
                "org_id": Kind.REFERENCE,
                "pipeline_id": Kind.REFERENCE,
                "stage_id": Kind.REFERENCE,
                "status": Kind.CHOICE,
                "probability": Kind.NUMBER,
                "lost_reason": Kind.TEXT,
                "expected_close_date": Kind.DATE,
                **_SHARED,
            },
            writable=frozenset({
                "title", "value", "currency", "person_id", "org_id", "pipeline_id", "stage_id", "status",
                "probability", "lost_reason", "expected_close_date", "owner_id", "visible_to", "label_ids",
            }),
            required=frozenset({"title"}),
        ),
        RecordType(
            key="activities",
            singular="activity",
            fields="activityFields",
            standard={
                "subject": Kind.TEXT,
                "type": Kind.CHOICE,
                "owner_id": Kind.REFERENCE,
                "person_id": Kind.REFERENCE,
                "org_id": Kind.REFERENCE,
                "deal_id": Kind.REFERENCE,
                "due_date": Kind.DATE,
                "due_time": Kind.TEXT,
                "duration": Kind.TEXT,
                "done": Kind.BOOLEAN,
                "busy": Kind.BOOLEAN,
                "note": Kind.TEXT,
                "public_description": Kind.TEXT,
                **_STAMPS,
            },
            writable=frozenset({
                "subject", "type", "owner_id", "person_id", "org_id", "deal_id", "due_date", "due_time", "duration",
                "done", "busy", "note", "public_description",
            }),
            has_custom_fields=False,
        ),
        RecordType(
            key=NOTES,
            singular="note",
            fields="",
            standard={
                "content": Kind.TEXT,
                "person_id": Kind.REFERENCE,
                "org_id": Kind.REFERENCE,
                "deal_id": Kind.REFERENCE,
                "user_id": Kind.REFERENCE,
                **_STAMPS,
            },
            writable=frozenset({"content", "person_id", "org_id", "deal_id"}),
            required=frozenset({"content"}),
            has_custom_fields=False,
            only_v1=True,
        ),
    )
}  # fmt: skip


LINKS_TO_CONTACT: Final[Mapping[str, str]] = dict.fromkeys(("deals", "activities", NOTES), "person_id")
"""An organization is named by its persons (``org_id.name``), not the other way about."""


def record_type(key: str) -> RecordType:
    """Raises ConfigurationError for a type that Pipedrive, or this connector, does not have."""
    found = TYPES.get(key)
    if found is None:
        raise ConfigurationError(f"Pipedrive has no such record type. Choose one of: {', '.join(TYPES)}.")
    return found
