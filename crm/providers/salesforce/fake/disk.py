"""The org on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from crm.providers.salesforce.fake.answers import Json
from crm.providers.salesforce.fake.grants import Grants
from crm.providers.salesforce.fake.rules import OrgRules
from crm.providers.salesforce.fake.state import Record, Shadow, State
from crm.testing.account_file import AccountFile


class Disk(AccountFile[tuple[str, str]]):
    form = {"format": "salesforce-fake", "version": 1}
    tables = ("counter", "schema", "settings", "tokens")

    def __init__(self, path: Path, state: State, grants: Grants, rules: OrgRules) -> None:
        self._state = state
        self._grants = grants
        self._rules = rules
        super().__init__(path, state)

    def table_line(self, name: str) -> Json:
        match name:
            case "counter":
                return {"counter": self._state.next_number}
            case "schema":
                return {"schema": self._state.schema.saved()}
            case "settings":
                return {"settings": self._rules.saved()}
        return {"tokens": self._grants.saved()}

    def record_line(self, key: tuple[str, str]) -> Json | None:
        kind, record_id = key
        record = self._state.tables[kind].records.get(record_id)
        if record is None:
            return None
        return {"record": [kind, record_id], "values": record.values, "shadow": record.shadow}

    def keys(self) -> Iterator[tuple[str, str]]:
        return ((kind, id_) for kind, table in self._state.tables.items() for id_ in table.records)

    def load_records(self, lines: dict[tuple[str, str], Json]) -> None:
        for table in self._state.tables.values():
            table.clear()
        for (kind, record_id), line in lines.items():
            shadow = Shadow(*line["shadow"]) if line["shadow"] else None
            self._state.insert(Record(kind, record_id, line["values"], shadow))

    def load_table(self, line: Json) -> None:
        match line:
            case {"counter": number}:
                self._state.next_number = number
            case {"schema": saved}:
                self._state.load_schema(saved)
            case {"settings": saved}:
                for name, value in saved.items():
                    setattr(self._rules, name, value)
            case {"tokens": saved}:
                self._grants.load(saved)
