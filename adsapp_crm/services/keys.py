"""Moving every encrypted value to the first key of FERNET_KEYS, while everything runs.

Values are found by the fields of the models, so that a new encrypted field is covered by existing. A batch is one short
transaction over rows nobody else has locked; rows that were locked get their turn in the next pass. What the first
key opens is left alone, so a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.fernet import InvalidToken, MultiFernet
from django.apps import apps
from django.db import connection as database

from adsapp_crm.fields import EncryptedJSONField, boxes, encryption_box
from adsapp_crm.selectors import organization_ids
from adsapp_crm.tenancy import organization_context

ROWS_A_BATCH: Final = 500
"""Read and written in one transaction: a worker that needs one of these rows waits some milliseconds."""
MAX_PASSES: Final = 20
PAUSE_SECONDS: Final = 0.05
"""Before the next pass, when rows were locked: whoever holds them is done within milliseconds."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that holds encrypted values."""

    table: str
    name: str
    organization: str
    """The column that says whose row it is."""

    @property
    def label(self) -> str:
        return f"{self.table}.{self.name}"


@dataclass(slots=True)
class Rotation:
    """What was done. ``left``: values still under another key; ``lost``: those that no key opens, by column."""

    rotated: int = 0
    current: int = 0
    left: int = 0
    lost: dict[str, int] = field(default_factory=dict)

    @property
    def seen(self) -> int:
        return self.rotated + self.current + self.left + sum(self.lost.values())


@dataclass(slots=True)
class KeyUse:
    """How many values each key opens, by its place in FERNET_KEYS (0 encrypts), and how many none does."""

    by_key: dict[int, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)

    @property
    def retired(self) -> int:
        """Values that need a key other than the first."""
        return sum(count for place, count in self.by_key.items() if place > 0)


def encrypted_columns() -> tuple[Column, ...]:
    """Every column of every model that holds encrypted values."""
    return tuple(
        Column(
            model._meta.db_table, found.column or found.name, "organization_id" if _has_organization(model) else "id"
        )
        for model in apps.get_app_config("adsapp_crm").get_models()
        for found in model._meta.concrete_fields
        if isinstance(found, EncryptedJSONField)
    )


def rotate_values(*, progress: Callable[[int, int], None] | None = None, rows_a_batch: int = ROWS_A_BATCH) -> Rotation:
    """Re-encrypt what another key than the first encrypted. Safe to kill, and to run twice at once.

    ``progress`` is told (values seen in this pass, values re-encrypted) after each batch. A row that stays locked
    through all passes is counted as ``left``. Must be called outside ``organization_context``.
    """
    first, every = boxes()[0], encryption_box()
    rotated = 0
    for _ in range(MAX_PASSES):
        this = Rotation(rotated=rotated)
        for organization_id, batch in _batches(rows_a_batch):
            _rotate_batch(organization_id, batch, first, every, this)
            if progress is not None:
                progress(this.seen - rotated, this.rotated)
        rotated = this.rotated
        if not this.left:
            break
        time.sleep(PAUSE_SECONDS)
    return this


def count_by_key() -> KeyUse:
    """Which keys are in use; changes nothing. A key may be dropped from FERNET_KEYS when it opens no value."""
    single = boxes()
    use = KeyUse(dict.fromkeys(range(len(single)), 0))
    for _organization, batch in _batches(ROWS_A_BATCH):
        for column, _row_id, value in batch:
            place = next((place for place, box in enumerate(single) if _opens(box, value)), None)
            if place is None:
                use.lost[column.label] = use.lost.get(column.label, 0) + 1
            else:
                use.by_key[place] += 1
    return use


_Value = tuple[Column, uuid.UUID, bytes]


def _batches(size: int) -> Iterator[tuple[uuid.UUID, list[_Value]]]:
    """All encrypted values, an organization and at most ``size`` at a time, each batch read in a transaction."""
    columns = encrypted_columns()
    union = " UNION ALL ".join(
        f"SELECT {number} AS place, id, {each.name} AS value FROM {each.table}"  # noqa: S608  names of our own models
        f" WHERE {each.organization} = %(organization)s AND {each.name} IS NOT NULL"
        for number, each in enumerate(columns)
    )
    statement = (
        f"SELECT place, id, value FROM ({union}) AS found"  # noqa: S608
        " WHERE (place, id) > (%(place)s, %(id)s) ORDER BY place, id LIMIT %(size)s"
    )
    for organization_id in organization_ids():
        after: tuple[int, uuid.UUID] = (-1, uuid.UUID(int=0))
        while True:
            with organization_context(organization_id), database.cursor() as cursor:
                cursor.execute(
                    statement, {"organization": organization_id, "place": after[0], "id": after[1], "size": size}
                )
                rows = cursor.fetchall()
            if rows:
                yield organization_id, [(columns[place], row_id, bytes(value)) for place, row_id, value in rows]
            if len(rows) < size:
                break
            after = (rows[-1][0], rows[-1][1])


def _rotate_batch(
    organization_id: uuid.UUID, batch: Sequence[_Value], first: MultiFernet, every: MultiFernet, done: Rotation
) -> None:
    stale: dict[Column, list[uuid.UUID]] = {}
    for column, row_id, value in batch:
        if _opens(first, value):
            done.current += 1
        elif _opens(every, value):
            stale.setdefault(column, []).append(row_id)
        else:
            done.lost[column.label] = done.lost.get(column.label, 0) + 1
    if not stale:
        return
    with organization_context(organization_id), database.cursor() as cursor:
        for column, ids in stale.items():
            done.left += len(ids) - _rotate_rows(cursor, organization_id, column, ids, first, every, done)


def _rotate_rows(
    cursor: Any,
    organization_id: uuid.UUID,
    column: Column,
    ids: list[uuid.UUID],
    first: MultiFernet,
    every: MultiFernet,
    done: Rotation,
) -> int:
    """How many rows were free; each is read again under its lock, since it may have been written meanwhile."""
    cursor.execute(
        f"SELECT id, {column.name} FROM {column.table} WHERE {column.organization} = %s AND id = ANY(%s)"  # noqa: S608
        " FOR UPDATE SKIP LOCKED",
        (organization_id, ids),
    )
    rows = [(row_id, bytes(value) if value is not None else None) for row_id, value in cursor.fetchall()]
    changed = {
        row_id: every.rotate(value)
        for row_id, value in rows
        if value is not None and not _opens(first, value) and _opens(every, value)
    }
    if changed:
        cursor.execute(
            f"UPDATE {column.table} AS kept SET {column.name} = new.value"  # noqa: S608
            " FROM unnest(%s::uuid[], %s::bytea[]) AS new(id, value)"
            f" WHERE kept.{column.organization} = %s AND kept.id = new.id",
            (list(changed), list(changed.values()), organization_id),
        )
    done.rotated += len(changed)
    done.current += len(rows) - len(changed)
    return len(rows)


def _opens(box: MultiFernet, value: bytes) -> bool:
    try:
        box.decrypt(value)
    except InvalidToken:
        return False
    return True


def _has_organization(model: Any) -> bool:
    return any(each.column == "organization_id" for each in model._meta.concrete_fields)
