"""Contacts as CSV, the way ``contact_import`` reads them back: safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Final

from django.db import connection as database

from adsapp_crm.models import Contact
from adsapp_crm.services.contact_search import find_contacts
from adsapp_crm.services.formulas import guarded
from adsapp_crm.services.sensitive import is_sensitive
from adsapp_crm.tenancy import organization_context
from crm.mapping.app_fields import APP_FIELDS, CUSTOM_PREFIX

PAGE_ROWS: Final = 1000
BYTE_ORDER_MARK: Final = "\ufeff"
"""Tells spreadsheets that the file is UTF-8."""


def export_contacts(organization_id: uuid.UUID, asked: Mapping[str, Any], *, hides: bool = False) -> Iterator[str]:
    """The file in pieces: a header of ADSapp's field names, then a line for each contact that ``asked`` finds.

    ``asked`` as of ``find_contacts``; ``hides`` leaves out the sensitive fields. Each piece is read in a transaction
    of its own. Must be called outside ``organization_context``.
    """
    with organization_context(organization_id):
        names = [*APP_FIELDS, *(f"{CUSTOM_PREFIX}{key}" for key in _custom_keys())]
    names = [name for name in names if not (hides and is_sensitive(name))]
    yield BYTE_ORDER_MARK + _lines([names])
    after: uuid.UUID | None = None
    while True:
        with organization_context(organization_id):
            rows = find_contacts(asked)
            rows = rows if after is None else rows.filter(pk__gt=after)
            page = list(rows.order_by("pk")[:PAGE_ROWS])
        if not page:
            return
        yield _lines([[guarded(_text(contact, name)) for name in names] for contact in page])
        after = page[-1].pk


def _custom_keys() -> list[str]:
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT jsonb_object_keys(custom_fields) FROM {Contact._meta.db_table}"  # noqa: S608  a name
            " WHERE organization_id = nullif(current_setting('app.org', true), '')::uuid"
            " AND custom_fields <> '{}' AND erased_at IS NULL"
        )
        return sorted(row[0] for row in cursor.fetchall())


def _text(contact: Contact, name: str) -> str:
    if name.startswith(CUSTOM_PREFIX):
        return _plain(contact.custom_fields.get(name.removeprefix(CUSTOM_PREFIX)))
    return _plain(getattr(contact, APP_FIELDS[name].attribute))


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):
        return value.isoformat()
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def _lines(rows: list[list[str]]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue()
