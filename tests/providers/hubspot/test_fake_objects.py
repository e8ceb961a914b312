"""One record at a time: list, read, create, update, archive."""

from __future__ import annotations

import pytest

from tests.providers.hubspot.fake_account import NOW, Account, body_of, make_property

CONTACTS = "/crm/v3/objects/contacts"


@pytest.fixture
def account() -> Account:
    return Account()


def test_a_created_contact_shows_what_was_set_and_what_hubspot_computes(account: Account) -> None:
    """The answer to a create has both, in HubSpot's envelope."""
    answer = account.call(
        "POST", CONTACTS, {"properties": {"email": " Ada@Example.com ", "firstname": "Ada", "phone": "+49 30 123456"}}
    )
    assert answer.status_code == 201
    assert answer.headers["Content-Type"] == "application/json;charset=utf-8"
    assert len(answer.headers["X-HubSpot-Correlation-Id"]) == 36
    body = answer.json()
    assert body == {
        "id": body["id"],
        "properties": {
            "email": "ada@example.com",
            "firstname": "Ada",
            "phone": "+49 30 123456",
            "createdate": NOW,
            "lastmodifieddate": NOW,
            "hs_object_id": body["id"],
            "hs_object_source": "INTEGRATION",
            "hs_object_source_id": "770011",
            "hs_object_source_label": "INTEGRATION",
            "lifecyclestage": "lead",
            "hs_all_contact_vids": body["id"],
            "hs_pipeline": "contacts-lifecycle-pipeline",
            "num_notes": "0",
            "hs_email_domain": "example.com",
            "hs_full_name_or_email": "Ada",
            "hs_is_contact": "true",
            "hs_is_unworked": "true",
            "hs_calculated_phone_number": "+4930123456",
            "hs_searchable_calculated_phone_number": "4930123456",
        },
        "createdAt": NOW,
        "updatedAt": NOW,
        "archived": False,
        "url": f"https://app.hubspot.com/contacts/8800001/record/0-1/{body['id']}",
    }


@pytest.mark.parametrize("prefix", ["/crm/v3/objects", "/crm/objects/2026-03", "/crm/objects/2026-09"])
@pytest.mark.parametrize("name", ["contacts", "contact", "0-1"])
def test_every_version_and_name_of_an_object_reaches_the_same_records(account: Account, prefix: str, name: str) -> None:
    """v3 and the dated paths, names and type ids are one store."""
    contact_id = account.contact(email="ada@example.com")
    assert account.call("GET", f"{prefix}/{name}/{contact_id}").json()["properties"]["email"] == "ada@example.com"


def test_an_unknown_object_is_refused_in_hubspots_words(account: Account) -> None:
    """400 without a category."""
    answer = account.call("GET", "/crm/v3/objects/butterflies")
    assert answer.status_code == 400
    assert body_of(answer) == {"status": "error", "message": "Unable to infer object type from: butterflies"}


def test_reading_tells_unknown_ids_from_ids_that_are_none(account: Account) -> None:
    """404 both times, with different words (two blanks in one of them)."""
    missing = account.call("GET", f"{CONTACTS}/7")
    assert (missing.status_code, body_of(missing)) == (
        404,
        {"status": "error", "message": "resource not found", "category": "OBJECT_NOT_FOUND"},
    )
    odd = account.call("GET", f"{CONTACTS}/abc")
    assert (odd.status_code, body_of(odd)) == (
        404,
        {"status": "error", "message": "Object not found.  objectId are usually numeric."},
    )


def test_listing_walks_by_id_and_ends_without_a_cursor(account: Account) -> None:
    """``after`` is the id of the next record; the last page has no paging."""
    ids = [account.contact(email=f"p{number}@example.com") for number in range(5)]
    first = account.call("GET", CONTACTS, params={"limit": 2}).json()
    assert [row["id"] for row in first["results"]] == ids[:2]
    assert first["paging"]["next"]["after"] == ids[2]
    second = account.call("GET", CONTACTS, params={"limit": 2, "after": ids[2]}).json()
    third = account.call("GET", CONTACTS, params={"limit": 2, "after": ids[4]}).json()
    assert [row["id"] for row in second["results"] + third["results"]] == ids[2:]
    assert "paging" not in third


def test_a_record_archived_between_two_pages_does_not_stop_the_walk(account: Account) -> None:
    """The cursor is a lower bound, not a record that has to exist."""
    ids = [account.contact(email=f"p{number}@example.com") for number in range(3)]
    after = account.call("GET", CONTACTS, params={"limit": 1}).json()["paging"]["next"]["after"]
    account.call("DELETE", f"{CONTACTS}/{after}")
    assert account.ids(after=after) == [ids[2]]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x"])
def test_a_page_size_out_of_range_is_refused(account: Account, limit: str) -> None:
    """1 to 100."""
    answer = account.call("GET", CONTACTS, params={"limit": limit})
    assert answer.status_code == 400
    assert body_of(answer)["category"] == "VALIDATION_ERROR"


def test_a_search_offset_that_is_no_id_is_refused_by_the_list(account: Account) -> None:
    """Cursors of list and search are not interchangeable."""
    answer = account.call("GET", CONTACTS, params={"after": "MjAw"})
    assert answer.status_code == 400
    assert "Cannot deserialize value of type" in answer.json()["message"]


def test_asked_properties_are_null_when_empty_and_absent_when_unknown(account: Account) -> None:
    """An unknown name on read is left out silently."""
    contact_id = account.contact(email="ada@example.com")
    answer = account.call("GET", f"{CONTACTS}/{contact_id}", params={"properties": ["city", "no_such_name"]})
    assert answer.json()["properties"] == {
        "city": None,
        "createdate": NOW,
        "lastmodifieddate": NOW,
        "hs_object_id": contact_id,
    }


def test_a_change_shows_what_was_set_and_moves_the_time_stamp(account: Account) -> None:
    """A cleared value reads as empty text in the answer and as null afterwards."""
    contact_id = account.contact(email="ada@example.com", city="Köln")
    account.clock.advance(1)
    answer = account.call("PATCH", f"{CONTACTS}/{contact_id}", {"properties": {"city": "", "jobtitle": "Engineer"}})
    assert answer.status_code == 200
    assert answer.json()["properties"]["city"] == ""
    assert answer.json()["properties"]["jobtitle"] == "Engineer"
    assert answer.json()["updatedAt"] == "2026-09-21T14:13:21.000Z"
    assert account.properties(contact_id, "city", "lastmodifieddate") == {
        "city": None,
        "lastmodifieddate": "2026-09-21T14:13:21.000Z",
    }


def test_a_change_that_changes_nothing_leaves_the_time_stamp(account: Account) -> None:
    """It counts as a no-op write."""
    contact_id = account.contact(email="ada@example.com", city="Köln")
    account.clock.advance(1)
    account.call("PATCH", f"{CONTACTS}/{contact_id}", {"properties": {"city": " Köln", "email": "ADA@example.com"}})
    assert account.properties(contact_id, "lastmodifieddate") == {"lastmodifieddate": NOW}
    stats = account.person("GET", "stats").json()
    assert (stats["writes"], stats["noopWrites"]) == (2, 1)


def test_the_lifecycle_stage_moves_forward_only(account: Account) -> None:
    """A step back is dropped without a word, unless the stage was cleared first."""
    contact_id = account.contact(email="ada@example.com", lifecyclestage="customer")
    path = f"{CONTACTS}/{contact_id}"
    assert account.call("PATCH", path, {"properties": {"lifecyclestage": "lead"}}).status_code == 200
    assert account.properties(contact_id, "lifecyclestage") == {"lifecyclestage": "customer"}
    account.call("PATCH", path, {"properties": {"lifecyclestage": ""}})
    account.call("PATCH", path, {"properties": {"lifecyclestage": "lead"}})
    assert account.properties(contact_id, "lifecyclestage") == {"lifecyclestage": "lead"}


def test_history_says_who_wrote_what_newest_first(account: Account) -> None:
    """Apps show as INTEGRATION with their id, people as CRM_UI with theirs."""
    contact_id = account.contact(email="ada@example.com", city="Köln")
    account.clock.advance(60)
    account.person("PATCH", f"records/{contact_id}", {"properties": {"city": "Bonn"}, "userId": 42})
    answer = account.call("GET", f"{CONTACTS}/{contact_id}", params={"propertiesWithHistory": "city"})
    assert answer.json()["propertiesWithHistory"] == {
        "city": [
            {
                "value": "Bonn",
                "timestamp": "2026-09-21T14:14:20.000Z",
                "sourceType": "CRM_UI",
                "sourceId": "userId:42",
                "updatedByUserId": 42,
            },
            {
                "value": "Köln",
                "timestamp": NOW,
                "sourceType": "INTEGRATION",
                "sourceId": "770011",
                "sourceLabel": "INTEGRATION",
            },
        ]
    }


def test_an_archived_contact_is_seen_only_as_archived(account: Account) -> None:
    """Hidden from list, read and search; its address is free again; archiving twice is fine."""
    contact_id = account.contact(email="ada@example.com")
    for _ in range(2):
        assert account.call("DELETE", f"{CONTACTS}/{contact_id}").status_code == 204
    assert account.ids() == []
    assert account.call("GET", f"{CONTACTS}/{contact_id}").status_code == 404
    assert account.search().json()["total"] == 0
    listed = account.call("GET", CONTACTS, params={"archived": "true"}).json()["results"]
    assert [(row["id"], row["archived"], row["archivedAt"]) for row in listed] == [(contact_id, True, NOW)]
    shown = account.call("GET", f"{CONTACTS}/{contact_id}", params={"archived": "true"})
    assert shown.json()["properties"]["email"] == "ada@example.com"
    assert account.contact(email="ada@example.com") != contact_id


def test_a_contact_is_found_by_any_of_its_addresses_and_by_an_own_unique_property(account: Account) -> None:
    """idProperty takes unique properties only."""
    make_property(account, "app_id", "string", unique=True)
    ada = account.contact(email="ada@example.com", app_id="A1")
    account.person("PATCH", f"records/{ada}", {"additionalEmails": ["a@x.example"]})
    for key, name in (("Ada@example.com", "email"), ("a@x.example", "email"), ("a1", "app_id")):
        assert account.call("GET", f"{CONTACTS}/{key}", params={"idProperty": name}).json()["id"] == ada
    assert account.call("GET", f"{CONTACTS}/Ada", params={"idProperty": "firstname"}).status_code == 400


def test_activities_are_kept_on_their_contact(account: Account) -> None:
    """A note needs a time, ignores names it does not know and counts on the contact."""
    contact_id = account.contact(email="ada@example.com")
    spec = {
        "to": {"id": contact_id},
        "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}],
    }
    refused = account.call("POST", "/crm/v3/objects/notes", {"properties": {"hs_note_body": "Hi"}})
    assert refused.json()["errors"][0]["context"] == {"propertyName": ["hs_timestamp"]}
    note = account.call(
        "POST",
        "/crm/v3/objects/notes",
        {"properties": {"hs_timestamp": NOW, "hs_note_body": "<b>Hi</b>", "whatever": "1"}, "associations": [spec]},
    )
    assert note.status_code == 201
    assert note.json()["properties"]["hs_body_preview"] == "Hi"
    assert account.properties(contact_id, "num_notes") == {"num_notes": "1"}
    shown = account.call("GET", f"{CONTACTS}/{contact_id}", params={"associations": "notes"}).json()
    assert shown["associations"] == {"notes": {"results": [{"id": note.json()["id"], "type": "contact_to_note"}]}}


def test_a_call_may_not_be_linked_the_wrong_way_round(account: Account) -> None:
    """The type id says which object it starts from."""
    contact_id = account.contact(email="ada@example.com")
    spec = {"to": {"id": contact_id}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 201}]}
    answer = account.call(
        "POST", "/crm/v3/objects/notes", {"properties": {"hs_timestamp": NOW}, "associations": [spec]}
    )
    assert answer.status_code == 400
    assert answer.json()["message"] == ("invalid from object type 0-46 for associations to be created. expected: 0-1")
    assert account.call("GET", "/crm/v3/objects/notes").json() == {"results": []}


def test_deleted_meetings_cannot_be_listed(account: Account) -> None:
    """HubSpot does not page through deleted meetings."""
    answer = account.call("GET", "/crm/v3/objects/meetings", params={"archived": "true"})
    assert (answer.status_code, answer.json()["message"]) == (
        400,
        "Paging through deleted objects is not yet supported",
    )


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"properties": []}', b'{"properties": {"email": {}}}'])
def test_a_body_of_the_wrong_shape_is_refused(account: Account, content: bytes) -> None:
    """400, whatever the body holds."""
    answer = account.call("POST", CONTACTS, data=content)
    assert answer.status_code == 400
    assert body_of(answer)["message"].startswith("Invalid input JSON")


def test_an_overlong_address_line_is_refused(account: Account) -> None:
    """Long property lists belong into a body."""
    answer = account.call("GET", CONTACTS, params={"properties": ",".join(f"property_{n}" for n in range(2000))})
    assert answer.status_code == 414
