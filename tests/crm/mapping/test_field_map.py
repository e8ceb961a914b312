"""A field map converts both ways, compares what the two sides hold, and refuses what does not fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.mapping.field_map import FieldMap, TransformError, is_blank
from crm.mapping.kinds import Kind
from crm.mapping.rule import parse_rule, parse_transform_rule
from crm.mapping.steps import Law
from crm.model import Direction, Side

VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.lists(st.text(max_size=5), max_size=3).map(tuple)
)


def field_map(app_kind=Kind.TEXT, remote_kind=None, *steps, direction=Direction.BIDIRECTIONAL, **more):
    steps = parse_transform_rule({"steps": list(steps)})
    return FieldMap("m1", "ours", "theirs", direction, app_kind, remote_kind or app_kind, steps, **more)


@given(st.sampled_from(Kind), st.sampled_from(Kind), st.sampled_from(Direction), VALUES, VALUES)
def test_comparing_never_raises(app_kind, remote_kind, direction, ours, theirs):
    """Any two values of any kinds can be compared."""
    mapped = field_map(app_kind, remote_kind, {"step": "trim"}, direction=direction, options=("a", "b"))
    assert mapped.correspond(ours, theirs) in {True, False}


@given(st.sampled_from(Kind), VALUES)
def test_a_field_without_steps_keeps_the_laws(kind, value):
    """What is pushed and pulled back compares equal to what it was."""
    mapped = field_map(kind, region="NL")
    assert mapped.law() is Law.EXACT
    try:
        put = mapped.to_crm(value)
    except TransformError:
        return
    assert mapped.canonical_app(mapped.from_crm(put)) == mapped.canonical_app(value)
    assert mapped.correspond(value, put)


def test_spelling_is_kept_and_compared_away():
    """A phone goes out as the person wrote it and corresponds to every spelling of itself."""
    mapped = field_map(Kind.PHONE, region="NL")
    assert mapped.to_crm("06-12345678") == "06-12345678"
    assert mapped.correspond("06-12345678", "+31 6 12345678")
    assert not mapped.correspond("06-12345678", "+31 6 12345679")


@pytest.mark.parametrize("blank", [None, "", "  ", (), ("",)])
def test_blank_travels_as_none_and_meets_every_blank(blank):
    """All blanks are one on both sides and in both directions."""
    mapped = field_map(Kind.TEXT, Kind.TEXT, {"step": "prefix", "text": "x"})
    assert is_blank(blank)
    assert mapped.to_crm(blank) is None
    assert mapped.from_crm(blank) is None
    assert mapped.correspond(blank, "")
    assert not mapped.correspond(blank, "xa")


def test_no_is_not_blank():
    """An opt-out that is off differs from one that was never set."""
    mapped = field_map(Kind.BOOLEAN)
    assert mapped.to_crm(False) is False
    assert mapped.from_crm("false") is False
    assert not mapped.correspond(False, "")
    assert mapped.correspond(False, "false")


def test_text_that_spells_a_typed_value_becomes_one():
    """CRMs that answer everything as text are understood by the field's kind."""
    assert field_map(Kind.NUMBER).from_crm("12.50") == 12.5
    assert field_map(Kind.BOOLEAN).from_crm("true") is True
    assert field_map(Kind.DATE).from_crm("1764000000000") == "2025-11-24"
    assert field_map(Kind.TAGS).from_crm("b;a") == ("b", "a")


def test_a_picklist_takes_its_options_only():
    """Another case of an option is that option; another word is refused."""
    mapped = field_map(Kind.CHOICE, options=("lead", "Customer", "x", "X"))
    assert mapped.to_crm("Lead ") == "lead"
    assert mapped.to_crm("x") == "x"
    assert mapped.to_crm("X") == "X"
    assert mapped.correspond("LEAD", "lead")
    with pytest.raises(TransformError) as caught:
        mapped.to_crm("partner")
    assert (caught.value.code, caught.value.field) == ("field.picklist", "theirs")


def test_each_word_of_a_multiple_choice_is_an_option():
    """One unknown word refuses the whole value."""
    mapped = field_map(Kind.TAGS, options=("a", "b"))
    assert mapped.to_crm(("B", "a")) == ("b", "a")
    with pytest.raises(TransformError):
        mapped.to_crm(("a", "z"))


def test_a_long_value_is_refused_by_the_side_that_is_short():
    """Nothing is cut silently."""
    mapped = field_map(Kind.TEXT, app_max_length=3, remote_max_length=5)
    assert mapped.to_crm("abcde") == "abcde"
    for convert, field in ((mapped.to_crm, "theirs"), (mapped.from_crm, "ours")):
        with pytest.raises(TransformError) as caught:
            convert("abcdef")
        assert (caught.value.code, caught.value.field) == ("field.too_long", field)


def test_text_that_cannot_be_stored_is_cleaned_on_the_way():
    """NUL and half characters become U+FFFD, and still correspond to what they came from."""
    mapped = field_map(Kind.TEXT)
    assert mapped.from_crm("a\0\ud800") == "a\ufffd\ufffd"
    assert mapped.correspond("a\ufffd\ufffd", "a\0\ud800")


def test_a_rule_that_starts_at_the_crm_runs_its_inverse_on_the_way_there():
    """starts_at turns the steps round."""
    rule = parse_rule({"steps": [{"step": "prefix", "text": "crm:"}], "starts_at": "crm"})
    mapped = FieldMap("m", "ours", "theirs", Direction.BIDIRECTIONAL, steps=rule.steps, starts_at=rule.starts_at)
    assert mapped.starts_at is Side.CRM
    assert mapped.from_crm("a") == "crm:a"
    assert mapped.to_crm("crm:a") == "a"
    assert mapped.correspond("crm:a", "a")


def test_a_one_way_map_compares_in_its_direction_only():
    """A lossy step runs the way the values flow, and what it forgets is no difference."""
    pushed = field_map(Kind.TEXT, Kind.TEXT, {"step": "truncate", "length": 3, "mark": ""}, direction=Direction.TO_CRM)
    assert pushed.correspond("abcdef", "abc")
    assert not pushed.correspond("abc", "abcdef")
    rule = parse_rule({"steps": [{"step": "case", "to": "upper"}], "starts_at": "crm"})
    pulled = FieldMap("m", "ours", "theirs", Direction.FROM_CRM, steps=rule.steps, starts_at=rule.starts_at)
    assert pulled.correspond("ABC", "abc")
    assert not pulled.correspond("abc", "ABC")


def test_what_the_crm_spells_otherwise_corresponds_after_a_pull():
    """Trailing zeros of a formatted number are no difference."""
    mapped = field_map(Kind.NUMBER, Kind.TEXT, {"step": "number_format", "decimal": ",", "thousands": "."})
    assert mapped.from_crm("1.234,50") == 1234.5
    assert mapped.correspond(1234.5, "1.234,50")


def test_a_default_fills_a_blank_and_corresponds():
    """A blank of ours and the default there are in step."""
    mapped = field_map(Kind.TEXT, Kind.TEXT, {"step": "default", "value": "n/a"}, direction=Direction.TO_CRM)
    assert mapped.to_crm(None) == "n/a"
    assert mapped.correspond(None, "n/a")
    assert not mapped.correspond(None, None)
