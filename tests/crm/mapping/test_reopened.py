"""When a CRM's fields have changed so that it may take what it refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm.mapping.reopened import may_take_more
from crm.model import FieldDefinition

TIER = FieldDefinition("tier", "Tier", "picklist", "enumeration", options=(("a", "A"), ("b", "B")))
NAME = FieldDefinition("name", "Name", "text", "string", writable=False, createable=False, unique=True, max_length=10)
FAX = FieldDefinition("fax", "Fax", "text", "string", required=True)
BEFORE = {"tier": TIER, "name": NAME, "fax": FAX}


def with_field(field, **changed):
    return {**BEFORE, field.name: replace(field, **changed)}


def without(field):
    return {name: each for name, each in BEFORE.items() if name != field.name}


@pytest.mark.parametrize(
    "after",
    [
        with_field(TIER, options=(*TIER.options, ("c", "C"))),
        with_field(TIER, options=()),
        with_field(TIER, multiple=True),
        with_field(TIER, kind="text", remote_type="string"),
        with_field(NAME, writable=True),
        with_field(NAME, createable=True),
        with_field(NAME, unique=False),
        with_field(NAME, max_length=11),
        with_field(NAME, max_length=None),
        with_field(FAX, required=False),
        without(FAX),
    ],
)
def test_a_description_that_takes_more_opens_what_was_refused(after):
    """A mapped field, or one that nobody maps and that had to be filled."""
    assert may_take_more(BEFORE, after, {"tier", "name"})


@pytest.mark.parametrize(
    "after",
    [
        BEFORE,
        with_field(TIER, label="Level"),
        with_field(TIER, options=(("b", "Bee"), ("a", "A"))),
        with_field(TIER, options=(("a", "A"),)),
        with_field(TIER, writable=False, required=True),
        with_field(NAME, max_length=9),
        with_field(FAX, max_length=10),
        {**BEFORE, "more": FieldDefinition("more", "More", "text", "string")},
        without(TIER),
    ],
)
def test_what_would_be_refused_again_is_left_alone(after):
    """A value taken off a list, a new label, a field that nobody maps."""
    assert not may_take_more(BEFORE, after, {"tier", "name"})


def test_a_mapped_field_that_comes_back_opens():
    """It was hidden from our user before."""
    assert may_take_more(without(TIER), BEFORE, {"tier"})
