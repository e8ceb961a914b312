"""A contact's values are tried by a test record that is gone afterwards and never becomes a contact."""

from __future__ import annotations

import pytest

from adsapp_crm.models import Contact, CrmConnection, CrmConnectionEvent, CrmFieldMapping, CrmObservation
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.services.round_trip import try_round_trip
from adsapp_crm.services.stepping import SCAN
from adsapp_crm.storage import acquire_lease
from crm.model import RunKind
from tests.adsapp_crm.dashboard_stand import BASE, dashboard_stand, text_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stand(tenant, settings):
    with dashboard_stand(tenant, settings) as made:
        made.connect()
        made.contact(firstName="Ada", lastName="Lovelace", email="ada@x.example", phone="+31612345678", city="Ghent")
        made.sync()
        yield made


def ada_of(stand):
    with stand.inside:
        return Contact.objects.get(email="ada@x.example").pk


def tried(stand, **named):
    return try_round_trip(stand.tenant.id, ada_of(stand), stand.connection_id, actor="user:test", **named)


def test_every_field_comes_back_and_nothing_is_left(stand):
    """One record made and deleted; the contact's own is as it was, and no later run takes the test for a person."""
    before = stand.account.records()
    found = tried(stand)
    assert found.is_fine
    assert {each.app_field for each in found.fields} == {"firstName", "lastName", "email", "phone", "city"}
    sent = {each.app_field: each.sent for each in found.fields}
    assert sent["firstName"] == "Ada"
    assert sent["email"].startswith("round-trip-")
    assert stand.account.records() == before
    stand.run(RunKind.FULL)
    with stand.inside:
        assert Contact.objects.count() == 1
        assert CrmConnectionEvent.objects.filter(kind="round_trip").count() == 1


def test_the_page_says_what_the_crm_keeps_otherwise_and_what_the_mapping_refuses(stand):
    """Per field, with what to do about it."""
    with stand.inside:
        CrmFieldMapping.objects.filter(adsapp_field="city").update(
            transform_rule={"steps": [{"step": "value_map", "map": {"Lyon": "LY"}}]}
        )
    answer = stand.client.post(f"{BASE}/contacts/{ada_of(stand)}/test", {"connection": str(stand.connection_id)})
    page = text_of(answer.content.decode())
    assert answer.status_code == 200
    assert "the same" in page
    assert "mapping.value_unmapped" in page
    assert "Round trip through HubSpot" in page


def test_a_record_that_cannot_be_deleted_is_named_and_left_out_of_the_sync(stand):
    """Also what remains when the process dies before it could delete it."""
    stand.account.back_door("POST", "faults", {"kind": "unauthorized", "path": "*/batch/archive"})
    found = tried(stand)
    assert found.left_over
    assert not found.is_fine
    with stand.inside:
        row = CrmObservation.objects.get(remote_id=found.left_over)
        assert row.excluded_by == "user:test"
    stand.run(RunKind.FULL)
    with stand.inside:
        assert Contact.objects.count() == 1


def test_it_waits_for_no_run_and_works_beside_none(stand):
    """While a scan has the connection it is refused, and nothing is sent."""
    with stand.inside:
        row = CrmConnection.objects.get()
    assert acquire_lease(row, SCAN) is not None
    before = stand.account.records()
    with pytest.raises(RefusedError) as refused:
        tried(stand)
    assert [each.code for each in refused.value.refusals] == ["run.busy"]
    assert stand.account.records() == before


def test_by_api_and_for_what_there_is_not(stand):
    """Another organization's contact is as unknown as none; the answer names each field's outcome."""
    path = f"/api/crm/contacts/{ada_of(stand)}/round-trip"
    answer = stand.client.post(path, {"connectionId": str(stand.connection_id)}, "application/json")
    assert answer.status_code == 200
    assert answer.json()["ok"] is True
    assert {each["outcome"] for each in answer.json()["tried"]} == {"same"}
    nowhere = stand.client.post(path, {"connectionId": str(stand.tenant.id)}, "application/json")
    assert nowhere.json()["code"] == "connection.unknown"
