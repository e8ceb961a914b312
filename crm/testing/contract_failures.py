"""What every connector does when the CRM, or the way to it, fails: see ``crm.testing.contract``."""

from __future__ import annotations

from typing import Final

from crm.errors import (
    AuthorizationExpiredError,
    OutcomeUnknownError,
    ProviderUnavailableError,
    RateLimitedError,
    UnexpectedAnswerError,
)
from crm.ports import UpdateItem
from crm.testing.contract_stand import Check, Stand, add, creates, error_of, expect, record_of, same


def lost_answer_of_a_create_is_unknown(stand: Stand) -> None:
    """It is sent once, every item is unknown, and the marker settles whether it happened."""
    connector, names = stand.connector(), stand.fields
    connector.prepare(names.record_type)
    stand.fail("lost_answer", writes_only=True)
    results = connector.create(names.record_type, creates(stand, 3))
    expect(
        all(isinstance(result.error, OutcomeUnknownError) for result in results.values()),
        f"the outcomes: { {key: result.error for key, result in results.items()} }",
    )
    same(len(stand.live_ids()), 3, "the number of records")
    if connector.capabilities.marker_lookup:
        found = connector.find_by_markers(names.record_type, ["org:contact-2"], [names.email]).get("org:contact-2")
        same(found and dict(found.values), {names.email: "p2@example.com"}, "the record found by its marker")


def lost_answer_of_an_update_is_unknown(stand: Stand) -> None:
    """No retry: between the two tries a person may have edited the record."""
    connector, names = stand.connector(), stand.fields
    (remote_id,) = add(stand, 1)
    stand.fail("lost_answer", writes_only=True)
    before = connector.calls
    result = connector.update(names.record_type, [UpdateItem("k", remote_id, {names.other: "sent"})])["k"]
    expect(isinstance(result.error, OutcomeUnknownError), f"the outcome: {result.error!r}")
    same(connector.calls - before, 1, "the requests")
    same(stand.stored(remote_id, names.other), "sent", "what happened")


def page_instead_of_json_is_never_success(stand: Stand) -> None:
    """A proxy's page is no empty result and no finished write."""
    connector, names = stand.connector(), stand.fields
    (remote_id,) = add(stand, 1)
    stand.fail("html")
    error = error_of(lambda: connector.scan(names.record_type, [names.name], None))
    expect(isinstance(error, UnexpectedAnswerError), f"a scan: {error!r}")
    stand.fail("html", writes_only=True)
    result = connector.update(names.record_type, [UpdateItem("k", remote_id, {names.other: "sent"})])["k"]
    expect(isinstance(result.error, OutcomeUnknownError), f"an update: {result.error!r}")
    stand.fail("html")
    error = error_of(lambda: connector.fetch(names.record_type, [remote_id], [names.name]))
    expect(isinstance(error, UnexpectedAnswerError), f"a fetch: {error!r}")


def read_that_keeps_failing_is_unavailable(stand: Stand) -> None:
    """One failure is retried; a server that stays down is ProviderUnavailableError."""
    connector, names = stand.connector(), stand.fields
    ids = add(stand, 1)
    stand.fail("server_error")
    same([each.remote_id for each in connector.scan(names.record_type, [names.name], None).records], ids, "a scan")
    stand.fail("server_error", times=100)
    error = error_of(lambda: connector.scan(names.record_type, [names.name], None))
    expect(isinstance(error, ProviderUnavailableError), f"a scan while the CRM is down: {error!r}")


def rate_limit_is_waited_out_and_writes_happen_once(stand: Stand) -> None:
    """A 429 had no effect: the write is sent again and happens once."""
    connector, names = stand.connector(), stand.fields
    connector.prepare(names.record_type)
    stand.fail("rate_limited", writes_only=True)
    results = connector.create(names.record_type, creates(stand, 2))
    made = {record_of(result).remote_id for result in results.values()}
    same(stand.live_ids(), made, "the records afterwards")


def refused_credentials_block_the_connection(stand: Stand) -> None:
    """Reads and writes raise or carry AuthorizationExpiredError, and nothing is written."""
    connector, names = stand.connector(), stand.fields
    (remote_id,) = add(stand, 1)
    stand.fail("unauthorized", times=100)
    for act in (
        connector.account,
        lambda: connector.scan(names.record_type, [names.name], None),
        lambda: connector.fetch(names.record_type, [remote_id], [names.name]),
    ):
        error = error_of(act)
        expect(isinstance(error, AuthorizationExpiredError), f"with a dead token: {error!r}")
    result = connector.update(names.record_type, [UpdateItem("k", remote_id, {names.other: "sent"})])["k"]
    expect(isinstance(result.error, AuthorizationExpiredError), f"an update: {result.error!r}")
    same(stand.stored(remote_id, names.other), "", "what was written")


def cut_answer_is_never_taken_for_a_whole_one(stand: Stand) -> None:
    """Half a body: a read is sent again, and a server that keeps at it is unavailable; a write is unknown."""
    connector, names = stand.connector(), stand.fields
    ids = add(stand, 3)
    stand.fail("half_body")
    found = connector.scan(names.record_type, [names.name], None).records
    same([each.remote_id for each in found], ids, "a scan after a cut answer")
    stand.fail("half_body", writes_only=True)
    result = connector.update(names.record_type, [UpdateItem("k", ids[0], {names.other: "sent"})])["k"]
    expect(isinstance(result.error, OutcomeUnknownError), f"an update: {result.error!r}")
    stand.fail("half_body", times=100)
    error = error_of(lambda: connector.scan(names.record_type, [names.name], None))
    expect(isinstance(error, ProviderUnavailableError), f"a scan of halves: {error!r}")


def endless_answer_is_not_read_to_its_end(stand: Stand) -> None:
    """A body beyond all bounds is neither kept in memory nor taken for empty."""
    connector, names = stand.connector(), stand.fields
    add(stand, 1)
    stand.fail("huge_body")
    error = error_of(lambda: connector.scan(names.record_type, [names.name], None))
    expect(isinstance(error, UnexpectedAnswerError), f"a scan: {error!r}")


def exhausted_day_is_told_and_not_waited_out(stand: Stand) -> None:
    """Read or written, one request learns that the day's allowance is used up, and nothing is written."""
    names = stand.fields
    (remote_id,) = add(stand, 1)
    stand.fail("day_used_up")
    reader = stand.connector()
    error = error_of(lambda: reader.scan(names.record_type, [names.name], None))
    expect(isinstance(error, RateLimitedError) and error.daily, f"a scan: {error!r}")
    same(reader.calls, 1, "the requests of a scan")
    stand.fail("day_used_up", writes_only=True)
    item = UpdateItem("k", remote_id, {names.other: "sent"})
    found = stand.connector().update(names.record_type, [item])["k"].error
    expect(isinstance(found, RateLimitedError) and found.daily, f"an update: {found!r}")
    same(stand.stored(remote_id, names.other), "", "what was written")


def marker_is_found_though_search_lags(stand: Stand) -> None:
    """Right after a record was made, by a connector that never saw it; no index is asked."""
    connector, names = stand.connector(), stand.fields
    if not connector.capabilities.marker_lookup:
        return
    connector.prepare(names.record_type)
    stand.lag_search(3_600)
    made = record_of(connector.create(names.record_type, creates(stand, 2))["key-1"])
    found = stand.connector().find_by_markers(names.record_type, ["org:contact-1"], [names.name]).get("org:contact-1")
    same(found and (found.remote_id, found.marker), (made.remote_id, "org:contact-1"), "the marked record")


CHECKS: Final[tuple[Check, ...]] = (
    lost_answer_of_a_create_is_unknown,
    lost_answer_of_an_update_is_unknown,
    page_instead_of_json_is_never_success,
    read_that_keeps_failing_is_unavailable,
    rate_limit_is_waited_out_and_writes_happen_once,
    refused_credentials_block_the_connection,
    cut_answer_is_never_taken_for_a_whole_one,
    endless_answer_is_not_read_to_its_end,
    exhausted_day_is_told_and_not_waited_out,
    marker_is_found_though_search_lags,
)
