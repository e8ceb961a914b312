"""The organizations a person is linked to, by exact name: a list of our own instead of a search that lags.

https://developers.pipedrive.com/docs/api/v1/Organizations (checked 2026-09). A name is not unique there: of several the
lowest id counts. An organization is made where allowed, and never renamed from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from crm.errors import ConnectionBlockedError, CrmError, FieldRefusal, TransientError
from crm.normalize import normalize_text
from crm.providers.pipedrive import endpoints, mapping
from crm.providers.pipedrive.client import Records
from crm.providers.pipedrive.objects import ORGANIZATIONS, TYPES
from crm.providers.pipedrive.wire import WireRecord


class Companies:
    """What is known of organizations during the life of one connector."""

    def __init__(self, records: Records, *, may_create: bool) -> None:
        self._records = records
        self._may_create = may_create
        self._kind = TYPES[ORGANIZATIONS]
        self.names: dict[int, str] = {}
        self._ids: dict[str, int] = {}
        self._listed_at: datetime | None = None
        self._unseen: set[int] = set()

    def learn(self, org_ids: Iterable[int]) -> None:
        """Make the names of these known: a few by their ids, many by the whole list, once (500 a request)."""
        lacking = sorted({each for each in org_ids if each not in self.names and each not in self._unseen})
        if not lacking:
            return
        if len(lacking) > endpoints.IDS_BATCH and self._listed_at is None:
            self._list()
            lacking = [each for each in lacking if each not in self.names]
        for start in range(0, len(lacking), endpoints.IDS_BATCH):
            chunk = lacking[start : start + endpoints.IDS_BATCH]
            for wire in self._records.read_ids(self._kind, [str(each) for each in chunk]):
                self._take(wire)
        # Deleted, or not visible to us: asked for once.
        self._unseen |= {each for each in lacking if each not in self.names}

    def resolve(self, names: Iterable[str]) -> tuple[dict[str, int], dict[str, FieldRefusal]]:
        """Name -> id, and the names that stay without one and why. Makes what is missing, each name once."""
        wanted = {name: normalize_text(name) for name in names}
        found: dict[str, int] = {}
        refused: dict[str, FieldRefusal] = {}
        if not wanted:
            return found, refused
        if self._listed_at is None:
            self._list()
        elif any(key not in self._ids for key in wanted.values()):
            self._list_new()
        for name, key in wanted.items():
            if key not in self._ids:
                refusal = self._create(key)
                if refusal is not None:
                    refused[name] = refusal
                    continue
            found[name] = self._ids[key]
        return found, refused

    def _create(self, name: str) -> FieldRefusal | None:
        if not self._may_create:
            return FieldRefusal("field.picklist", "No organization has this name, and making them is switched off")
        try:
            self._take(self._records.create(self._kind, {"name": name}))
        except (ConnectionBlockedError, TransientError):
            raise
        except CrmError as error:
            return FieldRefusal(error.code, error.provider_message)
        return None if name in self._ids else FieldRefusal("field.picklist", "Pipedrive stored another name")

    def _list(self) -> None:
        cursor = ""
        while True:
            page = self._records.list_page(self._kind, cursor, endpoints.PAGE)
            self._listed_at = self._listed_at or page.server_time
            for wire in page.records:
                self._take(wire)
            if not page.cursor or page.cursor == cursor:
                return
            cursor = page.cursor

    def _list_new(self) -> None:
        """Those made by others since the list was read: newest first, until one is older than the list."""
        cursor = ""
        while True:
            page = self._records.newest_page(self._kind, cursor, endpoints.PAGE)
            for wire in page.records:
                self._take(wire)
            added = [mapping.moment(wire.get("add_time")) for wire in page.records]
            is_past = any(each is None or self._listed_at is None or each < self._listed_at for each in added)
            if is_past or not page.cursor or page.cursor == cursor:
                return
            cursor = page.cursor

    def _take(self, wire: WireRecord) -> None:
        org_id, name = wire.get("id"), wire.get("name")
        if not isinstance(org_id, int) or not isinstance(name, str) or wire.get("is_deleted") is True:
            return
        self.names[org_id] = name
        key = normalize_text(name)
        self._ids[key] = min(org_id, self._ids.get(key, org_id))
