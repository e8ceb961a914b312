"""What the CRMs told us: received, verified, what became of it; and telling it to ourselves again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from django.utils.translation import ngettext

from adsapp_crm.dashboard.access import attempt, may, page, show
from adsapp_crm.dashboard.pages import slice_of
from adsapp_crm.models import CrmConnection, CrmWebhook, CrmWebhookEvent
from adsapp_crm.models.choices import ConnectionStatus, DeliveryStatus, Role
from adsapp_crm.selectors import database_now
from adsapp_crm.services.inbox import replay
from adsapp_crm.services.refusals import refuse
from adsapp_crm.services.refused_deliveries import refused_deliveries
from adsapp_crm.tasks import refetch, send_after_commit
from crm.registry import PROVIDERS

PAGE_SIZE: Final = 50
SPANS: Final = {"1": lazy("the last hour"), "24": lazy("the last day"), "168": lazy("the last seven days")}


@page(writes=Role.OPERATOR)
def listing(request: HttpRequest) -> HttpResponse:
    rows = list(CrmConnection.objects.exclude(status=ConnectionStatus.DISCONNECTED).order_by("crm_type"))
    if request.method == "POST":
        return _replay(request, rows)
    events = CrmWebhookEvent.objects.all()
    status = request.GET.get("status", "")
    if status in DeliveryStatus.values:
        events = events.filter(status=status)
    found = slice_of(request, events, size=PAGE_SIZE)
    labels = {row.pk: PROVIDERS[row.crm_type].label for row in CrmConnection.objects.all()}
    counted = refused_deliveries() if may(request, Role.OPERATOR) else []
    context = {
        "slice": found,
        "events": [(event, labels.get(event.connection_id, "")) for event in found.rows],
        "subscriptions": [
            (hook, labels.get(hook.connection_id, "")) for hook in CrmWebhook.objects.order_by("-created_at")[:20]
        ],
        "statuses": DeliveryStatus.choices,
        "status": status,
        "connections": [(row, PROVIDERS[row.crm_type].label) for row in rows],
        "spans": SPANS.items(),
        "refused": [(each, _label(each.crm_type)) for each in counted],
    }
    return show(request, "webhooks.html", context)


def _label(crm_type: str) -> str:
    known = PROVIDERS.get(crm_type)
    return known.label if known is not None else _("no CRM")


def _replay(request: HttpRequest, rows: list[CrmConnection]) -> HttpResponse:
    hours = request.POST.get("hours", "")
    row = next((each for each in rows if each.crm_type == request.POST.get("crm")), None)

    def act() -> int:
        if row is None or hours not in SPANS:
            raise refuse("request.invalid", _("Choose a connection and a span of time."))
        since = database_now() - timedelta(hours=int(hours))
        counts: dict[str, Any] = replay(row.pk, since, only_failed="failed" in request.POST)
        send_after_commit(refetch, str(row.pk))
        return sum(counts.values())

    def done(number: int) -> str:
        text = ngettext("%(n)d event is read again.", "%(n)d events are read again.", number)
        return text % {"n": number}

    return attempt(request, act, back=reverse("dashboard:webhooks"), done=done)
