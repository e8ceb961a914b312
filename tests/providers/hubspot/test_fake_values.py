"""The rules for values: types, forms, addresses that are taken, and what HubSpot says of bad ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.providers.hubspot.fake_account import Account, body_of, make_property

CONTACTS = "/crm/v3/objects/contacts"


@pytest.fixture
def account() -> Account:
    return Account()


def test_all_bad_values_of_a_record_are_told_at_once_and_nothing_is_stored(account: Account) -> None:
    """A JSON array inside the message, and ``errors`` with the codes."""
    answer = account.call(
        "POST",
        CONTACTS,
        {
            "properties": {
                "emal": "x",
                "createdate": "2020-01-01",
                "hs_lead_status": "HOT",
                "email": "not an address",
                "hubspot_owner_id": "1",
                "hs_pinned_engagement_id": "many",
            }
        },
    )
    assert answer.status_code == 400
    body = body_of(answer)
    intro, _, told = body["message"].partition(": ")
    assert intro == "Property values were not valid"
    assert json.loads(told)[0] == {
        "isValid": False,
        "message": 'Property "emal" does not exist',
        "error": "PROPERTY_DOESNT_EXIST",
        "name": "emal",
        "localizedErrorMessage": 'Property "emal" does not exist',
    }
    assert [(error["code"], error["context"]["propertyName"]) for error in body["errors"]] == [
        ("PROPERTY_DOESNT_EXIST", ["emal"]),
        ("READ_ONLY_VALUE", ["createdate"]),
        ("INVALID_OPTION", ["hs_lead_status"]),
        ("INVALID_EMAIL", ["email"]),
        ("INVALID_OPTION", ["hubspot_owner_id"]),
        ("INVALID_INTEGER", ["hs_pinned_engagement_id"]),
    ]
    assert body["errors"][1]["message"] == '"createdate" is a calculated property; its value cannot be set.'
    assert account.ids() == []


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("city", "  Köln ", "Köln"),
        ("city", 12, "12"),
        ("city", "A\ud800B", "A?B"),
        ("hs_pinned_engagement_id", 12, "12"),
        ("hs_legal_basis", "Not applicable", "Not applicable"),
        ("phone", "+1 555-1234", "+1 555-1234"),
        ("hubspot_owner_id", "534941", "534941"),
        ("city", None, None),
    ],
)
def test_values_are_kept_as_trimmed_text(account: Account, name: str, given: Any, kept: str | None) -> None:
    """Numbers and booleans become text; null is nothing."""
    contact_id = account.contact(firstname="Ada", **{name: given})
    assert account.properties(contact_id, name) == {name: kept}


@pytest.mark.parametrize(
    ("type_", "given", "kept"),
    [
        ("date", "2001-02-03", "2001-02-03"),
        ("date", "981158400000", "2001-02-03"),
        ("datetime", "2001-02-03T04:05:06Z", "2001-02-03T04:05:06.000Z"),
        ("datetime", "981173106123", "2001-02-03T04:05:06.123Z"),
        ("bool", True, "true"),
        ("number", "1.5", "1.5"),
    ],
)
def test_typed_values_are_kept_in_hubspots_form(account: Account, type_: str, given: Any, kept: str) -> None:
    """Dates as days, times as ISO with milliseconds."""
    make_property(account, "own", type_)
    contact_id = account.contact(firstname="Ada", own=given)
    assert account.properties(contact_id, "own") == {"own": kept}


@pytest.mark.parametrize(
    ("type_", "given", "code", "message"),
    [
        ("date", "981173106123", "INVALID_DATE", "981173106123 is at 04:05:06.123 UTC, not midnight!"),
        ("date", "3.2.2001", "INVALID_DATE", "3.2.2001 was not a valid date."),
        ("datetime", "soon", "INVALID_LONG", "soon was not a valid long."),
        ("bool", "maybe", "INVALID_OPTION", "maybe was not one of the allowed options: [true, false]"),
        ("number", "NaN", "INVALID_INTEGER", "NaN was not a valid number."),
        ("string", "x" * 65_537, "VALUE_TOO_LONG", None),
    ],
)
def test_values_of_the_wrong_type_are_refused(
    account: Account, type_: str, given: str, code: str, message: str | None
) -> None:
    """Each with HubSpot's code."""
    make_property(account, "own", type_)
    answer = account.call("POST", CONTACTS, {"properties": {"firstname": "Ada", "own": given}})
    assert answer.status_code == 400
    error = answer.json()["errors"][0]
    assert error["code"] == code
    assert message is None or error["message"] == message
    assert account.ids() == []


def test_a_checkbox_value_replaces_and_a_leading_semicolon_adds(account: Account) -> None:
    """``a;b`` replaces, ``;c`` appends."""
    make_property(account, "tags", "enumeration", "checkbox", ["a", "b", "c"])
    contact_id = account.contact(firstname="Ada", tags="a;b")
    account.call("PATCH", f"{CONTACTS}/{contact_id}", {"properties": {"tags": ";c"}})
    assert account.properties(contact_id, "tags") == {"tags": "a;b;c"}
    account.call("PATCH", f"{CONTACTS}/{contact_id}", {"properties": {"tags": "b"}})
    assert account.properties(contact_id, "tags") == {"tags": "b"}


def test_a_taken_address_is_a_conflict_that_names_the_holder(account: Account) -> None:
    """On create and on change, in any case, for secondary addresses too; nothing is stored."""
    ada = account.contact(email="ada@example.com")
    account.person("PATCH", f"records/{ada}", {"additionalEmails": ["Countess@example.com"]})
    bob = account.contact(email="bob@example.com")
    told = {"status": "error", "message": f"Contact already exists. Existing ID: {ada}", "category": "CONFLICT"}
    for taken in ("ADA@example.com", "countess@example.com"):
        created = account.call("POST", CONTACTS, {"properties": {"email": taken}})
        changed = account.call("PATCH", f"{CONTACTS}/{bob}", {"properties": {"email": taken}})
        assert (created.status_code, body_of(created)) == (409, told)
        assert (changed.status_code, body_of(changed)) == (409, told)
    assert account.ids() == [ada, bob]
    assert account.properties(bob, "email") == {"email": "bob@example.com"}


def test_a_secondary_address_made_primary_changes_places(account: Account) -> None:
    """No address is lost."""
    ada = account.contact(email="ada@example.com")
    account.person("PATCH", f"records/{ada}", {"additionalEmails": ["a@x.example", "b@x.example"]})
    account.call("PATCH", f"{CONTACTS}/{ada}", {"properties": {"email": "b@x.example"}})
    assert account.properties(ada, "email", "hs_additional_emails") == {
        "email": "b@x.example",
        "hs_additional_emails": "ada@example.com;a@x.example",
    }


def test_contacts_without_address_are_never_the_same(account: Account) -> None:
    """Two equal names are two contacts."""
    assert account.contact(firstname="Ada") != account.contact(firstname="Ada")


def test_a_contact_needs_a_name_or_an_address(account: Account) -> None:
    """At least one of email, firstname, lastname."""
    answer = account.call("POST", CONTACTS, {"properties": {"city": "Köln"}})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "REQUIRED_FIELD"


def test_the_latest_version_also_asks_for_the_create_forms_fields() -> None:
    """Required properties are enforced on the 2026-09 path only."""
    account = Account(required={"contacts": ["lastname"]})
    body = {"properties": {"firstname": "Ada"}}
    assert account.call("POST", CONTACTS, body).status_code == 201
    assert account.call("POST", "/crm/objects/2026-09/contacts", body).status_code == 400
