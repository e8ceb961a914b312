"""A HubSpot account for tests: the fake on loopback, its back door, and connectors to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests

from crm.http.limits import BoundBudgets, Priority, Scope
from crm.http.memory_limits import MemoryLimits
from crm.http.redact import Secret
from crm.providers.base import ConnectorContext
from crm.providers.hubspot import PROVIDER
from crm.providers.hubspot.fake import DEFAULT_TOKEN, HubSpotFake
from crm.providers.hubspot.sync import HubSpotConnector
from crm.testing.clock import FakeClock, LeapingClock
from crm.testing.contract_stand import Sample, StandFields
from crm.testing.faults import Fault
from crm.testing.wsgi import LoopbackServer

START_MS = 1_790_000_000_000
_BATCH_WRITES = "*/batch/[cua]*"
_FAULTS = {
    "lost_answer": "drop_after",
    "server_error": "server_error",
    "html": "html_ok",
    "rate_limited": "rate_limited",
    "unauthorized": "unauthorized",
    "day_used_up": "rate_limited",
    "half_body": "half_body",
    "huge_body": "huge_body",
}
_LONGER_THAN_ANY = (32 << 20) + 1


_WHEN = {"hs_timestamp": "2026-10-01T09:00:00.000Z"}
OTHERS = {
    "companies": Sample({"name": "Acme", "domain": "acme.example"}, {"city": "Ulm"}),
    "deals": Sample({"dealname": "Big", "dealstage": "appointmentscheduled", "amount": 5}, {"dealname": "Bigger"}),
    "notes": Sample({**_WHEN, "hs_note_body": "Called"}, {"hs_note_body": "Called again"}),
    "tasks": Sample({**_WHEN, "hs_task_subject": "Call"}, {"hs_task_subject": "Called"}),
    "calls": Sample({**_WHEN, "hs_call_title": "First"}, {"hs_call_body": "Nobody there"}),
    "emails": Sample({**_WHEN, "hs_email_subject": "Hello"}, {"hs_email_text": "Hello again"}),
    "meetings": Sample({**_WHEN, "hs_meeting_title": "Lunch"}, {"hs_meeting_body": "At noon"}),
    "communications": Sample(
        {**_WHEN, "hs_communication_channel_type": "WHATS_APP", "hs_communication_body": "Hi"},
        {"hs_communication_body": "Hi there"},
    ),
}


def context_for(url: str, **changes: Any) -> ConnectorContext:
    """What the wiring would give; the budgets are HubSpot's, without the time they take."""
    clock = LeapingClock()
    keys = {scope: f"test:{scope.value}" for scope in Scope}
    limiter = MemoryLimits(max_wait_seconds=10_000, clock=clock).limiter(
        BoundBudgets(PROVIDER.budgets, keys, priority=Priority.INTERACTIVE)
    )
    given: dict[str, Any] = {
        "token": lambda: Secret(DEFAULT_TOKEN),
        "limiter": limiter,
        "settings": {"api_base": url},
        "extra_hosts": ("127.0.0.1",),
        "sleep": clock.sleep,
    }
    return ConnectorContext(**{**given, **changes})


@dataclass(slots=True)
class HubSpotStand:
    fake: HubSpotFake
    url: str
    api_version: str = ""
    fields: StandFields = field(
        default_factory=lambda: StandFields(
            record_type="contacts",
            name="firstname",
            other="jobtitle",
            email="email",
            unknown="no_such_property",
            refused=("hs_language", "klingon"),
            read_only="createdate",
            others=OTHERS,
        )
    )

    def connector(self, **changes: Any) -> HubSpotConnector:
        settings = {"api_base": self.url, "api_version": self.api_version}
        found = PROVIDER.connect(context_for(self.url, **{"settings": settings, **changes}))
        assert isinstance(found, HubSpotConnector)
        return found

    def back_door(self, method: str, path: str, body: object = None, **query: str) -> Any:
        answer = requests.request(method, f"{self.url}/_fake/{path}", json=body, params=query, timeout=10)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def add(self, records: Sequence[Mapping[str, str]]) -> list[str]:
        found = self.back_door("POST", "bulk", {"records": [dict(record) for record in records]})
        return list(found["ids"])

    def edit(self, remote_id: str, values: Mapping[str, str], **more: object) -> None:
        self.back_door("PATCH", f"records/{remote_id}", {"properties": dict(values), **more})

    def remove(self, remote_id: str) -> None:
        self.back_door("DELETE", f"records/{remote_id}")

    def merge(self, kept_id: str, other_id: str) -> str:
        found = self.back_door("POST", "merge", {"primaryObjectId": kept_id, "objectIdToMerge": other_id})
        return str(found["id"])

    def live_ids(self) -> set[str]:
        return {each["id"] for each in self.back_door("GET", "records")["results"]}

    def stored(self, remote_id: str, name: str) -> str:
        return str(self.back_door("GET", f"records/{remote_id}")["properties"].get(name) or "")

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.fake.clock.now_ms() / 1000, UTC)

    def pass_time(self, seconds: float) -> None:
        self.fake.clock.advance(seconds)

    def fail(self, kind: str, *, times: int = 1, writes_only: bool = False) -> None:
        path = _BATCH_WRITES if writes_only else "*"
        retry_after = 1.0 if kind == "rate_limited" else None
        policy = "DAILY" if kind == "day_used_up" else None
        more = {"retry_after_seconds": retry_after, "policy": policy, "size_bytes": _LONGER_THAN_ANY}
        self.fake.faults.add(Fault(_FAULTS[kind], path=path, times=times, **more))

    def lag_search(self, seconds: float) -> None:
        self.fake.state.search_lag_seconds = seconds

    def counted(self, act: Callable[[], Any]) -> tuple[Any, dict[str, int]]:
        """What ``act`` gives, and the requests that the fake received meanwhile."""
        self.fake.reset_stats()
        result = act()
        return result, dict(self.fake.stats()["requests"])


@contextmanager
def hubspot_stand(api_version: str = "", **options: Any) -> Iterator[HubSpotStand]:
    fake = HubSpotFake(**{"clock": FakeClock(start_ms=START_MS), **options})
    try:
        with LoopbackServer(fake) as server:
            yield HubSpotStand(fake, server.url, api_version)
    finally:
        fake.close()
