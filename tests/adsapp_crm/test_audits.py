"""The audit compares both sides with what was agreed, writes neither, and says what has drifted and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from adsapp_crm import wiring
from adsapp_crm.limiter import DayUse
from adsapp_crm.models import Contact, ContactChange, CrmAudit, CrmConflict, CrmConnection, CrmSyncLog, CrmSyncState
from adsapp_crm.selectors import database_now
from adsapp_crm.services.audits import plan_of, repair, start_audits, step_audit
from adsapp_crm.services.contacts import update_contact
from adsapp_crm.services.upkeep import look_after
from crm.upkeep import may_spend
from tests.adsapp_crm.dashboard_stand import dashboard_stand

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stand(tenant, settings):
    with dashboard_stand(tenant, settings) as made:
        made.connect()
        made.contact(firstName="Ada", lastName="Lovelace", email="ada@x.example", jobTitle="Countess")
        made.contact(firstName="Bea", lastName="Smith", email="bea@x.example", city="Ghent")
        made.sync()
        let_it_be(made, 12)
        yield made


def let_it_be(stand, hour):
    """A time zone for the connection in which it is that hour now."""
    with stand.inside:
        ahead = (hour - database_now().hour + 11) % 24 - 11
        CrmConnection.objects.update(schedule={"timeZone": f"Etc/GMT{-ahead:+d}"})


def audit(stand):
    with stand.inside:
        (audit_id,) = start_audits(stand.connection_id, database_now())
    while step_audit(stand.tenant.id, audit_id):
        pass
    with stand.inside:
        return CrmAudit.objects.get(pk=audit_id)


def record_of(stand, first_name):
    return next(each for each in stand.account.records() if each["firstname"] == first_name)["hs_object_id"]


def edit(stand, first_name, **values):
    with stand.inside:
        update_contact(Contact.objects.get(first_name=first_name).pk, values, version=None)


def read_ahead(stand):
    """The deltas have read past every change there is, and count every contact as synced."""
    with stand.inside:
        ahead = (database_now() + timedelta(days=1)).isoformat()
        CrmConnection.objects.update(cursors={"contacts": ahead})
        for link in CrmSyncState.objects.select_related("contact"):
            CrmSyncState.objects.filter(pk=link.pk).update(synced_version=link.contact.version, due=False)


def everything(stand):
    """Both sides and the base, as they are."""
    with stand.inside:
        return (
            stand.account.records(),
            list(Contact.objects.order_by("pk").values()),
            list(CrmSyncState.objects.order_by("pk").values("base", "observed", "synced_version", "due")),
            ContactChange.objects.count(),
        )


def test_pairs_in_step_are_compared_and_nothing_is_written(stand):
    """One read of the CRM for a page; an audit that ended has nothing left to step."""
    before = everything(stand)

    found = audit(stand)

    assert (found.status, found.compared, found.causes, found.api_calls) == ("completed", 2, {}, 1)
    assert everything(stand) == before
    assert step_audit(stand.tenant.id, found.pk) is False


def test_the_first_round_of_a_night_takes_everything_and_the_next_a_sample_again(stand):
    let_it_be(stand, 2)

    tonight, next_hour = audit(stand), audit(stand)

    assert (tonight.scope, tonight.compared, next_hour.scope) == ("all", 2, "sample")


@pytest.mark.parametrize(("allowance", "pages"), [(60, 3), (59, 1)])
def test_what_one_night_may_not_read_is_spread_over_a_week(stand, monkeypatch, allowance, pages):
    """Two pairs, one a page, and an end are three calls: a twentieth of sixty bears them, else a seventh is read."""
    let_it_be(stand, 2)
    day = DayUse(limit=allowance, used=0, usable_share=1.0, held_seconds=0.0, resets_in_seconds=60.0)
    with stand.inside:
        one_a_page = replace(wiring.capabilities_of(CrmConnection.objects.get()), read_batch=1)
    monkeypatch.setattr(wiring, "capabilities_of", lambda _row: one_a_page)
    monkeypatch.setattr(wiring, "day_use", lambda _row, _priority: day)

    with stand.inside:
        (audit_id,) = start_audits(stand.connection_id, database_now())
        found = CrmAudit.objects.get(pk=audit_id)

    assert (found.scope, found.pages_left) == ("all", pages)


def test_what_no_sync_would_find_is_drift_and_a_repair_brings_it_into_step(stand):
    """An edit in the CRM behind the watermark, and one here at a version that counts as synced."""
    stand.account.edit(record_of(stand, "Ada"), jobtitle="Analyst")
    edit(stand, "Bea", city="Bruges")
    waiting = audit(stand)
    read_ahead(stand)
    before = everything(stand)

    drifted = audit(stand)

    assert waiting.causes == {"waiting": 2}
    assert drifted.causes == {"missed_in_crm": 1, "missed_in_app": 1}
    assert [(line["cause"], line["isDrift"]) for line in plan_of(drifted)] == [
        ("missed_in_app", True),
        ("missed_in_crm", True),
    ]
    assert everything(stand) == before
    with stand.inside:
        run_id = repair(drifted.pk, actor="user:test")
    stand.finish(run_id)
    assert audit(stand).causes == {}
    assert "Bruges" in {each.get("city") for each in stand.account.records()}
    with stand.inside:
        assert Contact.objects.get(first_name="Ada").job_title == "Analyst"


def test_a_conflict_is_opened_once_flagged_and_closed_when_the_sides_agree(stand):
    """And no value moves meanwhile."""
    with stand.inside:
        CrmConnection.objects.update(strategy="manual")
    ada = record_of(stand, "Ada")
    stand.account.edit(ada, jobtitle="Analyst")
    edit(stand, "Ada", jobTitle="Programmer")

    first, second = audit(stand), audit(stand)

    assert (first.causes, first.conflicts_opened, second.conflicts_opened) == ({"conflict": 1}, 1, 0)
    with stand.inside:
        assert CrmSyncState.objects.filter(conflict_detected=True).count() == 1
        assert CrmConflict.objects.get().values["app"] == "Programmer"
    stand.account.edit(ada, jobtitle="Countess")
    third = audit(stand)
    with stand.inside:
        assert (third.conflicts_closed, CrmConflict.objects.get().status) == (1, "closed")
        assert CrmSyncState.objects.filter(conflict_detected=True).count() == 0
        assert Contact.objects.get(first_name="Ada").job_title == "Programmer"


def test_an_audit_ends_with_the_crms_error_and_the_next_one_goes_on(stand):
    """Nothing is flagged for it: an answer that did not come is no difference."""
    with stand.inside:
        row = CrmConnection.objects.get()
        row.seal_credentials({"token": "pat-withdrawn"})
        row.save()

    found = audit(stand)

    assert (found.status, found.error_code, found.causes) == ("failed", "auth.expired", {})


def test_the_api_lists_audits_and_repairs_by_them(stand):
    """A clean one has nothing to repair."""
    found = audit(stand)

    listed = stand.client.get("/api/crm/audits").json()["items"]
    refused = stand.client.post(f"/api/crm/audits/{found.pk}/repair", content_type="application/json")

    assert [each["id"] for each in listed] == [str(found.pk)]
    assert (listed[0]["compared"], listed[0]["drifted"], listed[0]["plan"]) == (2, 0, [])
    assert (refused.status_code, refused.json()["code"]) == (409, "audit.clean")


def test_a_connection_that_synced_meanwhile_is_not_asked(stand):
    """A first round asks for account, fields and subscription; a second one within the hour the account alone."""
    calls = []
    for change in ({}, {}, {"last_success_at": database_now() + timedelta(hours=1)}):
        with stand.inside:
            CrmConnection.objects.update(**change)
        before = stand.account.requests()
        assert look_after(stand.tenant.id, stand.connection_id) == ""
        calls.append(stand.account.requests() - before)

    assert calls[0] > 1
    assert calls[1:] == [1, 0]
    with stand.inside:
        row = CrmConnection.objects.get()
        assert row.upkeep["spent"] == calls[0] + 1
        assert CrmSyncLog.objects.count() == 2


@pytest.mark.parametrize(
    ("limit", "spent", "cost", "elapsed", "may"),
    [
        (None, 10**9, 1, 0.0, True),
        (10_000, 0, 20, 0.0, True),
        (10_000, 0, 21, 0.0, False),
        (10_000, 199, 1, 1.0, True),
        (10_000, 200, 1, 1.0, False),
        (10_000, 100, 1, 0.5, False),
    ],
)
def test_looking_after_stays_within_two_percent_of_the_day(limit, spent, cost, elapsed, may):
    """A tenth of it at any time, the rest as the hours come."""
    assert may_spend(limit, spent, cost, elapsed) is may
