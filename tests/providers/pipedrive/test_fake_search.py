"""Search: late, without case, in a shape of its own; one field exactly, with case."""

from __future__ import annotations

import pytest

from tests.providers.pipedrive.fake_company import ALAN, BOT, Company, refused


def hits(company: Company, path: str = "/persons/search", **query: str) -> list[int]:
    return [hit["item"]["id"] for hit in company.data("GET", path, params=query)["items"]]


@pytest.fixture
def company():
    return Company()


def test_a_hit_has_texts_where_a_person_has_objects(company) -> None:
    """The whole answer of a search by e-mail, found without regard to case."""
    org = company.data("POST", "/organizations", {"name": "Acme"})["id"]
    code = company.field("varchar")
    company.add(
        org_id=org, emails=[{"value": "Ada@x.y"}], phones=[{"value": "+34 600"}], custom_fields={code: "c-1042"}
    )
    query = {"term": "ada@X.Y", "fields": "email", "exact_match": "true"}
    assert company.call("GET", "/persons/search", params=query).json() == {
        "success": True,
        "data": {
            "items": [
                {
                    "result_score": 0.51,
                    "item": {
                        "id": 1,
                        "type": "person",
                        "name": "Ada Lovelace",
                        "phones": ["+34 600"],
                        "emails": ["Ada@x.y"],
                        "visible_to": 3,
                        "owner": {"id": BOT},
                        "organization": {"id": org, "name": "Acme", "address": None},
                        "custom_fields": ["c-1042"],
                        "notes": [],
                    },
                }
            ]
        },
        "additional_data": {"next_cursor": None},
    }


def test_the_index_lags_behind_every_write() -> None:
    """Not in yet, then the old value still, then the new one; a list shows it at once."""
    company = Company(search_lag_seconds=2.0)
    person = company.add(emails=[{"value": "old@x.y"}])
    assert (hits(company, term="old@x.y"), company.ids()) == ([], [person])
    company.clock.advance(2)
    assert hits(company, term="old@x.y") == [person]
    company.data("PATCH", f"/persons/{person}", {"emails": [{"value": "new@x.y"}]})
    assert (hits(company, term="old@x.y"), hits(company, term="new@x.y")) == ([person], [])
    company.clock.advance(2)
    assert (hits(company, term="old@x.y"), hits(company, term="new@x.y")) == ([], [person])


def test_exact_means_the_whole_value(company) -> None:
    company.add(emails=[{"value": "myself@x.y"}])
    both = company.add(emails=[{"value": "self@x.y"}])
    assert hits(company, term="self@x.y", fields="email") == [1, both]
    assert hits(company, term="self@x.y", fields="email", exact_match="true") == [both]


def test_deleted_and_invisible_persons_look_absent(company) -> None:
    token = company.person("POST", "tokens", {"userId": ALAN}).json()["token"]
    company.add(visible_to=1)
    gone = company.add()
    company.data("DELETE", f"/persons/{gone}")
    assert hits(company, term="Lovelace") == [1]
    answer = company.call("GET", "/persons/search", params={"term": "Lovelace"}, token=token)
    assert answer.json()["data"]["items"] == []


def test_one_field_is_searched_with_case(company) -> None:
    """The id and the name are all that comes back; a choice cannot be searched."""
    code = company.field("varchar")
    person = company.add(custom_fields={code: "Ab-1"})
    query = {"entity_type": "person", "field": code, "match": "exact"}
    found = company.data("GET", "/itemSearch/field", params={**query, "term": "Ab-1"})
    assert found == [{"id": person, "name": "Ada Lovelace"}]
    assert company.data("GET", "/itemSearch/field", params={**query, "term": "ab-1"}) == []
    assert len(company.data("GET", "/itemSearch/field", params={**query, "match": "middle", "term": "b-"})) == 1
    choice, _ = company.field("enum", "es", name="Language")
    answer = company.call("GET", "/itemSearch/field", params={**query, "field": choice, "term": "es"})
    assert (answer.status_code, answer.json()) == (400, refused("field", "is not searchable"))


def test_search_over_types_gives_a_hundred_at_most(company) -> None:
    company.data("POST", "/organizations", {"name": "Lovelace Ltd"})
    company.add()
    items = company.data("GET", "/itemSearch", params={"term": "Lovelace", "item_types": "person,organization"})
    assert [(hit["item"]["type"], hit["item"]["id"]) for hit in items["items"]] == [("person", 1), ("organization", 1)]
    answer = company.call("GET", "/itemSearch", params={"term": "Lovelace", "limit": "101"})
    assert (answer.status_code, answer.json()) == (400, refused("limit", "must be less than or equal to 100"))


def test_a_term_must_have_two_characters_unless_exact(company) -> None:
    """An empty one has an error of its own."""
    answer = company.call("GET", "/persons/search", params={"term": ""})
    assert (answer.status_code, answer.json()["code"]) == (400, "ERR_INVALID_INPUT")
    assert company.call("GET", "/persons/search", params={"term": "a"}).status_code == 400
    assert hits(company, term="a", exact_match="true") == []
