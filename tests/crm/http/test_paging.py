"""Pages end."""

from __future__ import annotations

import pytest

from crm.errors import LimitExceededError, UnexpectedAnswerError
from crm.http.paging import Page, read_all


def test_all_items_in_order():
    """From the empty position to the page without a next one."""
    pages = {"": Page([1, 2], "a"), "a": Page([], "b"), "b": Page([3])}

    assert list(read_all(pages.__getitem__)) == [1, 2, 3]


def test_a_circle_is_an_unexpected_answer():
    """Not only two equal positions in a row."""
    pages = {"": Page([1], "a"), "a": Page([2], "b"), "b": Page([3], "a")}

    with pytest.raises(UnexpectedAnswerError):
        list(read_all(pages.__getitem__))


def test_a_list_without_end_is_stopped():
    """At the stated number of pages."""
    with pytest.raises(LimitExceededError, match="more than 5 pages"):
        list(read_all(lambda position: Page([1], position + "x"), max_pages=5))
