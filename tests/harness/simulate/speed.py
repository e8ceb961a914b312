"""How fast the planner decides, and how many seeds a processor plays in a second, by the time of the processor."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime

from crm.engine.plan import plan_link
from crm.engine.rulebook import Rulebook
from crm.mapping.field_map import FieldMap
from crm.mapping.kinds import Kind
from crm.model import AppContact, BasePair, Direction, Link, LinkState, LinkView, Policy, RemoteRecord, Strategy, Value
from crm.testing.adversary import RECORD_TYPE
from tests.harness.simulate.playing import play_seed
from tests.harness.simulate.users import PAIRS

RECORDS_A_SECOND = 5000
SEEDS_A_SECOND = 10.0
RECORDS = 10_000
SEEDS = range(40)
BEST_OF = 3
"""Others use this machine as well."""

_VALUES: dict[str, Value] = {
    "firstName": "Ada", "lastName": "Lovelace", "email": "ada@x.example", "phone": "+31612345678", "company": "Engines",
    "custom.score": 12.5, "custom.active": True, "custom.tier": "gold", "tags": ("a", "b"), "emailOptOut": False,
}  # fmt: skip
_KINDS = {
    "firstName": Kind.NAME, "lastName": Kind.NAME, "email": Kind.EMAIL, "phone": Kind.PHONE,
    "custom.score": Kind.NUMBER, "custom.active": Kind.BOOLEAN, "tags": Kind.TAGS, "emailOptOut": Kind.BOOLEAN,
}  # fmt: skip


def planner_speed(count: int = RECORDS) -> float:
    """Records a second: ten fields each; of ten records seven are as they were, three differ in one or two fields."""
    book = _book()
    subjects = [_subject(number, book) for number in range(count)]
    seconds = []
    for _ in range(BEST_OF):
        begun = time.process_time()
        planned = sum(plan_link(view, record, book).action is not None for view, record in subjects)
        seconds.append(time.process_time() - begun)
        if planned != 3 * count // 10:
            raise RuntimeError(f"{planned} of {count} records have something to do, not three of ten")
    return count / min(seconds)


def simulator_speed(seeds: range = SEEDS) -> tuple[float, float]:
    """Seeds a second, and the steps of one on average."""
    results = [play_seed(seed) for seed in seeds]
    cpu = sum(result.cpu_seconds for result in results)
    return len(results) / cpu, sum(len(result.steps) for result in results) / len(results)


def run_speed(*, as_json: bool) -> int:
    """Print both with what is wanted; 1 when one is slower."""
    planner, (seeds, steps) = planner_speed(), simulator_speed()
    fast = planner >= RECORDS_A_SECOND and seeds >= SEEDS_A_SECOND
    print(f"planner    {planner:10,.0f} records a second (at least {RECORDS_A_SECOND:,})")
    print(f"simulator  {seeds:10.1f} seeds a second of {steps:.0f} steps on average (at least {SEEDS_A_SECOND:.0f})")
    if as_json:
        print(json.dumps({"ok": fast, "recordsPerSecond": round(planner), "seedsPerSecond": round(seeds, 1),
                          "stepsPerSeed": round(steps, 1)}))  # fmt: skip
    return 0 if fast else 1


def _book() -> Rulebook:
    maps = tuple(
        FieldMap(
            f"m-{remote_field}", app_field, remote_field, Direction.BIDIRECTIONAL,
            _KINDS.get(app_field, Kind.TEXT), _KINDS.get(app_field, Kind.TEXT),
            consent=app_field == "emailOptOut", region="NL" if app_field == "phone" else "",
        )
        for app_field, remote_field in PAIRS.items()
    )  # fmt: skip
    return Rulebook(RECORD_TYPE, maps, Policy(strategy=Strategy.MANUAL), "rules-1", "crm-deleted")


def _subject(number: int, book: Rulebook) -> tuple[LinkView, RemoteRecord]:
    contact_id, remote_id = f"c{number}", f"r{number}"
    values = {**_VALUES, "lastName": f"Lovelace {number}"}
    shown = {PAIRS[name]: value for name, value in values.items()}
    base = {
        field_map.mapping_id: BasePair(values[field_map.app_field], shown[field_map.remote_field], field_map.definition)
        for field_map in book.maps
    }
    link = Link(f"l{number}", contact_id, RECORD_TYPE, remote_id)
    link = replace(link, state=LinkState.LIVE, base=base, synced_version=1)
    match number % 10:
        case 7:
            values = {**values, "company": f"Looms {number}"}
        case 8:
            shown = {**shown, "firstname": "Augusta", "phone": "+31687654321"}
        case 9:
            values, shown = {**values, "firstName": "Augusta"}, {**shown, "firstname": "Ada Augusta"}
    at = datetime(2026, 1, 1, tzinfo=UTC)
    contact = AppContact(contact_id, 2, values)
    return LinkView(link, contact), RemoteRecord(RECORD_TYPE, remote_id, shown, modified_at=at)
