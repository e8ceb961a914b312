"""Manners of every address of the API: limits, bodies, lists and the description."""

from __future__ import annotations

import re
from unittest import mock

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from adsapp_crm.models import (
    Contact,
)
from adsapp_crm.services.contacts import create_contact
from tests.adsapp_crm.api_callers import CONTACTS, post, problem
from tests.adsapp_crm.api_matrix import routes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_queue")]

ROUTES = {route.label: route for route in routes()}


# Limits.


def test_too_many_requests_are_told_when_to_go_on(tenant, browser, key, settings):
    """Of one person; another one goes on, until the organization's limit."""
    settings.CRM_API_REQUESTS_PER_MINUTE, settings.CRM_API_ORGANIZATION_REQUESTS_PER_MINUTE = 3, 6
    with mock.patch("adsapp_crm.api.throttles.time.time", return_value=1_800_000_015.0):
        *before, last = (browser.get("/api/crm/me") for _ in range(3))
        assert [each.status_code for each in (*before, last)] == [200] * 3
        limited = browser.get("/api/crm/me")
        program = key("read")
        others = [program.get("/api/crm/me").status_code for _ in range(3)]
    assert problem(limited) == (429, "request.throttled")
    assert limited["Retry-After"] == "45"
    assert limited["RateLimit-Policy"].startswith('"actor";q=3;w=60')
    assert last["RateLimit"] == '"actor";r=0;t=45, "organization";r=3;t=45'
    assert others == [200, 200, 429]
    with mock.patch("adsapp_crm.api.throttles.time.time", return_value=1_800_000_060.0):
        assert browser.get("/api/crm/me").status_code == 200


def test_without_a_counter_nobody_is_held(tenant, browser):
    """Redis is away."""
    from redis.exceptions import ConnectionError as AwayError

    with mock.patch("adsapp_crm.api.throttles.cache.add", side_effect=AwayError):
        assert browser.get("/api/crm/me").status_code == 200


def test_where_no_body_is_read_one_is_refused_and_nothing_done(tenant, browser):
    """An erasure cannot be taken back: a body that was meant for another address must not set it off."""
    with tenant.context():
        contact = create_contact({"firstName": "Ada"})
    path = f"{CONTACTS}/{contact.pk}/erase"
    for body in ({"dryRun": True}, [1], "yes"):
        assert problem(post(browser, path, body)) == (400, "request.invalid")
    with tenant.context():
        assert Contact.objects.get(pk=contact.pk).first_name == "Ada"
    assert post(browser, path, {}).status_code == 200


def test_a_body_is_bounded(tenant, browser):
    """413 for one that is too large, 415 for one that is no JSON."""
    large = browser.post(CONTACTS, b" " * (2 * 1024 * 1024 + 1), content_type="application/json")
    form = browser.post(CONTACTS, {"firstName": "Ann"})
    deep = browser.post(CONTACTS, "[" * 100_000, content_type="application/json")
    assert problem(large) == (413, "request.too_large")
    assert problem(form) == (415, "request.media_type")
    assert problem(deep) == (400, "request.invalid")


@pytest.mark.parametrize("value", ["\u0000", "\ud800"])
def test_text_that_no_column_holds_is_refused_or_mended(tenant, browser, fill, value):
    """Never a 500."""
    conflict = fill(tenant)["CrmConflict"]
    answers = [
        post(browser, CONTACTS, {"firstName": f"A{value}"}),
        post(browser, CONTACTS, {"firstName": "A", "customFields": {"a": f"x{value}"}}),
        post(browser, f"/api/crm/conflicts/{conflict.pk}/resolve", {"value": f"x{value}"}),
        post(browser, "/api/crm/api-keys", {"name": f"x{value}", "scopes": ["read"]}),
    ]
    assert {answer.status_code for answer in answers} <= {200, 201, 400}


# Lists and the description.


LISTS = [
    each
    for each in ROUTES.values()
    if each.method == "GET" and "items" in dict(getattr(each.operation.answer, "_declared_fields", {}))
]


@pytest.mark.parametrize("route", LISTS, ids=lambda route: route.label)
def test_lists_stay_within_their_queries(route, tenant, browser, fill, django_assert_max_num_queries):
    """At most 15 with log-in, organization and limits."""
    rows = {name: row.pk for name, row in fill(tenant).items()}
    with django_assert_max_num_queries(15):
        assert route.send(browser, rows).status_code == 200


def test_the_description_is_served_to_who_is_logged_in(browser):
    """As OpenAPI, and as a page that loads nothing from elsewhere and runs nothing inline."""
    page = browser.get("/api/docs")
    script = browser.get("/api/docs?script=")
    scripts = re.findall(r"<script([^>]*)>([^<]*)</script>", page.content.decode())

    assert browser.get("/api/schema").status_code == 200
    assert len(scripts) == 3
    for attributes, inline in scripts:
        source = re.search(r'src="([^"]+)"', attributes).group(1)
        assert (source.startswith("/"), inline) == (True, "")
        if source.startswith("/static/"):
            assert finders.find(source.removeprefix("/static/"))
    assert "<style" not in page.content.decode()
    assert "/api/schema" in script.content.decode()
    assert {Client().get(path).status_code for path in ("/api/docs", "/api/schema")} <= {401, 403}
