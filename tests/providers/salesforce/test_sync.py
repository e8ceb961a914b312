"""Reads of the connector against the fake over loopback: which requests answer which question, and how many."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import requests
import responses

from crm.errors import (
    ConfigurationError,
    CursorExpiredError,
    MappingError,
    OutcomeUnknownError,
    PermissionMissingError,
    RateLimitedError,
    UnexpectedAnswerError,
)
from crm.http.redact import shape_of
from crm.model import RemoteState
from crm.ports import CreateItem, UpdateItem
from crm.providers.salesforce import PROVIDER
from crm.providers.salesforce.mapping import MARKER_FIELD
from crm.providers.salesforce.wire import PERSON_ACCOUNT
from tests.providers.salesforce.stand import START_MS, SalesforceStand, salesforce_stand

FIELDS = ("FirstName", "LastName", "Email", "Account.Name", "HasOptedOutOfEmail")
BASE = "/services/data/{version}"
QUERY = f"GET {BASE}/query"
ALL = f"GET {BASE}/queryAll"
MORE = f"GET {BASE}/queryAll/{{locator}}"
COMPOSITE = f"POST {BASE}/composite"
DESCRIBE = f"GET {BASE}/sobjects/Contact/describe"
CREATE = f"POST {BASE}/composite/sobjects"
UPDATE = f"PATCH {BASE}/composite/sobjects"
STARTED = datetime.fromtimestamp(START_MS // 1000, UTC)


def walked(step):
    records, after = [], None
    while True:
        page = step(after)
        records += page.records
        after = page.next
        if after is None:
            return records


def people(count: int, **more):
    return [{"LastName": f"P{n}", "Email": f"p{n}@example.com", **more} for n in range(count)]


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (1, 1), (1_999, 1), (2_000, 2), (4_100, 3)])
def test_a_full_scan_takes_one_request_for_two_thousand(stand: SalesforceStand, count: int, requests: int) -> None:
    """And never more than one beyond; the stored description saves its own."""
    ids = stand.add(people(count))
    connector = stand.connector()
    records, received = stand.counted(lambda: walked(lambda after: connector.scan("Contact", FIELDS, after)))
    assert [record.remote_id for record in records] == ids
    assert received == {QUERY: requests}
    assert connector.calls == requests <= math.ceil(count / 2_000) + 1


def test_without_a_stored_description_one_is_asked_for(stand: SalesforceStand) -> None:
    """Once a connector."""
    stand.add(people(3))
    connector = stand.connector(definitions={})
    _, received = stand.counted(lambda: [connector.scan("Contact", FIELDS, None) for _ in range(2)])
    assert received == {DESCRIBE: 1, QUERY: 2}


def test_pages_that_salesforce_cuts_short_lose_nothing(stand: SalesforceStand) -> None:
    """Long text halves a page, and a busy server may cut it further: the walk goes on from the last row."""
    ids = stand.add(people(25))
    stand.set_up(maxPage=10)
    connector = stand.connector()
    records, received = stand.counted(lambda: walked(lambda after: connector.scan("Contact", FIELDS, after)))
    assert ([record.remote_id for record in records], received) == (ids, {QUERY: 3})
    changed, received = stand.counted(
        lambda: walked(lambda after: connector.changes("Contact", FIELDS, STARTED, after))
    )
    assert ([record.remote_id for record in changed], received) == (ids, {ALL: 3})
    found, received = stand.counted(lambda: connector.fetch("Contact", ids, FIELDS))
    assert {record.state for record in found.values()} == {RemoteState.LIVE}
    assert received[ALL] == 1
    assert sum(received.values()) == 3


def test_an_idle_delta_is_one_request(stand: SalesforceStand) -> None:
    stand.add(people(5))
    stand.pass_time(600)
    connector = stand.connector()
    page, received = stand.counted(lambda: connector.changes("Contact", FIELDS, STARTED + timedelta(minutes=5), None))
    assert (page.records, page.next, received) == ((), None, {ALL: 1})
    assert page.server_time == STARTED + timedelta(minutes=10)


@pytest.mark.parametrize("page_size", [1, 2, 3, 7])
def test_a_delta_walks_through_equal_stamps_and_across_them(stand: SalesforceStand, page_size: int) -> None:
    """Every page boundary may fall between two rows of one second."""
    ids = stand.add(people(4))
    stand.pass_time(1)
    ids += stand.add(people(5))
    stand.edit(ids[0], {"Title": "late"})
    connector = stand.connector(batch_size=page_size)
    records = walked(lambda after: connector.changes("Contact", FIELDS, STARTED, after))
    assert sorted(record.remote_id for record in records) == sorted(ids)
    assert [record.modified_at for record in records] == sorted(record.modified_at for record in records)
    later = walked(lambda after: connector.changes("Contact", FIELDS, STARTED + timedelta(seconds=1), after))
    assert {record.remote_id for record in later} == {ids[0], *ids[4:]}


def test_a_change_during_the_delta_is_seen_by_it(stand: SalesforceStand) -> None:
    """Its new stamp puts it at the end of the same walk."""
    ids = stand.add(people(3))
    connector = stand.connector(batch_size=1)
    first = connector.changes("Contact", FIELDS, STARTED, None)
    stand.pass_time(1)
    stand.edit(ids[0], {"FirstName": "Edited"})
    rest, after = [], first.next
    while after:
        page = connector.changes("Contact", FIELDS, STARTED, after)
        rest += [(record.remote_id, record.values["FirstName"]) for record in page.records]
        after = page.next
    assert rest == [(ids[1], None), (ids[2], None), (ids[0], "Edited")]


def test_a_row_that_becomes_visible_late_lies_within_the_overlap(stand: SalesforceStand) -> None:
    """Its stamp is from before the walk that could not see it."""
    stand.back_door("POST", "settings", {"lateSeconds": 60})
    (late,) = stand.add(people(1))
    connector = stand.connector()
    assert walked(lambda after: connector.changes("Contact", FIELDS, STARTED, after)) == []
    stand.pass_time(61)
    since = stand.now() - timedelta(seconds=connector.capabilities.overlap_seconds)
    found = walked(lambda after: connector.changes("Contact", FIELDS, since, after))
    assert [(record.remote_id, record.modified_at) for record in found] == [(late, STARTED)]


def test_a_delta_tells_deleted_from_merged_and_winners_name_their_losers(stand: SalesforceStand) -> None:
    """The winner of a merge comes along even when it is on another page."""
    kept, lost, deleted, other = stand.add(people(4))
    stand.pass_time(5)
    stand.merge(kept, lost)
    stand.remove(deleted)
    records = {}
    connector = stand.connector()
    for record in walked(lambda after: connector.changes("Contact", FIELDS, STARTED, after)):
        records[record.remote_id] = record
    assert {each: record.state for each, record in records.items()} == {
        kept: RemoteState.LIVE,
        lost: RemoteState.MERGED,
        deleted: RemoteState.ARCHIVED,
        other: RemoteState.LIVE,
    }
    assert (records[lost].merged_into, records[kept].former_ids) == (kept, (lost,))
    paged = stand.connector(batch_size=1)
    for page_of_loser in (
        page
        for page in pages_of(lambda after: paged.changes("Contact", FIELDS, STARTED, after))
        if any(record.remote_id == lost for record in page.records)
    ):
        winner = next(record for record in page_of_loser.records if record.remote_id == kept)
        assert winner.former_ids == (lost,)
        assert winner.values["LastName"] == "P0"


def pages_of(step):
    after = None
    while True:
        page = step(after)
        yield page
        after = page.next
        if after is None:
            return


def test_a_chain_of_merges_leads_to_the_last_winner(stand: SalesforceStand) -> None:
    """A lost to B, and B to C: both lead to C, which names both."""
    first, second, third = stand.add(people(3))
    stand.merge(second, first)
    stand.merge(third, second)
    connector = stand.connector()
    found = connector.fetch("Contact", [first], FIELDS)
    assert (found[first].state, found[first].merged_into) == (RemoteState.MERGED, third)
    changed = {
        record.remote_id: record
        for record in walked(lambda after: connector.changes("Contact", FIELDS, STARTED, after))
    }
    assert changed[first].merged_into == changed[second].merged_into == third
    assert changed[third].former_ids == tuple(sorted((first, second)))


def test_a_scan_shows_live_records_only(stand: SalesforceStand) -> None:
    kept, lost, deleted = stand.add(people(3))
    stand.merge(kept, lost)
    stand.remove(deleted)
    found = walked(lambda after: stand.connector().scan("Contact", FIELDS, after))
    assert [(record.remote_id, record.state) for record in found] == [(kept, RemoteState.LIVE)]


def test_fetch_tells_every_fate_in_one_request(stand: SalesforceStand) -> None:
    """Live, merged, in the recycle bin, purged, of another type, no id at all; 15 characters do as well."""
    ids = stand.add(people(5))
    (lead,) = stand.add([{"LastName": "L", "Company": "Acme"}], "Lead")
    stand.merge(ids[0], ids[1])
    stand.remove(ids[2])
    stand.remove(ids[3])
    stand.back_door("POST", "purge", {"id": ids[3]})
    connector = stand.connector()
    asked = [*ids[:4], ids[4][:15], lead, "no id", "999999999999"]
    found, received = stand.counted(lambda: connector.fetch("Contact", asked, FIELDS))
    assert list(found) == asked
    assert [record.state for record in found.values()] == [
        RemoteState.LIVE,
        RemoteState.MERGED,
        RemoteState.ARCHIVED,
        RemoteState.MISSING,
        RemoteState.LIVE,
        RemoteState.MISSING,
        RemoteState.MISSING,
        RemoteState.MISSING,
    ]
    assert (found[ids[0]].former_ids, found[ids[1]].merged_into) == ((ids[1],), ids[0])
    assert received == {ALL: 1}


@pytest.mark.parametrize("count", [150, 300, 2_000, 2_001])
def test_a_fetch_takes_one_request_for_two_thousand(stand: SalesforceStand, count: int) -> None:
    """A query too long for an address travels in the body of a composite call, which counts as one."""
    ids = stand.add(people(count))
    connector = stand.connector()
    found, received = stand.counted(lambda: connector.fetch("Contact", ids, FIELDS))
    assert {record.state for record in found.values()} == {RemoteState.LIVE}
    assert sum(received.values()) == connector.calls == math.ceil(count / 2_000)
    assert stand.fake.stats()["statuses"] == {"200": connector.calls}


def test_a_hidden_field_is_unknown_and_never_blank(stand: SalesforceStand) -> None:
    """Field-level security withholds the opt-out: the app's own is not touched by a blank."""
    (remote_id,) = stand.add([{"LastName": "Ada", "HasOptedOutOfEmail": True}])
    stand.back_door("POST", "fields/access", {"object": "Contact", "name": "HasOptedOutOfEmail", "access": "hidden"})
    connector = stand.connector(definitions={})
    assert "HasOptedOutOfEmail" not in {each.name for each in connector.describe("Contact")}
    record = connector.fetch("Contact", [remote_id], ["LastName", "HasOptedOutOfEmail"])[remote_id]
    assert dict(record.values) == {"LastName": "Ada"}


def test_a_field_hidden_since_the_description_costs_one_more_look(stand: SalesforceStand) -> None:
    """The query fails as a whole, the description is read again, and the field is unknown from then on."""
    (remote_id,) = stand.add([{"LastName": "Ada", "HasOptedOutOfEmail": True}])
    stand.back_door("POST", "fields/access", {"object": "Contact", "name": "HasOptedOutOfEmail", "access": "hidden"})
    connector = stand.connector()
    page, received = stand.counted(lambda: connector.scan("Contact", FIELDS, None))
    assert dict(page.records[0].values) == {
        "FirstName": None, "LastName": "Ada", "Email": None, "Account.Name": None,
    }  # fmt: skip
    assert received == {QUERY: 2, DESCRIBE: 1}
    _, received = stand.counted(lambda: connector.fetch("Contact", [remote_id], FIELDS))
    assert received == {ALL: 1}


def test_without_access_to_accounts_the_company_is_unknown(stand: SalesforceStand) -> None:
    """The reference that leads to the account is hidden, so its name is no field any more."""
    stand.add(people(1))
    stand.back_door("POST", "fields/access", {"object": "Contact", "name": "AccountId", "access": "hidden"})
    for connector in (stand.connector(), stand.connector(definitions={})):
        record = connector.scan("Contact", FIELDS, None).records[0]
        assert "Account.Name" not in record.values
        assert record.values["LastName"] == "P0"


@responses.activate
def test_a_relation_that_cannot_be_followed_is_left_out_like_a_hidden_field(stand: SalesforceStand) -> None:
    """The account's id is described, but the user may not see accounts."""
    base = "https://acme.my.salesforce.com/services/data/v59.0"
    refused = [{"errorCode": "INVALID_FIELD", "message": "Didn't understand relationship 'Account' in field path."}]
    described = {"fields": [{"name": "LastName", "type": "string"}, {"name": "AccountId", "type": "reference"}]}
    responses.add("GET", f"{base}/query", json=refused, status=400)
    responses.add("GET", f"{base}/sobjects/Contact/describe", json=described)
    responses.add("GET", f"{base}/query", json={"totalSize": 0, "done": True, "records": []})
    settings = {"instance_url": "https://acme.my.salesforce.com"}
    connector = stand.connector(definitions={}, settings=settings, session=requests.Session())
    connector.describe("Contact")
    assert connector.scan("Contact", ["LastName", "Account.Name"], None).records == ()
    asked = [call.request.params["q"] for call in responses.calls if "q" in call.request.params]
    assert ["Account.Name" in each for each in asked] == [True, False]


def test_a_hidden_object_is_a_lack_of_permission(stand: SalesforceStand) -> None:
    stand.back_door("POST", "settings", {"hiddenObjects": ["Lead"]})
    with pytest.raises(PermissionMissingError) as caught:
        stand.connector().scan("Lead", ["LastName"], None)
    assert caught.value.code == "perm.object"


def test_the_company_is_the_accounts_name(stand: SalesforceStand) -> None:
    (account,) = stand.add([{"Name": "Acme"}], "Account")
    stand.add([{"LastName": "In", "AccountId": account}, {"LastName": "Out"}])
    records = walked(lambda after: stand.connector().scan("Contact", ["LastName", "Account.Name"], after))
    assert [dict(record.values) for record in records] == [
        {"LastName": "In", "Account.Name": "Acme"},
        {"LastName": "Out", "Account.Name": None},
    ]


def test_leads_are_read_as_contacts_are(stand: SalesforceStand) -> None:
    """And a converted one leads to the contact it became."""
    open_id, converted_id = stand.add(
        [{"LastName": "Open", "Company": "Acme"}, {"LastName": "Done", "Company": "Acme"}], "Lead"
    )
    stand.pass_time(5)
    made = stand.back_door("POST", "convert", {"leadId": converted_id})
    contact_id = made["lead"]["ConvertedContactId"]
    connector = stand.connector()
    fields = ["LastName", "Company"]
    for records in (
        walked(lambda after: connector.scan("Lead", fields, after)),
        walked(lambda after: connector.changes("Lead", fields, STARTED, after)),
        connector.fetch("Lead", [open_id, converted_id], fields).values(),
    ):
        found = {record.remote_id: record for record in records}
        assert found[open_id].state is RemoteState.LIVE
        assert dict(found[open_id].values) == {"LastName": "Open", "Company": "Acme"}
        assert found[converted_id].state is RemoteState.MERGED
        assert found[converted_id].merged_into == f"Contact:{contact_id}"
    assert connector.fetch("Lead", [f"Contact:{contact_id}", open_id], fields).keys() == {open_id}
    error = connector.update("Lead", [UpdateItem("k", converted_id, {"Title": "CTO"})])["k"].error
    assert (error.code, error.merged_into) == ("state.converted", f"Contact:{contact_id}")


def test_person_accounts_carry_a_reason_to_be_skipped(stand: SalesforceStand) -> None:
    stand.set_up(personAccounts=True)
    stand.add([{"LastName": "Person", "FirstName": "Ada"}], "Account")
    stand.add([{"LastName": "Plain"}])
    found = walked(lambda after: stand.connector().scan("Contact", ["LastName"], after))
    reasons = {record.values["LastName"]: record.skip_reason for record in found}
    assert reasons == {"Person": PERSON_ACCOUNT, "Plain": ""}


@pytest.mark.parametrize(("by", "by_us"), [("api_user_id", True), ("ui_user_id", False)])
def test_the_last_modifier_tells_whether_it_was_us(stand: SalesforceStand, by: str, by_us: bool) -> None:
    (remote_id,) = stand.add(people(1))
    stand.edit(remote_id, {"Title": "CTO"}, userId=getattr(stand.fake.people, by))
    assert stand.connector().fetch("Contact", [remote_id], FIELDS)[remote_id].by_us is by_us


def test_who_we_are_is_asked_once_where_the_grant_did_not_tell(stand: SalesforceStand) -> None:
    (remote_id,) = stand.add(people(1))
    connector = stand.connector(settings={"user_id": ""})
    _, received = stand.counted(lambda: [connector.fetch("Contact", [remote_id], FIELDS) for _ in range(2)])
    assert received == {"GET /services/oauth2/userinfo": 1, ALL: 2}


def test_the_account_is_the_organization(stand: SalesforceStand) -> None:
    account = stand.connector().account()
    assert (account.remote_account_id, account.url) == (stand.fake.people.org_id, stand.url)


# the marker


def test_prepare_says_whether_an_administrator_has_made_the_marker_field(stand: SalesforceStand) -> None:
    """It cannot be made by us: one description, nothing written."""
    found, received = stand.counted(lambda: stand.connector().prepare("Contact"))
    assert (found, received) == (True, {DESCRIBE: 1})
    with salesforce_stand(marked=False) as bare:
        connector = bare.connector()
        assert not connector.capabilities.marker_lookup
        assert not connector.prepare("Contact")
        assert not connector.capabilities.marker_lookup
        assert connector.find_by_marker("Contact", "org:1", FIELDS) is None


def test_a_marker_field_that_is_not_unique_is_none() -> None:
    """It could lead to two records."""
    with salesforce_stand(marked=False) as stand:
        body = {"object": "Contact", "name": MARKER_FIELD, "type": "string", "length": 80, "externalId": True}
        stand.back_door("POST", "fields", body)
        connector = stand.connector()
        assert not connector.prepare("Contact")
        connector.create("Contact", [CreateItem("k", "org:1", {"LastName": "Ada"})])
        assert [record[MARKER_FIELD] for record in stand.records()] == [None]


def test_a_marked_record_is_found_by_one_direct_query(stand: SalesforceStand) -> None:
    connector = stand.connector()
    made = connector.create("Contact", [CreateItem("k", "org:a'b", {"LastName": "Ada"})])["k"].record
    found, received = stand.counted(lambda: connector.find_by_marker("Contact", "org:a'b", ["LastName"]))
    assert (found.remote_id, found.marker, dict(found.values)) == (made.remote_id, "org:a'b", {"LastName": "Ada"})
    assert received == {QUERY: 1}
    assert connector.find_by_marker("Contact", "ORG:A'B", ["LastName"]) is None


# positions, addresses, limits


@pytest.mark.parametrize(
    "after",
    ["scan|nonsense", "changes|003dM00000A1b2CQAR", "scan|2026-05-01T00:00:00.000+0000|003aj000002oTldAAE", "x", "|",
     "changes|2026-05-01T00:00:00Z|' OR Id != '", "changes|now|003aj000002oTldAAE"],
)  # fmt: skip
def test_a_position_that_is_none_is_refused_unsent(stand: SalesforceStand, after: str) -> None:
    connector = stand.connector()
    for act in (
        lambda: connector.changes("Contact", FIELDS, STARTED, after),
        lambda: connector.scan("Contact", FIELDS, after),
    ):
        with pytest.raises(CursorExpiredError):
            act()
    assert connector.calls == 0


@pytest.mark.parametrize(
    "url",
    ["", "http://acme.my.salesforce.com", "https://acme.lightning.force.com", "https://acme.my.salesforce.com.evil.com",
     "https://evil.com", "https://169.254.169.254", "https://acme.my.salesforce.com:8443", "https://u@a.salesforce.com"],
)  # fmt: skip
def test_the_address_of_the_token_is_called_only_where_it_is_salesforces(stand: SalesforceStand, url: str) -> None:
    with pytest.raises(ConfigurationError):
        PROVIDER.connect(replace(stand.context(), settings={"instance_url": url}))


def test_an_api_version_that_is_none_is_refused(stand: SalesforceStand) -> None:
    with pytest.raises(ConfigurationError, match=r"59\.0"):
        stand.connector(settings={"api_version": "59.0/../60.0"})
    assert stand.connector(settings={"api_version": "60.0"}).account().remote_account_id


def test_the_days_allowance_is_learned_and_when_used_up_is_a_long_wait(stand: SalesforceStand) -> None:
    """The refusal says so; nothing is tried again meanwhile."""
    stand.back_door("POST", "settings", {"limits": "real", "dailyLimit": 100, "apiUsage": 100})
    connector = stand.connector()
    with pytest.raises(RateLimitedError) as caught:
        connector.scan("Contact", FIELDS, None)
    assert (caught.value.daily, caught.value.code, connector.calls) == (True, "quota.daily", 1)


def test_usage_above_our_share_stops_before_the_refusal(stand: SalesforceStand) -> None:
    """``Sforce-Limit-Info`` counts everybody's calls: the customer's other tools keep their fifth."""
    stand.back_door("POST", "settings", {"limits": "count", "dailyLimit": 100, "apiUsage": 78})
    connector = stand.connector()
    connector.scan("Contact", FIELDS, None)
    connector.scan("Contact", FIELDS, None)
    with pytest.raises(RateLimitedError) as caught:
        connector.scan("Contact", FIELDS, None)
    assert (caught.value.daily, connector.calls) == (True, 2)


def test_a_field_that_is_described_and_not_known_is_told_to_a_person(stand: SalesforceStand) -> None:
    """A name that is no field's never reaches a query."""
    page = stand.connector().scan("Contact", ["LastName", "Id FROM User", "Name'"], None)
    assert page.records == ()
    broken = {"Contact": [*stand.definitions["Contact"], replace(stand.definitions["Contact"][0], name="a'b")]}
    connector = stand.connector(definitions=broken)
    with pytest.raises(MappingError):
        connector.scan("Contact", ["a'b"], None)
    assert connector.calls == 0


@pytest.mark.parametrize(
    ("record_type", "values", "change"),
    [
        ("Opportunity", {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-12-31"}, {"NextStep": "Call"}),
        ("Task", {"Subject": "Call", "Status": "Not Started", "Priority": "Normal"}, {"Subject": "Called"}),
        ("Lead", {"LastName": "Ada", "Company": "Acme"}, {"Title": "CTO"}),
    ],
)
def test_other_objects_go_through_the_same_calls(stand: SalesforceStand, record_type, values, change) -> None:
    """Describe, create, list, change, read, delete."""
    connector = stand.connector()
    assert {*values, *change} <= {each.name for each in connector.describe(record_type)}
    made = connector.create(record_type, [CreateItem("k", "org:1", values)])["k"].record
    names = [*values, *change]
    assert [each.remote_id for each in connector.scan(record_type, names, None).records] == [made.remote_id]
    assert connector.update(record_type, [UpdateItem("k", made.remote_id, change)])["k"].error is None
    (changed,) = connector.changes(record_type, names, STARTED, None).records
    assert dict(changed.values) == {**values, **change}
    assert connector.delete(record_type, [UpdateItem("k", made.remote_id, {})])["k"].error is None
    assert connector.fetch(record_type, [made.remote_id], names)[made.remote_id].state is RemoteState.ARCHIVED


def test_an_expired_session_is_renewed_once_and_the_call_repeated(stand: SalesforceStand) -> None:
    """A token has no stated lifetime: the refusal is how one learns of its end."""
    ids = stand.add(people(2))
    renewed: list[str] = []
    stand.fail("unauthorized")
    connector = stand.connector(reauthorize=lambda: renewed.append("once"))
    assert [record.remote_id for record in connector.scan("Contact", FIELDS, None).records] == ids
    assert (renewed, connector.calls) == (["once"], 2)


def test_a_long_list_of_fields_travels_in_a_body(stand: SalesforceStand) -> None:
    """Hundreds of mapped fields would not fit into an address; the page stays one request."""
    names = [f"Rather_long_name_of_a_field_{number:03}__c" for number in range(350)]
    for name in names:
        stand.back_door("POST", "fields", {"object": "Contact", "name": name, "type": "string", "length": 20})
    stand.learn()
    (remote_id,) = stand.add([{"LastName": "Ada", names[349]: "x"}])
    connector = stand.connector()
    for step in (
        lambda: connector.scan("Contact", names, None).records,
        lambda: connector.changes("Contact", names, STARTED, None).records,
        lambda: connector.fetch("Contact", [remote_id], names).values(),
    ):
        (record,), received = stand.counted(lambda step=step: list(step()))
        assert (record.values[names[349]], received) == ("x", {COMPOSITE: 1})


@responses.activate
def test_calls_say_who_sends_them_and_writes_keep_automation_out(stand: SalesforceStand) -> None:
    """The name shows in the customer's logs and change events; assignment rules are switched off."""
    base = "https://acme.my.salesforce.com/services/data/v59.0"
    responses.add("GET", f"{base}/query", json={"totalSize": 0, "done": True, "records": []})
    responses.add("PATCH", f"{base}/composite/sobjects", json=[{"id": "003aj000002oTldAAE", "success": True}])
    settings = {"instance_url": "https://acme.my.salesforce.com"}
    connector = stand.connector(settings=settings, session=requests.Session())
    connector.scan("Contact", FIELDS, None)
    connector.update("Contact", [UpdateItem("k", "003aj000002oTldAAE", {"Title": "x"})])
    read, written = (call.request.headers for call in responses.calls)
    assert (read["Sforce-Call-Options"], written["Sforce-Call-Options"]) == ("client=ADSapp", "client=ADSapp")
    assert written["Sforce-Auto-Assign"] == "FALSE"
    assert written["Sforce-Duplicate-Rule-Header"] == "allowSave=false; includeRecordDetails=true"


@pytest.mark.parametrize(
    ("method", "body", "error"),
    [
        ("GET", {"records": []}, UnexpectedAnswerError),
        ("GET", {"done": True, "records": [{"LastName": "no id"}]}, UnexpectedAnswerError),
        ("GET", {"done": False, "records": [], "nextRecordsUrl": "https://evil.example/x"}, UnexpectedAnswerError),
        (
            "GET",
            {"done": False, "records": [], "nextRecordsUrl": "/services/data/v59.0/query/x"},
            UnexpectedAnswerError,
        ),
        ("GET", [], UnexpectedAnswerError),
        ("PATCH", [], OutcomeUnknownError),
        ("PATCH", [{"id": "003aj000002oTldAAE"}], OutcomeUnknownError),
        ("PATCH", [{"success": True}], OutcomeUnknownError),
        ("PATCH", [{"id": "1", "success": True}, {"id": "2", "success": True}], OutcomeUnknownError),
        ("PATCH", {"success": True}, OutcomeUnknownError),
    ],
)
@responses.activate
def test_an_answer_of_another_shape_is_neither_empty_nor_done(stand: SalesforceStand, method, body, error) -> None:
    """A read raises; a write may have happened, so its outcome is not known."""
    base = "https://acme.my.salesforce.com/services/data/v59.0"
    responses.add(method, f"{base}/{'query' if method == 'GET' else 'composite/sobjects'}", json=body)
    settings = {"instance_url": "https://acme.my.salesforce.com"}
    connector = stand.connector(settings=settings, session=requests.Session())
    if method == "GET":
        with pytest.raises(error) as caught:
            connector.scan("Contact", FIELDS, None)
        leads_nowhere = isinstance(body, dict) and str(body.get("nextRecordsUrl")).startswith("/")
        assert caught.value.payload == ("" if leads_nowhere else shape_of(body))
    else:
        result = connector.update("Contact", [UpdateItem("k", "003aj000002oTldAAE", {"Title": "x"})])["k"]
        assert type(result.error) is error
