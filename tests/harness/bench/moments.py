"""What happens between syncs of everything: one contact, webhook events, idle connections, faults, a second worker."""

from __future__ import annotations

import statistics
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.harness.bench.figures import Figure, Report, count
from tests.harness.bench.loads import IDLE_REQUESTS, Load, difference, pass_overlap
from tests.harness.bench.stand import BenchError, Stand, Tenant, Worker, make_tenant

RECORD_TYPES = {"hubspot": "contacts", "salesforce": "Contact", "pipedrive": "persons"}
SAMPLES = 20
BURST_RECORDS = 100
CONNECTIONS = 20
CREATES = {
    "hubspot": ("POST", "/crm/*/batch/create"),
    "salesforce": ("PATCH", "/services/data/*/composite/sobjects*"),
    "pipedrive": ("POST", "/api/v2/persons"),
}
SINGLE_REQUESTS = {"hubspot": 3, "salesforce": 4, "pipedrive": 3}
"""Salesforce's answer to a write holds no value: the record is read back."""
READS = {
    "hubspot": ("GET", "/crm/*/contacts"),
    "salesforce": ("GET", "/services/data/*/query"),
    "pipedrive": ("GET", "/api/v2/persons"),
}
FAULTS = (("rate_limited", CREATES), ("drop_after", CREATES), ("server_error", READS), ("drop_before", READS))
"""One after the other, each once."""
NO_WINDOW = {"salesforce": "server_error"}
"""In place of the first: a CRM without a limit a second says with it that the day's allowance is spent."""


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
        if _name_of(tenant, remote_id) != f"Changed{10_000 + number}":
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
    """Connections with nothing to do, in one cycle; and one worker beside two."""
    report = Report(stand.provider, f"{CONNECTIONS} connections, nothing to do, in one cycle")
    stand.site.seed(0, min(records, 50))
    tenants = [make_tenant(stand) for _ in range(CONNECTIONS)]
    for tenant in tenants:
        load = Load(stand, "first")
        load.tenant = tenant
        load.run("first")
    pass_overlap(stand)
    _cycle(stand.worker, tenants)
    pass_overlap(stand)
    before = stand.site.counters()
    told = _cycle(stand.worker, tenants)
    site = difference(stand.site.counters(), before)
    each, lists = told["cpuSeconds"] * 1000 / CONNECTIONS, IDLE_REQUESTS[stand.provider]
    report.add(
        count("requests a connection", site["totalRequests"] / CONNECTIONS, most=lists),
        count("writes", site["writes"] + site["noopWrites"], most=0),
        count("statements a connection", told["statements"] / CONNECTIONS, most=34 + 6 * lists),
        Figure("processor of the worker, a connection", each, "ms", most=50),
        Figure("processor of the database, a connection", told["databaseCpuSeconds"] * 1000 / CONNECTIONS, "ms"),
        Figure("1,000 of them with two workers, by this", told["seconds"] / CONNECTIONS * 1000 / 2, "s", most=60),
    )
    yield report
    yield _two_workers(stand, tenants, told["seconds"])


def _two_workers(stand: Stand, tenants: list[Tenant], alone: float) -> Report:
    report = Report(stand.provider, f"one and two workers on {CONNECTIONS} connections")
    pass_overlap(stand)
    with stand.second_worker() as second:
        _cycle(second, tenants[:2])
        pass_overlap(stand)
        took: list[float] = []
        halves = ((stand.worker, tenants[::2]), (second, tenants[1::2]))
        threads = [threading.Thread(target=lambda pair=pair: took.append(_cycle(*pair)["seconds"])) for pair in halves]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    report.add(
        Figure("one worker", alone, "s"),
        Figure("two workers", max(took), "s"),
        Figure("times as fast", alone / max(took), "x", least=1.8),
    )
    return report


def faults(stand: Stand, records: int) -> Iterator[Report]:
    """A first sync both ways through 429, 500, a reset, and an answer that is lost after the write took effect."""
    load = Load(stand, "first full sync with faults")
    half = records // 2
    stand.site.seed(half, half)
    load.tenant = make_tenant(stand, range(half))
    for kind, where in FAULTS:
        method, path = where[stand.provider]
        given = NO_WINDOW.get(stand.provider, kind) if kind == "rate_limited" else kind
        stand.site.back_door("POST", "faults", {"kind": given, "times": 1, "method": method, "path": path})
    load.run("first")
    load.run("second")
    again = load.run("third")
    there = stand.site.back_door("GET", "stats")["writesByKind"]
    faults_given = stand.site.counters()["faults"]
    load.report.add(
        count("faults met", sum(faults_given.values()), least=len(FAULTS)),
        count("records made in the CRM", _made(there), most=half, least=half),
        count("contacts and links in the end", _links(load.tenant), most=2 * half, least=2 * half),
        count("writes of the sync after it", again["site"]["writes"] + again["site"]["noopWrites"], most=0),
    )
    load.report.notes.append("faults: " + ", ".join(f"{kind} {times}" for kind, times in faults_given.items()))
    yield load.report


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


def _cycle(worker: Worker, tenants: list[Tenant]) -> dict[str, Any]:
    connections = [(tenant.organization, tenant.connection) for tenant in tenants]
    told = worker.do(work="cycle", kind="delta", connections=connections)
    if set(told["statuses"]) != {"completed"}:
        message = f"a delta of the cycle ended as {sorted(set(told['statuses']))}"
        raise BenchError(message)
    return told


def _remote_ids(tenant: Tenant) -> list[str]:
    from adsapp_crm.models import CrmSyncState
    from adsapp_crm.tenancy import organization_context

    with organization_context(tenant.organization):
        links = CrmSyncState.objects.filter(connection=tenant.connection, state="live").order_by("crm_record_id")
        return list(links.values_list("crm_record_id", flat=True))


def _links(tenant: Tenant) -> int:
    return len(_remote_ids(tenant))


def _name_of(tenant: Tenant, remote_id: str) -> str:
    from adsapp_crm.models import CrmSyncState
    from adsapp_crm.tenancy import organization_context

    with organization_context(tenant.organization):
        link = CrmSyncState.objects.select_related("contact").get(connection=tenant.connection, crm_record_id=remote_id)
        return str(link.contact.last_name)


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


def _made(kinds: dict[str, int]) -> int:
    return sum(number for kind, number in kinds.items() if kind.startswith("create"))


MOMENTS: dict[str, Callable[[Stand, int], Iterable[Report]]] = {"single": single, "idle": idle, "faults": faults}
