"""Creating records: journal, retries, matching, order."""

from __future__ import annotations

from crm.engine import lone, match, pair, run, send
from crm.model import (
    IntentKind,
    IntentStatus,
    Phase,
    RemoteState,
    RunKind,
)
from crm.testing import adversary, memory_locks
from tests.harness.simulate.mutants.registry import Patch, mutant


@mutant("I5")
def _create_then_save_the_link(patch: Patch) -> None:
    """Creates are not journalled: a worker that dies in between leaves no trace of the record."""
    honest, settle_one = memory_locks.Locks.open_intent, memory_locks.Locks.settle_intent

    def open_intent(self, intent):
        if intent.kind is not IntentKind.CREATE:
            honest(self, intent)

    def settle_intent(self, worker, intent_id, status, code):
        if intent_id in self.intents:
            settle_one(self, worker, intent_id, status, code)

    patch.set(memory_locks.Locks, "open_intent", open_intent)
    patch.set(memory_locks.Locks, "settle_intent", settle_intent)


@mutant("I5")
def _blind_retry(patch: Patch) -> None:
    """A write whose answer was lost counts as not sent."""
    honest = send.Sent.intent_status.fget

    def hasty(sent):
        status = honest(sent)
        return IntentStatus.RESOLVED if status is IntentStatus.UNKNOWN else status

    patch.set(send.Sent, "intent_status", property(hasty))


@mutant("I5", "I7", "I18", "I1", "I25", "I2")
def _first_hit_wins(patch: Patch) -> None:
    """Several contacts with one address: the first is taken for the person."""

    def first(remote_id, key, rule):
        free = key.free_contacts or key.contacts
        return match.Match(contact_id=free[0], rule=rule)

    patch.set(match, "_unique", first)


@mutant("I5")
def _search_after_create(patch: Patch) -> None:
    """A lost create is looked up in the search index."""

    def search(self, record_type, markers, fields):
        return {
            row.marker: self._show(row, fields)
            for row, version in self.crm.indexed()
            if row.marker in markers and version.state is RemoteState.LIVE and self.crm.nature.lag_seconds < 20
        }

    patch.set(adversary.AdversaryConnector, "find_by_markers", search)


@mutant("I5")
def _create_before_the_first_scan(patch: Patch) -> None:
    """Contacts without a link get their record before the CRM has been read."""
    order = (Phase.UNPAIRED, Phase.OBSERVE, Phase.MISSING, Phase.CHANGED, Phase.PAIR)
    plans = run._PLANS
    patch.set(run, "_PLANS", {**plans, RunKind.FULL: order})


@mutant("I5", "I25")
def _open_create_is_not_waited_for(patch: Patch) -> None:
    """A record that an open create may have made becomes a contact, and nothing notices that it was taken."""
    patch.set(pair, "may_come_from", lambda _record, _creates: False)
    patch.set(lone, "MADE_AND_TAKEN", "no such code")
