"""The rows of one organization as PostgreSQL holds them, in the form in which the memory's tables hold theirs.

Read whole and anew after every write: what is judged is what was committed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.db import connection as database

from adsapp_crm.storage import codec
from adsapp_crm.storage.applying import INTENT_COLUMNS, intent_of
from adsapp_crm.storage.contacts import CONTACT_COLUMNS, CONTACT_WIDTH, contact_of
from adsapp_crm.storage.journal import LEDGER_COLUMNS, entry_of
from adsapp_crm.storage.links import LINK_COLUMNS, link_of
from adsapp_crm.storage.planning import LINE_COLUMNS, line_of
from adsapp_crm.tenancy import organization_context
from crm.mapping.app_fields import APP_FIELDS, CUSTOM_PREFIX
from crm.model import (
    AppContact,
    ConflictDraft,
    ConflictKind,
    Intent,
    IntentStatus,
    LedgerEntry,
    Link,
    Resolution,
    Value,
)
from crm.testing.memory_app import ContactChange, ContactRow
from crm.testing.memory_state import ConflictRow, LineRow

_NAMES = {each.attribute: each.name for each in APP_FIELDS.values()}
_PULLED = "pull:"

_CONTACTS = f"""
SELECT {CONTACT_COLUMNS}, coalesce(c.email_normalized, ''), coalesce(c.phone_normalized, '')
FROM contacts c WHERE c.organization_id = %s ORDER BY c.id
"""
_CHANGES = """
SELECT h.contact_id::text, h.version, h.at, h.origin, h.changes
FROM contact_changes h WHERE h.organization_id = %s ORDER BY h.at, h.contact_id, h.version
"""
_LINKS = f"SELECT {LINK_COLUMNS} FROM crm_sync_state l WHERE l.connection_id = %s ORDER BY l.id"
_LINES = f"""
SELECT {LINE_COLUMNS}, l.plan_id::text FROM crm_plan_lines l JOIN crm_plans p ON p.id = l.plan_id
WHERE p.connection_id = %s ORDER BY l.id
"""
_CONFLICTS = """
SELECT q.id::text, coalesce(q.link_id::text, ''), coalesce(q.contact_id::text, ''), q.record_type, q.remote_id, q.kind,
       q.mapping_id, q.app_field, q.values, q.code, q.candidates, q.resolution, q.status
FROM crm_conflicts q WHERE q.connection_id = %s ORDER BY q.id
"""
_LEDGER = f"""
SELECT coalesce(e.run_id::text, ''), {LEDGER_COLUMNS} FROM crm_ledger e WHERE e.connection_id = %s ORDER BY e.id
"""
_INTENTS = f"SELECT {INTENT_COLUMNS} FROM crm_intents i WHERE i.connection_id = %s ORDER BY i.id"
_CURSORS = "SELECT k.cursors FROM crm_connections k WHERE k.id = %s"


@dataclass
class People:
    """The app's side."""

    rows: dict[str, ContactRow] = field(default_factory=dict)
    changes: dict[tuple[str, int], ContactChange] = field(default_factory=dict)


@dataclass
class Intents:
    intents: dict[str, Intent]

    def open_intents(self) -> list[Intent]:
        return [each for each in self.intents.values() if each.status in (IntentStatus.SENT, IntentStatus.UNKNOWN)]


@dataclass
class Tables:
    """One connection's, under the names of ``ConnectionState``."""

    links: dict[str, Link]
    lines: dict[str, LineRow]
    conflicts: dict[str, ConflictRow]
    ledger: dict[int, tuple[str, LedgerEntry]]
    cursors: dict[str, datetime]
    locks: Intents


def read_people(organization_id: str, names: dict[str, str]) -> People:
    """``names``: connection id -> the account's name, which stands for its pulls."""
    with _reading(organization_id) as ask:
        rows = ask(_CONTACTS, organization_id)
        changes = ask(_CHANGES, organization_id)
    people = People()
    for row in rows:
        contact = contact_of(row[:CONTACT_WIDTH])
        people.rows[contact.contact_id] = ContactRow(contact, *row[CONTACT_WIDTH:])
    for contact_id, version, at, origin, fields in changes:
        by = names[origin.removeprefix(_PULLED)] if origin.startswith(_PULLED) else origin
        people.changes[contact_id, version] = ContactChange(contact_id, version, at, by, dict(_fields(fields)))
    for row in people.rows.values():
        _complete_birth(people, row.contact)
    return people


def _complete_birth(people: People, contact: AppContact) -> None:
    """The history leaves out what a new contact holds ``false``: it follows from what came later, or is still there.

    Columns are false from the beginning, whoever makes the contact; only a custom field says that somebody entered it.
    """
    birth, held = people.changes[contact.contact_id, 1], dict(contact.values)
    for version in range(contact.version, 1, -1):
        change = people.changes[contact.contact_id, version]
        held.update({name: before for name, (before, _) in change.fields.items()})
    falsehoods = [name for name, value in held.items() if value is False and name.startswith(CUSTOM_PREFIX)]
    missing: dict[str, tuple[Value, Value]] = {name: (None, False) for name in falsehoods if name not in birth.fields}
    people.changes[contact.contact_id, 1] = replace(birth, fields={**birth.fields, **missing})


def read_tables(organization_id: str, connection_id: str) -> Tables:
    with _reading(organization_id) as ask:
        links = [link_of(row) for row in ask(_LINKS, connection_id)]
        lines = [LineRow(line_of(row[:-1]), row[-1], "") for row in ask(_LINES, connection_id)]
        conflicts = [_conflict(row) for row in ask(_CONFLICTS, connection_id)]
        ledger = [(row[0], entry_of(row[1:])) for row in ask(_LEDGER, connection_id)]
        intents = [intent_of(row) for row in ask(_INTENTS, connection_id)]
        ((cursors,),) = ask(_CURSORS, connection_id)
    return Tables(
        links={each.link_id: each for each in links},
        lines={each.line.line_id: each for each in lines},
        conflicts={each.conflict_id: each for each in conflicts},
        ledger=dict(enumerate(ledger)),
        cursors={name: datetime.fromisoformat(text) for name, text in json.loads(cursors).items()},
        locks=Intents({each.intent_id: each for each in intents}),
    )


@contextmanager
def _reading(organization_id: str) -> Iterator[Any]:
    """A function that answers a statement with its rows, inside one transaction of the organization."""
    with organization_context(organization_id), database.cursor() as cursor:

        def ask(statement: str, parameter: str) -> list[tuple[Any, ...]]:
            cursor.execute(statement, [parameter])
            return list(cursor.fetchall())

        yield ask


def _fields(document: str) -> Iterator[tuple[str, tuple[Value, Value]]]:
    """App field -> (before, after); the life of a contact is no field."""
    for attribute, (before, after) in json.loads(document).items():
        name = attribute if attribute.startswith(CUSTOM_PREFIX) else _NAMES.get(attribute)
        if name is not None:
            yield name, (_value(before), _value(after))


def _value(document: Any) -> Value:
    value: Value = codec.decode_value(document)
    return None if value == "" else value


def _conflict(row: tuple[Any, ...]) -> ConflictRow:
    values, resolution = codec.decode_values(json.loads(row[8])), row[11] and json.loads(row[11])
    draft = ConflictDraft(
        kind=ConflictKind(row[5]), mapping_id=row[6], app_field=row[7], base_app=values.get("baseApp"),
        base_crm=values.get("baseCrm"), agreed="baseApp" in values, app_value=values.get("app"),
        crm_value=values.get("crm"), code=row[9], candidates=tuple(json.loads(row[10])),
    )  # fmt: skip
    answer = codec.decode(Resolution, resolution) if resolution else None
    return ConflictRow(*row[:5], draft, answer, closed=row[12] == "closed")
