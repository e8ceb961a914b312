"""What looking after a connection may cost: its health, subscription and schema are asked for on a small allowance."""

from __future__ import annotations

from typing import Final

SHARE: Final = 0.02
"""Of a day's allowance of the CRM, for everything that is no sync."""
AT_ONCE_SHARE: Final = 0.1
"""Of that, what may be spent at any time of the day; the rest comes with the hours."""


def may_spend(limit: int | None, spent: int, cost: int, elapsed_share: float) -> bool:
    """Whether ``cost`` more fits: never above the day's share, and not much ahead of the clock.

    ``limit`` None: the CRM has no daily allowance, or has not told it yet. ``elapsed_share``: of the day, 0 to 1.
    """
    if limit is None:
        return True
    return spent + cost <= limit * SHARE * min(1.0, max(elapsed_share, AT_ONCE_SHARE))
