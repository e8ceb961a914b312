"""What is measured stands here: services of its own, one fake behind a line, one worker that measures itself."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import requests

from tests.harness import services
from tests.harness import stack as stacks
from tests.harness.bench.people import person, remote_people
from tests.harness.bench.site import ACCOUNT_HEADER, token_of
from tests.harness.ports import free_port

BULK = 5_000
BASES = {
    "hubspot": ("CRM_HUBSPOT_API_BASE", "CRM_HUBSPOT_AUTH_BASE"),
    "salesforce": ("CRM_SALESFORCE_INSTANCE_URL", "CRM_SALESFORCE_LOGIN_BASE"),
    "pipedrive": ("CRM_PIPEDRIVE_API_BASE", "CRM_PIPEDRIVE_AUTH_BASE"),
}


class BenchError(RuntimeError):
    """A measurement could not be made."""


@dataclass
class Line:
    """How far away the CRM is and how much it allows; None leaves the documented burst."""

    latency_ms: float = 0.0
    limits: str = "real"
    burst: int | None = None
    window_ms: int | None = None


@dataclass
class Site:
    """One account of a provider's fake: its counters, and people made at once."""

    provider: str
    url: str
    account: int = 0

    @property
    def token(self) -> str:
        return token_of(self.provider, self.account)

    def seed(self, first: int, count: int) -> list[str]:
        made: list[str] = []
        for start in range(first, first + count, BULK):
            rows = remote_people(self.provider, start, min(BULK, first + count - start))
            made += self.back_door("POST", "bulk", {"records": rows})["ids"]
        return made

    def edit(self, remote_id: str, number: int) -> None:
        names = {"hubspot": "lastname", "salesforce": "LastName", "pipedrive": "name"}
        before = "First " if self.provider == "pipedrive" else ""
        changed = {names[self.provider]: f"{before}Changed{number}"}
        body = {"fields" if self.provider == "salesforce" else "properties": changed}
        self.back_door("PATCH", f"records/{remote_id}", body)

    def last_name(self, remote_id: str) -> str:
        shown = self.back_door("GET", f"records/{remote_id}")
        held = shown.get("fields", shown) if self.provider == "salesforce" else shown.get("properties", shown)
        return str(held.get({"hubspot": "lastname", "salesforce": "LastName"}.get(self.provider, "last_name")))

    def userinfo(self) -> dict[str, Any]:
        """Salesforce's word on whose token it is."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return dict(requests.get(f"{self.url}/services/oauth2/userinfo", headers=headers, timeout=60).json())

    def counters(self) -> dict[str, Any]:
        return self.back_door("GET", "stats")

    def back_door(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        headers = {ACCOUNT_HEADER: str(self.account)}
        answer = requests.request(method, f"{self.url}/_fake/{path}", json=body, headers=headers, timeout=600)
        if not answer.ok:
            message = f"{method} {path} at the fake answered {answer.status_code}: {answer.text[:300]}"
            raise BenchError(message)
        return dict(answer.json()) if answer.content else {}


@dataclass
class Worker:
    """The measuring worker's process."""

    process: subprocess.Popen[str]

    def do(self, **told: Any) -> dict[str, Any]:
        given, taken = self.process.stdin, self.process.stdout
        if given is None or taken is None:
            raise BenchError("the worker has no pipes")
        given.write(json.dumps(told) + "\n")
        given.flush()
        line = taken.readline()
        if not line:
            message = f"the worker ended with {self.process.wait()}"
            raise BenchError(message)
        return dict(json.loads(line))


@dataclass
class Stand:
    stack: stacks.Stack
    provider: str
    port: int
    line: Line
    site: Site = field(init=False)
    """The first account."""
    worker: Worker = field(init=False)
    parse_ms: float | None = None
    """What HubSpot's own client needs a contact, once it has been measured."""

    def open_site(self, accounts: int = 1) -> list[Site]:
        """New and empty accounts at the same address."""
        old = self.stack.processes.pop("site", None)
        if old is not None:
            old.terminate()
            old.wait()
        line, options = self.line, []
        for name, value in (("--burst", line.burst), ("--window", line.window_ms)):
            options += [name, str(value)] if value is not None else []
        command = ("-m", "tests.harness.bench.site", self.provider, "--port", str(self.port), "--pidfile", "{pid_file}")
        told = ("--latency", str(line.latency_ms), "--limits", line.limits, "--accounts", str(accounts), *options)
        self.stack.spawn("site", *command, *told)
        self.stack.wait_for_port(self.port, "site")
        sites = [Site(self.provider, f"http://127.0.0.1:{self.port}", number) for number in range(accounts)]
        self.site = sites[0]
        return sites

    def open_worker(self, log: IO[bytes]) -> None:
        self._log = log
        self.worker = self._worker()

    @contextlib.contextmanager
    def second_worker(self) -> Iterator[Worker]:
        worker = self._worker()
        try:
            yield worker
        finally:
            worker.process.terminate()
            worker.process.wait()

    def _worker(self) -> Worker:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.harness.bench.worker"],
            cwd=services.CHECKOUT,
            env=self.stack.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        return Worker(process)

    def ideal(
        self, *, read: int = 0, look: int = 0, write: int = 0, first: int = 0, client: bool = False
    ) -> dict[str, Any]:
        """The bare loop over so many contacts, in a process of its own, at the limit that rules here."""
        most, seconds = self.limit()
        command = ["-m", "tests.harness.bench.ideal", self.provider, self.site.url, self.site.token]
        for name, value in (("read", read), ("look", look), ("write", write), ("first", first)):
            command += [f"--{name}", str(value)]
        command += ["--window", str(seconds)] + (["--most", str(most)] if most else [])
        found = self._measured("the ideal loop", command + (["--client"] if client else []))
        if most:
            time.sleep(seconds)  # what is measured next knows nothing of what this has sent with its token
        return found

    def peer(self) -> dict[str, Any]:
        """dlt reading the first account's contacts, in a process of its own."""
        return self._measured("dlt", ["-m", "tests.harness.bench.peer", self.site.url, self.site.token])

    def _measured(self, what: str, command: list[str]) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=services.CHECKOUT,
            env=self.stack.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            message = f"{what} failed: {done.stderr[-500:]}"
            raise BenchError(message)
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def limit(self) -> tuple[int | None, float]:
        """Requests in so many seconds that the fake lets through."""
        if self.line.limits == "none":
            return None, 1.0
        documented: dict[str, tuple[int | None, float]] = {
            "hubspot": (100, 10.0),
            "salesforce": (100, 1.0),
            "pipedrive": (20, 2.0),
        }
        most, seconds = documented[self.provider]
        return self.line.burst or most, (self.line.window_ms or seconds * 1000) / 1000


@dataclass(frozen=True)
class Tenant:
    organization: str
    connection: str


def make_tenant(
    stand: Stand, people: range = range(0), *, site: Site | None = None, refused: Collection[int] = ()
) -> Tenant:
    """An organization with these contacts, connected to the stand's first account or to this one.

    The CRM does not take the ``refused`` ones.
    """
    from adsapp_crm.services.connections import Access, connect_account
    from adsapp_crm.services.organizations import create_organization

    mark = uuid.uuid4().hex[:8]
    made, _owner = create_organization(
        f"Bench {mark}", email=f"{mark}@bench.example", password=f"x{uuid.uuid4().hex}", region="NL"
    )
    add_contacts(made.id, people, refused)
    site = site or stand.site
    payload: dict[str, Any] = {"token": site.token}
    if stand.provider == "salesforce":
        about = site.userinfo()  # as a grant tells it
        payload["settings"] = {"instance_url": site.url, "user_id": about["user_id"]}
    connected = connect_account(made.id, stand.provider, Access(payload), actor="bench")
    return Tenant(str(made.id), str(connected.connection_id))


def add_contacts(organization_id: uuid.UUID, people: range, refused: Collection[int] = ()) -> None:
    from adsapp_crm.services.contact_import import import_contacts
    from adsapp_crm.tenancy import organization_context

    if not people:
        return
    names = list(person(0))
    rows = (person(number, refused=number in refused) for number in people)
    lines = [",".join(names), *(",".join(row.values()) for row in rows)]
    with organization_context(organization_id, actor="bench", origin="import"):
        report = import_contacts(f"{line}\n" for line in lines)
    if report.refused:
        message = f"{len(report.refused)} people were refused: {report.refused[0]}"
        raise BenchError(message)


@contextlib.contextmanager
def opened(provider: str, line: Line) -> Iterator[Stand]:
    """Services on an empty folder that is deleted afterwards, the fake, and the worker; Django is set up here too."""
    folder = Path(tempfile.mkdtemp(prefix="adsapp-crm-bench-"))
    for variable in services.VARIABLES:
        os.environ.pop(variable, None)
    port = free_port()
    try:
        with stacks.opened(folder=folder) as stack, (folder / "bench.log").open("wb") as log:
            url = f"http://127.0.0.1:{port}"
            stack.environment |= dict.fromkeys(BASES[provider], url)
            stack.environment["CRM_EXTRA_HOSTS"] = url.removeprefix("http://")
            os.environ.update(stack.environment)
            import django

            django.setup()
            stand = Stand(stack, provider, port, line)
            stand.open_site()
            stand.open_worker(log)
            try:
                yield stand
            finally:
                stand.worker.process.terminate()
                stand.worker.process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
