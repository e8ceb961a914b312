"""What happens between syncs of everything: one contact, webhook events, idle connections, a second worker."""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.harness.bench.figures import Figure, Report, count
from tests.harness.bench.loads import IDLE_REQUESTS, Load, difference, links_of, pass_overlap
from tests.harness.bench.stand import BenchError, Stand, Tenant, Worker, make_tenant

RECORD_TYPES = {"hubspot": "contacts", "salesforce": "Contact", "pipedrive": "persons"}
SAMPLES = 20
BURST_RECORDS = 100
CONNECTIONS = 20
ROUNDS = 3
SINGLE_REQUESTS = {"hubspot": 3, "salesforce": 4, "pipedrive": 3}
"""Salesforce's answer to a write holds no value: the record is read back."""
STATEMENTS = 30
"""Most of an idle delta with its run's start and end, and six more for each list."""


def single(stand: Stand, records: int) -> Iterator[Report]:
    """One contact that a person has edited, synced at once; then the same by a webhook event, again and again."""
    load = _in_step(stand, "single contact", min(records, 200))
    contact_id = _edit_here(load.tenant)
    run = load.run("single", "manual", contacts=[contact_id])
    load.report.add(
        count("requests", run["site"]["totalRequests"], most=SINGLE_REQUESTS[stand.provider]),
        count("writes", run["site"]["writes"], most=1, least=1),
        count("statements", run["statements"]),
        Figure("processor of the worker", run["cpuSeconds"] * 1000, "ms"),
        Figure("wall time", run["seconds"] * 1000, "ms"),
    )
    yield load.report
    yield _applied(stand, load.tenant)
    yield _burst(stand, load.tenant)


def _applied(stand: Stand, tenant: Tenant) -> Report:
    report = Report(stand.provider, "webhook to applied, idle worker")
    ids = _remote_ids(tenant)
    found, spent = [], 0.0
    for number in range(SAMPLES):
        remote_id = ids[number % len(ids)]
        stand.site.edit(remote_id, 10_000 + number)
        told = _events(stand, tenant, [remote_id])
        spent += told["cpuSeconds"] + told["databaseCpuSeconds"]
        found.append((told["storeSeconds"] + told["applySeconds"]) * 1000)
        if links_of(tenant)[remote_id][1] != f"Changed{10_000 + number}":
            raise BenchError("an event did not bring the edit")
    report.add(
        Figure("median", statistics.median(found), "ms", most=250),
        Figure("processor of worker and database, an event", spent * 1000 / SAMPLES, "ms"),
        Figure("95th percentile", sorted(found)[int(len(found) * 0.95) - 1], "ms", most=1000),
    )
    report.notes.append("from the event's storing to the contact's commit; the way through the broker is not in it")
    return report


def _burst(stand: Stand, tenant: Tenant) -> Report:
    report = Report(stand.provider, "burst of 1,000 events on 100 contacts")
    ids = _remote_ids(tenant)[:BURST_RECORDS]
    for number, remote_id in enumerate(ids):
        stand.site.edit(remote_id, 20_000 + number)
    before = stand.site.counters()
    told = _events(stand, tenant, ids, each=10)
    site = difference(stand.site.counters(), before)
    reads = site["totalRequests"]
    report.add(
        count("events", told["events"]),
        count("requests", reads, most=3 if stand.provider != "pipedrive" else None),
        count("runs", told["runs"], most=3),
        Figure("processor of the worker, an event", told["cpuSeconds"] * 1000 / told["events"], "ms"),
    )
    return report


def idle(stand: Stand, records: int) -> Iterator[Report]:
    """Connections with nothing to do, in one cycle; and one worker beside two. Each has a CRM account of its own."""
    report = Report(stand.provider, f"{CONNECTIONS} connections, nothing to do, in one cycle")
    sites = stand.open_site(CONNECTIONS)
    tenants = []
    for site in sites:
        site.seed(0, min(records, 50))
        load = Load(stand, "first")
        load.tenant = make_tenant(stand, site=site)
        load.run("first")
        tenants.append(load.tenant)
    _cycle(stand, stand.worker, tenants)
    before = [site.counters() for site in sites]
    told = _cycle(stand, stand.worker, tenants)
    counted = [difference(site.counters(), start) for site, start in zip(sites, before, strict=True)]
    each, lists = told["cpuSeconds"] * 1000 / CONNECTIONS, IDLE_REQUESTS[stand.provider]
    report.add(
        count("requests a connection", _mean(counted, "totalRequests"), most=lists),
        count("writes", sum(site["writes"] + site["noopWrites"] for site in counted), most=0),
        count("statements a connection", told["statements"] / CONNECTIONS, most=STATEMENTS + 6 * lists),
        Figure("processor of the worker, a connection", each, "ms", most=50),
        Figure("processor of the database, a connection", told["databaseCpuSeconds"] * 1000 / CONNECTIONS, "ms"),
    )
    yield report
    yield _two_workers(stand, tenants)


def _mean(counted: list[dict[str, Any]], name: str) -> float:
    return sum(site[name] for site in counted) / len(counted)


def _two_workers(stand: Stand, tenants: list[Tenant]) -> Report:
    """Both cycles thrice: one is over so soon that a single pause of the machine would decide."""
    report = Report(stand.provider, f"one and two workers on {CONNECTIONS} connections, {ROUNDS} cycles each")
    with stand.second_worker() as second:
        _cycle(stand, second, tenants[:2])
        alone = sum(_cycle(stand, stand.worker, tenants)["seconds"] for _ in range(ROUNDS))
        together = sum(_cycle_of_two(stand, second, tenants) for _ in range(ROUNDS))
    report.add(
        Figure("one worker, a cycle", alone / ROUNDS, "s"),
        Figure("two workers, a cycle", together / ROUNDS, "s"),
        Figure("times as fast", alone / together, "x", least=1.8),
        Figure("1,000 of them with two workers, by this", together / ROUNDS / CONNECTIONS * 1000, "s", most=60),
    )
    return report


def _cycle_of_two(stand: Stand, second: Worker, tenants: list[Tenant]) -> float:
    """Seconds until the later of two workers is done with its half."""
    pass_overlap(stand)
    with ThreadPoolExecutor(2) as pool:
        halves = ((stand.worker, tenants[::2]), (second, tenants[1::2]))
        return max(pool.map(lambda half: _deltas(*half)["seconds"], halves))


# Helpers --------------------------------------------------------------------------------------------------------------


def _in_step(stand: Stand, scenario: str, records: int) -> Load:
    load = Load(stand, scenario)
    stand.site.seed(0, records)
    load.tenant = make_tenant(stand, range(records))
    load.run("first")
    return load


def _events(stand: Stand, tenant: Tenant, remote_ids: list[str], each: int = 1) -> dict[str, Any]:
    return stand.worker.do(
        work="events",
        organization=tenant.organization,
        connection=tenant.connection,
        recordType=RECORD_TYPES[stand.provider],
        remoteIds=remote_ids,
        each=each,
        mark=uuid.uuid4().hex[:12],
    )


def _cycle(stand: Stand, worker: Worker, tenants: list[Tenant]) -> dict[str, Any]:
    pass_overlap(stand)
    return _deltas(worker, tenants)


def _deltas(worker: Worker, tenants: list[Tenant]) -> dict[str, Any]:
    connections = [(tenant.organization, tenant.connection) for tenant in tenants]
    told = worker.do(work="cycle", kind="delta", connections=connections)
    if set(told["statuses"]) != {"completed"}:
        message = f"a delta of the cycle ended as {sorted(set(told['statuses']))}"
        raise BenchError(message)
    return told


def _remote_ids(tenant: Tenant) -> list[str]:
    return sorted(links_of(tenant))


def _edit_here(tenant: Tenant) -> str:
    from adsapp_crm.models import Contact
    from adsapp_crm.services.contacts import update_contact
    from adsapp_crm.tenancy import organization_context

    with organization_context(tenant.organization, actor="bench", origin="api"):
        contact = Contact.objects.order_by("id").first()
        if contact is None:
            raise BenchError("there is no contact to edit")
        update_contact(contact.pk, {"lastName": "Alone"}, version=None)
        return str(contact.pk)


MOMENTS: dict[str, Callable[[Stand, int], Iterable[Report]]] = {"single": single, "idle": idle}
