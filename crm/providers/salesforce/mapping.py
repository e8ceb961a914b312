"""Salesforce's fields as definitions, its JSON as values and back, and the default mappings. Pure.

Types: https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/field_types.htm (checked 2026-11). Text has no
empty string and booleans have no blank. ``Account.Name`` is offered as a field of Contact: the name of the account
that ``AccountId`` leads to (see ``companies``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from crm.mapping.kinds import Kind, canonical
from crm.model import Direction, FieldDefinition, RemoteRecord, RemoteState, Value
from crm.normalize import parse_timestamp
from crm.providers.base import DefaultMapping
from crm.providers.salesforce.wire import PERSON_ACCOUNT, WireField, WireRow

CONTACT: Final = "Contact"
LEAD: Final = "Lead"
PEOPLE: Final = (CONTACT, LEAD)
"""What syncs, in the order it is read."""
MARKER_FIELD: Final = "ADSapp_Contact_Id__c"
"""A text field of 80 characters, external id and unique, that an administrator makes: the API cannot."""
ACCOUNT_NAME: Final = "Account.Name"
ACCOUNT_ID: Final = "AccountId"
ACCOUNT_NAME_LENGTH: Final = 255
PLACEHOLDER: Final = "[not provided]"
REQUIRED_NAMES: Final[Mapping[str, tuple[str, ...]]] = {CONTACT: ("LastName",), LEAD: ("LastName", "Company")}
"""Salesforce demands them; where the app has none they hold the placeholder, which reads as blank."""
KEY_PREFIXES: Final[Mapping[str, str]] = {CONTACT: "003", LEAD: "00Q"}

ID: Final = "Id"
MODIFIED: Final = "SystemModstamp"
IS_DELETED: Final = "IsDeleted"
MASTER: Final = "MasterRecordId"
_ALWAYS: Final = (ID, IS_DELETED, MODIFIED, "CreatedDate", "LastModifiedById")
_WHERE_LISTED: Final = (MASTER, MARKER_FIELD, "IsPersonAccount", "IsConverted", "ConvertedContactId")

_KINDS: Final[Mapping[str, Kind]] = {
    "FirstName": Kind.NAME,
    "LastName": Kind.NAME,
    "MailingCountry": Kind.COUNTRY,
    "MailingCountryCode": Kind.COUNTRY,
    "Country": Kind.COUNTRY,
    "CountryCode": Kind.COUNTRY,
}
_TYPE_KINDS: Final[Mapping[str, Kind]] = {
    "email": Kind.EMAIL,
    "phone": Kind.PHONE,
    "url": Kind.URL,
    "picklist": Kind.CHOICE,
    "multipicklist": Kind.TAGS,
    "boolean": Kind.BOOLEAN,
    "int": Kind.NUMBER,
    "long": Kind.NUMBER,
    "double": Kind.NUMBER,
    "currency": Kind.NUMBER,
    "percent": Kind.NUMBER,
    "date": Kind.DATE,
    "datetime": Kind.DATETIME,
    "reference": Kind.REFERENCE,
    "id": Kind.REFERENCE,
}
_NOT_OFFERED: Final = frozenset({"address", "location", "base64", "complexvalue", "anyType"})
"""Compound or binary: their parts are fields of their own."""

_CHECKSUM: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_ID_SHAPE: Final = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Z]{3})?")


def _row(record_type: str, app_field: str, remote_field: str, *fallbacks: str) -> DefaultMapping:
    return DefaultMapping(record_type, app_field, remote_field, Direction.BIDIRECTIONAL, fallback_fields=fallbacks)


DEFAULT_MAPPINGS: Final = (
    _row(CONTACT, "firstName", "FirstName"),
    _row(CONTACT, "lastName", "LastName"),
    _row(CONTACT, "email", "Email"),
    _row(CONTACT, "phone", "Phone"),
    _row(CONTACT, "whatsappNumber", "MobilePhone"),
    _row(CONTACT, "company", ACCOUNT_NAME),
    _row(CONTACT, "jobTitle", "Title"),
    _row(CONTACT, "street", "MailingStreet"),
    _row(CONTACT, "city", "MailingCity"),
    _row(CONTACT, "region", "MailingState"),
    _row(CONTACT, "postalCode", "MailingPostalCode"),
    _row(CONTACT, "country", "MailingCountry"),
    _row(CONTACT, "birthday", "Birthdate"),
    _row(CONTACT, "emailOptOut", "HasOptedOutOfEmail"),
    _row(LEAD, "firstName", "FirstName"),
    _row(LEAD, "lastName", "LastName"),
    _row(LEAD, "email", "Email"),
    _row(LEAD, "phone", "Phone"),
    _row(LEAD, "whatsappNumber", "MobilePhone"),
    _row(LEAD, "company", "Company"),
    _row(LEAD, "jobTitle", "Title"),
    _row(LEAD, "street", "Street"),
    _row(LEAD, "city", "City"),
    _row(LEAD, "region", "State"),
    _row(LEAD, "postalCode", "PostalCode"),
    _row(LEAD, "country", "Country"),
    _row(LEAD, "emailOptOut", "HasOptedOutOfEmail"),
)
"""Not mapped by themselves: Description (it halves the pages and is shared by many), owner, source; language has no
field."""


def to18(remote_id: str) -> str | None:
    """The 18-character form of an id; ``None`` when it is none. An 18-character one must have the right checksum."""
    if not _ID_SHAPE.fullmatch(remote_id):
        return None
    checksum = "".join(
        _CHECKSUM[sum(1 << bit for bit, character in enumerate(remote_id[start : start + 5]) if character.isupper())]
        for start in (0, 5, 10)
    )
    whole = remote_id[:15] + checksum
    return whole if len(remote_id) == 15 or remote_id == whole else None


def id_of_type(record_type: str, remote_id: str) -> str | None:
    """``to18`` for an id that can be one of this type."""
    whole = to18(remote_id)
    return whole if whole and whole.startswith(KEY_PREFIXES.get(record_type, "")) else None


def kind_of(wire: WireField) -> Kind:
    kind = _TYPE_KINDS.get(wire["type"], Kind.TEXT)
    return _KINDS.get(wire["name"], kind) if kind in {Kind.TEXT, Kind.CHOICE} else kind


def definitions(record_type: str, fields: Iterable[WireField]) -> list[FieldDefinition]:
    """What the connected user can see; what is hidden from it is not listed."""
    listed = [
        each for each in fields if each["type"] not in _NOT_OFFERED and each.get("deprecatedAndHidden") is not True
    ]
    found = [_definition(each) for each in listed]
    account = next((each for each in listed if record_type == CONTACT and each["name"] == ACCOUNT_ID), None)
    if account is not None:
        found.append(
            FieldDefinition(
                name=ACCOUNT_NAME,
                label="Account Name",
                kind=Kind.TEXT.value,
                remote_type="reference/Account.Name",
                writable=account.get("updateable") is True,
                createable=account.get("createable") is True,
                max_length=ACCOUNT_NAME_LENGTH,
            )
        )
    return found


def _definition(wire: WireField) -> FieldDefinition:
    kind = kind_of(wire)
    options: tuple[tuple[str, str], ...] = ()
    if wire.get("restrictedPicklist") is True:
        active = [option for option in wire.get("picklistValues") or () if option.get("active") is not False]
        options = tuple((option["value"], option.get("label") or option["value"]) for option in active)
    length = wire.get("length")
    is_marker = wire["name"] == MARKER_FIELD
    return FieldDefinition(
        name=wire["name"],
        label=wire.get("label") or wire["name"],
        kind=kind.value,
        remote_type=wire["type"],
        writable=wire.get("updateable") is True,
        createable=wire.get("createable") is True,
        required=wire.get("nillable") is False
        and wire.get("createable") is True
        and wire.get("defaultedOnCreate") is not True,
        unique=wire.get("unique") is True and (wire.get("externalId") is True or not is_marker),
        custom=wire.get("custom") is True,
        max_length=length if isinstance(length, int) and length > 0 else None,
        options=options,
        multiple=kind is Kind.TAGS,
    )


def can_mark(listed: Mapping[str, FieldDefinition]) -> bool:
    """Whether the marker field is there, as external id and unique, and may be written."""
    marker = listed.get(MARKER_FIELD)
    return marker is not None and marker.unique and marker.createable


def selected(fields: Iterable[str], listed: Collection[str]) -> list[str]:
    """The fields of a query: those asked for that exist, and what every record is judged by."""
    always = [*_ALWAYS, *(each for each in _WHERE_LISTED if each in listed)]
    return list(dict.fromkeys([*always, *(field for field in fields if field in listed)]))


def read_record(
    record_type: str, row: WireRow, fields: Sequence[str], kinds: Mapping[str, Kind], user_id: str
) -> RemoteRecord:
    """The record with those of the ``fields`` that the row carries."""
    values: dict[str, Value] = {}
    for field in fields:
        found, value = _look_up(row, field)
        if found:
            values[field] = read_value(record_type, field, kinds.get(field, Kind.TEXT), value)
    modifier = to18(_text(row.get("LastModifiedById")))
    state, merged_into = _state(record_type, row)
    return RemoteRecord(
        record_type=record_type,
        remote_id=to18(_text(row.get(ID))) or _text(row.get(ID)),
        values=values,
        modified_at=moment(row.get(MODIFIED)),
        created_at=moment(row.get("CreatedDate")),
        state=state,
        merged_into=merged_into,
        marker=_text(row.get(MARKER_FIELD)),
        by_us=modifier == user_id if modifier and user_id else None,
        skip_reason=_skip_reason(row),
    )


def _state(record_type: str, row: WireRow) -> tuple[RemoteState, str]:
    """A merge's loser is deleted too, and a converted lead lives on unchanged: who took their place decides."""
    if row.get(IS_DELETED) is True:
        master = to18(_text(row.get(MASTER)))
        return (RemoteState.MERGED, master) if master else (RemoteState.ARCHIVED, "")
    contact = to18(_text(row.get("ConvertedContactId")))
    if record_type == LEAD and row.get("IsConverted") is True and contact:
        return RemoteState.MERGED, other_type_id(CONTACT, contact)
    return RemoteState.LIVE, ""


def other_type_id(record_type: str, remote_id: str) -> str:
    """How ``merged_into`` names a record of another type: ``Contact:003...``."""
    return f"{record_type}:{remote_id}"


def _skip_reason(row: WireRow) -> str:
    if row.get("IsPersonAccount") is True:
        return PERSON_ACCOUNT
    return "state.converted" if row.get("IsConverted") is True else ""


def _look_up(row: WireRow, field: str) -> tuple[bool, object]:
    """Whether the row carries the field, and its value; a relation that leads nowhere is a blank."""
    relation, _, name = field.partition(".")
    if relation not in row:
        return False, None
    value = row[relation]
    if not name:
        return True, value
    if value is None:
        return True, None
    return (True, value[name]) if isinstance(value, dict) and name in value else (False, None)


def read_value(record_type: str, field: str, kind: Kind, value: object) -> Value:
    """JSON as a value. What does not fit its kind stays text: the mapping refuses that one field."""
    if isinstance(value, str):
        if not value.strip() or (value == PLACEHOLDER and field in REQUIRED_NAMES.get(record_type, ())):
            return None
        match kind:
            case Kind.TAGS:
                return tuple(dict.fromkeys(word for part in value.split(";") if (word := part.strip()))) or None
            case Kind.DATE | Kind.DATETIME | Kind.NUMBER | Kind.BOOLEAN:
                return canonical(kind, value)
            case _:
                return value
    return value if isinstance(value, bool | int | float) else None


def wire_value(record_type: str, field: str, kind: Kind, value: Value) -> Value:
    """A value as Salesforce takes it: ``None`` clears, but a required name gets the placeholder."""
    if value is None or (isinstance(value, str | tuple) and not value):
        if field in REQUIRED_NAMES.get(record_type, ()):
            return PLACEHOLDER
        return False if kind is Kind.BOOLEAN else None
    if isinstance(value, tuple):
        return ";".join(value)
    return value


def moment(text: object) -> datetime | None:
    """Salesforce's stamp (``2026-05-01T07:25:37.000+0000``) as an aware time; ``None`` when it is none."""
    return parse_timestamp(text) if isinstance(text, str) and text else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def merge_targets(records: Iterable[RemoteRecord]) -> dict[str, str]:
    """Loser -> winner within one type."""
    return {
        record.remote_id: record.merged_into
        for record in records
        if record.state is RemoteState.MERGED and ":" not in record.merged_into
    }
