"""Whether a CRM that refused a record may take it now, by how it describes its fields before and after."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from crm.model import FieldDefinition


def may_take_more(
    before: Mapping[str, FieldDefinition], after: Mapping[str, FieldDefinition], mapped: Collection[str]
) -> bool:
    """True where a mapped field came or takes more than before, or a field that had to be filled no longer has to.

    Both descriptions are of one record type, by field name. What only takes less, new labels and fields that nobody
    maps open nothing: what was refused would be refused again.
    """
    freed = any(was.required and not (name in after and after[name].required) for name, was in before.items())
    return freed or any(
        name in after and (name not in before or _takes_more(before[name], after[name])) for name in mapped
    )


def _takes_more(was: FieldDefinition, now: FieldDefinition) -> bool:
    if (was.kind, was.remote_type, was.multiple) != (now.kind, now.remote_type, now.multiple):
        return True
    listed, before = ({value for value, _label in each.options} for each in (now, was))
    return (
        (now.writable and not was.writable)
        or (now.createable and not was.createable)
        or (was.unique and not now.unique)
        or (was.max_length is not None and (now.max_length is None or now.max_length > was.max_length))
        or (bool(before) and (not listed or not listed <= before))
    )
