"""Associations with contacts as a field of every other object."""

from __future__ import annotations

import pytest

from crm.ports import CreateItem, UpdateItem
from crm.providers.hubspot.links import CONTACT_LINKS
from tests.providers.hubspot.stand import HubSpotStand, hubspot_stand

NOTE = {"hs_timestamp": "2026-10-01T09:00:00Z", "hs_note_body": "Called"}


@pytest.fixture
def stand():
    with hubspot_stand() as found:
        yield found


def test_links_of_a_page_are_one_request(stand: HubSpotStand) -> None:
    """Created along with the records, a hundred a request; read for a page at once."""
    contacts = stand.add([{"firstname": f"P{number}"} for number in range(3)])
    connector = stand.connector()
    connector.describe("notes")
    items = [CreateItem(f"k{n}", "", {**NOTE, CONTACT_LINKS: (contacts[n % 3],)}) for n in range(100)]
    results, received = stand.counted(lambda: connector.create("notes", items))
    assert {result.error for result in results.values()} == {None}
    assert sum(received.values()) == 1
    page, received = stand.counted(lambda: connector.scan("notes", ["hs_note_body", CONTACT_LINKS], None))
    assert sorted(each.values[CONTACT_LINKS][0] for each in page.records) == sorted(contacts[n % 3] for n in range(100))
    assert sum(received.values()) == 2


def test_more_links_than_an_answer_holds_are_read_to_the_end(stand: HubSpotStand) -> None:
    """None is taken for removed because it was on the next page."""
    contacts = stand.add([{"firstname": f"P{number}"} for number in range(5)])
    connector = stand.connector()
    result = connector.create("notes", [CreateItem("k", "", {**NOTE, CONTACT_LINKS: tuple(contacts[:1])})])["k"]
    remote_id = result.record.remote_id
    update = UpdateItem("k", remote_id, {CONTACT_LINKS: tuple(contacts), "hs_note_body": "All"})
    assert connector.update("notes", [update])["k"].record.values == {
        "hs_note_body": "All",
        CONTACT_LINKS: tuple(contacts),
    }
    assert connector.fetch("notes", [remote_id], [CONTACT_LINKS])[remote_id].values[CONTACT_LINKS] == tuple(contacts)


def test_a_link_to_nobody_is_refused_and_the_others_are_made(stand: HubSpotStand) -> None:
    """On a record that exists the field is named; a new one with such a link is not made at all."""
    good, gone = stand.add([{"firstname": "Ada"}, {"firstname": "Gone"}])
    stand.remove(gone)
    connector = stand.connector()
    made = connector.create("notes", [CreateItem("k", "", NOTE)])["k"].record
    result = connector.update("notes", [UpdateItem("k", made.remote_id, {CONTACT_LINKS: (good, gone)})])["k"]
    assert (result.error, set(result.refused)) == (None, {CONTACT_LINKS})
    assert connector.fetch("notes", [made.remote_id], [CONTACT_LINKS])[made.remote_id].values == {
        CONTACT_LINKS: (good,)
    }
    items = [CreateItem("a", "", NOTE), CreateItem("b", "", {**NOTE, CONTACT_LINKS: (gone,)})]
    results = connector.create("notes", items)
    assert (results["a"].error, results["b"].error is None) == (None, False)
