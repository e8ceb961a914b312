"""The org on disk: a journal of lines, each a whole record or table, the last one of a kind winning.

A line is written and handed to the system before the answer goes out, so ``kill -9`` loses at most the write
under way; a line cut short is skipped. Opening the file rewrites it without what was overtaken.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TextIO

from crm.providers.salesforce.fake.answers import Json
from crm.providers.salesforce.fake.grants import Grants
from crm.providers.salesforce.fake.rules import OrgRules
from crm.providers.salesforce.fake.state import Record, Shadow, State

FORMAT: Final = {"format": "salesforce-fake", "version": 1}


class Disk:
    """Loads ``state`` from ``path`` and keeps it there. Raises ValueError for a file of another kind."""

    def __init__(self, path: Path, state: State, grants: Grants, rules: OrgRules) -> None:
        self._path = path
        self._state = state
        self._grants = grants
        self._rules = rules
        self._journal_lines: list[Json] = []
        if path.exists():
            self._load()
        self._file = self._rewrite()
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
        self._file.write("".join(_line(line) for line in lines))
        self._file.flush()
        state.dirty_records.clear()
        state.dirty_tables.clear()
        self._journal_lines.clear()

    def close(self) -> None:
        self._file.close()

    # Writing ---------------------------------------------------------------------------------------------------

    def _rewrite(self) -> TextIO:
        """A fresh file beside the old one, put in its place in one step."""
        state = self._state
        fresh = self._path.with_name(f"{self._path.name}.new")
        everything = [(kind, record_id) for kind, table in state.tables.items() for record_id in table.records]
        file = fresh.open("w", encoding="utf-8", errors="surrogatepass")
        file.write(_line(FORMAT))
        for line in self._table_lines(("counter", "schema", "settings", "tokens")):
            file.write(_line(line))
        for line in self._record_lines(everything):
            file.write(_line(line))
        for entry in state.journal:
            file.write(_line({"journal": entry}))
        file.flush()
        fresh.replace(self._path)
        return file

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
        with self._path.open(encoding="utf-8", errors="surrogatepass") as file:
            first = file.readline()
            if _parsed(first) != FORMAT:
                raise ValueError(f"{self._path.name} is not a file of this fake")
            for text in file:
                line = _parsed(text)
                if line is None:
                    continue
                match line:
                    case {"record": [kind, record_id]}:
                        records[kind, record_id] = line
                    case {"gone": [kind, record_id]}:
                        records.pop((kind, record_id), None)
                    case {"journal": entry}:
                        self._state.journal.append(entry)
                    case _:
                        self._load_table(line)
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


def _line(value: Json) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n"


def _parsed(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
