"""Looking after connections that nobody syncs just now: health every few minutes, subscription and fields hourly.

A connection is asked by its cheapest call, and not at all where a sync has succeeded since it was last looked at.
Everything together stays within two percent of the account's daily allowance, counted in the CRM's own costs.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.db.models.functions import Now

from adsapp_crm import wiring
from adsapp_crm.models import CrmConnection
from adsapp_crm.models.choices import ConnectionStatus
from adsapp_crm.selectors import database_now
from adsapp_crm.services.connections import check_connection
from adsapp_crm.services.describing import refresh_fields
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.services.sealed import readable
from adsapp_crm.services.stepping import note_broken
from adsapp_crm.services.subscriptions import keep_subscription
from adsapp_crm.tenancy import organization_context
from crm.errors import ConfigurationError, ConnectionBlockedError, CrmError
from crm.ports import Limiter, Turn
from crm.upkeep import may_spend

HOURLY: Final = timedelta(minutes=55)
"""Hourly, with room for a schedule's jitter."""


@dataclass(slots=True)
class _Counter:
    """A limiter that counts what passes it, in the CRM's own costs."""

    spent: int = 0
    _limiters: list[wiring.SharedLimiter] = field(default_factory=list)

    def listen(self, limiter: wiring.SharedLimiter) -> Limiter:
        self._limiters = [limiter]
        return self

    def acquire(self, budget: str, cost: int = 1, turn: Turn | None = None) -> Turn:
        given = self._limiters[0].acquire(budget, cost, turn)
        self.spent += cost if turn is None else 0
        return given

    def late(self, budget: str, turn: Turn, seconds: float) -> None:
        self._limiters[0].late(budget, turn, seconds)

    def observe(self, headers: Mapping[str, str]) -> None:
        self._limiters[0].observe(headers)

    def exhausted(self, budget: str, retry_after_seconds: float) -> None:
        self._limiters[0].exhausted(budget, retry_after_seconds)


def look_after(organization_id: uuid.UUID, connection_id: uuid.UUID) -> str:
    """One round of one connection; returns the code of what is wrong, empty when all is well or nothing was asked.

    Must be called outside ``organization_context``.
    """
    try:
        with organization_context(organization_id), readable():
            row = CrmConnection.objects.defer(None).filter(pk=connection_id).first()
            if row is not None:
                row.open_credentials()
    except CrmError:
        return check_connection(organization_id, connection_id)  # which stops it, without a request
    if row is None or row.status not in (ConnectionStatus.ACTIVE, ConnectionStatus.ERROR):
        return ""
    now = database_now()
    code = ""
    if not _synced_since(row):
        code = _spend(
            row, now, "check", lambda counter: check_connection(organization_id, row.pk, listen=counter.listen)
        )
    with organization_context(organization_id):
        CrmConnection.objects.filter(pk=row.pk).update(checked_at=Now())
    if code or (row.schema_checked_at is not None and row.schema_checked_at > now - HOURLY):
        return code
    return _spend(row, now, "hourly", lambda counter: _hourly(row, counter))


def _synced_since(row: CrmConnection) -> bool:
    if row.status != ConnectionStatus.ACTIVE or row.last_success_at is None or row.checked_at is None:
        return False
    return row.last_success_at > row.checked_at


def _hourly(row: CrmConnection, counter: _Counter) -> str:
    """The subscription, then the fields as the CRM describes them now; broken mappings are flagged."""
    organization_id = uuid.UUID(str(row.organization_id))
    keep_subscription(organization_id, row.pk, listen=counter.listen)
    code = ""
    try:
        fresh = refresh_fields(organization_id, row.pk, actor="service:upkeep", listen=counter.listen)
    except RefusedError:
        return ""  # paused meanwhile
    except (ConnectionBlockedError, ConfigurationError) as error:
        code = error.code
    except CrmError:
        return ""
    with organization_context(organization_id):
        if not code:
            broken = wiring.books_of(fresh)[1]
        CrmConnection.objects.filter(pk=row.pk).update(schema_checked_at=Now())
    if not code:
        note_broken(fresh, broken)
    return code


def _spend(row: CrmConnection, now: datetime, what: str, act: Callable[[_Counter], str]) -> str:
    """Do it within the day's share; what it cost is the estimate for the next time."""
    today = now.date().isoformat()
    said = row.upkeep if row.upkeep.get("day") == today else {**row.upkeep, "day": today, "spent": 0}
    elapsed = (now.hour * 3600 + now.minute * 60 + now.second) / 86_400
    use = wiring.day_use(row)
    if not may_spend(use.limit if use is not None else None, said["spent"], said.get(what, 1), elapsed):
        return ""
    counter = _Counter()
    try:
        return act(counter)
    finally:
        row.upkeep = {**said, "spent": said["spent"] + counter.spent, what: max(1, counter.spent)}
        with organization_context(str(row.organization_id)):
            CrmConnection.objects.filter(pk=row.pk).update(upkeep=row.upkeep)
