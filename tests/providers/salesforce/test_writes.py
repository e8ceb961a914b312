"""Writes of the connector against the fake over loopback: one outcome a record, and how many requests they cost."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from crm.errors import (
    DuplicateRecordError,
    OutcomeUnknownError,
    RecordGoneError,
    RecordInvalidError,
    RecordLockedError,
    RejectedError,
    StaleWriteError,
    TransientError,
)
from crm.ports import CreateItem, UpdateItem
from crm.providers.salesforce.mapping import MARKER_FIELD, PLACEHOLDER
from crm.providers.salesforce.wire import PERSON_ACCOUNT
from crm.testing.faults import Fault
from tests.providers.salesforce.calls import ALL, BASE, CREATE, DELETE, QUERY, STARTED, UPDATE, UPSERT, people
from tests.providers.salesforce.stand import SalesforceStand, salesforce_stand

ONE = f"PATCH {BASE}/sobjects/Contact/{{id}}"


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


# refusals


def test_fields_that_cannot_be_written_are_refused_without_being_sent(stand: SalesforceStand) -> None:
    ids = stand.add(people(2))
    connector = stand.connector()
    items = [
        UpdateItem("mixed", ids[0], {"Title": "CTO", "CreatedDate": "2026-01-01", "Nope__c": "x"}),
        UpdateItem("bad", ids[1], {"Nope__c": "x", MARKER_FIELD: "stolen"}),
    ]
    results, received = stand.counted(lambda: connector.update("Contact", items))
    assert {name: each.code for name, each in results["mixed"].refused.items()} == {
        "CreatedDate": "field.readonly",
        "Nope__c": "field.missing",
    }
    assert isinstance(results["bad"].error, RecordInvalidError)
    assert set(results["bad"].error.fields) == {"Nope__c", MARKER_FIELD}
    assert received == {UPDATE: 1}
    assert stand.stored(ids[0], "Title") == "CTO"


def test_refused_values_cost_one_more_request_for_all_records(stand: SalesforceStand) -> None:
    """A broken address here, a text too long there: each record is written without its own."""
    ids = stand.add(people(300))
    values = [{"Title": "x", **bad} for bad in ({"Email": "broken"}, {"FirstName": "x" * 41}, {}) for _ in range(100)]
    items = [UpdateItem(each, each, value) for each, value in zip(ids, values, strict=True)]
    results, received = stand.counted(lambda: stand.connector().update("Contact", items))
    assert received == {UPDATE: 3}
    assert [set(results[each].refused) for each in ids] == [{"Email"}] * 100 + [{"FirstName"}] * 100 + [set()] * 100
    assert {result.error for result in results.values()} == {None}
    assert {each["Title"] for each in stand.records()} == {"x"}


def test_a_creation_that_is_refused_for_a_value_is_made_without_it(stand: SalesforceStand) -> None:
    item = CreateItem("k", "org:1", {"LastName": "Ada", "Email": "broken"})
    result = stand.connector().create("Contact", [item])["k"]
    assert (result.error, set(result.refused)) == (None, {"Email"})
    assert [(each["LastName"], each["Email"]) for each in stand.records()] == [("Ada", None)]


def test_a_required_last_name_that_is_refused_is_not_left_out(stand: SalesforceStand) -> None:
    """A contact is not made under no name because its name is too long."""
    result = stand.connector().create("Contact", [CreateItem("k", "org:1", {"LastName": "x" * 81})])["k"]
    assert isinstance(result.error, RecordInvalidError)
    assert {name: each.code for name, each in result.error.fields.items()} == {"LastName": "field.too_long"}
    assert stand.live_ids() == set()


def test_a_field_that_vanished_since_the_description_is_left_out(stand: SalesforceStand) -> None:
    ids = stand.add(people(3))
    stand.back_door("POST", "fields", {"object": "Contact", "name": "Tier__c", "type": "string", "length": 20})
    stand.learn()
    stand.back_door("DELETE", "fields/Contact/Tier__c")
    items = [UpdateItem(each, each, {"Title": "x", "Tier__c": "gold"}) for each in ids]
    results = stand.connector().update("Contact", items)
    assert [(results[each].error, set(results[each].refused)) for each in ids] == [(None, {"Tier__c"})] * 3
    assert {each["Title"] for each in stand.records()} == {"x"}


@pytest.mark.parametrize("on_field", [True, False])
def test_a_validation_rule_refuses_its_record_only(stand: SalesforceStand, on_field: bool) -> None:
    rule = {"object": "Contact", "field": "Phone", "pattern": r"\+.*", "message": "Phones begin with +",
            "onField": on_field}  # fmt: skip
    stand.set_up(validationRules=[rule])
    ids = stand.add([{"LastName": "A", "Phone": "+31"}, {"LastName": "B", "Phone": "+32"}])
    items = [UpdateItem("good", ids[0], {"Phone": "+33"}), UpdateItem("bad", ids[1], {"Phone": "0123"})]
    results = stand.connector().update("Contact", items)
    error = results["bad"].error
    assert isinstance(error, RecordInvalidError)
    assert (error.code, "Phones begin with +" in error.provider_message) == ("rule.validation", True)
    assert set(error.fields) == ({"Phone"} if on_field else set())
    assert (results["good"].error, stand.stored(ids[0], "Phone"), stand.stored(ids[1], "Phone")) == (None, "+33", "+32")


def test_locked_records_alone_are_sent_again(stand: SalesforceStand) -> None:
    """Two tries later the lock is gone; the others were written once."""
    ids = stand.add(people(5))
    stand.back_door("POST", "locks", {"id": ids[2], "times": 2})
    waits: list[float] = []
    connector = stand.connector(sleep=waits.append)
    items = [UpdateItem(each, each, {"Title": "x"}) for each in ids]
    results, received = stand.counted(lambda: connector.update("Contact", items))
    assert {result.error for result in results.values()} == {None}
    assert received == {UPDATE: 3}
    assert stand.fake.stats()["writes"] == 5
    assert len(waits) == 2
    assert 0.25 <= waits[0] <= 0.75 <= 2 * waits[1] <= 3.0


def test_a_lock_that_stays_is_the_records_own_outcome(stand: SalesforceStand) -> None:
    """After five tries; the rest of the batch is written."""
    ids = stand.add(people(2))
    stand.back_door("POST", "locks", {"id": ids[0]})
    items = [UpdateItem(each, each, {"Title": "x"}) for each in ids]
    results, received = stand.counted(lambda: stand.connector().update("Contact", items))
    assert isinstance(results[ids[0]].error, RecordLockedError)
    assert (results[ids[1]].error, received) == (None, {UPDATE: 5})
    assert (stand.stored(ids[0], "Title"), stand.stored(ids[1], "Title")) == ("", "x")


def test_what_is_gone_is_looked_into_once_for_all(stand: SalesforceStand) -> None:
    """Merged, deleted, purged and never there: one request beyond the write, and one for where the merge led."""
    ids = stand.add(people(5))
    stand.merge(ids[0], ids[1])
    stand.remove(ids[2])
    stand.remove(ids[3])
    stand.back_door("POST", "purge", {"id": ids[3]})
    items = [UpdateItem(each, each, {"Title": "x"}) for each in [*ids, "999999999999"]]
    results, received = stand.counted(lambda: stand.connector().update("Contact", items))
    gone = [results[each].error for each in (*ids[1:4], "999999999999")]
    assert all(isinstance(error, RecordGoneError) for error in gone)
    assert [error.merged_into for error in gone] == [ids[0], "", "", ""]
    assert (results[ids[0]].error, results[ids[4]].error) == (None, None)
    assert received == {UPDATE: 1, ALL: 2}


# duplicates


def test_a_duplicate_rule_names_the_one_with_the_same_address(stand: SalesforceStand) -> None:
    """Two of one name and different addresses are a person's question; the others are made."""
    stand.set_up(duplicateRules=[{"object": "Contact", "match": ["LastName"], "action": "block"}])
    existing, _ = stand.add([
        {"LastName": "Ada", "Email": "ada@example.com"}, {"LastName": "Bob", "Email": "bob@example.com"},
    ])  # fmt: skip
    items = [
        CreateItem("same", "org:1", {"LastName": "Ada", "Email": "ADA@example.com"}),
        CreateItem("other", "org:2", {"LastName": "Bob", "Email": "robert@example.com"}),
        CreateItem("new", "org:3", {"LastName": "Eve", "Email": "eve@example.com"}),
    ]
    results, received = stand.counted(lambda: stand.connector().create("Contact", items))
    same, other = results["same"].error, results["other"].error
    assert isinstance(same, DuplicateRecordError)
    assert isinstance(other, DuplicateRecordError)
    assert (same.remote_id, same.code) == (existing, "match.duplicate_in_crm")
    assert (other.remote_id, other.code) == ("", "rule.duplicate_rule")
    assert results["new"].error is None
    assert received == {UPSERT: 1, QUERY: 1}
    assert len(stand.live_ids()) == 3


def test_an_alert_is_obeyed_unless_the_setting_says_otherwise(stand: SalesforceStand) -> None:
    stand.set_up(duplicateRules=[{"object": "Contact", "match": ["LastName"], "action": "alert"}])
    stand.add([{"LastName": "Ada"}])
    item = CreateItem("k", "org:1", {"LastName": "Ada"})
    assert isinstance(stand.connector().create("Contact", [item])["k"].error, DuplicateRecordError)
    assert len(stand.live_ids()) == 1
    ignoring = stand.connector(settings={"duplicate_alerts": "ignore"})
    assert ignoring.create("Contact", [item])["k"].error is None
    assert len(stand.live_ids()) == 2


# one record, and whether it changed


def test_a_single_record_is_written_only_if_nobody_changed_it(stand: SalesforceStand) -> None:
    """The stamp that the decision rests on goes along; a change in a later second refuses the write."""
    (remote_id,) = stand.add(people(1))
    seen = stand.now()
    connector = stand.connector()
    result, received = stand.counted(
        lambda: connector.update("Contact", [UpdateItem("k", remote_id, {"Title": "ours"}, seen)])
    )
    assert (result["k"].error, received) == (None, {ONE: 1})
    stand.pass_time(2)
    stand.edit(remote_id, {"Title": "theirs"})
    error = connector.update("Contact", [UpdateItem("k", remote_id, {"Title": "ours again"}, seen)])["k"].error
    assert isinstance(error, StaleWriteError)
    assert stand.stored(remote_id, "Title") == "theirs"
    later = UpdateItem("k", remote_id, {"Title": "ours again"}, seen + timedelta(seconds=2))
    assert connector.update("Contact", [later])["k"].error is None


def test_a_single_write_has_the_outcomes_of_a_batch(stand: SalesforceStand) -> None:
    """Refused, gone and locked are told as in a collection, in the other shape."""
    ids = stand.add(people(4))
    stand.merge(ids[0], ids[1])
    stand.back_door("POST", "locks", {"id": ids[2]})
    connector = stand.connector()
    now = stand.now()

    def update(remote_id: str, values: dict[str, Any]) -> Any:
        return connector.update("Contact", [UpdateItem("k", remote_id, values, now)])["k"]

    mixed = update(ids[3], {"Title": "x", "Email": "broken"})
    assert (mixed.error, set(mixed.refused)) == (None, {"Email"})
    gone = update(ids[1], {"Title": "x"}).error
    assert isinstance(gone, RecordGoneError)
    assert gone.merged_into == ids[0]
    assert isinstance(update(ids[2], {"Title": "x"}).error, RecordLockedError)


# companies


def accounts(stand: SalesforceStand) -> list[str]:
    return [each["Name"] for each in stand.records("Account")]


def test_a_company_is_an_account_of_that_name(stand: SalesforceStand) -> None:
    """Found in one request for all names, made in one for all that are missing, met only once."""
    (acme,) = stand.add([{"Name": "Acme"}], "Account")
    connector = stand.connector()
    items = [
        CreateItem(f"k{n}", f"org:{n}", {"LastName": f"P{n}", "Account.Name": name})
        for n, name in enumerate(["Acme", "Initech", "Initech", "O'Brien \\ Sons", None])
    ]
    results, received = stand.counted(lambda: connector.create("Contact", items))
    assert {result.error for result in results.values()} == {None}
    assert received == {QUERY: 1, CREATE: 1, UPSERT: 1}
    assert sorted(accounts(stand)) == ["Acme", "Initech", "O'Brien \\ Sons"]
    ids = [results[item.key].record.remote_id for item in items]
    found = connector.fetch("Contact", ids, ["Account.Name"])
    assert [found[each].values["Account.Name"] for each in ids] == [item.values["Account.Name"] for item in items]
    assert stand.stored(ids[0], "AccountId") == acme
    _, received = stand.counted(
        lambda: connector.update("Contact", [UpdateItem("k", ids[4], {"Account.Name": "Initech"})])
    )
    assert received == {UPDATE: 1}


def test_a_contact_is_moved_only_to_another_name(stand: SalesforceStand) -> None:
    """Two accounts bear one name: a contact of either stays where it is."""
    oldest, twin, other = stand.add([{"Name": "Acme"}, {"Name": "Acme"}, {"Name": "Initech"}], "Account")
    home, away = stand.add([{"LastName": "A", "AccountId": twin}, {"LastName": "B", "AccountId": other}])
    items = [UpdateItem(each, each, {"Title": "x", "Account.Name": "Acme"}) for each in (home, away)]
    results = stand.connector().update("Contact", items)
    assert {result.error for result in results.values()} == {None}
    assert (stand.stored(home, "AccountId"), stand.stored(away, "AccountId")) == (twin, oldest)


def test_a_company_that_is_cleared_leaves_the_account(stand: SalesforceStand) -> None:
    (acme,) = stand.add([{"Name": "Acme"}], "Account")
    (remote_id,) = stand.add([{"LastName": "A", "AccountId": acme}])
    stand.connector().update("Contact", [UpdateItem("k", remote_id, {"Account.Name": None})])
    assert (stand.stored(remote_id, "AccountId"), accounts(stand)) == ("", ["Acme"])


def test_where_accounts_are_only_matched_a_missing_one_is_a_refused_field(stand: SalesforceStand) -> None:
    connector = stand.connector(settings={"accounts": "match"})
    item = CreateItem("k", "org:1", {"LastName": "A", "Account.Name": "Nowhere"})
    result = connector.create("Contact", [item])["k"]
    assert (result.error, {name: each.code for name, each in result.refused.items()}) == (
        None,
        {"Account.Name": "field.picklist"},
    )
    assert accounts(stand) == []


def test_an_account_whose_making_was_not_answered_is_found_the_next_time(stand: SalesforceStand) -> None:
    """The contact waits unsent, and no second account is made."""
    item = CreateItem("k", "org:1", {"LastName": "A", "Account.Name": "Acme"})
    stand.fake.faults.add(Fault("drop_after", method="POST", path="*/composite/sobjects", times=1))
    result = stand.connector().create("Contact", [item])["k"]
    assert isinstance(result.error, TransientError)
    assert (stand.live_ids(), accounts(stand)) == (set(), ["Acme"])
    assert stand.connector().create("Contact", [item])["k"].error is None
    assert (len(stand.live_ids()), accounts(stand)) == (1, ["Acme"])


@pytest.mark.parametrize(("name", "code"), [("x" * 256, "field.too_long"), ("bad\x0bname", "field.encoding")])
def test_a_name_that_no_account_can_have_is_refused_unsent(stand: SalesforceStand, name: str, code: str) -> None:
    connector = stand.connector()
    (remote_id,) = stand.add(people(1))
    error = connector.update("Contact", [UpdateItem("k", remote_id, {"Account.Name": name})])["k"].error
    assert isinstance(error, RecordInvalidError)
    assert {field: each.code for field, each in error.fields.items()} == {"Account.Name": code}
    assert connector.calls == 0


def test_accounts_that_may_not_be_seen_cost_only_the_company(stand: SalesforceStand) -> None:
    stand.back_door("POST", "settings", {"hiddenObjects": ["Account"]})
    item = CreateItem("k", "org:1", {"LastName": "A", "Account.Name": "Acme"})
    result = stand.connector().create("Contact", [item])["k"]
    assert (result.error, {name: each.code for name, each in result.refused.items()}) == (
        None,
        {"Account.Name": "perm.object"},
    )


def test_companies_that_cannot_be_looked_up_leave_the_batch_unsent(stand: SalesforceStand) -> None:
    """A proxy's page instead of the accounts: every item waits, and nothing is written."""
    (remote_id,) = stand.add(people(1))
    stand.fake.faults.add(Fault("html_ok", method="GET", path="*/query", times=1))
    items = [UpdateItem("with", remote_id, {"Account.Name": "Acme"}), UpdateItem("without", remote_id, {"Title": "x"})]
    results, received = stand.counted(lambda: stand.connector().update("Contact", items))
    assert all(isinstance(result.error, TransientError) for result in results.values())
    assert (received, stand.stored(remote_id, "Title")) == ({QUERY: 1}, "")


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


# without a marker field


def test_without_the_marker_field_a_lost_creation_is_found_by_its_address() -> None:
    """One record of ours, made just now, with that address; every other case stays unknown."""
    with salesforce_stand(marked=False) as stand:
        connector = stand.connector()
        stand.fail("lost_answer", writes_only=True)
        items = [
            CreateItem("found", "org:1", {"LastName": "A", "Email": "a@example.com"}),
            CreateItem("nameless", "org:2", {"LastName": "B"}),
            CreateItem("twin", "org:3", {"LastName": "C", "Email": "c@example.com"}),
            CreateItem("twin2", "org:4", {"LastName": "C", "Email": "c@example.com"}),
        ]
        results, received = stand.counted(lambda: connector.create("Contact", items))
        assert received == {CREATE: 1, QUERY: 1}
        by_name = {each["LastName"]: each["Id"] for each in stand.records()}
        assert results["found"].record.remote_id == by_name["A"]
        for key in ("nameless", "twin", "twin2"):
            assert isinstance(results[key].error, OutcomeUnknownError)


def test_a_record_that_was_there_before_is_not_taken_for_a_lost_creation() -> None:
    """Made by a person, or by us long ago: the outcome stays unknown, and nothing is sent again."""
    with salesforce_stand(marked=False) as stand:
        us = stand.fake.people.api_user_id
        body = {"object": "Contact", "records": [{"LastName": "B", "Email": "b@example.com"}], "userId": us}
        stand.back_door("POST", "bulk", body)
        stand.pass_time(3_600)
        stand.add([{"LastName": "A", "Email": "a@example.com"}])
        stand.fake.faults.add(Fault("drop_before", method="POST", path="*/composite/sobjects", times=1))
        items = [
            CreateItem("theirs", "org:1", {"LastName": "A", "Email": "a@example.com"}),
            CreateItem("old", "org:2", {"LastName": "B", "Email": "b@example.com"}),
        ]
        results = stand.connector().create("Contact", items)
        assert all(isinstance(result.error, OutcomeUnknownError) for result in results.values())
        assert len(stand.live_ids()) == 2
