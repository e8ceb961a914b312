"""The connector writes to the fake over loopback: the marker, batches, refusals, opt-outs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm.errors import OutcomeUnknownError, RateLimitedError
from crm.http.redact import Secret
from crm.ports import CreateItem, UpdateItem
from crm.testing.faults import Fault
from tests.providers.hubspot.calls import (
    CREATE,
    FIELDS,
    OPT_OUT,
    PROPERTIES,
    READ,
    STARTED,
    UPDATE,
    make_property,
    people,
    yes_or_no,
)
from tests.providers.hubspot.stand import HubSpotStand

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
    """Half a body of a write that happened: every item of that batch (either: they are sent at once), and of no
    other, is unknown."""
    ids = stand.add(people(150))
    stand.fake.faults.add(Fault("half_body", path="*/batch/update", times=1))
    items = [UpdateItem(each, each, {"city": "Ulm"}) for each in ids]
    results = stand.connector().update("contacts", items)
    unknown = {key for key, result in results.items() if isinstance(result.error, OutcomeUnknownError)}
    assert unknown in (set(ids[:100]), set(ids[100:]))
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


def test_batches_are_on_their_way_at_once(stand: HubSpotStand) -> None:
    """Three requests for 250 records to make and to read, each record under its own key."""
    connector = stand.connector()
    connector.prepare("contacts")
    before = connector.calls
    items = [CreateItem(f"k{n}", f"org:{n}", {"firstname": f"P{n}"}) for n in range(250)]
    results = connector.create("contacts", items)
    assert connector.calls == before + 3
    ids = {key: result.record.remote_id for key, result in results.items() if result.record is not None}
    assert len(set(ids.values())) == 250
    found = connector.fetch("contacts", list(ids.values()), FIELDS)
    assert connector.calls == before + 6
    assert {key: found[remote_id].values["firstname"] for key, remote_id in ids.items()} == {
        f"k{n}": f"P{n}" for n in range(250)
    }


def test_a_limit_met_by_one_batch_of_several_leaves_no_record_unaccounted(stand: HubSpotStand) -> None:
    stand.connector().prepare("contacts")
    stand.fail("rate_limited", times=50, writes_only=True)
    items = [CreateItem(f"k{n}", f"org:{n}", {"firstname": f"P{n}"}) for n in range(250)]
    results = stand.connector().create("contacts", items)
    assert {type(result.error) for result in results.values()} == {RateLimitedError}
    assert len(results) == 250
    assert stand.live_ids() == set()
