"""Workflows of the account that rewrite what was just written, as a second change by AUTOMATION_PLATFORM.

Page: https://developers.hubspot.com/docs/api-reference/automation-automation-v4-v4/guide ("Edit record" action)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from crm.providers.hubspot.fake import answers, writes
from crm.providers.hubspot.fake.answers import AnswerError
from crm.providers.hubspot.fake.object_types import CONTACTS
from crm.providers.hubspot.fake.state import Actor, State

ACTOR: Final = Actor("AUTOMATION_PLATFORM", "enrollmentId:1;actionExecutionIndex:0", "Workflow")
RULES: Final[dict[str, Callable[[str], str]]] = {
    "title_case": str.title,
    "upper": str.upper,
    "lower": str.lower,
    "digits": lambda text: re.sub(r"[^\d+]", "", text),
    "collapse_blanks": lambda text: " ".join(text.split()),
}


def check_rules(rules: Mapping[str, str]) -> dict[str, str]:
    """Property name -> rule name. Raises 400 for a rule that does not exist."""
    for name, rule in rules.items():
        if rule not in RULES:
            raise answers.invalid_input(f"automation of {name}: {rule!r} is none of {', '.join(RULES)}")
    return dict(rules)


def run_due(state: State, rules: Mapping[str, str]) -> None:
    """Rewrite what the last call wrote; the call's own answer showed the value as it was sent."""
    due, state.rewrites_due = state.rewrites_due, []
    for record, names in due:
        if record.kind is not CONTACTS or record.archived_ms is not None:
            continue
        if record.record_id not in state.table(record.kind).records:
            continue
        values = {
            name: RULES[rules[name]](record.properties[name])
            for name in names
            if name in rules and record.properties.get(name)
        }
        prepared, problems = writes.prepare(state, record.kind, values, record)
        if not values or problems:
            continue
        try:
            writes.refuse_taken(state, prepared)
        except AnswerError:
            continue
        writes.update(state, prepared, ACTOR, op="automation")
