"""The closed sets of words that columns hold. Words of the core keep the core's spelling (a test holds them equal)."""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Role(TextChoices):
    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Administrator")
    OPERATOR = "operator", _("Operator")
    VIEWER = "viewer", _("Viewer")


class ConnectionStatus(TextChoices):
    """The API's four words."""

    ACTIVE = "active", _("Active")
    PAUSED = "paused", _("Paused")
    ERROR = "error", _("Error")
    DISCONNECTED = "disconnected", _("Disconnected")


class Health(TextChoices):
    """The states people see; nothing else is ever said of a connection."""

    SETTING_UP = "setting_up", _("Setting up")
    FIRST_SYNC = "first_sync", _("First sync")
    HEALTHY = "healthy", _("Healthy")
    LATE = "late", _("Late")
    NEEDS_ATTENTION = "needs_attention", _("Needs attention")
    WAITING_FOR_QUOTA = "waiting_for_quota", _("Waiting for quota")
    NEEDS_RECONNECT = "needs_reconnect", _("Needs reconnect")
    HELD = "held", _("Held")
    PAUSED = "paused", _("Paused")
    DISCONNECTED = "disconnected", _("Disconnected")


class SyncMode(TextChoices):
    OBSERVE = "observe", _("Observe: plan and show, never write")
    SYNC = "sync", _("Sync")


class SyncDirection(TextChoices):
    TO_CRM = "to_crm", _("To CRM")
    FROM_CRM = "from_crm", _("From CRM")
    BIDIRECTIONAL = "bidirectional", _("Both ways")


class ConflictStrategy(TextChoices):
    ADSAPP_WINS = "adsapp_wins", _("ADSapp wins")
    CRM_WINS = "crm_wins", _("CRM wins")
    NEWEST_WINS = "newest_wins", _("Newest wins")
    MANUAL = "manual", _("Manual")


class TieRule(TextChoices):
    """What decides where the newest cannot be known."""

    ADSAPP_WINS = "adsapp_wins", _("ADSapp wins")
    CRM_WINS = "crm_wins", _("CRM wins")
    MANUAL = "manual", _("Manual")


class BlankHandling(TextChoices):
    PROPAGATE = "propagate", _("A cleared value is cleared on the other side")
    NEVER = "never", _("Never blank the other side")


class DriftHandling(TextChoices):
    SHOW = "show", _("Show")
    WRITE_BACK = "write_back", _("Write back")


class MappingReach(TextChoices):
    EXISTING = "existing", _("Existing records too")
    NEW = "new", _("Only from now on")


class OnDeletion(TextChoices):
    UNLINK = "unlink", _("Unlink")
    ARCHIVE = "archive", _("Archive")
    DELETE = "delete", _("Delete")


class SyncType(TextChoices):
    FULL = "full", _("Full")
    DELTA = "delta", _("Delta")
    WEBHOOK = "webhook", _("Webhook")
    MANUAL = "manual", _("Manual")


class ConnectionEventKind(TextChoices):
    CONNECTED = "connected", _("Connected")
    RECONNECTED = "reconnected", _("Connected again")
    DISCONNECTED = "disconnected", _("Disconnected")
    PAUSED = "paused", _("Paused")
    RESUMED = "resumed", _("Resumed")
    BLOCKED = "blocked", _("Stopped by an error")
    HEALED = "healed", _("Works again")
    SETTINGS = "settings", _("Settings changed")
    SCHEMA = "schema", _("Fields changed in the CRM")
    ROUND_TRIP = "round_trip", _("Round trip tested")


class RunPurpose(TextChoices):
    SYNC = "sync", _("Sync")
    UNDO = "undo", _("Undo")
    APPLY_PLAN = "apply_plan", _("Apply an approved plan")
    MAPPING_CHANGE = "mapping_change", _("Apply a mapping change")


class RunTrigger(TextChoices):
    BEAT = "beat", _("Schedule")
    CRON = "cron", _("Cron call")
    USER = "user", _("Person")
    WEBHOOK = "webhook", _("Webhook")
    APP_CHANGE = "app_change", _("Change in ADSapp")
    RETRY = "retry", _("Retry")
    UNDO = "undo", _("Undo")
    PLAN = "plan", _("Approved plan")


class RunState(TextChoices):
    RUNNING = "running", _("Running")
    COMPLETED = "completed", _("Completed")
    FAILED = "failed", _("Failed")
    HELD = "held", _("Held")
    PARKED = "parked", _("Waiting for quota")
    CANCELLED = "cancelled", _("Cancelled")


class LinkStatus(TextChoices):
    LIVE = "live", _("Live")
    PENDING = "pending", _("Pending")
    UNLINKED = "unlinked", _("Unlinked")
    DELETED_IN_APP = "deleted_in_app", _("Deleted in ADSapp")
    DELETED_IN_CRM = "deleted_in_crm", _("Deleted in the CRM")
    SUPERSEDED = "superseded", _("Superseded")


class RecordState(TextChoices):
    LIVE = "live", _("Live")
    ARCHIVED = "archived", _("Archived")
    MERGED = "merged", _("Merged")
    MISSING = "missing", _("Missing")
    ERASED = "erased", _("Erased")


class PlanStatus(TextChoices):
    PLANNED = "planned", _("Planned")
    HELD = "held", _("Held")
    APPROVED = "approved", _("Approved")
    APPLIED = "applied", _("Applied")
    DROPPED = "dropped", _("Dropped")


class PlanLineStatus(TextChoices):
    PLANNED = "planned", _("Planned")
    HELD = "held", _("Held")
    APPLIED = "applied", _("Applied")
    STALE = "stale", _("Out of date")
    FAILED = "failed", _("Failed")
    UNKNOWN = "unknown", _("Outcome unknown")
    DROPPED = "dropped", _("Dropped")


class PlanLineKind(TextChoices):
    SYNC = "sync", _("Sync fields")
    LINK = "link", _("Link")
    CREATE_IN_CRM = "create_in_crm", _("Create in the CRM")
    CREATE_IN_APP = "create_in_app", _("Create in ADSapp")
    UNLINK = "unlink", _("Unlink")
    DELETE_IN_CRM = "delete_in_crm", _("Delete in the CRM")
    DELETE_IN_APP = "delete_in_app", _("Delete in ADSapp")
    RELINK = "relink", _("Follow a merge")
    REVIEW = "review", _("Ask a person")


class WriteKind(TextChoices):
    CREATE = "create", _("Create")
    UPDATE = "update", _("Update")
    DELETE = "delete", _("Delete")


class WriteStatus(TextChoices):
    SENT = "sent", _("Sent")
    CONFIRMED = "confirmed", _("Confirmed")
    REJECTED = "rejected", _("Rejected")
    UNKNOWN = "unknown", _("Outcome unknown")
    RESOLVED = "resolved", _("Resolved")


class QuestionKind(TextChoices):
    FIELD = "field", _("Field")
    DELETE_EDIT = "delete_edit", _("Deleted here, edited there")
    MATCH = "match", _("Match")
    MERGE = "merge", _("Merge")


class QuestionStatus(TextChoices):
    OPEN = "open", _("Open")
    ANSWERED = "answered", _("Answered")
    CLOSED = "closed", _("Closed")


class WebhookStatus(TextChoices):
    ACTIVE = "active", _("Active")
    FAILED = "failed", _("Failed")
    REMOVED = "removed", _("Removed")


class DeliveryStatus(TextChoices):
    RECEIVED = "received", _("Received")
    COALESCED = "coalesced", _("Covered by a later one")
    DONE = "done", _("Done")
    IGNORED = "ignored", _("Ignored")
    REJECTED = "rejected", _("Rejected")
    FAILED = "failed", _("Failed")


class AuditScope(TextChoices):
    SAMPLE = "sample", _("A sample")
    ALL = "all", _("Everything")


class AuditStatus(TextChoices):
    RUNNING = "running", _("Running")
    COMPLETED = "completed", _("Completed")
    FAILED = "failed", _("Failed")


class NoticeKind(TextChoices):
    """What people are told of, in the words that outgoing webhooks name it by."""

    CONNECTION_STATE = "connection.state", _("The state of a connection changed")
    RUN_FINISHED = "run.finished", _("A run finished")
    CONFLICT_OPENED = "conflict.opened", _("A conflict was opened")
    BRAKE_PULLED = "brake.pulled", _("The mass-change brake was pulled")
    DRIFT_FOUND = "drift.found", _("An audit found drift")
    WEBHOOK_OFF = "webhook.off", _("An outgoing webhook was switched off")
    TEST = "test", _("A test")


class MessageStatus(TextChoices):
    WAITING = "waiting", _("On its way")
    DELIVERED = "delivered", _("Delivered")
    GIVEN_UP = "given_up", _("Given up")
