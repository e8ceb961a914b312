"""The simulator finds nothing in the engine, and finds what is broken on purpose."""

from __future__ import annotations

import json

import pytest

from crm.model import LinkState
from tests.harness.simulate.__main__ import main
from tests.harness.simulate.compare import ENGINES, measure
from tests.harness.simulate.difference import differences
from tests.harness.simulate.mutants import MUTANTS, known_killers
from tests.harness.simulate.playing import play_seed
from tests.harness.simulate.schedule import draw_steps, end_of, take_step
from tests.harness.simulate.shrink import shrink
from tests.harness.simulate.speed import RECORDS_A_SECOND, planner_speed
from tests.harness.simulate.twins import settle_down
from tests.harness.simulate.workers import Figures
from tests.harness.simulate.world import World

SEEDS = range(14)
"""Few: ``dev.py simulate`` plays hundreds of them in CI, and every mutant."""


@pytest.fixture(scope="module")
def results():
    return [play_seed(seed) for seed in SEEDS]


def test_seeds_break_no_invariant(results):
    """Users, crashes, lost answers, lagging reads, several CRMs: all converges, nothing is lost or made twice."""
    assert {result.seed: result.violations for result in results if result.violations} == {}
    assert sum(result.edits for result in results) > 800
    assert sum(result.contested for result in results) > 80
    assert sum(sum(result.figures.crashes.values()) for result in results) > 5
    assert sum(result.figures.stopped for result in results) > 0
    assert len({name for result in results for name in result.figures.twins}) >= 3


def test_a_seed_plays_the_same_again(results):
    again = play_seed(7)
    assert again.trace == results[7].trace
    assert (again.edits, again.contested, again.end) == (results[7].edits, results[7].contested, results[7].end)


def test_a_dropped_step_leaves_the_others_as_they_were():
    steps = draw_steps(7)
    assert [step.seed for step in steps if step.number != 3] == [step.seed for step in (*steps[:3], *steps[4:])]
    assert play_seed(7, {0, 1, 4}).steps == (0, 1, 4)


def test_a_fork_goes_on_by_itself():
    """What happens in the fork leaves the world as it was, and the world comes to the same end as the fork."""
    world = World(3)
    for step in draw_steps(3)[:8]:
        take_step(world, None, step, Figures())
    before = end_of(world)
    with world.fork() as fork:
        assert settle_down(fork)
        end = _people(fork)
    assert end_of(world) == before
    assert settle_down(world)
    assert _people(world) == end


def _people(world):
    """Contacts and records, without the ids that links got."""
    return {name: seen for name, seen in end_of(world).items() if len(seen) == 2}


def test_a_mutant_is_broken_while_it_lives_and_no_longer():
    seed, invariant = known_killers()["blind_retry"]
    with MUTANTS["blind_retry"].alive():
        assert invariant in {name for name, _ in play_seed(seed).violations}
    assert play_seed(seed).violations == []


def test_a_failing_schedule_is_shrunk_and_still_fails():
    seed, invariant = known_killers()["stale_field_wins_by_record_time"]
    with MUTANTS["stale_field_wins_by_record_time"].alive():
        failing = play_seed(seed)
        short = shrink(failing, plays=20)
    assert len(short.steps) < len(failing.steps)
    assert invariant in {name for name, _ in short.violations}


def test_a_failure_shows_where_the_two_sides_differ():
    """Unequal fields, a pair that ended, and who stands alone; blank is blank in every form."""
    end = {
        "c1": ("live", {"firstName": "Ada", "tags": (), "company": "Looms"}),
        "c2": ("live", {"firstName": "Grace"}),
        "crm:1": ("live", {"firstname": "Ada", "labels": None, "company": "Engines"}),
        "crm:2": ("archived", {"firstname": "Grace"}),
        "crm:l1": ("c1", "1", LinkState.LIVE),
        "crm:l2": ("c2", "2", LinkState.DELETED_IN_CRM),
    }
    assert differences(end) == [
        "c1 ~ crm:1 company: app 'Looms', CRM 'Engines'",
        "c2 ~ crm:2 is deleted_in_crm",
        "c2 stands alone: live {'firstName': 'Grace'}",
    ]


def test_the_planner_is_fast_enough():
    """Five thousand records a second are wanted; a tenth of what it does leaves room for a slow machine."""
    assert planner_speed(1000) > RECORDS_A_SECOND


def test_the_comparison_finds_losses_in_the_others_and_none_in_ours():
    totals = {name: sum((measure((name, seed)) for seed in range(1, 5)), measure((name, 0))) for name in ENGINES}
    assert totals["adsapp"]["lost_edits"] == totals["adsapp"]["duplicates"] == totals["adsapp"]["resurrections"] == 0
    assert totals["record_newest_wins"]["lost_edits"] > 3
    assert totals["echo_window_60s"]["lost_edits"] > 3


def test_the_command_ends_with_one_json_object(capsys):
    """Three seeds are said to cover too little."""
    assert main(["--seeds", "0:3", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    summary = json.loads(lines[-1])
    assert (summary["ok"], summary["seeds"], summary["failing_seeds"]) == (True, 3, [])
    assert set(summary["verdicts"].values()) == {0}
    assert any(line.startswith("coverage is short") for line in lines)


@pytest.mark.parametrize("seeds", ["5:0", "x", "3"])
def test_seeds_that_are_no_range_are_refused(seeds, capsys):
    with pytest.raises(SystemExit) as refusal:
        main(["--seeds", seeds])
    assert refusal.value.code == 2
    assert "is no range such as 0:200" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--jobs", "0"], ["--store", "paper"], ["--mutants", "no_such_mistake"]])
def test_what_cannot_be_done_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as refusal:
        main(arguments)
    assert refusal.value.code == 2
    assert arguments[0] in capsys.readouterr().err
