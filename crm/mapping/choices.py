"""Steps that translate a closed list of values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from crm.mapping.kinds import Kind, TransformError, canonical, is_blank
from crm.mapping.steps import MAX_PARAMETER_CHARACTERS, Law, Parameter, Step, scalar_parameter, text_of, text_parameter
from crm.model import Value
from crm.normalize import normalize_text


@dataclass(frozen=True, slots=True)
class ValueMap(Step):
    name = "value_map"
    summary = "Translate a closed list of values; others are refused, or become the default (one-way then)."
    parameters = (
        Parameter(
            "map",
            "pairs",
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1000,
                "propertyNames": {"minLength": 1, "maxLength": MAX_PARAMETER_CHARACTERS},
                "additionalProperties": {"type": "string", "minLength": 1, "maxLength": MAX_PARAMETER_CHARACTERS},
            },
        ),
        text_parameter("default", required=False),
    )
    pairs: tuple[tuple[str, str], ...]
    default: str | None = None
    _there: Mapping[str, str] = field(init=False, repr=False, compare=False)
    _back: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_there", {normalize_text(ours): theirs for ours, theirs in self.pairs})
        object.__setattr__(self, "_back", {normalize_text(theirs): ours for ours, theirs in self.pairs})

    def put(self, value: Value) -> Value:
        found = self._there.get(normalize_text(self._word(value)), self.default)
        if found is None:
            raise _unmapped(self.name)
        return found

    def get(self, value: Value) -> Value:
        if self.law(Kind.TEXT, "") is Law.LOSSY:
            return Step.get(self, value)
        found = self._back.get(normalize_text(self._word(value)))
        if found is None:
            raise _unmapped(self.name)
        return found

    def _word(self, value: Value) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        return text_of(self, value)

    def law(self, kind: Kind, region: str) -> Law:  # noqa: ARG002
        return Law.EXACT if self.default is None and len(self._back) == len(self._there) else Law.LOSSY

    def gives(self, kind: Kind) -> Kind | None:
        return None if kind is Kind.TAGS else Kind.TEXT

    def check(self) -> str:
        if len(self._there) != len(self.pairs) or any(is_blank(part) for pair in self.pairs for part in pair):
            return "two keys of the map are the same, or one is blank"
        return ""


def _unmapped(step: str) -> TransformError:
    return TransformError(
        f"The step {step} does not list this value",
        code="mapping.value_unmapped",
        fix="Add the value to the step's list.",
    )


@dataclass(frozen=True, slots=True)
class BooleanMap(Step):
    name = "boolean_map"
    summary = "Write yes and no as any two values."
    parameters = (scalar_parameter("true", "true_value"), scalar_parameter("false", "false_value"))
    true_value: str | bool | float
    false_value: str | bool | float

    def put(self, value: Value) -> Value:
        answer = canonical(Kind.BOOLEAN, value)
        if not isinstance(answer, bool):
            raise TransformError("The value is no boolean", code="field.bad_type", fix="Correct the value.")
        return self.true_value if answer else self.false_value

    def get(self, value: Value) -> Value:
        word = canonical(Kind.TEXT, value)
        if word == canonical(Kind.TEXT, self.true_value):
            return True
        if word == canonical(Kind.TEXT, self.false_value):
            return False
        raise _unmapped(self.name)

    def law(self, kind: Kind, region: str) -> Law:  # noqa: ARG002
        return Law.EXACT

    def gives(self, kind: Kind) -> Kind | None:
        if kind is not Kind.BOOLEAN:
            return None
        first = self.true_value
        if isinstance(first, bool):
            return Kind.BOOLEAN
        return Kind.TEXT if isinstance(first, str) else Kind.NUMBER

    def check(self) -> str:
        if type(self.true_value) is not type(self.false_value):
            return "the two values are of different types"
        if is_blank(self.true_value) or is_blank(self.false_value):
            return "a blank cannot be told from an empty field"
        if canonical(Kind.TEXT, self.true_value) == canonical(Kind.TEXT, self.false_value):
            return "the two values are the same"
        return ""
