"""One result for each record, whatever the batch met."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.errors import (
    AuthorizationExpiredError,
    OutcomeUnknownError,
    RateLimitedError,
    RecordInvalidError,
    RejectedError,
    TransientError,
)
from crm.http.batches import send_in_batches


class Remote:
    """Does what it is sent, unless a bad record is among it."""

    def __init__(self, bad=(), fail_at=None, error=None):
        self.bad, self.fail_at, self.error = set(bad), fail_at, error
        self.batches: list[list[int]] = []
        self.done: list[int] = []

    def send(self, batch):
        self.batches.append(list(batch))
        if len(self.batches) == self.fail_at:
            raise self.error
        if self.bad & set(batch):
            raise RecordInvalidError("bad batch")
        self.done += batch
        return {key: value.upper() for key, value in reversed(batch.items())}


def items(count):
    return {number: f"v{number}" for number in range(count)}


def test_records_go_in_order_in_as_few_requests_as_possible():
    """Ceil(N / size) requests; results by key although the answer had another order."""
    remote = Remote()

    assert {number: f"V{number}" for number in range(250)} == send_in_batches(items(250), 100, remote.send)
    assert [len(batch) for batch in remote.batches] == [100, 100, 50]


def test_a_bad_record_is_found_and_the_others_are_done_once():
    """A batch refused whole is halved down to the bad record."""
    remote = Remote(bad={37})

    results = send_in_batches(items(100), 100, remote.send)

    assert isinstance(results[37], RecordInvalidError)
    assert sorted(set(range(100)) - {37}) == sorted(remote.done)
    assert {True} == {results[number] == f"V{number}" for number in range(100) if number != 37}
    assert len(remote.batches) <= 1 + 2 * 7


@given(st.integers(0, 60), st.integers(1, 25), st.sets(st.integers(0, 59)))
def test_exactly_the_bad_records_fail(count, size, bad):
    """For any size and any set of bad records."""
    remote = Remote(bad=bad)

    results = send_in_batches(items(count), size, remote.send, max_extra_requests=1_000)

    assert {key for key in results if isinstance(results[key], RejectedError)} == bad & set(range(count))
    assert list(results) == sorted(results) == list(range(count))
    assert sorted(remote.done) == sorted(set(range(count)) - bad)


def test_an_unknown_batch_makes_each_of_its_records_unknown_and_the_next_goes_on():
    """Nothing is sent twice."""
    remote = Remote(fail_at=2, error=OutcomeUnknownError())

    results = send_in_batches(items(9), 3, remote.send)

    assert {3, 4, 5} == {key for key in results if isinstance(results[key], OutcomeUnknownError)}
    assert remote.batches == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


@pytest.mark.parametrize("error", [RateLimitedError(retry_after_seconds=60), AuthorizationExpiredError()])
def test_what_stops_everyone_stops_the_rest_and_keeps_what_was_done(error):
    """Records not sent carry the reason."""
    remote = Remote(fail_at=2, error=error)

    results = send_in_batches(items(9), 3, remote.send)

    assert [results[key] for key in range(3)] == ["V0", "V1", "V2"]
    assert {error} == {results[key] for key in range(3, 9)}
    assert len(remote.batches) == 2


def test_a_record_that_the_answer_leaves_out_is_unknown():
    """Matched by key; extra keys are nobody's."""
    results = send_in_batches(items(3), 10, lambda batch: {0: "a", 2: RejectedError(), 99: "x"})

    assert ["a", OutcomeUnknownError, RejectedError] == [results[0], type(results[1]), type(results[2])]
    assert len(results) == 3


def test_the_number_of_requests_is_bounded():
    """A batch of nothing but bad records ends; the rest is tried another time."""
    remote = Remote(bad=set(range(100)))

    results = send_in_batches(items(100), 100, remote.send, max_extra_requests=20)

    assert len(remote.batches) == 21
    kinds = [type(results[key]) for key in range(100)]
    assert {RecordInvalidError, TransientError} == set(kinds)
    assert results[99].code == "net.batch_refused"


def test_no_records_no_request():
    """And a size below one is a mistake of the caller."""
    remote = Remote()

    assert send_in_batches({}, 100, remote.send) == {}
    assert remote.batches == []
    with pytest.raises(ValueError, match="at least 1"):
        send_in_batches(items(1), 0, remote.send)
