"""What sends a fake's webhooks: a queue by due time, worked off by a thread or by the round."""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

from crm.testing.clock import FakeClock

IDLE_SECONDS = 0.2


class Due(Protocol):
    due_ms: int


class SenderSettings(Protocol):
    shuffle: bool
    """Mix what one round sends."""
    paused: bool


Item = TypeVar("Item", bound=Due)
Settings = TypeVar("Settings", bound=SenderSettings)


class DueSender(ABC, Generic[Item, Settings]):
    """``start`` runs a thread; ``deliver_due`` does one round in the calling thread, for tests.

    Whoever touches ``_queue`` holds ``_wake``.
    """

    def __init__(self, clock: FakeClock, name: str, seed: int, settings: Settings) -> None:
        self.settings = settings
        self._clock = clock
        self._name = name
        self._random = random.Random(f"{name}/{seed}")  # noqa: S311 - reproducible, not secret
        self._wake = threading.Condition()
        self._queue: list[Item] = []
        self._stopping = False
        self._thread: threading.Thread | None = None

    @abstractmethod
    def _deliver(self, settings: Settings, due: list[Item]) -> int:
        """Send these, queue again what failed; gives how many the target accepted."""

    @property
    def waiting(self) -> int:
        with self._wake:
            return len(self._queue)

    def configure(self, settings: Settings) -> None:
        with self._wake:
            self.settings = settings
            self._wake.notify_all()

    def deliver_due(self, *, even_paused: bool = False) -> int:
        """Send what is due now; gives how many the target accepted."""
        with self._wake:
            settings, now_ms = self.settings, self._clock.now_ms()
            if settings.paused and not even_paused:
                return 0
            due = [item for item in self._queue if item.due_ms <= now_ms]
            self._queue = [item for item in self._queue if item.due_ms > now_ms]
            if settings.shuffle:
                self._random.shuffle(due)
        return self._deliver(settings, due)

    def start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                if self._stopping:
                    return
                now_ms = self._clock.now_ms()
                if self.settings.paused or not any(item.due_ms <= now_ms for item in self._queue):
                    self._wake.wait(timeout=IDLE_SECONDS if self._queue else None)
                    continue
            self.deliver_due()
