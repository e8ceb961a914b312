"""``python -m tests.harness.endurance``: how fast and how steadily the application keeps up, on its real processes."""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import requests

from crm.errors import WebhookRejectedError
from crm.http.redact import Secret
from crm.registry import provider
from tests.harness.binaries import ServicesError
from tests.harness.endurance import clockwork, flood, latency
from tests.harness.endurance.fairness import fairness
from tests.harness.endurance.flood import Sent, percentile
from tests.harness.endurance.forgery import GENUINE, NOW_MS, forge
from tests.harness.endurance.outages import outages
from tests.harness.endurance.world import StuckError, World, opened

MEDIAN_SECONDS, P95_SECONDS = 1.0, 2.0
FLOOD_P99_SECONDS = 0.25
INTAKE_PER_SECOND = 300
MEMORY_GROWTH_MIB = 50
FORGED = 10_000
RECOVERY_SECONDS = 60.0
FAIR_RATIO = 2.0
START_SECONDS = 1.0
TARGETS = {
    "forged.accepted": 0,
    "schedules.notOnce": 0,
    "schedules.missed": 0,
    "webhookToContact.medianSeconds": f"under {MEDIAN_SECONDS:g}",
    "webhookToContact.p95Seconds": f"under {P95_SECONDS:g}",
    "contactToCrm.medianSeconds": f"under {MEDIAN_SECONDS:g}",
    "contactToCrm.p95Seconds": f"under {P95_SECONDS:g}",
    "quiet.writes": 0,
    "slots.runs": "as many as slots.slots",
    "intake.deliveriesPerSecond": f"at least {INTAKE_PER_SECOND}",
    "intake.flood.p99Milliseconds": f"under {1000 * FLOOD_P99_SECONDS:g}",
    "intake.forgedAccepted": 0,
    "intake.storedWrong": 0,
    "intake.writes": 0,
    "intake.memoryGrowthMib": f"under {MEMORY_GROWTH_MIB}",
    "outages.brokerWipes.slowestSeconds": f"at most {RECOVERY_SECONDS:g}",
    "outages.databaseRestarts.slowestSeconds": f"at most {RECOVERY_SECONDS:g}",
    "outages.lost": 0,
    "fairness.startP95Seconds": f"at most {START_SECONDS:g}",
    "fairness.ratio": f"under {FAIR_RATIO:g}",
}
SHORT = {"samples": 6, "cycles": 5, "slots": 10, "outages": 1, "load": 10_000, "flood_seconds": 2.0}
PARTS = ("schedules", "latency", "quiet", "slots", "intake", "outages", "fairness")


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    began = time.monotonic()
    result: dict[str, Any] = {"seed": options.seed, "failure": "", "loadBefore": round(os.getloadavg()[0], 1)}
    result["targets"], result["partSeconds"] = TARGETS, {}
    try:
        result["forged"] = _forged(options.seed)
        result["partSeconds"]["forged"] = round(time.monotonic() - began, 1)
        with opened(options.people, patient_crms=not options.short) as world:
            result["partSeconds"]["start"] = round(time.monotonic() - began - result["partSeconds"]["forged"], 1)
            _say(f"everything runs, three CRMs are in step after {time.monotonic() - began:.0f} s")
            _measure(world, options, result)
    except (ServicesError, StuckError, RuntimeError, requests.RequestException) as error:
        traceback.print_exc()
        result["failure"] = f"{type(error).__name__}: {str(error)[-500:]}"
    except KeyboardInterrupt:
        return 130
    result["misses"], result["slow"] = _misses(result), _slow(result)
    result["ok"] = not result["failure"] and not result["misses"] and (options.short or not result["slow"])
    result["seconds"] = round(time.monotonic() - began, 1)
    missed = ", ".join([*result["misses"], *result["slow"]])
    _say("\n" + (f"NOT as promised: {missed or 'failed'}." if missed or result["failure"] else "As promised."))
    if options.json:
        print(json.dumps(result))
    return 0 if result["ok"] else 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py endurance", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--seed", type=int, default=1, help="draws the forged deliveries")
    parser.add_argument("--people", type=int, default=40, metavar="N", help="known to all three CRMs")
    parser.add_argument("--only", choices=PARTS, help="measure this alone")
    parser.add_argument("--samples", type=int, default=12, metavar="N", help="edits measured in each direction")
    parser.add_argument("--cycles", type=int, default=20, metavar="N", help="quiet rounds of all three deltas")
    parser.add_argument(
        "--slots", type=int, default=50, metavar="N", help="in which three beats and the cron route fire"
    )
    parser.add_argument("--outages", type=int, default=20, metavar="N", help="of the broker, and of the database")
    parser.add_argument("--load", type=int, default=100_000, metavar="N", help="records that another one loads")
    parser.add_argument("--flood-seconds", type=float, default=5.0, metavar="S", help="of each kind of load")
    parser.add_argument(
        "--genuine", type=float, default=60.0, metavar="R", help="genuine deliveries a second in the flood"
    )
    parser.add_argument("--short", action="store_true", help=f"{_told(SHORT)} unless given; times are told, not held")
    first, _rest = parser.parse_known_args(arguments)
    if first.short:
        parser.set_defaults(**SHORT)
    options = parser.parse_args(arguments)
    if min(options.samples, options.cycles, options.people) < 3:
        parser.error("--samples, --cycles and --people: at least 3")
    if min(options.slots, options.outages, options.load) < 1:
        parser.error("--slots, --outages and --load: at least 1")
    if options.flood_seconds <= 0 or options.genuine <= 0:
        parser.error("--flood-seconds and --genuine: above 0")
    return options


def _told(values: dict[str, Any]) -> str:
    return ", ".join(f"--{name.replace('_', '-')} {value:g}" for name, value in values.items())


def _forged(seed: int) -> dict[str, Any]:
    """10,000 variants a CRM at the function that decides, in this process."""
    now = datetime.fromtimestamp(NOW_MS / 1000, UTC)
    found: dict[str, Any] = {"variants": 0, "accepted": 0, "kinds": 0}
    for key, genuine in GENUINE.items():
        verify, kinds = provider(key).verify_webhook, set()
        for each in (genuine.delivery, *forge(key, random.Random(seed), FORGED)):
            believed = True
            try:
                verify(
                    method=each.method,
                    url=each.url,
                    headers=each.headers,
                    body=each.body,
                    secret=Secret(genuine.secret),
                    now=now,
                )
            except WebhookRejectedError:
                believed = False
            if each is genuine.delivery:
                if not believed:
                    message = f"the genuine delivery of {key} was refused"
                    raise RuntimeError(message)
                continue
            kinds.add(each.kind)
            found["variants"] += 1
            found["accepted"] += believed
        found["kinds"] += len(kinds)
    _say(f"forged: {found['variants']:,} variants of {found['kinds']} kinds, {found['accepted']} accepted")
    return found


def _measure(world: World, options: argparse.Namespace, result: dict[str, Any]) -> None:
    for part in (options.only,) if options.only else PARTS:
        began = time.monotonic()
        _measure_part(part, world, options, result)
        result["partSeconds"][part] = round(time.monotonic() - began, 1)
        _say(f"   ({part}: {result['partSeconds'][part]:.0f} s)")


def _measure_part(part: str, world: World, options: argparse.Namespace, result: dict[str, Any]) -> None:
    if part == "schedules":
        result["schedules"] = told = clockwork.years()
        _say(
            f"schedules: {told['runs']:,} runs in {told['years']} years and {told['zones']} time zones,"
            f" {told['notOnce']} days or weeks with more than one, {told['missed']} with none"
        )
    elif part == "latency":
        result["webhookToContact"] = _latency(latency.pulls(world, options.samples))
        _say(_row("edit in a CRM to contact", result["webhookToContact"]))
        result["contactToCrm"] = _latency(latency.pushes(world, options.samples))
        _say(_row("edit of a contact to CRM", result["contactToCrm"]))
    elif part == "quiet":
        result["quiet"] = _quiet(world, options.cycles)
        _say(f"quiet: {result['quiet']['cycles']} rounds of three deltas, {result['quiet']['writes']} writes")
    elif part == "slots":
        result["slots"] = told = clockwork.slots(world, options.slots)
        _say(f"slots: {told['fired']} firings in {told['slots']} slots, {told['runs']} runs")
    elif part == "intake":
        result["intake"] = _intake(world, options)
    elif part == "outages":
        result["outages"] = told = outages(world, options.outages, options.seed, say=_say)
        for name in ("brokerWipes", "databaseRestarts"):
            each = told[name]
            _say(
                f"{name}: {each['rounds']}, in step after {each['medianSeconds']} s, at most {each['slowestSeconds']} s"
            )
        _say(f"outages: {told['edits']} edits, {told['lost']} lost")
    elif part == "fairness":
        result["fairness"] = told = fairness(world, options.load, options.samples)
        _say(
            f"fairness: ten contacts in {told['aloneSeconds']} s alone, beside a load of {told['records']:,} in"
            f" {told['whileReadingSeconds']} s (reading) and {told['whileApplyingSeconds']} s (applying); a sync of"
            f" them begins within {told['startP95Seconds']} s (95th percentile)"
        )


def _quiet(world: World, cycles: int) -> dict[str, Any]:
    world.wait_until_quiet()
    before = world.marks()
    with ThreadPoolExecutor(len(world.browsers)) as pool:
        for _ in range(cycles):
            for done in [pool.submit(app.sync, "delta", key) for key, app in world.browsers.items()]:
                done.result()
    after = world.marks()
    moved = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    return {"cycles": cycles, "connections": 3, "writes": sum(moved.values()), "moved": moved}


def _intake(world: World, options: argparse.Namespace) -> dict[str, Any]:
    seconds = options.flood_seconds
    writes = world.marks()
    stored = _stored(world)
    cpu = flood.web_cpu_seconds(world)
    plain = flood.intake(world, seconds)
    cpu = flood.web_cpu_seconds(world) - cpu
    batched = flood.intake(world, min(2.0, seconds / 2), events=100)
    world.wait_until_quiet(120)
    memory = flood.web_memory_kib(world)
    mixed = flood.flood(world, seconds, options.genuine)
    one_by_one = flood.forged_over_http(world, 500)
    growth = (flood.web_memory_kib(world) - memory) / 1024
    expected = plain.statuses[200] + 100 * batched.statuses[200] + mixed.statuses[200]
    found: dict[str, Any] = {
        "processes": 2,
        "deliveriesPerSecond": round(plain.statuses[200] / plain.seconds),
        "eventsPerSecondInHundreds": round(100 * batched.statuses[200] / batched.seconds),
        "webCpuMillisecondsPerDelivery": round(1000 * cpu / max(1, plain.statuses[200]), 2),
        "unloaded": _milliseconds(plain),
        "flood": {
            "genuinePerSecond": round(mixed.statuses[200] / mixed.seconds),
            "forgedPerSecond": round(sum(mixed.forged_statuses.values()) / mixed.seconds),
            **_milliseconds(mixed),
            "genuineRefused": sum(count for status, count in mixed.statuses.items() if status != 200),
        },
        "forgedOverHttp": sum((mixed.forged_statuses + one_by_one).values()),
        "forgedAccepted": mixed.forged_statuses[200] + one_by_one[200],
        "memoryGrowthMib": round(growth, 1),
        "storedWrong": _stored(world) - stored - expected,
    }
    _say(
        f"intake: {found['deliveriesPerSecond']} deliveries a second one by one,"
        f" {found['eventsPerSecondInHundreds']} events a second in hundreds"
    )
    told = found["flood"]
    _say(
        f"flood: {told['genuinePerSecond']} genuine a second beside {told['forgedPerSecond']} forged, genuine p99"
        f" {told['p99Milliseconds']} ms; {found['forgedAccepted']} forged accepted"
    )
    world.wait_until_quiet(120)
    after = world.marks()
    found["writes"] = sum(after[name] - writes[name] for name in after)
    found["refetchRuns"], found["eventsTaken"] = _refetches(world)
    return found


def _stored(world: World) -> int:
    from adsapp_crm.models import CrmWebhookEvent

    return int(world.app._do(CrmWebhookEvent.objects.count))


def _refetches(world: World) -> tuple[int, int]:
    from adsapp_crm.models import CrmSyncLog

    runs = world.app._do(lambda: CrmSyncLog.objects.filter(trigger="webhook").count())
    return int(runs), _stored(world)


def _latency(found: dict[str, list[float]]) -> dict[str, Any]:
    everything = [seconds for values in found.values() for seconds in values]
    return {
        "samples": len(everything),
        "medianSeconds": round(statistics.median(everything), 3),
        "p95Seconds": round(percentile(everything, 0.95), 3),
        "slowestSeconds": round(max(everything), 3),
        "medianByCrm": {key: round(statistics.median(values), 3) for key, values in found.items() if values},
    }


def _milliseconds(sent: Sent) -> dict[str, float]:
    return {f"p{share}Milliseconds": round(1000 * percentile(sent.latencies, share / 100), 1) for share in (50, 95, 99)}


def _misses(result: dict[str, Any]) -> list[str]:
    """The promises about what happens that were not kept."""
    found = []
    if result.get("forged", {}).get("accepted"):
        found.append("forged deliveries were accepted")
    if result.get("quiet", {}).get("writes"):
        found.append(f"quiet rounds wrote: {result['quiet']['moved']}")
    if "intake" in result:
        found += _intake_misses(result["intake"])
    schedules = result.get("schedules", {"notOnce": 0, "missed": 0})
    if schedules["notOnce"] or schedules["missed"]:
        found.append("schedules: not one run a local day and week")
    slots = result.get("slots")
    if slots and not slots["slots"] == slots["runs"] == slots["claims"]:
        found.append(f"slots: {slots['runs']} runs in {slots['slots']} slots")
    if result.get("outages", {}).get("lost"):
        found.append(f"outages: {result['outages']['lost']} edits lost")
    return found


def _intake_misses(intake: dict[str, Any]) -> list[str]:
    found = []
    if intake["flood"]["genuineRefused"] or intake["storedWrong"]:
        found.append("flood: genuine deliveries were lost")
    if intake["forgedAccepted"]:
        found.append("flood: forged deliveries were accepted")
    if intake["writes"]:
        found.append(f"flood: {intake['writes']} writes")
    if intake["memoryGrowthMib"] >= MEMORY_GROWTH_MIB:
        found.append(f"flood: {intake['memoryGrowthMib']} MiB more memory")
    return found


def _slow(result: dict[str, Any]) -> list[str]:
    """The promises about time that were not kept; what else the machine did meanwhile counts."""
    found = []
    for name in ("webhookToContact", "contactToCrm"):
        told = result.get(name, {"medianSeconds": 0.0, "p95Seconds": 0.0})
        if told["medianSeconds"] >= MEDIAN_SECONDS:
            found.append(f"{name}: median {told['medianSeconds']} s")
        if told["p95Seconds"] >= P95_SECONDS:
            found.append(f"{name}: 95th percentile {told['p95Seconds']} s")
    if "intake" in result and result["intake"]["deliveriesPerSecond"] < INTAKE_PER_SECOND:
        found.append(f"intake: {result['intake']['deliveriesPerSecond']} deliveries a second")
    if "intake" in result and result["intake"]["flood"]["p99Milliseconds"] >= 1000 * FLOOD_P99_SECONDS:
        found.append(f"flood: 99th percentile {result['intake']['flood']['p99Milliseconds']} ms")
    for name in ("brokerWipes", "databaseRestarts"):
        slowest = result.get("outages", {}).get(name, {}).get("slowestSeconds", 0.0)
        if slowest > RECOVERY_SECONDS:
            found.append(f"{name}: recovery took {slowest} s")
    if "fairness" in result and result["fairness"]["ratio"] >= FAIR_RATIO:
        found.append(f"fairness: {result['fairness']['ratio']} times the delay alone")
    if "fairness" in result and (result["fairness"]["startP95Seconds"] or 0.0) > START_SECONDS:
        found.append(f"fairness: a sync begins after {result['fairness']['startP95Seconds']} s")
    return found


def _row(name: str, told: dict[str, Any]) -> str:
    each = ", ".join(f"{key} {seconds:.2f}" for key, seconds in told["medianByCrm"].items())
    return (
        f"{name}: median {told['medianSeconds']:.2f} s, 95th percentile {told['p95Seconds']:.2f} s,"
        f" {told['samples']} samples (medians: {each})"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
