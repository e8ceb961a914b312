"""Writes of contacts, and the evidence of their edits."""

# ruff: noqa: S101 - a test suite: asserts are what it is made of, its names say what holds

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from crm.model import (
    ContactState,
    ContactWrite,
    Interval,
)
from crm.testing.store_contract.rows import words_of
from crm.testing.store_contract.world import StoreWorld, WithWorld


class ContactContract(WithWorld):
    def test_a_contact_that_moved_on_is_not_written(self, world: StoreWorld) -> None:
        stale, fresh = (world.make_contact({"firstName": name}) for name in ("Ada", "Bea"))
        world.edit_contact(stale, {"firstName": "Adele"})
        with world.store.unit() as unit:
            written = unit.write_contacts(
                [
                    ContactWrite(stale, 1, {"lastName": "Lovelace"}),
                    ContactWrite(fresh, 1, {"lastName": "Smith"}),
                ]
            )
            assert written == {fresh: 2}
            assert unit.contacts([stale])[stale].values.get("lastName") in (None, "")
            assert unit.contacts([fresh])[fresh].values["lastName"] == "Smith"

    def test_a_contact_is_created_once_with_the_id_given(self, world: StoreWorld) -> None:
        contact_id = world.store.new_id()
        create = ContactWrite(contact_id, None, {"firstName": "Ada"})
        with world.store.unit() as unit:
            assert unit.write_contacts([create]) == {contact_id: 1}
        with world.store.unit() as unit:
            assert unit.write_contacts([create]) == {}
            assert unit.contacts([contact_id])[contact_id].version == 1

    def test_a_contact_is_deleted_tagged_and_restored_by_writes(self, world: StoreWorld) -> None:
        contact_id = world.make_contact({"firstName": "Ada", "tags": ("vip",)})
        with world.store.unit() as unit:
            assert unit.write_contacts([ContactWrite(contact_id, 1, {}, delete=True, add_tag="gone")]) == {
                contact_id: 2
            }
            gone = unit.contacts([contact_id])[contact_id]
            assert (gone.state, set(words_of(gone.values["tags"]))) == (ContactState.DELETED, {"vip", "gone"})
            assert unit.write_contacts([ContactWrite(contact_id, 2, {}, restore=True)]) == {contact_id: 3}
            assert unit.contacts([contact_id])[contact_id].state is ContactState.LIVE

    def test_unknown_contacts_are_absent_and_deleted_ones_are_there(self, world: StoreWorld) -> None:
        contact_id = world.make_contact({"firstName": "Ada"})
        world.delete_contact(contact_id)
        nobody = world.store.new_id()
        with world.store.unit() as unit:
            found = unit.contacts([contact_id, nobody])
        assert set(found) == {contact_id}
        assert found[contact_id].state is ContactState.DELETED

    def test_the_change_log_dates_edits_and_believes_the_crm_about_pulls(self, world: StoreWorld) -> None:
        """An edit by a person has its own time; a pulled value the interval that came with it."""
        contact_id = world.make_contact({"firstName": "Ada", "lastName": "L"})
        with world.store.unit() as unit:
            before = unit.now()
        world.pass_time(600)
        world.edit_contact(contact_id, {"firstName": "Adele"})
        said = Interval(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
        with world.store.unit() as unit:
            unit.write_contacts([ContactWrite(contact_id, 2, {"lastName": "Love"}, changed_at={"lastName": said})])
            changes = unit.app_changes([contact_id])[contact_id]
        assert changes["lastName"] == said
        assert changes["firstName"].latest is not None
        assert changes["firstName"].latest >= before + timedelta(seconds=599)
        assert changes["firstName"].earliest is not None
