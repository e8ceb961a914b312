"""What staff do in the admin, in a real browser: one seeded organization, one window for each test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adsapp_crm.models import (
    Contact,
    CrmConflict,
    CrmConnection,
    CrmFieldMapping,
    CrmPlan,
    CrmSyncLog,
    CrmSyncState,
    CrmWebhookEvent,
    User,
)
from crm.model import RunKind
from tests.browser.conftest import log_in, opened
from tests.browser.payloads import PAYLOADS

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ADMIN = "/admin/adsapp_crm"


@pytest.fixture
def seeded(stand):
    """Three linked people with two questions each, made by both sides, and a webhook event that is settled."""
    User.objects.filter(pk=stand.tenant.user.pk).update(is_staff=True)
    stand.connect()
    for number in range(3):
        stand.contact(firstName=f"P{number}", email=f"p{number}@x.example", jobTitle="Buyer", city="Ghent")
    stand.sync()
    with stand.inside:
        mappings = {row.adsapp_field: str(row.pk) for row in CrmFieldMapping.objects.filter(deleted_at=None)}
        for link in CrmSyncState.objects.order_by("id"):
            for name, ours, theirs in (("jobTitle", "Buyer", "Planner"), ("city", "Ghent", "Lyon")):
                CrmConflict.objects.create(
                    connection_id=stand.connection_id,
                    link=link,
                    contact_id=link.contact_id,
                    kind="field",
                    app_field=name,
                    mapping_id=mappings[name],
                    values={"app": ours, "crm": theirs, "baseApp": "Clerk", "baseCrm": "Clerk"},
                )
        CrmWebhookEvent.objects.create(
            connection_id=stand.connection_id, event_key="k", event_type="changed", remote_id="1", status="done"
        )
    return stand


@pytest.fixture
def staff(chromium, live_server, seeded):
    with opened(chromium, 1280) as window:
        log_in(window, live_server.url, seeded.tenant.user.email)
        window.admin = f"{live_server.url}{ADMIN}"
        yield window
        assert window.said == []


def statuses(stand):
    with stand.inside:
        return sorted(CrmConflict.objects.values_list("status", flat=True))


def edit_steps(staff, row):
    """A refused step stays in the form; another is chosen, tried while it is chosen, and saved."""
    staff.goto(f"{staff.admin}/crmfieldmapping/{row.pk}/change/")
    staff.get_by_label("Add a step").select_option("truncate")
    staff.get_by_role("button", name="Add", exact=True).click()
    staff.get_by_label("length").fill("0")
    staff.locator("#preview").get_by_text("Refused").first.wait_for()
    staff.get_by_role("button", name="Save", exact=True).click()
    staff.locator(".transform .crm-error").wait_for()
    staff.said.clear()  # the refusal is a 422, which the console notes
    staff.get_by_role("button", name="Remove truncate").click()
    staff.get_by_label("Add a step").select_option("trim")
    staff.get_by_role("button", name="Add", exact=True).click()
    staff.get_by_role("button", name="Remove trim").wait_for()
    staff.locator("#preview").get_by_text("to the CRM:").first.wait_for()
    staff.get_by_role("button", name="Save", exact=True).click()
    staff.get_by_label("Only from now on").check()
    staff.get_by_role("button", name="Save", exact=True).click()
    staff.get_by_text("of the mappings. The next run goes by it.").wait_for()


def test_answering_mapping_importing_undoing_and_replaying(staff, seeded, tmp_path):
    """The flows one after another, each through its question; what a refusal says stands on the page."""
    with seeded.inside:
        first = CrmConflict.objects.filter(app_field="jobTitle").order_by("id").first()
        row = CrmFieldMapping.objects.get(adsapp_field="jobTitle", deleted_at=None)
        event = CrmWebhookEvent.objects.get()
        run = CrmSyncLog.objects.filter(completed_at__isnull=False, dry_run=False).latest("started_at")

    staff.goto(f"{staff.admin}/crmconflict/{first.pk}/change/")
    staff.locator(f'[name="pick-{first.pk}"][value="crm"]').check()
    staff.get_by_role("button", name="Answer what is picked").click()
    staff.get_by_text("1 conflict is answered").wait_for()

    staff.goto(f"{staff.admin}/crmconflict/?status__exact=open")
    staff.locator("#action-toggle").check()
    staff.select_option('select[name="action"]', "keep_adsapp")
    staff.get_by_role("button", name="Run").click()
    staff.get_by_text("This is about 5 conflicts.").wait_for()
    staff.get_by_role("button", name="Yes, go on").click()
    staff.get_by_text("Answered 5 conflicts").wait_for()
    assert statuses(seeded) == ["answered"] * 6

    edit_steps(staff, row)

    file = tmp_path / "mappings.json"
    added = {"recordType": "contacts", "adsappField": "company", "crmField": "company"}
    file.write_text(json.dumps({"crmType": "hubspot", "mappings": [added]}), encoding="utf-8")
    staff.goto(f"{staff.admin}/crmfieldmapping/import/")
    staff.set_input_files('input[type="file"]', file)
    staff.get_by_role("button", name="Show what it changes").click()
    staff.get_by_text("1 added, 0 changed, 0 removed").wait_for()
    staff.get_by_label("Existing records too").check()
    staff.get_by_role("button", name="Save these mappings").click()
    staff.get_by_text("of the mappings. The next run goes by it.").wait_for()

    staff.goto(f"{staff.admin}/crmsynclog/{run.pk}/change/")
    staff.get_by_role("link", name="Undo: show what it would take back").click()
    staff.get_by_role("button", name="Yes, go on").click()
    staff.get_by_text("Plan the undo of 1 runs").wait_for()

    staff.goto(f"{staff.admin}/crmwebhookevent/{event.pk}/change/")
    staff.get_by_role("link", name="Replay").click()
    staff.get_by_role("button", name="Yes, go on").click()
    staff.get_by_text("1 events are read again.").wait_for()


def pages_of(stand):
    with stand.inside:
        rows = [
            *(("crmconflict", pk) for pk in CrmConflict.objects.values_list("pk", flat=True)[:2]),
            *(("crmfieldmapping", row.pk) for row in CrmFieldMapping.objects.filter(deleted_at=None)[:1]),
            *(("crmsynclog", pk) for pk in CrmSyncLog.objects.values_list("pk", flat=True)[:2]),
            *(("crmplan", pk) for pk in CrmPlan.objects.values_list("pk", flat=True)[:1]),
            *(("crmsyncstate", pk) for pk in CrmSyncState.objects.values_list("pk", flat=True)[:1]),
            *(("contact", pk) for pk in Contact.objects.values_list("pk", flat=True)[:1]),
            *(("crmconnection", pk) for pk in CrmConnection.objects.values_list("pk", flat=True)),
        ]  # fmt: skip
    lists = ["crmconflict", "crmfieldmapping", "crmsynclog", "crmplanline", "crmsyncstate", "contact", "crmledgerentry"]
    lists += ["contactchange", "crmconnection", "organization", "crmwebhookevent", "staffaccessevent"]
    return [
        "/..",
        "/crmfieldmapping/import/",
        *(f"/{name}/" for name in lists),
        *(f"/{name}/{pk}/change/" for name, pk in rows),
    ]


LOOKED_AT = ("/crmconflict/", "/crmfieldmapping/", "/crmsyncstate/", "/organization/")
"""Lists that axe looks at; the others are built the same."""
COLUMNS = (
    *("first_name", "last_name", "company", "job_title", "street", "city", "region", "postal_code", "notes"),
    "whatsapp_number",
)
"""Columns of a contact that hold a payload each: four contacts hold all forty."""


def poison(seeded):
    """Each payload in a field of a contact, in a question and in a record of the CRM; one of each row with them."""
    clean = [payload.replace("\x00", "\ufffd") for payload in PAYLOADS]
    fours = [PAYLOADS[place : place + 4] for place in range(0, len(PAYLOADS), 4)]
    names = ("firstname", "lastname", "jobtitle", "city")
    records = [dict(zip(names, four, strict=True)) for four in fours]
    seeded.account.add(*({**each, "email": f"q{number}@x.example"} for number, each in enumerate(records)))
    with seeded.inside:
        people = [*Contact.objects.order_by("id"), Contact.objects.create(email="p9@x.example")]
        for place, contact in enumerate(people):
            mine = clean[place * len(COLUMNS) : (place + 1) * len(COLUMNS)]
            Contact.objects.filter(pk=contact.pk).update(**dict(zip(COLUMNS, mine, strict=True)))
        CrmConnection.objects.update(remote_account_name=PAYLOADS[0])
    seeded.run(RunKind.DELTA)
    with seeded.inside:
        CrmConflict.objects.all().delete()
        link = CrmSyncState.objects.filter(contact__email="p0@x.example").get()
        for number in range(len(fours)):
            CrmConflict.objects.create(
                connection_id=seeded.connection_id, link=link, contact_id=link.contact_id, kind="field",
                app_field=f"custom.f{number}", mapping_id=f"m{number}",
                values=dict(zip(("app", "crm", "baseApp", "baseCrm"), clean[4 * number :], strict=False)),
            )  # fmt: skip
        assert Contact.objects.count() == len(people) + len(fours)
        return [contact.pk for contact in people]


def test_what_strangers_typed_runs_on_no_page_and_axe_finds_nothing_serious(staff, seeded):
    """Forty payloads, each by itself, in the values that the pages show: no dialog, no report, no request elsewhere."""
    people = poison(seeded)
    package = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    axe = (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    asked, found = [], {}
    staff.on("request", lambda request: asked.append(request.url))
    for path in [*pages_of(seeded), *(f"/contact/{pk}/change/" for pk in people)]:
        answer = staff.goto(f"{staff.admin}{path}")
        assert answer.status == 200, path
        assert staff.said == [], path
        if path.count("/") == 2 and path not in LOOKED_AT:
            continue
        staff.evaluate(axe)
        for each in staff.evaluate("axe.run()")["violations"]:
            if each["impact"] in ("serious", "critical"):
                found.setdefault(each["id"], []).append((path, each["nodes"][0]["html"][:120]))
    host = staff.admin.removesuffix(ADMIN)
    assert [each for each in asked if not each.startswith((host, "data:"))] == []
    assert found == {}
