"""The brakes: ``crm.engine.guards``."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm.engine.guards import find_brakes
from crm.model import PlanTotals, Policy

CALM = PlanTotals(
    live_links=100, contacts=100, deletes=0, blanks=0, creates_in_app=0, creates_in_crm=0, overwrites=0, lines=0,
    records_seen=100,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({}, ()),
        ({"deletes": 10}, ()),
        ({"deletes": 11}, ("brake.deletions",)),
        ({"deletes": 6, "blanks": 5}, ("brake.deletions",)),
        ({"deletes": 5, "live_links": 10}, ()),
        ({"deletes": 6, "live_links": 10}, ("brake.deletions",)),
        ({"creates_in_app": 500}, ()),
        ({"creates_in_app": 501}, ("brake.creations",)),
        ({"creates_in_crm": 501}, ("brake.creations",)),
        ({"creates_in_crm": 900, "live_links": 5000}, ()),
        ({"records_seen": 0}, ("brake.empty_source",)),
        ({"records_seen": 0, "deletes": 100}, ("brake.empty_source", "brake.deletions")),
        ({"records_seen": 0, "live_links": 0}, ()),
    ],
)
def test_great_harm_waits_for_a_person(changes, codes):
    """More than a tenth of the links and more than five; more than 500 or a fifth; an empty source."""
    totals = replace(CALM, **changes)

    assert find_brakes(totals, Policy(), complete_scan=True, first_sync=False) == codes


def test_only_a_complete_scan_can_find_a_source_empty():
    """A delta that sees nothing has seen nothing change."""
    assert find_brakes(replace(CALM, records_seen=0), Policy(), complete_scan=False, first_sync=False) == ()


def test_a_first_sync_is_always_held():
    """Nobody has approved a plan of this connection yet."""
    assert find_brakes(CALM, Policy(), complete_scan=True, first_sync=True) == ("brake.first_sync",)
