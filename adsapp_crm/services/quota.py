"""What is left of the calls that a CRM grants an account for a day, as people are shown it. Asks no CRM."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from adsapp_crm import wiring
from adsapp_crm.models import CrmConnection
from adsapp_crm.models.choices import ConnectionStatus


@dataclass(frozen=True, slots=True)
class Quota:
    used: int
    """By all of the account's users, as far as the CRM told; else by us."""
    limit: int | None
    """None: the CRM has no daily allowance, or has not told it yet."""
    usable: int | None
    """What runs leave untouched above it is for people and the account's other tools."""
    resets_at: datetime

    @property
    def share(self) -> float:
        """0 to 1; 0 without a limit."""
        return min(1.0, self.used / self.limit) if self.limit else 0.0


def quota_of(row: CrmConnection, now: datetime) -> Quota | None:
    """In the organization's context. None while the limits cannot be read, and for a connection without a log-in."""
    if row.status == ConnectionStatus.DISCONNECTED:
        return None
    use = wiring.day_use(CrmConnection.objects.defer(None).get(pk=row.pk))
    if use is None:
        return None
    usable = None if use.limit is None else int(use.limit * use.usable_share)
    return Quota(use.used, use.limit, usable, now + timedelta(seconds=use.resets_in_seconds))
