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
    consent: bool = False
    """True means opted out."""
    custom: bool = False


APP_FIELDS: Final[Mapping[str, AppField]] = {
    field.name: field
    for field in (
        AppField("firstName", "first_name", Kind.NAME, 150),
        AppField("lastName", "last_name", Kind.NAME, 150),
        AppField("email", "email", Kind.EMAIL, 254),
        AppField("phone", "phone", Kind.PHONE, 64),
        AppField("whatsappNumber", "whatsapp_number", Kind.PHONE, 64),
        AppField("company", "company", Kind.NAME, 255),
        AppField("jobTitle", "job_title", Kind.TEXT, 255),
        AppField("street", "street", Kind.TEXT, 500),
        AppField("city", "city", Kind.TEXT, 255),
        AppField("region", "region", Kind.TEXT, 255),
        AppField("postalCode", "postal_code", Kind.TEXT, 32),
        AppField("country", "country", Kind.COUNTRY, 100),
        AppField("language", "language", Kind.TEXT, 35),
        AppField("birthday", "birthday", Kind.DATE),
        AppField("notes", "notes", Kind.TEXT, 65_536),
        AppField("tags", "tags", Kind.TAGS),
        AppField("emailOptOut", "email_opt_out", Kind.BOOLEAN, consent=True),
        AppField("whatsappOptOut", "whatsapp_opt_out", Kind.BOOLEAN, consent=True),
        AppField("owner", "owner", Kind.REFERENCE, 255),
    )
}


def app_field(name: str) -> AppField | None:
    """The field of this name; None when there is none. ``custom.<key>`` is any key of the custom fields."""
    known = APP_FIELDS.get(name)
    if known is None and _CUSTOM_NAME.match(name):
        return AppField(name, name.removeprefix(CUSTOM_PREFIX), Kind.TEXT, custom=True)
    return known
