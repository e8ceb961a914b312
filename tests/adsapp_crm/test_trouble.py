"""A connection of which records fail needs attention, by the same word wherever somebody looks, and says why."""

from __future__ import annotations

import html
import json
from datetime import timedelta
from io import StringIO

import pytest
import requests
from django.core import mail
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
from adsapp_crm.selectors import database_now, figures_of, organizations_to_tell
from adsapp_crm.services.schedules import GRACE
from adsapp_crm.services.sending import tell
from adsapp_crm.services.standing import standing_of

pytestmark = pytest.mark.django_db

FAILS = {"error_code": "field.required"}
GRACE_SECONDS = int(GRACE.total_seconds())


@pytest.fixture(autouse=True)
def _mails(settings):
    settings.CRM_MAIL_FROM = "crm@adsapp.example"


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
        ids = list(CrmSyncState.objects.order_by("pk").values_list("pk", flat=True)[:many])
        CrmSyncState.objects.filter(pk__in=ids).update(**(columns or FAILS))
        return ids


def mend(tenant, links):
    with tenant.context():
        CrmSyncState.objects.filter(pk__in=links).update(error_code="")


def word_of(tenant):
    with tenant.context():
        standing = standing_of(CrmConnection.objects.get(), database_now())
        return standing.health, standing.code


def succeed(tenant):
    with tenant.context():
        CrmConnection.objects.update(last_success_at=database_now())


def told(tenant, waited=False):
    """States that people are told of, the waiting time over where ``waited``."""
    with tenant.context():
        if waited:
            CrmNotice.objects.filter(tell_at__isnull=False).update(tell_at=Now())
    assert organizations_to_tell() in ([], [tenant.id])
    tell(tenant.id, session=requests.Session())
    assert organizations_to_tell() == []
    with tenant.context():
        rows = CrmNotice.objects.filter(kind="connection.state", sent_at__isnull=False).order_by("created_at", "id")
        return [each.details["state"] for each in rows if "before" in each.details]  # the first is told to nobody


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


def test_standing_trouble_is_told_once_and_its_end_once(tenant, connection):
    """A run ends, and a quarter of an hour later it is told; what changes nothing of it is no news."""
    succeed(tenant)
    links = fail(tenant, 2)
    for _ in range(2):
        succeed(tenant)
    assert told(tenant) == []
    with tenant.context():
        waiting = CrmNotice.objects.get(tell_at__isnull=False)
        assert 899 <= (waiting.tell_at - waiting.created_at).total_seconds() <= 901
        assert (waiting.details["before"], waiting.details["code"]) == ("healthy", "record.failing")
    assert told(tenant, waited=True) == ["needs_attention"]
    mend(tenant, links[:1])
    succeed(tenant)
    assert told(tenant, waited=True) == ["needs_attention"]
    mend(tenant, links)
    for _ in range(2):
        succeed(tenant)
    assert told(tenant) == ["needs_attention", "healthy"]
    assert [each.subject for each in mail.outbox] == ["First: HubSpot: needs attention", "First: HubSpot works again"]


@pytest.mark.parametrize("run_again", [True, False])
def test_trouble_that_somebody_mends_in_time_is_told_to_nobody_nor_is_its_end(tenant, connection, run_again):
    """By a run that succeeds, or by a person who leaves the record out and starts none."""
    links = fail(tenant)
    succeed(tenant)
    assert word_of(tenant)[0] == "needs_attention"
    mend(tenant, links)
    if run_again:
        succeed(tenant)
    assert told(tenant, waited=True) == []
    succeed(tenant)
    assert told(tenant, waited=True) == []
    assert mail.outbox == []


def test_what_passes_by_itself_is_told_when_the_next_try_fails_too(tenant, connection):
    """The record is tried again in an hour: until then pages say so, and nobody is told."""
    in_an_hour = Now() + timedelta(hours=1)
    fail(tenant, error_code="net.unavailable", attempts=1, next_attempt_at=in_an_hour)
    succeed(tenant)
    assert word_of(tenant)[0] == "needs_attention"
    assert told(tenant, waited=True) == []
    fail(tenant, attempts=2)
    succeed(tenant)
    assert told(tenant, waited=True) == ["needs_attention"]
    fail(tenant, attempts=1)  # still trouble, once it was told
    succeed(tenant)
    assert told(tenant, waited=True) == ["needs_attention"]


@pytest.mark.parametrize("columns", [{"error_code": "net.timeout", "attempts": 1}, {"troubles": {"m": {}}}])
def test_what_nobody_tries_again_is_told(tenant, connection, columns):
    fail(tenant, **columns)
    succeed(tenant)
    assert told(tenant, waited=True) == ["needs_attention"]


def test_another_state_takes_the_place_of_the_one_that_waits(tenant, connection):
    """The log-in is lost while the trouble waits to be told: that is told, at once, and the trouble after its end."""
    fail(tenant)
    succeed(tenant)
    with tenant.context():
        CrmConnection.objects.update(health=Health.NEEDS_RECONNECT)
    assert told(tenant, waited=True) == ["needs_reconnect"]
    with tenant.context():
        CrmConnection.objects.update(health=Health.HEALTHY)
    assert told(tenant) == ["needs_reconnect"]
    assert told(tenant, waited=True) == ["needs_reconnect", "needs_attention"]
