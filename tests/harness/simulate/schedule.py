"""A seed's schedule: steps with a seed of their own, so that dropping one leaves the others as they were."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from crm.model import RunKind, Side
from crm.testing.adversary import Faults
from tests.harness.simulate import users
from tests.harness.simulate.oracle import judge
from tests.harness.simulate.workers import AFTER_LEASE_SECONDS, Figures, Worker, approve_everything
from tests.harness.simulate.world import World

QUIET_ROUNDS = 8
_KINDS = ("deed", "run", "time", "hide", "answer", "approve", "massacre")
_WEIGHTS = (58, 26, 8, 3, 3, 2, 0.5)


@dataclass(frozen=True)
class Step:
    number: int
    kind: str
    seed: str


@dataclass
class Result:
    seed: int
    steps: tuple[int, ...]
    """Numbers of the steps taken."""
    edits: int
    contested: int
    blind: int
    """Edits in the blind window between our check read and our write."""
    unknowable: int
    """Records made again because the first one's creation had no answer and nobody could look: the account
    allows no marker and the keys did not tell, or a user had deleted the record."""
    figures: Figures
    violations: list[tuple[str, str]]
    trace: list[str]
    nature: str


def draw_steps(seed: int) -> tuple[Step, ...]:
    draw = random.Random(f"{seed}/steps")
    kinds = draw.choices(_KINDS, _WEIGHTS, k=draw.randint(12, 36))
    return tuple(Step(number, kind, f"{seed}/{number}") for number, kind in enumerate(["populate", "first", *kinds]))


def play(seed: int, steps: Sequence[Step]) -> Result:
    world, figures = World(seed), Figures()
    for step in steps:
        _take(world, step, figures)
        world.pass_time(random.Random(step.seed + "/pause").choice((0.0, 0.2, 3.0, 40.0, 400.0)))
    is_quiet = _quieten(world, figures)
    told = judge(world, is_quiet=is_quiet)
    numbers, nature = tuple(step.number for step in steps), world.nature.name
    return Result(
        seed,
        numbers,
        told.edits,
        told.contested,
        told.blind,
        told.unknowable,
        figures,
        world.violations,
        world.trace,
        nature,
    )


def _take(world: World, step: Step, figures: Figures) -> None:
    draw = random.Random(step.seed)
    match step.kind:
        case "populate":
            users.populate(world, draw)
        case "first":
            worker = Worker(world, draw, figures)
            worker.finish(worker.start(RunKind.FULL))
        case "deed":
            users.act(world, draw)
        case "run":
            _run(world, draw, figures)
        case "time":
            world.pass_time(draw.choice((10.0, 600.0, 4000.0, 90_000.0)))
        case "hide":
            name = draw.choice([field_map.remote_field for field_map in world.maps])
            world.crm.hidden ^= {name}
            world.say(f"field {name} is {'hidden' if name in world.crm.hidden else 'shown'}")
        case "answer":
            _answer(world, draw)
        case "approve":
            approve_everything(world, figures)
        case "massacre":
            _massacre(world, draw)


def _answer(world: World, draw: random.Random) -> None:
    rows = sorted(world.store.open_conflicts(), key=lambda row: row.conflict_id)
    if rows:
        row, side = draw.choice(rows), draw.choice((Side.APP, Side.CRM))
        world.store.answer_conflict(row.conflict_id, side)
        world.say(f"a person answers {row.draft.kind} {row.draft.mapping_id} of {row.link_id[:8]}: {side}")


def _massacre(world: World, draw: random.Random) -> None:
    for record in world.crm.live():
        if draw.random() < 0.9:
            world.crm.user_deletes(record.remote_id)
    world.say("a user deletes nearly all records")


def _run(world: World, draw: random.Random, figures: Figures) -> None:
    kind = draw.choice((RunKind.DELTA, RunKind.DELTA, RunKind.DELTA, RunKind.FULL, RunKind.MANUAL, RunKind.WEBHOOK))
    faults = Faults()
    if draw.random() < 0.6:
        faults = Faults(
            rate_limited=draw.choice((0.0, 0.05)),
            unavailable=draw.choice((0.0, 0.05)),
            lost_before=draw.choice((0.0, 0.1)),
            lost_after=draw.choice((0.0, 0.2)),
            item_lost=draw.choice((0.0, 0.1)),
            item_locked=draw.choice((0.0, 0.1)),
            batch_refused=draw.choice((0.0, 0.2)),
        )
    worker = Worker(
        world,
        draw,
        figures,
        crash_at=draw.randint(1, 70) if draw.random() < 0.4 else 0,
        faults=faults,
        meddling=draw.choice((0.0, 0.0, 0.05, 0.15)),
    )
    options = {}
    if kind is RunKind.MANUAL:
        contacts = sorted(contact.contact_id for contact in world.app.live())
        options["contact_ids"] = tuple(draw.sample(contacts, min(3, len(contacts))))
    if kind is RunKind.WEBHOOK:
        records = sorted(world.crm.records)
        options["remote_ids"] = tuple(draw.sample(records, min(3, len(records))))
    run_id = worker.start(kind, **options)
    if worker.finish(run_id) is None and draw.random() < 0.6:
        world.pass_time(AFTER_LEASE_SECONDS if draw.random() < 0.8 else 5.0)
        world.say(f"  another worker goes on with {run_id[:8]}")
        Worker(world, draw, figures, faults=faults).finish(run_id)


def _quieten(world: World, figures: Figures) -> bool:
    """No users, no faults: full runs until one writes nothing; then one more, which must not either."""
    world.say("quiet")
    world.crm.hidden.clear()
    for _ in range(QUIET_ROUNDS):
        world.pass_time(4000.0)
        before = _written(world)
        worker = Worker(world, random.Random(0), figures)
        worker.finish(worker.start(RunKind.FULL))
        world.pass_time(200.0)
        approved = approve_everything(world, figures)
        if _written(world) == before and not approved:
            break
    else:
        world.accuse("I2", f"still writing after {QUIET_ROUNDS} quiet rounds")
        return False
    world.pass_time(4000.0)
    before = _written(world)
    worker = Worker(world, random.Random(0), figures)
    worker.finish(worker.start(RunKind.FULL))
    if _written(world) != before:
        world.accuse("I2", f"a quiet run wrote: {before} became {_written(world)}")
    return True


def _written(world: World) -> dict[str, int]:
    return {
        "crm": sum(entry.by == "us" for entry in world.crm.journal),
        "app": sum(change.origin == world.store.name for change in world.app.changes.values()),
        "ledger": len(world.store.ledger()),
        "conflicts": len(world.store.state.conflicts),
    }
