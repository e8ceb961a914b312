"""A seed's schedule: steps with a seed of their own, so that dropping one leaves the others as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crm.model import LinkState, RunKind, Side, Strategy
from crm.testing.adversary import Faults
from tests.harness.simulate import users
from tests.harness.simulate.ground import MEMORY, Ground
from tests.harness.simulate.oracle import judge
from tests.harness.simulate.twins import check_twins
from tests.harness.simulate.workers import (
    AFTER_LEASE_SECONDS,
    CRASH_POINTS,
    CRASH_WEIGHTS,
    Figures,
    Worker,
    approve_everything,
)
from tests.harness.simulate.world import Account, World

QUIET_ROUNDS = 8
NEIGHBOUR = "Zz"
"""Stands in every name that people of the second organization enter."""
_KINDS = ("deed", "run", "time", "hide", "answer", "approve", "neighbour", "massacre")
_WEIGHTS = (58, 26, 8, 3, 3, 2, 5, 0.5)


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
    blind: list[tuple[str, float]]
    """Edits in the blind window between our check read and our write: field, and how long that was in seconds."""
    unknowable: int
    """What no engine could know. Records made again because the first one's creation had no answer and nobody
    could look: the account allows no marker and the keys did not tell, or a user had deleted the record. And
    edits to the very value that a write with a lost answer had sent."""
    figures: Figures
    violations: list[tuple[str, str]]
    trace: list[str]
    nature: str
    end: dict[str, object]
    """What people see on both sides in the end."""
    cpu_seconds: float = 0.0


def draw_steps(seed: int) -> tuple[Step, ...]:
    draw = random.Random(f"{seed}/steps")
    kinds = draw.choices(_KINDS, _WEIGHTS, k=draw.randint(12, 36))
    return tuple(Step(number, kind, f"{seed}/{number}") for number, kind in enumerate(["populate", "first", *kinds]))


def play(
    seed: int,
    steps: Sequence[Step],
    *,
    clock_offset_seconds: float = 0.0,
    twins: bool = True,
    ground: Ground = MEMORY,
) -> Result:
    """Play the steps and judge the end. ``twins``: also what takes forks of the world, or the seed once more."""
    world, figures = World(seed, clock_offset_seconds=clock_offset_seconds, ground=ground), Figures()
    neighbour = World(
        seed, stamp=NEIGHBOUR, organization_id="00000000-0000-7000-8000-0000000000bb", clock=world.clock,
        trace=world.trace, ground=ground,
    )  # fmt: skip
    draw = random.Random(f"{seed}/twins")
    twin_at = draw.randrange(1, 30) if twins else -1
    for step in steps:
        if step.number == twin_at:
            figures.twins[check_twins(world, draw)] += 1
        take_step(world, neighbour, step, figures)
        world.pass_time(pause_after(step))
    is_quiet = _quieten(world, figures)
    if is_quiet:
        _redeliver(world, figures)
    told = judge(world, is_quiet=is_quiet)
    _judge_neighbour(world, neighbour)
    result = Result(
        seed=seed,
        steps=tuple(step.number for step in steps),
        edits=told.edits,
        contested=told.contested,
        blind=told.blind,
        unknowable=told.unknowable,
        figures=figures,
        violations=world.violations,
        trace=world.trace,
        nature="+".join(account.nature.name for account in world.accounts),
        end=end_of(world),
    )
    if twins and _time_decides_nothing(world) and draw.random() < 0.25:
        figures.twins["I11"] += 1
        shifted = play(seed, steps, clock_offset_seconds=draw.choice((-7200.0, 7200.0)), twins=False, ground=ground)
        _compare_clocks(world, result, shifted)
    return result


def end_of(world: World) -> dict[str, object]:
    """Everything that people can see on both sides."""
    seen: dict[str, object] = {
        contact_id[:8]: (row.contact.state, dict(row.contact.values)) for contact_id, row in world.app.rows.items()
    }
    for account in world.accounts:
        for record in account.crm.records.values():
            seen[f"{account.name}:{record.remote_id}"] = (record.state, dict(record.values))
        for link in account.store.links():
            seen[f"{account.name}:{link.link_id[:8]}"] = (link.contact_id[:8], link.remote_id, link.state)
    return seen


def _time_decides_nothing(world: World) -> bool:
    chosen = {account.book.policy.strategy for account in world.accounts}
    chosen |= {field_map.strategy for account in world.accounts for field_map in account.maps}
    return Strategy.NEWEST_WINS not in chosen


def _compare_clocks(world: World, result: Result, shifted: Result) -> None:
    """I11: with the CRMs' clocks two hours off everything comes to the same end."""
    keys = result.end.keys() | shifted.end.keys()
    for key in sorted(key for key in keys if result.end.get(key) != shifted.end.get(key))[:3]:
        world.accuse("I11", f"{key[:13]}: {result.end.get(key)}, with shifted clocks {shifted.end.get(key)}")


def pause_after(step: Step) -> float:
    """Seconds."""
    return random.Random(step.seed + "/pause").choice((0.0, 0.2, 3.0, 40.0, 400.0))


def take_step(world: World, neighbour: World | None, step: Step, figures: Figures) -> None:
    """``neighbour``: the second organization, where there is one."""
    draw = random.Random(step.seed)
    match step.kind:
        case "populate" | "first" | "neighbour":
            _take_shared(world, neighbour, step.kind, draw, figures)
        case "deed":
            users.act(world, draw)
        case "run":
            _run(draw.choice(world.accounts), draw, figures)
        case "time":
            world.pass_time(draw.choice((10.0, 600.0, 4000.0, 90_000.0)))
        case "hide":
            _hide(draw.choice(world.accounts), draw)
        case "answer":
            _answer(draw.choice(world.accounts), draw)
        case "approve":
            for account in world.accounts:
                approve_everything(account, figures)
        case "massacre":
            _massacre(draw.choice(world.accounts), draw)


def _take_shared(world: World, neighbour: World | None, kind: str, draw: random.Random, figures: Figures) -> None:
    """Steps in which the second organization takes part."""
    worlds = [world, neighbour] if neighbour is not None else [world]
    if kind == "populate":
        for each in worlds:
            users.populate(each, draw)
    elif kind == "first":
        for each in worlds:
            each.begun = each.app.now()
        for account in (account for each in worlds for account in each.accounts):
            worker = Worker(account, draw, figures)
            worker.finish(worker.start(RunKind.FULL))
    elif neighbour is not None:
        users.act(neighbour, draw)
        _run(neighbour.accounts[0], draw, Figures())


def _hide(account: Account, draw: random.Random) -> None:
    name = draw.choice([field_map.remote_field for field_map in account.maps])
    if name in account.crm.hidden:
        account.show([name])
    else:
        account.hide(name)
    account.world.say(f"{account.name}: field {name} is {'hidden' if name in account.crm.hidden else 'shown'}")


def _answer(account: Account, draw: random.Random) -> None:
    rows = sorted(account.store.open_conflicts(), key=lambda row: row.conflict_id)
    if rows:
        row, side = draw.choice(rows), draw.choice((Side.APP, Side.CRM))
        account.store.answer_conflict(row.conflict_id, side)
        account.world.say(f"a person answers {row.draft.kind} {row.draft.mapping_id} of {row.link_id[:8]}: {side}")


def _massacre(account: Account, draw: random.Random) -> None:
    for record in account.crm.live():
        if draw.random() < 0.9:
            account.crm.user_deletes(record.remote_id)
    account.world.say(f"a user deletes nearly all records of {account.name}")


def _run(account: Account, draw: random.Random, figures: Figures) -> None:
    world = account.world
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
    crash_at, crash_point = draw.randint(1, 70) if draw.random() < 0.3 else 0, ""
    if not crash_at and draw.random() < 0.3:
        crash_at, crash_point = draw.choice((1, 1, 2)), draw.choices(CRASH_POINTS, CRASH_WEIGHTS)[0]
        verb = crash_point.partition("/")[0]
        users.give_cause(account, draw, verb)
        if verb == "find_by_markers":
            _lose_a_create(account, draw, figures)
    elif faults.lost_after or faults.item_lost:
        users.give_cause(account, draw, draw.choice(("create", "update", "")))
    worker = Worker(
        account,
        draw,
        figures,
        crash_at=crash_at,
        crash_point=crash_point,
        faults=faults,
        meddling=draw.choice((0.0, 0.0, 0.05, 0.15)),
    )
    options = {}
    if kind is RunKind.MANUAL:
        contacts = sorted(contact.contact_id for contact in world.app.live())
        options["contact_ids"] = tuple(draw.sample(contacts, min(3, len(contacts))))
    if kind is RunKind.WEBHOOK:
        records = sorted(account.crm.records)
        chosen = draw.sample(records, min(3, len(records)))
        options["remote_ids"] = tuple(chosen)
    run_id = worker.start(kind, **options)
    if worker.finish(run_id) is None and draw.random() < 0.6:
        world.pass_time(AFTER_LEASE_SECONDS if draw.random() < 0.8 else 5.0)
        world.say(f"  another worker goes on with {run_id[:8]}")
        Worker(account, draw, figures, faults=faults, heir_of=worker).finish(run_id)


def _lose_a_create(account: Account, draw: random.Random, figures: Figures) -> None:
    """A worker that dies with the answer to a create: only then is somebody looked up by our marker."""
    worker = Worker(account, random.Random(draw.random()), figures, crash_at=1, crash_point="create/done")
    worker.finish(worker.start(RunKind.DELTA))
    account.world.pass_time(AFTER_LEASE_SECONDS)


def _quieten(world: World, figures: Figures) -> bool:
    """No users, no faults: full runs until a round writes nothing; then one more, which must not either."""
    world.say("quiet")
    for account in world.accounts:
        account.show(list(account.crm.hidden))
    for _ in range(QUIET_ROUNDS * len(world.accounts)):
        before = (_written(world), _standing(world))
        approved = full_round(world, figures)
        if (_written(world), _standing(world)) == before and not approved:
            break
    else:
        world.accuse("I2", f"still writing after {QUIET_ROUNDS * len(world.accounts)} quiet rounds")
        return False
    before = _written(world)
    full_round(world, figures)
    if _written(world) != before:
        world.accuse("I2", f"a quiet run wrote: {before} became {_written(world)}")
    return True


def full_round(world: World, figures: Figures) -> bool:
    """A full run of each account; True when a person approved something afterwards."""
    world.pass_time(4000.0)
    approved = []
    for account in world.accounts:
        worker = Worker(account, random.Random(0), figures)
        worker.finish(worker.start(RunKind.FULL))
        world.pass_time(200.0)
        approved.append(approve_everything(account, figures))
    return any(approved)


def _redeliver(world: World, figures: Figures) -> None:
    """I3: word of every record twice, every linked contact once more, and a delta change nothing."""
    before = _written(world)
    for account in world.accounts:
        links = account.store.links()  # a person's run tries again what has failed too often
        contacts = tuple(link.contact_id for link in links if link.state is LinkState.LIVE and not link.error_code)
        records = tuple(sorted(account.crm.records))
        worker = Worker(account, random.Random(0), figures)
        for _ in range(2):
            worker.finish(worker.start(RunKind.WEBHOOK, remote_ids=records))
        worker.finish(worker.start(RunKind.MANUAL, contact_ids=contacts))
        worker.finish(worker.start(RunKind.DELTA))
    if _written(world) != before:
        world.accuse("I3", f"what was delivered again wrote: {before} became {_written(world)}")


def _judge_neighbour(world: World, neighbour: World) -> None:
    """I13: the second organization is in order as well, and neither holds a word of the other."""
    if _quieten(neighbour, Figures()):
        judge(neighbour, is_quiet=True)
    for name, text in neighbour.violations:
        world.accuse("I13", f"second organization: {name} {text}")
    for name, value in _texts(world):
        if NEIGHBOUR in value:
            world.accuse("I13", f"{name} holds {value!r} of the second organization")
    for name, value in _texts(neighbour):
        if name.endswith("lastname") and NEIGHBOUR.casefold() not in value.casefold():
            world.accuse("I13", f"{name} of the second organization holds {value!r} of the first")


def _texts(world: World) -> Iterator[tuple[str, str]]:
    for row in world.app.rows.values():
        for name, value in row.contact.values.items():
            if isinstance(value, str):
                yield f"{row.contact.contact_id[:8]} {name.lower()}", value
    for account in world.accounts:
        for record in account.crm.records.values():
            for name, value in record.values.items():
                if isinstance(value, str):
                    yield f"{account.name}:{record.remote_id} {name}", value


def _standing(world: World) -> list[list[tuple[object, ...]]]:
    return [account.standing() for account in world.accounts]


def _written(world: World) -> list[dict[str, int]]:
    return [account.written() for account in world.accounts]
