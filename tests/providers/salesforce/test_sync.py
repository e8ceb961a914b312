"""Reads of the connector against the fake over loopback: which requests answer which question, and how many."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import pytest

from crm.errors import (
    ConfigurationError,
    CursorExpiredError,
    MappingError,
    RateLimitedError,
)
from crm.model import RemoteState
from crm.providers.salesforce import PROVIDER
from tests.providers.salesforce.calls import ALL, DESCRIBE, FIELDS, QUERY, STARTED, pages_of, people, walked
from tests.providers.salesforce.stand import SalesforceStand


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (1, 1), (1_999, 1), (2_000, 1), (2_001, 2), (4_100, 3)])
def test_a_full_scan_takes_one_request_for_two_thousand(stand: SalesforceStand, count: int, requests: int) -> None:
    """Never one beyond; the stored description saves its own."""
    ids = stand.add(people(count))
    connector = stand.connector()
    records, received = stand.counted(lambda: walked(lambda after: connector.scan("Contact", FIELDS, after)))
    assert [record.remote_id for record in records] == ids
    assert received == {QUERY: requests}
    assert connector.calls == requests == max(1, math.ceil(count / 2_000))


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
