"""Several people press the same button at once: one of them does it, and it is done once."""

from __future__ import annotations

import json
import threading
from unittest import mock

import pytest
from django.db import connection as database
from django.test import Client

from adsapp_crm.models import (
    Contact,
    CrmConflict,
    CrmConnection,
    CrmFieldMapping,
    CrmLedgerEntry,
    CrmObservation,
    CrmPlan,
    CrmPlanLine,
    CrmSyncLog,
    CrmSyncState,
    Membership,
    User,
)
from adsapp_crm.services.api_keys import make_key
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.services.syncing import approve_plan, drop_plan

pytestmark = pytest.mark.django_db(transaction=True)

AT_ONCE = 6
PATIENCE_SECONDS = 20


@pytest.fixture(autouse=True)
def _no_queue():
    with mock.patch("celery.app.task.Task.delay"), mock.patch("adsapp_crm.tasks.send_after_commit"):
        yield


@pytest.fixture
def key(tenant):
    with tenant.context():
        return make_key("test", ["admin"], actor="user:test").text


@pytest.fixture
def connection(tenant):
    with tenant.context():
        made = CrmConnection.objects.create(crm_type="hubspot", remote_account_id="42", remote_account_name="Acme")
        CrmFieldMapping.objects.create(connection=made, record_type="contacts", adsapp_field="email", crm_field="email")
        return made


@pytest.fixture
def plan(tenant, connection):
    """Of a run that has ended; nothing has been approved yet."""
    with tenant.context():
        run = CrmSyncLog.objects.create(
            connection=connection, sync_type="full", status="completed", record_types=["contacts"], actor="user:test"
        )
        CrmSyncLog.objects.filter(pk=run.pk).update(completed_at="2026-01-01T00:00Z")
        made = CrmPlan.objects.create(connection=connection, run=run, remote_account_id="42")
        CrmPlanLine.objects.create(plan=made, seq=1, stage=0, kind="create", record_type="contacts", action={})
        return made


def at_once(key, *requests):
    """Send them from a thread each, all at the same moment: [(status, code)]."""
    gate, answers = threading.Barrier(len(requests)), []

    def work(method, path, body):
        client = Client(headers={"Authorization": f"Bearer {key}", "Prefer": "respond-async"})
        gate.wait(PATIENCE_SECONDS)
        try:
            answer = client.generic(method, path, json.dumps(body or {}), content_type="application/json")
            code = answer.json().get("code", "") if answer.content else ""
            answers.append((answer.status_code, code if answer.status_code >= 400 else ""))
        finally:
            database.close()

    threads = [threading.Thread(target=work, args=each) for each in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == len(requests)
    return sorted(answers)


def won(answers):
    return [each for each in answers if each[0] < 300]


def test_a_plan_is_approved_once(tenant, plan, key):
    answers = at_once(key, *[("POST", f"/api/crm/plans/{plan.pk}/approve", None)] * AT_ONCE)
    assert len(won(answers)) == 1
    assert {code for status, code in answers if status >= 400} <= {"plan.closed", "run.busy"}
    with tenant.context():
        assert CrmSyncLog.objects.filter(approved=True).count() == 1


def test_a_plan_is_approved_or_dropped(tenant, plan, key):
    """Never both: what was dropped is not carried out."""
    paths = [f"/api/crm/plans/{plan.pk}/{word}" for word in ("approve", "drop")]
    answers = at_once(key, *[("POST", path, None) for path in paths * 3])
    assert len(won(answers)) == 1
    with tenant.context():
        plan.refresh_from_db()
        assert (plan.status == "approved") == CrmSyncLog.objects.filter(approved=True).exists()
        assert (plan.status == "approved") == CrmPlanLine.objects.filter(approved=True, status="planned").exists()


def test_an_approval_and_a_new_run_do_not_wait_for_each_other(tenant, plan, connection):
    """Whoever holds the connection may look at its plans: an approval that waits for the connection holds none."""
    outcome = []

    def approve():
        try:
            with tenant.context():
                approve_plan(plan.pk, actor="user:test")
                outcome.append("approved")
        except RefusedError as error:
            outcome.append(error.code)
        finally:
            database.close()

    second = threading.Thread(target=approve)
    with tenant.context():
        CrmConnection.objects.select_for_update(no_key=True).get(pk=connection.pk)
        second.start()
        _until_somebody_waits()
        drop_plan(plan.pk, actor="user:test")
    second.join()
    assert outcome == ["plan.closed"]


def _until_somebody_waits():
    pause = threading.Event()
    for _ in range(PATIENCE_SECONDS * 50):
        with database.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
        pause.wait(0.02)
    raise AssertionError("nobody waits for a lock")


def test_a_run_is_started_once(tenant, connection, key):
    """A second start is answered with the first run."""
    body = {"crmType": "hubspot", "syncType": "full"}
    answers = at_once(key, *[("POST", "/api/crm/sync", body)] * AT_ONCE)
    assert [status for status, _ in answers] == [202] * AT_ONCE
    with tenant.context():
        assert CrmSyncLog.objects.count() == 1


def test_two_contacts_are_merged_once(tenant, key):
    """Each into the other at once: one of them stays, and nothing points in a circle."""
    with tenant.context():
        ids = [Contact.objects.create(first_name=name).pk for name in ("Ann", "Anne")]
    pairs = [(ids[0], ids[1]), (ids[1], ids[0])] * 3
    answers = at_once(key, *[("POST", f"/api/crm/contacts/{a}/merge", {"otherId": str(b)}) for a, b in pairs])
    assert len(won(answers)) == 1
    assert {code for status, code in answers if status >= 400} == {"contact.merge"}
    with tenant.context():
        assert Contact.objects.filter(merged_into=None).count() == 1


def test_a_match_is_answered_with_one_pair(tenant, connection, key):
    """Two candidates are chosen at once, six times."""
    with tenant.context():
        people = [Contact.objects.create(first_name=name, email="info@example.com") for name in ("Ann", "Bob")]
        CrmObservation.objects.create(connection=connection, record_type="contacts", remote_id="7", values={})
        conflict = CrmConflict.objects.create(
            connection=connection,
            kind="match",
            code="match.ambiguous",
            record_type="contacts",
            remote_id="7",
            candidates=[f"contact:{each.pk}" for each in people],
        )
    path = f"/api/crm/conflicts/{conflict.pk}"
    answers = at_once(
        key,
        *[("POST", f"{path}/link", {"contactId": str(each.pk), "recordId": "7"}) for each in people * 2],
        ("POST", f"{path}/create", None),
        ("POST", f"{path}/ignore", None),
    )
    assert {code for status, code in answers if status >= 400} <= {"conflict.settled", "match.taken"}
    with tenant.context():
        links = CrmSyncState.objects.filter(crm_record_id="7").count()
        assert links <= 1
        assert links == CrmLedgerEntry.objects.filter(kind="link").count()
        assert won(answers)


def test_two_owners_do_not_remove_each_other(tenant, client):
    second = User.objects.create_user("second@example.com")
    with tenant.context():
        Membership.objects.create(user=second, role="owner")
        members = {each.user_id: each.pk for each in Membership.objects.all()}
    gate, statuses = threading.Barrier(2), []

    def work(user, other):
        browser = Client()
        browser.force_login(user)
        gate.wait(PATIENCE_SECONDS)
        try:
            statuses.append(browser.delete(f"/api/crm/members/{members[other.pk]}").status_code)
        finally:
            database.close()

    pairs = [(tenant.user, second), (second, tenant.user)]
    threads = [threading.Thread(target=work, args=each) for each in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses.count(200) == 1
    with tenant.context():
        assert Membership.objects.filter(role="owner").count() == 1
