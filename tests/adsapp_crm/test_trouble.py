"""A connection of which records fail needs attention, by the same word wherever somebody looks, and says why."""

from __future__ import annotations

import html
import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.db.models.functions import Now
from django.test import Client

from adsapp_crm.models import (
    Contact,
    CrmConflict,
    CrmConnection,
    CrmFieldMapping,
    CrmNotice,
    CrmSyncState,
    User,
)
from adsapp_crm.models.choices import Health
from adsapp_crm.selectors import database_now, figures_of
from adsapp_crm.services.schedules import GRACE
from adsapp_crm.services.standing import standing_of

pytestmark = pytest.mark.django_db

FAILS = {"error_code": "field.required"}
GRACE_SECONDS = int(GRACE.total_seconds())


@pytest.fixture
def connection(tenant):
    """Healthy, with two links in sync."""
    with tenant.context():
        row = CrmConnection.objects.create(
            crm_type="hubspot", health=Health.HEALTHY, first_sync_approved_at=Now(), last_success_at=Now()
        )
        for number in range(2):
            contact = Contact.objects.create(first_name=f"P{number}", email=f"p{number}@x.example")
            CrmSyncState.objects.create(
                connection=row, contact=contact, crm_record_id=str(number), crm_record_type="contacts", synced_version=1
            )
        Contact.objects.update(version=1)
        return row


def fail(tenant, many=1, **columns):
    with tenant.context():
        ids = list(CrmSyncState.objects.values_list("pk", flat=True)[:many])
        CrmSyncState.objects.filter(pk__in=ids).update(**(columns or FAILS))
        return ids


def word_of(tenant):
    with tenant.context():
        standing = standing_of(CrmConnection.objects.get(), database_now())
        return standing.health, standing.code


def succeed(tenant):
    with tenant.context():
        CrmConnection.objects.update(last_success_at=database_now())


def notices(tenant):
    with tenant.context():
        told = CrmNotice.objects.filter(kind="connection.state", sent_at=None).order_by("id")
        return [(each.details["before"], each.details["state"], each.details["code"]) for each in told]


def test_one_failing_record_is_told_by_the_same_word_at_every_door(tenant, connection):
    """API, status of a sync, probe, board, metrics, pages and admin; each with the way to the record."""
    (link_id,) = fail(tenant)
    with tenant.context():
        failing = CrmSyncState.objects.get(pk=link_id)

    assert word_of(tenant) == ("needs_attention", "record.failing")
    assert [row[1] for row in figures_of("crm_connection_figures", GRACE_SECONDS)] == ["needs_attention"]
    board = figures_of("crm_connection_board", GRACE_SECONDS, 9)
    assert [(row[3], row[5]) for row in board] == [("needs_attention", "record.failing")]
    client = Client()
    client.force_login(tenant.user)
    listed = client.get("/api/crm/connections").json()["items"][0]
    assert (listed["health"], listed["problem"]["code"]) == ("needs_attention", "record.failing")
    asked = client.get("/api/crm/sync?crm_type=hubspot").json()
    assert asked["connection"]["health"] == "needs_attention"
    for page in ("", "/connections/hubspot"):
        shown = client.get(f"/dashboard/settings/crm{page}").content.decode()
        assert "Needs attention" in shown
        assert "/dashboard/settings/crm/records?state=failing&amp;crm=hubspot" in shown
    User.objects.filter(pk=tenant.user.pk).update(is_staff=True)
    overview = client.get("/admin/").content.decode()
    links = f"/admin/adsapp_crm/crmsyncstate/?connection__id__exact={connection.pk}&amp;trouble=any"
    assert f'<a class="crm-link" href="{links}">1 record fails</a>' in overview
    assert (
        f"/admin/adsapp_crm/contact/{failing.contact_id}/change/" in client.get(html.unescape(links)).content.decode()
    )
    shown = client.get(f"/admin/adsapp_crm/crmconnection/{connection.pk}/change/").content.decode()
    assert links in shown.replace("&trouble", "&amp;trouble")
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("crm_status", "--fail-on", "attention", "--json", stdout=out, stderr=StringIO())
    assert (ended.value.code, json.loads(out.getvalue())["connections"][0]["code"]) == (1, "record.failing")


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {**FAILS, "excluded_at": Now()},
        {**FAILS, "state": "unlinked"},
    ],
)
def test_what_is_well_left_out_or_over_leaves_it_healthy(tenant, connection, columns):
    if columns:
        fail(tenant, **columns)
    assert word_of(tenant) == ("healthy", "")


def test_a_refused_field_needs_attention_and_a_question_to_answer_does_not(tenant, connection):
    """A conflict waits for a person in a list of its own; the word is about what is refused."""
    (link,) = fail(tenant, troubles={"m": {"code": "field.too_long"}})
    assert word_of(tenant) == ("needs_attention", "record.failing")
    with tenant.context():
        CrmConflict.objects.create(connection=connection, link_id=link, kind="field", mapping_id="m")
    assert word_of(tenant) == ("healthy", "")


def test_a_broken_mapping_needs_attention_and_is_named_before_the_records(tenant, connection):
    fail(tenant)
    with tenant.context():
        mapping = CrmFieldMapping.objects.create(
            connection=connection,
            adsapp_field="city",
            crm_field="city",
            broken_code="field.missing",
            broken_since=Now(),
        )
    assert word_of(tenant) == ("needs_attention", "field.missing")
    with tenant.context():
        CrmFieldMapping.objects.filter(pk=mapping.pk).update(deleted_at=Now())
    assert word_of(tenant) == ("needs_attention", "record.failing")


@pytest.mark.parametrize(
    ("columns", "word"),
    [
        ({"health": "held"}, "held"),
        ({"status": "paused", "health": "paused"}, "paused"),
        ({"health": "setting_up"}, "setting_up"),
        ({"parked_until": "2999-01-01T00:00Z"}, "waiting_for_quota"),
        ({"last_success_at": "2020-01-01T00:00Z"}, "late"),
    ],
)
def test_a_word_about_the_whole_connection_goes_first(tenant, connection, columns, word):
    fail(tenant)
    with tenant.context():
        CrmConnection.objects.update(**columns)
    assert word_of(tenant)[0] == word
    assert [row[1] for row in figures_of("crm_connection_figures", GRACE_SECONDS)] == [word]
    assert [row[3] for row in figures_of("crm_connection_board", GRACE_SECONDS, 9)] == [word]


def test_another_organizations_failing_records_are_not_ours(tenant, other, connection):
    with other.context():
        theirs = CrmConnection.objects.create(
            crm_type="hubspot", health=Health.HEALTHY, first_sync_approved_at=Now(), last_success_at=Now()
        )
        contact = Contact.objects.create(email="q@x.example")
        CrmSyncState.objects.create(
            connection=theirs, contact=contact, crm_record_id="9", crm_record_type="contacts", **FAILS
        )
    assert word_of(tenant) == ("healthy", "")
    assert word_of(other) == ("needs_attention", "record.failing")
    assert sorted(row[1] for row in figures_of("crm_connection_figures", GRACE_SECONDS)) == [
        "healthy",
        "needs_attention",
    ]


def test_that_records_fail_is_told_once_after_the_run_and_that_they_no_longer_do_once_too(tenant, connection):
    """A run ends, and its word goes out; runs that change nothing of it are no news."""
    succeed(tenant)
    assert notices(tenant) == []
    links = fail(tenant, 2)
    assert notices(tenant) == []
    for _ in range(2):
        succeed(tenant)
    assert notices(tenant) == [("healthy", "needs_attention", "record.failing")]
    with tenant.context():
        CrmSyncState.objects.filter(pk=links[0]).update(error_code="")
    succeed(tenant)
    assert len(notices(tenant)) == 1
    with tenant.context():
        CrmSyncState.objects.update(error_code="")
    for _ in range(2):
        succeed(tenant)
    assert notices(tenant)[1:] == [("needs_attention", "healthy", "")]
