"""What a plan comes to: counts on each side, what it overrules or removes, and what carrying it out costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, Q

from adsapp_crm.models import CrmPlan, CrmPlanLine
from adsapp_crm.models.choices import PlanLineKind, PlanLineStatus
from adsapp_crm.storage import codec
from crm.model import Action, Side
from crm.registry import provider

SAMPLES: Final = 25
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
    calls: int
    seconds: float | None
    """At the pace of the run that made the plan; None where that says nothing."""


@dataclass(frozen=True, slots=True)
class Sample:
    line: CrmPlanLine
    action: Action


def forecast_of(plan: CrmPlan, crm_type: str) -> Forecast:
    """Two queries, whatever the plan's size."""
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
    calls = _calls(crm_type, totals)
    return Forecast(
        lines=totals["lines"],
        in_app={"created": totals["create_app"], "updated": totals["update_app"], "deleted": totals["delete_app"]},
        in_crm={"created": totals["create_crm"], "updated": totals["update_crm"], "deleted": totals["delete_crm"]},
        linked=totals["linked"],
        unlinked=totals["unlinked"],
        asked=totals["asked"],
        overrules=totals["overrules"],
        blanks=totals["blanks"],
        calls=calls,
        seconds=_seconds(plan, calls),
    )


def _calls(crm_type: str, totals: dict[str, Any]) -> int:
    """Batches of each kind of write, and the reads that check updates before they are sent."""
    abilities = provider(crm_type).capabilities
    writes = [totals["create_crm"], totals["update_crm"], totals["delete_crm"]]
    sent = sum(math.ceil(number / abilities.write_batch) for number in writes)
    checked = math.ceil((totals["update_crm"] + totals["delete_crm"]) / abilities.read_batch)
    read_back = 0 if abilities.returns_values else math.ceil(sum(writes[:2]) / abilities.read_batch)
    return int(sent + checked + read_back)


def _seconds(plan: CrmPlan, calls: int) -> float | None:
    made_by = plan.run
    if made_by is None or made_by.completed_at is None or not made_by.api_calls:
        return None
    return calls * (made_by.completed_at - made_by.started_at).total_seconds() / made_by.api_calls


def samples_of(plan: CrmPlan) -> Sequence[Sample]:
    """Up to 25 lines, of every kind that the plan has: what is rare is what people look for."""
    open_lines = CrmPlanLine.objects.filter(plan=plan, status__in=OPEN)
    kinds = sorted(open_lines.order_by().values_list("kind", flat=True).distinct())
    parts = [open_lines.filter(kind=kind).order_by("id")[:SAMPLES] for kind in kinds]
    found = list(parts[0].union(*parts[1:], all=True)) if len(parts) > 1 else [line for part in parts for line in part]
    share = SAMPLES // max(1, len(kinds))
    by_kind = [[line for line in found if line.kind == kind] for kind in kinds]
    chosen = [line for lines in by_kind for line in lines[:share]]
    rest = [line for lines in by_kind for line in lines[share:]]
    shown = [*chosen, *rest[: SAMPLES - len(chosen)]]
    return [Sample(line, codec.decode(Action, line.action)) for line in sorted(shown, key=lambda each: each.kind)]
