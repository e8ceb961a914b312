"""Merges, lead conversion, the recycle bin."""

from __future__ import annotations

from tests.providers.salesforce.fake_org import NOW, Org


def test_a_merge_leaves_the_loser_in_the_bin_with_its_master():
    """The loser points at the winner and moves its stamp; getDeleted shows it as a plain deletion; children follow."""
    org = Org()
    master, loser = org.create(Email="a@x.example"), org.create(Email="b@x.example", Title="boss")
    task = org.create("Task", Subject="Call", WhoId=loser)
    org.clock.advance(90)
    org.person("POST", "merge", {"masterId": master, "ids": [loser], "fields": {"Title": "boss"}})
    soql = "SELECT Id, IsDeleted, MasterRecordId, SystemModstamp FROM Contact WHERE MasterRecordId != null"
    moved = "2026-09-21T14:14:50.000+0000"
    assert org.rows(soql, "queryAll") == [
        {"Id": loser, "IsDeleted": True, "MasterRecordId": master, "SystemModstamp": moved}
    ]
    assert org.fields(master, "Title", "Email", "LastModifiedById", "SystemModstamp") == {
        "Title": "boss",
        "Email": "a@x.example",
        "LastModifiedById": org.fake.people.ui_user_id,
        "SystemModstamp": moved,
    }
    assert org.fields(task, "WhoId", kind="Task") == {"WhoId": master}
    window = {"start": "2026-09-21T14:13:00Z", "end": "2026-09-21T14:16:00Z"}
    deleted = org.call("GET", "/sobjects/Contact/deleted", params=window).json()["deletedRecords"]
    assert [each["id"] for each in deleted] == [loser]
    answer = org.call("PATCH", f"/sobjects/Contact/{loser}", {"Title": "x"})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (404, "ENTITY_IS_DELETED")


def test_a_bad_merge_changes_nothing():
    """Another type, a record with itself, and more than two losers are refused."""
    org = Org()
    master = org.create()
    account = org.create("Account", Name="x")
    for body in (
        {"masterId": master, "ids": [master]},
        {"masterId": master, "ids": [account]},
        {"masterId": master, "ids": []},
    ):
        answer = org.session.post("https://acme.my.salesforce.com/_fake/merge", json=body)
        assert answer.status_code == 400, answer.text
    assert org.rows("SELECT Id FROM Contact WHERE IsDeleted = true", "queryAll") == []


def test_a_converted_lead_becomes_a_contact_and_cannot_be_written():
    """The lead stays readable with its Converted ids; its tasks follow; a write is refused in both error shapes."""
    org = Org()
    lead = org.create("Lead", LastName="Turing", Company="Acme", Email="alan@x.example", Street="1 Main", City="London")
    task = org.create("Task", Subject="Call", WhoId=lead)
    made = org.person("POST", "convert", {"leadId": lead, "opportunity": True})
    names = ("IsConverted", "Status", "ConvertedContactId", "ConvertedDate")
    assert org.fields(lead, *names, kind="Lead") == {
        "IsConverted": True,
        "Status": "Closed - Converted",
        "ConvertedContactId": made["ConvertedContactId"],
        "ConvertedDate": NOW[:10],
    }
    contact = org.rows("SELECT Id, LastName, Email, MailingCity, Account.Name FROM Contact")[0]
    assert (contact["Id"], contact["MailingCity"]) == (made["ConvertedContactId"], "London")
    assert contact["Account"]["Name"] == "Acme"
    assert org.fields(task, "WhoId", kind="Task") == {"WhoId": contact["Id"]}
    assert org.rows("SELECT ContactId FROM OpportunityContactRole") == [{"ContactId": contact["Id"]}]
    answer = org.call("PATCH", f"/sobjects/Lead/{lead}", {"Title": "x"})
    error = ("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
    assert (answer.status_code, answer.json()) == (400, [{"message": error[1], "errorCode": error[0], "fields": []}])
    row = {"attributes": {"type": "Lead"}, "id": lead, "Title": "x"}
    failed = org.call("PATCH", "/composite/sobjects", {"records": [row]}).json()[0]
    assert failed["errors"] == [{"statusCode": error[0], "message": error[1], "fields": []}]


def test_an_undeleted_record_keeps_its_id_and_gets_a_new_stamp():
    """It is back in query, with IsDeleted false."""
    org = Org()
    record_id = org.create()
    org.call("DELETE", f"/sobjects/Contact/{record_id}")
    org.clock.advance(30)
    org.person("POST", "undelete", {"id": record_id})
    assert org.rows("SELECT Id, IsDeleted, SystemModstamp FROM Contact") == [
        {"Id": record_id, "IsDeleted": False, "SystemModstamp": "2026-09-21T14:13:50.000+0000"}
    ]


def test_a_purged_record_is_nowhere():
    """Out of the recycle bin it is in queryAll no more, and a write finds nothing."""
    org = Org()
    record_id = org.create()
    org.call("DELETE", f"/sobjects/Contact/{record_id}")
    assert org.person("POST", "purge", {}) == {"purged": 1}
    assert org.rows("SELECT Id FROM Contact", "queryAll") == []
    answer = org.call("PATCH", f"/sobjects/Contact/{record_id}", {"Title": "x"})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (404, "NOT_FOUND")
