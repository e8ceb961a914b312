"""Sending: bad rows, batches, late workers, checks before a write."""

from __future__ import annotations

from dataclasses import replace

from crm.engine import apply, check, send
from crm.errors import OutcomeUnknownError, RecordInvalidError, RejectedError
from crm.testing import memory_app, memory_links, memory_locks, memory_observing
from tests.harness.simulate.mutants.registry import Patch, mutant


@mutant("I22")
def _one_bad_row_blocks(patch: Patch) -> None:
    """A record that the CRM refuses ends the run."""
    honest = apply.send_page

    def strict(items, *arguments):
        honest(items, *arguments)
        if any(isinstance(item.error, RecordInvalidError) for item in items):
            raise RejectedError(code="rule.validation")

    patch.set(apply, "send_page", strict)


@mutant("I5", "I22")
def _batch_is_retried_whole(patch: Patch) -> None:
    """One item without an answer: the whole batch is sent again."""
    honest = send._call

    def again(kind, items, book, ports):
        results = honest(kind, items, book, ports)
        if any(isinstance(result.error, OutcomeUnknownError) for result in results.values()):
            return honest(kind, items, book, ports)
        return results

    patch.set(send, "_call", again)


@mutant("I27", "I8", "I4", "I5", "I1", "I20", "I12", "error")
def _late_worker_commits(patch: Patch) -> None:
    """A worker whose lease and claims have ended goes on as if nothing had happened."""
    patch.set(memory_locks.Locks, "renew_lease", lambda _self, _stream, _fence: None)
    patch.set(memory_locks.Locks, "check_claim", lambda _self, _worker, _owner, _keys: None)


@mutant("I4")
def _no_check_read(patch: Patch) -> None:
    """A record is written as it was planned, however long ago it was read."""
    patch.set(check.Checker, "_must_read", lambda _self, _outcome: False)


@mutant(
    "I4",
    "I12",
    "I5",
    "error",
    equivalent="Nobody gets the line of such a record while the write's claim lasts, and once that has ended the next"
    " run settles the write before it plans. The line is dropped and planned anew: this spares work alone.",
)
def _open_intents_hold_nothing(patch: Patch) -> None:
    """A record is planned while a write of it has no outcome."""
    honest = memory_links.MemoryLinks._view
    patch.set(memory_links.MemoryLinks, "_view", lambda self, link: replace(honest(self, link), held=False))


@mutant("I4")
def _version_is_not_checked(patch: Patch) -> None:
    """A contact is written whatever its version is by now."""
    honest = memory_app.MemoryApp.write

    def careless(self, write, origin):
        held = self.get(write.contact_id)
        if held is not None and write.expected_version is not None:
            write = replace(write, expected_version=held.version)
        return honest(self, write, origin)

    patch.set(memory_app.MemoryApp, "write", careless)


@mutant("I4", "I7", "I2")
def _ground_is_not_checked(patch: Patch) -> None:
    """A line is applied on another base and another version than it was planned on."""
    patch.set(check.Checker, "_ground_holds", lambda self, outcome: outcome.line.line_id not in self.crowded)


@mutant("I4", "I7")
def _overtaken_page_is_taken(patch: Patch) -> None:
    """A page that was read before another run confirmed its records is planned against the newer base."""
    honest = memory_observing.MemoryObservations.save_observations
    patch.set(
        memory_observing.MemoryObservations, "save_observations",
        lambda self, run_id, seen, read_at=None: honest(self, run_id, seen),
    )  # fmt: skip
