"""A record whose contact was deleted and that was left alone, and whoever has its address now.

The simulation found each; here stands the shortest schedule that shows it.
"""

from __future__ import annotations

from crm.model import (
    DeletionPolicy,
    LinkState,
    RunKind,
)
from crm.testing.adversary_nature import SALESFORCE_LIKE
from tests.crm.engine.pair import Pair


def test_nobody_is_made_beside_a_record_that_outlived_its_contact():
    """The contact was deleted and its record left alone: somebody else with its address is asked about."""
    pair = Pair(SALESFORCE_LIKE, on_app_deleted=DeletionPolicy.UNLINK)
    pair.store.app.delete_contact(pair.contact_id)
    pair.run(RunKind.FULL)
    other = pair.store.app.create_contact({"lastName": "Lovelace", "email": "ada@x.example"})
    pair.wait(600)
    assert pair.run(RunKind.FULL).counts.conflicts == 1
    assert [record.remote_id for record in pair.crm.live()] == [pair.remote_id]
    (question,) = pair.store.open_conflicts()
    assert (question.contact_id, question.draft.code) == (other, "match.email_taken")


def test_a_complete_scan_frees_the_address_of_a_record_that_outlived_its_contact_and_is_gone():
    """Seeds 1391 and 5652. The scan does not show it: whoever has the address gets a record now, not by later word."""
    pair = Pair(SALESFORCE_LIKE, on_app_deleted=DeletionPolicy.UNLINK)
    pair.store.app.delete_contact(pair.contact_id)
    pair.run(RunKind.FULL)
    other = pair.store.app.create_contact({"lastName": "Lovelace", "email": "ada@x.example"})
    pair.wait(600)
    pair.run(RunKind.FULL)
    pair.crm.user_deletes(pair.remote_id)
    pair.wait(600)
    assert pair.run(RunKind.FULL).counts.created_in_crm == 1
    assert pair.run(RunKind.WEBHOOK, remote_ids=(pair.remote_id,)).counts.planned == 0
    assert [link.state for link in pair.store.links() if link.contact_id == other] == [LinkState.LIVE]
