"""What a person may do with rows: asked first with what will happen and to how many, then done row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _

from adsapp_crm.catalogue import explain
from adsapp_crm.models.choices import Role
from adsapp_crm.services.refusals import RefusedError

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

MOST_AT_ONCE: Final = 1_000
"""Rows that one request acts on; the question says so when more are chosen."""
SHOWN: Final = 20
"""Rows that the question names."""


@dataclass(frozen=True, slots=True)
class Act:
    """``act`` gets the request and a row, and may raise RefusedError: that row is told, and no other is stopped."""

    name: str
    label: _StrPromise
    says: _StrPromise
    """What will happen, and what stays."""
    done: _StrPromise
    """With %d for the number of rows."""
    act: Callable[[HttpRequest, Any], object]
    role: Role = Role.OPERATOR
    applies: Callable[[Any], bool] = lambda _row: True
    after: Callable[[Sequence[Any]], None] = lambda _rows: None
    """Once for all rows that it was done to, in the same transaction."""
    follows: Callable[[Any], str] | None = None
    """Where a person goes after it was done to a single row; gets what ``act`` returned."""
    harmful: bool = False
    """Takes something away: the button is red."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The rows that somebody chose, and those of them that the act can do something for."""

    rows: Sequence[Any]
    applying: Sequence[Any]
    more: bool

    @property
    def shown(self) -> Sequence[Any]:
        return self.applying[:SHOWN]

    @property
    def unnamed(self) -> int:
        return len(self.applying) - len(self.shown)

    @property
    def left(self) -> int:
        return len(self.rows) - len(self.applying)


def choice_of(act: Act, rows: Any) -> Choice:
    found = list(rows[: MOST_AT_ONCE + 1])
    more = len(found) > MOST_AT_ONCE
    chosen = found[:MOST_AT_ONCE]
    return Choice(chosen, [row for row in chosen if act.applies(row)], more)


def perform(act: Act, request: HttpRequest, choice: Choice) -> tuple[int, object]:
    """How many it was done to, and what the last of them gave. Refusals are told as messages."""
    done, given = [], None
    for row in choice.applying:
        try:
            with transaction.atomic():
                given = act.act(request, row)
        except RefusedError as error:
            first = error.refusals[0]
            text = f"{row}: {first.message} {first.fix or explain(first.code).fix}"
            messages.error(request, text)
        else:
            done.append(row)
    if done:
        act.after(done)
        messages.success(request, str(act.done) % len(done))
    elif not choice.applying:
        messages.warning(request, _("None of the chosen rows is in a state that this can change; nothing was done."))
    return len(done), given
