"""SOQL from parts: a value never ends its literal, and a name is never more than a name."""

from __future__ import annotations

import os
import random
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm.errors import MappingError
from crm.providers.salesforce import soql

VALUES = 50_000 if os.environ.get("CRM_SLOW_TESTS") else 2_000
_TOKENS = re.compile(
    r"""(?P<literal>'(?:[^'\\\x00-\x1f]|\\[\\'"nrtbf])*')|(?P<word>[A-Za-z_][\w.]*)|(?P<number>\d[\d\-:TZ]*)"""
    r"""|(?P<sign><=|>=|!=|[=<>(),])|(?P<blank> +)"""
)
_UNESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
NASTY = (
    "'", "\\", "\\'", "' OR Id != '", "\\\\' OR 1=1", "') OR (Name = '", "%", "_", "\n", "\r\n", "\t", '"', "\u2018",
    "a\\", "\\\\", "SELECT", "-- ", "/*", ":literal", "{", "\u00e9", "\U0001f600", "\u202e", "O'Brien & S\u00f8n",
    "\x0b", "\x00", "\u2028", "\ud800", "",
)  # fmt: skip
ODD = {chr(code) for code in (*range(0x7F, 0xA0), *range(0xD800, 0xE000), 0x2028, 0x2029)}
"""What no literal holds besides control characters."""


def tokens(query: str) -> list[tuple[str, str]]:
    """A tokenizer of its own, which refuses whatever SOQL's grammar has no place for."""
    found, position = [], 0
    while position < len(query):
        matched = _TOKENS.match(query, position)
        assert matched, f"no token at {position}: {query[position : position + 40]!r}"
        if matched.lastgroup != "blank":
            found.append((matched.lastgroup, matched[0]))
        position = matched.end()
    return found


def unquoted(literal: str) -> str:
    return re.sub(r"\\(.)", lambda found: _UNESCAPED.get(found[1], found[1]), literal[1:-1])


def holds_in_one_literal(value: str) -> None:
    if any((ord(character) < 32 and character not in "\n\r\t\b\f") or character in ODD for character in value):
        with pytest.raises(MappingError, match="control characters"):
            soql.literal(value)
        return
    query = soql.select(["Id"], "Contact", soql.all_of(soql.equals("Name", value), soql.is_in("Email", [value, "x"])))
    found = tokens(query)
    shape = [text if kind != "literal" else "?" for kind, text in found]
    assert shape == ["SELECT", "Id", "FROM", "Contact", "WHERE", "(", "Name", "=", "?", "AND", "Email", "IN",
                     "(", "?", ",", "?", ")", ")"]  # fmt: skip
    assert [unquoted(text) for kind, text in found if kind == "literal"] == [value, value, "x"]


@settings(max_examples=300)
@given(st.one_of(st.text(max_size=300), st.lists(st.sampled_from(NASTY)).map("".join)))
def test_no_value_leaves_its_literal(value: str) -> None:
    """Any text comes back from the query as it went in, or is refused with a code."""
    holds_in_one_literal(value)


def test_many_values_made_of_quotes_and_backslashes_stay_inside() -> None:
    """Seeded mixtures of everything that could end a literal: 2,000, and 50,000 with CRM_SLOW_TESTS set."""
    drawn = random.Random(20_260_501)
    for _ in range(VALUES):
        holds_in_one_literal("".join(drawn.choices(NASTY, k=drawn.randint(1, 12))))


@pytest.mark.parametrize(
    "name",
    ["", "Id FROM User", "Id,Name", "Name'", "a.b.c", "Id--", "(SELECT Id FROM Cases)", "1d", "Ä", "x" * 81, "Id\n"],
)
def test_what_is_no_name_never_becomes_part_of_a_query(name: str) -> None:
    """In every place where a name stands."""
    for make in (
        lambda: soql.select([name], "Contact"),
        lambda: soql.select(["Id"], name),
        lambda: soql.select(["Id"], "Contact", order=[name]),
        lambda: soql.equals(name, "x"),
        lambda: soql.is_in(name, ["x"]),
        lambda: soql.since(name, datetime(2026, 5, 1, tzinfo=UTC)),
    ):
        with pytest.raises(MappingError) as caught:
            make()
        assert caught.value.code == "field.missing"


def test_a_literal_and_a_query_have_a_longest_length() -> None:
    """4,000 characters and 100,000: beyond them nothing is sent."""
    soql.literal("x" * 4_000)
    with pytest.raises(MappingError) as caught:
        soql.literal("x" * 4_001)
    assert caught.value.code == "field.too_long"
    soql.select(["Id"], "Contact", soql.is_in("Id", ["0" * 18] * 4_700))
    with pytest.raises(MappingError) as caught:
        soql.select(["Id"], "Contact", soql.is_in("Id", ["0" * 18] * 4_800))
    assert caught.value.code == "mapping.too_large"


def test_times_are_utc_in_whole_seconds_rounded_down() -> None:
    """So that a delta from a fraction of a second leaves nothing out."""
    local = datetime(2026, 5, 1, 9, 25, 37, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert soql.moment(local) == "2026-05-01T07:25:37Z"


def test_conditions_that_mix_stand_in_brackets() -> None:
    """SOQL refuses AND beside OR without them."""
    at = datetime(2026, 5, 1, tzinfo=UTC)
    mixed = soql.any_of(
        soql.after("SystemModstamp", at), soql.all_of(soql.at("SystemModstamp", at), soql.above("Id", "0"))
    )
    assert soql.select(["Id", "Account.Name"], "Contact", mixed, order=["SystemModstamp", "Id"], limit=5) == (
        "SELECT Id,Account.Name FROM Contact WHERE (SystemModstamp > 2026-05-01T00:00:00Z OR "
        "(SystemModstamp = 2026-05-01T00:00:00Z AND Id > '0')) ORDER BY SystemModstamp ASC,Id ASC LIMIT 5"
    )


def test_an_empty_list_is_no_condition() -> None:
    with pytest.raises(ValueError, match="needs a value"):
        soql.is_in("Id", [])
