"""What surrounds a store in a test: people edit contacts, time passes, another worker comes along."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Protocol

import pytest

from crm.model import (
    RunKind,
    Side,
    Value,
)
from crm.ports import SyncStore


class StoreWorld(Protocol):
    """One connection and what surrounds it."""

    @property
    def store(self) -> SyncStore:
        """One worker's store; the same object every time."""
        ...

    def rival(self) -> SyncStore:
        """Another worker of the same connection."""
        ...

    def make_contact(self, values: Mapping[str, Value]) -> str: ...

    def edit_contact(self, contact_id: str, values: Mapping[str, Value]) -> None: ...

    def delete_contact(self, contact_id: str) -> None: ...

    def exclude_contact(self, contact_id: str) -> None: ...

    def start_run(self, kind: RunKind) -> str:
        """Id of a run of the record type ``contact``, its plan id given."""
        ...

    def request_cancel(self, run_id: str) -> None: ...

    def approve_plan(self, plan_id: str) -> None: ...

    def open_conflict_ids(self) -> list[str]: ...

    def answer_conflict(self, conflict_id: str, side: Side) -> None: ...

    def create_anyway(self, conflict_id: str) -> None:
        """A match is answered with "none of these"."""
        ...

    def take_lease(self, store: SyncStore, stream: str) -> None:
        """The worker of this store owns the stream from now on. Raises LeaseLostError while another does."""
        ...

    def pass_time(self, seconds: float) -> None:
        """Let the store's clock go on; leases and claims end within an hour."""
        ...


class WithWorld:
    """Inherit, and implement ``make_world``."""

    @abstractmethod
    def make_world(self) -> StoreWorld:
        """A fresh connection without contacts, links or runs."""

    @pytest.fixture
    def world(self) -> StoreWorld:
        return self.make_world()
