"""The stack as the torture sees it: workers behind fault proxies, beat, a CRM fake, and what can be done to them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.harness import postgres, services
from tests.harness import stack as stacks
from tests.harness.binaries import ServicesError
from tests.harness.ports import free_port, tail
from tests.harness.proxy import FaultProxy
from tests.harness.torture.crm_side import Crm
from tests.harness.torture.worker import FOLDER_VARIABLE, HOLDER, OBEYED, ORDERS, READY

QUEUES = "interactive,realtime,bulk,maintenance"
WORKERS = ("worker-a", "worker-b")
LEASE_SECONDS = 3
SWEEP_SECONDS = 1


@dataclass
class Stand:
    stack: stacks.Stack
    crm: Crm
    crm_proxy: FaultProxy
    database_proxy: FaultProxy
    broker_proxy: FaultProxy
    started: dict[str, int] = field(default_factory=dict)
    killed: set[int] = field(default_factory=set)
    """The main processes of workers that were killed on purpose."""
    kills: int = 0

    @property
    def folder(self) -> Path:
        return self.stack.folder

    # workers

    def start_workers(self) -> None:
        """Start those that do not run; the others go on. Raises ServicesError when one has ended by itself."""
        self.check()
        for name in WORKERS:
            process = self.stack.processes.get(name)
            if process is not None and process.poll() is None:
                continue
            (self.folder / f"{name}.pid").unlink(missing_ok=True)
            log = self.folder / f"{name}.log"
            if log.exists():
                log.rename(self.folder / f"{name}.{self.started[name]}.log")
            self.started[name] = self.started.get(name, 0) + 1
            celery = ("-Q", QUEUES, "--concurrency", "1", "-n", f"{name}@%h", "--without-gossip", "--without-mingle")
            self.stack.spawn(name, "-m", "tests.harness.torture.worker", *celery, "--pidfile", "{pid_file}")

    def wait_for_workers(self, seconds: float = 90.0) -> None:
        """Return when all take tasks, those too that were killed before; raises ServicesError as `start_workers` does,
        and when one takes too long."""
        self.start_workers()
        end = time.monotonic() + seconds
        for name in WORKERS:
            process = self.stack.processes[name]
            while not (self.folder / f"{process.pid}{READY}").exists():
                if process.poll() is not None or time.monotonic() > end:
                    msg = f"{name} does not take tasks:\n{tail(self.folder / f'{name}.log')}"
                    raise ServicesError(msg)
                time.sleep(0.05)

    def start_beat(self) -> None:
        schedule = ("--max-interval", "1", "--pidfile", "{pid_file}")
        self.stack.spawn("beat", "-m", "celery", "-A", "config", "beat", *schedule)

    def order(self, point: str, *, deed: str = "kill", kind: str = "") -> None:
        """The next worker that comes to ``point`` (in a write of this kind, if one is named) does this to itself."""
        (self.folder / OBEYED).unlink(missing_ok=True)
        part = self.folder / f"{ORDERS}.part"
        part.write_text(json.dumps({"point": point, "deed": deed, "kind": kind}))
        part.rename(self.folder / ORDERS)

    def obeyed(self) -> dict[str, Any] | None:
        """What a worker wrote before it obeyed, once it has."""
        if (self.folder / ORDERS).exists():
            return None
        with contextlib.suppress(FileNotFoundError, ValueError):
            told: dict[str, Any] = json.loads((self.folder / OBEYED).read_text())
            return told if "pid" in told else None
        return None

    def take_order_back(self) -> None:
        (self.folder / ORDERS).unlink(missing_ok=True)

    def check(self) -> None:
        """Raise ServicesError when a process has ended that nobody killed."""
        self.stack.check(besides=self.killed)

    def await_end(self, main: int, seconds: float = 10.0) -> None:
        """Return when this worker's main process, which was killed, has ended: a signal is sent before it is obeyed."""
        self.killed.add(main)
        for process in self.stack.processes.values():
            if process.pid == main:
                process.wait(seconds)

    def kill_holder(self) -> dict[str, Any] | None:
        """Kill the worker that took a lease last, with all its processes; returns its grant and when, None without."""
        try:
            told: dict[str, Any] = json.loads((self.folder / HOLDER).read_text())
        except FileNotFoundError:
            return None
        mine = {process.pid for name, process in self.stack.processes.items() if name in WORKERS}
        if told["group"] not in mine:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(told["group"], signal.SIGKILL)
        killed_at = time.time()
        self.await_end(told["group"])
        return {**told, "at": killed_at}

    # the other processes

    def restart_database(self) -> None:
        """Stop PostgreSQL at once, as in a failure, and start it again on another port, behind the same proxy."""
        postgres.stop(self.folder)
        state = postgres.start(self.folder, services.credentials(self.folder))
        self.database_proxy.target_port = state["port"]
        self.database_proxy.reset()

    def flush_broker(self) -> None:
        import redis

        client = redis.Redis.from_url(self.stack.environment["REDIS_URL"])
        client.flushall()
        client.close()


@contextlib.contextmanager
def opened(kind: type[Crm]) -> Iterator[Stand]:
    """Everything on an empty folder of its own, which is deleted afterwards unless TORTURE_KEEP is set."""
    folder = Path(tempfile.mkdtemp(prefix="adsapp-crm-torture-"))
    try:
        with contextlib.ExitStack() as exits:
            stack = exits.enter_context(stacks.opened(folder=folder))
            database = exits.enter_context(in_front_of(stack, "DATABASE_URL"))
            lead(stack, "DATABASE_OWNER_URL", database)
            broker = exits.enter_context(in_front_of(stack, "REDIS_URL"))
            port = free_port()
            crm_proxy = exits.enter_context(FaultProxy(port))
            crm = kind(f"http://127.0.0.1:{port}")
            proxied = f"http://127.0.0.1:{crm_proxy.port}"
            stack.environment.update(
                {
                    **crm.environment(proxied),
                    "CRM_EXTRA_HOSTS": f"127.0.0.1:{crm_proxy.port}",
                    "CRM_LEASE_SECONDS": str(LEASE_SECONDS),
                    "CRM_SWEEP_SECONDS": str(SWEEP_SECONDS),
                    "LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING"),
                    FOLDER_VARIABLE: str(folder),
                }
            )
            serve = ("manage.py", "crm_fake", crm.key, "--port", str(port), "--pidfile", "{pid_file}")
            stack.spawn(crm.key, *serve, "--limits", "none", "--token", crm.token, *crm.options)
            stack.wait_for_port(port, crm.key)
            exits.callback(stack.close)  # before the proxies go
            yield Stand(stack, crm, crm_proxy, database, broker)
    finally:
        if not os.environ.get("TORTURE_KEEP"):
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def in_front_of(stack: stacks.Stack, variable: str) -> Iterator[FaultProxy]:
    """A proxy before the service that the variable names; the variable names the proxy from now on."""
    address = urlsplit(stack.environment[variable])
    if address.port is None:
        raise ValueError(f"{variable} names no port")
    with FaultProxy(address.port) as proxy:
        lead(stack, variable, proxy)
        yield proxy


def lead(stack: stacks.Stack, variable: str, proxy: FaultProxy) -> None:
    address = urlsplit(stack.environment[variable])
    place = f"{address.netloc.rpartition(':')[0]}:{proxy.port}"
    stack.environment[variable] = address._replace(netloc=place).geturl()
