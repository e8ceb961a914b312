"""One record at a time: ids, values, conditional writes, external ids, and every refusal's exact body."""

from __future__ import annotations

import pytest

from crm.providers.salesforce.fake import ids
from tests.providers.salesforce.fake_org import DATA, EXTERNAL_ID, NOW, Org


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("00DdM00000vfgTu", "00DdM00000vfgTuUAI"),
        ("003aj000002oTld", "003aj000002oTldAAE"),
        ("0" * 15, "0" * 15 + "AAA"),
    ],
)
def test_the_checksum_is_salesforces(short, long):
    """Recorded 15-character ids get their recorded checksum, and the 18-character form finds its case again."""
    assert ids.to18(short) == long
    assert ids.canonical(long.lower()) == long


def test_a_created_record_has_stamps_owner_and_derived_name():
    """What the app did not give is there as Salesforce fills it in; empty text is null and text is trimmed."""
    org = Org()
    answer = org.call("POST", "/sobjects/Contact", {"FirstName": " Ada ", "LastName": "Lovelace", "Title": ""})
    record_id = answer.json()["id"]
    assert (answer.status_code, answer.json()) == (201, {"id": record_id, "success": True, "errors": []})
    assert answer.headers["Location"] == f"{DATA}/sobjects/Contact/{record_id}"
    read = org.call("GET", f"/sobjects/Contact/{record_id[:15]}")
    assert read.headers["Last-Modified"] == "Mon, 21 Sep 2026 14:13:20 GMT"
    found = read.json()
    assert found["attributes"] == {"type": "Contact", "url": f"{DATA}/sobjects/Contact/{record_id}"}
    user = org.fake.people.api_user_id
    expected = {
        "Id": record_id,
        "Name": "Ada Lovelace",
        "FirstName": "Ada",
        "Title": None,
        "DoNotCall": False,
        "MailingAddress": None,
        "SystemModstamp": NOW,
        "CreatedDate": NOW,
        "LastModifiedById": user,
        "OwnerId": user,
    }
    assert {name: found[name] for name in expected} == expected


def test_an_update_answers_nothing_and_moves_the_stamps():
    """204 without a body; omitted fields stay, null clears, stamps are whole seconds; an equal value moves them too."""
    org = Org()
    record_id = org.create(FirstName="Ada", Title="Countess")
    org.clock.advance(7.9)
    answer = org.call("PATCH", f"/sobjects/Contact/{record_id}", {"Title": None, "attributes": {"type": "Contact"}})
    assert (answer.status_code, answer.content) == (204, b"")
    found = org.fields(record_id, "FirstName", "Title", "SystemModstamp", "CreatedDate")
    assert found == {
        "FirstName": "Ada",
        "Title": None,
        "SystemModstamp": "2026-09-21T14:13:27.000+0000",
        "CreatedDate": NOW,
    }
    org.clock.advance(10)
    org.call("PATCH", f"/sobjects/Contact/{record_id}", {"FirstName": "Ada"})
    assert org.fields(record_id, "SystemModstamp") == {"SystemModstamp": "2026-09-21T14:13:37.000+0000"}
    assert org.fake.stats()["noopWrites"] == 1


@pytest.mark.parametrize(
    ("body", "code", "message", "fields"),
    [
        ({}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]", ["LastName"]),
        (
            {"LastName": "x" * 81},
            "STRING_TOO_LONG",
            f"Last Name: data value too large: {'x' * 81} (max length=80)",
            ["LastName"],
        ),
        (
            {"LastName": "x", "Email": "badone"},
            "INVALID_EMAIL_ADDRESS",
            "Email: invalid email address: badone",
            ["Email"],
        ),
        (
            {"LastName": "x", "AccountId": "123"},
            "MALFORMED_ID",
            "Account ID: id value of incorrect type: 123",
            ["AccountId"],
        ),
        (
            {"LastName": "x", "AccountId": "001dM0000000009AAA"},
            "INVALID_CROSS_REFERENCE_KEY",
            "invalid cross reference id",
            [],
        ),
        ({"LastName": "x", "Nope__c": 1}, "INVALID_FIELD", "No such column 'Nope__c' on sobject of type Contact", None),
        (
            {"LastName": "x", "Id": "003"},
            "INVALID_FIELD",
            "The Id field should not be specified in the sobject data.",
            None,
        ),
        (
            {"LastName": "x", "Name": "y"},
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            (
                "Unable to create/update fields: Name. Please check the security settings of this field and verify "
                "that it is read/write for your profile or permission set."
            ),
            ["Name"],
        ),
        (
            {"LastName": "x", "Birthdate": "soon"},
            "JSON_PARSER_ERROR",
            (
                "Cannot deserialize instance of date from VALUE_STRING value soon or request may be missing a required "
                "field at [line:1, column:1]"
            ),
            None,
        ),
    ],
)
def test_a_refused_create_says_why_and_makes_nothing(body, code, message, fields):
    """The error is an array with errorCode, message, and fields where it is about data."""
    org = Org()
    answer = org.call("POST", "/sobjects/Contact", body)
    entry = {"message": message, "errorCode": code, **({} if fields is None else {"fields": fields})}
    assert (answer.status_code, answer.json()) == (400, [entry])
    assert org.names("Id != null") == []


def test_several_bad_values_are_told_at_once():
    """Two refused values of one record are two entries."""
    org = Org()
    answer = org.call("POST", "/sobjects/Contact", {"LastName": "x", "Email": "no", "Title": "t" * 129})
    assert [entry["errorCode"] for entry in answer.json()] == ["INVALID_EMAIL_ADDRESS", "STRING_TOO_LONG"]


def test_a_lead_needs_a_company_and_starts_open():
    """Company is required on Lead; the status is the org's default."""
    org = Org()
    answer = org.call("POST", "/sobjects/Lead", {"LastName": "Turing"})
    assert answer.json()[0]["fields"] == ["Company"]
    lead_id = org.create("Lead", LastName="Turing", Company="[not provided]")
    assert org.fields(lead_id, "Status", "IsConverted", kind="Lead") == {
        "Status": "Open - Not Contacted",
        "IsConverted": False,
    }


def test_a_write_based_on_an_older_state_is_refused_with_412():
    """If-Unmodified-Since compares whole seconds with Last-Modified; nothing is written on 412 or a bad date."""
    org = Org()
    record_id = org.create()
    path, stamp = f"/sobjects/Contact/{record_id}", "Mon, 21 Sep 2026 14:13:20 GMT"
    org.clock.advance(60)
    assert org.call("PATCH", path, {"Title": "a"}, headers={"If-Unmodified-Since": stamp}).status_code == 204
    answer = org.call("PATCH", path, {"Title": "b"}, headers={"If-Unmodified-Since": stamp})
    assert (answer.status_code, answer.content) == (412, b"")
    assert org.call("PATCH", path, {"Title": "c"}, headers={"If-Unmodified-Since": "yesterday"}).status_code == 400
    assert org.fields(record_id, "Title") == {"Title": "a"}
    unchanged = org.call("GET", path, headers={"If-Modified-Since": "Mon, 21 Sep 2026 14:14:20 GMT"})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


def test_an_external_id_creates_once_and_then_updates():
    """201 with created, 200 without; updateOnly never creates; the value belongs in the address alone."""
    org = Org()
    path = f"/sobjects/Contact/{EXTERNAL_ID}/org%3A1"
    first = org.call("PATCH", path, {"LastName": "One"})
    second = org.call("PATCH", path, {"LastName": "Two"})
    record_id = first.json()["id"]
    assert (first.status_code, first.json()["created"]) == (201, True)
    assert (second.status_code, second.json()) == (
        200,
        {"id": record_id, "success": True, "errors": [], "created": False},
    )
    assert org.call("GET", path).json()[EXTERNAL_ID] == "org:1"
    missing = f"/sobjects/Contact/{EXTERNAL_ID}/org%3A2"
    assert org.call("PATCH", f"{missing}?updateOnly=true", {"LastName": "No"}).status_code == 404
    answer = org.call("PATCH", missing, {"LastName": "No", EXTERNAL_ID: "org:2"})
    assert answer.json() == [
        {
            "message": f"The {EXTERNAL_ID} field should not be specified in the sobject data.",
            "errorCode": "INVALID_FIELD",
        }
    ]
    assert org.names("Id != null") == ["Two"]
    assert org.call("PATCH", "/services/data/v45.0" + path, {"LastName": "Three"}).status_code == 204


def test_a_taken_external_id_names_its_holder():
    """DUPLICATE_VALUE carries the id of the record that has the value; an external id may tell case apart."""
    org = Org()
    holder = org.create(**{EXTERNAL_ID: "a"})
    other = org.create(**{EXTERNAL_ID: "A"})
    answer = org.call("PATCH", f"/sobjects/Contact/{other}", {EXTERNAL_ID: "a"})
    assert answer.status_code == 400
    assert answer.json() == [
        {
            "message": f"duplicate value found: {EXTERNAL_ID} duplicates value on record with id: {holder}",
            "errorCode": "DUPLICATE_VALUE",
            "fields": [],
        }
    ]


def test_an_email_that_several_share_gives_300_and_writes_nothing():
    """Email is an idLookup and not unique."""
    org = Org()
    pair = [org.create(Email="a@b.example"), org.create(Email="A@b.example")]
    answer = org.call("PATCH", "/sobjects/Contact/Email/a%40b.example", {"Title": "x"})
    assert (answer.status_code, answer.json()) == (300, [f"{DATA}/sobjects/Contact/{each}" for each in pair])
    assert org.names("Title != null") == []


def test_a_deleted_record_is_not_found_and_cannot_be_written():
    """GET says NOT_FOUND, a write ENTITY_IS_DELETED, both 404; queryAll still has it for fifteen days."""
    org = Org()
    record_id = org.create()
    path = f"/sobjects/Contact/{record_id}"
    assert org.call("DELETE", path).status_code == 204
    read = org.call("GET", path)
    assert (read.status_code, read.json()) == (
        404,
        [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}],
    )
    for answer in (org.call("PATCH", path, {"Title": "x"}), org.call("DELETE", path)):
        assert (answer.status_code, answer.json()) == (
            404,
            [{"message": "entity is deleted", "errorCode": "ENTITY_IS_DELETED", "fields": []}],
        )
    soql = "SELECT Id, IsDeleted, MasterRecordId FROM Contact"
    assert org.rows(soql) == []
    assert org.rows(soql, "queryAll") == [{"Id": record_id, "IsDeleted": True, "MasterRecordId": None}]
    org.clock.advance(15 * 86_400 + 1)
    assert org.rows(soql, "queryAll") == []


def test_the_lists_of_updated_and_deleted_hold_back_while_a_transaction_runs():
    """latestDateCovered stays before a row that is not visible yet."""
    org = Org()
    org.clock.advance(-20)
    kept, gone = org.create(), org.create()
    org.call("DELETE", f"/sobjects/Contact/{gone}")
    params = {"start": "2026-09-21T14:00:00+00:00", "end": "2026-09-21T14:14:00+00:00"}
    org.clock.advance(60)
    updated = org.call("GET", "/sobjects/Contact/updated", params=params).json()
    assert updated == {"ids": [kept], "latestDateCovered": "2026-09-21T14:14:00.000+0000"}
    deleted = org.call("GET", "/sobjects/Contact/deleted", params=params).json()
    assert deleted["deletedRecords"] == [{"id": gone, "deletedDate": "2026-09-21T14:13:00.000+0000"}]
    late = {"fields": {"LastName": "Late"}, "at": "2026-09-21T14:10:30Z", "visibleAfterSeconds": 300}
    org.person("POST", "records", late)
    held = org.call("GET", "/sobjects/Contact/updated", params=params).json()
    assert held == {"ids": [kept], "latestDateCovered": "2026-09-21T14:10:00.000+0000"}
    short = {"start": "2026-09-21T14:13:01Z", "end": "2026-09-21T14:13:59Z"}
    answer = org.call("GET", "/sobjects/Contact/updated", params=short)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_REPLICATION_DATE")


def test_an_empty_last_path_part_is_not_a_record():
    """PATCH without an id is 405 with the methods that there are; POST stands in for PATCH by parameter."""
    org = Org()
    for path in ("/sobjects/Contact/", f"/sobjects/Contact/{EXTERNAL_ID}/"):
        answer = org.call("PATCH", path, {"LastName": "x"})
        message = "HTTP Method 'PATCH' not allowed. Allowed are HEAD,GET,POST"
        assert (answer.status_code, answer.json()) == (405, [{"message": message, "errorCode": "METHOD_NOT_ALLOWED"}])
    record_id = org.create()
    answer = org.call("POST", f"/sobjects/Contact/{record_id}?_HttpMethod=PATCH", {"Title": "x"})
    assert (answer.status_code, org.fields(record_id, "Title")) == (204, {"Title": "x"})


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/services/data/v30.0/limits", 410, "UNSUPPORTED_API_VERSION"),
        ("/services/data/v69.0/limits", 404, "NOT_FOUND"),
        ("/services/data/v59/limits", 404, "NOT_FOUND"),
        (f"{DATA}/sobjects/Nope__c/describe", 404, "NOT_FOUND"),
        (f"{DATA}/nothing", 404, "NOT_FOUND"),
    ],
)
def test_what_does_not_exist_says_so(path, status, code):
    """Retired versions answer 410, others 404."""
    answer = Org().call("GET", path)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (status, code)


def test_versions_are_listed_without_a_session():
    """Oldest first, with their names."""
    answer = Org().session.get("https://acme.my.salesforce.com/services/data")
    found = answer.json()
    assert found[0] == {"label": "Summer '14", "url": "/services/data/v31.0", "version": "31.0"}
    assert {"label": "Winter '24", "url": "/services/data/v59.0", "version": "59.0"} in found
    assert found[-1]["version"] == "68.0"
    assert "Sforce-Limit-Info" not in answer.headers


def test_describe_tells_what_a_client_needs():
    """Required, writable and look-up fields follow from describe, which answers 304 until the schema changes."""
    org = Org()
    answer = org.call("GET", "/sobjects/Contact/describe")
    fields = {field["name"]: field for field in answer.json()["fields"]}
    required = [
        name
        for name, field in fields.items()
        if not field["nillable"] and field["createable"] and not field["defaultedOnCreate"]
    ]
    assert required == ["LastName"]
    assert (fields["Name"]["updateable"], fields["MailingAddress"]["type"]) == (False, "address")
    assert (fields[EXTERNAL_ID]["externalId"], fields[EXTERNAL_ID]["idLookup"]) == (True, True)
    assert fields["Description"]["filterable"] is False
    since = {"If-Modified-Since": answer.headers["Last-Modified"]}
    assert org.call("GET", "/sobjects/Contact/describe", headers=since).status_code == 304
    org.clock.advance(5)
    org.person("POST", "fields", {"object": "Contact", "name": "Shoe_Size__c", "type": "double"})
    assert org.call("GET", "/sobjects/Contact/describe", headers=since).status_code == 200


def test_a_note_is_linked_and_its_body_read():
    """ContentNote holds base64; the link must be queried by one of its ends; Note wants its parent."""
    org = Org()
    contact = org.create()
    note = org.create("ContentNote", Title="Call", Content="PHA+SGVsbG8gJmFtcDsgYnllPC9wPg==")
    org.create("ContentDocumentLink", ContentDocumentId=note, LinkedEntityId=contact, ShareType="V")
    soql = (
        f"SELECT ContentDocument.Title, ContentDocumentId FROM ContentDocumentLink WHERE LinkedEntityId = '{contact}'"
    )
    assert org.rows(soql)[0]["ContentDocumentId"] == note
    assert org.call("GET", f"/sobjects/ContentNote/{note}/Content").text == "<p>Hello &amp; bye</p>"
    assert org.fields(note, "TextPreview", kind="ContentNote") == {"TextPreview": "Hello & bye"}
    refused = org.ask("SELECT Id FROM ContentDocumentLink")
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, "MALFORMED_QUERY")
    assert org.call("POST", "/sobjects/Note", {"Title": "x"}).json()[0]["fields"] == ["ParentId"]


def test_a_task_of_a_lead_has_no_other_object():
    """WhoId of a lead excludes WhatId; the account follows from the contact."""
    org = Org()
    account = org.create("Account", Name="Acme")
    contact = org.create(AccountId=account)
    task = org.create("Task", Subject="Call", WhoId=contact)
    assert org.fields(task, "AccountId", "Status", "IsClosed", kind="Task") == {
        "AccountId": account,
        "Status": "Not Started",
        "IsClosed": False,
    }
    lead = org.create("Lead", LastName="x", Company="y")
    answer = org.call("POST", "/sobjects/Task", {"Subject": "x", "WhoId": lead, "WhatId": account})
    assert answer.json()[0]["errorCode"] == "FIELD_INTEGRITY_EXCEPTION"


def test_deleting_an_account_deletes_its_contacts():
    """The cascade shows in queryAll and in the journal."""
    org = Org()
    account = org.create("Account", Name="Acme")
    contact = org.create(AccountId=account)
    org.call("DELETE", f"/sobjects/Account/{account}")
    assert org.rows("SELECT Id FROM Contact WHERE IsDeleted = true", "queryAll") == [{"Id": contact}]
    assert [entry["op"] for entry in org.person("GET", "journal")["results"]][-2:] == ["delete", "cascade"]
