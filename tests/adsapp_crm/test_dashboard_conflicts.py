"""Conflicts as a person answers them on the dashboard."""

from __future__ import annotations

import pytest

from adsapp_crm.models import (
    Contact,
    CrmConflict,
    CrmConnection,
    CrmFieldMapping,
    CrmLedgerEntry,
    CrmSyncState,
    User,
)
from crm.model import RunKind
from tests.adsapp_crm.dashboard_stand import BASE, dashboard_stand

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stand(tenant, settings):
    with dashboard_stand(tenant, settings) as made:
        yield made


@pytest.fixture
def synced(stand):
    return stand.with_three_people()


@pytest.fixture
def contested(synced):
    return synced.with_two_conflicts()


def test_a_conflict_is_shown_side_by_side_and_answered_for_all_alike(contested):
    """One answer with the box ticked settles both, and remembering makes it the field's rule."""
    page = contested.get("/conflicts")
    assert "Ada here" in page
    assert "Bea there" in page
    with contested.inside:
        conflict = CrmConflict.objects.get(contact__first_name="Ada")
    page = contested.get(f"/conflicts/{conflict.pk}")
    assert "Countess" in page
    assert "Answer 1 other open question" in page
    assert "2 conflicts are answered" in contested.follow(
        f"/conflicts/{conflict.pk}", act="crm", alike="1", remember="1"
    )
    contested.run(RunKind.DELTA)
    with contested.inside:
        assert sorted(Contact.objects.values_list("job_title", flat=True)) == ["", "Ada there", "Bea there"]
        assert CrmFieldMapping.objects.get(adsapp_field="jobTitle", deleted_at=None).strategy == "crm_wins"


def test_what_was_never_agreed_is_told_apart_from_an_agreed_blank(stand):
    """One differed on both sides from the start; the other was cleared on both before it was filled differently."""
    stand.connect()
    with stand.inside:
        CrmConnection.objects.update(strategy="manual")
    stand.contact(firstName="Ada", email="ada@x.example", jobTitle="Countess")
    stand.contact(firstName="Bea", email="bea@x.example", jobTitle="Old")
    stand.account.add({"firstname": "Ada", "email": "ada@x.example", "jobtitle": "Programmer"})
    (bea,) = stand.account.add({"firstname": "Bea", "email": "bea@x.example", "jobtitle": "Old"})
    stand.sync()
    stand.account.edit(bea, jobtitle="")
    stand.run(RunKind.DELTA)
    with stand.inside:
        Contact.objects.filter(first_name="Bea").update(job_title="here")
    stand.account.edit(bea, jobtitle="there")
    stand.run(RunKind.DELTA)

    with stand.inside:
        asked = {each.contact.first_name: each for each in CrmConflict.objects.filter(app_field="jobTitle")}
    listed = {each["id"]: each for each in stand.client.get("/api/crm/conflicts").json()["items"]}
    found = {name: listed[str(each.pk)] for name, each in asked.items()}
    assert {name: (each["agreed"], each["values"]["baseApp"]) for name, each in found.items()} == {
        "Ada": (False, None),
        "Bea": (True, None),
    }
    User.objects.filter(pk=stand.tenant.user.pk).update(is_staff=True)
    pages = {
        name: (
            stand.get(f"/conflicts/{each.pk}"),
            stand.client.get(f"/admin/adsapp_crm/crmconflict/{each.pk}/change/").content.decode(),
        )
        for name, each in asked.items()
    }
    assert ["never agreed" in page for page in pages["Ada"]] == [True, True]
    assert ["never agreed" in page for page in pages["Bea"]] == [False, False]
    assert stand.get("/conflicts").count("never agreed") == 1


def test_many_conflicts_are_counted_before_they_are_answered(contested):
    page = contested.client.post(f"{BASE}/conflicts", {"which": "all", "act": "app"}).content.decode()
    assert "Answer 2 conflicts?" in page
    with contested.inside:
        assert CrmConflict.objects.filter(status="open").count() == 2
    contested.post("/conflicts", which="all", act="app", confirmed="1")
    contested.run(RunKind.DELTA)
    assert {each.get("jobtitle") for each in contested.account.records()} >= {"Ada here", "Bea here"}


def test_another_value_can_be_typed_for_both(contested):
    with contested.inside:
        conflict = CrmConflict.objects.get(contact__first_name="Ada")
    contested.post(f"/conflicts/{conflict.pk}", act="value", value="Mathematician")
    contested.run(RunKind.DELTA)
    with contested.inside:
        assert Contact.objects.get(first_name="Ada").job_title == "Mathematician"
    assert "Mathematician" in {each.get("jobtitle") for each in contested.account.records()}


def test_a_match_is_answered_with_the_pair_that_belongs_together(stand):
    """Two contacts share the number of one record: the page offers both, and the chosen one is linked."""
    stand.connect()
    first = stand.contact(firstName="Ada One", phone="+31201234567")
    second = stand.contact(firstName="Ada Two", phone="+31201234567")
    (record,) = stand.account.add({"firstname": "Ada", "phone": "+31201234567"})
    stand.sync()
    with stand.inside:
        conflict = CrmConflict.objects.filter(kind="match", status="open").first()
    page = stand.get(f"/conflicts/{conflict.pk}")
    assert first in page
    assert second in page
    stand.post(f"/conflicts/{conflict.pk}", act="pair", contact=second, record=record)
    with stand.inside:
        assert str(CrmSyncState.objects.get(state="live").contact_id) == second


def test_a_match_is_answered_with_none_of_these(stand):
    """The record becomes a contact of its own, and its page says that a person chose so."""
    stand.connect()
    stand.contact(firstName="Ada One", phone="+31201234567")
    stand.contact(firstName="Ada Two", phone="+31201234567")
    (record,) = stand.account.add({"firstname": "Ada Three", "phone": "+31201234567"})
    stand.sync()
    with stand.inside:
        conflict = CrmConflict.objects.get(kind="match", status="open", remote_id=record)
    assert "None of these: make a new contact" in stand.get(f"/conflicts/{conflict.pk}")
    stand.post(f"/conflicts/{conflict.pk}", act="create")
    stand.run(RunKind.DELTA)
    with stand.inside:
        assert CrmSyncState.objects.get(crm_record_id=record).contact.first_name == "Ada Three"
        assert CrmLedgerEntry.objects.get(remote_id=record).rule == "chosen"
        assert CrmConflict.objects.get(pk=conflict.pk).status == "closed"
