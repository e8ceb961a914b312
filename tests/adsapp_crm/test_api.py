"""The guide's routes: their keys, their refusals, and that a refusal changes nothing."""

from __future__ import annotations

import uuid

import pytest
from django.db.models.functions import Now

from adsapp_crm.models import Contact, CrmConnection, CrmJobSlot, CrmSyncLog, CrmSyncState, Membership
from adsapp_crm.services import seats
from adsapp_crm.services.connections import connect_with_token
from config import celery_app
from tests.adsapp_crm.hubspot_account import TOKEN, hubspot_account

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "s" * 40


@pytest.fixture
def hubspot(settings):
    with hubspot_account() as account:
        settings.CRM_PROVIDERS = {"hubspot": {"api_base": account.url}}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        yield account


@pytest.fixture
def connection(tenant, hubspot):
    return connect_with_token(tenant.id, "hubspot", TOKEN, actor="user:test").connection_id


@pytest.fixture
def worker():
    """Tasks are done where they are sent."""
    celery_app.conf.task_always_eager = True
    yield
    celery_app.conf.task_always_eager = False


def post(browser, path, body, **headers):
    return browser.post(path, body, content_type="application/json", headers=headers)


def connect(browser, **config):
    return post(browser, "/api/crm/connect", {"crmType": "hubspot", "config": config})


def problem(answer):
    assert answer["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert {"type", "title", "status", "detail", "code", "fix"} <= set(body)
    assert body["status"] == answer.status_code
    return answer.status_code, body["code"]


def count(tenant, model):
    with tenant.context():
        return model.objects.count()


# Connect.


def test_a_token_connects(browser, tenant, hubspot):
    """The guide's keys; no address to go to, since nothing is left to do at the CRM."""
    answer = connect(browser, apiToken=TOKEN)

    assert answer.status_code == 201
    with tenant.context():
        row = CrmConnection.objects.get()
    assert (answer.json()["authUrl"], answer.json()["connectionId"]) == (None, str(row.pk))
    assert TOKEN not in answer.content.decode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"crmType": "hubspot"}, (400, "oauth.not_configured")),
        ({"crmType": "hubspot", "config": {"clientId": "x"}}, (400, "oauth.not_configured")),
        ({"crmType": "zoho", "config": {"apiToken": TOKEN}}, (400, "config.provider_unknown")),
        ({"crmType": "hubspot", "config": {"apiToken": "pat-wrong"}}, (409, "auth.expired")),
        ({"crmType": "hubspot", "config": {"apiToken": "with a blank"}}, (400, "config.token_missing")),
        ({"config": {"apiToken": TOKEN}}, (400, "request.invalid")),
        ({"crmType": "hubspot", "config": {"token": TOKEN}}, (400, "request.invalid")),
        ([], (400, "request.invalid")),
    ],
)
def test_what_cannot_be_connected_leaves_nothing(browser, tenant, hubspot, body, expected):
    """A problem with a code; no row."""
    assert problem(post(browser, "/api/crm/connect", body)) == expected
    assert count(tenant, CrmConnection) == 0


def test_a_second_live_connection_is_refused(browser, tenant, connection):
    """409; the one there is stays."""
    assert problem(connect(browser, apiToken=TOKEN)) == (409, "connection.exists")
    assert count(tenant, CrmConnection) == 1


def test_disconnecting_forgets_the_token_and_reconnecting_finds_the_links(browser, tenant, connection):
    """The same row, its links and mappings; the token is gone in between."""
    with tenant.context():
        contact = Contact.objects.create(email="ann@example.com")
        CrmSyncState.objects.create(
            connection_id=connection, contact=contact, crm_record_type="contacts", crm_record_id="1"
        )

    gone = browser.delete("/api/crm/connect?crm_type=hubspot")
    with tenant.context():
        row = CrmConnection.objects.defer(None).get()
        assert (row.status, row.open_credentials()) == ("disconnected", {})
    again = connect(browser, apiToken=TOKEN)

    assert gone.json() == {"success": True, "connectionId": str(connection)}
    assert (again.status_code, again.json()["connectionId"], again.json()["reconnected"]) == (
        200,
        str(connection),
        True,
    )
    assert count(tenant, CrmSyncState) == 1
    assert problem(browser.delete("/api/crm/connect?crm_type=pipedrive"))[0] in (400, 404)


def test_a_callback_without_a_log_in_here_ends_there(client):
    """A page for people, a problem for programs; nothing of the query comes back."""
    page = client.get("/api/crm/connect/callback?code=canary&error_description=<b>", headers={"Accept": "text/html"})
    program = client.get("/api/crm/connect/callback?code=canary")

    assert page.status_code == 403
    assert page["Content-Type"].startswith("text/html")
    assert "canary" not in page.content.decode()
    assert problem(program) == (403, "oauth.session")


# Sync.


def test_a_sync_that_ends_in_time_answers_with_its_result(browser, tenant, connection, hubspot, worker):
    """The guide's keys; a first sync is held and says by which plan."""
    hubspot.add({"firstname": "Bob", "email": "bob@example.com"})

    answer = post(browser, "/api/crm/sync", {"crmType": "hubspot", "syncType": "full"})
    body = answer.json()

    assert answer.status_code == 200
    assert {"success", "recordsProcessed", "recordsSuccess", "recordsFailed", "duration", "errors"} <= set(body)
    assert (body["status"], body["success"], body["recordsProcessed"], body["recordsFailed"]) == ("held", True, 1, 0)
    assert body["errors"][0]["code"] == "brake.first_sync"
    assert uuid.UUID(body["planId"])
    assert count(tenant, Contact) == 0


def test_a_sync_that_takes_longer_is_told_where_to_look(browser, tenant, connection, settings):
    """202 with the run's address, and a second request is answered with the same run."""
    settings.CRM_SYNC_WAIT_SECONDS = 0

    first = post(browser, "/api/crm/sync", {"crmType": "hubspot", "syncType": "full"})
    assert first.status_code == 202, first.content
    second = post(browser, "/api/crm/sync", {"crmType": "hubspot", "syncType": "delta"})
    later = browser.get(first["Location"])

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["runId"] == second.json()["runId"] == later.json()["run"]["runId"]
    assert count(tenant, CrmSyncLog) == 1


def test_an_unknown_contact_starts_no_run(browser, tenant, other, connection):
    """Another organization's contact is unknown too."""
    with other.context():
        foreign = Contact.objects.create(email="ann@example.com")

    for contact_id in (str(uuid.uuid4()), str(foreign.pk)):
        answer = post(browser, "/api/crm/sync", {"crmType": "hubspot", "contactId": contact_id})
        assert problem(answer) == (404, "contact.unknown")
        assert answer.json()["errors"][0]["pointer"] == "/contactId"
    assert count(tenant, CrmSyncLog) == 0


def test_status_and_history_have_the_guides_keys(browser, tenant, connection, worker):
    """Connection, status, history."""
    post(browser, "/api/crm/sync", {"crmType": "hubspot", "syncType": "full"})

    body = browser.get("/api/crm/sync?crm_type=hubspot").json()

    assert {"id", "crmType", "status", "lastSync"} <= set(body["connection"])
    assert body["connection"]["id"] == str(connection)
    assert body["status"] == {"connected": True, "recordCount": 0}
    assert [run["syncType"] for run in body["history"]] == ["full"]
    assert browser.get(f"/api/crm/sync?crm_type=hubspot&run={uuid.uuid4()}").status_code == 404


def test_a_paused_connection_is_not_synced(browser, tenant, connection):
    """409, and no run."""
    with tenant.context():
        CrmConnection.objects.update(status="paused", health="paused")

    assert problem(post(browser, "/api/crm/sync", {"crmType": "hubspot"})) == (409, "connection.paused")
    assert count(tenant, CrmSyncLog) == 0


# Who may.

ROUTES = [
    ("post", "/api/crm/connect"),
    ("delete", "/api/crm/connect?crm_type=hubspot"),
    ("get", "/api/crm/sync?crm_type=hubspot"),
    ("post", "/api/crm/sync"),
    ("get", "/api/crm/mapping?crm_type=hubspot"),
    ("put", "/api/crm/mapping"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_enters_without_logging_in(client, method, path):
    """Every route of organization data."""
    assert problem(getattr(client, method)(path)) == (401, "request.unauthenticated")


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_an_organization_there_is_no_answer(client, make_organization, method, path):
    """A person of two organizations who chose none is asked to choose."""
    tenant = make_organization()
    make_organization(email=tenant.user.email)
    client.force_login(tenant.user)

    assert problem(getattr(client, method)(path)) == (400, "organization.missing")


@pytest.mark.parametrize(("method", "path"), ROUTES[1:])
def test_another_organizations_connection_is_not_there(client, other, connection, method, path):
    """404, as if nobody had connected; what the body is missing is said first."""
    client.force_login(other.user)
    bodies = {"/api/crm/sync": {"crmType": "hubspot"}, "/api/crm/mapping": {"crmType": "hubspot", "mappings": []}}
    named = {"data": bodies[path], "content_type": "application/json"} if path in bodies else {}

    assert problem(getattr(client, method)(path, **named)) == (404, "connection.unknown")


def test_a_viewer_starts_nothing(browser, tenant, connection):
    """Reading is allowed, all else refused and nothing done."""
    with tenant.context():
        Membership.objects.update(role="viewer")

    assert browser.get("/api/crm/sync?crm_type=hubspot").status_code == 200
    assert problem(post(browser, "/api/crm/sync", {"crmType": "hubspot"})) == (403, "request.forbidden")
    assert problem(browser.delete("/api/crm/connect?crm_type=hubspot")) == (403, "request.forbidden")
    assert count(tenant, CrmSyncLog) == 0
    with tenant.context():
        assert CrmConnection.objects.get().status == "active"


def test_a_session_needs_its_csrf_token(tenant, connection):
    """A page of another site cannot start a sync in somebody's name."""
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(tenant.user)

    assert post(strict, "/api/crm/sync", {"crmType": "hubspot"}).status_code == 403
    assert count(tenant, CrmSyncLog) == 0


def test_the_guides_paths_have_no_slash_at_their_end(browser):
    """One address each."""
    assert browser.get("/api/crm/sync/").status_code == 404


# The cron address.


def cron(client, job="cleanup", *, secret=SECRET, method="post", path=""):
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    return getattr(client, method)(path or f"/api/cron/crm-sync?job={job}", headers=headers)


@pytest.fixture
def secrets(settings):
    settings.CRON_SECRETS = [SECRET, "t" * 40]


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("secret", [SECRET, "t" * 40])
def test_a_job_is_started_once_a_slot(client, secrets, worker, method, secret):
    """By either of two secrets, by either method; a repetition is answered and does nothing."""
    first = cron(client, secret=secret, method=method)
    second = cron(client, secret=secret, method=method)

    assert (first.status_code, first.json()) == (202, {"success": True, "job": "cleanup", "started": True})
    assert (second.status_code, second.json()["started"]) == (200, False)
    slot = CrmJobSlot.objects.get()
    assert slot.finished_at is not None


@pytest.mark.parametrize("secret", [None, "", "wrong", SECRET[:-1], SECRET + "x", "ſ" * 40])
def test_a_wrong_secret_is_answered_like_a_missing_one(client, secrets, secret):
    """The same answer, and no job."""
    answer = cron(client, secret=secret)

    assert problem(answer) == (401, "job.refused")
    assert answer.content == cron(client, secret=None).content
    assert CrmJobSlot.objects.count() == 0


def test_a_secret_in_the_address_opens_nothing(client, secrets):
    """Addresses end in logs."""
    path = f"/api/cron/crm-sync?job=cleanup&secret={SECRET}&Authorization=Bearer%20{SECRET}"

    assert problem(cron(client, secret=None, path=path)) == (401, "job.refused")


@pytest.mark.parametrize("configured", [[], ["short"]])
def test_without_a_secret_the_address_is_closed(client, settings, configured):
    """503 to everybody, whoever sends whatever."""
    settings.CRON_SECRETS = configured

    for secret in (None, "", "short", SECRET):
        assert problem(cron(client, secret=secret)) == (503, "job.unset")
    assert CrmJobSlot.objects.count() == 0


@pytest.mark.parametrize("job", ["", "deltasync", "CLEANUP"])
def test_an_unknown_job_is_refused(client, secrets, job):
    """400 with the names there are."""
    answer = cron(client, job=job)

    assert problem(answer) == (400, "job.unknown")
    assert "delta-sync" in answer.json()["fix"]
    assert CrmJobSlot.objects.count() == 0


def test_a_wait_beyond_the_number_of_waiters_is_none(browser, tenant, connection, settings, monkeypatch):
    """With every seat taken the answer is 202 at once; the seat is free again afterwards."""
    settings.CRM_SYNC_WAIT_SECONDS, settings.CRM_SYNC_WAITERS = 3600, 1
    monkeypatch.setattr("adsapp_crm.tasks.sync_page.delay", lambda _run: None)
    inner = []

    def while_the_first_one_waits(_seconds):
        inner.append(post(browser, "/api/crm/sync", {"crmType": "hubspot", "syncType": "full"}))
        with tenant.context():
            CrmSyncLog.objects.update(status="completed", phase="done", completed_at=Now())

    monkeypatch.setattr("adsapp_crm.api.waiting.time.sleep", while_the_first_one_waits)
    first = post(browser, "/api/crm/sync", {"crmType": "hubspot", "syncType": "full"})
    assert ([answer.status_code for answer in inner], first.status_code) == ([202], 200)
    assert first.json()["runId"] in inner[0]["Location"]
    with seats.WAITERS.one() as is_free:
        assert is_free
