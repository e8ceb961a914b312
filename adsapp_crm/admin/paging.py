"""Counting that stays cheap however many rows there are."""

from __future__ import annotations

from typing import Any, Final

from django.core.paginator import Paginator
from django.utils.functional import cached_property

MOST_COUNTED: Final = 10_000
"""Rows that a list counts and pages through; who needs more searches or filters."""


class AtLeast(int):
    """A number that only says how many there are at the least."""

    def __str__(self) -> str:
        return f"{int(self) - 1:,}+"


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # not subscriptable at run time
    """Counts to ``MOST_COUNTED`` and stops: COUNT(*) over a million rows would take longer than the page."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        found: int = rows.order_by()[: MOST_COUNTED + 1].count()
        return found if found <= MOST_COUNTED else AtLeast(found)
