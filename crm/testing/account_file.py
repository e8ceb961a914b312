"""What a fake remembers of its account from one start to the next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from crm.testing.journal import JournalFile

Json = dict[str, Any]
Key = TypeVar("Key", bound=tuple[Any, ...])


class KeptState(Protocol[Key]):
    """What changed since it was last written down: records and tables by name, and each entry of the journal."""

    journal: list[Json]
    dirty_records: dict[Key, None]
    dirty_tables: set[str]
    on_journal: Callable[[Json], None]


class AccountFile(ABC, Generic[Key]):
    """Loads ``state`` from ``path`` and keeps it there: a fake says how a record and a table become a line and back.

    A line ``record`` begins with its key, a line ``gone`` is the key of a record that went. Opening the file rewrites
    it without what was overtaken. Raises ValueError for a file of another kind.
    """

    form: ClassVar[Mapping[str, Any]]
    tables: ClassVar[tuple[str, ...]]

    def __init__(self, path: Path, state: KeptState[Key]) -> None:
        self._file = JournalFile(path, self.form)
        self._kept = state
        self._entries: list[Json] = []
        self._load()
        self._file.rewrite(self._lines(self.tables, self.keys(), state.journal))
        state.on_journal = self._entries.append
        state.dirty_records.clear()
        state.dirty_tables.clear()

    @abstractmethod
    def table_line(self, name: str) -> Json: ...

    @abstractmethod
    def record_line(self, key: Key) -> Json | None:
        """None for a record that is gone."""

    @abstractmethod
    def keys(self) -> Iterable[Key]:
        """Of every record there is."""

    @abstractmethod
    def load_table(self, line: Json) -> None: ...

    @abstractmethod
    def load_records(self, lines: dict[Key, Json]) -> None:
        """The newest line of each record; called after the tables, and for a file with something in it only."""

    def flush(self) -> None:
        """Write what changed since the last call."""
        state = self._kept
        if not (state.dirty_records or state.dirty_tables or self._entries):
            return
        self._file.append([*self._lines(sorted(state.dirty_tables), state.dirty_records, self._entries)])
        state.dirty_records.clear()
        state.dirty_tables.clear()
        self._entries.clear()

    def close(self) -> None:
        self._file.close()

    def _lines(self, tables: Iterable[str], keys: Iterable[Key], entries: Iterable[Json]) -> Iterator[Json]:
        for name in tables:
            yield self.table_line(name)
        for key in keys:
            yield self.record_line(key) or {"gone": list(key)}
        for entry in entries:
            yield {"journal": entry}

    def _load(self) -> None:
        records: dict[Any, Json] = {}
        found = False
        for line in self._file.lines():
            found = True
            match line:
                case {"record": [kind, record_id, *_]}:
                    records[kind, record_id] = line
                case {"gone": [kind, record_id]}:
                    records.pop((kind, record_id), None)
                case {"journal": entry}:
                    self._kept.journal.append(entry)
                case _:
                    self.load_table(line)
        if found:
            self.load_records(records)
