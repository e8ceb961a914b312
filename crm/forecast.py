"""What carrying out a plan will cost: calls, time, and its part of the day's allowance. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from crm.ports import Capabilities


@dataclass(frozen=True, slots=True)
class Spend:
    calls: int
    seconds: float | None
    """None where nothing is known of the pace."""
    day_share: float | None
    """Of the account's whole daily allowance; None where the CRM has none, or has not told it."""
    fits_today: bool
    """False: it parks until the allowance is reset, and goes on then."""


def forecast_calls(created: int, updated: int, deleted: int, abilities: Capabilities) -> int:
    """Batches of each kind of write, the reads that check updates before they are sent, and the reads back."""
    sent = sum(math.ceil(number / abilities.write_batch) for number in (created, updated, deleted))
    checked = math.ceil((updated + deleted) / abilities.read_batch)
    read_back = 0 if abilities.returns_values else math.ceil((created + updated) / abilities.read_batch)
    return sent + checked + read_back


def forecast_spend(
    calls: int, *, seconds_a_call: float | None, limit: int | None = None, used: int = 0, usable_share: float = 1.0
) -> Spend:
    """``limit`` and ``used`` of the day, ``usable_share`` of the caller's priority: the rest is the customer's."""
    return Spend(
        calls=calls,
        seconds=None if seconds_a_call is None else calls * seconds_a_call,
        day_share=calls / limit if limit else None,
        fits_today=limit is None or used + calls <= limit * usable_share,
    )
