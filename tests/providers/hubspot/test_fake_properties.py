"""Property definitions: describe, create, change, archive, groups."""

from __future__ import annotations

from typing import Any

import pytest

from tests.providers.hubspot.fake_account import NOW, Account, body_of
from tests.providers.hubspot.test_fake_objects import make_property

PROPERTIES = "/crm/v3/properties/contacts"


@pytest.fixture
def account() -> Account:
    return Account()


def definition(**more: Any) -> dict[str, Any]:
    usual = {"name": "app_id", "label": "App id", "type": "string", "fieldType": "text"}
    return {**usual, "groupName": "contactinformation", **more}


def test_a_created_property_shows_its_whole_definition(account: Account) -> None:
    """201, and the same when read."""
    answer = account.call("POST", PROPERTIES, definition(hasUniqueValue=True))
    assert answer.status_code == 201
    expected = {
        "name": "app_id",
        "label": "App id",
        "type": "string",
        "fieldType": "text",
        "description": "",
        "groupName": "contactinformation",
        "options": [],
        "displayOrder": -1,
        "calculated": False,
        "externalOptions": False,
        "archived": False,
        "hasUniqueValue": True,
        "hidden": False,
        "modificationMetadata": {"archivable": True, "readOnlyDefinition": False, "readOnlyValue": False},
        "formField": False,
        "dataSensitivity": "non_sensitive",
        "createdAt": NOW,
        "updatedAt": NOW,
    }
    assert answer.json() == expected
    assert account.call("GET", f"{PROPERTIES}/app_id").json() == expected


@pytest.mark.parametrize(
    ("name", "read_only", "type_", "field_type"),
    [
        ("email", False, "string", "text"),
        ("hs_email_optout", True, "bool", "booleancheckbox"),
        ("hs_additional_emails", True, "enumeration", "checkbox"),
        ("lastmodifieddate", True, "datetime", "date"),
        ("hs_whatsapp_phone_number", False, "string", "phonenumber"),
        ("hubspot_owner_id", False, "enumeration", "select"),
    ],
)
def test_the_standard_properties_are_described(
    account: Account, name: str, read_only: bool, type_: str, field_type: str
) -> None:
    """With what can be written."""
    found = {row["name"]: row for row in account.call("GET", PROPERTIES).json()["results"]}[name]
    assert (found["type"], found["fieldType"]) == (type_, field_type)
    assert found["modificationMetadata"]["readOnlyValue"] is read_only
    assert found["modificationMetadata"]["archivable"] is False


def test_a_name_that_exists_is_refused_in_hubspots_words(account: Account) -> None:
    """409, also for HubSpot's own names and in any case."""
    for name in ("email", "EMAIL"):
        answer = account.call("POST", PROPERTIES, definition(name=name))
        assert answer.status_code == 409
        assert body_of(answer) == {
            "status": "error",
            "message": "A property named 'email' already exists.",
            "category": "OBJECT_ALREADY_EXISTS",
            "subCategory": "Properties.PROPERTY_WITH_NAME_EXISTS",
            "context": {"name": ["email"]},
        }


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "9lives"},
        {"name": "with blank"},
        {"label": ""},
        {"type": "text"},
        {"fieldType": "select"},
        {"groupName": "no_such_group"},
        {"type": "enumeration", "fieldType": "select"},
        {"type": "enumeration", "fieldType": "select", "options": [{"value": "a"}, {"value": "a"}]},
        {"type": "enumeration", "fieldType": "select", "options": "a"},
    ],
)
def test_a_definition_that_makes_no_sense_is_refused(account: Account, wrong: dict[str, Any]) -> None:
    """400, and no property more than before."""
    before = account.call("GET", PROPERTIES).json()
    answer = account.call("POST", PROPERTIES, definition(**wrong))
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")
    assert account.call("GET", PROPERTIES).json() == before


def test_at_most_ten_properties_are_unique(account: Account) -> None:
    """The eleventh is refused."""
    for number in range(10):
        make_property(account, f"u{number}", "string", unique=True)
    assert account.call("POST", PROPERTIES, definition(hasUniqueValue=True)).status_code == 400


def test_new_options_replace_all_options(account: Account) -> None:
    """And are accepted as values from then on."""
    make_property(account, "tags", "enumeration", "checkbox", ["a"])
    changed = account.call("PATCH", f"{PROPERTIES}/tags", {"options": [{"label": "B", "value": "b"}]})
    assert [option["value"] for option in changed.json()["options"]] == ["b"]
    account.contact(firstname="Ada", tags="b")
    refused = account.call("POST", "/crm/v3/objects/contacts", {"properties": {"firstname": "B", "tags": "a"}})
    assert refused.json()["errors"][0]["message"] == "a was not one of the allowed options: [b]"


def test_an_archived_property_cannot_be_written_and_is_not_read(account: Account) -> None:
    """Writes fail, reads leave it out, its name stays taken."""
    make_property(account, "own", "string")
    contact_id = account.contact(firstname="Ada", own="x")
    assert account.call("DELETE", f"{PROPERTIES}/own").status_code == 204
    shown = account.call("GET", f"/crm/v3/objects/contacts/{contact_id}", params={"properties": "own,city"})
    assert "own" not in shown.json()["properties"]
    written = account.call("PATCH", f"/crm/v3/objects/contacts/{contact_id}", {"properties": {"own": "y"}})
    assert written.json()["errors"][0]["code"] == "PROPERTY_DOESNT_EXIST"
    assert account.call("GET", f"{PROPERTIES}/own").status_code == 404
    assert account.call("POST", PROPERTIES, definition(name="own")).status_code == 409


def test_hubspots_own_properties_stay_as_they_are(account: Account) -> None:
    """Neither archived nor renamed."""
    assert account.call("DELETE", f"{PROPERTIES}/email").status_code == 400
    assert account.call("PATCH", f"{PROPERTIES}/email", {"label": "Mail"}).status_code == 400
    assert account.call("GET", f"{PROPERTIES}/email").json()["label"] == "Email"


def test_a_batch_of_properties_succeeds_in_part(account: Account) -> None:
    """207 with the ones that exist; reading and archiving in batches too."""
    body = {"inputs": [definition(name="one"), definition(name="email"), definition(name="two")]}
    answer = account.call("POST", f"{PROPERTIES}/batch/create", body)
    assert answer.status_code == 207
    assert [row["name"] for row in answer.json()["results"]] == ["one", "two"]
    assert [error["category"] for error in answer.json()["errors"]] == ["OBJECT_ALREADY_EXISTS"]
    names = {"inputs": [{"name": "one"}, {"name": "two"}]}
    assert account.call("POST", f"{PROPERTIES}/batch/archive", names).status_code == 204
    gone = account.call("POST", f"{PROPERTIES}/batch/read", names)
    assert (gone.status_code, gone.json()["numErrors"]) == (207, 2)


def test_groups_are_made_and_used(account: Account) -> None:
    """A property can live in an own group."""
    made = account.call("POST", f"{PROPERTIES}/groups", {"name": "adsapp", "label": "ADSapp"})
    assert (made.status_code, made.json()["name"]) == (201, "adsapp")
    assert account.call("POST", f"{PROPERTIES}/groups", {"name": "adsapp", "label": "x"}).status_code == 409
    assert account.call("POST", PROPERTIES, definition(groupName="adsapp")).status_code == 201
    groups = account.call("GET", f"{PROPERTIES}/groups").json()["results"]
    assert [group["name"] for group in groups] == ["contactinformation", "adsapp"]
    assert account.call("PATCH", f"{PROPERTIES}/groups/adsapp", {"label": "App"}).json()["label"] == "App"
    assert account.call("DELETE", f"{PROPERTIES}/groups/adsapp").status_code == 204
    assert account.call("GET", f"{PROPERTIES}/groups/adsapp").status_code == 404
