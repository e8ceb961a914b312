"""Small builders for engine tests: one contact, one record, four fields."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from crm.engine.rulebook import Rulebook
from crm.mapping.field_map import FieldMap
from crm.mapping.kinds import Kind
from crm.model import (
    AppContact,
    BasePair,
    BlankRule,
    Direction,
    Link,
    LinkView,
    OpenConflict,
    Policy,
    RemoteRecord,
    Resolution,
)

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
NAME = FieldMap("m-name", "firstName", "first", Direction.BIDIRECTIONAL, definition="d1")
EMAIL = FieldMap("m-email", "email", "mail", Direction.BIDIRECTIONAL, Kind.EMAIL, Kind.EMAIL, definition="d2")
PHONE = FieldMap(
    "m-phone", "phone", "tel", Direction.BIDIRECTIONAL, Kind.PHONE, Kind.PHONE, definition="d3", region="NL"
)
OPT_OUT = FieldMap(
    "m-out", "emailOptOut", "out", Direction.BIDIRECTIONAL, Kind.BOOLEAN, Kind.BOOLEAN, definition="d4", consent=True
)
MAPS = (NAME, EMAIL, PHONE, OPT_OUT)
BASE = {
    "m-name": BasePair("Ada", "Ada", "d1"),
    "m-email": BasePair("ada@x.nl", "ada@x.nl", "d2"),
    "m-phone": BasePair("+31612345678", "06 12345678", "d3"),
    "m-out": BasePair(False, False, "d4"),
}
APP = {"firstName": "Ada", "email": "ada@x.nl", "phone": "+31612345678", "emailOptOut": False}
CRM = {"first": "Ada", "mail": "ada@x.nl", "tel": "06 12345678", "out": False}


def book(*maps: FieldMap, **policy: object) -> Rulebook:
    return Rulebook("contact", maps or MAPS, Policy(**policy), "rules-1", deleted_tag="deleted in CRM")  # type: ignore[arg-type]


def contact(contact_id: str = "c1", version: int = 3, **values: object) -> AppContact:
    state = values.pop("state", None)
    made = AppContact(contact_id, version, {**APP, **values})  # type: ignore[arg-type]
    return replace(made, state=state) if state is not None else made  # type: ignore[arg-type]


def record(remote_id: str = "r1", *, without: tuple[str, ...] = (), **values: object) -> RemoteRecord:
    settings = {name: values.pop(name) for name in ("state", "merged_into", "marker", "former_ids") if name in values}
    fields = {name: value for name, value in {**CRM, **values}.items() if name not in without}
    return RemoteRecord("contact", remote_id, fields, modified_at=NOON, **settings)  # type: ignore[arg-type]


def view(held_by: AppContact | None = None, link: dict[str, object] | None = None, **more: object) -> LinkView:
    owner = held_by or contact()
    made = Link("l1", owner.contact_id, "contact", "r1", base=BASE, synced_version=3, remote_modified_at=NOON)
    return LinkView(replace(made, **(link or {})), owner, **more)  # type: ignore[arg-type]


def question(mapping_id: str = "m-name", app: object = "Ada A", crm: object = "Ada C") -> OpenConflict:
    from crm.model import ConflictKind

    return OpenConflict("q1", ConflictKind.FIELD, mapping_id, app, crm)  # type: ignore[arg-type]


def answer(side: object, value: object = None, app: object = "Ada A", crm: object = "Ada C") -> Resolution:
    return Resolution("q1", side, value, app, crm)  # type: ignore[arg-type]


def never_blank(field_map: FieldMap) -> FieldMap:
    return replace(field_map, blank_rule=BlankRule.NEVER)
