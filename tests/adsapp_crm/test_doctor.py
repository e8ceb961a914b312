"""Testing a connection: a healthy one is healthy, and each of seven broken ones is named with what to do."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
import requests
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from django.test import Client

from adsapp_crm import wiring
from adsapp_crm.limiter import DayUse
from adsapp_crm.models import CrmConnection, CrmFieldMapping, CrmWebhookRefusal
from adsapp_crm.services.connections import connect_with_token, disconnect
from adsapp_crm.services.examination import CHECKS, Verdict, judge_clocks, judge_quota
from adsapp_crm.services.examining import examine
from adsapp_crm.services.subscriptions import keep_subscription
from tests.adsapp_crm.webhook_stand import APP_SECRET, TOKENS, connect, stand_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _loopback(settings):
    settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]


@pytest.fixture
def pipedrive(settings):
    with stand_in("pipedrive") as crm:
        settings.CRM_PROVIDERS = {"pipedrive": {"api_base": crm.url}}
        yield crm


@pytest.fixture
def connection(tenant, pipedrive):
    """A connection that works: its events come here, and one field more than the usual ones is mapped."""
    connection_id = connect(tenant, "pipedrive", approve=False)
    assert keep_subscription(tenant.id, connection_id, now=True) == ""
    return connection_id


def doctor(*arguments):
    """(exit code, JSON answer)."""
    out = StringIO()
    try:
        call_command("crm_doctor", *arguments, "--json", stdout=out, stderr=StringIO())
    except SystemExit as ended:
        return ended.code, json.loads(out.getvalue())
    return 0, json.loads(out.getvalue())


def failures(answer, *verdicts):
    wanted = verdicts or ("failed",)
    assert [each for each in answer["findings"] if each["verdict"] != "ok" and not each["fix"]] == []
    return [(each["check"], each["code"]) for each in answer["findings"] if each["verdict"] in wanted]


def change(tenant, **columns):
    with tenant.context():
        CrmConnection.objects.update(**columns)


def told_in_text(name):
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("crm_doctor", name, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_a_healthy_connection_is_healthy_in_every_check(tenant, connection, pipedrive):
    """Exit 0, each check once, nothing to mend; few requests, and nothing is changed."""
    with tenant.context():
        before = CrmConnection.objects.values().get()
    pipedrive.back_door("POST", "stats/reset")
    code, answer = doctor(str(connection))
    assert (code, answer["ok"], answer["worst"]) == (0, True, "ok")
    assert [each["check"] for each in answer["findings"]] == list(CHECKS)
    assert {each["verdict"] for each in answer["findings"]} == {"ok"}
    assert sum(pipedrive.back_door("GET", "stats")["requests"].values()) <= 5
    assert pipedrive.writes() == 0
    with tenant.context():
        assert CrmConnection.objects.values().get() == before


def test_broken_token(tenant, connection, pipedrive):
    """What needs the CRM is skipped and says so; the rest is looked at all the same."""
    pipedrive.back_door("DELETE", f"tokens/{TOKENS['pipedrive']}")
    code, answer = doctor("First/pipedrive")
    assert (code, failures(answer)) == (1, [("token", "auth.expired")])
    assert failures(answer, "skipped") == [(check, "connection.untested") for check in ("scopes", "schema", "webhook")]
    text = told_in_text("First/pipedrive")
    assert "FAILED   token" in text
    assert "[auth.expired]" in text


def test_broken_scopes(tenant, connection):
    """A log-in that was not granted all that is needed names what lacks."""
    change(tenant, granted_scopes=["base"])
    code, answer = doctor("First/pipedrive")
    assert (code, failures(answer)) == (1, [("scopes", "auth.scope_missing")])
    assert "contacts:full" in next(each["said"] for each in answer["findings"] if each["check"] == "scopes")


def test_a_token_without_the_right_to_see_fields_lacks_a_scope(tenant, settings):
    """A private app's token names no scopes: the CRM's refusal does."""
    with stand_in("hubspot") as hubspot:
        settings.CRM_PROVIDERS = {"hubspot": {"api_base": hubspot.url, "client_secret": APP_SECRET}}
        connection_id = connect(tenant, "hubspot", approve=False)
        poor = hubspot.back_door("POST", "tokens", {"scopes": ["oauth"]})["token"]
        with tenant.context():
            row = CrmConnection.objects.defer(None).get()
            row.seal_credentials({"token": poor})
            row.save(update_fields=["credentials"])
        found = examine(tenant.id, connection_id)
    assert ("scopes", "auth.scope_missing") in failures(found.as_json())


def test_broken_schema(tenant, connection):
    """A mapped field that is gone is named."""
    with tenant.context():
        CrmFieldMapping.objects.create(
            connection_id=connection, record_type="persons", adsapp_field="jobTitle", crm_field="f" * 40
        )
        CrmFieldMapping.objects.filter(adsapp_field="firstName").update(definition="another")
    code, answer = doctor("First/pipedrive")
    assert code == 1
    assert sorted(failures(answer)) == [("schema", "field.changed"), ("schema", "field.missing")]
    assert f"persons.{'f' * 40}" in json.dumps(answer)


@pytest.mark.parametrize("emptied", [True, False])
def test_broken_mapping(tenant, connection, emptied):
    """No row at all, or one that cannot be used."""
    with tenant.context():
        rows = CrmFieldMapping.objects.all()
        if emptied:
            rows.delete()
        else:
            rows.filter(adsapp_field="firstName").update(adsapp_field="shoeSize")
    code, answer = doctor("First/pipedrive")
    expected = "mapping.none" if emptied else "mapping.unknown_field"
    assert (code, failures(answer)) == (1, [("mapping", expected)])


@pytest.mark.parametrize("told_by", ["the row", "the limits"])
def test_broken_quota(tenant, connection, told_by):
    """The day's allowance is used up: until when, and what to do."""
    if told_by == "the row":
        change(tenant, parked_until=Now() + timedelta(hours=2))
    else:
        with tenant.context():
            row = CrmConnection.objects.defer(None).get()
        ears = []
        wiring.connector_of(row, listen=lambda limiter: ears.append(limiter) or limiter)
        ears[0].exhausted("daily", 7200)
    code, answer = doctor("First/pipedrive")
    assert (code, failures(answer)) == (1, [("quota", "quota.daily")])
    assert "work goes on in 2.0 h" in json.dumps(answer)


def test_broken_webhook(tenant, connection, pipedrive, settings):
    """The subscription was removed in the CRM; an installation that no CRM can reach is told, too."""
    for each in pipedrive.back_door("GET", "webhooks")["subscriptions"]:
        gone = requests.delete(
            f"{pipedrive.url}/api/v1/webhooks/{each['id']}",
            headers={"x-api-token": TOKENS["pipedrive"]},
            timeout=5,
        )
        assert gone.ok, gone.text
    code, answer = doctor("First/pipedrive")
    assert (code, failures(answer)) == (1, [("webhook", "webhook.not_subscribed")])
    settings.CRM_PROVIDERS = {"pipedrive": {"api_base": pipedrive.url, "auth_base": "https://oauth.pipedrive.com"}}
    code, answer = doctor("First/pipedrive")
    assert (code, failures(answer, "warning")) == (0, [("webhook", "webhook.not_public")])


def test_broken_clock(tenant, connection, pipedrive):
    """Ten minutes apart: signatures would be refused."""
    pipedrive.back_door("POST", "clock", {"advanceSeconds": 600})
    code, answer = doctor("First/pipedrive")
    assert (code, failures(answer)) == (1, [("clock", "clock.skewed")])
    assert "the CRM is 10 min ahead of the database" in json.dumps(answer)


def test_a_day_that_is_nearly_used_up_is_a_warning():
    """Of the part that this connection may use."""
    for used, verdict in ((63, Verdict.OK), (65, Verdict.WARNING), (80, Verdict.FAILED)):
        (found,) = judge_quota(DayUse(100, used, 0.8, 0.0, 3600.0), 0.0)
        assert found.verdict is verdict
    assert "1 h" not in found.said
    assert "60 min" in found.said
    (unknown,) = judge_quota(DayUse(None, 5000, 0.8, 0.0, 3600.0), 0.0)
    (away,) = judge_quota(None, 0.0)
    assert (unknown.verdict, away.verdict) == (Verdict.OK, Verdict.WARNING)


def test_whose_clock_differs_is_named():
    """This machine's, when the database and the CRM agree; within the allowance nothing is said."""
    (only,) = judge_clocks(-400.0, [-400.4], 60.0)
    assert (only.verdict, "the database is 7 min behind this machine" in only.said) == (Verdict.FAILED, True)
    (fine,) = judge_clocks(0.2, [-61.0, 58.0], 60.0)
    assert fine.verdict is Verdict.OK
    (slight,) = judge_clocks(0.0, [90.0], 60.0)
    assert slight.verdict is Verdict.WARNING


def test_refused_deliveries_are_told(tenant, connection):
    """Of the last day, by reason; whose they were is not known."""
    for day, number in (("2020-01-01", 9), (None, 3)):
        CrmWebhookRefusal.objects.create(
            crm_type="pipedrive", code="webhook.signature", day=day or Now(), deliveries=number, last_at=Now()
        )
    code, answer = doctor("First/pipedrive")
    assert (code, failures(answer, "warning")) == (0, [("webhook", "webhook.refused_lately")])
    assert "3 webhook.signature" in json.dumps(answer)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("First/salesforce", "connection.unknown"),
        ("First/nothing", "config.provider_unknown"),
        ("Nobody/pipedrive", "organization.unknown"),
        ("not-an-id", "connection.unknown"),
        ("0198b1f0-0000-7000-8000-000000000001", "connection.unknown"),
    ],
)
def test_a_connection_that_there_is_not_is_refused(tenant, connection, name, code):
    """Exit 2; the error says how to name one."""
    out = StringIO()
    with pytest.raises(CommandError) as raised:
        call_command("crm_doctor", name, "--json", stdout=out, stderr=StringIO())
    (error,) = json.loads(out.getvalue())["errors"]
    assert (raised.value.returncode, error["code"]) == (2, code)
    assert error["fix"]


def test_api_dashboard_and_admin_offer_the_same(tenant, connection, pipedrive):
    """The API answers the findings; the page shows them; the admin leads there; a viewer may not."""
    client = Client()
    client.force_login(tenant.user)
    answer = client.post(f"/api/crm/connections/{connection}/examine", content_type="application/json")
    assert (answer.status_code, answer.json()["ok"]) == (200, True)
    assert [each["check"] for each in answer.json()["findings"]] == list(CHECKS)
    pipedrive.back_door("DELETE", f"tokens/{TOKENS['pipedrive']}")
    page = "/dashboard/settings/crm/connections/pipedrive/test"
    assert b"auth.expired" not in client.get(page).content
    shown = client.post(page)
    assert (shown.status_code, b"auth.expired" in shown.content) == (200, True)
    assert b"Something has to be mended" in shown.content
    tenant.user.is_staff = tenant.user.is_superuser = True
    tenant.user.save()
    assert page.encode() in client.get(f"/admin/adsapp_crm/crmconnection/{connection}/change/").content


def test_a_disconnected_connection_is_not_tested(tenant, connection):
    disconnect(tenant.id, "pipedrive", actor="user:test")
    client = Client()
    client.force_login(tenant.user)
    assert client.post(f"/api/crm/connections/{connection}/examine", content_type="application/json").status_code == 404
    assert connect_with_token(tenant.id, "pipedrive", TOKENS["pipedrive"], actor="user:test").reconnected
