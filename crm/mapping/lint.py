"""Says before the first sync what a mapping would do wrong, with the value that proves it.

A round trip is proven from the steps' declared laws; where these leave it open, or where a field's
length or options decide, it is tried on real values of both sides. ``example`` holds such a value:
show it to the people who may see contacts, never log it.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from crm.mapping.build import BrokenMapping, MappingRow, build_field_map
from crm.mapping.field_map import FieldMap
from crm.mapping.kinds import TransformError, is_blank
from crm.mapping.steps import Law
from crm.model import Direction, FieldDefinition, Value

MAX_EXAMPLE_CHARACTERS = 120


class Severity(enum.StrEnum):
    ERROR = "error"
    """The mapping is refused."""
    WARNING = "warning"
    """The mapping works, single values do not."""
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    code: str
    severity: Severity
    field: str
    message: str
    fix: str
    example: str = ""
    mapping_id: str = ""
    pointer: str = ""


@dataclass(frozen=True, slots=True)
class Samples:
    """Real values to try, by field name of each side."""

    app: Mapping[str, Sequence[Value]] = field(default_factory=dict)
    crm: Mapping[str, Sequence[Value]] = field(default_factory=dict)


def lint(
    rows: Sequence[MappingRow],
    definitions: Mapping[str, FieldDefinition],
    samples: Samples | None = None,
    region: str = "",
) -> list[Finding]:
    """Every finding over the rows of one connection and object; empty when all is well.

    ``definitions``: the CRM's description by field name.
    """
    samples = samples or Samples()
    findings: list[Finding] = []
    for row in rows:
        built = build_field_map(row, definitions.get(row.remote_field), region)
        if isinstance(built, BrokenMapping):
            findings.append(_broken(built))
        else:
            findings += lint_field_map(built, samples)
    return findings + _two_writers(rows)


def _broken(reason: BrokenMapping) -> Finding:
    return Finding(
        code=reason.code,
        severity=Severity.ERROR,
        field=reason.field,
        message=reason.message,
        fix=reason.fix,
        mapping_id=reason.mapping_id,
        pointer=reason.pointer,
    )


def _two_writers(rows: Sequence[MappingRow]) -> list[Finding]:
    writers: defaultdict[tuple[str, str], list[MappingRow]] = defaultdict(list)
    for row in rows:
        if row.direction != Direction.FROM_CRM:
            writers["the CRM", row.remote_field].append(row)
        if row.direction != Direction.TO_CRM:
            writers["ADSapp", row.app_field].append(row)
    findings = []
    for (side, name), several in writers.items():
        for row in several[1:]:
            other = several[0].app_field if side == "the CRM" else several[0].remote_field
            findings.append(
                Finding(
                    code="mapping.two_writers",
                    severity=Severity.ERROR,
                    field=name,
                    message=f"{name} in {side} is already written by the mapping of {other}",
                    fix="Remove one of the two mappings, or let only one of them write this field.",
                    mapping_id=row.mapping_id,
                )
            )
    return findings


def lint_field_map(built: FieldMap, samples: Samples) -> list[Finding]:
    """What real values show about one usable mapping."""
    ours = [value for value in samples.app.get(built.app_field, ()) if not is_blank(value)]
    theirs = [value for value in samples.crm.get(built.remote_field, ()) if not is_blank(value)]
    pushes, pulls = built.direction is not Direction.FROM_CRM, built.direction is not Direction.TO_CRM
    findings: list[Finding] = []
    if pushes:
        findings += _refused(built, ours, to_crm=True)
    if pulls:
        findings += _refused(built, theirs, to_crm=False)
    if pushes and pulls:
        findings += _round_trip(built, ours, theirs)
    return findings


def _refused(built: FieldMap, values: Sequence[Value], *, to_crm: bool) -> list[Finding]:
    first: tuple[TransformError, Value] | None = None
    count = 0
    for value in values:
        try:
            built.to_crm(value) if to_crm else built.from_crm(value)
        except TransformError as refusal:
            count += 1
            first = first or (refusal, value)
    if first is None:
        return []
    error, value = first
    return [
        Finding(
            code=error.code,
            severity=Severity.WARNING,
            field=error.field,
            message=f"{error.message} ({count} of {len(values)} values tried)",
            fix=error.fix,
            example=_shown(value),
            mapping_id=built.mapping_id,
        )
    ]


def _round_trip(built: FieldMap, ours: Sequence[Value], theirs: Sequence[Value]) -> list[Finding]:
    tried = 0
    for value, theirs_first in [*((value, False) for value in ours), *((value, True) for value in theirs)]:
        try:
            start = built.from_crm(value) if theirs_first else value
            put = built.to_crm(start)
            back = built.from_crm(put)
        except TransformError:
            continue
        tried += 1
        if built.canonical_app(back) != built.canonical_app(start):
            path = f"{_shown(start)} -> {_shown(put)} -> {_shown(back)}"
            return [_breaks(built, f"{_shown(value)} -> {path}" if theirs_first else path)]
    if built.law() is Law.EXACT:
        return []
    held = f"it held for {tried} values tried" if tried else "no values were there to try it"
    return [
        Finding(
            code="mapping.round_trip",
            severity=Severity.INFO if tried else Severity.WARNING,
            field=built.app_field,
            message=f"Whether a value comes back unchanged depends on the value; {held}",
            fix="Nothing to do; make the mapping one-way if you expect other values."
            if tried
            else "Try the mapping on a few contacts first, or make it one-way.",
            mapping_id=built.mapping_id,
        )
    ]


def _breaks(built: FieldMap, example: str) -> Finding:
    return Finding(
        code="mapping.round_trip",
        severity=Severity.ERROR,
        field=built.app_field,
        message="A value does not come back from the CRM as it was sent there",
        fix="Make the mapping one-way, or change its steps.",
        example=example,
        mapping_id=built.mapping_id,
    )


def _shown(value: Value) -> str:
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= MAX_EXAMPLE_CHARACTERS else text[: MAX_EXAMPLE_CHARACTERS - 1] + "…"
