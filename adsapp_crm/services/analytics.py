"""How much was synced, asked, late and in dispute, by day and CRM: what charts and reports are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from functools import reduce
from operator import add
from typing import Any, Final

from django.db import connection as database
from django.db.models import Count, F, IntegerField, Q, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce, TruncDate
from django.utils import timezone

from adsapp_crm.models import CrmConflict, CrmConnection, CrmSyncLog
from adsapp_crm.models.choices import RunState
from adsapp_crm.tenancy import current_organization

SPANS: Final = (7, 30, 90)
"""Days that people may look back."""
WRITTEN: Final = (
    "created_in_app",
    "created_in_crm",
    "updated_in_app",
    "updated_in_crm",
    "deleted_in_app",
    "deleted_in_crm",
)

# Per connection, how long it went without a success, by the day on which the gap ended.
_GAPS: Final = """
SELECT connection_id, (completed_at AT TIME ZONE %(zone)s)::date AS day, max(extract(epoch FROM gap)) FROM (
  SELECT connection_id, completed_at,
    completed_at - lag(completed_at) OVER (PARTITION BY connection_id ORDER BY completed_at) AS gap
  FROM crm_sync_logs
  WHERE organization_id = %(organization)s::uuid AND status = 'completed' AND NOT dry_run AND completed_at >= %(since)s
) ended WHERE gap IS NOT NULL GROUP BY 1, 2
"""


@dataclass(slots=True)
class Day:
    """One CRM's figures of one day, in the zone in use."""

    day: date
    runs: int = 0
    runs_failed: int = 0
    records: int = 0
    """Looked at."""
    written: int = 0
    """Creations, changes and deletions on both sides."""
    failed: int = 0
    calls: int = 0
    lag_seconds: float = 0.0
    """The longest time between two successes that ended on this day."""
    conflicts: int = 0
    """Opened."""
    settled: int = 0
    """Conflicts closed."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def figures_by_day(now: datetime, days: int) -> dict[str, list[Day]]:
    """CRM -> one entry for each of the last ``days`` days, oldest first, in the current organization's context.

    ``now`` by the database's clock. Five queries, whatever the number of runs. CRMs that were never connected are
    absent.
    """
    today = timezone.localtime(now).date()
    first = today - timedelta(days=days - 1)
    since = timezone.make_aware(datetime.combine(first, datetime.min.time()))
    kinds = dict(CrmConnection.objects.values_list("pk", "crm_type"))
    table = {
        kind: {first + timedelta(days=place): Day(first + timedelta(days=place)) for place in range(days)}
        for kind in sorted(set(kinds.values()))
    }
    _add_runs(table, kinds, since)
    _add_gaps(table, kinds, since)
    _add_conflicts(table, kinds, since)
    return {kind: list(by_day.values()) for kind, by_day in table.items()}


def _add_runs(table: Mapping[str, Mapping[date, Day]], kinds: Mapping[Any, str], since: datetime) -> None:
    parts = [Coalesce(Cast(KT(f"counts__{name}"), IntegerField()), 0) for name in WRITTEN]
    rows = (
        CrmSyncLog.objects.filter(started_at__gte=since)
        .annotate(day=TruncDate("started_at"), wrote=reduce(add, parts))
        .order_by()
        .values("connection_id", "day")
        .annotate(
            runs=Count("pk"),
            runs_failed=Count("pk", filter=Q(status=RunState.FAILED)),
            records=Sum("records_processed"),
            written=Sum("wrote", filter=Q(dry_run=False)),
            failed=Sum("records_failed"),
            calls=Sum("api_calls"),
        )
    )
    for row in rows:
        day = _day(table, kinds, row["connection_id"], row["day"])
        if day is not None:
            for name in ("runs", "runs_failed", "records", "written", "failed", "calls"):
                setattr(day, name, getattr(day, name) + (row[name] or 0))


def _add_gaps(table: Mapping[str, Mapping[date, Day]], kinds: Mapping[Any, str], since: datetime) -> None:
    asked: dict[str, str | datetime] = {
        "zone": timezone.get_current_timezone_name(),
        "organization": str(current_organization()),
        "since": since,
    }
    with database.cursor() as cursor:
        cursor.execute(_GAPS, asked)
        rows = cursor.fetchall()
    for connection_id, ended, seconds in rows:
        day = _day(table, kinds, connection_id, ended)
        if day is not None:
            day.lag_seconds = max(day.lag_seconds, float(seconds))


def _add_conflicts(table: Mapping[str, Mapping[date, Day]], kinds: Mapping[Any, str], since: datetime) -> None:
    for column, name in (("opened_at", "conflicts"), ("closed_at", "settled")):
        rows = (
            CrmConflict.objects.filter(**{f"{column}__gte": since})
            .annotate(day=TruncDate(F(column)))
            .order_by()
            .values_list("connection_id", "day")
            .annotate(number=Count("pk"))
        )
        for connection_id, on, number in rows:
            day = _day(table, kinds, connection_id, on)
            if day is not None:
                setattr(day, name, getattr(day, name) + number)


def _day(table: Mapping[str, Mapping[date, Day]], kinds: Mapping[Any, str], connection_id: Any, on: date) -> Day | None:
    return table.get(kinds.get(connection_id, ""), {}).get(on)
