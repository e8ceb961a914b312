"""A CRM's fake in a process of its own, so that its work does not slow the senders down, and when it was asked."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from crm.fakes import FAKES
from crm.testing.wsgi import LoopbackServer, Request, Response

RECORDS = 200
"""Few: what is measured is the rhythm of the requests, not what they carry."""


@dataclass(slots=True)
class CrmSide:
    url: str
    arrivals: list[float] = field(default_factory=list)
    """Of the requests that were not refused, in seconds, ascending; filled when the fake has ended."""
    violations: dict[str, int] = field(default_factory=dict)


@contextmanager
def serving(provider: str, **options: Any) -> Iterator[CrmSide]:
    """The fake with its real limits; ``options`` are its own."""
    command = [sys.executable, "-m", "tests.harness.rates.crm_side", provider, json.dumps(options)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            side = CrmSide(process.stdout.readline().strip())
            yield side
            process.stdin.close()
            told = json.loads(process.stdout.readline())
            side.arrivals, side.violations = sorted(told["arrivals"]), told["violations"]
        finally:
            process.kill()


def main(provider: str, options: dict[str, Any]) -> None:
    """Serve until standard input ends, then say what came."""
    fake: Any = FAKES[provider](limits="real", **options)
    answer = fake.respond
    arrivals: list[float] = []

    def respond(request: Request) -> Response:
        arrived = time.monotonic()
        given: Response = answer(request)
        if not request.path.startswith("/_fake") and given.status not in (403, 429):
            arrivals.append(arrived)
        return given

    fake.respond = respond
    with LoopbackServer(fake, threads=32) as server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    sys.stdout.write(json.dumps({"arrivals": arrivals, "violations": fake.stats()["limitViolations"]}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
