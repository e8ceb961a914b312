"""Field definitions: the built-in ones, and custom ones with a hash as code and numbered options.

Pages: https://pipedrive.readme.io/docs/core-api-concepts-custom-fields and the API reference (personFields).
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from crm.providers.pipedrive.fake.answers import Json
from crm.providers.pipedrive.fake.entities import ACTIVITY, DEAL, ORGANIZATION, PERSON, Entity

CREATABLE: Final = (
    "varchar",
    "text",
    "double",
    "phone",
    "date",
    "daterange",
    "time",
    "timerange",
    "set",
    "enum",
    "varchar_auto",
    "address",
    "monetary",
    "org",
    "people",
    "user",
)
"""There is no boolean, url or list of e-mails among them."""
ADDRESS_PARTS: Final = (
    "street_number",
    "route",
    "subpremise",
    "sublocality",
    "locality",
    "admin_area_level_1",
    "admin_area_level_2",
    "country",
    "postal_code",
)
_SUBFIELDS: Final = {
    "monetary": [("currency", "Currency", "varchar")],
    "daterange": [("until", "End date", "date")],
    "timerange": [("until", "End time", "time"), ("timezone_id", "Timezone", "double")],
    "time": [("timezone_id", "Timezone", "double")],
    "address": [(part, part.replace("_", " ").capitalize(), "varchar") for part in ADDRESS_PARTS]
    + [("formatted_address", "Full address", "varchar")],
}

_BUILT_IN: Final[dict[str, list[tuple[str, str, str]]]] = {
    PERSON.key: [
        ("id", "ID", "int"),
        ("name", "Name", "varchar"),
        ("first_name", "First name", "varchar"),
        ("last_name", "Last name", "varchar"),
        ("label_ids", "Labels", "set"),
        ("phone", "Phone", "phone"),
        ("email", "Email", "varchar"),
        ("add_time", "Person created", "date"),
        ("update_time", "Update time", "date"),
        ("org_id", "Organization", "org"),
        ("owner_id", "Owner", "user"),
        ("visible_to", "Visible to", "visible_to"),
        ("picture_id", "Profile picture", "picture"),
    ],
    ORGANIZATION.key: [
        ("id", "ID", "int"),
        ("name", "Name", "varchar"),
        ("label_ids", "Labels", "set"),
        ("address", "Address", "address"),
        ("website", "Website", "varchar"),
        ("linkedin", "LinkedIn profile", "varchar"),
        ("industry", "Industry", "enum"),
        ("annual_revenue", "Annual revenue", "double"),
        ("employee_count", "Number of employees", "int"),
        ("add_time", "Organization created", "date"),
        ("update_time", "Update time", "date"),
        ("owner_id", "Owner", "user"),
        ("visible_to", "Visible to", "visible_to"),
    ],
    DEAL.key: [
        ("id", "ID", "int"),
        ("title", "Title", "varchar"),
        ("value", "Value", "monetary"),
        ("currency", "Currency", "varchar"),
        ("label_ids", "Labels", "set"),
        ("person_id", "Contact person", "people"),
        ("org_id", "Organization", "org"),
        ("owner_id", "Owner", "user"),
        ("status", "Status", "status"),
        ("pipeline_id", "Pipeline", "double"),
        ("stage_id", "Stage", "stage"),
        ("probability", "Probability", "int"),
        ("lost_reason", "Lost reason", "varchar_options"),
        ("expected_close_date", "Expected close date", "date"),
        ("add_time", "Deal created", "date"),
        ("update_time", "Update time", "date"),
        ("visible_to", "Visible to", "visible_to"),
    ],
    ACTIVITY.key: [
        ("id", "ID", "int"),
        ("subject", "Subject", "varchar"),
        ("type", "Type", "enum"),
        ("owner_id", "Assigned to user", "user"),
        ("due_date", "Due date", "date"),
        ("due_time", "Due time", "time"),
        ("duration", "Duration", "time"),
        ("done", "Done", "boolean"),
        ("note", "Note", "text"),
        ("add_time", "Add time", "date"),
        ("update_time", "Update time", "date"),
    ],
}
_CONTACT_SYNC: Final = [
    ("im", "Instant messenger", "varchar"),
    ("postal_address", "Postal address", "address"),
    ("notes", "Notes", "text"),
    ("birthday", "Birthday", "date"),
    ("job_title", "Job title", "varchar"),
]
_LABELS: Final = {
    PERSON.key: [("Customer", "green"), ("Hot lead", "red"), ("Warm lead", "yellow"), ("Cold lead", "blue")],
    ORGANIZATION.key: [("Customer", "green"), ("Partner", "blue")],
    DEAL.key: [("Urgent", "red")],
}
_INDUSTRIES: Final = ("Agriculture", "Construction", "Education", "Software")


@dataclass(slots=True)
class FieldDefinition:
    """``number`` is v1's id; ``options`` are ``{"id", "label", "color"?}``."""

    code: str
    name: str
    kind: str
    number: int
    is_custom: bool = False
    options: list[Json] | None = None
    show_in_add_dialog: bool = False

    @property
    def is_writable(self) -> bool:
        return self.code not in ("id", "add_time", "update_time", "picture_id")

    def saved(self) -> Json:
        return asdict(self)

    def option_ids(self) -> set[int]:
        return {option["id"] for option in self.options or ()}


@dataclass(slots=True)
class FieldSet:
    """The fields of one record type by code, built-in ones first."""

    definitions: dict[str, FieldDefinition] = field(default_factory=dict)

    def custom(self) -> dict[str, FieldDefinition]:
        return {code: found for code, found in self.definitions.items() if found.is_custom}

    def by_number(self, number: int) -> FieldDefinition | None:
        return next((found for found in self.definitions.values() if found.number == number), None)


class FieldRegistry:
    def __init__(self, source: random.Random) -> None:
        self._random = source
        self.next_number = 9_000
        self.next_option = 14
        self.sets: dict[str, FieldSet] = {}
        for key, rows in _BUILT_IN.items():
            self.sets[key] = FieldSet()
            for code, name, kind in rows:
                self._add_built_in(key, code, name, kind)
        for key, labels in _LABELS.items():
            self.sets[key].definitions["label_ids"].options = [
                {"id": self._option_id(), "label": label, "color": color} for label, color in labels
            ]
        industries = [{"id": self._option_id(), "label": label} for label in _INDUSTRIES]
        self.sets[ORGANIZATION.key].definitions["industry"].options = industries

    def of(self, entity: Entity) -> FieldSet:
        return self.sets[entity.key]

    def set_contact_sync(self, *, on: bool) -> None:
        """The five fields a person has only after Contact Sync was set up."""
        held = self.sets[PERSON.key].definitions
        for code, name, kind in _CONTACT_SYNC:
            if on and code not in held:
                self._add_built_in(PERSON.key, code, name, kind)
            elif not on:
                held.pop(code, None)

    def add_custom(self, entity: Entity, name: str, kind: str, labels: list[str]) -> FieldDefinition:
        code = f"{self._random.getrandbits(160):040x}"
        options = self.new_options(labels) if kind in ("enum", "set") else None
        found = FieldDefinition(code, name, kind, self._number(), is_custom=True, options=options)
        self.of(entity).definitions[code] = found
        return found

    def new_options(self, labels: list[str]) -> list[Json]:
        return [{"id": self._option_id(), "label": label} for label in labels]

    def _add_built_in(self, key: str, code: str, name: str, kind: str) -> None:
        self.sets[key].definitions[code] = FieldDefinition(code, name, kind, self._number())

    def _number(self) -> int:
        self.next_number += 1
        return self.next_number

    def _option_id(self) -> int:
        self.next_option += 1
        return self.next_option - 1


def v2_field(found: FieldDefinition) -> Json:
    subfields = [
        {"field_code": f"{found.code}_{part}", "field_name": f"{title} of {found.name}", "field_type": kind}
        for part, title, kind in _SUBFIELDS.get(found.kind, ())
        if found.is_custom or found.kind == "address"
    ]
    return {
        "field_name": found.name,
        "field_code": found.code,
        "description": None,
        "field_type": found.kind,
        "options": found.options,
        "subfields": subfields or None,
        "is_custom_field": found.is_custom,
        "is_optional_response_field": False,
    }


def v1_field(found: FieldDefinition) -> Json:
    """``key``, numeric ``id`` and ``edit_flag`` instead of v2's names."""
    built_in_names = {"label_ids": "label"}
    answer: dict[str, Any] = {
        "id": found.number,
        "key": found.code if found.is_custom else built_in_names.get(found.code, found.code),
        "name": found.name,
        "field_type": found.kind,
        "active_flag": True,
        "edit_flag": found.is_custom,
        "add_visible_flag": found.show_in_add_dialog,
        "details_visible_flag": True,
        "bulk_edit_allowed": found.is_writable,
        "searchable_flag": found.kind in ("varchar", "text", "varchar_auto", "double", "monetary", "phone", "address"),
        "filtering_allowed": True,
        "sortable_flag": True,
        "mandatory_flag": found.code == "name",
    }
    if found.options is not None:
        answer["options"] = found.options
    return answer
