"""ADSapp's own side on PostgreSQL, with the doors of ``MemoryApp``: people write to the table, triggers remember."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection as database
from django.db.models.functions import Now

from adsapp_crm.models import Contact, Organization
from adsapp_crm.models.contact import match_keys
from adsapp_crm.tenancy import organization_context
from crm.mapping.app_fields import APP_FIELDS, CUSTOM_PREFIX
from crm.model import AppContact, ContactState, Value
from crm.testing.clock import FakeClock
from crm.testing.memory_app import ContactChange, ContactRow
from tests.harness.simulate.postgres_mirror import People, read_people

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BOOLEANS = ("email_opt_out", "whatsapp_opt_out")


class PostgresApp:
    """The contacts of one organization. ``mark`` (12 hexadecimal digits) stands in every id of its world."""

    def __init__(self, clock: FakeClock, region: str, mark: str) -> None:
        self.clock, self.region, self.mark = clock, region, mark
        self.organization_id = f"00000000-0000-7000-8000-{mark}"
        self.names: dict[str, str] = {}
        """Connection id -> name of the account."""
        self.journal = self
        self.units_open = 0
        self.writes = 0
        """Grows with everything that may have changed a row: what was read before is then read again."""
        self._ids_given = 0
        self._people: tuple[int, People] = (-1, People())

    def founded(self) -> PostgresApp:
        self.tell_time()
        with organization_context(self.organization_id, actor="user:simulated", origin="user"):
            Organization(id=self.organization_id, name="Simulated", region=self.region).save(force_insert=True)
        return self

    def fork(self, clock: FakeClock) -> PostgresApp:
        """The same rows by another clock. What is written through it stays until the ground takes it back."""
        twin = PostgresApp(clock, self.region, self.mark)
        twin.names, twin._ids_given = self.names, self._ids_given
        return twin

    # time and ids

    def now(self) -> datetime:
        return _EPOCH + timedelta(milliseconds=self.clock.now_ms())

    def tell_time(self) -> None:
        """Let the server's clock stand at the world's."""
        with database.cursor() as cursor:
            cursor.execute("SELECT set_config('sim.now', %s, false)", [self.now().isoformat()])

    def new_id(self) -> str:
        self._ids_given += 1
        return f"{self._ids_given:08x}-0000-7000-8000-{self.mark}"

    @property
    def is_open(self) -> bool:
        """Whether a unit is open: the ``journal`` of this app."""
        return self.units_open > 0

    def forget(self) -> None:
        self.writes += 1

    # what people do

    def create_contact(self, values: Mapping[str, Value], *, contact_id: str = "", imported: bool = False) -> str:
        contact = Contact(id=contact_id or self.new_id())
        with self._writing("import" if imported else "user"):
            self._set(contact, values)
            contact.save(force_insert=True)
        return str(contact.pk)

    def edit_contact(self, contact_id: str, values: Mapping[str, Value]) -> int:
        with self._writing("user"):
            contact = Contact.objects.get(pk=contact_id)
            self._set(contact, values)
            contact.save()
        return self.rows[contact_id].contact.version

    def delete_contact(self, contact_id: str) -> None:
        with self._writing("user"):
            Contact.objects.filter(pk=contact_id).update(deleted_at=Now())

    def restore_contact(self, contact_id: str) -> None:
        with self._writing("user"):
            Contact.objects.filter(pk=contact_id).update(deleted_at=None)

    def merge_contacts(self, loser_id: str, winner_id: str) -> None:
        winner, loser = self.rows[winner_id].contact, self.rows[loser_id].contact
        blanks = {
            name: value
            for name, value in loser.values.items()
            if winner.values.get(name) in (None, "", ()) and value not in (None, "", ())
        }
        if blanks:
            self.edit_contact(winner_id, blanks)
        with self._writing("user"):
            Contact.objects.filter(pk=loser_id).update(merged_into=winner_id)

    # what is seen

    @property
    def rows(self) -> dict[str, ContactRow]:
        return self._read().rows

    @property
    def changes(self) -> dict[tuple[str, int], ContactChange]:
        return self._read().changes

    def get(self, contact_id: str) -> AppContact | None:
        row = self.rows.get(contact_id)
        return row.contact if row else None

    def live(self) -> Iterable[AppContact]:
        return (row.contact for row in self.rows.values() if row.contact.state is ContactState.LIVE)

    def _read(self) -> People:
        if self._people[0] != self.writes:
            self._people = (self.writes, read_people(self.organization_id, self.names))
        return self._people[1]

    def _writing(self, origin: str) -> Any:
        self.tell_time()
        self.writes += 1
        return organization_context(self.organization_id, actor="user:simulated", origin=origin)

    def _set(self, contact: Contact, values: Mapping[str, Value]) -> None:
        custom = dict(contact.custom_fields)
        for name, value in values.items():
            if name.startswith(CUSTOM_PREFIX):
                custom[name.removeprefix(CUSTOM_PREFIX)] = value
                continue
            attribute = APP_FIELDS[name].attribute
            if attribute == "tags":
                setattr(contact, attribute, list(value) if isinstance(value, tuple) else [])
            else:
                setattr(contact, attribute, bool(value) if attribute in _BOOLEANS else value or "")
        contact.custom_fields = {key: value for key, value in custom.items() if value is not None}
        for column, key in match_keys(contact.email, contact.phone, self.region).items():
            setattr(contact, column, key)
