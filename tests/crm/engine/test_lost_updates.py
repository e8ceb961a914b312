"""An update that was put off, lost or not read back is neither undone nor taken for agreed.

The simulation found each; here stands the shortest schedule that shows it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm.errors import TransientError
from crm.model import (
    RunKind,
    Strategy,
)
from crm.testing.adversary_nature import HUBSPOT_LIKE, SALESFORCE_LIKE
from tests.crm.engine.pair import Pair


@pytest.mark.parametrize("nature", [HUBSPOT_LIKE, SALESFORCE_LIKE], ids=lambda nature: nature.name)
def test_a_push_that_could_not_be_sent_is_no_base(nature):
    """The CRM puts a write off while its record also brings a value: both edits arrive, none is taken as agreed."""
    pair = Pair(nature)
    pair.edit(company="Looms")
    pair.edit_record(lastname="Byron")
    pair.wait(600)
    at_call = pair.connector.at_call

    def refuse(point):
        pair.connector.faults.rate_limited = 1.0 if point == "update" and not pair.connector.faults.given else 0.0
        at_call(point)

    pair.connector.at_call = refuse
    pair.run()
    pair.wait(600)
    pair.run()
    assert pair.connector.faults.given == {"rate_limited": 1}
    assert (pair.contact["company"], pair.record["company"]) == ("Looms", "Looms")
    assert (pair.contact["lastName"], pair.record["lastname"]) == ("Byron", "Byron")


def test_a_write_that_never_happened_is_not_read_back_as_the_crms_answer():
    """That we wrote the record last says nothing about this write: the old value is no agreed one."""
    pair = Pair(SALESFORCE_LIKE)
    pair.edit(lastName="King")
    pair.run()
    pair.edit(company="Looms")
    pair.connector.faults.lost_before = 1.0
    pair.run()
    pair.connector.faults.stop()
    pair.wait(600)
    pair.run()
    pair.run()
    assert pair.record["company"] == "Looms"
    (link,) = pair.store.links()
    assert (link.base["m-company"].app, link.base["m-company"].crm) == ("Looms", "Looms")


def test_a_write_found_by_looking_is_not_undone_by_an_index_that_still_shows_the_older_row():
    """The lost write took effect; the search index does not know it yet, and is no evidence of an edit."""
    pair = Pair(HUBSPOT_LIKE)
    pair.edit(company="Looms")
    pair.edit_record(firstname="Augusta")
    pair.wait(60)
    pair.connector.faults.lost_after = 1.0
    pair.run()
    pair.connector.faults.stop()
    pair.wait(0.001)
    pair.run()
    pair.run()
    assert pair.record["company"] == "Looms"
    assert pair.contact["company"] == "Looms"


def test_a_write_whose_answer_was_lost_before_its_record_went_leaves_nothing_agreed():
    """The record comes back with what we may have sent: that is nobody's edit, and the person's own value stands."""
    pair = Pair(SALESFORCE_LIKE, strategy=Strategy.ADSAPP_WINS)
    pair.crm.user_creates({"lastname": "Babbage"})
    pair.edit(company="Looms")
    pair.connector.faults.lost_after = 1.0
    pair.run()
    pair.connector.faults.stop()
    pair.edit(company="Engines")
    pair.crm.user_deletes(pair.remote_id)
    pair.wait(600)
    pair.run(RunKind.FULL)
    pair.crm.user_undeletes(pair.remote_id)
    for _ in range(2):
        pair.wait(600)
        pair.run(RunKind.FULL)
    assert (pair.contact["company"], pair.record["company"]) == ("Engines", "Engines")


def test_a_field_that_a_lost_update_left_out_is_no_form_of_what_was_sent():
    """The record shows that the rest was written, by us; the old value in the field is the old value."""
    pair = Pair(replace(SALESFORCE_LIKE, drops_refused_fields=True))
    pair.edit(company="Looms", firstName="Ada#")
    pair.connector.faults.lost_after = 1.0
    pair.run()
    pair.connector.faults.stop()
    for _ in range(3):
        pair.wait(600)
        pair.run(RunKind.FULL)
    (link,) = pair.store.links()
    assert (pair.record["firstname"], pair.record["company"]) == ("Ada", "Looms")
    assert link.base["m-firstname"].app == "Ada"
    assert set(link.troubles) == {"m-firstname"}


def test_a_lost_write_to_a_field_that_was_hidden_when_it_was_looked_up_leaves_nothing_agreed():
    """The field shows again with what we may have sent: that is nobody's edit, and the person's last word goes out."""
    pair = Pair(SALESFORCE_LIKE, strategy=Strategy.ADSAPP_WINS)
    pair.edit(company="Looms", lastName="Byron")
    pair.connector.faults.lost_after = 1.0
    pair.run()
    pair.connector.faults.stop()
    pair.crm.hidden.add("company")
    pair.wait(600)
    pair.run()
    (link,) = pair.store.links()
    assert (link.base["m-lastname"].app, "m-company" in link.base) == ("Byron", False)
    pair.edit(company="Engines")
    pair.crm.hidden.clear()
    for _ in range(2):
        pair.wait(600)
        pair.run(RunKind.FULL)
    assert (pair.contact["company"], pair.record["company"]) == ("Engines", "Engines")


def test_a_write_that_could_not_be_read_back_is_no_edit_when_the_app_has_changed_its_mind():
    """The CRM took the value, the read after it failed, and a person took it back: their last word goes out."""
    pair = Pair(SALESFORCE_LIKE)
    at_call = pair.connector.at_call
    failing = [True]

    def fail(point):
        at_call(point)
        if point == "fetch" and failing and pair.record["company"] == "Looms":
            failing.clear()
            raise TransientError

    pair.edit(company="Looms")
    pair.connector.at_call = fail
    pair.run()
    assert not failing
    pair.edit(company="Engines")
    for _ in range(3):
        pair.wait(600)
        pair.run()
    assert (pair.contact["company"], pair.record["company"]) == ("Engines", "Engines")
    assert [entry.action.kind.value for entry in pair.store.ledger()][-2:] == ["sync", "sync"]
