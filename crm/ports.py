"""What the engine needs from the world, and what the world may rely on.

A port method says what its type cannot: whether it may be repeated, which errors it raises, what
an empty answer means. The engine holds no transaction across a call to a ``Connector``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from crm.errors import CrmError, FieldRefusal
from crm.model import (
    Action,
    AppContact,
    ConflictChange,
    ContactWrite,
    FieldDefinition,
    Intent,
    IntentStatus,
    Interval,
    KeyHit,
    LedgerEntry,
    LineResult,
    LineStatus,
    Link,
    LinkView,
    LoneContact,
    Observation,
    Phase,
    PlanLine,
    PlanTotals,
    RemoteRecord,
    RunState,
    Value,
)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider's API offers: the engine asks for a capability, never for a name."""

    record_types: tuple[str, ...]
    """The contact-like ones that sync now, in the order they are read."""
    create_type: str
    """The type that new contacts become, unless the connection chooses another."""
    read_batch: int
    write_batch: int
    overlap_seconds: float
    """How long a change may stay invisible to ``changes``: the watermark is held back by it."""
    delta_shows_deletions: bool
    returns_values: bool
    """Writes answer with the values as stored; where not, the engine reads back."""
    marker_lookup: bool
    """``find_by_markers`` is a direct read, never a search index."""
    field_history: bool
    conditional_update: bool = False
    webhooks: bool = False
    match_keys: tuple[str, ...] = ("email", "phone")
    first_scan: str | None = None
    """The position at which a connection's first complete ``scan`` begins, where the CRM has another way for large
    ones. What it shows may be older than the page: it is read again before it is overwritten."""
    links_to_contact: Mapping[str, str] = field(default_factory=dict)
    """Other record types that the same methods reach though they do not sync -> the field of each that names the
    contacts it belongs to (several ids where its definition is ``multiple``)."""
    batches_in_flight: int = 1
    """How many batches ``fetch``, ``create`` and ``update`` have on their way at once: where so many records wait, a
    page of writes fills them."""
    bulk_writes: int = 0
    """How many records one ``create`` or ``update`` takes in place of a page where so many wait; 0: no more."""


@dataclass(frozen=True, slots=True)
class Account:
    """The CRM account behind the credentials."""

    remote_account_id: str
    name: str
    url: str = ""
    time_zone: str = ""
    user_id: str = ""
    """Whose credentials they are; empty where it makes no difference."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a scan. ``next`` None ends it; any other text goes into the following call unread."""

    records: tuple[RemoteRecord, ...]
    next: str | None
    server_time: datetime | None = None
    """The CRM's clock when it answered."""
    read_ahead: bool = False
    """It was asked for at ``Connector.expect``, before the call that returned it."""


@dataclass(frozen=True, slots=True)
class CreateItem:
    key: str
    marker: str
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class UpdateItem:
    key: str
    remote_id: str
    values: Mapping[str, Value]
    unchanged_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class ItemResult:
    """The outcome of one item of a write.

    ``error`` None: written. ``record`` then holds the id and the values that the answer carried
    (fields that it did not carry are absent). ``refused`` names fields that were left out or
    refused while the rest of the item was written.
    """

    key: str
    record: RemoteRecord | None = None
    error: CrmError | None = None
    refused: Mapping[str, FieldRefusal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One entry of a CRM's field history."""

    value: Value
    at: datetime
    imported: bool = False
    by_us: bool = False


class Connector(Protocol):
    """One connection's CRM. Every method may raise any ``CrmError`` but those it turns into item results."""

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def calls(self) -> int:
        """Requests sent so far by this connector object."""
        ...

    def account(self) -> Account:
        """Cheapest call that names the account; raises AuthorizationExpiredError when it cannot."""
        ...

    def describe(self, record_type: str) -> Sequence[FieldDefinition]:
        """All fields the credentials can see. A hidden field is simply not listed."""
        ...

    def prepare(self, record_type: str) -> bool:
        """Make the marker field when it is missing. Idempotent; False when the account does not let us."""
        ...

    def scan(self, record_type: str, fields: Sequence[str], after: str | None) -> Page:
        """All live records in a stable order by id; records created meanwhile appear at the end."""
        ...

    def expect(self, record_type: str, fields: Sequence[str], after: str) -> None:
        """The next call will be this ``scan``: a connector may ask for the page meanwhile. Raises no ``CrmError``.

        What is not called for next is forgotten, and so is what failed: the scan asks then.
        """
        ...

    def changes(self, record_type: str, fields: Sequence[str], since: datetime, after: str | None) -> Page:
        """Every record with a modification stamp at or after ``since``, in a stable order.

        A record changed during the walk may be missed by it: it has a newer stamp then, and the
        next walk finds it as long as ``since`` is not moved past this walk's first server time.
        """
        ...

    def fetch(self, record_type: str, remote_ids: Sequence[str], fields: Sequence[str]) -> Mapping[str, RemoteRecord]:
        """Direct reads, never a search index. Every id asked for is in the answer.

        A merged-away id answers with state MERGED and ``merged_into``; a deleted one ARCHIVED
        where the CRM still shows it, else MISSING.
        """
        ...

    def find_by_markers(
        self, record_type: str, markers: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord]:
        """Direct reads by our markers, ``read_batch`` a request where the CRM can. What has no record, or is none's
        alone, is not in the answer. Only meaningful where ``capabilities.marker_lookup``.
        """
        ...

    def field_history(
        self, record_type: str, remote_ids: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, Mapping[str, Sequence[FieldChange]]]:
        """Remote id -> field -> changes, newest first. Empty where the CRM keeps none."""
        ...

    def create(self, record_type: str, items: Sequence[CreateItem]) -> Mapping[str, ItemResult]:
        """By key. A lost answer is an item with OutcomeUnknownError; an existing record one with
        DuplicateRecordError. Never sends an item twice.
        """
        ...

    def update(self, record_type: str, items: Sequence[UpdateItem]) -> Mapping[str, ItemResult]:
        """By key. Writes exactly the given fields; ``None`` clears."""
        ...

    def delete(self, record_type: str, items: Sequence[UpdateItem]) -> Mapping[str, ItemResult]:
        """By key (``values`` are empty). Deleting what is gone already succeeds."""
        ...


class Unit(Protocol):
    """One transaction of one connection, opened by ``SyncStore.unit``.

    Everything is scoped to the connection (and so to its organization). Bulk methods take whole
    pages and run a constant number of statements. Nothing is visible to others before the block
    ends, and nothing stays when it raises.
    """

    # the run
    def load_run(self, run_id: str) -> RunState:
        """Raises LookupError for a run that the connection does not have."""
        ...

    def save_run(self, run: RunState) -> None:
        """Progress and counts; ``cancel_requested`` is never written back."""
        ...

    def now(self) -> datetime:
        """The database's clock."""
        ...

    # observe
    def links_for_records(self, record_type: str, remote_ids: Sequence[str]) -> list[LinkView]:
        """Link rows in any state whose remote id is one of these, with their contacts."""
        ...

    def links_for_contacts(self, record_type: str, contact_ids: Sequence[str]) -> list[LinkView]:
        """Link rows in any state of these contacts."""
        ...

    def links(self, link_ids: Sequence[str]) -> list[LinkView]:
        """These link rows, in any state; unknown ids are absent."""
        ...

    def links_of(
        self,
        record_types: Sequence[str],
        contact_ids: Sequence[str],
        remote_ids: Sequence[str],
        link_ids: Sequence[str],
    ) -> list[LinkView]:
        """Link rows in any state: these ids, and those of these types with one of the contacts or records."""
        ...

    def contacts(self, contact_ids: Sequence[str]) -> dict[str, AppContact]:
        """Unknown ids are absent; deleted and merged contacts are there with their state."""
        ...

    def app_changes(self, contact_ids: Sequence[str]) -> dict[str, dict[str, Interval]]:
        """Contact id -> app field -> when it last changed, from the change log with its origin."""
        ...

    def save_observations(
        self, run_id: str, observations: Sequence[Observation], read_at: datetime | None = None
    ) -> set[str]:
        """Insert or replace. For a linked record the link's ``observed`` is set and it becomes ``due``;
        ``seen`` is stamped with the run and the database's time either way.

        ``read_at``: database time before the records were read. A link that was saved since then knows
        more than they do: it is left as it is, and its id returned.
        """
        ...

    def mark_seen(self, run_id: str, seen: Mapping[str, int]) -> None:
        """Link id -> contact version. These links were looked at and nothing is to be done: stamps
        the run and the time, sets the synced version and clears ``due``. One statement.
        """
        ...

    def add_lines(self, run_id: str, plan_id: str, actions: Sequence[Action]) -> None: ...

    # pair
    def unpaired_records(self, run_id: str, record_type: str, after: str, limit: int) -> list[Observation]:
        """Live observed records without any link row, without a line that waits for approval, and that no
        line of the run's plan links, follows or creates from, by remote id after ``after``: those that
        this run has seen, and those whose open question has an answer. Each with its open question.
        """
        ...

    def unpaired_contacts(
        self, record_type: str, after: str, limit: int, *, recheck_matches: bool, marked: bool = False
    ) -> list[LoneContact]:
        """Live contacts without link row of any record type, or with a PENDING one of this type
        that is due (contact changed since its synced version, or next attempt reached, or, with
        ``recheck_matches``, an error code ``match.*``), by contact id after ``after``, each with its
        PENDING row and the open match question of that. Never excluded ones, nor those with an open
        create intent or a line that waits for approval.
        """
        ...

    def key_hits(
        self, record_type: str, email_keys: Iterable[str], phone_keys: Iterable[str]
    ) -> tuple[dict[str, KeyHit], dict[str, KeyHit]]:
        """By e-mail key and by phone key. A key without any hit is absent."""
        ...

    def open_creates(self, record_type: str) -> list[Intent]:
        """Creates of this connection that are sent or unknown."""
        ...

    def named_contacts(self, plan_id: str, record_type: str, contact_ids: Sequence[str]) -> dict[str, str]:
        """Those of these contacts that are spoken for: contact id -> '' where a line of the plan is about
        it or asks about it, else the lowest id (by code points) of the records whose open match question
        names it as a candidate.
        """
        ...

    # due work
    def phases_with_work(
        self,
        run_id: str,
        record_type: str,
        phases: Sequence[Phase],
        *,
        recheck_matches: bool,
        marked: bool = False,
    ) -> set[Phase]:
        """Those of MISSING, CHANGED, PAIR and UNPAIRED whose first page would not be empty now. One statement.

        With ``marked`` also those of which ``mark_changed`` would have to tell.
        """
        ...

    def mark_changed(self) -> bool:
        """Mark what every committed change of a contact asks of this connection, one bounded part a call: False
        while there is more. No change is missed, however late its transaction commits.

        Once it has returned True, ``marked`` pages hold what the others do as far as contacts are concerned,
        and cost what has changed, not what there is.
        """
        ...

    def due_links(self, record_type: str, after: str, limit: int, *, marked: bool = False) -> list[LinkView]:
        """Live links whose contact version is above the synced version, that are ``due``, have an
        answered conflict, or whose next attempt has come; by link id after ``after``.
        """
        ...

    def missing_links(self, run_id: str, record_type: str, after: str, limit: int) -> list[LinkView]:
        """Live links that this run's complete scan has not seen, by link id after ``after``."""
        ...

    # guard and apply
    def plan_totals(self, run_id: str, plan_id: str) -> PlanTotals: ...

    def hold_lines(self, plan_id: str, codes: Sequence[str]) -> int:
        """Hold the lines the named brakes stop: ``brake.deletions`` (deletes and blanks),
        ``brake.creations`` (creates), ``brake.empty_source`` and ``brake.first_sync`` (all).
        """
        ...

    def claim_lines(self, plan_id: str, stage: int, limit: int) -> list[PlanLine]:
        """Planned lines of that stage whose record nobody else works on, claimed for this worker.

        A claim is a committed row with the database's clock and ends by itself; ``confirm`` time
        checks that it is still ours (``check_claims``).
        """
        ...

    def check_claims(self, lines: Sequence[PlanLine]) -> None:
        """Raise LeaseLostError when any claim is no longer ours; else keep the rows locked."""
        ...

    def record_intents(self, intents: Sequence[Intent]) -> None:
        """Stored as ``sent``. At most one open intent a record: raises LeaseLostError otherwise."""
        ...

    def take_open_intents(self, limit: int) -> list[Intent]:
        """Intents sent or unknown whose worker is gone, claimed for this one."""
        ...

    def lock_open_intents(self, intent_ids: Sequence[str]) -> set[str]:
        """Those of them that are sent or unknown still; nobody else settles them before the unit ends."""
        ...

    def settle_intents(self, settled: Sequence[tuple[str, IntentStatus, str]]) -> None:
        """(intent id, status, error code)."""
        ...

    def write_contacts(self, writes: Sequence[ContactWrite]) -> dict[str, int]:
        """Contact id -> version after the write. A contact that moved on meanwhile is absent."""
        ...

    def save_links(self, links: Sequence[Link]) -> dict[str, str]:
        """Insert or replace by ``link_id``; clears the observation where ``observed`` is None.
        Returns link id -> '' or a code (``match.taken``) where a unique rule refused it.
        """
        ...

    def add_ledger(self, run_id: str, entries: Sequence[LedgerEntry]) -> None: ...

    def ledger_of(self, run_id: str, after: str, limit: int) -> list[tuple[str, LedgerEntry]]:
        """(entry id, entry) of a run, newest first, below entry id ``after`` ('' begins)."""
        ...

    def save_conflicts(self, run_id: str, changes: Sequence[ConflictChange]) -> int:
        """Open, refresh (same question, other values) and close; returns how many were opened."""
        ...

    def settle_lines(self, results: Sequence[LineResult]) -> None:
        """Also gives back their claims."""
        ...

    def lines(self, plan_id: str, status: LineStatus, after: str, limit: int) -> list[PlanLine]: ...

    # cursors
    def cursor(self, record_type: str) -> datetime | None:
        """The stream's watermark; None before the first complete scan."""
        ...

    def save_cursor(self, record_type: str, watermark: datetime) -> None:
        """Never moves backwards."""
        ...

    def finish_scan(self, run_id: str, record_type: str) -> None:
        """The complete scan ended: observations of records that neither it nor, since the run was started, another
        run has seen are dropped, and so are the keys of those that outlived their link.
        """
        ...


class SyncStore(Protocol):
    """One connection's state."""

    def unit(self, run_id: str = "") -> AbstractContextManager[Unit]:
        """Open a transaction. Raises LeaseLostError when the worker's lease is no longer valid.

        ``run_id``: what ``load_run`` will ask for first, so that opening may bring it along.
        """
        ...

    def new_id(self) -> str:
        """A fresh UUID, time-ordered where possible."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """When a request may be sent."""

    wait_seconds: float = 0.0
    """0.0: now. Else ask again after it, with this turn."""
    ticket: str = ""


class Limiter(Protocol):
    """Request budgets shared by all workers of all organizations on one CRM account."""

    def acquire(self, budget: str, cost: int = 1, turn: Turn | None = None) -> Turn:
        """Reserve ``cost`` and a place in the queue; with a ``turn`` that was waited for, take its place.

        Raises RateLimitedError when the wait is longer than a worker should sit out; nothing is reserved then.
        """
        ...

    def late(self, budget: str, turn: Turn, seconds: float) -> None:
        """The CRM may have counted the request of ``turn`` so much later than others of its kind."""
        ...

    def observe(self, headers: Mapping[str, str]) -> None:
        """Learn limits and use from an answer's headers."""
        ...

    def exhausted(self, budget: str, retry_after_seconds: float) -> None:
        """The CRM said no: nobody sends on this budget before then."""
        ...
