"""``python -m tests.harness.simulate --seeds 0:200 [--jobs N] [--json]``, or ``--seed N [--trace]`` for one."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context

from tests.harness.binaries import ServicesError
from tests.harness.simulate.compare import run_compare
from tests.harness.simulate.difference import differences
from tests.harness.simulate.ground import MEMORY, Ground
from tests.harness.simulate.mutants import MUTANTS, SEEDS, known_killers
from tests.harness.simulate.mutate import run_mutants
from tests.harness.simulate.playing import play_seed
from tests.harness.simulate.schedule import Result
from tests.harness.simulate.shrink import shrink
from tests.harness.simulate.speed import run_speed
from tests.harness.simulate.table import print_table, summarize

DEFAULT = "0:200"
TOLD_EVERY_SECONDS = 10.0
SHOWN_FAILURES = 60


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error("--jobs: at least 1")
    if options.speed:
        return run_speed(as_json=options.json)
    if options.compare:
        return run_compare(_seeds(parser, options.seeds or DEFAULT), options.jobs, as_json=options.json)
    if options.mutants is not None:
        unknown = [name for name in options.mutants if name not in MUTANTS]
        if unknown:
            parser.error(f"--mutants: there is no {unknown[0]}; there are {', '.join(sorted(MUTANTS))}")
        if options.known:
            options.mutants = [name for name in options.mutants or MUTANTS if name in known_killers()]
        hunted = _seeds(parser, options.seeds) if options.seeds else range(SEEDS)
        return run_mutants(options.jobs, options.mutants, seeds=hunted, keep=options.keep, as_json=options.json)
    seeds = _seeds(parser, options.seeds or DEFAULT)
    if options.seed is not None:
        seeds = range(options.seed, options.seed + 1)
    try:
        with _ground(options.store) as ground:
            started = time.monotonic()
            if options.steps and options.seed is not None:
                results = [play_seed(options.seed, {int(number) for number in options.steps.split(",")}, ground)]
            else:
                results = list(_shown(_played(seeds, options.jobs, ground), len(seeds)))
            seconds = time.monotonic() - started
            _print_failures(results, options, ground)
    except ServicesError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    summary = summarize(results, seconds, options.store)
    print_table(summary)
    if options.json:
        print(json.dumps(summary))
    return 0 if summary["ok"] else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py simulate", description=__doc__)
    parser.add_argument("--seeds", help=f"first:end, end not included (0:200; for mutants 0:{SEEDS})")
    parser.add_argument("--seed", type=int, help="one seed only")
    parser.add_argument("--steps", help="of --seed, only the steps with these numbers: 0,1,5")
    parser.add_argument(
        "--trace", action="store_true", help="print the schedule of each failing seed (of --seed always)"
    )
    parser.add_argument("--shrink", action="store_true", help="drop steps of a failing seed while it fails alike")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--store", choices=("memory", "postgres"), default="memory", help="where the rows lie (memory)")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on a line")
    parser.add_argument("--mutants", nargs="*", metavar="NAME", help="play engines with one known mistake each")
    parser.add_argument("--keep", action="store_true", help="with --mutants: store the killing seeds")
    parser.add_argument("--known", action="store_true", help="with --mutants: only those with a known killing seed")
    parser.add_argument("--compare", action="store_true", help="play the seeds with two widely used ways too")
    parser.add_argument("--speed", action="store_true", help="measure the planner and the simulator")
    return parser


def _seeds(parser: argparse.ArgumentParser, text: str) -> range:
    first, colon, end = text.partition(":")
    if not (colon and first.isdigit() and end.isdigit() and int(first) < int(end)):
        parser.error(f"--seeds: {text!r} is no range such as 0:200")
    return range(int(first), int(end))


@contextmanager
def _ground(store: str) -> Iterator[Ground]:
    if store == "memory":
        yield MEMORY
        return
    from tests.harness.simulate.postgres_ground import opened

    with opened() as ground:
        yield ground


def _played(seeds: range, jobs: int, ground: Ground) -> Iterator[Result]:
    play = partial(play_seed, ground=ground)
    if jobs < 2:
        yield from map(play, seeds)
        return
    fresh = get_context("spawn")  # a ground may set up in each what must not be there yet
    with ProcessPoolExecutor(jobs, mp_context=fresh, initializer=ground.enter_process) as pool:
        yield from pool.map(play, seeds, chunksize=4)


def _shown(results: Iterator[Result], count: int) -> Iterator[Result]:
    """On the way: how far it is, and how long it takes yet. On a terminal in one line, else now and then a line."""
    begun = shown = time.monotonic()
    live, failing = sys.stderr.isatty(), 0
    for done, result in enumerate(results, 1):
        if result.violations:
            failing += 1
            told = "; ".join(sorted({name for name, _ in result.violations}))
            print(f"seed {result.seed} breaks {told}", file=sys.stderr, flush=True)
        elif count > 1:
            result.trace.clear()  # thousands of them would fill the memory
            result.end.clear()
        yield result
        now = time.monotonic()
        if now - shown > (1.0 if live else TOLD_EVERY_SECONDS) or (live and done == count):
            shown, left = now, (now - begun) / done * (count - done)
            told = f"{done} of {count} seeds, {failing} failing, {left:.0f} s left"
            print(f"\r{told}   " if live else told, end="" if live else "\n", file=sys.stderr, flush=True)


def _print_failures(results: list[Result], options: argparse.Namespace, ground: Ground) -> None:
    failing = [result for result in results if result.violations]
    for result in failing[:SHOWN_FAILURES]:
        shown = shrink(result, ground) if options.shrink else result
        _print_failure(shown, trace=options.trace or options.seed is not None)
    if options.seed is not None and options.trace and not failing:
        print("\n".join(results[0].trace))


def _print_failure(result: Result, *, trace: bool) -> None:
    numbers = ",".join(str(number) for number in result.steps)
    print(f"\n--seed {result.seed} --steps {numbers}  ({result.nature})")
    if trace:
        print("\n".join(result.trace))
    for name, text in result.violations[:12]:
        print(f"  {name}: {text}")
    if trace:
        print("\n".join(["  both sides at the end:", *(f"    {line}" for line in differences(result.end))]))


if __name__ == "__main__":
    sys.exit(main())
