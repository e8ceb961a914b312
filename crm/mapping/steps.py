"""Named steps that convert a value, each with its inverse or the word that it has none.

A step converts forward with ``put`` and back with ``get``. Its ``law`` says what is known of the
round trip without trying it:

* ``EXACT``: ``get(put(a))`` equals ``a`` in canonical form for every ``a`` that ``put`` accepts;
* ``SAMPLED``: it depends on the values, so real ones have to be tried;
* ``LOSSY``: ``put`` forgets something, so the step can only run one way.

What a step cannot express it refuses with ``TransformError``; it never guesses.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from crm.mapping.kinds import Kind, TransformError, canonical, is_blank
from crm.model import Value
from crm.normalize import phone_key

MAX_PARAMETER_CHARACTERS: Final = 500
SEPARATOR_PATTERN: Final = r"^\s*[^\s]\s*$"


class Law(enum.IntEnum):
    LOSSY = 0
    SAMPLED = 1
    EXACT = 2


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a step as JSON has it; ``schema`` is its JSON Schema."""

    name: str
    attribute: str
    schema: Mapping[str, Any]
    required: bool = True


def text_parameter(name: str, attribute: str = "", *, required: bool = True, **more: Any) -> Parameter:
    schema = {"type": "string", "minLength": 1, "maxLength": MAX_PARAMETER_CHARACTERS, **more}
    return Parameter(name, attribute or name, schema, required)


def scalar_parameter(name: str, attribute: str = "") -> Parameter:
    return Parameter(
        name, attribute or name, {"type": ["string", "number", "boolean"], "maxLength": MAX_PARAMETER_CHARACTERS}
    )


@dataclass(frozen=True, slots=True)
class Step:
    """Base of all steps; a step is a value, compared by its parameters."""

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    takes_blank: ClassVar[bool] = False

    def put(self, value: Value) -> Value:
        """Forward. Blank reaches only the steps with ``takes_blank``."""
        raise NotImplementedError

    def get(self, value: Value) -> Value:  # noqa: ARG002
        """Back. A lossy step has none and raises ``TransformError``."""
        raise TransformError(
            f"The step {self.name} has no inverse",
            code="mapping.not_invertible",
            fix="Make the mapping one-way, or remove the step.",
        )

    def law(self, kind: Kind, region: str) -> Law:  # noqa: ARG002
        """What is known of the round trip of a value of this kind."""
        return Law.LOSSY

    def gives(self, kind: Kind) -> Kind | None:
        """The kind of what ``put`` makes of a value of ``kind``; None when it does not take such values."""
        return None if kind in _NOT_TEXT else kind

    def check(self) -> str:
        """Why these parameters do not go together; empty when they do."""
        return ""


_NOT_TEXT: Final = frozenset({Kind.TAGS, Kind.BOOLEAN})


def text_of(step: Step, value: Value) -> str:
    """The value as text for a step that works on text."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(canonical(Kind.NUMBER, value))
    raise TransformError(
        f"The step {step.name} works on text",
        code="field.bad_type",
        fix="Put a join or boolean_map step before it.",
    )


@dataclass(frozen=True, slots=True)
class Trim(Step):
    name = "trim"
    summary = "Remove blanks at both ends."

    def put(self, value: Value) -> Value:
        return text_of(self, value).strip()

    def get(self, value: Value) -> Value:
        return value

    def law(self, kind: Kind, region: str) -> Law:  # noqa: ARG002
        return Law.EXACT


@dataclass(frozen=True, slots=True)
class Case(Step):
    name = "case"
    summary = "Write in lower, upper or title case."
    parameters = (Parameter("to", "to", {"enum": ["lower", "upper", "title"]}),)
    to: str

    def put(self, value: Value) -> Value:
        text = text_of(self, value)
        if self.to == "lower":
            return text.lower()
        return text.upper() if self.to == "upper" else text.title()

    def get(self, value: Value) -> Value:
        return value

    def law(self, kind: Kind, region: str) -> Law:  # noqa: ARG002
        """Case counts everywhere but in e-mail, where Unicode still has letters that do not come back."""
        return Law.SAMPLED if kind in {Kind.EMAIL, Kind.COUNTRY, Kind.NUMBER, Kind.PHONE, Kind.DATE} else Law.LOSSY


@dataclass(frozen=True, slots=True)
class PhoneE164(Step):
    name = "phone_e164"
    summary = "Write a phone number as E.164; what is no number stays as it is."
    parameters = (text_parameter("region", required=False, pattern="^[A-Za-z]{2}$"),)
    region: str = ""

    def put(self, value: Value) -> Value:
        text = text_of(self, value)
        return phone_key(text, self.region) or text

    def get(self, value: Value) -> Value:
        return value

    def law(self, kind: Kind, region: str) -> Law:
        if kind is not Kind.PHONE:
            return Law.LOSSY
        return Law.EXACT if self.region.upper() == region.upper() else Law.SAMPLED


@dataclass(frozen=True, slots=True)
class Prefix(Step):
    name = "prefix"
    summary = "Put a text before the value; on the way back it must be there and is taken off."
    parameters = (text_parameter("text", pattern=r"\S"),)
    text: str

    def put(self, value: Value) -> Value:
        return self.text + text_of(self, value)

    def get(self, value: Value) -> Value:
        text = text_of(self, value)
        rest = text.removeprefix(self.text)
        if rest == text or is_blank(rest):
            raise _affix_missing("begin", self.text)
        return rest

    def law(self, kind: Kind, region: str) -> Law:  # noqa: ARG002
        return Law.EXACT

    def gives(self, kind: Kind) -> Kind | None:
        return None if kind in _NOT_TEXT else Kind.TEXT


@dataclass(frozen=True, slots=True)
class Suffix(Step):
    name = "suffix"
    summary = "Put a text behind the value; on the way back it must be there and is taken off."
    parameters = (text_parameter("text", pattern=r"\S"),)
    text: str

    def put(self, value: Value) -> Value:
        return text_of(self, value) + self.text

    def get(self, value: Value) -> Value:
        text = text_of(self, value)
        rest = text.removesuffix(self.text)
        if rest == text or is_blank(rest):
            raise _affix_missing("end", self.text)
        return rest

    def law(self, kind: Kind, region: str) -> Law:  # noqa: ARG002
        return Law.EXACT

    def gives(self, kind: Kind) -> Kind | None:
        return None if kind in _NOT_TEXT else Kind.TEXT


def _affix_missing(where: str, affix: str) -> TransformError:
    return TransformError(
        f"The value does not {where} with {affix!r}",
        code="mapping.affix_missing",
        fix="Correct the value in the CRM, or remove the step.",
    )


@dataclass(frozen=True, slots=True)
class Split(Step):
    name = "split"
    summary = "Make a list of a text; the inverse is join."
    parameters = (text_parameter("separator", pattern=SEPARATOR_PATTERN),)
    separator: str

    def put(self, value: Value) -> Value:
        words = (word.strip() for word in text_of(self, value).split(self.separator.strip()))
        return tuple(word for word in words if word) or None

    def get(self, value: Value) -> Value:
        return Join(separator=self.separator).put(value)

    def law(self, kind: Kind, region: str) -> Law:  # noqa: ARG002
        """Order, repetition and blanks round the separator do not come back."""
        return Law.SAMPLED

    def gives(self, kind: Kind) -> Kind | None:
        return None if kind in _NOT_TEXT else Kind.TAGS


@dataclass(frozen=True, slots=True)
class Join(Step):
    name = "join"
    summary = "Make one text of a list; the inverse is split."
    parameters = (text_parameter("separator", pattern=SEPARATOR_PATTERN),)
    separator: str

    def put(self, value: Value) -> Value:
        words = value if isinstance(value, tuple | list) else (text_of(self, value),)
        mark = self.separator.strip()
        for word in words:
            if mark in str(word):
                raise TransformError(
                    f"A word of the list contains the separator {mark!r}",
                    code="mapping.value_refused",
                    fix="Choose a separator that no word contains.",
                )
        return self.separator.join(str(word) for word in words if not is_blank(word)) or None

    def get(self, value: Value) -> Value:
        return Split(separator=self.separator).put(value)

    def law(self, kind: Kind, region: str) -> Law:  # noqa: ARG002
        return Law.EXACT if kind is Kind.TAGS else Law.SAMPLED

    def gives(self, kind: Kind) -> Kind | None:
        return Kind.TEXT if kind is Kind.TAGS else None


@dataclass(frozen=True, slots=True)
class Default(Step):
    name = "default"
    summary = "Send this where the value is blank. One-way."
    parameters = (scalar_parameter("value"),)
    takes_blank = True
    value: str | bool | float

    def put(self, value: Value) -> Value:
        return self.value if is_blank(value) else value

    def gives(self, kind: Kind) -> Kind | None:
        return kind


@dataclass(frozen=True, slots=True)
class Constant(Step):
    name = "constant"
    summary = "Send always this. One-way."
    parameters = (scalar_parameter("value"),)
    takes_blank = True
    value: str | bool | float

    def put(self, value: Value) -> Value:  # noqa: ARG002
        return self.value

    def gives(self, kind: Kind) -> Kind | None:  # noqa: ARG002
        if isinstance(self.value, bool):
            return Kind.BOOLEAN
        return Kind.TEXT if isinstance(self.value, str) else Kind.NUMBER


@dataclass(frozen=True, slots=True)
class Truncate(Step):
    name = "truncate"
    summary = "Cut to a length; a cut text ends with the mark. One-way."
    parameters = (
        Parameter("length", "length", {"type": "integer", "minimum": 1, "maximum": 65_536}),
        Parameter("mark", "mark", {"type": "string", "maxLength": 10}, required=False),
    )
    length: int
    mark: str = "…"

    def put(self, value: Value) -> Value:
        text = text_of(self, value)
        return text if len(text) <= self.length else text[: self.length - len(self.mark)] + self.mark

    def check(self) -> str:
        return "the mark is longer than the text may be" if len(self.mark) >= self.length else ""
