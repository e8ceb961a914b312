"""Salesforce's addresses as the fake counts them, and people to send."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.providers.salesforce.stand import START_MS

FIELDS = ("FirstName", "LastName", "Email", "Account.Name", "HasOptedOutOfEmail")
BASE = "/services/data/{version}"
QUERY = f"GET {BASE}/query"
ALL = f"GET {BASE}/queryAll"
MORE = f"GET {BASE}/queryAll/{{locator}}"
COMPOSITE = f"POST {BASE}/composite"
DESCRIBE = f"GET {BASE}/sobjects/Contact/describe"
CREATE = f"POST {BASE}/composite/sobjects"
UPDATE = f"PATCH {BASE}/composite/sobjects"
UPSERT = f"PATCH {BASE}/composite/sobjects/Contact/{{field}}"
DELETE = f"DELETE {BASE}/composite/sobjects"
STARTED = datetime.fromtimestamp(START_MS // 1000, UTC)


def walked(step):
    records, after = [], None
    while True:
        page = step(after)
        records += page.records
        after = page.next
        if after is None:
            return records


def people(count: int, **more):
    return [{"LastName": f"P{n}", "Email": f"p{n}@example.com", **more} for n in range(count)]


def pages_of(step):
    after = None
    while True:
        page = step(after)
        yield page
        after = page.next
        if after is None:
            return
