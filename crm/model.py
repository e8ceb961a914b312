"""The values that the engine, the mapping, the connectors and the stores exchange.

Nothing here does anything: frozen records and closed sets of words. The vocabulary is the
project's glossary (see ``crm/README.md``): *contact* is ours, *remote record* theirs, *link* the
pair, *base* what both sides last agreed on.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

Value = str | bool | int | float | None | tuple[str, ...]
"""A field value in JSON terms. ``None`` is blank; a list of words is a tuple."""


class Unknown(enum.Enum):
    """Not readable, or not in the answer: neither blank nor equal to anything."""

    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown.UNKNOWN
Seen = Value | Unknown
"""What was seen of a field: a value, or that it could not be seen."""


class Direction(enum.StrEnum):
    TO_CRM = "to_crm"
    FROM_CRM = "from_crm"
    BIDIRECTIONAL = "bidirectional"


class Side(enum.StrEnum):
    """Where an effect lands."""

    APP = "app"
    CRM = "crm"


class Strategy(enum.StrEnum):
    """Who wins when both sides changed a field to different values."""

    ADSAPP_WINS = "adsapp_wins"
    CRM_WINS = "crm_wins"
    NEWEST_WINS = "newest_wins"
    MANUAL = "manual"


class BlankRule(enum.StrEnum):
    PROPAGATE = "propagate"
    """A value cleared by a person on one side is cleared on the other."""
    NEVER = "never"
    """A cleared side keeps its blank, the other keeps its value: an agreed difference."""


class AppliesTo(enum.StrEnum):
    """For which records a changed mapping is."""

    EXISTING = "existing"
    """Existing records too: they are brought into step by the next complete run."""
    NEW = "new"
    """Only from now on: what stands is left as it is, and the next edit goes by the new rules."""


class DriftRule(enum.StrEnum):
    """What happens to the side that a one-way field does not listen to."""

    SHOW = "show"
    WRITE_BACK = "write_back"


class DeletionPolicy(enum.StrEnum):
    """What a deletion on one side does to the other."""

    UNLINK = "unlink"
    ARCHIVE = "archive"
    DELETE = "delete"


class LinkState(enum.StrEnum):
    LIVE = "live"
    PENDING = "pending"
    """No remote record yet: its creation failed, waits or is excluded. ``remote_id`` is empty."""
    UNLINKED = "unlinked"
    DELETED_IN_APP = "deleted_in_app"
    DELETED_IN_CRM = "deleted_in_crm"
    SUPERSEDED = "superseded"


class Mode(enum.StrEnum):
    OBSERVE = "observe"
    """Plans and shows, never writes."""
    SYNC = "sync"


class RemoteState(enum.StrEnum):
    LIVE = "live"
    ARCHIVED = "archived"
    """Deleted, and the CRM says so."""
    MERGED = "merged"
    """Merged or converted into ``RemoteRecord.merged_into``."""
    MISSING = "missing"
    """The CRM does not know the id: deleted for good, or not visible to us."""
    ERASED = "erased"
    """Deleted because the person asked (privacy deletion)."""


class ContactState(enum.StrEnum):
    LIVE = "live"
    DELETED = "deleted"
    MERGED = "merged"
    ERASED = "erased"


class ConflictKind(enum.StrEnum):
    FIELD = "field"
    DELETE_EDIT = "delete_edit"
    MATCH = "match"
    MERGE = "merge"


@dataclass(frozen=True, slots=True)
class Interval:
    """When something changed: after ``earliest`` (or unknown) and not after ``latest``."""

    earliest: datetime | None
    latest: datetime | None
    imported: bool = False
    """The time of an import says nothing about when a person edited the value."""


@dataclass(frozen=True, slots=True)
class FieldDefinition:
    """One field as the CRM's own description gives it."""

    name: str
    label: str
    kind: str
    """One of the mapping's kinds (``crm.mapping.kinds``): text, email, phone, number, boolean, ..."""
    remote_type: str
    """The CRM's own type word; with ``name`` it identifies the definition."""
    writable: bool = True
    createable: bool = True
    required: bool = False
    unique: bool = False
    custom: bool = False
    max_length: int | None = None
    options: tuple[tuple[str, str], ...] = ()
    """(internal value, label) for picklists; empty when free or not listed."""
    multiple: bool = False
    native_id: str = ""
    """The CRM's id of the field where it has one apart from the name (Pipedrive)."""

    @property
    def fingerprint(self) -> str:
        """Changes when the field became another one: the base of its mapping is dropped then."""
        return f"{self.name}:{self.remote_type}:{self.native_id}"


@dataclass(frozen=True, slots=True)
class AppContact:
    """A contact of ours as the engine sees it.

    ``values`` is keyed by the guide's camelCase field names (``firstName``, ``custom.tier``).
    """

    contact_id: str
    version: int
    values: Mapping[str, Value]
    state: ContactState = ContactState.LIVE
    merged_into: str = ""


@dataclass(frozen=True, slots=True)
class RemoteRecord:
    """A record of theirs. A field that is absent from ``values`` is unknown, not blank."""

    record_type: str
    remote_id: str
    values: Mapping[str, Value]
    modified_at: datetime | None = None
    """The CRM's own modification stamp."""
    created_at: datetime | None = None
    state: RemoteState = RemoteState.LIVE
    merged_into: str = ""
    former_ids: tuple[str, ...] = ()
    """Ids of records that were merged into this one."""
    marker: str = ""
    """Our marker ``<organization id>:<contact id>`` when the record carries one."""
    by_us: bool | None = None
    """The CRM says that we were the last to write it; ``None`` when it does not tell."""
    skip_reason: str = ""
    """A catalogue code when this record cannot be synced by its nature (a person account)."""


@dataclass(frozen=True, slots=True)
class BasePair:
    """What both sides held when a field was last confirmed to correspond."""

    app: Value
    crm: Value
    definition: str
    """Fingerprint of the CRM field when the pair was confirmed."""
    unread: bool = False
    """The field could not be read at some time since: a blank seen later is no deletion."""
    version: int = 0
    """``FieldMap.version`` that the pair was agreed under."""


@dataclass(frozen=True, slots=True)
class FieldTrouble:
    """A field of one record that cannot be synced: dead-lettered until a value, mapping or schema changes."""

    code: str
    side: Side
    """The side that refuses."""
    value_digest: str
    """Digest of the refused value: another value is tried again."""
    definition: str = ""
    provider_message: str = ""


@dataclass(frozen=True, slots=True)
class Flips:
    """How often a field went back and forth between the same two values (fight detector)."""

    pair: tuple[str, str]
    """Digests of the two values in the CRM's form, sorted."""
    count: int
    side: Side
    """The side written last: only a value that comes back from the other side is a flip."""


@dataclass(frozen=True, slots=True)
class Link:
    """The pair of a contact and a remote record: one row of ``crm_sync_state``."""

    link_id: str
    contact_id: str
    record_type: str
    remote_id: str
    state: LinkState = LinkState.LIVE
    base: Mapping[str, BasePair] = field(default_factory=dict)
    """Keyed by mapping id."""
    synced_version: int = 0
    """Contact version that the base was last confirmed against."""
    remote_modified_at: datetime | None = None
    """The CRM's stamp of the last record the base was confirmed against."""
    observed_at: datetime | None = None
    """Database time when the record was last read."""
    observed: Mapping[str, Value] | None = None
    """The last record seen where it differs from the base, else ``None``."""
    due: bool = False
    """Seen to need work that is not done yet (planned, stale or dropped lines): the next run looks again."""
    troubles: Mapping[str, FieldTrouble] = field(default_factory=dict)
    flips: Mapping[str, Flips] = field(default_factory=dict)
    error_code: str = ""
    attempts: int = 0
    next_attempt_seconds: float | None = None
    """When saving: try again this long after now, by the store's clock; ``None`` leaves no retry."""
    superseded_by: str = ""


@dataclass(frozen=True, slots=True)
class Resolution:
    """A person's answer to a conflict; it applies only while the values it was shown still hold."""

    conflict_id: str
    side: Side | None
    """The side whose value is kept; ``None`` when ``value`` was typed."""
    value: Value = None
    shown_app: Value = None
    shown_crm: Value = None


@dataclass(frozen=True, slots=True)
class OpenConflict:
    """An open question about a link, a contact or a record."""

    conflict_id: str
    kind: ConflictKind
    mapping_id: str
    """Empty for record questions."""
    app_value: Value = None
    crm_value: Value = None
    code: str = ""
    candidates: tuple[str, ...] = ()
    """match, merge: as in the draft that asked."""
    create: bool = False
    """match: a person answered "none of these", while the question stands as it was shown."""


@dataclass(frozen=True, slots=True)
class LinkView:
    """Everything the planner needs to know about one link."""

    link: Link
    contact: AppContact
    held: bool = False
    """An intent on the record is sent or unknown, or a line for it waits for approval: nothing is
    planned until that is settled."""
    conflicts: tuple[OpenConflict, ...] = ()
    resolutions: Mapping[str, Resolution] = field(default_factory=dict)
    """Mapping id ('' for the record) -> answer. A match is answered on its question."""
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of when the contested fields of one link changed."""

    app: Mapping[str, Interval] = field(default_factory=dict)
    """By app field, from our own change log."""
    crm: Mapping[str, Interval] = field(default_factory=dict)
    """By remote field, from the CRM's field history where it has one."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The connection's rules, as the planner applies them."""

    strategy: Strategy = Strategy.NEWEST_WINS
    tie_rule: Strategy = Strategy.MANUAL
    """For newest_wins without evidence; never itself newest_wins."""
    clock_skew_seconds: float = 60.0
    on_app_deleted: DeletionPolicy = DeletionPolicy.UNLINK
    on_crm_deleted: DeletionPolicy = DeletionPolicy.UNLINK
    drift: DriftRule = DriftRule.SHOW
    create_in_crm: bool = True
    create_in_app: bool = True
    fight_limit: int = 3
    max_attempts: int = 3
    """Automatic attempts for a record that the CRM refuses; then a person."""
    max_share_deleted: float = 0.10
    max_count_deleted: int = 5
    max_share_created: float = 0.20
    max_count_created: int = 500


class ActionKind(enum.StrEnum):
    SYNC = "sync"
    """Fields of a live link: written to either side, or their base confirmed."""
    LINK = "link"
    """A contact and a record that exist become a pair, then their fields as in SYNC."""
    CREATE_IN_CRM = "create_in_crm"
    CREATE_IN_APP = "create_in_app"
    UNLINK = "unlink"
    """The pair ends; no value is written. ``link_state`` says why."""
    DELETE_IN_CRM = "delete_in_crm"
    DELETE_IN_APP = "delete_in_app"
    RELINK = "relink"
    """The record was merged into ``remote_id``; the link follows, then fields as in SYNC."""
    REVIEW = "review"
    """A person is asked; nothing is written to either side."""


class Rule(enum.StrEnum):
    """Why a field got its value: the word in the ledger."""

    APP_CHANGED = "app_changed"
    CRM_CHANGED = "crm_changed"
    AGREED = "agreed"
    """Both sides correspond: only the base is confirmed."""
    FILLED = "filled"
    """One side was blank and nothing had been agreed before."""
    ADSAPP_WINS = "adsapp_wins"
    CRM_WINS = "crm_wins"
    NEWEST_WINS = "newest_wins"
    TIE = "tie"
    """newest_wins could not know: the connection's tie rule decided."""
    ONE_WAY = "one_way"
    """The mapping has one direction and the other side had changed too."""
    WRITTEN_BACK = "written_back"
    """A one-way field's drift was overwritten."""
    OPT_OUT_WINS = "opt_out_wins"
    AGREED_DIFFERENCE = "agreed_difference"
    UNREADABLE = "unreadable"
    """The field can no longer be read: the base is kept and marked ``unread``."""
    CHOSEN = "chosen"
    """A person resolved a conflict."""
    UNDO = "undo"
    MAPPING_CHANGED = "mapping_changed"
    """The mapping was changed and a person asked for it in existing records too."""
    FROM_NOW_ON = "from_now_on"
    """The mapping was changed for what comes from now on: what stood when it was changed is left as it is."""
    CREATED = "created"
    MERGED = "merged"
    DELETED = "deleted"
    MATCHED_MARKER = "matched_marker"
    MATCHED_EMAIL = "matched_email"
    MATCHED_PHONE = "matched_phone"
    MATCHED_MADE = "matched_made"
    """Nothing else tells, and the record holds what a create without an answer had sent for this contact."""
    EXISTING_IN_CRM = "existing_in_crm"
    """The CRM answered a create with the id of the record that it already has."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What happens to one field. ``side`` None: nothing is written, the pair becomes the base."""

    mapping_id: str
    app_field: str
    remote_field: str
    side: Side | None
    before: Value
    after: Value
    rule: Rule
    app_value: Value
    """The app's half of the base once this is confirmed."""
    crm_value: Value
    """The CRM's half; for a push the value that the write returns takes its place."""
    lost: Value = None
    """The value of a person that this effect overrules (rows 6, 9): kept for "why"."""
    overrules: bool = False

    @property
    def blanks(self) -> bool:
        """True when a value is overwritten by blank."""
        return self.side is not None and self.after in (None, "", ()) and self.before not in (None, "", ())


@dataclass(frozen=True, slots=True)
class ConflictDraft:
    """A question to open, or to refresh when it is open with other values."""

    kind: ConflictKind
    mapping_id: str = ""
    app_field: str = ""
    base_app: Value = None
    base_crm: Value = None
    agreed: bool = True
    """False: the sides never agreed on this field, so ``base_app`` and ``base_crm`` are no blanks."""
    app_value: Value = None
    crm_value: Value = None
    app_changed: Interval | None = None
    crm_changed: Interval | None = None
    code: str = ""
    """A catalogue code that says what the question is about."""
    candidates: tuple[str, ...] = ()
    """match, merge: ``contact:<id>`` and ``record:<id>`` that could be the same person."""


@dataclass(frozen=True, slots=True)
class Precondition:
    """What a line was computed from; an approved line applies only while all of it still holds."""

    app_version: int = 0
    remote_digest: str = ""
    base_digest: str = ""
    rules_digest: str = ""
    """Digest of mapping and policy."""
    unmatched: bool = False
    """For a create: neither side has a match."""
    remote_modified_at: datetime | None = None
    """The CRM's stamp of the record it was computed from; the link takes it when confirmed."""


@dataclass(frozen=True, slots=True)
class Action:
    """What is to happen to one pair; the planner's result and a plan line's content."""

    kind: ActionKind
    record_type: str
    contact_id: str = ""
    remote_id: str = ""
    link_id: str = ""
    rule: Rule = Rule.AGREED
    effects: tuple[Effect, ...] = ()
    conflicts: tuple[ConflictDraft, ...] = ()
    closes: tuple[str, ...] = ()
    """Ids of open conflicts whose question no longer exists, or that were answered."""
    troubles: Mapping[str, FieldTrouble] = field(default_factory=dict)
    """Mapping id -> a field that cannot be expressed for the other side."""
    link_state: LinkState = LinkState.LIVE
    """State of the link afterwards."""
    superseded: tuple[str, ...] = ()
    """RELINK: ids of other links that this one supersedes."""
    before: Precondition = field(default_factory=Precondition)
    explicit: bool = False
    """The wanted values stand in the effects (undo, a person's choice) instead of following from the base."""
    tag: str = ""
    """A tag the contact gets (unlinked because the record was deleted)."""
    code: str = ""
    """REVIEW: the catalogue code that says why nothing is done."""

    @property
    def pushes(self) -> tuple[Effect, ...]:
        return tuple(effect for effect in self.effects if effect.side is Side.CRM)

    @property
    def pulls(self) -> tuple[Effect, ...]:
        return tuple(effect for effect in self.effects if effect.side is Side.APP)

    @property
    def stage(self) -> int:
        """Lines are applied in the order of their stage; a page never mixes two."""
        match self.kind:
            case ActionKind.CREATE_IN_APP:
                return 1
            case ActionKind.CREATE_IN_CRM:
                return 3
            case ActionKind.DELETE_IN_APP | ActionKind.DELETE_IN_CRM:
                return 4
            case _:
                return 2 if self.pushes else 0

    @property
    def deletes(self) -> bool:
        """Counted by the deletion brake."""
        return self.kind in (ActionKind.DELETE_IN_APP, ActionKind.DELETE_IN_CRM) or (
            self.kind is ActionKind.UNLINK and self.link_state in (LinkState.DELETED_IN_APP, LinkState.DELETED_IN_CRM)
        )

    @property
    def blanks(self) -> bool:
        return any(effect.blanks for effect in self.effects)


class LineStatus(enum.StrEnum):
    PLANNED = "planned"
    HELD = "held"
    """Waits for a recorded approval (brake, or a first sync)."""
    APPLIED = "applied"
    STALE = "stale"
    """Its precondition no longer held; the record is planned again."""
    FAILED = "failed"
    UNKNOWN = "unknown"
    """Sent, answer lost; settled by look-up."""
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class PlanLine:
    line_id: str
    action: Action
    status: LineStatus = LineStatus.PLANNED
    approved: bool = False


SET_ASIDE = "record.quarantined"
"""Reason code of a record at which the worker itself fails; it stands until the record changes."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A remote record as it was last seen, kept where the base does not already say it."""

    record: RemoteRecord
    link_id: str = ""
    email_key: str = ""
    phone_key: str = ""
    reason_code: str = ""
    """Why an unpaired record is not synced, if so."""
    question: OpenConflict | None = None
    """What is asked about an unpaired record, if something is."""


@dataclass(frozen=True, slots=True)
class LoneContact:
    """A contact without a record, with the PENDING row it waits on, if any, and what is asked about it."""

    contact: AppContact
    link: Link | None = None
    question: OpenConflict | None = None


@dataclass(frozen=True, slots=True)
class KeyHit:
    """What the store knows about one match key, over everything observed on both sides."""

    contacts: tuple[str, ...]
    """Ids of live contacts with this key (at most three are listed)."""
    free_contacts: tuple[str, ...]
    """Those of them without a link row of this record type, or with a PENDING one."""
    records: tuple[str, ...]
    """Remote ids of live records with this key: observed, linked, unlinked, and those that were seen after their
    link had ended (at most three are listed)."""
    free_records: tuple[str, ...]
    creating: tuple[str, ...] = ()
    """Contacts with this key whose create is sent or unknown."""


class IntentKind(enum.StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class IntentStatus(enum.StrEnum):
    SENT = "sent"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    RESOLVED = "resolved"
    """Looked up: it had not happened, or a later write replaced it."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A remote write, journalled before it is sent."""

    intent_id: str
    kind: IntentKind
    action: Action
    values: Mapping[str, Value]
    """Remote field -> the value sent."""
    app_version: int
    status: IntentStatus = IntentStatus.SENT
    marker: str = ""
    line_id: str = ""
    run_id: str = ""
    error_code: str = ""


@dataclass(frozen=True, slots=True)
class ContactWrite:
    """A write to our side. ``expected_version`` None creates the contact with this id."""

    contact_id: str
    expected_version: int | None
    values: Mapping[str, Value]
    """App field -> value; custom fields as ``custom.<key>``."""
    delete: bool = False
    restore: bool = False
    add_tag: str = ""
    changed_at: Mapping[str, Interval] = field(default_factory=dict)
    """App field -> the CRM's own interval: the evidence that other connections will see."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One record and action with its field effects: the answer to "why is this so?"."""

    action: Action
    """As applied: effects hold the values that were really written and returned."""
    link_id: str
    contact_id: str
    remote_id: str
    intent_id: str = ""
    contact_version: int = 0
    """Version of the contact after this."""


@dataclass(frozen=True, slots=True)
class LineResult:
    line_id: str
    status: LineStatus
    code: str = ""


@dataclass(frozen=True, slots=True)
class ConflictChange:
    """Conflicts to open, refresh and close for one link, contact or record."""

    link_id: str
    contact_id: str
    record_type: str
    remote_id: str
    drafts: tuple[ConflictDraft, ...] = ()
    closes: tuple[str, ...] = ()


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


JsonObject = dict[str, Any]
