"""Version 1 throughout, by setting: other paths and shapes, the same records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from crm.errors import CursorExpiredError
from crm.ports import CreateItem, UpdateItem
from tests.providers.pipedrive.stand import PipedriveStand, pipedrive_stand

LIST = "GET /v1/persons"
ONE = "GET /v1/persons/{id}"
RECENTS = "GET /v1/recents"


@pytest.fixture
def old() -> Iterator[PipedriveStand]:
    with pipedrive_stand({"api_version": "v1"}) as found:
        yield found


def walked(step: Any) -> list[Any]:
    records, after = [], None
    while True:
        page = step(after)
        records += page.records
        after = page.next
        if after is None:
            return records


def test_not_one_request_goes_to_version_2(old: PipedriveStand) -> None:
    connector = old.connector()
    connector.account()
    connector.prepare("persons")
    connector.describe("persons")
    item = CreateItem("k", "org:1", {"name": "Ada", "org_id.name": "Acme", "email": "a@x.test"})
    remote_id = connector.create("persons", [item])["k"].record.remote_id
    connector.update("persons", [UpdateItem("k", remote_id, {"phone": "+1"})])
    connector.scan("persons", ["name", "org_id.name"], None)
    connector.changes("persons", ["name"], old.now(), None)
    assert connector.find_by_markers("persons", ["org:1"], ["email"]).get("org:1").values == {"email": "a@x.test"}
    connector.delete("persons", [UpdateItem("k", remote_id, {})])
    assert [each for each in old.fake.stats()["requests"] if "/api/v2/" in each] == []


def test_values_are_the_same_in_either_version(old: PipedriveStand) -> None:
    """Flat custom fields, objects for ids, words for flags: all read as version 2's."""
    codes = {
        kind: old.back_door("POST", "fields", {"name": kind, "type": kind, "options": options})
        for kind, options in (
            ("varchar", None), ("double", None), ("enum", ["a", "b"]), ("set", ["c", "d"]), ("address", None),
            ("date", None), ("monetary", None),
        )
    }  # fmt: skip
    enum, many = (codes[kind]["options"] for kind in ("enum", "set"))
    (acme,) = old.add([{"name": "Acme"}], "organizations")
    body = {
        "first_name": "Ana",
        "last_name": "Lopez",
        "org_id": int(acme),
        "emails": [{"value": "ana@x.test", "label": "work", "primary": True}],
        "phones": [{"value": "+1", "label": "mobile", "primary": True}],
        "label_ids": [14],
        "birthday": "1990-01-31",
        "postal_address": {"value": "Calle 1, Madrid", "route": "Calle", "street_number": "1", "locality": "Madrid"},
        "custom_fields": {
            codes["varchar"]["code"]: "txt",
            codes["double"]["code"]: 5.5,
            codes["enum"]["code"]: enum[1]["id"],
            codes["set"]["code"]: [many[0]["id"], many[1]["id"]],
            codes["address"]["code"]: {"value": "Ring 2, Ulm", "locality": "Ulm"},
            codes["date"]["code"]: "2026-01-31",
            codes["monetary"]["code"]: {"value": 5, "currency": "EUR"},
        },
    }
    (remote_id,) = old.add([body])
    names = [
        "name", "first_name", "last_name", "org_id.name", "email", "email.home", "phone.mobile", "label_ids",
        "birthday", "postal_address", "postal_address.street", "postal_address.locality", "owner_id", "add_time",
        *(each["code"] for each in codes.values()), f"{codes['address']['code']}.locality",
    ]  # fmt: skip
    modern = old.connector(settings={"api_version": "v2"}).fetch("persons", [remote_id], names)[remote_id]
    legacy = old.connector().fetch("persons", [remote_id], names)[remote_id]
    assert legacy.values == modern.values
    assert set(legacy.values) == set(names)
    assert (legacy.created_at, legacy.modified_at) == (modern.created_at, modern.modified_at)


def test_writes_are_the_same_in_either_version(old: PipedriveStand) -> None:
    tier = old.back_door("POST", "fields", {"name": "Tier", "type": "enum", "options": ["a", "b"]})
    tags = old.back_door("POST", "fields", {"name": "Tags", "type": "set", "options": ["c", "d"]})
    site = old.back_door("POST", "fields", {"name": "Site", "type": "address"})
    old.learn()
    values = {
        "first_name": "Ana",
        "last_name": "Lopez",
        "email": "ana@x.test",
        "phone.mobile": "+1",
        "job_title": "Engineer",
        "org_id.name": "Acme",
        "label_ids": ("14",),
        "postal_address.locality": "Madrid",
        "postal_address.country": "ES",
        tier["code"]: str(tier["options"][0]["id"]),
        tags["code"]: tuple(str(each["id"]) for each in tags["options"]),
        f"{site['code']}.locality": "Ulm",
    }
    made = [
        old.connector(settings={"api_version": version}).create("persons", [CreateItem("k", "org:1", values)])["k"]
        for version in ("v1", "v2")
    ]
    assert [(each.error, dict(each.refused), each.record.values) for each in made] == [(None, {}, values)] * 2
    first, second = (old.shown(each.record.remote_id) for each in made)
    assert {name: value for name, value in first.items() if name != "id"} == {
        name: value for name, value in second.items() if name != "id"
    }
    cleared = dict.fromkeys(values) | {"first_name": "Ana"}
    for each, version in zip(made, ("v1", "v2"), strict=True):
        connector = old.connector(settings={"api_version": version})
        result = connector.update("persons", [UpdateItem("k", each.record.remote_id, cleared)])["k"]
        assert (result.error, result.record.values) == (None, cleared)


@pytest.mark.parametrize(("count", "requests"), [(500, 1), (501, 2), (999, 2), (1_000, 3)])
def test_a_scan_rereads_one_row_a_page(old: PipedriveStand, count: int, requests: int) -> None:
    """Offsets cannot be trusted: each page begins at the last row of the one before."""
    old.learn()
    ids = old.add([{"name": f"P{n}"} for n in range(count)])
    connector = old.connector()
    records, received = old.counted(lambda: walked(lambda after: connector.scan("persons", ["name"], after)))
    assert [record.remote_id for record in records] == ids
    assert received == {LIST: requests}


def test_rows_deleted_during_a_scan_cost_no_other_row(old: PipedriveStand) -> None:
    """The offset moves back until it meets a row that was seen."""
    old.learn()
    ids = old.add([{"name": f"P{n}"} for n in range(40)])
    connector = old.connector(batch_size=10)
    first = connector.scan("persons", ["name"], None)
    for remote_id in ids[:9]:
        old.remove(remote_id)
    rest = []
    after = first.next
    while after:
        page = connector.scan("persons", ["name"], after)
        rest += [record.remote_id for record in page.records]
        after = page.next
    assert [record.remote_id for record in first.records] + rest == ids


def test_a_delta_is_the_feed_of_recent_changes(old: PipedriveStand) -> None:
    """New and changed ones in one request; deleted ones are in it and left out."""
    old.learn()
    kept, edited, deleted = old.add([{"name": f"P{n}"} for n in range(3)])
    old.pass_time(60)
    since = old.now()
    old.edit(edited, {"name": "Edited"})
    old.remove(deleted)
    (new,) = old.add([{"name": "New"}])
    connector = old.connector()
    records, received = old.counted(lambda: walked(lambda after: connector.changes("persons", ["name"], since, after)))
    assert {record.remote_id for record in records} == {edited, new}
    assert received == {RECENTS: 1}
    assert kept not in {record.remote_id for record in records}


def test_a_delta_older_than_the_feed_reaches_is_refused(old: PipedriveStand) -> None:
    """Everything is read again then, instead of losing what the feed no longer holds."""
    with pytest.raises(CursorExpiredError):
        old.connector().changes("persons", ["name"], old.now() - timedelta(days=40), None)


def test_a_deleted_record_is_not_changed_silently(old: PipedriveStand) -> None:
    """v1 answers the change of a deleted record with a success and leaves it deleted."""
    old.learn()
    (remote_id,) = old.add([{"name": "Ada"}])
    old.remove(remote_id)
    connector = old.connector()
    result = connector.update("persons", [UpdateItem("k", remote_id, {"job_title": "x"})])["k"]
    assert result.error.code == "state.deleted"
    for _ in range(2):
        assert connector.delete("persons", [UpdateItem("k", remote_id, {})])["k"].error is None


def test_a_fetch_takes_one_request_each(old: PipedriveStand) -> None:
    """v1 has no list by ids."""
    old.learn()
    ids = old.add([{"name": f"P{n}"} for n in range(5)])
    _, received = old.counted(lambda: old.connector().fetch("persons", ids, ["name"]))
    assert received == {ONE: 5}
