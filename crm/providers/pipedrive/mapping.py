"""Pipedrive's values as ours and back: what a name means in a record, and the body that writes it. Pure.

Values: https://pipedrive.readme.io/docs/pipedrive-api-v2-migration-guide (checked 2026-09). An option's value is its
id, as text. A list of addresses or numbers, an address and a person's name are replaced whole by a write, so what the
names do not mention is taken from the record as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from crm.mapping.kinds import Kind, canonical
from crm.model import UNKNOWN, RemoteRecord, RemoteState, Seen, Unknown, Value
from crm.normalize import parse_timestamp
from crm.providers.pipedrive import entries
from crm.providers.pipedrive.fields import ADDRESS_KINDS, COMPANY, LISTS, MARKETING
from crm.providers.pipedrive.objects import PERSONS, RecordType
from crm.providers.pipedrive.wire import WireRecord

NAMES: Final = ("first_name", "last_name")
_PERSONAL: Final = frozenset({"name", *NAMES, COMPANY, MARKETING})
_TEXT_CODES: Final = frozenset({"type", "status"})
"""Choices of built-in fields whose value is a word and not a number."""
_OPTED_OUT: Final[Mapping[str, bool]] = {"unsubscribed": True, "archived": True, "subscribed": False}
"""``no_consent`` is neither: nobody was asked."""
_PARTS: Final = (
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


@dataclass(frozen=True, slots=True)
class Reader:
    """How the records of one type are read: the kinds of the names asked for, and what else has to be known."""

    kind: RecordType
    kinds: Mapping[str, Kind]
    marker: str = ""
    """The code of our marker field."""
    companies: Mapping[int, str] = field(default_factory=dict)
    """Names of organizations by id; one that is not here cannot be seen."""

    def record(self, wire: WireRecord) -> RemoteRecord:
        added, updated = moment(wire.get("add_time")), moment(wire.get("update_time"))
        custom = wire.get("custom_fields")
        marker = custom.get(self.marker) if isinstance(custom, dict) and self.marker else None
        return RemoteRecord(
            record_type=self.kind.key,
            remote_id=str(wire["id"]),
            values=self.values(wire, self.kinds),
            modified_at=updated or added,
            created_at=added,
            state=RemoteState.ARCHIVED if wire.get("is_deleted") is True else RemoteState.LIVE,
            marker=marker if isinstance(marker, str) else "",
        )

    def values(self, wire: WireRecord, names: Iterable[str]) -> dict[str, Value]:
        found = {name: self._value(wire, name) for name in names}
        return {name: value for name, value in found.items() if not isinstance(value, Unknown)}

    def _value(self, wire: WireRecord, name: str) -> Seen:
        base, _, part = name.partition(".")
        if self.kind.key == PERSONS and (base in LISTS or name in _PERSONAL):
            return self._personal(wire, base, part)
        raw = _raw(wire, base)
        if isinstance(raw, Unknown):
            return raw
        return _address_part(raw, part) if part else read_value(self.kinds.get(name, Kind.TEXT), raw)

    def _personal(self, wire: WireRecord, base: str, part: str) -> Seen:
        if base in LISTS:
            return _text(entries.find(wire.get(LISTS[base], UNKNOWN), part))
        if part:
            return self._company(wire)
        return _marketing(wire) if base == MARKETING else _name(wire, base)

    def _company(self, wire: WireRecord) -> Seen:
        org_id = wire.get("org_id", UNKNOWN)
        if org_id is None or org_id is UNKNOWN:
            return org_id
        return self.companies.get(org_id, UNKNOWN) if isinstance(org_id, int) else UNKNOWN


def _raw(wire: WireRecord, code: str) -> Any:
    if code in wire:
        return wire[code]
    custom = wire.get("custom_fields")
    return custom.get(code, UNKNOWN) if isinstance(custom, dict) else UNKNOWN


def read_value(kind: Kind, raw: Any) -> Value:
    """One value in v2's or v1's form. What does not fit its kind stays text: the mapping refuses that one field."""
    if isinstance(raw, dict):
        raw = raw.get("value", raw.get("id"))
    if kind is Kind.TAGS:
        items = raw if isinstance(raw, list) else str(raw).split(",") if raw not in (None, "") else []
        ids = (str(each.get("id") if isinstance(each, dict) else each).strip() for each in items)
        return tuple(dict.fromkeys(each for each in ids if each)) or None
    if raw is None or isinstance(raw, list) or (isinstance(raw, str) and not raw.strip()):
        return None
    if kind in {Kind.NUMBER, Kind.BOOLEAN, Kind.DATE, Kind.DATETIME}:
        return canonical(kind, raw)
    return str(raw)


def _text(seen: Seen) -> Seen:
    return None if isinstance(seen, str) and not seen.strip() else seen


def _name(wire: WireRecord, name: str) -> Seen:
    """A name that is the person's address or number stands in for none (see ``_stand_in``)."""
    whole = wire.get("name")
    if isinstance(whole, str) and whole.strip() and whole in entries.texts(wire):
        return None
    if name in wire:
        return read_value(Kind.NAME, wire[name])
    if not isinstance(whole, str):
        return UNKNOWN
    # As Pipedrive itself splits a whole name.
    first, _, last = whole.partition(" ")
    return _text((first if name == "first_name" else last).strip())


def _marketing(wire: WireRecord) -> Seen:
    status = wire.get(MARKETING, UNKNOWN)
    return _OPTED_OUT.get(status) if isinstance(status, str) else None if status is None else UNKNOWN


def _address_part(raw: Any, part: str) -> Seen:
    """Of an address that is one text, the parts are not known."""
    if raw is None:
        return None
    if not isinstance(raw, dict):
        return UNKNOWN
    if part == "street":
        return _street(raw)
    return _text(raw.get(part)) if isinstance(raw.get(part, ""), str) or raw.get(part) is None else UNKNOWN


def _street(address: Mapping[str, Any]) -> str | None:
    words = [address.get("route"), address.get("street_number")]
    return " ".join(word.strip() for word in words if isinstance(word, str) and word.strip()) or None


# writing


def needs_record(kind: RecordType, values: Mapping[str, Value]) -> bool:
    """Whether the record has to be known to write these: something of it would be replaced along with them."""
    bases = {name.partition(".")[0] for name in values if "." in name and name != COMPANY}
    if kind.key != PERSONS:
        return bool(bases)
    halves = [name for name in NAMES if name in values]
    unnamed = bool(halves) and not any(values[name] for name in halves)
    return bool(bases) or any(base in values for base in LISTS) or len(halves) == 1 or unnamed


def body_of(
    kind: RecordType,
    values: Mapping[str, Value],
    kinds: Mapping[str, Kind],
    current: WireRecord,
    *,
    mapped: AbstractSet[str] = frozenset(),
    companies: Mapping[str, int] | None = None,
    whole_name: bool = False,
) -> dict[str, Any]:
    """The v2 body that writes ``values``. ``current`` is the record as it is, ``{}`` for a new one.

    ``mapped`` are the names the connection uses: an entry that two of them meet in is split instead of changed for
    both. ``companies`` gives the ids of the names in ``values``; one that is missing is left out.
    """
    body: dict[str, Any] = {}
    custom: dict[str, Any] = {}

    def put(code: str, sent: Any) -> None:
        (body if code in kind.standard else custom)[code] = sent

    parts: dict[str, dict[str, Value]] = {}
    for name, value in values.items():
        base, _, part = name.partition(".")
        if part in ADDRESS_KINDS:
            parts.setdefault(base, {})[part] = value
        elif kind.key == "activities" and name == "person_id":
            body["participants"] = [] if value is None else [{"person_id": _number(value), "primary": True}]
        elif kind.key != PERSONS or not (base in LISTS or name in {*NAMES, COMPANY}):
            is_address = isinstance(_raw(current, name), dict)
            put(name, wire_value(kind, name, kinds.get(name, Kind.TEXT), value, is_address=is_address))
    for base, given in parts.items():
        put(base, _address(_raw(current, base), given))
    if kind.key == PERSONS:
        body |= _organization(values, companies or {})
        body |= {LISTS[base]: entries.write(base, values, current, mapped) for base in LISTS if _has_base(values, base)}
        body |= _name_body(values, {**current, **body}, whole=whole_name, is_new=not current)
    if custom:
        body["custom_fields"] = custom
    return body


def _organization(values: Mapping[str, Value], companies: Mapping[str, int]) -> dict[str, int | None]:
    name = values.get(COMPANY)
    if name is None:
        return {"org_id": None} if COMPANY in values else {}
    return {"org_id": companies[str(name)]} if str(name) in companies else {}


def _has_base(values: Mapping[str, Value], base: str) -> bool:
    return any(name.partition(".")[0] == base for name in values)


def _name_body(values: Mapping[str, Value], shown: WireRecord, *, whole: bool, is_new: bool) -> dict[str, str]:
    """Both halves or the whole, never all three: Pipedrive would not let the halves follow."""
    if not any(name in values for name in NAMES):
        if "name" in values or not is_new:
            return {}
        return {"name": _stand_in(shown)} if _stand_in(shown) else {}
    held = {name: values[name] if name in values else _name(shown, name) for name in NAMES}
    first, last = (text.strip() if isinstance(text := held[name], str) else "" for name in NAMES)
    if not first and not last:
        return {"name": _stand_in(shown)} if _stand_in(shown) else {"first_name": "", "last_name": ""}
    return {"name": f"{first} {last}".strip()} if whole else {"first_name": first, "last_name": last}


def _stand_in(shown: WireRecord) -> str:
    """A person must have a name: the address or number where there is none. It is never read back as a name."""
    return next(iter(entries.texts(shown)), "")


def _address(current: Any, given: Mapping[str, Value]) -> dict[str, Any] | None:
    """Parts that are left out of a write become blank, and ``value`` is the only one that people search."""
    held: dict[str, Any] = {part: current.get(part) for part in _PARTS} if isinstance(current, dict) else {}
    held = {part: held.get(part) for part in _PARTS}
    for part, value in given.items():
        text = None if value is None else str(value)
        if part != "street":
            held[part] = text
        elif text != _street(held):
            held |= {"route": text, "street_number": None}
    town = " ".join(word for word in (held["postal_code"], held["locality"]) if word)
    lines = (_street(held), held["sublocality"], town, held["admin_area_level_1"], held["country"])
    whole = ", ".join(line for line in lines if line)
    return {"value": whole, **held} if whole else None


def wire_value(kind: RecordType, code: str, its_kind: Kind, value: Value, *, is_address: bool = False) -> Any:
    """A value as v2 takes it; an empty list of options is refused, so it is ``null`` in a custom field."""
    is_standard = code in kind.standard
    if its_kind is Kind.TAGS:
        items = value if isinstance(value, tuple) else str(value).split(";") if value is not None else ()
        numbers = [_number(item) for item in items if item]
        return numbers or ([] if is_standard else None)
    if value is None:
        return None
    if is_address or (is_standard and code in {"address", "postal_address"}):
        return {"value": str(value)}
    if its_kind in {Kind.CHOICE, Kind.REFERENCE} and code not in _TEXT_CODES:
        return _number(value)
    if isinstance(value, tuple):
        return ";".join(value)
    return value


def _number(value: Value) -> Any:
    """Ids are numbers on the wire; what is none is sent as it is, and refused by name."""
    text = str(value).strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else value


def moment(text: Any) -> datetime | None:
    """Pipedrive's stamp as an aware time; ``None`` when there is none that can be read."""
    return parse_timestamp(text) if isinstance(text, str) and text else None


def names_of(refused: str, values: Mapping[str, Value]) -> list[str]:
    """Our names of what Pipedrive refused: ``custom_fields.<hash>``, ``emails``, ``org_id``, ..."""
    code = refused.removeprefix("custom_fields.").partition(".")[0]
    base = {"emails": "email", "phones": "phone", "participants": "person_id"}.get(code, code)
    found = [name for name in values if name == base or name.partition(".")[0] == base]
    if not found and base in {"name", *NAMES}:
        found = [name for name in values if name in {"name", *NAMES}]
    return found
