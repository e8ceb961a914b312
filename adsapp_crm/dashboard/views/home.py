"""Is it working, right now? Every CRM on one page, and what waits for a person."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from adsapp_crm.dashboard.access import page, show
from adsapp_crm.dashboard.standings import cards, with_names
from adsapp_crm.models import CrmFieldMapping, CrmSyncLog
from crm.registry import PROVIDERS

RECENT_RUNS = 8


@page()
def home(request: HttpRequest) -> HttpResponse:
    found = cards()
    runs = CrmSyncLog.objects.select_related("connection", "plan").defer("connection__credentials")
    broken = CrmFieldMapping.objects.filter(deleted_at__isnull=True).exclude(broken_code="")
    context = {
        "cards": found,
        "labels": PROVIDERS,
        "connected": [card for card in found if card.row],
        "runs": with_names(list(runs.order_by("-started_at", "-id")[:RECENT_RUNS])),
        "broken": broken.filter(connection__in=[card.row.pk for card in found if card.row]).count(),
        "failing": sum(share.number for card in found for share in card.shares if share.key == "failing"),
        "held": [card for card in found if card.plan],
    }
    return show(request, "home.html", context)
