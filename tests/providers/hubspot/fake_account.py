"""One fake account and a client that speaks plain HTTP to it, without a socket, at a time that stands still."""

from __future__ import annotations

from typing import Any

import requests

from crm.providers.hubspot.fake import DEFAULT_TOKEN, HubSpotFake
from crm.testing.clock import FakeClock
from crm.testing.wsgi import InProcessAdapter

BASE = "https://api.hubapi.com"
NOW_MS = 1_790_000_000_000
NOW = "2026-09-21T14:13:20.000Z"


class Account:
    """``call`` speaks as the private app, ``person`` uses the back door."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock(start_ms=NOW_MS)
        self.fake = HubSpotFake(clock=self.clock, **options)
        self.session = requests.Session()
        self.session.mount(BASE, InProcessAdapter(self.fake))

    def call(self, method: str, path: str, body: Any = None, token: str = DEFAULT_TOKEN, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
        return self.session.request(method, BASE + path, json=body, headers=headers, **more)

    def person(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        return self.session.request(method, f"{BASE}/_fake/{path}", json=body, **more)

    def contact(self, **properties: Any) -> str:
        """A new contact made by the app; gives its id."""
        answer = self.call("POST", "/crm/v3/objects/contacts", {"properties": properties})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def properties(self, contact_id: str, *names: str) -> dict[str, Any]:
        answer = self.call("GET", f"/crm/v3/objects/contacts/{contact_id}", params={"properties": ",".join(names)})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["properties"]
        return {name: found[name] for name in names}

    def search(self, *filters: dict[str, Any], **more: Any) -> Any:
        body = {"filterGroups": [{"filters": list(filters)}] if filters else [], **more}
        return self.call("POST", "/crm/v3/objects/contacts/search", body)

    def ids(self, **params: Any) -> list[str]:
        answer = self.call("GET", "/crm/v3/objects/contacts", params={"limit": 100, **params})
        return [row["id"] for row in answer.json()["results"]]


def body_of(answer: Any) -> dict[str, Any]:
    """The error body without the id that differs each time."""
    body: dict[str, Any] = answer.json()
    assert len(body.pop("correlationId")) == 36
    return body


def has(name: str, operator: str, value: object = None, **more: object) -> dict[str, Any]:
    return {"propertyName": name, "operator": operator, **({} if value is None else {"value": value}), **more}


def make_property(
    account: Account,
    name: str,
    type_: str,
    field_type: str = "",
    options: list[str] | None = None,
    *,
    unique: bool = False,
) -> None:
    usual = {"string": "text", "number": "number", "bool": "booleancheckbox", "date": "date", "datetime": "date"}
    answer = account.call(
        "POST",
        "/crm/v3/properties/contacts",
        {
            "name": name,
            "label": name,
            "type": type_,
            "fieldType": field_type or usual[type_],
            "groupName": "contactinformation",
            "hasUniqueValue": unique,
            "options": [{"label": value, "value": value} for value in options or []],
        },
    )
    assert answer.status_code == 201, answer.text
