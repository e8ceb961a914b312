"""The simulator finds nothing in the engine, and finds what is broken on purpose."""

from __future__ import annotations

import json

import pytest

from crm.engine import check, confirm, send
from crm.model import IntentStatus
from tests.harness.simulate.__main__ import main, play_seed
from tests.harness.simulate.schedule import draw_steps
from tests.harness.simulate.shrink import shrink

SEEDS = range(60)


def broken(seeds=SEEDS):
    return {name for seed in seeds for name, _ in play_seed(seed).violations}


def test_sixty_seeds_break_no_invariant():
    """Users, crashes, lost answers and lagging reads: everything converges, nothing is lost or made twice."""
    results = [play_seed(seed) for seed in SEEDS]
    assert {result.seed: result.violations for result in results if result.violations} == {}
    assert sum(result.edits for result in results) > 3000
    assert sum(result.contested for result in results) > 300
    assert sum(sum(result.figures.crashes.values()) for result in results) > 50
    assert {name for result in results for name in result.figures.faults} >= {"lost_after", "lost_before", "item_lost"}


def test_a_seed_plays_the_same_again():
    first, second = play_seed(7), play_seed(7)
    assert first.trace == second.trace
    assert (first.edits, first.contested) == (second.edits, second.contested)


def test_a_dropped_step_leaves_the_others_as_they_were():
    steps = draw_steps(7)
    assert [step.seed for step in steps if step.number != 3] == [step.seed for step in (*steps[:3], *steps[4:])]
    assert play_seed(7, {0, 1, 4}).steps == (0, 1, 4)


def test_a_write_without_its_check_read_loses_edits(monkeypatch):
    """Mutant: a record is written as it was planned, however long ago it was read."""
    monkeypatch.setattr(check.Checker, "_must_read", lambda _self, _outcome: False)
    assert "I4" in broken()


def test_a_lost_answer_that_is_sent_again_makes_duplicates(monkeypatch):
    """Mutant: a write whose answer was lost counts as not sent, and is retried blindly."""
    honest = send.Sent.intent_status.fget

    def hasty(sent):
        status = honest(sent)
        return IntentStatus.RESOLVED if status is IntentStatus.UNKNOWN else status

    monkeypatch.setattr(send.Sent, "intent_status", property(hasty))
    assert "I5" in broken(range(100))


def test_a_base_of_what_was_sent_is_found_out(monkeypatch):
    """Mutant: the base takes the value sent, whatever the CRM made of it."""
    monkeypatch.setattr(confirm, "confirmed_effects", lambda effects, _returned: effects)
    assert broken(range(150)) & {"I1", "I2", "I4", "I7"}


def test_a_failing_schedule_is_shrunk_and_still_fails(monkeypatch):
    monkeypatch.setattr(check.Checker, "_must_read", lambda _self, _outcome: False)
    failing = next(result for result in map(play_seed, SEEDS) if result.violations)
    short = shrink(failing)
    assert len(short.steps) < len(failing.steps)
    assert {name for name, _ in short.violations} & {name for name, _ in failing.violations}


def test_the_command_ends_with_one_json_object(capsys):
    assert main(["--seeds", "0:5", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (summary["ok"], summary["seeds"], summary["failing_seeds"]) == (True, 5, [])
    assert set(summary["verdicts"].values()) == {0}


@pytest.mark.parametrize("seeds", ["5:0", "x", "3"])
def test_seeds_that_are_no_range_are_refused(seeds, capsys):
    with pytest.raises(SystemExit) as refusal:
        main(["--seeds", seeds])
    assert refusal.value.code == 2
    assert "is no range such as 0:200" in capsys.readouterr().err
