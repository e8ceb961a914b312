"""A changed mapping: existing records too, or only from now on. What is asked, and what the answer leaves on its row.

What either answer does to a record is ``crm.engine.life``'s to decide. The row keeps it until a complete scan has
looked at every record under the changed mapping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from django.db.models.functions import Now

from adsapp_crm.models import CrmConnection, CrmFieldMapping, CrmSyncState
from adsapp_crm.services.counting import counted
from crm.model import AppliesTo

if TYPE_CHECKING:
    from adsapp_crm.services.mappings import WantedMapping

RULES: Final = ("direction", "transform_rule", "blank_rule", "strategy", "drift")
_OPENS: Final = frozenset({"direction", "drift"})
"""A difference that stood still may move."""
_RESTATES: Final = frozenset({"direction", "transform_rule"})
"""A pair that corresponded may correspond no more."""
_ASKS: Final = _OPENS | _RESTATES | {"strategy"}


@dataclass(frozen=True, slots=True)
class MappingQuestion:
    """Existing records too, or only from now on?"""

    fields: tuple[str, ...]
    """ADSapp's names of the fields whose rows are added or changed."""
    records: int
    """Linked records that it is about."""
    adds_only: bool


def reach_said(said: str) -> AppliesTo | None:
    """A person's answer as a form brings it; None where nothing, or nothing that there is, was said."""
    return AppliesTo(said) if said in set(AppliesTo) else None


def rules_of(row: CrmFieldMapping | WantedMapping) -> dict[str, Any]:
    return {**{name: getattr(row, name) for name in RULES}, "transform_rule": row.transform_rule or None}


def linked_types(connection: CrmConnection) -> set[str]:
    """Record types with linked records: only there does a change ask."""
    live = CrmSyncState.objects.filter(connection=connection, state="live")
    return {kind for kind in connection.schema if live.filter(crm_record_type=kind).exists()}


def question_of(
    connection: CrmConnection, stored: Sequence[CrmFieldMapping], wanted: Sequence[WantedMapping]
) -> MappingQuestion | None:
    """What saving ``wanted`` has to ask; None when no record is concerned. In the organization's context."""
    before = {(row.record_type, row.adsapp_field, row.crm_field): rules_of(row) for row in stored}
    linked = linked_types(connection)
    asking: list[WantedMapping] = []
    added = 0
    for each in wanted:
        known = before.get((each.record_type, each.app_field, each.remote_field))
        if each.record_type in linked and (known is None or _changed(known, rules_of(each)) & _ASKS):
            asking.append(each)
            added += known is None
    if not asking:
        return None
    kinds = sorted({each.record_type for each in asking})
    live = CrmSyncState.objects.filter(connection=connection, state="live", crm_record_type__in=kinds)
    records = counted(f"linked:{','.join(kinds)}", connection.pk, live.count)
    return MappingQuestion(tuple(each.app_field for each in asking), records, added == len(asking))


def note_change(row: CrmFieldMapping, before: Mapping[str, Any] | None, applies_to: AppliesTo | None) -> None:
    """Leave the answer on a row that has its new rules and version; ``before`` None: it is added. Saves nothing.

    Without an answer a row that is added is for existing records, and one that is changed only from now on. The
    answer "existing" takes back an earlier "only from now on" of a row that is not changed now.
    """
    changed = frozenset(RULES) if before is None else _changed(before, rules_of(row))
    if not changed and applies_to is AppliesTo.EXISTING and row.applies_to == AppliesTo.NEW:
        changed = frozenset(RULES)
        row.version += 1
    if not changed & _ASKS:
        return
    reach = applies_to or (AppliesTo.EXISTING if before is None else AppliesTo.NEW)
    row.applies_to = reach.value
    if "strategy" in changed:
        row.keeps_questions = reach is AppliesTo.NEW
    if changed & _RESTATES:
        row.revisits_before = row.version if reach is AppliesTo.EXISTING else 0
    if reach is AppliesTo.EXISTING:
        row.former = None if changed & _OPENS else row.former
    elif changed & _OPENS and row.former is None:
        row.former = {name: before[name] if before else None for name in sorted(_OPENS)}
    elif row.former is None:
        return  # no record has to be looked at
    if row.former is None or row.changed_at is None or before is None:
        row.changed_at = Now()  # the database's clock


def note_scanned(connection: CrmConnection, record_types: Sequence[str], started_at: datetime) -> None:
    """A complete scan that began at that time has looked at every record and done what was planned. Safe to repeat."""
    rows = CrmFieldMapping.objects.filter(connection=connection, record_type__in=record_types)
    rows.filter(changed_at__lt=started_at).update(changed_at=None, former=None)


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(name for name in RULES if before[name] != after[name])
