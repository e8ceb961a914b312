"""The closed sets of words: directions, strategies, policies and states."""

from __future__ import annotations

import enum


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
