"""Tries to break in: ``python -m tests.harness.attack [--full] [--only NAME ...] [--json]``; exit 0 when all held.

The short form takes less than a minute on two cores; ``--full`` plays the whole figures, some minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.harness.attack import addresses, callbacks, contract, keys, planted, races, refreshes, stage

FIGURES = {
    "callbacks": "mutated callbacks: 0 accepted, 0 token requests to another host",
    "races": "one state raced by 50 threads: 1 wins",
    "refreshes": "16 processes over expiries of a rotating token: 1 refresh each, 0 false reconnects",
    "addresses": "hostile addresses: 0 connections outside",
    "secrets": "planted secrets: 0 found in logs, database, broker, pages, errors",
    "keys": "values re-encrypted under load: 0 failed decrypts, 100,000 in under 60 s",
    "contract": "requests made up from the API's description: 0 server errors, 0 undocumented answers, 0 foreign ids",
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="attack", description=__doc__)
    parser.add_argument(
        "--full", action="store_true", help="1,000 callbacks, 1,000 expiries, 100,000 values, 2,000 requests"
    )
    parser.add_argument("--only", action="append", choices=sorted(FIGURES), help="this attack; may be repeated")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on a line")
    options = parser.parse_args(arguments)
    full = options.full
    results: dict[str, Any] = {}
    started = time.monotonic()
    with stage.opened() as logs:
        attacks: dict[str, Callable[[], dict[str, Any]]] = {
            "callbacks": lambda: callbacks.attack(1_000 if full else 200),
            "races": lambda: races.attack(20 if full else 2),
            "refreshes": lambda: refreshes.attack(1_000 if full else 8, latency_seconds=0.05),
            "addresses": addresses.attack,
            "secrets": lambda: planted.attack(logs),
            "keys": lambda: keys.attack(100_000 if full else 5_000),
            "contract": lambda: contract.attack(2_000 if full else 200),
        }
        for name, attack in attacks.items():
            if options.only and name not in options.only:
                continue
            began = time.monotonic()
            results[name] = attack()
            results[name]["took"] = round(time.monotonic() - began, 1)
            _print(name, results[name])
    summary = {
        "ok": all(result["ok"] for result in results.values()),
        "full": full,
        "seconds": round(time.monotonic() - started, 1),
        "attacks": results,
    }
    print(f"{'all held' if summary['ok'] else 'SOMETHING GAVE WAY'} in {summary['seconds']} s")
    if options.json:
        print(json.dumps(summary))
    return 0 if summary["ok"] else 1


def _print(name: str, result: dict[str, Any]) -> None:
    figures = ", ".join(f"{key} {value}" for key, value in result.items() if key not in {"ok", "took"})
    print(
        f"{'ok  ' if result['ok'] else 'FAIL'} {name} ({FIGURES[name]}) {result['took']} s\n     {figures}", flush=True
    )


if __name__ == "__main__":
    sys.exit(main())
