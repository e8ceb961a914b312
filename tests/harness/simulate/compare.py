"""The same schedules through ours and through two widely used ways: what each of them loses."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from crm.model import Side
from tests.harness.simulate import schedule, workers
from tests.harness.simulate.baselines import EchoWindow, NewestWins
from tests.harness.simulate.evidence import Evidence
from tests.harness.simulate.mutants import Patch
from tests.harness.simulate.oracle import judge
from tests.harness.simulate.workers import Figures
from tests.harness.simulate.world import World

ENGINES = {"adsapp": None, "record_newest_wins": NewestWins, "echo_window_60s": EchoWindow}
SHOWN = ("user_edits", "contested_edits", "lost_edits", "blind_window", "duplicates", "resurrections", "loops")
ROUNDS = 8


def measure(arguments: tuple[str, int]) -> Counter[str]:
    """One seed through one engine. A schedule's users see each engine's own results, so the edits differ a little."""
    name, seed = arguments
    engine, patch, figures = ENGINES[name], Patch(), Figures()
    if engine is not None:
        patch.set(schedule, "Worker", engine)
        patch.set(workers, "Worker", engine)
        patch.set(schedule, "approve_everything", lambda _account, _figures: False)
    try:
        world = World(seed, accounts_wanted=1)
        for step in schedule.draw_steps(seed):
            if step.kind not in ("neighbour", "answer", "massacre"):
                schedule.take_step(world, None, step, figures)
            world.pass_time(schedule.pause_after(step))
        loops = _loops(world, figures)
    finally:
        patch.undo()
    told = judge(world, is_quiet=False)
    broken = Counter(invariant for invariant, _ in world.violations)
    return Counter(
        user_edits=told.edits, contested_edits=sum(_contested(Evidence(account)) for account in world.accounts),
        lost_edits=broken["I4"], blind_window=len(told.blind), duplicates=broken["I5"], resurrections=broken["I6"],
        loops=loops,
    )  # fmt: skip


def _contested(case: Evidence) -> int:
    """Edits of people in fields that people edited on both sides after the pair was made."""
    count = 0
    for group, side, mapping_id in case.timeline:
        if side is Side.APP:
            here = [event for event in case.timeline[group, Side.APP, mapping_id] if event.by == "user"]
            there = [event for event in case.timeline.get((group, Side.CRM, mapping_id), ()) if event.by == "user"]
            if here and there:
                count += len(here) + len(there)
    return count


def _loops(world: World, figures: Figures) -> int:
    """Fields that the engine still writes after all those rounds without any user."""
    for account in world.accounts:
        account.crm.hidden.clear()
    marks: list[int] = []
    for _ in range(ROUNDS):
        marks = [len(account.crm.journal) for account in world.accounts]
        changes = len(world.app.changes)
        schedule.full_round(world, figures)
    written = {
        (account.name, entry.remote_id, entry.field)
        for account, mark in zip(world.accounts, marks, strict=True)
        for entry in account.crm.journal[mark:]
        if entry.by == "us"
    }
    return len(written) + len(world.app.changes) - changes


def run_compare(seeds: Sequence[int], jobs: int, *, as_json: bool) -> int:
    begun, totals = time.monotonic(), {}
    with ProcessPoolExecutor(jobs) as pool:
        for name in ENGINES:
            totals[name] = sum(pool.map(measure, [(name, seed) for seed in seeds], chunksize=8), Counter())
            print(f"{name}: {len(seeds)} seeds", file=sys.stderr)
    print(f"{'per 1,000 contested edits':28}" + "".join(f"{name:>22}" for name in ENGINES))
    table = {}
    for figure in SHOWN:
        if figure in ("user_edits", "contested_edits"):
            row = {name: totals[name][figure] for name in ENGINES}
        else:
            contested = {name: max(1, totals[name]["contested_edits"]) for name in ENGINES}
            row = {name: round(1000 * totals[name][figure] / contested[name], 2) for name in ENGINES}
        table[figure] = row
        print(f"{figure:28}" + "".join(f"{row[name]:>22}" for name in ENGINES))
    if as_json:
        counts = {name: {figure: totals[name][figure] for figure in SHOWN} for name in ENGINES}
        seconds = round(time.monotonic() - begun, 1)
        print(json.dumps({"seeds": len(seeds), "per_thousand": table, "counts": counts, "seconds": seconds}))
    return 0
