"""``transform_rule``: the JSON form of a mapping's steps, its parser and its JSON Schema.

``{"steps": [{"step": "prefix", "text": "x"}, ...], "starts_at": "app"}`` or null. ``starts_at`` says
on which side a value enters the first step: ``app`` (the default) or ``crm``. The way back runs the
inverses in reverse. A lossy step can only run forward, so a from_crm mapping with one starts at ``crm``.

The schema is made from the same table as the parser; both refuse what is not in it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from crm.errors import MappingError
from crm.mapping.choices import BooleanMap, ValueMap
from crm.mapping.formats import DateFormat, NumberFormat
from crm.mapping.patterns import Expression, RegexExtract, RegexReplace
from crm.mapping.steps import (
    Case,
    Constant,
    Default,
    Join,
    Parameter,
    PhoneE164,
    Prefix,
    Split,
    Step,
    Suffix,
    Trim,
    Truncate,
)
from crm.model import Side

MAX_STEPS: Final = 20

STEPS: Final[Mapping[str, type[Step]]] = {
    step.name: step
    for step in (
        Trim,
        Case,
        PhoneE164,
        DateFormat,
        NumberFormat,
        BooleanMap,
        ValueMap,
        Split,
        Join,
        Prefix,
        Suffix,
        Default,
        Constant,
        Truncate,
        RegexReplace,
        RegexExtract,
        Expression,
    )
}


@dataclass(frozen=True, slots=True)
class TransformRule:
    steps: tuple[Step, ...] = ()
    starts_at: Side = Side.APP


def parse_transform_rule(rule: object) -> tuple[Step, ...]:
    """The steps of a transform rule; none for null. Raises as ``parse_rule``."""
    return parse_rule(rule).steps


def parse_rule(rule: object) -> TransformRule:
    """Read a transform rule as it comes from JSON; null is no rule.

    Raises ``MappingError`` with code ``mapping.bad_rule`` (shape), ``mapping.too_many_steps``,
    ``mapping.unknown_step`` or ``mapping.bad_parameter``, a JSON pointer to the place, and a fix.
    """
    if rule is None:
        return TransformRule()
    if not isinstance(rule, dict) or not isinstance(rule.get("steps"), list):
        raise _refused(
            "mapping.bad_rule",
            "",
            "A transform rule is null or an object with a list of steps",
            'Write {"steps": [{"step": "trim"}]}.',
        )
    for key in rule:
        if key not in {"steps", "starts_at"}:
            raise _refused("mapping.bad_rule", _pointer(key), "This key is not known", "Remove it.")
    starts_at = rule.get("starts_at", "app")
    if starts_at not in ("app", "crm"):
        raise _refused("mapping.bad_rule", "/starts_at", "starts_at is app or crm", "Write one of them.")
    items = rule["steps"]
    if len(items) > MAX_STEPS:
        raise _refused(
            "mapping.too_many_steps",
            f"/steps/{MAX_STEPS}",
            f"A rule has at most {MAX_STEPS} steps",
            "Remove steps, or join several into one value_map.",
        )
    return TransformRule(tuple(_step(item, ("steps", index)) for index, item in enumerate(items)), Side(starts_at))


def _step(item: object, path: tuple[str | int, ...]) -> Step:
    name = item.get("step") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(name, str):
        raise _refused(
            "mapping.bad_rule", _pointer(*path), "A step is an object with the key step", 'Write {"step": "trim"}.'
        )
    kind = STEPS.get(name)
    if kind is None:
        raise _refused(
            "mapping.unknown_step",
            _pointer(*path, "step"),
            "There is no step of this name",
            f"Choose one of {', '.join(STEPS)}.",
        )
    known = {parameter.name: parameter for parameter in kind.parameters}
    for key in item:
        if key != "step" and key not in known:
            allowed = ", ".join(known) or "none"
            raise _refused(
                "mapping.bad_parameter",
                _pointer(*path, key),
                f"{name} has no parameter of this name",
                f"Remove it; the parameters are: {allowed}.",
            )
    arguments: dict[str, Any] = {}
    for parameter in kind.parameters:
        if parameter.name in item:
            value = item[parameter.name]
            problem = _problem(value, parameter.schema)
            if problem:
                raise _bad_parameter(name, parameter, path, problem)
            arguments[parameter.attribute] = tuple(value.items()) if isinstance(value, dict) else value
        elif parameter.required:
            raise _bad_parameter(name, parameter, path, "is missing")
    step = kind(**arguments)
    reason = step.check()
    if reason:
        raise _refused("mapping.bad_parameter", _pointer(*path), f"{name}: {reason}", "Change the parameters.")
    return step


def _bad_parameter(name: str, parameter: Parameter, path: tuple[str | int, ...], problem: str) -> MappingError:
    return _refused(
        "mapping.bad_parameter",
        _pointer(*path, parameter.name),
        f"The parameter {parameter.name} of {name} {problem}",
        f"Give it as the schema says: {_words(parameter.schema)}.",
    )


def _words(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(repr(choice) for choice in schema["enum"])
    kinds = schema["type"]
    text = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    return text + (f" that matches {schema['pattern']}" if "pattern" in schema else "")


def _problem(value: object, schema: Mapping[str, Any]) -> str:
    """What part of its schema a parameter breaks; empty when none. Covers the words that the table uses."""
    if "enum" in schema:
        return "" if isinstance(value, str) and value in schema["enum"] else "is not in the list"
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if _json_type(value) not in kinds and not (_json_type(value) == "integer" and "number" in kinds):
        return "is of another type"
    if isinstance(value, str):
        return _text_problem(value, schema)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number_problem(value, schema)
    return _object_problem(value, schema) if isinstance(value, dict) else ""


def _number_problem(value: float, schema: Mapping[str, Any]) -> str:
    if not -math.inf < value < math.inf:
        return "is no finite number"
    outside = value < schema.get("minimum", value) or value > schema.get("maximum", value)
    return "is out of range" if outside else ""


def _text_problem(value: str, schema: Mapping[str, Any]) -> str:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return "is too short or too long"
    if "\0" in value or any("\ud800" <= ch <= "\udfff" for ch in value):
        return "holds NUL or half a character"
    # JSON Schema's "$" is the very end; Python's would let a line break follow.
    if "pattern" in schema and not re.search(re.sub(r"\$\Z", r"\\Z", schema["pattern"]), value):
        return "does not match its pattern"
    return ""


def _object_problem(value: dict[Any, Any], schema: Mapping[str, Any]) -> str:
    if not schema["minProperties"] <= len(value) <= schema["maxProperties"]:
        return "has too few or too many entries"
    for key, entry in value.items():
        if _problem(key, {"type": "string", **schema["propertyNames"]}):
            return "has a key that is blank, too long or no text"
        problem = _problem(entry, schema["additionalProperties"])
        if problem:
            return f"has an entry that {problem}"
    return ""


def _json_type(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    names: dict[type, str] = {str: "string", int: "integer", float: "number", dict: "object", list: "array"}
    return names.get(type(value), "null")


def _refused(code: str, pointer: str, message: str, fix: str) -> MappingError:
    return MappingError(message, code=code, field="transformRule", pointer=pointer, fix=fix)


def _pointer(*parts: object) -> str:
    """RFC 6901."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def rule_json(rule: TransformRule) -> dict[str, Any] | None:
    """The JSON form that ``parse_rule`` reads back; None for a rule without steps."""
    if not rule.steps:
        return None
    result: dict[str, Any] = {"steps": [_step_json(step) for step in rule.steps]}
    if rule.starts_at is not Side.APP:
        result["starts_at"] = rule.starts_at.value
    return result


def _step_json(step: Step) -> dict[str, Any]:
    defaults = {field.name: field.default for field in fields(step)}
    result: dict[str, Any] = {"step": step.name}
    for parameter in step.parameters:
        value = getattr(step, parameter.attribute)
        if parameter.required or value != defaults[parameter.attribute]:
            result[parameter.name] = dict(value) if isinstance(value, tuple) else value
    return result


def transform_rule_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a transform rule, from the table of steps."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "transform_rule",
        "description": "Steps between a field of ADSapp and a field of the CRM, or null.",
        "oneOf": [
            {"type": "null"},
            {
                "type": "object",
                "required": ["steps"],
                "additionalProperties": False,
                "properties": {
                    "starts_at": {"enum": ["app", "crm"], "default": "app"},
                    "steps": {
                        "type": "array",
                        "maxItems": MAX_STEPS,
                        "items": {"oneOf": [_step_schema(step) for step in STEPS.values()]},
                    },
                },
            },
        ],
    }


def _step_schema(step: type[Step]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": step.summary,
        "required": ["step", *(parameter.name for parameter in step.parameters if parameter.required)],
        "additionalProperties": False,
        "properties": {
            "step": {"const": step.name},
            **{parameter.name: dict(parameter.schema) for parameter in step.parameters},
        },
    }
