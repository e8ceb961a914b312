"""Workflows of the account that rewrite what was just written, as a second change.

Page: https://support.pipedrive.com/en/article/workflow-automation ("Update person")
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from crm.providers.pipedrive.fake.answers import Json, bad_request
from crm.providers.pipedrive.fake.bodies import put_name
from crm.providers.pipedrive.fake.entities import PERSON
from crm.providers.pipedrive.fake.state import FIRST_USER_ID, Actor, State

ACTOR: Final = Actor("automation", FIRST_USER_ID)
RULES: Final[dict[str, Callable[[str], str]]] = {
    "title_case": str.title,
    "upper": str.upper,
    "lower": str.lower,
    "digits": lambda text: re.sub(r"[^\d+]", "", text),
    "collapse_blanks": lambda text: " ".join(text.split()),
}


def check_rules(rules: Mapping[str, str]) -> dict[str, str]:
    """Field of a person (``name``, ``emails``, ``phones``, ``job_title``, a hash) -> rule. Raises 400."""
    for name, rule in rules.items():
        if rule not in RULES:
            raise bad_request(f"automation of {name}: {rule!r} is none of {', '.join(RULES)}")
    return dict(rules)


def run_due(state: State, rules: Mapping[str, str]) -> None:
    """Rewrite what the last call wrote; the call's own answer showed the value as it was sent."""
    due, state.rewrites_due = state.rewrites_due, []
    for record, names in due:
        if record.entity is not PERSON or record.is_deleted:
            continue
        values: Json = {}
        custom: Json = {}
        for name in names:
            if name not in rules:
                continue
            held = custom if name in record.custom else values
            held[name] = _rewritten(RULES[rules[name]], record.custom.get(name, record.values.get(name)))
        if "name" in values:
            put_name(values, values["name"])
        if any(record.values.get(name) != value for name, value in values.items()) or any(
            record.custom.get(code) != value for code, value in custom.items()
        ):
            state.put(record, values, custom, ACTOR, op="automation")


def _rewritten(rule: Callable[[str], str], value: Any) -> Any:
    if isinstance(value, str):
        return rule(value)
    if isinstance(value, list):
        return [{**each, "value": rule(each["value"])} if isinstance(each, dict) else each for each in value]
    return value
