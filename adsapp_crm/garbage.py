"""How a worker's process looks for garbage: seldom, and never among what it was started with.

A page of contacts is some hundred thousand small objects that go by themselves when the page is done. With Python's
own thresholds a collector walks them again and again while they are needed, and now and then all modules with them:
a seventh of a worker's processor time.
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (20_000, 20, 20)
"""New objects before the young are looked at (some megabytes), and how many such looks before older ones are."""


def spare_what_stays() -> None:
    """Take everything there is by now out of the collector's sight. To be called once a process has started up."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
