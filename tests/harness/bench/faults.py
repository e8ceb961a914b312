"""A first sync both ways and edits on both sides while the CRM fails now and then, beside the same without faults."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

from tests.harness.bench.figures import Figure, Report, count
from tests.harness.bench.loads import Load, edit_both, links_of, pass_overlap
from tests.harness.bench.stand import BenchError, Site, Stand, make_tenant

SHARE = 0.01
"""Of the requests, for each kind of fault; of the contacts, for rows that the CRM refuses."""
SEED = 8
ANY = {"hubspot": "/crm/*", "salesforce": "/services/data/*", "pipedrive": "/api/v2/persons*"}
CREATES = {
    "hubspot": ("POST", "/crm/*/batch/create"),
    "salesforce": ("PATCH", "/services/data/*/composite/sobjects*"),
    "pipedrive": ("POST", "/api/v2/persons"),
}
UPDATES = {
    "hubspot": ("POST", "/crm/*/batch/update"),
    "salesforce": ("PATCH", "/services/data/*/composite/sobjects*"),
    "pipedrive": ("PATCH", "/api/v2/persons/*"),
}
WRITE_BATCH = {"hubspot": 100, "salesforce": 200, "pipedrive": 1}
NO_WINDOW = {"salesforce": "server_error"}
"""In place of a 429: a CRM without a limit a second says with it that the day's allowance is spent."""
RETRY_AFTER_SECONDS = 1.0
"""What a 429 says: HubSpot's own window would be the wait else, and the bench would time that."""
TAKES_ANY_EMAIL = frozenset({"pipedrive"})
TIMES = (("wall time", "seconds"), ("processor of the worker", "cpuSeconds"))


def faults(stand: Stand, records: int) -> Iterator[Report]:
    """1 % each of 429, 500, a reset, an answer that is lost after the write took effect, and rows that are refused."""
    half = records // 2
    calm, rough = stand.open_site(2)
    refused = frozenset() if stand.provider in TAKES_ANY_EMAIL else frozenset(range(0, half, round(1 / SHARE)))
    before = _connected(stand, calm, "first full sync, no fault", half, refused)
    _first_sync(before)
    report = Report(stand.provider, "first full sync with 1 % of each fault")
    load = _connected(stand, rough, report.scenario, half, refused)
    _script(stand, rough, before.runs[0]["site"]["totalRequests"], half, CREATES)
    _first_sync(load)
    met = sum(rough.counters()["faults"].values())
    rough.back_door("DELETE", "faults")
    requests = before.runs[0]["site"]["totalRequests"]
    most = 1.3 if requests * SHARE >= 1 else None  # one of each kind is more than 1 % of fewer
    report.add(
        count("faults met", met, least=4),
        count("rows refused and made without the field", _refused(load), most=len(refused), least=len(refused)),
        count("records made in the CRM", _made(rough), most=half, least=half),
        count("links in the end", len(links_of(load.tenant)), most=2 * half, least=2 * half),
    )
    report.add(count("updates lost", _lost_updates(load, rough, max(5, records // 100)), most=0))
    again = load.run("again", "delta")
    ratios = ((shown, _ratio(load, before, name)) for shown, name in TIMES)
    report.add(
        count("writes of the sync after it", again["site"]["writes"] + again["site"]["noopWrites"], most=0),
        *(Figure(f"{shown} over that without faults", ratio, "x", most=most) for shown, ratio in ratios),
        *(Figure(f"{shown} without faults", _sum(before, name), "s") for shown, name in TIMES),
    )
    report.notes.append(f"{requests} requests without faults")
    report.notes.append("faults met: " + ", ".join(f"{kind} {times}" for kind, times in _given(load).items()))
    if not refused:
        report.notes.append("no row is refused: this CRM takes any e-mail address")
    yield report


class _Rounds(Load):
    """A load that keeps its first runs."""

    def __init__(self, stand: Stand, scenario: str, site: Site) -> None:
        super().__init__(stand, scenario)
        self.site = site
        self.runs: list[dict[str, Any]] = []


def _connected(stand: Stand, site: Site, scenario: str, half: int, refused: frozenset[int]) -> _Rounds:
    load = _Rounds(stand, scenario, site)
    site.seed(half, half)
    load.tenant = make_tenant(stand, range(half), site=site, refused=refused)
    return load


def _first_sync(load: _Rounds) -> None:
    """To its end: what a lost answer left open is looked up by the second run."""
    load.runs = [load.run("first"), load.run("second")]


def _script(stand: Stand, site: Site, requests: int, rows: int, writes: dict[str, tuple[str, str]]) -> None:
    """So many of each kind as 1 % of the requests are, at drawn places."""
    drawn = random.Random(SEED)
    batches = math.ceil(rows / WRITE_BATCH[stand.provider])
    method, path = writes[stand.provider]
    limited = {"kind": NO_WINDOW.get(stand.provider, "rate_limited"), "retry_after_seconds": RETRY_AFTER_SECONDS}
    scripts = (
        (limited, {"path": ANY[stand.provider]}, requests),
        ({"kind": "server_error", "status": 500}, {"path": ANY[stand.provider]}, requests),
        ({"kind": "drop_before"}, {"path": ANY[stand.provider]}, requests),
        ({"kind": "drop_after"}, {"method": method, "path": path}, batches),
    )
    told: list[dict[str, Any]] = []
    for kind, where, calls in scripts:
        times = max(1, round(calls * SHARE))
        places = drawn.sample(range(max(1, calls - 3 * times)), times)
        told += [{**kind, **where, "times": 1, "skip": place} for place in sorted(places)]
    for each in told:
        site.back_door("POST", "faults", each)


def _lost_updates(load: _Rounds, site: Site, few: int) -> int:
    """Edits on both sides that have not arrived on the other after two deltas, one of each fault on their way."""
    pass_overlap(load.stand)
    there, here = edit_both(load.stand, load.tenant, few, site=site)
    _script(load.stand, site, 4, few, UPDATES)
    for _ in range(2):
        load.run("edits", "delta")
    site.back_door("DELETE", "faults")
    arrived = links_of(load.tenant)
    lost = [remote_id for remote_id, name in there.items() if arrived[remote_id][1] != name]
    remote_ids = {contact_id: remote_id for remote_id, (contact_id, _) in arrived.items()}
    lost += [contact_id for contact_id, name in here.items() if site.last_name(remote_ids[contact_id]) != name]
    return len(lost)


def _refused(load: _Rounds) -> int:
    """Links with a field that the CRM did not take."""
    from adsapp_crm.models import CrmSyncState
    from adsapp_crm.tenancy import organization_context

    with organization_context(load.tenant.organization):
        return CrmSyncState.objects.filter(connection=load.tenant.connection).exclude(troubles={}).count()


def _made(site: Site) -> int:
    kinds: dict[str, int] = site.counters()["writesByKind"]
    return sum(number for kind, number in kinds.items() if kind.startswith("create"))


def _given(load: _Rounds) -> dict[str, int]:
    found: dict[str, int] = load.runs[0]["site"]["faults"]
    return found


def _sum(load: _Rounds, name: str) -> float:
    return sum(run[name] for run in load.runs)


def _ratio(load: _Rounds, before: _Rounds, name: str) -> float:
    without = _sum(before, name)
    if not without:
        raise BenchError("nothing was measured without faults")
    return _sum(load, name) / without
