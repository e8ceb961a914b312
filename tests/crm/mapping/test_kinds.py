"""Canonical values: comparing never raises, blank is one thing, False and 0 are another."""

from __future__ import annotations

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from crm.mapping.kinds import Kind, TransformError, canonical, express, is_blank

VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(["1e400", "-0", "1.50", "null", "true", "2026-11-24", "NaN", "9007199254740993", "+31612345678"])
    | st.lists(st.text(st.characters(), max_size=8), max_size=4).map(tuple)
)


@given(st.sampled_from(Kind), VALUES)
def test_canonical_is_idempotent_and_total(kind, value):
    """Any value of any kind has a canonical form that is its own canonical form."""
    once = canonical(kind, value, "NL")
    again = canonical(kind, once, "NL")
    assert again == once
    assert type(again) is type(once)


@given(st.sampled_from(Kind), VALUES)
def test_blank_is_exactly_what_has_no_canonical_form(kind, value):
    """is_blank and canonical agree on every value but a list of separators for tags."""
    if is_blank(value):
        assert canonical(kind, value) is None
    elif kind is not Kind.TAGS:
        assert canonical(kind, value) is not None


@given(st.sampled_from(Kind), VALUES)
def test_what_is_expressed_corresponds_to_what_was_given(kind, value):
    """A written value compares equal to the value it was made from, or is refused with a code."""
    try:
        written = express(kind, value, "field")
    except TransformError as refusal:
        event(refusal.code)
        refused = (refusal.code, refusal.field, bool(refusal.fix))
    else:
        refused = None
    if refused:
        assert refused == ("field.bad_type", "field", True)
        return
    assert canonical(kind, written) == canonical(kind, value)


@pytest.mark.parametrize("value", [None, "", "   ", "\u00a0\n", (), ("", " ")])
def test_every_sort_of_blank_is_none(value):
    """Null, empty text, blanks and empty lists are one blank in every kind."""
    assert is_blank(value)
    assert {canonical(kind, value) for kind in Kind} == {None}


@pytest.mark.parametrize("value", [False, 0, 0.0, "0", "false", "\u200b"])
def test_no_and_zero_are_values(value):
    """False, 0 and a zero-width character are no blank in any kind."""
    assert not is_blank(value)
    assert None not in {canonical(kind, value) for kind in Kind}


@pytest.mark.parametrize(
    ("kind", "left", "right"),
    [
        (Kind.NUMBER, "1.50", 1.5),
        (Kind.NUMBER, "-0", 0),
        (Kind.NUMBER, "1e3", 1000),
        (Kind.BOOLEAN, "TRUE", True),
        (Kind.BOOLEAN, "0", False),
        (Kind.BOOLEAN, 1, True),
        (Kind.DATE, "2026-11-24T00:00:00Z", "2026-11-24"),
        (Kind.DATETIME, "2026-11-24T12:00:00+02:00", "2026-11-24T10:00:00.000Z"),
        (Kind.TAGS, ("b", "a", "b "), ["a", "b"]),
        (Kind.TAGS, "b;a", ("a", "b")),
        (Kind.EMAIL, "Ann@X.example ", "ann@x.example"),
        (Kind.PHONE, "06-12345678", "+31 6 12345678"),
        (Kind.COUNTRY, "nl", "NL"),
        (Kind.TEXT, "a\r\nb", "a b"),
    ],
)
def test_spellings_of_one_value_are_equal(kind, left, right):
    """What means the same compares equal."""
    assert canonical(kind, left, "NL") == canonical(kind, right, "NL")


@pytest.mark.parametrize(
    ("kind", "left", "right"),
    [
        (Kind.NUMBER, "9007199254740993", "9007199254740992"),
        (Kind.NUMBER, "1e400", "1e401"),
        (Kind.NAME, "Rene", "René"),
        (Kind.TAGS, ("A",), ("a",)),
        (Kind.TEXT, "null", None),
        (Kind.BOOLEAN, False, None),
        (Kind.NUMBER, 0, None),
    ],
)
def test_different_values_stay_different(kind, left, right):
    """Nothing that a person can mean apart is folded together."""
    assert canonical(kind, left) != canonical(kind, right)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.NUMBER, "twelve"),
        (Kind.NUMBER, "1e400"),
        (Kind.NUMBER, float("nan")),
        (Kind.BOOLEAN, "maybe"),
        (Kind.DATE, "24-11-2026"),
        (Kind.DATETIME, "tomorrow"),
        (Kind.TEXT, ("a", "b")),
        (Kind.NUMBER, ("1", "2")),
    ],
)
def test_a_value_without_a_form_is_refused(kind, value):
    """A value that the field cannot hold is refused and names the field."""
    with pytest.raises(TransformError) as caught:
        express(kind, value, "amount")
    assert (caught.value.code, caught.value.field) == ("field.bad_type", "amount")


def test_text_is_written_as_the_person_wrote_it():
    """Only comparing normalizes; what is written keeps its spelling, minus what cannot be stored."""
    assert express(Kind.EMAIL, "Ann@X.example", "email") == "Ann@X.example"
    assert express(Kind.TEXT, "a\0\ud800 b", "notes") == "a\ufffd\ufffd b"


def test_an_unknown_kind_is_text():
    """A word that no provider has declared is shown and compared as text."""
    assert Kind.of("phone") is Kind.PHONE
    assert Kind.of("hologram") is Kind.TEXT


def test_a_value_beyond_the_bound_is_refused():
    """No transform takes more than 64 KiB of text."""
    with pytest.raises(TransformError) as caught:
        express(Kind.TEXT, "x" * 65_537, "notes")
    assert (caught.value.code, caught.value.field) == ("field.too_long", "notes")


def test_a_list_of_one_word_is_that_word():
    """A single word in a list fits a field that takes one text."""
    assert express(Kind.TEXT, ("a",), "notes") == "a"
