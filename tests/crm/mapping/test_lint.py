"""What is wrong with a mapping is found before the first sync, with code, field, fix and the value that proves it."""

from __future__ import annotations

import re

import pytest

from crm.mapping.app_fields import APP_FIELDS, app_field, name_of_attribute
from crm.mapping.build import BrokenMapping, MappingRow, build_field_map
from crm.mapping.field_map import FieldMap
from crm.mapping.kinds import Kind
from crm.mapping.lint import Samples, Severity, lint
from crm.mapping.steps import Law
from crm.model import BlankRule, Direction, FieldDefinition, Strategy

DEFINITIONS = {
    definition.name: definition
    for definition in (
        FieldDefinition("firstname", "First name", "name", "string"),
        FieldDefinition("email", "Email", "email", "string", unique=True),
        FieldDefinition("phone", "Phone", "phone", "string"),
        FieldDefinition("note", "Note", "text", "string", max_length=10),
        FieldDefinition("created", "Created", "datetime", "datetime", writable=False),
        FieldDefinition("born", "Born", "date", "date"),
        FieldDefinition("score", "Score", "number", "number"),
        FieldDefinition("vip", "VIP", "boolean", "bool"),
        FieldDefinition("tier", "Tier", "choice", "enumeration", options=(("gold", "Gold"), ("silver", "Silver"))),
        FieldDefinition("topics", "Topics", "choice", "enumeration", multiple=True, options=(("a", "A"), ("b", "B"))),
    )
}


def steps(*items, **more):
    return {"steps": list(items), **more}


def only(findings):
    assert len(findings) == 1, findings
    return findings[0]


def test_a_sound_mapping_has_no_findings():
    """Fields of the same kind without lossy steps are proven, with or without values."""
    rows = [
        MappingRow("1", "firstName", "firstname"),
        MappingRow("2", "email", "email", transform_rule=steps({"step": "trim"})),
        MappingRow("3", "phone", "phone", transform_rule=steps({"step": "phone_e164"})),
        MappingRow("4", "birthday", "born"),
        MappingRow("5", "custom.score", "score"),
        MappingRow("6", "tags", "note", transform_rule=steps({"step": "join", "separator": ";"})),
    ]
    samples = Samples(app={"phone": ["06-12345678"]}, crm={"phone": ["+31612345678", ""], "score": ["1.50"]})
    assert lint(rows, DEFINITIONS, samples, region="nl") == []


@pytest.mark.parametrize(
    ("row", "code", "field"),
    [
        (MappingRow("1", "firstName", "nosuch"), "field.missing", "nosuch"),
        (MappingRow("1", "nosuch", "firstname"), "mapping.unknown_field", "nosuch"),
        (MappingRow("1", "custom.", "firstname"), "mapping.unknown_field", "custom."),
        (MappingRow("1", "custom.a b", "firstname"), "mapping.unknown_field", "custom.a b"),
        (MappingRow("1", "custom.at", "created"), "field.readonly", "created"),
        (MappingRow("1", "firstName", "score"), "field.bad_type", "score"),
        (MappingRow("1", "tags", "note"), "field.bad_type", "note"),
        (MappingRow("1", "notes", "topics"), "field.bad_type", "topics"),
        (MappingRow("1", "email", "phone"), "field.bad_type", "phone"),
        (MappingRow("1", "emailOptOut", "score"), "field.bad_type", "score"),
        (MappingRow("1", "tags", "note", transform_rule=steps({"step": "trim"})), "field.bad_type", "note"),
        (MappingRow("1", "firstName", "firstname", "sideways"), "mapping.bad_parameter", "direction"),
        (MappingRow("1", "custom.a", "firstname", app_kind="x"), "mapping.bad_parameter", "appKind"),
        (MappingRow("1", "firstName", "firstname", blank_rule="x"), "mapping.bad_parameter", "blankRule"),
        (MappingRow("1", "firstName", "firstname", strategy="x"), "mapping.bad_parameter", "strategy"),
        (MappingRow("1", "notes", "note", transform_rule=steps({"step": "eval"})), "mapping.unknown_step",
         "transformRule"),
        (MappingRow("1", "notes", "note", transform_rule=steps({"step": "truncate", "length": 9})),
         "mapping.not_invertible", "notes"),
        (MappingRow("1", "notes", "note", "from_crm", transform_rule=steps({"step": "truncate", "length": 9})),
         "mapping.not_invertible", "notes"),
        (MappingRow("1", "notes", "note", "to_crm", transform_rule=steps({"step": "case", "to": "upper"},
                                                                         starts_at="crm")),
         "mapping.not_invertible", "notes"),
    ],
)  # fmt: skip
def test_a_mapping_that_cannot_work_is_an_error(row, code, field):
    """Each refusal has its code, the field and a fix, and builds nothing."""
    finding = only(lint([row], DEFINITIONS))
    assert (finding.code, finding.severity, finding.field) == (code, Severity.ERROR, field)
    assert finding.mapping_id == "1"
    assert finding.fix.endswith(".")
    assert isinstance(build_field_map(row, DEFINITIONS.get(row.remote_field)), BrokenMapping)


@pytest.mark.parametrize(
    "row",
    [
        MappingRow("1", "notes", "note", "to_crm", transform_rule=steps({"step": "truncate", "length": 9})),
        MappingRow("1", "notes", "note", "from_crm",
                   transform_rule=steps({"step": "truncate", "length": 9}, starts_at="crm")),
        MappingRow("1", "custom.at", "created", "from_crm"),
        MappingRow("1", "emailOptOut", "note",
                   transform_rule=steps({"step": "boolean_map", "true": "Y", "false": "N"})),
        MappingRow("1", "custom.level", "score",
                   transform_rule=steps({"step": "value_map", "map": {"low": "1", "high": "2"}})),
        MappingRow("1", "birthday", "note"),
        MappingRow("1", "custom.vip", "vip", transform_rule=steps({"step": "boolean_map", "true": False,
                                                                   "false": True})),
    ],
)  # fmt: skip
def test_a_mapping_that_can_work_is_built(row):
    """One-way lossy steps, read-only sources and converting steps are fine."""
    assert isinstance(build_field_map(row, DEFINITIONS[row.remote_field]), FieldMap)
    assert [finding for finding in lint([row], DEFINITIONS) if finding.severity is Severity.ERROR] == []


def test_two_rows_that_write_one_field_are_refused_on_either_side():
    """The second writer is named; a second reader is none."""
    there = [MappingRow("1", "firstName", "note", "to_crm"), MappingRow("2", "city", "note")]
    finding = only([f for f in lint(there, DEFINITIONS) if f.code == "mapping.two_writers"])
    assert (finding.field, finding.mapping_id, finding.severity) == ("note", "2", Severity.ERROR)
    here = [MappingRow("1", "city", "note", "from_crm"), MappingRow("2", "city", "firstname")]
    finding = only(lint(here, DEFINITIONS))
    assert (finding.code, finding.field, finding.mapping_id) == ("mapping.two_writers", "city", "2")
    assert lint([MappingRow("1", "city", "note", "from_crm"), MappingRow("2", "city", "firstname", "to_crm")],
                DEFINITIONS) == []  # fmt: skip


def test_a_round_trip_is_refuted_by_the_value_that_breaks_it():
    """Where the law depends on values, the one that does not come back is shown."""
    row = MappingRow("1", "custom.list", "topics", app_kind="text",
                     transform_rule=steps({"step": "split", "separator": ","}))  # fmt: skip
    finding = only(lint([row], DEFINITIONS, Samples(app={"custom.list": ["a,b", "a, b"]})))
    assert (finding.code, finding.severity, finding.field) == ("mapping.round_trip", Severity.ERROR, "custom.list")
    assert finding.example == "'a, b' -> ['a', 'b'] -> 'a,b'"


def test_a_value_of_the_crm_can_refute_the_round_trip_too():
    """A phone step for another country than the connection's turns a pulled number into another one."""
    row = MappingRow("1", "phone", "phone", transform_rule=steps({"step": "phone_e164", "region": "US"}))
    samples = Samples(crm={"phone": ["+31612345678", "0201234567"]})
    finding = only(lint([row], DEFINITIONS, samples, region="NL"))
    assert (finding.code, finding.severity, finding.field) == ("mapping.round_trip", Severity.ERROR, "phone")
    assert finding.example == "'0201234567' -> '0201234567' -> '+10201234567' -> '+10201234567'"


def test_a_round_trip_that_depends_on_values_says_how_many_held():
    """Tried values make it information, none a warning."""
    row = MappingRow("1", "custom.list", "topics", app_kind="text",
                     transform_rule=steps({"step": "split", "separator": ","}))  # fmt: skip
    held = only(lint([row], DEFINITIONS, Samples(app={"custom.list": ["a,b"]}, crm={"topics": [("a",)]})))
    assert (held.code, held.severity) == ("mapping.round_trip", Severity.INFO)
    assert "2 values" in held.message
    assert only(lint([row], DEFINITIONS)).severity is Severity.WARNING


def test_real_values_that_would_be_refused_are_counted_and_shown():
    """Too long, not in the list, not of the kind: a warning with the first such value."""
    rows = [MappingRow("1", "notes", "note"), MappingRow("2", "custom.tier", "tier", "to_crm"),
            MappingRow("3", "birthday", "firstname", "from_crm")]  # fmt: skip
    samples = Samples(
        app={"notes": ["short", "far too long a note"], "custom.tier": ["Gold", "bronze"]},
        crm={"firstname": ["Ann"]},
    )
    found = {finding.code: finding for finding in lint(rows, DEFINITIONS, samples)}
    assert {finding.severity for finding in found.values()} == {Severity.WARNING}
    assert found["field.too_long"].example == "'far too long a note'"
    assert "1 of 2" in found["field.too_long"].message
    assert found["field.picklist"].example == "'bronze'"
    assert found["field.bad_type"].example == "'Ann'"


def test_messages_hold_no_contact_values():
    """Only the example shows a value; message and fix can be logged."""
    rows = [MappingRow("1", "notes", "note"), MappingRow("2", "custom.tier", "tier")]
    secret = "Zebedee Quux"
    findings = lint(rows, DEFINITIONS, Samples(app={"notes": [secret], "custom.tier": [secret]}))
    assert len([f for f in findings if secret in f.example]) == 2
    assert not [f for f in findings if secret in f.message + f.fix + f.field]


def test_a_built_map_carries_what_the_engine_needs():
    """Kinds, consent, definition, region, lengths and options come from the table and the description."""
    row = MappingRow("9", "emailOptOut", "vip", "to_crm", blank_rule="never", strategy="crm_wins")
    built = build_field_map(row, DEFINITIONS["vip"], "nl")
    assert isinstance(built, FieldMap)
    assert (built.app_kind, built.remote_kind, built.consent) == (Kind.BOOLEAN, Kind.BOOLEAN, True)
    assert (built.direction, built.blank_rule, built.strategy) == (
        Direction.TO_CRM, BlankRule.NEVER, Strategy.CRM_WINS,
    )  # fmt: skip
    assert (built.definition, built.region, built.law()) == ("vip:bool:", "NL", Law.EXACT)


@pytest.mark.parametrize(
    ("remote", "rule", "kind"),
    [
        ("score", None, Kind.NUMBER),
        ("vip", None, Kind.BOOLEAN),
        ("topics", None, Kind.TAGS),
        ("note", steps({"step": "boolean_map", "true": "Y", "false": "N"}), Kind.BOOLEAN),
        ("note", steps({"step": "join", "separator": ";"}), Kind.TAGS),
        ("note", steps({"step": "number_format"}), Kind.NUMBER),
        ("topics", steps({"step": "split", "separator": ";"}), Kind.TEXT),
    ],
)
def test_a_custom_field_takes_the_kind_that_fits(remote, rule, kind):
    """A custom field of ours holds what the CRM's field, through the steps, needs."""
    built = build_field_map(MappingRow("1", "custom.x", remote, "to_crm", rule), DEFINITIONS[remote])
    assert isinstance(built, FieldMap)
    assert built.app_kind is kind


def test_every_app_field_has_its_attribute_in_snake_case():
    """The table maps the guide's camelCase to the contact's attributes without exception."""
    assert len(APP_FIELDS) == 19
    for name, field in APP_FIELDS.items():
        assert field.attribute == re.sub("[A-Z]", lambda match: "_" + match[0].lower(), name)
        assert name_of_attribute(field.attribute) == name
    assert name_of_attribute("custom.level") == "custom.level"
    assert [field.name for field in APP_FIELDS.values() if field.consent] == ["emailOptOut", "whatsappOptOut"]


def test_a_custom_field_is_found_by_its_key():
    """custom.<key> names a key of the custom fields; nothing else does."""
    found = app_field("custom.tier")
    assert found is not None
    assert (found.attribute, found.custom, found.consent) == ("tier", True, False)
    assert app_field("custom") is None
    assert app_field("Custom.tier") is None
    assert app_field("custom.tier\n") is None
