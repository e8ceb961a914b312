"""How much one unit of a run's second pass takes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm.engine.context import PAGE
from crm.model import RunKind
from crm.testing.adversary_nature import HUBSPOT_LIKE
from tests.crm.engine.pair import Pair


@pytest.mark.parametrize(("in_flight", "calls"), [(1, 2), (3, 1)])
def test_a_page_of_writes_fills_the_batches_that_are_on_their_way_at_once(in_flight, calls):
    """And is no smaller than any other where a CRM takes one batch at a time."""
    pair = Pair(replace(HUBSPOT_LIKE, write_batch=1000))
    abilities = replace(pair.connector.capabilities, write_batch=100, batches_in_flight=in_flight)
    pair.connector._capabilities = abilities
    for number in range(PAGE + 50):
        pair.store.app.create_contact({"lastName": f"N{number}", "email": f"n{number}@x.example"})
    at_call, sent = pair.connector.at_call, []

    def count(point):
        at_call(point)
        sent.append(point)

    pair.connector.at_call = count
    assert pair.run(RunKind.FULL).counts.created_in_crm == PAGE + 50
    assert sum(point == "create" for point in sent) == calls
