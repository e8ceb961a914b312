"""Properties as definitions, texts as values and back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.mapping.kinds import Kind, canonical
from crm.model import Direction, RemoteState
from crm.providers.hubspot import mapping


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Kind.TEXT, " as typed ", " as typed "),
        (Kind.PHONE, "+1 555-1234", "+1 555-1234"),
        (Kind.BOOLEAN, "true", True),
        (Kind.BOOLEAN, "false", False),
        (Kind.BOOLEAN, "perhaps", "perhaps"),
        (Kind.NUMBER, "12", 12),
        (Kind.NUMBER, "12.50", 12.5),
        (Kind.NUMBER, "12345678901234567890", 12345678901234567890),
        (Kind.NUMBER, "a dozen", "a dozen"),
        (Kind.DATE, "1990-12-31", "1990-12-31"),
        (Kind.DATE, "662601600000", "1990-12-31"),
        (Kind.DATETIME, "2026-03-12T07:33:46.615Z", "2026-03-12T07:33:46.615Z"),
        (Kind.DATETIME, "1790000000000", "2026-09-21T14:13:20.000Z"),
        (Kind.TAGS, "b;a", ("b", "a")),
        (Kind.TAGS, ";b; a ;b;", ("b", "a")),
        (Kind.CHOICE, "pt-br", "pt-br"),
    ],
)
def test_a_text_becomes_a_value_of_its_kind(kind: Kind, text: str, value: object) -> None:
    """What does not fit stays text, so that one field is refused and not the page."""
    found = mapping.read_value(kind, text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("text", [None, "", "  "])
def test_both_blanks_of_hubspot_are_none(kind: Kind, text: str | None) -> None:
    """A cleared property is null in a read and an empty text in the answer to the write that cleared it."""
    assert mapping.read_value(kind, text) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (12, "12"),
        (12.5, "12.5"),
        (1e-7, "0.0000001"),
        (1e22, "10000000000000000000000"),
        ("Ünï;code", "Ünï;code"),
        (("b", "a"), "b;a"),
        (("", "a"), "a"),
        ((), ""),
    ],
)
def test_a_value_becomes_a_text(value: object, text: str) -> None:
    """A list never begins with ``;``, which would add to what is there instead of replacing it."""
    assert mapping.wire_text(value) == text


_WORDS = st.lists(
    st.text(st.characters(exclude_characters=";", exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1),
    min_size=1,
    unique=True,
).map(tuple)
_VALUES = st.one_of(
    st.tuples(st.just(Kind.BOOLEAN), st.booleans()),
    st.tuples(st.just(Kind.NUMBER), st.integers(-(10**15), 10**15)),
    st.tuples(st.just(Kind.NUMBER), st.floats(-1e15, 1e15, allow_nan=False).filter(lambda n: n == 0 or abs(n) > 1e-9)),
    st.tuples(st.just(Kind.DATE), st.dates().map(lambda day: day.isoformat())),
    st.tuples(
        st.just(Kind.DATETIME),
        st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)).map(  # noqa: DTZ001 - made aware below
            lambda at: at.replace(tzinfo=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        ),
    ),
    st.tuples(st.just(Kind.TAGS), _WORDS),
    st.tuples(st.just(Kind.TEXT), st.text(min_size=1).filter(lambda text: bool(text.strip()))),
)


@given(_VALUES)
def test_values_survive_the_way_out_and_back(pair: tuple[Kind, object]) -> None:
    """Reading what was written gives an equal value, for every kind."""
    kind, value = pair
    assert canonical(kind, mapping.read_value(kind, mapping.wire_text(value))) == canonical(kind, value)


def wire(name: str = "custom_one", type_: str = "string", field_type: str = "text", **more: object):
    return {"name": name, "label": "Label", "type": type_, "fieldType": field_type, **more}


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (wire(), "text"),
        (wire("email"), "email"),
        (wire("firstname"), "name"),
        (wire("country", "enumeration", "select"), "country"),
        (wire("hubspot_owner_id", "enumeration", "select"), "reference"),
        (wire("date_of_birth"), "text"),
        (wire(field_type="phonenumber"), "phone"),
        (wire(type_="phone_number", field_type="phonenumber"), "phone"),
        (wire(type_="number", field_type="number"), "number"),
        (wire(type_="bool", field_type="booleancheckbox"), "boolean"),
        (wire(type_="enumeration", field_type="booleancheckbox"), "boolean"),
        (wire(type_="enumeration", field_type="select"), "choice"),
        (wire(type_="enumeration", field_type="radio"), "choice"),
        (wire(type_="enumeration", field_type="checkbox"), "tags"),
        (wire(type_="date", field_type="date"), "date"),
        (wire(type_="datetime", field_type="date"), "datetime"),
        (wire(type_="a_type_of_next_year", field_type="new"), "text"),
    ],
)
def test_a_definition_has_a_kind(given: dict[str, object], kind: str) -> None:
    assert mapping.definition(given).kind == kind


@pytest.mark.parametrize(
    ("given", "writable"),
    [
        (wire(), True),
        (wire(calculated=True), False),
        (wire(field_type="calculation_equation"), False),
        (wire(modificationMetadata={"readOnlyValue": True}), False),
        (wire(modificationMetadata={"readOnlyValue": False, "readOnlyDefinition": True}), True),
        (wire("hs_email_optout", "bool", "booleancheckbox", modificationMetadata={"readOnlyValue": True}), True),
    ],
)
def test_read_only_has_three_signs(given: dict[str, object], writable: bool) -> None:
    """The opt-out is written all the same, through the subscriptions."""
    found = mapping.definition(given)
    assert (found.writable, found.createable) == (writable, writable)


def test_options_that_hubspot_keeps_elsewhere_are_not_listed() -> None:
    """A list that is known to be incomplete would refuse good values."""
    options = [{"label": "One", "value": "1"}, {"label": "Two", "value": "2"}]
    listed = mapping.definition(wire(type_="enumeration", field_type="checkbox", options=options))
    assert (listed.options, listed.multiple) == ((("1", "One"), ("2", "Two")), True)
    assert (
        mapping.definition(
            wire(type_="enumeration", field_type="select", options=options, externalOptions=True)
        ).options
        == ()
    )


def test_another_type_makes_another_definition() -> None:
    """The base of a mapping belongs to the definition it was confirmed with."""
    assert mapping.definition(wire()).fingerprint != mapping.definition(wire(type_="number")).fingerprint


def test_a_record_tells_blank_from_unknown() -> None:
    """null is blank; a property that the answer leaves out is not known to be anything."""
    record = mapping.read_record(
        "contacts",
        {
            "id": "7",
            "properties": {"city": None, "score": "3", "adsapp_contact_id": "org:1", "other": "x"},
            "createdAt": "2026-01-01T10:00:00.469Z",
            "updatedAt": "2026-02-01T10:00:00.947Z",
            "archived": False,
        },
        {"city": Kind.TEXT, "score": Kind.NUMBER, "gone": Kind.TEXT},
    )
    assert record.values == {"city": None, "score": 3}
    assert record.marker == "org:1"
    assert record.modified_at == datetime(2026, 2, 1, 10, 0, 0, 947_000, UTC)
    assert record.state is RemoteState.LIVE


def test_former_ids_come_from_both_properties() -> None:
    """They can disagree; the record's own id, which one of them may repeat, is none of them."""
    properties = {"hs_merged_object_ids": "1;2", "hs_calculated_merged_vids": "2:1790000000000;3:1790000000001;9:1"}
    record = mapping.read_record("contacts", {"id": "9", "properties": properties}, {})
    assert record.former_ids == ("1", "2", "3")


def test_the_default_mappings_are_the_documented_ones() -> None:
    """One row a field, both ways, the owner left out."""
    rows = {row.app_field: row.remote_field for row in mapping.DEFAULT_MAPPINGS}
    assert rows == {
        "firstName": "firstname",
        "lastName": "lastname",
        "email": "email",
        "phone": "phone",
        "whatsappNumber": "hs_whatsapp_phone_number",
        "company": "company",
        "jobTitle": "jobtitle",
        "street": "address",
        "city": "city",
        "region": "state",
        "postalCode": "zip",
        "country": "country",
        "language": "hs_language",
        "birthday": "date_of_birth",
        "emailOptOut": "hs_email_optout",
    }
    assert {row.direction for row in mapping.DEFAULT_MAPPINGS} == {Direction.BIDIRECTIONAL}
