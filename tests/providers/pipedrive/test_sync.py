"""The connector's reads against the fake over loopback: which requests answer which question, and how many."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from crm.errors import ConfigurationError, CursorExpiredError, OutcomeUnknownError
from crm.http.redact import Secret
from crm.model import RemoteState
from crm.ports import CreateItem
from crm.providers.pipedrive import PROVIDER
from tests.providers.pipedrive.stand import START_MS, PipedriveStand, context_for, pipedrive_stand

FIELDS = ("first_name", "last_name", "email", "phone", "phone.mobile")
LIST = "GET /api/v2/persons"
ONE = "GET /api/v2/persons/{id}"
DEFINITIONS = "GET /api/v2/personFields"
ORGANIZATIONS = "GET /api/v2/organizations"
STARTED = datetime.fromtimestamp(START_MS / 1000, UTC)


def walked(step):
    records, after = [], None
    while True:
        page = step(after)
        records += page.records
        after = page.next
        if after is None:
            return records


def people(count: int, **more: object) -> list[dict[str, object]]:
    return [{"name": f"P{n} Smith", "email": f"p{n}@example.com", **more} for n in range(count)]


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (1, 1), (500, 1), (501, 2), (1_250, 3)])
def test_a_full_scan_takes_one_request_for_five_hundred(stand: PipedriveStand, count: int, requests: int) -> None:
    """The definitions are known to the connection, so nothing but the pages is asked for."""
    stand.learn()
    ids = stand.add(people(count))
    connector = stand.connector()
    records, received = stand.counted(lambda: walked(lambda after: connector.scan("persons", FIELDS, after)))
    assert [record.remote_id for record in records] == ids
    assert received == {LIST: requests}
    assert connector.calls == requests
    assert connector.calls_by_operation == {"list": requests}


def test_without_definitions_they_are_asked_for_once(stand: PipedriveStand) -> None:
    """The marker's code and the types of custom fields are the account's own."""
    stand.add(people(501))
    connector = stand.connector()
    _, received = stand.counted(lambda: walked(lambda after: connector.scan("persons", FIELDS, after)))
    assert received == {LIST: 2, DEFINITIONS: 1}


def test_the_connection_may_ask_for_smaller_pages(stand: PipedriveStand) -> None:
    stand.learn()
    stand.add(people(25))
    connector = stand.connector(batch_size=10)
    _, received = stand.counted(lambda: walked(lambda after: connector.scan("persons", FIELDS, after)))
    assert received == {LIST: 3}


def test_a_delta_finds_what_changed_and_what_is_new(stand: PipedriveStand) -> None:
    """A new record has no update time and is found by its creation; the boundary second is part of it."""
    stand.learn()
    old, edited, _ = stand.add(people(3))
    stand.pass_time(600)
    since = stand.now()
    stand.edit(edited, {"name": "Edited Smith"})
    (new,) = stand.add(people(1))
    connector = stand.connector()
    records, received = stand.counted(lambda: walked(lambda after: connector.changes("persons", FIELDS, since, after)))
    assert {record.remote_id for record in records} == {edited, new}
    assert {record.modified_at for record in records} == {since}
    assert received == {LIST: 2}
    assert old not in {record.remote_id for record in records}


def test_an_idle_delta_is_one_request_for_changes_and_one_for_creations(stand: PipedriveStand) -> None:
    """Neither needs definitions, and the CRM's clock comes with the answer."""
    stand.add(people(5))
    stand.pass_time(600)
    connector = stand.connector()
    page, received = stand.counted(lambda: connector.changes("persons", FIELDS, STARTED + timedelta(minutes=5), None))
    assert (page.records, page.next) == ((), None)
    assert received == {LIST: 2}
    assert page.server_time == STARTED + timedelta(minutes=10)


@pytest.mark.parametrize(("shows_new", "requests"), [(False, 4), (True, 3)])
def test_a_delta_passes_more_records_of_one_second_than_a_page_holds(
    stand: PipedriveStand, shows_new: bool, requests: int
) -> None:
    """Whether or not the account's list of changes holds new records, each is seen once."""
    stand.learn()
    stand.back_door("POST", "settings", {"deltaShowsNew": shows_new})
    stand.add(people(2))
    stand.pass_time(60)
    since = stand.now()
    ids = stand.add(people(1_250))
    for remote_id in ids[:3]:
        stand.edit(remote_id, {"name": "Edited Smith"})
    connector = stand.connector()
    records, received = stand.counted(lambda: walked(lambda after: connector.changes("persons", FIELDS, since, after)))
    found = [record.remote_id for record in records]
    assert (sorted(found, key=int), len(found)) == (ids, len(set(found)))
    assert received == {LIST: requests}


def test_a_fraction_of_a_second_is_rounded_down(stand: PipedriveStand) -> None:
    """Pipedrive refuses fractions; a record of the same whole second is not left out."""
    stand.learn()
    (new,) = stand.add(people(1))
    since = STARTED + timedelta(milliseconds=900)
    records = walked(lambda after: stand.connector().changes("persons", FIELDS, since, after))
    assert [record.remote_id for record in records] == [new]


def test_a_change_during_the_delta_is_found_by_the_next_one(stand: PipedriveStand) -> None:
    """A record edited while the walk is past it has a newer stamp than the walk's first server time."""
    stand.learn()
    ids = stand.add(people(4))
    stand.pass_time(1)
    for remote_id in ids:
        stand.edit(remote_id, {"name": "Once Smith"})
    connector = stand.connector(batch_size=2)
    first = connector.changes("persons", FIELDS, STARTED + timedelta(seconds=1), None)
    stand.pass_time(1)
    stand.edit(ids[0], {"name": "Twice Smith"})
    seen, after = [record.remote_id for record in first.records], first.next
    while after:
        page = connector.changes("persons", FIELDS, STARTED + timedelta(seconds=1), after)
        seen += [record.remote_id for record in page.records]
        after = page.next
    assert set(seen) == set(ids)
    later = walked(lambda after: connector.changes("persons", FIELDS, STARTED + timedelta(seconds=2), after))
    assert [(record.remote_id, record.values["first_name"]) for record in later] == [(ids[0], "Twice")]


def test_a_position_of_another_walk_is_refused(stand: PipedriveStand) -> None:
    connector = stand.connector()
    for after in ("scan:abc", "nonsense", ":abc"):
        with pytest.raises(CursorExpiredError):
            connector.changes("persons", FIELDS, STARTED, after)
    with pytest.raises(CursorExpiredError):
        connector.scan("persons", FIELDS, "changed:abc")
    with pytest.raises(CursorExpiredError):
        connector.scan("persons", FIELDS, "scan:no-cursor-of-pipedrive")


# direct reads


def test_an_id_sweep_takes_one_request_a_hundred_and_one_for_each_that_is_gone(stand: PipedriveStand) -> None:
    """The list leaves out what is deleted, merged away or unknown; the single read says which."""
    stand.learn()
    ids = stand.add(people(250))
    stand.remove(ids[0])
    survivor = stand.merge(ids[1], ids[2])
    connector = stand.connector()
    found, received = stand.counted(lambda: connector.fetch("persons", [*ids, "987654321", "no-number"], FIELDS))
    states = {remote_id: record.state for remote_id, record in found.items() if record.state is not RemoteState.LIVE}
    assert states == {
        ids[0]: RemoteState.ARCHIVED,
        ids[2]: RemoteState.ARCHIVED,
        "987654321": RemoteState.MISSING,
        "no-number": RemoteState.MISSING,
    }
    assert survivor == ids[1]
    assert set(found) == {*ids, "987654321", "no-number"}
    assert received == {LIST: 3, ONE: 3}


def test_a_deleted_record_is_missing_when_pipedrive_has_purged_it(stand: PipedriveStand) -> None:
    """Thirty days after its deletion."""
    (remote_id,) = stand.add(people(1))
    stand.remove(remote_id)
    stand.pass_time(31 * 86_400)
    assert stand.connector().fetch("persons", [remote_id], FIELDS)[remote_id].state is RemoteState.MISSING


def test_values_are_the_names_parts(stand: PipedriveStand) -> None:
    """The primary number, the one with a label, and nothing where there is none."""
    phones = [
        {"value": "+34600111222", "label": "mobile", "primary": False},
        {"value": "+34911222333", "label": "work", "primary": True},
    ]
    (remote_id,) = stand.add([{"first_name": "Ana", "last_name": "Lopez", "phones": phones}])
    address = {"value": "Calle Mayor 1, 28001 Madrid", "route": "Calle Mayor", "street_number": "1"}
    stand.edit(remote_id, {"postal_address": {**address, "locality": "Madrid", "postal_code": "28001"}})
    names = [*FIELDS, "email.work", "postal_address.street", "postal_address.locality", "postal_address.country"]
    record = stand.connector().fetch("persons", [remote_id], names)[remote_id]
    assert record.values == {
        "first_name": "Ana",
        "last_name": "Lopez",
        "email": None,
        "email.work": None,
        "phone": "+34911222333",
        "phone.mobile": "+34600111222",
        "postal_address.street": "Calle Mayor 1",
        "postal_address.locality": "Madrid",
        "postal_address.country": None,
    }


# organizations


def test_the_company_is_the_organizations_name(stand: PipedriveStand) -> None:
    """A few are read by their ids: one request, whatever the account holds."""
    stand.learn()
    acme, umbra = stand.add([{"name": "Acme"}, {"name": "Umbra"}], "organizations")
    stand.add([*people(3, org_id=int(acme)), *people(1, org_id=int(umbra)), *people(1)])
    connector = stand.connector()
    records, received = stand.counted(lambda: walked(lambda after: connector.scan("persons", ["org_id.name"], after)))
    assert [record.values["org_id.name"] for record in records] == ["Acme", "Acme", "Acme", "Umbra", None]
    assert received == {LIST: 1, ORGANIZATIONS: 1}


def test_many_organizations_are_listed_once_five_hundred_a_request(stand: PipedriveStand) -> None:
    stand.learn()
    ids = stand.add([{"name": f"Org {n}"} for n in range(1_001)], "organizations")
    stand.add([{"name": f"P{n}", "org_id": int(each)} for n, each in enumerate(ids)])
    connector = stand.connector()
    records, received = stand.counted(lambda: walked(lambda after: connector.scan("persons", ["org_id.name"], after)))
    assert [record.values["org_id.name"] for record in records] == [f"Org {n}" for n in range(1_001)]
    assert received == {LIST: 3, ORGANIZATIONS: 3}


# the marker


def test_prepare_makes_the_marker_field_once(stand: PipedriveStand) -> None:
    """It is found by its name ever after."""
    connector = stand.connector()
    made, received = stand.counted(lambda: connector.prepare("persons"))
    assert (made, received) == (True, {DEFINITIONS: 1, DEFINITIONS.replace("GET", "POST"): 1})
    found = [each for each in connector.describe("persons") if each.label == "ADSapp contact id"]
    assert [(each.custom, each.kind, each.native_id == each.name) for each in found] == [(True, "text", True)]
    made, received = stand.counted(lambda: stand.connector().prepare("persons"))
    assert (made, received) == (True, {DEFINITIONS: 1})


def test_without_leave_to_make_it_creates_go_without_marker(stand: PipedriveStand) -> None:
    """A user who may not edit fields: prepare says so and the record is created all the same."""
    user = stand.back_door("POST", "users", {"email": "clerk@acme.test"})["id"]
    token = stand.back_door("POST", "tokens", {"userId": user})["token"]
    connector = stand.connector(token=lambda: Secret(token))
    assert connector.prepare("persons") is False
    assert connector.capabilities.marker_lookup is False
    result = connector.create("persons", [CreateItem("k", "org:1", {"name": "Ada"})])["k"]
    assert (result.error, result.record.marker) == (None, "")


def test_a_lost_create_is_found_although_search_lags(stand: PipedriveStand) -> None:
    """By a list of the newest records, one request for five hundred, however many creates are looked for."""
    stand.fake.state.search_lag_seconds = 60
    stand.learn()
    connector = stand.connector()
    stand.fail("lost_answer", writes_only=True)
    items = [CreateItem(f"k{n}", f"org:{n}", {"name": f"Ada {n}"}) for n in range(3)]
    results = connector.create("persons", items)
    assert {type(result.error) for result in results.values()} == {OutcomeUnknownError}
    stand.add(people(3))
    found, received = stand.counted(
        lambda: connector.find_by_markers("persons", [f"org:{n}" for n in range(4)], ["name"])
    )
    assert {marker: (record.marker, record.values["name"]) for marker, record in found.items()} == {
        f"org:{n}": (f"org:{n}", f"Ada {n}") for n in range(3)
    }
    assert received == {LIST: 1}


def test_a_look_up_by_marker_goes_back_thirty_days(stand: PipedriveStand) -> None:
    """And no page further: an older record has been seen by a scan."""
    stand.learn()
    connector = stand.connector(batch_size=2)
    connector.create("persons", [CreateItem("k", "org:1", {"name": "Ada"})])
    stand.add(people(6))
    stand.pass_time(20 * 86_400)
    stand.add(people(2))
    found, received = stand.counted(lambda: connector.find_by_markers("persons", ["org:1"], ["name"]).get("org:1"))
    assert (found is not None, received) == (True, {LIST: 5})
    stand.pass_time(20 * 86_400)
    connector = stand.connector(batch_size=2)
    found, received = stand.counted(lambda: connector.find_by_markers("persons", ["org:1"], ["name"]).get("org:1"))
    assert (found, received) == (None, {LIST: 2})


# addresses, definitions


def test_the_company_domain_is_one_word() -> None:
    """Anything else could lead the token to a foreign host."""
    for domain in ("evil.example/", "acme.pipedrive.com", "a b", "-acme", "ACME"):
        with pytest.raises(ConfigurationError) as refused:
            PROVIDER.connect(context_for("", settings={"api_base": "", "company_domain": domain}))
        assert refused.value.code == "config.host"
    PROVIDER.connect(context_for("", settings={"api_base": "", "company_domain": "acme-12"}))


@pytest.mark.parametrize(
    "settings", [{"api_version": "v3"}, {"auth_scheme": "basic"}, {"api_base": "http://acme.pipedrive.com"}]
)
def test_a_setting_that_does_not_exist_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        PROVIDER.connect(context_for("https://acme.pipedrive.com", settings=settings))


def test_definitions_tell_parts_options_and_owners(stand: PipedriveStand) -> None:
    """An option's value is its id; the fields of Contact Sync are listed only where the company has them."""
    hash_of = stand.back_door("POST", "fields", {"name": "Tier", "type": "enum", "options": ["Gold", "Tin"]})
    found = {each.name: each for each in stand.connector().describe("persons")}
    tier = found[hash_of["code"]]
    assert (tier.kind, tier.custom, tier.native_id) == ("choice", True, hash_of["code"])
    assert tier.options == tuple((str(each["id"]), each["label"]) for each in hash_of["options"])
    assert {found[name].kind for name in ("phone", "phone.mobile", "phone.work")} == {"phone"}
    assert found["email"].kind == "email"
    assert found["org_id.name"].writable
    assert found["birthday"].kind == "date"
    assert not found["update_time"].writable
    assert [label for _, label in found["owner_id"].options] == ["bot@acme.test", "grace@acme.test", "alan@acme.test"]
    with pipedrive_stand(contact_sync=False) as plain:
        names = {each.name for each in plain.connector().describe("persons")}
    assert not names & {"birthday", "job_title", "postal_address", "postal_address.street"}


def test_the_account_is_the_company(stand: PipedriveStand) -> None:
    account = stand.connector().account()
    assert (account.remote_account_id, account.name) == ("15043420", "Acme")
    assert (account.url, account.time_zone) == ("https://acme.pipedrive.com", "Europe/Berlin")
