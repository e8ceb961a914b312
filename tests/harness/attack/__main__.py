"""Tries to break in: ``python -m tests.harness.attack [--full] [--only NAME ...] [--json]``.

Exit 0 when every attack held, 1 when something gave way, 3 when all that was played held and something could not be
played. The short form takes less than a minute on two cores; ``--full`` plays the whole figures, some minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
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

GAVE_WAY, NOT_ALL = 1, 3


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="attack", description=__doc__)
    parser.add_argument(
        "--full", action="store_true", help="1,000 callbacks, 1,000 expiries, 100,000 values, 2,000 requests"
    )
    parser.add_argument("--only", action="append", choices=sorted(FIGURES), help="this attack; may be repeated")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on a line")
    options = parser.parse_args(arguments)
    results: dict[str, Any] = {}
    started = time.monotonic()
    try:
        _play(options, results)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    summary = summarized(results, full=options.full, seconds=round(time.monotonic() - started, 1))
    print(verdict(summary))
    if options.json:
        print(json.dumps(summary))
    return GAVE_WAY if summary["gaveWay"] else NOT_ALL if summary["notRun"] else 0


def _play(options: argparse.Namespace, results: dict[str, Any]) -> None:
    full = options.full
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


def summarized(results: Mapping[str, dict[str, Any]], *, full: bool, seconds: float) -> dict[str, Any]:
    """``ok`` only when each attack was played and held: one that was not played held nothing off."""
    not_run = {name: result["notRun"] for name, result in results.items() if "notRun" in result}
    gave_way = [name for name, result in results.items() if name not in not_run and not result["ok"]]
    return {
        "ok": not (gave_way or not_run),
        "held": len(results) - len(gave_way) - len(not_run),
        "gaveWay": gave_way,
        "notRun": not_run,
        "full": full,
        "seconds": seconds,
        "attacks": dict(results),
    }


def verdict(summary: Mapping[str, Any]) -> str:
    said = [f"{summary['held']} of {len(summary['attacks'])} held in {summary['seconds']} s"]
    if summary["gaveWay"]:
        said.append(f"GAVE WAY: {', '.join(summary['gaveWay'])}")
    said += [f"NOT RUN: {name} ({why})" for name, why in summary["notRun"].items()]
    return "\n".join(said)


def _print(name: str, result: dict[str, Any]) -> None:
    figures = ", ".join(f"{key} {value}" for key, value in result.items() if key not in {"ok", "took"})
    word = "----" if "notRun" in result else "ok  " if result["ok"] else "FAIL"
    print(f"{word} {name} ({FIGURES[name]}) {result['took']} s\n     {figures}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
