"""The customer's own rules: duplicates, validations, automation, assignment, picklists, field security, locks."""

from __future__ import annotations

import pytest

from tests.providers.salesforce.fake_org import DATA, NOW, Org

ROW = {"attributes": {"type": "Contact"}}


def test_a_duplicate_rule_refuses_with_the_record_it_found():
    """An alert is overridden by allowSave; a block is not; a collection's row carries no match."""
    org = Org()
    first = org.create(Email="a@x.example")
    org.settings(duplicateRules=[{"object": "Contact", "match": ["Email"]}])
    body = {"LastName": "x", "Email": "A@x.example"}
    answer = org.call("POST", "/sobjects/Contact", body)
    (entry,) = answer.json()
    assert (answer.status_code, entry["errorCode"], entry["message"]) == (
        400,
        "DUPLICATES_DETECTED",
        "Use one of these records?",
    )
    result = entry["duplicateResult"]
    assert (result["allowSave"], result["duplicateRule"]) == (True, "Standard_Contact_Duplicate_Rule")
    record = result["matchResults"][0]["matchRecords"][0]["record"]
    attributes = {"type": "Contact", "url": f"{DATA}/sobjects/Contact/{first}"}
    assert record == {"attributes": attributes, "Id": first}
    (row,) = org.call("POST", "/composite/sobjects", {"records": [{**ROW, **body}]}).json()
    error = {"statusCode": "DUPLICATES_DETECTED", "message": "Use one of these records?", "fields": []}
    assert row == {"success": False, "errors": [error]}
    allow = {"Sforce-Duplicate-Rule-Header": "allowSave=true"}
    assert org.call("POST", "/sobjects/Contact", body, headers=allow).status_code == 201
    org.settings(duplicateRules=[{"object": "Contact", "match": ["Email"], "action": "block"}])
    assert org.call("POST", "/sobjects/Contact", body, headers=allow).status_code == 400
    assert len(org.names("Email = 'a@x.example'")) == 2


def test_a_validation_rule_speaks_in_the_admins_words():
    """Its message is the admin's; it meets updates too, and people as well as apps."""
    org = Org()
    record_id = org.create(Phone="+1 555")
    rule = {"object": "Contact", "field": "Phone", "pattern": r"\+[0-9 ]+", "message": "Téléphone: +…"}
    org.settings(validationRules=[rule])
    answer = org.call("PATCH", f"/sobjects/Contact/{record_id}", {"Phone": "555"})
    entry = {"message": "Téléphone: +…", "errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "fields": ["Phone"]}
    assert (answer.status_code, answer.json()) == (400, [entry])
    assert org.fields(record_id, "Phone") == {"Phone": "+1 555"}


def test_automation_rewrites_what_was_saved():
    """A flow changes the record after the save, as who wrote or as the automated user, and it is journalled."""
    org = Org()
    org.settings(automation={"Contact.Phone": "us_phone"})
    record_id = org.create(Phone="+1 234 567 8901")
    assert org.fields(record_id, "Phone", "LastModifiedById") == {
        "Phone": "(234) 567-8901",
        "LastModifiedById": org.fake.people.api_user_id,
    }
    org.settings(automationUserId=org.fake.people.automated_user_id)
    org.call("PATCH", f"/sobjects/Contact/{record_id}", {"Phone": "2345678902"})
    assert org.fields(record_id, "Phone", "LastModifiedById") == {
        "Phone": "(234) 567-8902",
        "LastModifiedById": org.fake.people.automated_user_id,
    }
    assert [entry["op"] for entry in org.person("GET", "journal")["results"]] == [
        "create",
        "automation",
        "update",
        "automation",
    ]


def test_an_assignment_rule_moves_leads_unless_told_not_to():
    """It runs on creates and updates by default; the header turns it off."""
    org = Org()
    queue = org.fake.people.queue_id
    org.settings(assignmentOwnerId=queue)
    moved = org.create("Lead", LastName="x", Company="y")
    off = {"Sforce-Auto-Assign": "FALSE"}
    kept = org.call("POST", "/sobjects/Lead", {"LastName": "x", "Company": "y"}, headers=off).json()["id"]
    path = f"/sobjects/Lead/{kept}"
    assert org.fields(moved, "OwnerId", kind="Lead") == {"OwnerId": queue}
    assert org.call("PATCH", path, {"Title": "a"}, headers=off).status_code == 204
    assert org.fields(kept, "OwnerId", kind="Lead") == {"OwnerId": org.fake.people.api_user_id}
    org.call("PATCH", path, {"Title": "b"})
    assert org.fields(kept, "OwnerId", kind="Lead") == {"OwnerId": queue}


def test_a_restricted_picklist_takes_only_its_values():
    """Unrestricted ones take anything; a multi-select one is a joined text."""
    org = Org()
    assert org.create(LeadSource="Anything")
    org.person("POST", "fields/options", {"object": "Contact", "name": "LeadSource", "restricted": True})
    answer = org.call("POST", "/sobjects/Contact", {"LastName": "x", "LeadSource": "Anything"})
    entry = {
        "message": "Lead Source: bad value for restricted picklist field: Anything",
        "errorCode": "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        "fields": ["LeadSource"],
    }
    assert answer.json() == [entry]
    tags = {"object": "Contact", "name": "Tags__c", "type": "multipicklist", "options": ["a", "b"], "restricted": True}
    org.person("POST", "fields", tags)
    record_id = org.create(Tags__c="b; a;b")
    assert org.fields(record_id, "Tags__c") == {"Tags__c": "b;a"}
    assert org.names("Tags__c INCLUDES ('a;b')") == ["Lovelace"]


def test_field_level_security_hides_a_field_everywhere():
    """Describe leaves it out, a query of it fails whole, a write names no such column; the value stays."""
    org = Org()
    record_id = org.create(HasOptedOutOfEmail=True)
    org.person("POST", "fields/access", {"object": "Contact", "name": "HasOptedOutOfEmail", "access": "hidden"})
    described = org.call("GET", "/sobjects/Contact/describe").json()["fields"]
    assert "HasOptedOutOfEmail" not in {field["name"] for field in described}
    assert "HasOptedOutOfEmail" not in org.call("GET", f"/sobjects/Contact/{record_id}").json()
    answer = org.ask("SELECT Id, HasOptedOutOfEmail FROM Contact")
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_FIELD")
    answer = org.call("PATCH", f"/sobjects/Contact/{record_id}", {"HasOptedOutOfEmail": False})
    assert answer.json()[0]["message"] == "No such column 'HasOptedOutOfEmail' on sobject of type Contact"
    org.person("POST", "fields/access", {"object": "Contact", "name": "HasOptedOutOfEmail", "access": "visible"})
    assert org.fields(record_id, "HasOptedOutOfEmail") == {"HasOptedOutOfEmail": True}


def test_a_read_only_field_is_read_and_not_written():
    """Field-level security can withhold only the writing."""
    org = Org()
    record_id = org.create(Title="a")
    org.person("POST", "fields/access", {"object": "Contact", "name": "Title", "access": "read_only"})
    answer = org.call("PATCH", f"/sobjects/Contact/{record_id}", {"Title": "b"})
    assert (answer.json()[0]["errorCode"], answer.json()[0]["fields"]) == ("INVALID_FIELD_FOR_INSERT_UPDATE", ["Title"])
    assert org.fields(record_id, "Title") == {"Title": "a"}
    field = next(
        each for each in org.call("GET", "/sobjects/Contact/describe").json()["fields"] if each["name"] == "Title"
    )
    assert (field["createable"], field["updateable"]) == (False, False)


def test_a_removed_field_is_gone_with_its_values():
    """Queries of a field that the admin removed fail, and it comes back empty."""
    org = Org()
    record_id = org.create(ADSapp_Id__c="a")
    org.person("DELETE", "fields/Contact/ADSapp_Id__c")
    assert org.ask("SELECT ADSapp_Id__c FROM Contact").status_code == 400
    assert org.call("PATCH", "/sobjects/Contact/ADSapp_Id__c/a", {"LastName": "x"}).status_code == 404
    body = {"object": "Contact", "name": "ADSapp_Id__c", "length": 80, "externalId": True, "unique": True}
    org.person("POST", "fields", body)
    assert org.fields(record_id, "ADSapp_Id__c") == {"ADSapp_Id__c": None}


def test_a_locked_row_fails_as_often_as_told():
    """The next writes find it locked, then one passes; an account locks the contacts that hang on it."""
    org = Org()
    account = org.create("Account", Name="Acme")
    record_id = org.create(AccountId=account)
    org.person("POST", "locks", {"id": record_id, "times": 2})
    rows = {"records": [{**ROW, "id": record_id, "Title": "x"}]}
    row = org.call("PATCH", "/composite/sobjects", rows).json()[0]
    message = f"unable to obtain exclusive access to this record or 1 records: {record_id}"
    assert row["errors"] == [{"statusCode": "UNABLE_TO_LOCK_ROW", "message": message, "fields": []}]
    answer = org.call("PATCH", f"/sobjects/Contact/{record_id}", {"Title": "x"})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "UNABLE_TO_LOCK_ROW")
    assert org.call("PATCH", "/composite/sobjects", rows).json()[0]["success"] is True
    org.person("POST", "locks", {"id": account})
    answer = org.call("POST", "/sobjects/Contact", {"LastName": "x", "AccountId": account})
    assert answer.json()[0]["message"].endswith(account)
    org.person("DELETE", "locks")
    assert org.create(AccountId=account)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"MailingCountry": "germany"}, ("Germany", "DE", None, None)),
        ({"MailingCountryCode": "US", "MailingState": "Texas"}, ("United States", "US", "Texas", "TX")),
        ({"MailingCountry": "Atlantis", "MailingCountryCode": "FR"}, ("France", "FR", None, None)),
    ],
)
def test_state_and_country_picklists_keep_code_and_text_together(given, stored):
    """Either is enough; on create the code wins."""
    org = Org()
    org.settings(stateCountryPicklists=True)
    record_id = org.create(**given)
    names = ("MailingCountry", "MailingCountryCode", "MailingState", "MailingStateCode")
    assert tuple(org.fields(record_id, *names).values()) == stored


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"MailingCountry": "Atlantis"}, "MailingCountry"),
        ({"MailingCountryCode": "LK"}, "MailingCountryCode"),
        ({"MailingState": "Texas"}, "MailingState"),
        ({"MailingCountryCode": "US", "MailingState": "Bavaria"}, "MailingState"),
        ({"MailingCountry": "Germany", "MailingStateCode": "TX"}, "MailingStateCode"),
    ],
)
def test_an_unknown_country_or_state_is_refused(given, field):
    """The state belongs to the country; a state alone is refused."""
    org = Org()
    org.settings(stateCountryPicklists=True)
    answer = org.call("POST", "/sobjects/Contact", {"LastName": "x", **given})
    (entry,) = answer.json()
    expected = (
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST" if field == "MailingCountryCode" else "FIELD_INTEGRITY_EXCEPTION"
    )
    assert (answer.status_code, entry["errorCode"], entry["fields"]) == (400, expected, [field])
    assert org.names("Id != null") == []


def test_code_and_text_that_disagree_are_refused_on_update():
    """On update neither wins; without the switch the text is free."""
    org = Org()
    free = org.create(MailingCountry="Atlantis")
    org.settings(stateCountryPicklists=True)
    record_id = org.create(MailingCountryCode="DE")
    body = {"MailingCountryCode": "FR", "MailingCountry": "Germany"}
    answer = org.call("PATCH", f"/sobjects/Contact/{record_id}", body)
    assert answer.json()[0]["errorCode"] == "FIELD_INTEGRITY_EXCEPTION"
    assert org.fields(record_id, "MailingCountry") == {"MailingCountry": "Germany"}
    assert org.fields(free, "MailingCountry") == {"MailingCountry": "Atlantis"}
    assert org.call("PATCH", f"/sobjects/Contact/{record_id}", {"MailingCountryCode": "FR"}).status_code == 204
    assert org.fields(record_id, "MailingCountry") == {"MailingCountry": "France"}


def test_a_person_account_is_written_through_its_account():
    """One account and one contact; the contact refuses the app's writes and follows the account's."""
    org = Org()
    org.settings(personAccounts=True)
    account = org.create("Account", LastName="Lovelace", PersonEmail="ada@x.example")
    contact = org.rows("SELECT Id, Email, IsPersonAccount, AccountId FROM Contact")[0]
    assert contact | {"Id": None} == {
        "Id": None,
        "Email": "ada@x.example",
        "IsPersonAccount": True,
        "AccountId": account,
    }
    answer = org.call("PATCH", f"/sobjects/Contact/{contact['Id']}", {"Title": "x"})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_PERSON_ACCOUNT_OPERATION")
    org.call("PATCH", f"/sobjects/Account/{account}", {"PersonEmail": "new@x.example", "PersonTitle": "Countess"})
    assert org.fields(contact["Id"], "Email", "Title") == {"Email": "new@x.example", "Title": "Countess"}
    assert org.fields(account, "Name", "PersonContactId", kind="Account") == {
        "Name": "Lovelace",
        "PersonContactId": contact["Id"],
    }


def test_an_inactive_owner_is_refused():
    """INACTIVE_OWNER_OR_USER names the user."""
    org = Org()
    user = org.person("POST", "users", {"email": "old@acme.example.com", "lastName": "Old"})["id"]
    org.person("PATCH", f"users/{user}", {"isActive": False})
    answer = org.call("POST", "/sobjects/Contact", {"LastName": "x", "OwnerId": user})
    assert answer.json() == [
        {
            "message": f"operation performed with inactive user [{user}] as owner of contact",
            "errorCode": "INACTIVE_OWNER_OR_USER",
            "fields": ["OwnerId"],
        }
    ]


def test_a_person_writes_with_line_breaks_of_the_page():
    """What the page saves has CR LF in text areas and the person as its last modifier; the API keeps what it got."""
    org = Org()
    record_id = org.create(MailingStreet="1 Main\nFlat 2")
    assert org.fields(record_id, "MailingStreet", "MailingAddress")["MailingAddress"]["street"] == "1 Main\nFlat 2"
    org.clock.advance(3)
    org.person("PATCH", f"records/{record_id}", {"fields": {"MailingStreet": "2 Main\nFlat 2"}})
    assert org.fields(record_id, "MailingStreet", "LastModifiedById", "CreatedDate") == {
        "MailingStreet": "2 Main\r\nFlat 2",
        "LastModifiedById": org.fake.people.ui_user_id,
        "CreatedDate": NOW,
    }
