"""What is to be done, as planned, and what became of it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from crm.model.records import FieldTrouble
from crm.model.values import Interval, Value
from crm.model.words import ConflictKind, LinkState, Side


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
