"""The words, signs and tones of states. A state is never told by colour alone: it has a word and a sign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext_lazy as _

from adsapp_crm.models.choices import Health, PlanStatus, RunPurpose, RunState

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

GOOD, CALM, WAIT, WARN, BAD = "good", "calm", "wait", "warn", "bad"
_SIGNS: Final = {GOOD: "✓", CALM: "○", WAIT: "◔", WARN: "!", BAD: "✕"}


@dataclass(frozen=True, slots=True)
class Said:
    """A state as people see it."""

    word: str | _StrPromise
    tone: str
    meaning: str | _StrPromise = ""
    next: str | _StrPromise = ""

    @property
    def sign(self) -> str:
        return _SIGNS[self.tone]


_HEALTH: Final[Mapping[str, Said]] = {
    Health.SETTING_UP: Said(
        Health.SETTING_UP.label,
        CALM,
        _("Connected. Nothing has been written to either side yet."),
        _("Look at the mapping, then make the dry run of the first sync."),
    ),
    Health.FIRST_SYNC: Said(
        Health.FIRST_SYNC.label,
        WAIT,
        _("The first sync is being planned or carried out."),
        _("Nothing is written before its plan is approved."),
    ),
    Health.HEALTHY: Said(Health.HEALTHY.label, GOOD, _("The last run went well and no run is overdue."), ""),
    Health.LATE: Said(
        Health.LATE.label,
        WARN,
        _("No run has succeeded for longer than the interval allows."),
        _("It goes on by itself; sync now if you do not want to wait."),
    ),
    Health.NEEDS_ATTENTION: Said(
        Health.NEEDS_ATTENTION.label,
        WARN,
        _("Something in the set-up, or in single records, keeps a part from syncing; the rest goes on."),
        _("See the reason below."),
    ),
    Health.WAITING_FOR_QUOTA: Said(
        Health.WAITING_FOR_QUOTA.label,
        WAIT,
        _("The CRM's allowance of calls is used up."),
        _("It goes on by itself at the stated time."),
    ),
    Health.NEEDS_RECONNECT: Said(
        Health.NEEDS_RECONNECT.label,
        BAD,
        _("The CRM no longer accepts our log-in. Links and the position of the sync are kept."),
        _("Reconnect the same account: nothing is imported again."),
    ),
    Health.HELD: Said(
        Health.HELD.label,
        WARN,
        _("A plan would change more than the brake lets through unseen."),
        _("Look at the plan, then approve or drop it."),
    ),
    Health.PAUSED: Said(Health.PAUSED.label, CALM, _("A person paused it: no run is started."), _("Resume it.")),
    Health.DISCONNECTED: Said(
        Health.DISCONNECTED.label, CALM, _("The log-in was given up; links and history are kept."), _("Connect again.")
    ),
}

_RUN_TONES: Final[Mapping[str, str]] = {
    RunState.RUNNING: WAIT,
    RunState.COMPLETED: GOOD,
    RunState.FAILED: BAD,
    RunState.HELD: WARN,
    RunState.PARKED: WAIT,
    RunState.CANCELLED: CALM,
}

_ANSWERED_PLANS: Final = (PlanStatus.APPROVED, PlanStatus.APPLIED, PlanStatus.DROPPED)

RECORD_WORDS: Final[Mapping[str, Said]] = {
    "in_sync": Said(_("in sync"), GOOD),
    "pending": Said(_("pending"), WAIT),
    "excluded": Said(_("excluded"), CALM),
    "failing": Said(_("failing"), BAD),
    "conflict": Said(_("conflict"), WARN),
}

COUNTS: Final[tuple[tuple[str, _StrPromise], ...]] = (
    ("created_in_app", _("created in ADSapp")),
    ("created_in_crm", _("created in the CRM")),
    ("updated_in_app", _("updated in ADSapp")),
    ("updated_in_crm", _("updated in the CRM")),
    ("linked", _("linked")),
    ("unlinked", _("unlinked")),
    ("deleted_in_app", _("deleted in ADSapp")),
    ("deleted_in_crm", _("deleted in the CRM")),
    ("conflicts", _("conflicts opened")),
    ("failed", _("failed")),
    ("unknown", _("outcome unknown")),
    ("held", _("held for approval")),
    ("stale", _("out of date, planned anew")),
    ("unchanged", _("unchanged")),
)

RULES: Final[Mapping[str, _StrPromise]] = {
    "app_changed": _("Changed in ADSapp, so the CRM follows."),
    "crm_changed": _("Changed in the CRM, so ADSapp follows."),
    "agreed": _("Both sides agree."),
    "filled": _("One side was blank and took the other's value."),
    "adsapp_wins": _("Both had changed; the rule says that ADSapp wins."),
    "crm_wins": _("Both had changed; the rule says that the CRM wins."),
    "newest_wins": _("Both had changed; the newer edit won."),
    "tie": _("Both had changed and nobody can say which was newer; the tie rule decided."),
    "one_way": _("The mapping has one direction."),
    "written_back": _("The other side of a one-way field had drifted and was written back."),
    "opt_out_wins": _("Opted out on one side is opted out on both."),
    "agreed_difference": _("A difference that the blank rule allows."),
    "unreadable": _("The field can no longer be read; the agreed value is kept."),
    "chosen": _("A person chose."),
    "undo": _("Taken back by an undo."),
    "mapping_changed": _("The mapping was changed, for existing records too."),
    "from_now_on": _("Left as it stood when the mapping was changed; the next edit goes by the new rule."),
    "created": _("Created from the other side."),
    "merged": _("The CRM merged two records; the link followed."),
    "deleted": _("Deleted on the other side."),
    "matched_marker": _("Found by our own marker."),
    "matched_email": _("Found by the e-mail address."),
    "matched_phone": _("Found by the phone number."),
    "matched_made": _("Found by what an earlier write, whose answer was lost, had sent."),
    "existing_in_crm": _("The CRM had this record already."),
}

PHASES: Final[Mapping[str, _StrPromise]] = {
    "settle": _("Settling what was left open"),
    "observe": _("Reading the CRM"),
    "missing": _("Looking for records that are gone"),
    "changed": _("Comparing changed contacts"),
    "pair": _("Finding who is who"),
    "unpaired": _("Planning what only one side has"),
    "guard": _("Checking the plan against the brake"),
    "apply": _("Writing changes"),
    "finish": _("Finishing"),
    "done": _("Done"),
}


def health_said(health: str) -> Said:
    return _HEALTH.get(health, _HEALTH[Health.NEEDS_ATTENTION])


def run_said(run: Any) -> Said:
    """A run's state; of a dry run that has ended, that it only showed, and of a held one what became of its plan."""
    if run.status == RunState.HELD and run.plan is not None and run.plan.status in _ANSWERED_PLANS:
        return Said(PlanStatus(run.plan.status).label, CALM)
    word = RunState(run.status).label
    if run.status == RunState.COMPLETED and run.dry_run and run.purpose == RunPurpose.SYNC:
        word = _("Dry run done")
    if run.status == RunState.COMPLETED and run.dry_run and run.purpose == RunPurpose.UNDO:
        word = _("Undo planned")
    return Said(word, _RUN_TONES[run.status])


def record_said(state: str) -> Said:
    return RECORD_WORDS.get(state.replace(" ", "_"), RECORD_WORDS["pending"])
