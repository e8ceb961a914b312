"""What the back doors of all fakes have in common: counts, journal, faults and time under ``/_fake/``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal, Protocol

from crm.testing.clock import FakeClock, iso_ms, parse_iso_ms
from crm.testing.faults import FaultBox, UnknownFaultError, parse_fault
from crm.testing.wsgi import Request, Response, Router, json_response, no_content

LimitMode = Literal["real", "count", "none"]
"""``real`` refuses what is over a limit, ``count`` only counts it, ``none`` neither."""

Refuse = Callable[[str], Exception]
"""The provider's own error of a wrong request, with these words."""


class Journalled(Protocol):
    @property
    def journal(self) -> Sequence[Any]: ...


class Fake(Protocol):
    clock: FakeClock
    faults: FaultBox

    @property
    def state(self) -> Journalled: ...

    def stats(self) -> dict[str, Any]: ...

    def reset_stats(self) -> None: ...


class CommonSwitches:
    """``refuse`` makes the error that a wrong call gets; ``without`` are faults it has no words for."""

    def __init__(self, fake: Fake, refuse: Refuse, *, without: Collection[str] = ()) -> None:
        self._fake = fake
        self._refuse = refuse
        self._without = without

    def mount(self, router: Router) -> None:
        routes: list[tuple[str, str, Callable[[Request], Response]]] = [
            ("GET", "stats", self.read_stats),
            ("POST", "stats/reset", self.reset_stats),
            ("GET", "journal", self.read_journal),
            ("GET", "faults", self.read_faults),
            ("POST", "faults", self.add_faults),
            ("DELETE", "faults", self.clear_faults),
            ("GET", "clock", self.read_clock),
            ("POST", "clock", self.set_clock),
        ]
        for method, path, act in routes:
            router.add(method, f"/_fake/{path}", act)

    def read_stats(self, _request: Request) -> Response:
        return json_response(self._fake.stats())

    def reset_stats(self, _request: Request) -> Response:
        self._fake.reset_stats()
        return no_content()

    def read_journal(self, request: Request) -> Response:
        """Every write by anyone, oldest first, after the given ``seq``."""
        after = int(request.first("after") or 0)
        return json_response({"results": list(self._fake.state.journal[after:])})

    def read_faults(self, _request: Request) -> Response:
        return json_response({"faults": self._fake.faults.listed(), "given": self._fake.faults.given})

    def add_faults(self, request: Request) -> Response:
        """One fault or a list (see ``crm.testing.faults``); they add to those there are."""
        raw = request.json()
        try:
            found = [parse_fault(item) for item in (raw if isinstance(raw, list) else [raw])]
        except UnknownFaultError as error:
            raise self._refuse(str(error)) from error
        for fault in found:
            if fault.kind in self._without:
                raise self._refuse(f"kind: there is no answer of the kind {fault.kind!r} here")
        self._fake.faults.script(found)
        return self.read_faults(request)

    def clear_faults(self, _request: Request) -> Response:
        self._fake.faults.clear()
        return no_content()

    def read_clock(self, _request: Request) -> Response:
        clock = self._fake.clock
        now_ms = clock.now_ms()
        return json_response({"nowMs": now_ms, "now": iso_ms(now_ms), "frozen": clock.is_frozen})

    def set_clock(self, request: Request) -> Response:
        """``advanceSeconds``, ``freeze`` (true, or a time in ms or ISO), ``run``."""
        body, clock = request.json(), self._fake.clock
        if not isinstance(body, dict):
            raise self._refuse("clock: an object")
        if unknown := sorted(set(body) - {"advanceSeconds", "freeze", "run"}):
            raise self._refuse(f"unknown clock setting {unknown[0]!r}")
        if body.get("freeze"):
            clock.freeze(None if body["freeze"] is True else self._instant(body["freeze"]))
        if body.get("run"):
            clock.run()
        if "advanceSeconds" in body:
            clock.advance(float(body["advanceSeconds"]))
        return self.read_clock(request)

    def _instant(self, raw: object) -> int:
        at_ms = raw if isinstance(raw, int) else parse_iso_ms(str(raw))
        if at_ms is None:
            raise self._refuse("freeze: true, milliseconds or ISO 8601")
        return at_ms


def limit_mode(name: str) -> LimitMode:
    for mode in ("real", "count", "none"):
        if name == mode:
            return mode
    raise ValueError(f"limits: {name!r} is none of real, count, none")
