"""Plans, runs, conflicts and changes over the API: what a person sees before, during and after a sync."""

from __future__ import annotations

import uuid

import pytest

from adsapp_crm.models import CrmConflict, CrmLedgerEntry, CrmPlan, CrmSyncLog
from adsapp_crm.services.connections import connect_with_token
from adsapp_crm.services.contacts import create_contact
from config import celery_app
from tests.adsapp_crm.hubspot_account import TOKEN, hubspot_account

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hubspot(settings):
    with hubspot_account() as account:
        settings.CRM_PROVIDERS = {"hubspot": {"api_base": account.url}}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        yield account


@pytest.fixture
def worker():
    """Tasks are done where they are sent."""
    celery_app.conf.task_always_eager = True
    yield
    celery_app.conf.task_always_eager = False


@pytest.fixture
def connection(tenant, hubspot):
    """Two people with one address here: a question; one more: a record to make."""
    with tenant.context():
        create_contact({"firstName": "Ann", "email": "ann@x.example"})
        create_contact({"firstName": "Desk", "email": "info@x.example"})
        create_contact({"firstName": "Shop", "email": "info@x.example"})
    return str(connect_with_token(tenant.id, "hubspot", TOKEN, actor="user:test").connection_id)


def post(browser, path, body=None):
    return browser.post(path, body or {}, content_type="application/json")


def told(answer, status=200):
    assert answer.status_code == status, answer.content
    return answer.json()


def test_a_plan_is_made_read_approved_and_its_run_undone(browser, tenant, connection, worker):
    """Nothing is written before the approval; afterwards the run, its changes and its questions are there to read."""
    planned = told(post(browser, "/api/crm/plans", {"connectionId": connection, "syncType": "full"}))
    plan = planned["planId"]
    lines = told(browser.get(f"/api/crm/plans/{plan}/lines"))["items"]

    assert sorted(line["kind"] for line in lines) == ["create_in_crm", "review", "review"]
    assert [each["id"] for each in told(browser.get("/api/crm/plans"))["items"]] == [plan]
    assert told(browser.get("/api/crm/changes"))["items"] == []

    run = told(post(browser, f"/api/crm/plans/{plan}/approve"))

    assert (run["status"], run["counts"]["created_in_crm"], run["counts"]["conflicts"]) == ("completed", 1, 1)
    assert told(browser.get(f"/api/crm/runs/{run['id']}"))["status"] == "completed"
    (change,) = told(browser.get(f"/api/crm/changes?runId={run['id']}"))["items"]
    assert told(browser.get(f"/api/crm/changes/{change['id']}"))["kind"] == "create_in_crm"

    undo = told(post(browser, f"/api/crm/runs/{run['id']}/undo"))
    undone = told(post(browser, f"/api/crm/plans/{undo['planId']}/approve"))
    assert (undone["status"], undone["counts"]["deleted_in_crm"]) == ("completed", 1)


def test_a_question_is_listed_and_can_be_left_out_of_the_sync(browser, tenant, connection, worker):
    """One question for both people; ignoring it closes it."""
    plan = told(post(browser, "/api/crm/plans", {"connectionId": connection, "syncType": "full"}))["planId"]
    post(browser, f"/api/crm/plans/{plan}/approve")

    (question,) = told(browser.get("/api/crm/conflicts"))["items"]
    assert (question["kind"], question["status"]) == ("match", "open")
    ignored = told(post(browser, f"/api/crm/conflicts/{question['id']}/ignore"))

    assert ignored["status"] == "closed"
    assert told(browser.get("/api/crm/conflicts?status=open"))["items"] == []


def test_a_dropped_plan_is_carried_out_by_nobody(browser, tenant, connection, worker):
    """Approving it afterwards is refused, and nothing was written."""
    plan = told(post(browser, "/api/crm/plans", {"connectionId": connection, "syncType": "full"}))["planId"]

    assert told(post(browser, f"/api/crm/plans/{plan}/drop"))["status"] == "dropped"
    refused = post(browser, f"/api/crm/plans/{plan}/approve")

    assert (refused.status_code, refused.json()["code"]) == (409, "plan.closed")
    with tenant.context():
        assert CrmLedgerEntry.objects.count() == 0


def test_another_organization_finds_none_of_it(client, browser, tenant, other, connection, worker):
    """404 for every id, an empty list for every list, and nothing changed."""
    plan = told(post(browser, "/api/crm/plans", {"connectionId": connection, "syncType": "full"}))["planId"]
    run = told(post(browser, f"/api/crm/plans/{plan}/approve"))["id"]
    with tenant.context():
        conflict = CrmConflict.objects.get().pk
        change = CrmLedgerEntry.objects.get().pk
        before = (CrmSyncLog.objects.count(), CrmPlan.objects.count(), CrmConflict.objects.get().status)
    client.force_login(other.user)

    for name in ("runs", "plans", "conflicts", "changes"):
        assert told(client.get(f"/api/crm/{name}"))["items"] == []
    ids = {"runs": run, "plans": plan, "conflicts": conflict, "changes": change}
    for name, each in ids.items():
        assert client.get(f"/api/crm/{name}/{each}").status_code == 404
    for path in (f"runs/{run}/cancel", f"runs/{run}/undo", f"plans/{plan}/drop", f"conflicts/{conflict}/ignore"):
        assert post(client, f"/api/crm/{path}").status_code == 404
    asked = post(client, "/api/crm/plans", {"connectionId": connection, "syncType": "full"})
    assert asked.status_code == 404
    with tenant.context():
        assert (CrmSyncLog.objects.count(), CrmPlan.objects.count(), CrmConflict.objects.get().status) == before


@pytest.mark.parametrize("path", ["runs", "plans", "conflicts", "changes"])
def test_lists_refuse_what_they_do_not_know(browser, tenant, path):
    """An unknown query name is a problem with a code; an unknown id is not found."""
    assert browser.get(f"/api/crm/{path}?colour=red").status_code == 400
    assert browser.get(f"/api/crm/{path}/{uuid.uuid4()}").status_code == 404
