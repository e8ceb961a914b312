"""Creates, updates and deletions against the fake: one request each, and nothing changed that was not named."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from crm.errors import (
    AuthorizationExpiredError,
    OutcomeUnknownError,
    RateLimitedError,
    RecordGoneError,
    RecordInvalidError,
)
from crm.http.redact import Secret
from crm.ports import CreateItem, UpdateItem
from crm.providers.pipedrive.fake import DEFAULT_TOKEN
from crm.testing.faults import Fault
from tests.providers.pipedrive.stand import PipedriveStand, pipedrive_stand

LIST = "GET /api/v2/persons"
CREATE = "POST /api/v2/persons"
UPDATE = "PATCH /api/v2/persons/{id}"
DELETE = "DELETE /api/v2/persons/{id}"
ORGANIZATIONS = "GET /api/v2/organizations"
NEW_ORGANIZATION = "POST /api/v2/organizations"


def entry(value: str, label: str, *, primary: bool = False) -> dict[str, Any]:
    return {"value": value, "label": label, "primary": primary}


def update(stand: PipedriveStand, remote_id: str, values: dict[str, Any], **changes: Any) -> Any:
    return stand.connector(**changes).update("persons", [UpdateItem("k", remote_id, values)])["k"]


# how many requests


def test_writing_takes_one_request_each(stand: PipedriveStand) -> None:
    """And no more where nothing of a record is replaced along with what is written."""
    stand.learn()
    connector = stand.connector()
    items = [CreateItem(f"k{n}", f"org:{n}", {"first_name": f"P{n}", "last_name": "S"}) for n in range(120)]
    results, received = stand.counted(lambda: connector.create("persons", items))
    assert received == {CREATE: 120}
    assert {result.error for result in results.values()} == {None}
    assert {key: result.record.values["first_name"] for key, result in results.items()} == {
        f"k{n}": f"P{n}" for n in range(120)
    }
    assert {result.record.marker for result in results.values()} == {f"org:{n}" for n in range(120)}
    updates = [UpdateItem(key, result.record.remote_id, {"job_title": key}) for key, result in results.items()]
    results, received = stand.counted(lambda: stand.connector().update("persons", updates))
    assert received == {UPDATE: 120}
    assert {key: result.record.values for key, result in results.items()} == {
        f"k{n}": {"job_title": f"k{n}"} for n in range(120)
    }
    results, received = stand.counted(lambda: stand.connector().delete("persons", updates))
    assert received == {DELETE: 120}
    assert stand.live_ids() == set()


def test_a_list_is_read_before_it_is_written_a_hundred_at_a_time(stand: PipedriveStand) -> None:
    """Unless the record was just observed, by any read or by a write before."""
    stand.learn()
    ids = stand.add([{"name": f"P{n}", "email": f"p{n}@example.com"} for n in range(120)])
    items = [UpdateItem(each, each, {"email": f"new{each}@example.com"}) for each in ids]
    connector = stand.connector()
    _, received = stand.counted(lambda: connector.update("persons", items))
    assert received == {LIST: 2, UPDATE: 120}
    _, received = stand.counted(lambda: connector.update("persons", items))
    assert received == {UPDATE: 120}
    reader = stand.connector()
    reader.fetch("persons", ids, ["email"])
    _, received = stand.counted(lambda: reader.update("persons", items))
    assert received == {UPDATE: 120}


def test_nothing_to_write_is_no_request(stand: PipedriveStand) -> None:
    (remote_id,) = stand.add([{"name": "Ada"}])
    result, received = stand.counted(lambda: update(stand, remote_id, {}))
    assert (result.error, result.record.remote_id, received) == (None, remote_id, {})


# lists of addresses and numbers


@pytest.mark.parametrize(
    ("values", "phones"),
    [
        ({"phone": "+3"}, [entry("+3", "work", primary=True), entry("+2", "mobile"), entry("+9", "fax")]),
        ({"phone.mobile": "+3"}, [entry("+1", "work", primary=True), entry("+3", "mobile"), entry("+9", "fax")]),
        ({"phone.home": "+3"}, [
            entry("+1", "work", primary=True), entry("+2", "mobile"), entry("+9", "fax"), entry("+3", "home"),
        ]),
        ({"phone": "+2"}, [entry("+1", "work"), entry("+2", "mobile", primary=True), entry("+9", "fax")]),
        ({"phone": None}, [entry("+2", "mobile", primary=True), entry("+9", "fax")]),
        ({"phone.mobile": None}, [entry("+1", "work", primary=True), entry("+9", "fax")]),
        ({"phone": "+3", "phone.mobile": "+4"}, [
            entry("+3", "work", primary=True), entry("+4", "mobile"), entry("+9", "fax"),
        ]),
    ],
)  # fmt: skip
def test_a_write_keeps_the_other_numbers(
    stand: PipedriveStand, values: dict[str, Any], phones: list[dict[str, Any]]
) -> None:
    """A sent list replaces the stored one, so what the names do not mention is sent along."""
    stand.learn()
    held = [entry("+1", "work", primary=True), entry("+2", "mobile"), entry("+9", "fax")]
    (remote_id,) = stand.add([{"name": "Ada", "phones": held}])
    result = update(stand, remote_id, values)
    assert result.error is None
    assert stand.shown(remote_id)["phones"] == phones


@pytest.mark.parametrize(
    ("values", "phones"),
    [
        ({"phone": "+3"}, [entry("+1", "mobile"), entry("+3", "work", primary=True)]),
        ({"phone.mobile": "+3"}, [entry("+1", "work", primary=True), entry("+3", "mobile")]),
        ({"phone.mobile": None}, [entry("+1", "work", primary=True)]),
        ({"phone": None}, [entry("+1", "mobile", primary=True)]),
    ],
)
def test_an_entry_that_two_mapped_names_meet_in_is_split(
    stand: PipedriveStand, values: dict[str, Any], phones: list[dict[str, Any]]
) -> None:
    """The only number is the primary one and the mobile one: a write of the one leaves the other as it shows."""
    stand.learn()
    (remote_id,) = stand.add([{"name": "Ada", "phones": [entry("+1", "mobile", primary=True)]}])
    connector = stand.connector()
    connector.fetch("persons", [remote_id], ["phone", "phone.mobile"])
    connector.update("persons", [UpdateItem("k", remote_id, values)])
    assert stand.shown(remote_id)["phones"] == phones


def test_the_answer_holds_the_values_as_they_are_now(stand: PipedriveStand) -> None:
    """After the primary address is cleared the next one is primary: that is what the record shows."""
    stand.learn()
    (remote_id,) = stand.add(
        [{"name": "Ada", "emails": [entry("a@x.test", "work", primary=True), entry("b@x.test", "home")]}]
    )
    assert update(stand, remote_id, {"email": None}).record.values == {"email": "b@x.test"}
    assert update(stand, remote_id, {"email": "c@x.test", "job_title": None}).record.values == {
        "email": "c@x.test",
        "job_title": None,
    }


# names, addresses, options


def test_half_a_name_keeps_the_other_half(stand: PipedriveStand) -> None:
    """Pipedrive takes both halves only; the missing one is read first."""
    stand.learn()
    (remote_id,) = stand.add([{"first_name": "Ada Mary", "last_name": "Byron"}])
    result, received = stand.counted(lambda: update(stand, remote_id, {"last_name": "Lovelace"}))
    assert result.record.values == {"last_name": "Lovelace"}
    assert received == {LIST: 1, UPDATE: 1}
    assert stand.shown(remote_id)["name"] == "Ada Mary Lovelace"
    update(stand, remote_id, {"last_name": None})
    assert (stand.shown(remote_id)["first_name"], stand.shown(remote_id)["last_name"]) == ("Ada Mary", None)


def test_a_person_without_name_gets_a_stand_in_that_is_never_read_back(stand: PipedriveStand) -> None:
    """Pipedrive requires a name: the address is no name of a person."""
    stand.learn()
    connector = stand.connector()
    item = CreateItem("k", "org:1", {"email": "ada@example.com", "first_name": None, "last_name": None})
    record = connector.create("persons", [item])["k"].record
    assert record.values == {"email": "ada@example.com", "first_name": None, "last_name": None}
    assert stand.shown(record.remote_id)["name"] == "ada@example.com"
    read = connector.fetch("persons", [record.remote_id], ["first_name", "last_name", "name"])[record.remote_id]
    assert read.values == {"first_name": None, "last_name": None, "name": None}
    update(stand, record.remote_id, {"first_name": "Ada"})
    assert stand.shown(record.remote_id)["name"] == "Ada"
    update(stand, record.remote_id, {"first_name": None, "last_name": None})
    assert stand.shown(record.remote_id)["name"] == "ada@example.com"


def test_an_account_without_halves_gets_the_whole_name(stand: PipedriveStand) -> None:
    """The published schema knows the whole name only: where the halves are not fields, none is sent."""
    stand.learn()
    stand.known["persons"] = [each for each in stand.known["persons"] if each.name not in {"first_name", "last_name"}]
    item = CreateItem("k", "", {"first_name": "Ada", "last_name": "Lovelace"})
    record = stand.connector().create("persons", [item])["k"].record
    assert record.values == {"first_name": "Ada", "last_name": "Lovelace"}
    assert stand.fake.state.journal[-1]["changes"]["name"] == [None, "Ada Lovelace"]


def test_a_part_of_an_address_keeps_the_others(stand: PipedriveStand) -> None:
    """A part that is left out becomes blank at Pipedrive, so all are sent, with the whole as one text."""
    stand.learn()
    whole = {"value": "Main St 1, Bonn", "route": "Main St", "street_number": "1", "locality": "Bonn"}
    (remote_id,) = stand.add([{"name": "Ada", "postal_address": {**whole, "sublocality": "Beuel"}}])
    result = update(stand, remote_id, {"postal_address.postal_code": "53111", "postal_address.country": "DE"})
    assert result.record.values == {"postal_address.postal_code": "53111", "postal_address.country": "DE"}
    address = stand.shown(remote_id)["postal_address"]
    assert {name: value for name, value in address.items() if value} == {
        "value": "Main St 1, Beuel, 53111 Bonn, DE",
        "route": "Main St",
        "street_number": "1",
        "sublocality": "Beuel",
        "locality": "Bonn",
        "postal_code": "53111",
        "country": "DE",
    }
    assert update(stand, remote_id, {"postal_address.street": "Ring 2"}).record.values == {
        "postal_address.street": "Ring 2"
    }
    assert stand.shown(remote_id)["postal_address"]["street_number"] is None


@pytest.mark.parametrize(
    ("field_type", "value", "stored"),
    [
        ("varchar", "Gold", "Gold"),
        ("text", "Long\ntext", "Long\ntext"),
        ("phone", "+34 600", "+34 600"),
        ("double", 5.5, 5.5),
        ("date", "2026-01-31", "2026-01-31"),
        ("user", "25760681", 25_760_681),
    ],
)
def test_a_custom_field_takes_and_gives_values_of_its_type(
    stand: PipedriveStand, field_type: str, value: Any, stored: Any
) -> None:
    code = stand.back_door("POST", "fields", {"name": "Own", "type": field_type})["code"]
    (remote_id,) = stand.add([{"name": "Ada"}])
    result = update(stand, remote_id, {code: value})
    assert (result.error, result.record.values) == (None, {code: value})
    assert stand.shown(remote_id)["custom_fields"][code] == stored
    assert update(stand, remote_id, {code: None}).record.values == {code: None}


def test_an_option_is_its_id(stand: PipedriveStand) -> None:
    """Numbers on the wire, texts here; an empty set is null, since an empty list is refused."""
    one = stand.back_door("POST", "fields", {"name": "Tier", "type": "enum", "options": ["Gold", "Tin"]})
    many = stand.back_door("POST", "fields", {"name": "Tags", "type": "set", "options": ["a", "b", "c"]})
    gold, tags = one["options"][0]["id"], [each["id"] for each in many["options"]]
    (remote_id,) = stand.add([{"name": "Ada"}])
    values = {one["code"]: str(gold), many["code"]: (str(tags[2]), str(tags[0])), "label_ids": ("14",)}
    assert update(stand, remote_id, values).record.values == values
    shown = stand.shown(remote_id)
    assert (shown["custom_fields"][one["code"]], shown["custom_fields"][many["code"]]) == (gold, [tags[2], tags[0]])
    assert shown["label_ids"] == [14]
    cleared = dict.fromkeys(values)
    assert update(stand, remote_id, cleared).record.values == cleared


def test_an_address_in_a_custom_field_has_parts(stand: PipedriveStand) -> None:
    code = stand.back_door("POST", "fields", {"name": "Site", "type": "address"})["code"]
    (remote_id,) = stand.add([{"name": "Ada"}])
    assert update(stand, remote_id, {f"{code}.locality": "Ulm"}).record.values == {f"{code}.locality": "Ulm"}
    assert stand.shown(remote_id)["custom_fields"][code]["value"] == "Ulm"


# refusals


def test_fields_that_cannot_be_written_are_named_and_the_rest_goes(stand: PipedriveStand) -> None:
    """Read-only, unknown, of a type with two halves, an option that is none: the record is written without them."""
    money = stand.back_door("POST", "fields", {"name": "Worth", "type": "monetary"})["code"]
    tier = stand.back_door("POST", "fields", {"name": "Tier", "type": "enum", "options": ["Gold"]})["code"]
    stand.learn()
    (remote_id,) = stand.add([{"name": "Ada"}])
    bad = {"update_time": "2026-01-01", "nonsense": "x", money: 5, tier: "999", "owner_id": "1", "f" * 40: "gone"}
    result = update(stand, remote_id, {"job_title": "Engineer", **bad})
    assert result.error is None
    assert {name: refusal.code for name, refusal in result.refused.items()} == {
        "update_time": "field.readonly",
        "nonsense": "field.missing",
        money: "field.readonly",
        tier: "field.picklist",
        "owner_id": "field.picklist",
        "f" * 40: "field.missing",
    }
    assert stand.stored(remote_id, "job_title") == "Engineer"


def test_opting_in_or_out_is_never_sent(stand: PipedriveStand) -> None:
    """Pipedrive lets the marketing status be changed once and ignores what it does not like: it is only read."""
    stand.learn()
    (remote_id,) = stand.add([{"name": "Ada"}])
    result, received = stand.counted(lambda: update(stand, remote_id, {"marketing_status": True}))
    assert isinstance(result.error, RecordInvalidError)
    assert {name: each.code for name, each in result.error.fields.items()} == {"marketing_status": "field.readonly"}
    assert received == {}


def test_contact_sync_fields_are_not_sent_where_the_company_has_none() -> None:
    """One of them would refuse the whole record with a missing permission."""
    with pipedrive_stand(contact_sync=False) as stand:
        (remote_id,) = stand.add([{"name": "Ada"}])
        result = update(stand, remote_id, {"job_title": "Engineer", "name": "Ada L"})
        assert (result.error, result.refused["job_title"].code) == (None, "field.missing")
        assert stand.stored(remote_id, "name") == "Ada L"


def test_a_record_that_is_gone_is_told_with_or_without_a_check_read(stand: PipedriveStand) -> None:
    stand.learn()
    kept, lost = stand.add([{"name": "Ada"}, {"name": "Bob"}])
    stand.merge(kept, lost)
    for values in ({"job_title": "x"}, {"phone": "+1"}):
        assert isinstance(update(stand, lost, values).error, RecordGoneError)


# companies


def test_a_company_is_linked_by_its_exact_name_and_made_once(stand: PipedriveStand) -> None:
    """The list of names is read once; a name that several contacts share is made for the first."""
    stand.learn()
    (acme,) = stand.add([{"name": "Acme"}], "organizations")
    ids = stand.add([{"name": f"P{n}"} for n in range(4)])
    names = ["Acme", "Umbra", "Umbra", "acme"]
    items = [UpdateItem(each, each, {"org_id.name": name}) for each, name in zip(ids, names, strict=True)]
    connector = stand.connector()
    results, received = stand.counted(lambda: connector.update("persons", items))
    assert [results[each].record.values["org_id.name"] for each in ids] == names
    assert received == {ORGANIZATIONS: 1, NEW_ORGANIZATION: 2, UPDATE: 4}
    assert [stand.shown(each)["org_id"] for each in ids] == [int(acme), 2, 2, 3]
    assert update(stand, ids[0], {"org_id.name": None}).record.values == {"org_id.name": None}
    assert stand.shown(acme, "organizations")["name"] == "Acme"


def test_an_organization_made_by_others_meanwhile_is_found(stand: PipedriveStand) -> None:
    """One request for the newest, before one is made in its place."""
    stand.learn()
    first, second = stand.add([{"name": "Ada"}, {"name": "Bob"}])
    connector = stand.connector()
    connector.update("persons", [UpdateItem("k", first, {"org_id.name": "Acme"})])
    stand.pass_time(5)
    (umbra,) = stand.add([{"name": "Umbra"}], "organizations")
    _, received = stand.counted(
        lambda: connector.update("persons", [UpdateItem("k", second, {"org_id.name": "Umbra"})])
    )
    assert received == {ORGANIZATIONS: 1, UPDATE: 1}
    assert stand.shown(second)["org_id"] == int(umbra)


def test_no_organization_is_made_where_that_is_switched_off(stand: PipedriveStand) -> None:
    stand.learn()
    (remote_id,) = stand.add([{"name": "Ada"}])
    off = {"create_organizations": "no"}
    result, received = stand.counted(
        lambda: update(stand, remote_id, {"org_id.name": "Acme", "job_title": "x"}, settings=off)
    )
    assert (result.error, result.refused["org_id.name"].code) == (None, "field.picklist")
    assert received == {ORGANIZATIONS: 1, UPDATE: 1}


# what goes wrong on the way


def test_only_the_items_whose_answers_were_lost_are_unknown(stand: PipedriveStand) -> None:
    """One request each: a lost answer concerns its own record, and none is sent twice."""
    stand.learn()
    stand.fake.faults.add(Fault("drop_after", method="POST", times=2, skip=1))
    items = [CreateItem(f"k{n}", f"org:{n}", {"name": f"P{n}"}) for n in range(8)]
    results = stand.connector().create("persons", items)
    errors = [result.error for result in results.values() if result.error is not None]
    assert [type(error) for error in errors] == [OutcomeUnknownError] * 2
    assert len(stand.live_ids()) == 8


def test_after_the_day_is_used_up_nothing_more_is_sent(stand: PipedriveStand) -> None:
    """Items that were not tried have the error too, which is no loss: they had no effect."""
    stand.learn()
    stand.fake.faults.add(Fault("rate_limited", method="POST", policy="daily"))
    items = [CreateItem(f"k{n}", f"org:{n}", {"name": f"P{n}"}) for n in range(200)]
    connector = stand.connector()
    results, received = stand.counted(lambda: connector.create("persons", items))
    assert {(type(result.error), result.error.daily) for result in results.values()} == {(RateLimitedError, True)}
    assert received[CREATE] <= 16
    assert stand.live_ids() == set()


def test_a_token_that_expires_on_the_way_is_renewed_on_the_callers_thread(stand: PipedriveStand) -> None:
    """Whatever may touch the database is asked there; what was refused is sent once more."""
    stand.learn()
    threads: set[int] = set()
    held = ["expired"]

    def token() -> Secret:
        threads.add(threading.get_ident())
        return Secret(held[0])

    def reauthorize() -> None:
        threads.add(threading.get_ident())
        held[0] = DEFAULT_TOKEN

    connector = stand.connector(
        token=token, reauthorize=reauthorize, on_call=lambda call: threads.add(threading.get_ident())
    )
    items = [CreateItem(f"k{n}", f"org:{n}", {"name": f"P{n}"}) for n in range(40)]
    results = connector.create("persons", items)
    assert {result.error for result in results.values()} == {None}
    assert len(stand.live_ids()) == 40
    assert threads == {threading.get_ident()}
    assert connector.calls == stand.fake.stats()["requests"][CREATE]


def test_a_grant_that_cannot_be_renewed_is_every_items_error(stand: PipedriveStand) -> None:
    stand.learn()
    (remote_id,) = stand.add([{"name": "Ada"}])

    def refuse() -> None:
        raise AuthorizationExpiredError

    result = update(stand, remote_id, {"job_title": "x"}, token=lambda: Secret("gone"), reauthorize=refuse)
    assert isinstance(result.error, AuthorizationExpiredError)
    assert stand.stored(remote_id, "job_title") == ""
