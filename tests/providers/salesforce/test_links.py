"""Notes of both kinds, and objects that lead to contacts through rows of a third one."""

from __future__ import annotations

import pytest

from crm.ports import CreateItem, UpdateItem
from crm.providers.salesforce.links import note_body, note_text
from tests.providers.salesforce.stand import SalesforceStand, salesforce_stand

LINKS = "ContentDocumentLinks.LinkedEntityId"
ROLES = "OpportunityContactRoles.ContactId"
DEAL = {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-12-31"}


@pytest.mark.parametrize(
    ("note_kind", "shown", "kind"),
    [
        ("", True, "ContentNote"),
        ("detect", True, "ContentNote"),
        ("detect", False, "Note"),
        ("Note", True, "Note"),
        ("ContentNote", True, "ContentNote"),
    ],
)
def test_notes_are_of_the_kind_that_is_chosen_or_that_the_organization_shows(note_kind, shown, kind) -> None:
    """Asked once; the capability names the field that leads to the contact of that kind."""
    with salesforce_stand() as stand:
        if not shown:
            stand.set_up(hiddenObjects=["ContentNote"])
        (contact,) = stand.add([{"LastName": "Ada"}])
        connector = stand.connector(settings={"note_kind": note_kind})
        names = {each.name for each in connector.describe("Note")}
        assert ("Body" in names, "Content" in names) == (kind == "Note", kind == "ContentNote")
        link, body = ("ParentId", "Body") if kind == "Note" else (LINKS, "Content")
        assert connector.capabilities.links_to_contact["Note"] == link
        belongs = contact if kind == "Note" else (contact,)
        values = {"Title": "Call", body: "They called", link: belongs}
        made = connector.create("Note", [CreateItem("k", "", values)])["k"].record
        assert [each["Id"] for each in stand.records(kind)] == [made.remote_id]
        assert connector.fetch("Note", [made.remote_id], list(values))[made.remote_id].values == values
        updated = connector.update("Note", [UpdateItem("k", made.remote_id, {body: "Twice"})])["k"]
        assert (updated.error, stand.records(kind)[0]["Title"]) == (None, "Call")
        assert connector.delete("Note", [UpdateItem("k", made.remote_id, {})])["k"].error is None


@pytest.mark.parametrize("text", ["", "one", "two\nlines", "a\n\nb", "1 < 2 & 3 > 2", "<b>no tag</b>", "ünï ✓", "'\""])
def test_a_notes_text_comes_back_as_it_was_sent(text) -> None:
    """Through the HTML that Salesforce keeps."""
    import base64

    assert note_text(base64.b64decode(note_body(text)).decode()) == text


def test_links_of_two_thousand_records_are_one_request(stand: SalesforceStand) -> None:
    """And only those that lead to people: the user who made a note is linked to it, too."""
    (contact,) = stand.add([{"LastName": "Ada"}])
    deals = stand.add([{**DEAL, "Name": f"Deal {number}"} for number in range(500)], "Opportunity")
    stand.add([{"OpportunityId": each, "ContactId": contact} for each in deals[:3]], "OpportunityContactRole")
    connector = stand.connector()
    connector.describe("Opportunity")
    page, received = stand.counted(lambda: connector.scan("Opportunity", ["Name", ROLES], None))
    assert [each.values[ROLES] for each in page.records[:4]] == [(contact,)] * 3 + [None]
    assert sum(received.values()) == 2


def test_a_link_to_nobody_is_a_refused_field_of_a_record_that_is_made(stand: SalesforceStand) -> None:
    """The deal is there, the good link too, and the bad one is named with its code."""
    good, gone = stand.add([{"LastName": "Ada"}, {"LastName": "Gone"}])
    stand.remove(gone)
    connector = stand.connector()
    result = connector.create("Opportunity", [CreateItem("k", "", {**DEAL, ROLES: (good, gone)})])["k"]
    assert (result.error, set(result.refused)) == (None, {ROLES})
    remote_id = result.record.remote_id
    assert connector.fetch("Opportunity", [remote_id], [ROLES])[remote_id].values == {ROLES: (good,)}
