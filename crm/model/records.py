"""Contacts, remote records, what links them, and what was seen of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from crm.model.values import Interval, Value
from crm.model.words import (
    ConflictKind,
    ContactState,
    DeletionPolicy,
    DriftRule,
    LinkState,
    RemoteState,
    Side,
    Strategy,
)


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
