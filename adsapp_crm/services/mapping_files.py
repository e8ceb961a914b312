"""Mappings as a file: written for another installation or a spreadsheet, read back after a look at what would change.

JSON has the shape that the API's PUT takes. CSV has the same names as columns, with a transform as JSON in its cell.
A file is read whole or refused with the line and the column; nothing is stored before it was judged like any change.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adsapp_crm.models import CrmConnection
from adsapp_crm.services.conflict_rules import wanted_of
from adsapp_crm.services.formulas import guarded, unguarded
from adsapp_crm.services.mapping_changes import MappingQuestion, question_of
from adsapp_crm.services.mappings import (
    MappingsRefusedError,
    WantedMapping,
    current_mappings,
    judge_mappings,
    replace_mappings,
)
from adsapp_crm.services.refusals import Refusal, RefusedError, refuse
from crm.model import AppliesTo

MOST_BYTES: Final = 1_000_000
MOST_ROWS: Final = 500
"""As many as the API takes."""
BYTE_ORDER_MARK: Final = "\ufeff"
"""Tells spreadsheets that the file is UTF-8."""

COLUMNS: Final[Mapping[str, str]] = {
    "recordType": "record_type",
    "adsappField": "app_field",
    "crmField": "remote_field",
    "direction": "direction",
    "transformRule": "transform_rule",
    "blankRule": "blank_rule",
    "strategy": "strategy",
    "drift": "drift",
}
"""Name in the file -> attribute of ``WantedMapping``."""
_NEEDED: Final = ("recordType", "adsappField", "crmField")
_MAY_BE_NULL: Final = frozenset({"transformRule", "strategy", "drift"})
_UNSTORABLE: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000|[\ud800-\udfff]")
"""Half a surrogate, or a NUL as JSON spells it: PostgreSQL holds neither."""
_OF_THE_API: Final = frozenset({"id", "isCustom", "brokenCode", "pending"})
"""What the API's answer says of a row besides; read over."""


@dataclass(frozen=True, slots=True)
class Changed:
    was: WantedMapping
    will: WantedMapping

    @property
    def columns(self) -> tuple[str, ...]:
        """The file's names of what differs."""
        return tuple(name for name, key in COLUMNS.items() if getattr(self.was, key) != getattr(self.will, key))


@dataclass(frozen=True, slots=True)
class MappingDifference:
    added: tuple[WantedMapping, ...]
    removed: tuple[WantedMapping, ...]
    changed: tuple[Changed, ...]
    same: int

    @property
    def changes(self) -> int:
        return len(self.added) + len(self.removed) + len(self.changed)


@dataclass(frozen=True, slots=True)
class MappingImport:
    """What a file would do. ``refusals`` not empty: it cannot be taken, and these say why."""

    wanted: tuple[WantedMapping, ...]
    difference: MappingDifference
    refusals: tuple[Refusal, ...]
    version: int
    """The connection's version that the difference was made from."""
    question: MappingQuestion | None = None
    """What taking it asks: for existing records too?"""


def export_json(connection: CrmConnection) -> str:
    """The current mappings in the API's words, in the current organization's context."""
    rows = [_shape(wanted_of(row)) for row in current_mappings(connection)]
    document = {"crmType": connection.crm_type, "mappings": rows}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def export_csv(connection: CrmConnection) -> str:
    """The current mappings for a spreadsheet, with nothing that it would run."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in current_mappings(connection):
        writer.writerow(guarded(_cell(value)) for value in _shape(wanted_of(row)).values())
    return BYTE_ORDER_MARK + out.getvalue()


def read_mapping_file(content: bytes, crm_type: str) -> list[WantedMapping]:
    """The rows of a JSON or CSV file, not yet judged.

    Raises RefusedError naming line or row: ``import.unreadable``, ``import.columns``, ``import.mapping_file``.
    """
    if len(content) > MOST_BYTES:
        raise refuse("import.mapping_file", "The file is larger than 1 MB.", fix="Mappings of one connection are less.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refuse("import.unreadable", "The file is not UTF-8.", fix="Save it as JSON or CSV in UTF-8.") from error
    read = _json_rows(text, crm_type) if text.lstrip()[:1] in ("{", "[") else _csv_rows(text)
    rows = list(read)
    if len(rows) > MOST_ROWS:
        raise refuse("import.mapping_file", f"The file has more than {MOST_ROWS} rows.", fix="Remove rows.")
    refusals: list[Refusal] = []
    wanted = [_wanted(place, row, refusals) for place, row in rows]
    if refusals:
        raise RefusedError(refusals)
    return [each for each in wanted if each is not None]


def preview_import(connection: CrmConnection, content: bytes, *, keep_others: bool = False) -> MappingImport:
    """What the file would change, storing nothing, in the current organization's context.

    ``keep_others``: pairs that the file does not name stay; else the file is the whole. Raises as
    ``read_mapping_file``; what the judge of mappings says is among ``refusals``.
    """
    wanted = read_mapping_file(content, connection.crm_type)
    rows = current_mappings(connection)
    current = [wanted_of(row) for row in rows]
    if keep_others:
        wanted = _laid_over(current, wanted)
    refusals: tuple[Refusal, ...] = ()
    try:
        judge_mappings(connection, wanted)
    except MappingsRefusedError as error:
        refusals = tuple(_told(each, error.examples, wanted) for each in error.refusals)
    question = question_of(connection, rows, wanted)
    return MappingImport(
        tuple(wanted), compare_mappings(current, wanted), refusals, connection.mapping_version, question
    )


def apply_import(
    connection: CrmConnection, found: MappingImport, *, actor: str, applies_to: AppliesTo | None = None
) -> int:
    """Store what was shown; returns the new version. ``applies_to`` as ``replace_mappings`` takes it.

    Raises RefusedError, and then nothing has changed: ``request.precondition`` when somebody saved mappings since the
    preview, and what ``replace_mappings`` refuses.
    """
    locked = CrmConnection.objects.select_for_update().get(pk=connection.pk)
    if locked.mapping_version != found.version:
        raise refuse(
            "request.precondition",
            f"The mappings are at version {locked.mapping_version}; what was shown was made from {found.version}.",
            fix="Read the file again and look at what it changes now.",
        )
    return replace_mappings(locked, found.wanted, actor=actor, applies_to=applies_to)


def compare_mappings(now: Sequence[WantedMapping], then: Sequence[WantedMapping]) -> MappingDifference:
    """What changes from one set of mappings to the other; a pair of fields is the same pair by its names."""
    before, after = {pair_of(each): each for each in now}, {pair_of(each): each for each in then}
    both = [(before[name], each) for name, each in after.items() if name in before]
    return MappingDifference(
        added=tuple(each for name, each in after.items() if name not in before),
        removed=tuple(each for name, each in before.items() if name not in after),
        changed=tuple(Changed(was, will) for was, will in both if was != will),
        same=sum(was == will for was, will in both),
    )


def version_rows(stored: Sequence[Mapping[str, Any]]) -> list[WantedMapping]:
    """The rows of a stored version, which has them in the API's words."""
    return [WantedMapping(**{key: row[name] for name, key in COLUMNS.items() if name in row}) for row in stored]


def _laid_over(current: Sequence[WantedMapping], wanted: Sequence[WantedMapping]) -> list[WantedMapping]:
    """A pair that the file names twice stays twice, for the judge to refuse."""
    there = {pair_of(each) for each in current}
    named: dict[tuple[str, str, str], list[WantedMapping]] = {}
    for each in wanted:
        named.setdefault(pair_of(each), []).append(each)
    kept = [each for row in current for each in named.get(pair_of(row), [row])]
    return [*kept, *(each for each in wanted if pair_of(each) not in there)]


def pair_of(row: WantedMapping) -> tuple[str, str, str]:
    return row.record_type, row.app_field, row.remote_field


def _shape(row: WantedMapping) -> dict[str, Any]:
    return {name: getattr(row, key) for name, key in COLUMNS.items()}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json_rows(text: str, crm_type: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise refuse("import.unreadable", f"The file is no JSON: line {line}.", fix="Export one to compare.") from error
    if isinstance(document, dict):
        other = document.get("crmType", crm_type)
        if other != crm_type:
            raise refuse(
                "import.mapping_file",
                f"The file holds mappings of another CRM than {crm_type}.",
                field="crmType",
                fix="Open the connection that it was exported from, or change crmType in the file.",
            )
        document = document.get("mappings")
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise refuse(
            "import.mapping_file",
            "There is no list of mappings in the file.",
            field="mappings",
            fix="Export one first.",
        )
    return [
        (f"row {number}", {name: value for name, value in row.items() if name not in _OF_THE_API})
        for number, row in enumerate(document, 1)
    ]


def _csv_rows(text: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header)
        for cells in reader:
            if not any(cells):
                continue
            place = f"line {reader.line_num}"
            if len(cells) > len(header):
                raise refuse(
                    "import.columns",
                    f"{place} has {len(cells)} values for {len(header)} columns.",
                    field=place,
                    fix="Put values with commas in double quotes.",
                )
            yield place, _of_cells(place, dict(zip(header, map(unguarded, cells), strict=False)))
    except csv.Error as error:
        raise refuse(
            "import.unreadable", f"The file cannot be read as CSV at line {reader.line_num}.", fix="Save it as CSV."
        ) from error


def _check_header(header: Sequence[str]) -> None:
    missing = [name for name in _NEEDED if name not in header]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if missing or twice:
        raise refuse(
            "import.mapping_file",
            f"The first line lacks {', '.join(missing)}." if missing else f"The first line names {twice[0]} twice.",
            field="line 1",
            fix=f"Its columns are {', '.join(COLUMNS)}.",
        )


def _of_cells(place: str, row: dict[str, str]) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for name, text in row.items():
        if text == "" and name not in _NEEDED:
            continue
        if name != "transformRule":
            read[name] = text
            continue
        try:
            read[name] = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise refuse(
                "import.mapping_file",
                f"{place}: transformRule is no JSON.",
                field=place,
                fix="Leave it empty for none.",
            ) from error
    return read


def _wanted(place: str, row: Mapping[str, Any], refusals: list[Refusal]) -> WantedMapping | None:
    found = len(refusals)
    refusals += [
        _bad(place, f"{place} names {name[:50]!r}, which mappings do not have.", name)
        for name in row
        if name not in COLUMNS
    ]
    refusals += [_bad(place, f"{place} has no {name}.", name) for name in _NEEDED if not row.get(name)]
    for name, value in row.items():
        kind = dict if name == "transformRule" else str
        if name in COLUMNS and not isinstance(value, kind) and not (value is None and name in _MAY_BE_NULL):
            refusals.append(_bad(place, f"{place}: {name} is not {'an object' if kind is dict else 'text'}.", name))
    if len(refusals) > found:
        return None
    if _UNSTORABLE.search(json.dumps(dict(row), ensure_ascii=False)):
        refusals.append(_bad(place, f"{place} holds characters that no text has.", "transformRule"))
        return None
    return WantedMapping(**{COLUMNS[name]: value for name, value in row.items()})


def _bad(place: str, message: str, name: str) -> Refusal:
    return Refusal("import.mapping_file", message, f"{place} {name[:50]}", f"Use {', '.join(COLUMNS)}.")


def _told(refusal: Refusal, examples: Mapping[str, str], wanted: Sequence[WantedMapping]) -> Refusal:
    """With the pair of fields in place of a number; the value that breaks it stays with who may see contacts."""
    number, _slash, column = refusal.field.removeprefix("/mappings/").partition("/")
    if not number.isdecimal():
        return refusal
    row = wanted[int(number)]
    example = examples.get(refusal.field, "")
    shown = f" Example: {example}" if example else ""
    return Refusal(
        refusal.code, f"{refusal.message}{shown}", f"{row.app_field} and {row.remote_field}, {column}", refusal.fix
    )
