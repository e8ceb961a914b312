"""Transform steps as a form: the fields that a step's parameters need, and the rule that a form spells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext as _

from crm.mapping.rule import MAX_STEPS, STEPS
from crm.mapping.steps import Parameter

PAIR_SIGN: Final = "="
EDITS: Final = ("move", "add", "use_json")
"""Buttons of the form that change its steps and save nothing."""


@dataclass(frozen=True, slots=True)
class ParameterField:
    """One input. ``kind``: text, number, choice or pairs (a line ``ours = theirs`` for each)."""

    name: str
    key: str
    kind: str
    value: str
    required: bool
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepForm:
    index: int
    step: str
    summary: str
    fields: tuple[ParameterField, ...]


def forms_of(rule: Mapping[str, Any] | None) -> list[StepForm]:
    """One form for each step of a stored or posted rule; steps that nobody knows are shown without fields."""
    steps = (rule or {}).get("steps", [])
    return [_form(index, step) for index, step in enumerate(steps) if isinstance(step, dict)]


def _form(index: int, step: Mapping[str, Any]) -> StepForm:
    name = str(step.get("step", ""))
    known = STEPS.get(name)
    fields = tuple(_field(index, each, step.get(each.name)) for each in known.parameters) if known else ()
    return StepForm(index, name, known.summary if known else "", fields)


def _field(index: int, parameter: Parameter, value: Any) -> ParameterField:
    schema = parameter.schema
    kind = "text"
    if "enum" in schema:
        kind = "choice"
    elif schema.get("type") == "integer":
        kind = "number"
    elif schema.get("type") == "object":
        kind = "pairs"
    return ParameterField(
        name=parameter.name,
        key=f"step-{index}-{parameter.name}",
        kind=kind,
        value=_spelt(value, kind),
        required=parameter.required,
        choices=tuple(map(str, schema.get("enum", ()))),
    )


def _spelt(value: Any, kind: str) -> str:
    if value is None:
        return ""
    if kind == "pairs" and isinstance(value, dict):
        return "\n".join(f"{ours} {PAIR_SIGN} {theirs}" for ours, theirs in value.items())
    return json.dumps(value) if isinstance(value, bool) else str(value)


def rule_of(posted: Mapping[str, Any]) -> dict[str, Any] | None:
    """The rule that the form spells, not yet believed; None without steps.

    ``move`` (``up-2``, ``remove-0``) and ``add`` (with ``new_step``) change the steps the way the buttons say.
    """
    steps: list[dict[str, Any]] = []
    for index in range(MAX_STEPS + 1):
        name = posted.get(f"step-{index}-step")
        if name is None:
            break
        steps.append(_step(index, str(name), posted))
    word, _dash, place = str(posted.get("move", "")).partition("-")
    if place.isdecimal() and int(place) < len(steps):
        _moved(steps, word, int(place))
    if "add" in posted and posted.get("new_step") in STEPS:
        steps.append({"step": posted["new_step"]})
    if not steps:
        return None
    return {"steps": steps, "starts_at": "crm" if posted.get("starts_at") == "crm" else "app"}


def _moved(steps: list[dict[str, Any]], word: str, place: int) -> None:
    if word == "remove":
        del steps[place]
    elif word == "up" and place > 0:
        steps[place - 1], steps[place] = steps[place], steps[place - 1]


def _step(index: int, name: str, posted: Mapping[str, Any]) -> dict[str, Any]:
    step: dict[str, Any] = {"step": name}
    known = STEPS.get(name)
    for parameter in known.parameters if known else ():
        text = str(posted.get(f"step-{index}-{parameter.name}", ""))
        if text == "" and not (parameter.required and parameter.schema.get("minLength") is None):
            continue
        step[parameter.name] = _read(text, parameter)
    return step


def _read(text: str, parameter: Parameter) -> Any:
    """In the parameter's type where the text can be read so; else as text, which the rule's own check refuses."""
    kind = parameter.schema.get("type")
    if kind == "integer":
        return int(text) if text.strip().lstrip("-").isdecimal() else text
    if kind == "object":
        lines = [line.partition(PAIR_SIGN) for line in text.splitlines() if line.strip()]
        return {ours.strip(): theirs.strip() for ours, _sign, theirs in lines}
    if isinstance(kind, list) and text in ("true", "false"):
        return text == "true"
    return text


def posted_rule(said: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """The rule that the form's fields spell, or with ``use_json`` its JSON; and in words why that cannot be read."""
    if "use_json" not in said:
        return rule_of(said), ""
    text = str(said.get("json", ""))
    try:
        rule = json.loads(text) if text.strip() else None
    except ValueError as error:
        why = _("The JSON cannot be read: %(why)s. Correct it, or use the form.") % {"why": error}
        return rule_of(said), why
    if rule is not None and not isinstance(rule, dict):
        return None, _("A transform is an object with a list of steps, or nothing.")
    return rule, ""


def context_of(rule: Mapping[str, Any] | None) -> dict[str, Any]:
    """What ``_steps.html`` shows."""
    return {
        "steps": forms_of(rule),
        "step_names": [(name, step.summary) for name, step in STEPS.items()],
        "starts_at": (rule or {}).get("starts_at", "app"),
        "rule_json": "" if rule is None else json.dumps(rule, indent=2, ensure_ascii=False),
    }
