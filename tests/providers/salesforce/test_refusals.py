"""Writes that Salesforce does not take as they are: refused fields, rules, locks, and records that are gone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from crm.errors import (
    RecordGoneError,
    RecordInvalidError,
    RecordLockedError,
    StaleWriteError,
)
from crm.ports import CreateItem, UpdateItem
from crm.providers.salesforce.mapping import MARKER_FIELD
from tests.providers.salesforce.calls import ALL, BASE, UPDATE, people
from tests.providers.salesforce.stand import SalesforceStand

ONE = f"PATCH {BASE}/sobjects/Contact/{{id}}"


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


def test_what_was_locked_goes_on_one_collection_after_the_other(stand: SalesforceStand) -> None:
    """Two that ran side by side into one account's lock would do so again."""
    (account,) = stand.add([{"Name": "Acme"}], "Account")
    ids = stand.add(people(400, AccountId=account))
    stand.back_door("POST", "locks", {"id": account, "times": 400})
    items = [UpdateItem(each, each, {"Title": "x"}) for each in ids]
    told: list[str] = []
    connector = stand.connector(on_call=lambda _: told.append("answered"))
    with stand.watched("PATCH", "/composite/sobjects", lambda _: told.append("sent")):
        results = connector.update("Contact", items)
    assert {result.error for result in results.values()} == {None}
    assert told == ["sent", "sent", "answered", "answered", "sent", "answered", "sent", "answered"]


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
