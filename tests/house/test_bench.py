"""What the bench's exit code rests on."""

from __future__ import annotations

from tests.harness.bench.figures import Figure, Report, count, lines


def test_counts_decide_and_times_are_told():
    report = Report("hubspot", "idle delta", [Figure("wall time", 9.0, "s", most=1.0), count("requests", 1, most=1)])
    assert report.ok
    report.add(count("writes", 1, most=0))
    assert not report.ok
    assert [figure["met"] for figure in report.document()["figures"]] == [False, True, False]


def test_a_missed_count_is_marked_in_the_table():
    report = Report("hubspot", "pull", [count("writes", 1, most=0), Figure("share", 94.0, "%", least=95)])
    shown = "\n".join(lines([report]))
    assert "<= 0           NOT met !" in shown
    assert ">= 95          not met" in shown


def test_what_has_no_target_is_neither():
    assert (Figure("wall time", 1.0).met, count("requests", 7).gate) == (None, False)
