"""Poison in the pure parts: a value is taken, or refused by an error that says what is wrong; nothing else happens."""

# ruff: noqa: PT017  that nothing but the one error comes is what is tested; a value that is taken is fine

from __future__ import annotations

import time

import pytest

from crm import normalize
from crm.errors import MappingError
from crm.mapping.build import BrokenMapping, MappingRow, build_field_map
from crm.mapping.field_map import FieldMap
from crm.mapping.kinds import Kind
from crm.mapping.rule import STEPS, parse_rule
from crm.mapping.steps import Law
from crm.model import FieldDefinition
from tests.poison.corpus import TEXTS, VALUES

MODERATE = [text for text in TEXTS if len(text) < 5000]
"""Enough where a hundred rules meet every value; the long ones have tests of their own."""
RULES = {
    "trim": {},
    "case": {"to": "upper"},
    "phone_e164": {"region": "NL"},
    "date_format": {"from": "YYYY-MM-DD", "to": "DD-MM-YYYY"},
    "number_format": {"decimal": ","},
    "boolean_map": {"true": "Y", "false": "N"},
    "value_map": {"map": {"a": "b"}},
    "split": {"separator": ";"},
    "join": {"separator": ";"},
    "prefix": {"text": "x"},
    "suffix": {"text": "x"},
    "default": {"value": "x"},
    "constant": {"value": "x"},
    "truncate": {"length": 5},
    "regex_replace": {"pattern": "a+", "with": "b"},
    "regex_extract": {"pattern": "a(b*)"},
    "expression": {"source": "value + '!'"},
}


@pytest.mark.parametrize(
    "reader",
    [
        normalize.email_key,
        normalize.normalize_name,
        normalize.normalize_country,
        normalize.parse_date,
        lambda text: normalize.phone_key(text, "NL"),
        normalize.sanitize_text,
    ],
)
def test_readers_are_total(reader):
    """Each value has a reading or none; none of them raises, and none takes long."""
    for text in TEXTS:
        began = time.thread_time()
        reader(text)
        assert time.thread_time() - began < 2.0, repr(text[:40])


@pytest.mark.parametrize("kind", list(Kind))
def test_values_of_every_kind_survive_both_ways(kind):
    """A mapping of any kind takes each value to the CRM and back, or refuses it by name."""
    definition = FieldDefinition("field", "Field", str(kind), "text")
    built = build_field_map(MappingRow("m", "custom.any", "field"), definition, "NL")
    assert isinstance(built, FieldMap)
    for value in [*TEXTS, *(value for value in VALUES if value is None or isinstance(value, bool | int | float))]:
        for way in (built.to_crm, built.from_crm):
            _refused(way, value)
        canonical = built.canonical_app(value)
        assert built.canonical_app(canonical) == canonical, repr(value)[:60]


@pytest.mark.parametrize("name", sorted(STEPS))
def test_every_step_takes_or_refuses_every_value(name):
    """By an error that has a code; nothing else is raised, in either direction that the step has."""
    (step,) = parse_rule({"steps": [{"step": name, **RULES[name]}]}).steps
    for text in MODERATE:
        _refused(step.put, text)
        if step.law(Kind.TEXT, "NL") is not Law.LOSSY:
            _refused(step.get, text)


def test_poisoned_rules_are_refused_with_a_place():
    """In the place of the rule, of a step's name, of each parameter, and of a key."""
    places = [
        lambda value: value,
        lambda value: {"steps": value},
        lambda value: {"steps": [value]},
        lambda value: {"steps": [{"step": value}]},
        lambda value: {"steps": [{"step": "prefix", "text": value}]},
        lambda value: {"steps": [{"step": "regex_extract", "pattern": value}]},
        lambda value: {"steps": [{"step": "value_map", "map": value}]},
        lambda value: {"steps": [{"step": "truncate", "length": value}]},
        lambda value: {"steps": [], "starts_at": value},
    ]
    for place in places:
        for value in [*MODERATE, *VALUES]:
            try:
                parse_rule(place(value))
            except MappingError as error:
                assert error.code.startswith("mapping."), error.code
    for text in MODERATE:
        try:
            parse_rule({"steps": [], text: 1})
        except MappingError as error:
            assert error.code == "mapping.bad_rule"


def test_poisoned_rows_are_built_or_broken():
    """In each column of a mapping: the row is built or broken with a code, never more."""
    definition = FieldDefinition("city", "City", "text", "string")
    for column in ("app_field", "remote_field", "direction", "blank_rule", "strategy", "app_kind"):
        for text in MODERATE:
            row = MappingRow(**{"mapping_id": "m", "app_field": "custom.x", "remote_field": "city", column: text})
            built = build_field_map(row, definition, "NL")
            assert isinstance(built, FieldMap | BrokenMapping)


def _refused(way, value):
    try:
        way(value)
    except MappingError as error:
        assert error.code, repr(value)[:60]
