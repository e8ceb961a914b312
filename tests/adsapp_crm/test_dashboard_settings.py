"""Rules, history, figures, keys and people on the dashboard."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from html import unescape

import pytest

from adsapp_crm.models import (
    ApiKey,
    CrmConnection,
    CrmSyncLog,
    CrmSyncState,
    Membership,
)
from adsapp_crm.models.choices import ConnectionEventKind, Role
from adsapp_crm.selectors import database_now
from adsapp_crm.services.analytics import figures_by_day
from adsapp_crm.services.api_keys import make_key
from adsapp_crm.services.conflict_rules import wanted_of
from adsapp_crm.services.connection_history import note, note_schema
from adsapp_crm.services.mappings import WantedMapping, current_mappings, replace_mappings
from crm.model import AppliesTo
from tests.adsapp_crm.dashboard_stand import BASE, dashboard_stand, text_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stand(tenant, settings):
    with dashboard_stand(tenant, settings) as made:
        yield made


@pytest.fixture
def synced(stand):
    return stand.with_three_people()


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
    page = text_of(synced.get("/activity?kind=schema&crm=hubspot"))
    assert "contacts added: ADSapp contact id adsapp_contact_id" in page
    assert "Nothing of this kind yet." in text_of(synced.get("/activity?kind=webhook"))
    with synced.inside:
        schema = CrmConnection.objects.get().schema
        fields = [each for each in schema["contacts"]["fields"] if each["name"] != "city"]
        note_schema(synced.connection_id, schema, {"contacts": {"hash": "other", "fields": fields}})
        note_schema(synced.connection_id, schema, schema)
    assert "contacts gone: City city" in text_of(synced.get("/activity?kind=schema"))


def test_a_mapping_version_says_what_it_changed_in_the_crms_own_words(synced):
    with synced.inside:
        row = CrmConnection.objects.get()
        kept = [wanted_of(each) for each in current_mappings(row)]
        others = [replace(each, direction="to_crm") if each.app_field == "city" else each for each in kept]
        added = WantedMapping(record_type="contacts", app_field="company", remote_field="company")
        for wanted in (kept, [*others[1:], added]):
            replace_mappings(row, wanted, actor="user:test", applies_to=AppliesTo.EXISTING)
    page = text_of(synced.get("/activity?kind=mapping"))
    assert "added: company ↔ Company Name company contacts · Both ways" in page
    assert "removed: firstName ↔ First Name firstname" in page
    assert "changed: city → City city contacts · To CRM" in page


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


def test_a_person_is_taken_out_with_the_keys_they_made(stand):
    """At once, by an administrator alone; an owner is above one, and the last owner stays. The box is ticked before."""
    admin, viewer = stand.member(Role.ADMIN), stand.member(Role.VIEWER)
    admin.post(f"{BASE}/people", {"act": "key", "name": "billing", "scope": "read"})
    page = stand.get("/people")
    assert "Revoke the API key that they made: billing" in text_of(page)
    assert page.count('name="revoke_keys" value="1" checked') == 1
    with stand.inside:
        ids = {each.role: str(each.pk) for each in Membership.objects.all()}
    viewer.post(f"{BASE}/people", {"act": "out", "member": ids["admin"]})
    admin.post(f"{BASE}/people", {"act": "out", "member": ids["owner"]})
    stand.post("/people", act="out", member=ids["owner"])
    stand.post("/people", act="out", member="nobody")
    with stand.inside:
        assert {each.role: str(each.pk) for each in Membership.objects.all()} == ids
    told = stand.follow("/people", act="out", member=ids["admin"], revoke_keys="1")
    assert "Revoked with them: billing (crm_live_" in text_of(told)
    assert admin.get(f"{BASE}/people").status_code != 200
    with stand.inside:
        assert {each.role for each in Membership.objects.all()} == {"owner", "viewer"}
        [key] = ApiKey.objects.all()
    assert (key.revoked_at is not None, key.revoked_by) == (True, f"user:{stand.tenant.user.pk}")


def test_what_a_key_did_is_told_by_the_keys_name(stand):
    """Its name and how it begins, not an id; another organization's key is not known here."""
    with stand.inside:
        first = make_key("billing", ["admin"], actor=f"user:{stand.tenant.user.pk}").row
        make_key("reports", ["read"], actor=f"key:{first.pk}")
        make_key("stray", ["read"], actor=f"key:{uuid.uuid4()}")
    told = text_of(stand.get("/people"))
    assert f"key billing ({first.prefix})" in told
    assert str(first.pk) not in told
    assert "at most" not in told
    stand.member(Role.OWNER)
    with stand.inside:
        Membership.objects.filter(user=stand.tenant.user).update(role=Role.VIEWER)
        ApiKey.objects.filter(name="billing").update(scopes=["admin"])
    assert text_of(stand.get("/people")).count("now read at most: its maker's role allows no more") == 1


def test_a_key_that_is_kept_is_named(stand):
    """The box unticked: the person is out, their key goes on working, and the page says which."""
    admin = stand.member(Role.ADMIN)
    admin.post(f"{BASE}/people", {"act": "key", "name": "billing", "scope": "read"})
    with stand.inside:
        member_id = str(Membership.objects.get(role=Role.ADMIN).pk)
    told = stand.follow("/people", act="out", member=member_id)
    assert "Keys of theirs that go on working: billing (crm_live_" in text_of(told)
    with stand.inside:
        assert [(key.revoked_at, key.revoked_by) for key in ApiKey.objects.all()] == [(None, "")]
