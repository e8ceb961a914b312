"""The admin's sidebar: by what people want to know, with the number of questions that wait."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from adsapp_crm.models import CrmConflict
from adsapp_crm.models.choices import QuestionStatus
from adsapp_crm.tenancy import current_organization_or_none

MOST_TOLD: Final = 99

_GROUPS: Final = (
    (
        lazy("Sync"),
        (
            (lazy("Connections"), "hub", "crmconnection"),
            (lazy("Runs"), "sync", "crmsynclog"),
            (lazy("Plans"), "fact_check", "crmplan"),
            (lazy("Webhook events"), "inbox", "crmwebhookevent"),
            (lazy("Notices"), "notifications", "crmnotice"),
        ),
    ),
    (
        lazy("Records"),
        (
            (lazy("Conflicts"), "alt_route", "crmconflict"),
            (lazy("Contacts"), "person", "contact"),
            (lazy("Links"), "link", "crmsyncstate"),
            (lazy("Unlinked CRM records"), "link_off", "crmobservation"),
            (lazy("Ledger"), "receipt_long", "crmledgerentry"),
            (lazy("Contact changes"), "history", "contactchange"),
        ),
    ),
    (
        lazy("Mapping"),
        (
            (lazy("Field mappings"), "swap_horiz", "crmfieldmapping"),
            (lazy("Versions"), "layers", "crmmappingversion"),
        ),
    ),
    (
        lazy("People and access"),
        (
            (lazy("Members"), "group", "membership"),
            (lazy("API keys"), "key", "apikey"),
            (lazy("Staff access"), "badge", "staffaccess"),
            (lazy("What staff looked at"), "visibility", "staffaccessevent"),
        ),
    ),
    (
        lazy("Under the hood"),
        (
            (lazy("Periodic tasks"), "schedule", "django_celery_beat_periodictask"),
            (lazy("Jobs"), "task", "crmjobslot"),
            (lazy("Heartbeats"), "favorite", "crmheartbeat"),
            (lazy("Webhook subscriptions"), "webhook", "crmwebhook"),
            (lazy("Outgoing webhooks"), "outgoing_mail", "crmoutgoingwebhook"),
            (lazy("Messages"), "mail", "crmmessage"),
            (lazy("Refused deliveries"), "block", "crmwebhookrefusal"),
            (lazy("Plan lines"), "list", "crmplanline"),
            (lazy("CRM writes"), "edit_note", "crmintent"),
            (lazy("Leases"), "lock", "crmlease"),
            (lazy("Begun log-ins"), "login", "crmoauthstate"),
            (lazy("App registrations"), "apps", "crmappregistration"),
            (lazy("Repeatable requests"), "replay", "idempotencykey"),
            (lazy("Erased people"), "person_off", "contacttombstone"),
        ),
    ),
)


def navigation(_request: HttpRequest) -> list[dict[str, Any]]:
    first = [
        {"title": _("Overview"), "icon": "dashboard", "link": reverse("admin:index")},
        {
            "title": _("Choose an organization"),
            "icon": "domain",
            "link": reverse("admin:adsapp_crm_organization_changelist"),
        },
    ]
    groups = [
        {
            "title": title,
            "collapsible": place > 1,
            "items": [_item(name, icon, model) for name, icon, model in items],
        }
        for place, (title, items) in enumerate(_GROUPS)
    ]
    return [{"title": "", "items": first}, *groups]


def _item(name: Any, icon: str, model: str) -> dict[str, Any]:
    label = model if "_" in model else f"adsapp_crm_{model}"
    item = {"title": name, "icon": icon, "link": reverse(f"admin:{label}_changelist")}
    return {**item, "badge": "adsapp_crm.admin.navigation.open_conflicts"} if model == "crmconflict" else item


def open_conflicts(_request: HttpRequest) -> str:
    """How many questions wait for an answer, up to ``MOST_TOLD``; empty for none."""
    if current_organization_or_none() is None:
        return ""
    waiting = CrmConflict.objects.filter(status=QuestionStatus.OPEN).order_by()[: MOST_TOLD + 1].count()
    return f"{MOST_TOLD}+" if waiting > MOST_TOLD else str(waiting or "")
