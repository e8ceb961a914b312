"""The record types of the account: what each holds, which of it can be written, by which scope.

Source: Pipedrive's API reference, https://developers.pipedrive.com/docs/api/v1 (persons, organizations, deals,
activities; version 2) and the migration guide, https://pipedrive.readme.io/docs/pipedrive-api-v2-migration-guide
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Entity:
    """``defaults`` are all values of v2 in their order, without ``id``, times, ``is_deleted`` and custom fields.

    ``writable`` is field -> kind of value (see ``bodies``); ``filters`` are query parameters of the list that must
    equal a value.
    """

    key: str
    plural: str
    label: str
    scope: str
    defaults: Mapping[str, Any]
    writable: Mapping[str, str]
    name: str
    filters: tuple[str, ...] = ("owner_id",)
    sorts: tuple[str, ...] = ("id", "update_time", "add_time")
    fields_path: str | None = None
    include: tuple[str, ...] = ()
    contact_sync: Mapping[str, str] | None = None

    @property
    def has_custom_fields(self) -> bool:
        return self.fields_path is not None and self.key != "activity"


_COUNTS: Final = ("activities_count", "done_activities_count", "undone_activities_count", "files_count", "notes_count")
_MAIL: Final = ("followers_count", "email_messages_count", "last_incoming_mail_time", "last_outgoing_mail_time")

PERSON: Final = Entity(
    key="person",
    plural="persons",
    label="Person",
    scope="contacts",
    name="name",
    fields_path="personFields",
    defaults={
        "name": "",
        "first_name": None,
        "last_name": None,
        "owner_id": None,
        "org_id": None,
        "emails": [],
        "phones": [],
        "visible_to": 3,
        "label_ids": [],
        "picture_id": None,
    },
    writable={
        "name": "text",
        "first_name": "name_part",
        "last_name": "name_part",
        "owner_id": "user",
        "org_id": "organization?",
        "emails": "contacts",
        "phones": "contacts",
        "visible_to": "visibility",
        "label_ids": "labels",
        "add_time": "stamp",
    },
    contact_sync={
        "postal_address": "address?",
        "notes": "text10000?",
        "im": "contacts",
        "birthday": "date?",
        "job_title": "text?",
    },
    filters=("owner_id", "org_id"),
    include=(
        "next_activity_id",
        "last_activity_id",
        "open_deals_count",
        "related_open_deals_count",
        "closed_deals_count",
        "related_closed_deals_count",
        "participant_open_deals_count",
        "participant_closed_deals_count",
        "email_messages_count",
        "activities_count",
        "done_activities_count",
        "undone_activities_count",
        "files_count",
        "notes_count",
        "followers_count",
        "won_deals_count",
        "related_won_deals_count",
        "lost_deals_count",
        "related_lost_deals_count",
        "last_incoming_mail_time",
        "last_outgoing_mail_time",
        "smart_bcc_email",
    ),
)
ORGANIZATION: Final = Entity(
    key="organization",
    plural="organizations",
    label="Organization",
    scope="contacts",
    name="name",
    fields_path="organizationFields",
    defaults={
        "name": "",
        "owner_id": None,
        "visible_to": 3,
        "address": None,
        "label_ids": [],
        "website": None,
        "linkedin": None,
        "industry": None,
        "annual_revenue": None,
        "employee_count": None,
    },
    writable={
        "name": "text",
        "owner_id": "user",
        "visible_to": "visibility",
        "label_ids": "labels",
        "address": "address?",
        "website": "text?",
        "linkedin": "text?",
        "industry": "int?",
        "annual_revenue": "int?",
        "employee_count": "int?",
        "add_time": "stamp",
    },
    include=(
        "next_activity_id",
        "last_activity_id",
        "open_deals_count",
        "people_count",
        "closed_deals_count",
        *_COUNTS,
    ),
)
DEAL: Final = Entity(
    key="deal",
    plural="deals",
    label="Deal",
    scope="deals",
    name="title",
    fields_path="dealFields",
    defaults={
        "title": "",
        "owner_id": None,
        "person_id": None,
        "org_id": None,
        "pipeline_id": 1,
        "stage_id": 1,
        "value": 0,
        "currency": "EUR",
        "stage_change_time": None,
        "is_archived": False,
        "status": "open",
        "probability": None,
        "lost_reason": None,
        "visible_to": 3,
        "close_time": None,
        "won_time": None,
        "lost_time": None,
        "expected_close_date": None,
        "label_ids": [],
        "origin": "API",
        "origin_id": None,
        "channel": None,
        "channel_id": None,
    },
    writable={
        "title": "text",
        "owner_id": "user",
        "person_id": "person?",
        "org_id": "organization?",
        "pipeline_id": "int",
        "stage_id": "int",
        "value": "number?",
        "currency": "text",
        "status": "one:open,won,lost",
        "probability": "number?",
        "lost_reason": "text?",
        "visible_to": "visibility",
        "is_archived": "bool",
        "expected_close_date": "date?",
        "label_ids": "labels",
        "add_time": "stamp",
    },
    filters=("owner_id", "person_id", "org_id", "pipeline_id", "stage_id"),
    include=("next_activity_id", "last_activity_id", "products_count", *_COUNTS, *_MAIL),
)
ACTIVITY: Final = Entity(
    key="activity",
    plural="activities",
    label="Activity",
    scope="activities",
    name="subject",
    fields_path="activityFields",
    defaults={
        "subject": "Call",
        "type": "call",
        "owner_id": None,
        "creator_user_id": None,
        "deal_id": None,
        "lead_id": None,
        "person_id": None,
        "org_id": None,
        "project_id": None,
        "due_date": None,
        "due_time": None,
        "duration": None,
        "busy": False,
        "done": False,
        "marked_as_done_time": None,
        "location": None,
        "participants": [],
        "conference_meeting_client": None,
        "conference_meeting_url": None,
        "conference_meeting_id": None,
        "public_description": None,
        "priority": None,
        "note": None,
    },
    writable={
        "subject": "text",
        "type": "activity_type",
        "owner_id": "user",
        "deal_id": "deal?",
        "lead_id": "text?",
        "org_id": "organization?",
        "due_date": "date?",
        "due_time": "time?",
        "duration": "time?",
        "busy": "bool",
        "done": "bool",
        "location": "address?",
        "participants": "participants",
        "public_description": "text?",
        "priority": "int?",
        "note": "text?",
    },
    filters=("owner_id", "deal_id", "lead_id", "person_id", "org_id"),
    sorts=("id", "update_time", "add_time", "due_date"),
    include=("attendees",),
)
NOTE: Final = Entity(
    key="note",
    plural="notes",
    label="Note",
    scope="contacts",
    name="content",
    defaults={
        "content": "",
        "user_id": None,
        "person_id": None,
        "org_id": None,
        "deal_id": None,
        "lead_id": None,
        "pinned_to_person_flag": False,
        "pinned_to_organization_flag": False,
        "pinned_to_deal_flag": False,
        "last_update_user_id": None,
    },
    writable={},
)

ENTITIES: Final = {entity.key: entity for entity in (PERSON, ORGANIZATION, DEAL, ACTIVITY, NOTE)}
ON_V2: Final = (PERSON, ORGANIZATION, DEAL, ACTIVITY)
ACTIVITY_TYPES: Final = ("call", "meeting", "task", "deadline", "email", "lunch")


def by_plural(plural: str) -> Entity | None:
    return next((entity for entity in ENTITIES.values() if entity.plural == plural), None)
