"""ADSapp's own side in memory: contacts with versions and the change log that the database trigger keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from crm.model import AppContact, ContactState, ContactWrite, Interval, Value
from crm.normalize import email_key, phone_key
from crm.testing.clock import FakeClock
from crm.testing.memory_tables import Journal, Table

START_MS = 1_790_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ContactRow:
    """A contact with its normalized columns."""

    contact: AppContact
    email_key: str = ""
    phone_key: str = ""


@dataclass(frozen=True, slots=True)
class ContactChange:
    """One write to a contact, by whichever path: what the trigger of the real database stores."""

    contact_id: str
    version: int
    at: datetime
    origin: str
    """``user``, ``import``, or the connection that pulled."""
    fields: Mapping[str, tuple[Value, Value]]
    """App field -> (before, after)."""
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    """App field -> the CRM's own interval, for a pulled value."""


class MemoryApp:
    """The contacts of one organization. Several stores (connections) may share one."""

    def __init__(
        self,
        *,
        clock: FakeClock | None = None,
        organization_id: str = "00000000-0000-7000-8000-0000000000aa",
        region: str = "NL",
    ) -> None:
        self.clock = clock or FakeClock(start_ms=START_MS)
        self.organization_id = organization_id
        self.region = region
        self.journal = Journal()
        self.rows: Table[str, ContactRow] = Table(self.journal)
        self.changes: Table[tuple[str, int], ContactChange] = Table(self.journal)
        self._ids_given = 0

    def fork(self, clock: FakeClock) -> MemoryApp:
        """The same contacts once more, by another clock; what is written to one is not seen in the other."""
        twin = MemoryApp(clock=clock, organization_id=self.organization_id, region=self.region)
        twin.rows, twin.changes = self.rows.fork(twin.journal), self.changes.fork(twin.journal)
        twin._ids_given = self._ids_given
        return twin

    def now(self) -> datetime:
        return _EPOCH + timedelta(milliseconds=self.clock.now_ms())

    def new_id(self) -> str:
        """A UUID that is the same in every run of a program and sorts by age."""
        self._ids_given += 1
        return f"{self._ids_given:08x}-0000-7000-8000-{0:012x}"

    # what people do

    def create_contact(self, values: Mapping[str, Value], *, contact_id: str = "", imported: bool = False) -> str:
        contact = AppContact(contact_id or self.new_id(), 1, dict(values))
        fields = {name: (None, value) for name, value in values.items()}
        self._put(contact, fields, "import" if imported else "user")
        return contact.contact_id

    def edit_contact(self, contact_id: str, values: Mapping[str, Value]) -> int:
        """Returns the version after the edit; an edit that changes nothing keeps it."""
        return self._change(self.rows[contact_id].contact, values, "user").version

    def delete_contact(self, contact_id: str) -> None:
        self._set_state(contact_id, ContactState.DELETED)

    def restore_contact(self, contact_id: str) -> None:
        self._set_state(contact_id, ContactState.LIVE)

    def merge_contacts(self, loser_id: str, winner_id: str) -> None:
        """The winner keeps its values and takes the loser's where it has none."""
        winner, loser = self.rows[winner_id].contact, self.rows[loser_id].contact
        blanks = {
            name: value
            for name, value in loser.values.items()
            if winner.values.get(name) in (None, "", ()) and value not in (None, "", ())
        }
        self._change(winner, blanks, "user")
        self._set_state(loser_id, ContactState.MERGED, merged_into=winner_id)

    # what the store needs

    def get(self, contact_id: str) -> AppContact | None:
        row = self.rows.get(contact_id)
        return row.contact if row else None

    def live(self) -> Iterable[AppContact]:
        return (row.contact for row in self.rows.values() if row.contact.state is ContactState.LIVE)

    def write(self, write: ContactWrite, origin: str) -> int | None:
        """Apply a pull; None when the contact moved on (or, for a create, exists already)."""
        held = self.get(write.contact_id)
        if write.expected_version is None:
            if held is not None:
                return None
            values = dict(write.values)
            if write.add_tag:
                values["tags"] = _with_tag(values.get("tags"), write.add_tag)
            contact = AppContact(write.contact_id, 1, values)
            self._put(contact, {name: (None, value) for name, value in values.items()}, origin, write.changed_at)
            return 1
        if held is None or held.version != write.expected_version:
            return None
        values = dict(write.values)
        if write.add_tag:
            values["tags"] = _with_tag(values.get("tags", held.values.get("tags")), write.add_tag)
        state = ContactState.DELETED if write.delete else ContactState.LIVE if write.restore else held.state
        return self._change(held, values, origin, write.changed_at, state=state).version

    def last_changes(self, contact_id: str) -> dict[str, Interval]:
        """App field -> when it last changed: exactly known here, by the CRM's own interval after a pull."""
        found: dict[str, Interval] = {}
        row = self.rows.get(contact_id)
        for version in range(row.contact.version if row else 0, 0, -1):
            change = self.changes.get((contact_id, version))
            for name in change.fields if change else ():
                if change is not None and name not in found:
                    found[name] = _interval(change, name)
        return found

    # inside

    def _set_state(self, contact_id: str, state: ContactState, *, merged_into: str = "") -> None:
        self._change(self.rows[contact_id].contact, {}, "user", state=state, merged_into=merged_into)

    def _change(
        self,
        contact: AppContact,
        values: Mapping[str, Value],
        origin: str,
        intervals: Mapping[str, Interval] | None = None,
        *,
        state: ContactState | None = None,
        merged_into: str = "",
    ) -> AppContact:
        fields = {
            name: (contact.values.get(name), value)
            for name, value in values.items()
            if not _same(contact.values.get(name), value)
        }
        state = state or contact.state
        if not fields and state is contact.state and (not merged_into or merged_into == contact.merged_into):
            return contact
        changed = replace(
            contact,
            version=contact.version + 1,
            values={**contact.values, **{name: after for name, (_, after) in fields.items()}},
            state=state,
            merged_into=merged_into,
        )
        self._put(changed, fields, origin, intervals)
        return changed

    def _put(
        self,
        contact: AppContact,
        fields: Mapping[str, tuple[Value, Value]],
        origin: str,
        intervals: Mapping[str, Interval] | None = None,
    ) -> None:
        self.rows[contact.contact_id] = ContactRow(
            contact,
            email_key(_text(contact.values.get("email"))) or "",
            phone_key(_text(contact.values.get("phone")), self.region) or "",
        )
        self.changes[contact.contact_id, contact.version] = ContactChange(
            contact.contact_id, contact.version, self.now(), origin, fields, dict(intervals or {})
        )


def _interval(change: ContactChange, name: str) -> Interval:
    if name in change.intervals:
        return change.intervals[name]
    if change.origin == "user":
        return Interval(change.at, change.at)
    return Interval(None, change.at, imported=change.origin == "import")


def _same(left: Value, right: Value) -> bool:
    return type(left) is type(right) and left == right


def _text(value: Value) -> str:
    return value if isinstance(value, str) else ""


def _with_tag(tags: Value, tag: str) -> tuple[str, ...]:
    held = tags if isinstance(tags, tuple) else ()
    return held if tag in held else (*held, tag)
