"""Conflicts as a person answers them on the dashboard."""

from __future__ import annotations

import pytest

from adsapp_crm.models import (
    Contact,
    CrmConflict,
    CrmFieldMapping,
    CrmLedgerEntry,
    CrmSyncState,
)
from crm.model import RunKind
from tests.adsapp_crm.dashboard_stand import BASE, dashboard_stand

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stand(tenant, settings, monkeypatch):
    with dashboard_stand(tenant, settings, monkeypatch) as made:
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
