"""Creations that find somebody there: duplicate rules, and a lost answer's own record without a marker."""

from __future__ import annotations

from crm.errors import (
    DuplicateRecordError,
    OutcomeUnknownError,
)
from crm.ports import CreateItem
from crm.testing.faults import Fault
from tests.providers.salesforce.calls import CREATE, QUERY, UPSERT
from tests.providers.salesforce.stand import SalesforceStand, salesforce_stand


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
