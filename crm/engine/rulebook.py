"""By which rules one record type of one connection is synced."""

from __future__ import annotations

from dataclasses import dataclass, field

from crm.mapping.field_map import FieldMap
from crm.model import Policy


@dataclass(frozen=True, slots=True)
class Rulebook:
    """Mapping and policy of one record type of one connection, as of the start of a run."""

    record_type: str
    maps: tuple[FieldMap, ...]
    policy: Policy
    digest: str
    """Changes with mapping and policy: an approved line does not outlive it."""
    deleted_tag: str = ""
    """Tag for a contact whose record was deleted in the CRM."""
    remote_fields: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = tuple(dict.fromkeys(field_map.remote_field for field_map in self.maps))
        object.__setattr__(self, "remote_fields", names)

    @property
    def awaits_scan(self) -> bool:
        """A mapping was changed since the last complete scan."""
        return any(field_map.awaits_scan for field_map in self.maps)
