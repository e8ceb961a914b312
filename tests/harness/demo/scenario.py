"""The scenario of the demo, step by step, with what each step has to come to.

Every expected count is written down from the drawn people before the first request is sent; what
the product reports is compared with it, and so is what the fake has counted by itself.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.harness.demo.app_side import App, Pair
from tests.harness.demo.crm_side import RETIRED, CrmAccount, HubSpotAccount
from tests.harness.demo.people import People
from tests.harness.demo.report import Step

QUIET: Mapping[str, int] = {}
MINUTES_APART = 600.0


@dataclass(slots=True)
class Edits:
    """How many of each kind of edit the scenario makes, on people who are linked and otherwise at rest."""

    different_fields: int = 10
    same_value: int = 5
    within_skew: int = 1
    minutes_apart: int = 3
    custom_property: int = 2
    refused: int = 1
    opted_out_in_app: int = 1
    opted_out_in_crm: int = 1
    deleted_in_app: int = 1
    deleted_in_crm: int = 1
    merged: int = 1

    @property
    def people(self) -> int:
        singles = (
            self.different_fields + self.same_value + self.within_skew + self.minutes_apart + self.custom_property
            + self.refused + self.opted_out_in_app + self.opted_out_in_crm + self.deleted_in_app + self.deleted_in_crm
        )  # fmt: skip
        return singles + 2 * self.merged


@dataclass(slots=True)
class Scenario:
    people: People
    app: App
    crm: HubSpotAccount
    edits: Edits = field(default_factory=Edits)
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)
    steps: list[Step] = field(default_factory=list)

    def play(self) -> list[Step]:
        """Run all steps; a step that raises ends the scenario with the steps so far."""
        self._first_sync()
        delta_run = self._edit_both_sides()
        self._undo(delta_run)
        self._nothing_left()
        return self.steps

    def _first_sync(self) -> None:
        sizes = self.people.sizes
        reviews = sizes.mailboxes * sizes.per_mailbox + sizes.crm_doubles // 2
        lines = sizes.same + sizes.app_only + sizes.crm_only + reviews
        with self.step("dry run, held for approval", {"held": lines}, writes=0) as step:
            held = self.app.sync("full")
            take(step, held, "held")
        filled_in_crm = sizes.crm_lacks_city + sizes.by_phone_only
        expected = {
            "created_in_app": sizes.crm_only,
            "created_in_crm": sizes.app_only,
            "linked": sizes.same,
            "updated_in_app": sizes.app_lacks_phone,
            "updated_in_crm": filled_in_crm,
            "conflicts": sizes.other_last_name + sizes.mailboxes + sizes.crm_doubles // 2,
        }
        with self.step("approval: the first full sync", expected, writes=sizes.app_only + filled_in_crm) as step:
            take(step, self.app.approve(held))

    def _edit_both_sides(self) -> str:
        """People and programs edit, delete and merge on both sides; one delta brings it all together."""
        edits = self.edits
        resting = self.app.resting_links(edits.people, 4 * edits.people)
        kept = [next(pair for pair in resting if pair.complete) for _ in range(edits.merged)]
        resting = [pair for pair in resting if pair not in kept]
        for pair in kept:  # the older link's record stays the primary one, and lacks nothing
            self.crm.merge(pair.remote_id, resting.pop().remote_id)
        linked = iter(resting)
        early = [next(linked) for _ in range(edits.minutes_apart)]
        for pair in early:
            self.crm.edit(pair.remote_id, jobtitle="Edited in HubSpot first")
        self.crm.let_pass(MINUTES_APART)
        for pair in early:
            self.app.edit(pair, jobTitle="Edited in ADSapp later")
        for _ in range(edits.different_fields):
            pair = next(linked)
            self.app.edit(pair, city="Edited in ADSapp")
            self.crm.edit(pair.remote_id, jobtitle="Edited in HubSpot")
        for _ in range(edits.same_value):
            pair = next(linked)
            self.app.edit(pair, company="The same on both sides")
            self.crm.edit(pair.remote_id, company="The same on both sides")
        for _ in range(edits.within_skew):
            pair = next(linked)
            self.app.edit(pair, company="Written here")
            self.crm.edit(pair.remote_id, company="Written there")
        self._single_edits(linked)
        self.app.wait_for_search()
        pushed = edits.different_fields + edits.minutes_apart + edits.custom_property + edits.opted_out_in_app
        expected = {
            "updated_in_app": edits.different_fields + edits.opted_out_in_crm,
            "updated_in_crm": pushed + edits.refused,
            "conflicts": edits.within_skew + edits.merged,
            "unlinked": edits.deleted_in_app,
            "failed": edits.refused,
        }
        with self.step("edits on both sides: delta sync", expected) as step:
            run = self.app.sync("delta")
            take(step, run)
            step.notes = [f"failing: {code} ({count})" for code, count in self.app.failing().items()]
        return str(run["id"])

    def _single_edits(self, linked: Iterator[Pair]) -> None:
        """The kinds that happen to one person (or two) and on one side."""
        edits = self.edits
        for _ in range(edits.custom_property):
            self.app.edit(next(linked), **{"custom.tier": "platinum"})
        for _ in range(edits.opted_out_in_app):
            self.app.edit(next(linked), emailOptOut=True)
        for _ in range(edits.opted_out_in_crm):
            self.crm.opt_out(next(linked).remote_id)
        for _ in range(edits.deleted_in_app):
            self.app.delete(next(linked))
        for _ in range(edits.deleted_in_crm):
            self.crm.delete(next(linked).remote_id)
        self.crm.retire_segment()
        for _ in range(edits.refused):
            self.app.edit(next(linked), **{"custom.segment": RETIRED, "city": "Goes through"})

    def _undo(self, delta_run: str) -> None:
        edits = self.edits
        expected = {
            "updated_in_app": edits.different_fields,
            "updated_in_crm": edits.different_fields + edits.minutes_apart + edits.custom_property + edits.refused,
            "not_undoable": edits.opted_out_in_app + edits.opted_out_in_crm + edits.deleted_in_app + edits.merged,
        }
        with self.step("undo of that delta", expected) as step:
            undone = self.app.undo(delta_run)
            take(step, undone["run"])
            step.actual["not_undoable"] = len(undone["notUndoable"])
            step.notes = [
                f"cannot be given back: {code}" for code in sorted({row["code"] for row in undone["notUndoable"]})
            ]

    def _nothing_left(self) -> None:
        self.app.wait_for_search()
        with self.step("delta after the undo", QUIET, writes=0) as step:
            take(step, self.app.sync("delta"))
        deleted = {"unlinked": self.edits.deleted_in_crm}
        with self.step("full sync finds HubSpot's deletion", deleted, writes=0) as step:
            take(step, self.app.sync("full"))
        with self.step("quiet full sync", QUIET, writes=0) as step:
            take(step, self.app.sync("full"))

    @contextmanager
    def step(
        self, name: str, expected: Mapping[str, int], *, writes: int | None = None, account: CrmAccount | None = None
    ) -> Iterator[Step]:
        """Time the step and take the fake's own count of requests, writes and limit violations."""
        step = Step(name, {**expected, **({} if writes is None else {"remote_writes": writes})})
        self.steps.append(step)
        self.say(f"-- {name}")
        account = account or self.crm
        before, began = account.counters(), time.monotonic()
        yield step
        step.seconds = time.monotonic() - began
        after = account.counters()
        step.requests = after["totalRequests"] - before["totalRequests"]
        if writes is not None:
            step.actual["remote_writes"] = after["writes"] - before["writes"]
        step.actual["no_op_writes"] = after["noopWrites"] - before["noopWrites"]
        violations = sum(after["limitViolations"].values()) - sum(before["limitViolations"].values())
        step.actual["limit_violations"] = violations


NAMES = (
    "created_in_app",
    "created_in_crm",
    "updated_in_app",
    "updated_in_crm",
    "linked",
    "unlinked",
    "deleted_in_app",
    "deleted_in_crm",
    "conflicts",
    "failed",
    "stale",
    "unknown",
    "held",
)


def take(step: Step, run: Mapping[str, Any], *only: str) -> None:
    """Put a run's counts into the step."""
    step.actual = {name: int(run["counts"].get(name, 0)) for name in only or NAMES}
    step.unchanged = int(run["counts"].get("unchanged", 0))
