"""A POST that named itself is done once: repeated, raced, killed half way, with its answer lost."""

from __future__ import annotations

import json
import threading
import uuid
from unittest import mock

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client

from adsapp_crm.models import (
    ApiKey,
    Contact,
    CrmOutgoingWebhook,
    IdempotencyKey,
    OrganizationModel,
)
from adsapp_crm.services.erasure import erase_contact
from adsapp_crm.services.idempotency import EFFECT
from adsapp_crm.services.keys import rotate_values
from tests.adsapp_crm.api_callers import CONTACTS, post, problem
from tests.adsapp_crm.api_matrix import routes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_queue")]

ROUTES = {route.label: route for route in routes()}


def test_a_repeated_request_is_answered_again_and_not_done_again(tenant, browser):
    """The same status, body and headers, and a header that says so."""
    body, headers = {"firstName": "Ann"}, {"Idempotency-Key": "one"}
    first, second = post(browser, CONTACTS, body, **headers), post(browser, CONTACTS, body, **headers)

    assert (first.status_code, first.json()) == (second.status_code, second.json())
    assert (first["Location"], first["ETag"]) == (second["Location"], second["ETag"])
    assert (first.get("Idempotency-Replayed"), second["Idempotency-Replayed"]) == (None, "true")
    with tenant.context():
        assert Contact.objects.count() == 1


@pytest.mark.parametrize(
    ("path", "body"), [(CONTACTS, {"firstName": "Bea"}), ("/api/crm/members", {"firstName": "Ann"})]
)
def test_a_key_of_another_request_is_refused(tenant, browser, path, body):
    """422, and nothing is done."""
    post(browser, CONTACTS, {"firstName": "Ann"}, **{"Idempotency-Key": "one"})
    assert problem(post(browser, path, body, **{"Idempotency-Key": "one"})) == (422, "idempotency.mismatch")
    with tenant.context():
        assert Contact.objects.count() == 1


def test_a_request_in_progress_is_not_done_twice(tenant, browser):
    """409 while the first one works, and after ten minutes it counts as dead."""
    body = {"firstName": "Ann"}
    post(browser, CONTACTS, body, **{"Idempotency-Key": "one"})
    with tenant.context():
        IdempotencyKey.objects.update(status_code=None, response=None)
    assert problem(post(browser, CONTACTS, body, **{"Idempotency-Key": "one"})) == (409, "idempotency.in_flight")
    with tenant.context():
        IdempotencyKey.objects.update(created_at="2020-01-01T00:00Z")
    assert post(browser, CONTACTS, body, **{"Idempotency-Key": "one"}).status_code == 201
    with tenant.context():
        assert Contact.objects.count() == 2


def test_work_whose_answer_is_lost_is_known_to_be_done(tenant, browser, fill, monkeypatch):
    """Of every POST there is that did something, whoever opened the transaction: killed before its answer was kept."""
    rows = {name: row.pk for name, row in fill(tenant).items()}
    monkeypatch.setattr("adsapp_crm.api.access._settle", lambda _claim, _response: None)
    monkeypatch.setattr("adsapp_crm.services.outgoing._check_public", lambda _url: None)
    monkeypatch.setattr("adsapp_crm.services.sending.post", lambda *_arguments, **_named: 200)
    changed, noted, before = set(), set(), stand(tenant)
    for label, route in ROUTES.items():
        if route.method == "POST":
            answer = route.send(browser, rows, **{"Idempotency-Key": label})
            assert answer.status_code < 500, (label, answer.content)
            after = stand(tenant)
            with tenant.context():
                kept = IdempotencyKey.objects.filter(key=label, response=EFFECT)
                noted |= {label} if kept.exists() else set()
            changed |= {label} if after != before else set()
            before = after
    assert changed <= noted
    assert not noted & {label for label in ROUTES if label.endswith(("mapping-lint", "mapping-preview"))}
    assert len(changed) >= 12, changed


def stand(tenant):
    """Of each table how many rows there are, and which transactions wrote them."""
    tables = {
        model._meta.db_table
        for model in apps.get_app_config("adsapp_crm").get_models()
        if issubclass(model, OrganizationModel) and model is not IdempotencyKey
    }
    with tenant.context(), connection.cursor() as cursor:
        of_each = (f"SELECT '{name}', count(*), sum(xmin::text::bigint) FROM {name}" for name in sorted(tables))
        cursor.execute(" UNION ALL ".join(of_each))
        return cursor.fetchall()


def test_an_address_is_not_added_twice_after_a_crash(tenant, browser, monkeypatch):
    """``idempotency.lost`` once the first request counts as dead; the address is there once."""
    monkeypatch.setattr("adsapp_crm.services.outgoing._check_public", lambda _url: None)
    path, body = "/api/crm/outgoing-webhooks", {"url": "https://hooks.example.com/", "kinds": ["run.finished"]}
    with mock.patch("adsapp_crm.api.access._settle"):
        assert post(browser, path, body, **{"Idempotency-Key": "one"}).status_code == 201
    assert problem(post(browser, path, body, **{"Idempotency-Key": "one"})) == (409, "idempotency.in_flight")
    with tenant.context():
        IdempotencyKey.objects.update(created_at="2020-01-01T00:00Z")
    assert problem(post(browser, path, body, **{"Idempotency-Key": "one"})) == (409, "idempotency.lost")
    with tenant.context():
        assert CrmOutgoingWebhook.objects.count() == 1


def test_work_that_was_committed_before_an_unforeseen_error_is_not_done_again(tenant, browser, monkeypatch):
    """500, then ``idempotency.lost`` at once; an error before the work leaves the key free."""
    monkeypatch.setattr("adsapp_crm.services.outgoing._check_public", lambda _url: None)
    path, body = "/api/crm/outgoing-webhooks", {"url": "https://hooks.example.com/", "kinds": ["run.finished"]}
    for key, broken, then in (
        ("one", "adsapp_crm.api.access.OrganizationView.told", (409, "idempotency.lost")),
        ("two", "adsapp_crm.api.views.notices.add_webhook", None),
    ):
        with mock.patch(broken, side_effect=ZeroDivisionError):
            assert problem(post(browser, path, body, **{"Idempotency-Key": key})) == (500, "internal.error")
        again = post(browser, path, body, **{"Idempotency-Key": key})
        assert problem(again) == then if then else again.status_code == 201
    with tenant.context():
        assert CrmOutgoingWebhook.objects.count() == 2


def test_a_refused_request_may_be_corrected_under_its_key(tenant, browser):
    """It has done nothing."""
    headers = {"Idempotency-Key": "one"}
    assert problem(post(browser, CONTACTS, {"email": "x"}, **headers)) == (400, "contact.invalid")
    assert post(browser, CONTACTS, {"email": "ann@example.com"}, **headers).status_code == 201


def test_a_key_belongs_to_who_sends_it(tenant, browser, key):
    """Another program's key of the same text is another key."""
    for client in (browser, key("write"), key("write")):
        assert post(client, CONTACTS, {"firstName": "Ann"}, **{"Idempotency-Key": "one"}).status_code == 201
    with tenant.context():
        assert Contact.objects.count() == 3


@pytest.mark.parametrize("value", ["", "x" * 256, "\u00e9"])
def test_an_unusable_idempotency_key_is_refused(tenant, browser, value):
    assert problem(post(browser, CONTACTS, {"firstName": "Ann"}, **{"Idempotency-Key": value})) == (
        400,
        "idempotency.key",
    )
    with tenant.context():
        assert Contact.objects.count() == 0


def test_ten_at_once_make_one(tenant, browser):
    """Whoever is second waits for the answer or is told to."""
    statuses = []

    def work():
        client = Client()
        client.cookies = browser.cookies
        try:
            statuses.append(post(client, CONTACTS, {"firstName": "Ann"}, **{"Idempotency-Key": "one"}).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {201, 409}
    assert len(statuses) == 10
    with tenant.context():
        assert Contact.objects.count() == 1


def test_a_stored_answer_holds_no_secret(tenant, browser):
    """The new key is encrypted in the row, and told again to who repeats."""
    body, headers = {"name": "x", "scopes": ["read"]}, {"Idempotency-Key": "one"}
    first, second = (post(browser, "/api/crm/api-keys", body, **headers) for _ in range(2))
    with tenant.context():
        stored = json.dumps(IdempotencyKey.objects.get().response)
        assert ApiKey.objects.count() == 1
    assert first.json()["secret"] == second.json()["secret"]
    assert first.json()["secret"] not in stored


def test_a_stored_answer_outlives_the_key_that_encrypted_it(tenant, browser, settings):
    """``rotate_keys`` moves it; another answer's secrets are not told."""
    body, headers = {"name": "x", "scopes": ["read"]}, {"Idempotency-Key": "one"}
    settings.FERNET_KEYS = ["old" * 20]
    first = post(browser, "/api/crm/api-keys", body, **headers).json()
    settings.FERNET_KEYS = ["new" * 20, "old" * 20]
    assert rotate_values().rotated == 1
    settings.FERNET_KEYS = ["new" * 20]
    assert post(browser, "/api/crm/api-keys", body, **headers).json() == first

    post(browser, "/api/crm/api-keys", body, **{"Idempotency-Key": "two"})
    with tenant.context():
        swapped = IdempotencyKey.objects.get(key="two").secrets
        IdempotencyKey.objects.filter(key="one").update(secrets=swapped)
    assert post(browser, "/api/crm/api-keys", body, **headers).status_code == 409


def test_erasing_a_person_forgets_the_answers_about_them(tenant, browser):
    """A repeated request is a new one then."""
    made = post(browser, CONTACTS, {"firstName": "Ann"}, **{"Idempotency-Key": "one"})
    with tenant.context():
        erase_contact(uuid.UUID(made.json()["id"]))
        assert IdempotencyKey.objects.count() == 0
