"""``python -m tests.harness.bench.memory [--people N] [--json]``: the memory of a worker in a full sync.

A HubSpot stand-in and the services run as processes of their own; the worker is one more, does a first sync, its
approval and a quiet full sync through the real store and connector, and says itself how much memory it had at most.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from tests.harness import services
from tests.harness import stack as stacks
from tests.harness.ports import free_port

PEOPLE = 100_000
MOST_MIB = 300
TOKEN = "pat-eu1-bench-0000-0000-000000000000"
"""Accepted by the stand-in only."""
_ALONE = 10
"""One of so many is known on one side only, on either side."""
_BATCH = 1_000


def measure(people: int = PEOPLE) -> dict[str, Any]:
    """Peaks in MiB by step, and the runs' counts; ``ok`` where every peak is at most MOST_MIB and all are in step.

    Takes minutes. Everything lies in a folder of its own that is deleted afterwards. Raises ServicesError.
    """
    began = time.monotonic()
    with _opened() as (stack, hubspot):
        connection = _fill(stack, hubspot, people)
        filled = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "tests.harness.bench.memory", "--worker", *map(str, connection)],
            cwd=services.CHECKOUT,
            env=stack.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    linked, alone = people - people // _ALONE, people // _ALONE
    applied, quiet = told["counts"]["first"], told["counts"]["quiet"]
    in_step = (
        [applied[key] for key in ("linked", "created_in_app", "created_in_crm")] == [linked, alone, alone]
        and quiet["unchanged"] == linked + 2 * alone
        and quiet["planned"] == 0
    )
    return {
        "ok": in_step and max(told["peakMib"].values()) <= MOST_MIB,
        "people": people,
        **told,
        "limitMib": MOST_MIB,
        "fillSeconds": round(filled - began, 1),
        "workerSeconds": round(time.monotonic() - filled, 1),
    }


@contextlib.contextmanager
def _opened() -> Iterator[tuple[stacks.Stack, str]]:
    """Services and tables, and the address of a HubSpot stand-in without limits."""
    folder = Path(tempfile.mkdtemp(prefix="adsapp-crm-bench-"))
    for variable in services.VARIABLES:
        os.environ.pop(variable, None)
    try:
        with stacks.opened(folder=folder) as stack:
            port = free_port()
            url = f"http://127.0.0.1:{port}"
            own = {"CRM_HUBSPOT_API_BASE": url, "CRM_HUBSPOT_AUTH_BASE": url, "CRM_EXTRA_HOSTS": f"127.0.0.1:{port}"}
            stack.environment.update(own)
            serve = ("manage.py", "crm_fake", "hubspot", "--port", str(port), "--search-lag", "0", "--limits", "none")
            stack.spawn("hubspot", *serve, "--token", TOKEN, "--pidfile", "{pid_file}")
            stack.wait_for_port(port, "hubspot")
            yield stack, url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fill(stack: stacks.Stack, hubspot: str, people: int) -> tuple[uuid.UUID, uuid.UUID]:
    """Organization and connection: ``people`` contacts here, as many there, most of them the same."""
    os.environ.update(stack.environment)
    import django

    django.setup()
    from adsapp_crm.models import Contact
    from adsapp_crm.services.connections import connect_with_token
    from adsapp_crm.services.organizations import create_organization
    from adsapp_crm.tenancy import organization_context

    organization, _owner = create_organization("Bench", email="bench@example.com", region="NL")
    connection_id = connect_with_token(organization.pk, "hubspot", TOKEN, actor="bench").connection_id
    alone = people // _ALONE
    for start in range(0, people, _BATCH):
        numbers = range(start, min(start + _BATCH, people))
        with organization_context(organization.pk, actor="bench"):
            Contact.objects.bulk_create(
                Contact(first_name=f"First{n}", last_name=f"Last{n}", email=f"person{n}@bench.example") for n in numbers
            )
        records = [
            {"firstname": f"First{n}", "lastname": f"Last{n}", "email": f"person{n}@bench.example", "company": "Looms"}
            for n in (number + alone for number in numbers)
        ]
        requests.post(f"{hubspot}/_fake/bulk", json={"records": records}, timeout=60).raise_for_status()
    return organization.pk, connection_id


def work(organization_id: uuid.UUID, connection_id: uuid.UUID) -> dict[str, Any]:
    """The worker: a first sync, its approval, a quiet full sync; says its peaks in MiB and its counts by step."""
    from adsapp_crm.services.syncing import Left, approve_plan, start_run, step_run
    from adsapp_crm.tenancy import organization_context
    from crm.model import RunKind

    peaks, counts = {"start": _peak_mib()}, {}

    def finish(name: str, run_id: uuid.UUID) -> None:
        from adsapp_crm.models import CrmSyncLog

        while step_run(organization_id, run_id).left is not Left.ENDED:
            pass
        peaks[name] = _peak_mib()
        with organization_context(organization_id):
            counts[name] = CrmSyncLog.objects.get(pk=run_id).counts

    def start() -> uuid.UUID:
        return start_run(organization_id, connection_id, RunKind.FULL, actor="bench")

    held = start()
    finish("plan", held)
    with organization_context(organization_id, actor="bench"):
        from adsapp_crm.models import CrmSyncLog

        approved = approve_plan(str(CrmSyncLog.objects.get(pk=held).plan_id), actor="bench").pk
    finish("first", approved)
    finish("quiet", start())
    zeros = {"linked": 0, "created_in_app": 0, "created_in_crm": 0, "unchanged": 0, "planned": 0}
    return {"peakMib": peaks, "counts": {name: {**zeros, **each} for name, each in counts.items()}}


def _peak_mib() -> float:
    """Of this process since it began. ``getrusage`` would tell the parent's peak where that was higher before exec."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.harness.bench.memory", description=__doc__)
    parser.add_argument("--people", type=int, default=PEOPLE, metavar="N", help=f"contacts on each side ({PEOPLE:,})")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--worker", nargs=2, type=uuid.UUID, metavar="ID", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        import django

        django.setup()
        print(json.dumps(work(*options.worker)))
        return 0
    if options.people < _ALONE:
        parser.error(f"--people: at least {_ALONE}")
    told = measure(options.people)
    for name, peak in told["peakMib"].items():
        print(f"{name:8} {peak:8.1f} MiB", file=sys.stderr)
    print(
        f"{'ok' if told['ok'] else 'NOT ok'}: at most {MOST_MIB} MiB for {told['people']:,} contacts", file=sys.stderr
    )
    if options.json:
        print(json.dumps(told))
    return 0 if told["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
