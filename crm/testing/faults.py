"""Fault switches of the fakes: what goes wrong, for which calls, how often. Seeded, so it goes wrong again.

A ``Fault`` is either scripted (``times`` matching calls, after ``skip`` of them) or drawn
(``probability`` at each matching call). The first one that applies to a call is used.
"""

from __future__ import annotations

import fnmatch
import gzip
import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from crm.testing.wsgi import ConnectionDroppedError, Request, Response, html_response

KINDS: Final = {
    "rate_limited": "429 in the provider's own words; Retry-After only when retry_after_seconds is given",
    "server_error": "an HTML page with the given status (default 502); nothing was done",
    "server_error_after": "the call is carried out, then an HTML page with the given status (default 504)",
    "locked": "423; nothing was done",
    "moving": "477 with Retry-After in seconds (default 5); nothing was done",
    "unauthorized": "401 in the provider's own words; nothing was done",
    "drop_before": "the connection closes without an answer; nothing was done",
    "drop_after": "the call is carried out, then the connection closes without an answer",
    "timeout_before": "silence for the given seconds (default 60), then as drop_before",
    "timeout_after": "the call is carried out, then silence for the given seconds (default 60), then as drop_after",
    "slow": "the answer comes after the given seconds (default 2)",
    "half_body": "the right answer, its body cut in the middle, the connection closed",
    "huge_body": "the right answer, followed by the given number of blanks (default 64 MiB)",
    "gzip_bomb": "the given number of blanks (default 64 MiB), compressed",
    "html_ok": "200 with an HTML page where JSON is due; nothing was done",
}
_ONLY_IN_PROVIDERS_WORDS: Final = ("rate_limited", "locked", "moving", "unauthorized")
_NOTHING_DONE: Final = ("server_error", "html_ok", "drop_before", "timeout_before")


class UnknownFaultError(ValueError):
    """A fault was described with a kind or a field that does not exist, or a value out of range."""


@dataclass(slots=True)
class Fault:
    """One switch. ``path`` is a shell pattern over the path; ``times=None`` means until cleared."""

    kind: str
    method: str = "*"
    path: str = "*"
    times: int | None = None
    skip: int = 0
    probability: float = 1.0
    status: int | None = None
    retry_after_seconds: float | None = None
    seconds: float | None = None
    size_bytes: int | None = None
    policy: str | None = None

    def matches(self, method: str, path: str) -> bool:
        return self.method in ("*", method) and fnmatch.fnmatchcase(path, self.path)


def parse_fault(raw: object) -> Fault:
    """A fault from JSON. Raises UnknownFaultError naming the field and the rule."""
    if not isinstance(raw, dict):
        raise UnknownFaultError("a fault is an object such as {'kind': 'rate_limited', 'times': 2}")
    known = {item.name for item in fields(Fault)}
    if unknown := sorted(set(raw) - known):
        raise UnknownFaultError(f"unknown field {unknown[0]!r}; known are {', '.join(sorted(known))}")
    if raw.get("kind") not in KINDS:
        raise UnknownFaultError(f"kind: {raw.get('kind')!r} is none of {', '.join(KINDS)}")
    fault = Fault(**raw)
    if not 0.0 <= fault.probability <= 1.0:
        raise UnknownFaultError("probability: must lie between 0 and 1")
    return fault


class FaultBox:
    """The switches of one fake. ``words`` gives the provider's own answer for a kind."""

    def __init__(self, seed: int, words: Callable[[Fault], Response]) -> None:
        self._random = random.Random(f"faults/{seed}")  # noqa: S311 - reproducible, not secret
        self._words = words
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self.given: dict[str, int] = {}

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def listed(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def script(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            self.add(fault)

    def draw(self, method: str, path: str) -> Fault | None:
        """The fault this call meets, if any; scripted ones are used up."""
        with self._lock:
            for fault in self._faults:
                if not fault.matches(method, path):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                if fault.probability < 1.0 and self._random.random() >= fault.probability:
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                self.given[fault.kind] = self.given.get(fault.kind, 0) + 1
                return fault
        return None

    def carry_out(self, fault: Fault, request: Request, call: Callable[[Request], Response]) -> Response:
        """What the caller gets to see of ``call(request)`` under this fault."""
        if fault.kind in _ONLY_IN_PROVIDERS_WORDS:
            return self._words(fault)
        if fault.kind in _NOTHING_DONE:
            return _without_the_call(fault)
        return _after_the_call(fault, call(request))


def _without_the_call(fault: Fault) -> Response:
    if fault.kind == "server_error":
        return html_error(fault.status or 502)
    if fault.kind == "html_ok":
        return html_response("<!doctype html><title>Please wait</title><p>Checking your browser.", 200)
    raise ConnectionDroppedError(_silence_seconds(fault) if fault.kind == "timeout_before" else 0.0)


def _after_the_call(fault: Fault, response: Response) -> Response:
    match fault.kind:
        case "server_error_after":
            return html_error(fault.status or 504)
        case "drop_after":
            raise ConnectionDroppedError
        case "timeout_after":
            raise ConnectionDroppedError(_silence_seconds(fault))
        case "slow":
            response.delay_seconds = 2.0 if fault.seconds is None else fault.seconds
        case "half_body":
            response.cut_at = len(response.body) // 2
        case "huge_body":
            response.body += b" " * (fault.size_bytes or 64 * 1024 * 1024)
        case "gzip_bomb":
            response.body = gzip.compress(b" " * (fault.size_bytes or 64 * 1024 * 1024), mtime=0)
            response.headers.append(("Content-Encoding", "gzip"))
    return response


def _silence_seconds(fault: Fault) -> float:
    return 60.0 if fault.seconds is None else fault.seconds


def html_error(status: int) -> Response:
    """The page a proxy in front of the provider sends when the provider is overloaded."""
    return html_response(
        f"<!DOCTYPE html><html><head><title>{status}</title></head><body><center><h1>{status}</h1></center>"
        "<hr><center>cloudflare</center></body></html>",
        status,
    )
