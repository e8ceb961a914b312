"""What every connector does, whatever its CRM: one check a function, run against a stand-in through real HTTP.

A check gets a fresh ``Stand`` and raises ContractError when the connector breaks ``crm.ports.Connector``. It knows
no provider: what differs (field names, a value the CRM refuses) the stand tells.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Final

from crm.errors import CursorExpiredError, DuplicateRecordError, RecordGoneError, RecordInvalidError
from crm.model import RemoteRecord, RemoteState
from crm.ports import UpdateItem
from crm.testing import contract_failures, contract_objects
from crm.testing.contract_stand import Check, Stand, add, creates, error_of, expect, record_of, same, walk


def scan_reads_every_record_once(stand: Stand) -> None:
    """Pages are complete, in a stable order, without repeats, and cost no more requests than they must."""
    connector, names = stand.connector(), stand.fields
    count = 2 * connector.capabilities.read_batch + 1
    ids = add(stand, count)
    before = connector.calls
    records, _ = walk(lambda after: connector.scan(names.record_type, [names.name], after))
    same([record.remote_id for record in records], ids, "the ids of a full scan")
    same(records[0].values, {names.name: "Person 0"}, "the values of the first record")
    expect(
        connector.calls - before <= math.ceil(count / connector.capabilities.read_batch) + 1,
        f"{connector.calls - before} requests for a scan of {count}",
    )


def scan_shows_records_created_meanwhile(stand: Stand) -> None:
    """A record created while the pages are read is on a later page."""
    connector, names = stand.connector(), stand.fields
    ids = add(stand, connector.capabilities.read_batch + 1)
    first = connector.scan(names.record_type, [names.name], None)
    late = add(stand, 1, start=5_000)
    rest: list[RemoteRecord] = []
    after = first.next
    while after is not None:
        page = connector.scan(names.record_type, [names.name], after)
        rest += page.records
        after = page.next
    same({record.remote_id for record in (*first.records, *rest)}, {*ids, *late}, "the ids of the scan")


def changes_lose_nothing_at_equal_stamps(stand: Stand) -> None:
    """More records with one stamp than a page holds are all found, the boundary included."""
    connector, names = stand.connector(), stand.fields
    add(stand, 3)
    stand.pass_time(3_600)
    since = stand.now()
    ids = add(stand, 2 * connector.capabilities.read_batch + 5, start=100)
    records, pages = walk(lambda after: connector.changes(names.record_type, [names.name], since, after))
    found = [record.remote_id for record in records]
    same(len(found), len(set(found)), "records without repeats")
    same(set(found), set(ids), "the ids changed since")
    expect(all(record.modified_at == since for record in records), "records carry the CRM's stamp")
    expect(pages[0].server_time is not None, "a page tells the CRM's time")


def idle_changes_cost_one_request(stand: Stand) -> None:
    """When nothing changed, one request says so (or as many as the CRM has lists), and it tells the CRM's time."""
    names = stand.fields
    add(stand, 3)
    stand.pass_time(3_600)
    connector = stand.connector()
    page = connector.changes(names.record_type, [names.name], stand.now() - timedelta(seconds=60), None)
    same((page.records, page.next, connector.calls), ((), None, names.idle_requests), "an idle delta")
    expect(page.server_time is not None, "an idle page tells the CRM's time")


def foreign_cursor_is_refused(stand: Stand) -> None:
    """The position of one kind of walk is never read as that of another."""
    connector, names = stand.connector(), stand.fields
    add(stand, connector.capabilities.read_batch + 1)
    cursor = connector.scan(names.record_type, [names.name], None).next
    error = error_of(lambda: connector.changes(names.record_type, [names.name], stand.now(), cursor))
    expect(isinstance(error, CursorExpiredError), f"a scan's cursor in a delta: {error!r}")


def fetch_tells_what_became_of_each_id(stand: Stand) -> None:
    """Live, merged (and into what), deleted and never seen are four answers; every id asked for has one."""
    connector, names = stand.connector(), stand.fields
    alive, kept, lost, deleted = add(stand, 4)
    survivor = stand.merge(kept, lost)
    stand.remove(deleted)
    found = connector.fetch(names.record_type, [alive, lost, deleted, "999999999999", alive], [names.name])
    same(set(found), {alive, lost, deleted, "999999999999"}, "the ids answered")
    same((found[alive].state, found[alive].values), (RemoteState.LIVE, {names.name: "Person 0"}), "a live record")
    if names.tells_merges:
        same((found[lost].state, found[lost].merged_into), (RemoteState.MERGED, survivor), "a merged record")
    else:
        expect(found[lost].state is not RemoteState.LIVE, f"merged away: {found[lost].state}")
    expect(found[deleted].state in (RemoteState.ARCHIVED, RemoteState.MISSING), f"deleted: {found[deleted].state}")
    same(found["999999999999"].state, RemoteState.MISSING, "an id nobody knows")
    whole = connector.fetch(names.record_type, [survivor], [names.name])[survivor]
    same(whole.state, RemoteState.LIVE, "the survivor")
    expect(
        lost in whole.former_ids or not names.tells_merges,
        f"the survivor names who was merged into it: {whole.former_ids}",
    )


def blank_and_unknown_fields_differ(stand: Stand) -> None:
    """An empty field is None; a field that does not exist is absent."""
    connector, names = stand.connector(), stand.fields
    (remote_id,) = add(stand, 1)
    asked = [names.name, names.other, names.unknown]
    for record in (
        connector.scan(names.record_type, asked, None).records[0],
        connector.fetch(names.record_type, [remote_id], asked)[remote_id],
    ):
        same(dict(record.values), {names.name: "Person 0", names.other: None}, "the values of a record")


def creates_go_in_batches_and_carry_the_marker(stand: Stand) -> None:
    """Each item gets its own record by key, with the values that the answer carried; the marker finds it."""
    connector, names = stand.connector(), stand.fields
    expect(connector.prepare(names.record_type), "the marker field can be made")
    expect(connector.prepare(names.record_type), "and made again")
    batch = connector.capabilities.write_batch
    items = creates(stand, 2 * batch + 1)
    before = connector.calls
    results = connector.create(names.record_type, items)
    expect(connector.calls - before <= math.ceil(len(items) / batch), f"{connector.calls - before} requests")
    same(set(results), {item.key for item in items}, "the keys answered")
    for item in items:
        record = record_of(results[item.key])
        same(stand.stored(record.remote_id, names.email), item.values[names.email], f"what {item.key} became")
        if connector.capabilities.returns_values:
            same(dict(record.values), dict(item.values), "the values of the answer")
    if connector.capabilities.marker_lookup:
        last = items[-1]
        wanted = record_of(results[last.key])
        markers = ["org:nobody", *(item.marker for item in items)]
        found = connector.find_by_markers(names.record_type, markers, [names.name])
        same(set(found), {item.marker for item in items}, "the markers found")
        marked = found[last.marker]
        same((marked.remote_id, marked.marker), (wanted.remote_id, last.marker), "the marked record")


def update_writes_what_is_given_and_nothing_else(stand: Stand) -> None:
    """None clears, other fields stay, and the same update again leaves the same record."""
    connector, names = stand.connector(), stand.fields
    (remote_id,) = stand.add([{names.name: "Ada", names.other: "Engineer", names.email: "ada@example.com"}])
    for _ in range(2):
        result = connector.update(names.record_type, [UpdateItem("k", remote_id, {names.other: None})])["k"]
        same(record_of(result).remote_id, remote_id, "the record written")
        if connector.capabilities.returns_values:
            same(dict(record_of(result).values), {names.other: None}, "the values of the answer")
        same(stand.stored(remote_id, names.other), "", "the cleared field")
        same(stand.stored(remote_id, names.name), "Ada", "the field not named")
    same(stand.live_ids(), {remote_id}, "the records afterwards")


def partial_batch_names_exactly_what_failed(stand: Stand) -> None:
    """In a batch of good, gone and merged records each item has its own outcome."""
    connector, names = stand.connector(), stand.fields
    ids = add(stand, 6)
    stand.remove(ids[1])
    survivor = stand.merge(ids[2], ids[3])
    items = [UpdateItem(f"k{n}", remote_id, {names.other: f"new {n}"}) for n, remote_id in enumerate(ids)]
    results = connector.update(names.record_type, items)
    merged = {f"k{n}" for n in (2, 3) if ids[n] != survivor}
    failed = {key for key, result in results.items() if result.error is not None}
    same(failed, {"k1", *merged}, "the items that failed")
    for key in failed:
        expect(isinstance(results[key].error, RecordGoneError), f"{key}: {results[key].error!r}")
    for key in merged:
        error = results[key].error
        into = survivor if names.tells_merges else ""
        same(isinstance(error, RecordGoneError) and error.merged_into, into, "where the merged record went")
    same([stand.stored(ids[n], names.other) for n in (0, 4, 5)], ["new 0", "new 4", "new 5"], "what was written")


def refused_value_costs_only_its_field(stand: Stand) -> None:
    """The value that the CRM refuses is left out and named; the rest of that record and all others are written."""
    connector, names = stand.connector(), stand.fields
    ids = add(stand, 3)
    field, value = names.refused
    items = [
        UpdateItem("good", ids[0], {names.other: "one"}),
        UpdateItem("mixed", ids[1], {names.other: "two", field: value}),
        UpdateItem("bad", ids[2], {field: value}),
    ]
    results = connector.update(names.record_type, items)
    same((results["good"].error, dict(results["good"].refused)), (None, {}), "the good item")
    same((results["mixed"].error, set(results["mixed"].refused)), (None, {field}), "the mixed item")
    error = results["bad"].error
    expect(isinstance(error, RecordInvalidError) and set(error.fields) == {field}, f"the bad item: {error!r}")
    same([stand.stored(each, names.other) for each in ids], ["one", "two", ""], "what was written")


def existing_record_is_named_by_a_create(stand: Stand) -> None:
    """A create that the CRM answers with a record it has gives that record's id and makes no second one."""
    connector, names = stand.connector(), stand.fields
    if not names.is_email_unique:
        return
    connector.prepare(names.record_type)
    (existing,) = stand.add([{names.name: "Ada", names.email: "p1@example.com"}])
    results = connector.create(names.record_type, creates(stand, 3))
    error = results["key-1"].error
    same(isinstance(error, DuplicateRecordError) and error.remote_id, existing, "the existing record")
    made = {record_of(results[key]).remote_id for key in ("key-0", "key-2")}
    same(stand.live_ids(), {existing, *made}, "the records afterwards")


def delete_twice_succeeds(stand: Stand) -> None:
    """Deleting what is gone is a success, and touches nothing else."""
    connector, names = stand.connector(), stand.fields
    ids = add(stand, 3)
    items = [UpdateItem("a", ids[0], {}), UpdateItem("b", ids[1], {}), UpdateItem("c", "999999999999", {})]
    for _ in range(2):
        results = connector.delete(names.record_type, items)
        same({key: result.error for key, result in results.items()}, dict.fromkeys("abc"), "the outcomes")
        same(stand.live_ids(), {ids[2]}, "the records afterwards")


def account_is_named(stand: Stand) -> None:
    """The account behind the credentials has an id that pins the connection."""
    account = stand.connector().account()
    expect(account.remote_account_id and account.name, f"the account: {account!r}")


def describe_lists_the_fields(stand: Stand) -> None:
    """Fields have names, kinds and whether they can be written; what does not exist is not listed."""
    connector, names = stand.connector(), stand.fields
    found = {each.name: each for each in connector.describe(names.record_type)}
    for name in (names.name, names.other, names.email):
        expect(name in found and found[name].writable, f"{name} is listed as writable")
    same(found[names.email].kind, "email", "the kind of the e-mail field")
    expect(not found[names.read_only].writable, f"{names.read_only} is listed as read-only")
    expect(names.unknown not in found, f"{names.unknown} is not listed")


CHECKS: Final[tuple[Check, ...]] = (
    scan_reads_every_record_once,
    scan_shows_records_created_meanwhile,
    changes_lose_nothing_at_equal_stamps,
    idle_changes_cost_one_request,
    foreign_cursor_is_refused,
    fetch_tells_what_became_of_each_id,
    blank_and_unknown_fields_differ,
    creates_go_in_batches_and_carry_the_marker,
    update_writes_what_is_given_and_nothing_else,
    partial_batch_names_exactly_what_failed,
    refused_value_costs_only_its_field,
    existing_record_is_named_by_a_create,
    delete_twice_succeeds,
    account_is_named,
    describe_lists_the_fields,
    *contract_failures.CHECKS,
    *contract_objects.CHECKS,
)
