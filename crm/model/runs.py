"""A run: its kind, where it stands, and what it counted."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime

from crm.model.values import JsonObject


class RunKind(enum.StrEnum):
    """The guide's words in ``crm_sync_logs.sync_type``."""

    FULL = "full"
    DELTA = "delta"
    MANUAL = "manual"
    """Chosen contacts only."""
    WEBHOOK = "webhook"
    """Chosen remote records only."""


class Phase(enum.StrEnum):
    SETTLE = "settle"
    OBSERVE = "observe"
    MISSING = "missing"
    CHANGED = "changed"
    PAIR = "pair"
    UNPAIRED = "unpaired"
    GUARD = "guard"
    APPLY = "apply"
    FINISH = "finish"
    DONE = "done"


class RunStatus(enum.StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    HELD = "held"
    PARKED = "parked"
    CANCELLED = "cancelled"


@dataclass(slots=True)
class Counts:
    """What a run did, by record. Every number is of records, never of fields."""

    observed: int = 0
    unchanged: int = 0
    created_in_app: int = 0
    created_in_crm: int = 0
    updated_in_app: int = 0
    updated_in_crm: int = 0
    linked: int = 0
    unlinked: int = 0
    deleted_in_app: int = 0
    deleted_in_crm: int = 0
    conflicts: int = 0
    """Conflicts opened."""
    failed: int = 0
    stale: int = 0
    unknown: int = 0
    held: int = 0
    planned: int = 0
    applied: int = 0


@dataclass(slots=True)
class RunState:
    """A run as it is stored between two units of work. ``position`` is JSON."""

    run_id: str
    kind: RunKind
    record_types: tuple[str, ...]
    phase: Phase = Phase.SETTLE
    position: JsonObject = field(default_factory=dict)
    plan_id: str = ""
    dry_run: bool = False
    approved: bool = False
    """The plan's lines were approved by a person: they apply under their preconditions."""
    limit: int | None = None
    contact_ids: tuple[str, ...] = ()
    remote_ids: tuple[str, ...] = ()
    counts: Counts = field(default_factory=Counts)
    status: RunStatus = RunStatus.RUNNING
    error_code: str = ""
    cancel_requested: bool = False
    first_sync: bool = False
    """No plan of this connection was ever approved: the plan is held."""
    loaded_at: datetime | None = None
    """The store's time when it was loaded: before anything that this unit of work reads."""


@dataclass(frozen=True, slots=True)
class PlanTotals:
    """What the guard looks at."""

    live_links: int
    contacts: int
    deletes: int
    """Lines that delete or unlink because of a deletion."""
    blanks: int
    creates_in_app: int
    creates_in_crm: int
    overwrites: int
    lines: int
    records_seen: int
    """Remote records seen by the run's scan."""
