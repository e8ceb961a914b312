"""Batches side by side: what ``send_in_batches`` promises holds, whichever of them ends first."""

from __future__ import annotations

import threading

import pytest

from crm.errors import AuthorizationExpiredError, CrmError, RateLimitedError, RecordInvalidError
from crm.http.crew import Crew


def make_crew(size=4, **hooks):
    given = {"authorize": dict, "reauthorize": None, "counter": lambda call: None, **hooks}
    return Crew(size=size, **given)


def items(count):
    return {number: f"v{number}" for number in range(count)}


def upper(batch):
    return {number: value.upper() for number, value in reversed(batch.items())}


def test_batches_are_on_their_way_at_once_and_answers_go_by_key():
    together = threading.Barrier(3, timeout=10)

    def send(batch):
        together.wait()  # none of the three goes on before all are under way
        return upper(batch)

    assert make_crew().in_batches(items(250), 100, send) == {number: f"V{number}" for number in range(250)}


def test_a_bad_record_is_found_and_the_others_are_done_once():
    done = []

    def send(batch):
        if 137 in batch:
            raise RecordInvalidError("bad batch")
        done.extend(batch)
        return upper(batch)

    results = make_crew().in_batches(items(300), 100, send)
    assert isinstance(results[137], RecordInvalidError)
    assert sorted(done) == [number for number in range(300) if number != 137]


def test_what_ends_one_batch_ends_those_not_sent_yet():
    """A limit that was met is not met by every batch in turn."""
    sent = []

    def send(batch):
        sent.append(min(batch))
        if 100 in batch:
            raise RateLimitedError(retry_after_seconds=5)
        return upper(batch)

    results = make_crew(size=1).in_batches(items(400), 100, send)
    assert sent == [0, 100]
    assert {type(results[number]) for number in range(100, 400)} == {RateLimitedError}
    assert results[99] == "V99"


def test_a_record_that_has_to_wait_ends_nothing():
    """Only what a whole batch met does: an answer about one record is that record's."""

    def send(batch):
        return {
            number: RateLimitedError(retry_after_seconds=5) if number == 5 else value for number, value in batch.items()
        }

    results = make_crew(size=1).in_batches(items(30), 10, send)
    assert [number for number, each in results.items() if isinstance(each, CrmError)] == [5]


@pytest.mark.parametrize("renewed", [True, False], ids=["renewed", "refused"])
def test_credentials_are_renewed_once_on_the_callers_thread_and_only_what_they_refused_is_sent_again(renewed):
    tokens, threads, sent = ["dead"], [], []

    def reauthorize():
        threads.append(threading.current_thread())
        if not renewed:
            raise AuthorizationExpiredError
        tokens.append("fresh")

    crew = make_crew(size=1, authorize=lambda: {"token": tokens[-1]}, reauthorize=reauthorize)

    def send(batch):
        token = crew.authorize()["token"]
        sent.append((min(batch), token))
        if token == "dead" and 0 not in batch:
            crew.reauthorize()
        return upper(batch)

    results = crew.in_batches(items(30), 10, send)
    assert threads == [threading.main_thread()]
    if renewed:
        assert results == {number: f"V{number}" for number in range(30)}
        assert sent == [(0, "dead"), (10, "dead"), (10, "fresh"), (20, "fresh")]
    else:
        assert [number for number, each in results.items() if isinstance(each, CrmError)] == list(range(10, 30))
