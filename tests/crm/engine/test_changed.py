"""Edits of ours that no scan of the CRM would show: the delta finds them by version."""

from __future__ import annotations

from crm.model import RunKind
from tests.crm.engine.pair import Pair


def test_a_delta_pushes_the_first_value_of_a_field_that_was_blank_on_both_sides() -> None:
    """Nothing was agreed about it, so the record is read first, and the value goes out at once."""
    pair = Pair()
    contact_id = pair.store.app.create_contact({"firstName": "Bob", "email": "bob@x.example"})
    pair.run(RunKind.DELTA)
    pair.wait(600)
    pair.store.app.edit_contact(contact_id, {"company": "Tables"})

    run = pair.run(RunKind.DELTA)

    assert run.counts.updated_in_crm == 1
    assert [row.values["company"] for row in pair.crm.records.values() if row.values["email"] == "bob@x.example"] == [
        "Tables"
    ]
    pair.wait(600)
    assert pair.run(RunKind.DELTA).counts.planned == 0
