"""What staff do in the admin: answer, try, import, replay, undo. Each is asked first, counted, bounded by the role."""

from __future__ import annotations

import io
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from adsapp_crm.admin import paging
from adsapp_crm.models import (
    Contact,
    CrmConflict,
    CrmConnection,
    CrmFieldMapping,
    CrmMappingVersion,
    CrmPlan,
    CrmPlanLine,
    CrmSyncLog,
    CrmSyncState,
    CrmWebhookEvent,
    Membership,
    User,
)
from adsapp_crm.services.contacts import create_contact
from adsapp_crm.services.mappings import described
from crm.model import FieldDefinition

pytestmark = pytest.mark.django_db


def at(model, page, *args):
    return reverse(f"admin:adsapp_crm_{model}_{page}", args=args)


def text(answer):
    return answer.content.decode()


@pytest.fixture
def staff(tenant, client):
    User.objects.filter(pk=tenant.user.pk).update(is_staff=True)
    client.force_login(tenant.user)
    return client


@pytest.fixture
def scene(tenant):
    """Three linked people with a question about the same field each, at a connection that described its fields."""
    fields = [
        FieldDefinition("jobtitle", "Job title", "text", "string"),
        FieldDefinition("city", "City", "text", "string"),
        FieldDefinition("score", "Score", "number", "number", writable=False),
    ]
    with tenant.context(actor="user:test", origin="user"):
        row = CrmConnection.objects.create(
            crm_type="hubspot", remote_account_id="1", schema=described({"contacts": fields}), mapping_version=1
        )
        mapping = CrmFieldMapping.objects.create(
            connection=row, record_type="contacts", adsapp_field="jobTitle", crm_field="jobtitle"
        )
        for number in range(3):
            contact = Contact.objects.create(email=f"p{number}@x.example", job_title="Buyer")
            link = CrmSyncState.objects.create(
                connection=row, contact=contact, crm_record_type="contacts", crm_record_id=str(number)
            )
            CrmConflict.objects.create(
                connection=row,
                link=link,
                contact=contact,
                kind="field",
                mapping_id=str(mapping.pk),
                app_field="jobTitle",
                values={"app": "Buyer", "crm": "<b>Purchaser</b>", "baseApp": "Clerk", "baseCrm": "Clerk"},
            )
        yield row


@pytest.fixture
def elsewhere(other):
    with other.context():
        return CrmConnection.objects.create(crm_type="pipedrive", remote_account_name="Their account")


def conflicts():
    return list(CrmConflict.objects.order_by("id"))


class TestConflicts:
    def test_the_page_shows_both_sides_and_the_base_and_escapes_them(self, staff, scene):
        page = text(staff.get(at("crmconflict", "change", conflicts()[0].pk)))

        assert "Buyer" in page
        assert "Clerk" in page
        assert "&lt;b&gt;Purchaser&lt;/b&gt;" in page
        assert "Answer 2 other open questions" in page

    def test_a_side_is_picked(self, staff, scene):
        first = conflicts()[0]

        answer = staff.post(at("crmconflict", "change", first.pk), {f"pick-{first.pk}": "crm", "act": "answer"})

        assert answer.status_code == 302
        assert [each.status for each in conflicts()] == ["answered", "open", "open"]
        assert conflicts()[0].resolution["side"] == "crm"

    def test_a_value_is_typed(self, staff, scene):
        first = conflicts()[0]
        said = {f"pick-{first.pk}": "value", f"value-{first.pk}": "Head of buying"}

        staff.post(at("crmconflict", "change", first.pk), said)

        assert conflicts()[0].resolution["value"] == "Head of buying"

    def test_all_alike_and_the_rule_are_asked_first_with_the_number(self, staff, scene):
        """The question counts and changes nothing; the yes answers all three and makes a version of the mapping."""
        first = conflicts()[0]
        page = at("crmconflict", "change", first.pk)
        said = {f"pick-{first.pk}": "app", f"alike-{first.pk}": "on", f"remember-{first.pk}": "on"}

        asked = staff.post(page, said)
        before = [each.status for each in conflicts()]
        staff.post(page, {**said, "confirmed": "yes"})

        assert "This answers 3 conflicts." in text(asked)
        assert before == ["open"] * 3
        assert [each.status for each in conflicts()] == ["answered"] * 3
        assert CrmFieldMapping.objects.get(deleted_at=None).strategy == "adsapp_wins"
        assert CrmMappingVersion.objects.count() == 1

    def test_nothing_picked_is_told_and_changes_nothing(self, staff, scene):
        answer = staff.post(at("crmconflict", "change", conflicts()[0].pk), {"act": "answer"}, follow=True)

        assert "Nothing was picked." in text(answer)
        assert [each.status for each in conflicts()] == ["open"] * 3

    def test_many_are_answered_by_one_yes_that_counted_them(self, staff, scene):
        page = at("crmconflict", "changelist")
        chosen = {"action": "keep_crm", "_selected_action": [str(each.pk) for each in conflicts()]}

        asked = staff.post(page, chosen)
        staff.post(page, {**chosen, "confirmed": "yes"})

        assert "This is about 3 conflicts." in text(asked)
        assert "Field jobTitle" in text(asked)
        assert [each.status for each in conflicts()] == ["answered"] * 3

    def test_a_viewer_answers_nothing(self, staff, scene):
        Membership.objects.update(role="viewer")
        first = conflicts()[0]

        staff.post(at("crmconflict", "change", first.pk), {f"pick-{first.pk}": "app"})
        refused = staff.post(at("crmconflict", "act", first.pk, "keep_crm"))

        assert refused.status_code == 403
        assert [each.status for each in conflicts()] == ["open"] * 3

    @pytest.mark.parametrize("kind", ["delete_edit", "match", "merge"])
    def test_every_kind_of_question_has_a_page(self, staff, scene, kind):
        first = conflicts()[0]
        CrmConflict.objects.filter(pk=first.pk).update(
            kind=kind, app_field="", mapping_id="", values={}, candidates=[f"contact:{first.contact_id}", "record:9"]
        )

        assert staff.get(at("crmconflict", "change", first.pk)).status_code == 200


class TestMappings:
    def form(self, **changed):
        return {
            "record_type": "contacts",
            "app_field": "jobTitle",
            "crm_field": "jobtitle",
            "direction": "bidirectional",
            "blank_rule": "propagate",
            **changed,
        }

    def test_trying_saves_nothing_and_saving_makes_a_version(self, staff, scene):
        row = CrmFieldMapping.objects.get()
        page = at("crmfieldmapping", "change", row.pk)

        tried = staff.post(page, {**self.form(direction="to_crm"), "_preview": ""})
        row.refresh_from_db()
        before = row.direction
        asked = staff.post(page, {**self.form(direction="to_crm"), "_save": ""})
        row.refresh_from_db()
        still = row.direction
        saved = staff.post(page, {**self.form(direction="to_crm"), "_save": "", "applies_to": "existing"})
        row.refresh_from_db()

        assert "Job title · jobtitle (text)" in text(tried)
        assert "p2@x.example" in text(tried)
        assert "Not saved yet: say for which records the change is" in text(asked)
        assert (before, still, row.direction, saved.status_code) == ("bidirectional", "bidirectional", "to_crm", 302)
        assert (row.applies_to, row.revisits_before) == ("existing", row.version)

    def test_a_refused_mapping_says_why_beside_its_field(self, staff, scene):
        row = CrmFieldMapping.objects.get()

        answer = staff.post(at("crmfieldmapping", "change", row.pk), {**self.form(crm_field="score"), "_save": ""})

        assert answer.status_code == 422
        assert answer.context["form"].errors
        assert CrmMappingVersion.objects.count() == 0

    def test_steps_are_chosen_one_after_another_and_saved_with_the_pair(self, staff, scene):
        """Adding, moving and removing change the form alone; what a step needs is a field of its own."""
        row = CrmFieldMapping.objects.get()
        page = at("crmfieldmapping", "change", row.pk)
        one_way = self.form(direction="to_crm")

        added = staff.post(page, {**one_way, "step-0-step": "trim", "add": "1", "new_step": "truncate"})
        assert added.status_code == 200
        assert 'name="step-1-length"' in text(added)
        both = {"step-0-step": "trim", "step-1-step": "truncate", "step-1-length": "3", "starts_at": "app"}
        moved = staff.post(page, {**one_way, **both, "move": "up-1"})
        assert [each.step for each in moved.context["steps"]] == ["truncate", "trim"]
        removed = staff.post(page, {**one_way, **both, "move": "remove-0"})
        assert [each.step for each in removed.context["steps"]] == ["truncate"]
        tried = staff.post(page, {**one_way, **both, "preview": "1"})
        assert "Buy" in text(tried)
        assert "<html" not in text(tried)
        row.refresh_from_db()
        assert (row.transform_rule, CrmMappingVersion.objects.count()) == (None, 0)

        saved = staff.post(page, {**one_way, **both, "_save": "", "applies_to": "new"})
        row.refresh_from_db()
        assert saved.status_code == 302
        assert row.transform_rule == {
            "steps": [{"step": "trim"}, {"step": "truncate", "length": 3}],
            "starts_at": "app",
        }

    def test_a_refused_step_says_why_beside_the_steps_and_stays_in_the_form(self, staff, scene):
        row = CrmFieldMapping.objects.get()
        said = {"step-0-step": "truncate", "step-0-length": "many", "_save": ""}

        answer = staff.post(at("crmfieldmapping", "change", row.pk), {**self.form(direction="to_crm"), **said})

        assert (answer.status_code, len(answer.context["step_errors"])) == (422, 1)
        assert 'value="many"' in text(answer)
        assert CrmMappingVersion.objects.count() == 0

    def test_steps_of_a_pair_that_is_not_complete_yet_are_no_fault(self, staff, scene):
        page = reverse("admin:adsapp_crm_crmfieldmapping_new", args=[scene.pk])

        answer = staff.post(page, {**self.form(app_field="", crm_field=""), "add": "1", "new_step": "trim"})

        assert (answer.status_code, answer.context["form"].errors) == (200, {})
        assert [each.step for each in answer.context["steps"]] == ["trim"]

    def test_json_is_taken_and_broken_json_is_told(self, staff, scene):
        row = CrmFieldMapping.objects.get()
        page = at("crmfieldmapping", "change", row.pk)

        broken = staff.post(page, {**self.form(), "json": "{", "use_json": "1"})
        taken = staff.post(page, {**self.form(), "json": '{"steps": [{"step": "trim"}]}', "use_json": "1"})

        assert (broken.status_code, "The JSON cannot be read" in text(broken)) == (422, True)
        assert [each.step for each in taken.context["steps"]] == ["trim"]

    def test_a_file_is_shown_then_taken(self, staff, scene):
        """Export, change, look, yes."""
        exported = staff.get(reverse("admin:adsapp_crm_crmfieldmapping_export", args=[scene.pk, "json"]))
        document = json.loads(text(exported))
        document["mappings"].append({"recordType": "contacts", "adsappField": "city", "crmField": "city"})
        page = reverse("admin:adsapp_crm_crmfieldmapping_import")

        shown = staff.post(
            page,
            {
                "connection": str(scene.pk),
                "keep_others": "on",
                "file": SimpleUploadedFile("m.json", json.dumps(document).encode()),
            },
        )
        before = CrmFieldMapping.objects.count()
        hidden = {
            "connection": str(scene.pk),
            "keep_others": "True",
            "version": str(shown.context["found"].version),
            "content": shown.context["content"],
            "applies_to": "new",
        }
        done = staff.post(page, hidden)

        assert exported["Content-Disposition"] == 'attachment; filename="hubspot-mappings-1.json"'
        assert len(shown.context["found"].difference.added) == 1
        assert "For which records?" in text(shown)
        assert (before, CrmFieldMapping.objects.filter(deleted_at=None).count(), done.status_code) == (1, 2, 302)
        assert CrmFieldMapping.objects.get(adsapp_field="city").former == {"direction": None, "drift": None}

    def test_a_file_that_is_none_is_refused(self, staff, scene):
        page = reverse("admin:adsapp_crm_crmfieldmapping_import")
        answer = staff.post(page, {"connection": str(scene.pk), "file": io.BytesIO(b"\xff\xfe")})

        assert answer.status_code == 422
        assert "not UTF-8" in text(answer)

    def test_removing_asks_first(self, staff, scene):
        row = CrmFieldMapping.objects.get()
        page = at("crmfieldmapping", "act", row.pk, "remove")

        staff.get(page)
        row.refresh_from_db()
        before = row.deleted_at
        staff.post(page)
        row.refresh_from_db()

        assert before is None
        assert row.deleted_at is not None


class TestRunsAndEvents:
    def test_an_undo_is_planned_and_opens_its_run(self, staff, scene):
        run = CrmSyncLog.objects.create(
            connection=scene, sync_type="delta", status="completed", completed_at="2026-01-01T00:00Z",
            record_types=["contacts"],
        )  # fmt: skip

        asked = staff.get(at("crmsynclog", "act", run.pk, "undo"))
        done = staff.post(at("crmsynclog", "act", run.pk, "undo"))

        undo = CrmSyncLog.objects.get(undoes=run)
        assert "Nothing is written before that plan is approved." in text(asked)
        assert done.url == at("crmsynclog", "change", undo.pk)
        assert CrmPlan.objects.get(run=undo).kind == "undo"
        assert staff.get(done.url).status_code == 200

    def test_plans_are_dropped_many_at_once_after_a_question_that_counts_them_and_their_lines(self, staff, scene):
        """What was carried out already is left and counted; saying yes twice drops nothing twice."""
        for status in ("planned", "held", "applied"):
            run = CrmSyncLog.objects.create(
                connection=scene, sync_type="full", status="completed", completed_at="2026-01-01T00:00Z"
            )
            plan = CrmPlan.objects.create(connection=scene, run=run, status=status)
            for seq in range(2):
                CrmPlanLine.objects.create(plan=plan, seq=seq, stage=1, kind="sync", action={})
        page = at("crmplan", "changelist")
        chosen = {"action": "drop", "_selected_action": [str(each.pk) for each in CrmPlan.objects.all()]}

        asked = text(staff.post(page, chosen))
        assert sorted(CrmPlan.objects.values_list("status", flat=True)) == ["applied", "held", "planned"]
        told = [text(staff.post(page, {**chosen, "confirmed": "yes"}, follow=True)) for _ in range(2)]

        assert "This is about 2 plans." in asked
        assert "<strong>4</strong>" in asked
        assert "1 chosen row is left as it is" in asked
        assert "Dropped 2 plans." in told[0]
        assert "None of the chosen rows" in told[1]
        assert sorted(CrmPlan.objects.values_list("status", flat=True)) == ["applied", "dropped", "dropped"]

    def test_events_are_put_back_into_the_inbox(self, staff, scene):
        """Those that are settled; one that waits already is left and counted."""
        for key, status in (("a", "done"), ("b", "failed"), ("c", "received")):
            CrmWebhookEvent.objects.create(
                connection=scene, event_key=key, event_type="changed", remote_id="1", status=status
            )
        chosen = {"action": "replay", "_selected_action": [str(each.pk) for each in CrmWebhookEvent.objects.all()]}
        page = at("crmwebhookevent", "changelist")

        asked = staff.post(page, chosen)
        staff.post(page, {**chosen, "confirmed": "yes"})

        assert "This is about 2 webhook events." in text(asked)
        assert "1 chosen row is left as it is" in text(asked)
        assert set(CrmWebhookEvent.objects.values_list("status", flat=True)) == {"received"}

    def test_links_are_tried_again(self, staff, scene):
        link = CrmSyncState.objects.order_by("id")[0]
        CrmSyncState.objects.filter(pk=link.pk).update(error_code="rule.validation", attempts=3)

        staff.post(at("crmsyncstate", "act", link.pk, "retry"))

        link.refresh_from_db()
        assert (link.error_code, link.attempts, link.due) == ("", 0, True)

    def test_an_act_that_is_none_is_not_found(self, staff, scene):
        assert staff.get(at("crmconnection", "act", scene.pk, "explode")).status_code == 404


class TestOverview:
    def test_it_tells_health_and_runs_within_fifteen_queries(self, elsewhere, staff, scene):
        """Another organization's connection shows its health and nothing of its account."""
        CrmSyncLog.objects.create(connection=scene, sync_type="delta", status="failed")
        with CaptureQueriesContext(database) as captured:
            page = text(staff.get(reverse("admin:index")))

        asked = [each for each in captured if not each["sql"].startswith(("SAVEPOINT", "RELEASE", "SELECT set_config"))]
        assert "1 runs, of which 1 failed." in page
        assert str(elsewhere.organization_id) in page
        assert "Their account" not in page
        assert len(asked) <= 15, [each["sql"][:90] for each in asked]

    def test_lists_count_no_further_than_their_bound(self, staff, scene, monkeypatch):
        monkeypatch.setattr(paging, "MOST_COUNTED", 2)

        answer = staff.get(at("crmsyncstate", "changelist"))

        assert str(answer.context["cl"].result_count) == "2+"


def test_a_list_is_sorted_by_a_column_as_long_as_it_is_counted_to_its_end(staff, tenant, monkeypatch):
    """A longer one keeps its own order and says so, however it is asked; a search sorts what it found."""
    with tenant.context():
        for name in ("b", "c", "a"):
            create_contact({"firstName": name, "email": f"{name}@example.com"})
    place = reverse("admin:adsapp_crm_contact_changelist")

    def names(query):
        answer = staff.get(f"{place}?{query}")
        return [row.first_name for row in answer.context["cl"].result_list], "keeps its own order" in text(answer)

    assert names("o=1") == (["a", "b", "c"], False)
    monkeypatch.setattr(paging, "MOST_COUNTED", 2)
    assert names("o=1") == (["a", "c", "b"], True)
    assert names("o=x.-99") == (["a", "c", "b"], True)
    assert names("o=-1&q=a") == (["a"], False)
