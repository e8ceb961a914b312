"""A fake's account on disk: a file of lines, each a whole record or table, the last one of a kind winning."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO


class JournalFile:
    """One JSON object a line, ``form`` being the first.

    A line is handed to the system before ``append`` returns, so ``kill -9`` loses at most the write under way; a line
    cut short is skipped. Lone surrogates come back as they went.
    """

    def __init__(self, path: Path, form: Mapping[str, Any]) -> None:
        self._path = path
        self._form = dict(form)
        self._file: TextIO | None = None

    def lines(self) -> Iterator[dict[str, Any]]:
        """What is there, oldest first; nothing without a file. Raises ValueError for a file of another kind."""
        if not self._path.exists():
            return
        with self._path.open(encoding="utf-8", errors="surrogatepass") as file:
            if _parsed(file.readline()) != self._form:
                raise ValueError(f"{self._path.name} is not a file of this fake")
            for text in file:
                line = _parsed(text)
                if line is not None:
                    yield line

    def rewrite(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """A fresh file beside the old one, put in its place in one step; `append` adds to it."""
        fresh = self._path.with_name(f"{self._path.name}.new")
        self.close()
        self._file = fresh.open("w", encoding="utf-8", errors="surrogatepass")
        self._file.write(_line(self._form))
        self.append(lines)
        fresh.replace(self._path)

    def append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        if self._file is None:
            raise ValueError("a journal is rewritten before it is added to")
        self._file.writelines(_line(line) for line in lines)
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n"


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
