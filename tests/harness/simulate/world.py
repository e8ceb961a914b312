"""One seed's world: an app and a CRM with people on both sides, a mapping, a policy, and the clock they share."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from crm.engine.context import Ports
from crm.engine.plan import Rulebook
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
class World:
    seed: int
    clock: FakeClock = field(init=False)
    trace: list[str] = field(default_factory=list)
    edits: int = 0
    violations: list[tuple[str, str]] = field(default_factory=list)
    """(invariant, what happened) found while the schedule runs."""

    def __post_init__(self) -> None:
        draw = random.Random(f"{self.seed}/world")
        self.clock = FakeClock(start_ms=START_MS, tick_ms=1)
        self.app = MemoryApp(clock=self.clock, region=REGION)
        self.store = MemoryStore(self.app)
        self.nature = draw_nature(draw)
        self.crm = AdversaryCrm(self.nature, self.clock, random.Random(f"{self.seed}/lag"))
        self.maps = draw_maps(draw, self.nature)
        self.book = Rulebook(RECORD_TYPE, self.maps, draw_policy(draw), "rules-1", "crm-deleted")

    def ports(self, store: SyncStore, connector: Connector) -> Ports:
        return Ports(
            store=store,
            connector=connector,
            books={RECORD_TYPE: self.book},
            organization_id=self.app.organization_id,
            create_type=RECORD_TYPE,
        )

    def say(self, text: str) -> None:
        self.trace.append(f"{(self.clock.now_ms() - START_MS) / 1000:10.3f}  {text}")

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def accuse(self, invariant: str, text: str) -> None:
        self.violations.append((invariant, text))
