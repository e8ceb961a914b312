"""Deleting and merging."""

from __future__ import annotations

from dataclasses import replace

from crm.engine import confirm, observe, run
from crm.model import (
    LinkState,
    Phase,
    RemoteState,
    RunKind,
)
from crm.testing import adversary
from tests.harness.simulate.mutants.registry import Patch, mutant


@mutant("I16", "I6", "I1", "I25")
def _deletion_from_a_partial_scan(patch: Patch) -> None:
    """What a delta does not show is deleted."""
    plans = run._PLANS
    order = (Phase.OBSERVE, Phase.MISSING, Phase.CHANGED, Phase.PAIR, Phase.UNPAIRED)
    patch.set(run, "_PLANS", {**plans, RunKind.DELTA: order})
    honest = adversary.AdversaryConnector.fetch

    def gone(self, record_type, remote_ids, fields):
        answer = honest(self, record_type, remote_ids, fields)
        if self.in_missing:
            return {key: replace(record, state=RemoteState.ARCHIVED) for key, record in answer.items()}
        return answer

    def missing(state, ports):
        ports.connector.in_missing = True
        try:
            return plan_missing(state, ports)
        finally:
            ports.connector.in_missing = False

    plan_missing = run.plan_missing
    adversary.AdversaryConnector.in_missing = False
    patch.set(adversary.AdversaryConnector, "fetch", gone)
    patch.set(run, "plan_missing", missing)


@mutant("I6", "I16")
def _not_found_is_deleted(patch: Patch) -> None:
    """An id that leads nowhere was deleted; nobody asks whether it was merged."""

    def unfollowed(subjects, book, ports):
        return [
            replace(subject, record=replace(subject.record, state=RemoteState.MISSING, merged_into=""))
            if subject.record.state is RemoteState.MERGED
            else subject
            for subject in subjects
        ]

    patch.set(observe, "_follow_merges", unfollowed)


@mutant("I6")
def _pull_resurrects(patch: Patch) -> None:
    """A contact whose record was deleted is free for another."""
    honest = confirm._link

    def freed(outcome, effects, versions, book, **options):
        link = honest(outcome, effects, versions, book, **options)
        if link is not None and link.state is LinkState.DELETED_IN_CRM:
            return replace(link, state=LinkState.PENDING, remote_id="", next_attempt_seconds=0.0)
        return link

    patch.set(confirm, "_link", freed)


@mutant("I1", "I2", "I6", "I4", "I3")
def _link_follows_into_a_grave(patch: Patch) -> None:
    """A link follows a merge whatever became of the survivor."""
    honest = observe._plan

    def blind(subject, heirs, book, evidence):
        if any(view.link.state is LinkState.LIVE for view in subject.former):
            return observe.plan_relink(subject.record, list(subject.former), subject.own, book, evidence)
        return honest(subject, heirs, book, evidence)

    patch.set(observe, "_plan", blind)
