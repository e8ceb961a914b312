"""Lists that are short enough to be read in one go (owners, fields): page after page, and never in a circle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from crm.errors import LimitExceededError, UnexpectedAnswerError

T = TypeVar("T")

MAX_PAGES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    items: Sequence[T]
    next_position: str = ""
    """A token or link for the page that follows; empty on the last."""


def read_all(fetch: Callable[[str], Page[T]], *, max_pages: int = MAX_PAGES) -> Iterator[T]:
    """Every item from the first page (position ``""``) to the last.

    Raises UnexpectedAnswerError when a position comes a second time, LimitExceededError beyond ``max_pages``.
    """
    position = ""
    seen = {position}
    for _ in range(max_pages):
        page = fetch(position)
        yield from page.items
        if not page.next_position:
            return
        if page.next_position in seen:
            raise UnexpectedAnswerError("The CRM's pages lead in a circle")
        position = page.next_position
        seen.add(position)
    raise LimitExceededError(f"The CRM's list has more than {max_pages} pages")
