"""A person who asks to be forgotten is nowhere in the database any more, and does not come back."""

from __future__ import annotations

import json

import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone

from adsapp_crm import models
from adsapp_crm.models import Contact, ContactChange, CrmConnection, CrmNotice, uuid7
from adsapp_crm.models.base import OrganizationModel
from adsapp_crm.services.contacts import create_contact, merge_contacts, update_contact
from adsapp_crm.services.erasure import erase_contact, is_buried
from adsapp_crm.services.refusals import RefusedError

pytestmark = pytest.mark.django_db(transaction=True)

CANARY = "canary"
VALUE = f"{CANARY} value"


def whole_database():
    """Every row of every organization table as text, by table."""
    found = {}
    for model in apps.get_app_config("adsapp_crm").get_models():
        if issubclass(model, OrganizationModel):
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT row_to_json(t)::text FROM {model._meta.db_table} t")
                found[model._meta.db_table] = [row[0] for row in cursor.fetchall()]
    return found


def rows_with(text):
    return {table for table, rows in whole_database().items() if any(text in row for row in rows)}


def person(**connection_rules):
    """A contact with a value in every place that the sync writes to."""
    contact = create_contact(
        {"firstName": VALUE, "email": f"{CANARY}@example.com", "phone": "0612345678", "tags": [VALUE]}
        | {"custom.tier": VALUE, "birthday": "1980-01-01", "emailOptOut": True}
    )
    update_contact(contact.pk, {"lastName": VALUE}, version=1)
    on = {"connection": CrmConnection.objects.create(crm_type="hubspot", **connection_rules)}
    link = models.CrmSyncState.objects.create(
        **on,
        contact=contact,
        crm_record_id="R1",
        crm_record_type="contact",
        base={"m": {"app": VALUE, "crm": VALUE, "definition": "firstname:string:"}},
        observed={"firstname": VALUE},
        troubles={"m": {"code": "rule.validation", "provider_message": VALUE}},
        conflict_detected=True,
        conflict_details={"app": VALUE},
        email_key=f"{CANARY}@example.com",
    )
    action = {
        "kind": "sync",
        "contact_id": str(contact.pk),
        "effects": [
            {
                "mapping_id": "m",
                "before": VALUE,
                "after": [VALUE],
                "app_value": VALUE,
                "crm_value": VALUE,
                "lost": VALUE,
            }
        ],
        "conflicts": [{"kind": "field", "base_app": VALUE, "base_crm": VALUE, "app_value": VALUE, "crm_value": VALUE}],
        "troubles": {"m": {"code": "x", "provider_message": VALUE}},
    }
    marker = f"{contact.organization_id}:{contact.pk}"
    for remote_id, mark in (("R1", ""), ("R2", marker)):
        models.CrmObservation.objects.create(
            **on, record_type="contact", remote_id=remote_id, marker=mark, values={"firstname": VALUE}, email_key=CANARY
        )
    plan = models.CrmPlan.objects.create(**on)
    line = {"plan": plan, "stage": 0, "kind": "sync", "record_type": "contact", "action": action}
    models.CrmPlanLine.objects.create(**line, seq=1, contact_id=contact.pk)
    models.CrmPlanLine.objects.create(**line, seq=2, remote_id="R1")
    models.CrmIntent.objects.create(
        **on, contact=contact, kind="update", record_type="contact", values={"firstname": VALUE}, action=action
    )
    models.CrmLedgerEntry.objects.create(
        **on, contact=contact, kind="sync", rule="app_changed", effects=action["effects"], action=action
    )
    models.CrmConflict.objects.create(
        **on,
        link=link,
        contact=contact,
        kind="field",
        mapping_id="m",
        values={"app": VALUE, "crm": VALUE, "baseApp": None},
        resolution={"side": "app", "value": VALUE, "shown_app": VALUE},
    )
    models.CrmWebhookEvent.objects.create(
        **on, event_key="e", event_type="changed", record_type="contact", remote_id="R1", details={"v": VALUE}
    )
    models.IdempotencyKey.objects.create(
        actor="u",
        key="k",
        method="POST",
        path="/api/contacts",
        body_digest="d",
        response={"id": str(contact.pk), "firstName": VALUE},
        expires_at=timezone.now(),
    )
    return contact


def test_no_value_of_the_person_is_left_anywhere(tenant):
    """Not in the contact, its history, or anything the sync wrote down; rows stay and stay explained."""
    with tenant.context():
        contact = person()
        assert rows_with(CANARY) == {
            *("contacts", "contact_changes", "crm_sync_state", "crm_observations", "crm_plan_lines", "crm_intents"),
            *("crm_ledger", "crm_conflicts", "crm_webhook_events", "idempotency_keys"),
        }
        before = {table: len(rows) for table, rows in whole_database().items()}
        report = erase_contact(contact.pk)
        after = {table: len(rows) for table, rows in whole_database().items()}
        assert rows_with(CANARY) == set()
        assert rows_with("0612345678") | rows_with("1980-01-01") == set()
        moved = {table: after[table] - before[table] for table in after if after[table] != before[table]}
        assert moved == {"contact_changes": 1, "contact_tombstones": 2, "crm_notices": 1, "idempotency_keys": -1}
        assert (report.contact_ids, report.history_rows, report.deletions_planned, report.tasks) == (
            (contact.pk,),
            3,
            0,
            1,
        )
        entry = models.CrmLedgerEntry.objects.get()
        assert entry.rule == "app_changed"
        assert entry.effects[0]["before"] == "erased"
        assert entry.effects[0]["mapping_id"] == "m"
        first, _second, last = ContactChange.objects.order_by("version")
        assert first.changes["first_name"] == [None, "erased"]
        assert last.changes["email"] == ["erased", "erased"]
        assert (last.origin, last.changes["erased_at"][0]) == ("erasure", None)
        conflict = models.CrmConflict.objects.get()
        assert (conflict.status, conflict.closed_reason) == ("closed", "erased")
        assert conflict.values == {"app": "erased", "crm": "erased", "baseApp": None}


def test_the_contact_is_a_tombstone(tenant):
    """Erased, at a new version so that every link learns of it; opt-outs stay."""
    with tenant.context():
        contact = person()
        erase_contact(contact.pk)
        stone = Contact.objects.get(pk=contact.pk)
        assert (stone.state, stone.version, stone.email_opt_out) == ("erased", 3, True)
        assert (stone.email_normalized, stone.phone_normalized, stone.custom_fields, stone.tags) == ("", "", {}, [])


def test_the_person_is_recognised_by_digest_only(tenant, other):
    """In any spelling of the address, by the CRM record, and in this organization alone."""
    with tenant.context():
        assert not is_buried(email=f"{CANARY}@example.com")
        contact = person()
        erase_contact(contact.pk)
        assert is_buried(email=f" {CANARY.upper()}@Example.com")
        assert is_buried(crm_type="hubspot", remote_id="R1")
        assert not is_buried(crm_type="pipedrive", remote_id="R1")
        assert not is_buried(email="somebody@example.com", crm_type="hubspot", remote_id="R9")
        assert not is_buried(email="no address")
        digests = set(models.ContactTombstone.objects.values_list("digest", flat=True))
    with other.context():
        assert not is_buried(email=f"{CANARY}@example.com")
        second = create_contact({"email": f"{CANARY}@example.com"})
        erase_contact(second.pk)
        assert set(models.ContactTombstone.objects.values_list("digest", flat=True)).isdisjoint(digests)


@pytest.mark.parametrize(("policy", "planned", "tasks"), [("unlink", 0, 1), ("archive", 1, 0), ("delete", 1, 0)])
def test_each_crm_gets_the_deletion_its_policy_allows_or_a_task(tenant, policy, planned, tasks):
    with tenant.context():
        contact = person(on_app_deleted=policy)
        report = erase_contact(contact.pk)
        assert (report.deletions_planned, report.tasks) == (planned, tasks)
        assert (
            list(CrmNotice.objects.filter(resolved_at=None).values_list("code", "details"))
            == [("state.erased", {"recordType": "contact", "remoteId": "R1"})] * tasks
        )


def test_those_merged_into_the_person_are_erased_too(tenant):
    """A merge keeps the other contact's values in its row and history."""
    with tenant.context():
        contact = person()
        for name in ("canary two", "canary three"):
            other = create_contact({"firstName": name})
            merge_contacts(contact.pk, other.pk)
        report = erase_contact(contact.pk)
        assert len(report.contact_ids) == 3
        assert rows_with(CANARY) == set()
        assert set(Contact.objects.values_list("first_name", flat=True)) == {""}


def test_others_keep_everything(tenant, other):
    """A neighbour with the same name and mailbox, here or elsewhere, is not touched."""
    with other.context():
        person()
        untouched = json.dumps(whole_database(), sort_keys=True)
    with tenant.context():
        neighbour = create_contact({"firstName": VALUE, "email": f"{CANARY}@example.com"})
        contact = person()
        erase_contact(contact.pk)
        assert rows_with(CANARY) == {"contacts", "contact_changes"}
        assert Contact.objects.get(pk=neighbour.pk).first_name == VALUE
    with other.context():
        assert json.dumps(whole_database(), sort_keys=True) == untouched


def test_erasing_again_changes_nothing_and_sweeps_up(tenant):
    """No new version, no second task; a value that came in late goes."""
    with tenant.context():
        contact = person()
        erase_contact(contact.pk)
        models.CrmObservation.objects.update(values={"firstname": VALUE})
        report = erase_contact(contact.pk)
        assert (
            report.tasks,
            CrmNotice.objects.filter(resolved_at=None).count(),
            models.ContactTombstone.objects.count(),
        ) == (0, 1, 2)
        assert Contact.objects.get(pk=contact.pk).version == 3
        assert rows_with(CANARY) == set()


def test_an_erased_contact_is_not_written_again(tenant):
    with tenant.context():
        contact = person()
        erase_contact(contact.pk)
        with pytest.raises(RefusedError) as caught:
            update_contact(contact.pk, {"firstName": "Ann"}, version=None)
        assert caught.value.code == "contact.erased"
        assert Contact.objects.get(pk=contact.pk).first_name == ""


def test_an_unknown_contact_is_refused(tenant):
    with tenant.context():
        before = json.dumps(whole_database(), sort_keys=True)
        with pytest.raises(RefusedError) as caught:
            erase_contact(uuid7())
        assert caught.value.code == "contact.unknown"
        assert json.dumps(whole_database(), sort_keys=True) == before
