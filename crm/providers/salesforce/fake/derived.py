"""Fields that Salesforce computes from the others when a record is saved."""

from __future__ import annotations

import base64
import html
import re
from typing import Any, Final

from crm.providers.salesforce.fake.standard_objects import STAGES
from crm.providers.salesforce.fake.state import State, Values

_TAGS: Final = re.compile(r"<[^>]*>")


def derived(state: State, kind: str, values: Values) -> dict[str, Any]:
    """The computed fields of a record with these values."""
    if kind in ("Contact", "Lead") or values.get("IsPersonAccount"):
        name = {"Name": _full_name(values)}
        bounced = {"IsEmailBounced": values.get("EmailBouncedDate") is not None}
        return name | bounced if kind == "Contact" else name
    match kind:
        case "Opportunity":
            stage = values.get("StageName")
            return {"IsClosed": stage in ("Closed Won", "Closed Lost"), "IsWon": stage == "Closed Won"}
        case "Task":
            return {
                "IsClosed": values.get("Status") == "Completed",
                "IsHighPriority": values.get("Priority") == "High",
                "AccountId": _account_of_task(state, values),
            }
        case "ContentNote":
            body = base64.b64decode(values.get("Content") or "").decode("utf-8", "replace")
            preview = html.unescape(_TAGS.sub(" ", body))
            return {"TextPreview": " ".join(preview.split())[:255] or None, "ContentSize": len(body.encode())}
        case _:
            return {}


def defaults(kind: str, values: Values) -> dict[str, Any]:
    """What a new record gets beside its fields' own defaults."""
    if kind == "Opportunity" and values.get("Probability") is None:
        return {"Probability": STAGES.get(str(values.get("StageName")), 0)}
    return {}


def _full_name(values: Values) -> str:
    """Salutation first, as the compound Name shows it."""
    return " ".join(str(values[part]) for part in ("Salutation", "FirstName", "LastName") if values.get(part))


def _account_of_task(state: State, values: Values) -> str | None:
    for name in ("WhatId", "WhoId"):
        found = state.find(values.get(name) or "")
        if found is None:
            continue
        if found.kind == "Account":
            return found.record_id
        if found.values.get("AccountId"):
            return str(found.values["AccountId"])
    return None
