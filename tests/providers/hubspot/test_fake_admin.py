"""The back door: records by hand, seeding, journal, clock, pages; and the account on disk."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.management import call_command
from django.core.management.base import CommandError

from adsapp_crm.management.commands.crm_fake import Command
from crm.fakes import FAKES
from crm.providers.hubspot.fake import DEFAULT_TOKEN, HubSpotFake
from crm.testing.wsgi import LoopbackServer
from tests.providers.hubspot.fake_account import BASE, NOW_MS, Account
from tests.providers.hubspot.test_fake_objects import make_property

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def account() -> Account:
    return Account()


def test_a_record_made_by_hand_shows_the_person(account: Account) -> None:
    """In its source and in the history of each value."""
    made = account.person("POST", "records", {"properties": {"email": "ada@example.com"}})
    assert made.status_code == 201
    shown = account.person("GET", f"records/{made.json()['id']}").json()
    assert shown["properties"]["hs_object_source"] == "CRM_UI"
    version = shown["propertiesWithHistory"]["email"][0]
    assert (version["sourceType"], version["sourceId"], version["updatedByUserId"]) == ("CRM_UI", "userId:1", 1)
    assert account.person("GET", "records", params={"q": "ADA@"}).json()["results"][0]["id"] == made.json()["id"]
    assert account.person("GET", "records", params={"q": "nobody"}).json()["results"] == []


def test_hands_break_no_rules(account: Account) -> None:
    """The same checks as for apps; nothing is stored."""
    ada = account.contact(email="ada@example.com")
    bob = account.contact(email="bob@example.com")
    for body, status in (
        ({"properties": {"email": "ADA@example.com"}}, 409),
        ({"properties": {"hs_lead_status": "HOT"}}, 400),
        ({"additionalEmails": ["ada@example.com"]}, 409),
    ):
        assert account.person("PATCH", f"records/{bob}", body).status_code == status
    assert account.person("POST", "records", {"properties": {"email": "ada@example.com"}}).status_code == 409
    assert account.ids() == [ada, bob]
    assert account.properties(bob, "email", "hs_additional_emails") == {
        "email": "bob@example.com",
        "hs_additional_emails": None,
    }


def test_seeding_is_all_or_none_and_can_place_records_in_the_past(account: Account) -> None:
    """Ids come in the order given; a bad record is named by its place."""
    records: list[dict[str, Any]] = [
        {"firstname": "Old", "email": "old@example.com"},
        {"properties": {"email": "a@x.example"}, "at": NOW_MS - 5000, "additionalEmails": ["b@x.example"]},
        {"properties": {"email": "out@x.example"}, "optedOut": True},
    ]
    ids = account.person("POST", "bulk", {"records": records}).json()["ids"]
    assert account.ids() == ids
    assert account.properties(ids[1], "createdate", "hs_additional_emails") == {
        "createdate": "2026-09-21T14:13:15.000Z",
        "hs_additional_emails": "b@x.example",
    }
    assert account.properties(ids[2], "hs_email_optout") == {"hs_email_optout": "true"}
    for bad in ({"email": "OLD@example.com"}, {"email": "nobody"}):
        refused = account.person("POST", "bulk", {"records": [{"firstname": "New"}, bad]})
        assert refused.status_code in (400, 409)
    assert "records[1]" in refused.json()["message"]
    assert account.ids() == ids


def test_the_journal_holds_every_write_and_who_made_it(account: Account) -> None:
    """Also those that changed nothing."""
    ada = account.contact(city="Bonn", firstname="Ada")
    account.person("PATCH", f"records/{ada}", {"properties": {"city": "Köln"}})
    account.call("PATCH", f"/crm/v3/objects/contacts/{ada}", {"properties": {"city": "Köln"}})
    account.call("DELETE", f"/crm/v3/objects/contacts/{ada}")
    entries = account.person("GET", "journal", params={"after": 1}).json()["results"]
    assert [(e["seq"], e["op"], e["actor"]["source"], e["changes"], e["noop"]) for e in entries] == [
        (2, "update", "CRM_UI", {"city": ["Bonn", "Köln"]}, False),
        (3, "update", "INTEGRATION", {}, True),
        (4, "archive", "INTEGRATION", {}, False),
    ]


def test_statistics_count_calls_by_template_and_start_again(account: Account) -> None:
    """People's writes are not counted as writes of apps."""
    ada = account.contact(firstname="Ada")
    account.person("PATCH", f"records/{ada}", {"properties": {"city": "Bonn"}})
    account.call("GET", f"/crm/v3/objects/contacts/{ada}")
    account.search()
    stats = account.person("GET", "stats").json()
    assert stats["requests"] == {
        "GET /crm/v3/objects/contacts/{id}": 1,
        "POST /crm/v3/objects/contacts": 1,
        "POST /crm/v3/objects/contacts/search": 1,
    }
    assert (stats["totalRequests"], stats["writes"], stats["writesByKind"]) == (3, 1, {"create": 1})
    account.person("POST", "stats/reset")
    assert account.person("GET", "stats").json()["totalRequests"] == 0


def test_the_clock_is_moved_and_shows_in_answers(account: Account) -> None:
    """In the Date header too."""
    assert account.person("POST", "clock", {"advanceSeconds": 60}).json()["nowMs"] == NOW_MS + 60_000
    assert account.call("GET", "/account-info/v3/details").headers["Date"] == "Mon, 21 Sep 2026 14:14:20 GMT"
    assert account.person("POST", "clock", {"freeze": "2020-01-01T00:00:00Z"}).json()["nowMs"] == 1_577_836_800_000
    assert account.person("POST", "clock", {"freez": True}).status_code == 400


def test_the_page_lists_edits_merges_and_deletes(account: Account) -> None:
    """As a person would, with every value escaped."""
    account.session.mount("http://", account.session.get_adapter(BASE))
    ada = account.contact(firstname="<script>alert(1)</script>", email="ada@example.com")
    bob = account.contact(firstname="Bob", email="bob@example.com")
    home = account.session.get(f"{BASE}/_fake/")
    assert home.url == f"{BASE}/_fake/pages/contacts"
    assert "<script>" not in home.text
    assert "&lt;script&gt;" in home.text
    page = f"{BASE}/_fake/pages/contacts/{ada}"
    assert "ada@example.com" in account.session.get(page).text
    saved = account.session.post(page, data={"firstname": "Ada", "city": "one\r\ntwo"})
    assert saved.status_code == 200
    assert account.properties(ada, "firstname", "city") == {"firstname": "Ada", "city": "one\ntwo"}
    taken = account.session.post(page, data={"email": "bob@example.com"})
    assert taken.status_code == 409
    assert f"Existing ID: {bob}" in taken.text
    merged = account.session.post(page, data={"do": "merge", "objectIdToMerge": bob})
    survivor = merged.url.rsplit("/", 1)[1]
    assert account.ids() == [survivor]
    account.session.post(merged.url, data={"do": "archive"})
    assert account.ids() == []
    account.session.post(merged.url, data={"do": "restore"})
    assert account.ids() == [survivor]
    made = account.session.post(f"{BASE}/_fake/pages/contacts", data={"firstname": "Eve", "email": ""})
    assert account.ids() == [survivor, made.url.rsplit("/", 1)[1]]


def test_pages_of_other_sites_cannot_write_here(account: Account) -> None:
    """A foreign Origin is refused, the own one is not."""
    body = {"properties": {"firstname": "Ada"}}
    foreign = account.person("POST", "records", body, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert account.ids() == []
    assert account.person("POST", "records", body, headers={"Origin": BASE}).status_code == 201


def test_what_is_no_sense_at_the_back_door_is_refused(account: Account) -> None:
    """Never a 500."""
    for method, path, body in (
        ("POST", "bulk", {"records": 3}),
        ("POST", "bulk", {"records": [3]}),
        ("PATCH", "records/7", {}),
        ("POST", "restore", {}),
        ("POST", "settings", {"limits": "off"}),
        ("POST", "settings", {"searchLagSeconds": "long"}),
        ("GET", "records?after=x", None),
        ("GET", "nothing", None),
    ):
        assert account.person(method, path, body).status_code in (400, 404), path


def filled(path: Path) -> Account:
    """An account on disk with something of everything."""
    account = Account(data_path=path)
    make_property(account, "app_id", "string", unique=True)
    ids = [account.contact(email=f"{name}@x.example", firstname=name, app_id=name) for name in "abcd"]
    account.call("POST", "/crm/v3/objects/contacts/merge", {"primaryObjectId": ids[0], "objectIdToMerge": ids[1]})
    account.call("DELETE", f"/crm/v3/objects/contacts/{ids[2]}")
    account.call("POST", "/communication-preferences/v4/statuses/d@x.example/unsubscribe-all?channel=EMAIL")
    account.call("POST", "/crm/v3/objects/contacts/gdpr-delete", {"objectId": "z@x.example", "idProperty": "email"})
    company = account.call("POST", "/crm/v3/objects/companies", {"properties": {"name": "E"}}).json()["id"]
    account.call("PUT", f"/crm/v4/objects/contacts/{ids[3]}/associations/default/companies/{company}")
    account.person("POST", "tokens", {"token": "second", "scopes": ["oauth"]})
    return account


def picture(fake: HubSpotFake) -> dict[str, Any]:
    state = fake.state
    return {
        "records": {
            (type_id, id_): (r.properties, r.history, r.archived_ms, r.created_ms, r.updated_ms, links(r.links))
            for type_id, table in state.tables.items()
            for id_, r in table.records.items()
        },
        "ids": {type_id: table.ids for type_id, table in state.tables.items()},
        "unique": {type_id: table.unique for type_id, table in state.tables.items()},
        "aliases": {type_id: table.aliases for type_id, table in state.tables.items()},
        "rest": (state.next_id, state.blocked_emails, state.opt_outs, state.owners, state.journal),
        "properties": state.registry.definitions,
        "tokens": fake.grants,
    }


def links(found: dict[str, dict[int, set[int]]]) -> dict[str, dict[int, set[int]]]:
    return {type_id: others for type_id, others in found.items() if others}


def test_an_account_on_disk_comes_back_as_it_was(tmp_path: Path) -> None:
    """Without closing it first, twice over."""
    path = tmp_path / "account.data"
    first = filled(path)
    before = picture(first.fake)
    for _ in range(2):
        again = Account(data_path=path)
        assert picture(again.fake) == before
        again.fake.close()
    first.fake.close()


def test_a_line_cut_short_costs_only_that_write(tmp_path: Path) -> None:
    """The rest is there, and writing goes on."""
    path = tmp_path / "account.data"
    first = filled(path)
    kept = first.ids()
    first.contact(firstname="Last")
    first.fake.close()
    text = path.read_bytes()
    last_record = text.rindex(b'{"record"')
    path.write_bytes(text[: last_record + 40])
    second = Account(data_path=path)
    assert second.ids() == kept
    third_id = second.contact(firstname="Next")
    second.fake.close()
    third = Account(data_path=path)
    assert third.ids() == [*kept, third_id]
    third.fake.close()


def test_another_kind_of_file_is_left_alone(tmp_path: Path) -> None:
    """ValueError, and its content stays."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear Ada")
    with pytest.raises(ValueError, match=r"letter\.txt is not a file of this fake"):
        HubSpotFake(data_path=path)
    assert path.read_text() == "Dear Ada"


def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """The command in a process of its own, with a database address where nothing listens."""
    program = (
        "import django.conf, signal, sys; django.conf.settings.configure();"
        # A shell that runs the tests in the background has Ctrl-C ignored, and its children inherit that.
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from adsapp_crm.management.commands.crm_fake import Command;"
        "Command().run_from_argv(['manage.py', 'crm_fake', *sys.argv[1:]])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": "postgres://nobody@127.0.0.1:9/none"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.fullmatch(r"hubspot fake at (http://127\.0\.0\.1:\d+) \(records and switches: \1/_fake/\)\n", line)
    assert found is not None, line + (process.stderr.read() if process.stderr else "")
    return process, found.group(1)


def end(process: subprocess.Popen[str], how: signal.Signals) -> int:
    process.send_signal(how)
    process.communicate(timeout=20)
    return process.returncode


def test_the_command_serves_without_a_database_and_survives_a_kill(tmp_path: Path) -> None:
    """What was answered is there after kill -9; Ctrl-C ends it with 0."""
    options = ("hubspot", "--port", "0", "--data", str(tmp_path / "account.data"), "--token", "mine", "--seed", "7")
    headers = {"Authorization": "Bearer mine"}
    process, url = start(*options)
    body = {"inputs": [{"properties": {"email": f"p{n}@x.example"}} for n in range(100)]}
    made = requests.post(f"{url}/crm/v3/objects/contacts/batch/create", json=body, headers=headers, timeout=10)
    assert end(process, signal.SIGKILL) == -signal.SIGKILL
    process, url = start(*options, "--limits", "none", "--search-lag", "0")
    listed = requests.get(f"{url}/crm/v3/objects/contacts?limit=100", headers=headers, timeout=10).json()["results"]
    assert end(process, signal.SIGINT) == 0
    assert {row["id"] for row in listed} == {row["id"] for row in made.json()["results"]}
    assert len(listed) == 100


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--port", "{taken}", "Choose another one; 0 takes a free one"),
        ("--data", "{folder}/letter.txt", "letter.txt is not a file of this fake"),
        ("--data", "{folder}/none/account.data", "Choose a file in a folder that can be written"),
        ("--search-lag", "-1", "--search-lag: must not be negative"),
        ("--search-lag", "nan", "--search-lag: must not be negative"),
        ("--port", "99999", "--port: must be between 0 and 65535"),
        ("--pidfile", "{folder}/none/fake.pid", "--pidfile: there is no folder"),
    ],
)
def test_the_command_says_what_it_cannot_do(tmp_path: Path, option: str, value: str, told: str) -> None:
    """And starts nothing."""
    (tmp_path / "letter.txt").write_text("Dear Ada")
    with LoopbackServer(HubSpotFake()) as server:
        taken = server.url.rsplit(":", 1)[1]
        with pytest.raises(CommandError, match=re.escape(told)) as refused:
            call_command(Command(), "hubspot", option, value.format(taken=taken, folder=tmp_path))
    assert refused.value.returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_the_same_seed_makes_the_same_account() -> None:
    """Ids, order of results and correlation ids."""

    def run(seed: int) -> list[Any]:
        account = Account(seed=seed)
        body = {"inputs": [{"properties": {"email": f"p{n}@x.example"}} for n in range(10)]}
        answer = account.call("POST", "/crm/v3/objects/contacts/batch/create", body)
        return [answer.json(), answer.headers["X-HubSpot-Correlation-Id"], account.contact(firstname="x")]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_two_thousand_contacts_take_well_under_a_second() -> None:
    """Twenty pages of the list and twenty batches of changes, of the fake's own time."""
    account = Account()
    ids = account.person("POST", "bulk", {"records": [{"firstname": "P"}] * 2000}).json()["ids"]
    headers = {"Authorization": f"Bearer {DEFAULT_TOKEN}"}
    started = time.process_time()
    after, seen = "", 0
    while True:
        params = {"limit": "100", "after": after}
        page = account.session.get(f"{BASE}/crm/v3/objects/contacts", params=params, headers=headers).json()
        seen += len(page["results"])
        after = page.get("paging", {}).get("next", {}).get("after", "")
        if not after:
            break
    for first in range(0, 2000, 100):
        inputs = [{"id": id_, "properties": {"city": "Bonn"}} for id_ in ids[first : first + 100]]
        account.call("POST", "/crm/v3/objects/contacts/batch/update", {"inputs": inputs})
    assert seen == 2000
    assert time.process_time() - started < 2.0


def test_the_table_of_fakes_makes_them() -> None:
    """By provider key, with the options all of them take."""
    fake = FAKES["hubspot"](seed=1, token="t", limits="none", search_lag_seconds=0.0, data_path=None)
    assert isinstance(fake, HubSpotFake)
    with pytest.raises(ValueError, match="limits: 'off' is none of real, count, none"):
        FAKES["hubspot"](limits="off")
