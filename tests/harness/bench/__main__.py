"""``python3 dev.py bench``: what a sync costs, beside the bare loop of batch calls and HubSpot's own client.

The fakes answer over HTTP from processes of their own, PostgreSQL and the worker's code are the real ones. Each
figure is printed with its target and whether it was met. The exit code rests on counts alone (requests, statements,
writes, answers over the limit): they are the same on every machine, times are not.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from tests.harness.bench.faults import faults
from tests.harness.bench.figures import Report, lines
from tests.harness.bench.loads import LOADS, warm_up
from tests.harness.bench.moments import MOMENTS
from tests.harness.bench.stand import BASES, BenchError, Line, Stand, opened
from tests.harness.binaries import ServicesError

SCENARIOS = {**LOADS, **MOMENTS, "faults": faults}
TIGHT = {"hubspot": (20, 2000), "pipedrive": (20, None), "salesforce": (None, None)}
"""Burst and window at which pacing shows with few records."""


def measure(stand: Stand, names: list[str], records: int) -> Iterator[Report]:
    warm_up(stand)
    for name in names:
        stand.open_site()
        yield from SCENARIOS[name](stand, records)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dev.py bench", description=__doc__)
    parser.add_argument("--records", type=int, default=2_000, metavar="N", help="contacts of a scenario (2,000)")
    parser.add_argument("--latency", type=float, default=0.0, metavar="MS", help="of each request to the CRM (0)")
    parser.add_argument("--limits", choices=("real", "none", "tight"), default="none", help="of the CRM (none)")
    parser.add_argument("--provider", choices=sorted(BASES), help="only this one (all)")
    parser.add_argument("--scenario", action="append", choices=sorted(SCENARIOS), help="only these (all)")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args(arguments)
    if options.records < 100:
        parser.error("--records: at least 100")
    reports: list[Report] = []
    try:
        for provider in [options.provider] if options.provider else sorted(BASES):
            burst, window = TIGHT[provider] if options.limits == "tight" else (None, None)
            line = Line(options.latency, "none" if options.limits == "none" else "real", burst, window)
            with opened(provider, line) as stand:
                for report in measure(stand, options.scenario or list(SCENARIOS), options.records):
                    reports.append(report)
                    print("\n".join(lines([report])), file=sys.stderr, flush=True)
    except (BenchError, ServicesError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    ok = all(report.ok for report in reports)
    print("\nok: every count meets its target" if ok else "\nNOT ok: a count misses its target", file=sys.stderr)
    if options.json:
        told = {"records": options.records, "latencyMs": options.latency, "limits": options.limits}
        print(json.dumps({"ok": ok, **told, "reports": [report.document() for report in reports]}))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
