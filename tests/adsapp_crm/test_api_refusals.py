"""How the API says no: by which rule, to which key, and what to do; and that nothing is done twice or half."""

from __future__ import annotations

import json
from unittest import mock

import pytest
from django.db import OperationalError
from django.test import Client

from adsapp_crm.models import Contact, CrmConflict, CrmConnection, CrmFieldMapping, CrmSyncState, IdempotencyKey
from adsapp_crm.services.api_keys import make_key
from adsapp_crm.services.conflicts import answer_conflict
from adsapp_crm.services.contacts import create_contact
from adsapp_crm.services.mappings import described
from crm.model import FieldDefinition

pytestmark = pytest.mark.django_db

CONTACTS = "/api/crm/contacts"
ONCE = {"Idempotency-Key": "one"}


@pytest.fixture
def program(tenant):
    with tenant.context():
        text = make_key("test", ["admin"], actor="user:test").text
    return Client(headers={"Authorization": f"Bearer {text}"})


def post(client, path, body, **headers):
    text = body if isinstance(body, str) else json.dumps(body)
    return client.post(path, text, content_type="application/json", headers=headers)


def problem(answer):
    assert answer["Content-Type"] == "application/problem+json", answer.content
    body = answer.json()
    assert {"type", "title", "status", "detail", "code", "fix"} <= set(body)
    assert body["type"].startswith("/docs/errors#")
    return answer.status_code, body["code"]


def told(answer):
    """pointer -> (rule, fix)"""
    assert problem(answer) == (400, "request.invalid")
    return {each["pointer"]: (each["detail"], each["fix"]) for each in answer.json()["errors"]}


def contacts(tenant):
    with tenant.context():
        return Contact.objects.count()


def test_each_wrong_key_has_its_own_fix(program):
    """The choices there are, the form of an id: without a look into the documentation."""
    found = told(post(program, "/api/crm/sync", {"syncType": "all", "contactId": "17", "crm": "hubspot"}))
    assert found == {"/crm": ("Unknown. Known are: crmType, syncType, contactId.", found["/crm"][1])}
    found = told(post(program, "/api/crm/sync", {"syncType": "all", "contactId": "17"}))
    assert found["/crmType"] == ("This field is required.", "Send it.")
    assert found["/syncType"][1] == "Use one of full, delta."
    assert found["/contactId"][1].startswith("Give an id of the form ")
    found = told(post(program, "/api/crm/connect", {"crmType": "salesforce", "config": {"environment": "evil"}}))
    assert found["/config/environment"][1] == "Use one of production, sandbox."
    body = {"crmType": "hubspot", "mappings": [{"adsappField": "email", "crmField": "email", "direction": "up"}]}
    found = told(program.put("/api/crm/mapping", json.dumps(body), content_type="application/json"))
    assert found["/mappings/0/direction"][1].startswith("Use one of ")


def test_a_token_that_is_none_is_pointed_to_where_it_stands(program):
    answer = post(program, "/api/crm/connect", {"crmType": "hubspot", "config": {"apiToken": "two words"}})
    assert problem(answer) == (400, "config.token_missing")
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/config/apiToken"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"firstName": "Ann", "firstName": "Bea"}', "An object names 'firstName' twice."),
        ('{"firstName": "Ann", "customFields": {"a": "1", "b": "2", "a": "3"}}', "An object names 'a' twice."),
        ("[" * 100_000, "The JSON is nested too deeply."),
        ('{"firstName": NaN}', "The body is not JSON."),
        ("{", "The body is not JSON."),
    ],
)
def test_json_that_two_readers_would_read_differently_is_refused(tenant, program, body, said):
    answer = post(program, CONTACTS, body)
    assert problem(answer) == (400, "request.invalid")
    assert answer.json()["detail"] == said
    assert contacts(tenant) == 0


def test_a_query_is_read_whole_or_refused(tenant, program):
    """A key that is given twice, and one that the address does not read."""
    assert told(program.get(f"{CONTACTS}?limit=1&limit=2"))["/limit"][1] == "Send it once."
    assert told(post(program, f"{CONTACTS}?dryRun=true", {"firstName": "Ann"}))["/dryRun"][0].startswith("Unknown.")
    assert contacts(tenant) == 0


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "PROPFIND"])
def test_a_method_that_an_address_does_not_take_is_no_question_of_roles(tenant, program, client, method):
    """405 to whoever is let in, 401 to nobody."""
    answer = program.generic(method, CONTACTS)
    assert problem(answer) == (405, "request.method")
    assert answer["Allow"].startswith("GET, POST")
    assert problem(client.generic(method, CONTACTS)) == (401, "request.unauthenticated")


def test_a_missing_token_of_a_form_is_not_called_a_missing_role(tenant):
    """A session without X-CSRFToken."""
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(tenant.user)
    assert problem(post(browser, CONTACTS, {"firstName": "Ann"})) == (403, "request.csrf")
    assert contacts(tenant) == 0


def test_an_organization_one_may_not_enter_is_told_like_any_error(tenant, other, client):
    client.force_login(tenant.user)
    answer = client.get(CONTACTS, headers={"X-Organization": str(other.id)})
    assert problem(answer) == (404, "organization.unknown")
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("tag", "status"),
    [
        ("*", 200),
        ('"1"', 200),
        ('"7", "1"', 200),
        ('"1","7"', 200),
        ('"7", "8"', 412),
        ('"2"', 412),
        ('W/"1"', 412),
        ('"7", W/"1"', 412),
        ("1", 412),
        ('*, "1"', 412),
        (",", 412),
        (", ".join(['"7"'] * 30 + ['"1"']), 412),
    ],
)
def test_if_match_names_one_version_or_several(tenant, program, tag, status):
    with tenant.context():
        contact = create_contact({"firstName": "Ann"})
    path, body = f"{CONTACTS}/{contact.pk}", json.dumps({"city": "Delft"})
    answer = program.patch(path, body, content_type="application/json", headers={"If-Match": tag})
    assert answer.status_code == status
    with tenant.context():
        assert Contact.objects.get().city == ("Delft" if status == 200 else "")


def test_a_request_whose_server_died_is_not_done_again_when_it_took_effect(tenant, program):
    """The work was committed, its answer was not: neither at once nor after ten minutes is it done twice."""
    with (
        mock.patch("adsapp_crm.api.access.keep_answer", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        post(program, CONTACTS, {"firstName": "Ann"}, **ONCE)
    assert contacts(tenant) == 1
    assert problem(post(program, CONTACTS, {"firstName": "Ann"}, **ONCE)) == (409, "idempotency.in_flight")
    with tenant.context():
        IdempotencyKey.objects.update(created_at="2020-01-01T00:00Z")
    assert problem(post(program, CONTACTS, {"firstName": "Ann"}, **ONCE)) == (409, "idempotency.lost")
    assert problem(post(program, CONTACTS, {"firstName": "Bea"}, **ONCE)) == (422, "idempotency.mismatch")
    assert contacts(tenant) == 1


def test_a_request_whose_server_died_before_it_took_effect_is_done(tenant, program):
    with (
        mock.patch("adsapp_crm.api.views.contacts.create_contact", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        post(program, CONTACTS, {"firstName": "Ann"}, **ONCE)
    with tenant.context():
        IdempotencyKey.objects.update(created_at="2020-01-01T00:00Z")
    assert post(program, CONTACTS, {"firstName": "Ann"}, **ONCE).status_code == 201
    assert contacts(tenant) == 1


@pytest.mark.parametrize("words", ["deadlock detected", "server closed the connection unexpectedly: /secret"])
def test_a_database_in_trouble_is_told_as_passing(tenant, program, words):
    """503 with a time, nothing of the database's own words, and the request may be repeated under its key."""
    with mock.patch("adsapp_crm.api.views.contacts.create_contact", side_effect=OperationalError(words)):
        answer = post(program, CONTACTS, {"firstName": "Ann"}, **ONCE)
    assert problem(answer) == (503, "internal.database")
    assert int(answer["Retry-After"]) > 0
    assert words not in answer.content.decode()
    assert post(program, CONTACTS, {"firstName": "Ann"}, **ONCE).status_code == 201


def test_a_reading_key_tries_no_mapping_on_a_sensitive_value(tenant):
    """Neither under another field's name, nor by whether a rule fits it; a key that writes is shown it."""
    secret, names = "Hemlock", ("hs_notes", "firstname", "other")
    with tenant.context():
        connection = CrmConnection.objects.create(
            crm_type="hubspot",
            remote_account_id="42",
            schema=described({"contacts": [FieldDefinition(each, each, "text", "string") for each in names]}),
        )
        for app_field, remote_field in (("notes", "hs_notes"), ("firstName", "firstname")):
            CrmFieldMapping.objects.create(
                connection=connection, record_type="contacts", adsapp_field=app_field, crm_field=remote_field
            )
        CrmSyncState.objects.create(
            connection=connection,
            contact=create_contact({"firstName": "Ann", "notes": secret}),
            crm_record_type="contacts",
            crm_record_id="7",
            observed=dict.fromkeys(names, secret),
        )
        keys = {scope: make_key("test", [scope], actor="user:test").text for scope in ("read", "write")}
    path = f"/api/crm/connections/{connection.pk}"
    for remote_field, shown in (("hs_notes", False), ("other", False), ("firstname", True)):
        row = {"recordType": "contacts", "adsappField": "firstName", "crmField": remote_field}
        for scope, key in keys.items():
            client = Client(headers={"Authorization": f"Bearer {key}"})
            tried = post(client, f"{path}/mapping-preview", {"mapping": row}).json()["tried"]
            assert bool(tried) == (shown or scope == "write"), (remote_field, scope)
    rule = {"steps": [{"op": "map", "pairs": {"Poison": "x"}}]}
    row = {"recordType": "contacts", "adsappField": "notes", "crmField": "hs_notes", "transformRule": rule}
    reader = Client(headers={"Authorization": f"Bearer {keys['read']}"})
    with mock.patch("adsapp_crm.services.mappings._samples", side_effect=AssertionError):
        assert post(reader, f"{path}/mapping-lint", {"mappings": [row]}).status_code == 200


def test_many_conflicts_are_answered_in_one_order(tenant, program):
    """Whatever the body's, so that two requests do not wait for each other; told in the body's."""
    with tenant.context():
        connection = CrmConnection.objects.create(crm_type="hubspot", remote_account_id="42")
        ids = [
            str(CrmConflict.objects.create(connection=connection, kind="field", mapping_id=str(number)).pk)
            for number in range(3)
        ]
    answered = []
    with mock.patch(
        "adsapp_crm.api.views.conflicts.answer_conflict",
        side_effect=lambda conflict_id, **named: (
            answered.append(str(conflict_id)) or answer_conflict(conflict_id, **named)
        ),
    ):
        told = post(program, "/api/crm/conflicts/resolve", {"conflictIds": ids[::-1], "side": "app"}).json()
    assert answered == sorted(ids)
    assert [each["id"] for each in told["results"]] == ids[::-1]
    assert told["answered"] == 3
