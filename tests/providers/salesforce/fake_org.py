"""One fake org and a client that speaks plain HTTP to it, without a socket, at a time that stands still."""

from __future__ import annotations

from typing import Any

import requests

from crm.providers.salesforce.fake import DEFAULT_TOKEN, SalesforceFake
from crm.testing.clock import FakeClock
from crm.testing.wsgi import InProcessAdapter

BASE = "https://acme.my.salesforce.com"
DATA = "/services/data/v59.0"
NOW_MS = 1_790_000_000_000
NOW = "2026-09-21T14:13:20.000+0000"
EXTERNAL_ID = "ADSapp_Id__c"


class Org:
    """``call`` speaks as the app, ``person`` uses the back door."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock(start_ms=NOW_MS)
        self.fake = SalesforceFake(clock=self.clock, **{"external_id_fields": [f"Contact.{EXTERNAL_ID}"], **options})
        self.session = requests.Session()
        self.session.mount(BASE, InProcessAdapter(self.fake))

    def call(self, method: str, path: str, body: Any = None, token: str = DEFAULT_TOKEN, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
        url = BASE + (path if path.startswith("/services/") else DATA + path)
        return self.session.request(method, url, json=body, headers=headers, **more)

    def person(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        answer = self.session.request(method, f"{BASE}/_fake/{path}", json=body, **more)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def settings(self, **changes: Any) -> Any:
        return self.person("POST", "settings", changes)

    def create(self, kind: str = "Contact", **fields: Any) -> str:
        """A new record made by the app; gives its id."""
        answer = self.call(
            "POST", f"/sobjects/{kind}", {"LastName": "Lovelace", **fields} if kind == "Contact" else fields
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def fields(self, record_id: str, *names: str, kind: str = "Contact") -> dict[str, Any]:
        answer = self.call("GET", f"/sobjects/{kind}/{record_id}", params={"fields": ",".join(names)})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return {name: found[name] for name in names}

    def ask(self, soql: str, verb: str = "query", **more: Any) -> Any:
        return self.call("GET", f"/{verb}", params={"q": soql}, **more)

    def rows(self, soql: str, verb: str = "query") -> list[dict[str, Any]]:
        answer = self.ask(soql, verb)
        assert answer.status_code == 200, answer.text
        return [
            {name: value for name, value in row.items() if name != "attributes"} for row in answer.json()["records"]
        ]

    def names(self, where: str) -> list[str]:
        """The last names that a condition finds, in the order they were made."""
        return [row["LastName"] for row in self.rows(f"SELECT LastName FROM Contact WHERE {where} ORDER BY Id")]
