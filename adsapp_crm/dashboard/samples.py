"""Lines of a plan that stand for all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from adsapp_crm.models import CrmPlan, CrmPlanLine
from adsapp_crm.services.forecasts import OPEN
from adsapp_crm.storage import codec
from crm.model import Action

SAMPLES: Final = 25


@dataclass(frozen=True, slots=True)
class Sample:
    line: CrmPlanLine
    action: Action


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
