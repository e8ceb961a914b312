"""Whether a CRM that refused a record may take it now, by how it describes its fields before and after."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from crm.model import FieldDefinition


def may_take_more(
    before: Mapping[str, FieldDefinition], after: Mapping[str, FieldDefinition], mapped: Collection[str]
) -> bool:
    """True where a mapped field came, or its rules became others, or a field that had to be filled no longer has to.

    Both descriptions are of one record type, by field name. New labels, another order of a list's values and fields
    that nobody maps open nothing.
    """
    freed = any(was.required and not (name in after and after[name].required) for name, was in before.items())
    return freed or any(
        name in after and (name not in before or _rules(before[name]) != _rules(after[name])) for name in mapped
    )


def _rules(field: FieldDefinition) -> FieldDefinition:
    return replace(field, label="", options=tuple(sorted((value, "") for value, _label in field.options)))
