"""A Salesforce organization for tests: the fake on loopback, its back door, and connectors to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests

from crm.http.limits import BoundBudgets, Priority, Scope
from crm.http.memory_limits import MemoryLimits
from crm.http.redact import Secret
from crm.model import FieldDefinition
from crm.providers.base import ConnectorContext
from crm.providers.salesforce import PROVIDER
from crm.providers.salesforce.fake import DEFAULT_TOKEN, SalesforceFake
from crm.providers.salesforce.mapping import MARKER_FIELD
from crm.providers.salesforce.sync import SalesforceConnector
from crm.testing.clock import FakeClock, LeapingClock
from crm.testing.contract_stand import Sample, StandFields
from crm.testing.faults import Fault
from crm.testing.wsgi import LoopbackServer, Request, Response

START_MS = 1_790_000_000_000
MARKED = ("Contact." + MARKER_FIELD, "Lead." + MARKER_FIELD)
_WRITES = "*/composite/sobjects*"
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


OTHERS = {
    "Opportunity": Sample(
        {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-12-31"}, {"NextStep": "Call"}
    ),
    "Task": Sample({"Subject": "Call", "Status": "Not Started", "Priority": "Normal"}, {"Subject": "Called"}),
    "Note": Sample({"Title": "Call", "Content": "Tom & Jerry\ncalled"}, {"Content": "1 < 2"}),
    "ContentNote": Sample({"Title": "Call", "Content": "They called"}, {"Title": "Second call"}),
}


@dataclass(slots=True)
class SalesforceStand:
    fake: SalesforceFake
    url: str
    record_type: str = "Contact"
    fields: StandFields = field(
        default_factory=lambda: StandFields(
            record_type="Contact",
            name="LastName",
            other="Title",
            email="Email",
            unknown="No_Such_Field__c",
            refused=("Email", "no address"),
            read_only="CreatedDate",
            is_email_unique=False,
            others=OTHERS,
        )
    )
    definitions: dict[str, Sequence[FieldDefinition]] = field(default_factory=dict)

    def context(self, **changes: Any) -> ConnectorContext:
        """What the wiring would give: the stored description, the grant's user, budgets without their time."""
        clock = LeapingClock()
        keys = {scope: f"test:{scope.value}" for scope in Scope}
        limits = MemoryLimits(max_wait_seconds=10_000, clock=clock)
        settings = {"instance_url": self.url, "user_id": self.fake.people.api_user_id}
        given: dict[str, Any] = {
            "token": lambda: Secret(DEFAULT_TOKEN),
            "limiter": limits.limiter(BoundBudgets(PROVIDER.budgets, keys, priority=Priority.INTERACTIVE)),
            "settings": {**settings, **changes.pop("settings", {})},
            "extra_hosts": ("127.0.0.1",),
            "sleep": clock.sleep,
            "definitions": self.definitions,
        }
        return ConnectorContext(**{**given, **changes})

    def connector(self, **changes: Any) -> SalesforceConnector:
        found = PROVIDER.connect(self.context(**changes))
        assert isinstance(found, SalesforceConnector)
        return found

    def learn(self) -> None:
        """Describe both types, as connecting does."""
        connector = self.connector(definitions={})
        self.definitions = {name: connector.describe(name) for name in PROVIDER.record_types}
        self.fake.reset_stats()

    def back_door(self, method: str, path: str, body: object = None, **query: str) -> Any:
        answer = requests.request(method, f"{self.url}/_fake/{path}", json=body, params=query, timeout=30)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def set_up(self, **settings: object) -> None:
        self.back_door("POST", "settings", settings)
        self.learn()

    def add(self, records: Sequence[Mapping[str, Any]], record_type: str = "Contact") -> list[str]:
        body = {"object": record_type, "records": [{"fields": dict(record)} for record in records]}
        return list(self.back_door("POST", "bulk", body)["ids"])

    def edit(self, remote_id: str, values: Mapping[str, Any], **more: object) -> None:
        self.back_door("PATCH", f"records/{remote_id}", {"fields": dict(values), **more})

    def remove(self, remote_id: str) -> None:
        self.back_door("DELETE", f"records/{remote_id}", {})

    def merge(self, kept_id: str, other_id: str) -> str:
        return str(self.back_door("POST", "merge", {"masterId": kept_id, "ids": [other_id]})["Id"])

    def records(self, record_type: str = "Contact") -> list[dict[str, Any]]:
        return list(self.back_door("GET", "records", object=record_type)["results"])

    def live_ids(self) -> set[str]:
        return {each["Id"] for each in self.records()}

    def record(self, remote_id: str) -> dict[str, Any]:
        return dict(self.back_door("GET", f"records/{remote_id}"))

    def stored(self, remote_id: str, name: str) -> str:
        return str(self.record(remote_id).get(name) or "")

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.fake.clock.now_ms() // 1000, UTC)

    def pass_time(self, seconds: float) -> None:
        self.fake.clock.advance(seconds)

    def fail(self, kind: str, *, times: int = 1, writes_only: bool = False) -> None:
        path = _WRITES if writes_only else "*/services/*"
        policy = "ConcurrentRequests" if kind == "rate_limited" else None
        fault = Fault(_FAULTS[kind], path=path, times=times, policy=policy, size_bytes=_LONGER_THAN_ANY)
        self.fake.faults.add(fault)

    def lag_search(self, seconds: float) -> None:
        self.fake.late_seconds = seconds

    @contextmanager
    def watched(self, method: str, path_end: str, act: Callable[[Request], object]) -> Iterator[None]:
        """``act`` with each such request before the fake sees it, in the thread that answers it."""
        plain = self.fake.respond

        def respond(request: Request) -> Response:
            if request.method == method and request.path.endswith(path_end):
                act(request)
            return plain(request)

        self.fake.respond = respond  # type: ignore[method-assign]
        try:
            yield
        finally:
            self.fake.respond = plain  # type: ignore[method-assign]

    def together(self, method: str, path_end: str, count: int) -> AbstractContextManager[None]:
        """So many such requests have to be under way at once: none is answered before."""
        barrier = threading.Barrier(count, timeout=10)
        return self.watched(method, path_end, lambda _: barrier.wait())

    def counted(self, act: Callable[[], Any]) -> tuple[Any, dict[str, int]]:
        """What ``act`` gives, and the requests that the fake received meanwhile."""
        self.fake.reset_stats()
        result = act()
        return result, dict(self.fake.stats()["requests"])


@contextmanager
def salesforce_stand(*, marked: bool = True, **options: Any) -> Iterator[SalesforceStand]:
    given = {"clock": FakeClock(start_ms=START_MS), "external_id_fields": MARKED if marked else (), **options}
    fake = SalesforceFake(**given)
    try:
        with LoopbackServer(fake) as server:
            stand = SalesforceStand(fake, server.url)
            stand.learn()
            yield stand
    finally:
        fake.close()
