"""The dashboard's flows by mouse and keyboard, at the width of a telephone and of a desk."""

from __future__ import annotations

import json
import re

import pytest

from adsapp_crm.models import (
    Contact,
    CrmConflict,
    CrmConnection,
    CrmFieldMapping,
    CrmMappingVersion,
    CrmPlan,
    CrmSyncLog,
    CrmSyncState,
    CrmWebhookEvent,
    User,
)
from crm.model import RunKind
from tests.adsapp_crm.hubspot_account import TOKEN
from tests.browser.conftest import axe_script, faults, inside_window
from tests.browser.payloads import PAYLOADS

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def run_after(page, button):
    """Click it, and the id of the run whose page it leads to."""
    before = page.url
    button.click()
    page.wait_for_url(lambda url: "/runs/" in url and url != before)
    return page.url.rsplit("/", 1)[1]


@pytest.fixture
def synced(stand):
    stand.connect()
    stand.contact(firstName="Ada", lastName="Lovelace", email="ada@x.example", jobTitle="Countess")
    stand.contact(firstName="Bea", lastName="Smith", email="bea@x.example", city="Ghent")
    stand.account.add({"firstname": "Cyd", "lastname": "Jones", "email": "cyd@x.example"})
    stand.sync()
    return stand


def test_from_connecting_to_the_first_sync(page, stand):
    """Connect by token, dry run with live progress, look, approve: the page moves on by itself when a run ends."""
    stand.contact(firstName="Ada", lastName="Lovelace", email="ada@x.example")
    page.get_by_role("link", name="Connect HubSpot").click()
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Connect by token").click()
    run_id = run_after(page, page.get_by_role("button", name="Make a dry run"))
    page.get_by_role("button", name="Cancel the run").wait_for()
    stand.finish(run_id)
    page.get_by_role("link", name="Look at the plan").click()
    approve = page.get_by_role("button", name="Approve 1 line")
    approve.wait_for()
    assert inside_window(page)
    stand.finish(run_after(page, approve))
    page.get_by_text("created in the CRM").wait_for()
    assert [each["email"] for each in stand.account.records()] == ["ada@x.example"]


def test_a_wrong_token_is_explained_where_it_was_typed(page, stand):
    page.get_by_role("link", name="Connect HubSpot").click()
    page.get_by_label("Token").fill("pat-eu1-wrong")
    page.get_by_role("button", name="Connect by token").click()
    page.get_by_text(re.compile(r"\(auth\.\w+\)")).wait_for()
    with stand.inside:
        assert CrmConnection.objects.count() == 0


def test_a_run_is_cancelled_from_its_page(page, synced):
    page.goto(f"{page.base}/connections/hubspot")
    run_id = run_after(page, page.get_by_role("button", name="Sync now"))
    page.get_by_role("button", name="Cancel the run").click()
    page.get_by_text("Cancelling").wait_for()
    synced.finish(run_id)
    page.get_by_text("Cancelled").first.wait_for()


def test_a_mapping_shows_its_preview_while_it_is_edited_and_a_refused_one_is_not_saved(page, synced):
    """Typing changes the preview, not the mapping; a step without inverse on a two-way field is refused."""
    page.goto(f"{page.base}/connections/hubspot/mapping")
    page.get_by_role("link", name="Edit jobTitle").click()
    page.get_by_label("Add a step").select_option("suffix")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_label("text", exact=True).fill(" (VIP)")
    page.locator("#preview").get_by_text("Countess (VIP)").wait_for()
    with synced.inside:
        assert CrmFieldMapping.objects.get(adsapp_field="jobTitle", deleted_at=None).transform_rule is None
    remove = page.get_by_role("button", name="Remove suffix")
    remove.click()
    remove.wait_for(state="detached")
    page.get_by_label("Add a step").select_option("truncate")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_label("length").fill("3")
    page.locator("#preview").get_by_text("Refused:").wait_for()
    page.get_by_role("button", name="Save as a new version").click()
    page.get_by_text("Not saved; nothing was changed.").wait_for()
    assert page.get_by_label("length").input_value() == "3"
    page.said.clear()  # the browser notes the 422
    page.get_by_label("Direction").select_option("to_crm")
    page.get_by_role("button", name="Save as a new version").click()
    page.get_by_text("say below for which records the change is").wait_for()
    page.get_by_label("Existing records too").check()
    page.get_by_role("button", name="Save as a new version").click()
    page.get_by_text("Saved as a new version").wait_for()
    with synced.inside:
        row = CrmFieldMapping.objects.get(adsapp_field="jobTitle", deleted_at=None)
        assert (row.direction, row.transform_rule["steps"]) == ("to_crm", [{"step": "truncate", "length": 3}])


@pytest.fixture
def contested(synced):
    with synced.inside:
        CrmConnection.objects.update(strategy="manual")
        for name in ("Ada", "Bea"):
            Contact.objects.filter(first_name=name).update(job_title=f"{name} here", city=f"{name} town")
    for each in synced.account.back_door("GET", "records")["results"]:
        name = each["properties"]["firstname"]
        if name != "Cyd":
            synced.account.edit(each["id"], jobtitle=f"{name} there", city=f"{name} village")
    synced.run(RunKind.DELTA)
    return synced


def test_conflicts_are_answered_one_by_one_and_many_alike(page, contested):
    """One with a click; the rest after a page that counts them."""
    page.goto(page.base)
    page.get_by_role("link", name=re.compile("Answer 4 conflicts")).click()
    page.get_by_role("link", name="Answer Ada Lovelace jobTitle").click()
    page.get_by_role("button", name="Keep HubSpot's").click()
    page.get_by_text("1 conflict is answered").wait_for()
    page.goto(f"{page.base}/conflicts")
    page.get_by_label("all of this list").check()
    page.get_by_role("button", name="Keep ADSapp's").click()
    page.get_by_role("heading", name="Answer 3 conflicts?").wait_for()
    with contested.inside:
        assert CrmConflict.objects.filter(status="open").count() == 3
    page.get_by_role("button", name="Answer 3").click()
    page.get_by_text("3 conflicts are answered").wait_for()
    contested.run(RunKind.DELTA)
    with contested.inside:
        assert Contact.objects.get(first_name="Ada").job_title == "Ada there"
        assert Contact.objects.get(first_name="Bea").job_title == "Bea here"


def test_undo_asks_with_a_number_and_takes_it_back(page, contested):
    with contested.inside:
        run = CrmSyncLog.objects.filter(approved=True).latest("started_at")
    page.goto(f"{page.base}/runs/{run.pk}")
    page.get_by_text("Undo this run…").click()
    contested.finish(run_after(page, page.get_by_role("button", name="Plan the undo")))
    page.get_by_role("link", name="Look at the plan").click()
    contested.finish(run_after(page, page.get_by_role("button", name=re.compile("Take back"))))
    with contested.inside:
        assert CrmPlan.objects.filter(kind="undo", status="applied").count() == 1


def test_why_is_this_contact_there_within_three_steps(page, contested):
    """One search from any page: both values, what was agreed, and a way to answer."""
    page.get_by_label("Find a contact by e-mail").fill("ada@x.example")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Ada Lovelace").wait_for()
    for text in ("Ada here", "Ada there", "Countess", "conflict"):
        assert page.get_by_text(text).first.is_visible()
    assert inside_window(page)


def test_excluding_and_taking_in_again_by_the_list(page, synced):
    with synced.inside:
        CrmSyncState.objects.update(error_code="rule.validation", attempts=3)
    page.goto(page.base)
    page.get_by_role("link", name="See why 3 records fail").click()
    page.get_by_label("Choose ada@x.example").check()
    page.get_by_role("button", name="Leave out").click()
    page.get_by_text("1 record is left out").wait_for()
    page.goto(f"{page.base}/records?crm=hubspot&state=excluded")
    page.get_by_label("all of this list").check()
    page.get_by_role("button", name="Take in again").click()
    page.get_by_text("1 record is tried again").wait_for()


def test_a_mapping_file_is_shown_before_it_is_saved_and_a_wrong_one_is_refused_by_line(page, synced, tmp_path):
    """The difference first; what is wrong is named by line and column, and nothing is saved of it."""
    added = {"recordType": "contacts", "adsappField": "company", "crmField": "company"}
    wrong = {**added, "transformRule": {"steps": [{"step": "fly"}]}}
    page.goto(f"{page.base}/connections/hubspot/mapping")
    page.get_by_role("link", name="Import").click()
    for name, rows in (("wrong", [wrong]), ("right", [added])):
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps({"crmType": "hubspot", "mappings": rows}), encoding="utf-8")
        page.set_input_files('input[type="file"]', file)
        page.get_by_label("Keep pairs that the file does not name").check()
        page.get_by_role("button", name="Show what it would change").click()
        if name == "wrong":
            page.get_by_text("The file cannot be taken; nothing was changed.").wait_for()
            page.get_by_text("mapping.unknown_step").wait_for()
            assert inside_window(page)
            assert page.get_by_role("button", name=re.compile("Save")).count() == 0
            page.said.clear()  # the refusal is a 422, which the console notes
    save = page.get_by_role("button", name="Save 1 change")
    save.wait_for()
    assert inside_window(page)
    page.get_by_label("Existing records too").check()
    save.click()
    page.get_by_role("link", name="Edit company").wait_for()
    with synced.inside:
        assert CrmFieldMapping.objects.filter(adsapp_field="company", deleted_at=None).count() == 1


def test_webhook_events_are_read_again_and_staff_are_let_in_and_out(page, synced):
    """What was done is told on the page it leads to; the question before says what it does."""
    User.objects.create_user("sam@adsapp.example", is_staff=True)
    with synced.inside:
        CrmWebhookEvent.objects.create(
            connection_id=synced.connection_id, event_key="k", event_type="changed", remote_id="1", status="done"
        )
    page.goto(f"{page.base}/webhooks")
    page.get_by_text("Read events again…").click()
    page.get_by_role("button", name="Read again").click()
    page.get_by_text("1 event is read again.").wait_for()
    assert inside_window(page)
    with synced.inside:
        assert CrmWebhookEvent.objects.get().status != "done"

    page.goto(f"{page.base}/people")
    page.get_by_label("E-mail address of the person at ADSapp").fill("sam@adsapp.example")
    page.get_by_label("What for").fill("ticket 812")
    page.get_by_role("button", name="Let them in").click()
    page.get_by_text("sam@adsapp.example may come in").wait_for()
    assert inside_window(page)
    page.get_by_role("button", name="End it now sam@adsapp.example").click()
    page.get_by_text("The grant has ended").wait_for()


def test_the_keyboard_alone_starts_a_sync(wide, synced):
    """The first stop skips to the content; every stop shows where it is."""
    wide.goto(f"{wide.base}/connections/hubspot")
    wide.keyboard.press("Tab")
    assert wide.evaluate("document.activeElement.textContent") == "Skip to the content"
    for _ in range(40):
        wide.keyboard.press("Tab")
        if wide.evaluate("document.activeElement.textContent.trim()") == "Sync now":
            break
    outline = wide.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    wide.keyboard.press("Enter")
    wide.wait_for_url("**/runs/*")


def _versions():
    return CrmMappingVersion.objects.order_by("-version").values_list("version", flat=True)[:1]


def pages_of(stand, most=6):
    """Every page there is something to see on, by the rows there are; of each kind of row at most so many."""
    with stand.inside:
        runs = [f"/runs/{each}" for each in CrmSyncLog.objects.values_list("pk", flat=True)[:most]]
        plans = [f"/plans/{each}" for each in CrmPlan.objects.values_list("pk", flat=True)[:most]]
        people = [f"/contacts/{each}" for each in Contact.objects.order_by("id").values_list("pk", flat=True)[:most]]
        asked = [f"/conflicts/{each}" for each in CrmConflict.objects.values_list("pk", flat=True)[:most]]
        rows = CrmFieldMapping.objects.filter(deleted_at=None).values_list("pk", flat=True)[:most]
        mapping = [f"/connections/hubspot/mapping/{each}" for each in rows]
        versions = [f"/connections/hubspot/mapping/versions/{each}" for each in _versions()]
    fixed = ["", *(f"/connections/hubspot{each}" for each in ("", "/mapping", "/mapping/new", "/mapping/import"))]
    fixed += ["/connections/hubspot/schedule", "/connections/hubspot/mapping/suggestions", "/connections/hubspot/test"]
    fixed += ["/conflicts", "/records", "/records?state=excluded", "/contacts?q=a", "/webhooks", "/people", "/notices"]
    fixed += ["/activity", "/figures", *versions]
    return [*fixed, "/connect/hubspot", "/organizations", *runs, *plans, *people, *asked, *mapping]


def test_forty_scripts_in_every_field_run_nowhere(wide, stand):
    """Payloads in every mapped field of both sides, visited on every page: no dialog, no report, no way out."""
    stand.connect()
    for number, payload in enumerate(PAYLOADS):
        clean = payload.replace("\x00", "\ufffd")
        stand.contact(firstName=clean, lastName=f"a{clean}", jobTitle=clean, city=clean, email=f"p{number}@x.example")
        stand.account.add(
            {"firstname": payload, "lastname": payload, "jobtitle": payload, "email": f"q{number}@x.example"}
        )
    stand.sync()
    with stand.inside:
        CrmConnection.objects.update(strategy="manual", remote_account_name=PAYLOADS[0])
        CrmSyncState.objects.filter(contact__email__startswith="q").update(error_code="rule.validation")
        Contact.objects.filter(email__startswith="p1").update(job_title=PAYLOADS[1])
    asked = []
    wide.on("request", lambda request: asked.append(request.url))
    for path in pages_of(stand):
        wide.goto(f"{wide.base}{path}")
        assert wide.said == [], path
    host = wide.base.split("/dashboard")[0]
    assert [each for each in asked if not each.startswith(host)] == []


def test_no_page_has_a_serious_fault_for_people_with_a_disability(wide, contested):
    """axe finds nothing serious or critical on any page; what the dark scheme changes are its colours."""
    axe, found = axe_script(), []
    for path in pages_of(contested, most=1):
        wide.goto(f"{wide.base}{path}")
        wide.evaluate(axe)
        wide.emulate_media(color_scheme="light")
        found += [(path, each) for each in faults(wide).items()]
        wide.emulate_media(color_scheme="dark")
        found += [(path, "dark", each) for each in faults(wide, runOnly=["color-contrast"]).items()]
    assert found == []
