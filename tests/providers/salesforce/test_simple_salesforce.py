"""Another maker's client in a realistic session: what ``simple-salesforce`` must observe of Salesforce, of the fake.

It speaks https only, so an adapter carries its calls to the fake's plain port.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce, format_soql
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceOperationError,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)

from crm.providers.salesforce.fake import DEFAULT_TOKEN, SalesforceFake
from crm.providers.salesforce.fake.limits import LimitSizes
from crm.testing.clock import FakeClock
from crm.testing.wsgi import LoopbackServer
from tests.providers.salesforce.fake_org import EXTERNAL_ID, NOW, NOW_MS

HOST = "acme.my.salesforce.com"


class PlainAdapter(HTTPAdapter):
    """Carries https calls for one host to a plain server."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        assert request.url is not None
        request.url = request.url.replace(f"https://{HOST}", self.url, 1)
        return super().send(request, *args, **kwargs)


@pytest.fixture
def fake() -> SalesforceFake:
    return SalesforceFake(
        clock=FakeClock(start_ms=NOW_MS),
        limits="real",
        limit_sizes=LimitSizes(daily=1_000),
        external_id_fields=[f"Contact.{EXTERNAL_ID}"],
    )


@pytest.fixture
def connect(fake: SalesforceFake) -> Iterator[Any]:
    """Makes clients of the one org, each with the token given."""
    with LoopbackServer(fake) as server, requests.Session() as session:
        session.mount(f"https://{HOST}", PlainAdapter(server.url))

        def made(token: str = DEFAULT_TOKEN) -> Salesforce:
            return Salesforce(instance=HOST, session_id=token, session=session)

        yield made


@pytest.fixture
def sf(connect: Any) -> Salesforce:
    found: Salesforce = connect()
    return found


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_contact_is_created_read_changed_and_deleted(sf):
    """The client's CRUD methods return what its documentation promises."""
    made = sf.Contact.create({"LastName": "Lovelace", "Email": "ada@x.example"})
    assert (made["success"], made["errors"]) == (True, [])
    record_id = made["id"]
    found = sf.Contact.get(record_id)
    assert (found["LastName"], found["Email"], found["SystemModstamp"]) == ("Lovelace", "ada@x.example", NOW)
    assert sf.Contact.update(record_id, {"Title": "Countess"}) == 204
    assert sf.Contact.get(record_id[:15])["Title"] == "Countess"
    assert sf.Contact.delete(record_id) == 204
    with pytest.raises(SalesforceResourceNotFound) as gone:
        sf.Contact.get(record_id)
    assert gone.value.content == [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}]


def test_a_contact_is_upserted_by_external_id(sf):
    """201 creates, 200 updates, and the record is read by the same key."""
    assert sf.Contact.upsert(f"{EXTERNAL_ID}/a-1", {"LastName": "One"}) == 201
    assert sf.Contact.upsert(f"{EXTERNAL_ID}/a-1", {"LastName": "Two"}) == 200
    assert sf.Contact.get_by_custom_id(EXTERNAL_ID, "a-1")["LastName"] == "Two"


def test_queries_page_escape_and_include_the_deleted(sf, fake):
    """query stops at a page, query_all follows every locator, include_deleted goes to queryAll."""
    fake.query.max_page = 2
    names = ["Adams", "O'Neil", "Brown", "Clark", "Dean"]
    made = [sf.Contact.create({"LastName": name})["id"] for name in names]
    sf.Contact.delete(made[-1])
    first = sf.query("SELECT Id, LastName FROM Contact ORDER BY Id")
    assert (first["totalSize"], first["done"], len(first["records"])) == (4, False, 2)
    second = sf.query_more(first["nextRecordsUrl"], identifier_is_url=True)
    assert [row["LastName"] for row in second["records"]] == ["Brown", "Clark"]
    everyone = sf.query_all("SELECT LastName FROM Contact ORDER BY Id")
    assert (everyone["done"], [row["LastName"] for row in everyone["records"]]) == (True, names[:-1])
    soql = "SELECT LastName, IsDeleted FROM Contact WHERE IsDeleted = true"
    assert [row["LastName"] for row in sf.query_all_iter(soql, include_deleted=True)] == ["Dean"]
    found = sf.query(format_soql("SELECT Id FROM Contact WHERE LastName = {}", "O'Neil"))
    assert [row["Id"] for row in found["records"]] == [made[1]]
    moment = datetime(2026, 9, 21, 14, 0, tzinfo=UTC)
    assert sf.query(format_soql("SELECT COUNT() FROM Contact WHERE CreatedDate > {}", moment))["totalSize"] == 4
    assert sf.is_sandbox() is False


def test_the_schema_is_described(sf):
    """describe of the org and of an object, and the basic information with its recent items."""
    described = sf.describe()
    assert {"Contact", "Lead", "Account", "Opportunity", "Task", "Note", "ContentNote"} <= {
        each["name"] for each in described["sobjects"]
    }
    assert described["maxBatchSize"] == 200
    contact = sf.Contact.describe()
    fields = {field["name"]: field for field in contact["fields"]}
    assert (contact["keyPrefix"], fields["Email"]["length"], fields[EXTERNAL_ID]["externalId"]) == ("003", 80, True)
    assert sf.Contact.metadata()["objectDescribe"]["name"] == "Contact"


def test_what_changed_and_went_is_listed(sf, fake):
    """updated and deleted take the client's own way of writing times."""
    kept, gone = (sf.Contact.create({"LastName": name})["id"] for name in ("Kept", "Gone"))
    sf.Contact.delete(gone)
    fake.clock.advance(120)
    window = datetime(2026, 9, 21, 14, 0, tzinfo=UTC), datetime(2026, 9, 21, 14, 15, tzinfo=UTC)
    assert sf.Contact.updated(*window)["ids"] == [kept]
    assert [row["id"] for row in sf.Contact.deleted(*window)["deletedRecords"]] == [gone]


def test_usage_and_limits_are_told(sf):
    """The client reads the header of each answer."""
    sf.query("SELECT Id FROM Contact")
    usage = sf.api_usage["api-usage"]
    assert (usage.used, usage.total) == (1, 1_000)
    assert sf.limits()["DailyApiRequests"] == {"Max": 1_000, "Remaining": 998}


def test_bulk2_loads_and_extracts(sf):
    """Insert, upsert, update and delete jobs with their results; query jobs page by page."""
    people = [{"LastName": f"P{number}", EXTERNAL_ID: f"x{number}"} for number in range(25)]
    (done,) = sf.bulk2.Contact.insert(records=[*people, {"LastName": "", EXTERNAL_ID: "bad"}], wait=0)
    assert {name: count for name, count in done.items() if name != "job_id"} == {
        "numberRecordsFailed": 1,
        "numberRecordsProcessed": 26,
        "numberRecordsTotal": 26,
    }
    results = sf.bulk2.Contact.get_all_ingest_records(done["job_id"])
    assert len(results["successfulRecords"]) == 25
    assert results["failedRecords"][0]["sf__Error"].startswith("REQUIRED_FIELD_MISSING:")
    assert results["unprocessedRecords"] == []
    (done,) = sf.bulk2.Contact.upsert(
        records=[{EXTERNAL_ID: "x0", "LastName": "Zero"}, {EXTERNAL_ID: "new", "LastName": "New"}],
        external_id_field=EXTERNAL_ID,
        wait=0,
    )
    created = [row["sf__Created"] for row in table(sf.bulk2.Contact.get_successful_records(done["job_id"]))]
    assert created == ["false", "true"]
    pages = list(sf.bulk2.Contact.query("SELECT Id, LastName FROM Contact ORDER BY Id", max_records=10, wait=0))
    rows = [row for page in pages for row in table(page)]
    assert ([len(table(page)) for page in pages], rows[0]["LastName"]) == ([10, 10, 6], "Zero")
    sf.bulk2.Contact.delete(records=[{"Id": row["Id"]} for row in rows[:20]], wait=0)
    assert sf.query("SELECT COUNT() FROM Contact")["totalSize"] == 6
    (text,) = sf.bulk2.Contact.query_all("SELECT Id FROM Contact WHERE IsDeleted = true", wait=0)
    assert len(table(text)) == 20
    with pytest.raises(SalesforceOperationError, match="Field name not found : Nope__c"):
        sf.bulk2.Contact.insert(records=[{"LastName": "x", "Nope__c": "y"}], wait=0)


def test_collections_go_through_the_clients_raw_door(sf):
    """restful reaches what the client has no method for."""
    records = [{"attributes": {"type": "Contact"}, "LastName": "x"}, {"attributes": {"type": "Contact"}}]
    body = {"allOrNone": False, "records": records}
    made, failed = sf.restful("composite/sobjects", method="POST", json=body)
    assert (made["success"], failed["errors"][0]["statusCode"]) == (True, "REQUIRED_FIELD_MISSING")


def test_each_refusal_is_the_clients_exception(sf, connect, fake):
    """300, 400, 401, 403 and 404 become its classes with Salesforce's body as content."""
    with pytest.raises(SalesforceMalformedRequest) as malformed:
        sf.query("SELECT Nope FROM Contact")
    assert malformed.value.content[0]["errorCode"] == "INVALID_FIELD"
    with pytest.raises(SalesforceMalformedRequest) as malformed:
        sf.Contact.create({"FirstName": "x"})
    assert malformed.value.content[0]["fields"] == ["LastName"]
    pair = [sf.Contact.create({"LastName": "x", "Email": "a@b.example"})["id"] for _ in range(2)]
    with pytest.raises(SalesforceMoreThanOneRecord) as several:
        sf.Contact.get_by_custom_id("Email", "a@b.example")
    assert [url.rpartition("/")[2] for url in several.value.content] == pair
    with pytest.raises(SalesforceExpiredSession) as expired:
        connect("expired").query("SELECT Id FROM Contact")
    assert expired.value.content == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
    fake.limits.use(1_000)
    with pytest.raises(SalesforceRefusedRequest) as exhausted:
        sf.query("SELECT Id FROM Contact")
    assert exhausted.value.content[0]["errorCode"] == "REQUEST_LIMIT_EXCEEDED"
