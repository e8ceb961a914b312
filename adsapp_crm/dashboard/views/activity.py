"""What happened, on one line, and how much of it, by day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.utils import formats
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _

from adsapp_crm.charts import Series, bars
from adsapp_crm.dashboard.access import page, show
from adsapp_crm.dashboard.tags import grouped, seconds_long
from adsapp_crm.dashboard.timeline import KINDS, timeline
from adsapp_crm.models import CrmConnection
from adsapp_crm.models.choices import DeliveryStatus
from adsapp_crm.selectors import database_now
from adsapp_crm.services.analytics import SPANS, Day, figures_by_day
from crm.registry import PROVIDERS

SPAN: Final = 30
CHARTS: Final[tuple[tuple[str, Any, Any, bool], ...]] = (
    ("records", _("Records looked at"), _("In all runs, dry runs included."), True),
    ("written", _("Changes written"), _("Creations, changes and deletions on both sides."), True),
    ("calls", _("Calls to the CRM"), _("Each counts against the CRM's allowance."), True),
    ("lag_seconds", _("Longest wait between two successes"), _("How old the newest success became that day."), False),
    ("conflicts", _("Conflicts opened"), _("Questions that only a person can answer."), True),
    ("failed", _("Records failed"), _("Each try counts."), True),
)
"""Attribute of a day, title, what it means, and whether CRMs are stacked on each other."""


@page()
def activity(request: HttpRequest) -> HttpResponse:
    rows = list(CrmConnection.objects.order_by("crm_type", "connected_at"))
    crm, kind = request.GET.get("crm", ""), request.GET.get("kind", "")
    chosen = [row.pk for row in rows if crm not in PROVIDERS or row.crm_type == crm]
    try:
        before = parse_datetime(request.GET.get("before", ""))
    except ValueError:
        before = None
    context = {
        "line": timeline(chosen, kind=kind, before=before if before and before.tzinfo else None),
        "labels": {row.pk: PROVIDERS[row.crm_type].label for row in rows},
        "types": {row.pk: row.crm_type for row in rows},
        "crms": sorted({(row.crm_type, PROVIDERS[row.crm_type].label) for row in rows}),
        "kinds": KINDS,
        "kind": kind if kind in KINDS else "",
        "crm": crm if crm in PROVIDERS else "",
        "statuses": dict(DeliveryStatus.choices),
        "first": before is None,
    }
    return show(request, "activity.html", context)


@page()
def figures(request: HttpRequest) -> HttpResponse:
    asked = request.GET.get("days", "")
    days = int(asked) if asked.isdecimal() and int(asked) in SPANS else SPAN
    found = figures_by_day(database_now(), days)
    numbers = {key: place for place, key in enumerate(PROVIDERS)}
    context = {
        "charts": [_chart(found, numbers, *each) for each in CHARTS] if found else [],
        "crms": [(PROVIDERS[key].label, numbers[key]) for key in found],
        "totals": [(PROVIDERS[key].label, _totals(found[key])) for key in found],
        "days": days,
        "spans": SPANS,
    }
    return show(request, "figures.html", context)


def _chart(
    found: dict[str, list[Day]], numbers: dict[str, int], name: str, title: Any, meaning: Any, stacked: bool
) -> dict[str, Any]:
    days = [each.day for each in next(iter(found.values()))]
    series = [
        Series(PROVIDERS[key].label, numbers[key], [getattr(each, name) for each in rows])
        for key, rows in found.items()
    ]
    spell: Callable[[float], str] = seconds_long if name == "lag_seconds" else lambda value: grouped(round(value))
    chart = bars(days, series, written=spell, named=_short, stacked=stacked)
    rows = [
        (_short(day), [spell(each.values[place]) for each in series])
        for place, day in enumerate(days)
        if any(each.values[place] for each in series)
    ]
    return {"key": name, "title": title, "meaning": meaning, "chart": chart, "rows": rows}


def _short(day: date) -> str:
    return formats.date_format(day, "j M")


def _totals(days: list[Day]) -> dict[str, Any]:
    names = ("runs", "runs_failed", "records", "written", "calls", "conflicts", "settled", "failed")
    longest = max((day.lag_seconds for day in days), default=0.0)
    return {**{name: sum(getattr(day, name) for day in days) for name in names}, "lag_seconds": longest}
