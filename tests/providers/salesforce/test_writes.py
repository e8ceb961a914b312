"""Writes of the connector against the fake over loopback: one outcome a record, and how many requests they cost."""

from __future__ import annotations

import math
from typing import Any

import pytest

from crm.errors import (
    RejectedError,
)
from crm.ports import CreateItem, UpdateItem
from crm.providers.salesforce import endpoints
from crm.providers.salesforce.mapping import MARKER_FIELD, PLACEHOLDER
from crm.providers.salesforce.wire import PERSON_ACCOUNT
from tests.providers.salesforce.calls import DELETE, STARTED, UPDATE, UPSERT, people
from tests.providers.salesforce.stand import SalesforceStand


def creates(count: int, **more: Any) -> list[CreateItem]:
    return [
        CreateItem(f"k{n}", f"org:{n}", {"LastName": f"P{n}", "Email": f"p{n}@example.com", **more})
        for n in range(count)
    ]


@pytest.mark.parametrize("count", [1, 200, 201, 1_000])
def test_creating_takes_one_request_for_two_hundred_and_one_to_read_back(stand: SalesforceStand, count: int) -> None:
    """Upserts on the marker; what Salesforce made of the values is read 2,000 at a time."""
    connector = stand.connector()
    results, received = stand.counted(lambda: connector.create("Contact", creates(count)))
    assert received == {UPSERT: math.ceil(count / 200)}
    assert all(result.error is None for result in results.values())
    ids = [result.record.remote_id for result in results.values()]
    found, received = stand.counted(lambda: connector.fetch("Contact", ids, ["LastName"]))
    assert sum(received.values()) == 1
    assert [found[each].values["LastName"] for each in ids] == [f"P{n}" for n in range(count)]
    assert {found[each].marker for each in ids} == {f"org:{n}" for n in range(count)}
    assert {found[each].by_us for each in ids} == {True}


@pytest.mark.parametrize("count", [200, 201, 1_000])
def test_updating_and_deleting_take_one_request_for_two_hundred(stand: SalesforceStand, count: int) -> None:
    ids = stand.add(people(count))
    connector = stand.connector()
    items = [UpdateItem(each, each, {"Title": f"T{n}"}, STARTED) for n, each in enumerate(ids)]
    results, received = stand.counted(lambda: connector.update("Contact", items))
    assert sum(received.values()) == math.ceil(count / 200)
    assert all(result.error is None and dict(result.record.values) == {} for result in results.values())
    assert [each["Title"] for each in stand.records()] == [f"T{n}" for n in range(count)]
    results, received = stand.counted(lambda: connector.delete("Contact", items))
    assert received == {DELETE: math.ceil(count / 200)}
    assert {result.error for result in results.values()} == {None}
    assert stand.live_ids() == set()


def test_collections_go_side_by_side(stand: SalesforceStand) -> None:
    """Whoever waits a fifth of a second for each of ten would wait two seconds."""
    connector = stand.connector()
    count = 200 * endpoints.IN_FLIGHT
    with stand.together("PATCH", MARKER_FIELD, endpoints.IN_FLIGHT):
        results = connector.create("Contact", creates(count))
    assert [result.error for result in results.values()] == [None] * count
    assert len({result.record.remote_id for result in results.values()}) == count


def test_a_records_second_update_follows_its_first(stand: SalesforceStand) -> None:
    ids = stand.add(people(401))
    items = [UpdateItem(each, each, {"Title": "first"}) for each in ids]
    results, received = stand.counted(
        lambda: stand.connector().update("Contact", [*items, UpdateItem("again", ids[0], {"Title": "last"})])
    )
    assert {result.error for result in results.values()} == {None}
    assert received == {UPDATE: 4}
    assert stand.stored(ids[0], "Title") == "last"


def test_nothing_to_write_costs_nothing(stand: SalesforceStand) -> None:
    (remote_id,) = stand.add(people(1))
    connector = stand.connector()
    assert connector.create("Contact", []) == connector.delete("Contact", []) == {}
    assert connector.update("Contact", [UpdateItem("k", remote_id, {})])["k"].error is None
    assert connector.calls == 0


def test_every_write_keeps_assignment_rules_out(stand: SalesforceStand) -> None:
    """They would hand leads to somebody else."""
    stand.set_up(assignmentOwnerId=stand.fake.people.queue_id)
    connector = stand.connector()
    made = connector.create("Lead", [CreateItem("k", "org:1", {"LastName": "Ada", "Company": "Acme"})])["k"].record
    connector.update("Lead", [UpdateItem("k", made.remote_id, {"Title": "CTO"})])
    connector.update("Lead", [UpdateItem("k", made.remote_id, {"Title": "CEO"}, stand.now())])
    assert stand.stored(made.remote_id, "OwnerId") == stand.fake.people.api_user_id


def test_a_creation_sent_again_makes_no_second_record(stand: SalesforceStand) -> None:
    """The marker is the record's own: by another worker, or after an answer that was lost."""
    first = stand.connector().create("Contact", creates(3))
    again = stand.connector().create("Contact", creates(3))
    assert [each.record.remote_id for each in first.values()] == [each.record.remote_id for each in again.values()]
    assert len(stand.live_ids()) == 3


# names that Salesforce demands


def test_required_names_hold_a_placeholder_that_never_comes_back(stand: SalesforceStand) -> None:
    """Of a contact the last name, of a lead the company too; a name given is taken."""
    connector = stand.connector()
    contact = connector.create("Contact", [CreateItem("k", "org:1", {"FirstName": "Ada"})])["k"].record.remote_id
    lead = connector.create("Lead", [CreateItem("k", "org:1", {"Email": "a@example.com"})])["k"].record.remote_id
    assert stand.stored(contact, "LastName") == PLACEHOLDER
    assert (stand.stored(lead, "LastName"), stand.stored(lead, "Company")) == (PLACEHOLDER, PLACEHOLDER)
    read = connector.fetch("Contact", [contact], ["FirstName", "LastName"])[contact]
    assert dict(read.values) == {"FirstName": "Ada", "LastName": None}
    assert dict(connector.fetch("Lead", [lead], ["LastName", "Company"])[lead].values) == {
        "LastName": None,
        "Company": None,
    }
    connector.update("Contact", [UpdateItem("k", contact, {"LastName": "Lovelace"})])
    assert stand.stored(contact, "LastName") == "Lovelace"
    assert connector.update("Contact", [UpdateItem("k", contact, {"LastName": None})])["k"].error is None
    assert stand.stored(contact, "LastName") == PLACEHOLDER


# countries


def test_a_country_is_written_by_name_or_code_and_read_by_name(stand: SalesforceStand) -> None:
    """Where the organization keeps them as picklists; one that is not on the list is refused."""
    stand.set_up(stateCountryPicklists=True)
    ids = stand.add(people(3))
    values = ["NL", "Netherlands", "Atlantis"]
    items = [UpdateItem(each, each, {"MailingCountry": value}) for each, value in zip(ids, values, strict=True)]
    connector = stand.connector()
    results = connector.update("Contact", items)
    assert [results[each].error is None for each in ids] == [True, True, False]
    assert {name: each.code for name, each in results[ids[2]].error.fields.items()} == {
        "MailingCountry": "field.picklist"
    }
    found = connector.fetch("Contact", ids, ["MailingCountry", "MailingCountryCode"])
    assert [tuple(found[each].values.values()) for each in ids] == [
        ("Netherlands", "NL"),
        ("Netherlands", "NL"),
        (None, None),
    ]
    connector.update("Contact", [UpdateItem("k", ids[0], {"MailingCountry": None})])
    assert stand.stored(ids[0], "MailingCountryCode") == ""


# person accounts


def test_a_person_accounts_contact_is_not_written(stand: SalesforceStand) -> None:
    stand.set_up(personAccounts=True)
    stand.add([{"LastName": "Person"}], "Account")
    (contact,) = stand.records()
    error = stand.connector().update("Contact", [UpdateItem("k", contact["Id"], {"Title": "x"})])["k"].error
    assert isinstance(error, RejectedError)
    assert error.code == PERSON_ACCOUNT
