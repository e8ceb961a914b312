"""The admin: one organization at a time, nothing of the others, no secret, and no query per row."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib import admin
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from adsapp_crm import models
from adsapp_crm.models import Contact, CrmConflict, CrmConnection, CrmSyncState, StaffAccess, StaffAccessEvent, User
from crm.model import Side

pytestmark = pytest.mark.django_db(transaction=True)

LISTS = [
    f"adsapp_crm_{model._meta.model_name}_changelist"
    for model in (
        *(models.CrmConnection, models.CrmFieldMapping, models.CrmSyncLog, models.CrmSyncState, models.CrmWebhook),
        *(models.Contact, models.CrmPlan, models.CrmPlanLine, models.CrmConflict, models.CrmLedgerEntry),
        *(models.CrmWebhookEvent, models.CrmObservation, models.CrmIntent, models.ContactChange, models.CrmNotice),
        *(models.CrmMappingVersion, models.CrmLease, models.CrmOAuthState, models.CrmAppRegistration, models.ApiKey),
        *(models.IdempotencyKey, models.Membership, models.StaffAccess, models.StaffAccessEvent),
        models.ContactTombstone,
    )
]


@pytest.fixture
def staff(tenant, client):
    """The organization's owner, who may open the admin, logged in."""
    User.objects.filter(pk=tenant.user.pk).update(is_staff=True)
    client.force_login(tenant.user)
    return client


def text(answer):
    return answer.content.decode()


@pytest.mark.parametrize("name", LISTS)
def test_a_list_shows_the_organizations_rows_and_no_others(staff, tenant, other, fill, name):
    """The same list shows one row, with one row of each kind on both sides of the wall."""
    fill(tenant)
    fill(other)

    answer = staff.get(reverse(f"admin:{name}"))

    assert answer.status_code == 200
    assert answer.context["cl"].result_count == 1


def test_dates_have_the_day_first_and_a_plain_no_is_no_fault(staff, tenant, fill):
    """A contact that is not deleted: "No" in words, and when it was made by the clock of 24 hours."""
    contact = fill(tenant)["Contact"]
    with tenant.context():
        row = models.Contact.objects.get(pk=contact.pk)
    listed = text(staff.get(reverse("admin:adsapp_crm_contact_changelist")))
    assert f"{row.updated_at.day} {row.updated_at:%b %Y, %H:%M}" in listed
    assert (">No</span>" in listed, "close_small" in listed) == (True, False)
    shown = text(staff.get(reverse("admin:adsapp_crm_contact_change", args=[contact.pk])))
    assert f"{row.created_at.day} {row.created_at:%b %Y, %H:%M}" in shown


@pytest.mark.parametrize("name", LISTS)
def test_without_an_organization_a_list_says_so_and_is_empty(client, tenant, fill, name):
    """Staff of ours who chose none see nothing, and where to choose."""
    fill(tenant)
    client.force_login(User.objects.create_user("support@adsapp.example", is_staff=True))

    answer = client.get(reverse(f"admin:{name}"))

    assert answer.status_code == 200
    assert answer.context["cl"].result_count == 0
    assert "No organization is chosen" in text(answer)
    assert reverse("admin:adsapp_crm_organization_changelist") in text(answer)


@pytest.mark.parametrize("name", LISTS)
def test_a_page_of_one_row_opens(staff, tenant, fill, name):
    """Every row has a page of its own, shown without an error."""
    rows = fill(tenant)
    model = next(each for each in admin.site._registry if name.split("_")[2] == each._meta.model_name)

    page = reverse(f"admin:{name.replace('changelist', 'change')}", args=[rows[model.__name__].pk])

    assert staff.get(page).status_code == 200


@pytest.mark.parametrize("name", LISTS)
def test_a_list_takes_as_many_queries_for_twelve_rows_as_for_three(staff, tenant, name):
    """No query per row."""

    def queries():
        staff.get(reverse(f"admin:{name}"))
        with CaptureQueriesContext(
            database,
        ) as captured:
            assert staff.get(reverse(f"admin:{name}")).status_code == 200
        return len(captured)

    with tenant.context():
        connection = CrmConnection.objects.create(crm_type="hubspot", remote_account_id="1")
    _add_rows(tenant, connection, 3)
    few = queries()
    _add_rows(tenant, connection, 9)

    assert queries() == few
    assert few <= 15


def _add_rows(tenant, connection, number):
    on = {"connection": connection}
    with tenant.context():
        start = Contact.objects.count()
        for index in range(start, start + number):
            contact = Contact.objects.create(email=f"{index}@example.com")
            link = CrmSyncState.objects.create(**on, contact=contact, crm_record_type="c", crm_record_id=str(index))
            CrmConflict.objects.create(**on, link=link, contact=contact, kind="field", mapping_id="m")
            models.CrmLedgerEntry.objects.create(**on, contact=contact, kind="sync")
            run = models.CrmSyncLog.objects.create(**on, sync_type="delta")
            plan = models.CrmPlan.objects.create(**on, run=run)
            models.CrmPlanLine.objects.create(plan=plan, seq=1, stage=0, kind="sync", record_type="c", action={})
            models.CrmWebhook.objects.create(**on, path_token=str(index), remote_subscription_id=str(index))
            models.CrmFieldMapping.objects.create(
                **on, record_type="c", adsapp_field=f"custom.f{index}", crm_field=f"f{index}"
            )


def test_credentials_are_on_no_page(staff, tenant):
    """Neither the list nor the page of a connection, nor of what hangs on it, holds the token."""
    with tenant.context():
        row = CrmConnection(crm_type="hubspot", organization_id=tenant.id)
        row.seal_credentials({"token": "canary-token-0123456789"})
        row.save()
        models.CrmSyncLog.objects.create(connection=row, sync_type="full")

    pages = [
        reverse("admin:adsapp_crm_crmconnection_changelist"),
        reverse("admin:adsapp_crm_crmconnection_change", args=[row.pk]),
        reverse("admin:adsapp_crm_crmsynclog_changelist"),
    ]

    for page in pages:
        answer = staff.get(page)
        assert answer.status_code == 200
        assert "canary-token" not in text(answer)


def test_another_organizations_row_cannot_be_opened(staff, tenant, other, fill):
    """Its page is as absent as a made-up id's."""
    foreign = fill(other)["CrmConnection"]

    answer = staff.get(reverse("admin:adsapp_crm_crmconnection_change", args=[foreign.pk]))

    assert answer.status_code == 302  # Django's "does not exist. Perhaps it was deleted?"
    assert answer.url == reverse("admin:index")


def test_staff_of_ours_enter_by_a_grant_and_every_look_is_noted(client, tenant, fill):
    """The switcher offers what a grant allows; what is looked at there is written down, without query strings."""
    fill(tenant)
    support = User.objects.create_user("support@adsapp.example", is_staff=True)
    with tenant.context():
        StaffAccessEvent.objects.all().delete()
        StaffAccess.objects.create(
            user=support, reason="ticket 1", expires_at=timezone.now() + timedelta(hours=1), role="viewer"
        )
    client.force_login(support)
    switcher = reverse("admin:adsapp_crm_organization_changelist")

    assert "First" in text(client.get(switcher))
    assert client.post(switcher, {"organization": str(tenant.id)}).status_code == 302
    contacts = client.get(reverse("admin:adsapp_crm_contact_changelist") + "?q=ann@canary.example")

    assert contacts.context["cl"].result_count == 1
    with tenant.context():
        looks = list(StaffAccessEvent.objects.order_by("id").values_list("method", "path"))
    assert looks == [("POST", switcher), ("GET", reverse("admin:adsapp_crm_contact_changelist"))]


def test_a_place_one_may_not_enter_is_not_chosen(staff, tenant, other):
    """The session keeps what it had."""
    switcher = reverse("admin:adsapp_crm_organization_changelist")

    answer = staff.post(switcher, {"organization": str(other.id)}, follow=True)

    assert "You may not enter this organization." in text(answer)
    assert "organization_id" not in staff.session


def conflict_of(tenant, fill):
    conflict = fill(tenant)["CrmConflict"]
    with tenant.context():
        CrmConflict.objects.filter(pk=conflict.pk).update(
            values={"app": "Ann", "crm": "Anne", "baseApp": "An", "baseCrm": "An"}, app_field="firstName"
        )
    return conflict


def test_a_conflict_is_answered_after_a_question(staff, tenant, fill):
    """First the confirmation, which changes nothing; then the answer with the values that were shown."""
    conflict = conflict_of(tenant, fill)
    page = reverse("admin:adsapp_crm_crmconflict_changelist")
    chosen = {"action": "keep_crm", "_selected_action": str(conflict.pk)}

    asked = staff.post(page, chosen)
    with tenant.context():
        before = CrmConflict.objects.get(pk=conflict.pk)
        assert before.status == "open"
    done = staff.post(page, {**chosen, "confirmed": "yes"})

    assert (asked.status_code, done.status_code) == (200, 302)
    with tenant.context():
        after = CrmConflict.objects.get(pk=conflict.pk)
        assert after.status == "answered"
        assert after.resolution == {
            "conflict_id": str(conflict.pk),
            "side": Side.CRM.value,
            "shown_app": "Ann",
            "shown_crm": "Anne",
        }
        assert after.answered_by == f"user:{tenant.user.pk}"
        assert CrmSyncState.objects.get(pk=conflict.link_id).due


def test_a_viewer_is_offered_no_action(staff, tenant, fill):
    """Looking is all that the role allows; a forged request changes nothing."""
    conflict = conflict_of(tenant, fill)
    with tenant.context():
        models.Membership.objects.update(role="viewer")

    staff.post(
        reverse("admin:adsapp_crm_crmconflict_changelist"),
        {"action": "keep_crm", "_selected_action": str(conflict.pk), "confirmed": "yes"},
    )

    with tenant.context():
        assert CrmConflict.objects.get(pk=conflict.pk).status == "open"


def test_a_contact_is_edited_through_the_service(staff, tenant):
    """Only the changed field is written, match keys follow, and the history knows who it was."""
    with tenant.context():
        contact = Contact.objects.create(first_name="Ann", email="ann@example.com")
    page = reverse("admin:adsapp_crm_contact_change", args=[contact.pk])
    form = staff.get(page).context["adminform"].form
    given = {name: form[name].value() or "" for name in form.fields}
    given = {name: value for name, value in given.items() if value not in ("", [])}

    wrong = staff.post(page, {**given, "email": "no address"})
    done = staff.post(page, {**given, "email": "ANN@example.org"})

    assert "exactly one e-mail address" in text(wrong)
    assert done.status_code == 302
    with tenant.context():
        stored = Contact.objects.get(pk=contact.pk)
        assert (stored.email, stored.email_normalized, stored.version) == ("ANN@example.org", "ann@example.org", 2)
        change = models.ContactChange.objects.get(version=2)
        assert set(change.changes) == {"email"}
        assert change.who == f"user:{tenant.user.pk}"
