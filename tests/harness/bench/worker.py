"""``python -m tests.harness.bench.worker``: a worker that measures itself, told what to do line by line.

It steps runs as the Celery task does, in one process that has started up before anything is measured. One JSON
object a line comes in, one goes out.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MOST_PARKED_SECONDS = 120


@dataclass
class Phase:
    """What the pages of one phase took. Seconds are this process' own."""

    pages: int = 0
    statements: int = 0
    most_statements: int = 0
    cpu_seconds: float = 0.0
    seconds: float = 0.0


@dataclass
class Meter:
    """Statements, processor time and memory between two looks."""

    backend: int
    statements: int = 0
    by_statement: dict[str, tuple[int, float]] = field(default_factory=dict)
    phases: dict[str, Phase] = field(default_factory=lambda: defaultdict(Phase))
    _reached: dict[str, str] = field(default_factory=dict)
    """The phase in which a page left its run: the next one is put to it."""

    def counted(self, execute: Callable[..., Any], sql: Any, *arguments: Any) -> Any:
        self.statements += 1
        began = time.monotonic()
        try:
            return execute(sql, *arguments)
        finally:
            text = str(sql)
            count, seconds = self.by_statement.get(text, (0, 0.0))
            self.by_statement[text] = (count + 1, seconds + time.monotonic() - began)

    def begin(self) -> None:
        self.statements = 0
        self.phases.clear()
        self.by_statement.clear()
        _forget_peak()
        self._wall, self._cpu, self._database = time.monotonic(), time.process_time(), cpu_seconds(self.backend)

    def end(self) -> dict[str, Any]:
        database = cpu_seconds(self.backend)
        return {
            "seconds": time.monotonic() - self._wall,
            "cpuSeconds": time.process_time() - self._cpu,
            "databaseCpuSeconds": None if database is None or self._database is None else database - self._database,
            "statements": self.statements,
            "peakMib": peak_mib(),
            "slowest": self.slowest(),
            "phases": {name: vars(each) for name, each in self.phases.items()},
        }

    def slowest(self, most: int = 5) -> list[dict[str, Any]]:
        """The statements that the worker waited for longest, by their text."""
        found = sorted(self.by_statement.items(), key=lambda item: -item[1][1])[:most]
        return [{"seconds": seconds, "times": count, "statement": text[:2000]} for text, (count, seconds) in found]

    def page(self, advance: Callable[..., Any]) -> Callable[..., Any]:
        """``advance`` with its page put to the phase that the run was in."""

        def measured(run_id: str, ports: Any) -> Any:
            statements = self.statements
            if run_id not in self._reached:
                with ports.store.unit() as unit:
                    self._reached = {run_id: str(unit.load_run(run_id).phase)}
                self.statements = statements  # the look itself is the meter's
            cpu, wall = time.process_time(), time.monotonic()
            state = advance(run_id, ports)
            found = self.phases[self._reached[run_id]]
            self._reached = {run_id: str(state.phase)}
            found.pages += 1
            found.statements += self.statements - statements
            found.most_statements = max(found.most_statements, self.statements - statements)
            found.cpu_seconds += time.process_time() - cpu
            found.seconds += time.monotonic() - wall
            return state

        return measured


def cpu_seconds(pid: int) -> float | None:
    """User and system time of a process of this machine; None where it is not one."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except OSError:
        return None


def _forget_peak() -> None:
    """Linux: the highest memory from now on. Elsewhere it stays the highest of the process' life."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_mib() -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    import django

    django.setup()
    from django.db import connection

    from adsapp_crm.garbage import spare_what_stays
    from adsapp_crm.services import stepping

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        meter = Meter(cursor.fetchone()[0])
    stepping.advance = meter.page(stepping.advance)
    spare_what_stays()  # as config.celery does it in each process of a worker
    with connection.execute_wrapper(meter.counted):
        for line in sys.stdin:
            print(json.dumps(_do(json.loads(line), meter)), flush=True)


def _do(told: dict[str, Any], meter: Meter) -> dict[str, Any]:
    work = {"run": _run, "events": _events, "cycle": _cycle}[told.get("work", "run")]
    meter.begin()
    found = work(told)
    return {**meter.end(), **found}


def _run(told: dict[str, Any]) -> dict[str, Any]:
    """A run of a kind, or the one that an approved plan makes, to its end."""
    from adsapp_crm.services.syncing import approve_plan, start_run
    from adsapp_crm.tenancy import organization_context
    from crm.model import RunKind

    organization = told["organization"]
    if "plan" in told:
        with organization_context(organization, actor="bench"):
            run_id = approve_plan(told["plan"], actor="bench").pk
    else:
        chosen = told.get("contacts", ())
        run_id = start_run(organization, told["connection"], RunKind(told["kind"]), actor="bench", contact_ids=chosen)
    parked = _to_its_end(organization, run_id)
    return {"parkedSeconds": parked, **_ended(organization, run_id)}


def _to_its_end(organization: str, run_id: Any) -> float:
    """Seconds for which it waited for the CRM; raises TimeoutError when it waits for more than this is worth."""
    from adsapp_crm.services.stepping import Left, step_run

    parked = 0.0
    while (step := step_run(organization, run_id)).left is not Left.ENDED:
        if step.left is not Left.MORE:
            time.sleep(0.1)
            parked += 0.1
            if parked > MOST_PARKED_SECONDS:
                message = f"the run waits for the CRM: {_ended(organization, run_id)}"
                raise TimeoutError(message)
    return parked


def _cycle(told: dict[str, Any]) -> dict[str, Any]:
    """A run of the same kind for each of these connections, one after the other."""
    parts = [_run({"kind": told["kind"], "organization": org, "connection": each}) for org, each in told["connections"]]
    return {"statuses": [part["status"] for part in parts], "calls": sum(part["calls"] for part in parts)}


def _events(told: dict[str, Any]) -> dict[str, Any]:
    """Webhook events about these records, so many for each, as the intake stores them; then the task that they wake."""
    from adsapp_crm.models import CrmConnection
    from adsapp_crm.services import inbox
    from adsapp_crm.tenancy import organization_context
    from crm.providers.base import ChangeHint, HintKind

    organization, connection = uuid.UUID(told["organization"]), uuid.UUID(told["connection"])
    with organization_context(organization):
        account_id = str(CrmConnection.objects.get(pk=connection).remote_account_id)
    hints = [
        ChangeHint(account_id, told["recordType"], remote_id, HintKind.CHANGED, f"{told['mark']}-{number}-{remote_id}")
        for number in range(told.get("each", 1))
        for remote_id in told["remoteIds"]
    ]
    began = time.monotonic()
    for start in range(0, len(hints), 100):
        inbox.store(organization, connection, account_id, hints[start : start + 100])
    stored = time.monotonic()
    runs = 0
    while True:
        inbox.settle(organization, connection)
        run_id = inbox.start_refetch(organization, connection)
        if run_id is None:
            break
        _to_its_end(str(organization), run_id)
        runs += 1
    applied = time.monotonic()
    return {"events": len(hints), "runs": runs, "storeSeconds": stored - began, "applySeconds": applied - stored}


def _ended(organization: str, run_id: Any) -> dict[str, Any]:
    from adsapp_crm.models import CrmSyncLog
    from adsapp_crm.tenancy import organization_context

    with organization_context(organization):
        run = CrmSyncLog.objects.get(pk=run_id)
    counts = run.counts if isinstance(run.counts, dict) else vars(run.counts)
    plan = str(run.plan_id) if run.plan_id else None
    return {"status": run.status, "plan": plan, "counts": counts, "calls": run.api_calls, "error": run.error_code}


if __name__ == "__main__":
    main()
