"""How rows are named in lists: a CRM by its label and account, a person by name, a state by its word."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from adsapp_crm.catalogue import explain
from adsapp_crm.models import CrmConnection
from adsapp_crm.models.choices import DeliveryStatus, Health, PlanStatus, QuestionStatus, RunState
from crm.registry import PROVIDERS

TONES: Final[Mapping[str, str]] = {
    Health.HEALTHY: "success",
    Health.NEEDS_RECONNECT: "danger",
    Health.NEEDS_ATTENTION: "warning",
    Health.LATE: "warning",
    Health.HELD: "warning",
    Health.WAITING_FOR_QUOTA: "info",
    Health.FIRST_SYNC: "info",
    RunState.COMPLETED: "success",
    RunState.FAILED: "danger",
    RunState.RUNNING: "info",
    RunState.PARKED: "info",
    QuestionStatus.OPEN: "warning",
    QuestionStatus.ANSWERED: "success",
    PlanStatus.PLANNED: "info",
    PlanStatus.APPLIED: "success",
    DeliveryStatus.DONE: "success",
    DeliveryStatus.RECEIVED: "info",
    DeliveryStatus.REJECTED: "danger",
}
"""Unfold's colours of a state's word; a word that is missing here is grey."""


def crm_label(crm_type: str) -> str:
    provider = PROVIDERS.get(crm_type)
    return provider.label if provider else crm_type


def connection_label(connection: CrmConnection) -> str:
    label = crm_label(connection.crm_type)
    account = connection.remote_account_name
    return f"{label} · {account}" if account and account != label else label


def shown_value(value: Any) -> SafeString:
    """A contact's or CRM's value: escaped, cut, with hidden characters made visible."""
    return render_to_string("adsapp_crm/admin/_value.html", {"value": value})


def shown_json(value: Any) -> SafeString:
    """A JSON value as escaped, readable text."""
    return format_html('<pre class="crm-json">{}</pre>', json.dumps(value, indent=2, ensure_ascii=False, default=str))


def shown_counts(counts: Mapping[str, Any]) -> SafeString:
    """Numbers by name; a number of numbers is told as one line."""
    rows = [
        (
            name.replace("_", " "),
            ", ".join(f"{key.replace('_', ' ')} {each}" for key, each in value.items())
            if isinstance(value, dict)
            else value,
        )
        for name, value in counts.items()
    ]
    return render_to_string("adsapp_crm/admin/_counts.html", {"rows": rows})


def shown_effects(row: Any) -> SafeString:
    """What a ledger entry or a plan's line does to which field."""
    return render_to_string("adsapp_crm/admin/_effects.html", {"row": row})


def explained(code: str) -> str:
    """A code with its title, cause and fix; empty for no code."""
    if not code:
        return ""
    entry = explain(code)
    return f"{code}: {entry.title}. {entry.cause} {entry.fix}"


def linked(model_name: str, pk: Any, text: Any) -> SafeString | str:
    """A link to the page of a row; plain text without one."""
    if pk is None:
        return "" if text is None else str(text)
    return format_html(
        '<a class="crm-link" href="{}">{}</a>', reverse(f"admin:adsapp_crm_{model_name}_change", args=[pk]), text
    )
