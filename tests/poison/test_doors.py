"""Poison at the commands and in imported files: refused by name, or taken; nothing fails half-way."""

from __future__ import annotations

import csv
import io
import sys

import pytest
from django.core.management import CommandError, call_command

from adsapp_crm.models import Contact, Organization
from adsapp_crm.services.contact_import import import_contacts
from adsapp_crm.services.refusals import RefusedError
from tests.poison.corpus import BODIES, TEXTS, storable

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

SHORT = [text for text in TEXTS if len(text) < 2000]


def run(name, *arguments):
    """How a command ended: 0, or the code it would leave with; anything but an orderly end is raised."""
    try:
        call_command(name, *arguments, stdout=io.StringIO(), stderr=io.StringIO())
    except CommandError as error:
        return error.returncode
    except SystemExit as error:
        return error.code
    return 0


@pytest.mark.parametrize("name", ["crm_explain", "crm_sync", "crm_status", "crm_undo"])
def test_commands_refuse_what_they_do_not_know(tenant, name):
    """As organization and as the thing asked for; each ends in order, and nothing is stored."""
    own = str(tenant.id)
    for text in SHORT:
        assert run(name, text.lstrip("-") or "x", "hubspot") != 0
        if name in ("crm_explain", "crm_sync"):
            assert run(name, own, text.lstrip("-") or "x") in (0, 1, 2), repr(text)
    with tenant.context():
        assert Contact.objects.count() == 0


def test_organizations_are_named_like_anything_that_can_be_stored(tenant, monkeypatch):
    """What a database cannot hold, or is blank or too long, is refused; the rest is a name."""
    for number, text in enumerate(SHORT):
        monkeypatch.setattr(sys, "stdin", io.StringIO("a-Pass-phrase-of-20\n"))
        ended = run("crm_org", text.lstrip("-") or "x", "--email", f"owner{number}@names.example")
        assert ended in (0, 1, 2), repr(text)
    with tenant.context():
        assert Organization.objects.count() == 1


def test_a_file_of_poison_lists_exactly_the_rows_it_refuses(tenant):
    """Every text as a last name is taken, without the blanks around it; the report names no row."""
    table = io.StringIO()
    writer = csv.writer(table, quoting=csv.QUOTE_ALL)
    writer.writerow(["firstName", "lastName"])
    texts = [text for text in TEXTS if "\0" not in text and "\r" not in text and len(text) <= 65_536]
    texts = [text for text in texts if text[:1] not in ("'", "=", "+", "-", "@", "\t")]  # spreadsheets' own signs
    for text in texts:
        writer.writerow(["Ann", text])
    with tenant.context():
        report = import_contacts(io.StringIO(table.getvalue(), newline=""))
        kept = sorted(Contact.objects.values_list("last_name", flat=True))
    assert [refused.refusals[0].code for refused in report.refused] == []
    assert (report.rows, report.created) == (len(texts), len(texts))
    assert kept == sorted(storable(text).strip() for text in texts)


def test_addresses_of_poison_are_refused_by_line_or_taken(tenant):
    """The report names every line once, and what it does not name is stored."""
    table = io.StringIO()
    writer = csv.writer(table, quoting=csv.QUOTE_ALL)
    writer.writerow(["lastName", "email", "phone", "birthday"])
    texts = [text for text in SHORT if "\0" not in text and "\n" not in text and "\r" not in text]
    for number, text in enumerate(texts):
        writer.writerow([f"Row {number}", text, text, text])
    with tenant.context():
        report = import_contacts(io.StringIO(table.getvalue(), newline=""))
        stored = Contact.objects.count()
    lines = [refused.line for refused in report.refused]
    assert lines == sorted(set(lines))
    assert report.created == stored == len(texts) - len(lines)
    assert {refusal.code for refused in report.refused for refusal in refused.refusals} <= {
        "contact.invalid",
        "contact.exists",
    }


def test_files_that_are_no_tables_are_refused_whole(tenant, tmp_path):
    """As a header, and as a file of bytes; nothing is stored."""
    with tenant.context():
        for text in SHORT:
            with pytest.raises(RefusedError):
                import_contacts([text, "x"])
        assert Contact.objects.count() == 0
    for number, body in enumerate(BODIES):
        file = tmp_path / f"{number}.csv"
        file.write_bytes(body)
        assert run("crm_import", str(tenant.id), str(file)) in (1, 2), body[:40]
    with tenant.context():
        assert Contact.objects.count() == 0
