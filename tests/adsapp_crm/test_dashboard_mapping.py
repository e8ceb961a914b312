"""Mappings as a person edits them on the dashboard: rows, files, suggestions, steps."""

from __future__ import annotations

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from adsapp_crm.models import (
    Contact,
    CrmConnection,
    CrmFieldMapping,
    CrmSyncState,
)
from tests.adsapp_crm.dashboard_stand import BASE, dashboard_stand, text_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stand(tenant, settings):
    with dashboard_stand(tenant, settings) as made:
        yield made


@pytest.fixture
def synced(stand):
    return stand.with_three_people()


ROW = {
    "record_type": "contacts",
    "app_field": "company",
    "remote_field": "company",
    "direction": "bidirectional",
    "blank_rule": "propagate",
}


def test_a_mapping_is_added_changed_and_rolled_back(synced):
    """Each save is a version; going back shows the difference first."""
    base = "/connections/hubspot/mapping"
    asked = text_of(synced.post(f"{base}/new", **ROW, save="1").content.decode())
    assert "say below for which records the change is" in asked
    assert "Concerned: company Existing records too" in asked
    with synced.inside:
        assert not CrmFieldMapping.objects.filter(adsapp_field="company", deleted_at=None).exists()
    assert "Saved as a new version" in synced.follow(f"{base}/new", **ROW, save="1", applies_to="existing")
    with synced.inside:
        row = CrmFieldMapping.objects.get(adsapp_field="company", deleted_at=None)
        version = CrmConnection.objects.get().mapping_version
    steps = {"step-0-step": "prefix", "step-0-text": "Co. "}
    assert "Saved as a new version" in synced.follow(f"{base}/{row.pk}", **ROW, **steps, save="1", applies_to="new")
    with synced.inside:
        row = CrmFieldMapping.objects.get(pk=row.pk)
        assert row.applies_to == "new"
        assert row.transform_rule == {"steps": [{"step": "prefix", "text": "Co. "}], "starts_at": "app"}
    page = synced.get(f"{base}/versions/{version}")
    assert "What going back to it would change" in page
    assert "For which records?" in page
    synced.post(f"{base}/versions/{version}", applies_to="existing")
    with synced.inside:
        row.refresh_from_db()
        assert (row.transform_rule, row.applies_to) == (None, "existing")
    synced.post(f"{base}/{row.pk}/remove")
    with synced.inside:
        assert not CrmFieldMapping.objects.filter(adsapp_field="company", deleted_at=None).exists()


def file_of(text, name="mapping.json"):
    return SimpleUploadedFile(name, text.encode())


def test_a_mapping_file_shows_what_it_changes_and_is_then_saved(synced):
    """Exported, changed and read back: one change is shown, saved once, and refused when others saved meanwhile."""
    here = "/connections/hubspot/mapping/import"
    document = json.loads(synced.get("/connections/hubspot/mapping.json"))
    assert "jobTitle" in synced.get("/connections/hubspot/mapping.csv")
    same = text_of(synced.post(here, file=file_of(json.dumps(document))).content.decode())
    assert "Nothing: the mapping is as the file has it." in same
    next(each for each in document["mappings"] if each["adsappField"] == "jobTitle")["direction"] = "to_crm"
    text = json.dumps(document)
    page = text_of(synced.post(here, file=file_of(text)).content.decode())
    assert "Save 1 change as a new version" in page
    assert "For which records?" in page
    with synced.inside:
        row = CrmFieldMapping.objects.get(adsapp_field="jobTitle", deleted_at=None)
        version = CrmConnection.objects.get().mapping_version
        assert row.direction == "bidirectional"
    said = {"content": text, "save": "1", "applies_to": "existing"}
    assert "was changed since the file was shown" in text_of(synced.follow(here, **said, version=version - 1))
    assert f"Saved as version {version + 1}" in text_of(synced.follow(here, **said, version=version))
    with synced.inside:
        row.refresh_from_db()
        assert (row.direction, row.applies_to) == ("to_crm", "existing")


def test_a_file_that_cannot_be_taken_is_refused_with_the_reason(synced):
    """What is no mapping at once; a pair that cannot work with its name, beside what the file would change."""
    here = f"{BASE}/connections/hubspot/mapping/import"
    refused = {
        "": "The file is empty.",
        "{": "The file is no JSON",
        '{"crmType": "pipedrive", "mappings": []}': "another CRM than hubspot",
        "recordType,adsappField\ncontacts,email\n": "The first line lacks crmField",
    }
    for text, said in refused.items():
        page = synced.client.post(here, {"file": file_of(text)}, follow=True)
        assert said in text_of(page.content.decode()), text
    text = json.dumps([{"recordType": "contacts", "adsappField": "birthday", "crmField": "no_such_field"}])
    answer = synced.client.post(here, {"content": text, "save": "1", "version": "0"})
    assert answer.status_code == 422
    assert "birthday and no_such_field" in text_of(answer.content.decode())
    with synced.inside:
        assert CrmFieldMapping.objects.filter(deleted_at=None).count() == 6


def test_fields_are_suggested_with_their_reason_and_mapped_only_when_a_person_saves(synced):
    """Names alone first; values are read by one call, shown beside each other, and nothing is stored of either."""
    page = text_of(synced.get("/connections/hubspot/mapping/suggestions?type=contacts"))
    assert "company Company Name company names alike by 100 %" in page
    assert "postalCode" in page
    with synced.inside:
        before = list(CrmFieldMapping.objects.values())
        Contact.objects.filter(email="ada@x.example").update(company="Analytical Engines")
        link = CrmSyncState.objects.get(contact__email="ada@x.example")
    synced.account.edit(link.crm_record_id, company="Engines Ltd")
    page = text_of(synced.follow("/connections/hubspot/mapping/suggestions", type="contacts"))
    assert "Analytical Engines Engines Ltd" in page
    row = synced.get("/connections/hubspot/mapping/new?type=contacts&ours=company&theirs=company&direction=nonsense")
    assert 'value="company" selected' in row
    with synced.inside:
        assert list(CrmFieldMapping.objects.values()) == before
        assert CrmSyncState.objects.get(pk=link.pk).observed == link.observed


def test_suggestions_of_a_crm_that_does_not_answer_fall_back_to_names(synced):
    synced.account.back_door("POST", "faults", {"kind": "unauthorized", "times": 50})
    page = text_of(synced.follow("/connections/hubspot/mapping/suggestions", type="contacts"))
    assert "(auth.expired)" in page or "(auth.revoked)" in page
    assert "names alike by 100 %" in page


def test_a_transform_without_inverse_on_a_two_way_field_is_refused_and_changes_nothing(synced):
    with synced.inside:
        before = CrmConnection.objects.get().mapping_version
    said = {**ROW, "step-0-step": "truncate", "step-0-length": "3", "save": "1"}
    answer = synced.post("/connections/hubspot/mapping/new", **said)
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "Not saved; nothing was changed." in page
    assert "Make the mapping one-way" in page
    with synced.inside:
        assert CrmConnection.objects.get().mapping_version == before


def test_the_preview_shows_real_contacts_through_the_steps_and_saves_nothing(synced):
    with synced.inside:
        row = CrmFieldMapping.objects.get(adsapp_field="jobTitle")
    said = {**ROW, "app_field": "jobTitle", "remote_field": "jobtitle", "step-0-step": "suffix", "step-0-text": " (x)"}
    page = synced.post(f"/connections/hubspot/mapping/{row.pk}", **said, preview="1").content.decode()
    assert "Countess (x)" in page
    assert "refused" in page  # what the CRM holds now has no suffix to take off
    with synced.inside:
        assert CrmFieldMapping.objects.get(pk=row.pk).transform_rule is None


def test_steps_are_added_moved_removed_and_read_from_json_without_saving(synced):
    path = "/connections/hubspot/mapping/new"
    two = {"step-0-step": "trim", "step-1-step": "prefix", "step-1-text": "a"}
    page = synced.post(path, **ROW, **two, move="up-1").content.decode()
    assert page.index('value="prefix"') < page.index('value="trim"')
    page = synced.post(path, **ROW, **two, move="remove-0").content.decode()
    assert 'name="step-1-step"' not in page
    page = synced.post(path, **ROW, **two, add="1", new_step="case").content.decode()
    assert 'name="step-2-step" value="case"' in page
    page = synced.post(path, **ROW, use_json="1", json='{"steps": [{"step": "trim"}]}').content.decode()
    assert 'name="step-0-step" value="trim"' in page
    answer = synced.post(path, **ROW, use_json="1", json="{")
    assert answer.status_code == 422
    assert "cannot be read" in answer.content.decode()
