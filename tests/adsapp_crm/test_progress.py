"""Progress on standard error: a bar with rate and time left for people, plain lines for pipes."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management.base import OutputWrapper

from adsapp_crm.management.progress import Progress


class Terminal(StringIO):
    def isatty(self):
        return True


class Watch:
    seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def watch():
    return Watch()


def test_a_terminal_gets_one_line_that_is_drawn_over(watch):
    """Bar, numbers, rate, time left; the line is left at the end."""
    out = Terminal()
    progress = Progress(OutputWrapper(out), now=watch)
    progress.show("apply", 0, 2000)
    watch.seconds = 10.0

    progress.show("apply", 500, 2000)
    progress.end()

    assert out.getvalue().count("\n") == 1
    last = out.getvalue().rpartition("\r")[2].rstrip()
    assert last == "apply  [######..................]  500 of 2,000 (25%)  50/s  0:30 left"


def test_a_pipe_gets_a_line_now_and_then(watch):
    """No control characters, at most one line in five seconds, and each phase begins with one."""
    out = StringIO()
    progress = Progress(OutputWrapper(out), now=watch)
    for second in range(12):
        watch.seconds = float(second)
        progress.show("observe", second * 100, None)
    progress.show("apply", 0, 10)
    progress.end()

    assert out.getvalue().splitlines() == [
        "observe  0",
        "observe  500  100/s",
        "observe  1,000  100/s",
        "apply  0 of 10 (0%)",
    ]


def test_long_waits_are_told_in_hours(watch):
    """Nobody reads 7,200 seconds."""
    out = Terminal()
    progress = Progress(OutputWrapper(out), now=watch)
    progress.show("observe", 0, 7300)
    watch.seconds = 100.0

    progress.show("observe", 100, 7300)

    assert out.getvalue().endswith("1/s  2:00:00 left")
