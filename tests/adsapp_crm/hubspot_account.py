"""A HubSpot account on loopback for tests of the doors: the fake, spoken to through its back door only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests

from crm.fakes import FAKES
from crm.testing.wsgi import LoopbackServer

TOKEN = "pat-eu1-11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True)
class HubSpotAccount:
    url: str

    def back_door(self, method: str, path: str, body: object = None) -> Any:
        answer = requests.request(method, f"{self.url}/_fake/{path}", json=body, timeout=10)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def add(self, *records: Mapping[str, str]) -> list[str]:
        return list(self.back_door("POST", "bulk", {"records": [dict(each) for each in records]})["ids"])

    def edit(self, remote_id: str, **values: str) -> None:
        self.back_door("PATCH", f"records/{remote_id}", {"properties": values})

    def records(self) -> list[dict[str, Any]]:
        return [each["properties"] for each in self.back_door("GET", "records")["results"]]

    def requests(self) -> int:
        return sum(self.back_door("GET", "stats")["requests"].values())


@contextmanager
def hubspot_account() -> Iterator[HubSpotAccount]:
    fake = FAKES["hubspot"](token=TOKEN, limits="none", search_lag_seconds=0.0)
    try:
        with LoopbackServer(fake) as server:
            yield HubSpotAccount(server.url)
    finally:
        fake.close()
