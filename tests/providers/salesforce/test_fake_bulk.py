"""Bulk API 2.0: jobs, their states, and CSV in and out."""

from __future__ import annotations

import csv
import io

import pytest

from crm.providers.salesforce.fake.limits import LimitSizes
from tests.providers.salesforce.fake_org import EXTERNAL_ID, Org


def table(answer):
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


def ingest(org, operation, text, **more):
    job = org.call("POST", "/jobs/ingest", {"object": "Contact", "operation": operation, "contentType": "CSV", **more})
    assert job.status_code == 200, job.text
    path = f"/jobs/ingest/{job.json()['id']}"
    assert (
        org.call("PUT", f"{path}/batches", data=text.encode(), headers={"Content-Type": "text/csv"}).status_code == 201
    )
    assert org.call("PATCH", path, {"state": "UploadComplete"}).json()["state"] == "UploadComplete"
    return path


def test_an_ingest_job_writes_its_rows_and_reports_the_bad_ones():
    """A bad row fails alone; results carry sf__Id, sf__Created and sf__Error with the row as it was sent."""
    org = Org()
    path = ingest(org, "insert", 'LastName,FirstName,Email\nAdams,"Ada ""A""",a@x.example\n,Bob,\nClark,,badone\n')
    job = org.call("GET", path).json()
    assert (job["state"], job["numberRecordsProcessed"], job["numberRecordsFailed"]) == ("JobComplete", 3, 2)
    (good,) = table(org.call("GET", f"{path}/successfulResults"))
    assert (good["sf__Created"], good["LastName"], good["FirstName"]) == ("true", "Adams", 'Ada "A"')
    assert org.fields(good["sf__Id"], "Email") == {"Email": "a@x.example"}
    bad = table(org.call("GET", f"{path}/failedResults"))
    assert [row["sf__Error"] for row in bad] == [
        "REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName",
        "INVALID_EMAIL_ADDRESS:Email: invalid email address: badone:Email",
    ]
    assert table(org.call("GET", f"{path}/unprocessedrecords")) == []


def test_the_days_jobs_and_batches_are_counted_and_refused_for_a_rolling_day():
    """Query jobs count themselves, ingest jobs their batches of 10,000 rows; what is used up comes back."""
    org = Org(limits="real", limit_sizes=LimitSizes(query_jobs=2, bulk_batches=3))
    query = {"operation": "query", "query": "SELECT Id FROM Contact"}
    rows = "LastName\n" + "x\n" * 20_001

    def left():
        told = org.call("GET", "/limits").json()
        return [told[name]["Remaining"] for name in ("DailyBulkV2QueryJobs", "DailyBulkApiBatches")]

    assert [org.call("POST", "/jobs/query", query).status_code for _ in range(3)] == [200, 200, 400]
    assert left() == [0, 3]
    ingest(org, "insert", rows)
    refused = org.call("POST", "/jobs/ingest", {"object": "Contact", "operation": "insert", "contentType": "CSV"})
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, "LIMIT_EXCEEDED")
    assert left() == [0, 0]
    org.fake.clock.advance(86_400 + 60)
    assert left() == [2, 3]
    assert org.call("POST", "/jobs/query", query).status_code == 200


def test_upsert_update_and_delete_go_by_their_key():
    """An empty cell is left alone and #N/A clears; an upsert says what it created."""
    org = Org()
    first = org.create(**{EXTERNAL_ID: "a"}, Title="t", Department="d")
    rows = f"{EXTERNAL_ID},LastName,Title,Department\na,New,#N/A,\nb,Other,x,\n"
    path = ingest(org, "upsert", rows, externalIdFieldName=EXTERNAL_ID)
    assert org.call("GET", path).json()["state"] == "JobComplete"
    found = table(org.call("GET", f"{path}/successfulResults"))
    assert [(row["sf__Created"], row["LastName"]) for row in found] == [("false", "New"), ("true", "Other")]
    assert org.fields(first, "LastName", "Title", "Department") == {"LastName": "New", "Title": None, "Department": "d"}
    org.call("GET", ingest(org, "update", f"Id,Title\n{first},boss\n003000000000000AAA,x\n"))
    assert org.fields(first, "Title") == {"Title": "boss"}
    org.call("GET", ingest(org, "delete", f"Id\n{first}\n"))
    assert org.rows("SELECT Id FROM Contact WHERE IsDeleted = true", "queryAll") == [{"Id": first}]
    org.call("GET", ingest(org, "hardDelete", f"Id\n{found[1]['sf__Id']}\n"))
    assert org.rows("SELECT Id FROM Contact", "queryAll") == [{"Id": first}]


def test_a_job_is_under_way_for_as_long_as_set():
    """UploadComplete, InProgress, JobComplete; nothing is written before it is done."""
    org = Org()
    org.settings(bulkSeconds=30)
    path = ingest(org, "insert", "LastName\nx\n")
    assert org.call("GET", path).json()["state"] == "InProgress"
    assert org.names("Id != null") == []
    org.clock.advance(30)
    assert org.call("GET", path).json()["state"] == "JobComplete"
    assert org.names("Id != null") == ["x"]


def test_a_job_with_an_unknown_column_fails_whole():
    """Nothing is written, and errorMessage names the column."""
    org = Org()
    job = org.call("GET", ingest(org, "insert", "LastName,Nope__c\nx,y\n")).json()
    assert (job["state"], job["errorMessage"]) == ("Failed", "InvalidBatch : Field name not found : Nope__c")
    assert org.names("Id != null") == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"object": "Nope", "operation": "insert"}, "INVALIDENTITY"),
        ({"object": "Contact", "operation": "replace"}, "INVALIDJOB"),
        ({"object": "Contact", "operation": "upsert", "externalIdFieldName": "Title"}, "INVALIDJOB"),
        ({"object": "Contact", "operation": "insert", "columnDelimiter": "DOT"}, "INVALIDJOB"),
    ],
)
def test_a_bad_job_is_not_made(body, code):
    """Unknown objects, operations and keys are refused."""
    answer = Org().call("POST", "/jobs/ingest", body)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)


def test_a_job_moves_only_forward():
    """Data once, no reopening, no deletion while it is open."""
    org = Org()
    path = ingest(org, "insert", "LastName\nx\n")
    again = org.call("PUT", f"{path}/batches", data=b"LastName\ny\n", headers={"Content-Type": "text/csv"})
    assert again.json()[0]["errorCode"] == "INVALIDJOBSTATE"
    assert org.call("DELETE", path).status_code == 400
    assert org.call("PATCH", path, {"state": "Aborted"}).json()["state"] == "Aborted"
    assert org.call("PATCH", path, {"state": "UploadComplete"}).status_code == 400
    assert org.call("DELETE", path).status_code == 204
    assert org.call("GET", path).status_code == 404
    assert org.names("Id != null") == []


def test_a_query_job_gives_pages_of_csv():
    """Locator and count come as headers, ``null`` at the end; stamps end in Z; deleted rows with queryAll."""
    org = Org()
    account = org.create("Account", Name="Acme")
    for number in range(5):
        org.create(LastName=f"P{number}", AccountId=account if number == 0 else None)
    gone = org.create(LastName="Gone")
    org.call("DELETE", f"/sobjects/Contact/{gone}")
    soql = "SELECT Id, LastName, DoNotCall, Account.Name, SystemModstamp FROM Contact ORDER BY LastName"
    job = org.call("POST", "/jobs/query", {"operation": "queryAll", "query": soql}).json()
    path = f"/jobs/query/{job['id']}"
    assert org.call("GET", path).json()["state"] == "JobComplete"
    first = org.call("GET", f"{path}/results?maxRecords=4")
    assert (first.headers["Sforce-NumberOfRecords"], first.headers["Sforce-Locator"]) == ("4", "4")
    second = org.call("GET", f"{path}/results?maxRecords=4&locator=4")
    assert (second.headers["Sforce-NumberOfRecords"], second.headers["Sforce-Locator"]) == ("2", "null")
    for bad in ("maxRecords=many", "maxRecords=0", "locator=x", "locator=7"):
        assert org.call("GET", f"{path}/results?{bad}").status_code == 400
    rows = table(first) + table(second)
    assert [row["LastName"] for row in rows] == ["Gone", "P0", "P1", "P2", "P3", "P4"]
    assert (rows[1]["Account.Name"], rows[2]["Account.Name"], rows[1]["DoNotCall"]) == ("Acme", "", "false")
    assert rows[1]["SystemModstamp"] == "2026-09-21T14:13:20.000Z"


def test_a_bad_query_job_is_refused_at_once():
    """Unknown fields and aggregates never become jobs."""
    org = Org()
    for soql, code in (
        ("SELECT Nope FROM Contact", "INVALID_FIELD"),
        ("SELECT COUNT() FROM Contact", "API_ERROR"),
        ("", "MALFORMED_QUERY"),
    ):
        answer = org.call("POST", "/jobs/query", {"operation": "query", "query": soql})
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)
