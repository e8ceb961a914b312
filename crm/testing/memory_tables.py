"""Tables in memory with one transaction at a time: what the block wrote is undone when it raises."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, MutableMapping, ValuesView
from typing import Any, Final, TypeVar, overload

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

_ABSENT: Final = object()


class Journal:
    """The undo log shared by the tables of one world. Costs what a transaction touches, not what exists."""

    __slots__ = ("_undo",)

    def __init__(self) -> None:
        self._undo: list[tuple[dict[Any, Any], Any, object]] | None = None

    @property
    def is_open(self) -> bool:
        return self._undo is not None

    def begin(self) -> None:
        """Open a transaction. A second one inside is a mistake of the caller and raises RuntimeError."""
        if self._undo is not None:
            raise RuntimeError("a unit is open already: units do not nest")
        self._undo = []

    def note(self, rows: dict[Any, Any], key: Any) -> None:
        if self._undo is not None:
            self._undo.append((rows, key, rows.get(key, _ABSENT)))

    def commit(self) -> None:
        self._undo = None

    def rollback(self) -> None:
        for rows, key, before in reversed(self._undo or []):
            if before is _ABSENT:
                rows.pop(key, None)
            else:
                rows[key] = before
        self._undo = None


class Table(MutableMapping[K, V]):
    """A dictionary whose writes can be undone. Rows are replaced, never changed in place."""

    __slots__ = ("_journal", "_rows")

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._rows: dict[K, V] = {}

    def fork(self, journal: Journal) -> Table[K, V]:
        """A table of its own with the same rows."""
        twin: Table[K, V] = Table(journal)
        twin._rows = dict(self._rows)
        return twin

    def __getitem__(self, key: K) -> V:
        return self._rows[key]

    def __setitem__(self, key: K, row: V) -> None:
        self._journal.note(self._rows, key)
        self._rows[key] = row

    def __delitem__(self, key: K) -> None:
        self._journal.note(self._rows, key)
        del self._rows[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, /, default: V | T) -> V | T: ...
    def get(self, key: K, /, default: Any = None) -> Any:
        return self._rows.get(key, default)

    def values(self) -> ValuesView[V]:
        return self._rows.values()

    def items(self) -> ItemsView[K, V]:
        return self._rows.items()

    def drop(self, key: K) -> None:
        """Delete the row if it is there."""
        if key in self._rows:
            del self[key]
