"""A mapping is changed while its records are in step: for existing records too, or only from now on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import requests

from adsapp_crm.models import Contact, CrmConnection, CrmFieldMapping, CrmLedgerEntry, CrmPlanLine, CrmSyncState
from adsapp_crm.services.conflict_rules import wanted_of
from adsapp_crm.services.describing import refresh_fields
from adsapp_crm.services.mapping_changes import question_of
from adsapp_crm.services.mappings import WantedMapping, current_mappings, replace_mappings
from adsapp_crm.services.undoing import apply_undo, preview_undo
from crm.model import AppliesTo, RunKind
from crm.providers.hubspot.fake import DEFAULT_TOKEN
from tests.adsapp_crm.test_syncing import site as site_fixture

pytestmark = pytest.mark.django_db(transaction=True)
site = site_fixture

WRITES = ("created_in_app", "created_in_crm", "updated_in_app", "updated_in_crm", "deleted_in_app", "deleted_in_crm")
PREFIX = {"steps": [{"step": "prefix", "text": "Co. "}]}


@pytest.fixture
def people(site):
    """Three people on both sides, in step."""
    ids = [site.contact(email=f"p{n}@x.example", company=f"Engines {n}") for n in range(3)]
    site.approve(site.run().plan_id)
    assert written(site.run()) == 0
    return ids


def written(run):
    return sum(run.counts.get(name, 0) for name in WRITES)


def change(site, applies_to=None, *, add=(), name="company", **rules):
    with site.inside:
        connection = CrmConnection.objects.get(pk=site.connection_id)
        rows = [wanted_of(each) for each in current_mappings(connection)]
        wanted = [replace(row, **rules) if row.app_field == name else row for row in rows]
        replace_mappings(connection, [*wanted, *add], actor="user:test", applies_to=applies_to)


def row(site, name="company"):
    with site.inside:
        return CrmFieldMapping.objects.get(adsapp_field=name, deleted_at=None)


def companies(site):
    with site.inside:
        ours = {each.email: each.company for each in Contact.objects.all()}
    records = [each["properties"] for each in site.door("GET", "records")["results"]]
    return ours, {each["email"]: each.get("company") or "" for each in records}


def edit(site, email, **values):
    found = [each for each in site.door("GET", "records")["results"] if each["properties"]["email"] == email]
    site.door("PATCH", f"records/{found[0]['id']}", {"properties": values})


def test_a_changed_transform_for_existing_records_is_shown_and_then_carried_to_all(site, people):
    """The dry run names the rule; the next delta reads everything, writes three values, and then all is quiet."""
    change(site, AppliesTo.EXISTING, transform_rule=PREFIX)
    shown = site.run(dry_run=True)
    with site.inside:
        lines = CrmPlanLine.objects.filter(plan=shown.plan_id)
        assert {effect["rule"] for line in lines for effect in line.action["effects"]} == {"mapping_changed"}
        assert lines.count() == 3

    run = site.run(RunKind.DELTA)

    assert (run.sync_type, run.counts["updated_in_crm"], written(run)) == ("full", 3, 3)
    ours, theirs = companies(site)
    assert theirs == {email: f"Co. {company}" for email, company in ours.items()}
    quiet = site.run(RunKind.DELTA)
    assert (quiet.sync_type, written(quiet)) == ("delta", 0)
    with site.inside:
        entry = CrmLedgerEntry.objects.filter(run_id=run.pk).first()
        assert (entry.effects[0]["rule"], entry.effects[0]["lost"]) == ("mapping_changed", entry.effects[0]["before"])


def test_its_undo_brings_the_former_values_back_and_they_stay(site, people):
    """A difference that a person made by an undo is not brought into step again by the change that he took back."""
    before = companies(site)
    change(site, AppliesTo.EXISTING, transform_rule=PREFIX)
    shown = preview_undo(site.tenant.id, site.run().pk, actor="user:test")
    assert (dict(shown.counts), list(shown.not_undoable)) == ({"sync": 3}, [])

    apply_undo(site.tenant.id, shown, actor="user:test")

    assert companies(site) == before
    assert written(site.run()) == 0


def test_a_changed_transform_from_now_on_waits_for_the_next_edit(site, people):
    """The silent default of a changed row: 0 writes, also in a full run; the next edits go by the new steps."""
    change(site, transform_rule=PREFIX)
    assert row(site).applies_to == "new"
    assert written(site.run()) == 0
    with site.inside:
        Contact.objects.filter(pk=people[0]).update(company="Looms")
    edit(site, "p1@x.example", company="Co. Mills")

    run = site.run(RunKind.DELTA)

    assert (run.sync_type, written(run)) == ("delta", 2)
    ours, theirs = companies(site)
    assert (theirs["p0@x.example"], ours["p1@x.example"]) == ("Co. Looms", "Mills")
    assert (ours["p2@x.example"], theirs["p2@x.example"]) == ("Engines 2", "Engines 2")


def test_a_direction_opened_from_now_on_leaves_old_drift_and_takes_the_next_edit(site, people):
    """What drifted before stays on its side without a write; an edit after the change flows, even before the scan."""
    change(site, AppliesTo.NEW, direction="to_crm")
    edit(site, "p0@x.example", company="Old drift")
    assert written(site.run(RunKind.DELTA)) == 0
    change(site, AppliesTo.NEW, direction="bidirectional")
    assert row(site).former == {"direction": "to_crm", "drift": None}
    edit(site, "p1@x.example", company="Mills")

    run = site.run(RunKind.DELTA)

    assert (run.sync_type, run.counts["updated_in_app"], written(run)) == ("full", 1, 1)
    ours, theirs = companies(site)
    assert (ours["p0@x.example"], theirs["p0@x.example"]) == ("Engines 0", "Old drift")
    assert ours["p1@x.example"] == "Mills"
    assert (row(site).former, row(site).changed_at) == (None, None)
    edit(site, "p0@x.example", company="Newer")
    assert written(site.run(RunKind.DELTA)) == 1
    assert companies(site)[0]["p0@x.example"] == "Newer"


def test_a_direction_opened_for_existing_records_lets_drift_flow(site, people):
    change(site, direction="to_crm")
    edit(site, "p0@x.example", company="Drift")
    assert written(site.run(RunKind.DELTA)) == 0
    change(site, AppliesTo.EXISTING, direction="bidirectional")

    run = site.run(RunKind.DELTA)

    assert (run.sync_type, written(run)) == ("full", 1)
    assert companies(site)[0]["p0@x.example"] == "Drift"


@pytest.mark.parametrize(("applies_to", "filled"), [(None, 3), (AppliesTo.EXISTING, 3), (AppliesTo.NEW, 0)])
def test_a_field_that_is_newly_mapped(site, people, applies_to, filled):
    """Without an answer it is for existing records: that is what a field is mapped for."""
    with site.inside:
        Contact.objects.update(city="Turin")
    assert written(site.run(RunKind.DELTA)) == 0
    change(site, applies_to, add=[WantedMapping("contacts", "city", "city")])

    run = site.run(RunKind.DELTA)

    assert (run.sync_type, written(run)) == ("full", filled)
    assert written(site.run()) == 0
    with site.inside:
        Contact.objects.filter(pk=people[0]).update(city="Milan")
    assert written(site.run(RunKind.DELTA)) == 1


def test_from_now_on_can_be_taken_back(site, people):
    """The same rows saved again with the other answer; a third time changes nothing more."""
    change(site, AppliesTo.NEW, transform_rule=PREFIX)
    assert written(site.run()) == 0
    change(site, AppliesTo.EXISTING)
    version = row(site).version
    assert written(site.run(RunKind.DELTA)) == 3
    change(site, AppliesTo.EXISTING)
    assert row(site).version == version
    assert site.run(RunKind.DELTA).sync_type == "delta"


def test_it_is_asked_only_where_records_are_concerned(site):
    """Not before the first sync, not for a rule that moves nothing, and with the number of linked records."""
    with site.inside:
        connection = CrmConnection.objects.get(pk=site.connection_id)
        rows = current_mappings(connection)
        wanted = [wanted_of(each) for each in rows]
        changed = [replace(each, direction="to_crm") if each.app_field == "company" else each for each in wanted]
        assert question_of(connection, rows, changed) is None
    site.contact(email="a@x.example")
    site.approve(site.run().plan_id)
    with site.inside:
        connection = CrmConnection.objects.get(pk=site.connection_id)
        asked = question_of(connection, rows, changed)
        assert (asked.fields, asked.records, asked.adds_only) == (("company",), 1, False)
        assert question_of(connection, rows, [replace(each, blank_rule="never") for each in wanted]) is None
        added = question_of(connection, rows, [*wanted, WantedMapping("contacts", "city", "city")])
        assert (added.fields, added.adds_only) == (("city",), True)


def test_what_was_refused_is_tried_again_when_the_mapping_changes(site, people):
    """The value is the same as before; nobody has to press retry."""
    levels = {"steps": [{"step": "value_map", "map": {"Engines 0": "A", "Engines 1": "B", "Engines 2": "C"}}]}
    change(site, transform_rule=levels)
    with site.inside:
        Contact.objects.filter(pk=people[0]).update(company="Looms")
    assert written(site.run(RunKind.DELTA)) == 0
    assert refused(site) == [people[0]]

    levels = {"steps": [{"step": "value_map", "map": {"Looms": "L", **levels["steps"][0]["map"]}}]}
    change(site, transform_rule=levels)

    assert written(site.run(RunKind.DELTA)) == 1
    assert refused(site) == []


def test_what_the_crm_refused_is_tried_again_once_when_its_fields_change(site, people):
    """A value is added to a list: the hourly look has the record tried again; the next look does not."""
    tier = {"name": "tier", "label": "Tier", "groupName": "contactinformation", "type": "enumeration"}
    options = [{"label": word, "value": word, "displayOrder": -1, "hidden": False} for word in ("Gold", "Silver")]
    crm(site, "POST", "", {**tier, "fieldType": "select", "options": options[:1]})
    refresh_fields(site.tenant.id, site.connection_id, actor="user:test")
    change(site, add=[WantedMapping("contacts", "custom.tier", "tier", direction="to_crm")])
    with site.inside:
        Contact.objects.filter(pk=people[0]).update(custom_fields={"tier": "Silver"})
        Contact.objects.filter(pk=people[1]).update(custom_fields={"tier": "Bronze"})
    site.run(RunKind.DELTA)
    assert sorted(refused(site)) == sorted(people[:2])
    look(site)
    assert sorted(refused(site)) == sorted(people[:2])

    crm(site, "PATCH", "/tier", {"options": options})
    look(site)
    assert refused(site) == []
    assert written(site.run(RunKind.DELTA)) == 1

    assert refused(site) == [people[1]]
    look(site)
    assert refused(site) == [people[1]]
    assert [each["properties"].get("tier") for each in site.door("GET", "records")["results"]].count("Silver") == 1


def test_a_record_that_was_refused_whole_is_made_when_a_field_need_not_be_filled_any_more(site, people):
    """Seen by a full run; who is who is asked as before."""
    with site.inside:
        doubtful = CrmSyncState.objects.filter(contact_id=people[1])
        doubtful.update(error_code="match.ambiguous", attempts=3)
        CrmSyncState.objects.filter(contact_id=people[2]).update(error_code="field.required", attempts=3)
        connection = CrmConnection.objects.get(pk=site.connection_id)
        connection.schema["contacts"]["hash"] = "of another description"
        unmapped = next(each for each in connection.schema["contacts"]["fields"] if each["name"] == "fax")
        unmapped["required"] = True
        connection.save(update_fields=["schema"])

    look(site)

    with site.inside:
        left = CrmSyncState.objects.get(contact_id=people[2])
        assert (left.error_code, left.attempts, left.due) == ("", 0, True)
        assert doubtful.get().error_code == "match.ambiguous"


def look(site):
    """What the hourly job does."""
    refresh_fields(site.tenant.id, site.connection_id, actor="service:upkeep")


def crm(site, method, path, body):
    headers = {"Authorization": f"Bearer {DEFAULT_TOKEN}"}
    address = f"{site.url}/crm/v3/properties/contacts{path}"
    answer = requests.request(method, address, json=body, headers=headers, timeout=10)
    assert answer.ok, answer.text


def refused(site):
    with site.inside:
        return [str(each.contact_id) for each in CrmSyncState.objects.all() if each.troubles or each.error_code]
