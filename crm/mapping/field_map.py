"""One row of the mapping at work: a field of ours, a field of theirs, and what lies between.

``to_crm`` and ``from_crm`` make the values that are written; ``canonical_app``, ``canonical_crm``
and ``correspond`` compare. A value that cannot be expressed raises ``TransformError``, which
concerns this field of this record only; comparing never raises.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from crm.mapping.kinds import MAX_VALUE_CHARACTERS, Kind, TransformError, canonical, express, is_blank
from crm.mapping.steps import Law, Step
from crm.model import BlankRule, Direction, DriftRule, Side, Strategy, Value

__all__ = ["FieldMap", "Kind", "TransformError", "is_blank"]


@dataclass(frozen=True, slots=True)
class Former:
    """The mapping before it was changed "only from now on", until a complete scan has looked at every record."""

    since: datetime
    """When it was changed, by the database's clock."""
    direction: Direction | None = None
    """None: there was no such mapping."""
    drift: DriftRule | None = None


@dataclass(frozen=True, slots=True)
class FieldMap:
    mapping_id: str
    app_field: str
    """The guide's camelCase name, or ``custom.<key>``."""
    remote_field: str
    direction: Direction
    app_kind: Kind = Kind.TEXT
    remote_kind: Kind = Kind.TEXT
    steps: tuple[Step, ...] = ()
    """In the order they run on a value that leaves ``starts_at``; the other way their inverses run."""
    blank_rule: BlankRule = BlankRule.PROPAGATE
    strategy: Strategy | None = None
    """Overrides the connection's."""
    drift: DriftRule | None = None
    """One-way fields: overrides the connection's."""
    consent: bool = False
    """True means opted out, and opted out wins."""
    definition: str = ""
    """``FieldDefinition.fingerprint``; another one drops the base of this mapping."""
    region: str = ""
    """ISO 3166 country for phone numbers without ``+``."""
    starts_at: Side = Side.APP
    app_max_length: int | None = None
    remote_max_length: int | None = None
    options: tuple[str, ...] = ()
    """Internal values of the CRM's picklist; empty when free."""
    version: int = 0
    """Grows with every change of the mapping's rules; a base pair says which it was agreed under."""
    revisits_before: int = field(default=0, repr=False)
    """Pairs agreed under an earlier version are brought into step: "existing records too"."""
    former: Former | None = field(default=None, repr=False)
    keeps_questions: bool = field(default=False, repr=False)
    """The strategy was changed "only from now on": a question that is open stays a person's to answer."""
    awaits_scan: bool = field(default=False, repr=False)
    """Changed since the last complete scan: the next run looks at every record."""
    _by_fold: dict[str, str] = field(init=False, repr=False, compare=False)
    _plain: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        folds: dict[str, str] = {}
        for option in self.options:
            fold = option.strip().casefold()
            folds[fold] = "" if fold in folds else option
        object.__setattr__(self, "_by_fold", folds)
        plain = not self.steps and self.app_kind is self.remote_kind and not self.options
        object.__setattr__(self, "_plain", plain)

    def to_crm(self, value: Value) -> Value:
        """What the CRM's field is to hold for this value of ours; None is blank.

        Raises ``TransformError`` when the value cannot be expressed there.
        """
        result = express(self.app_kind, value, self.app_field) if self.steps else value
        result = self._run(result, forward=self.starts_at is Side.APP)
        result = express(self.remote_kind, result, self.remote_field)
        if self.options and result is not None:
            result = self._chosen(result)
        return self._fitting(result, self.remote_max_length, self.remote_field)

    def from_crm(self, value: Value) -> Value:
        """What our field is to hold for this value of theirs; None is blank.

        Raises ``TransformError`` when the value cannot be expressed here.
        """
        result = express(self.remote_kind, value, self.remote_field) if self.steps else value
        result = self._run(result, forward=self.starts_at is Side.CRM)
        result = express(self.app_kind, result, self.app_field)
        return self._fitting(result, self.app_max_length, self.app_field)

    def canonical_app(self, value: Value) -> Value:
        """The comparable form of a value of ours; None when blank."""
        return canonical(self.app_kind, value, self.region)

    def canonical_crm(self, value: Value) -> Value:
        """The comparable form of a value of theirs; None when blank."""
        return canonical(self.remote_kind, value, self.region)

    def correspond(self, app_value: Value, crm_value: Value) -> bool:
        """Whether the two values say the same under this mapping, in a direction that it has."""
        if self._plain:
            return self.canonical_app(app_value) == self.canonical_crm(crm_value)
        return (self.direction is not Direction.FROM_CRM and self._pushed_equals(app_value, crm_value)) or (
            self.direction is not Direction.TO_CRM and self._pulled_equals(app_value, crm_value)
        )

    def _pushed_equals(self, app_value: Value, crm_value: Value) -> bool:
        try:
            return self.canonical_crm(self.to_crm(app_value)) == self.canonical_crm(crm_value)
        except TransformError:
            return False

    def _pulled_equals(self, app_value: Value, crm_value: Value) -> bool:
        try:
            return self.canonical_app(self.from_crm(crm_value)) == self.canonical_app(app_value)
        except TransformError:
            return False

    def law(self) -> Law:
        """What the steps' declarations say of the round trip; the weakest step decides."""
        kind = self.app_kind if self.starts_at is Side.APP else self.remote_kind
        weakest = Law.EXACT
        for step in self.steps:
            weakest = min(weakest, step.law(kind, self.region))
            kind = step.gives(kind) or kind
        end = self.remote_kind if self.starts_at is Side.APP else self.app_kind
        if kind is Kind.DATETIME and end is Kind.DATE:
            return Law.LOSSY
        return min(weakest, Law.SAMPLED) if self.options else weakest

    def _run(self, value: Value, *, forward: bool) -> Value:
        steps: Iterable[Step] = self.steps if forward else reversed(self.steps)
        for step in steps:
            if is_blank(value):
                if not step.takes_blank:
                    continue
                value = None
            try:
                value = step.put(value) if forward else step.get(value)
            except TransformError as error:
                error.field = error.field or self.app_field
                raise
            if _size(value) > MAX_VALUE_CHARACTERS:
                raise self._too_long(MAX_VALUE_CHARACTERS, self.app_field)
        return value

    def _chosen(self, value: Value) -> Value:
        if isinstance(value, tuple):
            return tuple(self._option(str(word)) for word in value)
        return self._option(str(value))

    def _option(self, word: str) -> str:
        if word in self.options:
            return word
        option = self._by_fold.get(word.strip().casefold())
        if option:
            return option
        raise TransformError(
            f"{self.remote_field} does not list this value",
            code="field.picklist",
            field=self.remote_field,
            fix="Add the option in the CRM, or a value_map step to the mapping.",
        )

    def _fitting(self, value: Value, max_length: int | None, name: str) -> Value:
        if max_length is not None and isinstance(value, str) and len(value) > max_length:
            raise self._too_long(max_length, name)
        return value

    @staticmethod
    def _too_long(max_length: int, name: str) -> TransformError:
        return TransformError(
            f"The value is longer than the {max_length} characters that {name} takes",
            code="field.too_long",
            field=name,
            fix="Shorten the value, or add a truncate step to a one-way mapping.",
        )


def _size(value: Value) -> int:
    if isinstance(value, str):
        return len(value)
    return sum(map(len, value)) + len(value) if isinstance(value, tuple) else 0
