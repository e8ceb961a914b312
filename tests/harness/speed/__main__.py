"""Times every list and page: ``python -m tests.harness.speed [--links N] [--rounds N] [--only TEXT] [--json]``.

One organization with a million links and ten thousand failing records is made first, in a database of its own, which
takes some minutes. Exit 0 when each page answers within half a second (95th percentile) by at most fifteen queries.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, Final

from tests.harness import environment, services

MOST_SECONDS: Final = 0.5
MOST_QUERIES: Final = 15
MOST_SECONDS_A_PAGE: Final = 60
"""After which a page is not asked for again."""
_NO_QUERY: Final = ("SAVEPOINT", "RELEASE", "ROLLBACK", "BEGIN", "COMMIT", "SELECT set_config")
"""They ask for nothing."""


@dataclass(frozen=True)
class Figure:
    kind: str
    address: str
    status: int
    p95_ms: float
    first_ms: float
    queries: int
    slowest_query_ms: float

    @property
    def ok(self) -> bool:
        """Files are read as they are sent; how long the first piece takes is told and not judged."""
        quick = self.kind == "file" or self.p95_ms < MOST_SECONDS * 1000
        return self.status in {200, 302} and quick and self.queries <= MOST_QUERIES


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="speed", description=__doc__)
    parser.add_argument("--links", type=int, default=1_000_000, help="contacts, each with a link")
    parser.add_argument("--rounds", type=int, default=20, help="requests to each page")
    parser.add_argument("--only", default="", help="pages with this in their address")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on a line")
    options = parser.parse_args(arguments)
    with services.throwaway({}) as urls:
        os.environ.update(environment.testing(urls) | {"LOG_LEVEL": "ERROR"})
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", database="owner", verbosity=0)
        from tests.harness.speed import pages
        from tests.harness.speed.seed import seed

        began = time.monotonic()
        seeded = seed(options.links)
        took = time.monotonic() - began
        print(f"{options.links} links made in {took:.0f} s", flush=True)
        browser = _browser(seeded)
        figures = []
        for page in pages.pages(seeded):
            if options.only in page.address and (figure := _measured(browser, page, options.rounds)) is not None:
                figures.append(figure)
                _print(figure)
    ok = all(each.ok for each in figures)
    print(
        f"{sum(each.ok for each in figures)} of {len(figures)} pages within {MOST_SECONDS} s and {MOST_QUERIES} queries"
    )
    if options.json:
        said = {"ok": ok, "links": options.links, "rounds": options.rounds, "seedSeconds": round(took, 1)}
        print(json.dumps(said | {"pages": [asdict(each) | {"ok": each.ok} for each in figures]}))
    return 0 if ok else 1


def _browser(seeded: Any) -> Any:
    from django.conf import settings
    from django.test import Client

    settings.ALLOWED_HOSTS = ["*"]
    settings.CRM_API_REQUESTS_PER_MINUTE = settings.CRM_API_ORGANIZATION_REQUESTS_PER_MINUTE = 10**9
    client = Client(raise_request_exception=False)
    client.force_login(seeded.user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def _measured(browser: Any, page: Any, rounds: int) -> Figure | None:
    """None for what only does something, and has no page."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    times: list[float] = []
    queries, slowest, status = 0, 0.0, 0
    for _ in range(rounds):
        connection.queries_log.clear()  # holds the last 9,000 and then counts no more
        with CaptureQueriesContext(connection) as captured:
            began = time.perf_counter()
            answer = browser.get(page.address)
            if answer.streaming:
                next(iter(answer.streaming_content), b"")
                answer.close()
            times.append(time.perf_counter() - began)
        asked = [each for each in captured.captured_queries if not each["sql"].startswith(_NO_QUERY)]
        queries = max(queries, len(asked))
        slowest = max([slowest, *(float(each["time"]) for each in asked)])
        status = answer.status_code
        if status == 405:
            return None
        if sum(times) > MOST_SECONDS_A_PAGE:
            break
    ordered = sorted(times)
    p95 = ordered[max(0, math.ceil(0.95 * len(ordered)) - 1)]
    return Figure(
        page.kind, page.address, status, round(p95 * 1000, 1), round(times[0] * 1000, 1), queries, slowest * 1000
    )


def _print(each: Figure) -> None:
    print(
        f"{'ok  ' if each.ok else 'FAIL'} {each.status} p95 {each.p95_ms:7.1f} ms, first {each.first_ms:7.1f} ms,"
        f" {each.queries:2d} queries, slowest {each.slowest_query_ms:6.0f} ms  {each.address}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
