"""Counting and sorting that stay cheap however many rows there are."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.admin.views.main import ORDER_VAR
from django.contrib.messages import WARNING
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from unfold.views import ChangeList

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


class BoundedChangeList(ChangeList):  # type: ignore[misc]  # unfold is untyped
    """Sorts by a column what it counts to its end; a longer list keeps its own order, which an index holds."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        asked = self.params.get(ORDER_VAR) and not self.query
        if asked and queryset.order_by()[: MOST_COUNTED + 1].count() > MOST_COUNTED:
            del self.params[ORDER_VAR]
            text = _("The list has more than %(most)s rows and keeps its own order. Search or filter it to sort it.")
            self.model_admin.message_user(request, text % {"most": f"{MOST_COUNTED:,}"}, WARNING)
        ordering: list[Any] = super().get_ordering(request, queryset)
        return ordering
