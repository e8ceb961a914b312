"""Workers that run the engine, die at a chosen port call, and are overtaken by users and by each other."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from crm.engine.run import advance
from crm.errors import CrmError, LeaseLostError, RateLimitedError, TransientError
from crm.model import LineStatus, Phase, RunKind, RunStatus
from crm.ports import Unit
from crm.testing.adversary import AdversaryConnector, Faults
from crm.testing.memory import MemoryStore
from tests.harness.simulate import users
from tests.harness.simulate.world import World

MAX_UNITS = 400
AFTER_LEASE_SECONDS = 150.0


class CrashError(BaseException):
    """The worker's process died: nothing catches it but the simulator."""


@dataclass
class Figures:
    """What a seed exercised."""

    runs: int = 0
    units: int = 0
    calls: int = 0
    crashes: Counter[str] = field(default_factory=Counter)
    """Port call at which a worker died."""
    faults: Counter[str] = field(default_factory=Counter)
    deeds_meanwhile: int = 0
    """Deeds of users between two port calls of a run."""
    overtaken: int = 0
    """Runs of another worker inside a run."""


class _Store:
    """A worker's store that tells ``at`` of each transaction's beginning and end."""

    def __init__(self, store: MemoryStore, at) -> None:
        self._store = store
        self._at = at
        self.new_id = store.new_id

    @contextmanager
    def unit(self) -> Iterator[Unit]:
        self._at("unit")
        with self._store.unit() as unit:
            yield unit
        self._at("commit")


class Worker:
    """One process. ``draw`` decides about its faults, ``crash_at`` the port call at which it dies (0: never)."""

    def __init__(
        self,
        world: World,
        draw: random.Random,
        figures: Figures,
        *,
        crash_at: int = 0,
        faults: Faults | None = None,
        meddling: float = 0.0,
        depth: int = 0,
    ) -> None:
        self.world, self.figures = world, figures
        self._draw, self._crash_at, self._meddling, self._depth = draw, crash_at, meddling, depth
        self._points = 0
        self.store = world.store.rival()
        self.faults = faults or Faults()
        self.connector = AdversaryConnector(
            world.crm, draw=random.Random(draw.random()), faults=self.faults, at_call=self._at
        )
        self.ports = world.ports(_Store(self.store, self._at), self.connector)

    def start(self, kind: RunKind, **options) -> str:
        run_id = self.store.start_run(kind, **options)
        self.world.say(f"{'  ' * self._depth}{kind} run {run_id[:8]} starts {options or ''}")
        return run_id

    def finish(self, run_id: str) -> RunStatus | None:
        """Advance until the run is done, parked by too many troubles, or the worker is dead (None)."""
        self.figures.runs += 1
        try:
            return self._drive(run_id)
        except LeaseLostError:
            self.world.say("  another worker holds the stream")
            return None
        except CrashError as crash:
            self.figures.crashes[str(crash)] += 1
            self.world.say(f"  worker dies at {crash} (port call {self._points})")
            return None
        finally:
            self.figures.calls += self.connector.calls
            self.figures.faults.update(self.faults.given)

    def _drive(self, run_id: str) -> RunStatus:
        kind = self.store.run(run_id).kind
        if kind in (RunKind.FULL, RunKind.DELTA):
            self.store.take_lease("scan")
        troubles = 0
        for _ in range(MAX_UNITS):
            self.figures.units += 1
            try:
                run = advance(run_id, self.ports)
            except RateLimitedError as error:
                self.world.pass_time(error.retry_after_seconds)
                troubles += 1
            except TransientError:
                self.world.pass_time(20.0)
                troubles += 1
            except LeaseLostError:
                raise
            except CrmError as error:
                self.world.accuse("I22", f"a run ended with {type(error).__name__} {error}")
                self.store.release_lease()
                return RunStatus.FAILED
            else:
                if run.phase is Phase.DONE:
                    self.store.release_lease()
                    self.world.say(f"{'  ' * self._depth}run {run_id[:8]} {run.status}: {_told(run.counts)}")
                    return run.status
            if troubles > 12:
                self.store.release_lease()
                self.world.say(f"  run {run_id[:8]} is parked")
                return RunStatus.PARKED
        self.world.accuse("I28", f"run {run_id} not done after {MAX_UNITS} units")
        return RunStatus.FAILED

    def _at(self, point: str) -> None:
        """Between two port calls: time passes, people act, another worker comes along, or this one dies."""
        if point not in ("unit", "commit") and self.world.app.journal.is_open:
            self.world.accuse("transactions", f"{point} was called inside a unit")
        self._points += 1
        if self._points == self._crash_at:
            raise CrashError(point)
        if self.world.app.journal.is_open or not self._meddling:
            return
        roll = self._draw.random()
        if roll < self._meddling:
            self.figures.deeds_meanwhile += 1
            users.act(self.world, self._draw)
        elif roll < self._meddling * 1.3:
            self.world.pass_time(self._draw.choice((0.0, 0.5, 5.0, 29.0, 31.0)))
        elif roll < self._meddling * 1.5 and self._depth == 0:
            self._let_another_run()

    def _let_another_run(self) -> None:
        self.figures.overtaken += 1
        other = Worker(self.world, random.Random(self._draw.random()), self.figures, depth=1)
        if self._draw.random() < 0.5:
            contacts = sorted(contact.contact_id for contact in self.world.app.live())
            if contacts:
                chosen = tuple(self._draw.sample(contacts, min(2, len(contacts))))
                other.finish(other.start(RunKind.MANUAL, contact_ids=chosen))
            return
        records = sorted(self.world.crm.records)
        if records:
            chosen = tuple(self._draw.sample(records, min(2, len(records))))
            other.finish(other.start(RunKind.WEBHOOK, remote_ids=chosen))


def approve_everything(world: World, figures: Figures) -> bool:
    """A person approves every plan that waits, and the plans are applied; False when none waits."""
    plans = sorted({row.plan_id for row in world.store.state.lines.values() if row.line.status is LineStatus.HELD})
    for plan_id in plans:
        world.say(f"a person approves plan {plan_id[:8]}: {world.store.approve_plan(plan_id)} lines")
        worker = Worker(world, random.Random(plan_id), figures)
        worker.finish(worker.start(RunKind.MANUAL, plan_id=plan_id))
    return bool(plans)


def _told(counts) -> str:
    values = {name: getattr(counts, name) for name in counts.__slots__}
    return " ".join(f"{name}={value}" for name, value in values.items() if value) or "nothing"
