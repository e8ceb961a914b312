"""The back door, the limits, the faults and the disk."""

from __future__ import annotations

import json

import pytest
import requests

from crm.fakes import FAKES
from crm.providers.salesforce.fake import DEFAULT_TOKEN, SalesforceFake
from crm.providers.salesforce.fake.limits import LimitSizes
from tests.providers.salesforce.fake_org import BASE, DATA, EXTERNAL_ID, Org


def test_the_allocation_is_told_refused_when_used_up_and_rolls_on():
    """Sforce-Limit-Info on 200 and 201 only; 403 when exhausted; a day later the old calls are forgotten."""
    org = Org(limits="real", limit_sizes=LimitSizes(daily=3))
    record_id = org.create()
    answer = org.call("GET", "/limits")
    assert answer.headers["Sforce-Limit-Info"] == "api-usage=2/3"
    assert answer.json()["DailyApiRequests"] == {"Max": 3, "Remaining": 1}
    assert "Sforce-Limit-Info" not in org.call("PATCH", f"/sobjects/Contact/{record_id}", {"Title": "x"}).headers
    refused = org.call("PATCH", f"/sobjects/Contact/{record_id}", {"Title": "y"})
    body = [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
    assert (refused.status_code, refused.json()) == (403, body)
    assert org.person("GET", "stats")["limitViolations"] == {"DailyApiRequests": 1}
    org.clock.advance(86_460)
    assert org.fields(record_id, "Title") == {"Title": "x"}


def test_counting_mode_counts_and_lets_pass():
    """What would have been refused, and more than a hundred in a second, is counted."""
    org = Org(limits="count", limit_sizes=LimitSizes(daily=100))
    for _ in range(120):
        assert org.call("GET", "/limits").status_code == 200
    stats = org.person("GET", "stats")
    assert stats["limitViolations"] == {"DailyApiRequests": 20, "PolitePerSecond": 20}
    assert stats["mostRequestsInOneSecond"] == 120


def test_others_share_the_allocation():
    """The admin can set what is already used; without limits it is told and not refused."""
    org = Org()
    org.settings(dailyLimit=15_000, apiUsage=14_999)
    assert org.call("GET", "/limits").headers["Sforce-Limit-Info"] == "api-usage=15000/15000"
    assert org.call("GET", "/limits").status_code == 200


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"kind": "rate_limited"}, 403, "REQUEST_LIMIT_EXCEEDED"),
        ({"kind": "unauthorized"}, 401, "INVALID_SESSION_ID"),
        ({"kind": "locked"}, 400, "UNABLE_TO_LOCK_ROW"),
        ({"kind": "moving"}, 503, "SERVER_UNAVAILABLE"),
    ],
)
def test_faults_speak_salesforces_words(fault, status, code):
    """Nothing is done, and the next call passes."""
    org = Org()
    org.person("POST", "faults", {**fault, "times": 1})
    answer = org.call("POST", "/sobjects/Contact", {"LastName": "x"})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (status, code)
    assert org.names("Id != null") == []
    assert org.create()


def test_the_concurrency_limit_has_words_of_its_own():
    """The same code, another message."""
    org = Org()
    org.person("POST", "faults", {"kind": "rate_limited", "policy": "ConcurrentRequests", "times": 1})
    message = "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
    assert org.call("GET", "/limits").json()[0]["message"] == message


def test_an_answer_lost_after_the_write_leaves_the_write():
    """drop_after carries the call out; server_error does not and shows a page."""
    org = Org()
    org.person(
        "POST", "faults", [{"kind": "drop_after", "times": 1}, {"kind": "server_error", "status": 503, "times": 1}]
    )
    with pytest.raises(requests.ConnectionError):
        org.create(LastName="Lost")
    answer = org.call("POST", "/sobjects/Contact", {"LastName": "x"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert org.names("Id != null") == ["Lost"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("settings", {"nonsense": 1}),
        ("settings", {"limits": "some"}),
        ("settings", {"maxPage": 0}),
        ("settings", {"automation": {"Contact.Phone": "rot13"}}),
        ("settings", {"duplicateRules": [{"object": "Contact"}]}),
        ("settings", {"validationRules": [{"object": "Contact", "field": "Phone", "message": "x", "pattern": "("}]}),
        ("settings", {"assignmentOwnerId": "005000000000000AAA"}),
        ("fields", {"object": "Contact", "name": "NoSuffix"}),
        ("fields", {"object": "Nope", "name": "A__c"}),
        ("fields", {"object": "Contact", "name": "A__c", "type": "boolean", "externalId": True}),
        ("fields", {"object": "Contact", "name": "A__c", "length": 256}),
        ("fields/access", {"object": "Contact", "name": "Title", "access": "secret"}),
        ("faults", {"kind": "gremlins"}),
        ("outbound", {"targetUrl": "http://x", "fields": {"Contact": ["Nope"]}}),
        ("records", {"object": "Contact", "fields": {"LastName": "x"}, "at": "yesterday"}),
        ("records", {"object": "Contact", "fields": {"LastName": "x"}, "userId": "005"}),
        ("bulk", {"object": "Contact", "records": [{"LastName": "x"}, {}]}),
        ("clock", {"freeze": "noon"}),
    ],
)
def test_a_bad_switch_is_refused_and_changes_nothing(path, body):
    """400 says what is wrong; settings, fields and records stay as they were."""
    org = Org()
    before = org.person("GET", "settings"), org.person("GET", "fields"), org.person("GET", "records")
    answer = org.session.post(f"{BASE}/_fake/{path}", json=body)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "FAKE_BAD_INPUT")
    assert before == (org.person("GET", "settings"), org.person("GET", "fields"), org.person("GET", "records"))


def test_another_sites_page_cannot_use_the_back_door():
    """A browser tells its origin; writes from another one are refused."""
    org = Org()
    answer = org.session.post(f"{BASE}/_fake/purge", json={}, headers={"Origin": "https://evil.example.com"})
    assert answer.status_code == 403


def test_the_journal_and_the_counts_tell_apps_from_people():
    """Writes of people are in the journal and not among the app's."""
    org = Org()
    record_id = org.create(Title="a")
    org.person("PATCH", f"records/{record_id}", {"fields": {"Title": "b"}})
    org.call("PATCH", f"/sobjects/Contact/{record_id}", {"Title": "b"})
    stats = org.person("GET", "stats")
    assert (stats["writes"], stats["noopWrites"], stats["writesByKind"]) == (2, 1, {"create": 1})
    journal = org.person("GET", "journal?after=1")["results"]
    assert [(each["seq"], each["op"], each["actor"]["source"], each["noop"]) for each in journal] == [
        (2, "update", "ui", False),
        (3, "update", "api", True),
    ]
    assert journal[0]["changes"] == {"Title": ["a", "b"]}
    org.person("POST", "stats/reset")
    assert org.person("GET", "stats")["totalRequests"] == 0


def test_people_edit_records_on_pages():
    """The list shows values escaped; the form saves, refuses, deletes, takes back, merges and converts."""
    org = Org()
    record_id = org.create(LastName="<b>Ada</b>", Title="ä")
    page = org.session.get(f"{BASE}/_fake/pages/Contact?q=ada")
    assert (record_id in page.text, "<b>Ada</b>" in page.text, "&lt;b&gt;Ada" in page.text) == (True, False, True)
    where = f"{BASE}/_fake/pages/Contact/{record_id}"
    assert org.session.post(where, data={"do": "save", "Title": "boss", "LastName": "Ada"}).status_code == 200
    refused = org.session.post(where, data={"do": "save", "LastName": ""})
    assert (refused.status_code, "REQUIRED_FIELD_MISSING" in refused.text) == (400, True)
    assert org.fields(record_id, "Title", "LastName") == {"Title": "boss", "LastName": "Ada"}
    org.session.post(where, data={"do": "delete"})
    assert org.names("Id != null") == []
    org.session.post(where, data={"do": "undelete"})
    other = org.create(LastName="Other")
    org.session.post(where, data={"do": "merge", "loserId": other})
    assert org.names("Id != null") == ["Ada"]
    lead = org.create("Lead", LastName="Turing", Company="Acme")
    converted = org.session.post(f"{BASE}/_fake/pages/Lead/{lead}", data={"do": "convert"})
    assert "/_fake/pages/Contact/" in converted.url
    assert org.session.post(f"{BASE}/_fake/pages/Contact", data={"LastName": "New"}).status_code == 200
    assert org.session.get(f"{BASE}/_fake/").url.endswith("/_fake/pages/Contact")


def test_the_org_survives_on_disk(tmp_path):
    """Records, the recycle bin, custom fields, security, rules, tokens and ids are there after a restart."""
    path = tmp_path / "org.jsonl"
    org = Org(data_path=path)
    kept, gone = org.create(**{EXTERNAL_ID: "a"}, Birthdate="1990-02-28"), org.create()
    org.call("DELETE", f"/sobjects/Contact/{gone}")
    org.person("POST", "fields", {"object": "Lead", "name": "Code__c", "length": 20, "unique": True})
    org.person("POST", "fields/access", {"object": "Contact", "name": "Fax", "access": "hidden"})
    org.settings(
        stateCountryPicklists=True, automation={"Contact.Phone": "digits"}, redirectUris=["https://a.example/"]
    )
    token = org.person("POST", "tokens", {})["token"]
    records = org.person("GET", "records")
    org.fake.close()
    with path.open("a", encoding="utf-8") as file:
        file.write('{"record": ["Contact", "003')
    again = Org(data_path=path)
    assert again.person("GET", "records") == records
    assert again.rows("SELECT Id FROM Contact WHERE IsDeleted = true", "queryAll") == [{"Id": gone}]
    assert (
        again.call("PATCH", f"/sobjects/Contact/{EXTERNAL_ID}/a", {"LastName": "x"}, token=token).json()["id"] == kept
    )
    described = again.call("GET", "/sobjects/Contact/describe").json()["fields"]
    assert {"MailingCountryCode", EXTERNAL_ID} <= {field["name"] for field in described}
    assert again.ask("SELECT Fax FROM Contact").status_code == 400
    found = again.person("GET", "settings")
    assert (found["automation"], found["redirectUris"]) == ({"Contact.Phone": "digits"}, ["https://a.example/"])
    assert again.create(LastName="New") > gone
    assert [each["op"] for each in again.person("GET", "journal")["results"]] == [
        "create",
        "create",
        "delete",
        "update",
        "create",
    ]
    again.fake.close()


def test_a_file_of_another_kind_is_refused(tmp_path):
    """The file is left as it is."""
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"format": "hubspot-fake", "version": 1}) + "\n")
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"other\.json is not a file of this fake"):
        SalesforceFake(data_path=path)
    assert path.read_bytes() == before


def test_the_fake_is_found_by_its_provider():
    """The options that every fake takes by keyword, and a ready session."""
    fake = FAKES["salesforce"](seed=3, token="t", limits="real", search_lag_seconds=2.0, data_path=None)
    assert isinstance(fake, SalesforceFake)
    assert (fake.late_seconds, fake.grants.live("t").user_id) == (2.0, fake.people.api_user_id)
    assert DEFAULT_TOKEN.startswith(fake.people.org_id[:15] + "!")


def test_two_runs_of_one_seed_are_the_same():
    """Ids and stamps follow from the seed and the clock."""
    runs = []
    for _ in range(2):
        org = Org(seed=7)
        org.person("POST", "bulk", {"records": [{"LastName": f"P{number}"} for number in range(20)]})
        runs.append(org.ask("SELECT Id, SystemModstamp FROM Contact").json())
    assert runs[0] == runs[1]
    assert Org(seed=8).create() != Org(seed=7).create()


def test_an_unknown_path_is_a_json_404():
    """As Salesforce answers it, and not counted as a request of a known kind."""
    org = Org()
    answer = org.call("GET", f"{DATA}/nothing/here/at/all/x")
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (404, "NOT_FOUND")
