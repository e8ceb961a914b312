"""One seed's world: an app and its CRMs with people on all sides, mappings, policies, and the clock they share."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from crm.engine.context import Ports
from crm.engine.rulebook import Rulebook
from crm.mapping.field_map import FieldMap
from crm.mapping.kinds import Kind
from crm.model import BlankRule, DeletionPolicy, Direction, Policy, Strategy
from crm.ports import Connector, SyncStore
from crm.testing.adversary import RECORD_TYPE
from crm.testing.adversary_nature import TIERS, Nature, draw_nature
from crm.testing.adversary_records import AdversaryCrm
from crm.testing.clock import FakeClock
from crm.testing.memory import MemoryStore
from crm.testing.memory_app import START_MS, MemoryApp
from tests.harness.simulate.ground import MEMORY, Ground

REGION = "NL"
_FIELDS = (
    ("firstName", "firstname", Kind.NAME),
    ("lastName", "lastname", Kind.NAME),
    ("email", "email", Kind.EMAIL),
    ("phone", "phone", Kind.PHONE),
    ("company", "company", Kind.TEXT),
    ("custom.score", "score", Kind.NUMBER),
    ("custom.active", "active", Kind.BOOLEAN),
    ("custom.tier", "tier", Kind.CHOICE),
    ("tags", "labels", Kind.TAGS),
    ("emailOptOut", "optout", Kind.BOOLEAN),
)


def draw_maps(draw: random.Random, nature: Nature) -> tuple[FieldMap, ...]:
    maps = []
    for app_field, remote_field, kind in _FIELDS:
        direction, blank_rule, strategy = Direction.BIDIRECTIONAL, BlankRule.PROPAGATE, None
        if app_field in {"company", "custom.score"} and draw.random() < 0.3:
            direction = draw.choice((Direction.TO_CRM, Direction.FROM_CRM))
        if draw.random() < 0.1:
            blank_rule = BlankRule.NEVER
        if draw.random() < 0.15:
            strategy = draw.choice(list(Strategy))
        definition = nature.fields[remote_field].definition
        maps.append(
            FieldMap(
                mapping_id=f"m-{remote_field}",
                app_field=app_field,
                remote_field=remote_field,
                direction=direction,
                app_kind=kind,
                remote_kind=kind,
                blank_rule=blank_rule,
                strategy=strategy,
                consent=remote_field == "optout",
                definition=definition.fingerprint,
                region=REGION if kind is Kind.PHONE else "",
                remote_max_length=definition.max_length,
                options=TIERS if kind is Kind.CHOICE else (),
            )
        )
    return tuple(maps)


def draw_policy(draw: random.Random) -> Policy:
    return Policy(
        strategy=draw.choice(list(Strategy)),
        tie_rule=draw.choice((Strategy.MANUAL, Strategy.ADSAPP_WINS, Strategy.CRM_WINS)),
        clock_skew_seconds=60.0,
        on_app_deleted=draw.choice(list(DeletionPolicy)),
        on_crm_deleted=draw.choice(list(DeletionPolicy)),
    )


@dataclass
class Hiding:
    """A time in which a remote field could not be read."""

    field: str
    begun: datetime
    ended: datetime | None = None
    was_noticed: bool = False
    """A whole scan has met it."""


@dataclass
class Account:
    """One CRM account of the organization, its connection's store, and the rules between."""

    world: World
    name: str
    nature: Nature
    crm: AdversaryCrm
    store: MemoryStore
    maps: tuple[FieldMap, ...]
    book: Rulebook
    hidings: list[Hiding] = field(default_factory=list)

    @property
    def app(self) -> MemoryApp:
        return self.world.app

    def ports(self, store: SyncStore, connector: Connector) -> Ports:
        return Ports(
            store=store,
            connector=connector,
            books={RECORD_TYPE: self.book},
            organization_id=self.app.organization_id,
            create_type=RECORD_TYPE,
        )

    def fork(self, world: World) -> Account:
        hidings = [replace(each) for each in self.hidings]
        return replace(
            self, world=world, crm=self.crm.fork(world.clock), store=self.store.fork(world.app), hidings=hidings
        )

    def written(self) -> dict[str, int]:
        """How much the engine has written so far; a quiet run leaves all of it as it is."""
        return {
            "crm": sum(entry.by == "us" for entry in self.crm.journal),
            "app": sum(change.origin == self.name for change in self.app.changes.values()),
            "ledger": len(self.store.ledger()),
            "conflicts": len(self.store.state.conflicts),
            "open": len(self.store.state.locks.open_intents()),
        }

    def hide(self, name: str) -> None:
        self.crm.hidden.add(name)
        self.hidings.append(Hiding(name, self.app.now()))

    def show(self, names: Iterable[str]) -> None:
        """Fields that were hidden can be read again."""
        for hiding in self.hidings:
            if hiding.ended is None and hiding.field in names:
                hiding.ended = self.app.now()
        self.crm.hidden -= set(names)

    def standing(self) -> list[tuple[object, ...]]:
        """Who is paired with whom and what is asked. A run that changes it has not come to rest, whatever it wrote."""
        links = [(link.link_id, link.state, link.remote_id, link.error_code) for link in self.store.links()]
        return [*links, *sorted((row.conflict_id, row.draft.candidates) for row in self.store.open_conflicts())]


@dataclass
class World:
    """One organization. ``stamp`` stands in every name its people enter, so that it is known again elsewhere."""

    seed: int
    stamp: str = ""
    organization_id: str = "00000000-0000-7000-8000-0000000000aa"
    clock: FakeClock = field(default_factory=lambda: FakeClock(start_ms=START_MS, tick_ms=1))
    clock_offset_seconds: float = 0.0
    """Added to the offset of every CRM's clock."""
    accounts_wanted: int | None = None
    """So many CRMs; else drawn."""
    ground: Ground = MEMORY
    trace: list[str] = field(default_factory=list)
    edits: int = 0
    begun: datetime | None = None
    """When the first run of all began."""
    violations: list[tuple[str, str]] = field(default_factory=list)
    """(invariant, what happened) found while the schedule runs."""
    forks: list[World] = field(default_factory=list)
    app: MemoryApp = field(init=False)
    accounts: list[Account] = field(init=False)

    def __post_init__(self) -> None:
        draw = random.Random(f"{self.seed}{self.stamp}/world")
        self.app = self.ground.app(self.clock, REGION, self.organization_id)
        drawn = draw.choices((1, 2, 3), (70, 22, 8))[0]
        count = self.accounts_wanted or (1 if self.stamp else drawn)
        self.accounts = [self._account(draw, f"crm{number or ''}") for number in range(count)]

    def _account(self, draw: random.Random, name: str) -> Account:
        nature = draw_nature(draw)
        offset = nature.clock_offset_seconds + self.clock_offset_seconds
        nature = replace(nature, clock_offset_seconds=offset)
        maps = draw_maps(draw, nature)
        return Account(
            self,
            name,
            nature,
            AdversaryCrm(nature, self.clock, random.Random(f"{self.seed}{self.stamp}/lag/{name}")),
            self.ground.store(self.app, name),
            maps,
            Rulebook(RECORD_TYPE, maps, draw_policy(draw), "rules-1", "crm-deleted"),
        )

    @contextmanager
    def fork(self) -> Iterator[World]:
        """The same world once more: what happens in it leaves this one as it was. One at a time."""
        with self.ground.aside(self.app):
            yield self._twin()

    def _twin(self) -> World:
        twin = object.__new__(World)
        twin.__dict__.update(self.__dict__)
        twin.clock = FakeClock(start_ms=self.clock.now_ms(), tick_ms=1)
        twin.trace, twin.violations, twin.forks = [], [], []
        self.forks.append(twin)
        twin.app = self.app.fork(twin.clock)
        twin.accounts = [account.fork(twin) for account in self.accounts]
        return twin

    def say(self, text: str) -> None:
        self.trace.append(f"{self.stamp}{(self.clock.now_ms() - START_MS) / 1000:10.3f}  {text}")

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def accuse(self, invariant: str, text: str) -> None:
        self.violations.append((invariant, text))
