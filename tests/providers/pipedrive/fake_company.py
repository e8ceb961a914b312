"""One fake company and a client that speaks plain HTTP to it, without a socket, at a time that stands still."""

from __future__ import annotations

from typing import Any

import requests

from crm.providers.pipedrive.fake import DEFAULT_TOKEN, PipedriveFake
from crm.testing.clock import FakeClock
from crm.testing.wsgi import InProcessAdapter

BASE = "https://acme.pipedrive.com"
NOW_MS = 1_790_000_000_000
NOW = "2026-09-21T14:13:20Z"
NOW_V1 = "2026-09-21 14:13:20"
BOT = 25_760_681
GRACE = BOT + 7
ALAN = BOT + 14


class Company:
    """``call`` speaks as the integration's user, ``person`` uses the back door."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock(start_ms=NOW_MS)
        self.fake = PipedriveFake(clock=self.clock, **options)
        self.session = requests.Session()
        self.session.mount(BASE, InProcessAdapter(self.fake))

    def call(self, method: str, path: str, body: Any = None, token: str = DEFAULT_TOKEN, **more: Any) -> Any:
        """``path`` from ``/api/v2`` on, unless it starts with ``/v1`` or ``/api``."""
        url = BASE + (path if path.startswith(("/v1", "/api", "/oauth")) else f"/api/v2{path}")
        headers = {"x-api-token": token, **more.pop("headers", {})}
        return self.session.request(method, url, json=body, headers=headers, **more)

    def person(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        return self.session.request(method, f"{BASE}/_fake/{path}", json=body, **more)

    def data(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """What a call that succeeds gives."""
        answer = self.call(method, path, body, **more)
        assert answer.ok, answer.text
        assert answer.json()["success"] is True
        return answer.json()["data"]

    def add(self, **values: Any) -> int:
        """A new person made by the integration; gives its id."""
        return int(self.data("POST", "/persons", {"name": "Ada Lovelace", **values})["id"])

    def field(self, kind: str, *labels: str, name: str = "Custom", path: str = "personFields") -> Any:
        """A new custom field: its hash, or (hash, ids of its options)."""
        body: dict[str, Any] = {"field_name": name, "field_type": kind}
        if labels:
            body["options"] = [{"label": label} for label in labels]
        found = self.data("POST", f"/{path}", body)
        if not labels:
            return found["field_code"]
        return found["field_code"], [option["id"] for option in found["options"]]

    def ids(self, path: str = "/persons", **query: Any) -> list[int]:
        return [row["id"] for row in self.data("GET", path, params=query)]


def refused(name: str, reason: str) -> dict[str, Any]:
    """v2's body for a value that it does not take."""
    return {"success": False, "error": f"Validation failed: {name}: {reason}", "code": "ERR_SCHEMA_VALIDATION_FAILED"}
