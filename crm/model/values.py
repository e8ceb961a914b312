"""What a field can hold, and what a CRM says of a field."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

Value = str | bool | int | float | None | tuple[str, ...]
"""A field value in JSON terms. ``None`` is blank; a list of words is a tuple."""


class Unknown(enum.Enum):
    """Not readable, or not in the answer: neither blank nor equal to anything."""

    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown.UNKNOWN


Seen = Value | Unknown
"""What was seen of a field: a value, or that it could not be seen."""


@dataclass(frozen=True, slots=True)
class Interval:
    """When something changed: after ``earliest`` (or unknown) and not after ``latest``."""

    earliest: datetime | None
    latest: datetime | None
    imported: bool = False
    """The time of an import says nothing about when a person edited the value."""


@dataclass(frozen=True, slots=True)
class FieldDefinition:
    """One field as the CRM's own description gives it."""

    name: str
    label: str
    kind: str
    """One of the mapping's kinds (``crm.mapping.kinds``): text, email, phone, number, boolean, ..."""
    remote_type: str
    """The CRM's own type word; with ``name`` it identifies the definition."""
    writable: bool = True
    createable: bool = True
    required: bool = False
    unique: bool = False
    custom: bool = False
    max_length: int | None = None
    options: tuple[tuple[str, str], ...] = ()
    """(internal value, label) for picklists; empty when free or not listed."""
    multiple: bool = False
    native_id: str = ""
    """The CRM's id of the field where it has one apart from the name (Pipedrive)."""

    @property
    def fingerprint(self) -> str:
        """Changes when the field became another one: the base of its mapping is dropped then."""
        return f"{self.name}:{self.remote_type}:{self.native_id}"


JsonObject = dict[str, Any]
