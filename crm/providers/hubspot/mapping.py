"""HubSpot's properties as field definitions, its texts as values and back, and the default mappings. Pure.

Types: https://developers.hubspot.com/docs/api-reference/crm-properties-v3/guide (checked 2026-11). Every property
travels as a text; an empty text clears.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from crm.mapping.kinds import Kind, canonical
from crm.model import Direction, FieldDefinition, RemoteRecord, RemoteState, Value
from crm.normalize import parse_timestamp
from crm.providers.base import DefaultMapping
from crm.providers.hubspot import endpoints
from crm.providers.hubspot.wire import WireOwner, WireProperty, WireRecord

CONTACTS: Final = "contacts"
MARKER_FIELD: Final = "adsapp_contact_id"
MARKER_GROUP: Final = "adsapp"
EMAIL: Final = "email"
EMAIL_OPT_OUT: Final = "hs_email_optout"
"""Read-only as a property; an opt-out is written through the subscriptions API."""
OWNER: Final = "hubspot_owner_id"
MERGED_IDS: Final = "hs_merged_object_ids"
MERGED_IDS_WITH_TIMES: Final = "hs_calculated_merged_vids"
"""The two can disagree, so both are read."""
OBJECT_ID: Final = "hs_object_id"
MARKER_DEFINITION: Final[Mapping[str, object]] = {
    "name": MARKER_FIELD,
    "label": "ADSapp contact id",
    "description": "Written once by ADSapp when it creates the contact. Finds the contact again; do not edit.",
    "type": "string",
    "fieldType": "text",
    "groupName": MARKER_GROUP,
    "hasUniqueValue": True,
    "formField": False,
}

MODIFIED_PROPERTY: Final[Mapping[str, str]] = {CONTACTS: "lastmodifieddate"}
"""Contacts only: every other object has ``hs_lastmodifieddate``, which is empty on contacts."""

STANDARD_KINDS: Final[Mapping[str, Kind]] = {
    "email": Kind.EMAIL,
    "firstname": Kind.NAME,
    "lastname": Kind.NAME,
    "phone": Kind.PHONE,
    "mobilephone": Kind.PHONE,
    "hs_whatsapp_phone_number": Kind.PHONE,
    "fax": Kind.PHONE,
    "company": Kind.TEXT,
    "jobtitle": Kind.TEXT,
    "salutation": Kind.TEXT,
    "address": Kind.TEXT,
    "city": Kind.TEXT,
    "state": Kind.TEXT,
    "zip": Kind.TEXT,
    "country": Kind.COUNTRY,
    "website": Kind.URL,
    "message": Kind.TEXT,
    "date_of_birth": Kind.TEXT,
    "hs_language": Kind.CHOICE,
    "lifecyclestage": Kind.CHOICE,
    "hs_lead_status": Kind.CHOICE,
    EMAIL_OPT_OUT: Kind.BOOLEAN,
    OWNER: Kind.REFERENCE,
    "createdate": Kind.DATETIME,
    "lastmodifieddate": Kind.DATETIME,
    MARKER_FIELD: Kind.TEXT,
}
"""Properties whose kind is the same in every account: reading them needs no request for definitions."""

_SETTLED_TYPES: Final = frozenset({Kind.NAME, Kind.EMAIL, Kind.COUNTRY, Kind.URL, Kind.REFERENCE, Kind.PHONE})
_TYPE_KINDS: Final[Mapping[str, Kind]] = {
    "string": Kind.TEXT,
    "phone_number": Kind.PHONE,
    "number": Kind.NUMBER,
    "bool": Kind.BOOLEAN,
    "date": Kind.DATE,
    "datetime": Kind.DATETIME,
    "enumeration": Kind.CHOICE,
}


def _row(app_field: str, remote_field: str, *, fallbacks: tuple[str, ...] = ()) -> DefaultMapping:
    return DefaultMapping(CONTACTS, app_field, remote_field, Direction.BIDIRECTIONAL, fallback_fields=fallbacks)


DEFAULT_MAPPINGS: Final = (
    _row("firstName", "firstname"),
    _row("lastName", "lastname"),
    _row("email", EMAIL),
    _row("phone", "phone"),
    _row("whatsappNumber", "hs_whatsapp_phone_number", fallbacks=("mobilephone",)),
    _row("company", "company"),
    _row("jobTitle", "jobtitle"),
    _row("street", "address"),
    _row("city", "city"),
    _row("region", "state"),
    _row("postalCode", "zip"),
    _row("country", "country"),
    _row("language", "hs_language"),
    _row("birthday", "date_of_birth"),
    _row("emailOptOut", EMAIL_OPT_OUT),
)
"""The owner is left out: its ids mean nothing in the app until somebody maps them."""


def read_value(kind: Kind, text: str | None) -> Value:
    """A property's text as a value; ``None`` for both of HubSpot's blanks (``null`` and ``""``).

    A text that does not fit its kind stays text: the mapping refuses that one field.
    """
    if text is None or not text.strip():
        return None
    match kind:
        case Kind.NUMBER | Kind.BOOLEAN | Kind.DATE | Kind.DATETIME:
            return canonical(kind, text)
        case Kind.TAGS:
            return tuple(dict.fromkeys(word for part in text.split(";") if (word := part.strip()))) or None
        case _:
            return text


def wire_text(value: Value) -> str:
    """A value as HubSpot takes it; blank of every sort is the empty text that clears."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return format(Decimal(repr(value)), "f")
        case str():
            return value
        case _:
            # A leading ";" would append to what is there instead of replacing it.
            return ";".join(word for word in value if word)


def kind_of_sent(value: Value) -> Kind:
    """The kind by which an answer to a write is read when the property's definition was never asked for."""
    match value:
        case bool():
            return Kind.BOOLEAN
        case int() | float():
            return Kind.NUMBER
        case tuple():
            return Kind.TAGS
        case _:
            return Kind.TEXT


def epoch_milliseconds(at: datetime) -> int:
    """Rounded down, so that a search from here leaves nothing out."""
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def kind_of(wire: WireProperty) -> Kind:
    standard = STANDARD_KINDS.get(wire["name"])
    kind = _TYPE_KINDS.get(wire["type"], Kind.TEXT)
    if wire["type"] == "enumeration" and wire["fieldType"] == "checkbox":
        return Kind.TAGS
    if wire["fieldType"] == "booleancheckbox":
        return Kind.BOOLEAN
    if kind is Kind.TEXT and wire["fieldType"] == "phonenumber":
        kind = Kind.PHONE
    if standard in _SETTLED_TYPES and kind in {Kind.TEXT, Kind.PHONE, Kind.CHOICE}:
        return standard
    return kind


def is_read_only(wire: WireProperty) -> bool:
    """By three signs, since ``calculated`` alone is not dependable."""
    return (
        wire.get("modificationMetadata", {}).get("readOnlyValue") is True
        or wire.get("calculated") is True
        or wire["fieldType"].startswith("calculation_")
    )


def definition(wire: WireProperty, owners: Iterable[WireOwner] = ()) -> FieldDefinition:
    """``owners`` are the options of the owner property, which its own definition does not list."""
    name = wire["name"]
    kind = kind_of(wire)
    writable = not is_read_only(wire) or name == EMAIL_OPT_OUT
    options: tuple[tuple[str, str], ...] = ()
    if name == OWNER:
        options = tuple((owner["id"], owner_label(owner)) for owner in owners)
    elif kind in {Kind.CHOICE, Kind.TAGS} and not wire.get("externalOptions"):
        options = tuple((option["value"], option["label"]) for option in wire.get("options", ()))
    return FieldDefinition(
        name=name,
        label=wire["label"] or name,
        kind=kind.value,
        remote_type=f"{wire['type']}/{wire['fieldType']}",
        writable=writable,
        createable=writable,
        unique=wire.get("hasUniqueValue") is True or name == EMAIL,
        custom=wire.get("hubspotDefined") is not True,
        max_length=endpoints.MAX_TEXT_CHARACTERS if wire["type"] == "string" else None,
        options=options,
        multiple=kind is Kind.TAGS,
    )


def owner_label(owner: WireOwner) -> str:
    name = " ".join(part for part in (owner.get("firstName"), owner.get("lastName")) if part)
    return owner.get("email") or name or owner["id"]


def read_record(
    record_type: str, wire: WireRecord, kinds: Mapping[str, Kind], state: RemoteState = RemoteState.LIVE
) -> RemoteRecord:
    """The record with the properties named in ``kinds``; one that the answer does not carry stays unknown."""
    properties = wire["properties"]
    return RemoteRecord(
        record_type=record_type,
        remote_id=wire["id"],
        values={name: read_value(kind, properties[name]) for name, kind in kinds.items() if name in properties},
        modified_at=moment(wire.get("updatedAt")),
        created_at=moment(wire.get("createdAt")),
        state=RemoteState.ARCHIVED if wire.get("archived") is True else state,
        former_ids=former_ids(wire),
        marker=properties.get(MARKER_FIELD) or "",
    )


def former_ids(wire: WireRecord) -> tuple[str, ...]:
    """Ids merged into this record, from both properties that tell (``1;2`` and ``1:<time>;2:<time>``)."""
    texts = [wire["properties"].get(name) or "" for name in (MERGED_IDS, MERGED_IDS_WITH_TIMES)]
    found = (part.partition(":")[0].strip() for text in texts for part in text.split(";"))
    return tuple(dict.fromkeys(part for part in found if part and part != wire["id"]))


def moment(text: str | None) -> datetime | None:
    """HubSpot's stamp as an aware time; ``None`` when there is none that can be read."""
    return parse_timestamp(text) if text else None
