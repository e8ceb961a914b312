"""Descriptions of record types: as they were stored, or asked for, once a connector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from crm.errors import CrmError, PermissionMissingError, RecordGoneError
from crm.mapping.kinds import Kind
from crm.model import FieldDefinition
from crm.providers.salesforce import links, mapping, policies
from crm.providers.salesforce.client import SalesforceClient
from crm.providers.salesforce.wire import WireField


class Listing:
    """``note_kind``: what notes are, ``policies.DETECT`` where the organization is to be asked."""

    def __init__(
        self, client: SalesforceClient, stored: Mapping[str, Sequence[FieldDefinition]], note_kind: str
    ) -> None:
        self._client = client
        self._listed = {
            record_type: {each.name: each for each in definitions}
            for record_type, definitions in stored.items()
            if definitions
        }
        self._ahead: dict[str, list[WireField] | CrmError] = {}
        """Answers that came along with another type's: each is taken once."""
        self.note_type = "" if note_kind == policies.DETECT else note_kind
        """``""`` while nobody has asked."""

    def describe(self, record_type: str) -> list[FieldDefinition]:
        """Contacts and leads by one request: who asks for one of them asks for the other next."""
        if record_type in mapping.PEOPLE and record_type not in self._ahead:
            self._ahead = self._client.describe_all(mapping.PEOPLE)
        found = self._ahead.pop(record_type, None)
        if found is None or isinstance(found, CrmError):
            found = self._client.describe(record_type)  # by itself it says in its own words why not
        return self._learn(record_type, found)

    def renew(self, record_type: str) -> None:
        """Ask for this one alone, now: something has changed."""
        self._ahead.clear()
        self._learn(record_type, self._client.describe(record_type))

    def _learn(self, record_type: str, fields: list[WireField]) -> list[FieldDefinition]:
        found = mapping.definitions(record_type, fields) + links.definitions(record_type)
        self._listed[record_type] = {each.name: each for each in found}
        return found

    def fields(self, record_type: str) -> dict[str, FieldDefinition]:
        """By name. Asks for them where they are not known."""
        if record_type not in self._listed:
            self.renew(record_type)
        return self._listed[record_type]

    def known(self, record_types: Iterable[str]) -> list[dict[str, FieldDefinition]]:
        """Those of them that are known without asking."""
        return [self._listed[each] for each in record_types if each in self._listed]

    def without_relation(self, record_type: str, relation: str) -> None:
        """The log-in may not follow it (``Account``): its fields (``Account.Name``) are not asked for again."""
        listed = self._listed[record_type]
        self._listed[record_type] = {name: each for name, each in listed.items() if not name.startswith(f"{relation}.")}

    def type_of(self, record_type: str) -> str:
        """Notes are the kind that the connection chose, or that the organization shows, which is asked once."""
        if record_type != policies.NOTE:
            return record_type
        if not self.note_type:
            self.note_type = policies.CONTENT_NOTE
            try:
                self.describe(policies.CONTENT_NOTE)
            except (PermissionMissingError, RecordGoneError):
                self.note_type = policies.NOTE
        return self.note_type

    def selected(self, record_type: str, fields: Sequence[str]) -> list[str]:
        """What a query for these fields names."""
        plain = [name for name in fields if not links.is_own(record_type, name)]
        return mapping.selected(plain, self.fields(record_type))

    def kinds(self, record_type: str, fields: Sequence[str]) -> dict[str, Kind]:
        """Of those among the fields that a row holds itself."""
        listed = self.fields(record_type)
        return {
            name: Kind.of(listed[name].kind)
            for name in fields
            if name in listed and not links.is_own(record_type, name)
        }
