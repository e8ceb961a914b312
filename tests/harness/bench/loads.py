"""Syncs of many records: first ones that pull, push or match, quiet ones, and changes on both sides."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.harness.bench.figures import Figure, Report, count
from tests.harness.bench.stand import BenchError, Site, Stand, Tenant, make_tenant

STATEMENTS = 12
"""Most database statements of one page of 200 records."""
READ_BATCH = {"hubspot": 100, "salesforce": 2000, "pipedrive": 500}
WRITE_BATCH = {"hubspot": 100, "salesforce": 200, "pipedrive": 1}
SET_UP = {"hubspot": 2, "salesforce": 2, "pipedrive": 4}
"""Descriptions of fields, members and the account, and Salesforce's leads: the same however many records there are."""
RECORD_TYPES = {"hubspot": 1, "salesforce": 2, "pipedrive": 1}
IDLE_REQUESTS = {"hubspot": 1, "salesforce": 2, "pipedrive": 2}
"""One for each object type; Pipedrive shows new records by one list and changed ones by another."""
FAR_MS = 200
"""From this latency on Salesforce, where no limit a second rules, is to take three times the bare loop at most."""
MATCHING = 0.6
INSTALL_DLT = "uv pip install --python .venv --group peers"


class Load:
    """One tenant of one stand, measured run by run."""

    def __init__(self, stand: Stand, scenario: str) -> None:
        self.stand = stand
        self.report = Report(stand.provider, scenario)
        self.site = stand.site
        self.tenant: Tenant

    def run(self, name: str, kind: str = "full", *, contacts: Iterable[str] = ()) -> dict[str, Any]:
        """A run, its approval where it was held for one, and what the CRM counted of both."""
        before = self.site.counters()
        told = {"organization": self.tenant.organization, "connection": self.tenant.connection}
        parts = [self.stand.worker.do(kind=kind, contacts=list(contacts), **told)]
        if parts[0]["status"] == "held":
            parts.append(self.stand.worker.do(plan=parts[0]["plan"], **told))
        if parts[-1]["status"] != "completed":
            message = f"{name} ended as {parts[-1]['status']} ({parts[-1]['error']})"
            raise BenchError(message)
        found = together(parts)
        found["kind"] = kind
        found["site"] = difference(self.site.counters(), before)
        self.report.raw[name] = found
        return found


def warm_up(stand: Stand) -> None:
    """A small sync whose figures nobody reads: what a worker does once in its life is not a contact's cost."""
    load = Load(stand, "warm-up")
    stand.site.seed(0, 30)
    load.tenant = make_tenant(stand, range(15, 45))
    load.run("first")
    load.run("quiet")
    load.run("delta", "delta")


def together(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """A plan's run and its approved one as one measurement."""
    sums = ("seconds", "cpuSeconds", "statements", "parkedSeconds", "databaseCpuSeconds")
    found: dict[str, Any] = {name: sum(part[name] or 0 for part in parts) for name in sums}
    phases: dict[str, dict[str, float]] = {}
    for part in parts:
        for name, phase in part["phases"].items():
            held = phases.setdefault(name, dict.fromkeys(phase, 0))
            for key, value in phase.items():
                held[key] = max(held[key], value) if key == "most_statements" else held[key] + value
    counts: dict[str, int] = {}
    for part in parts:
        for name, value in part["counts"].items():
            counts[name] = counts.get(name, 0) + (value if isinstance(value, int) else 0)
    return {
        **found,
        "peakMib": max(part["peakMib"] for part in parts),
        "phases": phases,
        "counts": counts,
        "slowest": [part["slowest"] for part in parts],
    }


def difference(after: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """What the fake counted in between."""
    found: dict[str, Any] = {}
    for name, value in after.items():
        if isinstance(value, dict):
            held = before.get(name, {})
            found[name] = {key: number - held.get(key, 0) for key, number in value.items() if number != held.get(key)}
        elif isinstance(value, int | float):
            found[name] = value - before.get(name, 0)
    return found


def pull(stand: Stand, records: int) -> Iterator[Report]:
    """An empty organization takes over all of a CRM."""
    load = Load(stand, "first full sync, pull")
    stand.site.seed(0, records)
    load.tenant = make_tenant(stand)
    before = _table_bytes()
    run = load.run("pull")
    grown = {name: size - before[name] for name, size in _table_bytes().items() if size > before[name]}
    load.report.raw["tableBytes"] = grown
    _expect(run, "created_in_app", records)
    pages = math.ceil(records / READ_BATCH[stand.provider])
    ideal = stand.ideal(read=records)
    load.report.add(
        *_requests(run, records, ideal["requests"], pages + _looks(run) + SET_UP[stand.provider]),
        *_costs(run, records, _yardstick(stand, records)),
        Figure("growth of the database, a record", sum(grown.values()) / records, "B"),
        *_wall(run, ideal, _with_looks(stand, run, ideal, read=records), stand),
    )
    _beside_dlt(load, run, records)
    yield load.report


def push(stand: Stand, records: int) -> Iterator[Report]:
    """A CRM without a contact takes over all of an organization."""
    load = Load(stand, "first full sync, push")
    load.tenant = make_tenant(stand, range(records))
    run = load.run("push")
    _expect(run, "created_in_crm", records)
    writes = math.ceil(records / WRITE_BATCH[stand.provider])
    load.report.add(
        *_requests(run, records, writes, writes + _looks(run) + SET_UP[stand.provider] + 2),
        count("writes the CRM counted", run["site"]["writes"], most=records, least=records),
        *_costs(run, records, _yardstick(stand, records)),
    )
    ideal = stand.ideal(write=records, first=records)
    load.report.add(*_wall(run, ideal, ideal, stand))
    yield load.report


def mixed(stand: Stand, records: int) -> Iterator[Report]:
    """Both sides hold as many, 60 % of them the same people; then a full sync of what is in step."""
    load = Load(stand, "first full sync, 60 % matching")
    alone = records - round(records * MATCHING)
    stand.site.seed(alone, records)
    load.tenant = make_tenant(stand, range(records))
    run = load.run("mixed")
    for name, wanted in (("linked", records - alone), ("created_in_app", alone), ("created_in_crm", alone)):
        _expect(run, name, wanted)
    ideal = stand.ideal(read=records, write=alone, first=2 * records)
    looking = _with_looks(stand, run, ideal, read=records, write=alone, first=2 * records + alone)
    most = ideal["requests"] + _looks(run) + SET_UP[stand.provider] + 2
    load.report.add(
        *_requests(run, records + alone, ideal["requests"], most),
        *_costs(run, records + alone, _yardstick(stand, records)),
        *_wall(run, ideal, looking, stand),
    )
    yield load.report


def quiet(stand: Stand, records: int) -> Iterator[Report]:
    """After a first sync: a full sync and a delta with nothing to do, and a delta with 1 % changed on each side."""
    load = Load(stand, "quiet full sync")
    stand.site.seed(0, records)
    load.tenant = make_tenant(stand, range(records))
    load.run("first")
    run = load.run("quiet")
    yardstick = _yardstick(stand, records)
    pages = math.ceil(records / READ_BATCH[stand.provider])
    load.report.add(
        *_requests(run, records, stand.ideal(read=records)["requests"], pages + SET_UP[stand.provider]),
        count("writes", run["site"]["writes"] + run["site"]["noopWrites"], most=0),
        *_costs(run, records, yardstick, most=2, aim=None),
    )
    yield load.report
    yield _idle(stand, load.tenant)
    yield _changed(stand, load.tenant, records)


def _idle(stand: Stand, tenant: Tenant) -> Report:
    load = Load(stand, "idle delta")
    load.tenant = tenant
    pass_overlap(stand)
    load.run("warm", "delta")
    pass_overlap(stand)
    run = load.run("idle", "delta")
    load.report.add(
        count("requests", run["site"]["totalRequests"], most=IDLE_REQUESTS[stand.provider]),
        count("writes", run["site"]["writes"] + run["site"]["noopWrites"], most=0),
        count(
            "statements of the engine's pages", _engine_statements(run), most=STATEMENTS * IDLE_REQUESTS[stand.provider]
        ),
        count("statements with the run's start and end", run["statements"]),
        Figure("processor of the worker", run["cpuSeconds"] * 1000, "ms", most=50),
        Figure("processor of the database", run["databaseCpuSeconds"] * 1000, "ms"),
    )
    return load.report


def _changed(stand: Stand, tenant: Tenant, records: int) -> Report:
    load = Load(stand, "delta, 1 % changed on each side")
    load.tenant = tenant
    few = max(1, records // 100)
    pass_overlap(stand)
    edit_both(stand, tenant, few)
    run = load.run("delta", "delta")
    _expect(run, "updated_in_crm", few)
    _expect(run, "updated_in_app", few)
    writes = math.ceil(few / WRITE_BATCH[stand.provider])
    reads = math.ceil(few / READ_BATCH[stand.provider])
    most = reads + writes + _looks(run) + SET_UP[stand.provider] + 2
    load.report.add(*_requests(run, 2 * few, reads + writes, most), *_costs(run, 2 * few, None))
    again = load.run("again", "delta")
    load.report.add(count("writes of the next delta", again["site"]["writes"] + again["site"]["noopWrites"], most=0))
    return load.report


def pass_overlap(stand: Stand) -> None:
    """The CRM's clock goes on past the time within which a delta reads again what it has read before."""
    stand.site.back_door("POST", "clock", {"advanceSeconds": 3600})


def edit_both(
    stand: Stand, tenant: Tenant, few: int, *, site: Site | None = None
) -> tuple[dict[str, str], dict[str, str]]:
    """Other people on each side, so that nothing is in conflict; their new last names by record and by contact."""
    from adsapp_crm.services.contacts import update_contact
    from adsapp_crm.tenancy import organization_context

    site = site or stand.site
    links = sorted(links_of(tenant).items())
    there = {remote_id: f"Changed{number}" for number, (remote_id, _) in enumerate(links[:few])}
    here = {contact_id: f"Here{number}" for number, (_, (contact_id, _)) in enumerate(links[few : 2 * few])}
    with organization_context(tenant.organization, actor="bench", origin="api"):
        for contact_id, name in here.items():
            update_contact(contact_id, {"lastName": name}, version=None)
    for number, remote_id in enumerate(there):
        site.edit(remote_id, number)
    return there, here


def links_of(tenant: Tenant) -> dict[str, tuple[str, str]]:
    """Record -> the id and the last name of its contact."""
    from adsapp_crm.models import CrmSyncState
    from adsapp_crm.tenancy import organization_context

    with organization_context(tenant.organization):
        links = CrmSyncState.objects.filter(connection=tenant.connection, state="live")
        rows = links.values_list("crm_record_id", "contact_id", "contact__last_name")
        return {remote_id: (str(contact_id), name) for remote_id, contact_id, name in rows}


# Figures --------------------------------------------------------------------------------------------------------------


def _expect(run: dict[str, Any], name: str, wanted: int) -> None:
    if run["counts"].get(name, 0) != wanted:
        message = f"{name}: {run['counts'].get(name, 0)} where {wanted} was to be done; counts {run['counts']}"
        raise BenchError(message)


def _looks(run: dict[str, Any]) -> int:
    """Check reads and read-backs of ``design/README.md``, counted apart: reads of chosen records and searches."""
    named = ("batch/read", "/queryAll", "{id}") if run["kind"] == "full" else ("batch/read",)
    told: dict[str, int] = run["site"]["requests"]
    found = sum(number for label, number in told.items() if any(word in label for word in named))
    chosen = run["counts"].get("created_in_app", 0) + run["counts"].get("linked", 0)
    if run["kind"] == "full" and "POST /services/data/{version}/composite" in told:
        found += told["POST /services/data/{version}/composite"] - 1  # the other one describes contacts and leads
    if run["kind"] == "full" and "GET /api/v2/persons" in told:  # chosen ones look like a page there, 100 at once
        found += math.ceil(chosen / 100)
    return found


def _requests(run: dict[str, Any], records: int, ideal: int, most: int) -> Iterable[Figure]:
    total = run["site"]["totalRequests"]
    yield count("requests", total, most=most)
    yield count("of them check reads and read-backs", _looks(run))
    yield count("requests of the bare loop", ideal)
    yield count("requests per 1,000 records, without those", (total - _looks(run)) / records * 1000)
    yield count("over the CRM's limit", sum(run["site"]["limitViolations"].values()), most=max(0, total // 1000))


def _costs(
    run: dict[str, Any], records: int, yardstick: float | None, most: float = 5, aim: float | None = 2.5
) -> Iterable[Figure]:
    cpu = run["cpuSeconds"] * 1000 / records
    yield Figure("records a second of the worker's own time", records / max(run["cpuSeconds"], 1e-9))
    yield Figure("processor of the worker, a record", cpu, "ms")
    yield Figure("processor of the database, a record", run["databaseCpuSeconds"] * 1000 / records, "ms")
    if yardstick:
        shown = "worker over HubSpot's own client parsing it" + (f" (aim {aim:g})" if aim else "")
        yield Figure(shown, cpu / yardstick, "x", most=most)
    for name, phase in run["phases"].items():
        if phase["pages"] > 1 and name in PAGED:
            yield count(f"statements of a page, {name}", phase["statements"] / phase["pages"], most=STATEMENTS)
            yield Figure(f"processor of the worker, {name}", phase["cpu_seconds"] * 1000 / records, "ms")
    yield Figure("highest memory of the worker", run["peakMib"], "MiB", most=300)


PAGED = ("observe", "pair", "unpaired", "changed", "apply")


def _with_looks(stand: Stand, run: dict[str, Any], ideal: dict[str, Any], **loop: int) -> dict[str, Any]:
    """The bare loop that looks again at as many records as the run had to; the plain one where it had to at none."""
    looks = _looks(run) if stand.provider == "hubspot" else 0
    return stand.ideal(look=looks * READ_BATCH[stand.provider], **loop) if looks else ideal


def _wall(run: dict[str, Any], ideal: dict[str, Any], looking: dict[str, Any], stand: Stand) -> Iterable[Figure]:
    """Wall time against the bare loop's; it binds where the limit rules and nothing else needs the machine.

    The bare loop looks at nothing again. Where a run had to, the loop that does so as well is the yardstick.
    """
    most, seconds = stand.limit()
    yield Figure("wall time", run["seconds"], "s")
    yield Figure("wall time of the bare loop", ideal["seconds"], "s")
    is_far = stand.provider == "salesforce" and stand.line.latency_ms >= FAR_MS
    yield Figure(
        "wall time over the bare loop's", run["seconds"] / max(ideal["seconds"], 1e-9), "x", 3 if is_far else None
    )
    total, needed = looking["requests"], looking["seconds"]
    if looking is not ideal:
        yield Figure("wall time of the bare loop with as many check reads", needed, "s")
    rules = most is not None and total > 2 * most
    ratio = run["seconds"] / max(needed, 1e-9)
    yield Figure("wall time over the loop's that sends as much", ratio, "x", most=1.15 if rules else None)
    if rules and most is not None:
        allowed = (run["site"]["totalRequests"] - most) / most * seconds
        yield Figure("share of the allowed rate", allowed / run["seconds"] * 100, "%", least=95)


def _table_bytes() -> dict[str, int]:
    """Of each table with its indexes."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, pg_total_relation_size(c.oid) FROM pg_class c"
            " WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace"
        )
        return dict(cursor.fetchall())


def _engine_statements(run: dict[str, Any]) -> float:
    return sum(phase["statements"] for phase in run["phases"].values())


def _yardstick(stand: Stand, records: int) -> float | None:
    """Milliseconds a contact that HubSpot's own package needs to read them; None where it is not installed."""
    import importlib.util

    if stand.provider != "hubspot" or importlib.util.find_spec("hubspot") is None:
        return None
    if stand.parse_ms is None:
        found = stand.ideal(client=True)
        stand.parse_ms = found["cpuSeconds"] * 1000 / max(1, found["rows"])
    return stand.parse_ms


def _beside_dlt(load: Load, run: dict[str, Any], records: int) -> None:
    """dlt only reads: what we match, journal and apply on top is in our figures."""
    import importlib.util

    if load.stand.provider != "hubspot":
        return
    if importlib.util.find_spec("dlt") is None:
        load.report.notes.append(f"dlt is not installed: {INSTALL_DLT} compares with it")
        return
    found = load.stand.peer()
    if found["rows"] != records:
        message = f"dlt read {found['rows']} of {records} contacts"
        raise BenchError(message)
    load.report.add(
        Figure("processor of dlt reading them, a record", found["cpuSeconds"] * 1000 / records, "ms"),
        Figure("processor of the worker over dlt's", run["cpuSeconds"] / max(found["cpuSeconds"], 1e-9), "x"),
        Figure("wall time over dlt's", run["seconds"] / max(found["seconds"], 1e-9), "x"),
        Figure("highest memory of dlt", found["peakMib"], "MiB"),
    )


LOADS: dict[str, Callable[[Stand, int], Iterable[Report]]] = {
    "pull": pull,
    "push": push,
    "mixed": mixed,
    "quiet": quiet,
}
