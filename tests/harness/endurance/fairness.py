"""What one organization's large first load does to another's ten contacts, on the processes of the Procfile."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

from tests.harness.endurance.flood import percentile
from tests.harness.endurance.latency import FIELD
from tests.harness.endurance.world import MOST_SECONDS, POLL_SECONDS, StuckError, World

if TYPE_CHECKING:
    from tests.harness.demo.app_side import App

CONTACTS = 10
SOURCE = "salesforce"
"""The CRM of the large organization alone."""


def fairness(world: World, records: int, samples: int) -> dict[str, Any]:
    """Delays of ten contacts' edits at their CRM, alone and while the other organization loads ``records``, and how
    soon a sync of these ten is begun meanwhile.

    The small organization leaves Salesforce to the large one. The load is measured in both of its halves, reading
    and applying; StuckError when applying is over too soon for ``samples``.
    """
    account = world.account(SOURCE)
    world.app._call("DELETE", f"/api/crm/connect?crm_type={SOURCE}")
    account.tell("outbound", {"paused": True})
    for start in range(0, records, 10_000):
        account.import_people([_person(number) for number in range(start, min(start + 10_000, records))])
    big = world.newcomer("Big")
    big.connect(account)
    alone = [_delay(world, f"A{number}") for number in range(samples)]
    run = big.begin("full", SOURCE)
    reading = _while_running(world, big, run["runId"], samples, "R")
    held = big._follow(run, SOURCE)
    applying_run = big.approve_only(held)
    applying = _while_running(world, big, applying_run, samples, "W")
    if len(applying) < samples:
        message = f"{records} records were applied before {samples} samples were taken: give more records"
        raise StuckError(message)
    starts = _starts(world, big, applying_run, samples)
    big._call("POST", f"/api/crm/runs/{applying_run}/cancel", {})
    beside = [*reading, *applying]
    return {
        "records": records,
        "contacts": CONTACTS,
        "samples": len(beside),
        "aloneSeconds": round(statistics.median(alone), 3),
        "whileReadingSeconds": round(statistics.median(reading), 3) if reading else None,
        "whileApplyingSeconds": round(statistics.median(applying), 3),
        "slowestSeconds": round(max(beside), 3),
        "startP95Seconds": round(percentile(starts, 0.95), 3) if starts else None,
        "ratio": round(statistics.median(beside) / statistics.median(alone), 2),
    }


def _person(number: int) -> dict[str, str]:
    return {"firstName": f"Load{number}", "lastName": f"Loaded{number}", "email": f"load{number}@big.example"}


def _while_running(world: World, big: App, run_id: str, samples: int, mark: str) -> list[float]:
    found: list[float] = []
    while len(found) < samples:
        seconds = _delay(world, f"{mark}{len(found)}")
        if big._run(run_id, SOURCE)["status"] != "running":
            break
        found.append(seconds)
    return found


def _starts(world: World, big: App, run_id: str, samples: int) -> list[float]:
    """As many as the load lasts for, at most ``samples``."""
    found: list[float] = []
    while len(found) < samples:
        seconds = _start(world)
        if big._run(run_id, SOURCE)["status"] != "running":
            break
        found.append(seconds)
    return found


def _start(world: World) -> float:
    """Seconds from the request to sync the ten contacts until a worker has begun its run."""
    from adsapp_crm.models import CrmConnection, CrmSyncLog
    from adsapp_crm.services.syncing import start_run
    from adsapp_crm.tasks import sync_now
    from crm.model import Phase, RunKind

    contact_ids = [str(person.contact_id) for person in world.people[:CONTACTS]]
    connection_id = world.app._do(lambda: CrmConnection.objects.get(crm_type="hubspot").pk)
    began = time.monotonic()
    run_id = start_run(
        world.app.organization_id, connection_id, RunKind.MANUAL, actor="endurance", contact_ids=contact_ids
    )
    sync_now.delay(str(run_id))
    while True:
        run = world.app._do(lambda: CrmSyncLog.objects.only("phase", "position").get(pk=run_id))
        if run.phase != Phase.SETTLE or run.position.get("starts"):
            return time.monotonic() - began
        if time.monotonic() - began > MOST_SECONDS:
            raise StuckError("a sync of ten contacts did not begin")
        time.sleep(POLL_SECONDS)


def _delay(world: World, mark: str) -> float:
    """Seconds from the first of ten edits in ADSapp until the CRM shows the last of them."""
    account = world.fakes.hubspot
    people = world.people[:CONTACTS]
    began = time.monotonic()
    for person in people:
        world.change(person, {FIELD: f"Fair{mark}"})
    waiting = [person.remote_ids[account.key] for person in people]
    while waiting:
        waiting = [each for each in waiting if account.value(each, FIELD) != f"Fair{mark}"]
        if waiting and time.monotonic() - began > MOST_SECONDS:
            message = f"{len(waiting)} of {CONTACTS} edits did not arrive"
            raise StuckError(message)
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began
