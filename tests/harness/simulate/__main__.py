"""``python -m tests.harness.simulate --seeds 0:200 [--jobs N] [--json]``, or ``--seed N [--trace]`` for one."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.harness.simulate.compare import run_compare
from tests.harness.simulate.mutate import run_mutants
from tests.harness.simulate.playing import play_seed
from tests.harness.simulate.schedule import Result
from tests.harness.simulate.shrink import shrink
from tests.harness.simulate.workers import CRASH_POINTS, FAULTS

ENOUGH = 50
"""A kind of fault and a crash point count as covered from so many times on."""
INVARIANTS = {
    "I1": "convergence, or an explanation",
    "I2": "a quiet run writes nothing",
    "I3": "what is delivered again changes nothing",
    "I4": "no lost edit",
    "I5": "no duplicates",
    "I6": "no resurrection",
    "I7": "no phantom write",
    "I8": "both halves of a base stood there",
    "I9": "nothing unread lies before the watermark",
    "I10": "webhooks in any order, doubled or lost, lead to the same end",
    "I11": "shifted clocks lead to the same end",
    "I13": "the second organization is in order, and untouched",
    "I14": "a dry run writes nothing and shows what a real run does",
    "I15": "an undo gives back what a run wrote, and its undo again",
    "I12": "no intent and no line is left open",
    "I16": "the brake holds",
    "I17": "nothing is failed because of a limit",
    "I18": "one open question, closed when the sides agree",
    "I20": "every effect is in the ledger",
    "I22": "one record's trouble never ends a run",
    "I24": "two CRMs in either order lead to the same end",
    "I25": "everybody is linked or has a reason",
    "I28": "runs end",
    "transactions": "no remote call inside a transaction",
    "error": "no unexpected exception",
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument("--seeds", default="0:200", help="first:end, end not included")
    parser.add_argument("--seed", type=int, help="one seed only")
    parser.add_argument("--steps", help="of --seed, only the steps with these numbers: 0,1,5")
    parser.add_argument(
        "--trace", action="store_true", help="print the schedule of each failing seed (of --seed always)"
    )
    parser.add_argument("--shrink", action="store_true", help="drop steps of a failing seed while it fails alike")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="end with one JSON object on a line")
    parser.add_argument("--mutants", nargs="*", metavar="NAME", help="play engines with one known mistake each")
    parser.add_argument("--compare", action="store_true", help="play the seeds with two widely used ways too")
    parser.add_argument("--keep", action="store_true", help="with --mutants: store the killing seeds")
    options = parser.parse_args(arguments)
    if options.compare:
        return run_compare(_seeds(parser, options.seeds), options.jobs, as_json=options.json)
    if options.mutants is not None:
        return run_mutants(options.jobs, options.mutants, keep=options.keep, as_json=options.json)
    seeds = range(options.seed, options.seed + 1) if options.seed is not None else _seeds(parser, options.seeds)
    started = time.monotonic()
    if options.steps and options.seed is not None:
        results = [play_seed(options.seed, {int(number) for number in options.steps.split(",")})]
    else:
        results = list(_played(seeds, options.jobs))
    seconds = time.monotonic() - started
    failing = [result for result in results if result.violations]
    for result in failing[:60]:
        shown = shrink(result) if options.shrink else result
        _print_failure(shown, trace=options.trace or options.seed is not None)
    if options.seed is not None and options.trace and not failing:
        print("\n".join(results[0].trace))
    summary = _summary(results, seconds)
    _print_table(summary)
    if options.json:
        print(json.dumps(summary))
    return 0 if summary["ok"] else 1


def _seeds(parser: argparse.ArgumentParser, text: str) -> range:
    first, colon, end = text.partition(":")
    if not (colon and first.isdigit() and end.isdigit() and int(first) < int(end)):
        parser.error(f"--seeds: {text!r} is no range such as 0:200")
    return range(int(first), int(end))


def _played(seeds: range, jobs: int) -> Iterator[Result]:
    if jobs < 2:
        yield from map(play_seed, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(play_seed, seeds, chunksize=8)


def _summary(results: list[Result], seconds: float) -> dict[str, object]:
    broken = Counter(name for result in results for name in {name for name, _ in result.violations})
    faults, crashes, twins = Counter(), Counter(), Counter()
    for result in results:
        faults.update(result.figures.faults)
        crashes.update(result.figures.crashes)
        twins.update(result.figures.twins)
    short = [name for name in FAULTS if faults[name] < ENOUGH] + [
        name for name in CRASH_POINTS if crashes[name] < ENOUGH
    ]
    return {
        "ok": not broken,
        "coverage_short_of": short,
        "seeds": len(results),
        "steps": sum(len(result.steps) for result in results),
        "runs": sum(result.figures.runs for result in results),
        "units": sum(result.figures.units for result in results),
        "requests": sum(result.figures.calls for result in results),
        "edits": sum(result.edits for result in results),
        "contested_edits": sum(result.contested for result in results),
        "blind_window": sum(result.blind for result in results),
        "unknowable": sum(result.unknowable for result in results),
        "deeds_meanwhile": sum(result.figures.deeds_meanwhile for result in results),
        "overtaken": sum(result.figures.overtaken for result in results),
        "faults": dict(sorted(faults.items())),
        "crash_points": dict(sorted(crashes.items())),
        "twins": dict(sorted(twins.items())),
        "natures": dict(Counter(name for result in results for name in result.nature.split("+"))),
        "verdicts": {name: broken.get(name, 0) for name in INVARIANTS},
        "failing_seeds": [result.seed for result in results if result.violations],
        "seconds": round(seconds, 1),
        "seeds_per_second": round(len(results) / seconds, 1) if seconds else 0.0,
    }


def _print_failure(result: Result, *, trace: bool) -> None:
    numbers = ",".join(str(number) for number in result.steps)
    print(f"\n--seed {result.seed} --steps {numbers}  ({result.nature})")
    if trace:
        print("\n".join(result.trace))
    for name, text in result.violations[:12]:
        print(f"  {name}: {text}")


def _print_table(summary: dict[str, object]) -> None:
    print()
    for key, value in summary.items():
        if key not in {"verdicts", "ok", "failing_seeds", "coverage_short_of"}:
            print(f"{key:21} {value}")
    print(f"{'failing_seeds':21} {len(summary['failing_seeds'])} {summary['failing_seeds'][:20]}")
    print("\ninvariant     broken in seeds")
    for name, count in summary["verdicts"].items():
        print(f"  {name:13} {count:5}  {INVARIANTS[name]}")
    if summary["coverage_short_of"]:
        print(f"\ncoverage is short: less than {ENOUGH} times {', '.join(summary['coverage_short_of'])}")
    print("\nok" if summary["ok"] else "\nNOT OK")


if __name__ == "__main__":
    sys.exit(main())
