"""What the connector really sends, against Pipedrive's own OpenAPI documents where their folder is present."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import requests.adapters

from crm.http.redact import Secret
from crm.http.transport import CheckedAdapter
from crm.ports import CreateItem, UpdateItem
from tests.providers.pipedrive.openapi import VARIABLE, Document, folder
from tests.providers.pipedrive.stand import PipedriveStand

pytestmark = pytest.mark.skipif(
    folder() is None, reason=f"{VARIABLE} names no folder with Pipedrive's OpenAPI documents"
)
_UNDOCUMENTED = {"first_name", "last_name"}
"""The migration guide has them, the schema does not."""


class Recorder(CheckedAdapter):
    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, str, dict[str, str], Any]] = []

    def send(self, request: Any, **options: Any) -> Any:
        parts = urlsplit(request.url)
        body = json.loads(request.body) if request.body else None
        self.sent.append((request.method, parts.path, dict(parse_qsl(parts.query)), body))
        return super().send(request, **options)


def test_every_request_is_one_that_the_documents_know(stand: PipedriveStand) -> None:
    """Paths, query parameters, bodies: a day of every record type."""
    found = folder()
    assert found is not None
    documents = {
        "api": Document(found / "openapi-v2.yaml", "/api/v2"),
        "v1": Document(found / "openapi-v1.yaml", "/v1"),
    }
    stand.back_door("POST", "fields", {"name": "Site", "type": "address"})
    tier = stand.back_door("POST", "fields", {"name": "Tier", "type": "enum", "options": ["Gold"]})
    (other,) = stand.add([{"name": "Other"}])
    recorder = Recorder()
    session = requests.Session()
    session.mount("http://", recorder)
    connector = stand.connector(session=session)
    connector.account()
    connector.prepare("persons")
    connector.describe("persons")
    given = {
        "persons": {
            "first_name": "Ada", "last_name": "Byron", "email": "a@x.test", "phone.mobile": "+1", "job_title": "x",
            "org_id.name": "Acme", "postal_address.locality": "Ulm", "birthday": "1990-01-31", "label_ids": ("14",),
            tier["code"]: str(tier["options"][0]["id"]),
        },
        "organizations": {"name": "Umbra", "address.locality": "Ulm", "website": "https://x.test"},
        "deals": {"title": "Big", "value": 5.5, "person_id": other, "expected_close_date": "2026-10-01"},
        "activities": {"subject": "Call", "type": "call", "person_id": other, "done": True, "due_date": "2026-10-01"},
        "notes": {"content": "Called", "person_id": other},
    }  # fmt: skip
    for record_type, values in given.items():
        result = connector.create(record_type, [CreateItem("k", "org:1", values)])["k"]
        assert (result.error, dict(result.refused)) == (None, {}), record_type
        remote_id = result.record.remote_id
        connector.describe(record_type)
        connector.scan(record_type, list(values), None)
        connector.changes(record_type, list(values), stand.now(), None)
        connector.fetch(record_type, [remote_id, "999"], list(values))
        connector.update(record_type, [UpdateItem("k", remote_id, values)])
        connector.delete(record_type, [UpdateItem("k", remote_id, {})])
    connector.find_by_markers("persons", ["org:1"], ["name"]).get("org:1")
    for method, path, query, body in recorder.sent:
        operation = documents[path.split("/")[1]].operation(method, path)
        plain = {name: each for name, each in body.items() if name not in _UNDOCUMENTED} if body else body
        operation.check_request(query, plain)
    assert len(recorder.sent) == connector.calls


def test_subscriptions_are_made_listed_and_given_up(stand: PipedriveStand) -> None:
    """Version 2 of the payload is always asked for, and the credentials that deliveries must bring."""
    found = folder()
    assert found is not None
    document = Document(found / "openapi-v1.yaml", "/v1")
    recorder = Recorder()
    session = requests.Session()
    session.mount("http://", recorder)
    connector = stand.connector(session=session)
    made = connector.subscribe(f"{stand.url}/hooks", Secret("made-up-password"))
    assert connector.subscriptions() == {made: f"{stand.url}/hooks"}
    for _ in range(2):
        connector.unsubscribe(made)
    assert connector.subscriptions() == {}
    for method, path, query, body in recorder.sent:
        document.operation(method, path).check_request(query, body)
