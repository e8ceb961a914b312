"""Custom fields: definitions, options, and the shapes of their values in version 2 and version 1."""

from __future__ import annotations

import re

import pytest

from crm.providers.pipedrive.fake.custom_values import typed
from crm.providers.pipedrive.fake.fields import FieldDefinition
from tests.providers.pipedrive.fake_company import ALAN, Company, refused


@pytest.fixture
def company():
    return Company()


def test_a_new_field_gets_a_hash_and_its_options_numbers(company) -> None:
    """The whole body of a create; once a field exists, every person shows it, as null."""
    person = company.add()
    body = {"field_name": "Language", "field_type": "enum", "options": [{"label": "es"}, {"label": "en"}]}
    found = company.data("POST", "/personFields", body)
    code = found.pop("field_code")
    assert re.fullmatch(r"[0-9a-f]{40}", code)
    first, second = (option["id"] for option in found["options"])
    assert found == {
        "field_name": "Language",
        "description": None,
        "field_type": "enum",
        "options": [{"id": first, "label": "es"}, {"id": second, "label": "en"}],
        "subfields": None,
        "is_custom_field": True,
        "is_optional_response_field": False,
    }
    assert second == first + 1
    assert company.data("GET", f"/persons/{person}")["custom_fields"] == {code: None}
    assert company.data("GET", f"/personFields/{code}")["field_name"] == "Language"


def test_hashes_differ_between_companies() -> None:
    """The same field made in two companies has two codes."""
    assert Company(seed=1).field("varchar") != Company(seed=2).field("varchar")


@pytest.mark.parametrize(
    ("body", "name", "reason"),
    [
        ({"field_type": "varchar"}, "field_name", "is required"),
        ({"field_name": "Ok", "field_type": "enum"}, "options", "is required for field types enum and set"),
        ({"field_name": "Ok", "field_type": "varchar", "code": "x"}, "code", "is not allowed"),
    ],
)
def test_a_field_that_cannot_be_is_refused(company, body, name, reason) -> None:
    before = len(company.data("GET", "/personFields"))
    answer = company.call("POST", "/personFields", body)
    assert (answer.status_code, answer.json()) == (400, refused(name, reason))
    assert len(company.data("GET", "/personFields")) == before


def test_there_is_no_boolean_type(company) -> None:
    """Opt-outs need an enum."""
    answer = company.call("POST", "/personFields", {"field_name": "Opt-out", "field_type": "boolean"})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("Validation failed: field_type: must be one of [varchar, text, double")


def test_only_an_administrator_makes_fields_and_a_plan_has_room_for_so_many(company) -> None:
    token = company.person("POST", "tokens", {"userId": ALAN}).json()["token"]
    answer = company.call("POST", "/personFields", {"field_name": "A", "field_type": "varchar"}, token=token)
    assert (answer.status_code, answer.json()["error"]) == (403, "You do not have permissions to edit custom fields")
    company.fake.fields.max_custom_fields = 0
    answer = company.call("POST", "/personFields", {"field_name": "A", "field_type": "varchar"})
    assert (answer.status_code, answer.json()["code"]) == (403, "feature_capping_custom_fields_limit")


def test_options_change_in_bulk_and_all_or_none(company) -> None:
    """A removed option leaves the records; an unknown one refuses the whole call."""
    code, (spanish, english) = company.field("set", "es", "en")
    person = company.add(custom_fields={code: [spanish, english]})
    added = company.data("POST", f"/personFields/{code}/options", [{"label": "de"}])
    assert added == [{"id": english + 1, "label": "de"}]
    renamed = company.data("PATCH", f"/personFields/{code}/options", [{"id": spanish, "label": "Spanish"}])
    assert renamed == [{"id": spanish, "label": "Spanish"}]
    answer = company.call("DELETE", f"/personFields/{code}/options", [{"id": spanish}, {"id": 999}])
    assert (answer.status_code, answer.json()) == (400, refused("options", "option 999 does not exist"))
    assert company.data("GET", f"/persons/{person}")["custom_fields"][code] == [spanish, english]
    company.data("DELETE", f"/personFields/{code}/options", [{"id": spanish}])
    assert company.data("GET", f"/persons/{person}")["custom_fields"][code] == [english]


def test_a_deleted_field_takes_its_values_and_later_writes_along(company) -> None:
    """A write that still names the hash fails as a whole."""
    code = company.field("varchar")
    person = company.add(custom_fields={code: "kept?"})
    company.data("DELETE", f"/personFields/{code}")
    assert company.data("GET", f"/persons/{person}")["custom_fields"] is None
    answer = company.call("PATCH", f"/persons/{person}", {"name": "New", "custom_fields": {code: "x"}})
    assert (answer.status_code, answer.json()) == (400, refused(f"custom_fields.{code}", "is not allowed"))
    assert company.data("GET", f"/persons/{person}")["name"] == "Ada Lovelace"


VALUES = [
    ("varchar", "txt", {"": "txt"}),
    ("phone", "+34 600", {"": "+34 600"}),
    ("double", 5.5, {"": 5.5}),
    ("date", "2026-01-31", {"": "2026-01-31"}),
    ("monetary", {"value": 5, "currency": "EUR"}, {"": 5, "_currency": "EUR"}),
    ("time", {"value": "09:00:00", "timezone_id": 1, "timezone_name": None}, {"": "09:00:00", "_timezone_id": 1}),
    ("daterange", {"value": "2026-01-01", "until": "2026-01-31"}, {"": "2026-01-01", "_until": "2026-01-31"}),
]


@pytest.mark.parametrize(("kind", "value", "flat"), VALUES, ids=[kind for kind, _, _ in VALUES])
def test_a_value_is_nested_in_version_2_and_flat_in_version_1(company, kind, value, flat) -> None:
    """The same value, read through both and written through both."""
    code = company.field(kind)
    person = company.add(custom_fields={code: value})
    assert company.data("GET", f"/persons/{person}")["custom_fields"] == {code: value}
    shown = company.data("GET", f"/v1/persons/{person}")
    assert {name.removeprefix(code): found for name, found in shown.items() if name.startswith(code)} == flat
    company.data("PATCH", f"/persons/{person}", {"custom_fields": {code: None}})
    assert company.data("GET", f"/persons/{person}")["custom_fields"] == {code: None}
    company.data("PUT", f"/v1/persons/{person}", {f"{code}{part}": found for part, found in flat.items()})
    assert company.data("GET", f"/persons/{person}")["custom_fields"] == {code: value}


def test_choices_are_numbers_in_version_2_and_text_in_version_1(company) -> None:
    one, (spanish, _) = company.field("enum", "es", "en")
    many, (red, blue) = company.field("set", "red", "blue", name="Colours")
    person = company.add(custom_fields={one: spanish, many: [red, blue]})
    shown = company.data("GET", f"/v1/persons/{person}")
    assert (shown[one], shown[many]) == (str(spanish), f"{red},{blue}")
    labelled = company.data("GET", f"/persons/{person}", params={"include_option_labels": "true"})["custom_fields"]
    assert labelled[one] == {"id": spanish, "label": "es"}
    assert labelled[many] == [{"id": red, "label": "red"}, {"id": blue, "label": "blue"}]


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("varchar", 5, "must be a string"),
        ("varchar", "x" * 256, "length must be less than or equal to 255 characters long"),
        ("double", "5", "must be a number"),
        ("double", True, "must be a number"),
        ("date", "31.01.2026", "must be a date in YYYY-MM-DD format"),
        ("monetary", {"value": 5}, "must be an object with value and currency"),
        ("set", [], "must contain at least 1 items"),
        ("set", [1], "option 1 does not exist"),
        ("enum", "17", "must be an integer"),
    ],
)
def test_a_refused_value_names_the_hash_and_changes_nothing(company, kind, value, reason) -> None:
    """Strict types: no number as text, no empty set."""
    code = company.field(kind, "a", "b")[0] if kind in ("set", "enum") else company.field(kind)
    person = company.add()
    answer = company.call("PATCH", f"/persons/{person}", {"name": "New", "custom_fields": {code: value}})
    assert (answer.status_code, answer.json()) == (400, refused(f"custom_fields.{code}", reason))
    found = company.data("GET", f"/persons/{person}")
    assert (found["name"], found["update_time"], found["custom_fields"]) == ("Ada Lovelace", None, {code: None})


def test_only_the_sent_custom_fields_change(company) -> None:
    first, second = company.field("varchar", name="A"), company.field("varchar", name="B")
    person = company.add(custom_fields={first: "1", second: "2"})
    found = company.data("PATCH", f"/persons/{person}", {"custom_fields": {second: "3"}})
    assert found["custom_fields"] == {first: "1", second: "3"}
    shown = company.data("GET", "/persons", params={"custom_fields": second})[0]
    assert shown["custom_fields"] == {second: "3"}


def test_version_1_replaces_the_whole_list_of_options(company) -> None:
    """An option sent without its id is a new one; the old one is destroyed with its values."""
    code, (spanish, english) = company.field("enum", "es", "en")
    person = company.add(custom_fields={code: english})
    number = next(each["id"] for each in company.data("GET", "/v1/personFields") if each["key"] == code)
    options = [{"id": spanish, "label": "es"}, {"label": "en"}]
    changed = company.data("PUT", f"/v1/personFields/{number}", {"options": options})
    assert changed["options"] == [{"id": spanish, "label": "es"}, {"id": english + 1, "label": "en"}]
    assert company.data("GET", f"/persons/{person}")["custom_fields"] == {code: None}


def test_an_address_field_is_flat_in_version_1_and_typed_in_webhooks(company) -> None:
    """One value in its three shapes."""
    code = company.field("address")
    person = company.add(custom_fields={code: {"value": "Calle 1, Madrid", "locality": "Madrid"}})
    stored = company.data("GET", f"/persons/{person}")["custom_fields"][code]
    assert (stored["value"], stored["locality"], stored["route"]) == ("Calle 1, Madrid", "Madrid", None)
    shown = company.data("GET", f"/v1/persons/{person}")
    assert (shown[code], shown[f"{code}_locality"]) == ("Calle 1, Madrid", "Madrid")
    record = company.fake.state.tables["person"].records[person]
    definition = company.fake.state.fields.sets["person"].definitions[code]
    assert typed(definition, record.custom[code]) == {"type": "address", **stored}


@pytest.mark.parametrize(
    ("kind", "value", "shape"),
    [
        ("varchar", "txt", {"type": "varchar", "value": "txt"}),
        ("double", 5.5, {"type": "double", "value": 5.5}),
        ("monetary", {"value": 5, "currency": "EUR"}, {"type": "monetary", "value": 5, "currency": "EUR"}),
        ("enum", 17, {"type": "enum", "id": 17}),
        ("set", [17, 18], {"type": "set", "values": [{"id": 17}, {"id": 18}]}),
        (
            "daterange",
            {"value": "2026-01-01", "until": "2026-01-31"},
            {"type": "daterange", "from": "2026-01-01", "until": "2026-01-31"},
        ),
        ("user", 1, {"type": "user", "id": 1}),
        ("varchar", None, None),
    ],
)
def test_webhooks_give_values_with_their_type(kind, value, shape) -> None:
    assert typed(FieldDefinition("0" * 40, "F", kind, 1, is_custom=True), value) == shape


@pytest.mark.parametrize(("kind", "path"), [("org", "/organizations"), ("people", "/persons")])
def test_a_field_that_points_at_a_record_wants_one_that_exists(company, kind, path) -> None:
    code = company.field(kind)
    other = company.data("POST", path, {"name": "Other"})["id"]
    person = company.add(custom_fields={code: other})
    assert company.data("GET", f"/persons/{person}")["custom_fields"] == {code: other}
    answer = company.call("PATCH", f"/persons/{person}", {"custom_fields": {code: 99}})
    assert (answer.status_code, answer.json()) == (
        400,
        refused(f"custom_fields.{code}", "not found or not accessible."),
    )
