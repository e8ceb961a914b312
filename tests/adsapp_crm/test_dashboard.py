"""The dashboard's pages through a person's clicks, against a HubSpot on loopback."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from adsapp_crm import wiring
from adsapp_crm.limiter import DayUse
from adsapp_crm.models import (
    Contact,
    CrmConflict,
    CrmConnection,
    CrmPlan,
    CrmSyncLog,
    CrmSyncState,
    CrmWebhookEvent,
)
from adsapp_crm.models.choices import Role
from adsapp_crm.services.standing import count_links
from crm.model import RunKind
from tests.adsapp_crm.dashboard_stand import BASE, dashboard_stand, pages_of, text_of
from tests.adsapp_crm.hubspot_account import TOKEN

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stand(tenant, settings):
    with dashboard_stand(tenant, settings) as made:
        yield made


@pytest.fixture
def synced(stand):
    return stand.with_three_people()


@pytest.fixture
def contested(synced):
    return synced.with_two_conflicts()


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


def test_a_crm_that_no_token_connects_says_what_the_installation_lacks(stand):
    """No field that could only be refused; what is sent all the same is, and connects nothing."""
    page = stand.get("/connect/salesforce")
    assert 'name="token"' not in page
    assert "This installation has no app at Salesforce yet" in page
    stand.post("/connect/salesforce", token="00D!token")
    assert "a token alone does not say where its account is" in stand.get("/connect/salesforce")


def test_a_log_in_goes_to_the_environment_that_is_chosen(stand, settings):
    """Salesforce's sandboxes log in at another address; what is none of its environments is the installation's."""
    settings.CRM_PROVIDERS = {"salesforce": {"client_id": "id", "client_secret": "secret"}}
    settings.CRM_EXTRA_HOSTS = ()
    page = stand.get("/connect/salesforce")
    assert "/api/crm/connect/callback" in page
    assert 'name="token"' not in page
    for chosen, host in (("sandbox", "test"), ("production", "login"), ("elsewhere", "login")):
        page = stand.post("/connect/salesforce", log_in="1", environment=chosen).content.decode()
        assert f'content="0; url=https://{host}.salesforce.com/services/oauth2/authorize?' in page


def test_a_plan_that_is_dropped_writes_nothing(stand):
    stand.connect()
    stand.contact(firstName="Ada", email="ada@x.example")
    stand.run()
    with stand.inside:
        plan = CrmPlan.objects.get()
    assert "! Held" in text_of(stand.get())
    stand.post(f"/plans/{plan.pk}", drop="1")
    assert stand.account.records() == []
    shown = text_of(stand.get())
    assert "Dropped" in shown
    assert "! Held" not in shown  # nothing waits for anybody, neither of the run nor of the connection
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
