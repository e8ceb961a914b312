"""Measures what share of each CRM's request limit a waiting backlog uses, and that it never asks for more.

``python3 dev.py rates [--provider P] [--seconds S] [--json]``: real workers' budgets (Valkey), the connectors, real
sockets, the clock; the CRM's fake counts in a process of its own and refuses what is over the limit. Share used: the
CRM's window against the mean time between a request and the one ``limit`` places later. Exit 0 when every budget is
used to at least 95 % without a violation.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis
import requests

from adsapp_crm.limiter import RedisLimits
from crm.http.limits import BoundBudgets, Priority, Scope
from crm.http.redact import Secret
from crm.ports import Connector, UpdateItem
from crm.providers.base import ConnectorContext
from crm.providers.hubspot.fake import DEFAULT_TOKEN as HUBSPOT_TOKEN
from crm.providers.pipedrive.fake import DEFAULT_TOKEN as PIPEDRIVE_TOKEN
from crm.providers.salesforce.fake import DEFAULT_TOKEN as SALESFORCE_TOKEN
from crm.registry import PROVIDERS
from tests.harness import services
from tests.harness.rates.crm_side import RECORDS, CrmSide, serving

WANTED = 0.95


@dataclass(frozen=True, slots=True)
class Budget:
    """One limit of one CRM, and a backlog on it: ``workers`` share the budget, each with a connector of its own."""

    provider: str
    name: str
    limit: int
    window_seconds: float
    seconds: float
    workers: int
    token: str
    options: dict[str, Any]


def _pipedrive(plan: str, limit: int) -> Budget:
    return Budget("pipedrive", plan, limit, 2.0, 14.0, 1, PIPEDRIVE_TOKEN, {"plan": plan})


BUDGETS = (
    Budget("hubspot", "private app", 100, 10.0, 20.0, 4, HUBSPOT_TOKEN, {}),
    Budget("salesforce", "politeness", 100, 1.0, 10.0, 4, SALESFORCE_TOKEN, {}),
    _pipedrive("lite", 20),
    _pipedrive("growth", 40),
    _pipedrive("premium", 100),
    _pipedrive("ultimate", 120),
)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="rates", description=__doc__)
    parser.add_argument("--provider", action="append", choices=sorted(PROVIDERS), help="this CRM; may be repeated")
    parser.add_argument(
        "--seconds", type=float, help="of each measurement, 20 at most; by the CRM's window unless given"
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on a line")
    options = parser.parse_args(arguments)
    if options.seconds is not None and not 1 <= options.seconds <= 20:
        parser.error("--seconds: must be from 1 to 20")
    results = []
    with services.running() as urls:
        for budget in BUDGETS:
            if options.provider and budget.provider not in options.provider:
                continue
            results.append(measured(budget, urls["REDIS_URL"], options.seconds or budget.seconds))
            _print(results[-1])
    ok = all(result["ok"] for result in results)
    if options.json:
        print(json.dumps({"ok": ok, "wanted_share": WANTED, "budgets": results}))
    return 0 if ok else 1


def measured(budget: Budget, redis_url: str, seconds: float) -> dict[str, Any]:
    with serving(budget.provider, **budget.options) as side:
        _send(budget, side, redis_url, seconds)
    times = side.arrivals
    spans = [later - earlier for earlier, later in zip(times, times[budget.limit :], strict=False)]
    share = budget.window_seconds * len(spans) / sum(spans) if spans else 0.0
    violations = sum(side.violations.values())
    return {
        "ok": share >= WANTED and violations == 0,
        "provider": budget.provider,
        "budget": budget.name,
        "limit": budget.limit,
        "window_seconds": budget.window_seconds,
        "seconds": round(times[-1] - times[0], 1) if times else 0.0,
        "requests": len(times),
        "share_used": round(share, 4),
        "violations": violations,
        "violated": side.violations,
    }


def _send(budget: Budget, side: CrmSide, redis_url: str, seconds: float) -> None:
    """Everything the workers can send in ``seconds``."""
    provider = PROVIDERS[budget.provider]
    keys = {scope: f"rates:{time.time_ns()}:{scope.value}" for scope in Scope}
    bound = BoundBudgets(provider.budgets, keys, priority=Priority.FULL)
    limits = RedisLimits(redis.Redis.from_url(redis_url, socket_timeout=1, socket_connect_timeout=1))
    ids, until = _people(budget.provider, side.url), time.monotonic() + seconds
    address = "instance_url" if budget.provider == "salesforce" else "api_base"

    def connector() -> Connector:
        return provider.connect(
            ConnectorContext(
                token=lambda: Secret(budget.token),
                limiter=limits.limiter(bound),
                settings={address: side.url},
                extra_hosts=("127.0.0.1",),
            )
        )

    def work() -> None:
        one = connector()
        send = _WORK[budget.provider](one, ids)
        while time.monotonic() < until:
            send()

    threads = [threading.Thread(target=work) for _ in range(budget.workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _people(provider: str, url: str) -> list[str]:
    body: dict[str, Any] = {
        "hubspot": {"objectType": "contacts", "records": [{"firstname": f"P{n}"} for n in range(RECORDS)]},
        "salesforce": {"object": "Contact", "records": [{"fields": {"LastName": f"P{n}"}} for n in range(RECORDS)]},
        "pipedrive": {"objectType": "persons", "records": [{"name": f"P{n}"} for n in range(RECORDS)]},
    }[provider]
    answer = requests.post(f"{url}/_fake/bulk", json=body, timeout=30)
    answer.raise_for_status()
    return [str(each) for each in answer.json()["ids"]]


def _reads(record_type: str, field: str) -> Callable[[Connector, list[str]], Callable[[], object]]:
    return lambda connector, ids: lambda: connector.fetch(record_type, ids[:1], [field])


def _writes(connector: Connector, ids: list[str]) -> Callable[[], object]:
    """One request a record, side by side: Pipedrive has no batches."""
    items = [UpdateItem(each, each, {"name": "Ada"}) for each in ids]
    return lambda: connector.update("persons", items)


_WORK: dict[str, Callable[[Connector, list[str]], Callable[[], object]]] = {
    "hubspot": _reads("contacts", "firstname"),
    "salesforce": _reads("Contact", "LastName"),
    "pipedrive": _writes,
}


def _print(result: dict[str, Any]) -> None:
    print(
        f"{'ok  ' if result['ok'] else 'FAIL'} {result['provider']} {result['budget']} "
        f"({result['limit']} in {result['window_seconds']:g} s): {result['share_used']:.1%} used, "
        f"{result['violations']} violations, {result['requests']} requests in {result['seconds']} s",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
