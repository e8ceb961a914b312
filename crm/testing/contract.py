"""What every connector does, whatever its CRM: one check a function, run against a stand-in through real HTTP.

A check gets a fresh ``Stand`` and raises ContractError when the connector breaks ``crm.ports.Connector``. It knows
no provider: what differs (field names, a value the CRM refuses) the stand tells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from crm.errors import (
    AuthorizationExpiredError,
    CrmError,
    CursorExpiredError,
    DuplicateRecordError,
    OutcomeUnknownError,
    ProviderUnavailableError,
    RecordGoneError,
    RecordInvalidError,
    UnexpectedAnswerError,
)
from crm.model import RemoteRecord, RemoteState, Value
from crm.ports import Connector, CreateItem, ItemResult, Page, UpdateItem


class ContractError(AssertionError):
    """The connector does not do what its port promises."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A record of another object: what it is made with and what is then changed."""

    values: Mapping[str, Value]
    change: Mapping[str, Value]
    keeps_contact: bool = False
    """Whom it belongs to is said once, when it is made."""
    needs_contact: bool = False
    """It always belongs to somebody."""


@dataclass(frozen=True, slots=True)
class StandFields:
    """Names and values of one record type at this CRM."""

    record_type: str
    name: str
    """A text that every record may have; a record with only this can be created."""
    other: str
    """Another text field."""
    email: str
    """Unique among live records, if ``is_email_unique``."""
    unknown: str
    """The name of a field that does not exist."""
    refused: tuple[str, Value]
    """A field and a value for it that the CRM refuses, whatever else the record holds."""
    read_only: str
    is_email_unique: bool = True
    tells_merges: bool = True
    """A read of a merged-away id says into what; where not, only a webhook does, and the record looks deleted."""
    idle_requests: int = 1
    """What an idle delta costs: more where changed and new records are two lists."""
    others: Mapping[str, Sample] = field(default_factory=dict)
    """Objects of the guide that do not sync, by record type."""


class Stand(Protocol):
    """A CRM account under test, empty at first, and what a person can do in it."""

    fields: StandFields

    def connector(self) -> Connector:
        """A fresh one, as a new worker would have it."""
        ...

    def add(self, records: Sequence[Mapping[str, str]]) -> list[str]:
        """As an import would; the ids in the order given."""
        ...

    def edit(self, remote_id: str, values: Mapping[str, str]) -> None: ...

    def remove(self, remote_id: str) -> None: ...

    def merge(self, kept_id: str, other_id: str) -> str:
        """The survivor's id."""
        ...

    def live_ids(self) -> set[str]: ...

    def stored(self, remote_id: str, name: str) -> str:
        """The field as the CRM keeps it, ``""`` when blank."""
        ...

    def now(self) -> datetime:
        """The CRM's clock, which stands still but for ``pass_time``."""
        ...

    def pass_time(self, seconds: float) -> None: ...

    def fail(self, kind: str, *, times: int = 1, writes_only: bool = False) -> None:
        """``lost_answer`` (carried out, no answer), ``server_error`` (nothing done), ``html`` (200 and no JSON,
        nothing done), ``rate_limited`` (for a second), ``unauthorized``.
        """
        ...


Check = Callable[[Stand], None]


def _expect(holds: object, what: str) -> None:
    if not holds:
        raise ContractError(what)


def _same(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise ContractError(f"{what}: {found!r} instead of {wanted!r}")


def _walk(step: Callable[[str | None], Page]) -> tuple[list[RemoteRecord], list[Page]]:
    pages = [step(None)]
    while pages[-1].next is not None:
        _expect(len(pages) < 1_000, "a walk does not end")
        pages.append(step(pages[-1].next))
    return [record for page in pages for record in page.records], pages


def _people(count: int, start: int = 0) -> list[dict[str, str]]:
    return [{"name": f"Person {number}", "email": f"p{number}@example.com"} for number in range(start, start + count)]


def _add(stand: Stand, count: int, start: int = 0) -> list[str]:
    names = stand.fields
    return stand.add([{names.name: each["name"], names.email: each["email"]} for each in _people(count, start)])


def _creates(stand: Stand, count: int) -> list[CreateItem]:
    names = stand.fields
    return [
        CreateItem(f"key-{number}", f"org:contact-{number}", {names.name: each["name"], names.email: each["email"]})
        for number, each in enumerate(_people(count))
    ]


def _record(result: ItemResult) -> RemoteRecord:
    if result.error is not None or result.record is None:
        raise ContractError(f"the item {result.key} failed: {result.error!r}")
    return result.record


def _error_of(act: Callable[[], object]) -> CrmError | None:
    try:
        act()
    except CrmError as error:
        return error
    return None


def scan_reads_every_record_once(stand: Stand) -> None:
    """Pages are complete, in a stable order, without repeats, and cost no more requests than they must."""
    connector, names = stand.connector(), stand.fields
    count = 2 * connector.capabilities.read_batch + 1
    ids = _add(stand, count)
    before = connector.calls
    records, _ = _walk(lambda after: connector.scan(names.record_type, [names.name], after))
    _same([record.remote_id for record in records], ids, "the ids of a full scan")
    _same(records[0].values, {names.name: "Person 0"}, "the values of the first record")
    _expect(
        connector.calls - before <= math.ceil(count / connector.capabilities.read_batch) + 1,
        f"{connector.calls - before} requests for a scan of {count}",
    )


def scan_shows_records_created_meanwhile(stand: Stand) -> None:
    """A record created while the pages are read is on a later page."""
    connector, names = stand.connector(), stand.fields
    ids = _add(stand, connector.capabilities.read_batch + 1)
    first = connector.scan(names.record_type, [names.name], None)
    late = _add(stand, 1, start=5_000)
    rest: list[RemoteRecord] = []
    after = first.next
    while after is not None:
        page = connector.scan(names.record_type, [names.name], after)
        rest += page.records
        after = page.next
    _same({record.remote_id for record in (*first.records, *rest)}, {*ids, *late}, "the ids of the scan")


def changes_lose_nothing_at_equal_stamps(stand: Stand) -> None:
    """More records with one stamp than a page holds are all found, the boundary included."""
    connector, names = stand.connector(), stand.fields
    _add(stand, 3)
    stand.pass_time(3_600)
    since = stand.now()
    ids = _add(stand, 2 * connector.capabilities.read_batch + 5, start=100)
    records, pages = _walk(lambda after: connector.changes(names.record_type, [names.name], since, after))
    found = [record.remote_id for record in records]
    _same(len(found), len(set(found)), "records without repeats")
    _same(set(found), set(ids), "the ids changed since")
    _expect(all(record.modified_at == since for record in records), "records carry the CRM's stamp")
    _expect(pages[0].server_time is not None, "a page tells the CRM's time")


def idle_changes_cost_one_request(stand: Stand) -> None:
    """When nothing changed, one request says so (or as many as the CRM has lists), and it tells the CRM's time."""
    names = stand.fields
    _add(stand, 3)
    stand.pass_time(3_600)
    connector = stand.connector()
    page = connector.changes(names.record_type, [names.name], stand.now() - timedelta(seconds=60), None)
    _same((page.records, page.next, connector.calls), ((), None, names.idle_requests), "an idle delta")
    _expect(page.server_time is not None, "an idle page tells the CRM's time")


def foreign_cursor_is_refused(stand: Stand) -> None:
    """The position of one kind of walk is never read as that of another."""
    connector, names = stand.connector(), stand.fields
    _add(stand, connector.capabilities.read_batch + 1)
    cursor = connector.scan(names.record_type, [names.name], None).next
    error = _error_of(lambda: connector.changes(names.record_type, [names.name], stand.now(), cursor))
    _expect(isinstance(error, CursorExpiredError), f"a scan's cursor in a delta: {error!r}")


def fetch_tells_what_became_of_each_id(stand: Stand) -> None:
    """Live, merged (and into what), deleted and never seen are four answers; every id asked for has one."""
    connector, names = stand.connector(), stand.fields
    alive, kept, lost, deleted = _add(stand, 4)
    survivor = stand.merge(kept, lost)
    stand.remove(deleted)
    found = connector.fetch(names.record_type, [alive, lost, deleted, "999999999999", alive], [names.name])
    _same(set(found), {alive, lost, deleted, "999999999999"}, "the ids answered")
    _same((found[alive].state, found[alive].values), (RemoteState.LIVE, {names.name: "Person 0"}), "a live record")
    if names.tells_merges:
        _same((found[lost].state, found[lost].merged_into), (RemoteState.MERGED, survivor), "a merged record")
    else:
        _expect(found[lost].state is not RemoteState.LIVE, f"merged away: {found[lost].state}")
    _expect(found[deleted].state in (RemoteState.ARCHIVED, RemoteState.MISSING), f"deleted: {found[deleted].state}")
    _same(found["999999999999"].state, RemoteState.MISSING, "an id nobody knows")
    whole = connector.fetch(names.record_type, [survivor], [names.name])[survivor]
    _same(whole.state, RemoteState.LIVE, "the survivor")
    _expect(
        lost in whole.former_ids or not names.tells_merges,
        f"the survivor names who was merged into it: {whole.former_ids}",
    )


def blank_and_unknown_fields_differ(stand: Stand) -> None:
    """An empty field is None; a field that does not exist is absent."""
    connector, names = stand.connector(), stand.fields
    (remote_id,) = _add(stand, 1)
    asked = [names.name, names.other, names.unknown]
    for record in (
        connector.scan(names.record_type, asked, None).records[0],
        connector.fetch(names.record_type, [remote_id], asked)[remote_id],
    ):
        _same(dict(record.values), {names.name: "Person 0", names.other: None}, "the values of a record")


def creates_go_in_batches_and_carry_the_marker(stand: Stand) -> None:
    """Each item gets its own record by key, with the values that the answer carried; the marker finds it."""
    connector, names = stand.connector(), stand.fields
    _expect(connector.prepare(names.record_type), "the marker field can be made")
    _expect(connector.prepare(names.record_type), "and made again")
    batch = connector.capabilities.write_batch
    items = _creates(stand, 2 * batch + 1)
    before = connector.calls
    results = connector.create(names.record_type, items)
    _expect(connector.calls - before <= math.ceil(len(items) / batch), f"{connector.calls - before} requests")
    _same(set(results), {item.key for item in items}, "the keys answered")
    for item in items:
        record = _record(results[item.key])
        _same(stand.stored(record.remote_id, names.email), item.values[names.email], f"what {item.key} became")
        if connector.capabilities.returns_values:
            _same(dict(record.values), dict(item.values), "the values of the answer")
    if connector.capabilities.marker_lookup:
        last = items[-1]
        wanted = _record(results[last.key])
        found = connector.find_by_marker(names.record_type, last.marker, [names.name])
        _same(found and (found.remote_id, found.marker), (wanted.remote_id, last.marker), "the marked record")
        _same(connector.find_by_marker(names.record_type, "org:nobody", [names.name]), None, "an unused marker")


def update_writes_what_is_given_and_nothing_else(stand: Stand) -> None:
    """None clears, other fields stay, and the same update again leaves the same record."""
    connector, names = stand.connector(), stand.fields
    (remote_id,) = stand.add([{names.name: "Ada", names.other: "Engineer", names.email: "ada@example.com"}])
    for _ in range(2):
        result = connector.update(names.record_type, [UpdateItem("k", remote_id, {names.other: None})])["k"]
        _same(_record(result).remote_id, remote_id, "the record written")
        if connector.capabilities.returns_values:
            _same(dict(_record(result).values), {names.other: None}, "the values of the answer")
        _same(stand.stored(remote_id, names.other), "", "the cleared field")
        _same(stand.stored(remote_id, names.name), "Ada", "the field not named")
    _same(stand.live_ids(), {remote_id}, "the records afterwards")


def partial_batch_names_exactly_what_failed(stand: Stand) -> None:
    """In a batch of good, gone and merged records each item has its own outcome."""
    connector, names = stand.connector(), stand.fields
    ids = _add(stand, 6)
    stand.remove(ids[1])
    survivor = stand.merge(ids[2], ids[3])
    items = [UpdateItem(f"k{n}", remote_id, {names.other: f"new {n}"}) for n, remote_id in enumerate(ids)]
    results = connector.update(names.record_type, items)
    merged = {f"k{n}" for n in (2, 3) if ids[n] != survivor}
    failed = {key for key, result in results.items() if result.error is not None}
    _same(failed, {"k1", *merged}, "the items that failed")
    for key in failed:
        _expect(isinstance(results[key].error, RecordGoneError), f"{key}: {results[key].error!r}")
    for key in merged:
        error = results[key].error
        into = survivor if names.tells_merges else ""
        _same(isinstance(error, RecordGoneError) and error.merged_into, into, "where the merged record went")
    _same([stand.stored(ids[n], names.other) for n in (0, 4, 5)], ["new 0", "new 4", "new 5"], "what was written")


def refused_value_costs_only_its_field(stand: Stand) -> None:
    """The value that the CRM refuses is left out and named; the rest of that record and all others are written."""
    connector, names = stand.connector(), stand.fields
    ids = _add(stand, 3)
    field, value = names.refused
    items = [
        UpdateItem("good", ids[0], {names.other: "one"}),
        UpdateItem("mixed", ids[1], {names.other: "two", field: value}),
        UpdateItem("bad", ids[2], {field: value}),
    ]
    results = connector.update(names.record_type, items)
    _same((results["good"].error, dict(results["good"].refused)), (None, {}), "the good item")
    _same((results["mixed"].error, set(results["mixed"].refused)), (None, {field}), "the mixed item")
    error = results["bad"].error
    _expect(isinstance(error, RecordInvalidError) and set(error.fields) == {field}, f"the bad item: {error!r}")
    _same([stand.stored(each, names.other) for each in ids], ["one", "two", ""], "what was written")


def existing_record_is_named_by_a_create(stand: Stand) -> None:
    """A create that the CRM answers with a record it has gives that record's id and makes no second one."""
    connector, names = stand.connector(), stand.fields
    if not names.is_email_unique:
        return
    connector.prepare(names.record_type)
    (existing,) = stand.add([{names.name: "Ada", names.email: "p1@example.com"}])
    results = connector.create(names.record_type, _creates(stand, 3))
    error = results["key-1"].error
    _same(isinstance(error, DuplicateRecordError) and error.remote_id, existing, "the existing record")
    made = {_record(results[key]).remote_id for key in ("key-0", "key-2")}
    _same(stand.live_ids(), {existing, *made}, "the records afterwards")


def delete_twice_succeeds(stand: Stand) -> None:
    """Deleting what is gone is a success, and touches nothing else."""
    connector, names = stand.connector(), stand.fields
    ids = _add(stand, 3)
    items = [UpdateItem("a", ids[0], {}), UpdateItem("b", ids[1], {}), UpdateItem("c", "999999999999", {})]
    for _ in range(2):
        results = connector.delete(names.record_type, items)
        _same({key: result.error for key, result in results.items()}, dict.fromkeys("abc"), "the outcomes")
        _same(stand.live_ids(), {ids[2]}, "the records afterwards")


def lost_answer_of_a_create_is_unknown(stand: Stand) -> None:
    """It is sent once, every item is unknown, and the marker settles whether it happened."""
    connector, names = stand.connector(), stand.fields
    connector.prepare(names.record_type)
    stand.fail("lost_answer", writes_only=True)
    results = connector.create(names.record_type, _creates(stand, 3))
    _expect(
        all(isinstance(result.error, OutcomeUnknownError) for result in results.values()),
        f"the outcomes: { {key: result.error for key, result in results.items()} }",
    )
    _same(len(stand.live_ids()), 3, "the number of records")
    if connector.capabilities.marker_lookup:
        found = connector.find_by_marker(names.record_type, "org:contact-2", [names.email])
        _same(found and dict(found.values), {names.email: "p2@example.com"}, "the record found by its marker")


def lost_answer_of_an_update_is_unknown(stand: Stand) -> None:
    """No retry: between the two tries a person may have edited the record."""
    connector, names = stand.connector(), stand.fields
    (remote_id,) = _add(stand, 1)
    stand.fail("lost_answer", writes_only=True)
    before = connector.calls
    result = connector.update(names.record_type, [UpdateItem("k", remote_id, {names.other: "sent"})])["k"]
    _expect(isinstance(result.error, OutcomeUnknownError), f"the outcome: {result.error!r}")
    _same(connector.calls - before, 1, "the requests")
    _same(stand.stored(remote_id, names.other), "sent", "what happened")


def page_instead_of_json_is_never_success(stand: Stand) -> None:
    """A proxy's page is no empty result and no finished write."""
    connector, names = stand.connector(), stand.fields
    (remote_id,) = _add(stand, 1)
    stand.fail("html")
    error = _error_of(lambda: connector.scan(names.record_type, [names.name], None))
    _expect(isinstance(error, UnexpectedAnswerError), f"a scan: {error!r}")
    stand.fail("html", writes_only=True)
    result = connector.update(names.record_type, [UpdateItem("k", remote_id, {names.other: "sent"})])["k"]
    _expect(isinstance(result.error, OutcomeUnknownError), f"an update: {result.error!r}")
    stand.fail("html")
    error = _error_of(lambda: connector.fetch(names.record_type, [remote_id], [names.name]))
    _expect(isinstance(error, UnexpectedAnswerError), f"a fetch: {error!r}")


def read_that_keeps_failing_is_unavailable(stand: Stand) -> None:
    """One failure is retried; a server that stays down is ProviderUnavailableError."""
    connector, names = stand.connector(), stand.fields
    ids = _add(stand, 1)
    stand.fail("server_error")
    _same([each.remote_id for each in connector.scan(names.record_type, [names.name], None).records], ids, "a scan")
    stand.fail("server_error", times=100)
    error = _error_of(lambda: connector.scan(names.record_type, [names.name], None))
    _expect(isinstance(error, ProviderUnavailableError), f"a scan while the CRM is down: {error!r}")


def rate_limit_is_waited_out_and_writes_happen_once(stand: Stand) -> None:
    """A 429 had no effect: the write is sent again and happens once."""
    connector, names = stand.connector(), stand.fields
    connector.prepare(names.record_type)
    stand.fail("rate_limited", writes_only=True)
    results = connector.create(names.record_type, _creates(stand, 2))
    made = {_record(result).remote_id for result in results.values()}
    _same(stand.live_ids(), made, "the records afterwards")


def refused_credentials_block_the_connection(stand: Stand) -> None:
    """Reads and writes raise or carry AuthorizationExpiredError, and nothing is written."""
    connector, names = stand.connector(), stand.fields
    (remote_id,) = _add(stand, 1)
    stand.fail("unauthorized", times=100)
    for act in (
        connector.account,
        lambda: connector.scan(names.record_type, [names.name], None),
        lambda: connector.fetch(names.record_type, [remote_id], [names.name]),
    ):
        error = _error_of(act)
        _expect(isinstance(error, AuthorizationExpiredError), f"with a dead token: {error!r}")
    result = connector.update(names.record_type, [UpdateItem("k", remote_id, {names.other: "sent"})])["k"]
    _expect(isinstance(result.error, AuthorizationExpiredError), f"an update: {result.error!r}")
    _same(stand.stored(remote_id, names.other), "", "what was written")


def account_is_named(stand: Stand) -> None:
    """The account behind the credentials has an id that pins the connection."""
    account = stand.connector().account()
    _expect(account.remote_account_id and account.name, f"the account: {account!r}")


def describe_lists_the_fields(stand: Stand) -> None:
    """Fields have names, kinds and whether they can be written; what does not exist is not listed."""
    connector, names = stand.connector(), stand.fields
    found = {each.name: each for each in connector.describe(names.record_type)}
    for name in (names.name, names.other, names.email):
        _expect(name in found and found[name].writable, f"{name} is listed as writable")
    _same(found[names.email].kind, "email", "the kind of the e-mail field")
    _expect(not found[names.read_only].writable, f"{names.read_only} is listed as read-only")
    _expect(names.unknown not in found, f"{names.unknown} is not listed")


def other_objects_live_change_and_die(stand: Stand) -> None:
    """Each is described, made, listed, read, changed, found as changed and deleted by the same methods."""
    declared = stand.connector().capabilities.links_to_contact
    _expect(set(declared) <= set(stand.fields.others), "each object that is declared is tried")
    for record_type, sample in stand.fields.others.items():
        _live_and_die(stand, record_type, sample)


def _live_and_die(stand: Stand, record_type: str, sample: Sample) -> None:
    connector = stand.connector()  # with a burst of its own
    described = {each.name: each for each in connector.describe(record_type)}
    values = dict(sample.values)
    if sample.needs_contact:
        values[connector.capabilities.links_to_contact[record_type]] = _add(stand, 1)[0]
    whole = {**values, **sample.change}
    _expect(all(described[name].createable for name in whole), f"{record_type}: fields are listed as writable")
    since, asked = stand.now(), tuple(whole)
    made = connector.create(record_type, [CreateItem("k", "", values)])["k"]
    _same((dict(made.refused), made.error), ({}, None), f"{record_type}: made")
    remote_id = _record(made).remote_id
    stand.pass_time(60)
    changed = connector.update(record_type, [UpdateItem("k", remote_id, sample.change)])["k"]
    _same((dict(changed.refused), changed.error), ({}, None), f"{record_type}: changed")
    read = connector.fetch(record_type, [remote_id], asked)[remote_id]
    _same((read.state, dict(read.values)), (RemoteState.LIVE, whole), f"{record_type}: read")
    listed = _walk(lambda after: connector.scan(record_type, asked, after))[0]
    newer = _walk(lambda after: connector.changes(record_type, asked, since, after))[0]
    for walked in (listed, newer):
        live = [(each.remote_id, dict(each.values)) for each in walked if each.state is RemoteState.LIVE]
        _same(live, [(remote_id, whole)], f"{record_type}: listed")
    for _ in range(2):
        _same(connector.delete(record_type, [UpdateItem("k", remote_id, {})])["k"].error, None, "deleted")
    gone = connector.fetch(record_type, [remote_id], asked)[remote_id].state
    _expect(gone in (RemoteState.ARCHIVED, RemoteState.MISSING), f"{record_type}: {gone} after it was deleted")


def other_objects_belong_to_a_contact(stand: Stand) -> None:
    """The field that leads to contacts is written with a new record, read everywhere, changed and cleared."""
    first, second = _add(stand, 2)
    for record_type in stand.connector().capabilities.links_to_contact:
        _belong(stand, record_type, first, second)
    _same(stand.live_ids(), {first, second}, "the contacts afterwards")


def _belong(stand: Stand, record_type: str, first: str, second: str) -> None:
    connector, sample = stand.connector(), stand.fields.others[record_type]
    described = {each.name: each for each in connector.describe(record_type)}
    name = connector.capabilities.links_to_contact[record_type]
    is_multiple = described[name].multiple

    def linked(*ids: str) -> Value:
        return tuple(ids) if is_multiple else ids[0]

    def read(remote_id: str) -> Value:
        (listed,) = _walk(lambda after: connector.scan(record_type, [name], after))[0]
        fetched = connector.fetch(record_type, [remote_id], [name])[remote_id]
        _same(listed.values, fetched.values, f"{record_type}: whom it belongs to, listed and read")
        return fetched.values[name]

    result = connector.create(record_type, [CreateItem("k", "", {**sample.values, name: linked(first)})])["k"]
    _same(dict(result.refused), {}, f"{record_type}: made")
    remote_id = _record(result).remote_id
    _same(read(remote_id), linked(first), f"{record_type}: linked when made")
    steps: list[Value] = [linked(first, second)] if is_multiple else []
    steps += [linked(second), *(() if sample.needs_contact else (None,))]
    for wanted in () if sample.keeps_contact else steps:
        result = connector.update(record_type, [UpdateItem("k", remote_id, {name: wanted})])["k"]
        _same((dict(result.refused), result.error), ({}, None), f"{record_type}: linked to {wanted}")
        _same(read(remote_id), wanted, f"{record_type}: linked again")
    connector.delete(record_type, [UpdateItem("k", remote_id, {})])


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
    lost_answer_of_a_create_is_unknown,
    lost_answer_of_an_update_is_unknown,
    page_instead_of_json_is_never_success,
    read_that_keeps_failing_is_unavailable,
    rate_limit_is_waited_out_and_writes_happen_once,
    refused_credentials_block_the_connection,
    account_is_named,
    describe_lists_the_fields,
    other_objects_live_change_and_die,
    other_objects_belong_to_a_contact,
)
