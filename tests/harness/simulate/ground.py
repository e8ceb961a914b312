"""What a world stands on: where its contacts and its sync's rows lie."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from crm.testing.clock import FakeClock
from crm.testing.memory import MemoryStore
from crm.testing.memory_app import MemoryApp


class Ground(Protocol):
    """Makes the app's side and the stores of one world, all with ``MemoryApp``'s and ``MemoryStore``'s doors."""

    name: str

    def enter_process(self) -> None:
        """Called in each process that plays seeds beside the first one."""
        ...

    def app(self, clock: FakeClock, region: str, organization_id: str) -> MemoryApp:
        """An organization without contacts."""
        ...

    def store(self, app: MemoryApp, name: str) -> MemoryStore:
        """A connection of it without links."""
        ...

    def aside(self, app: MemoryApp) -> AbstractContextManager[None]:
        """What is written inside is gone afterwards, where forks would meet on common ground."""
        ...


class Memory:
    """Everything in this process."""

    name = "memory"

    def enter_process(self) -> None:
        """Nothing to be done."""

    def app(self, clock: FakeClock, region: str, organization_id: str) -> MemoryApp:
        return MemoryApp(clock=clock, region=region, organization_id=organization_id)

    def store(self, app: MemoryApp, name: str) -> MemoryStore:
        return MemoryStore(app, name=name)

    def aside(self, _app: MemoryApp) -> AbstractContextManager[None]:
        return nullcontext()


MEMORY = Memory()
