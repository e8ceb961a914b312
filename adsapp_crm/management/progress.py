"""Progress of a run on standard error: a bar with rate and time left on a terminal, a line now and then in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.core.management.base import OutputWrapper

BAR_CHARACTERS: Final = 24
LINE_EVERY_SECONDS: Final = 5.0
SHORTEST_SECONDS: Final = 0.5
"""Before that a rate says nothing."""


@dataclass(slots=True)
class Progress:
    stream: OutputWrapper
    now: Callable[[], float] = time.monotonic
    _phase: str = ""
    _began: float = 0.0
    _first: int = 0
    _told_at: float = float("-inf")
    _width: int = 0

    @property
    def on_terminal(self) -> bool:
        return self.stream.isatty()

    def show(self, phase: str, done: int, total: int | None) -> None:
        """``done`` of ``total`` records in this phase; None where nobody knows how many there are."""
        if phase != self._phase:
            self._phase, self._began, self._first, self._told_at = phase, self.now(), done, float("-inf")
        if self.on_terminal:
            self._draw(self._text(phase, done, total, bar=True))
        elif self.now() - self._told_at >= LINE_EVERY_SECONDS:
            self._write(self._text(phase, done, total, bar=False) + "\n")
            self._told_at = self.now()

    def end(self) -> None:
        """Leave the terminal's line."""
        if self._width:
            self._write("\n")
            self._width = 0

    def _text(self, phase: str, done: int, total: int | None, *, bar: bool) -> str:
        seconds = self.now() - self._began
        rate = (done - self._first) / seconds if seconds >= SHORTEST_SECONDS else 0.0
        parts = [phase]
        if total:
            share = min(1.0, done / total)
            if bar:
                full = round(share * BAR_CHARACTERS)
                parts.append(f"[{'#' * full}{'.' * (BAR_CHARACTERS - full)}]")
            parts.append(f"{done:,} of {total:,} ({share:.0%})")
        else:
            parts.append(f"{done:,}")
        if rate >= 1:
            parts.append(f"{rate:,.0f}/s")
        if total and rate > 0 and total > done:
            parts.append(f"{_clock((total - done) / rate)} left")
        return "  ".join(parts)

    def _draw(self, text: str) -> None:
        self._write("\r" + text.ljust(self._width))
        self._width = max(self._width, len(text))

    def _write(self, text: str) -> None:
        """As it is: progress is no error, so it is not written in an error's colour."""
        self.stream.write(text, style_func=str, ending="")
        self.stream.flush()


def _clock(seconds: float) -> str:
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
