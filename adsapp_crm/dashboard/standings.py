"""What a connection's card says, made for its template."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from adsapp_crm.dashboard.wording import RECORD_WORDS, Said, health_said
from adsapp_crm.models import CrmConnection, CrmPlan, CrmSyncLog
from adsapp_crm.models.choices import ConnectionStatus, Health, PlanStatus, RunPurpose, SyncMode
from adsapp_crm.selectors import database_now
from adsapp_crm.services.actor_names import names_of
from adsapp_crm.services.standing import ConnectionStanding, standing_of
from crm.registry import PROVIDERS, Provider

BAR_UNITS = 1000
"""Width of the counts' bar in its own units."""


@dataclass(frozen=True, slots=True)
class Share:
    """One of the five counts, and its place in the bar."""

    key: str
    said: Said
    number: int
    start: int
    width: int


@dataclass(frozen=True, slots=True)
class Card:
    """A CRM on the overview, connected or not."""

    provider: Provider
    row: CrmConnection | None = None
    standing: ConnectionStanding | None = None
    shares: tuple[Share, ...] = ()
    running: CrmSyncLog | None = None
    plan: CrmPlan | None = None
    now: datetime | None = None

    @property
    def health(self) -> str:
        return self.standing.health if self.standing else Health.DISCONNECTED

    @property
    def said(self) -> Said:
        return health_said(self.health)

    @property
    def failing(self) -> int:
        return self.standing.counts["failing"] if self.standing else 0

    @property
    def total(self) -> int:
        return sum(share.number for share in self.shares)

    @property
    def observes(self) -> bool:
        return self.row is not None and self.row.mode == SyncMode.OBSERVE

    @property
    def is_new(self) -> bool:
        """Nobody has approved a plan yet."""
        return self.row is not None and self.row.first_sync_approved_at is None

    @property
    def usable(self) -> bool:
        return self.row is not None and self.row.status == ConnectionStatus.ACTIVE

    @property
    def lag(self) -> timedelta | None:
        """How old the newest success is."""
        if self.row is None or self.row.last_success_at is None or self.now is None:
            return None
        return self.now - self.row.last_success_at

    @property
    def token_age(self) -> timedelta | None:
        if self.row is None or self.row.connected_at is None or self.now is None:
            return None
        return self.now - self.row.connected_at


def cards() -> list[Card]:
    """Every CRM there is, connected ones first, in the current organization's context."""
    rows = {row.crm_type: row for row in CrmConnection.objects.exclude(status=ConnectionStatus.DISCONNECTED)}
    running = {
        run.connection_id: run for run in CrmSyncLog.objects.filter(completed_at__isnull=True).order_by("started_at")
    }
    plans = waiting_plans(rows.values())
    now = database_now()
    found = [
        card_of(rows[key], now, running.get(rows[key].pk), plans.get(rows[key].pk)) if key in rows else Card(provider)
        for key, provider in PROVIDERS.items()
    ]
    return sorted(found, key=lambda card: card.row is None)


def card_of(row: CrmConnection, now: datetime, running: CrmSyncLog | None, plan: CrmPlan | None) -> Card:
    standing = standing_of(row, now)
    return Card(PROVIDERS[row.crm_type], row, standing, shares_of(standing.counts), running, plan, now)


def shares_of(counts: Mapping[str, int]) -> tuple[Share, ...]:
    """The counts with widths that add up to the bar's; what there is gets at least a sliver."""
    total = sum(counts.values())
    shares = []
    start = 0
    for key, said in RECORD_WORDS.items():
        number = counts[key]
        width = max(12, round(BAR_UNITS * number / total)) if number else 0
        shares.append(Share(key, said, number, start, width))
        start += width
    return tuple(shares)


def waiting_plans(rows: Iterable[CrmConnection]) -> dict[Any, CrmPlan]:
    """By connection, the newest plan that waits for a person's word; a plan still being made does not."""
    held = CrmPlan.objects.filter(
        connection__in=[row.pk for row in rows], status__in=[PlanStatus.PLANNED, PlanStatus.HELD], kind=RunPurpose.SYNC
    ).filter(run__completed_at__isnull=False)
    shown = held.exclude(status=PlanStatus.PLANNED, run__dry_run=False)
    return {plan.connection_id: plan for plan in shown.select_related("run").order_by("created_at")}


def with_names(runs: Sequence[Any]) -> Sequence[Any]:
    """Rows that have an ``actor``, each with its name as ``by``."""
    names = names_of(run.actor for run in runs)
    for run in runs:
        run.by = names.get(run.actor, "")
    return runs
