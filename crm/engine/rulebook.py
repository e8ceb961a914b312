"""By which rules one record type of one connection is synced."""

from __future__ import annotations

from collections.abc import Mapping
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
    by_id: Mapping[str, FieldMap] = field(init=False, repr=False, compare=False)
    region: str = field(init=False, repr=False, compare=False)
    """By whose rules the app's phone numbers are read."""

    def __post_init__(self) -> None:
        names = tuple(dict.fromkeys(field_map.remote_field for field_map in self.maps))
        object.__setattr__(self, "remote_fields", names)
        object.__setattr__(self, "by_id", {field_map.mapping_id: field_map for field_map in self.maps})
        region = next((field_map.region for field_map in self.maps if field_map.app_field == "phone"), "")
        object.__setattr__(self, "region", region)

    @property
    def awaits_scan(self) -> bool:
        """A mapping was changed since the last complete scan."""
        return any(field_map.awaits_scan for field_map in self.maps)
