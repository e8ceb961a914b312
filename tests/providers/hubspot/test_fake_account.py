"""Merges, erasure, associations, owners, opt-outs: what an account does beyond single records."""

from __future__ import annotations

from typing import Any

import pytest

from tests.providers.hubspot.fake_account import NOW, NOW_MS, Account, body_of

CONTACTS = "/crm/v3/objects/contacts"
STATUSES = "/communication-preferences/v4/statuses"


@pytest.fixture
def account() -> Account:
    return Account()


def merge(account: Account, primary: str, other: str) -> Any:
    return account.call("POST", f"{CONTACTS}/merge", {"primaryObjectId": primary, "objectIdToMerge": other})


def test_a_merge_makes_a_new_record_and_both_ids_lead_to_it(account: Account) -> None:
    """On single reads and changes only; the primary's values win unless empty, no address is lost."""
    one = account.contact(email="a@x.example", city="Bonn")
    two = account.contact(email="b@x.example", city="Köln", jobtitle="Engineer")
    answer = merge(account, one, two)
    assert answer.status_code == 200
    survivor = answer.json()["id"]
    assert survivor not in (one, two)
    names = ("email", "hs_additional_emails", "city", "jobtitle", "hs_merged_object_ids", "hs_calculated_merged_vids")
    assert account.properties(survivor, *names) == {
        "email": "a@x.example",
        "hs_additional_emails": "b@x.example",
        "city": "Bonn",
        "jobtitle": "Engineer",
        "hs_merged_object_ids": f"{one};{two}",
        "hs_calculated_merged_vids": f"{one}:{NOW_MS};{two}:{NOW_MS}",
    }
    assert account.ids() == [survivor]
    assert account.ids(archived="true") == []
    for old in (one, two):
        assert account.call("GET", f"{CONTACTS}/{old}").json()["id"] == survivor
        changed = account.call("PATCH", f"{CONTACTS}/{old}", {"properties": {"city": f"via {old}"}})
        assert changed.json()["id"] == survivor
        assert account.call("DELETE", f"{CONTACTS}/{old}").status_code == 204
    assert account.ids() == [survivor]
    conflict = account.call("POST", CONTACTS, {"properties": {"email": "b@x.example"}})
    assert conflict.json()["message"] == f"Contact already exists. Existing ID: {survivor}"


def test_merging_a_survivor_again_keeps_the_whole_chain(account: Account) -> None:
    """Every id that ever was leads to the last survivor."""
    ids = [account.contact(email=f"{name}@x.example") for name in "abc"]
    first = merge(account, ids[0], ids[1]).json()["id"]
    last = merge(account, ids[2], first).json()["id"]
    for old in (*ids, first):
        assert account.call("GET", f"{CONTACTS}/{old}").json()["id"] == last
    merged = account.properties(last, "hs_merged_object_ids")["hs_merged_object_ids"]
    assert sorted(merged.split(";")) == sorted([*ids, first])


def test_the_beta_keeps_the_primary_id() -> None:
    """As an account setting."""
    account = Account(merge_keeps_primary_id=True)
    one, two = account.contact(email="a@x.example"), account.contact(email="b@x.example")
    assert merge(account, one, two).json()["id"] == one
    assert account.call("GET", f"{CONTACTS}/{two}").json()["id"] == one
    assert account.properties(one, "hs_merged_object_ids") == {"hs_merged_object_ids": two}


def test_merging_with_itself_or_nothing_is_refused(account: Account) -> None:
    """And changes nothing."""
    one = account.contact(email="a@x.example")
    assert merge(account, one, one).status_code == 400
    assert merge(account, one, "7").status_code == 404
    assert account.ids() == [one]


def test_erasing_takes_the_contact_away_and_blocks_unknown_addresses(account: Account) -> None:
    """Gone even from the recycle bin; a blocked address cannot be used again."""
    one = account.contact(email="a@x.example")
    assert account.call("POST", f"{CONTACTS}/gdpr-delete", {"objectId": one}).status_code == 204
    assert account.call("GET", f"{CONTACTS}/{one}", params={"archived": "true"}).status_code == 404
    body = {"objectId": "b@x.example", "idProperty": "email"}
    assert account.call("POST", f"{CONTACTS}/gdpr-delete", body).status_code == 204
    assert account.call("POST", CONTACTS, {"properties": {"email": "B@x.example"}}).status_code == 400
    assert account.ids() == []


def test_people_restore_from_the_recycle_bin_with_the_same_id(account: Account) -> None:
    """Unless somebody else has the address by now."""
    one = account.contact(email="a@x.example")
    account.call("DELETE", f"{CONTACTS}/{one}")
    assert account.person("POST", "restore", {"id": one}).status_code == 200
    assert account.ids() == [one]
    account.call("DELETE", f"{CONTACTS}/{one}")
    two = account.contact(email="a@x.example")
    assert account.person("POST", "restore", {"id": one}).status_code == 409
    assert account.ids() == [two]


def test_an_association_is_seen_from_both_sides(account: Account) -> None:
    """PUT replaces the labels, the default type stays, DELETE removes all."""
    ada = account.contact(email="a@x.example")
    company = account.call("POST", "/crm/v3/objects/companies", {"properties": {"name": "Engine"}}).json()["id"]
    path = f"/crm/v4/objects/contacts/{ada}/associations"
    made = account.call("PUT", f"{path}/default/companies/{company}")
    assert made.status_code == 200
    assert made.json()["results"] == [
        {
            "from": {"id": ada},
            "to": {"id": company},
            "associationSpec": {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279},
        },
        {
            "from": {"id": company},
            "to": {"id": ada},
            "associationSpec": {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 280},
        },
    ]
    primary = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 1}]
    assert account.call("PUT", f"{path}/companies/{company}", primary).status_code == 201
    assert account.call("GET", f"{path}/companies").json() == {
        "results": [
            {
                "toObjectId": int(company),
                "associationTypes": [
                    {"category": "HUBSPOT_DEFINED", "typeId": 1, "label": "Primary"},
                    {"category": "HUBSPOT_DEFINED", "typeId": 279, "label": None},
                ],
            }
        ]
    }
    assert account.properties(ada, "associatedcompanyid") == {"associatedcompanyid": company}
    back = account.call("GET", f"/crm/objects/2026-09/companies/{company}/associations/contacts").json()
    assert [row["toObjectId"] for row in back["results"]] == [int(ada)]
    assert account.call("DELETE", f"{path}/companies/{company}").status_code == 204
    assert account.call("GET", f"{path}/companies").json() == {"results": []}
    assert account.properties(ada, "associatedcompanyid") == {"associatedcompanyid": None}


def test_associations_in_batches(account: Account) -> None:
    """Reading a record without any is a 207 that is no error; archiving answers 204, or 200 on dated paths."""
    ada, bob = account.contact(email="a@x.example"), account.contact(email="b@x.example")
    company = account.call("POST", "/crm/v3/objects/companies", {"properties": {"name": "Engine"}}).json()["id"]
    base = "/crm/v4/associations/contacts/companies"
    item = {
        "from": {"id": ada},
        "to": {"id": company},
        "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}],
    }
    assert account.call("POST", f"{base}/batch/create", {"inputs": [item]}).status_code == 201
    read = account.call("POST", f"{base}/batch/read", {"inputs": [{"id": ada}, {"id": bob}]})
    assert read.status_code == 207
    assert [(row["from"]["id"], row["to"][0]["toObjectId"]) for row in read.json()["results"]] == [(ada, int(company))]
    assert read.json()["errors"][0]["subCategory"] == "crm.associations.NO_ASSOCIATIONS_FOUND"
    gone = {"inputs": [{"from": {"id": ada}, "to": [{"id": company}]}]}
    assert account.call("POST", f"{base}/batch/archive", gone).status_code == 204
    dated = "/crm/associations/2026-09/contacts/companies/batch/archive"
    assert account.call("POST", dated, gone).status_code == 200
    labels = account.call("GET", f"{base}/labels").json()["results"]
    assert labels == [
        {"category": "HUBSPOT_DEFINED", "typeId": 279, "label": None},
        {"category": "HUBSPOT_DEFINED", "typeId": 1, "label": "Primary"},
    ]


def test_owners_are_listed_and_found(account: Account) -> None:
    """By page, address, id and user id."""
    owners = account.call("GET", "/crm/v3/owners", params={"limit": 1}).json()
    assert (owners["results"][0]["email"], owners["paging"]["next"]["after"]) == ("grace@example.com", "1")
    second = account.call("GET", "/crm/v3/owners", params={"email": "Alan@example.com"}).json()["results"]
    assert [owner["id"] for owner in second] == ["534942"]
    by_user = account.call("GET", "/crm/v3/owners/2", params={"idProperty": "userId"})
    assert by_user.json() == second[0]
    assert account.call("GET", "/crm/v3/owners/2").status_code == 404


def test_a_changed_owner_is_stamped(account: Account) -> None:
    """hubspot_owner_assigneddate."""
    ada = account.contact(email="a@x.example")
    account.call("PATCH", f"{CONTACTS}/{ada}", {"properties": {"hubspot_owner_id": "534942"}})
    assert account.properties(ada, "hubspot_owner_assigneddate") == {"hubspot_owner_assigneddate": NOW}


def test_the_account_says_who_it_is(account: Account) -> None:
    """By portal id."""
    assert account.call("GET", "/account-info/v3/details").json()["portalId"] == 8_800_001


def test_opting_out_goes_by_address_and_the_property_follows(account: Account) -> None:
    """The property itself is read-only; apps cannot opt anybody in again."""
    ada = account.contact(email="ada@example.com")
    written = account.call("PATCH", f"{CONTACTS}/{ada}", {"properties": {"hs_email_optout": "true"}})
    assert written.json()["errors"][0]["code"] == "READ_ONLY_VALUE"
    nothing = account.call("GET", f"{STATUSES}/ada@example.com/unsubscribe-all", params={"channel": "EMAIL"})
    assert nothing.json()["results"] == []
    account.clock.advance(1)
    told = account.call("POST", f"{STATUSES}/Ada@example.com/unsubscribe-all", params={"channel": "EMAIL"})
    assert [row["status"] for row in told.json()["results"]] == ["UNSUBSCRIBED"]
    assert account.properties(ada, "hs_email_optout", "lastmodifieddate") == {
        "hs_email_optout": "true",
        "lastmodifieddate": "2026-09-21T14:13:21.000Z",
    }
    statuses = account.call("GET", f"{STATUSES}/ada@example.com", params={"channel": "EMAIL"}).json()["results"]
    assert [row["status"] for row in statuses] == ["UNSUBSCRIBED", "UNSUBSCRIBED"]
    body = {"channel": "EMAIL", "subscriptionId": 501, "statusState": "SUBSCRIBED"}
    assert account.call("POST", f"{STATUSES}/ada@example.com", body).status_code == 400
    assert account.properties(ada, "hs_email_optout") == {"hs_email_optout": "true"}


def test_one_subscription_is_left_without_touching_the_property(account: Account) -> None:
    """Only opting out of all shows there."""
    ada = account.contact(email="ada@example.com")
    body = {"channel": "EMAIL", "subscriptionId": 501, "statusState": "UNSUBSCRIBED"}
    assert account.call("POST", f"{STATUSES}/ada@example.com", body).json()["status"] == "UNSUBSCRIBED"
    assert account.properties(ada, "hs_email_optout") == {"hs_email_optout": None}


def test_an_opt_out_made_before_the_contact_holds_for_it(account: Account) -> None:
    """It belongs to the address."""
    account.call("POST", f"{STATUSES}/ada@example.com/unsubscribe-all", params={"channel": "EMAIL"})
    ada = account.contact(email="ada@example.com")
    assert account.properties(ada, "hs_email_optout") == {"hs_email_optout": "true"}
    assert account.call("GET", f"{STATUSES}/nobody").status_code == 400


def test_a_workflow_rewrites_after_the_answer() -> None:
    """The answer shows what was sent, later reads what the workflow made of it; the history shows both."""
    account = Account(automation={"firstname": "title_case"})
    answer = account.call("POST", CONTACTS, {"properties": {"firstname": "ada"}})
    assert answer.json()["properties"]["firstname"] == "ada"
    ada = answer.json()["id"]
    assert account.properties(ada, "firstname") == {"firstname": "Ada"}
    shown = account.call("GET", f"{CONTACTS}/{ada}", params={"propertiesWithHistory": "firstname"}).json()
    history = [(row["value"], row["sourceType"]) for row in shown["propertiesWithHistory"]["firstname"]]
    assert history == [("Ada", "AUTOMATION_PLATFORM"), ("ada", "INTEGRATION")]


def test_a_workflow_of_an_unknown_kind_is_refused() -> None:
    """It is named."""
    account = Account()
    answer = account.person("POST", "settings", {"automation": {"firstname": "rot13"}})
    assert answer.status_code == 400
    assert "rot13" in body_of(answer)["message"]
    assert account.person("GET", "settings").json()["automation"] == {}
