"""The connector against the fake over loopback: which requests answer which question, and how many."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import requests

from crm.errors import ConfigurationError, CursorExpiredError, OutcomeUnknownError
from crm.http.redact import Secret
from crm.model import RemoteState
from crm.ports import CreateItem, UpdateItem
from crm.testing.faults import Fault
from tests.providers.hubspot.stand import START_MS, HubSpotStand, hubspot_stand

FIELDS = ("firstname", "lastname", "email", "phone", "hs_email_optout")
LIST = "GET /crm/v3/objects/contacts"
SEARCH = "POST /crm/v3/objects/contacts/search"
READ = "POST /crm/v3/objects/contacts/batch/read"
CREATE = "POST /crm/v3/objects/contacts/batch/create"
UPDATE = "POST /crm/v3/objects/contacts/batch/update"
ONE = "GET /crm/v3/objects/contacts/{id}"
PROPERTIES = "GET /crm/v3/properties/contacts"
OPT_OUT = "POST /communication-preferences/v4/statuses/{email}/unsubscribe-all"
STARTED = datetime.fromtimestamp(START_MS / 1000, UTC)


def walked(step):
    records, after = [], None
    while True:
        page = step(after)
        records += page.records
        after = page.next
        if after is None:
            return records


def people(count: int, **more: str) -> list[dict[str, str]]:
    return [{"firstname": f"P{n}", "email": f"p{n}@example.com", **more} for n in range(count)]


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
    found = connector.find_by_marker("contacts", "org:1", names)
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
        assert connector.find_by_marker("contacts", "org:1", FIELDS).remote_id == remote_id
        assert connector.fetch("contacts", [remote_id], FIELDS)[remote_id].state is RemoteState.LIVE
        assert connector.capabilities.overlap_seconds > 30


# the marker


def test_prepare_makes_the_marker_field_once(stand: HubSpotStand) -> None:
    """Four requests the first time, one ever after."""
    connector = stand.connector()
    made, received = stand.counted(lambda: connector.prepare("contacts"))
    assert made is True
    assert received == {
        "GET /crm/v3/properties/contacts/{name}": 2,
        "POST /crm/v3/properties/contacts/groups": 1,
        PROPERTIES.replace("GET", "POST"): 1,
    }
    found = {each.name: each for each in connector.describe("contacts")}["adsapp_contact_id"]
    assert (found.unique, found.custom, found.kind) == (True, True, "text")
    made, received = stand.counted(lambda: stand.connector().prepare("contacts"))
    assert (made, received) == (True, {"GET /crm/v3/properties/contacts/{name}": 1})


def test_without_leave_to_make_it_creates_go_without_marker(stand: HubSpotStand) -> None:
    """A token that may not change the schema: prepare says so and the record is created all the same."""
    scopes = ["crm.objects.contacts.read", "crm.objects.contacts.write", "crm.schemas.contacts.read"]
    token = stand.back_door("POST", "tokens", {"scopes": scopes})["token"]
    connector = stand.connector(token=lambda: Secret(token))
    assert connector.prepare("contacts") is False
    assert connector.capabilities.marker_lookup is False
    result = connector.create("contacts", [CreateItem("k", "org:1", {"firstname": "Ada"})])["k"]
    assert (result.error, result.record.marker) == (None, "")
    assert stand.live_ids() == {result.record.remote_id}


def test_a_marker_field_that_is_not_unique_is_none(stand: HubSpotStand) -> None:
    """Uniqueness cannot be added later, so a field of that name made by hand does not serve."""
    make_property(stand, name="adsapp_contact_id", type="string", fieldType="text")
    assert stand.connector().prepare("contacts") is False


def test_a_create_sent_again_is_told_which_record_has_the_marker(stand: HubSpotStand) -> None:
    """The unique marker makes a second record impossible, even without an e-mail address."""
    connector = stand.connector()
    connector.prepare("contacts")
    stand.fail("lost_answer", writes_only=True)
    item = CreateItem("k", "org:1", {"firstname": "Ada"})
    assert isinstance(connector.create("contacts", [item])["k"].error, OutcomeUnknownError)
    error = connector.create("contacts", [item])["k"].error
    assert {error.remote_id} == stand.live_ids()
    assert error.code == "match.duplicate_in_crm"


# writes


@pytest.mark.parametrize(("count", "requests"), [(1, 1), (100, 1), (101, 2)])
def test_writing_takes_one_request_a_hundred(stand: HubSpotStand, count: int, requests: int) -> None:
    connector = stand.connector()
    connector.prepare("contacts")
    items = [CreateItem(f"k{n}", f"org:{n}", {"email": f"p{n}@example.com"}) for n in range(count)]
    results, received = stand.counted(lambda: connector.create("contacts", items))
    assert received == {CREATE: requests}
    records = {key: result.record for key, result in results.items()}
    assert {key: record.values["email"] for key, record in records.items()} == {
        f"k{n}": f"p{n}@example.com" for n in range(count)
    }
    updates = [UpdateItem(key, record.remote_id, {"city": key}) for key, record in records.items()]
    results, received = stand.counted(lambda: connector.update("contacts", updates))
    assert received == {UPDATE: requests}
    assert {key: result.record.values for key, result in results.items()} == {key: {"city": key} for key in records}
    assert {stand.stored(record.remote_id, "city") == key for key, record in list(records.items())[:3]} == {True}
    _, received = stand.counted(lambda: connector.delete("contacts", updates))
    assert received == {"POST /crm/v3/objects/contacts/batch/archive": requests}
    assert stand.live_ids() == set()


def test_the_answer_holds_what_hubspot_stored(stand: HubSpotStand) -> None:
    """An address comes back in lower case: that, not what was sent, is the value agreed on."""
    connector = stand.connector()
    connector.prepare("contacts")
    item = CreateItem("k", "org:1", {"email": "Ada@Example.COM", "firstname": "  Ada "})
    record = connector.create("contacts", [item])["k"].record
    assert record.values == {"email": "ada@example.com", "firstname": "Ada"}
    assert record.marker == "org:1"
    assert record.modified_at == record.created_at == STARTED


def test_a_value_refused_by_its_definition_is_left_out_of_the_whole_batch(stand: HubSpotStand) -> None:
    """A property that is gone fails every input: one more request writes the rest of all of them."""
    ids = stand.add(people(100))
    items = [UpdateItem(each, each, {"city": "Ulm", "dropped_property": "x"}) for each in ids]
    results, received = stand.counted(lambda: stand.connector().update("contacts", items))
    assert {result.error for result in results.values()} == {None}
    assert {result.refused["dropped_property"].code for result in results.values()} == {"field.missing"}
    assert received == {UPDATE: 2}
    assert stand.stored(ids[99], "city") == "Ulm"


def test_an_address_of_another_contact_is_no_reason_to_fail_the_others(stand: HubSpotStand) -> None:
    """The update that takes somebody's address says whose it is."""
    ids = stand.add(people(4))
    items = [UpdateItem(each, each, {"email": f"new{n}@example.com"}) for n, each in enumerate(ids)]
    items[2] = replace(items[2], values={"email": "p3@example.com"})
    items.pop()
    results = stand.connector().update("contacts", items)
    assert [results[each].error for each in (ids[0], ids[1])] == [None, None]
    assert results[ids[2]].error.remote_id == ids[3]
    assert [stand.stored(each, "email") for each in ids] == [
        "new0@example.com",
        "new1@example.com",
        "p2@example.com",
        "p3@example.com",
    ]


def test_two_updates_of_one_record_are_both_written(stand: HubSpotStand) -> None:
    """A batch refuses a repeated id as a whole; apart they pass."""
    (remote_id,) = stand.add(people(1))
    items = [UpdateItem("a", remote_id, {"city": "Ulm"}), UpdateItem("b", remote_id, {"zip": "89073"})]
    results = stand.connector().update("contacts", items)
    assert [results[key].error for key in "ab"] == [None, None]
    assert (stand.stored(remote_id, "city"), stand.stored(remote_id, "zip")) == ("Ulm", "89073")


def test_an_answer_cut_short_is_an_unknown_outcome(stand: HubSpotStand) -> None:
    """Half a body of a write that happened: every item of that batch, and of no other, is unknown."""
    ids = stand.add(people(150))
    stand.fake.faults.add(Fault("half_body", path="*/batch/update", times=1))
    items = [UpdateItem(each, each, {"city": "Ulm"}) for each in ids]
    results = stand.connector().update("contacts", items)
    unknown = {key for key, result in results.items() if isinstance(result.error, OutcomeUnknownError)}
    assert unknown == set(ids[:100])
    assert {result.error for key, result in results.items() if key not in unknown} == {None}


def test_typed_values_survive_a_write_without_any_definition(stand: HubSpotStand) -> None:
    """The answer is read by what was sent: no request for definitions is spent on it."""
    make_property(stand, name="score", type="number", fieldType="number")
    options = [{"label": each, "value": each, "displayOrder": n} for n, each in enumerate(("a", "b"))]
    make_property(stand, name="words", type="enumeration", fieldType="checkbox", options=options)
    make_property(stand, name="vip", type="bool", fieldType="booleancheckbox", options=yes_or_no())
    make_property(stand, name="since", type="date", fieldType="date")
    (remote_id,) = stand.add(people(1))
    values = {"score": 12.5, "words": ("b", "a"), "vip": False, "since": "1990-12-31", "city": None}
    connector = stand.connector()
    result, received = stand.counted(lambda: connector.update("contacts", [UpdateItem("k", remote_id, values)])["k"])
    assert received == {UPDATE: 1}
    assert (result.error, dict(result.refused)) == (None, {})
    assert {**result.record.values, "words": set(result.record.values["words"])} == {**values, "words": {"a", "b"}}
    read = connector.fetch("contacts", [remote_id], list(values))[remote_id]
    assert read.values == result.record.values


def test_an_update_of_nothing_sends_nothing(stand: HubSpotStand) -> None:
    (remote_id,) = stand.add(people(1))
    result, received = stand.counted(
        lambda: stand.connector().update("contacts", [UpdateItem("k", remote_id, {})])["k"]
    )
    assert (result.error, result.record.remote_id, received) == (None, remote_id, {})


# opt-outs


def test_an_opt_out_goes_to_the_subscriptions_after_the_write(stand: HubSpotStand) -> None:
    """One request each, counted apart; the property then says so."""
    ids = stand.add(people(3))
    connector = stand.connector()
    items = [
        UpdateItem("with", ids[0], {"email": "changed@example.com", "hs_email_optout": True}),
        UpdateItem("without", ids[1], {"hs_email_optout": True}),
        UpdateItem("other", ids[2], {"city": "Ulm"}),
    ]
    results, received = stand.counted(lambda: connector.update("contacts", items))
    assert {key: (result.error, dict(result.refused)) for key, result in results.items()} == dict.fromkeys(
        ("with", "without", "other"), (None, {})
    )
    assert received == {UPDATE: 1, READ: 1, OPT_OUT: 2}
    assert connector.calls_by_operation["unsubscribe_all"] == 2
    assert [stand.stored(each, "hs_email_optout") for each in ids] == ["true", "true", ""]
    assert results["with"].record.values == {"email": "changed@example.com", "hs_email_optout": True}


def test_a_contact_is_created_and_opted_out(stand: HubSpotStand) -> None:
    """True is sent, False is what a new contact is anyway."""
    connector = stand.connector()
    connector.prepare("contacts")
    items = [
        CreateItem("out", "org:1", {"email": "out@example.com", "hs_email_optout": True}),
        CreateItem("in", "org:2", {"email": "in@example.com", "hs_email_optout": False}),
    ]
    results, received = stand.counted(lambda: connector.create("contacts", items))
    assert received == {CREATE: 1, OPT_OUT: 1}
    assert stand.stored(results["out"].record.remote_id, "hs_email_optout") == "true"
    assert (results["in"].error, dict(results["in"].refused)) == (None, {})


def test_nobody_is_ever_opted_in(stand: HubSpotStand) -> None:
    """The field is refused, the rest of the record written, and HubSpot hears nothing of it."""
    (remote_id,) = stand.add(people(1))
    stand.back_door("PATCH", f"records/{remote_id}", {"properties": {}, "optedOut": True})
    item = UpdateItem("k", remote_id, {"city": "Ulm", "hs_email_optout": False})
    results, received = stand.counted(lambda: stand.connector().update("contacts", [item]))
    assert results["k"].refused["hs_email_optout"].code == "field.readonly"
    assert received == {UPDATE: 1}
    assert (stand.stored(remote_id, "city"), stand.stored(remote_id, "hs_email_optout")) == ("Ulm", "true")


def test_an_opt_out_that_is_refused_leaves_the_rest_written(stand: HubSpotStand) -> None:
    """Without the scope, or without an address, the field is named and nothing else is lost."""
    ids = stand.add([{"firstname": "Nobody"}, *people(1)])
    scopes = ["crm.objects.contacts.read", "crm.objects.contacts.write"]
    token = stand.back_door("POST", "tokens", {"scopes": scopes})["token"]
    connector = stand.connector(token=lambda: Secret(token))
    items = [UpdateItem(each, each, {"city": "Ulm", "hs_email_optout": True}) for each in ids]
    results = connector.update("contacts", items)
    assert {each: results[each].refused["hs_email_optout"].code for each in ids} == {
        ids[0]: "match.no_key",
        ids[1]: "auth.scope_missing",
    }
    assert {result.error for result in results.values()} == {None}
    assert [stand.stored(each, "city") for each in ids] == ["Ulm", "Ulm"]


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
        connector.find_by_marker("contacts", "org:1", FIELDS)
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


def yes_or_no() -> list[dict[str, object]]:
    return [{"label": each, "value": each, "displayOrder": n} for n, each in enumerate(("true", "false"))]


def make_property(stand: HubSpotStand, **definition: object) -> None:
    body = {"label": definition["name"], "groupName": "contactinformation", **definition}
    headers = {"Authorization": f"Bearer {stand.fake.token}"}
    answer = requests.post(f"{stand.url}/crm/v3/properties/contacts", json=body, headers=headers, timeout=10)
    assert answer.status_code == 201, answer.text
