"""Version 1: persons as they were, notes, users, merges, the feed of changes."""

from __future__ import annotations

import pytest

from tests.providers.pipedrive.fake_company import BASE, BOT, GRACE, NOW_V1, Company

INFO = "Please check developers.pipedrive.com"


@pytest.fixture
def company():
    return Company()


def test_a_person_of_version_1_has_objects_flags_and_lists_of_its_own(company) -> None:
    """201, ids as objects with ``value``, empty lists with one empty entry, the old names."""
    org = company.data("POST", "/v1/organizations", {"name": "Acme"})["id"]
    answer = company.call("POST", "/v1/persons", {"name": "Ana Lopez", "email": "ana@acme.test", "org_id": str(org)})
    assert answer.status_code == 201
    found = answer.json()["data"]
    assert found["owner_id"]["value"] == BOT
    assert (found["org_id"]["value"], found["org_id"]["people_count"], found["org_name"]) == (org, 1, "Acme")
    assert found["email"] == [{"label": "work", "value": "ana@acme.test", "primary": True}]
    assert found["phone"] == [{"value": "", "primary": True}]
    assert (found["active_flag"], found["visible_to"], found["label"]) == (True, "3", None)
    assert (found["add_time"], found["update_time"]) == (NOW_V1, NOW_V1)
    assert answer.json()["related_objects"]["organization"][str(org)]["name"] == "Acme"


def test_version_1_takes_numbers_as_text_and_ignores_what_it_does_not_know(company) -> None:
    found = company.data("POST", "/v1/persons", {"name": "A", "owner_id": str(GRACE), "emails": [{"value": "x"}]})
    assert found["owner_id"]["value"] == GRACE
    assert found["email"] == [{"value": "", "primary": True}]


def test_a_refusal_of_version_1_has_its_own_body(company) -> None:
    answer = company.call("POST", "/v1/persons", {"name": "A", "owner_id": 7})
    assert (answer.status_code, answer.json()) == (
        400,
        {
            "success": False,
            "error": "owner_id: User not found or not accessible.",
            "error_info": INFO,
            "data": None,
            "additional_data": None,
        },
    )
    answer = company.call("GET", "/v1/persons/99")
    assert (answer.status_code, answer.json()) == (
        404,
        {
            "success": False,
            "error": "Person not found",
            "error_info": "Object was not found.",
            "data": None,
            "additional_data": None,
        },
    )


def test_pages_of_version_1_go_by_start(company) -> None:
    """``next_start`` is there only when there is more; an empty page is null."""
    for _ in range(3):
        company.add()
    body = company.call("GET", "/api/v1/persons", params={"limit": 2}).json()
    assert body["additional_data"]["pagination"] == {
        "start": 0,
        "limit": 2,
        "more_items_in_collection": True,
        "next_start": 2,
    }
    body = company.call("GET", "/v1/persons", params={"start": 2, "limit": 2}).json()
    assert body["additional_data"]["pagination"] == {"start": 2, "limit": 2, "more_items_in_collection": False}
    assert company.call("GET", "/v1/persons", params={"start": 9}).json()["data"] is None


def test_version_1_sorts_by_several_fields_and_knows_no_delta(company) -> None:
    """``updated_since`` is ignored there."""
    for name in ("B", "A", "B"):
        company.add(name=name)
    assert company.ids("/v1/persons", sort="name ASC, id DESC") == [2, 3, 1]
    assert company.ids("/v1/persons", updated_since="2030-01-01T00:00:00Z") == [1, 2, 3]


def test_the_second_deletion_is_410_and_a_success_and_put_brings_back(company) -> None:
    """As recorded; only version 1 can undo a deletion."""
    person = company.add()
    assert company.call("DELETE", f"/v1/persons/{person}").status_code == 200
    answer = company.call("DELETE", f"/v1/persons/{person}")
    assert (answer.status_code, answer.json()) == (410, {"success": True, "data": {"id": person}})
    assert company.data("GET", f"/v1/persons/{person}")["active_flag"] is False
    company.data("PUT", f"/v1/persons/{person}", {"active_flag": True})
    assert company.data("GET", f"/persons/{person}")["is_deleted"] is False


def test_withdrawn_paths_can_be_switched_off(company) -> None:
    """410 on those, while notes, users and webhooks go on."""
    off = Company(v1_records=False)
    answer = off.call("GET", "/v1/persons")
    assert (answer.status_code, answer.json()) == (410, {"success": False, "error": "Gone"})
    assert off.call("GET", "/v1/users").status_code == 200
    assert off.call("GET", "/v1/notes").status_code == 200


def test_the_token_says_whose_it_is_and_which_company(company) -> None:
    found = company.data("GET", "/v1/users/me")
    assert (found["id"], found["company_id"], found["company_domain"]) == (BOT, 15_043_420, "acme")
    assert [user["is_you"] for user in company.data("GET", "/v1/users")] == [True, False, False]
    by_email = {"term": "grace@acme.test", "search_by_email": "1"}
    assert [user["id"] for user in company.data("GET", "/v1/users/find", params=by_email)] == [GRACE]


def test_a_note_needs_content_and_something_to_belong_to(company) -> None:
    """201; scripts are taken out of its HTML; deleting answers true, and a change afterwards still works."""
    person = company.add()
    answer = company.call("POST", "/v1/notes", {"content": "Hi"})
    assert answer.status_code == 400
    assert (
        answer.json()["error"]
        == "Note must be associated with at least one organization, person, deal, lead or project."
    )
    content = "<b onclick='x()'>Called</b><script>bad()</script>"
    answer = company.call("POST", "/v1/notes", {"content": content, "person_id": person})
    assert (answer.status_code, answer.json()) == (
        201,
        {
            "success": True,
            "data": {
                "id": 1,
                "user_id": BOT,
                "deal_id": None,
                "person_id": person,
                "org_id": None,
                "lead_id": None,
                "content": "<b>Called</b>",
                "add_time": NOW_V1,
                "update_time": NOW_V1,
                "active_flag": True,
                "pinned_to_person_flag": False,
                "pinned_to_organization_flag": False,
                "pinned_to_deal_flag": False,
                "last_update_user_id": None,
                "organization": None,
                "person": {"name": "Ada Lovelace"},
                "deal": None,
                "lead": None,
                "user": {"email": "bot@acme.test", "name": "Sync Bot", "icon_url": None, "is_you": True},
            },
        },
    )
    assert company.ids("/v1/notes", person_id=str(person)) == [1]
    assert company.call("DELETE", "/v1/notes/1").json() == {"success": True, "data": True}
    assert company.data("PUT", "/v1/notes/1", {"content": "late"})["active_flag"] is False
    assert company.call("GET", "/v1/notes").json()["data"] is None


def test_merging_keeps_the_named_person_and_fills_its_blanks(company) -> None:
    """The one in the path disappears; addresses unite, notes and deals move over."""
    code = company.field("varchar")
    kept = company.add(name="Ada King", emails=[{"value": "ada@x.y"}], custom_fields={code: "kept"})
    gone = company.add(
        name="Ada L",
        emails=[{"value": "ADA@x.y"}, {"value": "other@x.y"}],
        phones=[{"value": "1"}],
        custom_fields={code: "gone"},
    )
    company.data("POST", "/v1/notes", {"content": "x", "person_id": gone})
    answer = company.data("PUT", f"/v1/persons/{gone}/merge", {"merge_with_id": kept})
    assert (answer["id"], answer["merge_what_id"], answer["owner_id"]) == (kept, gone, BOT)
    found = company.data("GET", f"/persons/{kept}")
    assert (found["name"], found["custom_fields"]) == ("Ada King", {code: "kept"})
    assert found["emails"] == [
        {"value": "ada@x.y", "primary": True, "label": "work"},
        {"value": "other@x.y", "primary": False, "label": "work"},
    ]
    assert found["phones"] == [{"value": "1", "primary": True, "label": "work"}]
    assert company.ids("/v1/notes", person_id=str(kept)) == [1]
    assert company.ids() == [kept]
    assert company.data("GET", f"/persons/{gone}")["is_deleted"] is True


def test_a_merge_with_itself_or_with_nobody_changes_nothing(company) -> None:
    person = company.add()
    assert company.call("PUT", f"/v1/persons/{person}/merge", {"merge_with_id": person}).status_code == 400
    assert company.call("PUT", f"/v1/persons/{person}/merge", {"merge_with_id": 99}).status_code == 404
    assert company.ids() == [person]


def test_recents_show_deletions_for_a_month(company) -> None:
    """The only feed that does; older history is cut off without a word."""
    kept, gone = company.add(), company.add()
    company.data("DELETE", f"/persons/{gone}")
    query = {"since_timestamp": "2026-01-01 00:00:00", "items": "person"}
    rows = company.data("GET", "/v1/recents", params=query)
    assert [(row["item"], row["id"], row["data"]["active_flag"]) for row in rows] == [
        ("person", kept, True),
        ("person", gone, False),
    ]
    company.clock.advance(32 * 86_400)
    assert company.call("GET", "/v1/recents", params=query).json()["data"] is None
    assert company.call("GET", "/v1/recents", params={"since_timestamp": "yesterday"}).status_code == 400


def test_the_changelog_names_who_changed_what_and_with_which_client(company) -> None:
    person = company.add()
    company.call("PATCH", f"/persons/{person}", {"name": "Ada B"}, headers={"User-Agent": "sync/1.0"})
    company.person("PATCH", f"records/{person}", {"properties": {"name": "Ada C"}})
    rows = company.data("GET", f"/v1/persons/{person}/changelog")
    shown = [
        (row["field_key"], row["old_value"], row["new_value"], row["actor_user_id"], row["change_source"])
        for row in rows
    ]
    assert shown == [
        ("last_name", "B", "C", GRACE, "app"),
        ("name", "Ada B", "Ada C", GRACE, "app"),
        ("last_name", "Lovelace", "B", BOT, "api"),
        ("name", "Ada Lovelace", "Ada B", BOT, "api"),
    ]
    assert rows[-1]["change_source_user_agent"] == "sync/1.0"


PASSES = [
    ("organizations", {"name": "Acme", "address": "Main St 1", "address_locality": "Bonn"}, {"name": "Acme Ltd"}),
    ("deals", {"title": "Big", "value": "100.5", "person_id": "1", "label": ""}, {"title": "Bigger"}),
    ("activities", {"subject": "Call", "type": "call", "person_id": "1", "done": "1"}, {"subject": "Call back"}),
]


@pytest.mark.parametrize(("plural", "body", "change"), PASSES, ids=[plural for plural, _, _ in PASSES])
def test_each_type_of_version_1_is_made_read_changed_and_deleted(company, plural, body, change) -> None:
    company.add()
    made = company.data("POST", f"/v1/{plural}", body)
    assert company.data("GET", f"/v1/{plural}/{made['id']}") == made
    assert company.ids(f"/v1/{plural}") == [made["id"]]
    company.clock.advance(60)
    changed = company.data("PUT", f"/v1/{plural}/{made['id']}", change)
    assert {name: changed[name] for name in change} == change
    assert changed["update_time"] == "2026-09-21 14:14:20"
    assert company.data("DELETE", f"/v1/{plural}/{made['id']}") == {"id": made["id"]}
    assert company.ids(f"/{plural}") == []


def test_the_types_of_version_1_show_what_they_point_at(company) -> None:
    """Numbers sent as text arrive as numbers; addresses are flat."""
    company.add(phones=[{"value": "1"}])
    for plural, body, _ in PASSES:
        company.data("POST", f"/v1/{plural}", body)
    organization = company.data("GET", "/v1/organizations/1")
    assert (organization["address"], organization["address_locality"]) == ("Main St 1", "Bonn")
    deal = company.data("GET", "/v1/deals/1")
    assert (deal["value"], deal["person_id"]["value"], deal["person_name"]) == (100.5, 1, "Ada Lovelace")
    activity = company.data("GET", "/v1/activities/1")
    assert (activity["done"], activity["person_id"]) == (True, 1)
    assert activity["participants"] == [{"person_id": 1, "primary_flag": True}]


def test_a_form_is_a_body_too(company) -> None:
    """Version 1 only; everything in it is text."""
    answer = company.session.post(
        f"{BASE}/v1/persons",
        data={"name": "Ana", "phone": "+34 600", "visible_to": "1"},
        headers={"x-api-token": company.fake.token},
    )
    assert answer.status_code == 201
    found = company.data("GET", "/persons/1")
    assert (found["phones"][0]["value"], found["visible_to"]) == ("+34 600", 1)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("a@x.y", [("a@x.y", True, "work")]),
        (["a@x.y", "b@x.y", ""], [("a@x.y", True, "work"), ("b@x.y", False, "work")]),
        (
            [{"value": "a@x.y", "label": "home"}, {"value": "b@x.y", "primary": "1"}],
            [("a@x.y", False, "home"), ("b@x.y", True, "work")],
        ),
        (None, []),
    ],
)
def test_version_1_takes_addresses_in_every_form(company, sent, stored) -> None:
    company.data("POST", "/v1/persons", {"name": "Ana", "email": sent})
    found = company.data("GET", "/persons/1")["emails"]
    assert [(each["value"], each["primary"], each["label"]) for each in found] == stored


def test_one_part_of_a_name_changes_alone_in_version_1(company) -> None:
    """Where version 2 wants both; a whole name sent along wins over the parts."""
    person = company.add()
    found = company.data("PUT", f"/v1/persons/{person}", {"last_name": "King"})
    assert (found["name"], found["first_name"], found["last_name"]) == ("Ada King", "Ada", "King")
    found = company.data("PUT", f"/v1/persons/{person}", {"name": "Grace Hopper", "first_name": "Ada"})
    assert (found["name"], found["first_name"]) == ("Grace Hopper", "Grace")


def test_fields_of_version_1_are_made_read_and_deleted_by_number(company) -> None:
    made = company.data("POST", "/v1/dealFields", {"name": "Source", "field_type": "varchar"})
    assert (made["edit_flag"], len(made["key"])) == (True, 40)
    assert company.data("GET", f"/v1/dealFields/{made['id']}")["name"] == "Source"
    body = company.call("GET", "/v1/dealFields", params={"limit": 5}).json()
    assert body["additional_data"] == {"start": 0, "limit": 5, "more_items_in_collection": True, "next_start": 5}
    assert company.data("DELETE", f"/v1/dealFields/{made['id']}") == {"id": made["id"]}
    assert company.call("GET", f"/v1/dealFields/{made['id']}").status_code == 404
    built_in = company.data("GET", "/v1/dealFields")[0]["id"]
    assert company.call("DELETE", f"/v1/dealFields/{built_in}").status_code == 403


def test_users_and_activity_types_are_read(company) -> None:
    assert company.data("GET", f"/v1/users/{GRACE}")["email"] == "grace@acme.test"
    assert company.call("GET", "/v1/users/7").status_code == 404
    kinds = [kind["key_string"] for kind in company.data("GET", "/v1/activityTypes")]
    assert kinds == ["call", "meeting", "task", "deadline", "email", "lunch"]


def test_notes_are_found_by_time_and_take_a_writer_and_a_date(company) -> None:
    person = company.add()
    old = {"content": "old", "person_id": person, "user_id": GRACE, "add_time": "2020-01-01 10:00:00"}
    company.data("POST", "/v1/notes", old)
    company.data("POST", "/v1/notes", {"content": "new", "person_id": person})
    assert company.data("GET", "/v1/notes/1")["user"]["name"] == "Grace Hopper"
    assert company.ids("/v1/notes", updated_since="2026-01-01T00:00:00Z") == [2]
    assert company.ids("/v1/notes", sort="update_time DESC") == [2, 1]
    for change, error in (({"person_id": 9}, "Person not found"), ({"user_id": 9}, "User not found")):
        answer = company.call("POST", "/v1/notes", {**old, **change})
        assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert company.ids("/v1/notes") == [1, 2]
