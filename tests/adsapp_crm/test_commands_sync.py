"""Connecting, syncing, explaining and undoing from the command line, against a HubSpot on loopback."""

from __future__ import annotations

import json
import os
import signal
import threading
import uuid
from io import BytesIO, StringIO, TextIOWrapper

import pytest
from django.core.management import CommandError, call_command

from adsapp_crm.management.commands import crm_sync
from adsapp_crm.models import Contact, CrmConnection, CrmFieldMapping, CrmSyncLog
from adsapp_crm.services.connections import connect_with_token
from adsapp_crm.services.contacts import create_contact, update_contact
from adsapp_crm.services.syncing import approve_plan
from adsapp_crm.storage import acquire_lease
from tests.adsapp_crm.hubspot_account import TOKEN, hubspot_account

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hubspot(settings):
    with hubspot_account() as account:
        settings.CRM_PROVIDERS = {"hubspot": {"api_base": account.url}}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        yield account


@pytest.fixture
def connected(tenant, hubspot):
    """One contact here, another there, and a HubSpot that is connected."""
    with tenant.context(actor="user:test", origin="user"):
        create_contact({"firstName": "Ann", "email": "ann@example.com"})
    hubspot.add({"firstname": "Bob", "email": "bob@example.com"})
    connect_with_token(tenant.id, "hubspot", TOKEN, actor="user:test")
    return hubspot


def command(*arguments):
    """(exit code, JSON answer) of a command that runs to its end."""
    out = StringIO()
    try:
        call_command(*arguments, "--json", stdout=out, stderr=StringIO())
    except SystemExit as ended:
        return ended.code, json.loads(out.getvalue())
    return 0, json.loads(out.getvalue())


def refused(*arguments):
    out = StringIO()
    with pytest.raises(CommandError) as raised:
        call_command(*arguments, "--json", stdout=out, stderr=StringIO())
    error = json.loads(out.getvalue())["errors"][0]
    assert error["fix"]
    return raised.value.returncode, error["code"], error["field"]


def sync(*arguments):
    return command("crm_sync", "First", "hubspot", *arguments)


def first_sync():
    """Held, then approved: both sides hold both people."""
    _code, held = sync("--full")
    code, done = sync("--approve", held["planId"])
    assert (code, done["status"]) == (0, "completed")
    return done


def give_token(monkeypatch, text):
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(text.encode())))


def test_a_token_from_standard_input_connects(tenant, hubspot, monkeypatch):
    """The account is pinned, the fields described, defaults mapped; the token is in no plain column."""
    give_token(monkeypatch, TOKEN + "\n")

    code, made = command("crm_connect", "First", "hubspot")

    assert (code, made["marker"], made["reconnected"]) == (0, True, False)
    assert made["fields"] > 20
    with tenant.context():
        row = CrmConnection.objects.defer(None).get()
        assert (row.status, row.health, row.remote_account_id) == ("active", "setting_up", made["accountId"])
        assert row.open_credentials() == {"token": TOKEN}
        assert CrmFieldMapping.objects.count() == made["mappings"] > 10


@pytest.mark.parametrize(
    ("provider", "token", "expected"),
    [
        ("zoho", TOKEN, (2, "config.provider_unknown", "crmType")),
        ("hubspot", "", (2, "config.token_missing", "apiToken")),
        ("hubspot", "two words", (2, "config.token_missing", "apiToken")),
        ("salesforce", "00D!token", (2, "config.unsupported", "apiToken")),
        ("hubspot", "pat-wrong", (2, "auth.expired", "")),
    ],
)
def test_what_cannot_be_connected_leaves_nothing(tenant, hubspot, monkeypatch, provider, token, expected):
    """Refused by name; no row, no mapping."""
    give_token(monkeypatch, token)

    assert refused("crm_connect", "First", provider) == expected
    with tenant.context():
        assert CrmConnection.objects.count() == 0


def test_a_second_live_connection_is_refused(tenant, connected, monkeypatch):
    """The one there is stays as it was."""
    give_token(monkeypatch, TOKEN)

    assert refused("crm_connect", "First", "hubspot") == (2, "connection.exists", "crmType")
    with tenant.context():
        assert CrmConnection.objects.count() == 1


def test_a_first_sync_is_held_until_somebody_approves_it(tenant, connected):
    """It says how; before that neither side has changed, afterwards both hold both people."""
    code, held = sync("--full")

    assert (code, held["status"]) == (0, "held")
    assert held["plan"] == {"create_in_app": 1, "create_in_crm": 1}
    assert len(connected.records()) == 1
    with tenant.context():
        assert Contact.objects.count() == 1

    code, done = sync("--approve", held["planId"])

    assert (code, done["success"], done["recordsFailed"]) == (0, True, 0)
    assert (done["counts"]["created_in_app"], done["counts"]["created_in_crm"]) == (1, 1)
    assert sorted(each["email"] for each in connected.records()) == ["ann@example.com", "bob@example.com"]
    with tenant.context():
        assert sorted(Contact.objects.values_list("email", flat=True)) == ["ann@example.com", "bob@example.com"]


def test_text_says_how_to_approve(connected):
    """The last line is the command to type."""
    out = StringIO()
    call_command("crm_sync", "First", "hubspot", "--full", stdout=out, stderr=StringIO())

    last = out.getvalue().splitlines()[-1]
    assert last.startswith('approve    manage.py crm_sync "First" hubspot --approve ')
    assert sync("--approve", last.rpartition(" ")[2])[1]["status"] == "completed"


def test_a_plan_that_still_waits_is_named_by_the_next_run(tenant, connected):
    """A second full run shows everything anew: its plan waits, the older one covers nothing any more."""
    sync("--full")

    _code, again = sync("--full")

    assert again["waitingPlans"] == [again["planId"]]
    assert len(connected.records()) == 1


def test_ctrl_c_before_the_run_starts_nothing(tenant, connected, monkeypatch):
    """Exit 130, and no run."""
    found = crm_sync.find_connection

    def interrupt(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return found(*arguments)

    monkeypatch.setattr(crm_sync, "find_connection", interrupt)

    with pytest.raises(SystemExit) as ended:
        call_command("crm_sync", "First", "hubspot", stdout=StringIO(), stderr=StringIO())

    assert ended.value.code == 130
    with tenant.context():
        assert CrmSyncLog.objects.count() == 0


def test_a_dry_run_writes_nothing(tenant, connected):
    """It shows what would be done, by kind."""
    first_sync()
    connected.edit(connected.add({"firstname": "Cas"})[0], lastname="New")
    _code, shown = sync("--delta", "--dry-run")

    assert (shown["status"], shown["plan"]) == ("completed", {"create_in_app": 1})
    with tenant.context():
        assert Contact.objects.count() == 2


def test_a_delta_brings_an_edit_across_and_the_next_writes_nothing(tenant, connected):
    """Quiet is quiet."""
    first_sync()
    with tenant.context(actor="user:test", origin="user"):
        update_contact(Contact.objects.get(email="ann@example.com").pk, {"firstName": "Anna"}, version=None)

    _code, done = sync("--delta")
    _code, quiet = sync("--delta")

    assert done["counts"]["updated_in_crm"] == 1
    assert "Anna" in [each["firstname"] for each in connected.records()]
    assert not {name for name in quiet["counts"] if name.startswith(("created", "updated", "deleted"))}


def test_one_contact_is_synced_by_itself(tenant, connected):
    """The others wait."""
    first_sync()
    with tenant.context(actor="user:test", origin="user"):
        for contact in Contact.objects.all():
            update_contact(contact.pk, {"jobTitle": "Boss"}, version=None)
        wanted = Contact.objects.get(email="ann@example.com").pk

    code, done = sync("--contact", str(wanted))

    assert (code, done["counts"]["updated_in_crm"]) == (0, 1)
    assert [each["email"] for each in connected.records() if each.get("jobtitle") == "Boss"] == ["ann@example.com"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--contact", "nobody"], (2, "contact.unknown", "contactIds")),
        (["--contact", str(uuid.uuid4())], (2, "contact.unknown", "contactIds")),
        (["--limit", "0"], (2, "config.invalid", "limit")),
        (["--approve", str(uuid.uuid4())], (2, "plan.unknown", "PLAN")),
        (["--approve", "plan"], (2, "plan.unknown", "PLAN")),
        (["--approve", str(uuid.uuid4()), "--dry-run"], (2, "request.invalid", "--approve")),
    ],
)
def test_a_wrong_argument_starts_no_run(tenant, connected, arguments, expected):
    """Code and field; nothing was stored."""
    assert refused("crm_sync", "First", "hubspot", *arguments) == expected
    with tenant.context():
        assert CrmSyncLog.objects.count() == 0


def test_a_crm_that_is_not_connected_is_refused(tenant, hubspot):
    """And one that does not exist is another matter."""
    assert refused("crm_sync", "First", "hubspot") == (2, "connection.unknown", "crmType")
    assert refused("crm_sync", "First", "zoho") == (2, "config.provider_unknown", "crmType")


def test_a_wrong_encryption_key_is_named(tenant, connected, settings):
    """The key is what is wrong, and it is said; nothing is written to either side."""
    settings.FERNET_KEYS = ["another-key-another-key-another-key-0"]

    assert refused("crm_sync", "First", "hubspot", "--full") == (2, "config.encryption_key", "FERNET_KEYS")
    assert len(connected.records()) == 1


def test_a_stream_that_another_worker_holds_is_left_to_it(tenant, connected, monkeypatch):
    """After a while the command gives up with a code, and the run can go on later."""
    monkeypatch.setattr(crm_sync, "MOST_BUSY_TRIES", 0)
    with tenant.context():
        connection = CrmConnection.objects.get()
    acquire_lease(connection, "scan")

    assert refused("crm_sync", "First", "hubspot", "--full") == (2, "run.busy", "PROVIDER")
    with tenant.context():
        assert CrmSyncLog.objects.get().status == "running"


def test_an_interrupted_run_is_cancelled_at_its_next_page(tenant, connected, monkeypatch):
    """Ctrl-C ends the run cleanly: exit 1, nothing half done, and a later run starts anew."""
    monkeypatch.setattr(crm_sync, "STEP_SECONDS", 0.0)
    before = signal.getsignal(signal.SIGINT)
    stepped = crm_sync.step_run

    def interrupt_then_step(*arguments, **named):
        if threading.current_thread() is threading.main_thread():
            os.kill(os.getpid(), signal.SIGINT)
        return stepped(*arguments, **named)

    monkeypatch.setattr(crm_sync, "step_run", interrupt_then_step)
    with monkeypatch.context() as once:
        once.setattr(crm_sync, "cancel_run", _cancel_and_restore(monkeypatch, stepped))
        code, ended = sync("--full")

    assert (code, ended["status"]) == (1, "cancelled")
    assert signal.getsignal(signal.SIGINT) is before
    assert len(connected.records()) == 1
    assert sync("--full")[1]["status"] == "held"


def _cancel_and_restore(monkeypatch, stepped):
    """The real cancel; no second Ctrl-C after it."""
    cancel = crm_sync.cancel_run

    def act(*arguments, **named):
        monkeypatch.setattr(crm_sync, "step_run", stepped)
        return cancel(*arguments, **named)

    return act


def test_a_run_that_was_cut_off_goes_on(tenant, connected):
    """The same command resumes it; a dry run does not turn into a real one."""
    first_sync()
    connected.add({"firstname": "Cas"})
    run_id = crm_sync.start_run(tenant.id, _connection(tenant).pk, crm_sync.RunKind.DELTA, actor="user:test")

    assert refused("crm_sync", "First", "hubspot", "--dry-run")[1] == "run.busy"
    code, done = sync("--delta")

    assert (code, done["runId"], done["status"]) == (0, str(run_id), "completed")
    assert done["counts"]["created_in_app"] == 1


def test_an_approved_plan_that_was_cut_off_goes_on(tenant, connected):
    """The same command again, which is what whoever was interrupted types."""
    _code, held = sync("--full")
    with tenant.context():
        cut_off = approve_plan(uuid.UUID(held["planId"]), actor="user:test").pk
    code, done = sync("--approve", held["planId"])

    assert (code, done["status"], done["runId"]) == (0, "completed", str(cut_off))
    assert {each["email"] for each in connected.records()} == {"ann@example.com", "bob@example.com"}
    assert refused("crm_sync", "First", "hubspot", "--approve", held["planId"])[1] == "plan.closed"


def _connection(tenant):
    with tenant.context():
        return CrmConnection.objects.get()


def test_explain_shows_both_values_the_base_and_the_ledger(tenant, connected):
    """One contact, one connection: in sync, every mapped field with both values."""
    first_sync()

    _code, told = command("crm_explain", "First", "ANN@example.com")
    (contact,) = told["contacts"]
    (stand,) = contact["connections"]
    first_name = next(each for each in stand["fields"] if each["adsappField"] == "firstName")

    assert (stand["state"], stand["code"], stand["crmType"]) == ("in sync", None, "hubspot")
    assert (first_name["adsappValue"], first_name["crmValue"]) == ("Ann", "Ann")
    assert first_name["base"] == {"adsapp": "Ann", "crm": "Ann"}
    assert [line["kind"] for line in contact["history"]] == ["create_in_crm"]


def test_explain_says_why_a_contact_is_not_in_the_crm(tenant, connected):
    """Before the approval: pending, with the code of what it waits for and its fix."""
    sync("--full")

    _code, told = command("crm_explain", "First", "ann@example.com")
    (stand,) = told["contacts"][0]["connections"]

    assert (stand["state"], stand["code"]) == ("pending", "brake.first_sync")
    assert stand["fix"]


def test_undo_shows_first_and_does_it_on_a_yes(tenant, connected):
    """The value is back on both sides, and the next run writes nothing."""
    first_sync()
    with tenant.context(actor="user:test", origin="user"):
        update_contact(Contact.objects.get(email="ann@example.com").pk, {"firstName": "Anna"}, version=None)
    _code, done = sync("--delta")

    _code, shown = command("crm_undo", done["runId"])
    assert (shown["applied"], shown["records"]) == (False, 1)
    assert "Anna" in [each["firstname"] for each in connected.records()]

    code, undone = command("crm_undo", done["runId"], "--yes")

    assert (code, undone["applied"], undone["records"]) == (0, True, 1)
    assert "Ann" in [each["firstname"] for each in connected.records()]
    _code, quiet = sync("--delta")
    assert not {name for name in quiet["counts"] if name.startswith(("created", "updated", "deleted"))}


def test_an_unknown_run_is_not_undone(tenant):
    """By its code; a run of nobody and a word that is no id alike."""
    assert refused("crm_undo", str(uuid.uuid4())) == (2, "run.unknown", "RUN")
    assert refused("crm_undo", "yesterday") == (2, "run.unknown", "RUN")


def test_status_counts_links_and_fails_on_what_it_is_told_to(tenant, connected):
    """Five counts; exit 1 for probes once the CRM refuses the log-in."""
    first_sync()

    code, fine = command("crm_status", "--org", "First", "--fail-on", "late")
    (standing,) = fine["connections"]
    assert (code, standing["health"]) == (0, "healthy")
    assert standing["counts"] == {"in_sync": 2, "pending": 0, "excluded": 0, "failing": 0, "conflict": 0}

    with tenant.context():
        CrmConnection.objects.update(health="needs_reconnect", status="error", last_error_code="auth.expired")
    code, bad = command("crm_status", "--fail-on", "late")
    assert (code, bad["ok"], bad["connections"][0]["code"]) == (1, False, "auth.expired")
    assert command("crm_status")[0] == 0


def test_a_refused_value_is_listed_and_stops_no_other(tenant, connected):
    """Exit 0: the run did its work; the field is named with its code, the rest of the contact went over."""
    with tenant.context(actor="user:test", origin="user"):
        create_contact({"firstName": "Cas", "email": "cas@example.com", "language": "klingon"})
    first_sync()

    _code, told = command("crm_explain", "First", "cas@example.com")
    (stand,) = told["contacts"][0]["connections"]

    assert "cas@example.com" in [each.get("email") for each in connected.records()]
    assert (stand["state"], stand["code"]) == ("failing", "field.picklist")
    assert [each["adsappField"] for each in stand["fields"] if each["state"] == "failing"] == ["language"]
    assert command("crm_status")[1]["connections"][0]["counts"]["failing"] == 1
