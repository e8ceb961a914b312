"""The torture's own machinery: a kill is over before its victim is replaced, and a death of its own is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from tests.harness.binaries import ServicesError
from tests.harness.stack import Stack
from tests.harness.torture.stand import HOLDER, READY, WORKERS, Stand


class Sleepers(Stack):
    """Processes that take tasks at once and do nothing."""

    def spawn(self, name, *_command):
        process = subprocess.Popen(["sleep", "60"], start_new_session=True)
        (self.folder / f"{process.pid}{READY}").touch()
        (self.folder / f"{name}.log").touch()
        self.processes[name] = process
        return process


@pytest.fixture
def stand(tmp_path):
    stack = Sleepers(tmp_path, "", {})
    stand = Stand(stack, *(None,) * 4)
    stand.start_workers()
    yield stand
    for process in stack.processes.values():
        process.kill()
        process.wait()


def pids(stand):
    return [stand.stack.processes[name].pid for name in WORKERS]


def hold(stand, pid):
    (stand.folder / HOLDER).write_text(json.dumps({"group": pid, "pid": pid, "stream": "scan", "fence": 1}))


def test_a_killed_worker_is_replaced_by_the_very_next_start(stand):
    """A signal is sent before it is obeyed: a victim that seems to live would never be replaced."""
    for _ in range(5):
        first, second = pids(stand)
        hold(stand, first)
        assert stand.kill_holder()["group"] == first

        stand.start_workers()

        assert first not in pids(stand)
        assert second in pids(stand)
    stand.check()


def test_all_workers_live_when_a_round_begins_also_after_one_that_failed(stand):
    """Who is dead is not waited for, but started."""
    before = pids(stand)
    for pid in before:
        hold(stand, pid)
        stand.kill_holder()

    stand.wait_for_workers(5)

    assert not set(before) & set(pids(stand))
    assert all(stand.stack.processes[name].poll() is None for name in WORKERS)


def test_a_worker_that_ends_by_itself_is_an_error(stand):
    first, _second = pids(stand)
    os.kill(first, signal.SIGTERM)
    stand.stack.processes[WORKERS[0]].wait(5)

    with pytest.raises(ServicesError, match="worker-a ended with -15"):
        stand.start_workers()
