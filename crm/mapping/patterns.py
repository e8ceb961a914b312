"""Steps whose behaviour is written by a person: patterns and expressions, all one-way and bounded.

Patterns run on RE2, which is linear in the text and knows no backreferences. Expressions are CEL
without what makes CEL expensive: no macros (three nested ``map`` take seconds), no functions that
grow their input, few concatenations (each copies its operands). What they take is bounded, so that
no value takes longer than 50 ms.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import cel
import re2

from crm.mapping.kinds import Kind, TransformError
from crm.mapping.steps import Parameter, Step, text_of, text_parameter
from crm.model import Value
from crm.normalize import sanitize_text

MAX_PATTERN_MEMORY_BYTES: Final = 1 << 20
MAX_PATTERN_SIZE: Final = 2_000
"""Instructions of the compiled pattern; ``{500}`` on a class of letters makes thousands."""
MAX_SEARCH_WORK: Final = 1_500_000
"""Bytes of text times instructions for one search. RE2's slowest engine was measured at 15 ns for each: 23 ms."""
MAX_REPLACEMENTS: Final = 1_000
MAX_REPLACE_SECONDS: Final = 0.02
"""Processor time of this thread after which a replacement stops: every match may look ahead to the end."""

MAX_EXPRESSION_CHARACTERS: Final = 500
MAX_EXPRESSION_INPUT_CHARACTERS: Final = 8_192
MAX_CONCATENATIONS: Final = 20
MAX_INTEGER: Final = 2**63 - 1
"""CEL's int is 64 bits; a larger number is handed over as a double."""

_FAILURES: Final = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)

_MACROS: Final = frozenset({"all", "exists", "exists_one", "filter", "map", "existsOne", "transformList", "bind"})
_FUNCTIONS: Final = frozenset({"size", "contains", "startsWith", "endsWith", "string", "int", "double"})
_OPERATOR: Final = re.compile(r"^[^A-Za-z]*(?:in)?[^A-Za-z]*$")
_LITERAL: Final = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'")
_UNUSUAL: Final = re.compile(r"//|[`\\']|\"{3}|[A-Za-z_0-9]\"\"")
"""What would let the search for macros and CEL's parser disagree on where a text ends."""
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")


def _options() -> Any:
    options = re2.Options()
    options.max_mem = MAX_PATTERN_MEMORY_BYTES
    options.log_errors = False
    return options


@lru_cache(maxsize=1_024)
def compile_pattern(pattern: str) -> Any:
    """An RE2 pattern. Raises ``ValueError`` with RE2's reason."""
    try:
        compiled = re2.compile(pattern, _options())
    except (re2.error, UnicodeError) as error:
        reason = error.args[0] if error.args else "the pattern is not understood"
        raise ValueError(reason.decode() if isinstance(reason, bytes) else str(reason)) from None
    if compiled.programsize > MAX_PATTERN_SIZE:
        raise ValueError("it is too large once its repetitions are written out")
    return compiled


@lru_cache(maxsize=1_024)
def compile_expression(source: str) -> Any:
    """A CEL program over the one variable ``value``. Raises ``ValueError`` with the rule that it breaks."""
    code = _LITERAL.sub('""', source)
    if _UNUSUAL.search(code):
        raise ValueError("comments, raw texts and unusual quotes are not allowed")
    if code.count("+") > MAX_CONCATENATIONS:
        raise ValueError(f"there are more than {MAX_CONCATENATIONS} signs of +")
    macro = next((word for word in _WORD.findall(code) if word in _MACROS), None)
    if macro:
        raise ValueError(f"{macro} is not allowed, since it loops")
    try:
        program = cel.compile(source)
        references = program.references()
    except _FAILURES as error:
        raise ValueError(str(error).splitlines()[0]) from None
    for name in references["variables"]:
        if name != "value":
            raise ValueError(f"{name} is not known; the only variable is value")
    for name in references["functions"]:
        if name not in _FUNCTIONS and not _OPERATOR.match(name):
            raise ValueError(f"the function {name} is not allowed; allowed are {', '.join(sorted(_FUNCTIONS))}")
    return program


@dataclass(frozen=True, slots=True)
class RegexReplace(Step):
    name = "regex_replace"
    summary = "Replace every match of an RE2 pattern. One-way."
    parameters = (
        text_parameter("pattern"),
        Parameter("with", "replacement", {"type": "string", "maxLength": 200}),
    )
    pattern: str
    replacement: str

    def put(self, value: Value) -> Value:
        text, pattern = _searchable(self, value, self.pattern)
        pieces: list[str] = []
        end = 0
        stop = time.thread_time() + MAX_REPLACE_SECONDS
        for count, match in enumerate(pattern.finditer(text)):
            if count == MAX_REPLACEMENTS or time.thread_time() > stop:
                raise TransformError(
                    f"The pattern matches more than {MAX_REPLACEMENTS} times, or takes too long",
                    code="mapping.too_large",
                    fix="Write a pattern that matches longer pieces.",
                )
            pieces += (text[end : match.start()], self.replacement)
            end = match.end()
        return "".join(pieces) + text[end:]

    def check(self) -> str:
        return _reason(self.pattern)


@dataclass(frozen=True, slots=True)
class RegexExtract(Step):
    name = "regex_extract"
    summary = "Keep the first match of an RE2 pattern, or one group of it. One-way."
    parameters = (
        text_parameter("pattern"),
        Parameter("group", "group", {"type": "integer", "minimum": 0, "maximum": 9}, required=False),
        Parameter("otherwise", "otherwise", {"enum": ["refuse", "keep", "blank"]}, required=False),
    )
    pattern: str
    group: int = 0
    otherwise: str = "refuse"

    def put(self, value: Value) -> Value:
        text, pattern = _searchable(self, value, self.pattern)
        match = pattern.search(text)
        if match is not None:
            found: str | None = match.group(self.group)
            return found
        if self.otherwise == "refuse":
            raise TransformError(
                "The pattern does not match this value",
                code="mapping.no_match",
                fix='Correct the value, or say what happens "otherwise": keep or blank.',
            )
        return text if self.otherwise == "keep" else None

    def check(self) -> str:
        reason = _reason(self.pattern)
        if not reason and self.group > compile_pattern(self.pattern).groups:
            return f"the pattern has no group {self.group}"
        return reason


def _searchable(step: Step, value: Value, source: str) -> tuple[str, Any]:
    """The text and the compiled pattern, when searching the one for the other stays within the bound."""
    pattern = compile_pattern(source)
    text = sanitize_text(text_of(step, value))[0]
    if len(text.encode()) * pattern.programsize > MAX_SEARCH_WORK:
        raise _too_large("The value is too long for this pattern")
    return text, pattern


def _reason(pattern: str) -> str:
    try:
        compile_pattern(pattern)
    except ValueError as error:
        return f"the pattern is refused: {error}"
    return ""


@dataclass(frozen=True, slots=True)
class Expression(Step):
    name = "expression"
    summary = "Compute with a CEL expression over value, without macros. One-way."
    parameters = (text_parameter("source", maxLength=MAX_EXPRESSION_CHARACTERS),)
    source: str

    def put(self, value: Value) -> Value:
        program = compile_expression(self.source)
        try:
            result = program.execute({"value": _cel_input(value)})
        except TransformError:
            raise
        except _FAILURES:
            raise TransformError(
                "The expression fails on this value",
                code="mapping.value_refused",
                fix="Correct the expression so that it covers this value.",
            ) from None
        return _cel_output(result)

    def gives(self, kind: Kind) -> Kind | None:
        """An expression takes everything; what it gives shows only with values."""
        return kind

    def check(self) -> str:
        try:
            compile_expression(self.source)
        except ValueError as error:
            return f"the expression is refused: {error}"
        return ""


def _cel_input(value: Value) -> Any:
    if isinstance(value, str):
        return _bounded(value, MAX_EXPRESSION_INPUT_CHARACTERS)
    if isinstance(value, tuple | list):
        _bounded("".join(map(str, value)), MAX_EXPRESSION_INPUT_CHARACTERS)
        return [sanitize_text(str(word))[0] for word in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_INTEGER:
        return float(value)
    return value


def _cel_output(result: object) -> Value:
    if result is None or isinstance(result, bool | int) or (isinstance(result, float) and math.isfinite(result)):
        return result
    if isinstance(result, str):
        return sanitize_text(result)[0]
    if isinstance(result, list) and all(isinstance(word, str) for word in result):
        return tuple(result)
    raise TransformError(
        "The expression gives neither text, number, boolean nor a list of texts",
        code="field.bad_type",
        fix="Let the expression end in one of these.",
    )


def _bounded(text: str, limit: int) -> str:
    if len(text) > limit:
        raise _too_large(f"The value is longer than the {limit} characters that this step takes")
    return sanitize_text(text)[0]


def _too_large(message: str) -> TransformError:
    return TransformError(message, code="mapping.too_large", fix="Put a truncate step before it, or simplify it.")
