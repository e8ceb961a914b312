"""Batches: partial success, all-or-nothing, upsert, repeats."""

from __future__ import annotations

from typing import Any

import pytest

from tests.providers.hubspot.fake_account import NOW, Account, body_of
from tests.providers.hubspot.test_fake_objects import make_property

BATCH = "/crm/v3/objects/contacts/batch"


@pytest.fixture
def account() -> Account:
    return Account()


def inputs(*emails: str, traced: bool = False) -> dict[str, Any]:
    items: list[dict[str, Any]] = [{"properties": {"email": email}} for email in emails]
    if traced:
        for number, item in enumerate(items):
            item["objectWriteTraceId"] = f"t{number}"
    return {"inputs": items}


def test_a_batch_creates_all_and_answers_in_no_promised_order(account: Account) -> None:
    """201, one result for each input, mixed by the seed and the same for the same seed."""
    emails = [f"p{number}@example.com" for number in range(20)]
    answer = account.call("POST", f"{BATCH}/create", inputs(*emails))
    assert answer.status_code == 201
    body = answer.json()
    assert (body["status"], body["startedAt"], body["completedAt"]) == ("COMPLETE", NOW, NOW)
    assert "errors" not in body
    order = [row["properties"]["email"] for row in body["results"]]
    assert order != emails
    assert sorted(order) == sorted(emails)
    again = Account().call("POST", f"{BATCH}/create", inputs(*emails))
    assert [row["properties"]["email"] for row in again.json()["results"]] == order


def test_without_trace_ids_one_conflict_refuses_the_whole_batch(account: Account) -> None:
    """The body says neither which input nor which contact."""
    ada = account.contact(email="ada@example.com")
    answer = account.call("POST", f"{BATCH}/create", inputs("bob@example.com", "ada@example.com"))
    assert answer.status_code == 409
    assert body_of(answer) == {"status": "error", "message": "Contact already exists", "category": "CONFLICT"}
    assert account.ids() == [ada]


def test_with_trace_ids_good_inputs_are_kept_and_bad_ones_told(account: Account) -> None:
    """207 with the trace id and the existing id of the conflict, and the codes of bad values."""
    ada = account.contact(email="ada@example.com")
    batch = inputs("bob@example.com", "ada@example.com", "nobody", traced=True)
    answer = account.call("POST", f"{BATCH}/create", batch)
    assert answer.status_code == 207
    body = answer.json()
    assert [(row["properties"]["email"], row["objectWriteTraceId"]) for row in body["results"]] == [
        ("bob@example.com", "t0")
    ]
    assert body["numErrors"] == 2
    assert body["errors"][0] == {
        "status": "error",
        "message": f"Contact already exists. Existing ID: {ada}",
        "category": "CONFLICT",
        "context": {"objectWriteTraceId": ["t1"], "existingId": [ada]},
    }
    assert body["errors"][1]["errors"][0]["code"] == "INVALID_EMAIL"
    assert body["errors"][1]["context"] == {"objectWriteTraceId": ["t2"]}


def test_a_repeated_trace_id_gives_no_partial_success(account: Account) -> None:
    """Every input needs its own."""
    ada = account.contact(email="ada@example.com")
    batch = inputs("bob@example.com", "ada@example.com", traced=True)
    batch["inputs"][1]["objectWriteTraceId"] = "t0"
    assert account.call("POST", f"{BATCH}/create", batch).status_code == 409
    assert account.ids() == [ada]


def test_the_same_address_twice_in_one_batch_is_a_conflict(account: Account) -> None:
    """In any case."""
    assert account.call("POST", f"{BATCH}/create", inputs("a@x.example", "A@X.example")).status_code == 409
    assert account.ids() == []


def test_bad_values_of_all_inputs_are_told_together(account: Account) -> None:
    """One 400 with repeats, nothing stored."""
    answer = account.call("POST", f"{BATCH}/create", inputs("nobody", "ok@example.com", "neither"))
    assert answer.status_code == 400
    assert [error["message"] for error in answer.json()["errors"]] == [
        "Email address nobody is invalid",
        "Email address neither is invalid",
    ]
    assert account.ids() == []


def test_updating_an_unknown_id_leaves_the_others_updated(account: Account) -> None:
    """207 with the ids that were not found; merged-away ids are not followed."""
    one, two = account.contact(email="a@x.example"), account.contact(email="b@x.example")
    gone = account.contact(email="c@x.example")
    account.call("POST", "/crm/v3/objects/contacts/merge", {"primaryObjectId": two, "objectIdToMerge": gone})
    batch = {"inputs": [{"id": id_, "properties": {"city": "Bonn"}} for id_ in (one, gone, "7")]}
    answer = account.call("POST", f"{BATCH}/update", batch)
    assert answer.status_code == 207
    assert [row["id"] for row in answer.json()["results"]] == [one]
    assert answer.json()["errors"] == [
        {
            "status": "error",
            "category": "OBJECT_NOT_FOUND",
            "message": (
                "Could not get some CONTACT objects, they may be deleted or not exist. Check that ids are valid."
            ),
            "context": {"ids": [gone, "7"]},
        }
    ]


def test_a_batch_update_swaps_no_addresses_by_accident(account: Account) -> None:
    """An address another contact of the account holds is refused for the whole batch."""
    one, two = account.contact(email="a@x.example"), account.contact(email="b@x.example")
    batch = {
        "inputs": [
            {"id": one, "properties": {"city": "Bonn"}},
            {"id": two, "properties": {"email": "a@x.example"}},
        ]
    }
    assert account.call("POST", f"{BATCH}/update", batch).status_code == 409
    assert account.properties(one, "city") == {"city": None}


def test_reading_a_batch_leaves_out_what_is_not_there(account: Account) -> None:
    """207 with the missing ids; archived ones only when asked for."""
    one, two = account.contact(email="a@x.example"), account.contact(email="b@x.example")
    account.call("DELETE", f"/crm/v3/objects/contacts/{two}")
    body = {"inputs": [{"id": one}, {"id": two}], "properties": ["email"], "propertiesWithHistory": ["email"]}
    answer = account.call("POST", f"{BATCH}/read", body)
    assert answer.status_code == 207
    assert [row["id"] for row in answer.json()["results"]] == [one]
    assert answer.json()["results"][0]["propertiesWithHistory"]["email"][0]["value"] == "a@x.example"
    assert answer.json()["errors"][0]["context"] == {"ids": [two]}
    archived = account.call("POST", f"{BATCH}/read?archived=true", {"inputs": [{"id": two}]})
    assert (archived.status_code, [row["id"] for row in archived.json()["results"]]) == (200, [two])


def test_repeated_ids_refuse_the_batch(account: Account) -> None:
    """In HubSpot's words."""
    answer = account.call("POST", f"{BATCH}/read", {"inputs": [{"id": "123"}, {"id": "5"}, {"id": "123"}]})
    assert answer.status_code == 400
    assert body_of(answer) == {
        "status": "error",
        "message": "Duplicate IDs found in batch input: [123]. IDs must be unique",
        "category": "VALIDATION_ERROR",
        "context": {"ids": ["123"]},
    }


@pytest.mark.parametrize("action", ["read", "create", "update", "upsert", "archive"])
def test_more_than_a_hundred_inputs_are_refused(account: Account, action: str) -> None:
    """Whatever the action; none is carried out."""
    batch = {"inputs": [{"id": str(n), "properties": {"email": f"p{n}@x.example"}} for n in range(101)]}
    answer = account.call("POST", f"{BATCH}/{action}", batch)
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")
    assert account.ids() == []


def test_an_upsert_says_what_is_new(account: Account) -> None:
    """By address: changed where known (secondary addresses too), created where not."""
    ada = account.contact(email="ada@example.com")
    account.person("PATCH", f"records/{ada}", {"additionalEmails": ["a@x.example"]})
    batch = {
        "inputs": [
            {"id": "A@x.example", "idProperty": "email", "properties": {"city": "Bonn"}},
            {"id": "New@x.example", "idProperty": "email", "properties": {"city": "Köln"}},
        ]
    }
    answer = account.call("POST", f"{BATCH}/upsert", batch)
    assert answer.status_code == 200
    told = {row["new"]: row for row in answer.json()["results"]}
    assert told[False]["id"] == ada
    assert told[True]["properties"]["email"] == "new@x.example"
    assert account.properties(ada, "email", "city") == {"email": "ada@example.com", "city": "Bonn"}


def test_an_upsert_by_address_is_all_or_nothing_and_by_an_own_property_is_not(account: Account) -> None:
    """Partial upserts are not supported with idProperty=email."""
    make_property(account, "app_id", "string", unique=True)

    def batch(name: str) -> dict[str, Any]:
        values = ("one", "two") if name == "app_id" else ("one@x.example", "two@x.example")
        return {
            "inputs": [
                {"id": values[0], "idProperty": name, "objectWriteTraceId": "0", "properties": {"firstname": "A"}},
                {
                    "id": values[1],
                    "idProperty": name,
                    "objectWriteTraceId": "1",
                    "properties": {"firstname": "B", "hs_lead_status": "HOT"},
                },
            ]
        }

    assert account.call("POST", f"{BATCH}/upsert", batch("email")).status_code == 400
    assert account.ids() == []
    partial = account.call("POST", f"{BATCH}/upsert", batch("app_id"))
    assert partial.status_code == 207
    assert [row["objectWriteTraceId"] for row in partial.json()["results"]] == ["0"]
    assert partial.json()["errors"][0]["context"] == {"objectWriteTraceId": ["1"]}


def test_a_unique_value_held_by_another_is_refused(account: Account) -> None:
    """400 that names the holder."""
    make_property(account, "app_id", "string", unique=True)
    ada = account.contact(firstname="Ada", app_id="A1")
    answer = account.call("POST", "/crm/v3/objects/contacts", {"properties": {"firstname": "B", "app_id": "a1"}})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "CONFLICTING_UNIQUE_VALUE"
    assert answer.json()["message"].endswith(f"{ada} already has that value.")
    assert account.ids() == [ada]


def test_archiving_a_batch_takes_unknown_ids_in_its_stride(account: Account) -> None:
    """204 and the known ones are gone."""
    one, two = account.contact(email="a@x.example"), account.contact(email="b@x.example")
    assert account.call("POST", f"{BATCH}/archive", {"inputs": [{"id": one}, {"id": "7"}]}).status_code == 204
    assert account.ids() == [two]
