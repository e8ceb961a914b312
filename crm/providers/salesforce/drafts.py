"""Records as they are to be sent: checked against the description, renamed where Salesforce wants it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from crm.errors import FieldRefusal
from crm.mapping.kinds import Kind
from crm.model import FieldDefinition, Value
from crm.providers.salesforce import addresses, mapping


@dataclass(frozen=True, slots=True)
class Draft:
    """One record. ``refused`` grows while fields of it are left out; both are by the name that was asked for."""

    asked: Mapping[str, Value]
    values: Mapping[str, Value]
    """Salesforce's field -> JSON value."""
    named: Mapping[str, str]
    """Salesforce's field -> the name that was asked for."""
    remote_id: str = ""
    marker: str = ""
    unchanged_since: datetime | None = None
    refused: Mapping[str, FieldRefusal] = field(default_factory=dict)

    def asked_names(self, fields: Mapping[str, FieldRefusal]) -> dict[str, FieldRefusal]:
        """Refusals by the name that was asked for; what was not asked for keeps Salesforce's."""
        return {self.named.get(name, name): refusal for name, refusal in fields.items()}

    def without(self, fields: Mapping[str, FieldRefusal]) -> Draft:
        """Lighter by the fields (Salesforce's names) that it holds; the same draft when it holds none of them."""
        left_out = {name: refusal for name, refusal in fields.items() if name in self.values}
        kept = {name: value for name, value in self.values.items() if name not in left_out}
        return replace(self, values=kept, refused={**self.refused, **self.asked_names(left_out)})


def draft(
    record_type: str,
    asked: Mapping[str, Value],
    listed: Mapping[str, FieldDefinition],
    *,
    remote_id: str = "",
    marker: str = "",
    unchanged_since: datetime | None = None,
) -> Draft:
    """For a new record where ``remote_id`` is empty. The account's name is left to ``with_account``."""
    values: dict[str, Value] = {}
    named: dict[str, str] = {}
    refused: dict[str, FieldRefusal] = {}
    for name, value in asked.items():
        found = listed.get(name)
        if found is None:
            refused[name] = FieldRefusal("field.missing")
        elif not (found.writable if remote_id else found.createable) or name == mapping.MARKER_FIELD:
            refused[name] = FieldRefusal("field.readonly")
        elif name != mapping.ACCOUNT_NAME:
            placed = addresses.place(name, value, listed)
            if isinstance(placed, FieldRefusal):
                refused[name] = placed
                continue
            target, placed_value = placed
            values[target] = mapping.wire_value(record_type, target, Kind.of(listed[target].kind), placed_value)
            named[target] = name
    if not remote_id:
        for name in mapping.REQUIRED_NAMES.get(record_type, ()):
            values.setdefault(name, mapping.PLACEHOLDER)
    return Draft(asked, values, named, remote_id, marker, unchanged_since, refused)


def account_name(found: Draft) -> str | None:
    """The company to write, ``""`` to clear it, ``None`` when it is not to be written."""
    if mapping.ACCOUNT_NAME not in found.asked or mapping.ACCOUNT_NAME in found.refused:
        return None
    value = found.asked[mapping.ACCOUNT_NAME]
    return value.strip() if isinstance(value, str) else ""


def with_account(found: Draft, account: str | FieldRefusal | None) -> Draft:
    """The draft under this account, under none, or without a word about it."""
    if isinstance(account, FieldRefusal):
        return replace(found, refused={**found.refused, mapping.ACCOUNT_NAME: account})
    return replace(
        found,
        values={**found.values, mapping.ACCOUNT_ID: account},
        named={**found.named, mapping.ACCOUNT_ID: mapping.ACCOUNT_NAME},
    )


def first_of_each(drafts: Mapping[str, Draft]) -> tuple[dict[str, Draft], dict[str, Draft]]:
    """The first draft of each record, and those that come after it, by the caller's keys."""
    owners: dict[str, str] = {}
    for key, each in drafts.items():
        owners.setdefault(each.remote_id or each.marker or key, key)
    first = set(owners.values())
    once = {key: each for key, each in drafts.items() if key in first}
    return once, {key: each for key, each in drafts.items() if key not in first}


def by_account(drafts: Mapping[str, Draft]) -> dict[str, Draft]:
    """Those that go under one account side by side: collections that write contacts of one account at the same time
    wait for its lock, and one of them may be refused for it.
    """
    return dict(sorted(drafts.items(), key=lambda item: str(item[1].values.get(mapping.ACCOUNT_ID) or "")))
