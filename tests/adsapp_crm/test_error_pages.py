"""Where no view answers: still cause and fix, and nothing of what went wrong inside."""

from __future__ import annotations

from unittest import mock
from urllib.parse import urlencode

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from adsapp_crm.models import User

PAGE = {"Accept": "text/html"}
FORM = "application/x-www-form-urlencoded"


def shown(answer, code):
    """The code is on the page, or in the document."""
    if answer["Content-Type"].startswith("text/html"):
        return f"<code>{code}</code>" in answer.content.decode()
    assert answer["Content-Type"] == "application/problem+json"
    body = answer.json()
    return body["code"] == code and {"type", "title", "status", "detail", "fix"} <= set(body)


@pytest.mark.parametrize(("path", "headers"), [("/login", PAGE), ("/api/crm/me", {}), ("/api/crm/me", PAGE)])
def test_another_host_is_refused_with_a_reason(path, headers):
    """Its name is not repeated."""
    answer = Client().get(path, headers={**headers, "Host": "evil.example"})
    assert answer.status_code == 400
    assert shown(answer, "request.unreadable")
    assert b"evil" not in answer.content


@pytest.mark.parametrize("path", ["/login", "/admin/login/"])
def test_a_form_without_its_token_says_what_to_do(path):
    answer = Client(enforce_csrf_checks=True).post(path, {"username": "a", "password": "b"}, headers=PAGE)
    assert answer.status_code == 403
    assert shown(answer, "request.csrf")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OperationalError("deadlock: the row of ann@example.com"), 503, "internal.database"),
        (InterfaceError("connection already closed"), 503, "internal.database"),
        (RuntimeError("ann@example.com"), 500, "internal.error"),
    ],
)
@pytest.mark.parametrize(
    ("path", "headers"), [("/dashboard/settings/crm", PAGE), ("/api/crm/me", {}), ("/admin/", PAGE)]
)
def test_trouble_before_any_view_is_told(tenant, path, headers, error, status, code):
    """The database went away between two requests; the error's own words stay inside."""
    client = Client(raise_request_exception=False)
    client.force_login(tenant.user)
    with mock.patch("adsapp_crm.middleware.places_of", side_effect=error):
        answer = client.get(path, headers=headers)
    assert answer.status_code == status
    assert shown(answer, code)
    assert answer.get("Retry-After") == ("2" if status == 503 else None)
    assert b"ann@" not in answer.content


@pytest.mark.django_db
def test_a_log_in_that_is_confirmed_without_its_token_ends_on_a_page(tenant):
    """Not in a browser full of JSON."""
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(tenant.user)
    nothing = "01980000-0000-7000-8000-000000000000"
    path = f"/api/crm/connect/confirm/{tenant.id}/{nothing}"
    answer = browser.post(path, {"decision": "connect"}, headers=PAGE)
    assert answer.status_code == 403
    assert shown(answer, "request.csrf")


@pytest.mark.django_db
def test_a_locked_name_is_told_until_when(tenant):
    """A page with cause, fix and Retry-After, for the right password too."""
    browser = Client()
    for _ in range(5):
        browser.post("/login", {"username": tenant.user.email, "password": "wrong"})
    answer = browser.post("/login", {"username": tenant.user.email, "password": "wrong"}, headers=PAGE)
    assert answer.status_code == 429
    assert shown(answer, "user.locked")
    assert answer["Retry-After"] == "900"


@pytest.mark.django_db
def test_one_password_tried_on_many_names_locks_the_address_for_names_that_are_new_there(tenant, other, settings):
    """429 with the right password too; who has logged in from there before goes on, and so does another address."""
    settings.CRM_LOGIN_FAILURES_PER_ADDRESS = 6
    for name in (tenant.user.email, other.user.email):
        user = User.objects.get(email=name)
        user.set_password(name)
        user.save()

    def log_in(name, password, address="192.0.2.7"):
        form = {"username": name, "password": password}
        return Client().post("/login", form, headers=PAGE, REMOTE_ADDR=address)

    assert log_in(tenant.user.email, tenant.user.email).status_code == 302
    for number in range(6):
        assert log_in(f"person{number}@example.com", "Summer2026").status_code == 200
    for name, password in (("person7@example.com", "Summer2026"), (other.user.email, other.user.email)):
        answer = log_in(name, password)
        assert answer.status_code == 429
        assert shown(answer, "user.address_locked")
    assert log_in(tenant.user.email, "mistyped").status_code == 200
    assert log_in(tenant.user.email, tenant.user.email).status_code == 302
    assert log_in(other.user.email, other.user.email, "192.0.2.8").status_code == 302
    for number in range(7):
        assert log_in(f"socket{number}@example.com", "Summer2026", "").status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["a" * 100_000, "\u0130" * 255, "a\x00b", "\udcff", ""])
def test_a_name_that_no_account_has_is_no_failure_of_ours(name):
    browser = Client(raise_request_exception=False)
    form = urlencode({"username": name, "password": "x"}, errors="surrogatepass")
    headers = {"User-Agent": "u" * 5000, "Accept": "text/html," + "a" * 5000}
    assert browser.post("/login", form, FORM, headers=headers).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/dashboard/settings/crm/contacts/nope", "/nope"])
def test_an_address_that_is_none_leads_back(path):
    """With the way to the overview, in place of two bare words."""
    answer = Client().get(path, headers=PAGE)
    assert answer.status_code == 404
    assert shown(answer, "request.not_found")
    assert b"To the overview" in answer.content
