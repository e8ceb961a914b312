"""Bulk jobs of the connector against the fake over loopback: complete reads and large writes, whatever breaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crm.errors import (
    ConfigurationError,
    CursorExpiredError,
    OutcomeUnknownError,
    ProviderUnavailableError,
    RecordGoneError,
    TransientError,
    UnexpectedAnswerError,
)
from crm.model import RunKind
from crm.ports import CreateItem, Page, UpdateItem
from crm.providers.salesforce import bulk, endpoints
from crm.providers.salesforce.mapping import MARKER_FIELD
from crm.providers.salesforce.sync import SalesforceConnector
from crm.testing.faults import Fault
from tests.providers.salesforce.stand import SalesforceStand, salesforce_stand
from tests.providers.salesforce.test_engine import Sync

FIELDS = ["LastName", "Email", "Account.Name", "DoNotCall", "Birthdate"]
SETTINGS = {"bulk_reads_from": "5", "bulk_writes_from": "5"}
JOBS = "*/jobs/*"


def people(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"LastName": f"P{n}", "Email": f"p{n}@example.com", **more} for n in range(count)]


def creates(count: int) -> list[CreateItem]:
    return [
        CreateItem(f"k{n}", f"org:{n}", {"LastName": f"P{n}", "Email": f"p{n}@example.com", "DoNotCall": True})
        for n in range(count)
    ]


def clocked(stand: SalesforceStand, **more: Any) -> SalesforceConnector:
    """Its waits pass the fake's time."""
    return stand.connector(settings=SETTINGS, sleep=stand.pass_time, **more)


def sparing(stand: SalesforceStand, **more: Any) -> SalesforceConnector:
    """It has learned that more than half of the day's requests are used: large writes go by jobs."""
    stand.fake.limits.use(60_000)
    connector = clocked(stand, **more)
    connector.describe("Contact")
    return connector


def walked(connector: SalesforceConnector, after: str | None = "bulk") -> list[Page]:
    pages = [connector.scan("Contact", FIELDS, after)]
    while pages[-1].next is not None:
        assert len(pages) < 50
        pages.append(connector.scan("Contact", FIELDS, pages[-1].next))
    return pages


def job_requests(received: dict[str, int]) -> dict[str, int]:
    return {name.replace("/services/data/{version}", ""): count for name, count in received.items()}


def test_a_first_complete_read_is_one_job(stand: SalesforceStand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of a job are those of a query: typed, with the account's name, blanks as blanks; few requests."""
    monkeypatch.setattr(endpoints, "BULK_RESULTS", 10)
    (account,) = stand.add([{"Name": 'Umbra "AG", Köln\nNord'}], "Account")
    ids = stand.add([*people(20), {"LastName": "Last", "AccountId": account, "DoNotCall": True}])
    connector = clocked(stand)
    assert connector.capabilities.first_scan == "bulk"
    pages, received = stand.counted(lambda: walked(connector))
    assert sorted(record.remote_id for page in pages for record in page.records) == sorted(ids)
    assert job_requests(received) == {
        "GET /query": 1,
        "POST /jobs/query": 1,
        "GET /jobs/query/{job}": 1,
        "GET /jobs/query/{job}/results": 3,
        "DELETE /jobs/query/{job}": 1,
    }
    assert pages[0].records == ()
    assert pages[0].server_time is not None
    by_pages = {each.remote_id: each for page in walked(connector, None) for each in page.records}
    assert {each.remote_id: each for page in pages for each in page.records} == by_pages


def test_few_records_are_read_page_by_page(stand: SalesforceStand) -> None:
    """Below the threshold, and always where it is 0; a later complete read has no other beginning than before.

    The first page tells how many there are. Where the connection's own pages are smaller that is asked for.
    """
    ids = stand.add(people(4))
    _, received = stand.counted(lambda: walked(clocked(stand)))
    assert job_requests(received) == {"GET /query": 1}
    pages, received = stand.counted(lambda: walked(clocked(stand, batch_size=3)))
    assert ([len(page.records) for page in pages], job_requests(received)) == ([3, 1], {"GET /query": 3})
    assert stand.connector(settings={"bulk_reads_from": "0"}).capabilities.first_scan is None
    assert [each.remote_id for page in walked(clocked(stand), None) for each in page.records] == ids


def test_a_job_is_waited_for_by_its_id_and_by_whoever_goes_on(stand: SalesforceStand) -> None:
    """No call sits it out: the position comes back, and another worker's connector takes it from there."""
    ids = stand.add(people(12))
    stand.set_up(bulkSeconds=20)
    first = clocked(stand).scan("Contact", FIELDS, "bulk")
    second = clocked(stand).scan("Contact", FIELDS, first.next)
    assert (second.records, second.next) == ((), first.next)
    pages = walked(clocked(stand), second.next)
    assert sorted(record.remote_id for page in pages for record in page.records) == sorted(ids)
    assert stand.fake.stats()["requests"]["POST /services/data/{version}/jobs/query"] == 1


def forget(stand: SalesforceStand) -> None:
    stand.fake.bulk.jobs.clear()


def fail(stand: SalesforceStand) -> None:
    for job in stand.fake.bulk.jobs.values():
        job.state = "Failed"


def abort(stand: SalesforceStand) -> None:
    for job in stand.fake.bulk.jobs.values():
        job.state = "Aborted"


@pytest.mark.parametrize("end", [forget, fail, abort])
def test_where_a_job_comes_to_nothing_the_pages_do_it(stand: SalesforceStand, end: Callable[..., None]) -> None:
    """From the beginning: nobody is missed."""
    ids = stand.add(people(12))
    connector = clocked(stand)
    first = connector.scan("Contact", FIELDS, "bulk")
    end(stand)
    pages = walked(connector, first.next)
    assert [record.remote_id for page in pages for record in page.records] == ids


def test_where_the_user_may_not_make_jobs_the_pages_do_it(stand: SalesforceStand) -> None:
    """An organization without the Bulk API is read all the same."""
    ids = stand.add(people(12))
    stand.fake.faults.add(Fault("not_found", method="POST", path=JOBS, times=9))
    assert [record.remote_id for page in walked(clocked(stand)) for record in page.records] == ids


@pytest.mark.parametrize("position", ["bulk|", "bulk|750", "bulk|75/0||0", "bulk|750||x", "bulk|750|a b|0"])
def test_a_position_that_names_no_job_is_refused_unsent(stand: SalesforceStand, position: str) -> None:
    """It would lead into an address."""
    connector = clocked(stand)
    with pytest.raises(CursorExpiredError):
        connector.scan("Contact", FIELDS, position)
    assert connector.calls == 0


@pytest.mark.parametrize("text", ["many", "-1", "1.5"])
def test_a_threshold_that_is_no_number_is_refused(stand: SalesforceStand, text: str) -> None:
    with pytest.raises(ConfigurationError):
        stand.connector(settings={"bulk_reads_from": text})


def test_many_creations_are_one_job_with_an_outcome_for_each(stand: SalesforceStand) -> None:
    """By upsert on the marker; a refused row is sent again without what was refused."""
    connector = sparing(stand)
    assert connector.capabilities.bulk_writes == endpoints.BULK_WRITES
    items = [*creates(8), CreateItem("bad", "org:bad", {"LastName": "Bad", "Email": "no address"})]
    results, received = stand.counted(lambda: connector.create("Contact", items))
    assert {key: result.error for key, result in results.items()} == dict.fromkeys(results)
    assert len(results) == 9
    assert set(results["bad"].refused) == {"Email"}
    for number in range(8):
        stored = stand.record(results[f"k{number}"].record.remote_id)
        assert (stored["LastName"], stored[MARKER_FIELD]) == (f"P{number}", f"org:{number}")
        assert stored["DoNotCall"] is True
    assert job_requests(received) == {
        "POST /jobs/ingest": 1,
        "PUT /jobs/ingest/{job}/batches": 1,
        "PATCH /jobs/ingest/{job}": 1,
        "GET /jobs/ingest/{job}": 1,
        "GET /jobs/ingest/{job}/failedResults": 1,
        "GET /jobs/ingest/{job}/successfulResults": 1,
        "DELETE /jobs/ingest/{job}": 1,
        "PATCH /composite/sobjects/Contact/{field}": 1,
    }
    again, received = stand.counted(lambda: connector.create("Contact", creates(8)))
    assert "GET /jobs/ingest/{job}/failedResults" not in job_requests(received)
    assert {again[key].record.remote_id for key in again} == {results[key].record.remote_id for key in again}


def test_while_requests_are_plenty_collections_do_it(stand: SalesforceStand) -> None:
    """A job takes fewer of them, one after the other; from half of the day's allowance on they are what is scarce."""
    connector = clocked(stand)
    for used, by_job in ((0, False), (50_498, False), (50_499, True)):
        stand.fake.limits.use(used)
        connector.describe("Contact")
        results, received = stand.counted(lambda: connector.create("Contact", creates(8)))
        assert {result.error for result in results.values()} == {None}
        assert ("POST /jobs/ingest" in job_requests(received)) == by_job
        assert ("PATCH /composite/sobjects/Contact/{field}" in job_requests(received)) != by_job


def test_when_the_days_jobs_are_used_up_the_ordinary_calls_do_it(stand: SalesforceStand) -> None:
    """One request learns of it; nothing waits for tomorrow."""
    stand.back_door("POST", "settings", {"limits": "real", "bulkBatches": 15_000, "bulkQueryJobs": 10_000})
    connector = sparing(stand)
    results, received = stand.counted(lambda: connector.create("Contact", creates(8)))
    assert {result.error for result in results.values()} == {None}
    assert job_requests(received) == {"POST /jobs/ingest": 1, "PATCH /composite/sobjects/Contact/{field}": 1}
    ids = [result.record.remote_id for result in results.values()]
    updates = [UpdateItem(each, each, {"Title": "CTO"}) for each in ids]
    results, received = stand.counted(lambda: connector.update("Contact", updates))
    assert {result.error for result in results.values()} == {None}
    assert job_requests(received) == {"POST /jobs/ingest": 1, "PATCH /composite/sobjects": 1}
    found = [record.remote_id for page in walked(clocked(stand)) for record in page.records]
    assert sorted(found) == sorted(ids)


def test_many_updates_are_one_job(stand: SalesforceStand) -> None:
    """None clears; what CSV cannot say, and a record's second update, go by collections; one that is gone is told."""
    ids = stand.add(people(8, Title="Old", Department="Kept"))
    gone = ids.pop()
    stand.remove(gone)
    items = [UpdateItem(f"k{n}", each, {"Title": None if n % 2 else "New"}) for n, each in enumerate(ids)]
    odd = [
        UpdateItem("odd", ids[0], {"Department": "#N/A"}),
        UpdateItem("twice", ids[0], {"Title": "Newest"}),
        UpdateItem("gone", gone, {"Title": "x"}),
    ]
    results = sparing(stand).update("Contact", [*items, *odd])
    assert isinstance(results.pop("gone").error, RecordGoneError)
    assert {result.error for result in results.values()} == {None}
    assert stand.stored(ids[0], "Title") == "Newest"
    assert stand.stored(ids[0], "Department") == "#N/A"
    assert [stand.stored(each, "Title") for each in ids[1:]] == ["", "New", "", "New", "", "New"]
    assert {stand.stored(each, "Department") for each in ids[1:]} == {"Kept"}


@pytest.mark.parametrize(("path", "times"), [("*/jobs/ingest", 3), ("*/batches", 1)])
def test_a_job_that_was_not_closed_has_done_nothing(stand: SalesforceStand, path: str, times: int) -> None:
    """Its making or its data was not answered: the records wait, and are made once later."""
    stand.fake.faults.add(Fault("drop_after", path=path, times=times))
    connector = sparing(stand)
    results = connector.create("Contact", creates(8))
    assert {type(result.error) for result in results.values()} <= {TransientError, ProviderUnavailableError}
    assert stand.live_ids() == set()
    assert {result.error for result in connector.create("Contact", creates(8)).values()} == {None}
    assert len(stand.live_ids()) == 8


def test_a_job_whose_closing_was_not_answered_is_asked_by_its_id(stand: SalesforceStand) -> None:
    """It is not sent again."""
    connector = sparing(stand)
    stand.fake.faults.add(Fault("drop_after", method="PATCH", path=JOBS, times=1))
    results, received = stand.counted(lambda: connector.create("Contact", creates(8)))
    assert {result.error for result in results.values()} == {None}
    assert job_requests(received)["POST /jobs/ingest"] == job_requests(received)["PATCH /jobs/ingest/{job}"] == 1


def test_a_job_that_nobody_tells_about_is_unknown_for_each_record(stand: SalesforceStand) -> None:
    """And found by their markers."""
    stand.fake.faults.add(Fault("server_error", method="GET", path="*Results", times=9))
    connector = sparing(stand)
    results = connector.create("Contact", creates(8))
    assert {type(result.error) for result in results.values()} == {OutcomeUnknownError}
    assert connector.find_by_markers("Contact", ["org:3"], ["LastName"]).get("org:3") is not None


def test_a_job_that_takes_too_long_is_aborted_and_its_rows_wait(stand: SalesforceStand) -> None:
    """They were not begun."""
    stand.set_up(bulkSeconds=3_600)
    results = sparing(stand).create("Contact", creates(8))
    assert {type(result.error) for result in results.values()} == {TransientError}
    assert stand.live_ids() == set()


def test_without_marker_field_or_with_smaller_batches_no_job_is_made() -> None:
    """A creation could not be told from another; a connection that asks for small batches means it."""
    with salesforce_stand(marked=False) as stand:
        connector = sparing(stand)
        assert connector.capabilities.bulk_writes == 0
        _, received = stand.counted(lambda: connector.create("Contact", creates(8)))
        assert "POST /jobs/ingest" not in job_requests(received)
    with salesforce_stand() as stand:
        assert clocked(stand, batch_size=50).capabilities.bulk_writes == 0


def test_the_engine_takes_both_ways_in_a_first_sync(stand: SalesforceStand, monkeypatch: pytest.MonkeyPatch) -> None:
    """250 contacts a side: one job reads, one creates; the next rounds are quiet."""
    monkeypatch.setattr(endpoints, "BULK_WRITES", 300)
    stand.add([{"LastName": f"There {n}", "Email": f"t{n}@example.com"} for n in range(250)])
    sync = Sync(stand, settings={"bulk_reads_from": "100", "bulk_writes_from": "100"})
    for number in range(250):
        sync.app.create_contact({"firstName": f"Here {number}", "lastName": "X", "email": f"h{number}@example.com"})
    stand.fake.limits.use(60_000)
    stand.fake.reset_stats()
    held = sync.run(RunKind.FULL, first_sync=True)
    sync.store.approve_plan(held.plan_id)
    run = sync.run(RunKind.FULL, plan_id=held.plan_id)
    received = job_requests(dict(stand.fake.stats()["requests"]))
    assert (run.counts.created_in_app, run.counts.created_in_crm, run.counts.failed) == (250, 250, 0)
    assert (received["POST /jobs/query"], received["POST /jobs/ingest"]) == (1, 1)
    assert "PATCH /composite/sobjects/Contact/{field}" not in received
    assert len(stand.live_ids()) == 500
    for kind in (RunKind.DELTA, RunKind.FULL):
        run = sync.run(kind)
        assert (run.counts.planned, run.counts.failed, run.counts.conflicts) == (0, 0, 0)


def test_a_cut_or_crooked_table_is_no_short_one() -> None:
    """Rows of another length, or an open quote, are an answer that is not understood."""
    assert bulk.parse_rows('a,b\n1,"x\ny"\n') == [{"a": "1", "b": "x\ny"}]
    for text in ("a,b\n1\n", 'a,b\n1,"2'):
        with pytest.raises(UnexpectedAnswerError):
            bulk.parse_rows(text)
