"""Two ways of syncing that are widely used, small and as good as they get: what ``--compare`` measures ours against.

Both know pairs, match by e-mail, write nothing where both sides hold the same, and page through what
changed. ``NewestWins`` lets the newer record win whole; ``EchoWindow`` copies changed fields in the order
in which it sees them, and takes what changes within a minute after its own write for its echo.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import ClassVar

from crm.errors import CrmError, LeaseLostError, RecordGoneError
from crm.mapping.field_map import is_blank
from crm.model import (
    Action,
    ActionKind,
    AppContact,
    ContactState,
    ContactWrite,
    Direction,
    LedgerEntry,
    Link,
    LinkState,
    RemoteRecord,
    RemoteState,
    RunKind,
    RunStatus,
    Value,
)
from crm.ports import CreateItem, ItemResult, UpdateItem
from crm.testing.adversary import RECORD_TYPE
from tests.harness.simulate.workers import CrashError, Worker

WINDOW = timedelta(seconds=60)


class BaselineWorker(Worker):
    """What both have in common. One ``finish`` is one whole sync."""

    started: ClassVar[dict[str, tuple[RunKind, dict[str, tuple[str, ...]]]]] = {}

    def start(self, kind: RunKind, **options) -> str:
        run_id = self.store.new_id()
        self.started[run_id] = (kind, options)
        return run_id

    def finish(self, run_id: str) -> RunStatus | None:
        self.figures.runs += 1
        self.run_id = run_id
        self._kind, self._options = self.started[run_id]
        try:
            self._sync()
        except (CrashError, CrmError, LeaseLostError):
            return None
        finally:
            self.figures.calls += self.connector.calls
        return RunStatus.COMPLETED

    # the two sides

    def _sync(self) -> None:
        began = self.account.crm.server_now()
        for record in self._records():
            if record.state is RemoteState.LIVE:
                self._meet(record)
        for contact in self._contacts():
            link = self._link_of(contact.contact_id)
            if link is None:
                self._create(contact)
            elif link.state is LinkState.LIVE and contact.version > link.synced_version:
                self._push(contact, link)
        if self._kind in (RunKind.FULL, RunKind.DELTA):
            with self.store.unit() as unit:
                unit.save_cursor(RECORD_TYPE, began)

    def _records(self) -> Iterable[RemoteRecord]:
        fields, found, after = self.account.book.remote_fields, [], None
        if self._kind is RunKind.WEBHOOK:
            return self.connector.fetch(RECORD_TYPE, self._options["remote_ids"], fields).values()
        if self._kind is RunKind.MANUAL:
            return ()
        cursor = self.account.store.state.cursors.get(RECORD_TYPE)
        since = cursor and cursor - timedelta(seconds=self.connector.capabilities.overlap_seconds)
        while True:
            if self._kind is RunKind.FULL or since is None:
                page = self.connector.scan(RECORD_TYPE, fields, after)
            else:
                page = self.connector.changes(RECORD_TYPE, fields, since, after)
            found += page.records
            after = page.next
            if after is None:
                return found

    def _contacts(self) -> list[AppContact]:
        wanted = self._options.get("contact_ids") if self._kind is RunKind.MANUAL else None
        return [
            contact
            for contact in sorted(self.account.app.live(), key=lambda each: each.contact_id)
            if wanted is None or contact.contact_id in wanted
        ]

    def _meet(self, record: RemoteRecord) -> None:
        """Pull a linked record; link a free one by e-mail, else make a contact of it."""
        with self.store.unit() as unit:
            views = unit.links_for_records(RECORD_TYPE, [record.remote_id])
        if views:
            contact = views[0].contact
            if views[0].link.state is LinkState.LIVE and contact.state is ContactState.LIVE:
                self._pull(record, contact, views[0].link)
            return
        email = record.values.get("email")
        twin = next(
            (
                contact for contact in self._contacts()
                if email and str(contact.values.get("email") or "").casefold() == str(email).casefold()
                and self._link_of(contact.contact_id) is None
            ), None,
        )  # fmt: skip
        if twin is not None:
            link = self._pair(twin.contact_id, record, twin.version)
            self._pull(record, twin, link, first=True)
            return
        contact_id = self.store.new_id()
        with self.store.unit() as unit:
            unit.write_contacts([ContactWrite(contact_id, None, self._as_contact(record.values))])
        self._pair(contact_id, record, 1, made=ActionKind.CREATE_IN_APP)

    def _create(self, contact: AppContact) -> None:
        marker = f"{self.account.app.organization_id}:{contact.contact_id}"
        values = {name: value for name, value in self._as_record(contact.values).items() if not is_blank(value)}
        answer = self.connector.create(RECORD_TYPE, [CreateItem("1", marker, values)])["1"]
        if answer.error is None and answer.record is not None:
            self._pair(contact.contact_id, answer.record, contact.version, made=ActionKind.CREATE_IN_CRM)

    def _pair(self, contact_id: str, record: RemoteRecord, version: int, *, made: ActionKind = ActionKind.LINK) -> Link:
        link = Link(
            self.store.new_id(), contact_id, RECORD_TYPE, record.remote_id, synced_version=version,
            remote_modified_at=record.modified_at, observed_at=self.account.app.now(),
        )  # fmt: skip
        with self.store.unit() as unit:
            unit.save_links([link])
            action = Action(made, RECORD_TYPE, contact_id, record.remote_id, link.link_id)
            unit.add_ledger(self.run_id, [LedgerEntry(action, link.link_id, contact_id, record.remote_id)])
        return link

    def _link_of(self, contact_id: str) -> Link | None:
        with self.store.unit() as unit:
            views = unit.links_for_contacts(RECORD_TYPE, [contact_id])
        return views[0].link if views else None

    def _write_contact(self, contact: AppContact, values: Mapping[str, Value]) -> int:
        """Only what differs in meaning; returns the version afterwards."""
        maps = {field_map.app_field: field_map for field_map in self.account.maps}
        differing = {
            name: value for name, value in values.items()
            if maps[name].canonical_app(contact.values.get(name)) != maps[name].canonical_app(value)
        }  # fmt: skip
        if not differing:
            return contact.version
        with self.store.unit() as unit:
            written = unit.write_contacts([ContactWrite(contact.contact_id, contact.version, differing)])
        return written.get(contact.contact_id, contact.version)

    def _write_record(self, link: Link, contact: AppContact, values: Mapping[str, Value]) -> ItemResult | None:
        """A record that is gone is made again, as an upsert does."""
        if not values:
            return None
        answer = self.connector.update(RECORD_TYPE, [UpdateItem("1", link.remote_id, values)])["1"]
        if isinstance(answer.error, RecordGoneError):
            with self.store.unit() as unit:
                unit.save_links([Link(link.link_id, link.contact_id, RECORD_TYPE, "", LinkState.PENDING)])
            self._remake(link, contact)
            return None
        return answer

    def _remake(self, link: Link, contact: AppContact) -> None:
        marker = f"{self.account.app.organization_id}:{contact.contact_id}"
        values = {name: value for name, value in self._as_record(contact.values).items() if not is_blank(value)}
        answer = self.connector.create(RECORD_TYPE, [CreateItem("1", marker, values)])["1"]
        if answer.error is not None or answer.record is None:
            return
        with self.store.unit() as unit:
            unit.save_links(
                [Link(link.link_id, contact.contact_id, RECORD_TYPE, answer.record.remote_id,
                      synced_version=contact.version, remote_modified_at=answer.record.modified_at)]
            )  # fmt: skip
            action = Action(ActionKind.CREATE_IN_CRM, RECORD_TYPE, contact.contact_id, "", link.link_id)
            entry = LedgerEntry(action, link.link_id, contact.contact_id, answer.record.remote_id)
            unit.add_ledger(self.run_id, [entry])

    def _save(self, link: Link, version: int, modified_at: datetime | None) -> None:
        with self.store.unit() as unit:
            unit.save_links(
                [Link(link.link_id, link.contact_id, RECORD_TYPE, link.remote_id, synced_version=version,
                      remote_modified_at=modified_at or link.remote_modified_at, observed_at=self.account.app.now())]
            )  # fmt: skip

    def _as_contact(self, values: Mapping[str, Value]) -> dict[str, Value]:
        return {
            field_map.app_field: values[field_map.remote_field]
            for field_map in self.account.maps
            if field_map.remote_field in values and field_map.direction is not Direction.TO_CRM
        }

    def _as_record(self, values: Mapping[str, Value]) -> dict[str, Value]:
        return {
            field_map.remote_field: values.get(field_map.app_field)
            for field_map in self.account.maps
            if field_map.direction is not Direction.FROM_CRM
        }

    def _differing(self, wanted: Mapping[str, Value], held: Mapping[str, Value]) -> dict[str, Value]:
        maps = {field_map.remote_field: field_map for field_map in self.account.maps}
        return {
            name: value for name, value in wanted.items()
            if name in held and maps[name].canonical_crm(value) != maps[name].canonical_crm(held[name])
        }  # fmt: skip

    # what makes the difference

    def _pull(self, record: RemoteRecord, contact: AppContact, link: Link, *, first: bool = False) -> None:
        raise NotImplementedError

    def _push(self, contact: AppContact, link: Link) -> None:
        raise NotImplementedError


class NewestWins(BaselineWorker):
    """The side that was changed last gives all its fields to the other."""

    def _pull(self, record: RemoteRecord, contact: AppContact, link: Link, *, first: bool = False) -> None:
        known = link.remote_modified_at
        if not first and known is not None and record.modified_at is not None and record.modified_at <= known:
            return
        edited_at = self.account.app.changes[contact.contact_id, contact.version].at
        app_moved = contact.version > link.synced_version or first
        if app_moved and record.modified_at is not None and edited_at > record.modified_at:
            self._give(contact, link, record)
        else:
            version = self._write_contact(contact, self._as_contact(record.values))
            self._save(link, version, record.modified_at)

    def _push(self, contact: AppContact, link: Link) -> None:
        record = self.connector.fetch(RECORD_TYPE, [link.remote_id], self.account.book.remote_fields)[link.remote_id]
        edited_at = self.account.app.changes[contact.contact_id, contact.version].at
        moved = link.remote_modified_at is None or (
            record.modified_at is not None and record.modified_at > link.remote_modified_at
        )
        if record.state is RemoteState.LIVE and moved and record.modified_at and record.modified_at > edited_at:
            version = self._write_contact(contact, self._as_contact(record.values))
            self._save(link, version, record.modified_at)
        else:
            self._give(contact, link, record)

    def _give(self, contact: AppContact, link: Link, record: RemoteRecord) -> None:
        values = self._as_record(contact.values)
        if record.state is RemoteState.LIVE:
            values = self._differing(values, record.values)
        answer = self._write_record(link, contact, values)
        if answer is None and not values:
            self._save(link, contact.version, record.modified_at)
        elif answer is not None and answer.error is None:
            self._save(link, contact.version, answer.record.modified_at if answer.record else None)


class EchoWindow(BaselineWorker):
    """Changed fields are copied when they are seen; what follows our own write within a minute is its echo."""

    def _pull(self, record: RemoteRecord, contact: AppContact, link: Link, *, first: bool = False) -> None:
        known = link.remote_modified_at
        if not first and known is not None and record.modified_at is not None and record.modified_at <= known + WINDOW:
            return
        version = self._write_contact(contact, self._as_contact(record.values))
        edited = contact.version > link.synced_version
        self._save(link, link.synced_version if edited and version == contact.version else version, record.modified_at)

    def _push(self, contact: AppContact, link: Link) -> None:
        changed: set[str] = set()
        for version in range(link.synced_version + 1, contact.version + 1):
            change = self.account.app.changes[contact.contact_id, version]
            if change.origin != self.account.name:
                changed |= change.fields.keys()
        names = {field_map.remote_field for field_map in self.account.maps if field_map.app_field in changed}
        wanted = {name: value for name, value in self._as_record(contact.values).items() if name in names}
        answer = self._write_record(link, contact, wanted)
        if not wanted or (answer is not None and answer.error is None):
            stamp = self.account.crm.server_now() if wanted else None
            self._save(link, contact.version, stamp)
