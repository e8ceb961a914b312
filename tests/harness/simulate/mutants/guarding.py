"""Guarding, asking, showing: brakes, questions, fights, dry runs, undo, ledger."""

from __future__ import annotations

from dataclasses import replace

from crm.engine import confirm, decide, fields, run, undo
from crm.model import (
    ActionKind,
    Mode,
    Phase,
)
from crm.testing import memory_journal
from tests.harness.simulate.mutants.registry import Patch, mutant


@mutant("I16")
def _no_brake(patch: Patch) -> None:
    """Nothing holds a plan."""
    patch.set(run, "find_brakes", lambda *_arguments, **_options: ())


@mutant("I18", "I1", "I2")
def _questions_are_never_closed(patch: Patch) -> None:
    """A question stays open when both sides agree again."""
    patch.set(confirm, "_closes", lambda _outcome: ())


@mutant("I2", "I3")
def _fights_go_on(patch: Patch) -> None:
    """Nobody counts how often a field flips."""
    patch.set(fields, "is_fought", lambda *_arguments: False)


@mutant("I1", "I18", "I2", "I4")
def _conflicts_are_guessed(patch: Patch) -> None:
    """When it cannot be known which edit is newer, the CRM's is taken, and nobody is told."""
    honest = decide._decide_contested

    def guess(facts, rules, newest, *, row):
        decision = honest(facts, rules, newest, row=row)
        if decision.verdict is decide.Verdict.ASK:
            return decide.Decision(decide.Verdict.PULL, decide.Rule.CRM_CHANGED, row)
        return decision

    patch.set(decide, "_decide_contested", guess)


@mutant("I14")
def _dry_run_writes(patch: Patch) -> None:
    """A dry run is carried out."""
    honest = run._guard

    def guard(state, ports):
        wet = replace(state, dry_run=False)
        honest(wet, replace(ports, mode=Mode.SYNC))
        state.phase, state.position = wet.phase, wet.position

    patch.set(run, "_STEPS", {**run._STEPS, Phase.GUARD: guard})


@mutant("I15")
def _undo_forgets_a_field(patch: Patch) -> None:
    """The undo gives back all but the last of a pair's fields."""
    honest = undo._undo_fields
    patch.set(undo, "_undo_fields", lambda *arguments: honest(*arguments)[:-1])


@mutant("I20", "I5", "I1")
def _creation_without_ledger(patch: Patch) -> None:
    """What was made stands in no ledger."""
    honest = memory_journal.MemoryJournal.add_ledger

    def silent(self, run_id, entries):
        honest(self, run_id, [each for each in entries if each.action.kind is not ActionKind.CREATE_IN_APP])

    patch.set(memory_journal.MemoryJournal, "add_ledger", silent)
