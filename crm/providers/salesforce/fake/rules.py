"""What the org's admin has set up that meets every write: duplicate and validation rules, automation, assignment.

Pages: REST API Developer Guide, "Duplicate Rule Header"; Salesforce Help, "Validation Rules", "Assignment Rules"
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from crm.providers.salesforce.fake import answers
from crm.providers.salesforce.fake.answers import Json, RowError
from crm.providers.salesforce.fake.state import Record, State, Values


def _us_phone(text: str) -> str:
    digits = re.sub(r"\D", "", text)
    digits = digits[1:] if len(digits) == 11 and digits.startswith("1") else digits
    return f"({digits[:3]}) {digits[3:6]}-{digits[6:]}" if len(digits) == 10 else text


REWRITES: Final[dict[str, Callable[[str], str]]] = {
    "title_case": str.title,
    "upper": str.upper,
    "lower": str.lower,
    "digits": lambda text: re.sub(r"[^\d+]", "", text),
    "collapse_blanks": lambda text: " ".join(text.split()),
    "us_phone": _us_phone,
}


@dataclass(slots=True)
class OrgRules:
    """``automation`` is ``Contact.Phone`` -> name of a rewrite, done by ``automation_user_id`` or by who wrote.

    A duplicate rule: ``object``, ``match`` (fields that must all be equal), ``action`` (``alert`` or ``block``),
    ``name``. A validation rule: ``object``, ``field``, ``pattern`` (the whole value must match, if there is one),
    ``required``, ``message``, ``onField`` (false: an error of the page, naming no field).
    """

    duplicates: list[Json] = field(default_factory=list)
    validations: list[Json] = field(default_factory=list)
    automation: dict[str, str] = field(default_factory=dict)
    automation_user_id: str | None = None
    assignment_owner_id: str | None = None

    def saved(self) -> Json:
        return {name: getattr(self, name) for name in self.__slots__}


def check_duplicate_rules(raw: object) -> list[Json]:
    found = []
    for item in _listed(raw, "duplicateRules"):
        match, action = item.get("match"), item.get("action", "alert")
        if not isinstance(item.get("object"), str) or not isinstance(match, list) or not match:
            raise answers.bad_admin_input("duplicateRules: each needs an object and match, a list of fields")
        if action not in ("alert", "block"):
            raise answers.bad_admin_input(f"duplicateRules: action {action!r} is neither alert nor block")
        name = f"Standard_{item['object']}_Duplicate_Rule"
        found.append({"name": name, **item, "action": action})
    return found


def check_validation_rules(raw: object) -> list[Json]:
    found = []
    for item in _listed(raw, "validationRules"):
        if not all(isinstance(item.get(name), str) for name in ("object", "field", "message")):
            raise answers.bad_admin_input("validationRules: each needs an object, a field and a message")
        try:
            re.compile(str(item.get("pattern", "")))
        except re.error as error:
            raise answers.bad_admin_input(f"validationRules: pattern: {error}") from error
        found.append({"onField": True, **item})
    return found


def check_automation(raw: object) -> dict[str, str]:
    if not isinstance(raw, Mapping):
        raise answers.bad_admin_input("automation: an object such as {'Contact.Phone': 'digits'}")
    for name, rewrite in raw.items():
        if rewrite not in REWRITES:
            raise answers.bad_admin_input(f"automation: {name}: {rewrite!r} is none of {', '.join(REWRITES)}")
    return {str(name): str(rewrite) for name, rewrite in raw.items()}


def refuse_invalid(rules: OrgRules, kind: str, values: Values) -> list[RowError]:
    """What the validation rules say about the record as it would be."""
    problems = []
    for rule in rules.validations:
        if rule["object"] != kind:
            continue
        value = values.get(rule["field"])
        pattern = rule.get("pattern")
        broken = (rule.get("required") and value is None) or (
            pattern and value is not None and not re.fullmatch(pattern, str(value))
        )
        if broken:
            fields = [rule["field"]] if rule["onField"] else []
            problems.append(RowError("FIELD_CUSTOM_VALIDATION_EXCEPTION", rule["message"], fields))
    return problems


def refuse_duplicate(
    rules: OrgRules, state: State, kind: str, values: Values, record_id: str | None, *, allow_save: bool, version: str
) -> None:
    """Raise DUPLICATES_DETECTED; ``allow_save`` overrides an alert, never a block."""
    for rule in rules.duplicates:
        if rule["object"] != kind or (allow_save and rule["action"] == "alert"):
            continue
        keys = [values.get(name) for name in rule["match"]]
        if any(key is None for key in keys):
            continue
        wanted = [str(key).strip().lower() for key in keys]
        found = [
            record
            for record in _candidates(state, kind, rule["match"][0], keys[0])
            if record.record_id != record_id
            and [str(record.values.get(name, "")).strip().lower() for name in rule["match"]] == wanted
        ]
        if found:
            raise _detected(rule, kind, found, version)


def rewritten(rules: OrgRules, kind: str, values: Values, names: Iterable[str]) -> Values:
    """What automation makes of fields just written."""
    found: Values = {}
    for name in names:
        rewrite, value = rules.automation.get(f"{kind}.{name}"), values.get(name)
        if rewrite and isinstance(value, str) and (after := REWRITES[rewrite](value)) != value:
            found[name] = after
    return found


def _candidates(state: State, kind: str, name: str, value: Any) -> list[Record]:
    table = state.table(kind)
    if name in table.indexes:
        return table.holders(name, value)
    return [record for record in table.records.values() if not record.is_deleted]


def _detected(rule: Json, kind: str, found: list[Record], version: str) -> RowError:
    message = str(rule.get("message") or "Use one of these records?")
    matches = [
        {
            "additionalInformation": [],
            "fieldDiffs": [],
            "matchConfidence": 100.0,
            "record": {
                "attributes": {
                    "type": kind,
                    "url": f"/services/data/{version}/sobjects/{kind}/{record.record_id}",
                },
                "Id": record.record_id,
            },
        }
        for record in found
    ]
    result = {
        "allowSave": rule["action"] == "alert",
        "duplicateRule": rule["name"],
        "duplicateRuleEntityType": kind,
        "errorMessage": message,
        "matchResults": [
            {
                "entityType": kind,
                "errors": [],
                "matchEngine": "FuzzyMatchEngine",
                "matchRecords": matches,
                "rule": f"Standard_{kind}_Match_Rule_v1_1",
                "size": len(matches),
                "success": True,
            }
        ],
    }
    # The single answer of this code names no fields (recorded); a row of a collection has an empty list.
    return RowError("DUPLICATES_DETECTED", message, None, more={"duplicateResult": result})


def _listed(raw: object, name: str) -> list[Json]:
    if not isinstance(raw, list) or not all(isinstance(item, dict) for item in raw):
        raise answers.bad_admin_input(f"{name}: a list of objects")
    return raw
