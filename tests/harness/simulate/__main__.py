"""``python -m tests.harness.simulate --seeds 0:200 [--jobs N] [--json]``, or ``--seed N [--trace]`` for one."""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.harness.simulate.schedule import Result, draw_steps, play
from tests.harness.simulate.shrink import shrink
from tests.harness.simulate.workers import Figures

INVARIANTS = {
    "I1": "convergence, or an explanation",
    "I2": "a quiet run writes nothing",
    "I4": "no lost edit",
    "I5": "no duplicates",
    "I6": "no resurrection",
    "I7": "no phantom write",
    "I12": "no intent and no line is left open",
    "I16": "the brake holds",
    "I18": "one open question, closed when the sides agree",
    "I20": "every effect is in the ledger",
    "I22": "one record's trouble never ends a run",
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
    options = parser.parse_args(arguments)
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


def play_seed(seed: int, numbers: set[int] | None = None) -> Result:
    steps = [step for step in draw_steps(seed) if numbers is None or step.number in numbers]
    try:
        return play(seed, steps)
    except Exception:  # noqa: BLE001 - whatever it is, it belongs to this seed
        text = traceback.format_exc()
        return Result(seed, tuple(step.number for step in steps), 0, 0, 0, 0, Figures(), [("error", text)], [], "")


def _summary(results: list[Result], seconds: float) -> dict[str, object]:
    broken = Counter(name for result in results for name in {name for name, _ in result.violations})
    faults, crashes = Counter(), Counter()
    for result in results:
        faults.update(result.figures.faults)
        crashes.update(result.figures.crashes)
    return {
        "ok": not broken,
        "seeds": len(results),
        "steps": sum(len(result.steps) for result in results),
        "runs": sum(result.figures.runs for result in results),
        "units": sum(result.figures.units for result in results),
        "requests": sum(result.figures.calls for result in results),
        "edits": sum(result.edits for result in results),
        "contested_edits": sum(result.contested for result in results),
        "blind_window": sum(result.blind for result in results),
        "unknowable_creations": sum(result.unknowable for result in results),
        "deeds_meanwhile": sum(result.figures.deeds_meanwhile for result in results),
        "overtaken": sum(result.figures.overtaken for result in results),
        "faults": dict(sorted(faults.items())),
        "crash_points": dict(sorted(crashes.items())),
        "natures": dict(Counter(result.nature for result in results)),
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
        if key not in {"verdicts", "ok", "failing_seeds"}:
            print(f"{key:21} {value}")
    print(f"{'failing_seeds':21} {len(summary['failing_seeds'])} {summary['failing_seeds'][:20]}")
    print("\ninvariant     broken in seeds")
    for name, count in summary["verdicts"].items():
        print(f"  {name:13} {count:5}  {INVARIANTS[name]}")
    print("\nok" if summary["ok"] else "\nNOT OK")


if __name__ == "__main__":
    sys.exit(main())
