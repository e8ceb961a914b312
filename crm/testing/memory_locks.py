"""Leases of streams, claims of records and open intents: who may work on what, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from crm.errors import LeaseLostError
from crm.model import Action, Intent, IntentKind, IntentStatus
from crm.testing.memory_app import MemoryApp
from crm.testing.memory_tables import Table

CLAIM_SECONDS: Final = 120
LEASE_SECONDS: Final = 120
_OPEN: Final = (IntentStatus.SENT, IntentStatus.UNKNOWN)


def record_keys(action: Action) -> tuple[str, ...]:
    """Everything that an action works on, each as one text: link, contact, remote record."""
    keys = [f"link:{link_id}" for link_id in (action.link_id, *action.superseded) if link_id]
    if action.contact_id:
        keys.append(f"contact:{action.record_type}:{action.contact_id}")
    if action.remote_id:
        keys.append(f"record:{action.record_type}:{action.remote_id}")
    return tuple(keys)


@dataclass(frozen=True, slots=True)
class Claim:
    worker: str
    owner_id: str
    """The line or intent it was taken for."""
    until: datetime


@dataclass(frozen=True, slots=True)
class Lease:
    fence: int
    until: datetime


class Locks:
    """All of it is rows that end by the store's clock; nothing waits."""

    def __init__(self, app: MemoryApp) -> None:
        self._app = app
        self._claims: Table[str, Claim] = Table(app.journal)
        self._leases: Table[str, Lease] = Table(app.journal)
        self.intents: Table[str, Intent] = Table(app.journal)
        self._open: Table[str, str] = Table(app.journal)

    def fork(self, app: MemoryApp) -> Locks:
        twin = Locks(app)
        twin._claims, twin._leases = self._claims.fork(app.journal), self._leases.fork(app.journal)
        twin.intents, twin._open = self.intents.fork(app.journal), self._open.fork(app.journal)
        return twin

    # leases

    def take_lease(self, stream: str) -> int:
        """The fence of the new lease. Raises LeaseLostError while another one lasts."""
        held = self._leases.get(stream)
        if held is not None and held.until > self._app.now():
            raise LeaseLostError
        fence = held.fence + 1 if held else 1
        self._leases[stream] = Lease(fence, self._app.now() + timedelta(seconds=LEASE_SECONDS))
        return fence

    def fence(self, stream: str) -> int:
        """Of the last grant; 0 where there was none."""
        held = self._leases.get(stream)
        return held.fence if held else 0

    def renew_lease(self, stream: str, fence: int) -> None:
        held = self._leases.get(stream)
        if held is None or held.fence != fence or held.until <= self._app.now():
            raise LeaseLostError
        self._leases[stream] = Lease(fence, self._app.now() + timedelta(seconds=LEASE_SECONDS))

    def release_lease(self, stream: str, fence: int) -> None:
        held = self._leases.get(stream)
        if held is not None and held.fence == fence:
            self._leases[stream] = Lease(fence, self._app.now())

    # claims

    def claim(self, worker: str, owner_id: str, keys: Sequence[str]) -> bool:
        """All of the keys or none. A worker's own claim for the same line is prolonged."""
        now = self._app.now()
        for key in keys:
            held = self._claims.get(key)
            if held is not None and held.until > now and (held.worker, held.owner_id) != (worker, owner_id):
                return False
        for key in keys:
            self._claims[key] = Claim(worker, owner_id, now + timedelta(seconds=CLAIM_SECONDS))
        return True

    def check_claim(self, worker: str, owner_id: str, keys: Sequence[str]) -> None:
        now = self._app.now()
        for key in keys:
            held = self._claims.get(key)
            if held is None or (held.worker, held.owner_id) != (worker, owner_id) or held.until <= now:
                raise LeaseLostError

    def give_back(self, worker: str, owner_id: str, keys: Sequence[str]) -> None:
        for key in keys:
            held = self._claims.get(key)
            if held is not None and (held.worker, held.owner_id) == (worker, owner_id):
                del self._claims[key]

    # intents

    def open_kind(self, key: str) -> IntentKind | None:
        """The kind of the open intent on this record, if there is one."""
        intent_id = self._open.get(key)
        return self.intents[intent_id].kind if intent_id else None

    def is_busy(self, key: str) -> bool:
        return key in self._open

    def open_intent(self, intent: Intent) -> None:
        keys = record_keys(intent.action)
        if any(key in self._open for key in keys):
            raise LeaseLostError
        self.intents[intent.intent_id] = replace(intent, status=IntentStatus.SENT)
        for key in keys:
            self._open[key] = intent.intent_id

    def open_intents(self) -> list[Intent]:
        return [self.intents[intent_id] for intent_id in sorted(set(self._open.values()))]

    def take_open_intents(self, worker: str, limit: int) -> list[Intent]:
        """Those on whose record no claim lasts. An intent that stays unknown keeps the claim until it ends."""
        taken: list[Intent] = []
        for intent in self.open_intents():
            if len(taken) == limit:
                break
            intent_id, now = intent.intent_id, self._app.now()
            keys = record_keys(intent.action)
            free = all((held := self._claims.get(key)) is None or held.until <= now for key in keys)
            if free and self.claim(worker, intent_id, keys):
                taken.append(intent)
        return taken

    def settle_intent(self, worker: str, intent_id: str, status: IntentStatus, error_code: str) -> None:
        intent = self.intents[intent_id]
        self.intents[intent_id] = replace(intent, status=status, error_code=error_code)
        if status in _OPEN:
            return
        keys = record_keys(intent.action)
        for key in keys:
            if self._open.get(key) == intent_id:
                del self._open[key]
        self.give_back(worker, intent_id, keys)
