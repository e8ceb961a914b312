"""Accounts by their name: what a contact's company is written through."""

from __future__ import annotations

import pytest

from crm.errors import (
    RecordInvalidError,
    TransientError,
)
from crm.ports import CreateItem, UpdateItem
from crm.providers.salesforce.mapping import MARKER_FIELD
from crm.testing.faults import Fault
from crm.testing.wsgi import Request
from tests.providers.salesforce.calls import CREATE, QUERY, UPDATE, UPSERT, people
from tests.providers.salesforce.stand import SalesforceStand


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


def test_many_names_are_asked_for_and_made_at_once(stand: SalesforceStand) -> None:
    """400 names: three questions side by side, and two collections of the accounts that are missing."""
    names = [f"Company {n}" for n in range(400)]
    items = [
        CreateItem(f"k{n}", f"org:{n}", {"LastName": f"P{n}", "Account.Name": name}) for n, name in enumerate(names)
    ]
    with stand.together("GET", "/query", 3), stand.together("POST", "/composite/sobjects", 2):
        results, received = stand.counted(lambda: stand.connector().create("Contact", items))
    assert {result.error for result in results.values()} == {None}
    assert received == {QUERY: 3, CREATE: 2, UPSERT: 2}
    assert sorted(accounts(stand)) == sorted(names)


def test_contacts_of_one_account_go_in_one_collection(stand: SalesforceStand) -> None:
    """At the same time two collections would wait for each other's lock on it."""
    items = [
        CreateItem(f"k{n}", f"org:{n}", {"LastName": f"P{n}", "Account.Name": f"Company {n % 4}"}) for n in range(800)
    ]
    sent: list[set[str]] = []

    def note(request: Request) -> None:
        sent.append({row["AccountId"] for row in request.json()["records"]})

    with stand.watched("PATCH", MARKER_FIELD, note):
        results = stand.connector().create("Contact", items)
    assert {result.error for result in results.values()} == {None}
    assert [len(found) for found in sent] == [1] * 4
    assert len(set.union(*sent)) == 4
