"""Descriptions as definitions, rows as records, values as JSON and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.errors import FieldRefusal
from crm.mapping.kinds import Kind
from crm.model import RemoteState
from crm.providers.salesforce import addresses, drafts, mapping
from crm.providers.salesforce.wire import PERSON_ACCOUNT

ID = "003dM00000A1b2CQAR"
OTHER = "003dM00000A1b2DQAR"
USER = "005dM00000F2GH1QAN"


def described(name: str, kind: str = "string", **more: Any) -> Any:
    return {
        "name": name, "type": kind, "label": name, "length": 80, "nillable": True, "createable": True,
        "updateable": True, "defaultedOnCreate": False, **more,
    }  # fmt: skip


def listed(*fields: Any, record_type: str = "Contact") -> dict[str, Any]:
    return {each.name: each for each in mapping.definitions(record_type, fields)}


def row(**values: Any) -> dict[str, Any]:
    stamps = {"SystemModstamp": "2026-05-01T07:25:37.000+0000", "CreatedDate": "2026-05-01T07:00:00.000+0000"}
    return {"attributes": {"type": "Contact"}, "Id": ID, "IsDeleted": False, **stamps, **values}


def read(fields: dict[str, Kind], record_type: str = "Contact", **values: Any) -> Any:
    return mapping.read_record(record_type, row(**values), list(fields), fields, USER)


@pytest.mark.parametrize(
    ("short", "whole"),
    [("00DdM00000vfgTu", "00DdM00000vfgTuUAI"), ("003aj000002oTld", "003aj000002oTldAAE")],
)
def test_fifteen_characters_become_eighteen(short: str, whole: str) -> None:
    """Checksums as recorded from Salesforce; the long form is left alone."""
    assert mapping.to18(short) == whole
    assert mapping.to18(whole) == whole


@pytest.mark.parametrize(
    "text", ["", "999999999999", "003aj000002oTldAAF", "003aj000002oTl'", "003aj000002oTldAAE1", "é03aj000002oTld"]
)
def test_what_is_no_id_is_none(text: str) -> None:
    assert mapping.to18(text) is None


def test_an_id_of_another_type_is_none_of_this_one() -> None:
    """The prefix tells the type; of types whose prefix is not known any id may be one."""
    assert mapping.id_of_type("Contact", "003aj000002oTld") == "003aj000002oTldAAE"
    assert mapping.id_of_type("Lead", "003aj000002oTld") is None
    assert mapping.id_of_type("Opportunity", "003aj000002oTld") == "003aj000002oTldAAE"


def test_definitions_say_what_can_be_done_with_a_field() -> None:
    """Required is what has no blank, no default and can be given; compound parents are not offered."""
    found = listed(
        described("LastName", nillable=False),
        described("OwnerId", "reference", nillable=False, defaultedOnCreate=True),
        described("Email", "email"),
        described("Languages__c", "multipicklist", custom=True),
        described("Rating__c", "picklist", restrictedPicklist=True, custom=True,
                  picklistValues=[{"value": "a", "label": "A", "active": True}, {"value": "b", "active": False}]),
        described("LeadSource", "picklist", picklistValues=[{"value": "Web", "label": "Web"}]),
        described("CreatedDate", "datetime", createable=False, updateable=False, nillable=False),
        described("MailingAddress", "address"),
    )  # fmt: skip
    assert set(found) == {"LastName", "OwnerId", "Email", "Languages__c", "Rating__c", "LeadSource", "CreatedDate"}
    assert [name for name, each in found.items() if each.required] == ["LastName"]
    assert (found["Email"].kind, found["LastName"].kind, found["OwnerId"].kind) == ("email", "name", "reference")
    assert (found["Languages__c"].kind, found["Languages__c"].multiple) == ("tags", True)
    assert found["Rating__c"].options == (("a", "A"),)
    assert found["LeadSource"].options == ()
    assert not found["CreatedDate"].writable
    assert not found["CreatedDate"].createable


def test_the_accounts_name_is_a_field_of_a_contact_that_shows_its_account() -> None:
    """Writable as the account is; a Lead has a company of its own."""
    account = described("AccountId", "reference")
    assert listed(account)["Account.Name"].writable
    assert not listed(described("AccountId", "reference", updateable=False))["Account.Name"].writable
    assert "Account.Name" not in listed(described("Email", "email"))
    assert "Account.Name" not in listed(account, record_type="Lead")


@pytest.mark.parametrize(
    ("more", "can"),
    [
        ({"externalId": True, "unique": True}, True),
        ({"externalId": True, "unique": False}, False),
        ({"externalId": False, "unique": True}, False),
        ({"externalId": True, "unique": True, "createable": False}, False),
    ],
)
def test_the_marker_field_must_be_external_id_unique_and_writable(more: dict[str, bool], can: bool) -> None:
    assert mapping.can_mark(listed(described(mapping.MARKER_FIELD, **more))) is can


def test_only_listed_fields_are_selected() -> None:
    """What every record is judged by comes along where the organization has it."""
    fields = listed(described("Email", "email"), described("MasterRecordId", "reference"))
    assert mapping.selected(["Email", "Hidden__c", "Email"], fields) == [
        "Id", "IsDeleted", "SystemModstamp", "CreatedDate", "LastModifiedById", "MasterRecordId", "Email",
    ]  # fmt: skip


def test_a_row_becomes_a_record_with_the_fields_it_carries() -> None:
    """Absent is unknown, null is blank, and a relation that leads nowhere is blank too."""
    kinds = {"Email": Kind.EMAIL, "Title": Kind.TEXT, "Gone__c": Kind.TEXT, "Account.Name": Kind.TEXT}
    record = read(kinds, Email="A@b.example", Title=None, Account=None, LastModifiedById=USER[:15])
    assert dict(record.values) == {"Email": "A@b.example", "Title": None, "Account.Name": None}
    assert (record.remote_id, record.state, record.by_us) == (ID, RemoteState.LIVE, True)
    assert record.modified_at == datetime(2026, 5, 1, 7, 25, 37, tzinfo=UTC)
    assert record.created_at == datetime(2026, 5, 1, 7, 0, tzinfo=UTC)
    named = read({"Account.Name": Kind.TEXT}, Account={"attributes": {}, "Name": "Acme"}, LastModifiedById=OTHER)
    assert (dict(named.values), named.by_us) == ({"Account.Name": "Acme"}, False)


def test_deleted_merged_and_converted_rows_are_told_apart() -> None:
    """A loser names its winner; a lead the contact it became; anything else deleted is deleted."""
    assert read({}, IsDeleted=True, MasterRecordId=None).state is RemoteState.ARCHIVED
    merged = read({}, IsDeleted=True, MasterRecordId=OTHER[:15])
    assert (merged.state, merged.merged_into) == (RemoteState.MERGED, mapping.to18(OTHER[:15]))
    converted = read({}, "Lead", IsConverted=True, ConvertedContactId=ID)
    assert (converted.state, converted.merged_into) == (RemoteState.MERGED, f"Contact:{ID}")
    hidden = read({}, "Lead", IsConverted=True, ConvertedContactId=None)
    assert (hidden.state, hidden.skip_reason) == (RemoteState.LIVE, "state.converted")


def test_person_accounts_are_skipped_with_a_reason() -> None:
    assert read({}, IsPersonAccount=True).skip_reason == PERSON_ACCOUNT
    assert read({}, IsPersonAccount=False).skip_reason == ""


@pytest.mark.parametrize(
    ("kind", "stored", "value"),
    [
        (Kind.TEXT, "x", "x"), (Kind.TEXT, None, None), (Kind.TEXT, "  ", None), (Kind.BOOLEAN, False, False),
        (Kind.NUMBER, 12.5, 12.5), (Kind.DATE, "1990-02-28", "1990-02-28"), (Kind.TAGS, "b; a;b", ("b", "a")),
        (Kind.DATETIME, "2026-05-01T07:25:37.000+0000", "2026-05-01T07:25:37.000Z"), (Kind.TEXT, {"a": 1}, None),
        (Kind.NUMBER, "1e400", "1e400"),
    ],
)  # fmt: skip
def test_values_are_read_by_their_kind(kind: Kind, stored: object, value: object) -> None:
    assert mapping.read_value("Contact", "Any__c", kind, stored) == value


@given(st.text(min_size=1).filter(lambda text: text.strip() and text != mapping.PLACEHOLDER))
def test_texts_come_back_as_they_were_sent(text: str) -> None:
    sent = mapping.wire_value("Contact", "LastName", Kind.NAME, text)
    assert mapping.read_value("Contact", "LastName", Kind.NAME, sent) == text


@pytest.mark.parametrize(("record_type", "field"), [("Contact", "LastName"), ("Lead", "LastName"), ("Lead", "Company")])
def test_a_required_name_that_the_app_lacks_is_a_placeholder_and_reads_as_blank(record_type: str, field: str) -> None:
    """It never comes back as a name."""
    sent = mapping.wire_value(record_type, field, Kind.NAME, None)
    assert sent == mapping.PLACEHOLDER
    assert mapping.read_value(record_type, field, Kind.NAME, sent) is None
    assert mapping.read_value(record_type, "FirstName", Kind.NAME, sent) == mapping.PLACEHOLDER


def test_blank_clears_and_a_checkbox_has_no_blank() -> None:
    assert mapping.wire_value("Contact", "Title", Kind.TEXT, None) is None
    assert mapping.wire_value("Contact", "DoNotCall", Kind.BOOLEAN, None) is False
    assert mapping.wire_value("Contact", "Tags__c", Kind.TAGS, ("a", "b")) == "a;b"


def codes(*options: tuple[str, str]) -> dict[str, Any]:
    values = [{"value": code, "label": label, "active": True} for code, label in options]
    return listed(
        described("MailingCountry"),
        described("MailingCountryCode", "picklist", restrictedPicklist=True, picklistValues=values),
    )


@pytest.mark.parametrize(
    ("value", "placed"),
    [
        ("netherlands", ("MailingCountry", "Netherlands")),
        ("NL", ("MailingCountryCode", "NL")),
        ("nl", ("MailingCountryCode", "NL")),
        (None, ("MailingCountry", None)),
        ("", ("MailingCountry", "")),
    ],
)
def test_a_country_goes_where_the_picklist_takes_it(value: str | None, placed: tuple[str, str | None]) -> None:
    """Under its code where it is one, else by a name of the list."""
    assert addresses.place("MailingCountry", value, codes(("NL", "Netherlands"), ("BE", "Belgium"))) == placed


def test_a_list_that_tells_no_names_leaves_them_to_salesforce() -> None:
    assert addresses.place("MailingCountry", "Belgium", codes(("NL", "NL"))) == ("MailingCountry", "Belgium")


def test_a_country_that_the_organization_does_not_list_is_refused_unsent() -> None:
    refusal = addresses.place("MailingCountry", "Atlantis", codes(("NL", "Netherlands")))
    assert isinstance(refusal, FieldRefusal)
    assert refusal.code == "field.picklist"


def test_without_picklists_a_country_is_any_text() -> None:
    fields = listed(described("MailingCountry"))
    assert addresses.place("MailingCountry", "Atlantis", fields) == ("MailingCountry", "Atlantis")


def test_a_draft_leaves_out_what_the_description_does_not_allow() -> None:
    """Unknown and read-only fields are refused unsent, each with its own code; the marker is never a value."""
    fields = listed(
        described("LastName"), described("Title"), described("Once__c", updateable=False),
        described("CreatedDate", "datetime", createable=False, updateable=False),
        described(mapping.MARKER_FIELD, externalId=True, unique=True),
    )  # fmt: skip
    asked = {"Title": "CTO", "Once__c": "x", "CreatedDate": "2026", "Nope": "x", mapping.MARKER_FIELD: "y"}
    update = drafts.draft("Contact", asked, fields, remote_id=ID)
    assert dict(update.values) == {"Title": "CTO"}
    assert {name: refusal.code for name, refusal in update.refused.items()} == {
        "Once__c": "field.readonly", "CreatedDate": "field.readonly", "Nope": "field.missing",
        mapping.MARKER_FIELD: "field.readonly",
    }  # fmt: skip
    create = drafts.draft("Contact", asked, fields)
    assert dict(create.values) == {"Title": "CTO", "Once__c": "x", "LastName": mapping.PLACEHOLDER}


def test_refusals_carry_the_name_that_was_asked_for() -> None:
    """A country sent by its code is refused as the country."""
    fields = codes(("NL", "Netherlands"))
    sent = drafts.draft("Contact", {"MailingCountry": "NL"}, fields, remote_id=ID)
    assert dict(sent.values) == {"MailingCountryCode": "NL"}
    refusal = FieldRefusal("field.picklist")
    lighter = sent.without({"MailingCountryCode": refusal})
    assert (dict(lighter.values), dict(lighter.refused)) == ({}, {"MailingCountry": refusal})
