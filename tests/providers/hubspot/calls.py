"""HubSpot's addresses as the fake counts them, and people to send."""

from __future__ import annotations

from datetime import UTC, datetime

import requests

from tests.providers.hubspot.stand import START_MS, HubSpotStand

FIELDS = ("firstname", "lastname", "email", "phone", "hs_email_optout")
LIST = "GET /crm/v3/objects/contacts"
SEARCH = "POST /crm/v3/objects/contacts/search"
READ = "POST /crm/v3/objects/contacts/batch/read"
CREATE = "POST /crm/v3/objects/contacts/batch/create"
UPDATE = "POST /crm/v3/objects/contacts/batch/update"
ONE = "GET /crm/v3/objects/contacts/{id}"
PROPERTIES = "GET /crm/v3/properties/contacts"
OPT_OUT = "POST /communication-preferences/v4/statuses/{email}/unsubscribe-all"
STARTED = datetime.fromtimestamp(START_MS / 1000, UTC)


def people(count: int, **more: str) -> list[dict[str, str]]:
    return [{"firstname": f"P{n}", "email": f"p{n}@example.com", **more} for n in range(count)]


def yes_or_no() -> list[dict[str, object]]:
    return [{"label": each, "value": each, "displayOrder": n} for n, each in enumerate(("true", "false"))]


def make_property(stand: HubSpotStand, **definition: object) -> None:
    body = {"label": definition["name"], "groupName": "contactinformation", **definition}
    headers = {"Authorization": f"Bearer {stand.fake.token}"}
    answer = requests.post(f"{stand.url}/crm/v3/properties/contacts", json=body, headers=headers, timeout=10)
    assert answer.status_code == 201, answer.text
