"""Transform rules: what the parser takes is what the published schema takes, and refusals say where and why."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from crm.errors import MappingError
from crm.mapping.rule import STEPS, parse_rule, parse_transform_rule, rule_json, transform_rule_schema
from crm.model import Side

VALIDATOR = Draft202012Validator(transform_rule_schema())

GOOD = [
    {"step": "trim"},
    {"step": "case", "to": "lower"},
    {"step": "phone_e164"},
    {"step": "phone_e164", "region": "NL"},
    {"step": "date_format", "from": "YYYY-MM-DD", "to": "DD/MM/YYYY"},
    {"step": "number_format", "decimal": ",", "thousands": "."},
    {"step": "number_format", "decimals": 2},
    {"step": "boolean_map", "true": "Y", "false": "N"},
    {"step": "boolean_map", "true": 1, "false": 0},
    {"step": "value_map", "map": {"a": "b", "c": "d"}},
    {"step": "value_map", "map": {"a": "b", "c": "b"}, "default": "x"},
    {"step": "split", "separator": ", "},
    {"step": "join", "separator": ";"},
    {"step": "prefix", "text": "x-"},
    {"step": "suffix", "text": "-x"},
    {"step": "default", "value": "n/a"},
    {"step": "constant", "value": True},
    {"step": "truncate", "length": 10},
    {"step": "truncate", "length": 10, "mark": ""},
    {"step": "regex_replace", "pattern": "[0-9]+", "with": ""},
    {"step": "regex_extract", "pattern": "([0-9]+)", "group": 1, "otherwise": "blank"},
    {"step": "expression", "source": "size(value) > 3 ? 'long' : value"},
]


def test_every_step_has_an_example():
    """The list of good steps covers the whole table."""
    assert {step["step"] for step in GOOD} == set(STEPS)


@pytest.mark.parametrize("step", GOOD, ids=json.dumps)
def test_a_good_step_passes_parser_and_schema_and_comes_back(step):
    """Parser and schema take it, and its JSON form parses to the same step."""
    rule = {"steps": [step]}
    VALIDATOR.validate(rule)
    parsed = parse_rule(rule)
    assert rule_json(parsed) == rule
    assert parse_rule(json.loads(json.dumps(rule_json(parsed)))) == parsed


def test_null_and_an_empty_list_are_no_rule():
    """No rule is no steps."""
    assert parse_transform_rule(None) == parse_transform_rule({"steps": []}) == ()
    assert rule_json(parse_rule(None)) is None


def test_a_rule_may_start_at_the_crm():
    """starts_at says where a value enters the first step, and survives the round trip."""
    rule = {"steps": [{"step": "truncate", "length": 5}], "starts_at": "crm"}
    VALIDATOR.validate(rule)
    assert parse_rule(rule).starts_at is Side.CRM
    assert rule_json(parse_rule(rule)) == rule


@pytest.mark.parametrize(
    ("rule", "code", "pointer"),
    [
        ("trim", "mapping.bad_rule", ""),
        ([], "mapping.bad_rule", ""),
        ({}, "mapping.bad_rule", ""),
        ({"steps": "trim"}, "mapping.bad_rule", ""),
        ({"steps": [], "a/b": 1}, "mapping.bad_rule", "/a~1b"),
        ({"steps": [], "starts_at": "both"}, "mapping.bad_rule", "/starts_at"),
        ({"steps": [None]}, "mapping.bad_rule", "/steps/0"),
        ({"steps": [{"step": 1}]}, "mapping.bad_rule", "/steps/0"),
        ({"steps": [{"step": "trim"}] * 21}, "mapping.too_many_steps", "/steps/20"),
        ({"steps": [{"step": "trim"}, {"step": "eval"}]}, "mapping.unknown_step", "/steps/1/step"),
        ({"steps": [{"step": "trim", "x": 1}]}, "mapping.bad_parameter", "/steps/0/x"),
        ({"steps": [{"step": "prefix"}]}, "mapping.bad_parameter", "/steps/0/text"),
        ({"steps": [{"step": "prefix", "text": ""}]}, "mapping.bad_parameter", "/steps/0/text"),
        ({"steps": [{"step": "prefix", "text": "  "}]}, "mapping.bad_parameter", "/steps/0/text"),
        ({"steps": [{"step": "prefix", "text": 5}]}, "mapping.bad_parameter", "/steps/0/text"),
        ({"steps": [{"step": "prefix", "text": "x" * 501}]}, "mapping.bad_parameter", "/steps/0/text"),
        ({"steps": [{"step": "case", "to": "camel"}]}, "mapping.bad_parameter", "/steps/0/to"),
        ({"steps": [{"step": "case", "to": ["lower"]}]}, "mapping.bad_parameter", "/steps/0/to"),
        ({"steps": [{"step": "truncate", "length": 0}]}, "mapping.bad_parameter", "/steps/0/length"),
        ({"steps": [{"step": "truncate", "length": True}]}, "mapping.bad_parameter", "/steps/0/length"),
        ({"steps": [{"step": "truncate", "length": 10**400}]}, "mapping.bad_parameter", "/steps/0/length"),
        ({"steps": [{"step": "value_map", "map": {}}]}, "mapping.bad_parameter", "/steps/0/map"),
        ({"steps": [{"step": "value_map", "map": {"a": 1}}]}, "mapping.bad_parameter", "/steps/0/map"),
        ({"steps": [{"step": "value_map", "map": {"": "a"}}]}, "mapping.bad_parameter", "/steps/0/map"),
        ({"steps": [{"step": "split", "separator": "ab"}]}, "mapping.bad_parameter", "/steps/0/separator"),
        ({"steps": [{"step": "date_format", "from": "YY-MM-DD", "to": "YYYY-MM-DD"}]}, "mapping.bad_parameter",
         "/steps/0/from"),
    ],
)  # fmt: skip
def test_a_bad_rule_is_refused_by_parser_and_schema(rule, code, pointer):
    """The refusal has a code, a pointer to the place, a reason and a fix; the schema refuses it as well."""
    with pytest.raises(MappingError) as caught:
        parse_rule(rule)
    assert (caught.value.code, caught.value.pointer) == (code, pointer)
    assert caught.value.message
    assert caught.value.fix.endswith(".")
    assert not VALIDATOR.is_valid(rule)


@pytest.mark.parametrize(
    "step",
    [
        {"step": "boolean_map", "true": "x", "false": " x"},
        {"step": "boolean_map", "true": "x", "false": 0},
        {"step": "boolean_map", "true": "x", "false": " "},
        {"step": "value_map", "map": {"a": "b", "a ": "c"}},
        {"step": "value_map", "map": {"a": " "}},
        {"step": "date_format", "from": "YYYY-YYYY-DD", "to": "YYYY-MM-DD"},
        {"step": "number_format", "decimal": ",", "thousands": ","},
        {"step": "truncate", "length": 1, "mark": "…"},
        {"step": "regex_extract", "pattern": "a", "group": 1},
        {"step": "constant", "value": float("nan")},
        {"step": "prefix", "text": "a\ud800"},
        {"step": "phone_e164", "region": "NL\n"},
        {"step": "date_format", "from": "YYYY-MM-DD\n", "to": "YYYY-MM-DD"},
    ],
    ids=str,
)
def test_parameters_that_do_not_go_together_are_refused(step):
    """What a schema cannot say is refused by the parser."""
    with pytest.raises(MappingError) as caught:
        parse_rule({"steps": [step]})
    assert caught.value.code == "mapping.bad_parameter"
    assert caught.value.pointer.startswith("/steps/0")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PARAMETERS = sorted({parameter.name for step in STEPS.values() for parameter in step.parameters})


@given(
    st.lists(
        st.builds(
            lambda name, rest: {"step": name, **rest},
            st.sampled_from(sorted(STEPS)),
            st.dictionaries(st.sampled_from(PARAMETERS), JSON | st.sampled_from(["lower", "YYYY-MM-DD", ",", "NL", 3])),
        )
        | JSON,
        max_size=3,
    )
)
def test_any_json_is_parsed_or_refused(steps):
    """Hostile JSON never raises anything but a MappingError, and what passes the parser passes the schema."""
    rule = {"steps": steps}
    try:
        parse_rule(rule)
    except MappingError:
        return
    assert VALIDATOR.is_valid(rule)


@given(st.sampled_from(GOOD), st.sampled_from(PARAMETERS), JSON)
def test_parser_and_schema_agree_on_one_changed_parameter(step, name, value):
    """A rule that the schema refuses is refused by the parser, whatever single parameter is changed."""
    rule = {"steps": [{**step, name: value}]}
    if not VALIDATOR.is_valid(rule):
        with pytest.raises(MappingError):
            parse_rule(rule)
