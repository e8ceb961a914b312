"""The dashboard's pages through a person's clicks, against a HubSpot on loopback."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from adsapp_crm import wiring
from adsapp_crm.limiter import DayUse
from adsapp_crm.models import (
    Contact,
    CrmConflict,
    CrmConnection,
    CrmFieldMapping,
    CrmLedgerEntry,
    CrmPlan,
    CrmSyncLog,
    CrmSyncState,
    CrmWebhookEvent,
)
from adsapp_crm.models.choices import ConnectionEventKind, Role
from adsapp_crm.selectors import database_now
from adsapp_crm.services.analytics import figures_by_day
from adsapp_crm.services.connection_history import note, note_schema
from adsapp_crm.services.standing import count_links
from crm.model import RunKind
from tests.adsapp_crm.dashboard_stand import BASE, dashboard_stand, text_of
from tests.adsapp_crm.hubspot_account import TOKEN

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stand(tenant, settings, monkeypatch):
    with dashboard_stand(tenant, settings, monkeypatch) as made:
        yield made


@pytest.fixture
def synced(stand):
    """Three people in step on both sides."""
    stand.connect()
    stand.contact(firstName="Ada", lastName="Lovelace", email="ada@x.example", jobTitle="Countess")
    stand.contact(firstName="Bea", lastName="Smith", email="bea@x.example", city="Ghent")
    stand.account.add({"firstname": "Cyd", "lastname": "Jones", "email": "cyd@x.example"})
    stand.sync()
    return stand


def pages_of(stand):
    """Every page that there is something to see on, by the rows there are."""
    with stand.inside:
        runs = [f"/runs/{run}" for run in CrmSyncLog.objects.values_list("pk", flat=True)]
        plans = [f"/plans/{plan}" for plan in CrmPlan.objects.values_list("pk", flat=True)]
        contacts = [f"/contacts/{each}" for each in Contact.objects.values_list("pk", flat=True)]
        conflicts = [f"/conflicts/{each}" for each in CrmConflict.objects.values_list("pk", flat=True)]
        rows = CrmFieldMapping.objects.filter(deleted_at__isnull=True).values_list("pk", flat=True)
        mapping = [f"/connections/hubspot/mapping/{each}" for each in rows]
    fixed = ["", "/connections/hubspot", "/connections/hubspot/mapping", "/connections/hubspot/mapping/new"]
    fixed += ["/connections/hubspot/mapping/suggestions", "/connections/hubspot/mapping/import"]
    fixed += ["/conflicts", "/records", "/records?state=excluded", "/contacts", "/contacts?q=a", "/webhooks", "/people"]
    fixed += ["/connections/hubspot/schedule"]
    fixed += ["/activity", "/activity?kind=settings&crm=hubspot", "/figures", "/figures?days=90"]
    fixed += ["/connect/hubspot", "/connect/pipedrive", "/connect/salesforce", "/organizations"]
    return [*fixed, *runs, *[f"{run}/progress" for run in runs], *plans, *contacts, *conflicts, *mapping]


# Who may enter ----------------------------------------------------------------------------------------------


def test_a_stranger_is_sent_to_the_log_in_and_comes_back(stand):
    """The page asked for is kept; the log-in works for people who are not staff."""
    stand.tenant.user.set_password("a-long-Pa55word-here")
    stand.tenant.user.save()
    answer = Client().get(f"{BASE}/conflicts")
    assert answer.url == f"/login?next={BASE}/conflicts"
    client = Client()
    page = client.get(answer.url)
    assert page.status_code == 200
    said = {"username": stand.tenant.user.email, "password": "a-long-Pa55word-here", "next": f"{BASE}/conflicts"}
    assert client.post("/login", said).url == f"{BASE}/conflicts"


def test_a_wrong_password_is_told_and_lets_nobody_in(stand):
    client = Client()
    page = client.post("/login", {"username": stand.tenant.user.email, "password": "wrong"}, REMOTE_ADDR="127.9.9.9")
    assert "do not fit together" in page.content.decode()
    assert client.get(BASE).status_code == 302


def test_a_person_of_two_organizations_chooses_and_sees_only_the_chosen_one(stand, make_organization):
    """Before the choice no page of an organization opens; a foreign organization cannot be chosen."""
    second = make_organization("Second of both", email=stand.tenant.user.email)
    foreign = make_organization("Foreign")
    assert stand.client.get(BASE).url == f"{BASE}/organizations"
    assert "Second of both" in stand.get("/organizations")
    stand.post("/organizations", organization=foreign.id)
    assert stand.client.get(BASE).url == f"{BASE}/organizations"
    stand.post("/organizations", organization=second.id)
    assert "Second of both" in stand.get()
    assert "No run yet" in stand.get()


def test_rows_of_another_organization_are_not_there(synced, make_organization):
    """Every page with an id answers 404 to a member of another organization, and says nothing of the row."""
    other = make_organization("Other")
    client = Client()
    client.force_login(other.user)
    asked = [path for path in pages_of(synced) if path.count("/") == 2 and len(path) > 40]
    assert asked
    for path in asked:
        answer = client.get(f"{BASE}{path}")
        assert answer.status_code == 404, path
        assert "Lovelace" not in answer.content.decode()


POSTS = {
    Role.VIEWER: [
        ("/connections/hubspot/sync", {"kind": "delta"}),
        ("/connections/hubspot/change", {"pause": "1"}),
        ("/conflicts", {"act": "app", "which": "all", "confirmed": "1"}),
        ("/records", {"act": "exclude", "which": "all"}),
    ],
    Role.OPERATOR: [
        ("/connect/hubspot", {"token": TOKEN}),
        ("/connections/hubspot", {"mode": "observe"}),
        ("/connections/hubspot/mode", {"mode": "observe"}),
        ("/connections/hubspot/disconnect", {}),
        ("/runs/{run}/undo", {}),
        ("/plans/{plan}", {"approve": "1"}),
        ("/connections/hubspot/mapping/new", {"app_field": "company", "remote_field": "company", "save": "1"}),
        ("/people", {"act": "key", "name": "mine", "scope": "admin"}),
    ],
}


@pytest.mark.parametrize("role", POSTS)
def test_a_role_does_what_it_may_and_no_more(synced, role):
    """What needs more than the role is refused with a page that says so, and nothing changes."""
    client = synced.member(role)
    forbidden = POSTS[role] + (POSTS[Role.OPERATOR] if role == Role.VIEWER else [])
    with synced.inside:
        ids = {"run": CrmSyncLog.objects.latest("started_at").pk, "plan": CrmPlan.objects.latest("created_at").pk}
    for path, values in forbidden:
        answer = client.post(f"{BASE}{path.format(**ids)}", values)
        assert answer.status_code == 403, path
    with synced.inside:
        connection = CrmConnection.objects.get()
        assert (connection.status, connection.mode) == ("active", "sync")
        assert CrmSyncState.objects.filter(excluded_at__isnull=False).count() == 0


def test_every_page_opens_for_a_viewer(synced):
    client = synced.member(Role.VIEWER)
    for path in pages_of(synced):
        assert client.get(f"{BASE}{path}").status_code in (200, 302), path


# The first sync ---------------------------------------------------------------------------------------------


def test_from_nothing_to_the_first_sync(stand):
    """Connect by token, dry run, look at the plan, approve: nothing is written before the approval."""
    stand.contact(firstName="Ada", lastName="Lovelace", email="ada@x.example")
    stand.account.add({"firstname": "Cyd", "lastname": "Jones", "email": "cyd@x.example"})
    assert "Connect HubSpot" in stand.get()
    page = stand.follow("/connect/hubspot", token=TOKEN)
    assert "is connected" in page
    assert "The first sync" in page
    before = stand.account.records()

    answer = stand.post("/connections/hubspot/sync", kind="dry")
    run_id = answer.url.rsplit("/", 1)[1]
    assert "Cancel the run" in stand.get(f"/runs/{run_id}")
    stand.finish(run_id)
    assert "Look at the plan" in stand.get(f"/runs/{run_id}")
    with stand.inside:
        plan = CrmPlan.objects.get()
    text = text_of(stand.get(f"/plans/{plan.pk}"))
    assert "In ADSapp 1 created 0 updated 0 deleted" in text
    assert "In HubSpot 1 created 0 updated 0 deleted" in text
    assert "Approve 2 lines" in text
    assert stand.account.records() == before

    applied = stand.post(f"/plans/{plan.pk}", approve="1").url.rsplit("/", 1)[1]
    stand.finish(applied)
    assert len(stand.account.records()) == 2
    with stand.inside:
        assert Contact.objects.count() == 2
    assert "Healthy" in stand.get("/connections/hubspot")


def test_a_wrong_token_is_explained_and_connects_nothing(stand):
    page = stand.follow("/connect/hubspot", token="pat-eu1-not-the-right-one")
    assert "auth." in page
    with stand.inside:
        assert CrmConnection.objects.count() == 0


def test_merged_contacts_are_merged_here_from_the_question(stand):
    """The page shows both and lets one go on; it has no sides to keep."""
    stand.connect()
    first, second = (stand.contact(firstName=name, email=f"{name}@x.example") for name in ("ann", "annie"))
    with stand.inside:
        asked = CrmConflict.objects.create(
            connection_id=stand.connection_id,
            kind="merge",
            contact_id=first,
            remote_id="9",
            code="state.merged",
            candidates=[f"contact:{first}", f"contact:{second}"],
        )
    page = stand.get(f"/conflicts/{asked.pk}")
    assert "Is this one person?" in page
    assert "Keep ADSapp" not in text_of(page)
    stand.follow(f"/conflicts/{asked.pk}", act="merge", contact=second)
    with stand.inside:
        assert str(Contact.objects.get(pk=first).merged_into_id) == second


def test_before_the_first_sync_one_may_choose_to_only_watch(stand):
    """One click on the page before the first sync, and one back; the page says which it is."""
    stand.connect()
    assert "Only watch (observe mode)" in stand.get("/connections/hubspot")
    page = text_of(stand.follow("/connections/hubspot/mode", mode="observe"))
    assert "write nothing on either side" in page
    with stand.inside:
        assert CrmConnection.objects.get().mode == "observe"
    assert "Runs write again" in stand.follow("/connections/hubspot/mode", mode="sync")
    with stand.inside:
        assert CrmConnection.objects.get().mode == "sync"


def test_the_health_card_tells_what_is_left_of_the_day(synced, monkeypatch):
    """A bar where the CRM has told its limit, and what syncs leave to others; the count alone where it has not."""
    page = text_of(synced.get("/connections/hubspot"))
    assert re.search(r"Calls to the CRM today \d+ · no daily limit is known", page)
    told = DayUse(limit=250_000, used=200_000, usable_share=0.9, held_seconds=0, resets_in_seconds=3600)
    monkeypatch.setattr(wiring, "day_use", lambda _row: told)
    page = synced.get("/connections/hubspot")
    assert "200,000 of 250,000" in text_of(page)
    assert '<meter min="0" max="250000" high="225000" value="200000"' in page


def test_a_log_in_goes_to_the_environment_that_is_chosen(stand, settings):
    """Salesforce's sandboxes log in at another address; what is none of its environments is the installation's."""
    settings.CRM_PROVIDERS = {"salesforce": {"client_id": "id", "client_secret": "secret"}}
    settings.CRM_EXTRA_HOSTS = ()
    assert "/api/crm/connect/callback" in stand.get("/connect/salesforce")
    for chosen, host in (("sandbox", "test"), ("production", "login"), ("elsewhere", "login")):
        page = stand.post("/connect/salesforce", log_in="1", environment=chosen).content.decode()
        assert f'content="0; url=https://{host}.salesforce.com/services/oauth2/authorize?' in page


def test_a_plan_that_is_dropped_writes_nothing(stand):
    stand.connect()
    stand.contact(firstName="Ada", email="ada@x.example")
    stand.run()
    with stand.inside:
        plan = CrmPlan.objects.get()
    stand.post(f"/plans/{plan.pk}", drop="1")
    assert stand.account.records() == []
    assert "waits for nobody" in stand.get(f"/plans/{plan.pk}")
    assert "Make a new plan" in stand.follow(f"/plans/{plan.pk}", approve="1")


def test_trying_with_a_few_contacts_needs_no_approval_and_writes_only_them(stand):
    stand.connect()
    for number in range(25):
        stand.contact(firstName=f"Person {number}", email=f"p{number}@x.example")
    run_id = stand.post("/connections/hubspot/sync", kind="trial").url.rsplit("/", 1)[1]
    stand.finish(run_id)
    assert len(stand.account.records()) == 20


def test_a_second_sync_shows_the_one_on_its_way(synced):
    """Pressing twice starts one run."""
    first = synced.post("/connections/hubspot/sync", kind="delta").url
    assert synced.post("/connections/hubspot/sync", kind="delta").url == first


def test_a_cancelled_run_says_so_and_progress_reloads_the_page(synced):
    path = synced.post("/connections/hubspot/sync", kind="full").url.removeprefix(BASE)
    assert "HX-Refresh" not in synced.client.get(f"{BASE}{path}/progress").headers
    synced.post(f"{path}/cancel")
    assert "Cancelling" in synced.get(path)
    assert synced.finish(path.rsplit("/", 1)[1]).status == "cancelled"
    assert synced.client.get(f"{BASE}{path}/progress").headers["HX-Refresh"] == "true"


def test_the_snapshot_holds_every_contact_and_no_formula(synced):
    synced.contact(firstName="=1+1", email="formula@x.example")
    answer = synced.client.get(f"{BASE}/contacts.csv")
    body = b"".join(answer.streaming_content).decode()
    assert len(body.splitlines()) == 5
    assert "'=1+1" in body


# Afterwards -------------------------------------------------------------------------------------------------


def test_undo_shows_counts_first_and_then_takes_the_run_back(synced):
    with synced.inside:
        ada = Contact.objects.get(first_name="Ada")
    (cyd,) = [
        each
        for each in synced.account.back_door("GET", "records")["results"]
        if each["properties"]["firstname"] == "Cyd"
    ]
    synced.account.edit(cyd["id"], jobtitle="Dancer")
    run = synced.run(RunKind.DELTA)
    assert "Dancer" in synced.get(f"/runs/{run.pk}")
    undo = synced.post(f"/runs/{run.pk}/undo").url.rsplit("/", 1)[1]
    synced.finish(undo)
    with synced.inside:
        plan = CrmSyncLog.objects.get(pk=undo).plan
        assert Contact.objects.get(first_name="Cyd").job_title == "Dancer"
    assert "Take back 1 record" in synced.get(f"/plans/{plan.pk}")
    applied = synced.post(f"/plans/{plan.pk}", approve="1").url.rsplit("/", 1)[1]
    synced.finish(applied)
    with synced.inside:
        assert Contact.objects.get(first_name="Cyd").job_title == ""
        assert Contact.objects.get(pk=ada.pk).job_title == "Countess"


def test_why_is_this_contact_there_in_one_step(synced):
    """The e-mail leads straight to the page that names both values, what was agreed, and the rule."""
    answer = synced.client.get(f"{BASE}/contacts", {"q": "ADA@x.example"}, follow=True)
    text = text_of(answer.content.decode())
    assert "in sync" in text
    assert "Countess" in text
    assert "https://app.hubspot.com/contacts/" in answer.content.decode()
    assert "Nobody in ADSapp is found" in synced.get("/contacts?q=nobody@x.example")


def test_a_contact_is_left_out_taken_in_again_and_unlinked(synced):
    with synced.inside:
        link = CrmSyncState.objects.get(contact__first_name="Ada")
    path, named = f"/contacts/{link.contact_id}", {"link": link.pk, "connection": link.connection_id}
    assert "excluded" in synced.follow(path, act="exclude", **named)
    assert "ada@x.example" in synced.get("/records?state=excluded")
    synced.post(path, act="include", **named)
    with synced.inside:
        assert CrmSyncState.objects.get(pk=link.pk).excluded_at is None
    synced.post(path, act="unlink", **named)
    with synced.inside:
        assert CrmSyncState.objects.get(pk=link.pk).state == "unlinked"
    assert "A person chose" in synced.get(path)


def test_failing_records_are_listed_by_reason_and_handled_together(synced):
    with synced.inside:
        CrmSyncState.objects.exclude(contact__first_name="Cyd").update(error_code="field.required", attempts=3)
    page = synced.get("/records?state=failing&code=field.required")
    assert "The CRM requires a field that is empty" in page
    assert "ada@x.example" in page
    assert "cyd@x.example" not in page
    assert synced.client.get(f"{BASE}/records.csv?state=failing").content.decode().count("field.required") == 2
    assert "2 records are left out" in synced.follow("/records", act="exclude", which="all", code="field.required")
    with synced.inside:
        assert CrmSyncState.objects.filter(excluded_at__isnull=False).count() == 2
    assert "2 records are tried again" in synced.follow("/records", act="include", which="all", state="excluded")
    assert "Nothing was chosen" in synced.follow("/records", act="retry", which="chosen")


def test_a_failing_record_that_waits_for_an_answer_is_listed_as_a_conflict_alone(stand):
    """The card counts it once, so the list of failing ones leaves it out."""
    stand.connect()
    for name in ("Ada One", "Ada Two", "Ada Three"):
        stand.contact(firstName=name, email="shared@x.example")
    stand.sync()
    with stand.inside:
        asked = CrmConflict.objects.get(kind="match", status="open")
        counts = count_links(CrmConnection.objects.get())
    page = stand.get("/records?state=failing")
    assert counts["failing"] == page.count('name="link"')
    assert str(asked.contact_id) not in page
    question = stand.get(f"/conflicts/{asked.pk}")
    assert "None of these: make a new record" in question
    assert "These two are one person" not in question  # there is no second one


# Conflicts --------------------------------------------------------------------------------------------------


@pytest.fixture
def contested(synced):
    """Both sides changed the job title of two people, and the connection asks."""
    with synced.inside:
        CrmConnection.objects.update(strategy="manual")
        for first_name in ("Ada", "Bea"):
            Contact.objects.filter(first_name=first_name).update(job_title=f"{first_name} here")
    for each in synced.account.back_door("GET", "records")["results"]:
        name = each["properties"]["firstname"]
        if name in ("Ada", "Bea"):
            synced.account.edit(each["id"], jobtitle=f"{name} there")
    synced.run(RunKind.DELTA)
    return synced


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


# Mapping ----------------------------------------------------------------------------------------------------


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


# Settings and people ----------------------------------------------------------------------------------------


def test_pausing_stops_runs_and_resuming_lets_them_go_on(synced):
    assert "Paused" in synced.follow("/connections/hubspot/change", pause="1")
    assert "paused" in synced.follow("/connections/hubspot/sync", kind="delta")
    assert "Resumed" in synced.follow("/connections/hubspot/change", resume="1")


RULES = {
    "mode": "sync",
    "strategy": "newest_wins",
    "tie_rule": "manual",
    "on_app_deleted": "unlink",
    "on_crm_deleted": "unlink",
    "create_in_crm": "on",
    "create_in_app": "on",
    "max_count_deleted": "5",
    "max_count_created": "500",
}


def test_rules_are_saved_and_a_wrong_one_is_refused(synced):
    with synced.inside:
        row = CrmConnection.objects.get()
    said = {**RULES, "mode": "observe", "strategy": "crm_wins"}
    del said["create_in_app"]
    assert "observe mode" not in synced.get()
    assert "The settings are saved" in synced.follow("/connections/hubspot", **said)
    assert "observe mode" in synced.get()
    assert synced.post("/connections/hubspot", **{**said, "strategy": "dice"}).status_code == 422
    with synced.inside:
        after = CrmConnection.objects.get(pk=row.pk)
        assert (after.mode, after.strategy, after.create_in_app) == ("observe", "crm_wins", False)


def test_the_crms_own_settings_are_chosen_with_help_and_a_wrong_one_is_refused(synced):
    """Blank is the installation's value; a text that is none stays on the page with what to give."""
    with synced.inside:
        CrmConnection.objects.update(crm_type="salesforce")
    page = synced.get("/connections/salesforce")
    assert "match never makes one" in page
    assert "Contact, as usual" in page
    said = {**RULES, "create_type": "Lead", "crm_accounts": "match", "crm_requestsPerSecond": "7"}
    assert "The settings are saved" in synced.follow("/connections/salesforce", **said)
    refused = synced.post("/connections/salesforce", **{**said, "crm_accounts": "", "crm_requestsPerSecond": "900"})
    assert refused.status_code == 422
    assert "Give a whole number from 1 to 100." in refused.content.decode()
    with synced.inside:
        row = CrmConnection.objects.get()
        assert (row.create_type, row.settings["crm"]) == ("Lead", {"accounts": "match", "requests_per_second": "7"})
    assert "The settings are saved" in synced.follow("/connections/salesforce", **{**said, "crm_accounts": ""})
    with synced.inside:
        assert CrmConnection.objects.get().settings["crm"] == {"requests_per_second": "7"}


def test_what_happened_stands_on_one_line_and_is_narrowed_by_kind(synced):
    """Connecting, runs, settings with both values, mapping versions, pausing and new fields, newest first."""
    synced.post("/connections/hubspot", **{**RULES, "max_count_deleted": "9"})
    synced.post("/connections/hubspot/change", pause="1")
    synced.post("/connections/hubspot/change", resume="1")
    synced.get()  # tells what was done, once
    page = text_of(synced.get("/activity"))
    told = ["Resumed", "Paused", "Settings changed maxCountDeleted 5 → becomes 9", "Approved plan", "Connected"]
    places = [page.index(each) for each in told]
    assert places == sorted(places)
    assert "Approved plan" not in text_of(synced.get("/activity?kind=settings"))
    assert "contacts added: adsapp_contact_id" in text_of(synced.get("/activity?kind=schema&crm=hubspot"))
    assert "Nothing of this kind yet." in text_of(synced.get("/activity?kind=webhook"))
    with synced.inside:
        schema = CrmConnection.objects.get().schema
        fields = [each for each in schema["contacts"]["fields"] if each["name"] != "city"]
        note_schema(synced.connection_id, schema, {"contacts": {"hash": "other", "fields": fields}})
        note_schema(synced.connection_id, schema, schema)
    assert "contacts gone: city" in text_of(synced.get("/activity?kind=schema"))


def test_a_long_history_is_read_page_by_page(synced):
    with synced.inside:
        for number in range(60):
            note(synced.connection_id, ConnectionEventKind.PAUSED, number=number)
    first = synced.get("/activity?kind=settings")
    (address,) = re.findall(r'href="([^"]*before=[^"]*)"', first)
    second = synced.get(f"/activity{unescape(address)}")
    assert text_of(first).count("Paused") == 40
    assert text_of(second).count("Paused") == 20
    assert "just now" in text_of(synced.get("/activity?before=nonsense"))


def test_figures_count_what_the_runs_did(synced):
    """Records, writes and calls of today's runs; charts with a table of the same numbers, without script or style."""
    page = synced.get("/figures?days=7")
    with synced.inside:
        runs = list(CrmSyncLog.objects.all())
        (days,) = figures_by_day(database_now(), 7).values()
    assert [day.runs for day in days] == [0] * 6 + [len(runs)]
    assert days[-1].calls == sum(run.api_calls for run in runs)
    assert days[-1].written == 3
    assert page.count('<svg class="chart"') == 3, "records, changes and calls; nothing waited, failed or was asked"
    assert text_of(page).count("Nothing in this time.") == 3


def test_disconnecting_keeps_links_and_history(synced):
    assert "Disconnected" in synced.follow("/connections/hubspot/disconnect")
    with synced.inside:
        assert CrmConnection.objects.get().status == "disconnected"
        assert CrmSyncState.objects.count() == 3


def test_a_key_is_shown_once_and_can_be_revoked(stand):
    page = stand.post("/people", act="key", name="billing", scope="read").content.decode()
    assert page.count("crm_live_") >= 1
    assert "It is shown this once" in page
    again = stand.get("/people")
    assert "It is shown this once" not in again
    key = again.split('name="key" value="')[1].split('"')[0]
    assert "revoked" in stand.follow("/people", act="revoke", key=key)


def test_nobody_appoints_above_themselves_and_the_last_owner_stays(stand):
    admin = stand.member(Role.ADMIN)
    admin.post(f"{BASE}/people", {"act": "member", "email": "admin@example.com", "role": "owner"})
    stand.post("/people", act="member", email=stand.tenant.user.email, role="viewer")
    page = stand.get("/people")
    assert page.count('<td data-label="Role">Owner</td>') == 1


# What strangers wrote ---------------------------------------------------------------------------------------


def test_values_are_escaped_and_what_hides_in_them_is_shown(stand):
    """A script, a reversed text and a control character reach no page as such."""
    stand.connect()
    evil = "<script>alert(1)</script>\"'>"
    contact_id = stand.contact(firstName=evil, lastName="a\u202eb\u200b", email="evil@x.example", jobTitle="bell\x07")
    stand.account.add({"firstname": f"{evil}2", "email": "evil2@x.example", "jobtitle": "x\u202ey"})
    stand.sync()
    for path in pages_of(stand):
        answer = stand.client.get(f"{BASE}{path}")
        page = answer.content.decode()
        assert "<script>alert" not in page, path
        assert "\u202e" not in page, path
    page = stand.get(f"/contacts/{contact_id}")
    assert "U+202E" in page
    assert "RIGHT-TO-LEFT OVERRIDE" in page


def test_pages_carry_the_strict_policy_and_no_inline_style_or_script(synced):
    for path in pages_of(synced):
        answer = synced.client.get(f"{BASE}{path}")
        if answer.status_code == 302:
            continue
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy, path
        page = answer.content.decode()
        assert " style=" not in page, path
        assert "onclick" not in page, path
        assert "<script>" not in page, path


# Speed ------------------------------------------------------------------------------------------------------


MOST_QUERIES = 15


def queries_of(stand, path):
    """Statements that read or write, without those that only open and close the transaction."""
    with CaptureQueriesContext(connection) as captured:
        answer = stand.client.get(f"{BASE}{path}")
    assert answer.status_code == 200, path
    quiet = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK", "SELECT set_config")
    return [each["sql"] for each in captured.captured_queries if not each["sql"].startswith(quiet)]


def test_no_page_asks_more_than_fifteen_queries_however_many_rows_there_are(contested):
    """The same number for five rows of everything as for thirty."""
    few = {path: len(queries_of(contested, path)) for path in pages_of(contested) if "?q=" not in path}
    assert {path: number for path, number in few.items() if number > MOST_QUERIES} == {}
    for number in range(25):
        contested.contact(firstName=f"More {number}", email=f"more{number}@x.example", jobTitle="x")
    contested.run(RunKind.DELTA)
    with contested.inside:
        CrmSyncState.objects.filter(contact__first_name__startswith="More").update(error_code="rule.validation")
    listed = ["", "/connections/hubspot", "/connections/hubspot/mapping", "/conflicts", "/records", "/people"]
    with contested.inside:
        run = CrmSyncLog.objects.latest("started_at")
    many = {path: len(queries_of(contested, path)) for path in [*listed, f"/runs/{run.pk}"]}
    assert {path: number for path, number in many.items() if number > max(few.get(path, 0), MOST_QUERIES)} == {}


def test_events_of_an_app_s_own_address_are_told_on_the_connection_s_page(synced):
    """HubSpot's need no subscription of ours, and are none the less webhooks; the schedule has a name too."""
    assert "none; changes are found by the schedule" in synced.get("/connections/hubspot")
    with synced.inside:
        CrmWebhookEvent.objects.create(connection_id=synced.connection_id, event_key="1", event_type="changed")
        CrmSyncLog.objects.update(actor="beat")
    page = synced.get("/connections/hubspot")
    assert "sent by the app; the last" in page
    assert "the schedule" in page
    assert "beat" not in page
