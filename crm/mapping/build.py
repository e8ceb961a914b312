"""From a mapping row and the CRM's description of the field to a ``FieldMap``, or the reason why not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypeVar

from crm.errors import MappingError
from crm.mapping.app_fields import APP_FIELDS, AppField, app_field
from crm.mapping.field_map import FieldMap
from crm.mapping.kinds import Kind
from crm.mapping.rule import TransformRule, parse_rule
from crm.mapping.steps import Law, PhoneE164, Step
from crm.model import BlankRule, Direction, DriftRule, FieldDefinition, Side, Strategy

_FREE: Final = frozenset({Kind.TEXT, Kind.NAME, Kind.URL, Kind.COUNTRY, Kind.CHOICE, Kind.REFERENCE})
_TYPED: Final = frozenset({Kind.NUMBER, Kind.BOOLEAN, Kind.DATE, Kind.DATETIME})
_CUSTOM_KINDS: Final = (Kind.TEXT, Kind.BOOLEAN, Kind.NUMBER, Kind.DATE, Kind.TAGS)


@dataclass(frozen=True, slots=True)
class MappingRow:
    """A row of ``crm_field_mappings`` as it is stored, not yet believed."""

    mapping_id: str
    app_field: str
    remote_field: str
    direction: str = "bidirectional"
    transform_rule: object = None
    blank_rule: str = "propagate"
    strategy: str | None = None
    drift: str | None = None
    definition: str = ""
    """``FieldDefinition.fingerprint`` of the field that was chosen; empty: whatever has the name now."""
    app_kind: str = ""
    """For a custom field: its kind; empty takes the kind that fits the CRM's field."""


@dataclass(frozen=True, slots=True)
class BrokenMapping:
    """Why a row cannot be used; the other rows go on."""

    mapping_id: str
    code: str
    field: str
    message: str
    fix: str
    pointer: str = ""


def build_field_map(row: MappingRow, definition: FieldDefinition | None, region: str = "") -> FieldMap | BrokenMapping:
    """``definition`` is the CRM's description of ``row.remote_field``, None when it has no such field.

    The first rule that the row breaks is returned; ``crm.mapping.lint`` lists all.
    """
    try:
        return _built(row, definition, region)
    except MappingError as error:
        return BrokenMapping(row.mapping_id, error.code, error.field, error.message, error.fix, error.pointer)


def _built(row: MappingRow, definition: FieldDefinition | None, region: str) -> FieldMap:
    ours = app_field(row.app_field)
    if ours is None:
        raise MappingError(
            f"ADSapp has no contact field {row.app_field}",
            code="mapping.unknown_field",
            field=row.app_field,
            fix=f"Choose one of {', '.join(APP_FIELDS)}, or custom.<key>.",
        )
    if definition is None:
        raise MappingError(
            f"The CRM has no field {row.remote_field}, or hides it from this connection",
            code="field.missing",
            field=row.remote_field,
            fix="Create the field in the CRM, give the connection access to it, or map another one.",
        )
    if row.definition and row.definition != definition.fingerprint:
        raise MappingError(
            f"{row.remote_field} is another field now than the one that was mapped",
            code="field.changed",
            field=row.remote_field,
            fix="Look at the mapping and save it again, or map another field.",
        )
    direction = _word(Direction, row.direction, "direction")
    rule = _with_region(parse_rule(row.transform_rule), region)
    remote_kind = Kind.of(definition.kind)
    if definition.multiple and remote_kind is Kind.CHOICE:
        remote_kind = Kind.TAGS
    built = FieldMap(
        mapping_id=row.mapping_id,
        app_field=row.app_field,
        remote_field=row.remote_field,
        direction=direction,
        app_kind=_app_kind(ours, row, rule, remote_kind),
        remote_kind=remote_kind,
        steps=rule.steps,
        starts_at=rule.starts_at,
        blank_rule=_word(BlankRule, row.blank_rule, "blankRule"),
        strategy=_word(Strategy, row.strategy, "strategy") if row.strategy else None,
        drift=_word(DriftRule, row.drift, "drift") if row.drift else None,
        consent=ours.consent,
        definition=definition.fingerprint,
        region=region.upper(),
        app_max_length=ours.max_length,
        remote_max_length=definition.max_length,
        options=tuple(value for value, _ in definition.options) if remote_kind in {Kind.CHOICE, Kind.TAGS} else (),
    )
    check_field_map(built, definition)
    return built


_Word = TypeVar("_Word", Direction, BlankRule, Strategy, DriftRule, Kind)


def _word(words: type[_Word], value: str, name: str) -> _Word:
    try:
        return words(value)
    except ValueError:
        raise MappingError(
            f"{name} has no such value",
            code="mapping.bad_parameter",
            field=name,
            pointer=f"/{name}",
            fix=f"Choose one of {', '.join(word.value for word in words)}.",
        ) from None


def _with_region(rule: TransformRule, region: str) -> TransformRule:
    """A phone step without a region of its own goes by the connection's."""
    steps = tuple(
        replace(step, region=region.upper()) if isinstance(step, PhoneE164) and not step.region else step
        for step in rule.steps
    )
    return replace(rule, steps=steps)


def _app_kind(ours: AppField, row: MappingRow, rule: TransformRule, remote_kind: Kind) -> Kind:
    if not ours.custom:
        return ours.kind
    if row.app_kind:
        return _word(Kind, row.app_kind, "appKind")
    for kind in (remote_kind, *_CUSTOM_KINDS):
        start, end = (kind, remote_kind) if rule.starts_at is Side.APP else (remote_kind, kind)
        out = _flow(rule.steps, start)
        if out is not None and _fits(out, end, converted=bool(rule.steps)):
            return kind
    return ours.kind


def _flow(steps: tuple[Step, ...], kind: Kind) -> Kind | None:
    """The kind that leaves the last step; None when a step does not take what reaches it."""
    current: Kind | None = kind
    for step in steps:
        current = step.gives(current) if current is not None else None
    return current


def _fits(source: Kind, target: Kind, *, converted: bool) -> bool:
    """Whether a value of one kind can be written to a field of the other.

    ``converted``: a step made the value, or it is read from free text; then single values decide.
    """
    if source is target or target in _FREE:
        return source is not Kind.TAGS or target is Kind.TAGS
    if source in _FREE:
        return target in {Kind.EMAIL, Kind.PHONE} or (converted and target in _TYPED)
    return {source, target} == {Kind.DATE, Kind.DATETIME}


def check_field_map(built: FieldMap, definition: FieldDefinition) -> None:
    """Raise ``MappingError`` where the map cannot work with this field, whatever the values."""
    pushes, pulls = built.direction is not Direction.FROM_CRM, built.direction is not Direction.TO_CRM
    if pushes and not definition.writable:
        raise MappingError(
            f"{built.remote_field} is read-only in the CRM",
            code="field.readonly",
            field=built.remote_field,
            fix="Set the direction to from_crm, or map another field.",
        )
    _check_kinds(built, pushes=pushes, pulls=pulls)
    forward = Direction.TO_CRM if built.starts_at is Side.APP else Direction.FROM_CRM
    if built.direction is not forward and built.law() is Law.LOSSY:
        raise MappingError(
            f"The transform of {built.app_field} cannot be undone: {_lossy_steps(built)}",
            code="mapping.not_invertible",
            field=built.app_field,
            pointer="/transformRule",
            fix=_invertible_fix(built),
        )


def _check_kinds(built: FieldMap, *, pushes: bool, pulls: bool) -> None:
    starts_here = built.starts_at is Side.APP
    start, end = (built.app_kind, built.remote_kind) if starts_here else (built.remote_kind, built.app_kind)
    out = _flow(built.steps, start)
    forward, back = (pushes, pulls) if starts_here else (pulls, pushes)
    converted = bool(built.steps)
    bad = out is None
    if out is not None and not built.steps:
        bad = (pushes and not _fits(built.app_kind, built.remote_kind, converted=False)) or (
            pulls and not _fits(built.remote_kind, built.app_kind, converted=True)
        )
    elif out is not None:
        bad = (forward and not _fits(out, end, converted=converted)) or (
            back and not forward and not _fits(end, out, converted=True)
        )
    if bad:
        raise MappingError(
            f"{built.app_field} holds {built.app_kind.value} and {built.remote_field} takes {built.remote_kind.value}",
            code="field.bad_type",
            field=built.remote_field,
            fix="Map a field of the same kind, or add steps that convert between them.",
        )


def _lossy_steps(built: FieldMap) -> str:
    kind: Kind = built.app_kind if built.starts_at is Side.APP else built.remote_kind
    names = []
    for step in built.steps:
        if step.law(kind, built.region) is Law.LOSSY:
            names.append(step.name)
        kind = step.gives(kind) or kind
    return ", ".join(names) or "a time becomes a day"


def _invertible_fix(built: FieldMap) -> str:
    if built.direction is Direction.BIDIRECTIONAL:
        return "Make the mapping one-way, or remove these steps."
    side = Side.APP if built.direction is Direction.TO_CRM else Side.CRM
    return f'Set "starts_at" to "{side.value}" so that the steps run the way the mapping flows.'
