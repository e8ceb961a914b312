"""Pipedrive's field definitions as ours, and the grammar of our names for a person's several values. Pure.

Types: https://pipedrive.readme.io/docs/core-api-concepts-custom-fields (checked 2026-09). A name is a field's code, for
a custom field its hash, and after a dot the part of it that is meant: ``phone`` is the primary number, ``phone.mobile``
the one with that label, ``postal_address.locality`` a part of an address, ``org_id.name`` the linked organization's
name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from crm.mapping.kinds import Kind
from crm.model import Direction, FieldDefinition
from crm.providers.base import DefaultMapping
from crm.providers.pipedrive.objects import PERSONS, RecordType
from crm.providers.pipedrive.wire import WireField

MARKER_NAME: Final = "ADSapp contact id"
"""Codes are random, so the field is known by its name."""
MARKER_TYPE: Final = "varchar"
COMPANY: Final = "org_id.name"
MARKETING: Final = "marketing_status"
"""Read as "opted out"; Pipedrive lets it be changed once and ignores what it does not allow, so it is never sent."""
LISTS: Final[Mapping[str, str]] = {"email": "emails", "phone": "phones"}
LABELS: Final[Mapping[str, tuple[str, ...]]] = {
    "email": ("work", "home", "other"),
    "phone": ("work", "home", "mobile", "other"),
}
"""Those of Pipedrive's own pages. A label is free text, and only these can be mapped."""
ADDRESS_KINDS: Final[Mapping[str, Kind]] = {
    "street": Kind.TEXT,
    "locality": Kind.TEXT,
    "admin_area_level_1": Kind.TEXT,
    "postal_code": Kind.TEXT,
    "country": Kind.COUNTRY,
}
"""``street`` is ``route`` and ``street_number`` together."""
HASH_CHARACTERS: Final = 40
MAX_TEXT_CHARACTERS: Final = 255
MAX_LONG_TEXT_CHARACTERS: Final = 65_000
MAX_NOTES_CHARACTERS: Final = 10_000

_TYPE_KINDS: Final[Mapping[str, Kind]] = {
    "varchar": Kind.TEXT,
    "varchar_auto": Kind.TEXT,
    "varchar_options": Kind.TEXT,
    "text": Kind.TEXT,
    "phone": Kind.PHONE,
    "double": Kind.NUMBER,
    "int": Kind.NUMBER,
    "monetary": Kind.NUMBER,
    "enum": Kind.CHOICE,
    "visible_to": Kind.CHOICE,
    "status": Kind.CHOICE,
    "set": Kind.TAGS,
    "date": Kind.DATE,
    "boolean": Kind.BOOLEAN,
    "user": Kind.REFERENCE,
    "org": Kind.REFERENCE,
    "people": Kind.REFERENCE,
    "stage": Kind.REFERENCE,
}
_ONLY_READ: Final = frozenset({"monetary", "daterange", "time", "timerange"})
"""Custom types whose second half (currency, end, time zone) one value of ours cannot hold."""


def _row(app_field: str, remote_field: str, direction: Direction = Direction.BIDIRECTIONAL) -> DefaultMapping:
    return DefaultMapping(PERSONS, app_field, remote_field, direction)


DEFAULT_MAPPINGS: Final = (
    _row("firstName", "first_name"),
    _row("lastName", "last_name"),
    _row("email", "email"),
    _row("phone", "phone"),
    _row("whatsappNumber", "phone.mobile"),
    _row("company", COMPANY),
    _row("jobTitle", "job_title"),
    _row("street", "postal_address.street"),
    _row("city", "postal_address.locality"),
    _row("region", "postal_address.admin_area_level_1"),
    _row("postalCode", "postal_address.postal_code"),
    _row("country", "postal_address.country"),
    _row("birthday", "birthday"),
)
"""Job title, address and birthday exist only where the company set up Contact Sync; elsewhere their rows are left out.
The owner is left out: its ids mean nothing in the app until somebody maps them."""


def definitions(
    kind: RecordType, wires: Iterable[WireField], owners: Sequence[Mapping[str, Any]]
) -> list[FieldDefinition]:
    """``owners`` are the options of ``owner_id``: the company's users."""
    found: dict[str, FieldDefinition] = {}
    for wire in wires:
        for each in _of_wire(kind, wire, owners):
            found[each.name] = each
    if not kind.has_custom_fields:
        # The list of an activity's fields leaves some of its links out, and notes have no list in version 2.
        for name, its_kind in kind.standard.items():
            if name not in found:
                found[name] = _standard(kind, name, its_kind, name.replace("_", " ").capitalize(), its_kind.value)
    return list(found.values())


def _of_wire(kind: RecordType, wire: WireField, owners: Sequence[Mapping[str, Any]]) -> list[FieldDefinition]:
    code, label = wire["field_code"], wire["field_name"] or wire["field_code"]
    is_person = kind.key == PERSONS
    if is_person and (code in LISTS or code in LISTS.values()):
        return _listed(code.removesuffix("s"), label)
    if is_person and code == "org_id":
        return [_standard(kind, COMPANY, Kind.TEXT, f"{label} (name)", "org_name", MAX_TEXT_CHARACTERS)]
    if is_person and code == MARKETING:
        return [_standard(kind, code, Kind.BOOLEAN, f"{label} (opted out)", wire["field_type"])]
    if wire["field_type"] == "address":
        return _address(kind, wire, label)
    return [_plain(kind, wire, label, owners)]


def _listed(base: str, label: str) -> list[FieldDefinition]:
    its_kind = Kind.EMAIL if base == "email" else Kind.PHONE
    names = [(base, label), *((f"{base}.{each}", f"{label} ({each})") for each in LABELS[base])]
    return [FieldDefinition(name=name, label=shown, kind=its_kind.value, remote_type=base) for name, shown in names]


def _address(kind: RecordType, wire: WireField, label: str) -> list[FieldDefinition]:
    code, custom = wire["field_code"], is_custom(wire)
    shared = {"remote_type": "address", "custom": custom, "native_id": code if custom else ""}
    parts = [
        FieldDefinition(name=f"{code}.{part}", label=f"{label} ({part})", kind=part_kind.value, **shared)  # type: ignore[arg-type]
        for part, part_kind in ADDRESS_KINDS.items()
    ]
    writable = custom or code in kind.writable
    whole = FieldDefinition(name=code, label=label, kind=Kind.TEXT.value, writable=writable, **shared)  # type: ignore[arg-type]
    return [whole, *parts]


def _plain(kind: RecordType, wire: WireField, label: str, owners: Sequence[Mapping[str, Any]]) -> FieldDefinition:
    code, field_type, custom = wire["field_code"], wire["field_type"], is_custom(wire)
    its_kind = kind_of(kind, wire)
    writable = field_type not in _ONLY_READ if custom else code in kind.writable
    options: tuple[tuple[str, str], ...] = ()
    if its_kind in {Kind.CHOICE, Kind.TAGS}:
        options = tuple((str(each["id"]), str(each["label"])) for each in wire.get("options") or ())
    elif code == "owner_id":
        options = tuple((str(each["id"]), str(each.get("email") or each.get("name") or each["id"])) for each in owners)
    return FieldDefinition(
        name=code,
        label=label,
        kind=its_kind.value,
        remote_type=field_type,
        writable=writable,
        createable=writable,
        required=code in kind.required,
        custom=custom,
        max_length=_max_length(code, field_type, its_kind),
        options=options,
        multiple=its_kind is Kind.TAGS,
        native_id=code if custom else "",
    )


def _standard(
    kind: RecordType, name: str, its_kind: Kind, label: str, remote_type: str, max_length: int | None = None
) -> FieldDefinition:
    writable = name in kind.writable
    return FieldDefinition(
        name=name,
        label=label,
        kind=its_kind.value,
        remote_type=remote_type,
        writable=writable,
        createable=writable,
        required=name in kind.required,
        max_length=max_length,
    )


def _max_length(code: str, field_type: str, its_kind: Kind) -> int | None:
    if code == "notes":
        return MAX_NOTES_CHARACTERS
    if field_type in {"varchar", "varchar_auto", "phone"} or its_kind is Kind.NAME:
        return MAX_TEXT_CHARACTERS
    return MAX_LONG_TEXT_CHARACTERS if field_type == "text" else None


def is_custom(wire: WireField) -> bool:
    return wire.get("is_custom_field") is True


def kind_of(kind: RecordType, wire: WireField) -> Kind:
    standard = None if is_custom(wire) else kind.standard.get(wire["field_code"])
    return standard or _TYPE_KINDS.get(wire["field_type"], Kind.TEXT)


def is_hash(code: str) -> bool:
    return len(code) == HASH_CHARACTERS and all(character in "0123456789abcdef" for character in code)


def part_kind(name: str) -> Kind | None:
    """The kind of a part of a field; ``None`` for a name that means a whole one, or no part that there is."""
    base, _, part = name.partition(".")
    if base in LABELS:
        its_kind = Kind.EMAIL if base == "email" else Kind.PHONE
        return its_kind if not part or part in LABELS[base] else None
    return ADDRESS_KINDS.get(part)


def marker_code(definitions: Iterable[FieldDefinition]) -> str:
    """The hash of our marker field, ``""`` when the account has none. Of two with that name the first counts."""
    return next(
        (
            each.name
            for each in definitions
            if each.custom and each.label == MARKER_NAME and each.remote_type == MARKER_TYPE
        ),
        "",
    )
