"""The connector reads the fake over loopback: which requests answer which question, and how many."""

from __future__ import annotations

from datetime import timedelta

import pytest

from crm.errors import ConfigurationError, CursorExpiredError
from crm.http.redact import Secret
from crm.model import RemoteState
from crm.ports import CreateItem, Page, UpdateItem
from tests.providers.hubspot.calls import (
    FIELDS,
    LIST,
    ONE,
    PROPERTIES,
    READ,
    SEARCH,
    STARTED,
    UPDATE,
    make_property,
    people,
)
from tests.providers.hubspot.stand import HubSpotStand, hubspot_stand


def walked(step):
    records, after = [], None
    while True:
        page = step(after)
        records += page.records
        after = page.next
        if after is None:
            return records


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (1, 1), (100, 1), (101, 2), (250, 3)])
def test_a_full_scan_takes_one_request_a_hundred(stand: HubSpotStand, count: int, requests: int) -> None:
    """Standard properties need no definitions, so nothing but the pages is asked for."""
    ids = stand.add(people(count))
    connector = stand.connector()
    records, received = stand.counted(lambda: walked(lambda after: connector.scan("contacts", FIELDS, after)))
    assert [record.remote_id for record in records] == ids
    assert received == {LIST: requests}
    assert connector.calls == requests
    assert connector.calls_by_operation == {"list": requests}


def test_an_expected_page_is_read_ahead_and_costs_no_request_more(stand: HubSpotStand) -> None:
    ids = stand.add(people(250))
    connector = stand.connector()
    ahead: list[bool] = []

    def step(after: str | None) -> Page:
        page = connector.scan("contacts", FIELDS, after)
        if page.next is not None:
            connector.expect("contacts", FIELDS, page.next)
        ahead.append(page.read_ahead)
        return page

    records, received = stand.counted(lambda: walked(step))
    assert [record.remote_id for record in records] == ids
    assert ahead == [False, True, True]
    assert (received, connector.calls) == ({LIST: 3}, 3)


@pytest.mark.parametrize("kind", ["server_error", "unauthorized"])
def test_an_expected_page_that_failed_is_asked_for_when_it_is_needed(stand: HubSpotStand, kind: str) -> None:
    stand.add(people(150))
    renewed: list[str] = []
    connector = stand.connector(reauthorize=lambda: renewed.append(kind))
    page = connector.scan("contacts", FIELDS, None)
    stand.fail(kind)
    connector.expect("contacts", FIELDS, str(page.next))
    page = connector.scan("contacts", FIELDS, page.next)
    assert (len(page.records), page.next, page.read_ahead) == (50, None, kind == "server_error")


def test_an_expected_page_that_is_not_the_next_one_is_forgotten(stand: HubSpotStand) -> None:
    stand.add(people(250))
    connector = stand.connector()
    page = connector.scan("contacts", FIELDS, None)
    connector.expect("contacts", FIELDS, str(page.next))
    assert not connector.scan("contacts", FIELDS, None).read_ahead
    assert not connector.scan("contacts", FIELDS, page.next).read_ahead


def test_a_custom_property_costs_one_request_for_its_definition(stand: HubSpotStand) -> None:
    """Once a connector, and not at all when the definitions are given."""
    stand.add(people(250, hs_language="en"))
    make_property(stand, name="score", type="number", fieldType="number")
    fields = (*FIELDS, "score")
    connector = stand.connector()
    _, received = stand.counted(lambda: walked(lambda after: connector.scan("contacts", fields, after)))
    assert received == {LIST: 3, PROPERTIES: 1}
    definitions = {"contacts": connector.describe("contacts")}
    informed = stand.connector(definitions=definitions)
    _, received = stand.counted(lambda: walked(lambda after: informed.scan("contacts", fields, after)))
    assert received == {LIST: 3}


def test_an_idle_delta_is_one_request(stand: HubSpotStand) -> None:
    """Custom properties or not: without records nothing has to be typed."""
    stand.add(people(5))
    stand.pass_time(600)
    connector = stand.connector()
    page, received = stand.counted(
        lambda: connector.changes("contacts", ["own_property"], STARTED + timedelta(minutes=5), None)
    )
    assert (page.records, page.next) == ((), None)
    assert received == {SEARCH: 1}
    assert page.server_time == STARTED + timedelta(minutes=10)


def test_a_delta_passes_the_ten_thousand_that_a_query_can_reach(stand: HubSpotStand) -> None:
    """10,250 records with one and the same stamp, 200 a request."""
    ids = stand.add(people(10_250))
    connector = stand.connector()
    records, received = stand.counted(
        lambda: walked(lambda after: connector.changes("contacts", FIELDS, STARTED, after))
    )
    assert [record.remote_id for record in records] == ids
    assert received == {SEARCH: 52}


def test_a_change_during_the_delta_is_found_by_the_next_one(stand: HubSpotStand) -> None:
    """A low id edited while the walk is past it has a newer stamp than the walk's first server time."""
    ids = stand.add(people(3))
    connector = stand.connector(batch_size=1)
    first = connector.changes("contacts", FIELDS, STARTED, None)
    stand.pass_time(1)
    stand.edit(ids[0], {"firstname": "Edited"})
    seen = [record.remote_id for record in first.records]
    after = first.next
    while after:
        page = connector.changes("contacts", FIELDS, STARTED, after)
        seen += [record.remote_id for record in page.records]
        after = page.next
    assert seen == ids
    later = walked(lambda after: connector.changes("contacts", FIELDS, STARTED + timedelta(milliseconds=1), after))
    assert [(record.remote_id, record.values["firstname"]) for record in later] == [(ids[0], "Edited")]


def test_a_long_property_list_travels_in_a_body(stand: HubSpotStand) -> None:
    """The page is listed by id and read by batch: no address grows, no search body passes 3,000 characters."""
    ids = stand.add(people(150))
    names = [*FIELDS, *(f"a_property_with_a_rather_long_name_{n:04}" for n in range(400))]
    connector = stand.connector()
    records, received = stand.counted(lambda: walked(lambda after: connector.scan("contacts", names, after)))
    assert [record.remote_id for record in records] == ids
    assert records[0].values["firstname"] == "P0"
    assert received == {LIST: 2, READ: 2, PROPERTIES: 1}
    connector.prepare("contacts")
    made = connector.create("contacts", [CreateItem("k", "org:1", {"firstname": "Marked"})])["k"].record
    found = connector.find_by_markers("contacts", ["org:1"], names).get("org:1")
    assert (found.remote_id, found.values["firstname"]) == (made.remote_id, "Marked")
    connector.delete("contacts", [UpdateItem("k", made.remote_id, {})])
    records, received = stand.counted(
        lambda: walked(lambda after: connector.changes("contacts", names, STARTED, after))
    )
    assert [record.remote_id for record in records] == ids
    assert received == {SEARCH: 1, READ: 2}


def test_the_connection_may_ask_for_smaller_pages_and_batches(stand: HubSpotStand) -> None:
    """The setting bounds lists, searches and writes alike."""
    ids = stand.add(people(25))
    connector = stand.connector(batch_size=10)
    _, received = stand.counted(lambda: walked(lambda after: connector.scan("contacts", FIELDS, after)))
    assert received == {LIST: 3}
    _, received = stand.counted(lambda: walked(lambda after: connector.changes("contacts", FIELDS, STARTED, after)))
    assert received == {SEARCH: 3}
    items = [UpdateItem(remote_id, remote_id, {"city": "Ulm"}) for remote_id in ids]
    _, received = stand.counted(lambda: connector.update("contacts", items))
    assert received == {UPDATE: 3}


def test_a_survivor_names_its_former_ids_in_every_read(stand: HubSpotStand) -> None:
    """A merge makes a new record: list, search and batch read say which ones it replaces."""
    kept, lost, other = stand.add(people(3))
    survivor = stand.merge(kept, lost)
    connector = stand.connector()
    scanned = walked(lambda after: connector.scan("contacts", FIELDS, after))
    changed = walked(lambda after: connector.changes("contacts", FIELDS, STARTED, after))
    assert {record.remote_id: set(record.former_ids) for record in scanned} == {other: set(), survivor: {kept, lost}}
    assert {record.remote_id: set(record.former_ids) for record in changed} == {other: set(), survivor: {kept, lost}}


def test_fetch_looks_into_the_ids_that_a_batch_does_not_know(stand: HubSpotStand) -> None:
    """One read for the batch, one for each id missing in it, one for all that are gone."""
    ids = stand.add(people(6))
    survivor = stand.merge(ids[0], ids[1])
    stand.remove(ids[2])
    connector = stand.connector()
    found, received = stand.counted(lambda: connector.fetch("contacts", [*ids, "987654321", "no-number"], FIELDS))
    states = {remote_id: record.state for remote_id, record in found.items()}
    assert states == {
        ids[0]: RemoteState.MERGED,
        ids[1]: RemoteState.MERGED,
        ids[2]: RemoteState.ARCHIVED,
        **dict.fromkeys(ids[3:], RemoteState.LIVE),
        "987654321": RemoteState.MISSING,
        "no-number": RemoteState.MISSING,
    }
    assert found[ids[0]].merged_into == found[ids[1]].merged_into == survivor
    assert found[ids[2]].values["firstname"] == "P2"
    assert received == {READ: 2, ONE: 4}


def test_a_fetch_of_live_records_takes_one_request_a_hundred(stand: HubSpotStand) -> None:
    ids = stand.add(people(201))
    connector = stand.connector()
    found, received = stand.counted(lambda: connector.fetch("contacts", ids, FIELDS))
    assert {record.state for record in found.values()} == {RemoteState.LIVE}
    assert received == {READ: 3}


def test_a_record_written_is_read_at_once_although_search_lags() -> None:
    """Direct reads do not wait for the index; the delta does, which is what its overlap is for."""
    with hubspot_stand(search_lag_seconds=30) as stand:
        connector = stand.connector()
        connector.prepare("contacts")
        item = CreateItem("k", "org:1", {"firstname": "Ada"})
        remote_id = connector.create("contacts", [item])["k"].record.remote_id
        assert connector.changes("contacts", FIELDS, STARTED, None).records == ()
        assert connector.find_by_markers("contacts", ["org:1"], FIELDS).get("org:1").remote_id == remote_id
        assert connector.fetch("contacts", [remote_id], FIELDS)[remote_id].state is RemoteState.LIVE
        assert connector.capabilities.overlap_seconds > 30


# history, definitions, account, versions


def test_history_says_who_changed_a_field_and_when(stand: HubSpotStand) -> None:
    """Newest first; imports and our own writes are marked, which a person's edits are not."""
    (remote_id,) = stand.add([{"firstname": "Imported"}])
    connector = stand.connector(remote_app_id=str(stand.fake.app_id))
    stand.pass_time(60)
    stand.edit(remote_id, {"firstname": "By hand"})
    stand.pass_time(60)
    connector.update("contacts", [UpdateItem("k", remote_id, {"firstname": "By us"})])
    history, received = stand.counted(
        lambda: connector.field_history("contacts", [remote_id, "987654321"], ["firstname", "city"])
    )
    assert received == {READ: 1}
    assert set(history) == {remote_id}
    found = [(change.value, change.at, change.imported, change.by_us) for change in history[remote_id]["firstname"]]
    assert found == [
        ("By us", STARTED + timedelta(seconds=120), False, True),
        ("By hand", STARTED + timedelta(seconds=60), False, False),
        ("Imported", STARTED, True, False),
    ]


def test_history_is_read_fifty_a_request(stand: HubSpotStand) -> None:
    ids = stand.add(people(101))
    connector = stand.connector()
    history, received = stand.counted(lambda: connector.field_history("contacts", ids, ["firstname"]))
    assert len(history) == 101
    assert received == {READ: 3}


def test_owners_are_the_options_of_the_owner_field(stand: HubSpotStand) -> None:
    """The definition itself lists none; without the scope the field is there, without options."""
    found = {each.name: each for each in stand.connector().describe("contacts")}["hubspot_owner_id"]
    assert found.kind == "reference"
    assert found.options == (("534941", "grace@example.com"), ("534942", "alan@example.com"))
    token = stand.back_door("POST", "tokens", {"scopes": ["crm.schemas.contacts.read"]})["token"]
    lesser = stand.connector(token=lambda: Secret(token)).describe("contacts")
    assert {each.name: each for each in lesser}["hubspot_owner_id"].options == ()


def test_the_account_is_the_portal(stand: HubSpotStand) -> None:
    account = stand.connector().account()
    assert (account.remote_account_id, account.time_zone) == ("8800001", "US/Eastern")
    assert account.url == "https://app.hubspot.com/contacts/8800001"


@pytest.mark.parametrize("version", ["2026-03", "2026-09"])
def test_dated_paths_answer_the_same(stand: HubSpotStand, version: str) -> None:
    """One setting moves every call; nothing of the numbered form is left."""
    connector = stand.connector(settings={"api_base": stand.url, "api_version": version})

    def everything():
        connector.account()
        connector.prepare("contacts")
        connector.describe("contacts")
        items = [CreateItem("k", "org:1", {"email": "a@example.com", "hs_email_optout": True})]
        remote_id = connector.create("contacts", items)["k"].record.remote_id
        connector.update("contacts", [UpdateItem("k", remote_id, {"city": "Ulm"})])
        connector.scan("contacts", FIELDS, None)
        found = connector.changes("contacts", [*FIELDS, "city"], STARTED, None).records
        connector.fetch("contacts", [remote_id], FIELDS)
        connector.find_by_markers("contacts", ["org:1"], FIELDS).get("org:1")
        connector.delete("contacts", [UpdateItem("k", remote_id, {})])
        return found

    found, received = stand.counted(everything)
    assert [record.values["city"] for record in found] == ["Ulm"]
    assert [path for path in received if f"/{version}" not in path] == []
    assert stand.live_ids() == set()


def test_an_unknown_version_is_refused_before_any_request(stand: HubSpotStand) -> None:
    with pytest.raises(ConfigurationError, match="v3, 2026-03, 2026-09") as refused:
        stand.connector(settings={"api_base": stand.url, "api_version": "v9"})
    assert refused.value.code == "config.invalid"


def test_another_host_is_called_only_when_it_is_listed(stand: HubSpotStand) -> None:
    with pytest.raises(ConfigurationError) as refused:
        stand.connector(extra_hosts=())
    assert refused.value.code == "config.host"


@pytest.mark.parametrize("cursor", ["search:1", "list:x", "17"])
def test_a_position_of_another_walk_is_refused(stand: HubSpotStand, cursor: str) -> None:
    """Before any request: both cursors are numbers, and each would be believed by the other endpoint."""
    connector = stand.connector()
    with pytest.raises(CursorExpiredError):
        connector.scan("contacts", FIELDS, cursor)
    assert connector.calls == 0


def test_a_token_that_is_renewed_goes_on(stand: HubSpotStand) -> None:
    """The one request that met the dead token is sent again with the new one."""
    ids = stand.add(people(1))
    tokens = ["dead"]
    connector = stand.connector(token=lambda: Secret(tokens[-1]), reauthorize=lambda: tokens.append(stand.fake.token))
    assert [record.remote_id for record in connector.scan("contacts", FIELDS, None).records] == ids
    assert connector.calls == 2
