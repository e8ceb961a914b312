"""Who wrote which value when, on both sides of one account: what the judges look at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from crm.model import ContactState, Effect, Rule, Side, Value
from tests.harness.simulate.world import Account


@dataclass(frozen=True)
class Event:
    """One write of one field on one side."""

    at: datetime
    side: Side
    entity: str
    mapping_id: str
    before: Value
    after: Value
    by: str
    """user, us, automation, merge, or elsewhere: what another CRM's connection brought into the app."""
    read_at: datetime | None = None
    order: int = 0
    read_order: int = 0


@dataclass
class Told:
    """What a seed's people did, and what of it nobody can be blamed for."""

    edits: int = 0
    contested: int = 0
    unknowable: int = 0
    blind: list[tuple[str, float]] = field(default_factory=list)
    """Field of an edit that came between our check read and our write, and the seconds between those two."""

    def add(self, other: Told) -> None:
        self.edits += other.edits
        self.contested += other.contested
        self.unknowable += other.unknowable
        self.blind += other.blind


class Groups:
    """Names that belong together."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def find(self, name: str) -> str:
        while self._parent.setdefault(name, name) != name:
            name = self._parent[name]
        return name

    def join(self, left: str, right: str) -> None:
        if left and right:
            self._parent[self.find(left)] = self.find(right)

    def names(self) -> list[str]:
        return list(self._parent)


class Evidence:
    """What happened between one account and the app, by both journals."""

    def __init__(self, account: Account) -> None:
        self.account, self.world = account, account.world
        self.store, self.crm, self.app = account.store, account.crm, account.app
        self.maps = {field_map.mapping_id: field_map for field_map in account.maps}
        self.by_app = {field_map.app_field: field_map for field_map in account.maps}
        self.by_remote = {field_map.remote_field: field_map for field_map in account.maps}
        self.links = account.store.links()
        self.groups = self._groups()
        self.events = sorted([*self._app_events(), *self._crm_events()], key=lambda event: event.at)
        self.timeline: dict[tuple[str, Side, str], list[Event]] = defaultdict(list)
        for event in self.events:
            self.timeline[self.groups.get(event.entity, event.entity), event.side, event.mapping_id].append(event)
        self.merged_at = {
            contact_id: account.app.changes[contact_id, row.contact.version].at
            for contact_id, row in account.app.rows.items()
            if row.contact.state is ContactState.MERGED
        }
        self.merged_at.update((entry.remote_id, entry.at) for entry in account.crm.journal if entry.what == "merge")
        self.told = Told()

    def accuse(self, invariant: str, text: str) -> None:
        self.world.accuse(invariant, text)

    # what there is

    def _groups(self) -> dict[str, str]:
        """Entity -> a name shared by all that were ever linked or merged with it."""
        groups = Groups()
        for link in self.links:
            groups.join(link.contact_id, link.remote_id)
        for entry in self.store.ledger():
            groups.join(entry.contact_id, entry.remote_id)
        for intent in self.store.intents():  # a pairing whose answer was lost, and that came to nothing
            groups.join(intent.action.contact_id, intent.action.remote_id)
        for made in self.crm.journal:
            if made.what == "create" and made.by == "us":
                groups.join(made.remote_id, made.marker.partition(":")[2])
        for row in self.app.rows.values():
            groups.join(row.contact.contact_id, row.contact.merged_into)
        for record in self.crm.records.values():
            groups.join(record.remote_id, record.merged_into)
            for former in record.former_ids:
                groups.join(record.remote_id, former)
        return {name: groups.find(name) for name in groups.names()}

    def _app_events(self) -> Iterator[Event]:
        for change in self.app.changes.values():
            by = "us" if change.origin == self.store.name else "user"
            if by == "user" and change.origin not in ("user", "import"):
                by = "elsewhere"
            for name, (before, after) in change.fields.items():
                field_map = self.by_app.get(name)
                if field_map is not None:
                    yield Event(change.at, Side.APP, change.contact_id, field_map.mapping_id, before, after, by)

    def _crm_events(self) -> Iterator[Event]:
        for entry in self.crm.journal:
            if not entry.field:
                continue
            field_map = self.by_remote.get(entry.field)
            if field_map is None:
                if entry.by == "us":
                    self.accuse("I7", f"record {entry.remote_id}: unmapped field {entry.field} was written")
                continue
            yield Event(
                entry.at, Side.CRM, entry.remote_id, field_map.mapping_id, entry.before, entry.after, entry.by,
                entry.read_at, entry.number, entry.read_number,
            )  # fmt: skip

    def same(self, mapping_id: str, left: Value, right: Value) -> bool:
        """Equal in the CRM's stored form as well: the CRM may rewrite what it gets."""
        field_map, tag = self.maps[mapping_id], self.account.book.deleted_tag
        if field_map.consent:
            return bool(left) == bool(right)  # nobody asked is nobody opted out
        if isinstance(left, tuple) and isinstance(right, tuple):
            left, right = (tuple(word for word in words if word != tag) for words in (left, right))
        stores = self.account.nature.fields[field_map.remote_field].stores
        forms = {repr(field_map.canonical_crm(left)), repr(field_map.canonical_crm(stored_form(stores, left)))}
        return bool(
            forms & {repr(field_map.canonical_crm(right)), repr(field_map.canonical_crm(stored_form(stores, right)))}
        )


def agreed(effect: Effect) -> tuple[Value, ...]:
    """The values that an agreed difference names: either may be replaced by an edit of the other side."""
    return (effect.app_value, effect.crm_value) if effect.rule is Rule.AGREED_DIFFERENCE else ()


def is_blank(value: Value) -> bool:
    return value in (None, "", ())


def stored_form(stores, value: Value) -> Value:
    return stores(value) if value not in (None, "", ()) else None


def name_of(event: Event) -> str:
    return f"{event.side} {event.entity[:8]} {event.mapping_id}"


def clock_of(event: Event) -> str:
    return f"{event.at:%H:%M:%S.%f}"[:-3]
