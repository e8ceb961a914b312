"""Where the two sides of a pair differ at the end of a seed: what a failure looks like to the people on both sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm.model import LinkState
from tests.harness.simulate.users import PAIRS


def differences(end: Mapping[str, Any]) -> list[str]:
    """Of ``Result.end``: one line for each field that a live pair holds differently, and for whoever stands alone."""
    lines: list[str] = []
    paired: set[str] = set()
    for name, seen in end.items():
        if len(seen) != 3:
            continue  # a contact or a record
        contact_id, remote_id, state = seen
        record = f"{name.partition(':')[0]}:{remote_id}"
        if state is not LinkState.LIVE:
            lines.append(f"{contact_id} ~ {record or 'nothing'} is {state}")
            continue
        paired |= {contact_id, record}
        lines += [
            f"{contact_id} ~ {record} {app_field}: app {ours!r}, CRM {theirs!r}"
            for app_field, ours, theirs in _unequal(end.get(contact_id), end.get(record))
        ]
    lines += [
        f"{name} stands alone: {seen[0]} {seen[1]}" for name, seen in end.items() if _is_alone(name, seen, paired)
    ]
    return lines


def _unequal(contact: Any, record: Any) -> list[tuple[str, object, object]]:
    if contact is None or record is None:
        return [("", contact, record)]
    found = [(app_field, contact[1].get(app_field), record[1].get(name)) for app_field, name in PAIRS.items()]
    return [(name, ours, theirs) for name, ours, theirs in found if (ours or None) != (theirs or None)]


def _is_alone(name: str, seen: tuple[Any, ...], paired: set[str]) -> bool:
    return len(seen) == 2 and name not in paired and seen[0] == "live"
