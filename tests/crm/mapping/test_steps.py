"""Transform laws (I19): what an invertible step puts, it gets back; what it cannot express, it refuses."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crm.mapping.field_map import FieldMap
from crm.mapping.kinds import Kind, TransformError
from crm.mapping.rule import STEPS, parse_transform_rule
from crm.mapping.steps import Law
from crm.model import Direction

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
NUMBERS = st.integers(-(10**20), 10**20) | st.floats(
    allow_nan=False, allow_infinity=False, min_value=-1e30, max_value=1e30
)

EXACT = [
    ({"step": "trim"}, Kind.TEXT, Kind.TEXT, TEXTS),
    ({"step": "phone_e164"}, Kind.PHONE, Kind.PHONE, st.text("0123456789+ -()x", max_size=16) | TEXTS),
    ({"step": "date_format", "from": "YYYY-MM-DD", "to": "DD/MM/YYYY"}, Kind.DATE, Kind.TEXT,
     st.dates(min_value=date(1, 1, 1)).map(date.isoformat)),
    ({"step": "date_format", "from": "YYYY-MM-DD", "to": "MMDDYYYY"}, Kind.DATE, Kind.TEXT,
     st.dates().map(date.isoformat)),
    ({"step": "number_format", "decimal": ",", "thousands": "."}, Kind.NUMBER, Kind.TEXT, NUMBERS),
    ({"step": "number_format"}, Kind.NUMBER, Kind.TEXT, NUMBERS),
    ({"step": "number_format", "thousands": " "}, Kind.NUMBER, Kind.TEXT, NUMBERS),
    ({"step": "boolean_map", "true": "Y", "false": "N"}, Kind.BOOLEAN, Kind.TEXT, st.booleans()),
    ({"step": "boolean_map", "true": 7, "false": 0}, Kind.BOOLEAN, Kind.NUMBER, st.booleans()),
    ({"step": "boolean_map", "true": False, "false": True}, Kind.BOOLEAN, Kind.BOOLEAN, st.booleans()),
    ({"step": "value_map", "map": {"nl": "Dutch", "en": "English", "é": "1"}}, Kind.TEXT, Kind.TEXT,
     st.sampled_from(["nl", " en", "e\u0301"])),
    ({"step": "join", "separator": "; "}, Kind.TAGS, Kind.TEXT, st.lists(WORDS, max_size=5).map(tuple)),
    ({"step": "prefix", "text": "x-"}, Kind.TEXT, Kind.TEXT, TEXTS),
    ({"step": "suffix", "text": " Ltd"}, Kind.TEXT, Kind.TEXT, TEXTS),
]  # fmt: skip


def two_way(step, app_kind, remote_kind):
    steps = parse_transform_rule({"steps": [step] if isinstance(step, dict) else step})
    return FieldMap("m", "ours", "theirs", Direction.BIDIRECTIONAL, app_kind, remote_kind, steps, region="NL")


def assert_laws(field_map, value):
    """get(put(a)) ~ a, put(get(c)) ~ c for the c that came of it, and the pair corresponds."""
    try:
        put = field_map.to_crm(value)
    except TransformError:
        assume(False)
    got = field_map.from_crm(put)
    assert field_map.canonical_app(got) == field_map.canonical_app(value)
    assert field_map.canonical_crm(field_map.to_crm(got)) == field_map.canonical_crm(put)
    assert field_map.correspond(value, put)


@pytest.mark.parametrize(("step", "app_kind", "remote_kind", "values"), EXACT, ids=lambda part: str(part)[:40])
def test_exact_steps_keep_the_laws(step, app_kind, remote_kind, values):
    """A step that declares an exact inverse has one, for every value that it accepts."""
    if "phone" in step["step"]:
        step = {**step, "region": "NL"}
    field_map = two_way(step, app_kind, remote_kind)
    assert field_map.law() is Law.EXACT

    @given(values)
    def laws(value):
        assert_laws(field_map, value)

    laws()


@given(st.lists(st.sampled_from([{"step": "trim"}, {"step": "prefix", "text": "a"}, {"step": "suffix", "text": "é"}]),
                max_size=6), TEXTS)  # fmt: skip
def test_exact_steps_in_a_row_keep_the_laws(steps, value):
    """Inverses run in reverse order."""
    field_map = two_way(steps, Kind.TEXT, Kind.TEXT)
    assert field_map.law() is Law.EXACT
    assert_laws(field_map, value)


@pytest.mark.parametrize(("step", "app_kind", "remote_kind", "values"), EXACT, ids=lambda part: str(part)[:40])
def test_what_the_crm_holds_comes_back_to_it_or_is_refused(step, app_kind, remote_kind, values):
    """put(get(c), c) ~ c: any CRM text is refused, or pulled into a value that corresponds to it."""
    field_map = two_way(step, app_kind, remote_kind)

    @given(TEXTS | st.sampled_from(["x-a", "a Ltd", "Y", "24/11/2026", "1.234,50", "1 234.5", "7", "true", "Dutch"]))
    def law(theirs):
        try:
            ours = field_map.from_crm(theirs)
        except TransformError:
            return
        assert field_map.correspond(ours, theirs)

    law()


@pytest.mark.parametrize(
    "step",
    [
        {"step": "default", "value": "x"},
        {"step": "constant", "value": "x"},
        {"step": "truncate", "length": 5},
        {"step": "regex_replace", "pattern": "a", "with": "b"},
        {"step": "regex_extract", "pattern": "a"},
        {"step": "expression", "source": "value"},
        {"step": "number_format", "decimals": 2},
        {"step": "value_map", "map": {"a": "b", "c": "b"}},
        {"step": "value_map", "map": {"a": "b"}, "default": "z"},
    ],
    ids=str,
)
def test_lossy_steps_have_no_way_back(step):
    """A step that forgets something says so, and refuses to guess."""
    field_map = two_way(step, Kind.NUMBER if "decimals" in step else Kind.TEXT, Kind.TEXT)
    assert field_map.law() is Law.LOSSY
    with pytest.raises(TransformError) as caught:
        field_map.from_crm("b")
    assert (caught.value.code, caught.value.field) == ("mapping.not_invertible", "ours")


def test_every_step_declares_a_law_that_some_test_tries():
    """The table has no step that is in neither list above."""
    exact = {step["step"] for step, *_ in EXACT}
    lossy = {"default", "constant", "truncate", "regex_replace", "regex_extract", "expression"}
    assert exact | lossy | {"case", "split"} == set(STEPS)


def test_case_is_lossy_for_text_and_left_to_samples_for_email():
    """Case counts in text; e-mail compares without it."""
    step = {"step": "case", "to": "lower"}
    assert two_way(step, Kind.TEXT, Kind.TEXT).law() is Law.LOSSY
    assert two_way(step, Kind.EMAIL, Kind.EMAIL).law() is Law.SAMPLED
    assert two_way(step, Kind.EMAIL, Kind.EMAIL).correspond("Ann@X.example", "ann@x.example")


@pytest.mark.parametrize(
    ("step", "value", "expected"),
    [
        ({"step": "case", "to": "title"}, "ann de vries", "Ann De Vries"),
        ({"step": "truncate", "length": 5}, "abcdefgh", "abcd…"),
        ({"step": "truncate", "length": 5}, "abcde", "abcde"),
        ({"step": "default", "value": "n/a"}, "  ", "n/a"),
        ({"step": "default", "value": "n/a"}, "x", "x"),
        ({"step": "constant", "value": "app"}, None, "app"),
        ({"step": "prefix", "text": "x"}, "", None),
        ({"step": "split", "separator": ","}, "a, b,,", ("a", "b")),
        ({"step": "regex_replace", "pattern": "[0-9]", "with": r"\1"}, "a1b2", r"a\1b\1"),
        ({"step": "regex_extract", "pattern": "([0-9]+) (.*)", "group": 2}, "12 Main", "Main"),
        ({"step": "regex_extract", "pattern": "[0-9]+", "otherwise": "keep"}, "Main", "Main"),
        ({"step": "regex_extract", "pattern": "[0-9]+", "otherwise": "blank"}, "Main", None),
        ({"step": "expression", "source": "value.startsWith('a') ? 'A' : 'other'"}, "abc", "A"),
        ({"step": "phone_e164", "region": "NL"}, "06-12345678", "+31612345678"),
        ({"step": "phone_e164", "region": "NL"}, "ask Ann", "ask Ann"),
    ],
)
def test_what_steps_make(step, value, expected):
    """Each step does what its summary says."""
    remote = Kind.TAGS if step["step"] == "split" else Kind.TEXT
    steps = parse_transform_rule({"steps": [step]})
    assert FieldMap("m", "ours", "theirs", Direction.TO_CRM, Kind.TEXT, remote, steps).to_crm(value) == expected


@pytest.mark.parametrize(
    ("step", "app_kind", "value", "code"),
    [
        ({"step": "value_map", "map": {"a": "b"}}, Kind.TEXT, "z", "mapping.value_unmapped"),
        ({"step": "join", "separator": ","}, Kind.TAGS, ("a,b", "c"), "mapping.value_refused"),
        ({"step": "boolean_map", "true": "Y", "false": "N"}, Kind.BOOLEAN, "maybe", "field.bad_type"),
        ({"step": "date_format", "from": "YYYY-MM-DD", "to": "DD/MM/YYYY"}, Kind.TEXT, "2026-02-30", "field.bad_type"),
        ({"step": "number_format"}, Kind.NUMBER, "many", "field.bad_type"),
        ({"step": "prefix", "text": "x"}, Kind.TAGS, ("a",), "field.bad_type"),
        ({"step": "regex_extract", "pattern": "[0-9]"}, Kind.TEXT, "none", "mapping.no_match"),
        ({"step": "expression", "source": "value / 2"}, Kind.TEXT, "none", "mapping.value_refused"),
        ({"step": "expression", "source": "{'a': value}"}, Kind.TEXT, "none", "field.bad_type"),
        ({"step": "expression", "source": "double('nan')"}, Kind.TEXT, "none", "field.bad_type"),
    ],
)
def test_what_steps_refuse(step, app_kind, value, code):
    """A value that a step cannot express is refused with a code, the field and a fix."""
    with pytest.raises(TransformError) as caught:
        two_way(step, app_kind, Kind.TEXT).to_crm(value)
    assert (caught.value.code, caught.value.field) == (code, "ours")
    assert caught.value.fix


@pytest.mark.parametrize(
    ("step", "app_kind", "theirs", "code"),
    [
        ({"step": "prefix", "text": "x-"}, Kind.TEXT, "a", "mapping.affix_missing"),
        ({"step": "prefix", "text": "x-"}, Kind.TEXT, "x-", "mapping.affix_missing"),
        ({"step": "suffix", "text": "-x"}, Kind.TEXT, "a", "mapping.affix_missing"),
        ({"step": "value_map", "map": {"a": "b"}}, Kind.TEXT, "a", "mapping.value_unmapped"),
        ({"step": "boolean_map", "true": "Y", "false": "N"}, Kind.BOOLEAN, "true", "mapping.value_unmapped"),
        ({"step": "number_format", "decimal": ",", "thousands": "."}, Kind.NUMBER, "1.5", "field.bad_type"),
        ({"step": "number_format"}, Kind.NUMBER, "1,5", "field.bad_type"),
    ],
)
def test_what_inverses_refuse(step, app_kind, theirs, code):
    """A CRM value that the step can never have made is refused, never guessed at."""
    with pytest.raises(TransformError) as caught:
        two_way(step, app_kind, Kind.TEXT).from_crm(theirs)
    assert caught.value.code == code
