"""The shape of a catalogue entry."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise


class Retry(enum.StrEnum):
    """What happens next without a person."""

    NO = "no"
    """Nothing: it fails again until somebody acts."""
    SOON = "soon"
    """Tried again by itself, with growing pauses."""
    AT_TIME = "at_time"
    """Tried again when the stated time has come."""
    SLOW = "slow"
    """Tried rarely: whether it works again is up to the CRM's administrator."""
    LOOK_UP = "look_up"
    """Looked up first; sent again only when it has not happened."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What people are told about a code, the same in pages, API and documentation."""

    code: str
    title: _StrPromise
    """At most 60 characters: what, and whose."""
    cause: _StrPromise
    """One sentence."""
    fix: _StrPromise
    """An instruction."""
    retry: Retry
    example: str
    """A case of it, for the documentation; not translated."""

    @property
    def family(self) -> str:
        return self.code.partition(".")[0]

    @property
    def anchor(self) -> str:
        """Where the documentation explains it."""
        return self.code.replace(".", "-")


def table(*rows: tuple[str, _StrPromise, _StrPromise, _StrPromise, Retry, str]) -> dict[str, Entry]:
    entries = [Entry(*row) for row in rows]
    return {entry.code: entry for entry in entries}
