"""Mappings as a file: what is written is read back the same, and a file that would do harm changes nothing."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adsapp_crm.models import CrmConnection, CrmFieldMapping, CrmMappingVersion
from adsapp_crm.services import mapping_files
from adsapp_crm.services.formulas import guarded
from adsapp_crm.services.mapping_files import (
    COLUMNS,
    apply_import,
    compare_mappings,
    export_csv,
    export_json,
    preview_import,
    read_mapping_file,
)
from adsapp_crm.services.mappings import WantedMapping, described
from adsapp_crm.services.refusals import RefusedError
from crm.model import FieldDefinition

TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r\n"), min_size=1, max_size=12)
RULES = st.none() | st.dictionaries(TEXTS, TEXTS | st.integers() | st.lists(TEXTS, max_size=2), max_size=2)
ROWS = st.builds(
    WantedMapping,
    TEXTS,
    TEXTS,
    TEXTS,
    direction=TEXTS,
    transform_rule=RULES,
    blank_rule=TEXTS,
    strategy=st.none() | TEXTS,
    drift=st.none() | TEXTS,
)


def as_csv(*rows: WantedMapping) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(guarded(mapping_files._cell(value)) for value in mapping_files._shape(row).values())
    return out.getvalue().encode()


@given(st.lists(ROWS, max_size=3))
def test_csv_that_was_written_reads_back_the_same(rows):
    """Formulas, quotes, commas and what looks guarded included."""
    assert read_mapping_file(as_csv(*rows), "hubspot") == rows


@given(st.lists(ROWS, max_size=3))
def test_json_that_was_written_reads_back_the_same(rows):
    document = {"crmType": "hubspot", "mappings": [mapping_files._shape(row) for row in rows]}

    assert read_mapping_file(json.dumps(document).encode(), "hubspot") == rows


@given(st.lists(ROWS, max_size=4), st.lists(ROWS, max_size=4))
def test_a_difference_accounts_for_every_row(now, then):
    """Added, changed and same make the new set; removed, changed and same the old one."""
    found = compare_mappings(now, then)
    old, new = {mapping_files.pair_of(each) for each in now}, {mapping_files.pair_of(each) for each in then}

    assert len(found.removed) + len(found.changed) + found.same == len(old)
    assert len(found.added) + len(found.changed) + found.same == len(new)


@given(st.binary(max_size=200))
def test_any_file_is_read_or_refused(content):
    with contextlib.suppress(RefusedError):
        read_mapping_file(content, "hubspot")


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"\xff\xfe\x00", "import.unreadable", "not UTF-8"),
        (b"{", "import.unreadable", "line 1"),
        (b"[1]", "import.mapping_file", "no list of mappings"),
        (b'{"crmType": "pipedrive", "mappings": []}', "import.mapping_file", "another CRM than hubspot"),
        (b'[{"recordType": "contacts"}]', "import.mapping_file", "row 1 has no adsappField"),
        (b'[{"recordType": 1, "adsappField": "a", "crmField": "b"}]', "import.mapping_file", "recordType is not text"),
        (b'[{"recordType":"c","adsappField":"a","crmField":"b","x":1}]', "import.mapping_file", "names 'x'"),
        (b'[{"recordType":"c","adsappField":"a","crmField":"\\ud800"}]', "import.mapping_file", "no text has"),
        (b'[{"recordType":"c","adsappField":"a","crmField":"\\u0000"}]', "import.mapping_file", "no text has"),
        (b"recordType,adsappField\n", "import.mapping_file", "lacks crmField"),
        (b"recordType,adsappField,crmField,crmField\n", "import.mapping_file", "crmField twice"),
        (b"recordType,adsappField,crmField\na,b,c,d\n", "import.columns", "line 2 has 4 values"),
        (b"recordType,adsappField,crmField,transformRule\na,b,c,{\n", "import.mapping_file", "line 2: transformRule"),
        (b'recordType,adsappField,crmField\n"a\n', "import.unreadable", "as CSV"),
        (b"", "import.mapping_file", "lacks recordType"),
        (b"x" * 1_000_001, "import.mapping_file", "larger than 1 MB"),
    ],
)
def test_a_refused_file_is_told_where_and_why(content, code, said):
    with pytest.raises(RefusedError) as refused:
        read_mapping_file(content, "hubspot")

    assert refused.value.code == code
    assert said in refused.value.refusals[0].message


def field(name, **named):
    return FieldDefinition(name, name.title(), "text", "string", **named)


@pytest.fixture
def connection(inside):
    fields = [field("firstname"), field("lastname"), field("city"), field("score", writable=False)]
    row = CrmConnection.objects.create(
        crm_type="hubspot", remote_account_id="1", schema=described({"contacts": fields}), mapping_version=4
    )
    for place, (ours, theirs) in enumerate((("firstName", "firstname"), ("lastName", "lastname"))):
        CrmFieldMapping.objects.create(
            connection=row, record_type="contacts", adsapp_field=ours, crm_field=theirs, position=place
        )
    return row


@pytest.mark.django_db
class TestImport:
    def test_what_was_exported_changes_nothing(self, connection):
        """In either form."""
        for export in (export_json, export_csv):
            found = preview_import(connection, export(connection).encode())

            assert (found.refusals, found.difference.changes, found.difference.same) == ((), 0, 2)

    def test_a_look_stores_nothing_and_the_yes_stores_what_was_shown(self, connection):
        content = as_csv(
            WantedMapping("contacts", "firstName", "firstname", direction="to_crm"),
            WantedMapping("contacts", "city", "city"),
        )

        found = preview_import(connection, content)
        before = CrmMappingVersion.objects.count()
        version = apply_import(connection, found, actor="user:test")

        assert before == 0
        assert [each.app_field for each in found.difference.added] == ["city"]
        assert [each.app_field for each in found.difference.removed] == ["lastName"]
        assert [each.columns for each in found.difference.changed] == [("direction",)]
        assert version == 5
        current = CrmFieldMapping.objects.filter(deleted_at=None).order_by("position")
        assert list(current.values_list("adsapp_field", "direction")) == [
            ("firstName", "to_crm"),
            ("city", "bidirectional"),
        ]

    def test_pairs_the_file_does_not_name_can_be_kept(self, connection):
        content = as_csv(WantedMapping("contacts", "city", "city"))

        found = preview_import(connection, content, keep_others=True)

        assert (len(found.difference.added), len(found.difference.removed), found.difference.same) == (1, 0, 2)

    @pytest.mark.parametrize("keep_others", [False, True])
    def test_a_pair_named_twice_is_refused(self, connection, keep_others):
        row = WantedMapping("contacts", "firstName", "firstname")

        found = preview_import(connection, as_csv(row, row), keep_others=keep_others)

        assert found.refusals[0].code == "mapping.two_writers"

    def test_what_the_judge_refuses_is_told_by_its_pair_and_not_stored(self, connection):
        """A read-only field cannot be written; saying yes all the same is refused again."""
        found = preview_import(connection, as_csv(WantedMapping("contacts", "notes", "score", direction="to_crm")))

        assert found.refusals
        assert found.refusals[0].field.startswith("notes and score")
        with pytest.raises(RefusedError):
            apply_import(connection, found, actor="user:test")
        assert CrmFieldMapping.objects.filter(deleted_at=None).count() == 2

    def test_a_save_in_between_asks_for_another_look(self, connection):
        found = preview_import(connection, export_csv(connection).encode())

        with pytest.raises(RefusedError) as refused:
            apply_import(connection, replace(found, version=3), actor="user:test")

        assert refused.value.code == "request.precondition"

    def test_a_spreadsheet_runs_nothing_of_a_file(self, connection):
        CrmFieldMapping.objects.filter(adsapp_field="firstName").update(crm_field="=cmd|' /C calc'!A0")

        cells = next(row for row in csv.reader(io.StringIO(export_csv(connection))) if row[1] == "firstName")

        assert cells[2] == "'=cmd|' /C calc'!A0"
