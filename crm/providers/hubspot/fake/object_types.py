"""The objects that exist, their names, ids and default properties.

Pages: https://developers.hubspot.com/docs/guides/crm/using-object-apis (names, type ids),
https://developers.hubspot.com/docs/api-reference/search/guide (default properties).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from crm.providers.hubspot.fake.answers import unknown_type


@dataclass(frozen=True, slots=True)
class ObjectType:
    """``singular`` is also the prefix of webhook types; ``modified``/``created`` name its stamps."""

    type_id: str
    plural: str
    singular: str
    default_properties: tuple[str, ...]
    is_activity: bool = False
    has_archived_list: bool = True

    @property
    def modified(self) -> str:
        return "lastmodifieddate" if self.type_id == "0-1" else "hs_lastmodifieddate"

    @property
    def created(self) -> str:
        return "hs_createdate" if self.is_activity else "createdate"

    @property
    def label(self) -> str:
        return self.singular.capitalize()

    @property
    def scope(self) -> str:
        """Activities are read and written with the contact scopes (HubSpot docs: scopes)."""
        return f"crm.objects.{'contacts' if self.is_activity else self.plural}"


def _activity(type_id: str, plural: str, singular: str, *, has_archived_list: bool = True) -> ObjectType:
    defaults = ("hs_createdate", "hs_lastmodifieddate", "hs_object_id")
    return ObjectType(type_id, plural, singular, defaults, is_activity=True, has_archived_list=has_archived_list)


CONTACTS: Final = ObjectType(
    "0-1", "contacts", "contact", ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname")
)
COMPANIES: Final = ObjectType(
    "0-2", "companies", "company", ("createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name")
)
DEALS: Final = ObjectType(
    "0-3",
    "deals",
    "deal",
    (
        "amount",
        "closedate",
        "createdate",
        "dealname",
        "dealstage",
        "hs_lastmodifieddate",
        "hs_object_id",
        "pipeline",
    ),
)
OBJECT_TYPES: Final = (
    CONTACTS,
    COMPANIES,
    DEALS,
    _activity("0-18", "communications", "communication"),
    _activity("0-27", "tasks", "task"),
    _activity("0-46", "notes", "note"),
    _activity("0-47", "meetings", "meeting", has_archived_list=False),
    _activity("0-48", "calls", "call"),
    _activity("0-49", "emails", "email"),
)
_BY_TOKEN: Final = {token: kind for kind in OBJECT_TYPES for token in (kind.plural, kind.type_id, kind.singular)}


def object_type(token: str) -> ObjectType:
    """By plural or singular name or type id. Raises 400 as HubSpot does for any other."""
    kind = _BY_TOKEN.get(token.lower())
    if kind is None:
        raise unknown_type(token)
    return kind
