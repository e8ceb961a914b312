"""The store in memory keeps every promise of the store port."""

from __future__ import annotations

import pytest

from crm.model import RunKind, Side
from crm.testing.memory import MemoryStore
from crm.testing.memory_tables import Journal, Table
from crm.testing.store_contract import StoreContract


class MemoryWorld:
    def __init__(self):
        self.store = MemoryStore()
        self.make_contact = self.store.app.create_contact
        self.edit_contact = self.store.app.edit_contact
        self.delete_contact = self.store.app.delete_contact
        self.exclude_contact = self.store.exclude
        self.request_cancel = self.store.request_cancel
        self.approve_plan = self.store.approve_plan
        self.rival = self.store.rival

    def start_run(self, kind: RunKind) -> str:
        return self.store.start_run(kind)

    def open_conflict_ids(self):
        return [row.conflict_id for row in self.store.open_conflicts()]

    def answer_conflict(self, conflict_id: str, side: Side):
        self.store.answer_conflict(conflict_id, side)

    def create_anyway(self, conflict_id: str):
        self.store.create_anyway(conflict_id)

    def take_lease(self, store, stream):
        store.take_lease(stream)

    def pass_time(self, seconds):
        self.store.app.clock.advance(seconds)


class TestMemoryStore(StoreContract):
    def make_world(self):
        return MemoryWorld()

    def count_ledger(self, world):
        return len(world.store.ledger())


def test_units_do_not_nest():
    """A unit opened inside another one is a mistake, and the outer one rolls back."""
    store = MemoryStore()
    contact_id = store.app.create_contact({"firstName": "Ada"})

    def nest():
        with store.unit():
            store.app.edit_contact(contact_id, {"firstName": "Eve"})
            with store.rival().unit():
                pass

    with pytest.raises(RuntimeError, match="do not nest"):
        nest()
    assert store.app.get(contact_id).values == {"firstName": "Ada"}


def test_a_rolled_back_table_is_as_before():
    """Rows set, replaced and dropped since the beginning come back, and nothing else changes."""
    journal = Journal()
    table = Table(journal)
    table["kept"], table["changed"], table["dropped"] = 1, 2, 3
    journal.begin()
    table["changed"] = 20
    table["changed"] = 21
    del table["dropped"]
    table["new"] = 4
    table.drop("new")
    table["newer"] = 5
    journal.rollback()
    assert dict(table) == {"kept": 1, "changed": 2, "dropped": 3}


def test_a_merge_of_contacts_fills_blanks_and_names_the_survivor():
    store = MemoryStore()
    winner = store.app.create_contact({"firstName": "Ada", "phone": ""})
    loser = store.app.create_contact({"firstName": "A.", "phone": "+31612345678"})
    store.app.merge_contacts(loser, winner)
    assert store.app.get(winner).values == {"firstName": "Ada", "phone": "+31612345678"}
    assert store.app.get(loser).merged_into == winner
    assert (store.app.get(winner).version, store.app.get(loser).version) == (2, 2)


def test_an_edit_that_changes_nothing_keeps_the_version():
    store = MemoryStore()
    contact_id = store.app.create_contact({"firstName": "Ada", "tags": ("a",)})
    assert store.app.edit_contact(contact_id, {"firstName": "Ada", "tags": ("a",)}) == 1
    assert store.app.edit_contact(contact_id, {"firstName": "Eve"}) == 2
