"""Runs, plans, conflicts, records and changes over the API, against the HubSpot fake."""

from __future__ import annotations

import uuid

import pytest

from adsapp_crm.models import (
    Contact,
    CrmConflict,
    CrmConnection,
    CrmFieldMapping,
    CrmLedgerEntry,
    CrmPlan,
    CrmSyncLog,
    CrmSyncState,
)
from adsapp_crm.services.connections import connect_with_token
from config import celery_app
from tests.adsapp_crm.hubspot_account import TOKEN, hubspot_account

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hubspot(settings):
    with hubspot_account() as account:
        settings.CRM_PROVIDERS = {"hubspot": {"api_base": account.url}}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        celery_app.conf.task_always_eager = True
        yield account
        celery_app.conf.task_always_eager = False


@pytest.fixture
def connection(tenant, hubspot):
    return str(connect_with_token(tenant.id, "hubspot", TOKEN, actor="user:test").connection_id)


@pytest.fixture
def row(tenant):
    """A connection without a CRM behind it."""
    with tenant.context():
        return CrmConnection.objects.create(crm_type="hubspot", remote_account_id="42")


@pytest.fixture
def link(tenant, row):
    """Add a link of a new contact."""

    def made(number=1, **values):
        with tenant.context():
            contact = Contact.objects.create(first_name=f"Contact {number}")
            values.setdefault("synced_version", 1)
            return CrmSyncState.objects.create(
                connection=row, contact=contact, crm_record_type="contacts", crm_record_id=str(number), **values
            )

    return made


def post(browser, path, body=None, **headers):
    return browser.post(f"/api/crm/{path}", body or {}, content_type="application/json", headers=headers)


def get(browser, path):
    answer = browser.get(f"/api/crm/{path}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def problem(answer):
    assert answer["Content-Type"] == "application/problem+json", answer.content
    return answer.status_code, answer.json()["code"]


def test_a_dry_run_is_looked_at_approved_and_taken_back(browser, tenant, connection, hubspot):
    """Plan, lines, approval, ledger, undo: nothing is written before somebody says yes."""
    (remote_id,) = hubspot.add({"firstname": "Bob", "email": "bob@example.com"})

    planned = post(browser, "plans", {"connectionId": connection, "syncType": "full"}).json()
    plan = get(browser, f"plans/{planned['planId']}")
    lines = get(browser, f"plans/{plan['id']}/lines")["items"]
    with tenant.context():
        assert Contact.objects.count() == 0
    applied = post(browser, f"plans/{plan['id']}/approve")
    changes = get(browser, f"changes?runId={applied.json()['id']}")["items"]

    assert (planned["status"], planned["dryRun"]) == ("completed", True)
    assert [(each["kind"], each["recordId"]) for each in lines] == [("create_in_app", remote_id)]
    assert {"field": "firstName", "after": "Bob"}.items() <= next(
        each for each in lines[0]["effects"] if each["field"] == "firstName"
    ).items()
    assert (applied.status_code, applied.json()["status"]) == (200, "completed")
    assert [each["kind"] for each in changes] == ["create_in_app"]
    assert get(browser, f"changes/{changes[0]['id']}") == changes[0]
    assert get(browser, "changes?field=firstName")["items"] == changes
    assert get(browser, "changes?field=city")["items"] == []
    assert problem(post(browser, f"plans/{plan['id']}/approve")) == (409, "plan.closed")

    undo = post(browser, f"runs/{applied.json()['id']}/undo").json()
    dropped = post(browser, f"plans/{undo['planId']}/drop").json()
    with tenant.context():
        assert Contact.objects.live().count() == 1
    assert (undo["undoesId"], dropped["status"]) == (applied.json()["id"], "dropped")
    assert get(browser, f"contacts/{changes[0]['contactId']}/records")["records"][0]["state"] == "in_sync"


def test_runs_are_listed_by_state_and_cancelled(browser, tenant, row):
    """A running one stops at its next page; one that has ended stays as it is."""
    with tenant.context():
        running = CrmSyncLog.objects.create(connection=row, sync_type="full")
        CrmSyncLog.objects.create(
            connection=row, sync_type="delta", status="completed", completed_at="2026-01-01T00:00Z"
        )

    assert [each["id"] for each in get(browser, "runs?status=running")["items"]] == [str(running.pk)]
    assert len(get(browser, f"runs?connectionId={row.pk}")["items"]) == 2
    assert post(browser, f"runs/{running.pk}/cancel").json()["cancelRequested"] is True
    assert get(browser, f"runs/{running.pk}")["cancelRequested"] is True
    assert problem(post(browser, f"runs/{running.pk}/undo")) == (409, "run.unfinished")


def test_a_field_is_answered_and_the_answer_remembered(browser, tenant, connection):
    """The mapping's strategy follows, as a new version."""
    with tenant.context():
        mapping = CrmFieldMapping.objects.get(adsapp_field="firstName")
        contact = Contact.objects.create(first_name="Ann")
        link = CrmSyncState.objects.create(
            connection_id=connection, contact=contact, crm_record_type="contacts", crm_record_id="1"
        )
        conflict = CrmConflict.objects.create(
            connection_id=connection,
            link=link,
            contact=contact,
            kind="field",
            mapping_id=str(mapping.pk),
            app_field="firstName",
            values={"app": "Ann", "crm": "Anne"},
        )
        CrmConnection.objects.update(status="paused")

    told = get(browser, "conflicts?kind=field&status=open")["items"]
    answer = post(browser, f"conflicts/{conflict.pk}/resolve", {"side": "crm", "remember": True})

    (shown,) = told
    assert (shown["id"], shown["agreed"]) == (str(conflict.pk), False)
    assert shown["values"] == {"baseApp": None, "baseCrm": None, "app": "Ann", "crm": "Anne"}
    assert (answer.status_code, answer.json()["status"], answer.json()["remembered"]) == (200, "answered", True)
    with tenant.context():
        assert CrmFieldMapping.objects.get(pk=mapping.pk).strategy == "crm_wins"
        assert CrmConnection.objects.get().mapping_version == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (400, "request.invalid")),
        ({"side": "app", "value": "x"}, (400, "request.invalid")),
        ({"side": "both"}, (400, "request.invalid")),
        ({"value": {"a": 1}}, (400, "request.invalid")),
        ({"value": "x", "remember": True}, (400, "conflict.answer")),
    ],
)
def test_an_answer_that_does_not_fit_changes_nothing(browser, tenant, row, link, body, expected):
    """The question stays open."""
    with tenant.context():
        conflict = CrmConflict.objects.create(connection=row, link=link(), kind="field", mapping_id="m")
    assert problem(post(browser, f"conflicts/{conflict.pk}/resolve", body)) == expected
    assert get(browser, f"conflicts/{conflict.pk}")["status"] == "open"


def test_many_are_answered_and_each_refusal_told(browser, tenant, row, link):
    """One that is unknown, or closed, stops no other."""
    with tenant.context():
        ids = [
            CrmConflict.objects.create(
                connection=row, link=link(number), kind="field", mapping_id="m", status=status
            ).pk
            for number, status in enumerate(["open", "open", "closed"])
        ]
    nobody = uuid.uuid4()
    answer = post(browser, "conflicts/resolve", {"conflictIds": [*map(str, ids), str(nobody)], "side": "app"}).json()
    assert answer == {
        "answered": 2,
        "results": [
            {"id": str(ids[0]), "code": ""},
            {"id": str(ids[1]), "code": ""},
            {"id": str(ids[2]), "code": "conflict.settled"},
            {"id": str(nobody), "code": "conflict.unknown"},
        ],
    }


def test_a_match_is_linked_or_ignored(browser, tenant, row):
    """Only with one of its candidates."""
    with tenant.context():
        ann, bea = Contact.objects.create(first_name="Ann"), Contact.objects.create(first_name="Bea")
        first, second = (
            CrmConflict.objects.create(
                connection=row, contact=contact, kind="match", record_type="contacts", candidates=["record:501"]
            )
            for contact in (ann, bea)
        )
    wrong = post(browser, f"conflicts/{first.pk}/link", {"contactId": str(ann.pk), "recordId": "999"})
    linked = post(browser, f"conflicts/{first.pk}/link", {"contactId": str(ann.pk), "recordId": "501"})
    ignored = post(browser, f"conflicts/{second.pk}/ignore")

    assert problem(wrong) == (400, "conflict.answer")
    assert linked.json() | {"recordId": "501", "contactId": str(ann.pk)} == linked.json()
    assert ignored.json()["status"] == "closed"
    assert get(browser, f"records?contactId={bea.pk}")["items"][0]["state"] == "excluded"


def test_a_match_is_answered_with_none_of_these(browser, tenant, row):
    """Open until the next run makes the record; a question about a field takes no such answer."""
    with tenant.context():
        ann = Contact.objects.create(first_name="Ann")
        match, field = (
            CrmConflict.objects.create(
                connection=row, contact=ann, kind=kind, record_type="contacts", candidates=["record:501"]
            )
            for kind in ("match", "field")
        )
    answered = post(browser, f"conflicts/{match.pk}/create")
    wrong = post(browser, f"conflicts/{field.pk}/create")

    assert (answered.status_code, answered.json()["status"]) == (200, "answered")
    assert answered.json()["answeredBy"] == f"user:{tenant.user.pk}"
    assert problem(wrong) == (400, "conflict.answer")


def test_counts_of_records_add_up_and_reasons_are_acted_on(browser, tenant, row, link):
    """Every record has exactly one word; a reason is retried, ids are left out and taken in again."""
    link(1)
    link(2, error_code="field.too_long", attempts=3)
    link(3, error_code="field.too_long")
    link(4, troubles={"m": {"code": "field.picklist", "side": "crm", "value_digest": "0"}})
    link(5, due=True)
    asked = link(6)
    with tenant.context():
        CrmConflict.objects.create(connection=row, link=asked, kind="field", mapping_id="m")
        CrmConflict.objects.create(connection=row, link=asked, kind="delete_edit")
    out = link(7)
    with tenant.context():
        Contact.objects.create(first_name="Nobody's")
    chosen = {"connectionId": str(row.pk), "recordIds": [str(out.pk)]}
    assert post(browser, "records/exclude", chosen).json() == {"records": 1}

    told = get(browser, f"records/counts?connectionId={row.pk}")

    assert told["counts"] == {"in_sync": 1, "pending": 1, "excluded": 1, "failing": 3, "conflict": 1}
    assert (told["total"], told["contactsWithoutRecord"], told["recordsWithoutContact"]) == (7, 1, 0)
    assert {(each["code"], each["records"]) for each in told["reasons"]} == {
        ("field.too_long", 2),
        ("field.picklist", 1),
        ("conflict.field", 1),
        ("state.excluded", 1),
    }
    for reason in told["reasons"]:
        found = get(browser, f"records?connectionId={row.pk}&code={reason['code']}&state={reason['state']}")["items"]
        assert len(found) == reason["records"]
    assert post(browser, "records/retry", {"connectionId": str(row.pk), "code": "field.too_long"}).json() == {
        "records": 2
    }
    assert post(browser, "records/include", chosen).json() == {"records": 1}
    after = get(browser, f"records/counts?connectionId={row.pk}")["counts"]
    assert after == {"in_sync": 1, "pending": 4, "excluded": 0, "failing": 1, "conflict": 1}


def test_a_bulk_action_with_an_unknown_id_does_nothing(browser, tenant, row, link):
    """All or none."""
    mine = link()
    body = {"connectionId": str(row.pk), "recordIds": [str(mine.pk), str(uuid.uuid4())]}
    assert problem(post(browser, "records/exclude", body)) == (404, "record.unknown")
    assert problem(post(browser, "records/exclude", {"connectionId": str(row.pk)})) == (400, "request.invalid")
    assert get(browser, "records?state=excluded")["items"] == []


def test_a_pair_is_ended(browser, tenant, link):
    """Both records stay; ending it again finds nothing."""
    pair = link()
    assert post(browser, f"records/{pair.pk}/unlink").status_code == 204
    assert problem(post(browser, f"records/{pair.pk}/unlink"))[0] == 404
    with tenant.context():
        assert (CrmSyncState.objects.get().state, Contact.objects.live().count()) == ("unlinked", 1)


@pytest.mark.parametrize("path", ["runs", "plans", "conflicts", "records", "changes"])
def test_lists_take_as_many_queries_for_many_rows(browser, tenant, row, link, path, django_assert_max_num_queries):
    """At most 15, and no more for 12 than for 2."""
    counts = []
    for start, end in ((0, 2), (2, 12)):
        for number in range(start, end):
            one = link(number)
            with tenant.context():
                run = CrmSyncLog.objects.create(connection=row, sync_type="full", status="completed")
                CrmPlan.objects.create(connection=row, run=run)
                CrmConflict.objects.create(connection=row, link=one, kind="field", mapping_id="m")
                CrmLedgerEntry.objects.create(connection=row, contact=one.contact, kind="sync")
        with django_assert_max_num_queries(15) as queries:
            assert len(get(browser, path)["items"]) == end
        counts.append(len(queries))
    assert counts[0] == counts[1]
    print(path, counts)
