"""Poison at every route of the API: what is wrong is refused by a problem with a code, and nothing fails."""

from __future__ import annotations

import json
import uuid
from urllib.parse import quote

import pytest
from drf_spectacular.generators import SchemaGenerator

from adsapp_crm.models import Contact
from adsapp_crm.services.connections import connect_with_token
from config import celery_app
from tests.adsapp_crm.hubspot_account import TOKEN
from tests.poison.corpus import BODIES, TEXTS, VALUES, storable

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

SHORT = [text for text in TEXTS if len(text) < 2000]
STRIDE = 20
"""Each operation gets every twentieth value, another one first: all operations together get all of them."""


@pytest.fixture
def browser(client, tenant, hubspot, settings):
    settings.CRM_SYNC_WAIT_SECONDS = 0
    settings.CRM_API_REQUESTS_PER_MINUTE = settings.CRM_API_ORGANIZATION_REQUESTS_PER_MINUTE = 1_000_000
    client.force_login(tenant.user)
    client.raise_request_exception = False
    connect_with_token(tenant.id, "hubspot", TOKEN, actor="user:test")
    return client


@pytest.fixture(autouse=True)
def no_worker(monkeypatch):
    """What a route hands to a worker stays undone: the runs are another test's."""
    monkeypatch.setattr(celery_app, "send_task", lambda *_arguments, **_named: None)
    monkeypatch.setattr("celery.app.task.Task.apply_async", lambda *_arguments, **_named: None)


def operations():
    """(method, path, names of query parameters, names of body fields) of every operation that is documented."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    for path, methods in sorted(schema["paths"].items()):
        for method, operation in sorted(methods.items()):
            parameters = operation.get("parameters", [])
            queries = [each["name"] for each in parameters if each["in"] == "query"]
            yield method, path, queries, _body_names(schema, operation)


def _body_names(schema, operation):
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    while "$ref" in content:
        content = schema["components"]["schemas"][content["$ref"].rpartition("/")[2]]
    return sorted(content.get("properties", {}))


def escaped(text):
    return quote(text, safe="", errors="surrogatepass")


def placed(path, text):
    """The path with an id that nobody has in the place of each parameter; the text where a word is wanted."""
    while "{" in path:
        head, _, rest = path.partition("{")
        name, _, tail = rest.partition("}")
        path = head + (str(uuid.uuid4()) if name.endswith("id") else escaped(text)[:200] or "x") + tail
    return path


def send(browser, method, path, body=None):
    content = {} if body is None else {"data": body, "content_type": "application/json"}
    answer = browser.generic(method.upper(), path, **content)
    if answer.status_code >= 500 and answer.status_code != 503:
        return f"{method} {path[:100]} {str(body)[:100]}: {answer.status_code}"
    if answer.status_code >= 400 and "json" in answer.get("Content-Type", ""):
        told = answer.json()
        if not told.get("code"):
            return f"{method} {path[:100]}: {answer.status_code} without a code"
    return ""


def test_every_operation_stands_every_kind_of_value(browser):
    """In the path, in each query parameter, in each field of the body, and in place of the body."""
    failures = []
    seen = 0
    for number, (method, path, queries, fields) in enumerate(operations()):
        for text in SHORT[number % STRIDE :: STRIDE]:
            query = "&".join(f"{name}={escaped(text)}" for name in queries)
            body = json.dumps(dict.fromkeys(fields, text)) if fields else None
            failures.append(send(browser, method, f"{placed(path, text)}?{query}", body))
            seen += 1
        if method in ("post", "put", "patch"):
            for value in VALUES[number % 6 :: 6]:
                shown = repr(value) if isinstance(value, int) and abs(value) > 2**64 else json.dumps(value)
                body = "{" + ",".join(f"{json.dumps(name)}: {shown}" for name in fields) + "}"
                failures.append(send(browser, method, placed(path, "x"), body))
            failures += [send(browser, method, placed(path, "x"), body) for body in BODIES[number % 4 :: 4]]
    assert [failure for failure in failures if failure] == []
    assert seen > 250


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 50_000])
def test_json_without_bottom_is_a_body_that_is_not_json(browser, body):
    """400 by a problem, not a failure of ours."""
    answer = browser.post("/api/crm/contacts", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "request.invalid")


def test_a_refusal_may_quote_half_a_surrogate_pair(browser):
    """The answer is JSON that everybody reads, with the half pair escaped."""
    answer = browser.post(
        "/api/crm/sync", json.dumps({"crmType": "hubspot", "syncType": "\udc00"}), content_type="application/json"
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "request.invalid")


def test_every_text_is_kept_or_refused_in_every_field_of_a_contact(browser, tenant):
    """A text field keeps it as it came, but for what no database holds; a typed one may refuse it by name."""
    failures = []
    for text in TEXTS:
        for fields in (("lastName", "notes", "customFields"), ("email",), ("phone", "birthday", "country", "tags")):
            values = {name: {"any": text} if name == "customFields" else text for name in fields}
            answer = browser.post(
                "/api/crm/contacts", json.dumps({"firstName": "Ann", **values}), content_type="application/json"
            )
            if answer.status_code not in (201, 400, 413):
                failures.append((text[:40], fields, answer.status_code))
            elif answer.status_code == 400 and not answer.json()["code"]:
                failures.append((text[:40], fields, "no code"))
            elif answer.status_code == 201 and "notes" in fields:
                with tenant.context():
                    kept = Contact.objects.get(pk=answer.json()["id"]).notes
                if kept != storable(json.loads(json.dumps(text))):  # two halves of a pair become one
                    failures.append((text[:40], "notes", kept[:40]))
    assert failures == []
