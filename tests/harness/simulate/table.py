"""What many seeds came to: how much was exercised, the verdict of every invariant, and what nobody could have seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tests.harness.simulate.schedule import Result
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
    "I12": "no intent and no line is left open",
    "I13": "the second organization is in order, and untouched",
    "I14": "a dry run writes nothing and shows what a real run does",
    "I15": "an undo gives back what a run wrote, and its undo again",
    "I16": "the brake holds",
    "I17": "nothing is failed because of a limit",
    "I18": "one open question, closed when the sides agree",
    "I20": "every effect is in the ledger",
    "I22": "one record's trouble never ends a run",
    "I23": "what was hidden is never taken for blank",
    "I24": "two CRMs in either order lead to the same end",
    "I25": "everybody is linked or has a reason",
    "I27": "who lost the lease commits nothing",
    "I28": "runs end",
    "transactions": "no remote call inside a transaction",
    "error": "no unexpected exception",
}
ELSEWHERE = {
    "I19": "transform laws: tests/crm/mapping, by Hypothesis",
    "I21": "symmetry: tests/crm/engine/test_decide.py, all cases",
    "I26": "no secret anywhere: python3 dev.py attack",
}
"""Invariants that no schedule is needed for, and what holds them."""
_LISTED = 20


def summarize(results: Sequence[Result], seconds: float, store: str) -> dict[str, Any]:
    broken = Counter(name for result in results for name in {name for name, _ in result.violations})
    faults, crashes, twins = Counter(), Counter(), Counter()
    for result in results:
        faults.update(result.figures.faults)
        crashes.update(result.figures.crashes)
        twins.update(result.figures.twins)
    return {
        "ok": not broken,
        "store": store,
        "seeds": len(results),
        "steps": sum(len(result.steps) for result in results),
        "runs": sum(result.figures.runs for result in results),
        "units": sum(result.figures.units for result in results),
        "requests": sum(result.figures.calls for result in results),
        "edits": sum(result.edits for result in results),
        "contested_edits": sum(result.contested for result in results),
        "blind_window": sum(len(result.blind) for result in results),
        "unknowable": sum(result.unknowable for result in results),
        "deeds_meanwhile": sum(result.figures.deeds_meanwhile for result in results),
        "overtaken": sum(result.figures.overtaken for result in results),
        "stopped_past_lease": sum(result.figures.stopped for result in results),
        "faults": dict(sorted(faults.items())),
        "crash_points": dict(sorted(crashes.items())),
        "twins": dict(sorted(twins.items())),
        "natures": dict(Counter(name for result in results for name in result.nature.split("+"))),
        "coverage_short_of": short_of(faults, crashes),
        "verdicts": {name: broken.get(name, 0) for name in INVARIANTS},
        "judged_elsewhere": ELSEWHERE,
        "blind_windows": [
            {"seed": result.seed, "field": name, "seconds": seconds}
            for result in results for name, seconds in result.blind
        ],
        "failing_seeds": [result.seed for result in results if result.violations],
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu := sum(result.cpu_seconds for result in results), 1),
        "seeds_per_cpu_second": round(len(results) / cpu, 1) if cpu else 0.0,
    }  # fmt: skip


def short_of(faults: Mapping[str, int], crashes: Mapping[str, int]) -> dict[str, int]:
    """Kinds of faults and crash points that came too seldom to say much, with how often they came."""
    drawn = {**{name: faults.get(name, 0) for name in FAULTS}, **{name: crashes.get(name, 0) for name in CRASH_POINTS}}
    return {name: count for name, count in drawn.items() if count < ENOUGH}


def print_table(summary: Mapping[str, Any]) -> None:
    print()
    for key, value in summary.items():
        if not isinstance(value, dict | list) and key != "ok":
            print(f"{key:21} {value}")
    for key, title in (("faults", "fault drawn"), ("crash_points", "crash point hit"), ("twins", "twin worlds"),
                       ("natures", "CRM")):  # fmt: skip
        print(f"\n{title:25} times")
        for name, count in summary[key].items():
            print(f"  {name:23} {count:5}")
    print("\ninvariant  broken in seeds")
    for name, count in summary["verdicts"].items():
        print(f"  {name:13} {count or 'holds':>5}  {INVARIANTS[name]}")
    for name, what in summary["judged_elsewhere"].items():
        print(f"  {name:13} {'-':>5}  {what}")
    print(f"\n{_told_blind(summary['blind_windows'])}")
    if summary["failing_seeds"]:
        print(f"failing seeds: {len(summary['failing_seeds'])}, {summary['failing_seeds'][:_LISTED]}")
    if summary["coverage_short_of"]:
        told = ", ".join(f"{name} ({count})" for name, count in summary["coverage_short_of"].items())
        print(f"coverage is short: less than {ENOUGH} times {told}")
    else:
        print(f"coverage is complete: every fault and every crash point at least {ENOUGH} times")
    print("ok" if summary["ok"] else "NOT OK")


def _told_blind(windows: Sequence[Mapping[str, Any]]) -> str:
    """Edits between our check read and our write, each with the seconds that lay between the two."""
    if not windows:
        return "edits lost in a blind window: none"
    lengths = sorted(each["seconds"] for each in windows)
    span = f"{lengths[0]} s to {lengths[-1]} s, half of them within {lengths[len(lengths) // 2]} s"
    lines = [f"edits lost in a blind window: {len(windows)}; from our check read to our write {span}"]
    lines += [f"  seed {each['seed']:6}  {each['field']:12} {each['seconds']:7.3f} s" for each in windows[:_LISTED]]
    if len(windows) > _LISTED:
        lines.append(f"  and {len(windows) - _LISTED} more (--json lists all)")
    return "\n".join(lines)
