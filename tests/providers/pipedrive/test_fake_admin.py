"""The back door: seeding, people's edits, the journal, switches, pages, the file."""

from __future__ import annotations

import json

import pytest
import requests

from crm.fakes import FAKES
from crm.providers.pipedrive.fake import DEFAULT_TOKEN, PipedriveFake
from crm.testing.wsgi import LoopbackServer
from tests.providers.pipedrive.fake_company import BASE, BOT, GRACE, NOW, Company


@pytest.fixture
def company():
    return Company()


def test_thousands_are_seeded_at_once_all_or_none(company) -> None:
    """A refused one is named by its place and nothing is made."""
    rows = [{"name": f"Person {number}", "emails": [{"value": f"p{number}@x.y"}]} for number in range(3000)]
    assert company.person("POST", "bulk", {"records": rows}).json()["ids"] == list(range(1, 3001))
    answer = company.person("POST", "bulk", {"records": [{"name": "Fine"}, {"name": ""}]})
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        "records[1]: Validation failed: name: must not be empty",
    )
    assert len(company.person("GET", "records").json()["results"]) == 3000
    made = {"properties": {"name": "Old"}, "at": "2020-01-01T00:00:00Z"}
    number = company.person("POST", "bulk", {"records": [made]}).json()["ids"][0]
    assert company.data("GET", f"/persons/{number}")["add_time"] == "2020-01-01T00:00:00Z"


def test_people_edit_delete_restore_and_merge(company) -> None:
    """As Grace, in the web application."""
    first = company.person("POST", "records", {"properties": {"name": "Eve"}}).json()["id"]
    second = company.person("POST", "records", {"properties": {"name": "Eva"}}).json()["id"]
    company.person("PATCH", f"records/{first}", {"properties": {"name": "Eve B"}})
    company.person("DELETE", f"records/{first}")
    assert company.ids() == [second]
    company.person("POST", "restore", {"id": first})
    company.person("POST", "merge", {"goneId": second, "keptId": first})
    assert company.ids() == [first]
    assert company.person("GET", f"records/{second}").json()["merged_into"] == first
    rows = company.person("GET", "journal").json()["results"]
    assert [row["op"] for row in rows] == ["create", "create", "update", "delete", "restore", "merge_away", "merge"]
    assert {(row["actor"]["source"], row["actor"]["userId"]) for row in rows} == {("app", GRACE)}
    assert company.person("GET", "journal", params={"after": 6}).json()["results"] == rows[6:]


def test_stats_count_the_writes_of_tokens_and_those_that_changed_nothing(company) -> None:
    person = company.add()
    company.data("PATCH", f"/persons/{person}", {"name": "Ada Lovelace"})
    company.person("PATCH", f"records/{person}", {"properties": {"name": "By hand"}})
    found = company.person("GET", "stats").json()
    assert found == {
        "requests": {"PATCH /api/v2/persons/{id}": 1, "POST /api/v2/persons": 1},
        "totalRequests": 2,
        "statuses": {"200": 2},
        "writes": 2,
        "noopWrites": 1,
        "writesByKind": {"create": 1},
        "limitViolations": {},
        "answered429": 0,
        "tokensSpent": 10,
        "tokensSpentToday": 0,
        "faults": {},
    }
    company.person("POST", "stats/reset")
    assert company.person("GET", "stats").json()["totalRequests"] == 0


def test_a_workflow_rewrites_what_was_just_written() -> None:
    """The answer shows what was sent; the record and its history what the workflow made of it."""
    company = Company(automation={"name": "title_case", "phones": "digits"})
    answer = company.data("POST", "/persons", {"name": "ada lovelace", "phones": [{"value": "+34 (600) 1"}]})
    assert (answer["name"], answer["update_time"]) == ("ada lovelace", None)
    found = company.data("GET", f"/persons/{answer['id']}")
    assert (found["name"], found["last_name"], found["phones"][0]["value"]) == ("Ada Lovelace", "Lovelace", "+346001")
    assert found["update_time"] == NOW
    rows = company.person("GET", "journal").json()["results"]
    assert [(row["op"], row["actor"]["source"]) for row in rows] == [("create", "api"), ("automation", "automation")]


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        ("settings", {"speed": 1}, "unknown setting 'speed'"),
        ("settings", {"limits": "off"}, "limits must be one of real, count, none"),
        ("settings", {"automation": {"name": "reverse"}}, "automation of name: 'reverse' is none of title_case"),
        ("clock", {"jump": 1}, "unknown clock setting 'jump'"),
        ("faults", {"kind": "sad"}, "kind: 'sad' is none of"),
        ("faults", {"kind": "locked"}, "kind: there is no answer of the kind 'locked'"),
        ("webhooks", {"speed": 1}, "unknown webhook setting 'speed'"),
        ("records", {"objectType": "contacts", "properties": {}}, "objectType: 'contacts' is none of persons"),
        ("tokens", {"userId": 7}, "there is no user 7"),
        ("restore", {"id": "x"}, "Person not found"),
    ],
)
def test_a_wrong_switch_is_refused_and_says_why(company, path, body, error) -> None:
    before = company.person("GET", "settings").json()
    answer = company.person("POST", path, body)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"].startswith(error)
    assert company.person("GET", "settings").json() == before


def test_other_sites_pages_may_not_write_through_the_back_door(company) -> None:
    answer = company.person("POST", "bulk", {"records": [{"name": "X"}]}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert company.ids() == []


def test_a_person_is_looked_at_and_edited_by_hand(company) -> None:
    """List, record page, save, refusal, delete and restore, with text escaped."""
    code = company.field("varchar", name="App <id>")
    person = company.add(name="<b>Ada</b> L", custom_fields={code: "c-1"})
    home = company.session.get(f"{BASE}/_fake")
    assert home.url == f"{BASE}/_fake/pages/persons"
    assert "<b>Ada" not in home.text
    page = f"{BASE}/_fake/pages/persons/{person}"
    assert "App &lt;id&gt;" in company.session.get(page).text
    form = {"first_name": "Ada", "last_name": "King", "emails": "ada@x.y, b@x.y", f"custom.{code}": "c-2", "org_id": ""}
    company.session.post(page, data=form)
    found = company.data("GET", f"/persons/{person}")
    assert (found["name"], found["custom_fields"]) == ("Ada King", {code: "c-2"})
    assert [each["value"] for each in found["emails"]] == ["ada@x.y", "b@x.y"]
    refused = company.session.post(page, data={"owner_id": "7"})
    assert (refused.status_code, "User not found" in refused.text) == (400, True)
    company.session.post(page, data={"do": "delete"})
    assert company.ids() == []
    company.session.post(page, data={"do": "restore"})
    assert company.ids() == [person]
    made = company.session.post(f"{BASE}/_fake/pages/organizations", data={"name": "Acme"})
    assert made.url == f"{BASE}/_fake/pages/organizations/1"


def test_the_company_survives_a_restart_and_a_line_cut_short(tmp_path) -> None:
    """Records, fields, options, subscriptions, tokens, journal and counters are read back."""
    path = tmp_path / "company.jsonl"
    first = Company(data_path=path)
    code, (spanish, _) = first.field("enum", "es", "en")
    kept, gone = first.add(custom_fields={code: spanish}), first.add()
    first.data("PATCH", f"/persons/{kept}", {"name": "Ada B"})
    first.data("DELETE", f"/persons/{gone}")
    first.data("POST", "/v1/notes", {"content": "x", "person_id": kept})
    token = first.person("POST", "tokens", {}).json()["token"]
    hook = {"name": "S", "subscription_url": "https://app.example/x", "event_action": "*", "event_object": "deal"}
    first.call("POST", "/v1/webhooks", hook)
    shown, journal = first.data("GET", f"/persons/{kept}"), first.fake.state.journal
    first.fake.close()
    with path.open("a") as file:
        file.write('{"record": ["person", 9')
    second = Company(data_path=path)
    assert second.data("GET", f"/persons/{kept}", token=token) == shown
    assert second.ids() == [kept]
    assert second.fake.state.journal == json.loads(json.dumps(journal))
    assert len(second.data("GET", "/v1/webhooks")) == 1
    assert len(second.data("GET", f"/v1/persons/{kept}/changelog")) == 2
    assert second.add() == gone + 1
    assert second.field("enum", "x", name="B")[1] == [spanish + 2]
    second.fake.close()


def test_a_file_of_another_kind_is_refused(tmp_path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello\n")
    with pytest.raises(ValueError, match=r"notes\.txt is not a file of this fake"):
        PipedriveFake(data_path=path)
    assert path.read_text() == "hello\n"


def test_it_is_a_real_server_and_registered() -> None:
    """Over a socket, with the options that every fake takes; the token names the host that was asked."""
    fake = FAKES["pipedrive"](seed=1, token="t", limits="none", search_lag_seconds=0.0, data_path=None)
    with LoopbackServer(fake) as server:
        answer = requests.get(f"{server.url}/v1/users/me", headers={"x-api-token": "t"}, timeout=10)
        assert answer.json()["data"]["id"] == BOT
        app = fake.oauth.app
        code = requests.post(f"{server.url}/_fake/codes", json={"redirectUri": "https://a.b"}, timeout=10).json()
        form = {"grant_type": "authorization_code", "redirect_uri": "https://a.b", **code}
        found = requests.post(
            f"{server.url}/oauth/token", data=form, auth=(app.client_id, app.client_secret), timeout=10
        )
        assert found.json()["api_domain"] == server.url
    fake.close()


@pytest.mark.parametrize("options", [{"limits": "off"}, {"plan": "gold"}])
def test_an_option_that_does_not_exist_is_refused(options) -> None:
    with pytest.raises(ValueError, match="is none of"):
        PipedriveFake(token=DEFAULT_TOKEN, **options)


def test_fields_users_tokens_and_the_clock_have_doors(company) -> None:
    made = company.person("POST", "fields", {"name": "Language", "type": "enum", "options": ["es", "en"]}).json()
    assert [option["label"] for option in made["options"]] == ["es", "en"]
    assert company.person("DELETE", f"fields/{made['code']}").status_code == 204
    assert company.person("DELETE", f"fields/{made['code']}").status_code == 404
    user = company.person("POST", "users", {"name": "Eve", "email": "eve@acme.test"}).json()
    token = company.person("POST", "tokens", {"userId": user["id"], "expiresIn": 60}).json()["token"]
    assert company.call("GET", "/v1/users/me", token=token).json()["data"]["email"] == "eve@acme.test"
    assert company.person("POST", "clock", {"advanceSeconds": 60}).json()["now"] == "2026-09-21T14:14:20.000Z"
    assert company.call("GET", "/v1/users/me", token=token).status_code == 401
    assert company.person("DELETE", f"tokens/{company.fake.token}").status_code == 204
    assert company.call("GET", "/v1/users/me").status_code == 401
    assert company.person("POST", "clock", {"run": True}).json()["frozen"] is False
    frozen = company.person("POST", "clock", {"freeze": "2030-01-01T00:00:00Z"}).json()
    assert (frozen["frozen"], frozen["now"]) == (True, "2030-01-01T00:00:00.000Z")


def test_every_setting_can_be_changed_and_read_back(company) -> None:
    wanted = {
        "searchLagSeconds": 1.5,
        "limits": "count",
        "dailyTokens": 100,
        "burst": 5,
        "automation": {"name": "upper"},
        "contactSync": True,
        "unknownKeys": "ignore",
        "limitOverMax": "clamp",
        "deltaShowsNew": True,
        "listLagSeconds": 0.5,
        "v1Records": "off",
        "queryToken": "nowhere",
        "companyOpen": False,
        "tokenSeconds": 60,
        "rotateRefreshTokens": True,
    }
    assert set(company.person("GET", "settings").json()) == set(wanted)
    assert company.person("POST", "settings", wanted).json() == wanted


def test_unconfirmed_strictness_can_be_loosened(company) -> None:
    """Unknown keys are dropped instead of refused; a limit that is too high is cut."""
    company.person("POST", "settings", {"unknownKeys": "ignore", "limitOverMax": "clamp"})
    found = company.data("POST", "/persons", {"name": "Ada", "favourite": 1})
    assert "favourite" not in found
    assert company.ids(limit=9999) == [1]


def test_faults_are_listed_counted_and_cleared(company) -> None:
    company.person("POST", "faults", [{"kind": "unauthorized", "times": 2}, {"kind": "slow", "seconds": 0}])
    assert company.call("GET", "/persons").status_code == 401
    found = company.person("GET", "faults").json()
    assert ([fault["kind"] for fault in found["faults"]], found["given"]) == (
        ["unauthorized", "slow"],
        {"unauthorized": 1},
    )
    assert company.person("DELETE", "faults").status_code == 204
    assert company.call("GET", "/persons").status_code == 200
