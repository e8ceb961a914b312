"""Rules written to hurt are refused, or bounded: no value takes long, none grows without end."""

from __future__ import annotations

import random
import time

import pytest

from crm.errors import MappingError
from crm.mapping.field_map import FieldMap
from crm.mapping.kinds import MAX_VALUE_CHARACTERS, TransformError
from crm.mapping.rule import parse_transform_rule
from crm.model import Direction

SLOWEST_SECONDS = 0.05
"""threats-and-faults T22."""


def one_way(*steps):
    return FieldMap("m", "notes", "notes", Direction.TO_CRM, steps=parse_transform_rule({"steps": list(steps)}))


def slowest(field_map, values):
    """Processor time of the slowest value, best of three: what the rule costs, not what the machine was doing."""

    def seconds(value):
        started = time.thread_time()
        try:
            result = field_map.to_crm(value)
            assert result is None or not isinstance(result, str) or len(result) <= MAX_VALUE_CHARACTERS
        except TransformError:
            pass
        return time.thread_time() - started

    return max(min(seconds(value) for _ in range(3)) for value in values)


HOSTILE_VALUES = ["a" * 26 + "!", "a" * 8_192, "a" * MAX_VALUE_CHARACTERS, "é\U0001f600" * 4_000, "a\ud800\0b" * 1_000]


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "(.*)(.*)(.*)(.*)x", "(a|b|ab)*c", "((a*)*)*b", "a[^b]*b|a"])
@pytest.mark.parametrize("step", ["regex_extract", "regex_replace"])
def test_patterns_that_explode_elsewhere_are_linear(step, pattern):
    """Catastrophic patterns of backtracking engines finish within the bound."""
    more = {"with": "b" * 200} if step == "regex_replace" else {"otherwise": "keep"}
    assert slowest(one_way({"step": step, "pattern": pattern, **more}), HOSTILE_VALUES) < SLOWEST_SECONDS


@pytest.mark.parametrize(
    "pattern", [r"(a)\1", "(?=a)", "((a{1000}){1000}){1000}", "(" * 400, "[", "(?P<x", "[^x]{900}y"]
)
def test_patterns_without_a_bound_are_refused(pattern):
    """Backreferences, look-around, giant repeats and broken syntax are refused when the rule is read."""
    with pytest.raises(MappingError) as caught:
        one_way({"step": "regex_extract", "pattern": pattern})
    assert (caught.value.code, caught.value.pointer) == ("mapping.bad_parameter", "/steps/0")


@pytest.mark.parametrize(
    "source",
    [
        "[1,2].map(x, [1,2].map(y, [1,2].map(z, x+y+z)))",
        "value.map(value, value)",
        "value . \n map (value, value)",
        "[value].all(value, true)",
        "[value].exists(value, true)",
        "[value].exists_one(value, true)",
        "[value].filter(value, true)",
        r"r'\' + [value].map(value, value)[0] + r'\''",
        r"r'\' + [value].map(value, value)[0] + r'\'' + ''''",
        r"'''a' + [value].map(value, value)[0] + ''''''",
        r'"""a" + [value].map(value, value)[0] + """"""',
        "value // '\n.map(value, value) // '",
        "value.matches('a{1000}')",
        "value.replace('', value)",
        "timestamp(value)",
        "other",
        "value" + "+value" * 21,
        "(" * 200 + "value" + ")" * 200,
        "value +",
        "x" * 501,
        "",
    ],
)
def test_expressions_that_loop_or_grow_are_refused(source):
    """Macros in any disguise, unknown names and heavy functions are refused when the rule is read."""
    with pytest.raises(MappingError) as caught:
        one_way({"step": "expression", "source": source})
    assert caught.value.code == "mapping.bad_parameter"


@pytest.mark.parametrize("source", ["value" + "+value" * 20, "size([value,value] + [value,value]) > 1 ? value : ''"])
def test_the_largest_expression_is_bounded(source):
    """The most that the rules allow stays within the time bound."""
    assert slowest(one_way({"step": "expression", "source": source}), HOSTILE_VALUES) < SLOWEST_SECONDS


def test_a_word_of_a_macro_inside_a_text_is_only_text():
    """The search for macros does not read literals."""
    assert one_way({"step": "expression", "source": "value + '.map(x, x)'"}).to_crm("a") == "a.map(x, x)"


def test_growing_steps_stop_at_the_bound():
    """Twenty doublings of a long value are refused before they are long."""
    grow = {"step": "regex_replace", "pattern": "a", "with": "aa"}
    with pytest.raises(TransformError) as caught:
        one_way(*[grow] * 20).to_crm("a" * 900)
    assert caught.value.code == "mapping.too_large"
    with pytest.raises(TransformError) as caught:
        one_way({"step": "prefix", "text": "x" * 500}).to_crm("a" * MAX_VALUE_CHARACTERS)
    assert caught.value.code == "field.too_long"


def test_a_thousand_drawn_rules_stay_within_the_bound():
    """Rules drawn from hostile pieces are refused or finish in time on every hostile value."""
    rng = random.Random(22)
    pieces = ["a", "(a+)+", ".*", "|", "[^b]*", "(", ")", "{2,50}", "?", "$", r"\w", r"\pL", "a{0,900}", "[^x]{40}"]
    atoms = ["value", "'a'", "+", "size(", ")", "?", ":", "==", "[", "]", "string(", ".contains(", "1", "map", "!"]
    worst, accepted = 0.0, 0
    for number in range(1_000):
        drawn = "".join(rng.choices(pieces, k=rng.randint(1, 12)))
        step = {"step": "regex_replace", "pattern": drawn, "with": "x" * 200}
        if number % 2:
            step = {"step": "expression", "source": " ".join(rng.choices(atoms, k=rng.randint(1, 9)))}
        try:
            field_map = one_way(step)
        except MappingError:
            continue
        accepted += 1
        worst = max(worst, slowest(field_map, rng.sample(HOSTILE_VALUES, 2)))
    assert accepted > 100
    assert worst < SLOWEST_SECONDS
