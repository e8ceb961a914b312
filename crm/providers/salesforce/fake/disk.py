"""The org on disk: a journal of lines, each a whole record or table, the last one of a kind winning.

Opening it rewrites the file without what was overtaken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from crm.providers.salesforce.fake.answers import Json
from crm.providers.salesforce.fake.grants import Grants
from crm.providers.salesforce.fake.rules import OrgRules
from crm.providers.salesforce.fake.state import Record, Shadow, State
from crm.testing.journal import JournalFile

FORMAT: Final = {"format": "salesforce-fake", "version": 1}


class Disk:
    """Loads ``state`` from ``path`` and keeps it there. Raises ValueError for a file of another kind."""

    def __init__(self, path: Path, state: State, grants: Grants, rules: OrgRules) -> None:
        self._file = JournalFile(path, FORMAT)
        self._state = state
        self._grants = grants
        self._rules = rules
        self._journal_lines: list[Json] = []
        self._load()
        self._file.rewrite(self._everything())
        state.on_journal = self._journal_lines.append
        state.dirty_records.clear()
        state.dirty_tables.clear()

    def flush(self) -> None:
        """Write what changed since the last call."""
        state = self._state
        if not (state.dirty_records or state.dirty_tables or self._journal_lines):
            return
        lines = [*self._table_lines(state.dirty_tables), *self._record_lines(state.dirty_records)]
        lines += [{"journal": entry} for entry in self._journal_lines]
        self._file.append(lines)
        state.dirty_records.clear()
        state.dirty_tables.clear()
        self._journal_lines.clear()

    def close(self) -> None:
        self._file.close()

    # Writing ---------------------------------------------------------------------------------------------------

    def _everything(self) -> Iterator[Json]:
        state = self._state
        yield from self._table_lines(("counter", "schema", "settings", "tokens"))
        yield from self._record_lines((kind, id_) for kind, table in state.tables.items() for id_ in table.records)
        yield from ({"journal": entry} for entry in state.journal)

    def _table_lines(self, names: Iterable[str]) -> Iterator[Json]:
        for name in sorted(names):
            match name:
                case "counter":
                    yield {"counter": self._state.next_number}
                case "schema":
                    yield {"schema": self._state.schema.saved()}
                case "settings":
                    yield {"settings": self._rules.saved()}
                case "tokens":
                    yield {"tokens": self._grants.saved()}

    def _record_lines(self, keys: Iterable[tuple[str, str]]) -> Iterator[Json]:
        for kind, record_id in keys:
            record = self._state.tables[kind].records.get(record_id)
            if record is None:
                yield {"gone": [kind, record_id]}
            else:
                yield {"record": [kind, record_id], "values": record.values, "shadow": record.shadow}

    # Reading ---------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        records: dict[tuple[str, str], Json] = {}
        found = False
        for line in self._file.lines():
            found = True
            match line:
                case {"record": [kind, record_id]}:
                    records[kind, record_id] = line
                case {"gone": [kind, record_id]}:
                    records.pop((kind, record_id), None)
                case {"journal": entry}:
                    self._state.journal.append(entry)
                case _:
                    self._load_table(line)
        if not found:
            return
        for table in self._state.tables.values():
            table.clear()
        for (kind, record_id), line in records.items():
            shadow = Shadow(*line["shadow"]) if line["shadow"] else None
            self._state.insert(Record(kind, record_id, line["values"], shadow))

    def _load_table(self, line: Json) -> None:
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
