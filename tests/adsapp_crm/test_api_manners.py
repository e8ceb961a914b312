"""What holds for every route: roles, keys, requests that are done once, limits, staff, the description."""

from __future__ import annotations

import json
import re
import threading
import uuid
from pathlib import Path
from unittest import mock

import pytest
from django.apps import apps
from django.contrib.staticfiles import finders
from django.db import connection
from django.test import Client
from django.utils import timezone

from adsapp_crm.api.access import needed_role
from adsapp_crm.models import (
    ApiKey,
    Contact,
    CrmConflict,
    CrmLedgerEntry,
    CrmOutgoingWebhook,
    CrmPlan,
    CrmPlanLine,
    IdempotencyKey,
    Membership,
    OrganizationModel,
    StaffAccess,
    StaffAccessEvent,
    User,
)
from adsapp_crm.services.api_keys import ROLE_OF, Scope, make_key
from adsapp_crm.services.contacts import create_contact, update_contact
from adsapp_crm.services.erasure import erase_contact
from adsapp_crm.services.idempotency import EFFECT
from adsapp_crm.services.keys import rotate_values
from tests.adsapp_crm.api_matrix import MODEL_OF, NOWHERE, routes

pytestmark = pytest.mark.django_db(transaction=True)

DOCS = Path(__file__).resolve().parents[2] / "docs" / "api.md"
ROUTES = {route.label: route for route in routes()}
DOCUMENTED = {
    label: (role, scope)
    for label, role, scope in re.findall(
        r"^\| `([A-Z]+ [^`]+)` \| (\w+) \| (\w+) \|", DOCS.read_text("utf-8"), re.MULTILINE
    )
}
ROLES = ["viewer", "operator", "admin", "owner"]
NOWHERE_IDS = dict.fromkeys(MODEL_OF.values(), NOWHERE)
CONTACTS = "/api/crm/contacts"


@pytest.fixture(autouse=True)
def _no_queue():
    with mock.patch("celery.app.task.Task.delay"):
        yield


@pytest.fixture
def browser(client, tenant):
    client.force_login(tenant.user)
    return client


@pytest.fixture
def key(tenant):
    """A client with a key of this scope."""

    def made(*scopes, **named):
        with tenant.context():
            text = make_key("test", scopes, actor="user:test", **named).text
        return Client(headers={"Authorization": f"Bearer {text}"})

    return made


def post(browser, path, body=None, **headers):
    return browser.post(path, json.dumps(body or {}), content_type="application/json", headers=headers)


def problem(answer):
    assert answer["Content-Type"] == "application/problem+json", answer.content
    body = answer.json()
    assert {"type", "title", "status", "detail", "code", "fix"} <= set(body)
    return answer.status_code, body["code"]


# Addresses.


@pytest.mark.parametrize("path", ["/api/crm/contact", "/api/crm/contacts/17", "/api/crm/contacts/", "/api/", "/api/x"])
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_an_address_that_is_none_is_told_like_any_error(client, path, method):
    """To everybody, by every method: nothing about who may what is to be learned there."""
    assert problem(getattr(client, method)(path)) == (404, "request.not_found")


# Roles.


def test_the_table_in_the_documentation_is_the_truth():
    """Each route with its least role and scope, and none besides."""
    assert DOCUMENTED.keys() == ROUTES.keys()
    for label, (role, scope) in DOCUMENTED.items():
        assert needed_role(ROUTES[label].view, ROUTES[label].method) == role
        assert ROLE_OF[Scope(scope)] == role


@pytest.mark.parametrize("label", sorted(DOCUMENTED))
def test_each_role_may_do_what_the_table_says(label, tenant, browser, key):
    """Below the least role 403, whoever asks; from it on something else."""
    route, (role, scope) = ROUTES[label], DOCUMENTED[label]
    member = User.objects.create_user("member@example.com")
    client = Client()
    client.force_login(member)
    for held in ROLES:
        with tenant.context():
            Membership.objects.update_or_create(user=member, defaults={"role": held})
        answer = route.send(client, NOWHERE_IDS)
        if ROLES.index(held) < ROLES.index(role):
            assert problem(answer) == (403, "request.forbidden"), held
        else:
            assert answer.status_code not in {401, 403, 500}, held
    scopes = [each.value for each in Scope]
    for held in scopes:
        answer = route.send(key(held), NOWHERE_IDS)
        if scopes.index(held) < scopes.index(scope):
            assert problem(answer) == (403, "request.forbidden"), held
        else:
            assert answer.status_code not in {401, 403, 500}, held


def test_remembering_an_answer_needs_an_administrator(tenant, fill, key):
    """It changes the mapping."""
    conflict = fill(tenant)["CrmConflict"]
    answer = post(key("write"), f"/api/crm/conflicts/{conflict.pk}/resolve", {"side": "app", "remember": True})
    assert problem(answer) == (403, "request.forbidden")
    with tenant.context():
        assert CrmConflict.objects.get().status == "open"


# Keys.


@pytest.mark.parametrize(
    "text", ["", "crm_live_", "crm_live_0123456789ab_" + "x" * 43, "crm_test_x", "\u00e9", "crm_live_" + "x" * 5000]
)
def test_a_wrong_key_opens_nothing(tenant, browser, text):
    """All are answered alike, a session beside it helps nothing."""
    answer = browser.get("/api/crm/me", headers={"Authorization": f"Bearer {text}"})
    assert problem(answer) == (401, "key.refused")
    assert answer["WWW-Authenticate"] == "Bearer"


def test_a_key_whose_time_is_over_opens_nothing(tenant, key):
    """By the database's clock."""
    client = key("read", expires_at=timezone.now() + timezone.timedelta(hours=1))
    assert client.get("/api/crm/me").status_code == 200
    with tenant.context():
        ApiKey.objects.update(expires_at="2020-01-01T00:00Z")
    assert problem(client.get("/api/crm/me")) == (401, "key.refused")


def test_the_right_prefix_with_another_secret_opens_nothing(tenant):
    with tenant.context():
        made = make_key("test", ["admin"], actor="user:test")
    wrong = f"{made.row.prefix}_{'A' * 43}"
    assert problem(Client().get("/api/crm/me", headers={"Authorization": f"Bearer {wrong}"})) == (401, "key.refused")
    assert made.text not in repr(made)


def test_a_key_acts_in_its_own_name(tenant, key):
    """History names the key and the way; the use is noted, once a minute."""
    client = key("write")
    made = post(client, CONTACTS, {"firstName": "Ann"}).json()
    with tenant.context():
        row = ApiKey.objects.get()
        used = row.last_used_at
    (change,) = client.get(f"{CONTACTS}/{made['id']}/history").json()["items"]
    assert (change["who"], change["origin"]) == (f"key:{row.pk}", "api")
    with tenant.context():
        assert used is not None
        assert ApiKey.objects.get().last_used_at == used
    assert client.get("/api/crm/me").json()["actor"] == f"key:{row.pk}"


def test_a_key_gives_no_more_than_it_has(tenant, key):
    assert problem(post(key("write"), "/api/crm/api-keys", {"name": "x", "scopes": ["read"]}))[0] == 403
    admin = key("admin")
    assert post(admin, "/api/crm/api-keys", {"name": "x", "scopes": ["admin"]}).status_code == 201
    owner = {"email": "new@example.com", "role": "owner"}
    assert problem(post(admin, "/api/crm/members", owner)) == (403, "member.role")


def test_a_reading_key_is_shown_nothing_sensitive(tenant, fill, key):
    """Wherever a value could stand; with write it is shown."""
    rows = fill(tenant)
    secret = "Hemlock"
    fields = ["notes", "street", "postalCode", "whatsappNumber", "custom.tier"]
    with tenant.context():
        contact = create_contact({"firstName": "Ann", **dict.fromkeys(fields, secret)})
        update_contact(contact.pk, {"birthday": "1980-02-03"}, version=None)
        effects = [
            {"app_field": name, "remote_field": name, "rule": "created", "before": None, "after": secret}
            for name in [*fields, "birthday"]
        ]
        CrmLedgerEntry.objects.create(connection=rows["CrmConnection"], contact=contact, kind="sync", effects=effects)
        plan = CrmPlan.objects.get()
        CrmPlanLine.objects.create(
            plan=plan,
            seq=2,
            stage=0,
            kind="sync",
            record_type="contact",
            contact_id=contact.pk,
            action={"effects": effects},
        )
        for number, name in enumerate(fields):
            CrmConflict.objects.create(
                connection=rows["CrmConnection"],
                contact=contact,
                kind="field",
                mapping_id=str(number),
                app_field=name,
                values={"app": secret, "crm": secret},
            )
    paths = [
        CONTACTS,
        f"{CONTACTS}/{contact.pk}",
        f"{CONTACTS}/{contact.pk}/history",
        f"{CONTACTS}/{contact.pk}/records",
        f"{CONTACTS}/export",
        "/api/crm/changes",
        f"/api/crm/plans/{plan.pk}/lines",
        "/api/crm/conflicts",
    ]
    reads, writes = key("read"), key("write")
    for path in paths:
        shown = {name: text(client.get(path)) for name, client in (("read", reads), ("write", writes))}
        assert secret not in shown["read"], path
        assert "1980-02-03" not in shown["read"], path
        if not path.endswith("records"):
            assert secret in shown["write"], path


def text(answer):
    assert answer.status_code == 200, answer.content
    return (b"".join(answer.streaming_content) if answer.streaming else answer.content).decode()


# Done once.


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


# Staff.


def test_what_our_staff_look_at_is_written_down(tenant):
    """Each request under a grant, without its query."""
    staff = User.objects.create_user("staff@example.com", is_staff=True)
    with tenant.context():
        StaffAccess.objects.create(user=staff, reason="ticket 7", expires_at="2999-01-01T00:00Z")
    client = Client()
    client.force_login(staff)
    named = {"X-Organization": str(tenant.id)}
    assert client.get(f"{CONTACTS}?search=canary", headers=named).status_code == 200
    assert problem(post(client, CONTACTS, {"firstName": "Ann"}, **named)) == (403, "request.forbidden")
    with tenant.context():
        assert list(StaffAccessEvent.objects.values_list("method", "path")) == [("GET", CONTACTS)]


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
