"""A Pipedrive company for tests: the fake on loopback, its back door, and connectors to it."""

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
from crm.model import FieldDefinition
from crm.providers.base import ConnectorContext
from crm.providers.pipedrive import PROVIDER
from crm.providers.pipedrive.fake import DEFAULT_TOKEN, PipedriveFake
from crm.providers.pipedrive.sync import PipedriveConnector
from crm.testing.clock import FakeClock, LeapingClock
from crm.testing.contract_stand import Sample, StandFields
from crm.testing.faults import Fault
from crm.testing.wsgi import LoopbackServer

START_MS = 1_790_000_000_000
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
_EACH_WRITE = 100
"""A batch of the contract is as many requests here: a lost answer is meant for all of them."""


OTHERS = {
    "organizations": Sample({"name": "Umbra"}, {"address.locality": "Ulm"}),
    "deals": Sample({"title": "Big", "value": 5.5}, {"status": "won"}),
    "activities": Sample({"subject": "Call", "type": "call", "due_date": "2026-10-01"}, {"done": True}),
    "notes": Sample({"content": "Called"}, {"content": "Called again"}, needs_contact=True),
}


def context_for(url: str, **changes: Any) -> ConnectorContext:
    """What the wiring would give; the budgets are Pipedrive's, without the time and the tokens they take."""
    clock = LeapingClock()
    keys = {scope: f"test:{scope.value}" for scope in Scope}
    limiter = MemoryLimits(max_wait_seconds=1_000_000, clock=clock).limiter(
        BoundBudgets(PROVIDER.budgets, keys, priority=Priority.INTERACTIVE)
    )
    settings = {"api_base": url, **changes.pop("settings", {})}
    given: dict[str, Any] = {
        "token": lambda: Secret(DEFAULT_TOKEN),
        "limiter": limiter,
        "settings": settings,
        "extra_hosts": ("127.0.0.1",),
        "sleep": clock.sleep,
    }
    return ConnectorContext(**{**given, **changes})


@dataclass(slots=True)
class PipedriveStand:
    fake: PipedriveFake
    url: str
    settings: Mapping[str, str] = field(default_factory=dict)
    known: dict[str, Sequence[FieldDefinition]] = field(default_factory=dict)
    """What the connection keeps of the company's fields."""
    fields: StandFields = field(
        default_factory=lambda: StandFields(
            record_type="persons",
            name="name",
            other="job_title",
            email="email",
            unknown="no_such_field",
            refused=("owner_id", "999"),
            read_only="add_time",
            is_email_unique=False,
            tells_merges=False,
            idle_requests=2,
            others=OTHERS,
        )
    )

    def connector(self, **changes: Any) -> PipedriveConnector:
        """With the definitions that the connection keeps, if ``learn`` was called."""
        changes = {"definitions": self.known, **changes}
        settings = {**self.settings, **changes.pop("settings", {})}
        found = PROVIDER.connect(context_for(self.url, settings=settings, **changes))
        assert isinstance(found, PipedriveConnector)
        return found

    def learn(self, record_type: str = "persons", *, with_marker: bool = True) -> None:
        """As connecting does: make the marker field, then keep the definitions."""
        first = self.connector()
        if with_marker:
            first.prepare(record_type)
        self.known[record_type] = first.describe(record_type)

    def back_door(self, method: str, path: str, body: object = None, **query: str) -> Any:
        answer = requests.request(method, f"{self.url}/_fake/{path}", json=body, params=query, timeout=10)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def add(self, records: Sequence[Mapping[str, Any]], object_type: str = "persons") -> list[str]:
        bodies = [_properties(record) for record in records]
        found = self.back_door("POST", "bulk", {"objectType": object_type, "records": bodies})
        return [str(each) for each in found["ids"]]

    def edit(self, remote_id: str, values: Mapping[str, Any], object_type: str = "persons") -> None:
        self.back_door("PATCH", f"records/{remote_id}", {"properties": _properties(values)}, objectType=object_type)

    def remove(self, remote_id: str, object_type: str = "persons") -> None:
        self.back_door("DELETE", f"records/{remote_id}", objectType=object_type)

    def merge(self, kept_id: str, other_id: str) -> str:
        return str(self.back_door("POST", "merge", {"keptId": kept_id, "goneId": other_id})["id"])

    def live_ids(self) -> set[str]:
        return {str(each["id"]) for each in self.back_door("GET", "records")["results"]}

    def shown(self, remote_id: str, object_type: str = "persons") -> dict[str, Any]:
        return dict(self.back_door("GET", f"records/{remote_id}", objectType=object_type))

    def stored(self, remote_id: str, name: str) -> str:
        record = self.shown(remote_id)
        if name == "email":
            return next((each["value"] for each in record["emails"] if each["primary"]), "")
        return str(record.get(name) or "")

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.fake.clock.now_ms() / 1000, UTC)

    def pass_time(self, seconds: float) -> None:
        self.fake.clock.advance(seconds)

    def fail(self, kind: str, *, times: int = 1, writes_only: bool = False) -> None:
        count = _EACH_WRITE if kind == "lost_answer" else times
        retry_after = 1.0 if kind == "rate_limited" else None
        for method in ("POST", "PATCH", "PUT", "DELETE") if writes_only else ("*",):
            more = {"retry_after_seconds": retry_after, "policy": "daily" if kind == "day_used_up" else None}
            fault = Fault(_FAULTS[kind], method=method, times=count, size_bytes=_LONGER_THAN_ANY, **more)
            self.fake.faults.add(fault)

    def lag_search(self, seconds: float) -> None:
        self.fake.state.search_lag_seconds = seconds

    def counted(self, act: Callable[[], Any]) -> tuple[Any, dict[str, int]]:
        """What ``act`` gives, and the requests that the fake received meanwhile."""
        self.fake.reset_stats()
        result = act()
        return result, dict(self.fake.stats()["requests"])


def _properties(values: Mapping[str, Any]) -> dict[str, Any]:
    """An address alone stands for a list with it, as in a form."""
    found = dict(values)
    if isinstance(found.get("email"), str):
        found["emails"] = [{"value": found.pop("email"), "label": "work", "primary": True}]
    return found


@contextmanager
def pipedrive_stand(settings: Mapping[str, str] | None = None, **options: Any) -> Iterator[PipedriveStand]:
    fake = PipedriveFake(**{"clock": FakeClock(start_ms=START_MS), "contact_sync": True, **options})
    try:
        with LoopbackServer(fake) as server:
            yield PipedriveStand(fake, server.url, settings or {})
    finally:
        fake.close()


@contextmanager
def connected_stand() -> Iterator[PipedriveStand]:
    """A company that was connected and described: what the contract's checks run against."""
    with pipedrive_stand() as stand:
        stand.learn()
        yield stand
