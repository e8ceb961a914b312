"""When a CRM's fields have changed so that it may take what it refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm.mapping.reopened import may_take_more
from crm.model import FieldDefinition

TIER = FieldDefinition("tier", "Tier", "picklist", "enumeration", options=(("a", "A"), ("b", "B")))
FAX = FieldDefinition("fax", "Fax", "text", "string", required=True)
BEFORE = {"tier": TIER, "fax": FAX}


@pytest.mark.parametrize(
    ("after", "opens"),
    [
        (BEFORE, False),
        ({**BEFORE, "tier": replace(TIER, label="Level")}, False),
        ({**BEFORE, "tier": replace(TIER, options=(("b", "Bee"), ("a", "A")))}, False),
        ({**BEFORE, "tier": replace(TIER, options=(*TIER.options, ("c", "C")))}, True),
        ({**BEFORE, "tier": replace(TIER, writable=False)}, True),
        ({"fax": FAX}, False),
        ({**BEFORE, "fax": replace(FAX, required=False)}, True),
        ({**BEFORE, "fax": replace(FAX, max_length=10)}, False),
        ({"tier": TIER}, True),
        ({**BEFORE, "more": replace(FAX, name="more")}, False),
    ],
    ids=["same", "label", "order", "value", "writable", "mapped_gone", "optional", "unmapped", "required_gone", "new"],
)
def test_what_opens_a_refusal(after, opens):
    """A mapped field's rules, or a field that no longer has to be filled."""
    assert may_take_more(BEFORE, after, {"tier"}) is opens


def test_a_mapped_field_that_comes_back_opens():
    """It was hidden from our user before."""
    assert may_take_more({"fax": FAX}, BEFORE, {"tier"})
