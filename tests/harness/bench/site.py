"""``python -m tests.harness.bench.site``: a provider's fake that answers late by a given time and may limit more.

The delay is spent before the fake looks at a request, outside of its lock, so that requests in flight wait side by
side as they do on a long line. Several accounts stand at one address, each with a token and limits of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from crm.fakes import FAKES
from crm.providers.hubspot.fake.app import DEFAULT_PORTAL_ID
from crm.providers.hubspot.fake.limits import LimitSizes as HubSpotSizes
from crm.providers.pipedrive.fake.app import DEFAULT_COMPANY_ID
from crm.providers.pipedrive.fake.limits import LimitSizes as PipedriveSizes
from crm.providers.salesforce.fake.limits import LimitSizes as SalesforceSizes
from crm.testing.clock import FakeClock
from crm.testing.wsgi import LoopbackServer

BACK_DOOR = "/_fake"
ACCOUNT_HEADER = "x-bench-account"
"""Which account's back door is meant; the first one's when it is missing."""
ENOUGH = 1_000_000_000
"""A daily allowance that no measurement uses up."""


def token_of(provider: str, account: int) -> str:
    """What the fake of that account accepts from its start."""
    first = str(import_module(f"crm.providers.{provider}.fake.app").DEFAULT_TOKEN)
    return f"{first[:-4]}{account:04d}"


class Accounts:
    """The fake whose token a request bears; a back door is that of the account in the header."""

    def __init__(self, fakes: Mapping[str, Any]) -> None:
        self._by_token = fakes
        self._by_number = list(fakes.values())

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith(BACK_DOOR):
            fake = self._by_number[int(environ.get(f"HTTP_{ACCOUNT_HEADER.upper().replace('-', '_')}") or 0)]
        else:
            token = environ.get("HTTP_X_API_TOKEN") or environ.get("HTTP_AUTHORIZATION", "").partition(" ")[2]
            fake = self._by_token.get(token, self._by_number[0])
        answer: Iterable[bytes] = fake(environ, start_response)
        return answer


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


def account(provider: str, number: int, clock: FakeClock, limits: str, limit_sizes: Any) -> Any:
    """The fake of one account; the ids that CRMs know it by differ."""
    match provider:
        case "hubspot":
            more: dict[str, Any] = {"portal_id": DEFAULT_PORTAL_ID + number}
        case "salesforce":
            fields = ("Contact.ADSapp_Contact_Id__c", "Lead.ADSapp_Contact_Id__c")
            more = {"external_id_fields": fields, "org_number": number + 1}
        case _:
            more = {"company_id": DEFAULT_COMPANY_ID + number}
    more |= {"clock": clock, "limit_sizes": limit_sizes, "token": token_of(provider, number)}
    return FAKES[provider](seed=number + 1, limits=limits, search_lag_seconds=0.0, **more)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("provider", choices=sorted(FAKES))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pidfile", type=Path, required=True)
    parser.add_argument("--latency", type=float, default=0.0, metavar="MS")
    parser.add_argument("--limits", choices=("real", "count", "none"), default="real")
    parser.add_argument("--burst", type=int)
    parser.add_argument("--window", type=int, metavar="MS")
    parser.add_argument("--accounts", type=int, default=1)
    options = parser.parse_args()
    clock, limit_sizes = FakeClock(), sizes(options.provider, options.burst, options.window)
    fakes = {
        token_of(options.provider, number): account(options.provider, number, clock, options.limits, limit_sizes)
        for number in range(options.accounts)
    }
    app: Any = Late(Accounts(fakes), options.latency / 1000)
    server = LoopbackServer(app, port=options.port, threads=32)
    server.start()
    options.pidfile.write_text(str(os.getpid()))
    threading.Event().wait()


if __name__ == "__main__":
    main()
