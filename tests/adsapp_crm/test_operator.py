"""What operators read and do: structured logs, debug mode, refused deliveries, trying again."""

from __future__ import annotations

import io
import json
import logging
import uuid
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError
from django.db.models.functions import Now
from django.test import Client

from adsapp_crm.models import Contact, CrmConnection, CrmSyncLog, CrmSyncState, CrmWebhookRefusal
from adsapp_crm.services.connection_rules import set_debug_mode
from adsapp_crm.services.refused_deliveries import refused_deliveries
from adsapp_crm.services.stepping import step_run
from adsapp_crm.services.syncing import start_run
from config.logs import configure
from crm.model import RunKind
from tests.adsapp_crm.webhook_stand import TOKENS, add_contact, connect, stand_in

pytestmark = pytest.mark.django_db

PERSON = {"firstName": "Canarybird", "lastName": "Ofthemine", "email": "canary@mine.example", "phone": "+31612345678"}


@pytest.fixture
def logged():
    """The lines that production writes, as they are written; call it to read them."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    wanted = configure("INFO")
    handler.setFormatter(logging.config.DictConfigurator(wanted).configure_formatter(wanted["formatters"]["json"]))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def connection(tenant, settings):
    with stand_in("pipedrive") as crm:
        settings.CRM_PROVIDERS = {"pipedrive": {"api_base": crm.url}}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        add_contact(tenant, **PERSON)
        yield connect(tenant, "pipedrive", approve=False)


def sync(tenant, connection):
    run_id = start_run(tenant.id, connection, RunKind.FULL, actor="user:test")
    step_run(tenant.id, run_id)
    return str(run_id)


def requests_in(lines):
    return [each for each in lines if each["event"] == "request to a CRM"]


def names_nobody(lines):
    text = json.dumps(lines)
    hidden = [*PERSON.values(), "612345678", *TOKENS.values()]
    return [each for each in hidden if each in text] == []


def test_debug_mode_logs_each_request_until_its_time(tenant, connection, logged):
    """Operation, path, status, run and connection; no value, no token, no host; by the database's clock."""
    sync(tenant, connection)
    assert requests_in(logged()) == []
    with tenant.context():
        set_debug_mode(connection, 30)
    run_id = sync(tenant, connection)
    lines = requests_in(logged())
    with tenant.context():
        assert len(lines) == CrmSyncLog.objects.get(pk=run_id).api_calls > 0
    first = lines[0]
    assert {each["run_id"] for each in lines} == {run_id}
    assert {each["connection_id"] for each in lines} == {str(connection)}
    assert (first["crm"], first["method"], first["status"], first["level"]) == ("pipedrive", "GET", 200, "info")
    assert first["path"].startswith("/")
    assert names_nobody(logged())
    with tenant.context():
        CrmConnection.objects.update(debug_until=Now() - timedelta(seconds=1))
    sync(tenant, connection)
    assert len(requests_in(logged())) == len(lines)


def test_debug_mode_is_set_over_the_api_and_shown(tenant, connection):
    """Administrators set it, 0 ends it, more than a day is refused; card and API show until when."""
    client = Client()
    client.force_login(tenant.user)
    path = f"/api/crm/connections/{connection}/debug"
    card = "/dashboard/settings/crm/connections/pipedrive"

    def set_minutes(minutes):
        return client.post(path, json.dumps({"minutes": minutes}), content_type="application/json")

    assert b"Debug mode:" not in client.get(card).content
    assert set_minutes(30).json()["debugUntil"] is not None
    assert b"Debug mode:" in client.get(card).content
    for wrong in (1441, -1, "soon", None):
        assert set_minutes(wrong).json()["code"] == "request.invalid"
    with tenant.context():
        CrmConnection.objects.update(debug_until=Now() - timedelta(seconds=1))
    assert client.get(f"/api/crm/connections/{connection}").json()["debugUntil"] is None
    assert b"Debug mode:" not in client.get(card).content
    assert b"Debug mode:" in client.post(f"{card}/debug", {"minutes": "120"}, follow=True).content
    assert b"Debug mode:" not in client.post(f"{card}/debug", {"minutes": "0"}, follow=True).content
    assert b"at most 1440 minutes" in client.post(f"{card}/debug", {"minutes": "5000"}, follow=True).content


def test_a_request_line_has_an_id_and_names_nobody(tenant, connection, logged):
    """One line of JSON when it has ended, with an id of ours, whatever id the caller made up."""
    client = Client()
    client.force_login(tenant.user)
    client.get("/api/crm/contacts?q=canary@mine.example", headers={"X-Request-ID": "canary@mine.example"})
    lines = [each for each in logged() if each["event"].startswith("request_")]
    assert [each["event"] for each in lines] == ["request_finished"]
    assert {each["request"] for each in lines} == {"GET /api/crm/contacts"}
    (request_id,) = {each["request_id"] for each in lines}
    assert uuid.UUID(request_id)
    assert all({"timestamp", "level", "logger"} <= set(each) for each in lines)
    assert names_nobody(logged())


def test_what_an_error_quotes_is_masked(logged):
    """PostgreSQL quotes the row, libraries quote arguments; the traceback keeps its places and no variable."""
    log = logging.getLogger("adsapp_crm.somewhere")
    quoted = f"null value in column\nDETAIL:  Failing row contains (1, {PERSON['firstName']}).\nCONTEXT:  none"
    with pytest.raises(IntegrityError) as raised:
        raise IntegrityError(quoted)
    log.error("task raised unexpected: %r", raised.value, exc_info=raised.value)
    log.warning("no answer for %s", PERSON["email"], extra={"connection_id": "c", "values": PERSON})
    error, plain = logged()
    assert error["exception"][0]["frames"]
    assert "null value" in error["exception"][0]["exc_value"]
    assert "null value" in error["event"]
    assert (plain["event"], plain["connection_id"], "values" in plain) == ("no answer for ***", "c", False)
    assert names_nobody([error, plain])


# Refused deliveries ----------------------------------------------------------------------------------------


@pytest.fixture
def refused():
    for day, code, number in (
        ("2020-01-01", "webhook.stale", 9),
        (None, "webhook.signature", 3),
        (None, "webhook.stale", 4),
    ):
        CrmWebhookRefusal.objects.create(
            crm_type="hubspot", code=code, day=day or Now(), deliveries=number, last_at=Now()
        )


def test_refused_deliveries_are_counted_by_reason(refused):
    """Of the last days; the whole installation's."""
    assert [(each.code, each.deliveries) for each in refused_deliveries()] == [
        ("webhook.stale", 4), ("webhook.signature", 3),
    ]  # fmt: skip
    assert sum(each.deliveries for each in refused_deliveries(days=10_000)) == 16
    assert refused_deliveries(crm_type="pipedrive") == []


def test_refused_deliveries_are_shown(tenant, refused):
    """API, dashboard and admin, with what to do; the API refuses a span that is none."""
    client = Client()
    client.force_login(tenant.user)
    (first, second) = client.get("/api/crm/webhook-refusals").json()["items"]
    assert (first["code"], first["deliveries"], bool(first["fix"])) == ("webhook.stale", 4, True)
    assert second["crmType"] == "hubspot"
    assert client.get("/api/crm/webhook-refusals?days=0").status_code == 400
    assert b"webhook.signature" in client.get("/dashboard/settings/crm/webhooks").content
    tenant.user.is_staff = True
    tenant.user.save()
    page = client.get("/admin/adsapp_crm/crmwebhookrefusal/")
    assert (page.status_code, b"webhook.signature" in page.content) == (200, True)
    assert client.get("/admin/adsapp_crm/crmwebhookrefusal/add/").status_code == 403


# Trying again ----------------------------------------------------------------------------------------------


@pytest.fixture
def failing(tenant, connection):
    with tenant.context():
        contact = Contact.objects.get()
        CrmConnection.objects.update(first_sync_approved_at=Now())
        return CrmSyncState.objects.create(
            connection_id=connection, contact=contact, crm_record_type="persons", crm_record_id="77",
            error_code="field.too_long", attempts=3,
        )  # fmt: skip


def retry(*arguments):
    out = StringIO()
    call_command("crm_retry", *arguments, "--json", stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def link(tenant):
    with tenant.context():
        return CrmSyncState.objects.values("error_code", "attempts", "due").get()


def test_failing_records_are_counted_first_and_tried_again_with_yes(tenant, failing):
    """Without --yes nothing changes; with it their attempts begin anew and a run takes them at once."""
    before = link(tenant)
    assert retry("First", "pipedrive") == {
        "ok": True, "records": {"field.too_long": 1}, "retried": False, "runId": None,
    }  # fmt: skip
    assert retry("First", "pipedrive", "--code", "field.readonly", "--yes")["records"] == {}
    assert link(tenant) == before
    done = retry("First", "pipedrive", "--code", "field.too_long", "--yes")
    assert (done["retried"], link(tenant)) == (True, {"error_code": "", "attempts": 0, "due": True})
    with tenant.context():
        run = CrmSyncLog.objects.get(pk=done["runId"])
        assert (run.trigger, run.contact_ids) == ("retry", [str(failing.contact_id)])
    again = retry("First", "pipedrive", "--yes")
    assert (again["records"], again["runId"]) == ({}, None)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["First", "pipedrive", "--code", "no.such"], "request.invalid"),
        (["First", "hubspot"], "connection.unknown"),
        (["Nobody", "pipedrive"], "organization.unknown"),
    ],
)
def test_a_wrong_retry_is_refused(tenant, failing, arguments, code):
    before = link(tenant)
    out = StringIO()
    with pytest.raises(CommandError) as raised:
        call_command("crm_retry", *arguments, "--yes", "--json", stdout=out, stderr=StringIO())
    assert (raised.value.returncode, json.loads(out.getvalue())["errors"][0]["code"]) == (2, code)
    assert link(tenant) == before


def test_the_api_starts_a_run_over_what_is_retried(tenant, failing, connection, django_capture_on_commit_callbacks):
    """At once, not with the next schedule."""
    client = Client()
    client.force_login(tenant.user)
    body = json.dumps({"connectionId": str(connection), "code": "field.too_long"})
    answer = client.post("/api/crm/records/retry", body, content_type="application/json")
    assert answer.json() == {"records": 1}
    with tenant.context():
        run = CrmSyncLog.objects.get(trigger="retry")
    assert run.contact_ids == [str(failing.contact_id)]


def test_a_connection_that_syncs_while_records_fail_is_not_late(tenant, connection):
    """Some record always fails somewhere; a probe that is red for it says nothing. One that is stopped is told."""
    with tenant.context():
        CrmConnection.objects.update(health="needs_attention", status="active", last_success_at=Now())
    call_command("crm_status", "--fail-on", "late", stdout=StringIO())
    with pytest.raises(SystemExit):
        call_command("crm_status", "--fail-on", "attention", stdout=StringIO())
    with tenant.context():
        CrmConnection.objects.update(status="error")
    with pytest.raises(SystemExit):
        call_command("crm_status", "--fail-on", "late", stdout=StringIO())


@pytest.mark.parametrize(
    ("health", "word", "code"),
    [
        ("healthy", "late", 1), ("healthy", "attention", 0), ("needs_reconnect", "reconnect", 1),
        ("needs_reconnect", "never", 0), ("held", "attention", 1), ("held", "reconnect", 0),
    ],
)  # fmt: skip
def test_a_probe_fails_by_the_word_it_was_given(tenant, connection, health, word, code):
    """Exit 1 for that state and every worse one; the connection here has had no success for a day."""
    with tenant.context():
        CrmConnection.objects.update(
            health=health, first_sync_approved_at=Now() - timedelta(days=1), last_success_at=None
        )
    out = StringIO()
    try:
        call_command("crm_status", "--fail-on", word, "--json", stdout=out, stderr=StringIO())
        ended = 0
    except SystemExit as error:
        ended = error.code
    assert (ended, json.loads(out.getvalue())["ok"]) == (code, code == 0)
