"""What a mutant is, how it is made and taken back, and which seeds are known to kill it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KILLERS = Path(__file__).parent.with_name("killers.json")
"""Mutant -> [seed, invariant]: seeds that are known to kill."""
SEEDS = 2000


class Patch:
    """Attributes replaced for a while."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> Any:
        """Replace and return what was there."""
        before = owner.__dict__[name]
        self._undo.append((owner, name, before))
        setattr(owner, name, value)
        return before

    def undo(self) -> None:
        for owner, name, before in reversed(self._undo):
            setattr(owner, name, before)
        self._undo.clear()


@dataclass(frozen=True)
class Mutant:
    name: str
    breaks: tuple[str, ...]
    """Invariants of which any one must be broken."""
    apply: Callable[[Patch], object]
    says: str
    equivalent: str = ""
    """Why nothing can tell it from the real engine, where that is so."""

    @contextmanager
    def alive(self) -> Iterator[None]:
        patch = Patch()
        try:
            self.apply(patch)
            yield
        finally:
            patch.undo()


MUTANTS: dict[str, Mutant] = {}


def mutant(*breaks: str, equivalent: str = "") -> Callable[[Callable[[Patch], object]], Callable[[Patch], object]]:
    def register(function: Callable[[Patch], object]) -> Callable[[Patch], object]:
        name = function.__name__.removeprefix("_")
        MUTANTS[name] = Mutant(name, breaks, function, (function.__doc__ or "").strip(), equivalent)
        return function

    return register


def known_killers() -> dict[str, tuple[int, str]]:
    return {name: (seed, invariant) for name, (seed, invariant) in json.loads(KILLERS.read_text()).items()}
