"""Workers that run the engine, die at a chosen port call, and are overtaken by users and by each other."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from crm.engine.run import advance, take_over
from crm.errors import CrmError, LeaseLostError, RateLimitedError, TransientError
from crm.model import LineStatus, LinkState, Phase, RemoteState, RunKind, RunState, RunStatus
from crm.ports import Unit
from crm.testing.adversary import RECORD_TYPE, AdversaryConnector, Faults
from crm.testing.memory import MemoryStore
from tests.harness.simulate import users
from tests.harness.simulate.world import Account

MAX_UNITS = 400
AFTER_LEASE_SECONDS = 150.0


CRASH_POINTS = (
    "unit", "commit", "scan", "scan/answered", "changes", "changes/answered", "fetch", "fetch/answered",
    "field_history", "find_by_markers", "find_by_markers/answered", "create", "create/done", "update", "update/done",
    "delete", "delete/done",
)  # fmt: skip
CRASH_WEIGHTS = (1, 1, 1, 1, 1, 1, 1, 1, 6, 4, 4, 6, 6, 2, 2, 12, 12)
FAULTS = ("rate_limited", "unavailable", "lost_before", "lost_after", "item_lost", "item_locked", "batch_refused")


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
    twins: Counter[str] = field(default_factory=Counter)
    """Invariants that were looked at by forks of the world."""
    overtaken: int = 0
    """Runs of another worker inside a run."""
    stopped: int = 0
    """Workers that stood still past their lease, while another took their run over."""


HASTY_WORLDS, HASTE = 0.1, 0.3
"""Worlds with people who edit both sides at once, and how often they do at a read."""
READS = ("scan", "changes", "fetch")


class _Store:
    """A worker's store that tells ``at`` of each transaction's beginning and end."""

    def __init__(self, store: MemoryStore, at) -> None:
        self._store = store
        self._at = at
        self.new_id = store.new_id

    @contextmanager
    def unit(self, run_id: str = "") -> Iterator[Unit]:
        self._at("unit")
        with self._store.unit(run_id) as unit:
            yield unit
            self._at("before commit")
        self._at("commit")


class Worker:
    """One process. ``draw`` decides about its faults, ``crash_at`` the port call at which it dies (0: never).

    With ``crash_point`` only calls of that name count.
    """

    def __init__(
        self,
        account: Account,
        draw: random.Random,
        figures: Figures,
        *,
        crash_at: int = 0,
        crash_point: str = "",
        faults: Faults | None = None,
        meddling: float = 0.0,
        depth: int = 0,
        heir_of: Worker | None = None,
    ) -> None:
        self.account, self.world, self.figures = account, account.world, figures
        self._draw, self._crash_at, self._meddling, self._depth = draw, crash_at, meddling, depth
        self._points, self._crash_point, self.run_id, self._must_ask = 0, crash_point, "", False
        self._hasty = random.Random(f"{account.world.seed}/hasty")
        """Of worlds in which a pair is edited on both sides while its page is on its way."""
        self._is_hasty = meddling > 0 and depth == 0 and self._hasty.random() < HASTY_WORLDS
        self._hurried = ("", "")
        self.store = account.store.rival()
        self.faults = faults or Faults()
        self.connector = AdversaryConnector(
            account.crm, draw=random.Random(draw.random()), faults=self.faults, at_call=self._at,
            heir_of=heir_of.connector if heir_of is not None else None,
        )  # fmt: skip
        self.ports = account.ports(_Store(self.store, self._at), self.connector)

    def start(self, kind: RunKind, **options) -> str:
        run_id = self.store.start_run(kind, **options)
        self.world.say(f"{'  ' * self._depth}{self.account.name} {kind} run {run_id[:8]} starts {options or ''}")
        return run_id

    def finish(self, run_id: str) -> RunStatus | None:
        """Advance until the run is done, parked by too many troubles, or the worker is dead (None)."""
        self.figures.runs += 1
        self.run_id, self._begun = run_id, self.account.app.now()
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
        troubles, is_taken = 0, False
        for _ in range(MAX_UNITS):
            self.figures.units += 1
            try:
                if not is_taken:
                    take_over(run_id, self.ports)
                    is_taken = True
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
                    self._judge_watermark()
                    self._notice_hidings(run)
                    self.world.say(f"{'  ' * self._depth}run {run_id[:8]} {run.status}: {_told(run.counts)}")
                    return run.status
            if troubles > 12:
                self.store.release_lease()
                self.world.say(f"  run {run_id[:8]} is parked")
                return RunStatus.PARKED
        self.world.accuse("I28", f"run {run_id} not done after {MAX_UNITS} units")
        return RunStatus.FAILED

    def _notice_hidings(self, run: RunState) -> None:
        if run.kind is RunKind.FULL and run.status is RunStatus.COMPLETED:
            for hiding in self.account.hidings:
                hiding.was_noticed |= hiding.ended is None and hiding.begun < self._begun

    def _judge_watermark(self) -> None:
        """I9: what nobody has read yet is not older than where the next delta begins."""
        cursor = self.account.store.state.cursors.get(RECORD_TYPE)
        if cursor is None:
            return
        since = cursor - timedelta(seconds=self.connector.capabilities.overlap_seconds)
        paired = {link.remote_id for link in self.account.store.links() if link.state is LinkState.LIVE}
        for record in self.account.crm.records.values():
            unseen = [version for version in record.versions[record.shown :] if not version.by_us]
            expected = record.state is RemoteState.LIVE or (
                self.account.nature.delta_shows_deletions and record.remote_id in paired
            )
            if not unseen or not expected:
                continue
            if record.versions[-1].modified_at < since:
                self.world.accuse(
                    "I9", f"record {record.remote_id}, changed at {unseen[-1].modified_at}, is before {since}, unread"
                )

    def _at(self, point: str) -> None:
        """Between two port calls: time passes, people act, another worker comes along, or this one dies."""
        if point == "before commit":
            self._judge_lease()
            return
        self._ask_for_the_lease(point)
        if point not in ("unit", "commit") and self.world.app.journal.is_open:
            self.world.accuse("transactions", f"{point} was called inside a unit")
        self._points += self._crash_point in ("", point)
        if self._points == self._crash_at and self._crash_point in ("", point):
            raise CrashError(point)
        if self.world.app.journal.is_open or not self._meddling:
            return
        if self._is_hasty:
            self._hurry(point)
        roll = self._draw.random()
        if roll < self._meddling:
            self.figures.deeds_meanwhile += 1
            users.act(self.world, self._draw)
        elif roll < self._meddling * 1.3:
            self.world.pass_time(self._draw.choice((0.0, 0.5, 5.0, 29.0, 31.0)))
        elif roll < self._meddling * 1.5 and self._depth == 0:
            self._let_another_run()
        elif roll < self._meddling * 1.65 and self._depth == 0 and self.store.has_lease:
            self._be_overtaken(point)

    def _hurry(self, point: str) -> None:
        """A record is edited just before it is read, and its contact just after, and pushed by a run of its own before
        the page that was read is stored: both sides' stamps may be the same.
        """
        verb, _, answered = point.partition("/")
        if verb not in READS:
            return
        if answered:
            (contact_id, _), self._hurried = self._hurried, ("", "")
            if contact_id and users.edit_contact(self.world, self._hasty, contact_id):
                self.figures.overtaken += 1
                other = Worker(self.account, random.Random(self._hasty.random()), self.figures, depth=1)
                other.finish(other.start(RunKind.MANUAL, contact_ids=(contact_id,)))
            return
        self._hurried = ("", "")
        pairs = sorted(
            (link.contact_id, link.remote_id) for link in self.account.store.links() if link.state is LinkState.LIVE
        )
        if pairs and self._hasty.random() < HASTE:
            contact_id, remote_id = self._hasty.choice(pairs)
            if users.edit_record(self.account, self._hasty, remote_id):
                self._hurried = (contact_id, remote_id)

    def _let_another_run(self) -> None:
        self.figures.overtaken += 1
        other = Worker(self.account, random.Random(self._draw.random()), self.figures, depth=1)
        if self._draw.random() < 0.5:
            contacts = sorted(contact.contact_id for contact in self.world.app.live())
            if contacts:
                chosen = tuple(self._draw.sample(contacts, min(2, len(contacts))))
                other.finish(other.start(RunKind.MANUAL, contact_ids=chosen))
            return
        records = sorted(self.account.crm.records)
        if records:
            chosen = tuple(self._draw.sample(records, min(2, len(records))))
            other.finish(other.start(RunKind.WEBHOOK, remote_ids=chosen))

    def _be_overtaken(self, point: str) -> None:
        """This worker stands still past its lease; another one goes on with its run, then this one wakes up.

        A request that has not left does not leave any more: a worker that has not heard of its lease for so
        long asks first. One that has left is answered.
        """
        self.world.say(f"  worker stands still at {point}")
        self.figures.stopped += 1
        self.world.pass_time(AFTER_LEASE_SECONDS)
        rival = random.Random(self._draw.random())
        Worker(self.account, rival, self.figures, depth=1, heir_of=self).finish(self.run_id)
        self.world.say("  the first worker goes on")
        self._must_ask = True
        self._ask_for_the_lease(point)

    def _ask_for_the_lease(self, point: str) -> None:
        if self._must_ask and point not in ("unit", "commit") and "/" not in point:
            raise LeaseLostError

    def _judge_lease(self) -> None:
        """I27: what is committed now, the holder of the stream commits."""
        if not self.store.lease_is_ours():
            self.world.accuse("I27", "a worker commits that has lost the stream")


def approve_everything(account: Account, figures: Figures) -> bool:
    """A person approves every plan that waits, and the plans are applied; False when none waits."""
    lines = account.store.state.lines.values()
    plans = sorted({row.plan_id for row in lines if row.line.status is LineStatus.HELD})
    for plan_id in plans:
        account.world.say(f"a person approves plan {plan_id[:8]}: {account.store.approve_plan(plan_id)} lines")
        worker = Worker(account, random.Random(plan_id), figures)
        worker.finish(worker.start(RunKind.MANUAL, plan_id=plan_id))
    return bool(plans)


def _told(counts) -> str:
    values = {name: getattr(counts, name) for name in counts.__slots__}
    return " ".join(f"{name}={value}" for name, value in values.items() if value) or "nothing"
