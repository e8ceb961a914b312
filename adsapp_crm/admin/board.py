"""The admin's first page: how all connections are, how many runs failed, and what waits in the chosen organization."""

from __future__ import annotations

import uuid
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db.models import Count
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from adsapp_crm.admin.base import note_staff
from adsapp_crm.admin.organizations import current_name
from adsapp_crm.admin.wording import TONES, connection_label, crm_label
from adsapp_crm.charts import Series, bars
from adsapp_crm.models import CrmConflict, CrmConnection, CrmPlan, CrmSyncLog
from adsapp_crm.models.choices import ConnectionStatus, Health, PlanStatus, QuestionKind, QuestionStatus, RunState
from adsapp_crm.selectors import database_now, figures_of
from adsapp_crm.services.record_actions import count_failing
from adsapp_crm.services.schedules import GRACE
from adsapp_crm.services.standing import Trouble, health_of
from adsapp_crm.tenancy import current_organization_or_none

DAYS: Final = 14
MOST_CONNECTIONS: Final = 50
"""Connections on the board, those in trouble first; the counts are of all."""
NEWEST_RUNS: Final = 8
_CLOCK_MARGIN: Final = timedelta(hours=1)
"""Ids begin with their maker's clock; the exact bound is the database's."""


def board(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's ``DASHBOARD_CALLBACK``. Of organizations that were not entered it tells health columns only."""
    now = database_now()
    grace = int(GRACE.total_seconds())
    counts: dict[str, int] = {}
    for _crm, health, number, _lag in figures_of("crm_connection_figures", grace):
        counts[health] = counts.get(health, 0) + number
    rows = figures_of("crm_connection_board", grace, MOST_CONNECTIONS)
    here = current_organization_or_none()
    days, good, bad = _days(now)
    told = {
        "health": [
            (Health(word).label, TONES.get(word, "default"), counts[word]) for word in Health.values if counts.get(word)
        ],
        "connections": sum(counts.values()),
        "board": [_line(row, here) for row in rows],
        "most": MOST_CONNECTIONS,
        "chart": bars(
            days,
            [Series(_("went well"), 0, good), Series(_("failed"), 1, bad)],
            written=lambda value: f"{value:g}",
            named=lambda day: date_format(day, "j M"),
        ),
        "by_day": list(zip(days, good, bad, strict=True)),
        "runs": sum(good) + sum(bad),
        "failed_runs": sum(bad),
        "days": DAYS,
    }
    if here is not None:
        note_staff(request)
        told["own"] = _own(request, now)
    return {**context, **told, "title": _("Overview")}


def _days(now: datetime) -> tuple[list[date], list[int], list[int]]:
    """Each of the days up to today, with the runs that went well and those that failed."""
    begin = now - timedelta(days=DAYS) - _CLOCK_MARGIN
    since = uuid.UUID(int=int(begin.timestamp() * 1000) << 80)
    days: dict[date, tuple[int, int]] = {}
    for day, status, number in figures_of("crm_runs_by_day", since, DAYS):
        good, bad = days.get(day, (0, 0))
        days[day] = (good, bad + number) if status == RunState.FAILED else (good + number, bad)
    shown = [now.date() - timedelta(days=back) for back in reversed(range(DAYS))]
    told = [days.get(day, (0, 0)) for day in shown]
    return shown, [good for good, _bad in told], [bad for _good, bad in told]


def _line(row: tuple[Any, ...], here: uuid.UUID | None) -> dict[str, Any]:
    connection_id, organization_id, crm_type, health, success, code, following, parked, token = row
    return {
        "connection_id": connection_id,
        "organization_id": organization_id,
        "own": organization_id == here,
        "crm": crm_label(crm_type),
        "health": health,
        "last_success_at": success,
        "code": code,
        "next": parked if health == Health.WAITING_FOR_QUOTA else following,
        "token_expires_at": token,
    }


def _own(request: HttpRequest, now: datetime) -> dict[str, Any]:
    """What waits for a person in the organization, and its newest runs."""
    open_ones = CrmConnection.objects.exclude(status=ConnectionStatus.DISCONNECTED)
    connections = list(open_ones.annotate(trouble=Trouble()).order_by("crm_type"))
    failing = count_failing() if any(row.trouble for row in connections) else {}
    asked = CrmConflict.objects.filter(status=QuestionStatus.OPEN).order_by()
    kinds = asked.values_list("kind").annotate(number=Count("pk"))
    plans = CrmPlan.objects.filter(status__in=[PlanStatus.PLANNED, PlanStatus.HELD], run__completed_at__isnull=False)
    waiting = plans.select_related("connection").defer("connection__credentials").order_by("-id")[:5]
    return {
        "name": current_name(request),
        "connections": [
            (row, connection_label(row), health_of(row, now), failing.get(row.pk, 0)) for row in connections
        ],
        "conflicts": [(QuestionKind(kind).label, kind, number) for kind, number in kinds],
        "plans": [(plan, crm_label(plan.connection.crm_type)) for plan in waiting],
        "runs": list(
            CrmSyncLog.objects.select_related("connection", "plan")
            .defer("connection__credentials")
            .order_by("-id")[:NEWEST_RUNS]
        ),
    }
