"""A Celery worker of the product that can be made to die, or stop, at a named point: the harness's own entry point.

The product has no switch for it. This module wraps its store and its connectors before the worker starts, and looks
at each point whether a file names it. Whoever finds it renames the file, so that one process obeys, once.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

POINTS = ("after_intent", "after_send", "after_answer", "before_commit", "after_commit")
ORDERS = "order.json"
OBEYED = "obeyed.json"
HOLDER = "holder"
READY = ".ready"
FOLDER_VARIABLE = "TORTURE_FOLDER"

_WRITES = ("create", "update", "delete")


class Points:
    """Where this process is, and what it is told to do there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.writing = ""
        """The kind of remote write that is under way."""
        self._place: dict[str, Any] = {}

    def pass_by(self, point: str, kind: str = "") -> None:
        try:
            order = json.loads((self._folder / ORDERS).read_text())
        except FileNotFoundError:
            return
        if order["point"] != point or order["kind"] not in ("", kind):
            return
        try:
            (self._folder / ORDERS).rename(self._folder / OBEYED)
        except FileNotFoundError:
            return  # another process was faster
        group = os.getpgid(0)
        (self._folder / OBEYED).write_text(json.dumps({**order, **self._place, "at": time.time()}))
        if order["deed"] == "kill":
            os.killpg(group, signal.SIGKILL)
        elif order["deed"] == "kill_child":
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            os.kill(os.getpid(), signal.SIGSTOP)

    def hold(self, stream: str, fence: int) -> None:
        """Say who works, and under which grant, for a blow that does not wait for a point."""
        self._place = {"group": os.getpgid(0), "pid": os.getpid(), "stream": stream, "fence": fence}
        part = self._folder / f"{HOLDER}.{os.getpid()}"
        part.write_text(json.dumps(self._place))
        part.rename(self._folder / HOLDER)


class _Watched:
    """A connector whose writes pass the points."""

    def __init__(self, connector: Any, points: Points) -> None:
        self._connector, self._points = connector, points

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._connector, name)
        if name not in _WRITES:
            return found

        def write(*arguments: Any) -> Any:
            self._points.writing = name
            try:
                answer = found(*arguments)
            finally:
                self._points.writing = ""
            self._points.pass_by("after_answer", name)
            return answer

        return write


def install(points: Points) -> None:
    """Wrap the store, the connectors and the sockets of this process."""
    from adsapp_crm import wiring
    from adsapp_crm.storage.store import DjangoStore, DjangoUnit
    from crm.http import transport

    connector_of = wiring.connector_of
    stepping: Any = importlib.import_module("adsapp_crm.services.stepping")
    connection: Any = transport._CheckedConnection  # the point between sending and hearing is in there
    getresponse, acquire_lease = connection.getresponse, stepping.acquire_lease

    def watched(*arguments: Any, **named: Any) -> Any:
        return _Watched(connector_of(*arguments, **named), points)

    def acquire(*arguments: Any, **named: Any) -> Any:
        lease = acquire_lease(*arguments, **named)
        if lease is not None:
            points.hold(lease.stream, lease.fence)
        return lease

    def hear(sent: Any) -> Any:
        if points.writing:
            points.pass_by("after_send", points.writing)
        return getresponse(sent)

    _watch_units(DjangoStore, DjangoUnit, points)
    wiring.connector_of = watched
    stepping.acquire_lease = acquire
    connection.getresponse = hear


def _watch_units(store_class: Any, unit_class: Any, points: Points) -> None:
    """A unit that records intents, or settles lines, passes the points round its commit."""
    unit_of = store_class.unit

    def remember(verb: Callable[..., Any], said: Callable[[Any], str]) -> Callable[..., Any]:
        def call(unit: Any, items: Any) -> Any:
            if items:
                unit.did = said(items)
            return verb(unit, items)

        return call

    @contextmanager
    def unit(store: Any, run_id: str = "") -> Iterator[Any]:
        with unit_of(store, run_id) as opened:
            yield opened
            did = getattr(opened, "did", "")
            if did == "lines":
                points.pass_by("before_commit")
        if did == "lines":
            points.pass_by("after_commit")
        elif did:
            points.pass_by("after_intent", did)

    unit_class.record_intents = remember(unit_class.record_intents, lambda intents: intents[0].kind.value)
    unit_class.settle_lines = remember(unit_class.settle_lines, lambda _lines: "lines")
    store_class.unit = unit


def main(arguments: list[str]) -> None:
    import django

    django.setup()
    folder = Path(os.environ[FOLDER_VARIABLE])
    install(Points(folder))
    from celery.signals import worker_ready

    from config import celery_app

    worker_ready.connect(lambda **_said: (folder / f"{os.getpid()}{READY}").touch(), weak=False)
    celery_app.worker_main(["worker", *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
