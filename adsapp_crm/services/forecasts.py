"""What a plan comes to: counts on each side, what it overrules or removes, and what carrying it out costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db.models import Count, Q
from django.utils.translation import gettext as _

from adsapp_crm import wiring
from adsapp_crm.models import CrmConnection, CrmPlan, CrmPlanLine
from adsapp_crm.models.choices import PlanLineKind, PlanLineStatus
from crm.forecast import Spend, forecast_calls, forecast_spend
from crm.http.limits import Priority
from crm.model import Side

OPEN: Final = (PlanLineStatus.PLANNED, PlanLineStatus.HELD)
_PAIRS: Final = (PlanLineKind.SYNC, PlanLineKind.LINK, PlanLineKind.RELINK)


@dataclass(frozen=True, slots=True)
class Forecast:
    lines: int
    in_app: dict[str, int]
    """Records of ADSapp that are created, updated, deleted."""
    in_crm: dict[str, int]
    linked: int
    unlinked: int
    asked: int
    overrules: int
    blanks: int
    spend: Spend
    """Its time is at the pace of the run that made the plan."""


def forecast_of(plan: CrmPlan, row: CrmConnection) -> Forecast:
    """One query, whatever the plan's size; asks no CRM. In the organization's context."""
    lines = CrmPlanLine.objects.filter(plan=plan, status__in=OPEN)
    pairs = Q(kind__in=_PAIRS)
    totals = lines.aggregate(
        lines=Count("pk"),
        create_app=Count("pk", filter=Q(kind=PlanLineKind.CREATE_IN_APP)),
        create_crm=Count("pk", filter=Q(kind=PlanLineKind.CREATE_IN_CRM)),
        update_app=Count("pk", filter=pairs & Q(action__effects__contains=[{"side": Side.APP.value}])),
        update_crm=Count("pk", filter=pairs & Q(stage=2)),
        delete_app=Count("pk", filter=Q(kind=PlanLineKind.DELETE_IN_APP)),
        delete_crm=Count("pk", filter=Q(kind=PlanLineKind.DELETE_IN_CRM)),
        linked=Count("pk", filter=Q(kind=PlanLineKind.LINK)),
        unlinked=Count("pk", filter=Q(kind=PlanLineKind.UNLINK)),
        asked=Count("pk", filter=Q(kind=PlanLineKind.REVIEW)),
        overrules=Count("pk", filter=Q(overrules=True)),
        blanks=Count("pk", filter=Q(blanks=True)),
    )
    written = (totals["create_crm"], totals["update_crm"], totals["delete_crm"])
    use = wiring.day_use(row, Priority.FULL)
    spend = forecast_spend(
        forecast_calls(*written, wiring.capabilities_of(row)),
        seconds_a_call=_pace(plan),
        limit=use.limit if use is not None else None,
        used=use.used if use is not None else 0,
        usable_share=use.usable_share if use is not None else 1.0,
    )
    return Forecast(
        lines=totals["lines"],
        in_app={"created": totals["create_app"], "updated": totals["update_app"], "deleted": totals["delete_app"]},
        in_crm={"created": totals["create_crm"], "updated": totals["update_crm"], "deleted": totals["delete_crm"]},
        linked=totals["linked"],
        unlinked=totals["unlinked"],
        asked=totals["asked"],
        overrules=totals["overrules"],
        blanks=totals["blanks"],
        spend=spend,
    )


def spend_said(spend: Spend) -> str:
    """In words: ``about 3 h 10 min, 41 % of today's calls``."""
    parts = []
    if spend.seconds is not None:
        minutes = max(1, round(spend.seconds / 60))
        hours, left = divmod(minutes, 60)
        parts.append(
            _("about %(h)d h %(m)d min") % {"h": hours, "m": left} if hours else _("about %(m)d min") % {"m": left}
        )
    if spend.day_share is None:
        parts.append(_("%(n)d calls") % {"n": spend.calls})
    else:
        parts.append(_("%(n)d %% of today's calls") % {"n": round(spend.day_share * 100)})
    if not spend.fits_today:
        parts.append(_("more than today leaves: it waits for the reset and goes on"))
    return ", ".join(parts)


def _pace(plan: CrmPlan) -> float | None:
    """Seconds a call took in the run that made the plan."""
    made_by = plan.run
    if made_by is None or made_by.completed_at is None or not made_by.api_calls:
        return None
    return (made_by.completed_at - made_by.started_at).total_seconds() / made_by.api_calls
