"""Persons, organizations, deals and activities of version 2: bodies as they are answered."""

from __future__ import annotations

import base64
import json

import pytest

from tests.providers.pipedrive.fake_company import ALAN, BOT, GRACE, NOW, Company, refused


@pytest.fixture
def company():
    return Company()


def test_a_new_person_has_no_update_time_and_no_custom_fields(company) -> None:
    """The whole body of a create, in a company without custom fields."""
    answer = company.call("POST", "/persons", {"name": "Ana Maria Lopez", "emails": [{"value": "ana@acme.test"}]})
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "success": True,
            "data": {
                "id": 1,
                "name": "Ana Maria Lopez",
                "first_name": "Ana",
                "last_name": "Maria Lopez",
                "owner_id": BOT,
                "org_id": None,
                "emails": [{"value": "ana@acme.test", "primary": True, "label": "work"}],
                "phones": [],
                "visible_to": 3,
                "label_ids": [],
                "picture_id": None,
                "add_time": NOW,
                "update_time": None,
                "is_deleted": False,
                "custom_fields": None,
            },
        },
    )


def test_update_time_is_set_by_the_first_change_only(company) -> None:
    """Null until then, whole seconds, and a write of the same values does not move it."""
    person = company.add()
    company.clock.advance(61.7)
    assert company.data("PATCH", f"/persons/{person}", {"name": "Ada L"})["update_time"] == "2026-09-21T14:14:21Z"
    company.clock.advance(60)
    assert company.data("PATCH", f"/persons/{person}", {"name": "Ada L"})["update_time"] == "2026-09-21T14:14:21Z"
    assert company.fake.stats()["noopWrites"] == 1


@pytest.mark.parametrize(
    ("body", "name", "first", "last"),
    [
        ({"name": "Jane Smith Updated"}, "Jane Smith Updated", "Jane", "Smith Updated"),
        ({"name": "Madonna"}, "Madonna", "Madonna", None),
        ({"first_name": "Ana", "last_name": "Lopez"}, "Ana Lopez", "Ana", "Lopez"),
        ({"first_name": "", "last_name": "Lopez"}, "Lopez", None, "Lopez"),
    ],
)
def test_names_follow_from_each_other(company, body, name, first, last) -> None:
    """A whole name is split at its first space; two parts make the whole."""
    found = company.data("POST", "/persons", body)
    assert (found["name"], found["first_name"], found["last_name"]) == (name, first, last)


@pytest.mark.parametrize(
    ("body", "name", "reason"),
    [
        ({}, "name", "is required"),
        ({"name": " "}, "name", "must not be empty"),
        ({"first_name": "Ana"}, "first_name", "first_name and last_name must be given together"),
        ({"name": "A", "owner_id": 7}, "owner_id", "User not found or not accessible."),
        ({"name": "A", "owner_id": str(BOT)}, "owner_id", "must be an integer"),
        ({"name": "A", "org_id": 9}, "org_id", "Organization not found or not accessible."),
        ({"name": "A", "emails": "a@b.c"}, "emails", "must be an array"),
        ({"name": "A", "emails": [{"value": "a", "primary": 1}]}, "emails", "[0].primary must be a boolean"),
        (
            {"name": "A", "emails": [{"value": "a", "primary": True}, {"value": "b", "primary": True}]},
            "emails",
            "only one item can be primary",
        ),
        ({"name": "A", "label_ids": [1]}, "label_ids", "label 1 does not exist"),
        ({"name": "A", "visible_to": "3"}, "visible_to", "must be an integer"),
        ({"name": "A", "update_time": NOW}, "update_time", "is not allowed"),
        ({"name": "A", "is_deleted": True}, "is_deleted", "is not allowed"),
        ({"name": "A", "email": []}, "email", "is not allowed"),
        ({"name": "A", "custom_fields": {"abc": 1}}, "custom_fields.abc", "is not allowed"),
        (
            {"name": "A", "add_time": "2026-01-01 10:00:00"},
            "add_time",
            "must be a date-time in RFC 3339 format without fractional seconds",
        ),
    ],
)
def test_a_refused_body_names_the_field_and_makes_nothing(company, body, name, reason) -> None:
    """400 with the field in the text, as recorded; no person is there afterwards."""
    answer = company.call("POST", "/persons", body)
    assert (answer.status_code, answer.json()) == (400, refused(name, reason))
    assert company.ids() == []
    assert company.fake.state.journal == []


def test_contact_sync_fields_are_refused_until_it_is_set_up(company) -> None:
    """403 without, values and field definitions with it."""
    answer = company.call("POST", "/persons", {"name": "Ada", "job_title": "Countess"})
    assert (answer.status_code, answer.json()["error"]) == (
        403,
        "Field job_title is not available: Contact Sync is not set up",
    )
    synced = Company(contact_sync=True)
    found = synced.data("POST", "/persons", {"name": "Ada", "job_title": "Countess", "birthday": "1815-12-10"})
    assert (found["job_title"], found["birthday"], found["im"], found["notes"]) == ("Countess", "1815-12-10", [], None)
    assert "job_title" in [each["field_code"] for each in synced.data("GET", "/personFields")]


def test_a_sent_list_replaces_the_stored_one(company) -> None:
    """E-mails are not merged, not checked and not unique; the first one becomes primary."""
    person = company.add(emails=[{"value": "a@x.y"}, {"value": "b@x.y", "label": "home"}])
    found = company.data("PATCH", f"/persons/{person}", {"emails": [{"value": "no address", "label": ""}]})
    assert found["emails"] == [{"value": "no address", "primary": True, "label": ""}]
    twin = company.add(emails=[{"value": "no address"}])
    assert company.ids() == [person, twin]
    assert company.data("PATCH", f"/persons/{person}", {"emails": []})["emails"] == []


def test_pages_follow_the_cursor_to_the_end(company) -> None:
    """Seven rows in pages of three; the cursor is base64url JSON as in the documentation, the last one null."""
    wanted = [company.add() for _ in range(7)]
    found, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        query = {"limit": 3, **({"cursor": cursor} if cursor else {})}
        body = company.call("GET", "/persons", params=query).json()
        found += [row["id"] for row in body["data"]]
        cursor, pages = body["additional_data"]["next_cursor"], pages + 1
        if pages == 1:
            place = json.loads(base64.urlsafe_b64decode(cursor + "=="))
            assert place == {"field": "id", "fieldValue": 3, "sortDirection": "asc", "id": 3}
    assert (found, pages) == (wanted, 3)


def test_a_walk_by_update_time_loses_no_row_that_stays_and_no_tie(company) -> None:
    """Equal stamps are walked by id; a row edited meanwhile moves to the end and comes again."""
    for _ in range(6):
        company.add()
    company.clock.advance(10)
    for person in range(1, 7):
        company.data("PATCH", f"/persons/{person}", {"name": f"Changed {person}"})
    query = {"sort_by": "update_time", "updated_since": NOW, "limit": 4}
    first = company.call("GET", "/persons", params=query).json()
    company.clock.advance(5)
    company.data("PATCH", "/persons/2", {"name": "Again"})
    cursor = first["additional_data"]["next_cursor"]
    second = company.call("GET", "/persons", params={**query, "cursor": cursor}).json()
    assert [row["id"] for row in first["data"]] == [1, 2, 3, 4]
    assert [row["id"] for row in second["data"]] == [5, 6, 2]
    assert second["additional_data"] == {"next_cursor": None}


def test_the_other_direction_walks_back(company) -> None:
    """Descending pages, nulls last."""
    for _ in range(3):
        company.add()
    company.clock.advance(5)
    company.data("PATCH", "/persons/2", {"name": "Newest"})
    query = {"sort_by": "update_time", "sort_direction": "desc", "limit": 2}
    first = company.call("GET", "/persons", params=query).json()
    cursor = first["additional_data"]["next_cursor"]
    assert [row["id"] for row in first["data"]] == [2, 3]
    assert company.ids(**query, cursor=cursor) == [1]


@pytest.mark.parametrize(
    ("query", "name", "reason"),
    [
        ({"limit": "501"}, "limit", "must be less than or equal to 500"),
        ({"limit": "0"}, "limit", "must be a positive integer"),
        ({"sort_by": "name"}, "sort_by", "must be one of [id, update_time, add_time]"),
        ({"cursor": "rubbish"}, "cursor", "is invalid"),
        ({"ids": ",".join(map(str, range(101)))}, "ids", "must contain at most 100 ids"),
        ({"include_fields": "custom_fields"}, "include_fields", None),
        (
            {"updated_since": "2026-01-01T10:00:00.000Z"},
            "updated_since",
            "must be a date-time in RFC 3339 format without fractional seconds",
        ),
    ],
)
def test_a_refused_list_says_why(company, query, name, reason) -> None:
    """400 and the parameter's name."""
    answer = company.call("GET", "/persons", params=query)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"Validation failed: {name}: {reason or ''}")


def test_a_cursor_of_another_order_is_refused(company) -> None:
    """The other parameters must stay the same on every page."""
    for _ in range(2):
        company.add()
    cursor = company.call("GET", "/persons", params={"limit": 1}).json()["additional_data"]["next_cursor"]
    answer = company.call("GET", "/persons", params={"cursor": cursor, "sort_by": "add_time"})
    assert (answer.status_code, answer.json()) == (400, refused("cursor", "is invalid"))


def test_an_unknown_parameter_is_ignored_silently(company) -> None:
    """A typo turns a delta into a full scan."""
    person = company.add()
    assert company.ids(updated_sinse="2030-01-01T00:00:00Z") == [person]


def test_delta_is_inclusive_below_and_exclusive_above(company) -> None:
    """``updated_since`` keeps the boundary second, ``updated_until`` does not; never-edited rows follow the switch."""
    edited, fresh = company.add(), company.add()
    company.data("PATCH", f"/persons/{edited}", {"name": "Ada B"})
    later = "2026-09-21T14:13:21Z"
    assert company.ids(updated_since=NOW) == [edited]
    assert company.ids(updated_since=later) == []
    assert company.ids(updated_until=NOW) == []
    assert company.ids(updated_until=later) == [edited]
    company.person("POST", "settings", {"deltaShowsNew": True})
    assert company.ids(updated_since=NOW) == [edited, fresh]


def test_deletion_is_soft_and_invisible_to_lists(company) -> None:
    """Reading one still answers, deleting or changing again does not, thirty days later nothing does."""
    person = company.add()
    company.clock.advance(3)
    answer = company.call("DELETE", f"/persons/{person}")
    assert (answer.status_code, answer.json()) == (200, {"success": True, "data": {"id": person}})
    found = company.data("GET", f"/persons/{person}")
    assert (found["is_deleted"], found["update_time"]) == (True, "2026-09-21T14:13:23Z")
    assert company.ids() == company.ids(ids=str(person)) == company.ids(updated_since=NOW) == []
    missing = {"success": False, "error": "Person not found", "code": "ERR_NOT_FOUND"}
    for method, body in (("DELETE", None), ("PATCH", {"name": "Back"})):
        answer = company.call(method, f"/persons/{person}", body)
        assert (answer.status_code, answer.json()) == (404, missing)
    company.clock.advance(30 * 86_400)
    answer = company.call("GET", f"/persons/{person}")
    assert (answer.status_code, answer.json()) == (404, missing)


def test_lists_filter_by_ids_owner_organization_and_deal(company) -> None:
    """Ids that do not exist are left out without a word."""
    org = company.data("POST", "/organizations", {"name": "Acme"})["id"]
    first, second = company.add(org_id=org), company.add(owner_id=GRACE)
    company.data("POST", "/deals", {"title": "Deal", "person_id": second})
    assert company.ids(ids=f"{second},{first},999") == [first, second]
    assert company.ids(org_id=str(org)) == [first]
    assert company.ids(owner_id=str(GRACE)) == [second]
    assert company.ids(deal_id="1") == [second]


def test_a_record_of_its_owner_only_is_hidden_from_other_users(company) -> None:
    """For a user who is no administrator the person does not exist; lost permission looks like deletion."""
    token = company.person("POST", "tokens", {"userId": ALAN}).json()["token"]
    hidden, shown = company.add(visible_to=1), company.add()
    answer = company.call("GET", "/persons", token=token)
    assert [row["id"] for row in answer.json()["data"]] == [shown]
    assert company.call("GET", f"/persons/{hidden}", token=token).status_code == 404
    assert company.ids() == [hidden, shown]


def test_an_address_left_partly_out_loses_its_other_parts(company) -> None:
    """``value`` is required; parts not sent are null."""
    address = {"value": "Main St 1, Bonn", "locality": "Bonn", "country": "Germany"}
    org = company.data("POST", "/organizations", {"name": "Acme", "address": address})
    assert (org["address"]["locality"], org["address"]["postal_code"]) == ("Bonn", None)
    changed = company.data("PATCH", "/organizations/1", {"address": {"value": "Main St 2"}})
    assert (changed["address"]["value"], changed["address"]["locality"]) == ("Main St 2", None)
    answer = company.call("PATCH", "/organizations/1", {"address": {"locality": "Bonn"}})
    assert (answer.status_code, answer.json()) == (400, refused("address", ".value is required"))


def test_organizations_need_a_name_that_need_not_be_unique(company) -> None:
    answer = company.call("POST", "/organizations", {})
    assert (answer.status_code, answer.json()) == (400, refused("name", "is required"))
    for _ in range(2):
        company.data("POST", "/organizations", {"name": "Acme"})
    assert company.ids("/organizations") == [1, 2]


def test_deals_keep_times_of_their_status_and_list_deleted_ones_when_asked(company) -> None:
    """Deals are the one type whose list can show what was deleted."""
    deal = company.data("POST", "/deals", {"title": "Big"})
    assert (deal["status"], deal["won_time"], deal["currency"]) == ("open", None, "EUR")
    assert company.data("PATCH", "/deals/1", {"status": "won"})["won_time"] == NOW
    company.data("DELETE", "/deals/1")
    assert company.ids("/deals") == []
    assert company.ids("/deals", status="deleted") == [1]
    answer = company.call("POST", "/deals", {"title": "Big", "user_id": GRACE})
    assert (answer.status_code, answer.json()) == (400, refused("user_id", "is not allowed"))


def test_activities_reach_a_person_through_participants_only(company) -> None:
    """``person_id`` is read-only and follows from the primary participant."""
    person = company.add()
    answer = company.call("POST", "/activities", {"subject": "Call", "person_id": person})
    assert (answer.status_code, answer.json()) == (400, refused("person_id", "is read-only, use participants"))
    found = company.data("POST", "/activities", {"subject": "Call", "participants": [{"person_id": person}]})
    assert (found["person_id"], found["participants"]) == (person, [{"person_id": person, "primary": True}])
    assert company.ids("/activities", person_id=str(person)) == [1]
    assert company.data("PATCH", "/activities/1", {"done": True})["marked_as_done_time"] == NOW


def test_ids_of_different_types_count_separately(company) -> None:
    """Person 1 and organization 1 both exist."""
    assert company.add() == company.data("POST", "/organizations", {"name": "Acme"})["id"] == 1


def test_lists_can_show_a_write_late_with_the_stamp_it_had(company) -> None:
    """A watermark taken from the newest row seen would step over it."""
    person = company.add()
    company.person("POST", "settings", {"listLagSeconds": 3})
    company.clock.advance(5)
    company.data("PATCH", f"/persons/{person}", {"name": "Ada B"})
    assert company.ids() == []
    company.clock.advance(3)
    rows = company.data("GET", "/persons", params={"updated_since": NOW})
    assert [(row["id"], row["update_time"]) for row in rows] == [(person, "2026-09-21T14:13:25Z")]
