"""States and countries where the organization keeps them as picklists: which of the two fields takes a value. Pure.

https://help.salesforce.com/s/articleView?id=sf.admin_state_country_picklists_integration_behavior.htm (checked
2026-11). With picklists on, ``MailingCountry`` takes only names that the organization knows and ``MailingCountryCode``
their codes; writing one sets the other, and two that disagree are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from crm.errors import FieldRefusal
from crm.model import FieldDefinition, Value

_TEXTS: Final = frozenset({
    "MailingState", "MailingCountry", "OtherState", "OtherCountry", "State", "Country",
})  # fmt: skip


def place(field: str, value: Value, listed: Mapping[str, FieldDefinition]) -> tuple[str, Value] | FieldRefusal:
    """The field to write and its value: by code where it is one, else by a name on the list, else refused."""
    codes = listed.get(f"{field}Code") if field in _TEXTS else None
    if codes is None or not codes.options or not isinstance(value, str) or not value.strip():
        return field, value
    wanted = value.strip().casefold()
    for code, _ in codes.options:
        if code.casefold() == wanted:
            return codes.name, code
    for _, label in codes.options:
        if label.casefold() == wanted:
            return field, label
    if all(code == label for code, label in codes.options):
        return field, value  # the list tells no names: Salesforce judges
    return FieldRefusal("field.picklist", "The organization's list of states and countries does not have it")
