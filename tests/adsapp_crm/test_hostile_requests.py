"""Requests that no browser and no program sends: refused, and never an error of ours.

A request is UTF-8, whatever charset it names: no codec of Python's makes an error, or gigabytes, of it.
"""

from __future__ import annotations

import codecs
import io
import json
import zlib
from wsgiref.util import setup_testing_defaults

import pytest
from django.db import connection as database

from adsapp_crm.models import Contact, Membership
from adsapp_crm.models.choices import Role
from adsapp_crm.services.organizations import add_member
from config.requests import readable
from config.wsgi import application

pytestmark = pytest.mark.django_db(transaction=True)

ODD = ["zlib_codec", "bz2", "rot13", "hex", "undefined", "idna", "utf-16", "cp037", "no-such", '"zlib_codec"']


class Slow(io.BytesIO):
    """A body; what happens until it is there."""

    def __init__(self, body, meanwhile):
        super().__init__(body)
        self.meanwhile = meanwhile

    def read(self, *size):
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return super().read(*size)


def ask(method, path, query="", body=b"", content_type="", **headers):
    """Through the entry point that the web server calls; the status."""
    statuses = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "HTTP_HOST": "localhost",
        **headers,
    }
    setup_testing_defaults(environ)
    application(environ, lambda status, _headers: statuses.append(int(status[:3]))).close()
    return statuses[0]


@pytest.mark.parametrize("charset", ODD)
def test_nobody_gets_an_error_out_of_a_charset(settings, charset):
    """Neither with a query nor with a form, by whoever knows the address."""
    settings.ALLOWED_HOSTS = ["*"]
    spellings = (f"charset={charset}", f"charset*=utf-8''{charset}", f"x*={charset}''%ff")
    for content_type in (f"text/plain; {each}" for each in spellings):
        assert ask("GET", "/admin/login/", "next=/%ff", content_type=content_type) == 200
        assert ask("GET", "/api/crm/contacts", "search=%ff", content_type=content_type) == 401
    form = f"application/x-www-form-urlencoded; charset={charset}"
    assert ask("POST", "/admin/login/", body=b"username=a", content_type=form) == 403


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("application/json", "application/json"),
        ("application/json; charset=UTF-8", "application/json; charset=UTF-8"),
        ("application/json; charset=zlib", "application/json"),
        ("application/json; charset*=utf-8''zlib", "application/json"),
        ("multipart/form-data; boundary=x", "multipart/form-data; boundary=x"),
        ("a/b; x*=nosuch''%ff", "a/b"),
        ("", ""),
    ],
)
def test_only_another_charset_is_taken_away(given, read):
    assert readable(given) == read


@pytest.mark.parametrize("charset", ["zlib_codec", "bz2_codec", "rot13", "hex_codec", "utf-16", "unicode_escape"])
def test_json_is_utf_8(client, tenant, charset):
    """A few bytes that a codec makes megabytes of are no JSON, and nothing is made of them."""
    client.force_login(tenant.user)
    plain = json.dumps({"firstName": "A"}).encode()
    body = zlib.compress(plain) if charset == "zlib_codec" else codecs.encode("{}", "utf-16") + plain
    answer = client.generic("POST", "/api/crm/contacts", body, content_type=f"application/json; charset={charset}")
    assert (answer.status_code, answer.json()["code"]) == (400, "request.invalid")
    with tenant.context():
        assert Contact.objects.count() == 0


def test_the_description_is_made_once_and_its_query_says_nothing(client, tenant, monkeypatch):
    """A version in the query stands in no header."""
    client.force_login(tenant.user)
    first = client.get("/api/schema?version=1%0d%0aX-Own:1")
    assert (first.status_code, first["Content-Disposition"]) == (200, 'inline; filename="openapi.yaml"')
    assert b"openapi: 3" in first.content[:20]
    monkeypatch.setattr("drf_spectacular.generators.SchemaGenerator.get_schema", lambda *_a, **_k: 1 / 0)
    assert client.get("/api/schema").content == first.content
    client.logout()
    assert client.get("/api/schema").status_code == 401


VERBS = [
    ("GET", "/api/crm/contacts"),
    ("POST", "/api/crm/sync"),
    ("POST", "/api/crm/api-keys"),
    ("PUT", "/api/crm/mapping"),
    ("DELETE", "/api/crm/connect/callback"),
    ("POST", "/dashboard/settings/crm/people"),
]
PAGES = ["/api/crm/me", "/dashboard/settings/crm/contacts", "/admin/adsapp_crm/contact/"]
QUERIES = [
    "q=%00",
    "q=%ed%a0%80",
    "p=-1&page=99999999999999999999",
    "p=99999999999999999999&o=%00",
    "id__exact=%00",
    "&".join(f"k{number}=1" for number in range(1_500)),
]
COOKIES = ['"\\000\\000aaaaaaaa"', '"\\377\\377aaaaaaaa"', "a" * 5_000, "\xff"]
HEADERS = [
    {"HTTP_X_ORGANIZATION": "\0"},
    {"HTTP_AUTHORIZATION": "Bearer \xff"},
    {"HTTP_ACCEPT": "a/b;q=\xff"},
    {"HTTP_HX_REQUEST": "true", "HTTP_HX_CURRENT_URL": "http://["},
    {"HTTP_REFERER": "http://[", "HTTP_ORIGIN": "http://["},
    {"HTTP_HOST": "a@b"},
    {"CONTENT_LENGTH": "x"},
    {"REQUEST_METHOD": "FOO"},
]
PATHS = [
    "/webhooks/hubspot/\0abc",
    "/dashboard/settings/crm/connect/\0",
    "/admin/adsapp_crm/contact/\0/change/",
    "/\xff",
]
BODIES = [
    b"\0",
    b"\xff",
    b"[]",
    b"null",
    b'{"crmType":"\\ud800"}',
    b'{"crmType":' + b"[" * 100_000,
    b'{"a":' + b"9" * 6_000,
]


def test_no_request_line_header_cookie_or_body_is_an_error_of_ours(client, tenant, settings):
    """Of somebody who is logged in, who gets further than others."""
    settings.ALLOWED_HOSTS = ["*"]
    client.force_login(tenant.user)
    session = {"HTTP_COOKIE": f"sessionid={client.cookies['sessionid'].value}"}
    asked = [("GET", path, query, b"", session) for path in PAGES for query in QUERIES]
    asked += [("GET", path, "", b"", {"HTTP_COOKIE": f"sessionid={each}"}) for path in PAGES for each in COOKIES]
    asked += [(verb, path, "", b"{}", session | each) for verb, path in VERBS for each in HEADERS]
    asked += [("GET", path, "", b"", session) for path in PATHS]
    token = {"HTTP_X_CSRFTOKEN": "a" * 32, "HTTP_COOKIE": f"csrftoken={'a' * 32}; {session['HTTP_COOKIE']}"}
    asked += [(verb, path, "", body, token) for verb, path in VERBS[1:] for body in BODIES]
    wrong = []
    for verb, path, query, body, headers in asked:
        status = ask(verb, path, query, body, "application/json", **headers)
        if status >= 500 or status < 200:
            wrong.append((status, verb, path, query[:50], body[:50], headers))
    assert wrong == []


def test_more_parameters_than_anybody_sends_are_refused(client, tenant):
    """By what no serializer comes to see."""
    client.force_login(tenant.user)
    answer = client.get(f"/api/crm/sync?{QUERIES[-1]}")
    assert (answer.status_code, answer.json()["code"]) == (400, "request.invalid")


def test_a_file_of_more_lines_than_a_request_may_take_is_refused_at_once(client, tenant):
    client.force_login(tenant.user)
    answer = client.post("/api/crm/contacts/import", "email\n" + "a\n" * 50_000, content_type="text/csv")
    assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")


@pytest.mark.parametrize("by_api", [True, False])
def test_what_somebody_may_is_asked_when_their_request_is_there(client, tenant, settings, by_api):
    """Who sends slowly does not keep a role that was taken meanwhile, and no transaction waits for the rest."""
    settings.ALLOWED_HOSTS = ["*"]
    with tenant.context():
        add_member("boss@example.com", Role.OWNER)
    client.force_login(tenant.user)
    waited = []

    def taken_out():
        waited.append(database.in_atomic_block)
        with tenant.context():
            Membership.objects.filter(user=tenant.user).delete()

    session = f"sessionid={client.cookies['sessionid'].value}; csrftoken={'a' * 32}"
    if by_api:
        body, kind, path = b'{"email": "me@example.com", "role": "admin"}', "application/json", "/api/crm/members"
    else:
        body = f"csrfmiddlewaretoken={'a' * 32}&act=member&email=me@example.com&role=admin".encode()
        kind, path = "application/x-www-form-urlencoded", "/dashboard/settings/crm/people"
    headers = {"HTTP_COOKIE": session, "HTTP_X_CSRFTOKEN": "a" * 32, "wsgi.input": Slow(body, taken_out)}
    assert ask("POST", path, body=body, content_type=kind, **headers) == (400 if by_api else 302)
    assert waited == [False]
    with tenant.context():
        assert [each.user.email for each in Membership.objects.select_related("user")] == ["boss@example.com"]
