"""What must not depend on how it came about: two forks of one drawn state of a seed, and their ends side by side."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from crm.engine.undo import NotUndoable, read_undo, store_undo
from crm.model import Action, ActionKind, LedgerEntry, LineStatus, Rule, RunKind, Side, Value
from tests.harness.simulate.evidence import Groups
from tests.harness.simulate.workers import AFTER_LEASE_SECONDS, Figures, Worker, approve_everything
from tests.harness.simulate.world import Account, World

QUIET_ROUNDS = 10


def check_twins(world: World, draw: random.Random) -> str:
    """One of the checks, on forks of the world as it is now; returns which. Faults lie with ``world``."""
    checks: list[Callable[[World, random.Random], None]] = [check_dry_run, check_undo, check_webhooks]
    if len(world.accounts) > 1:
        checks += [check_order] * 3
    check = draw.choice(checks)
    accused = len(world.violations)
    check(world, draw)
    for number, twin in enumerate(world.forks if len(world.violations) > accused else (), 1):
        world.say(f"fork {number} of {check.__name__}:")
        world.trace.extend(f"  |{line}" for line in twin.trace)
    world.forks.clear()
    return _NAMES[check.__name__]


_NAMES = {"check_dry_run": "I14", "check_undo": "I15", "check_webhooks": "I10", "check_order": "I24"}


def run_alone(account: Account, kind: RunKind, **options) -> str:
    """A whole run without faults."""
    worker = Worker(account, random.Random(0), Figures())
    run_id = worker.start(kind, **options)
    worker.finish(run_id)
    return run_id


def settle_down(world: World, accounts: Sequence[Account] = ()) -> bool:
    """Full runs over all accounts, in this order, until a round writes nothing; False when none does."""
    accounts = accounts or world.accounts
    for _ in range(QUIET_ROUNDS):
        before = [(account.written(), account.standing()) for account in accounts]
        world.pass_time(4000.0)
        for account in accounts:
            run_alone(account, RunKind.FULL)
            world.pass_time(200.0)
        approved = [approve_everything(account, Figures()) for account in accounts]
        if [(account.written(), account.standing()) for account in accounts] == before and not any(approved):
            return True
    return False


# I14


def check_dry_run(world: World, draw: random.Random) -> None:
    """A dry run writes nothing to either side, and a real run on the same state does what it showed."""
    index = draw.randrange(len(world.accounts))
    with world.fork() as twin:
        twin.pass_time(AFTER_LEASE_SECONDS)  # what a dead worker has claimed may be shown, and is left alone
        shown = twin.accounts[index]
        before = shown.written()
        dry_id = run_alone(shown, RunKind.FULL, dry_run=True)
        after = shown.written()
        if (before["crm"], before["app"]) != (after["crm"], after["app"]):
            world.accuse("I14", f"a dry run wrote: {before} became {after}")
        planned, creating = _plan(shown, dry_id), {row.line.action.contact_id for row in _rows(shown, dry_id)}
    with world.fork() as twin:
        twin.pass_time(AFTER_LEASE_SECONDS)
        _judge_real_run(world, twin.accounts[index], planned, creating)


def _judge_real_run(world: World, real: Account, planned: Counter[tuple], creating: set[str]) -> None:
    run_id = run_alone(real, RunKind.FULL)
    carried = _plan(real, run_id)
    missing = planned - carried
    if missing:
        world.accuse("I14", f"shown by the dry run, not planned by the real one: {_short(missing)}")
    extra = [line for line in carried - planned if line[1] not in creating]
    if extra:
        world.accuse("I14", f"planned by the real run, not shown by the dry one: {_short(extra)}")
    allowed = {
        (row.line.action.link_id, effect.mapping_id, effect.side, repr(effect.after))
        for row in _rows(real, run_id)
        for effect in row.line.action.effects
    }
    for entry in _ledger(real, run_id):
        for effect in entry.action.effects:
            if effect.side and (entry.link_id, effect.mapping_id, effect.side, repr(effect.after)) not in allowed:
                world.accuse(
                    "I14", f"{entry.link_id[:8]} {effect.mapping_id} got {effect.after!r}, which was not planned"
                )
    outcomes = {row.line.status for row in _rows(real, run_id)}
    if outcomes & {LineStatus.PLANNED, LineStatus.DROPPED}:
        world.accuse("I14", f"lines of the real run ended as {sorted(outcomes)}")


def _rows(account: Account, run_id: str):
    plan_id = account.store.run(run_id).plan_id
    return [row for row in account.store.state.lines.values() if row.plan_id == plan_id]


def _plan(account: Account, run_id: str) -> Counter[tuple]:
    """The lines of a run without what is new in each of them (ids of contacts and links to be made)."""
    return Counter(_line(row.line.action) for row in _rows(account, run_id))


def _line(action: Action) -> tuple:
    made = action.kind is ActionKind.CREATE_IN_APP
    effects = tuple((effect.mapping_id, effect.side, repr(effect.after), effect.rule) for effect in action.effects)
    questions = tuple((draft.kind, draft.mapping_id) for draft in action.conflicts)
    return (action.kind, "" if made else action.contact_id, action.remote_id, action.code, effects, questions)


def _ledger(account: Account, run_id: str) -> list[LedgerEntry]:
    """What the run itself did; it also notes what became of writes that earlier ones left open."""
    earlier = {intent.intent_id for intent in account.store.intents() if intent.run_id != run_id}
    return [
        entry for owner, entry in account.store.state.ledger.values()
        if owner == run_id and entry.intent_id not in earlier
    ]  # fmt: skip


# I15


def check_undo(world: World, draw: random.Random) -> None:
    """A run, its undo, and the undo of that: values go there and back, and no later run moves them."""
    with world.fork() as twin:
        _undo_and_undo(world, twin, draw)


def _undo_and_undo(world: World, twin: World, draw: random.Random) -> None:
    account = draw.choice(twin.accounts)
    account.crm.hidden.clear()
    run_id = run_alone(account, RunKind.FULL)
    if not any(entry.action.effects for entry in _ledger(account, run_id)):
        return
    if not settle_down(twin, [account]):
        return  # told by I2
    done = _values(account, run_id)
    undo_id, kept = _undo(account, run_id)
    for key, value in _values(account, run_id).items():
        wanted = _before(account, run_id)[key]
        if not _is_kept(account, kept, key) and not _same(account, key[2], value, wanted):
            world.accuse("I15", f"{_where(key)}: the undo left {value!r}, {wanted!r} stood there before the run")
    before = account.written()
    twin.pass_time(4000.0)
    run_alone(account, RunKind.FULL)
    after = account.written()
    if (before["crm"], before["app"]) != (after["crm"], after["app"]):
        world.accuse("I15", f"the run after an undo wrote: {before} became {after}")
    undone = _values(account, run_id)
    _, kept_again = _undo(account, undo_id)
    touched = {(entry.link_id, effect.side, effect.mapping_id) for entry in _ledger(account, undo_id)
               for effect in entry.action.effects if effect.side}  # fmt: skip
    for key, value in _values(account, run_id).items():
        if key not in touched or _is_kept(account, kept, key) or _is_kept(account, kept_again, key):
            continue
        if not _same(account, key[2], value, done[key]):
            world.accuse(
                "I15",
                f"{_where(key)}: undone twice it holds {value!r}, the run had left {done[key]!r}, {undone[key]!r}",
            )


_Key = tuple[str, Side, str]


def _undo(account: Account, run_id: str) -> tuple[str, Sequence[NotUndoable]]:
    worker = Worker(account, random.Random(0), Figures())
    undo_id = account.store.start_run(RunKind.MANUAL, plan_id=account.store.new_id())
    run = account.store.run(undo_id)
    plan = read_undo(run_id, worker.ports)
    store_undo(plan, run, worker.ports)
    account.store.approve_plan(run.plan_id)
    worker.finish(undo_id)
    return undo_id, plan.not_undoable


def _before(account: Account, run_id: str) -> dict[_Key, Value]:
    """What stood there before the run's first effect."""
    found: dict[_Key, Value] = {}
    for entry in _ledger(account, run_id):
        for effect in entry.action.effects:
            if effect.side is not None:
                found.setdefault((entry.link_id, effect.side, effect.mapping_id), effect.before)
    return found


def _values(account: Account, run_id: str) -> dict[_Key, Value]:
    """What stands now in each field that the run wrote, where its pair still lives on both sides."""
    maps = {field_map.mapping_id: field_map for field_map in account.maps}
    links = {link.link_id: link for link in account.store.links()}
    found: dict[_Key, Value] = {}
    for key in _before(account, run_id):
        link_id, side, mapping_id = key
        link = links[link_id]
        contact, record = account.app.get(link.contact_id), account.crm.records.get(link.remote_id)
        if contact is None or record is None:
            continue
        held = contact.values if side is Side.APP else record.values
        name = maps[mapping_id].app_field if side is Side.APP else maps[mapping_id].remote_field
        found[key] = held.get(name)
    # Also what an earlier run had sent and this one has found made: its undo takes that away with the rest.
    noted = [entry for owner, entry in account.store.state.ledger.values() if owner == run_id]
    created = {entry.link_id for entry in noted if entry.action.rule is Rule.CREATED}
    return {key: value for key, value in found.items() if key[0] not in created}


def _is_kept(account: Account, kept: Iterable[NotUndoable], key: _Key) -> bool:
    """Listed as not undoable: the field, or all of the pair."""
    contact_id = account.store.state.links[key[0]].contact_id
    names = {"", *(field_map.app_field for field_map in account.maps if field_map.mapping_id == key[2])}
    return any(each.contact_id == contact_id and each.app_field in names for each in kept)


def _same(account: Account, mapping_id: str, left: Value, right: Value) -> bool:
    field_map = next(each for each in account.maps if each.mapping_id == mapping_id)
    stores = account.nature.fields[field_map.remote_field].stores

    def forms(value: Value) -> set[str]:
        blank = value in (None, "", ())
        stored = None if blank else stores(value)
        return {repr(field_map.canonical_crm(each)) for each in (value, stored)} | {
            repr(field_map.canonical_app(value))
        }

    return bool(forms(left) & forms(right))


def _where(key: _Key) -> str:
    return f"link {key[0][:8]} {key[2]} on the side of the {key[1]}"


# I10, I24


def check_webhooks(world: World, draw: random.Random) -> None:
    """Webhooks in order, shuffled and doubled, or none at all: the ends are the same."""
    index = draw.randrange(len(world.accounts))
    before, ends = _Before.of(world), []
    for order in ("in order", "shuffled and doubled", "lost"):
        with world.fork() as twin:
            account = twin.accounts[index]
            ids = sorted(account.crm.records)
            if order == "shuffled and doubled":
                ids = random.Random(draw.random()).sample(ids * 2, len(ids) * 2)
            for remote_id in ids if order != "lost" else ():
                run_alone(account, RunKind.WEBHOOK, remote_ids=(remote_id,))
            ends.append(_come_to_end(order, before, twin, twin.accounts))
    _compare_ends("I10", world, ends)


def check_order(world: World, draw: random.Random) -> None:
    """The CRMs one after the other, and the other way round: the ends are the same."""
    before, ends = _Before.of(world), []
    for order in ("forwards", "backwards"):
        with world.fork() as twin:
            accounts = twin.accounts if order == "forwards" else twin.accounts[::-1]
            ends.append(_come_to_end(order, before, twin, accounts))
    _compare_ends("I24", world, ends)


@dataclass(frozen=True)
class _Standing:
    """An account before anything happens in a fork."""

    record_ids: frozenset[str]
    pairs: tuple[tuple[str, str], ...]
    """(contact id, remote id) of its links."""
    entries: int
    """Of its ledger."""
    settled: frozenset[str]
    """Ids of its closed questions."""

    @classmethod
    def of(cls, account: Account) -> _Standing:
        return cls(
            frozenset(account.crm.records),
            tuple((link.contact_id, link.remote_id) for link in account.store.links()),
            len(account.store.ledger()),
            frozenset(row.conflict_id for row in account.store.state.conflicts.values() if row.closed),
        )


@dataclass(frozen=True)
class _Before:
    """What was there before any fork. Taken outside of them: in one, the database shows the fork's rows to both."""

    contact_ids: frozenset[str]
    accounts: tuple[_Standing, ...]

    @classmethod
    def of(cls, world: World) -> _Before:
        return cls(frozenset(world.app.rows), tuple(_Standing.of(account) for account in world.accounts))


@dataclass(frozen=True)
class _End:
    """What a fork came to."""

    name: str
    is_quiet: bool
    values: dict[tuple[str, str], Value]
    """(entity, mapping id) -> what stands there."""
    decided: set[tuple[str, str]]


def _come_to_end(name: str, before: _Before, twin: World, accounts: Sequence[Account]) -> _End:
    is_quiet = settle_down(twin, accounts)
    return _End(name, is_quiet, _values_at_end(twin, before), _decided(twin, before))


def _compare_ends(invariant: str, world: World, ends: Sequence[_End]) -> None:
    """Values of everybody who was there before, but for fields and pairs that a policy or a person decided."""
    if not all(end.is_quiet for end in ends):
        return  # told by I2
    decided = set().union(*(end.decided for end in ends))
    first = ends[0]
    for end in ends[1:]:
        for key in first.values.keys() & end.values.keys():
            entity, mapping_id = key
            if (entity, mapping_id) in decided or (entity, "") in decided:
                continue
            here, there = first.values[key], end.values[key]
            if not _same(world.accounts[0], mapping_id, here, there):
                world.accuse(invariant, f"{entity[:13]} {mapping_id}: {here!r} {first.name}, {there!r} {end.name}")


def _values_at_end(twin: World, before: _Before) -> dict[tuple[str, str], Value]:
    maps = twin.accounts[0].maps
    found = {
        (contact_id, field_map.mapping_id): row.contact.values.get(field_map.app_field)
        for contact_id, row in twin.app.rows.items()
        if contact_id in before.contact_ids
        for field_map in maps
    }
    for account, standing in zip(twin.accounts, before.accounts, strict=True):
        for remote_id, record in account.crm.records.items():
            if remote_id in standing.record_ids:
                for field_map in maps:
                    found[f"{account.name}:{remote_id}", field_map.mapping_id] = record.values.get(
                        field_map.remote_field
                    )
    return found


_CHOOSING = (
    ActionKind.LINK, ActionKind.RELINK, ActionKind.UNLINK, ActionKind.DELETE_IN_APP, ActionKind.DELETE_IN_CRM,
)  # fmt: skip


def _decided(twin: World, before: _Before) -> set[tuple[str, str]]:
    """(entity, mapping id), or (entity, '') for all of it, where a rule had to choose or a person is asked.

    A choice in one pair reaches everybody whom the contact is paired with.
    """
    groups, chosen = Groups(), set()
    for account, standing in zip(twin.accounts, before.accounts, strict=True):
        _join_pairs(groups, account, standing)
        chosen |= _choices(account, standing)
    members: dict[str, list[str]] = {}
    for name in groups.names():
        members.setdefault(groups.find(name), []).append(name)
    return {(each, mapping_id) for name, mapping_id in chosen for each in members.get(groups.find(name), [name])}


def _join_pairs(groups: Groups, account: Account, standing: _Standing) -> None:
    pairs = ((link.contact_id, link.remote_id) for link in account.store.links())
    for contact_id, remote_id in (*pairs, *standing.pairs):
        groups.join(contact_id, f"{account.name}:{remote_id}")
    for entry in account.store.ledger()[standing.entries :]:
        groups.join(entry.contact_id, f"{account.name}:{entry.remote_id}")
    for former in account.crm.records.values():
        if former.merged_into:
            groups.join(f"{account.name}:{former.remote_id}", f"{account.name}:{former.merged_into}")


def _choices(account: Account, standing: _Standing) -> set[tuple[str, str]]:
    """What was decided in the fork: by its ledger, its questions and its troubles."""
    record = f"{account.name}:".__add__
    chosen: set[tuple[str, str]] = set()
    for entry in account.store.ledger()[standing.entries :]:
        mapping_ids = {effect.mapping_id for effect in entry.action.effects if effect.overrules}
        mapping_ids |= {""} if entry.action.kind in _CHOOSING else set()
        chosen |= {(name, each) for name in (entry.contact_id, record(entry.remote_id)) for each in mapping_ids}
    for row in account.store.state.conflicts.values():
        if row.conflict_id not in standing.settled:
            named = {row.contact_id, record(row.remote_id)}
            for candidate in row.draft.candidates:
                kind, _, name = candidate.partition(":")
                named.add(name if kind == "contact" else record(name))
            chosen |= {(name, row.draft.mapping_id) for name in named}
    for link in account.store.links():
        chosen |= {(link.contact_id, mapping_id) for mapping_id in (*link.troubles, *link.flips)}
        chosen |= {(link.contact_id, "")} if link.error_code else set()
    return chosen


def _short(lines: Iterable[tuple]) -> str:
    return "; ".join(f"{line[0]} {line[1][:8]} {line[2]} {line[4]}" for line in list(lines)[:3])
