"""Webhook deliveries that were refused, counted by CRM, reason and day. Whose they were is kept nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Max, Sum

from adsapp_crm.catalogue import explain
from adsapp_crm.models import CrmWebhookRefusal
from adsapp_crm.selectors import database_now

SHOWN_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Refused:
    """How many deliveries of a CRM were refused for one reason, and when the last one was."""

    crm_type: str
    """``?`` for an address of no CRM."""
    code: str
    deliveries: int
    last_at: datetime

    @property
    def entry(self) -> Any:
        return explain(self.code)

    def as_json(self) -> dict[str, Any]:
        return {
            "crmType": self.crm_type,
            "code": self.code,
            "title": str(self.entry.title),
            "fix": str(self.entry.fix),
            "deliveries": self.deliveries,
            "lastAt": self.last_at,
        }


def refused_deliveries(days: int = SHOWN_DAYS, crm_type: str = "") -> list[Refused]:
    """Of this whole installation within the last ``days`` days (UTC), most first, in two queries."""
    since = (database_now() - timedelta(days=days)).date()
    rows = CrmWebhookRefusal.objects.filter(day__gte=since)
    rows = rows.filter(crm_type=crm_type) if crm_type else rows
    counted = rows.values("crm_type", "code").annotate(number=Sum("deliveries"), last=Max("last_at"))
    return [
        Refused(each["crm_type"], each["code"], each["number"], each["last"])
        for each in counted.order_by("-number", "crm_type", "code")
    ]
