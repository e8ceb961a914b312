"""What a made-up CRM is like: its fields, its rules and the ugly parts of its API, drawn by seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from crm.model import FieldDefinition, Value


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One field of the CRM and what it does with a value."""

    name: str
    kind: str
    label: str = ""
    stores: Callable[[Value], Value] = lambda value: value
    """The form in which the CRM keeps a value: its own normalisation, idempotent."""
    required: bool = False
    options: tuple[str, ...] = ()
    max_length: int | None = None
    refuses: str = ""
    """A text that no value may contain (a validation rule of the account)."""

    @property
    def definition(self) -> FieldDefinition:
        return FieldDefinition(
            name=self.name,
            label=self.label or self.name,
            kind=self.kind,
            remote_type=self.kind,
            required=self.required,
            max_length=self.max_length,
            options=tuple((option, option.title()) for option in self.options),
            multiple=self.kind == "tags",
        )


@dataclass(frozen=True, slots=True)
class Automation:
    """A workflow of the account: some seconds after ``field`` changed, ``sets`` of it is written."""

    field: str
    sets: Callable[[Value], Value]
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class Nature:
    """One kind of CRM. Times in seconds."""

    name: str
    fields: Mapping[str, FieldRule]
    stamp_seconds: float = 0.001
    """Modification stamps are cut to this."""
    lag_seconds: float = 0.0
    """A change becomes visible to ``changes`` up to this much later than its stamp says."""
    index_lags: bool = False
    """``changes`` reads a search index that shows the record as it was meanwhile; reads by id are not
    affected. Else the change itself comes late, with the stamp of when it began (a long transaction)."""
    overlap_seconds: float = 0.0
    """The lag that the connector declares."""
    clock_offset_seconds: float = 0.0
    page_size: int = 3
    read_batch: int = 10
    write_batch: int = 10
    delta_shows_deletions: bool = False
    reads_ahead: bool = False
    """The next page of a scan is read before the last one is stored."""
    returns_values: bool = True
    marker_allowed: bool = True
    marker_lookup: bool = True
    marker_unique: bool = True
    field_history: bool = False
    conditional_update: bool = False
    tells_by_us: bool = False
    merge_gives_new_id: bool = False
    survivor_lists_former: bool = True
    deleted_are_shown: bool = True
    """A read of a deleted record says ARCHIVED; else it is MISSING."""
    unique_email: bool = False
    drops_refused_fields: bool = False
    """A refused field is left out and the rest written; else the whole item is refused."""
    names_refused_fields: bool = True
    automations: tuple[Automation, ...] = ()


def _trimmed(value: Value) -> Value:
    return " ".join(value.split()) or None if isinstance(value, str) else value


def _lowered(value: Value) -> Value:
    return value.strip().lower() or None if isinstance(value, str) else value


def _titled(value: Value) -> Value:
    return " ".join(value.split()).title() or None if isinstance(value, str) else value


def _dialled(value: Value) -> Value:
    """``+31 6 1234-5678`` as ``+31612345678``; what is no such number stays."""
    if not isinstance(value, str):
        return value
    digits = "".join(ch for ch in value if ch.isdigit() or ch == "+")
    return digits if digits.startswith("+") and len(digits) > 8 else value.strip() or None


def _whole(value: Value) -> Value:
    """Two decimals, as a currency field keeps them."""
    return round(value, 2) if isinstance(value, float) else value


def _sorted_words(value: Value) -> Value:
    return tuple(sorted(set(value))) or None if isinstance(value, tuple) else value


TIERS: Final = ("bronze", "silver", "gold", "black")

_PLAIN: Final = (
    FieldRule("firstname", "text", max_length=40, refuses="#"),
    FieldRule("lastname", "text", max_length=40),
    FieldRule("email", "email", stores=_lowered),
    FieldRule("phone", "phone"),
    FieldRule("company", "text"),
    FieldRule("score", "number"),
    FieldRule("active", "boolean"),
    FieldRule("tier", "choice", options=TIERS),
    FieldRule("labels", "tags"),
    FieldRule("optout", "boolean"),
    FieldRule("internal_note", "text"),
)


def _fields(**changed: FieldRule) -> Mapping[str, FieldRule]:
    return {rule.name: changed.get(rule.name, rule) for rule in _PLAIN}


_RULES: Final = {rule.name: rule for rule in _PLAIN}

HUBSPOT_LIKE: Final = Nature(
    name="hubspot-like",
    fields=_fields(
        firstname=replace(_RULES["firstname"], stores=_trimmed),
        labels=replace(_RULES["labels"], stores=_sorted_words),
    ),
    lag_seconds=30.0,
    index_lags=True,
    overlap_seconds=60.0,
    field_history=True,
    merge_gives_new_id=True,
    unique_email=True,
    tells_by_us=False,
    reads_ahead=True,
)
SALESFORCE_LIKE: Final = Nature(
    name="salesforce-like",
    fields=_fields(
        lastname=replace(_RULES["lastname"], required=True, stores=_trimmed),
        phone=replace(_RULES["phone"], stores=_dialled),
        score=replace(_RULES["score"], stores=_whole),
    ),
    stamp_seconds=1.0,
    lag_seconds=10.0,
    overlap_seconds=30.0,
    delta_shows_deletions=True,
    returns_values=False,
    conditional_update=True,
    tells_by_us=True,
    survivor_lists_former=False,
    drops_refused_fields=False,
)
PIPEDRIVE_LIKE: Final = Nature(
    name="pipedrive-like",
    fields=_fields(
        firstname=replace(_RULES["firstname"], stores=_titled),
        phone=replace(_RULES["phone"], stores=_dialled),
    ),
    stamp_seconds=1.0,
    lag_seconds=2.0,
    overlap_seconds=5.0,
    marker_lookup=False,
    marker_unique=False,
    survivor_lists_former=False,
    names_refused_fields=False,
)
NATURES: Final = (HUBSPOT_LIKE, SALESFORCE_LIKE, PIPEDRIVE_LIKE)


def draw_nature(draw: random.Random) -> Nature:
    """One of the three, made worse here and there."""
    nature = draw.choice(NATURES)
    changes: dict[str, Any] = {"page_size": draw.choice((1, 2, 3, 5, 50))}
    if draw.random() < 0.3:
        changes["clock_offset_seconds"] = draw.choice((-7200.0, -90.0, 90.0, 7200.0))
    if draw.random() < 0.2:
        changes["stamp_seconds"] = 0.001 if nature.index_lags else draw.choice((0.001, 1.0, 60.0))
        changes["overlap_seconds"] = max(nature.overlap_seconds, nature.lag_seconds + changes["stamp_seconds"])
    if draw.random() < 0.2:
        changes["marker_allowed"] = False
    if draw.random() < 0.3:
        changes["marker_unique"] = False
    if draw.random() < 0.2:
        changes["deleted_are_shown"] = False
    if draw.random() < 0.2:
        changes["drops_refused_fields"] = True
    if draw.random() < 0.25:
        changes["automations"] = draw.choice(AUTOMATIONS)
    return replace(nature, **changes)


AUTOMATIONS: Final = (
    (Automation("company", _titled, 2.0),),
    (Automation("score", lambda value: min(value, 100) if isinstance(value, int | float) else value, 40.0),),
    (Automation("tier", lambda value: "gold" if value == "black" else value, 0.5),),
    (Automation("tier", lambda value: "black" if value == "gold" else value, 0.5),),
)
