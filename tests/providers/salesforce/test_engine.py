"""The engine over this connector and the fake: two sides that come together and then stay quiet."""

from __future__ import annotations

from typing import Any

import pytest

from crm.engine.context import Ports
from crm.engine.rulebook import Rulebook
from crm.engine.run import advance
from crm.mapping.build import MappingRow, build_field_map
from crm.mapping.field_map import FieldMap
from crm.model import LinkState, Phase, Policy, RunKind
from crm.providers.salesforce import PROVIDER
from crm.testing.memory import MemoryStore
from crm.testing.memory_app import MemoryApp
from tests.providers.salesforce.stand import SalesforceStand

PEOPLE = 25


class Sync:
    """One connection with the default mappings, on the fake's clock."""

    def __init__(self, stand: SalesforceStand, **changes: Any) -> None:
        self.stand = stand
        self.app = MemoryApp(clock=stand.fake.clock)
        self.store = MemoryStore(self.app)
        books = {name: Rulebook(name, self.maps(name), Policy(), "rules-1") for name in PROVIDER.record_types}
        self.connector = stand.connector(**changes)
        self.ports = Ports(self.store, self.connector, books, self.app.organization_id, "Contact")

    def maps(self, record_type: str) -> tuple[FieldMap, ...]:
        fields = {each.name: each for each in self.stand.definitions[record_type]}
        found = []
        for number, row in enumerate(PROVIDER.default_mappings):
            if row.record_type == record_type and row.remote_field in fields:
                stored = MappingRow(f"{record_type}-{number}", row.app_field, row.remote_field)
                built = build_field_map(stored, fields[row.remote_field], "NL")
                assert isinstance(built, FieldMap), built
                found.append(built)
        return tuple(found)

    def run(self, kind: RunKind = RunKind.DELTA, **options: Any) -> Any:
        self.stand.pass_time(600)
        run_id = self.store.start_run(kind, record_types=PROVIDER.record_types, **options)
        for _ in range(200):
            run = advance(run_id, self.ports)
            if run.phase is Phase.DONE:
                return run
        pytest.fail("the run does not end")

    def writes(self) -> int:
        return int(self.stand.fake.stats()["writes"])

    def contacts(self) -> list[dict[str, Any]]:
        return [dict(contact.values) for contact in self.app.live()]


@pytest.fixture
def sync(stand: SalesforceStand) -> Sync:
    return Sync(stand)


def live(sync: Sync) -> list[Any]:
    return [link for link in sync.store.links() if link.state is LinkState.LIVE]


def test_both_sides_come_together_and_the_next_rounds_write_nothing(sync: Sync) -> None:
    """Contacts with company and country, a single name, leads; 50 writes of ours and no more."""
    sync.stand.add([{"LastName": f"There {n}", "Email": f"t{n}@example.com"} for n in range(PEOPLE)])
    sync.stand.add([{"LastName": "Lead", "Company": "Acme", "Email": "lead@example.com"}], "Lead")
    for number in range(PEOPLE):
        values = {"firstName": f"Here {number}", "email": f"h{number}@example.com", "company": f"Company {number % 3}"}
        sync.app.create_contact({**values, **({"lastName": "Last"} if number % 2 else {})})
    run = sync.run(RunKind.FULL)
    assert (run.counts.created_in_app, run.counts.created_in_crm) == (PEOPLE + 1, PEOPLE)
    assert (run.counts.failed, run.counts.conflicts, run.counts.stale) == (0, 0, 0)
    assert len(sync.stand.records("Account")) == 3
    assert len(live(sync)) == 2 * PEOPLE + 1
    written = sync.writes()
    for kind in (RunKind.DELTA, RunKind.DELTA, RunKind.FULL):
        before = sync.connector.calls
        run = sync.run(kind)
        assert (run.counts.planned, run.counts.failed, run.counts.conflicts) == (0, 0, 0)
        assert sync.connector.calls - before == 2
    assert sync.writes() == written
    assert len(sync.contacts()) == 2 * PEOPLE + 1


def test_edits_of_both_sides_meet_and_names_left_out_stay_blank(sync: Sync) -> None:
    """Different fields of one contact; the placeholder never becomes a last name."""
    contact_id = sync.app.create_contact({"firstName": "Ada", "email": "ada@example.com"})
    sync.run(RunKind.FULL)
    (record,) = sync.stand.records()
    sync.app.edit_contact(contact_id, {"company": "Engines", "emailOptOut": True})
    sync.stand.pass_time(5)
    sync.stand.edit(record["Id"], {"Title": "Countess", "Phone": "+31 20 123 4567"})
    sync.run()
    sync.run()
    values = sync.app.get(contact_id).values
    assert (values.get("lastName"), values["jobTitle"], values["company"]) == (None, "Countess", "Engines")
    record = sync.stand.record(record["Id"])
    assert (record["HasOptedOutOfEmail"], record["Title"]) == (True, "Countess")
    written = sync.writes()
    assert sync.run().counts.planned == 0
    assert sync.writes() == written


def test_a_link_follows_its_record_through_a_merge(sync: Sync) -> None:
    """The loser's contact lives on with the winner; nothing is deleted and nobody made anew."""
    contact_id = sync.app.create_contact({"lastName": "Lost", "email": "lost@example.com"})
    sync.run(RunKind.FULL)
    (lost,) = sync.stand.live_ids()
    sync.stand.pass_time(60)
    (winner,) = sync.stand.add([{"LastName": "Winner"}])
    sync.stand.merge(winner, lost)
    sync.run()
    assert [(link.contact_id, link.remote_id) for link in live(sync)] == [(contact_id, winner)]
    sync.run()
    assert (len(sync.contacts()), sync.stand.live_ids()) == (1, {winner})


def test_a_deletion_is_seen_by_the_delta(sync: Sync) -> None:
    """By default it unlinks; the contact stays."""
    sync.app.create_contact({"lastName": "Gone", "email": "gone@example.com"})
    sync.run(RunKind.FULL)
    (remote_id,) = sync.stand.live_ids()
    sync.stand.remove(remote_id)
    sync.run()
    assert [link.state for link in sync.store.links()] == [LinkState.DELETED_IN_CRM]
    assert len(sync.contacts()) == 1
    sync.run()
    assert sync.stand.live_ids() == set()


def test_a_creation_whose_answer_was_lost_is_found_by_its_marker(sync: Sync) -> None:
    contact_id = sync.app.create_contact({"lastName": "Once", "email": "once@example.com"})
    sync.stand.fail("lost_answer", writes_only=True)
    run = sync.run(RunKind.FULL)
    assert (run.counts.unknown, len(sync.stand.live_ids())) == (1, 1)
    sync.run()
    sync.run()
    (remote_id,) = sync.stand.live_ids()
    assert [(link.contact_id, link.remote_id) for link in live(sync)] == [(contact_id, remote_id)]


def test_a_link_follows_a_converted_lead_to_its_contact(sync: Sync) -> None:
    """The pair goes on under the contact: nothing is blanked, deleted or made twice, and edits flow."""
    (lead,) = sync.stand.add([{"LastName": "Lead", "Company": "Acme", "Email": "l@example.com"}], "Lead")
    sync.run(RunKind.FULL)
    (contact_id,) = [contact.contact_id for contact in sync.app.live()]
    sync.stand.back_door("POST", "convert", {"leadId": lead})
    before = sync.contacts()
    for kind in (RunKind.DELTA, RunKind.FULL, RunKind.DELTA):
        sync.run(kind)
    assert sync.contacts() == before
    (record,) = sync.stand.records("Contact")
    assert [(link.record_type, link.remote_id) for link in live(sync)] == [("Contact", record["Id"])]
    sync.app.edit_contact(contact_id, {"jobTitle": "Buyer"})
    sync.run()
    assert sync.stand.record(record["Id"])["Title"] == "Buyer"
    assert sync.run().counts.planned == 0


def test_automation_that_rewrites_what_we_write_starts_no_loop(sync: Sync) -> None:
    """The organization's form of a phone number is read back as ours."""
    sync.stand.set_up(automation={"Contact.LastName": "upper"})
    contact_id = sync.app.create_contact({"lastName": "Lovelace", "email": "ada@example.com"})
    sync.run(RunKind.FULL)
    (record,) = sync.stand.records()
    assert record["LastName"] == "LOVELACE"
    written = sync.writes()
    for _ in range(3):
        assert sync.run().counts.planned == 0
    assert (sync.writes(), sync.app.get(contact_id).values["lastName"]) == (written, "Lovelace")
