"""Watermarks, echoes, and what is decided by time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from crm.engine import fields, observe, plan, run
from crm.model import (
    Phase,
)
from crm.testing import adversary
from tests.harness.simulate.mutants.registry import Patch, mutant

# the watermark


@mutant("I9")
def _watermark_is_now(patch: Patch) -> None:
    """The watermark is the time at which the walk ended, not the one at which it began."""
    honest = run._mark

    def late(state):
        mark = honest(state)
        return (datetime.fromisoformat(mark) + timedelta(seconds=300)).isoformat() if mark else mark

    patch.set(run, "_mark", late)


@mutant("I9")
def _watermark_without_overlap(patch: Patch) -> None:
    """A delta begins behind the last change seen: ties and what becomes visible late are lost."""

    def exact(unit, ports, record_type):
        return (unit.cursor(record_type) + timedelta(milliseconds=1)).isoformat()

    patch.set(run, "_since", exact)


@mutant("I9", "I4", "I1")
def _watermark_passes_a_failed_page(patch: Patch) -> None:
    """A page that cannot be read is skipped, and the watermark moves on."""
    honest = run.observe_page

    def skip(state, ports):
        try:
            return honest(state, ports)
        except run_errors:
            return True

    run_errors = (adversary.TransientError,)
    patch.set(run, "observe_page", skip)


# echo, and record time


@mutant("I1", "I4")
def _echo_by_time_window(patch: Patch) -> None:
    """What changed within a minute after our own write is taken for its echo."""
    honest = observe.plan_link

    def deaf(view, record, book, evidence=None):
        ours, theirs = view.link.remote_modified_at, record.modified_at
        if ours and theirs and timedelta(0) < theirs - ours < timedelta(seconds=60):
            return plan.NOTHING
        return honest(view, record, book, evidence)

    patch.set(observe, "plan_link", deaf)


@mutant("I1", "I4")
def _echo_by_acting_user(patch: Patch) -> None:
    """A record that we were the last to write is never compared."""
    honest = observe.plan_link

    def deaf(view, record, book, evidence=None):
        return plan.NOTHING if record.by_us else honest(view, record, book, evidence)

    patch.set(observe, "plan_link", deaf)


@mutant("I1", "I25", "I2")
def _one_sync_at_a_time(patch: Patch) -> None:
    """A flag of the process says that a sync is in progress: other runs end at once."""
    honest, busy = run.advance, []

    def advance(run_id, ports):
        if busy and busy[0] != run_id:
            with ports.store.unit() as unit:
                state = unit.load_run(run_id)
                state.phase = Phase.DONE
                unit.save_run(state)
            return state
        busy[:] = [run_id]
        state = honest(run_id, ports)
        if state.phase is Phase.DONE:
            busy.clear()
        return state

    from tests.harness.simulate import workers

    patch.set(workers, "advance", advance)


def _by_record_time(patch: Patch, decides: Callable[[Any, bool], Any]) -> None:
    """``decides`` changes the facts of each field, knowing whether the record is newer than the last agreement."""
    decided, facts, newer = plan.plan_fields, fields._facts, [False]

    def plan_fields(view, record, book, evidence, **options):
        known = view.link.remote_modified_at
        newer[0] = known is not None and record.modified_at is not None and record.modified_at > known
        return decided(view, record, book, evidence, **options)

    def biased(*arguments):
        return decides(facts(*arguments), newer[0])

    patch.set(plan, "plan_fields", plan_fields)
    patch.set(fields, "_facts", biased)


@mutant("I4", "I7")
def _record_level_newest_wins(patch: Patch) -> None:
    """The newer record wins whole."""

    def decides(facts, newer):
        if not facts.based or facts.agree or not (facts.app_moved or facts.crm_moved):
            return facts
        return replace(facts, app_moved=not newer, crm_moved=newer)

    _by_record_time(patch, decides)


@mutant("I4", "I7")
def _stale_field_wins_by_record_time(patch: Patch) -> None:
    """A field that nobody touched in the CRM wins because something else in its record is newer."""

    def decides(facts, newer):
        if facts.based and facts.app_moved and not facts.crm_moved and newer and not facts.agree:
            return replace(facts, app_moved=False, crm_moved=True)
        return facts

    _by_record_time(patch, decides)
