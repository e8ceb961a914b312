"""Contacts from a CSV file: every row is stored or refused with its reason, and no row stops another."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from adsapp_crm.models import Contact
from adsapp_crm.services.contact_values import read_contact_values
from adsapp_crm.services.contacts import new_contact, save_new_contacts
from adsapp_crm.services.formulas import unguarded
from adsapp_crm.services.refusals import Refusal, RefusedError, refuse
from adsapp_crm.tenancy import current_organization, organization_context
from crm.mapping.app_fields import APP_FIELDS, app_field
from crm.normalize import email_key, normalize_name

BATCH_ROWS = 500


@dataclass(frozen=True, slots=True)
class RefusedRow:
    line: int
    """Line of the file where the row ends, counted from 1 with the header."""
    refusals: tuple[Refusal, ...]


@dataclass(slots=True)
class ImportReport:
    rows: int = 0
    created: int = 0
    refused: list[RefusedRow] = field(default_factory=list)


def import_contacts(lines: Iterable[str]) -> ImportReport:
    """Read CSV with a header of ADSapp's field names and create a contact for each row.

    A header that cannot be used refuses the file, and nothing is stored. A row of a person who is there
    already (same e-mail address and name) is refused, so that importing a file again creates nobody twice.
    """
    rows = _rows(lines)
    report = ImportReport()
    with organization_context(current_organization(), origin="import"):
        while batch := list(islice(rows, BATCH_ROWS)):
            _import_batch(batch, report)
    return report


def _import_batch(batch: list[tuple[int, dict[str, str] | RefusedError]], report: ImportReport) -> None:
    candidates: list[tuple[int, Contact]] = []
    for line, row in batch:
        report.rows += 1
        try:
            if isinstance(row, RefusedError):
                raise row
            candidates.append((line, new_contact(read_contact_values(row))))
        except RefusedError as error:
            report.refused.append(RefusedRow(line, error.refusals))
    seen = _people(contact for _line, contact in candidates)
    fresh: list[Contact] = []
    for line, contact in candidates:
        person = _person(contact)
        if person in seen:
            report.refused.append(RefusedRow(line, (_EXISTS,)))
        else:
            fresh.append(contact)
            seen |= {person} if person else set()
    report.created += len(save_new_contacts(fresh)) if fresh else 0
    report.refused.sort(key=lambda each: each.line)


_EXISTS = Refusal(
    "contact.exists",
    "A contact with this name and e-mail address is there already.",
    "email",
    "Leave the row out, or change the contact that is there.",
)


def _people(contacts: Iterable[Contact]) -> set[tuple[str, str, str] | None]:
    """Who of these contacts' addresses is stored already."""
    keys = {email_key(contact.email) for contact in contacts} - {None}
    stored = Contact.objects.live().filter(email_normalized__in=keys)
    return {_person(contact) for contact in stored.only("email", "first_name", "last_name")}


def _person(contact: Contact) -> tuple[str, str, str] | None:
    """Address and name; None for a contact without address, which is never taken for another."""
    key = email_key(contact.email)
    names = (normalize_name(contact.first_name).casefold(), normalize_name(contact.last_name).casefold())
    return (key, *names) if key else None


def _rows(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, str] | RefusedError]]:
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip().removeprefix("\ufeff") for name in next(reader, [])]
        _check_header(header)
        for values in reader:
            if not values:
                continue
            if len(values) > len(header):
                yield (
                    reader.line_num,
                    refuse(
                        "import.columns",
                        f"The row has {len(values)} values for {len(header)} columns.",
                        fix="Put values with commas in double quotes.",
                    ),
                )
                continue
            yield reader.line_num, dict(zip(header, map(unguarded, values), strict=False))
    except (csv.Error, UnicodeDecodeError) as error:
        raise refuse(
            "import.unreadable",
            f"The file cannot be read as CSV in UTF-8 at line {reader.line_num + 1}.",
            fix="Save it as CSV in UTF-8, with values that hold quotes or line breaks in double quotes.",
        ) from error


def _check_header(header: list[str]) -> None:
    if not any(header):
        raise refuse("import.unreadable", "The file has no header line.", fix="Name the fields in the first line.")
    refusals = [
        Refusal(
            "contact.unknown_field",
            "The header names a field that contacts do not have.",
            name,
            f"Use {', '.join(APP_FIELDS)}, or custom.<key>.",
        )
        for name in header
        if app_field(name) is None
    ]
    refusals += [
        Refusal("import.columns", "The header names this field twice.", name, "Keep one of the columns.")
        for name in sorted({name for name in header if header.count(name) > 1})
    ]
    if refusals:
        raise RefusedError(refusals)
