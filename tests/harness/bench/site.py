"""``python -m tests.harness.bench.site``: a provider's fake that answers late by a given time and may limit more.

The delay is spent before the fake looks at a request, outside of its lock, so that requests in flight wait side by
side as they do on a long line.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from crm.fakes import FAKES
from crm.providers.hubspot.fake.limits import LimitSizes as HubSpotSizes
from crm.providers.pipedrive.fake.limits import LimitSizes as PipedriveSizes
from crm.providers.salesforce.fake.limits import LimitSizes as SalesforceSizes
from crm.testing.wsgi import LoopbackServer

BACK_DOOR = "/_fake"
ENOUGH = 1_000_000_000
"""A daily allowance that no measurement uses up."""


class Late:
    """The fake behind a line of ``seconds``; its back door is beside it."""

    def __init__(self, fake: Any, seconds: float) -> None:
        self._fake = fake
        self._seconds = seconds

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self._seconds and not environ["PATH_INFO"].startswith(BACK_DOOR):
            time.sleep(self._seconds)
        answer: Iterable[bytes] = self._fake(environ, start_response)
        return answer


def sizes(provider: str, burst: int | None, window_ms: int | None) -> Any:
    """The CRM's documented bursts, or tighter ones, without an end to the day."""
    match provider:
        case "hubspot":
            found: Any = HubSpotSizes(private_daily=ENOUGH)
            if burst is not None:
                found = dataclasses.replace(found, private_burst=burst)
            return found if window_ms is None else dataclasses.replace(found, interval_ms=window_ms)
        case "salesforce":
            return SalesforceSizes(daily=ENOUGH)
        case _:
            found = PipedriveSizes(daily_tokens=ENOUGH)
            return found if burst is None else dataclasses.replace(found, api_burst=burst)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("provider", choices=sorted(FAKES))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pidfile", type=Path, required=True)
    parser.add_argument("--latency", type=float, default=0.0, metavar="MS")
    parser.add_argument("--limits", choices=("real", "count", "none"), default="real")
    parser.add_argument("--burst", type=int)
    parser.add_argument("--window", type=int, metavar="MS")
    options = parser.parse_args()
    more: dict[str, Any] = {"limit_sizes": sizes(options.provider, options.burst, options.window)}
    if options.provider == "salesforce":
        more["external_id_fields"] = ("Contact.ADSapp_Contact_Id__c", "Lead.ADSapp_Contact_Id__c")
    fake = FAKES[options.provider](seed=1, limits=options.limits, search_lag_seconds=0.0, **more)
    app: Any = Late(fake, options.latency / 1000)
    server = LoopbackServer(app, port=options.port, threads=32)
    server.start()
    options.pidfile.write_text(str(os.getpid()))
    threading.Event().wait()


if __name__ == "__main__":
    main()
