"""What staff do in the admin, in a real browser: one seeded organization, one window for each test."""

from __future__ import annotations

import json

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
from tests.browser.conftest import WIDTHS, axe_script, enter, faults, inside_window, opened
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
        enter(window, live_server.url, seeded.tenant.user)
        window.admin = f"{live_server.url}{ADMIN}"
        yield window
        assert window.said == []


def statuses(stand):
    with stand.inside:
        return sorted(CrmConflict.objects.values_list("status", flat=True))


class Person:
    """At one width, in the log-in that both share; each flow through its question, no page wider than its window."""

    def __init__(self, staff, seeded, width):
        self.staff, self.seeded = staff, seeded
        staff.set_viewport_size({"width": width, "height": WIDTHS[width]})

    def goes(self, path):
        self.staff.goto(f"{self.staff.admin}{path}")
        assert inside_window(self.staff), path

    def presses(self, name, role="button"):
        self.staff.get_by_role(role, name=name, exact=True).click()

    def reads(self, text):
        self.staff.get_by_text(text).first.wait_for()
        assert inside_window(self.staff), text

    def answers_one(self):
        with self.seeded.inside:
            first = CrmConflict.objects.filter(status="open").order_by("id").first()
        self.goes(f"/crmconflict/{first.pk}/change/")
        self.staff.locator(f'[name="pick-{first.pk}"][value="crm"]').check()
        self.presses("Answer what is picked")
        self.reads("1 conflict is answered")

    def answers_many(self, number):
        self.goes("/crmconflict/?status__exact=open")
        for place in range(number):
            self.staff.locator('input[name="_selected_action"]').nth(place).check()
        self.staff.select_option('select[name="action"]', "keep_adsapp")
        self.presses("Run")
        self.reads(f"This is about {number} conflicts.")
        self.presses("Yes, go on")
        self.reads(f"Answered {number} conflicts")

    def edits_steps(self, name):
        """A refused step stays in the form; another is chosen, tried while it is chosen, and saved."""
        with self.seeded.inside:
            row = CrmFieldMapping.objects.get(adsapp_field=name, deleted_at=None)
        self.goes(f"/crmfieldmapping/{row.pk}/change/")
        self.staff.get_by_label("Add a step").select_option("truncate")
        self.presses("Add")
        self.staff.get_by_label("length").fill("0")
        self.staff.locator("#preview").get_by_text("Refused").first.wait_for()
        self.presses("Save")
        self.staff.locator(".transform .crm-error").wait_for()
        assert inside_window(self.staff)
        self.staff.said.clear()  # the refusal is a 422, which the console notes
        remove = self.staff.get_by_role("button", name="Remove truncate")
        remove.click()
        remove.wait_for(state="detached")
        self.staff.get_by_label("Add a step").select_option("trim")
        self.presses("Add")
        self.staff.get_by_role("button", name="Remove trim").wait_for()
        self.staff.locator("#preview").get_by_text("to the CRM:").first.wait_for()
        self.presses("Save")
        self.staff.get_by_label("Only from now on").check()
        self.presses("Save")
        self.reads("of the mappings. The next run goes by it.")

    def imports(self, folder, name, remote):
        file = folder / f"{remote}.json"
        added = {"recordType": "contacts", "adsappField": name, "crmField": remote}
        file.write_text(json.dumps({"crmType": "hubspot", "mappings": [added]}), encoding="utf-8")
        self.goes("/crmfieldmapping/import/")
        self.staff.set_input_files('input[type="file"]', file)
        self.presses("Show what it changes")
        self.reads("1 added, 0 changed, 0 removed")
        self.staff.get_by_label("Existing records too").check()
        self.presses("Save these mappings")
        self.reads("of the mappings. The next run goes by it.")

    def plans_the_undo(self, run):
        self.goes(f"/crmsynclog/{run.pk}/change/")
        self.presses("Undo: show what it would take back", "link")
        self.presses("Yes, go on")
        self.reads("Plan the undo of 1 runs")

    def replays(self):
        with self.seeded.inside:
            CrmWebhookEvent.objects.update(status="done")
            event = CrmWebhookEvent.objects.get()
        self.goes(f"/crmwebhookevent/{event.pk}/change/")
        self.presses("Replay", "link")
        self.presses("Yes, go on")
        self.reads("1 events are read again.")


def test_answering_mapping_importing_undoing_and_replaying(staff, seeded, tmp_path):
    """The flows one after another at each width; what a refusal says stands on the page."""
    with seeded.inside:
        run = CrmSyncLog.objects.filter(completed_at__isnull=False, dry_run=False).latest("started_at")
    fields = {375: ("jobTitle", "company", "company"), 1280: ("city", "custom.website", "website")}
    for width, (edited, name, remote) in fields.items():
        person = Person(staff, seeded, width)
        person.answers_one()
        person.answers_many(2)
        person.edits_steps(edited)
        person.imports(tmp_path, name, remote)
        person.replays()
        person.plans_the_undo(run)
        with seeded.inside:
            undo = CrmSyncLog.objects.latest("started_at")
        seeded.finish(undo.pk)
    assert statuses(seeded) == ["answered"] * 6


def pages_of(stand):
    with stand.inside:
        rows = [
            *(("crmconflict", pk) for pk in CrmConflict.objects.values_list("pk", flat=True)[:2]),
            *(("crmfieldmapping", row.pk) for row in CrmFieldMapping.objects.filter(deleted_at=None)[:1]),
            *(("crmsynclog", pk) for pk in CrmSyncLog.objects.values_list("pk", flat=True)[:2]),
            *(("crmplan", pk) for pk in CrmPlan.objects.values_list("pk", flat=True)[:1]),
            *(("crmsyncstate", pk) for pk in CrmSyncState.objects.values_list("pk", flat=True)[:1]),
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
"""Columns of a contact that hold a payload each; its own fields hold the others of the forty."""


def poison(seeded):
    """Each payload in a field of a contact, in a question and in a record of the CRM; one of each row with them."""
    clean = [payload.replace("\x00", "\ufffd") for payload in PAYLOADS]
    fours = [PAYLOADS[place : place + 4] for place in range(0, len(PAYLOADS), 4)]
    names = ("firstname", "lastname", "jobtitle", "city")
    records = [dict(zip(names, four, strict=True)) for four in fours]
    seeded.account.add(*({**each, "email": f"q{number}@x.example"} for number, each in enumerate(records)))
    with seeded.inside:
        first = Contact.objects.get(email="p0@x.example")
        own = {f"field{number}": text for number, text in enumerate(clean[len(COLUMNS) :])}
        columns = dict(zip(COLUMNS, clean, strict=False))
        Contact.objects.filter(pk=first.pk).update(**columns, custom_fields=own)
        # Lists name people by first and last name: two payloads a row.
        for number, pair in enumerate(zip(clean[::2], clean[1::2], strict=True)):
            Contact.objects.create(first_name=pair[0], last_name=pair[1], email=f"r{number}@x.example")
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
        assert Contact.objects.count() == 3 + len(fours) + len(clean) // 2
        return first.pk


def test_what_strangers_typed_runs_on_no_page_and_axe_finds_nothing_serious(staff, seeded):
    """Forty payloads, each by itself, in the values that the pages show: no dialog, no report, no request elsewhere."""
    contact = poison(seeded)
    axe, asked, found = axe_script(), [], []
    staff.on("request", lambda request: asked.append(request.url))
    for path in [*pages_of(seeded), f"/contact/{contact}/change/"]:
        answer = staff.goto(f"{staff.admin}{path}")
        assert answer.status == 200, path
        assert staff.said == [], path
        if path.count("/") == 2 and path not in LOOKED_AT:
            continue
        staff.evaluate(axe)
        found += [(path, each) for each in faults(staff).items()]
    host = staff.admin.removesuffix(ADMIN)
    assert [each for each in asked if not each.startswith((host, "data:"))] == []
    assert found == []
