"""The stored health word of a connection that works, wherever it comes from: a run, a resume, a reconnect, a check."""

from __future__ import annotations

from django.db.models import Case, CharField, Exists, OuterRef, Value, When

from adsapp_crm.models import CrmPlan
from adsapp_crm.models.choices import Health, PlanStatus


def working_health() -> Case:
    """For an update of connections: held while a plan waits for a person, set up until a first sync was approved."""
    waiting = CrmPlan.objects.filter(connection=OuterRef("pk"), status=PlanStatus.HELD)
    return Case(
        When(Exists(waiting), then=Value(Health.HELD)),
        When(first_sync_approved_at__isnull=True, then=Value(Health.SETTING_UP)),
        default=Value(Health.HEALTHY),
        output_field=CharField(),
    )
