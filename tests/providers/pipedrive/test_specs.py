"""The fake's answers, and requests known to be right, against Pipedrive's OpenAPI documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from crm.providers.pipedrive.fake.costs import cost_of
from tests.providers.pipedrive.fake_company import GRACE, Company
from tests.providers.pipedrive.openapi import VARIABLE, Document, folder

pytestmark = pytest.mark.skipif(
    folder() is None, reason=f"{VARIABLE} names no folder with Pipedrive's OpenAPI documents"
)


@pytest.fixture(scope="module")
def documents() -> dict[str, Document]:
    found = folder()
    assert found is not None
    return {
        "v2": Document(found / "openapi-v2.yaml", "/api/v2"),
        "v1": Document(found / "openapi-v1.yaml", "/v1"),
    }


def session(company: Company) -> Iterator[tuple[str, str, dict[str, str], Any]]:
    """Calls of a connector's ordinary day; each is made after the one before has been answered."""
    hash_of, (spanish, _) = company.field("enum", "es", "en", name="Language")
    others = {kind: company.field(kind, name=kind) for kind in ("varchar", "double", "monetary", "address", "date")}
    yield "POST", "/api/v2/personFields", {}, {"field_name": "App id", "field_type": "varchar"}
    yield "GET", "/api/v2/personFields", {"limit": "500"}, None
    yield "GET", f"/api/v2/personFields/{hash_of}", {}, None
    yield "PATCH", f"/api/v2/personFields/{hash_of}", {}, {"field_name": "Spoken language"}
    yield "POST", f"/api/v2/personFields/{hash_of}/options", {}, [{"label": "de"}]
    yield "GET", "/api/v2/organizationFields", {"limit": "500"}, None
    yield "GET", "/api/v2/dealFields", {}, None
    yield "GET", "/api/v2/activityFields", {}, None
    yield "POST", "/api/v2/organizations", {}, {"name": "Acme", "address": {"value": "Main St 1", "locality": "Bonn"}}
    custom = {
        hash_of: spanish,
        others["varchar"]: "c-1042",
        others["double"]: 5.5,
        others["monetary"]: {"value": 5, "currency": "EUR"},
        others["address"]: {"value": "Calle 1", "locality": "Madrid"},
        others["date"]: "2026-01-31",
    }
    person = {"name": "Ana Lopez", "org_id": 1, "emails": [{"value": "ana@acme.test", "label": "work"}]}
    yield "POST", "/api/v2/persons", {}, {**person, "custom_fields": custom}
    yield "PATCH", "/api/v2/persons/1", {}, {"phones": [{"value": "+34600111222", "primary": True, "label": "mobile"}]}
    yield "POST", "/api/v2/persons", {}, {"name": "Ana L"}
    yield "GET", "/api/v2/persons/1", {"include_fields": "notes_count"}, None
    query = {"limit": "500", "sort_by": "update_time", "updated_since": "2026-01-01T00:00:00Z"}
    yield "GET", "/api/v2/persons", query, None
    yield "GET", "/api/v2/persons", {"ids": "1,2"}, None
    yield "GET", "/api/v2/persons/search", {"term": "ana@acme.test", "fields": "email", "exact_match": "true"}, None
    yield "GET", "/api/v2/itemSearch", {"term": "Ana", "item_types": "person"}, None
    yield "GET", "/api/v2/organizations", {"limit": "500"}, None
    yield "GET", "/api/v2/organizations/search", {"term": "Acme", "fields": "name", "exact_match": "true"}, None
    yield "PATCH", "/api/v2/organizations/1", {}, {"website": "https://acme.test"}
    yield "POST", "/api/v2/deals", {}, {"title": "Big one", "person_id": 1, "value": 100, "currency": "EUR"}
    yield "PATCH", "/api/v2/deals/1", {}, {"status": "won"}
    yield "GET", "/api/v2/deals", {"person_id": "1", "status": "won"}, None
    activity = {"subject": "Call Ana", "type": "call", "participants": [{"person_id": 1, "primary": True}]}
    yield "POST", "/api/v2/activities", {}, {**activity, "due_date": "2026-10-01", "duration": "00:30"}
    yield "GET", "/api/v2/activities", {"person_id": "1"}, None
    yield "PATCH", "/api/v2/activities/1", {}, {"done": True}
    yield "GET", "/v1/users/me", {}, None
    yield "GET", "/v1/users", {}, None
    yield "GET", "/v1/users/find", {"term": "grace@acme.test", "search_by_email": "1"}, None
    yield "GET", "/v1/notes", {"person_id": "1", "limit": "100"}, None
    yield "PUT", "/v1/persons/2/merge", {}, {"merge_with_id": 1}
    yield "GET", "/v1/persons/1/changelog", {"limit": "500"}, None
    hook = {"name": "Sync", "subscription_url": "https://app.example/hook", "event_action": "*"}
    more = {"event_object": "person", "version": "2.0", "http_auth_user": "pd", "http_auth_password": "secret"}
    yield "POST", "/v1/webhooks", {}, {**hook, **more, "user_id": GRACE}
    yield "GET", "/v1/webhooks", {}, None
    yield "GET", "/v1/personFields", {}, None
    yield "DELETE", "/api/v2/activities/1", {}, None
    yield "DELETE", "/api/v2/deals/1", {}, None
    yield "DELETE", "/api/v2/persons/1", {}, None
    yield "DELETE", "/api/v2/organizations/1", {}, None
    yield "DELETE", f"/api/v2/personFields/{hash_of}", {}, None


def test_every_answer_of_an_ordinary_day_has_the_documented_shape(documents) -> None:
    """The calls are calls of the document, and the fake's answers pass its schemas."""
    company = Company()
    company.fake.webhooks.settings.paused = True
    count = 0
    for method, path, query, body in session(company):
        operation = documents["v2" if path.startswith("/api/v2") else "v1"].operation(method, path)
        if isinstance(body, dict):
            operation.check_request(query, body)
        answer = company.call(method, path, body, params=query)
        assert answer.ok, (method, path, answer.text)
        try:
            operation.check_answer(answer.status_code, answer.json())
        except jsonschema.ValidationError as error:
            pytest.fail(f"{method} {path}: {error.message} at {list(error.absolute_path)}")
        count += 1
    company.fake.close()
    assert count == 40


def test_prices_are_the_documented_ones(documents) -> None:
    """Every route that the documents know costs what they say."""
    company = Company()
    compared = 0
    for version, prefix in (("v2", "/api/v2/"), ("v1", "/v1/")):
        for routes in company.fake.router._routes.values():
            for route in routes:
                if not route.template.startswith(prefix):
                    continue
                try:
                    operation = documents[version].operation(route.method, route.template)
                except KeyError:
                    continue
                assert cost_of(route.method, route.template) == operation.cost, f"{route.method} {route.template}"
                compared += 1
    assert compared > 70


def test_a_wrong_answer_would_be_noticed(documents) -> None:
    """The check has teeth: a text id, a missing name of a field and an unknown parameter are found."""
    persons = documents["v2"].operation("GET", "/api/v2/persons")
    with pytest.raises(jsonschema.ValidationError):
        persons.check_answer(200, {"success": True, "data": [{"id": "27"}]})
    with pytest.raises(jsonschema.ValidationError):
        documents["v2"].operation("GET", "/api/v2/personFields").check_answer(200, {"data": [{"field_code": "x"}]})
    with pytest.raises(AssertionError, match="no such parameter"):
        persons.check_request({"updated_sinc": "x"}, None)
    with pytest.raises(AssertionError, match="no such field"):
        documents["v2"].operation("POST", "/api/v2/persons").check_request({}, {"email": []})
