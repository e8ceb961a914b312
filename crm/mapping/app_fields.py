"""ADSapp's own contact fields: the guide's camelCase names, where they are kept and what they hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from crm.mapping.kinds import Kind

CUSTOM_PREFIX: Final = "custom."
_CUSTOM_NAME: Final = re.compile(r"^custom\.[A-Za-z_][A-Za-z0-9_-]{0,99}\Z")


@dataclass(frozen=True, slots=True)
class AppField:
    name: str
    attribute: str
    """Attribute of the contact; for a custom field the key inside ``custom_fields``."""
    kind: Kind
    max_length: int | None = None
    """Characters that the contact's column takes; None where it takes what a transform takes."""
    consent: bool = False
    """True means opted out."""
    custom: bool = False


APP_FIELDS: Final[Mapping[str, AppField]] = {
    field.name: field
    for field in (
        AppField("firstName", "first_name", Kind.NAME),
        AppField("lastName", "last_name", Kind.NAME),
        AppField("email", "email", Kind.EMAIL),
        AppField("phone", "phone", Kind.PHONE),
        AppField("whatsappNumber", "whatsapp_number", Kind.PHONE),
        AppField("company", "company", Kind.NAME),
        AppField("jobTitle", "job_title", Kind.TEXT),
        AppField("street", "street", Kind.TEXT),
        AppField("city", "city", Kind.TEXT),
        AppField("region", "region", Kind.TEXT),
        AppField("postalCode", "postal_code", Kind.TEXT),
        AppField("country", "country", Kind.COUNTRY),
        AppField("language", "language", Kind.TEXT),
        AppField("birthday", "birthday", Kind.DATE),
        AppField("notes", "notes", Kind.TEXT),
        AppField("tags", "tags", Kind.TAGS),
        AppField("emailOptOut", "email_opt_out", Kind.BOOLEAN, consent=True),
        AppField("whatsappOptOut", "whatsapp_opt_out", Kind.BOOLEAN, consent=True),
        AppField("owner", "owner", Kind.REFERENCE),
    )
}


_NAMES: Final = {field.attribute: field.name for field in APP_FIELDS.values()}


def name_of_attribute(attribute: str) -> str:
    """What mappings and people call a contact's attribute: ``jobTitle`` for ``job_title``; others as they are."""
    return _NAMES.get(attribute, attribute)


def app_field(name: str) -> AppField | None:
    """The field of this name; None when there is none. ``custom.<key>`` is any key of the custom fields."""
    known = APP_FIELDS.get(name)
    if known is None and _CUSTOM_NAME.match(name):
        return AppField(name, name.removeprefix(CUSTOM_PREFIX), Kind.TEXT, custom=True)
    return known
