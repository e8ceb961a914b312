"""Which seed kills which mutant: known ones are replayed, others looked for."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial

from tests.harness.simulate.mutants import KILLERS, MUTANTS, SEEDS, known_killers
from tests.harness.simulate.playing import play_seed


@dataclass(frozen=True)
class Verdict:
    mutant: str
    killed: bool
    seed: int | None
    invariant: str
    seeds_played: int
    seconds: float


def hunt(name: str, seeds: Sequence[int]) -> Verdict:
    """Play the seeds with the mutant until one kills it: one that the real engine passes."""
    mutant, begun = MUTANTS[name], time.monotonic()
    for played, seed in enumerate(seeds, 1):
        with mutant.alive():
            broken = [invariant for invariant, _ in play_seed(seed).violations]
        kills = next((invariant for invariant in mutant.breaks if invariant in broken), "")
        if kills and not play_seed(seed).violations:
            return Verdict(name, True, seed, kills, played, round(time.monotonic() - begun, 2))
    return Verdict(name, False, None, "", len(seeds), round(time.monotonic() - begun, 2))


def hunt_known(name: str, seeds: Sequence[int] = range(SEEDS)) -> Verdict:
    """The known killing seed first; where there is none, or it kills no longer, all of ``seeds``."""
    known = known_killers().get(name)
    if known is not None:
        verdict = hunt(name, [known[0]])
        if verdict.killed:
            return verdict
    return hunt(name, seeds)


def hunt_all(jobs: int, names: Sequence[str], seeds: Sequence[int]) -> Iterator[Verdict]:
    chosen, one = list(names or MUTANTS), partial(hunt_known, seeds=seeds)
    if jobs < 2:
        yield from map(one, chosen)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(one, chosen)


def run_mutants(
    jobs: int, names: Sequence[str], *, seeds: Sequence[int] = range(SEEDS), keep: bool = False, as_json: bool = False
) -> int:
    """Print who was killed by what; with ``keep`` the killing seeds are stored. 1 when one survives unexplained."""
    begun, verdicts = time.monotonic(), []
    print(f"{'mutant':34} {'killed by':10} {'at seed':>7}  {'seeds':>5}  {'s':>6}")
    for verdict in hunt_all(jobs, names, seeds):
        verdicts.append(verdict)
        mutant = MUTANTS[verdict.mutant]
        outcome = verdict.invariant if verdict.killed else ("equivalent" if mutant.equivalent else "SURVIVES")
        seed = "" if verdict.seed is None else str(verdict.seed)
        print(
            f"{verdict.mutant:34} {outcome:10} {seed:>7}  {verdict.seeds_played:>5}  {verdict.seconds:>6}",
            mutant.says,
        )
        if mutant.equivalent:
            print(f"{'':34} {mutant.equivalent}")
        sys.stdout.flush()
    alive = [each.mutant for each in verdicts if not each.killed and not MUTANTS[each.mutant].equivalent]
    killed = sum(each.killed for each in verdicts)
    seconds = round(time.monotonic() - begun, 1)
    print(f"\n{killed} of {len(verdicts)} killed in {seconds} s" + (f"; alive: {', '.join(alive)}" if alive else ""))
    if keep:
        found = {name: list(entry) for name, entry in known_killers().items()}
        found.update({each.mutant: [each.seed, each.invariant] for each in verdicts if each.seed is not None})
        KILLERS.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n", encoding="utf-8")
    if as_json:
        print(json.dumps({"ok": not alive, "killed": killed, "mutants": [asdict(each) for each in verdicts],
                          "seconds": seconds}))  # fmt: skip
    return 1 if alive else 0
