"""Whether this worker was told to stop, so that a step ends at its page and hands the rest back.

A platform sends SIGTERM to a worker's main process alone (containers) or to each of its processes (systemd, Heroku).
The main process then takes no more tasks and waits for those that run. Those run in processes that it has forked: they
learn of it from memory that they share with it, and not by the signal, which would kill them in the middle of a page.
"""

from __future__ import annotations

import mmap
import signal

from celery import signals

_told = mmap.mmap(-1, 1)  # anonymous and shared with every process that is forked from this one


def told_to_stop() -> bool:
    return _told[0] != 0


@signals.worker_shutting_down.connect(dispatch_uid="stopping.main")
def _tell(**_named: object) -> None:
    _told[0] = 1


@signals.worker_process_init.connect(dispatch_uid="stopping.pool")
def _go_on(**_named: object) -> None:
    """In each process of the pool. One that hangs in a task for too long is killed by SIGKILL all the same."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # billiard replaces any other handler by its own
