"""What is known of the fields of one record type, given or looked up once, and what a name means by it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from crm.errors import FieldRefusal
from crm.mapping.kinds import Kind
from crm.model import FieldDefinition
from crm.providers.pipedrive import fields
from crm.providers.pipedrive.client import Records
from crm.providers.pipedrive.objects import PERSONS, RecordType

_CONTACT_SYNC: Final = frozenset({"postal_address", "notes", "birthday", "job_title"})
"""Fields a person has only where the company set up Contact Sync: elsewhere sending one refuses the whole record."""


class Schema:
    def __init__(self, kind: RecordType, records: Records, given: Sequence[FieldDefinition]) -> None:
        self._kind = kind
        self._records = records
        self._known = {each.name: each for each in given}
        self._was_read = False

    def learn(self, definitions: Iterable[FieldDefinition]) -> None:
        """These are all the fields there are."""
        self._was_read = True
        self._known = {each.name: each for each in definitions}

    def add(self, definitions: Iterable[FieldDefinition]) -> None:
        self._known |= {each.name: each for each in definitions}

    def read(self) -> None:
        """From Pipedrive: one request."""
        if self._kind.fields:
            self.learn(fields.definitions(self._kind, self._records.fields(self._kind), ()))

    @property
    def has_whole_names_only(self) -> bool:
        """No first and last names among a person's fields, as far as they are known."""
        return bool(self._known) and "first_name" not in self._known

    def known_marker(self) -> str:
        return fields.marker_code(self._known.values())

    def marker(self) -> str:
        """The code of our marker field, ``""`` when there is none; looked up when it is not among the given."""
        if not self._kind.has_custom_fields:
            return ""
        if not self.known_marker():
            self._read_once()
        return self.known_marker()

    def kinds(self, names: Iterable[str]) -> dict[str, Kind]:
        """Looks the definitions up when a custom field, or one that not every company has, is not among the given."""
        wanted = list(names)
        bases = [name.partition(".")[0] for name in wanted]
        is_lacking = any(
            fields.is_hash(base) and name not in self._known for name, base in zip(wanted, bases, strict=True)
        )
        is_optional = self._kind.key == PERSONS and not _CONTACT_SYNC.isdisjoint(bases)
        if is_lacking or (is_optional and not self._known):
            self._read_once()
        return {name: self._kind_of(name) for name in wanted}

    def _kind_of(self, name: str) -> Kind:
        known = self._known.get(name)
        if known is not None:
            return Kind.of(known.kind)
        return self._kind.standard.get(name) or fields.part_kind(name) or Kind.TEXT

    def refusal(self, name: str) -> FieldRefusal | None:
        """Why a name is not sent at all: Pipedrive would refuse the whole record, or write something else."""
        known = self._known.get(name)
        if known is not None:
            return None if known.writable else FieldRefusal("field.readonly", "Pipedrive does not let it be written")
        base = name.partition(".")[0]
        if base in _CONTACT_SYNC and self._kind.key == PERSONS and self._known:
            return FieldRefusal("field.missing", "The company has not set up Contact Sync")
        if fields.is_hash(base) or name in self._kind.writable or fields.part_kind(name) is not None:
            return None
        return FieldRefusal("field.readonly" if name in self._kind.standard else "field.missing")

    def _read_once(self) -> None:
        if not self._was_read:
            self.read()
