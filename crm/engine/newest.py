"""Which of two edits is the newer one, when that can be known at all.

A change time is an interval: last seen equal, first seen different, narrowed by a field history
where there is one. Two intervals that come closer to each other than the clock skew allows, or
that overlap, do not say which edit was later; then the answer is "cannot know", never a guess.
"""

from __future__ import annotations

import enum
from datetime import timedelta

from crm.model import Interval


class Newest(enum.StrEnum):
    APP = "app"
    CRM = "crm"
    CANNOT_KNOW = "cannot_know"


def resolve_newest(app: Interval | None, crm: Interval | None, skew_seconds: float) -> Newest:
    """An import is no evidence of an edit; neither is a missing interval."""
    if app is None or crm is None or app.imported or crm.imported:
        return Newest.CANNOT_KNOW
    skew = timedelta(seconds=skew_seconds)
    if app.earliest is not None and crm.latest is not None and app.earliest > crm.latest + skew:
        return Newest.APP
    if crm.earliest is not None and app.latest is not None and crm.earliest > app.latest + skew:
        return Newest.CRM
    return Newest.CANNOT_KNOW
