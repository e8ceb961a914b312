"""Search: filters, sorts, bounds, the late index."""

from __future__ import annotations

from typing import Any

import pytest

from tests.providers.hubspot.fake_account import NOW_MS, Account, has

CONTACTS = "/crm/v3/objects/contacts"


@pytest.fixture
def account() -> Account:
    return Account()


def found(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["results"]]


def test_filters_of_a_group_all_hold_and_groups_are_alternatives(account: Account) -> None:
    """AND inside, OR between."""
    ada = account.contact(firstname="Ada", city="Bonn")
    account.contact(firstname="Ada", city="Köln")
    bob = account.contact(firstname="Bob", city="Köln")
    body = {
        "filterGroups": [
            {"filters": [has("firstname", "EQ", "ADA"), has("city", "EQ", "bonn")]},
            {"filters": [has("firstname", "EQ", "bob")]},
        ]
    }
    assert found(account.call("POST", f"{CONTACTS}/search", body)) == [ada, bob]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        (has("city", "EQ", "BONN"), "a"),
        (has("city", "NEQ", "bonn"), "b"),
        (has("city", "IN", values=["bonn", "köln"]), "ab"),
        (has("city", "NOT_IN", values=["bonn"]), "b"),
        (has("city", "HAS_PROPERTY"), "ab"),
        (has("city", "NOT_HAS_PROPERTY"), "c"),
        (has("email", "CONTAINS_TOKEN", "x.example"), "ac"),
        (has("email", "CONTAINS_TOKEN", "*@y.example"), "b"),
        (has("email", "NOT_CONTAINS_TOKEN", "x.example"), "b"),
        (has("hs_lead_status", "EQ", "NEW"), "a"),
        (has("hs_lead_status", "EQ", "new"), ""),
        (has("lastmodifieddate", "GTE", str(NOW_MS + 1000)), "bc"),
        (has("lastmodifieddate", "GT", "2026-09-21T14:13:21.000Z"), "c"),
        (has("lastmodifieddate", "BETWEEN", str(NOW_MS), highValue=str(NOW_MS + 1000)), "ab"),
        (has("lastmodifieddate", "LT", NOW_MS + 1000), "a"),
        (has("lastmodifieddate", "LTE", NOW_MS + 1000), "ab"),
    ],
)
def test_each_operator(account: Account, test: dict[str, Any], expected: str) -> None:
    """Text without case, options with it, times as milliseconds or ISO."""
    ids = {}
    for name, properties in {
        "a": {"email": "a@x.example", "city": "Bonn", "hs_lead_status": "NEW"},
        "b": {"email": "b@y.example", "city": "Köln"},
        "c": {"email": "c@x.example"},
    }.items():
        ids[account.contact(**properties)] = name
        account.clock.advance(1)
    assert "".join(ids[id_] for id_ in found(account.search(test))) == expected


def test_a_merged_contact_is_found_by_a_secondary_address(account: Account) -> None:
    """The way to find the holder of an address that is nobody's primary one."""
    ada = account.contact(email="ada@example.com")
    account.person("PATCH", f"records/{ada}", {"additionalEmails": ["old.name+x@y.example", "z@y.example"]})
    assert found(account.search(has("hs_additional_emails", "CONTAINS_TOKEN", "Old.Name+x@y.example"))) == [ada]


def test_the_query_looks_into_the_default_properties(account: Account) -> None:
    """Names, address, phone and company."""
    ada = account.contact(firstname="Ada", lastname="Lovelace", company="Engine Ltd")
    account.contact(firstname="Bob", city="Engine")
    assert found(account.search(query="engine ada")) == [ada]


def test_paging_is_by_offset_and_tells_the_total(account: Account) -> None:
    """``after`` counts records."""
    ids = account.person("POST", "bulk", {"records": [{"firstname": f"P{n}"} for n in range(5)]}).json()["ids"]
    first = account.search(limit=2).json()
    assert (first["total"], [row["id"] for row in first["results"]]) == (5, ids[:2])
    assert first["paging"] == {"next": {"after": "2"}}
    last = account.search(limit=2, after="4").json()
    assert [row["id"] for row in last["results"]] == ids[4:]
    assert "paging" not in last


def test_a_walk_by_id_reaches_every_record_whatever_their_time_stamps(account: Account) -> None:
    """12,001 records with one stamp: 61 pages of 200, finite, nothing twice."""
    made = account.person("POST", "bulk", {"records": [{"firstname": "P"}] * 12_001}).json()["ids"]
    seen: list[str] = []
    last_id, pages = "0", 0
    while True:
        pages += 1
        rows = found(
            account.search(
                has("lastmodifieddate", "GTE", str(NOW_MS)),
                has("hs_object_id", "GT", last_id),
                sorts=[{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
                limit=200,
            )
        )
        seen += rows
        if len(rows) < 200:
            break
        last_id = rows[-1]
    assert (pages, seen) == (61, made)


def test_nothing_beyond_ten_thousand_can_be_reached(account: Account) -> None:
    """The offset plus the page may not pass it."""
    account.person("POST", "bulk", {"records": [{"firstname": "P"}] * 10_050})
    assert account.search(limit=200, after="9800").status_code == 200
    refused = account.search(limit=200, after="9801")
    assert (refused.status_code, refused.json()["category"]) == (400, "VALIDATION_ERROR")


def test_sorting_is_by_value_either_way(account: Account) -> None:
    """Records without the value come last."""
    bonn, aachen = account.contact(firstname="x", city="bonn"), account.contact(firstname="x", city="Aachen")
    nowhere = account.contact(firstname="x")
    sort = {"propertyName": "city", "direction": "ASCENDING"}
    assert found(account.search(sorts=[sort])) == [aachen, bonn, nowhere]
    assert found(account.search(sorts=[{**sort, "direction": "DESCENDING"}])) == [bonn, aachen, nowhere]


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 201},
        {"limit": 0},
        {"after": "abc"},
        {"after": "100000000005"},
        {"filterGroups": [{"filters": [has("no_such", "EQ", "1")]}]},
        {"filterGroups": [{"filters": [has("city", "LIKE", "1")]}]},
        {"filterGroups": [{"filters": [has("city", "EQ")]}]},
        {"filterGroups": [{"filters": [has("lastmodifieddate", "GTE", "yesterday")]}]},
        {"filterGroups": [{"filters": [has("city", "EQ", "x")]}] * 6},
        {"filterGroups": [{"filters": [has("city", "EQ", "x")] * 7}]},
        {"filterGroups": [{"filters": [has("city", "EQ", "x")] * 5}] * 4},
        {"sorts": [{"propertyName": "city"}, {"propertyName": "email"}]},
        {"query": "x" * 3000},
        {"filterGroups": 3, "filters": [has("city", "EQ", "x")]},
        {"filters": 1.5},
        {"limit": "²"},
    ],
)
def test_what_search_does_not_take_is_refused(account: Account, body: dict[str, Any]) -> None:
    """400 of the category VALIDATION_ERROR."""
    answer = account.call("POST", f"{CONTACTS}/search", body)
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")


def test_the_index_is_late_for_new_and_changed_records_but_not_for_archived_ones() -> None:
    """A create shows after the lag, a change shows the old values until then."""
    account = Account(search_lag_seconds=5)
    ada = account.contact(firstname="Ada", city="Bonn")
    assert found(account.search()) == []
    account.clock.advance(4.9)
    assert found(account.search()) == []
    account.clock.advance(0.1)
    assert found(account.search()) == [ada]
    account.call("PATCH", f"{CONTACTS}/{ada}", {"properties": {"city": "Köln"}})
    assert account.properties(ada, "city") == {"city": "Köln"}
    stale = account.search(has("city", "EQ", "Bonn"), properties=["city"]).json()
    assert (stale["total"], stale["results"][0]["properties"]["city"]) == (1, "Bonn")
    assert stale["results"][0]["updatedAt"] == "2026-09-21T14:13:20.000Z"
    account.clock.advance(5)
    assert found(account.search(has("city", "EQ", "Bonn"))) == []
    assert found(account.search(has("city", "EQ", "Köln"))) == [ada]
    account.call("DELETE", f"{CONTACTS}/{ada}")
    assert found(account.search()) == []


def test_two_changes_within_the_lag_show_one_after_the_other() -> None:
    """Each when its own time has come."""
    account = Account(search_lag_seconds=10)
    ada = account.contact(firstname="A")
    account.clock.advance(6)
    account.call("PATCH", f"{CONTACTS}/{ada}", {"properties": {"firstname": "B"}})
    account.clock.advance(4)
    shown = account.search().json()["results"]
    assert [row["properties"]["firstname"] for row in shown] == ["A"]
    account.clock.advance(3)
    account.call("PATCH", f"{CONTACTS}/{ada}", {"properties": {"firstname": "C"}})
    account.clock.advance(3)
    shown = account.search().json()["results"]
    assert [(row["properties"]["firstname"], row["updatedAt"]) for row in shown] == [("B", "2026-09-21T14:13:26.000Z")]
    account.clock.advance(7)
    assert [row["properties"]["firstname"] for row in account.search().json()["results"]] == ["C"]


def test_records_are_found_by_what_they_are_linked_to(account: Account) -> None:
    """The pseudo property associations.contact."""
    ada = account.contact(firstname="Ada")
    deal = account.call(
        "POST",
        "/crm/v3/objects/deals",
        {
            "properties": {"dealname": "D", "dealstage": "closedwon"},
            "associations": [{"to": {"id": ada}, "types": [{"associationCategory": "H", "associationTypeId": 3}]}],
        },
    ).json()["id"]
    body = {"filters": [has("associations.contact", "EQ", ada)]}
    assert found(account.call("POST", "/crm/v3/objects/deals/search", body)) == [deal]
