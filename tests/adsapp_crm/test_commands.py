"""The commands, through ``call_command``: what they print, how they end, and that a refusal changes nothing."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from threading import Barrier

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, ProgrammingError, connections
from psycopg import errors as postgres

from adsapp_crm.models import Contact, User
from adsapp_crm.selectors import find_organization, organization_ids

pytestmark = pytest.mark.django_db(transaction=True)

COMMANDS = ("crm_org", "crm_connect", "crm_sync", "crm_import", "crm_explain", "crm_undo", "crm_status")


def run(*arguments, stdin="", monkeypatch=None):
    """(exit code, standard output) of a command."""
    if monkeypatch is not None:
        monkeypatch.setattr("sys.stdin", StringIO(stdin))
    out = StringIO()
    try:
        call_command(*arguments, stdout=out, stderr=StringIO())
    except SystemExit as ended:
        return ended.code, out.getvalue()
    return 0, out.getvalue()


def refused(*arguments):
    """(exit code, first error) of a command that must refuse, by its JSON answer."""
    out = StringIO()
    with pytest.raises(CommandError) as raised:
        call_command(*arguments, "--json", stdout=out, stderr=StringIO())
    answer = json.loads(out.getvalue())
    assert answer["ok"] is False
    assert answer["errors"][0]["fix"]
    return raised.value.returncode, answer["errors"][0]


def test_an_organization_gets_an_owner_who_can_log_in(client):
    """The password that is shown opens the admin; it is shown once and stored as a hash."""
    code, out = run("crm_org", "Acme BV", "--email", "ann@acme.example", "--region", "NL", "--json")
    made = json.loads(out)

    assert code == 0
    assert find_organization("Acme BV") == find_organization(made["id"])
    assert client.post("/admin/login/", {"username": made["email"], "password": made["password"]}).status_code == 302


@pytest.mark.parametrize(
    ("arguments", "code", "field"),
    [
        (["--email", "ann"], "user.email", "email"),
        (["--email", "ann@acme.example", "--region", "Nederland"], "organization.invalid", "region"),
        (["--email", "ann@acme.example", "--time-zone", "Mars/Base"], "organization.invalid", "time_zone"),
    ],
)
def test_a_refused_organization_is_not_made(arguments, code, field):
    """Code, field and fix; exit 2; nobody and nothing was stored."""
    exit_code, error = refused("crm_org", "Acme BV", *arguments)

    assert (exit_code, error["code"], error["field"]) == (2, code, field)
    assert list(organization_ids()) == []
    assert User.objects.count() == 0


def test_a_second_organization_of_one_name_is_refused(make_organization):
    """Commands name organizations, so a name means one."""
    make_organization("Acme BV")

    assert refused("crm_org", "Acme BV", "--email", "bob@acme.example")[1]["field"] == "NAME"


def test_two_commands_at_once_make_one_organization_of_a_name(monkeypatch):
    """The second one waits for the first and is refused."""
    both = Barrier(2)
    monkeypatch.setattr("sys.stdin", StringIO())

    def make(email):
        both.wait()
        try:
            return run("crm_org", "Acme BV", "--email", email)[0]
        except CommandError as error:
            return error.returncode
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(make, ["ann@acme.example", "bob@acme.example"])) == [0, 2]
    assert len(list(organization_ids())) == 1


def test_an_import_takes_good_rows_and_lists_the_others(tenant, tmp_path):
    """Exit 1 says that not every row was taken; each refused one is named with line, field and reason."""
    file = tmp_path / "contacts.csv"
    file.write_text("firstName,email\nAnn,ann@example.com\nBob,not-an-address\n", encoding="utf-8")

    code, out = run("crm_import", "First", str(file), "--json")
    report = json.loads(out)

    assert (code, report["rows"], report["created"]) == (1, 2, 1)
    assert [(row["line"], row["errors"][0]["field"]) for row in report["refused"]] == [(3, "email")]
    with tenant.context():
        assert list(Contact.objects.values_list("email", flat=True)) == ["ann@example.com"]


def test_a_file_with_an_unknown_column_is_refused_whole(tenant, tmp_path):
    """Nothing is imported from a file whose header is not understood."""
    file = tmp_path / "contacts.csv"
    file.write_text("firstName,shoeSize\nAnn,38\n", encoding="utf-8")

    exit_code, error = refused("crm_import", "First", str(file))

    assert (exit_code, error["code"], error["field"]) == (2, "contact.unknown_field", "shoeSize")
    with tenant.context():
        assert Contact.objects.count() == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["crm_import", "Nobody", "contacts.csv"],
        ["crm_explain", "Nobody", "ann@example.com"],
        ["crm_connect", "Nobody", "hubspot"],
        ["crm_sync", "Nobody", "hubspot"],
        ["crm_status", "--org", "Nobody"],
    ],
)
def test_an_unknown_organization_is_refused(arguments):
    """By its own code, before anything else is looked at."""
    exit_code, error = refused(*arguments)

    assert (exit_code, error["code"], error["field"]) == (2, "organization.unknown", "ORG")


def test_an_unknown_contact_is_refused(tenant, other):
    """Another organization's contact is as unknown as one that never was."""
    with other.context():
        Contact.objects.create(email="ann@example.com")

    assert refused("crm_explain", "First", "ann@example.com")[1]["code"] == "contact.unknown"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    """--help names the arguments and --json."""
    with pytest.raises(SystemExit) as ended:
        call_command(command, "--help")

    assert ended.value.code == 0
    assert "--json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (postgres.UndefinedTable("relation does not exist"), "migrate --database owner"),
        (postgres.UndefinedFunction("function does not exist"), "migrate --database owner"),
        (postgres.OperationalError("connection refused"), "Start PostgreSQL"),
    ],
)
def test_a_database_that_is_away_or_behind_is_an_error_with_a_fix(cause, said, monkeypatch):
    """Exit 1, and no traceback for whoever has not migrated yet."""

    def fails(*_arguments):
        kind = OperationalError if type(cause) is postgres.OperationalError else ProgrammingError
        raise kind(str(cause)) from cause

    monkeypatch.setattr("adsapp_crm.management.commands.crm_status.standings", fails)
    exit_code, error = refused("crm_status")

    assert (exit_code, error["code"], error["field"]) == (1, "internal.database", "DATABASE_URL")
    assert said in error["fix"]


def test_a_batch_without_rows_is_refused():
    """And no key is touched."""
    exit_code, error = refused("rotate_keys", "--batch", "0")

    assert (exit_code, error["code"], error["field"]) == (2, "request.invalid", "--batch")
